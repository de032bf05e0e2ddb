//! The bytes as they lie on the disk or come down the pipe, before any decoding.
//!
//! [`Raw`] is a plain `Read` for the decoders, who know only `io::Error`; the true failure is kept beside it in the [`Gauge`], so
//! that a disk that fails is never taken for a damaged stream.

use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use rustix::event::{PollFd, PollFlags, Timespec, poll};

use super::spool::Spool;
use crate::Error;

pub(super) enum Input {
    /// Read at explicit offsets: two passes do not disturb each other, nor the owner of the descriptor.
    File {
        file: Arc<File>,
        at: u64,
    },
    Stream(Box<dyn Read + Send>),
}

/// What is known of a pass outside the decoder that owns its [`Raw`].
#[derive(Default)]
pub(super) struct Gauge {
    pub(super) bytes: Arc<AtomicU64>,
    failure: Mutex<Option<Error>>,
}

impl Gauge {
    /// The failure that made the last read an error, if it was the input's and not the decoder's.
    pub(super) fn failure(&self) -> Option<Error> {
        self.failure.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    fn fail(&self, error: Error) -> io::Error {
        *self.failure.lock().unwrap_or_else(PoisonError::into_inner) = Some(error);
        io::Error::other("the input failed")
    }
}

pub(super) struct Raw {
    pub(super) name: String,
    pub(super) gauge: Arc<Gauge>,
    /// The length in bytes, where it is known beforehand.
    pub(super) bytes: Option<u64>,
    pub(super) copy: Option<Arc<Spool>>,
    pub(super) cancel: Option<Arc<AtomicBool>>,
    input: Input,
}

impl Raw {
    pub(super) fn new(
        input: Input,
        name: String,
        bytes: Option<u64>,
        copy: Option<Arc<Spool>>,
        cancel: Option<Arc<AtomicBool>>,
    ) -> Raw {
        Raw { name, gauge: Arc::default(), bytes, copy, cancel, input }
    }

    /// The file and where in it the input begins, if it is one.
    pub(super) fn file(&self) -> Option<(Arc<File>, u64)> {
        match &self.input {
            Input::File { file, at } => Some((Arc::clone(file), *at)),
            Input::Stream(_) => None,
        }
    }
}

impl Read for Raw {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = loop {
            let read = match &mut self.input {
                Input::File { file, at } => file.read_at(buffer, *at).inspect(|count| *at += *count as u64),
                Input::Stream(reader) => reader.read(buffer),
            };
            match read {
                Ok(count) => break count.min(buffer.len()), // a reader of a user may lie
                Err(_) if is_raised(&self.cancel) => return Err(self.gauge.fail(Error::Interrupted)),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(source) => {
                    return Err(self.gauge.fail(Error::File { path: PathBuf::from(&self.name), source }));
                }
            }
        };
        if let Some(copy) = &self.copy {
            copy.append(&buffer[..count]).map_err(|source| {
                let path = std::env::temp_dir().join(format!("(copy of {})", self.name));
                self.gauge.fail(Error::File { path, source })
            })?;
        }
        self.gauge.bytes.fetch_add(count as u64, Ordering::Relaxed);
        Ok(count)
    }
}

fn is_raised(cancel: &Option<Arc<AtomicBool>>) -> bool {
    cancel.as_ref().is_some_and(|flag| flag.load(Ordering::Relaxed))
}

/// How often the cancel flag is looked at while nothing comes.
const CHECK_INTERVAL: Timespec = Timespec { tv_sec: 0, tv_nsec: 50_000_000 };

/// A pipe, socket or terminal. An empty one is waited for, whether it blocks or not (Ruby makes its pipes non-blocking); so is the
/// writer of a named one.
pub(super) struct Pipe {
    pub(super) file: File,
    pub(super) cancel: Option<Arc<AtomicBool>>,
}

impl Read for Pipe {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            if is_raised(&self.cancel) {
                return Err(io::ErrorKind::Interrupted.into());
            }
            let timeout = self.cancel.as_ref().map(|_| &CHECK_INTERVAL);
            if poll(&mut [PollFd::new(&self.file, PollFlags::IN)], timeout)? == 0 {
                continue;
            }
            match self.file.read(buffer) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {} // another reader was quicker
                read => return read,
            }
        }
    }
}
