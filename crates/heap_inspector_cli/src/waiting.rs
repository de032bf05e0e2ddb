//! Writing to pipes that do not block: a Ruby program's `IO.pipe` makes them, and whoever it starts inherits that.

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use std::io::{self, ErrorKind, Write};
use std::os::fd::AsFd;
use std::sync::atomic::{AtomicBool, Ordering};

/// Writes as to what blocks: where there is no room it waits for some, until the flag is raised.
#[derive(Debug)]
pub struct Waiting<'a, W> {
    out: W,
    cancel: &'a AtomicBool,
}

/// How long it waits between two looks at the flag.
const LOOK: Timespec = Timespec { tv_sec: 0, tv_nsec: 100_000_000 };

impl<'a, W: Write + AsFd> Waiting<'a, W> {
    /// Writes to `out`.
    pub fn new(out: W, cancel: &'a AtomicBool) -> Self {
        Waiting { out, cancel }
    }

    fn patiently<T>(&mut self, mut write: impl FnMut(&mut W) -> io::Result<T>) -> io::Result<T> {
        loop {
            match write(&mut self.out) {
                Err(error) if error.kind() == ErrorKind::WouldBlock && !self.cancel.load(Ordering::Relaxed) => {
                    match poll(&mut [PollFd::new(&self.out, PollFlags::OUT)], Some(&LOOK)) {
                        Ok(_) | Err(rustix::io::Errno::INTR) => {}
                        Err(error) => return Err(error.into()),
                    }
                }
                result => return result,
            }
        }
    }
}

impl<W: Write + AsFd> Write for Waiting<'_, W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.patiently(|out| out.write(bytes))
    }

    fn flush(&mut self) -> io::Result<()> {
        self.patiently(Write::flush)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test may panic")]

    use super::*;
    use std::io::Read;
    use std::os::unix::net::UnixStream;

    #[test]
    fn waits_for_a_slow_reader() {
        let (out, mut reader) = UnixStream::pair().unwrap();
        out.set_nonblocking(true).unwrap();
        let text: Vec<u8> = (0..4_000_000u32).map(|at| at as u8).collect();
        let cancel = AtomicBool::new(false);
        let mut read = Vec::new();
        std::thread::scope(|scope| {
            scope.spawn(|| {
                let mut out = Waiting::new(out, &cancel);
                out.write_all(&text).unwrap();
                out.flush().unwrap();
            });
            std::thread::sleep(std::time::Duration::from_millis(50)); // it is full by now
            reader.read_to_end(&mut read).unwrap();
        });
        assert!(read == text);
    }

    #[test]
    fn ends_when_the_flag_is_raised() {
        let (out, _reader) = UnixStream::pair().unwrap();
        out.set_nonblocking(true).unwrap();
        let cancel = AtomicBool::new(false);
        let error = std::thread::scope(|scope| {
            let writer = scope.spawn(|| Waiting::new(out, &cancel).write_all(&vec![0; 4_000_000]).unwrap_err());
            std::thread::sleep(std::time::Duration::from_millis(50));
            cancel.store(true, Ordering::Relaxed);
            writer.join().unwrap()
        });
        assert_eq!(error.kind(), ErrorKind::WouldBlock);
    }
}
