//! Where a dump's bytes come from.
//!
//! A path, standard input, an open file or any reader goes in, [`Blocks`] of whole records come out: decompressed (gzip, zstd, lz4,
//! told by their first bytes, never by the name) and cut where a record ends. A regular file is read with `pread`, so it may be
//! opened again for a second pass, even while the first runs and after it was renamed. What cannot be rewound is read once, or is
//! copied to a temporary file on the way ([`Source::spooled`]). A heap file ([`crate::heap_file`]) becomes lines here, but for a scan.
//! Files are read, not mapped: a mapped file that shrinks would kill the process. Costs one block of memory (1 MiB, or the longest record) and the decoder's window.

mod blocks;
mod decode;
mod heap_file;
mod raw;
mod spool;

#[cfg(test)]
mod tests;

use std::fmt;
use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek};
use std::os::fd::AsFd;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, PoisonError};

pub use blocks::{Block, Blocks};
pub(crate) use heap_file::Piece;
pub use heap_file::{Converted, convert};
use raw::{Input, Pipe, Raw};
use rustix::fs::OFlags;
use spool::Spool;

use crate::{Error, Result};

/// Where a dump's bytes come from; can be opened again for a second pass.
pub struct Source {
    name: String,
    path: Option<PathBuf>,
    origin: Mutex<Origin>,
    spooled: bool,
    cancel: Option<Arc<AtomicBool>>,
    hides_values: bool,
    limits: Limits,
}

/// What [`Source::open`] has to start from; the first open replaces the upper variants by the lower ones.
enum Origin {
    Path(PathBuf),
    Stdin,
    /// An open file, and what its owner has read of it already.
    Handle(File, Vec<u8>),
    Reader(Box<dyn Read + Send>),
    /// A regular file, read from `start` on.
    Regular {
        file: Arc<File>,
        start: u64,
    },
    Spool(Arc<Spool>),
    /// Read once and gone.
    Spent,
}

/// The bounds on what one source may make us hold. Fields, so that the tests can make them small.
#[derive(Clone, Copy, Debug)]
struct Limits {
    /// Bytes of a usual block.
    block: usize,
    /// Without the end of a record in so many bytes any newline will do, and a start without `{` is no dump.
    search: usize,
    /// The longest record.
    record: usize,
    /// The longest stretch of one text without a quote.
    text: usize,
    /// Compressed input may always become so many bytes ...
    decoded: u64,
    /// ... and beyond that so many times its own size. Real dumps shrink 10 to 30 times, gzip cannot exceed 1032.
    ratio: u64,
}

/// The text of a small file that a user wrote.
///
/// # Errors
/// [`Error::File`]; [`Error::Usage`] where it is not in UTF-8.
pub(crate) fn text(path: &Path) -> Result<String> {
    let bytes = std::fs::read(path).map_err(|source| Error::File { path: path.to_owned(), source })?;
    String::from_utf8(bytes).map_err(|_| Error::usage(format!("{}: not valid UTF-8", path.display())))
}

impl Limits {
    const USUAL: Limits = Limits {
        block: 1 << 20,
        search: 64 << 20,
        record: u32::MAX as usize,
        text: 256 << 20,
        decoded: 1 << 30,
        ratio: 2000,
    };
}

impl Source {
    /// The file at `path`, opened by [`Source::open`]. A `-` is a file of that name here.
    pub fn path(path: impl Into<PathBuf>) -> Source {
        let path = path.into();
        let source = Source::new(path.to_string_lossy().into_owned(), Origin::Path(path.clone()));
        Source { path: Some(path), ..source }
    }

    /// The process's standard input, named `-`.
    #[must_use]
    pub fn stdin() -> Source {
        Source::new("-".into(), Origin::Stdin)
    }

    /// An open file, pipe or socket, read from its current position; a regular file's position is left as it is.
    pub fn file(file: File, name: impl Into<String>) -> Source {
        Source::new(name.into(), Origin::Handle(file, Vec::new()))
    }

    /// [`Source::file`] whose owner has read `head` from it already, as buffered readers do; the head is put before the rest.
    pub fn file_behind(head: Vec<u8>, file: File, name: impl Into<String>) -> Source {
        Source::new(name.into(), Origin::Handle(file, head))
    }

    /// Anything that can be read, once.
    pub fn reader(reader: impl Read + Send + 'static, name: impl Into<String>) -> Source {
        Source::new(name.into(), Origin::Reader(Box::new(reader)))
    }

    fn new(name: String, origin: Origin) -> Source {
        Source {
            name,
            path: None,
            origin: Mutex::new(origin),
            spooled: false,
            cancel: None,
            hides_values: false,
            limits: Limits::USUAL,
        }
    }

    /// Asks that an input which cannot be rewound is copied to an anonymous temporary file (mode 0600, as compressed as it came)
    /// while the first pass reads it, so that later ones can read it again.
    #[must_use]
    pub fn spooled(mut self) -> Source {
        self.spooled = true;
        self
    }

    /// Has a wait for the next bytes of a pipe, socket or terminal end with [`Error::Interrupted`] soon after `cancel` is raised. It
    /// should be the flag of [`crate::scan::Options`], which is looked at between blocks, so not while nothing comes.
    #[must_use]
    pub fn cancelled_by(mut self, cancel: Arc<AtomicBool>) -> Source {
        self.cancel = Some(cancel);
        self
    }

    /// Asks that no answer made of it shows the values of strings and floats; names stay, as they do when a dump is redacted.
    #[must_use]
    pub fn without_values(mut self) -> Source {
        self.hides_values = true;
        self
    }

    /// Whether [`Source::without_values`] was asked for.
    #[must_use]
    pub fn hides_values(&self) -> bool {
        self.hides_values
    }

    /// Another one for the same bytes, for those who want other things of it. It cannot be read where this one can be no more.
    #[must_use]
    pub fn again(&self) -> Source {
        let origin = match &*self.origin.lock().unwrap_or_else(PoisonError::into_inner) {
            Origin::Path(path) => Origin::Path(path.clone()),
            Origin::Regular { file, start } => Origin::Regular { file: Arc::clone(file), start: *start },
            Origin::Spool(spool) => Origin::Spool(Arc::clone(spool)),
            Origin::Stdin | Origin::Handle(..) | Origin::Reader(_) | Origin::Spent => Origin::Spent,
        };
        Source {
            name: self.name.clone(),
            path: self.path.clone(),
            origin: Mutex::new(origin),
            spooled: self.spooled,
            cancel: self.cancel.clone(),
            hides_values: self.hides_values,
            limits: self.limits,
        }
    }

    /// The name for people: the path as given, `-` for standard input.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The path of [`Source::path`].
    #[must_use]
    pub fn file_path(&self) -> Option<&Path> {
        self.path.as_deref()
    }

    /// Starts a pass over the input.
    ///
    /// # Errors
    /// If the input cannot be opened, is a directory, or is compressed in a way we do not read; and for a second pass over an
    /// input that cannot be rewound and was not [`spooled`](Source::spooled), or whose first pass did not reach the end.
    pub fn open(&self) -> Result<Blocks> {
        let mut origin = self.origin.lock().unwrap_or_else(PoisonError::into_inner);
        let started = self.start(&mut origin).map_err(|error| match error {
            Start::System(source) => self.failed(source),
            Start::Spent => Error::usage(format!("{} can be read only once: it is not a regular file", self.name)),
            Start::Unfinished => {
                Error::usage(format!("{}: the first pass did not reach the end of the input", self.name))
            }
        })?;
        Blocks::new(started, self.limits)
    }

    fn start(&self, origin: &mut Origin) -> std::result::Result<Raw, Start> {
        match origin {
            Origin::Path(path) => *origin = self.rewindable(open(path)?, Vec::new())?,
            Origin::Stdin => *origin = self.rewindable(io::stdin().as_fd().try_clone_to_owned()?.into(), Vec::new())?,
            Origin::Handle(file, head) => *origin = self.rewindable(file.try_clone()?, std::mem::take(head))?,
            _ => {}
        }
        let (input, bytes, copy) = match origin {
            Origin::Regular { file, start } => {
                let bytes = file.metadata()?.len().saturating_sub(*start);
                (Input::File { file: Arc::clone(file), at: *start }, Some(bytes), None)
            }
            Origin::Spool(spool) => {
                if !spool.is_complete() {
                    return Err(Start::Unfinished);
                }
                (Input::File { file: spool.file(), at: 0 }, Some(spool.file().metadata()?.len()), None)
            }
            unread => {
                let copy = if self.spooled { Some(Arc::new(Spool::new()?)) } else { None };
                let left = copy.clone().map_or(Origin::Spent, Origin::Spool);
                let reader = match std::mem::replace(unread, left) {
                    Origin::Reader(reader) => reader,
                    _ => return Err(Start::Spent),
                };
                (Input::Stream(reader), None, copy)
            }
        };
        Ok(Raw::new(input, self.name.clone(), bytes, copy, self.cancel.clone()))
    }

    /// Tells what can be read again from what cannot. Fails on a directory, which opens like a file.
    fn rewindable(&self, mut file: File, head: Vec<u8>) -> io::Result<Origin> {
        let kind = file.metadata()?.file_type();
        if kind.is_dir() {
            return Err(io::ErrorKind::IsADirectory.into());
        }
        if !kind.is_file() || !head.is_empty() {
            let pipe = Pipe { file, cancel: self.cancel.clone() };
            return Ok(Origin::Reader(Box::new(io::Cursor::new(head).chain(pipe))));
        }
        let start = file.stream_position()?;
        Ok(Origin::Regular { file: Arc::new(file), start })
    }

    fn failed(&self, source: io::Error) -> Error {
        Error::File { path: PathBuf::from(&self.name), source }
    }
}

impl fmt::Debug for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Source").field("name", &self.name).field("spooled", &self.spooled).finish_non_exhaustive()
    }
}

/// Why a pass could not start.
enum Start {
    System(io::Error),
    Spent,
    Unfinished,
}

impl From<io::Error> for Start {
    fn from(source: io::Error) -> Self {
        Start::System(source)
    }
}

/// Opens without waiting for the writer of a named pipe: [`Pipe`] does that, and can be told to stop.
fn open(path: &Path) -> io::Result<File> {
    OpenOptions::new().read(true).custom_flags(OFlags::NONBLOCK.bits() as i32).open(path)
}
