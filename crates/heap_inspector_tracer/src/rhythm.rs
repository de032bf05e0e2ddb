//! How often the windows of continuous tracing come, so that they take a share of the process's processor time.
//!
//! What a window costs and how busy the process is are means over the last windows. So a window that cost much, or one soon after
//! another, does not keep the next ones away for long, as it would where each was judged by the time since the one before.

use std::time::Duration;

/// Of what was known, so much is left at each window: about the last eight count.
const LEFT: f64 = 0.875;
/// Nanoseconds that a window costs beside its samples: a thread that wakes twice, and a hook that comes and goes.
const OWN: f64 = 20_000.0;
/// Between the begins of two windows.
const SHORTEST: Duration = Duration::from_millis(40);
const LONGEST: Duration = Duration::from_secs(30);
/// Before anything is known.
const FIRST: Duration = Duration::from_millis(200);

/// What the last windows were like: sums in which later ones count more.
#[derive(Clone, Debug, Default)]
pub struct Rhythm {
    windows: f64,
    /// Nanoseconds.
    cost: f64,
    processor: f64,
    time: f64,
}

impl Rhythm {
    /// A window was closed that cost so many nanoseconds; since the one before so much processor time was taken, and time went by.
    pub fn take(&mut self, cost: f64, processor: Duration, time: Duration) {
        let add = |sum: &mut f64, more: f64| *sum = *sum * LEFT + more;
        add(&mut self.windows, 1.0);
        add(&mut self.cost, cost);
        add(&mut self.processor, processor.as_nanos() as f64);
        add(&mut self.time, time.as_nanos() as f64);
    }

    /// From one window's begin to the next, on average, for that share of the processor time.
    #[must_use]
    pub fn interval(&self, budget: f64) -> Duration {
        if self.windows < 0.5 || self.time <= 0.0 {
            return FIRST;
        }
        let each = self.cost / self.windows + OWN;
        let allowed = budget * self.processor / self.time;
        let nanoseconds = each / allowed.max(f64::MIN_POSITIVE);
        Duration::from_nanos(nanoseconds.min(LONGEST.as_nanos() as f64) as u64).max(SHORTEST)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn after(windows: &[(f64, u64, u64)]) -> Duration {
        let mut rhythm = Rhythm::default();
        for (cost, processor, time) in windows {
            rhythm.take(*cost, Duration::from_millis(*processor), Duration::from_millis(*time));
        }
        rhythm.interval(0.01)
    }

    #[test]
    fn windows_take_their_share_of_a_busy_process() {
        assert_eq!(after(&[]), FIRST);
        // 2 ms, of a process that is always at work, are a hundredth of 0.2 s.
        assert_eq!(after(&[(1_980_000.0, 100, 100)]), Duration::from_millis(200));
        assert_eq!(after(&[(1_980_000.0, 200, 200); 9]), Duration::from_millis(200));
        // Of one that is so half of the time they are one of 0.4 s.
        assert_eq!(after(&[(1_980_000.0, 50, 100)]), Duration::from_millis(400));
    }

    #[test]
    fn one_soon_after_another_changes_little() {
        let usual = after(&[(1_980_000.0, 200, 200); 20]);
        let mut windows = vec![(1_980_000.0, 200, 200); 20];
        windows.push((1_980_000.0, 1, 1));
        let next = after(&windows);
        assert!(next >= usual.mul_f64(0.99) && next <= usual.mul_f64(1.01), "{next:?}");
    }

    #[test]
    fn it_keeps_within_bounds() {
        assert_eq!(after(&[(0.0, 0, 1000)]), LONGEST);
        assert_eq!(after(&[(1e12, 1, 1000)]), LONGEST);
        assert_eq!(after(&[(0.0, 8000, 1000)]), SHORTEST);
        assert_eq!(after(&[(0.0, 0, 0)]), FIRST);
    }
}
