//! What reading told about the input beside its records: what was lost, repaired, cut off.

use crate::{Error, Position, Result};

/// What reading told about the input, beside the records.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Diagnostics {
    /// Bytes of the decoded stream.
    pub bytes: u64,
    /// Lines of the decoded stream.
    pub lines: u64,
    /// What was lost or repaired: the first [`Diagnostics::KEPT`] of each kind in the order of the input.
    pub warnings: Vec<Warning>,
    /// Lines (or lines a newline split) that could not be read.
    pub lost: u64,
    /// Lines that Ruby broke by printing a name unescaped, and that were repaired.
    pub repaired: u64,
    /// Whether the input ends inside a record or a compressed stream.
    pub truncated: bool,
}

impl Diagnostics {
    /// How many warnings of a kind are kept one by one.
    pub const KEPT: usize = 20;

    /// Adds a warning of the whole input; if `strict` it is an error.
    ///
    /// # Errors
    /// [`Error::Format`].
    pub(crate) fn add(&mut self, warning: Warning, strict: bool) -> Result<()> {
        if strict {
            return Err(Error::format(warning.message));
        }
        self.warnings.push(warning);
        Ok(())
    }
}

/// Something that was lost or repaired.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Warning {
    /// What sort.
    pub kind: WarningKind,
    /// Where; none where it concerns the whole input.
    pub position: Option<Position>,
    /// What is wrong and what was done; may hold text of the dump.
    pub message: String,
}

impl std::fmt::Display for Warning {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.position {
            Some(position) => write!(f, "{position}: {}", self.message),
            None => f.write_str(&self.message),
        }
    }
}

/// The sorts of [`Warning`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum WarningKind {
    /// A line that cannot be read; its object is missing.
    Lost,
    /// A line whose unescaped name was repaired.
    Repaired,
    /// The input ends early.
    Truncated,
    /// Two objects with one address.
    Duplicate,
    /// Only a part of the heap is in the dump.
    Partial,
    /// Stacks in which objects were allocated are not whole.
    Stacks,
}
