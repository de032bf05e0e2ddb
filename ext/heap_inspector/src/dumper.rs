//! What a dump of a living process needs beside `ObjectSpace.dump_all`: a child that is nothing but the dump's, and the thread in it
//! that packs what `dump_all` writes to a pipe. See `lib/heap_inspector/dump.rs`.
//!
//! In the child only the forking thread is left. Ruby goes on there as after any fork; the threads made here touch nothing of Ruby's.

use crate::errors;
use crate::input::bytes;
use crate::native::function;
use heap_inspector::Error as Failure;
use heap_inspector::redact::redact;
use heap_inspector::sink::{Packing, Sink};
use heap_inspector::source::Source;
use magnus::{Error, Module, Object, RModule, RString, Ruby};
use std::ffi::CString;
use std::fs::File;
use std::io::{self, BufWriter, Read, Write};
use std::mem::MaybeUninit;
use std::os::fd::{AsRawFd, FromRawFd, RawFd};
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// The packing thread, from [`pack`] to [`packed`].
static PACKER: Mutex<Option<JoinHandle<Result<Packed, Failure>>>> = Mutex::new(None);

/// Signals that stay as they are: faults, which Ruby reports; those that cannot be caught; and SIGVTALRM, which may be Ruby's clock.
const LEFT: [i32; 9] = [
    libc::SIGSEGV,
    libc::SIGBUS,
    libc::SIGILL,
    libc::SIGFPE,
    libc::SIGABRT,
    libc::SIGTRAP,
    libc::SIGVTALRM,
    libc::SIGKILL,
    libc::SIGSTOP,
];

/// Turns a forked child into one that only dumps: no signal is answered, sockets and pipes of the server are closed (a client would
/// wait for their end), and it ends when its parent `parent` is gone or `seconds` are over, the unfinished file `unfinished` removed.
fn become_dumper(
    ruby: &Ruby,
    keep: Vec<RawFd>,
    parent: i32,
    seconds: u32,
    unfinished: Option<RString>,
) -> Result<(), Error> {
    let unfinished = unfinished.and_then(|path| CString::new(bytes(path)).ok());
    // SAFETY: plain system calls on this process alone, whose only thread this is.
    unsafe {
        for signal in 1..32 {
            let action = match signal {
                libc::SIGALRM | libc::SIGCHLD => libc::SIG_DFL,
                _ => libc::SIG_IGN,
            };
            if !LEFT.contains(&signal) {
                libc::signal(signal, action);
            }
        }
        libc::alarm(seconds.saturating_add(5)); // should even the thread below be stuck
        libc::setpriority(libc::PRIO_PROCESS, 0, NICE);
    }
    close_connections(&keep);
    let watch = move || watch(parent, Instant::now() + Duration::from_secs(seconds.into()), unfinished.as_ref());
    let thread = std::thread::Builder::new().name("heap_inspector watch".into()).spawn(watch);
    thread.map(drop).map_err(|error| errors::internal(ruby, &format!("no thread to watch: {error}")))
}

/// The server goes first where the processors are busy.
const NICE: i32 = 5;
/// The exit status of a child whose parent is gone.
const ORPHANED: i32 = 3;
/// The exit status of a child that took too long.
const LATE: i32 = 4;

/// Ends the process in time.
fn watch(parent: i32, end: Instant, unfinished: Option<&CString>) {
    loop {
        std::thread::sleep(Duration::from_millis(100));
        // SAFETY: takes nothing, cannot fail.
        let is_orphan = unsafe { libc::getppid() } != parent;
        if is_orphan || Instant::now() > end {
            // SAFETY: the path is a C string; _exit runs nothing of the server's.
            unsafe {
                if let Some(path) = unfinished {
                    libc::unlink(path.as_ptr());
                }
                libc::_exit(if is_orphan { ORPHANED } else { LATE });
            }
        }
    }
}

/// Closes the sockets and pipes among the inherited descriptors, but for standard streams, those in `keep`, and Ruby's own.
fn close_connections(keep: &[RawFd]) {
    let Ok(entries) = std::fs::read_dir(if cfg!(target_os = "linux") { "/proc/self/fd" } else { "/dev/fd" }) else {
        return; // no list, then they stay open until the child ends
    };
    let open = entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse::<RawFd>().ok());
    for descriptor in open.collect::<Vec<RawFd>>() {
        // SAFETY: Ruby's list of its own descriptors is asked; fstat fills what it is given or fails. What is closed is still known to
        // IO objects of the server, none of which is used any more in this process.
        unsafe {
            if descriptor <= 2 || keep.contains(&descriptor) || rb_sys::rb_reserved_fd_p(descriptor) != 0 {
                continue;
            }
            let mut stat = MaybeUninit::<libc::stat>::uninit();
            if libc::fstat(descriptor, stat.as_mut_ptr()) == 0 {
                let kind = stat.assume_init().st_mode & libc::S_IFMT;
                if kind == libc::S_IFSOCK || kind == libc::S_IFIFO {
                    libc::close(descriptor);
                }
            }
        }
    }
}

/// What the packing thread did.
struct Packed {
    bytes_in: u64,
    bytes_out: u64,
    /// Values replaced and records left out by the redaction.
    redacted: (u64, u64),
}

/// Starts to pack what comes down the pipe `input` into `output`, and tells `status` now and then how far it is. Closes `input` at the
/// end, `output` and `status` not.
fn pack(ruby: &Ruby, input: RawFd, output: RawFd, status: RawFd, packing: String, redacts: bool) -> Result<(), Error> {
    let packing: Packing = packing.parse().map_err(|error| errors::raised(ruby, &error))?;
    // SAFETY: Ruby code opened them and keeps them open until `packed` returns, but for `input`, which it gave up.
    let input = unsafe { File::from_raw_fd(input) };
    let bytes_in = Arc::new(AtomicU64::new(0));
    let output = Output { descriptor: output, bytes: 0, bytes_in: Arc::clone(&bytes_in), status, told: Instant::now() };
    let work = move || work(Counted { file: input, bytes: Arc::clone(&bytes_in) }, output, packing, redacts);
    let thread = std::thread::Builder::new().name("heap_inspector pack".into()).spawn(work);
    let thread = thread.map_err(|error| errors::internal(ruby, &format!("no thread to pack: {error}")))?;
    *PACKER.lock().unwrap_or_else(PoisonError::into_inner) = Some(thread);
    Ok(())
}

/// Waits for the end of [`pack`]: `[bytes in, bytes out, values replaced, records left out]`.
fn packed(ruby: &Ruby) -> Result<(u64, u64, u64, u64), Error> {
    let thread = PACKER.lock().unwrap_or_else(PoisonError::into_inner).take();
    match thread.map(JoinHandle::join) {
        Some(Ok(Ok(packed))) => Ok((packed.bytes_in, packed.bytes_out, packed.redacted.0, packed.redacted.1)),
        Some(Ok(Err(failure))) => Err(errors::raised(ruby, &failure)),
        Some(Err(_)) => Err(errors::internal(ruby, "the packing thread panicked")),
        None => Err(errors::internal(ruby, "nothing is packed")),
    }
}

fn work(mut input: Counted, output: Output, packing: Packing, redacts: bool) -> Result<Packed, Failure> {
    let name = PathBuf::from("the dump");
    let failed = |source: io::Error| Failure::File { path: name.clone(), source };
    let bytes_in = Arc::clone(&input.bytes);
    let mut sink = Sink::new(BufWriter::with_capacity(BUFFER, output), packing).map_err(failed)?;
    let redacted = if redacts {
        let done = redact(&Source::reader(input, "the dump"), &mut sink, "the dump", None)?;
        (done.values, done.lost)
    } else {
        let mut buffer = vec![0; BUFFER];
        loop {
            match input.read(&mut buffer) {
                Ok(0) => break (0, 0),
                Ok(count) => sink.write_all(&buffer[..count]).map_err(failed)?,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(failed(error)),
            }
        }
    };
    let output =
        sink.finish().and_then(|out| out.into_inner().map_err(io::IntoInnerError::into_error)).map_err(failed)?;
    output.sync().map_err(failed)?;
    Ok(Packed { bytes_in: bytes_in.load(Ordering::Relaxed), bytes_out: output.bytes, redacted })
}

const BUFFER: usize = 1 << 18;

/// The reading end of the pipe. Ruby makes pipes that do not block; this waits.
struct Counted {
    file: File,
    bytes: Arc<AtomicU64>,
}

impl Read for Counted {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            match self.file.read(buffer) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => wait(self.file.as_raw_fd(), libc::POLLIN)?,
                read => {
                    return read.inspect(|count| {
                        self.bytes.fetch_add(*count as u64, Ordering::Relaxed);
                    });
                }
            }
        }
    }
}

/// Where the packed dump goes: a file, or a pipe or terminal of who asked for it, which may not block either.
struct Output {
    descriptor: RawFd,
    bytes: u64,
    bytes_in: Arc<AtomicU64>,
    status: RawFd,
    told: Instant,
}

impl Output {
    /// Has a file's bytes on the disk; what is no file has none.
    fn sync(&self) -> io::Result<()> {
        // SAFETY: the descriptor is open until `packed` returns.
        if unsafe { libc::fsync(self.descriptor) } == 0 {
            return Ok(());
        }
        match io::Error::last_os_error() {
            error if matches!(error.raw_os_error(), Some(libc::EINVAL | libc::EROFS | libc::ENOTSUP)) => Ok(()),
            error => Err(error),
        }
    }

    /// Tells how far it is, as a line of JSON. A pipe that is full is not waited for.
    fn tell(&mut self) {
        self.told = Instant::now();
        let line = format!("{{\"in\":{},\"out\":{}}}\n", self.bytes_in.load(Ordering::Relaxed), self.bytes);
        // SAFETY: as in `sync`; the bytes are borrowed for the call. So short a write to a pipe is whole or nothing.
        unsafe { libc::write(self.status, line.as_ptr().cast(), line.len()) };
    }
}

/// How often progress is told.
const TELLING: Duration = Duration::from_millis(100);

impl Write for Output {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        loop {
            // SAFETY: as in `tell`.
            let count = unsafe { libc::write(self.descriptor, bytes.as_ptr().cast(), bytes.len()) };
            let Ok(count) = usize::try_from(count) else {
                match io::Error::last_os_error() {
                    error if error.kind() == io::ErrorKind::WouldBlock => wait(self.descriptor, libc::POLLOUT)?,
                    error => return Err(error),
                }
                continue;
            };
            self.bytes += count as u64;
            if self.told.elapsed() > TELLING {
                self.tell();
            }
            return Ok(count);
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Waits until the descriptor is ready, or broken: the next call tells.
fn wait(descriptor: RawFd, events: i16) -> io::Result<()> {
    let mut asked = libc::pollfd { fd: descriptor, events, revents: 0 };
    // SAFETY: one entry, which is ours.
    if unsafe { libc::poll(&raw mut asked, 1, -1) } < 0 {
        let error = io::Error::last_os_error();
        if error.kind() != io::ErrorKind::Interrupted {
            return Err(error);
        }
    }
    Ok(())
}

/// Bytes that may still be written to the file system of an open file.
fn free_bytes(ruby: &Ruby, descriptor: RawFd) -> Result<u64, Error> {
    let mut stat = MaybeUninit::<libc::statvfs>::uninit();
    // SAFETY: fills what it is given or fails.
    if unsafe { libc::fstatvfs(descriptor, stat.as_mut_ptr()) } != 0 {
        let source = io::Error::last_os_error();
        return Err(errors::raised(ruby, &Failure::File { path: PathBuf::from("the dump"), source }));
    }
    // SAFETY: it was filled.
    let stat = unsafe { stat.assume_init() };
    Ok(stat.f_bavail.saturating_mul(stat.f_frsize))
}

pub(crate) fn define(module: RModule) -> Result<(), Error> {
    let native = module.define_module("Native")?;
    native.define_singleton_method("become_dumper", function!(become_dumper, 4))?;
    native.define_singleton_method("pack", function!(pack, 5))?;
    native.define_singleton_method("packed", function!(packed, 0))?;
    native.define_singleton_method("free_bytes", function!(free_bytes, 1))?;
    Ok(())
}
