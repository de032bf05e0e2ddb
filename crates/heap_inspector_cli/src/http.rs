//! What of HTTP a page needs that is looked at on the machine it is served from: a GET comes in, an answer goes out, and the connection ends.
//!
//! Requests are parsed by httparse; what is longer than [`HEAD`], slower than [`TIMEOUT`] or no GET is refused. Written on the plain
//! socket, since whoever answers must see that the client went away while it works.

use rustix::event::{PollFd, PollFlags, poll};
use rustix::fs::Timespec;
use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// Bytes of a request at most; they are its first line and headers.
const HEAD: usize = 16 << 10;
/// Headers at most.
const HEADERS: usize = 64;
/// For how long a request may take to come, and a piece of the answer to go.
const TIMEOUT: Duration = Duration::from_secs(10);
/// Between two looks whether to end.
pub(crate) const LOOK: Duration = Duration::from_millis(100);
/// Bytes of a piece of the answer.
const PIECE: usize = 1 << 16;

/// A request.
#[derive(Debug)]
pub(crate) struct Request {
    pub(crate) method: String,
    /// Path and query, as they were sent.
    pub(crate) target: String,
    headers: Vec<(String, String)>,
}

impl Request {
    /// The value of a header that was sent once.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let mut found = self.headers.iter().filter(|(known, _)| known.eq_ignore_ascii_case(name));
        let value = found.next().map(|(_, value)| &value[..]);
        if found.next().is_some() { Some("") } else { value }
    }

    /// Reads one; none where the client sent nothing, or no request.
    pub(crate) fn read(stream: &mut TcpStream, cancel: &AtomicBool) -> io::Result<Option<Request>> {
        stream.set_read_timeout(Some(LOOK))?;
        let deadline = Instant::now() + TIMEOUT;
        let (mut bytes, mut piece) = (Vec::new(), [0; 4096]);
        loop {
            let count = patiently(deadline, cancel, || stream.read(&mut piece))?;
            bytes.extend_from_slice(&piece[..count]);
            if count == 0 || bytes.len() > HEAD || Instant::now() > deadline {
                return Ok(None);
            }
            let mut headers = [httparse::EMPTY_HEADER; HEADERS];
            let mut request = httparse::Request::new(&mut headers);
            match request.parse(&bytes) {
                Ok(httparse::Status::Partial) => {}
                Ok(httparse::Status::Complete(_)) => return Ok(Some(Request::of(&request))),
                Err(_) => return Ok(None),
            }
        }
    }

    fn of(request: &httparse::Request<'_, '_>) -> Request {
        let header = |header: &httparse::Header<'_>| {
            (header.name.to_owned(), String::from_utf8_lossy(header.value).into_owned())
        };
        Request {
            method: request.method.unwrap_or_default().to_owned(),
            target: request.path.unwrap_or_default().to_owned(),
            headers: request.headers.iter().map(header).collect(),
        }
    }
}

/// An answer.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: &'static str,
    pub(crate) kind: &'static str,
    pub(crate) body: Vec<u8>,
}

impl Answer {
    pub(crate) fn new(status: &'static str, kind: &'static str, body: impl Into<Vec<u8>>) -> Answer {
        Answer { status, kind, body: body.into() }
    }

    /// Writes it. What is served is for this reader alone: no cache keeps it, no other page embeds it.
    pub(crate) fn write(&self, stream: &mut TcpStream, cancel: &AtomicBool) -> io::Result<()> {
        let head = format!(
            "HTTP/1.1 {}\r\nContent-Type: {}; charset=utf-8\r\nContent-Length: {}\r\nConnection: close\r\n\
             Cache-Control: no-store\r\nX-Content-Type-Options: nosniff\r\nReferrer-Policy: no-referrer\r\n\
             X-Frame-Options: DENY\r\nCross-Origin-Resource-Policy: same-origin\r\n\
             Cross-Origin-Opener-Policy: same-origin\r\n\r\n",
            self.status,
            self.kind,
            self.body.len()
        );
        stream.set_write_timeout(Some(LOOK))?;
        for piece in std::iter::once(head.as_bytes()).chain(self.body.chunks(PIECE)) {
            let (deadline, mut rest) = (Instant::now() + TIMEOUT, piece);
            while !rest.is_empty() {
                let count = patiently(deadline, cancel, || stream.write(rest))?;
                rest = &rest[count..];
            }
        }
        stream.flush()
    }
}

/// Does what waits for at most [`LOOK`] again and again, until it is done, the time is over or the program is to end.
fn patiently<T>(deadline: Instant, cancel: &AtomicBool, mut once: impl FnMut() -> io::Result<T>) -> io::Result<T> {
    loop {
        match once() {
            Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut) => {}
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            done => return done,
        }
        if cancel.load(Ordering::Relaxed) || Instant::now() > deadline {
            return Err(io::ErrorKind::TimedOut.into());
        }
    }
}

/// Whether the client of a request that was read went away. Waits for at most so long.
pub(crate) fn is_gone(stream: &TcpStream, wait: Duration) -> bool {
    let wait = Timespec { tv_sec: 0, tv_nsec: i64::from(wait.subsec_nanos()) };
    let mut watched = [PollFd::new(stream, PollFlags::IN)];
    match poll(&mut watched, Some(&wait)) {
        Ok(0) | Err(_) => false,
        Ok(_) => {
            let seen = watched[0].revents();
            if seen.intersects(PollFlags::HUP | PollFlags::ERR) {
                return true;
            }
            let is_ended = stream.peek(&mut [0]).is_ok_and(|count| count == 0);
            // Else it sends more, which nobody asked for.
            if !is_ended {
                std::thread::sleep(Duration::from_millis(20));
            }
            is_ended
        }
    }
}
