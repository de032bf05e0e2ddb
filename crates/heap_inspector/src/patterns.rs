//! Glob patterns of users: `*` is any letters, `?` one, `[a-z]` and `[!a-z]` one of some or of all others, `{this,that}` either, and a
//! backslash takes a letter as it is. `**` between slashes is any folders, also none.
//!
//! A pattern becomes a list of steps, and a text is held against all ways through them at once, letter by letter, so that the time is at
//! most the text's letters times the pattern's. A crate for this brings regular expressions, half a megabyte of each installed gem.

use std::iter::Peekable;
use std::str::Chars;

/// A pattern may be so long, in bytes.
const LONGEST: usize = 4 << 10;
/// Its alternatives may stand so deep in each other.
const DEEPEST: usize = 10;

/// What is asked of a pattern besides its words.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Options {
    /// `A` fits `a`, of the letters of ASCII.
    pub(crate) ignores_case: bool,
    /// `*` and `?` are no `/`.
    pub(crate) stops_at_slashes: bool,
}

/// Patterns, of which any may fit.
#[derive(Clone, Debug, Default)]
pub(crate) struct Patterns {
    steps: Vec<Step>,
    /// Where each begins.
    starts: Vec<usize>,
    ignores_case: bool,
}

#[derive(Clone, Debug)]
enum Step {
    /// One letter, and on at a step.
    Letter(Letters, usize),
    /// On at any of these, without a letter.
    Fork(Vec<usize>),
    End,
}

#[derive(Clone, Debug)]
enum Letters {
    One(char),
    Any,
    AnyButSlash,
    Class { negated: bool, ranges: Vec<(char, char)> },
}

/// A part of a pattern as it is written.
#[derive(Debug)]
enum Part {
    Letter(Letters),
    Star,
    /// `**` at the end.
    All,
    /// `**/` at the beginning.
    FoldersFirst,
    /// `/**/` in the middle.
    FoldersBetween,
    Either(Vec<Vec<Part>>),
}

/// What fits any of the patterns; else why one of them is none.
pub(crate) fn compile<'p>(
    patterns: impl IntoIterator<Item = &'p str>,
    options: Options,
) -> std::result::Result<Patterns, String> {
    let mut all = Patterns { ignores_case: options.ignores_case, ..Patterns::default() };
    for pattern in patterns {
        if pattern.len() > LONGEST {
            let length = pattern.len();
            return Err(format!("a pattern of {length} bytes is too long, it may have {LONGEST}"));
        }
        let parts = Reader::parts(pattern).map_err(|reason| format!("{pattern:?} is no glob pattern: {reason}"))?;
        let end = all.add(Step::End);
        let start = all.add_parts(&parts, options, end);
        all.starts.push(start);
    }
    Ok(all)
}

impl Patterns {
    /// Whether one of them fits all of a text.
    pub(crate) fn is_match(&self, text: &str) -> bool {
        let (mut now, mut next) = (Places::new(self.steps.len()), Places::new(self.steps.len()));
        self.starts.iter().for_each(|start| self.reach(*start, &mut now));
        for letter in text.chars() {
            next.clear();
            for place in &now.list {
                if let Step::Letter(letters, to) = &self.steps[*place]
                    && letters.fit(letter, self.ignores_case)
                {
                    self.reach(*to, &mut next);
                }
            }
            if next.list.is_empty() {
                return false;
            }
            std::mem::swap(&mut now, &mut next);
        }
        now.list.iter().any(|place| matches!(self.steps[*place], Step::End))
    }

    /// Adds a step and all that it leads to without a letter.
    fn reach(&self, step: usize, places: &mut Places) {
        let mut at = places.list.len();
        places.add(step);
        while let Some(place) = places.list.get(at).copied() {
            at += 1;
            if let Step::Fork(ways) = &self.steps[place] {
                ways.iter().for_each(|way| places.add(*way));
            }
        }
    }

    fn add(&mut self, step: Step) -> usize {
        self.steps.push(step);
        self.steps.len() - 1
    }

    fn letter(&mut self, letter: char, then: usize) -> usize {
        self.add(Step::Letter(Letters::One(letter), then))
    }

    /// Any number of letters, then on.
    fn any_letters(&mut self, letters: Letters, then: usize) -> usize {
        let fork = self.add(Step::Fork(Vec::new()));
        let letter = self.add(Step::Letter(letters, fork));
        self.steps[fork] = Step::Fork(vec![letter, then]);
        fork
    }

    /// The steps of parts, from the last to the first, since each knows where it goes on; the place of the first.
    fn add_parts(&mut self, parts: &[Part], options: Options, then: usize) -> usize {
        let wild = || if options.stops_at_slashes { Letters::AnyButSlash } else { Letters::Any };
        parts.iter().rev().fold(then, |then, part| match part {
            Part::Letter(Letters::Any) => self.add(Step::Letter(wild(), then)),
            Part::Letter(letters) => self.add(Step::Letter(letters.clone(), then)),
            Part::Star => self.any_letters(wild(), then),
            Part::All => self.any_letters(Letters::Any, then),
            Part::FoldersFirst => {
                let slash = self.letter('/', then);
                let some = self.any_letters(Letters::Any, slash);
                self.add(Step::Fork(vec![then, some]))
            }
            Part::FoldersBetween => {
                let slash = self.letter('/', then);
                let some = self.any_letters(Letters::Any, slash);
                let some = self.letter('/', some);
                self.add(Step::Fork(vec![slash, some]))
            }
            Part::Either(all) => {
                let ways: Vec<usize> = all.iter().map(|parts| self.add_parts(parts, options, then)).collect();
                if ways.is_empty() { then } else { self.add(Step::Fork(ways)) }
            }
        })
    }
}

impl Letters {
    fn fit(&self, letter: char, ignores_case: bool) -> bool {
        match self {
            Letters::One(one) => *one == letter || ignores_case && one.eq_ignore_ascii_case(&letter),
            Letters::Any => true,
            Letters::AnyButSlash => letter != '/',
            Letters::Class { negated, ranges } => {
                let has = |letter: char| ranges.iter().any(|(first, last)| (*first..=*last).contains(&letter));
                let other = || has(letter.to_ascii_lowercase()) || has(letter.to_ascii_uppercase());
                (has(letter) || ignores_case && other()) != *negated
            }
        }
    }
}

/// Steps, each once, in the order they were found.
struct Places {
    list: Vec<usize>,
    /// Whether a step is in the list.
    has: Vec<bool>,
}

impl Places {
    fn new(steps: usize) -> Places {
        Places { list: Vec::new(), has: vec![false; steps] }
    }

    fn add(&mut self, step: usize) {
        if !std::mem::replace(&mut self.has[step], true) {
            self.list.push(step);
        }
    }

    fn clear(&mut self) {
        self.list.drain(..).for_each(|step| self.has[step] = false);
    }
}

/// Reads a pattern letter by letter.
struct Reader<'p> {
    letters: Peekable<Chars<'p>>,
    /// The letter before the one that is read next, as it is written.
    before: Option<char>,
}

impl Reader<'_> {
    fn parts(pattern: &str) -> std::result::Result<Vec<Part>, String> {
        let mut reader = Reader { letters: pattern.chars().peekable(), before: None };
        let mut parts: Vec<Part> = Vec::new();
        // Of each brace that is open what stands before it, and the alternatives before the one that is read.
        let mut open: Vec<(Vec<Part>, Vec<Vec<Part>>)> = Vec::new();
        loop {
            let before = reader.before;
            let Some(letter) = reader.next() else { break };
            match letter {
                '?' => parts.push(Part::Letter(Letters::Any)),
                '*' => reader.stars(before, !open.is_empty(), &mut parts),
                '[' => parts.push(Part::Letter(reader.class()?)),
                '{' if open.len() == DEEPEST => {
                    return Err(format!("its alternatives are nested deeper than {DEEPEST}"));
                }
                '{' => open.push((std::mem::take(&mut parts), Vec::new())),
                '}' => {
                    let Some((around, mut all)) = open.pop() else {
                        return Err("a } without its {; write \\} for the letter".to_owned());
                    };
                    all.push(std::mem::replace(&mut parts, around));
                    // An alternative without a letter is none.
                    all.retain(|parts| parts.iter().any(|part| !matches!(part, Part::Either(all) if all.is_empty())));
                    parts.push(Part::Either(all));
                }
                ',' => match open.last_mut() {
                    Some((_, all)) => all.push(std::mem::take(&mut parts)),
                    None => parts.push(Part::Letter(Letters::One(letter))),
                },
                '\\' => match reader.next() {
                    Some(letter) => parts.push(Part::Letter(Letters::One(letter))),
                    None => return Err("it ends with a \\; write \\\\ for the letter".to_owned()),
                },
                letter => parts.push(Part::Letter(Letters::One(letter))),
            }
        }
        if open.is_empty() { Ok(parts) } else { Err("a { without its }; write \\{ for the letter".to_owned()) }
    }

    fn next(&mut self) -> Option<char> {
        let letter = self.letters.next();
        self.before = letter;
        letter
    }

    /// `*`, or `**`, which is any folders where it is all between two slashes or ends of a pattern or alternative.
    fn stars(&mut self, before: Option<char>, is_inside: bool, parts: &mut Vec<Part>) {
        if self.letters.next_if_eq(&'*').is_none() {
            return parts.push(Part::Star);
        }
        self.before = Some('*');
        let is_first = parts.is_empty();
        let is_last = match self.letters.peek() {
            None => true,
            Some(',' | '}') => is_inside && !is_first,
            Some(_) => false,
        };
        if !is_first && before != Some('/') {
            parts.push(Part::Star);
        } else if is_last {
            parts.push(Part::All);
        } else if self.letters.next_if_eq(&'/').is_none() {
            parts.push(Part::Star);
        } else {
            self.before = Some('/');
            // The slash before it belongs to it, or to the same before it.
            match parts.pop() {
                None => parts.push(Part::FoldersFirst),
                Some(folders @ (Part::FoldersFirst | Part::FoldersBetween)) => parts.push(folders),
                Some(_) => parts.push(Part::FoldersBetween),
            }
        }
    }

    /// The letters of `[…]`, behind its first.
    fn class(&mut self) -> std::result::Result<Letters, String> {
        let negated = self.letters.next_if(|letter| matches!(letter, '!' | '^')).is_some();
        let mut ranges: Vec<(char, char)> = Vec::new();
        let mut is_range = false;
        loop {
            match self.next() {
                None => return Err("a [ without its ]; write \\[ for the letter".to_owned()),
                Some(']') if !ranges.is_empty() => break,
                Some('-') if !ranges.is_empty() && !is_range => is_range = true,
                Some(letter) => match ranges.last_mut().filter(|_| std::mem::take(&mut is_range)) {
                    Some((first, _)) if *first > letter => {
                        return Err(format!("the range {first}-{letter} is empty"));
                    }
                    Some((_, last)) => *last = letter,
                    None => ranges.push((letter, letter)),
                },
            }
        }
        if is_range {
            ranges.push(('-', '-'));
        }
        Ok(Letters::Class { negated, ranges })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn matches(pattern: &str, text: &str) -> std::result::Result<bool, String> {
        compile([pattern], Options::default()).map(|patterns| patterns.is_match(text))
    }

    #[test]
    fn what_is_deep_or_long_or_open_is_refused_in_words() {
        let nested = |depth: usize| format!("{}a{}", "{".repeat(depth), "}".repeat(depth));
        assert_eq!(matches(&nested(DEEPEST), "a"), Ok(true));
        assert_eq!(matches(&r"\{".repeat(500), "a"), Ok(false));
        for depth in [DEEPEST + 1, 125, 1000, LONGEST / 2 - 1] {
            let error = matches(&nested(depth), "a").expect_err("deep");
            assert!(error.ends_with("is no glob pattern: its alternatives are nested deeper than 10"), "{error}");
        }
        let long = "?".repeat(LONGEST);
        assert_eq!(matches(&long, "a"), Ok(false));
        assert_eq!(
            matches(&(long + "?"), "a"),
            Err("a pattern of 4097 bytes is too long, it may have 4096".to_owned())
        );
        for (wrong, reason) in [
            ("[b-a]", "the range b-a is empty"),
            ("[a", r"a [ without its ]; write \[ for the letter"),
            ("[]", r"a [ without its ]; write \[ for the letter"),
            ("{a,b", r"a { without its }; write \{ for the letter"),
            ("a}", r"a } without its {; write \} for the letter"),
            (r"a\", r"it ends with a \; write \\ for the letter"),
        ] {
            assert_eq!(matches(wrong, "a"), Err(format!("{wrong:?} is no glob pattern: {reason}")));
        }
        // The dearest of that length take their time for each letter, and no more.
        for dear in ["[^a]", "[!\u{0}-\u{10ffff}]", "{*,?}", "**/", "[a-zß-\u{ffff}]", "\u{ffff}", "{a,}", "*a"] {
            let patterns = compile([dear.repeat(LONGEST / dear.len()).as_str()], Options::default()).expect(dear);
            let _ = patterns.is_match(&"a".repeat(5_000));
        }
    }

    #[test]
    fn a_letter_is_one_however_many_bytes_it_takes() {
        assert_eq!(matches("?bergröße", "Übergröße"), Ok(true));
        assert_eq!(matches("[ÄÖÜ]ber[f-h]r[ö-ü]ße", "Übergröße"), Ok(true));
        assert_eq!(matches("[!Ü]bergröße", "Übergröße"), Ok(false));
        let any =
            compile(["a", "B*"], Options { ignores_case: true, ..Options::default() }).expect("both are patterns");
        assert_eq!(["A", "bc", "c", ""].map(|text| any.is_match(text)), [true, true, false, false]);
        assert!(!Patterns::default().is_match(""));
    }

    #[test]
    fn two_stars_between_slashes_are_any_folders() {
        let files = Options { stops_at_slashes: true, ..Options::default() };
        let matches = |pattern: &str, text: &str| compile([pattern], files).expect(pattern).is_match(text);
        for text in ["a/b.parquet", "a/x/b.parquet", "a/x/y/b.parquet"] {
            assert!(
                matches("a/**/*.parquet", text) && matches("**/b.parquet", text) && matches("a/**", text),
                "{text}"
            );
            assert!(matches("**/**", text) && matches("a/**/**", text) && matches("{a,b}/{**/,}?.*", text), "{text}");
        }
        assert!(!matches("a/*.parquet", "a/x/b.parquet") && !matches("a/**", "ab/c") && !matches("a/**/b", "axb"));
    }

    fn pattern() -> impl Strategy<Value = String> {
        let letter = prop::sample::select(vec![
            "a", "b", "A", "/", "/", ".", "-", "?", "*", "**", "*", r"\*", r"\a", "[ab]", "[!ab]", "[^a-c]", "[]a]",
            "[-a]", "[a-]", "[A-C]",
        ]);
        let plain = prop::collection::vec(letter, 0..6).prop_map(|letters| letters.concat());
        plain.prop_recursive(3, 12, 4, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 1..4).prop_map(|all| format!("{{{}}}", all.join(","))),
                prop::collection::vec(inner, 1..3).prop_map(|all| all.concat()),
            ]
        })
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 2_000, ..ProptestConfig::default() })]

        #[test]
        fn fits_what_globset_does(pattern in pattern(), texts in prop::collection::vec("[abcAC/.*-]{0,6}", 8), at in 0..4) {
            let (ignores_case, stops_at_slashes) = (at & 1 == 1, at & 2 == 2);
            let ours = compile([&pattern[..]], Options { ignores_case, stops_at_slashes }).expect("it is a pattern");
            let twin = globset::GlobBuilder::new(&pattern)
                .case_insensitive(ignores_case)
                .literal_separator(stops_at_slashes)
                .backslash_escape(true)
                .build()
                .expect("it is a pattern")
                .compile_matcher();
            for text in texts {
                prop_assert_eq!(ours.is_match(&text), twin.is_match(&text), "{} {}", pattern, text);
            }
        }
    }
}
