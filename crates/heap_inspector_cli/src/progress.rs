//! A progress bar on standard error for work that takes longer than a moment.

use heap_inspector::threads;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::sync::{Mutex, OnceLock, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// Shorter work shows no bar.
const MOMENT: Duration = Duration::from_millis(300);
const TICK: Duration = Duration::from_millis(100);

/// A bar that shows itself when the work turns out to be long, and goes when it is dropped.
pub(crate) struct Progress {
    wanted: bool,
    start: Instant,
    bar: OnceLock<ProgressBar>,
    ticker: Mutex<Option<Ticker>>,
}

/// What moves the bar while nothing is read. Where there is no thread for it the bar moves with what is read alone.
struct Ticker {
    /// The thread ends when this goes.
    end: Sender<()>,
    thread: JoinHandle<()>,
}

impl Ticker {
    /// The bar's own ticker would panic where the system gives no thread.
    fn of(bar: &ProgressBar) -> Option<Ticker> {
        let (end, ended) = channel();
        let bar = bar.clone();
        let tick = move || {
            while ended.recv_timeout(TICK) == Err(RecvTimeoutError::Timeout) {
                bar.tick();
            }
        };
        threads::beside("progress", tick).map(|thread| Ticker { end, thread })
    }
}

impl Progress {
    pub(crate) fn new(wanted: bool) -> Progress {
        Progress { wanted, start: Instant::now(), bar: OnceLock::new(), ticker: Mutex::new(None) }
    }

    /// So many bytes of the input are read, of so many if that is known. When all are, a spinner stays while the sums are made.
    pub(crate) fn update(&self, read: u64, all: Option<u64>) {
        if !self.wanted || self.start.elapsed() < MOMENT {
            return;
        }
        let bar = self.bar.get_or_init(|| {
            let bar = ProgressBar::with_draw_target(all, ProgressDrawTarget::stderr());
            bar.set_style(style(all.map_or(
                "{spinner} {bytes} read in {elapsed}",
                |_| "{bar:30} {percent:>3} %  {bytes} of {total_bytes}, {eta} left",
            )));
            *self.ticker.lock().unwrap_or_else(PoisonError::into_inner) = Ticker::of(&bar);
            bar
        });
        bar.set_position(read);
        if all.is_some_and(|all| read >= all) {
            bar.set_style(style("{spinner} {bytes} read, adding up"));
        }
    }
}

fn style(template: &str) -> ProgressStyle {
    ProgressStyle::with_template(template).expect("the templates are right, and tested")
}

impl Drop for Progress {
    fn drop(&mut self) {
        if let Some(Ticker { end, thread }) = self.ticker.get_mut().unwrap_or_else(PoisonError::into_inner).take() {
            drop(end);
            let _ = thread.join(); // a bar that could not be drawn
        }
        if let Some(bar) = self.bar.get() {
            bar.finish_and_clear();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shows_a_bar_for_long_work_alone() {
        let short = Progress::new(true);
        short.update(1, Some(2));
        assert!(short.bar.get().is_none());
        let long_ago = Instant::now().checked_sub(2 * MOMENT).expect("the machine is up that long");
        for all in [Some(2), None] {
            let mut long = Progress::new(true);
            long.start = long_ago;
            long.update(1, all);
            long.update(2, all);
            assert_eq!(long.bar.get().map(ProgressBar::position), Some(2));
            assert!(long.ticker.get_mut().expect("nobody panicked").is_some());
        }
        let mut unwanted = Progress::new(false);
        unwanted.start = long_ago;
        unwanted.update(1, Some(2));
        assert!(unwanted.bar.get().is_none());
    }

    #[test]
    fn shows_a_bar_where_there_is_no_further_thread() {
        let mut alone = Progress::new(true);
        alone.start = Instant::now().checked_sub(2 * MOMENT).expect("the machine is up that long");
        threads::without(|| alone.update(2, Some(2)));
        assert_eq!(alone.bar.get().map(ProgressBar::position), Some(2));
        assert!(alone.ticker.get_mut().expect("nobody panicked").is_none());
    }
}
