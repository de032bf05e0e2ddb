//! Results that one thread takes in their order while it and others make the next ones, a few ahead at most: so memory is for these.

use std::collections::BTreeMap;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

/// Numbered jobs and what was made of them.
#[derive(Debug)]
pub(crate) struct InOrder<T> {
    count: usize,
    ahead: usize,
    state: Mutex<State<T>>,
    changed: Condvar,
}

#[derive(Debug)]
struct State<T> {
    /// The first that nobody has begun.
    next: usize,
    /// Those whose thread ended by a panic.
    given_back: Vec<usize>,
    made: BTreeMap<usize, T>,
    taken: usize,
    is_closed: bool,
}

impl<T> State<T> {
    fn claim(&mut self, end: usize) -> Option<usize> {
        self.given_back.pop().or_else(|| {
            let job = self.next;
            (job < end).then(|| self.next += 1).map(|()| job)
        })
    }
}

impl<T> InOrder<T> {
    /// So many jobs, of which at most `ahead`, and at least one, are begun before their turn.
    pub(crate) fn new(count: usize, ahead: usize) -> InOrder<T> {
        let state = State { next: 0, given_back: Vec::new(), made: BTreeMap::new(), taken: 0, is_closed: false };
        InOrder { count, ahead: ahead.max(1), state: Mutex::new(state), changed: Condvar::new() }
    }

    fn lock(&self) -> MutexGuard<'_, State<T>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Makes what may be begun next, a few before their turn at most; where there is nothing, waits until that may have changed.
    fn go_on<'a>(
        &'a self,
        mut state: MutexGuard<'a, State<T>>,
        make: &mut impl FnMut(usize) -> T,
    ) -> MutexGuard<'a, State<T>> {
        let end = self.count.min(state.taken.saturating_add(self.ahead));
        match state.claim(end) {
            Some(job) => {
                drop(state);
                self.make(job, make);
                self.lock()
            }
            None => self.changed.wait(state).unwrap_or_else(PoisonError::into_inner),
        }
    }

    /// Makes results for the thread that takes them, until all are begun or no more are wanted.
    pub(crate) fn help(&self, mut make: impl FnMut(usize) -> T) {
        let mut state = self.lock();
        while !state.is_closed && (state.next < self.count || !state.given_back.is_empty()) {
            state = self.go_on(state, &mut make);
        }
    }

    /// The next result, none after the last. What nobody has begun is made here, and while another makes it those behind it.
    pub(crate) fn next(&self, mut make: impl FnMut(usize) -> T) -> Option<T> {
        let mut state = self.lock();
        loop {
            let turn = state.taken;
            if turn == self.count {
                return None;
            }
            if let Some(made) = state.made.remove(&turn) {
                state.taken += 1;
                self.changed.notify_all();
                return Some(made);
            }
            state = self.go_on(state, &mut make);
        }
    }

    /// No more results are wanted: who helps ends after the one in work.
    pub(crate) fn close(&self) {
        self.lock().is_closed = true;
        self.changed.notify_all();
    }

    fn make(&self, job: usize, make: &mut impl FnMut(usize) -> T) {
        /// Nobody waits for a thread that is gone.
        struct Begun<'a, T>(&'a InOrder<T>, Option<usize>);
        impl<T> Drop for Begun<'_, T> {
            fn drop(&mut self) {
                if let Some(job) = self.1 {
                    self.0.lock().given_back.push(job);
                    self.0.changed.notify_all();
                }
            }
        }
        let mut begun = Begun(self, Some(job));
        let made = make(job);
        begun.1 = None;
        self.lock().made.insert(job, made);
        self.changed.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::panic::{AssertUnwindSafe, catch_unwind};
    use std::sync::atomic::{AtomicUsize, Ordering};

    /// What the caller takes of squares that it and `helpers` make, and the most that were begun before their turn.
    fn taken(count: usize, ahead: usize, helpers: usize) -> (Vec<usize>, usize) {
        let jobs = InOrder::new(count, ahead);
        let (begun, most) = (AtomicUsize::new(0), AtomicUsize::new(0));
        let make = |job: usize| {
            most.fetch_max(
                (begun.fetch_add(1, Ordering::SeqCst) + 1).saturating_sub(jobs.lock().taken),
                Ordering::SeqCst,
            );
            std::thread::yield_now();
            job * job
        };
        let mut found = Vec::new();
        std::thread::scope(|scope| {
            for _ in 0..helpers {
                scope.spawn(|| jobs.help(make));
            }
            while let Some(square) = jobs.next(make) {
                found.push(square);
            }
        });
        (found, most.into_inner())
    }

    #[test]
    fn all_come_in_order_and_few_ahead() {
        for (count, ahead, helpers) in [(0, 3, 2), (1, 0, 0), (50, 1, 3), (200, 4, 1), (200, 7, 5)] {
            let (found, most) = taken(count, ahead, helpers);
            assert_eq!(found, (0..count).map(|job| job * job).collect::<Vec<_>>());
            assert!(most <= ahead.max(1), "{most} of {ahead}");
        }
    }

    #[test]
    fn what_a_helper_did_not_finish_is_made_by_the_caller() {
        let jobs = InOrder::new(3, 3);
        std::thread::scope(|scope| {
            let helper = scope.spawn(|| {
                catch_unwind(AssertUnwindSafe(|| {
                    jobs.help(|job| if job == 1 { panic!("as a test wants") } else { job })
                }))
            });
            assert!(helper.join().is_ok_and(|ended| ended.is_err()));
            assert_eq!((jobs.next(|job| job + 10), jobs.next(|job| job + 10)), (Some(0), Some(11)));
            assert_eq!((jobs.next(|job| job + 10), jobs.next(|job| job + 10)), (Some(12), None));
        });
    }

    #[test]
    fn nobody_helps_when_no_more_is_wanted() {
        let jobs = InOrder::new(1 << 40, 1);
        std::thread::scope(|scope| {
            let helper = scope.spawn(|| jobs.help(|job| job));
            assert_eq!(jobs.next(|job| job), Some(0));
            jobs.close();
            assert!(helper.join().is_ok());
        });
    }
}
