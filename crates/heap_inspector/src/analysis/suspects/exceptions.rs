//! Suspects that are meant to be: the patterns of `--except`.

use super::Suspect;

use crate::patterns::{self, Patterns};
use crate::{Error, Result};
use std::path::Path;

/// Suspects that are meant to be, by holder, class, fingerprint or location.
#[derive(Clone, Debug, Default)]
pub struct Exceptions(Patterns);

impl Exceptions {
    /// Reads a pattern a line; `*` stands for anything, what stands behind `#` is not read.
    ///
    /// # Errors
    /// [`Error::File`] where the file cannot be read, [`Error::Usage`] for a line that is not a pattern.
    pub fn read(path: &Path) -> Result<Exceptions> {
        let text = crate::source::text(path)?;
        let lines = text.lines().map(|line| line.split(" #").next().unwrap_or_default().trim());
        let lines = lines.filter(|line| !line.is_empty() && !line.starts_with('#'));
        Exceptions::of(lines, &path.display().to_string())
    }

    /// The patterns as such, without comments; errors name `place`.
    ///
    /// # Errors
    /// [`Error::Usage`] for what is not a pattern.
    pub fn of<'p>(patterns: impl Iterator<Item = &'p str>, place: &str) -> Result<Exceptions> {
        let globs = patterns::compile(patterns, Default::default());
        globs.map(Exceptions).map_err(|reason| Error::usage(format!("{place}: {reason}")))
    }

    /// Whether a pattern fits the suspect.
    #[must_use]
    pub fn name(&self, suspect: &Suspect) -> bool {
        let location = suspect.location.words().unwrap_or_default();
        let app_location = suspect.app_location.as_deref().unwrap_or_default();
        let fingerprint = suspect.fingerprint();
        [&suspect.holder, &suspect.class, &fingerprint, location, app_location].iter().any(|text| self.0.is_match(text))
    }
}
