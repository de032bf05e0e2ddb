//! A progress bar on standard error for work that takes longer than a moment.

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

/// Shorter work shows no bar.
const MOMENT: Duration = Duration::from_millis(300);
const TICK: Duration = Duration::from_millis(100);

/// A bar that shows itself when the work turns out to be long, and goes when it is dropped.
pub(crate) struct Progress {
    wanted: bool,
    start: Instant,
    bar: OnceLock<ProgressBar>,
}

impl Progress {
    pub(crate) fn new(wanted: bool) -> Progress {
        Progress { wanted, start: Instant::now(), bar: OnceLock::new() }
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
            bar.enable_steady_tick(TICK);
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
        }
        let mut unwanted = Progress::new(false);
        unwanted.start = long_ago;
        unwanted.update(1, Some(2));
        assert!(unwanted.bar.get().is_none());
    }
}
