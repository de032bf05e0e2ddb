//! Threads made for one call, as many as the system gives: where it refuses one (`ulimit -u`), the work is done by the caller.

use std::cell::Cell;
use std::sync::{Mutex, PoisonError};
use std::thread::{Builder, JoinHandle, Scope, ScopedJoinHandle};

mod in_order;

pub(crate) use in_order::InOrder;

thread_local! {
    /// Whether this thread gets no other ones.
    static ALONE: Cell<bool> = const { Cell::new(false) };
}

/// Does `work` as where the system gives no thread: for tests.
#[doc(hidden)]
pub fn without<T>(work: impl FnOnce() -> T) -> T {
    ALONE.set(true);
    let done = work();
    ALONE.set(false);
    done
}

/// A thread of its own for `job`, where the system gives one.
pub fn beside(name: &str, job: impl FnOnce() + Send + 'static) -> Option<JoinHandle<()>> {
    if ALONE.get() { None } else { Builder::new().name(name.to_owned()).spawn(job).ok() }
}

/// Does all jobs, each on a thread of its own but for the last, which the caller does; the results in the order of the jobs.
pub(crate) fn all<T: Send, F: FnOnce() -> T + Send>(jobs: Vec<F>) -> Vec<T> {
    let jobs: Vec<Mutex<Option<F>>> = jobs.into_iter().map(|job| Mutex::new(Some(job))).collect();
    let Some((last, others)) = jobs.split_last() else { return Vec::new() };
    std::thread::scope(|scope| {
        let handles: Vec<_> = others.iter().map(|job| (spawn(scope, move || run(job)), job)).collect();
        let last = run(last);
        let others = handles.into_iter().map(|(handle, job)| match handle {
            Some(handle) => handle.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)),
            None => run(job),
        });
        // The caller's came first, so that it waits for the others; they stand before it.
        let mut done: Vec<T> = others.collect();
        done.push(last);
        done
    })
}

/// Does both, the first beside the caller where `parallel` says so.
pub(crate) fn both<A: Send, B>(parallel: bool, one: impl FnOnce() -> A + Send, other: impl FnOnce() -> B) -> (A, B) {
    let one = Mutex::new(Some(one));
    std::thread::scope(|scope| {
        let handle = if parallel { spawn(scope, || run(&one)) } else { None };
        let other = other();
        match handle {
            Some(handle) => (handle.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)), other),
            None => (run(&one), other),
        }
    })
}

fn run<T, F: FnOnce() -> T>(job: &Mutex<Option<F>>) -> T {
    let job = job.lock().unwrap_or_else(PoisonError::into_inner).take();
    job.expect("a job is taken once: by its thread, or by the caller where that was not made")()
}

fn spawn<'scope, T: Send + 'scope>(
    scope: &'scope Scope<'scope, '_>,
    job: impl FnOnce() -> T + Send + 'scope,
) -> Option<ScopedJoinHandle<'scope, T>> {
    if ALONE.get() { None } else { Builder::new().spawn_scoped(scope, job).ok() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_threads_the_caller_does_all() {
        let caller = std::thread::current().id();
        let look = |none: bool| {
            let where_each = || std::thread::current().id();
            let done = all((0..5).map(|number| move || (number, where_each())).collect::<Vec<_>>());
            assert_eq!(done.iter().map(|(number, _)| *number).collect::<Vec<_>>(), [0, 1, 2, 3, 4]);
            assert_eq!(done.iter().filter(|(_, id)| *id == caller).count(), if none { 5 } else { 1 });
            let (one, other) = both(true, where_each, where_each);
            assert_eq!((one == caller, other == caller), (none, true));
            assert_eq!(both(false, where_each, || 7), (caller, 7));
            assert_eq!(beside("test", || {}).is_none(), none);
        };
        look(false);
        without(|| look(true));
    }
}
