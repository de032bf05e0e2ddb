//! Hostile text made harmless: names and values of a dump may hold anything.

use std::borrow::Cow;
use std::fmt::Write as _;
use unicode_properties::{GeneralCategoryGroup, UnicodeGeneralCategory};

/// Whether a character must not reach a reader as it is: a control, one that is invisible or reorders what stands around it, one of
/// private use, or one that Unicode does not have.
///
/// Told by its general category (Cc, Cf, Co, Cs, Cn, Zl, Zp). A few that show nothing are letters and marks by category: fillers,
/// joiners, and the selectors of variants.
#[must_use]
pub fn is_hostile(letter: char) -> bool {
    if letter.is_ascii() {
        return letter.is_ascii_control();
    }
    matches!(letter.general_category_group(), GeneralCategoryGroup::Other)
        || matches!(letter,
            '\u{2028}' | '\u{2029}' | '\u{34f}' | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}' | '\u{180b}'..='\u{180f}'
            | '\u{3164}' | '\u{fe00}'..='\u{fe0f}' | '\u{ffa0}' | '\u{e0100}'..='\u{e01ef}')
}

/// Text for a terminal: hostile characters in the way Ruby writes them (`\n`, `\e`, `\u{202e}`), the others as they are.
///
/// ```
/// use heap_inspector::view::escape::terminal;
/// assert_eq!(terminal("two\nlines, \u{1b}[31mred"), r"two\nlines, \e[31mred");
/// ```
#[must_use]
pub fn terminal(text: &str) -> Cow<'_, str> {
    if !text.chars().any(is_hostile) {
        return Cow::Borrowed(text);
    }
    let mut safe = String::with_capacity(text.len() + 16);
    for letter in text.chars() {
        match letter {
            '\n' => safe.push_str("\\n"),
            '\r' => safe.push_str("\\r"),
            '\t' => safe.push_str("\\t"),
            '\u{1b}' => safe.push_str("\\e"),
            letter if is_hostile(letter) => {
                // Writing to a string cannot fail.
                let _ = write!(safe, "\\u{{{:x}}}", u32::from(letter));
            }
            letter => safe.push(letter),
        }
    }
    Cow::Owned(safe)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn writes_hostile_characters_out() {
        let pairs = [
            ("\u{1b}[31m\u{1b}]0;title\u{7}", r"\e[31m\e]0;title\u{7}"),
            ("a\tb\r\nc\0", r"a\tb\r\nc\u{0}"),
            ("\u{7f}\u{9b}2J\u{85}", r"\u{7f}\u{9b}2J\u{85}"),
            ("user\u{202e}cod.rb\u{2066}", r"user\u{202e}cod.rb\u{2066}"),
            ("\u{1bca0}\u{1bca3}\u{1d173}\u{1d17a}", r"\u{1bca0}\u{1bca3}\u{1d173}\u{1d17a}"),
            ("\u{e000}\u{f8ff}\u{10ffff}\u{378}\u{110bd}", r"\u{e000}\u{f8ff}\u{10ffff}\u{378}\u{110bd}"),
            ("zero\u{200b}width\u{feff}\u{e0041}", r"zero\u{200b}width\u{feff}\u{e0041}"),
        ];
        for (raw, safe) in pairs {
            assert_eq!(terminal(raw), safe);
        }
    }

    #[test]
    fn leaves_other_text_alone() {
        for text in ["", "app/models/user.rb:12", "Größe 日本 🙂", r"C:\temp \n"] {
            assert!(matches!(terminal(text), Cow::Borrowed(same) if same == text));
        }
    }
}
