//! A dump of this process on its way, seen from the parent: locked, opened, forked, waited for, named. See `lib/heap_inspector/dump.rb`.
//!
//! What touches the disk or waits does so without the GVL, in as few calls as can be: one before the fork, one or more after it.

use crate::dumper::{self, Dumper, Order, symbol};
use crate::errors;
use crate::gvl;
use crate::input::bytes;
use crate::memory;
use crate::native::{function, method};
use crate::standstill;
use crate::tracer;
use crate::walk;
use heap_inspector::Error as Failure;
use heap_inspector_cli::output::Output;
use magnus::rb_sys::AsRawValue;
use magnus::value::ReprValue;
use magnus::{
    Class, DataTypeFunctions, Error, Module, Object, RArray, RClass, RModule, RString, Ruby, Symbol, TryConvert,
    TypedData, Value,
};
use std::ffi::{CString, OsStr, c_int, c_void};
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, PipeReader, Read};
use std::mem::{self, MaybeUninit};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// What there is of a dump: at first its lock and its output, then a child as well.
#[derive(TypedData)]
#[magnus(class = "HeapInspector::Dumping", free_immediately)]
pub(crate) struct Dumping(Mutex<State>);

impl DataTypeFunctions for Dumping {}

struct State {
    lock: Option<File>,
    /// None where the caller's own IO is written to.
    output: Option<Output>,
    descriptor: RawFd,
    child: Option<Child>,
    /// The process that takes the dump. What it forks meanwhile has a copy of this, which is to touch nothing.
    owner: u32,
}

struct Child {
    pid: libc::pid_t,
    status: PipeReader,
    /// What it told that is not yet a line.
    rest: Vec<u8>,
    /// Its last line, without the end.
    last: Option<String>,
}

/// What a wait brought.
enum News {
    /// Nothing yet.
    None,
    /// Bytes that went in.
    Progress(u64),
    /// The child is gone; so is its line, if it told one, and its status, where nobody else took it.
    End(Option<String>, Option<i32>, io::Result<()>),
}

/// The longest time without a look whether Ruby wants something: Ruby 3.1 leaves a signal lying now and then (see `work`).
const SLICE: Duration = Duration::from_secs(1);
/// What a child has to end its helpers.
const GRACE: Duration = Duration::from_secs(1);
/// How soon a raised flag is seen.
const LOOK: i32 = 50;
/// Bytes of a file that tells about the process or the host.
const LONGEST: u64 = 1 << 20;

impl State {
    /// Looks for news until there are some, the slice is over or Ruby interrupts.
    fn wait(&mut self, wants_progress: bool, slice: Duration, interrupted: &AtomicBool) -> News {
        let end = Instant::now() + slice;
        let Some(child) = &mut self.child else { return News::None };
        loop {
            let mut asked = libc::pollfd { fd: child.status.as_raw_fd(), events: libc::POLLIN, revents: 0 };
            // SAFETY: one entry, which is ours.
            let ready = unsafe { libc::poll(&raw mut asked, 1, LOOK) };
            if ready > 0 {
                let mut buffer = [0; 4096];
                match child.status.read(&mut buffer) {
                    Ok(count) if count > 0 => {
                        child.rest.extend_from_slice(&buffer[..count]);
                        if let (Some(bytes), true) = (child.take(), wants_progress) {
                            return News::Progress(bytes);
                        }
                    }
                    Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                    _ => return self.end(),
                }
            }
            if interrupted.load(Ordering::Relaxed) || Instant::now() > end {
                return News::None;
            }
        }
    }

    /// The child is at its end. A file that is whole gets its name.
    fn end(&mut self) -> News {
        let Some(child) = self.child.take() else { return News::None };
        let status = reap(child.pid);
        let is_done = child.last.as_ref().is_some_and(|line| line.starts_with("done "));
        let named = match self.output.take() {
            Some(output) if is_done => output.finish(),
            _ => Ok(()),
        };
        self.unlock();
        News::End(child.last, status, named)
    }

    /// Ends what is under way.
    fn close(&mut self) {
        if self.owner != std::process::id() {
            mem::forget((self.lock.take(), self.output.take(), self.child.take()));
            return;
        }
        if let Some(child) = self.child.take() {
            end_child(child.pid);
        }
        self.output = None;
        self.unlock();
    }

    fn is_closed(&self) -> bool {
        self.child.is_none() && self.output.is_none() && self.lock.is_none()
    }

    fn unlock(&mut self) {
        if let Some(lock) = self.lock.take() {
            // SAFETY: an open descriptor. Children that were forked meanwhile hold the file open, so closing it is not enough.
            unsafe { libc::flock(lock.as_raw_fd(), libc::LOCK_UN) };
        }
    }
}

impl Drop for State {
    fn drop(&mut self) {
        self.close();
    }
}

impl Child {
    /// Takes the whole lines: how far the child is, if it told that; its end is kept.
    fn take(&mut self) -> Option<u64> {
        let mut at = None;
        while let Some(end) = self.rest.iter().position(|byte| *byte == b'\n') {
            let line = String::from_utf8_lossy(&self.rest[..end]).into_owned();
            self.rest.drain(..=end);
            match line.strip_prefix("at ") {
                Some(bytes) => at = bytes.parse().ok(),
                None => self.last = Some(line),
            }
        }
        at
    }
}

/// Has a child end and waits for it. It is asked to, so that it ends its helpers; a moment later it must.
fn end_child(pid: libc::pid_t) {
    let mut status = 0;
    // SAFETY: plain numbers, and a place to write to. One that others have waited for may have given its number to another process,
    // which is not to be killed: the system says so here.
    let mut is_there = || unsafe { libc::waitpid(pid, &raw mut status, libc::WNOHANG) } == 0;
    if !is_there() {
        return;
    }
    // SAFETY: a child that was not waited for.
    unsafe { libc::kill(pid, libc::SIGALRM) };
    let end = Instant::now() + GRACE;
    while is_there() {
        if Instant::now() > end {
            // SAFETY: as above.
            unsafe { libc::kill(pid, libc::SIGKILL) };
            reap(pid);
            return;
        }
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// Waits for the child; none where others have waited for it already.
fn reap(pid: libc::pid_t) -> Option<i32> {
    let mut status = 0;
    loop {
        // SAFETY: a number, and a place to write to.
        if unsafe { libc::waitpid(pid, &raw mut status, 0) } == pid {
            return Some(status);
        }
        if io::Error::last_os_error().kind() != io::ErrorKind::Interrupted {
            return None;
        }
    }
}

/// Why [`Dumping::open`] opened nothing.
enum Refusal {
    /// Another process holds the lock.
    Locked,
    System(Failure),
}

/// What was opened: with it the texts of files, and how much room the disk has.
type Opened = (State, Vec<(Vec<u8>, Vec<u8>)>, Option<u64>);

impl Dumping {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Claims `folder`, takes the lock in it, opens `path` (or takes the caller's `descriptor`) and reads `files`: what there was to be
    /// known, from the lock to the disk, in one go. `[Dumping, {path => text}, free bytes or nil, memory by owner or nil]`; nil where the
    /// lock is taken. `memory` are the arguments of `Native.memory`.
    fn open(
        ruby: &Ruby,
        folder: RString,
        lock: RString,
        path: Option<RString>,
        descriptor: RawFd,
        files: RArray,
        memory: (u64, String, bool, u64),
    ) -> Result<Option<RArray>, Error> {
        let (folder, lock, path) = (path_of(folder), path_of(lock), path.map(path_of));
        let files =
            files.into_iter().map(|file| Ok(bytes(RString::try_convert(file)?))).collect::<Result<Vec<_>, Error>>()?;
        let (page_bytes, state, is_alone, millis) = memory;
        let mut question = Some(memory::Question::new(page_bytes, &state, is_alone, millis));
        let interrupted = AtomicBool::new(false);
        let opened = loop {
            let work = || {
                let opened = opened(&folder, &lock, path.as_deref(), descriptor, &files, &interrupted)?;
                // Without it the dump is as good.
                let answer = question.take().and_then(|question| question.answer().ok());
                Ok((opened, answer))
            };
            match gvl::without(ruby, &interrupted, work)? {
                Err(Refusal::System(Failure::File { source, .. }))
                    if source.kind() == io::ErrorKind::Interrupted && interrupted.load(Ordering::Relaxed) =>
                {
                    ruby.thread_check_ints()?;
                }
                opened => break opened,
            }
        };
        match opened {
            Ok(((state, texts, free), answer)) => {
                let hash = ruby.hash_new();
                for (path, text) in texts {
                    hash.aset(ruby.str_from_slice(&path), ruby.str_from_slice(&text))?;
                }
                let dumping = ruby.obj_wrap(Dumping(Mutex::new(state)));
                let answer = answer.map(|answer| answer.to_hash(ruby)).transpose()?;
                let values = [dumping.as_value(), hash.as_value(), ruby.into_value(free), ruby.into_value(answer)];
                Ok(Some(ruby.ary_new_from_values(&values)))
            }
            Err(Refusal::Locked) => Ok(None),
            Err(Refusal::System(failure)) => Err(errors::raised(ruby, &failure)),
        }
    }

    /// Forks the child that writes the dump, beneath what gems put around Ruby's own fork: they reconnect, discard, start threads. Returns
    /// the seconds that it took; nil where the heap is to be walked and other Ractors could not be stopped.
    fn start(
        ruby: &Ruby,
        dumping: &Dumping,
        meta: RString,
        compression: String,
        redacts: bool,
        seconds: u32,
        (is_native, is_heap_file): (bool, bool),
    ) -> Result<Option<f64>, Error> {
        let dumper = if is_native {
            Dumper::Native(walk::Api::get().map_err(|reason| errors::named(ruby, "DumpRefused", reason.to_owned()))?)
        } else {
            Dumper::Ruby
        };
        let compression = compression.parse().map_err(|error| errors::raised(ruby, &error))?;
        let mut state = dumping.lock();
        let failed =
            |source: io::Error| errors::named(ruby, "DumpRefused", format!("the system refuses to fork: {source}"));
        let (status, told) = io::pipe().map_err(failed)?;
        let unfinished = state.output.as_ref().and_then(Output::unfinished);
        let order = Order {
            output: state.descriptor,
            status: OwnedFd::from(told),
            meta: bytes(meta),
            compression,
            redacts,
            dumper,
            is_heap_file,
            seconds,
            parent: std::process::id().cast_signed(),
            unfinished: unfinished.and_then(|path| CString::new(path.as_os_str().as_bytes()).ok()),
        };
        // In the child nobody can be asked any more.
        tracer::name_frames();
        // No collection on the way, and none in the child. This ends one that is under way.
        let was_disabled = ruby.gc_disable();
        // What waits, finalizers among it, has its turn here and not in the child.
        let looked = ruby.thread_check_ints();
        let start = Instant::now();
        let forked = looked.and_then(|()| {
            // Where `dump_all` dumps Ruby puts the locks of the others in order, and forgets these.
            let forked = if is_native && has_ractors(ruby)? { standstill::with(fork)? } else { Some(fork()) };
            forked.transpose().map_err(failed)
        });
        if let Ok(Some(0)) = forked {
            // SAFETY: a Ruby thread with the GVL; signals are blocked since the fork.
            unsafe { dumper::be(order) }
        }
        let seconds = start.elapsed().as_secs_f64();
        if !was_disabled {
            ruby.gc_enable();
        }
        let Some(pid) = forked? else { return Ok(None) };
        state.child = Some(Child { pid, status, rest: Vec::new(), last: None });
        Ok(Some(seconds))
    }

    /// Waits for the child, at most for `seconds` and not longer than for [`SLICE`]: nil, `[:progress, bytes]`, `[:done, bytes in, bytes
    /// out, records lost, seconds]`, `[:error, number, words]`, `[:broken]` where our own walk gave up, `[:died, status of waitpid or nil]`.
    /// After the last four all is closed.
    fn wait(ruby: &Ruby, dumping: &Dumping, seconds: f64, wants_progress: bool) -> Result<Option<RArray>, Error> {
        let mut state = dumping.lock();
        let slice = Duration::try_from_secs_f64(seconds).unwrap_or_default().min(SLICE);
        let interrupted = AtomicBool::new(false);
        let news = gvl::without(ruby, &interrupted, || state.wait(wants_progress, slice, &interrupted))?;
        Ok(match news {
            News::None => None,
            News::Progress(bytes) => Some(row(ruby, "progress", &[ruby.into_value(bytes)])),
            News::End(line, status, named) => {
                named.map_err(|source| {
                    errors::raised(ruby, &Failure::File { path: PathBuf::from("the dump"), source })
                })?;
                Some(told(ruby, line.as_deref(), status))
            }
        })
    }

    /// Ends what is under way: a child is killed, an unfinished file removed, the lock given back. Where all has ended the GVL is kept:
    /// beside a busy thread it would be waited for again, and that is not in the time that is told.
    fn close(_ruby: &Ruby, dumping: &Dumping) -> Result<(), Error> {
        if dumping.0.try_lock().is_ok_and(|state| state.is_closed()) {
            return Ok(());
        }
        gvl::without_if_possible(|| dumping.lock().close())
    }
}

/// The child's end for Ruby.
fn told(ruby: &Ruby, line: Option<&str>, status: Option<i32>) -> RArray {
    let words: Vec<&str> = line.map(|line| line.splitn(3, ' ').collect()).unwrap_or_default();
    match words[..] {
        ["done", bytes_in, rest] => {
            let numbers: Vec<u64> = rest.split(' ').filter_map(|number| number.parse().ok()).collect();
            if let (Ok(bytes_in), &[bytes_out, lost, micros]) = (bytes_in.parse::<u64>(), &numbers[..]) {
                let seconds = Duration::from_micros(micros).as_secs_f64();
                let values = [bytes_in, bytes_out, lost].map(|number| ruby.into_value(number));
                return row(ruby, "done", &[&values[..], &[ruby.into_value(seconds)]].concat());
            }
        }
        ["error", number, reason] => {
            let number = number.parse::<i32>().unwrap_or(0);
            return row(ruby, "error", &[ruby.into_value(number), ruby.into_value(reason)]);
        }
        ["broken", ..] => return row(ruby, "broken", &[]),
        _ => {}
    }
    row(ruby, "died", &[ruby.into_value(status)])
}

fn row(ruby: &Ruby, word: &str, values: &[Value]) -> RArray {
    ruby.ary_new_from_values(&[&[ruby.to_symbol(word).as_value()], values].concat())
}

fn has_ractors(ruby: &Ruby) -> Result<bool, Error> {
    let count: usize = ruby.class_object().const_get::<_, RClass>("Ractor")?.funcall("count", ())?;
    Ok(count > 1)
}

/// Forks; 0 in the child, where all signals are blocked.
fn fork() -> io::Result<libc::pid_t> {
    // SAFETY: the sets are filled before they are used. Signals are blocked around the fork alone, and by no call of Ruby's, which would
    // start its timer thread in the parent with them blocked.
    unsafe {
        let (mut all, mut before) = (MaybeUninit::<libc::sigset_t>::uninit(), MaybeUninit::<libc::sigset_t>::uninit());
        libc::sigfillset(all.as_mut_ptr());
        libc::pthread_sigmask(libc::SIG_SETMASK, all.as_ptr(), before.as_mut_ptr());
        let pid = libc::fork();
        if pid == 0 {
            return Ok(pid);
        }
        let error = io::Error::last_os_error();
        libc::pthread_sigmask(libc::SIG_SETMASK, before.as_ptr(), std::ptr::null_mut());
        if pid < 0 {
            return Err(error);
        }
        let_go_first(pid);
        Ok(pid)
    }
}

/// Where memory runs out, on the host or in the cgroup, the kernel ends the child before this process. Said here, with the GVL, and not by
/// the child itself: until that had its turn other threads had written to enough pages for the kernel to end this process. Where it may not
/// be said, or the pids in /proc are others than ours, the child is as likely as its parent.
fn let_go_first(child: libc::pid_t) {
    let is_ours = fs::read_link("/proc/self").is_ok_and(|link| link.as_os_str() == &*std::process::id().to_string());
    if is_ours {
        let _ = fs::write(format!("/proc/{child}/oom_score_adj"), "1000");
    }
}

fn opened(
    folder: &Path,
    lock: &Path,
    path: Option<&Path>,
    descriptor: RawFd,
    files: &[Vec<u8>],
    interrupted: &AtomicBool,
) -> Result<Opened, Refusal> {
    let lock = turn(folder, lock)?;
    let output = path.map(|path| Output::open(path, Some(interrupted))).transpose().map_err(Refusal::System)?;
    let descriptor = output.as_ref().map_or(descriptor, |output| output.file().as_raw_fd());
    let state = State { lock, output, descriptor, child: None, owner: std::process::id() };
    Ok((state, texts(files), free_bytes(descriptor)))
}

/// The lock that dumps are taken by turns with; none where there is no place for locks, as on a read-only disk.
fn turn(folder: &Path, name: &Path) -> Result<Option<File>, Refusal> {
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false).mode(0o600).custom_flags(libc::O_NOFOLLOW);
    let opened = claim(folder).ok().and_then(|()| options.open(folder.join(name)).ok());
    // SAFETY: an open descriptor.
    if let Some(file) = &opened
        && unsafe { libc::flock(file.as_raw_fd(), libc::LOCK_EX | libc::LOCK_NB) } != 0
        && io::Error::last_os_error().kind() == io::ErrorKind::WouldBlock
    {
        return Err(Refusal::Locked);
    }
    Ok(opened)
}

/// Makes the folder of sockets and locks where it is missing; it must be ours alone.
fn claim(folder: &Path) -> Result<(), String> {
    let unusable = |source: &io::Error| {
        let reason = source.to_string();
        let reason = reason.split(" (os error").next().unwrap_or_default();
        format!(
            "{} cannot be made: {reason}; set HEAP_INSPECTOR_DIR to a place that can be written to",
            folder.display()
        )
    };
    match DirBuilder::new().mode(0o700).create(folder) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(unusable(&error)),
        _ => {}
    }
    let meta = fs::symlink_metadata(folder).map_err(|error| unusable(&error))?;
    // SAFETY: takes nothing, cannot fail.
    let own = unsafe { libc::geteuid() };
    let reason = if !meta.is_dir() {
        "it is not a folder".to_owned()
    } else if meta.uid() != own {
        format!("it belongs to uid {}", meta.uid())
    } else if meta.mode() & 0o077 != 0 {
        format!("its mode is {:04o}, not 0700", meta.mode() & 0o7777)
    } else {
        return Ok(());
    };
    let folder = folder.display();
    Err(format!("{folder} cannot be used: {reason}; remove it or set HEAP_INSPECTOR_DIR to another place"))
}

/// The texts of the files, empty where they cannot be read, and of what they lead to: the limits of the cgroups in `/proc/self/cgroup`,
/// and the branch in `.git/HEAD`.
fn texts(files: &[Vec<u8>]) -> Vec<(Vec<u8>, Vec<u8>)> {
    let mut texts: Vec<(Vec<u8>, Vec<u8>)> =
        files.iter().map(|file| (file.clone(), text(OsStr::from_bytes(file)))).collect();
    let more: Vec<String> = texts
        .iter()
        .flat_map(|(file, text)| match &file[..] {
            b"/proc/self/cgroup" => cgroup_files(&String::from_utf8_lossy(text)),
            b".git/HEAD" => branch(&String::from_utf8_lossy(text)).into_iter().collect(),
            _ => Vec::new(),
        })
        .collect();
    texts.extend(more.into_iter().map(|file| {
        let text = text(OsStr::new(&file));
        (file.into_bytes(), text)
    }));
    texts
}

fn text(file: &OsStr) -> Vec<u8> {
    let mut text = Vec::new();
    // A pipe of that name would be waited for.
    let file = OpenOptions::new().read(true).custom_flags(libc::O_NONBLOCK).open(file);
    match file.and_then(|file| file.take(LONGEST).read_to_end(&mut text)) {
        Ok(_) => text,
        Err(_) => Vec::new(),
    }
}

/// What `ProcFs.cgroup_rooms` wants of a cgroup of version 1: the second limit is of memory and swap together.
const V1: [&str; 5] = [
    "memory.limit_in_bytes",
    "memory.usage_in_bytes",
    "memory.memsw.limit_in_bytes",
    "memory.memsw.usage_in_bytes",
    "memory.stat",
];

/// The files that `ProcFs.cgroup_rooms` will want.
fn cgroup_files(cgroups: &str) -> Vec<String> {
    let mut files = Vec::new();
    for line in cgroups.lines() {
        let mut fields = line.splitn(3, ':').skip(1);
        let (Some(controllers), Some(path)) = (fields.next(), fields.next()) else { continue };
        let (root, names): (&str, &[&str]) = if controllers.is_empty() {
            ("/sys/fs/cgroup", &["memory.max", "memory.current", "memory.stat"])
        } else if controllers.split(',').any(|controller| controller == "memory") {
            ("/sys/fs/cgroup/memory", &V1)
        } else {
            continue;
        };
        for folder in Path::new(path).ancestors().take(33) {
            let folder = folder.to_string_lossy();
            let folder = folder.trim_end_matches('/');
            files.extend(names.iter().map(|name| format!("{root}{folder}/{name}")));
        }
    }
    files
}

/// The file with the commit of the branch that `.git/HEAD` names.
fn branch(head: &str) -> Option<String> {
    let branch = head.trim_end().strip_prefix("ref: ")?;
    (branch.starts_with("refs/") && !branch.contains("..")).then(|| format!(".git/{branch}"))
}

/// Bytes that may still be written to the file system of an open file; none of what is no file on a disk.
fn free_bytes(descriptor: RawFd) -> Option<u64> {
    let mut stat = MaybeUninit::<libc::stat>::uninit();
    let mut system = MaybeUninit::<libc::statvfs>::uninit();
    // SAFETY: both fill what they are given or fail.
    unsafe {
        if libc::fstat(descriptor, stat.as_mut_ptr()) != 0 || stat.assume_init().st_mode & libc::S_IFMT != libc::S_IFREG
        {
            return None;
        }
        if libc::fstatvfs(descriptor, system.as_mut_ptr()) != 0 {
            return None;
        }
        let system = system.assume_init();
        // One that lies in memory is of a system without bounds of its own.
        if system.f_blocks == 0 {
            return None;
        }
        Some(system.f_bavail.saturating_mul(system.f_frsize))
    }
}

fn path_of(text: RString) -> PathBuf {
    PathBuf::from(OsStr::from_bytes(&bytes(text)))
}

/// A file of the command line's, by `WholeFile`.
#[derive(TypedData)]
#[magnus(class = "HeapInspector::OpenOutput", free_immediately)]
pub(crate) struct OpenOutput(Mutex<Option<Output>>);

impl DataTypeFunctions for OpenOutput {}

impl OpenOutput {
    fn lock(&self) -> MutexGuard<'_, Option<Output>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// `[OpenOutput, descriptor, unfinished name or nil]`
    fn open(ruby: &Ruby, path: RString) -> Result<RArray, Error> {
        let path = path_of(path);
        let interrupted = AtomicBool::new(false);
        let output = loop {
            match gvl::without(ruby, &interrupted, || Output::open(&path, Some(&interrupted)))? {
                Err(Failure::File { source, .. })
                    if source.kind() == io::ErrorKind::Interrupted && interrupted.load(Ordering::Relaxed) =>
                {
                    ruby.thread_check_ints()?;
                }
                output => break output.map_err(|failure| errors::raised(ruby, &failure))?,
            }
        };
        let descriptor = ruby.into_value(output.file().as_raw_fd());
        let name = output.unfinished().map(|name| ruby.str_from_slice(name.as_os_str().as_bytes()));
        let wrapped = ruby.obj_wrap(OpenOutput(Mutex::new(Some(output))));
        Ok(ruby.ary_new_from_values(&[wrapped.as_value(), descriptor, ruby.into_value(name)]))
    }

    /// Gives the file its name.
    fn finish(ruby: &Ruby, output: &OpenOutput) -> Result<(), Error> {
        let Some(whole) = output.lock().take() else { return Ok(()) };
        let mut named = Ok(());
        let mut whole = Some(whole);
        gvl::without_if_possible(|| named = whole.take().map_or(Ok(()), Output::finish))?;
        named.map_err(|source| errors::raised(ruby, &Failure::File { path: PathBuf::from("the file"), source }))
    }

    /// Removes it where it has no name yet.
    fn close(_ruby: &Ruby, output: &OpenOutput) -> Result<(), Error> {
        gvl::without_if_possible(|| *output.lock() = None)
    }
}

/// Claims the folder of sockets and locks.
fn claim_folder(ruby: &Ruby, folder: RString) -> Result<(), Error> {
    let folder = path_of(folder);
    let claimed = gvl::without(ruby, &AtomicBool::new(false), || claim(&folder))?;
    claimed.map_err(|reason| errors::named(ruby, "AgentError", reason))
}

/// Why our own walk does not know this Ruby's heap, if so: nil or words.
fn dumper_missing(_ruby: &Ruby) -> Option<&'static str> {
    walk::Api::get().err()
}

/// Writes the heap of this very process to a descriptor, as the child of a dump would: what the specs hold against `ObjectSpace.dump_all`
/// of the same moment. With another descriptor a heap file of the same moment goes there.
fn walk_heap(ruby: &Ruby, descriptor: RawFd, names: bool, texts: bool, heap_file: Option<RawFd>) -> Result<(), Error> {
    let api = walk::Api::get().map_err(|reason| errors::named(ruby, "DumpRefused", reason.to_owned()))?;
    let was_disabled = ruby.gc_disable();
    let wanted = walk::Wanted { names, texts, ..walk::Wanted::default() };
    let file = |descriptor: RawFd| {
        // SAFETY: an open descriptor, which stays its owner's.
        let file = unsafe { mem::ManuallyDrop::new(File::from_raw_fd(descriptor)) };
        file.try_clone()
    };
    let lines = |mut file: File| {
        let mut take = |buffer: &mut Vec<u8>| {
            io::Write::write_all(&mut file, buffer)?;
            buffer.clear();
            Ok(())
        };
        // SAFETY: a Ruby thread with the GVL, which it keeps; nothing is collected meanwhile.
        unsafe { walk::walk(api, wanted, b"", walk::Out::Lines(&mut take), None) }
    };
    let columns = |file: File| {
        let mut out = dumper::walked::Straight::new(file)?;
        // SAFETY: as above.
        unsafe { walk::walk(api, wanted, b"", walk::Out::Columns(&mut |block| out.take(block)), None) }?;
        out.finish()
    };
    let walked = file(descriptor).and_then(lines).and_then(|()| match heap_file {
        Some(descriptor) => file(descriptor).and_then(columns),
        None => Ok(()),
    });
    if !was_disabled {
        ruby.gc_enable();
    }
    walked.map_err(|source| errors::raised(ruby, &Failure::File { path: PathBuf::from("the dump"), source }))
}

/// Finds where this Ruby keeps the frames of fibers and threads and the names of the latter: by fibers that wait in a C function which their
/// block called, each with that block, by the block that calls this, and by threads that have names.
fn learn_frames(_ruby: &Ruby, fibers: RArray, block: Value, threads: RArray) -> Result<(), Error> {
    let Some(code) = proc_code() else { return Ok(()) };
    let code = |block: Value| {
        let mut is_proc = 0;
        // SAFETY: a Proc.
        unsafe { code(block.as_raw(), &raw mut is_proc) }
    };
    let pairs = fibers.into_iter().map(<(Value, Value)>::try_convert).collect::<Result<Vec<_>, Error>>()?;
    let names =
        threads.into_iter().map(|thread| Ok((thread.as_raw(), thread.funcall::<_, _, Value>("name", ())?.as_raw())));
    let known = walk::KnownFrames {
        fibers: pairs.into_iter().map(|(fiber, block)| (fiber.as_raw(), code(block))).collect(),
        // SAFETY: takes nothing.
        thread: (unsafe { rb_sys::rb_thread_current() }, code(block)),
        names: names.collect::<Result<_, Error>>()?,
    };
    // SAFETY: such objects, which the caller holds.
    unsafe { walk::learn_frames(&known) };
    Ok(())
}

type ProcCode = unsafe extern "C" fn(rb_sys::VALUE, *mut c_int) -> rb_sys::VALUE;

/// The descriptor of a new file that lies in memory alone and has no name; none where the system has no such.
fn memory_file(_ruby: &Ruby) -> Option<RawFd> {
    #[cfg(target_os = "linux")]
    {
        // SAFETY: a text that ends; what is opened is the caller's.
        let file = unsafe { libc::memfd_create(c"heap_inspector".as_ptr(), libc::MFD_CLOEXEC) };
        (file >= 0).then_some(file)
    }
    #[cfg(not(target_os = "linux"))]
    None
}

/// Asks a Proc for its code.
fn proc_code() -> Option<ProcCode> {
    // SAFETY: its type in proc.c.
    unsafe { symbol(c"rb_proc_get_iseq").map(|found| mem::transmute::<*mut c_void, ProcCode>(found)) }
}

/// Takes note of blocks, each with the names of its local variables, all of which it uses: by them the walk finds where Ruby keeps such
/// names. The blocks live on.
fn learn_local_variables(_ruby: &Ruby, blocks: RArray) -> Result<(), Error> {
    let Some(code) = proc_code() else { return Ok(()) };
    let mut known = Vec::new();
    for block in blocks {
        let (block, names): (Value, RArray) = TryConvert::try_convert(block)?;
        let names = names.into_iter().map(Symbol::try_convert).collect::<Result<Vec<_>, Error>>()?;
        // SAFETY: a Proc, which from now on neither goes nor moves; its code is asked for where the heap stands still.
        unsafe { rb_sys::rb_gc_register_mark_object(block.as_raw()) };
        // SAFETY: Symbols.
        known.push((block.as_raw(), names.iter().map(|name| unsafe { rb_sys::rb_sym2id(name.as_raw()) }).collect()));
    }
    walk::know(known, move |block| {
        let mut is_proc = 0;
        // SAFETY: a Proc.
        unsafe { code(block, &raw mut is_proc) }
    });
    Ok(())
}

pub(crate) fn define(ruby: &Ruby, module: RModule, native: RModule) -> Result<(), Error> {
    native.define_singleton_method("dumper_missing", function!(dumper_missing, 0))?;
    native.define_singleton_method("walk_heap", function!(walk_heap, 4))?;
    native.define_singleton_method("learn_local_variables", function!(learn_local_variables, 1))?;
    native.define_singleton_method("learn_frames", function!(learn_frames, 3))?;
    native.define_singleton_method("memory_file", function!(memory_file, 0))?;
    native.define_singleton_method("claim_folder", function!(claim_folder, 1))?;
    for name in ["Dumping", "OpenOutput"] {
        let class = module.define_class(name, ruby.class_object())?;
        class.undef_default_alloc_func();
        module.funcall::<_, _, Value>("private_constant", (ruby.to_symbol(name),))?;
        if name == "Dumping" {
            class.define_singleton_method("open", function!(Dumping::open, 6))?;
            class.define_method("start", method!(Dumping::start, 5))?;
            class.define_method("wait", method!(Dumping::wait, 2))?;
            class.define_method("close", method!(Dumping::close, 0))?;
        } else {
            class.define_singleton_method("open", function!(OpenOutput::open, 1))?;
            class.define_method("finish", method!(OpenOutput::finish, 0))?;
            class.define_method("close", method!(OpenOutput::close, 0))?;
        }
    }
    Ok(())
}
