//! Glob patterns of users: `*` is any letters, `?` one, `[a-z]` and `[!a-z]` one of some or of all others, `{this,that}` either, and a
//! backslash takes a letter as it is. `**` between slashes is any folders, also none.
//!
//! A pattern is written anew as a regular expression for regex-lite, which takes at most the text's letters times the expression's. The
//! crates that know globs bring regex, half a megabyte of each installed gem.

use std::iter::Peekable;
use std::str::Chars;

use regex_lite::{Regex, RegexBuilder};

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
pub(crate) struct Patterns(Vec<Regex>);

impl Patterns {
    /// Whether one of them fits all of a text.
    pub(crate) fn is_match(&self, text: &str) -> bool {
        self.0.iter().any(|regex| regex.is_match(text))
    }
}

/// What fits any of the patterns; else why one of them is none.
pub(crate) fn compile<'p>(
    patterns: impl IntoIterator<Item = &'p str>,
    options: Options,
) -> std::result::Result<Patterns, String> {
    let regex = |expression: String| {
        let mut builder = RegexBuilder::new(&expression);
        builder.case_insensitive(options.ignores_case).dot_matches_new_line(true);
        builder.build().map_err(|error| error.to_string())
    };
    let compiled = patterns.into_iter().map(|pattern| {
        if pattern.len() > LONGEST {
            let length = pattern.len();
            return Err(format!("a pattern of {length} bytes is too long, it may have {LONGEST}"));
        }
        let compiled = expression(pattern, options.stops_at_slashes).and_then(regex);
        compiled.map_err(|reason| format!("{pattern:?} is not a glob pattern: {reason}"))
    });
    compiled.collect::<std::result::Result<_, _>>().map(Patterns)
}

/// A pattern as a regular expression.
fn expression(pattern: &str, stops_at_slashes: bool) -> std::result::Result<String, String> {
    let wild = if stops_at_slashes { "[^/]" } else { "." };
    let mut letters = pattern.chars().peekable();
    let mut text = String::new();
    // Of each brace that is open what stands before it, and the alternatives before the one that is read.
    let mut open: Vec<(String, Vec<String>)> = Vec::new();
    // The letter before as it is written, none where a pattern or an alternative begins.
    let mut before = None;
    while let Some(letter) = letters.next() {
        let last = before.replace(letter);
        match letter {
            '?' => text += wild,
            '*' => {
                // `**` is folders where it is all between two slashes or ends of a pattern or alternative.
                let is_folders = letters.next_if_eq(&'*').is_some() && matches!(last, None | Some('/'));
                let is_end = match letters.peek() {
                    None => true,
                    Some(',' | '}') => last.is_some() && !open.is_empty(),
                    Some(_) => false,
                };
                if is_folders && is_end {
                    text += ".*";
                } else if is_folders && letters.next_if_eq(&'/').is_some() {
                    text += "(?:.*/)?";
                    before = Some('/');
                } else {
                    text = text + wild + "*";
                }
            }
            '[' => text += &class(&mut letters)?,
            '{' if open.len() == DEEPEST => return Err(format!("its alternatives are nested deeper than {DEEPEST}")),
            '{' => {
                open.push((std::mem::take(&mut text), Vec::new()));
                before = None;
            }
            '}' => {
                let (around, mut all) = open.pop().ok_or(r"a } without its {; write \} for the letter")?;
                all.push(std::mem::replace(&mut text, around));
                // An alternative without a letter is none.
                all.retain(|text| !text.is_empty());
                if !all.is_empty() {
                    text += &format!("(?:{})", all.join("|"));
                }
            }
            ',' => match open.last_mut() {
                Some((_, all)) => {
                    all.push(std::mem::take(&mut text));
                    before = None;
                }
                None => text.push(','),
            },
            '\\' => {
                before = letters.next();
                text += &literal(before.ok_or(r"it ends with a \; write \\ for the letter")?);
            }
            letter => text += &literal(letter),
        }
    }
    if open.is_empty() { Ok(format!(r"\A{text}\z")) } else { Err(r"a { without its }; write \{ for the letter".into()) }
}

/// `[…]`, behind its first letter.
fn class(letters: &mut Peekable<Chars<'_>>) -> std::result::Result<String, String> {
    let is_negated = letters.next_if(|letter| matches!(letter, '!' | '^')).is_some();
    let mut text = String::from(if is_negated { "[^" } else { "[" });
    let mut next = letters.next();
    loop {
        let open = r"a [ without its ]; write \[ for the letter";
        let first = next.ok_or(open)?;
        let mut last = first;
        while letters.peek() == Some(&'-') && letters.clone().nth(1) != Some(']') {
            last = letters.nth(1).ok_or(open)?;
            if first > last {
                return Err(format!("the range {first}-{last} is empty"));
            }
        }
        text += &format!("{}-{}", literal(first), literal(last));
        next = letters.next();
        if next == Some(']') {
            return Ok(text + "]");
        }
    }
}

fn literal(letter: char) -> String {
    regex_lite::escape(letter.encode_utf8(&mut [0; 4]))
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
            assert!(error.ends_with("is not a glob pattern: its alternatives are nested deeper than 10"), "{error}");
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
            assert_eq!(matches(wrong, "a"), Err(format!("{wrong:?} is not a glob pattern: {reason}")));
        }
        // The dearest of that length take their time for each letter, and no more.
        let deep = "{*?,".repeat(DEEPEST - 1) + &"{?,*}".repeat(800) + &"}".repeat(DEEPEST - 1);
        let dear = ["[^a]", "[!\u{0}-\u{10ffff}]", "{*,?}", "**/", "[a-zß-\u{ffff}]", "\u{ffff}", "{a,}", "*a"];
        for dear in dear.map(|dear| dear.repeat(LONGEST / dear.len())).into_iter().chain([deep]) {
            let patterns = compile([&dear[..]], Options::default()).expect("it is a pattern");
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
            // Folders alone are any text to globset, `a` without a slash, too.
            prop_assume!(pattern.is_empty() || !pattern.replace("**/", "").is_empty());
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

        #[test]
        fn what_is_a_pattern_is_an_expression(pattern in r"[-*?{},\[\]!^&~|()+.$#<\\aé/]{0,12}") {
            prop_assert_eq!(compile([&pattern[..]], Options::default()).is_ok(), expression(&pattern, false).is_ok());
        }
    }
}
