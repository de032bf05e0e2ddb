//! The processes that walk one heap together: the child that was forked for the dump leads, and forks the others, which see the same heap.
//!
//! Each compresses what it walks and writes it to the dump itself, when the parts before it are written. What they share stands in memory that
//! the fork does not copy. One that fails ends them all: it has told why, or a signal ended it, and then the leader ends by the same.
//!
//! The leader waits for its helpers whatever happens, also where it is given up: where the server is the first process of a container, what
//! the leader leaves would be the server's.

use super::{LATE, ORPHANED, TOLD, end, failed, open_signals, system, watch};
use crate::forked_thread::{self, Handle};
use rb_sys::VALUE;
use std::ffi::c_int;
use std::io;
use std::mem;
use std::os::fd::RawFd;
use std::ptr;
use std::sync::atomic::{AtomicBool, AtomicI32, AtomicU64, Ordering};
use std::sync::mpsc;
use std::time::{Duration, Instant};

/// At most so many processes walk a heap.
const MOST: usize = 4;
/// A process more is not worth its fork for fewer slots.
const SLOTS: usize = 200_000;
/// Threads that are kept for the leader; beyond, what those hold in fiber locals has no name.
const THREADS: usize = 1 << 14;
/// How soon a part that is to be written looks whether it is its turn: at first, and where the others take long.
const LOOK: Duration = Duration::from_micros(100);
const LONG_LOOK: Duration = Duration::from_millis(2);

/// What the processes share.
pub(super) struct Shared {
    /// The next part that nobody has begun.
    next: AtomicU64,
    /// The part that is to be written.
    turn: AtomicU64,
    pub(super) records: AtomicU64,
    pub(super) bytes_in: AtomicU64,
    pub(super) bytes_out: AtomicU64,
    /// Who is through, by number.
    through: [AtomicBool; MOST],
    thread_count: AtomicU64,
    threads: [AtomicU64; THREADS],
}

impl Shared {
    /// In memory that is never given back.
    pub(super) fn new() -> io::Result<&'static Shared> {
        let (read_write, flags) = (libc::PROT_READ | libc::PROT_WRITE, libc::MAP_SHARED | libc::MAP_ANONYMOUS);
        // SAFETY: new memory, of zeroes, which all of the fields may be.
        unsafe {
            let memory = libc::mmap(ptr::null_mut(), mem::size_of::<Shared>(), read_write, flags, -1, 0);
            if memory == libc::MAP_FAILED {
                return Err(io::Error::last_os_error());
            }
            let shared = &*memory.cast::<Shared>();
            shared.next.store(1, Ordering::Relaxed);
            Ok(shared)
        }
    }

    /// Begins the next part.
    pub(super) fn begin(&self) -> u64 {
        self.next.fetch_add(1, Ordering::Relaxed)
    }

    /// Waits until all parts before one are written.
    pub(super) fn wait_for(&self, part: u64) {
        let mut pause = LOOK;
        while self.turn.load(Ordering::Acquire) != part {
            std::thread::sleep(pause);
            pause = (2 * pause).min(LONG_LOOK);
        }
    }

    /// A part is written.
    pub(super) fn pass(&self, part: u64) {
        self.wait_for(part);
        self.turn.store(part + 1, Ordering::Release);
    }

    pub(super) fn keep_threads(&self, threads: &[VALUE]) {
        for thread in threads {
            let at = self.thread_count.fetch_add(1, Ordering::Relaxed) as usize;
            if let Some(place) = self.threads.get(at) {
                place.store(*thread, Ordering::Relaxed);
            }
        }
    }

    pub(super) fn threads(&self) -> impl Iterator<Item = VALUE> {
        let count = (self.thread_count.load(Ordering::Relaxed) as usize).min(THREADS);
        self.threads[..count].iter().map(|thread| thread.load(Ordering::Relaxed))
    }
}

/// One of the processes.
pub(super) struct Member {
    pub(super) shared: &'static Shared,
    role: Role,
}

enum Role {
    /// With the thread that waits for the others.
    Leader(Option<Handle<()>>),
    /// With its number.
    Helper(usize),
}

impl Member {
    /// Forks as many as there are processors for and slots; returns in each of them. Where the system refuses a process or its threads,
    /// fewer do the work.
    ///
    /// To be called where no thread of this process may hold a lock.
    pub(super) fn gather(shared: &'static Shared, slots: usize, status: RawFd, ending: Instant) -> Member {
        let processors = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        let count = processors.min(MOST).min(1 + slots / SLOTS);
        let leader = std::process::id().cast_signed();
        // Its thread is there before the helpers are: they may take what the system grants.
        let (helpers, forked) = mpsc::channel();
        let waiting = match count {
            1 => None,
            _ => forked_thread::spawn(c"hi_crew", move || wait(shared, forked.recv().unwrap_or_default(), status)).ok(),
        };
        let mut pids = Vec::new();
        if waiting.is_some() {
            // SAFETY: the handler calls what a handler may.
            unsafe { libc::signal(libc::SIGALRM, give_up as *const () as libc::sighandler_t) };
            for (number, place) in HELPERS.iter().enumerate().take(count).skip(1) {
                // SAFETY: the other process uses what this one does.
                match unsafe { libc::fork() } {
                    0 => {
                        // A thread that is not here may have locked them.
                        mem::forget((helpers, waiting));
                        let helper = Member { shared, role: Role::Helper(number) };
                        if stay_with(leader, ending).is_err() {
                            helper.end_helper();
                        }
                        return helper;
                    }
                    pid if pid > 0 => {
                        place.store(pid, Ordering::SeqCst);
                        pids.push((pid, number));
                    }
                    _ => break,
                }
            }
            IS_FORKED.store(true, Ordering::SeqCst);
            if IS_GIVEN_UP.load(Ordering::SeqCst) {
                give_up(libc::SIGALRM);
            }
        }
        let _ = helpers.send(pids);
        Member { shared, role: Role::Leader(waiting) }
    }

    pub(super) fn leads(&self) -> bool {
        matches!(self.role, Role::Leader(_))
    }

    /// The leader waits for the others, whose parts are written then.
    pub(super) fn wait(&mut self) {
        if let Role::Leader(waiting) = &mut self.role
            && let Some(waiting) = waiting.take()
        {
            waiting.join();
        }
    }

    /// A helper's end, when all its parts are written, or where it has begun none.
    pub(super) fn end_helper(&self) {
        if let Role::Helper(number) = self.role {
            self.shared.through[number].store(true, Ordering::Release);
            // SAFETY: runs nothing of the server's.
            unsafe { libc::_exit(TOLD) }
        }
    }
}

/// The leader's helpers that it has not waited for, by number; none in a helper.
static HELPERS: [AtomicI32; MOST] = [const { AtomicI32::new(0) }; MOST];
/// Whether all are forked.
static IS_FORKED: AtomicBool = AtomicBool::new(false);
/// Whether the leader is to end before.
static IS_GIVEN_UP: AtomicBool = AtomicBool::new(false);
/// Whether a thread of the leader has begun to end it.
static IS_ENDING: AtomicBool = AtomicBool::new(false);

/// Ends the helpers and waits for them. Whoever calls it ends the process then.
pub(super) fn stop() {
    IS_ENDING.store(true, Ordering::SeqCst);
    let pids = || HELPERS.iter().map(|pid| pid.load(Ordering::SeqCst)).filter(|pid| *pid > 0);
    // SAFETY: children of this process that it has not waited for; both may be called in a handler.
    unsafe {
        pids().for_each(|pid| {
            libc::kill(pid, libc::SIGKILL);
        });
        pids().for_each(|pid| {
            libc::waitpid(pid, ptr::null_mut(), 0);
        });
    }
}

/// The leader's answer to SIGALRM, by which it is given up.
extern "C" fn give_up(_signal: c_int) {
    if !IS_FORKED.load(Ordering::SeqCst) {
        IS_GIVEN_UP.store(true, Ordering::SeqCst);
        if !IS_FORKED.load(Ordering::SeqCst) {
            return;
        }
    }
    stop();
    // SAFETY: runs nothing of the server's.
    unsafe { libc::_exit(LATE) }
}

/// Has a helper end when its leader does, or when the time is over.
fn stay_with(leader: libc::pid_t, ending: Instant) -> io::Result<()> {
    HELPERS.iter().for_each(|pid| pid.store(0, Ordering::SeqCst));
    // SAFETY: a number.
    unsafe { libc::signal(libc::SIGALRM, libc::SIG_DFL) };
    #[cfg(target_os = "linux")]
    // SAFETY: plain numbers.
    unsafe {
        libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL);
        if libc::getppid() != leader {
            libc::_exit(ORPHANED);
        }
    }
    // Where memory runs out it goes before the server, as the leader, of whom the server says it.
    let _ = std::fs::write("/proc/self/oom_score_adj", "1000");
    let left = ending.saturating_duration_since(Instant::now());
    // SAFETY: a number; the leader's alarm is not this process's.
    unsafe { libc::alarm(u32::try_from(left.as_secs()).unwrap_or(u32::MAX).saturating_add(5)) };
    forked_thread::spawn(c"hi_watch", move || watch(leader, ending, None)).map(drop)
}

/// Waits for the helpers. Where one failed this process ends as it did, and the others before.
fn wait(shared: &Shared, mut helpers: Vec<(libc::pid_t, usize)>, status: RawFd) {
    while !helpers.is_empty() {
        let mut how = 0;
        // SAFETY: a place to write to. There are no other children.
        let pid = unsafe { libc::waitpid(-1, &raw mut how, 0) };
        if pid < 0 {
            let error = io::Error::last_os_error();
            if error.kind() == io::ErrorKind::Interrupted {
                continue;
            }
            end(status, &system(&error));
        }
        let Some(at) = helpers.iter().position(|(helper, _)| *helper == pid) else { continue };
        let (_, number) = helpers.swap_remove(at);
        HELPERS[number].store(0, Ordering::SeqCst);
        if !shared.through[number].load(Ordering::Acquire) {
            while IS_ENDING.load(Ordering::SeqCst) {
                std::thread::sleep(LONG_LOOK);
            }
            stop();
            end_as(how, status);
        }
    }
}

/// Ends this process as a helper ended that has not done its work.
fn end_as(how: c_int, status: RawFd) -> ! {
    if libc::WIFSIGNALED(how) {
        let signal = libc::WTERMSIG(how);
        // SAFETY: plain numbers.
        unsafe {
            libc::signal(signal, libc::SIG_DFL);
            open_signals(&[signal]);
            libc::raise(signal);
        }
        end(status, &failed(0, &format!("signal {signal} ended one of its processes")));
    }
    // SAFETY: runs nothing of the server's. It has told why.
    unsafe { libc::_exit(libc::WEXITSTATUS(how)) }
}
