//! Answers in pieces of so many tokens: a piece ends with a line where it can, and a table that goes on has its head again.

/// Bytes that make a token, at the least: addresses, digits and markup take more tokens than prose. Counted with the tokenizers o200k and
/// cl100k on the answers about the planted leaks a token has 2.03 bytes at the least, 2.76 on the average.
const BYTES: usize = 2;

/// How many tokens a text is reckoned to be, not less than it is.
pub(super) fn tokens(bytes: usize) -> usize {
    bytes.div_ceil(BYTES)
}

/// A piece of an answer.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Piece {
    pub(super) text: String,
    /// Where the next piece begins.
    pub(super) next: Option<usize>,
}

/// What of the answer comes from this byte on, within the budget. There is always some.
pub(super) fn piece(answer: &str, from: usize, budget: usize) -> Piece {
    let from = boundary(answer, from);
    let head = head(answer, from);
    let room = (budget * BYTES).saturating_sub(head.len()).max(MIN);
    let rest = &answer[from..];
    if rest.len() <= room {
        return Piece { text: format!("{head}{rest}"), next: None };
    }
    let cut = boundary(rest, room);
    let line = rest[..cut].rfind('\n').map_or(cut, |line| line + 1);
    // One line may be longer than all the room.
    let end = if line > cut / 4 { line } else { cut };
    let newline = if rest[..end].ends_with('\n') { "" } else { "\n" };
    Piece { text: format!("{head}{}{newline}", &rest[..end]), next: Some(from + end) }
}

/// Bytes of a piece at the least, whatever the budget.
const MIN: usize = 200;

/// The head of the table in whose midst the place is.
fn head(answer: &str, at: usize) -> &str {
    let is_row = |line: &str| line.starts_with('|');
    if !(is_row(&answer[at..]) && answer[..at].ends_with('\n')) {
        return "";
    }
    let mut start = at;
    while let Some(before) = answer[..start].strip_suffix('\n') {
        let line = before.rfind('\n').map_or(0, |newline| newline + 1);
        if !is_row(&before[line..]) {
            break;
        }
        start = line;
    }
    let lines: usize = answer[start..at].split_inclusive('\n').take(2).map(str::len).sum();
    &answer[start..start + lines]
}

/// The place, or the nearest before it where a letter begins.
fn boundary(text: &str, place: usize) -> usize {
    let place = place.min(text.len());
    (0..=place).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// All pieces of an answer.
    fn pieces(answer: &str, budget: usize) -> Vec<String> {
        let mut from = Some(0);
        std::iter::from_fn(|| {
            let Piece { text, next } = piece(answer, from?, budget);
            assert!(next.is_none_or(|next| Some(next) > from), "it goes on");
            from = next;
            Some(text)
        })
        .collect()
    }

    #[test]
    fn a_table_that_goes_on_has_its_head_again_and_no_row_is_lost() {
        let rows: String = (0..200).map(|row| format!("| {row} | `Order` |\n")).collect();
        let answer = format!("# top\n\n| Objects | Class |\n| --: | :-- |\n{rows}\n> **Note:** the end\n");
        let found = pieces(&answer, 300);
        assert!(found.len() > 3);
        for piece in &found[1..found.len() - 1] {
            assert!(piece.starts_with("| Objects | Class |\n| --: | :-- |\n| "), "{piece}");
        }
        assert!(found.iter().all(|piece| tokens(piece.len()) <= 300));
        let all = found.concat();
        assert!((0..200).all(|row| all.matches(&format!("| {row} |")).count() == 1));
        assert!(all.ends_with("the end\n"));
    }

    #[test]
    fn a_line_longer_than_the_budget_is_cut_between_letters() {
        let answer = "ü".repeat(5_000);
        let found = pieces(&answer, 100);
        assert_eq!(found.iter().map(|piece| piece.matches('ü').count()).sum::<usize>(), 5_000);
        assert!(found.len() > 10);
    }

    #[test]
    fn a_place_behind_the_end_has_nothing() {
        assert_eq!(piece("abc", 99, 100), Piece { text: String::new(), next: None });
    }
}
