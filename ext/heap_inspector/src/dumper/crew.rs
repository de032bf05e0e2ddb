//! The processes that walk one heap together: the child that was forked for the dump leads, and forks the others, which see the same heap.
//!
//! Each packs what it walks and writes it to the dump itself, when the parts before it are written. What they share stands in memory that
//! the fork does not copy. One that fails ends them all: it has told why, or a signal ended it, and then the leader ends by the same.

use super::{ORPHANED, TOLD, end, failed, open_signals, system, watch};
use crate::forked_thread::{self, Handle};
use rb_sys::VALUE;
use std::ffi::c_int;
use std::io;
use std::mem;
use std::os::fd::RawFd;
use std::ptr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
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
    /// Forks as many as there are processors for and slots; returns in each of them. Where the system refuses, fewer do the work.
    ///
    /// To be called where this process has no thread that may hold a lock.
    pub(super) fn gather(shared: &'static Shared, slots: usize, status: RawFd, ending: Instant) -> io::Result<Member> {
        let processors = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        let count = processors.min(MOST).min(1 + slots / SLOTS);
        let leader = std::process::id().cast_signed();
        let mut helpers = Vec::new();
        for number in 1..count {
            // SAFETY: the other process uses what this one does.
            match unsafe { libc::fork() } {
                0 => {
                    stay_with(leader, ending)?;
                    return Ok(Member { shared, role: Role::Helper(number) });
                }
                pid if pid > 0 => helpers.push((pid, number)),
                _ => break,
            }
        }
        let waiting = match helpers.is_empty() {
            true => None,
            false => Some(forked_thread::spawn(c"hi_crew", move || wait(shared, helpers, status))?),
        };
        Ok(Member { shared, role: Role::Leader(waiting) })
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

    /// A helper's end, when all its parts are written.
    pub(super) fn end_helper(&self) {
        if let Role::Helper(number) = self.role {
            self.shared.through[number].store(true, Ordering::Release);
            // SAFETY: runs nothing of the server's.
            unsafe { libc::_exit(TOLD) }
        }
    }
}

/// Has a helper end when its leader does, or when the time is over.
fn stay_with(leader: libc::pid_t, ending: Instant) -> io::Result<()> {
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
        if !shared.through[number].load(Ordering::Acquire) {
            // SAFETY: children of this process that it has not waited for.
            helpers.iter().for_each(|(pid, _)| unsafe {
                libc::kill(*pid, libc::SIGKILL);
            });
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
