//! The one error of the library: what went wrong, of which kind, and where in the input.
//!
//! Messages are lower case, without a full stop, and say what to do next where we know it.

use std::fmt;
use std::io;
use std::path::PathBuf;

/// A place in the decoded dump: the line (from 1) and the byte offset in the whole stream (from 0).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
pub struct Position {
    /// Line number, counted from 1; a record that a newline split counts by its first line.
    pub line: u64,
    /// Bytes before the place, in the decoded stream.
    pub byte: u64,
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}, byte {}", self.line, self.byte)
    }
}

/// What sort of failure an [`Error`] is; callers decide by this, people read the message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The file does not exist.
    NotFound,
    /// The file may not be read.
    PermissionDenied,
    /// Reading failed for another reason the operating system gave.
    Io,
    /// The input is not a heap dump, or a broken one where `strict` was asked for.
    Format,
    /// The compressed input is damaged or larger than the allowed ratio.
    Compression,
    /// An option or filter cannot be understood.
    Usage,
    /// The caller's cancel flag was raised.
    Interrupted,
    /// The process may not have as much memory as the answer needs.
    Memory,
}

/// Why an operation of this library failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The operating system refused or failed.
    #[error("{}: {}", path.display(), describe(source))]
    File {
        /// The file as the caller named it.
        path: PathBuf,
        /// The operating system's reason.
        source: io::Error,
    },
    /// The input is to blame.
    #[error("{}{message}", at(position))]
    Format {
        /// Where, if a single place is to blame.
        position: Option<Position>,
        /// What is wrong, and what to do.
        message: String,
    },
    /// The compressed stream is to blame.
    #[error("{message}")]
    Compression {
        /// What is wrong, and what to do.
        message: String,
    },
    /// The caller's words are to blame.
    #[error("{message}")]
    Usage {
        /// What is wrong, and which words are right.
        message: String,
    },
    /// The cancel flag was raised.
    #[error("interrupted")]
    Interrupted,
    /// The system refused memory.
    #[error("out of memory: {} more at a stretch are not to be had; `read`, `summary` and `top` need memory for groups alone", mib(*bytes))]
    Memory {
        /// How much was asked for at last.
        bytes: usize,
    },
}

impl Error {
    /// The sort of failure.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        match self {
            Error::File { source, .. } => match source.kind() {
                io::ErrorKind::NotFound => ErrorKind::NotFound,
                io::ErrorKind::PermissionDenied => ErrorKind::PermissionDenied,
                _ => ErrorKind::Io,
            },
            Error::Format { .. } => ErrorKind::Format,
            Error::Compression { .. } => ErrorKind::Compression,
            Error::Usage { .. } => ErrorKind::Usage,
            Error::Interrupted => ErrorKind::Interrupted,
            Error::Memory { .. } => ErrorKind::Memory,
        }
    }

    /// The place in the input, where one is to blame.
    #[must_use]
    pub fn position(&self) -> Option<Position> {
        match self {
            Error::Format { position, .. } => *position,
            _ => None,
        }
    }

    /// A [`ErrorKind::Usage`] error.
    pub(crate) fn usage(message: impl Into<String>) -> Self {
        Error::Usage { message: message.into() }
    }

    /// A [`ErrorKind::Usage`] error: `complaint` about `word`, then which of `names` comes near it, and all of them.
    pub(crate) fn unknown<'a>(complaint: String, word: &str, names: impl IntoIterator<Item = &'a str>) -> Self {
        let names: Vec<&str> = names.into_iter().collect();
        let distance = |name: &str| strsim::osa_distance(name, &word.to_lowercase());
        let near = names
            .iter()
            .map(|name| (distance(name), name))
            .min()
            .filter(|(distance, name)| *distance <= name.len() / 3);
        let near = near.map_or_else(String::new, |(_, name)| format!("; did you mean {name}"));
        Error::usage(format!("{complaint}{near}; there are {}", names.join(", ")))
    }

    /// A [`ErrorKind::Format`] error without a place.
    pub(crate) fn format(message: impl Into<String>) -> Self {
        Error::Format { position: None, message: message.into() }
    }
}

/// The library's result.
pub type Result<T> = std::result::Result<T, Error>;

fn mib(bytes: usize) -> String {
    format!("{} MiB", bytes.div_ceil(1 << 20))
}

fn at(position: &Option<Position>) -> String {
    position.map_or_else(String::new, |place| format!("{place}: "))
}

/// The operating system's reason in plain words, without Rust's "(os error 2)".
fn describe(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::NotFound => "no such file".into(),
        io::ErrorKind::PermissionDenied => "permission denied".into(),
        io::ErrorKind::IsADirectory => "is a directory; give the dump file in it".into(),
        _ => {
            let text = error.to_string();
            let end = text.find(" (os error").unwrap_or(text.len());
            text[..end].to_lowercase()
        }
    }
}

/// What a word stands for, of those that have names; `complaint` is what is said of one that is none of them.
///
/// # Errors
/// [`Error::Usage`] with the name that was meant, perhaps, and all of them.
pub(crate) fn named<T: Copy>(known: &[(T, &'static str)], word: &str, complaint: fmt::Arguments<'_>) -> Result<T> {
    known
        .iter()
        .find(|(_, name)| *name == word)
        .map(|(value, _)| *value)
        .ok_or_else(|| Error::unknown(complaint.to_string(), word, known.iter().map(|(_, name)| *name)))
}
