//! Leaks that are known by their fingerprints: `--known FILE`, and what is new beside them.

use super::Suspect;
use crate::{Error, Result};
use hashbrown::HashSet;
use serde_json::Value;
use std::path::Path;

/// Fingerprints of leaks that were seen before.
#[derive(Clone, Debug, Default)]
pub struct Known(HashSet<String>);

impl Known {
    /// Reads an answer of `suspects` as JSON, or a file with a fingerprint a line, of which only the first word is read.
    ///
    /// # Errors
    /// [`Error::File`] where the file cannot be read, [`Error::Usage`] where it is neither.
    pub fn read(path: &Path) -> Result<Known> {
        let text = crate::source::text(path)?;
        Known::of(&text, &path.display().to_string())
    }

    /// The fingerprints in a text; errors name `place`.
    ///
    /// # Errors
    /// [`Error::Usage`] where it has none.
    pub fn of(text: &str, place: &str) -> Result<Known> {
        if text.trim_start().starts_with('{') {
            let wrong = |why: &str| Error::usage(format!("{place}: not an answer of `suspects`: {why}"));
            let answer: Value = serde_json::from_str(text).map_err(|error| wrong(&error.to_string()))?;
            let suspects = answer["suspects"].as_array().ok_or_else(|| wrong("it has no list of suspects"))?;
            let fingerprint = |suspect: &Value| {
                suspect["fingerprint"].as_str().filter(|word| is_fingerprint(word)).map(str::to_owned)
            };
            let all = suspects
                .iter()
                .map(|suspect| fingerprint(suspect).ok_or_else(|| wrong("a suspect has no fingerprint")));
            return all.collect::<Result<_>>().map(Known);
        }
        let mut known = HashSet::new();
        for (number, line) in text.lines().enumerate() {
            let Some(word) = line.split_whitespace().next().filter(|word| !word.starts_with('#')) else { continue };
            if !is_fingerprint(word) {
                let place = format!("{place}: line {}", number + 1);
                return Err(Error::usage(format!("{place}: {word:?} is not a fingerprint, as leak-3f9a1c is one")));
            }
            known.insert(word.to_owned());
        }
        Ok(Known(known))
    }

    /// Says of each suspect whether it was seen before.
    pub fn mark(&self, found: &mut [Suspect]) {
        found.iter_mut().for_each(|suspect| suspect.is_known = Some(self.0.contains(&suspect.fingerprint())));
    }
}

fn is_fingerprint(word: &str) -> bool {
    word.strip_prefix("leak-").is_some_and(|digits| {
        digits.len() == 6 && digits.bytes().all(|digit| matches!(digit, b'0'..=b'9' | b'a'..=b'f'))
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test may panic")]

    use super::Known;

    #[test]
    fn a_list_or_an_answer_is_read() {
        let list = Known::of("# seen\nleak-0a1b2c  Audit\n\nleak-ffffff\n", "known").unwrap();
        let answer =
            Known::of(r#"{"suspects": [{"fingerprint": "leak-0a1b2c"}, {"fingerprint": "leak-ffffff"}]}"#, "known")
                .unwrap();
        assert_eq!(list.0, answer.0);
        assert_eq!(list.0.len(), 2);
        assert!(Known::of("", "known").unwrap().0.is_empty());
    }

    #[test]
    fn what_is_neither_is_refused_in_words() {
        let error = |text: &str| Known::of(text, "known").unwrap_err().to_string();
        assert_eq!(
            error("leak-0a1b2c\nleak-12"),
            "known: line 2: \"leak-12\" is not a fingerprint, as leak-3f9a1c is one"
        );
        assert!(error("{\"suspects\": 1}").ends_with("it has no list of suspects"));
        assert!(error("{\"suspects\": [{\"fingerprint\": \"x\"}]}").ends_with("a suspect has no fingerprint"));
        assert!(error("{").starts_with("known: not an answer of `suspects`: "));
    }
}
