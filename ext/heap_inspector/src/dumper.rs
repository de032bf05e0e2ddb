//! The child that writes a dump: what it does from the fork to its end, and the thread in it that packs what `ObjectSpace.dump_all` writes.
//!
//! In the child only the forking thread is left. Nothing leaves it: it comes here with all signals blocked and ends here by `_exit`,
//! whatever happens.
//!
//! It walks the heap itself (`walk`): nothing of Ruby's runs then, and Ruby is not told that it was forked, which would have it forget the
//! other threads with what their stacks hold. A fault ends the child, and the parent has another one take the dump by
//! `ObjectSpace.dump_all`. There signals that were caught before the fork, but whose trap had not run, would run it at Ruby's next look.
//! So `dump_all` runs inside of a postponed job, where Ruby looks neither for traps nor for finalizers, and that job never returns.

mod crew;
pub(crate) mod walked;

use crate::forked_thread;
use crate::walk;
use heap_inspector::Error as Failure;
use heap_inspector::redact::redact;
use heap_inspector::sink::{Compression, Sink};
use heap_inspector::source::Source;
use heap_inspector_tracer::annotate::{Annotated, Numbering};
use heap_inspector_tracer::tracer::Tracer;
use magnus::value::ReprValue;
use magnus::{Module, RModule, Ruby, Value, kwargs};
use std::ffi::{CString, c_int, c_uint, c_void};
use std::fs::File;
use std::io::{self, BufWriter, Read, Write};
use std::mem::MaybeUninit;
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{self, Receiver, Sender, SyncSender};
use std::time::{Duration, Instant};

/// What the child is to do; all of it made before the fork.
pub(crate) struct Order {
    /// Where the dump goes.
    pub(crate) output: RawFd,
    /// Where the parent is told.
    pub(crate) status: OwnedFd,
    /// The first line.
    pub(crate) meta: Vec<u8>,
    pub(crate) compression: Compression,
    pub(crate) redacts: bool,
    pub(crate) dumper: Dumper,
    /// Whether columns are written and no lines.
    pub(crate) is_heap_file: bool,
    /// Seconds after which to give up.
    pub(crate) seconds: u32,
    pub(crate) parent: i32,
    /// The file to remove where the parent is gone or the time is over.
    pub(crate) unfinished: Option<CString>,
}

/// Who writes the lines.
#[derive(Clone, Copy)]
pub(crate) enum Dumper {
    /// Our own walk.
    Native(&'static walk::Api),
    /// `ObjectSpace.dump_all`.
    Ruby,
}

/// The exit status of a child that told how it went.
const TOLD: c_int = 0;

/// Signals that stay as they are: faults, which Ruby reports; those that cannot be caught; and SIGVTALRM, which may be Ruby's clock.
const LEFT: [c_int; 9] = [
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

/// Signals of a process that does what it must not.
const FAULTS: [c_int; 6] = [libc::SIGSEGV, libc::SIGBUS, libc::SIGILL, libc::SIGFPE, libc::SIGABRT, libc::SIGTRAP];

/// Signals that are let through: faults, which blocked would be deadly anyhow, and the alarm.
const OPEN: [c_int; 7] =
    [libc::SIGSEGV, libc::SIGBUS, libc::SIGILL, libc::SIGFPE, libc::SIGABRT, libc::SIGTRAP, libc::SIGALRM];

/// Is the child.
///
/// # Safety
/// To be called in a process that was just forked, by a Ruby thread that holds the GVL, with all signals blocked.
pub(crate) unsafe fn be(mut order: Order) -> ! {
    let done = catch_unwind(AssertUnwindSafe(|| {
        if let Dumper::Native(_) = order.dumper {
            become_dumper(&mut order).map_err(|error| error.to_string())?;
            dump_and_end(&order);
        }
        // SAFETY: Ruby asks for this call behind any fork that it did not make. It makes this thread the only and the main one.
        magnus::rb_sys::protect(|| unsafe {
            rb_sys::rb_thread_atfork();
            rb_sys::Qnil.into()
        })
        .map_err(|error| error.to_string())?;
        become_dumper(&mut order).map_err(|error| error.to_string())?;
        // SAFETY: the order lives until the process ends.
        unsafe { in_job(&mut order) }
    }));
    let reason = match done {
        Ok(Ok(())) => "Ruby did not begin".to_owned(),
        Ok(Err(reason)) => reason,
        Err(_) => "it panicked".to_owned(),
    };
    end(order.status.as_raw_fd(), &failed(0, &reason))
}

/// Has [`job`] called by Ruby as a postponed job, from within this call. It does not return where that works.
///
/// # Safety
/// As for [`be`].
unsafe fn in_job(order: &mut Order) -> Result<(), String> {
    type Job = unsafe extern "C" fn(*mut c_void);
    type Register = unsafe extern "C" fn(c_uint, Job, *mut c_void) -> c_int;
    type Preregister = unsafe extern "C" fn(c_uint, Job, *mut c_void) -> c_uint;
    type Trigger = unsafe extern "C" fn(c_uint);
    let data = std::ptr::from_mut(order).cast::<c_void>();
    // SAFETY: the names are asked of the libraries that are loaded, and have these types in Ruby's debug.h: the first from 2.0 to 4.0,
    // the others from 3.3 on. None of them does more than to take note.
    unsafe {
        let (preregister, trigger) = (symbol(c"rb_postponed_job_preregister"), symbol(c"rb_postponed_job_trigger"));
        if let (Some(preregister), Some(trigger)) = (preregister, trigger) {
            let handle = std::mem::transmute::<*mut c_void, Preregister>(preregister)(0, job, data);
            if handle == c_uint::MAX {
                return Err("Ruby has no room for another postponed job".to_owned());
            }
            std::mem::transmute::<*mut c_void, Trigger>(trigger)(handle);
        } else if let Some(register) = symbol(c"rb_postponed_job_register_one") {
            std::mem::transmute::<*mut c_void, Register>(register)(0, job, data);
        } else {
            return Err("this Ruby has no postponed jobs".to_owned());
        }
    }
    // SAFETY: takes nothing. Jobs come before traps and exceptions.
    let looked = magnus::rb_sys::protect(|| unsafe {
        rb_sys::rb_thread_check_ints();
        rb_sys::Qnil.into()
    });
    looked.map(drop).map_err(|error| error.to_string())
}

/// What the libraries that are loaded export under a name.
///
/// # Safety
/// The caller must know the symbol's type.
pub(crate) unsafe fn symbol(name: &std::ffi::CStr) -> Option<*mut c_void> {
    // SAFETY: the name is a C string.
    let found = unsafe { libc::dlsym(libc::RTLD_DEFAULT, name.as_ptr()) };
    (!found.is_null()).then_some(found)
}

/// Dumps, tells how it went, and ends the process.
///
/// SAFETY: Ruby calls it with the pointer that `in_job` gave it, with the GVL.
unsafe extern "C" fn job(order: *mut c_void) {
    dump_and_end(unsafe { &*order.cast_const().cast::<Order>() })
}

fn dump_and_end(order: &Order) -> ! {
    let start = Instant::now();
    let line = match catch_unwind(AssertUnwindSafe(|| dump(order))) {
        Ok(Ok(packed)) => {
            let Packed { bytes_in, bytes_out, lost } = packed;
            format!("done {bytes_in} {bytes_out} {lost} {}\n", start.elapsed().as_micros())
        }
        Ok(Err(line)) => line,
        Err(_) if matches!(order.dumper, Dumper::Native(_)) => "broken it panicked\n".to_owned(),
        Err(_) => failed(0, "it panicked"),
    };
    end(order.status.as_raw_fd(), &line)
}

/// What tells the parent of a failure: its number in `errno.h` or 0, and words.
fn failed(number: i32, reason: &str) -> String {
    format!("error {number} {}\n", reason.replace(['\n', '\r'], " "))
}

/// Has the lines written on this thread and compressed on another. Where the other fails it ends the process at once.
fn dump(order: &Order) -> Result<Packed, String> {
    match order.dumper {
        Dumper::Native(api) if order.is_heap_file => walked::columns(order, api),
        Dumper::Native(api) if order.compression == Compression::Plain && !order.redacts => walked::lines(order, api),
        Dumper::Native(api) => dump_by_walk(order, api),
        Dumper::Ruby => dump_by_ruby(order),
    }
}

fn system(error: &io::Error) -> String {
    failed(error.raw_os_error().unwrap_or(0), &error.to_string())
}

/// What our tracer knows: it changes no more, so another thread may read it.
type Traced = Option<(&'static Tracer, Arc<Numbering>)>;

fn traced() -> Traced {
    crate::tracer::frozen().map(|tracer| (tracer, Arc::new(Numbering::new(tracer))))
}

/// Starts the thread that compresses what comes.
fn start_compressing(order: &Order, input: Box<dyn Read + Send>) -> Result<forked_thread::Handle<Packed>, String> {
    let bytes_in = Box::leak(Box::new(AtomicU64::new(0)));
    let told = Output::new(order, bytes_in);
    let (compression, redacts, status) = (order.compression, order.redacts, order.status.as_raw_fd());
    let input = Counted { input, bytes: bytes_in, last: 0 };
    let pack = move || match catch_unwind(AssertUnwindSafe(|| pack(input, told, compression, redacts))) {
        Ok(Ok(packed)) => packed,
        Ok(Err(Failure::File { source, .. })) => end(status, &system(&source)),
        Ok(Err(failure)) => end(status, &failed(0, &failure.to_string())),
        Err(_) => end(status, &failed(0, "the compressing thread panicked")),
    };
    forked_thread::spawn(c"hi_compress", pack).map_err(|error| system(&error))
}

/// The lines that stand before the roots.
fn write_head(order: &Order, traced: &Traced, out: &mut impl Write) -> io::Result<()> {
    out.write_all(&order.meta)?;
    match traced {
        Some((tracer, numbering)) => numbering.write_frames(tracer, out),
        None => Ok(()),
    }
}

/// Hands buffers over to the compressing thread, at most [`Chunks::WAITING`] before it takes one, and gets them back.
struct Chunks {
    full: SyncSender<Vec<u8>>,
    empty: Receiver<Vec<u8>>,
}

impl Chunks {
    const WAITING: usize = 8;

    fn new() -> (Chunks, Handed) {
        let ((full, taken), (given, empty)) = (mpsc::sync_channel(Chunks::WAITING), mpsc::channel());
        (Chunks { full, empty }, Handed { taken, given, chunk: Vec::new(), at: 0 })
    }
}

impl Chunks {
    fn hand_over(&mut self, buffer: &mut Vec<u8>) -> io::Result<()> {
        let mut empty = self.empty.try_recv().unwrap_or_else(|_| Vec::with_capacity(2 * walk::CHUNK));
        empty.clear();
        let full = std::mem::replace(buffer, empty);
        self.full.send(full).map_err(|_| io::ErrorKind::BrokenPipe.into())
    }
}

/// The other end.
struct Handed {
    taken: Receiver<Vec<u8>>,
    given: Sender<Vec<u8>>,
    chunk: Vec<u8>,
    at: usize,
}

impl Read for Handed {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.at == self.chunk.len() {
            let Ok(chunk) = self.taken.recv() else { return Ok(0) };
            let before = std::mem::replace(&mut self.chunk, chunk);
            self.at = 0;
            // Nobody may want it any more.
            let _ = self.given.send(before);
        }
        let count = buffer.len().min(self.chunk.len() - self.at);
        buffer[..count].copy_from_slice(&self.chunk[self.at..self.at + count]);
        self.at += count;
        Ok(count)
    }
}

/// Lets the walk write into buffers which another thread compresses.
fn dump_by_walk(order: &Order, api: &walk::Api) -> Result<Packed, String> {
    name_process(order.parent);
    let traced = traced();
    let (mut chunks, handed) = Chunks::new();
    let packer = start_compressing(order, with_sites(handed, traced.clone()))?;
    let mut head = Vec::new();
    write_head(order, &traced, &mut head).map_err(|error| system(&error))?;
    let wanted = walk::Wanted { names: true, texts: !order.redacts, ..walk::Wanted::default() };
    // SAFETY: the thread that forked, with the GVL and collections disabled; those that run beside it know nothing of Ruby.
    let written =
        unsafe { walk::walk(api, wanted, &head, walk::Out::Lines(&mut |buffer| chunks.hand_over(buffer)), None) };
    drop(chunks);
    // Where nobody takes the lines any more the other thread says why, and ends the process.
    let packed = packer.join();
    written.map_err(|error| system(&error))?;
    packed.ok_or_else(|| failed(0, "the compressing thread panicked"))
}

/// It is no second worker in lists of processes. Without the title it dumps as well.
fn name_process(parent: i32) {
    type SetTitle = unsafe extern "C" fn(*const std::ffi::c_char, ...);
    // SAFETY: Ruby's own, or the system's; both take a format.
    unsafe {
        if let (Some(set), Ok(title)) =
            (symbol(c"setproctitle"), CString::new(format!("heap_inspector: dump of {parent}")))
        {
            std::mem::transmute::<*mut c_void, SetTitle>(set)(c"%s".as_ptr(), title.as_ptr());
        }
    }
}

/// Lets `dump_all` write to a pipe which another thread empties. What it wrote is whole where it returned, where its IO could be closed,
/// which writes the rest, and where all that arrived ends with a line. The pipe keeps a reader until the end: to find it without one is
/// more than Ruby 3.1 bears in a process that it did not fork itself.
fn dump_by_ruby(order: &Order) -> Result<Packed, String> {
    // It blocks, other than Ruby's pipes: from 3.4 on dump_all writes by fwrite, which loses what does not fit.
    let (input, output) = io::pipe().map_err(|error| system(&error))?;
    widen(&output);
    let held = input.try_clone().map_err(|error| system(&error))?;
    let traced = traced();
    let packer = start_compressing(order, with_sites(input, traced.clone()))?;
    let mut output = File::from(OwnedFd::from(output));
    let mut head = BufWriter::with_capacity(BUFFER, &mut output);
    let written = write_head(order, &traced, &mut head).and_then(|()| head.flush());
    written.map_err(|error| system(&error))?;
    drop(head);
    dump_all(OwnedFd::from(output), order.parent).map_err(|reason| failed(0, &reason))?;
    let packed = packer.join().ok_or_else(|| failed(0, "the compressing thread panicked"));
    drop(held);
    packed
}

/// The lines that come, with the sites and stacks that our tracer knows.
fn with_sites(input: impl Read + Send + 'static, traced: Traced) -> Box<dyn Read + Send> {
    match traced {
        Some((tracer, numbering)) => Box::new(Annotated::new(input, tracer, numbering)),
        None => Box::new(input),
    }
}

/// Calls `ObjectSpace.dump_all` and closes what it wrote to.
fn dump_all(output: OwnedFd, parent: i32) -> Result<(), String> {
    use std::os::fd::IntoRawFd;
    let ruby = Ruby::get().map_err(|error| error.to_string())?;
    let descriptor = output.into_raw_fd();
    let told = |error: magnus::Error| error.to_string();
    // SAFETY: this is a Ruby thread with the GVL, and the descriptor an open one that the new IO owns from here on.
    let io = magnus::rb_sys::protect(|| unsafe { rb_sys::rb_io_fdopen(descriptor, libc::O_WRONLY, c"dump".as_ptr()) });
    let io = match io {
        // SAFETY: Ruby made it, and the stack holds it.
        Ok(io) => unsafe { <Value as magnus::rb_sys::FromRawValue>::from_raw(io) },
        Err(error) => {
            // SAFETY: nobody else owns it.
            unsafe { libc::close(descriptor) };
            return Err(told(error));
        }
    };
    name_process(parent);
    let space: RModule = ruby.class_object().const_get("ObjectSpace").map_err(told)?;
    let _: Value = space.funcall("dump_all", (kwargs!("output" => io),)).map_err(told)?;
    let _: Value = io.funcall("close", ()).map_err(told)?;
    Ok(())
}

/// More than a pipe usually holds means fewer switches between the dumping and the compressing thread.
fn widen(pipe: &impl AsRawFd) {
    #[cfg(target_os = "linux")]
    // SAFETY: plain numbers. Beyond the user's limit it fails and works with less.
    unsafe {
        libc::fcntl(pipe.as_raw_fd(), libc::F_SETPIPE_SZ, 1 << 20);
    }
    #[cfg(not(target_os = "linux"))]
    let _ = pipe;
}

/// Turns a forked child into one that only dumps: no signal is answered, descriptors of the server are closed (a client would wait for
/// the end of a connection, another process for a lock), and it ends when its parent is gone or the time is over, the unfinished file
/// removed.
fn become_dumper(order: &mut Order) -> io::Result<()> {
    // SAFETY: plain system calls on this process alone, whose only thread this is. What waited to be delivered goes when it is ignored.
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
        if let Dumper::Native(_) = order.dumper {
            // A fault ends it at once: Ruby would begin to report it. What the system would keep of the process is all it knows.
            FAULTS.into_iter().for_each(|signal| {
                libc::signal(signal, libc::SIG_DFL);
            });
            let nothing = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
            libc::setrlimit(libc::RLIMIT_CORE, &raw const nothing);
        }
        open_signals(&OPEN);
        libc::alarm(order.seconds.saturating_add(5)); // should even the thread below be stuck
        libc::setpriority(libc::PRIO_PROCESS, 0, NICE);
        // Progress that nobody reads is not waited for.
        let status = order.status.as_raw_fd();
        libc::fcntl(status, libc::F_SETFL, libc::fcntl(status, libc::F_GETFL) | libc::O_NONBLOCK);
    }
    close_others(&[order.output, order.status.as_raw_fd()]);
    let (parent, unfinished) = (order.parent, order.unfinished.take());
    let end = Instant::now() + Duration::from_secs(order.seconds.into());
    let watch = move || watch(parent, end, unfinished.as_ref());
    forked_thread::spawn(c"hi_watch", watch).map(drop)
}

/// Lets signals through.
fn open_signals(signals: &[c_int]) {
    let mut open = MaybeUninit::<libc::sigset_t>::uninit();
    // SAFETY: the set is filled before it is used.
    unsafe {
        libc::sigemptyset(open.as_mut_ptr());
        for signal in signals {
            libc::sigaddset(open.as_mut_ptr(), *signal);
        }
        libc::pthread_sigmask(libc::SIG_UNBLOCK, open.as_ptr(), std::ptr::null_mut());
    }
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
            crew::stop();
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

/// Closes the inherited descriptors, but for those in `keep` and Ruby's own. Standard streams lead nowhere then.
fn close_others(keep: &[RawFd]) {
    // SAFETY: plain numbers. What is closed is still known to IO objects of the server, none of which is used any more in this process.
    unsafe {
        let nowhere = libc::open(c"/dev/null".as_ptr(), libc::O_RDWR | libc::O_CLOEXEC);
        for stream in (0..=2).filter(|stream| !keep.contains(stream)) {
            if nowhere > 2 {
                libc::dup2(nowhere, stream);
            }
        }
    }
    for descriptor in open_descriptors() {
        // SAFETY: Ruby's list of its own descriptors is asked; else as above.
        unsafe {
            if descriptor > 2 && !keep.contains(&descriptor) && rb_sys::rb_reserved_fd_p(descriptor) == 0 {
                libc::close(descriptor);
            }
        }
    }
}

fn open_descriptors() -> Vec<RawFd> {
    if let Ok(entries) = std::fs::read_dir(if cfg!(target_os = "linux") { "/proc/self/fd" } else { "/dev/fd" }) {
        return entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok()).collect();
    }
    // No list, then all numbers that may be; most processes have less than the cap.
    // SAFETY: takes a number.
    let most = unsafe { libc::sysconf(libc::_SC_OPEN_MAX) };
    (0..RawFd::try_from(most).unwrap_or(RawFd::MAX).min(1 << 16)).collect()
}

/// What the compressing thread did.
struct Packed {
    bytes_in: u64,
    bytes_out: u64,
    /// Records left out by the redaction.
    lost: u64,
}

/// Compresses what comes down the pipe until its end.
fn pack(mut input: Counted, output: Output, compression: Compression, redacts: bool) -> Result<Packed, Failure> {
    let name = PathBuf::from("the dump");
    let failed = |source: io::Error| Failure::File { path: name.clone(), source };
    let bytes_in = input.bytes;
    let mut sink = Sink::new(BufWriter::with_capacity(BUFFER, output), compression).map_err(failed)?;
    let lost = if redacts {
        redact(&Source::reader(input, "the dump"), &mut sink, "the dump", None)?.lost
    } else {
        let mut buffer = vec![0; BUFFER];
        loop {
            match input.read(&mut buffer) {
                Ok(0) => break,
                Ok(count) => sink.write_all(&buffer[..count]).map_err(failed)?,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(failed(error)),
            }
        }
        if input.last != b'\n' {
            return Err(failed(io::Error::other("the dump ended in the middle of a line")));
        }
        0
    };
    let output =
        sink.finish().and_then(|out| out.into_inner().map_err(io::IntoInnerError::into_error)).map_err(failed)?;
    output.sync().map_err(failed)?;
    Ok(Packed { bytes_in: bytes_in.load(Ordering::Relaxed), bytes_out: output.bytes, lost })
}

const BUFFER: usize = 1 << 18;

/// What is to be compressed.
struct Counted {
    input: Box<dyn Read + Send>,
    bytes: &'static AtomicU64,
    /// The last byte that came.
    last: u8,
}

impl Read for Counted {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.input.read(buffer).inspect(|count| {
            self.bytes.fetch_add(*count as u64, Ordering::Relaxed);
            self.last = count.checked_sub(1).map_or(self.last, |last| buffer[last]);
        })
    }
}

/// Where the compressed dump goes: a file, or a pipe or terminal of who asked for it, which may not block.
struct Output {
    descriptor: RawFd,
    bytes: u64,
    /// What went in so far; of all processes.
    bytes_in: &'static AtomicU64,
    status: RawFd,
    told: Instant,
}

impl Output {
    fn new(order: &Order, bytes_in: &'static AtomicU64) -> Output {
        let (descriptor, status) = (order.output, order.status.as_raw_fd());
        Output { descriptor, bytes: 0, bytes_in, status, told: Instant::now() }
    }

    /// Has a file's bytes on the disk; what is no file has none.
    fn sync(&self) -> io::Result<()> {
        // SAFETY: the descriptor is open until the process ends.
        if unsafe { libc::fsync(self.descriptor) } == 0 {
            return Ok(());
        }
        match io::Error::last_os_error() {
            error if matches!(error.raw_os_error(), Some(libc::EINVAL | libc::EROFS | libc::ENOTSUP)) => Ok(()),
            error => Err(error),
        }
    }

    /// Tells how far it is. A pipe that is full is not waited for.
    fn tell(&mut self) {
        self.told = Instant::now();
        let line = format!("at {}\n", self.bytes_in.load(Ordering::Relaxed));
        // SAFETY: as in `sync`; the bytes are borrowed for the call. So short a write to a pipe is whole or nothing.
        unsafe { libc::write(self.status, line.as_ptr().cast(), line.len()) };
    }
}

/// How often progress is told.
const TELLING: Duration = Duration::from_millis(100);

impl Write for Output {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let count = write(self.descriptor, bytes)?;
        self.bytes += count as u64;
        if self.told.elapsed() > TELLING {
            self.tell();
        }
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Writes what there is room for, once there is some.
fn write(descriptor: RawFd, bytes: &[u8]) -> io::Result<usize> {
    loop {
        // SAFETY: the bytes are borrowed for the call.
        let count = unsafe { libc::write(descriptor, bytes.as_ptr().cast(), bytes.len()) };
        match usize::try_from(count) {
            // Nothing that is written to answers so; if it did, this would go on for ever.
            Ok(0) if !bytes.is_empty() => return Err(io::ErrorKind::WriteZero.into()),
            Ok(count) => return Ok(count),
            Err(_) => match io::Error::last_os_error() {
                error if error.kind() == io::ErrorKind::WouldBlock => wait(descriptor, libc::POLLOUT)?,
                error => return Err(error),
            },
        }
    }
}

/// Tells the last line, for which there must be room, and ends the process. A parent that is gone is told nothing.
fn end(status: RawFd, line: &str) -> ! {
    let mut rest = line.as_bytes();
    while !rest.is_empty() {
        match write(status, rest) {
            Ok(count) => rest = &rest[count..],
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(_) => break,
        }
    }
    crew::stop();
    // SAFETY: runs nothing of the server's.
    unsafe { libc::_exit(TOLD) }
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
