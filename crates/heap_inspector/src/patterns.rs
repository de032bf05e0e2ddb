//! Glob patterns of users, compiled within bounds.
//!
//! globset walks `{a,{b,c}}` by recursion and panics where the regular expression it makes is refused for its depth or size, so depth and
//! length are looked at first, and what is refused all the same is told in words.

use globset::{GlobBuilder, GlobSet};

/// A pattern may be so long, in bytes.
const LONGEST: usize = 4 << 10;
/// Its alternatives may stand so deep in each other.
const DEEPEST: usize = 10;

/// What fits any of the patterns; else why one of them is none.
pub(crate) fn compile<'p>(
    patterns: impl IntoIterator<Item = &'p str>,
    ignores_case: bool,
) -> std::result::Result<GlobSet, String> {
    let mut set = GlobSet::builder();
    for pattern in patterns {
        if pattern.len() > LONGEST {
            let length = pattern.len();
            return Err(format!("a pattern of {length} bytes is too long, it may have {LONGEST}"));
        }
        let wrong = |reason: &dyn std::fmt::Display| format!("{pattern:?} is no glob pattern: {reason}");
        if depth(pattern) > DEEPEST {
            return Err(wrong(&format!("its alternatives are nested deeper than {DEEPEST}")));
        }
        let glob = GlobBuilder::new(pattern).backslash_escape(true).case_insensitive(ignores_case).build();
        set.add(glob.map_err(|error| wrong(error.kind()))?);
    }
    set.build().map_err(|error| format!("the pattern cannot be used: {}", error.kind()))
}

/// How deep the braces of a pattern are nested; those in `[…]` may be counted too.
fn depth(pattern: &str) -> usize {
    let (mut depth, mut deepest, mut escaped) = (0usize, 0, false);
    for byte in pattern.bytes() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = true,
            b'{' => {
                depth += 1;
                deepest = deepest.max(depth);
            }
            b'}' => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    deepest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_deep_or_long_is_refused_in_words() {
        let nested = |depth: usize| format!("{}a{}", "{".repeat(depth), "}".repeat(depth));
        let matches = |pattern: &str| compile([pattern], false).map(|set| set.is_match("a"));
        assert_eq!(matches(&nested(DEEPEST)), Ok(true));
        assert_eq!(matches(&r"\{".repeat(500)), Ok(false));
        for depth in [DEEPEST + 1, 125, 1000, LONGEST / 2 - 1] {
            let error = matches(&nested(depth)).expect_err("deep");
            assert!(error.ends_with("is no glob pattern: its alternatives are nested deeper than 10"), "{error}");
        }
        let long = "?".repeat(LONGEST);
        assert_eq!(matches(&long), Ok(false));
        assert_eq!(matches(&(long + "?")), Err("a pattern of 4097 bytes is too long, it may have 4096".to_owned()));
        let error = matches("[b-a]").expect_err("a range from behind");
        assert!(error.starts_with("\"[b-a]\" is no glob pattern: "), "{error}");
        // The dearest of that length are compiled or refused, and never a panic.
        for dear in ["[^a]", "[!\u{0}-\u{10ffff}]", "{*,?}", "**/", "[a-zß-\u{ffff}]", "\u{ffff}", "{a,}"] {
            for ignores_case in [false, true] {
                let _ = compile([dear.repeat(LONGEST / dear.len()).as_str()], ignores_case);
            }
        }
    }
}
