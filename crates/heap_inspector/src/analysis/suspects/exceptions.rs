//! Suspects that are meant to be: the patterns of `--except`.

use super::Suspect;

use crate::{Error, Result};
use globset::{GlobBuilder, GlobMatcher};
use std::path::Path;

/// Suspects that are meant to be, by holder, class or location.
#[derive(Clone, Debug, Default)]
pub struct Exceptions(Vec<GlobMatcher>);

impl Exceptions {
    /// Reads a pattern a line; `*` stands for anything, what stands behind `#` is not read.
    ///
    /// # Errors
    /// [`Error::File`] where the file cannot be read, [`Error::Usage`] for a line that is no pattern.
    pub fn read(path: &Path) -> Result<Exceptions> {
        let text = std::fs::read_to_string(path).map_err(|source| Error::File { path: path.to_owned(), source })?;
        let lines = text.lines().map(|line| line.split(" #").next().unwrap_or_default().trim());
        let lines = lines.filter(|line| !line.is_empty() && !line.starts_with('#'));
        Exceptions::of(lines, &path.display().to_string())
    }

    /// The patterns as such, without comments; errors name `place`.
    ///
    /// # Errors
    /// [`Error::Usage`] for what is no pattern.
    pub fn of<'p>(patterns: impl Iterator<Item = &'p str>, place: &str) -> Result<Exceptions> {
        let pattern = |line: &str| {
            let glob = GlobBuilder::new(line).backslash_escape(true).build();
            let glob = glob.map_err(|error| Error::usage(format!("{place}: {line:?} is no pattern: {}", error.kind())));
            glob.map(|glob| glob.compile_matcher())
        };
        patterns.map(pattern).collect::<Result<Vec<_>>>().map(Exceptions)
    }

    /// Whether a pattern fits the suspect.
    #[must_use]
    pub fn name(&self, suspect: &Suspect) -> bool {
        let location = suspect.location.words().unwrap_or_default();
        let app_location = suspect.app_location.as_deref().unwrap_or_default();
        let texts = [&suspect.holder, &suspect.class, location, app_location];
        self.0.iter().any(|glob| texts.iter().any(|text| glob.is_match(text)))
    }
}
