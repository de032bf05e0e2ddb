//! Sorting that can be stopped: `sort_by` of the standard library looks at no flag, and ten million names take it half a minute.

use crate::Result;
use crate::control::Control;
use std::cmp::Ordering;

/// So many are sorted at a stretch.
const RUN: usize = 1 << 13;

/// Sorts as `sort_by` does: stretches by that, which are then merged. Takes as much memory again.
///
/// # Errors
/// [`crate::Error::Interrupted`] when cancelled.
pub(super) fn sort<T: Copy>(
    list: &mut Vec<T>,
    control: &Control<'_>,
    compare: impl Fn(&T, &T) -> Ordering,
) -> Result<()> {
    for run in list.chunks_mut(RUN) {
        control.check()?;
        run.sort_by(&compare);
    }
    let (mut width, mut merged) = (RUN, Vec::new());
    while width < list.len() {
        merged.clear();
        merged.reserve_exact(list.len());
        for pair in list.chunks(2 * width) {
            let (mut one, mut other) = pair.split_at(width.min(pair.len()));
            while let (Some(a), Some(b)) = (one.first(), other.first()) {
                control.check_at(merged.len())?;
                let (first, from) = if compare(a, b).is_le() { (*a, &mut one) } else { (*b, &mut other) };
                merged.push(first);
                *from = &from[1..];
            }
            merged.extend_from_slice(one);
            merged.extend_from_slice(other);
        }
        std::mem::swap(list, &mut merged);
        width *= 2;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sorts_as_the_standard_library_does_and_looks_at_the_flag() {
        let numbers = (0..5 * RUN as u32 + 7).map(|number| (number.wrapping_mul(2_654_435_761) >> 20, number));
        for count in [0, 1, RUN, RUN + 1, 5 * RUN + 7] {
            let mut list: Vec<(u32, u32)> = numbers.clone().take(count).collect();
            let mut expected = list.clone();
            expected.sort_by_key(|(key, _)| *key); // stable, so the second ascends within a first
            let before = crate::control::looks();
            sort(&mut list, &Control::default(), |a, b| a.0.cmp(&b.0)).expect("nobody cancels");
            assert_eq!(list, expected);
            assert!((crate::control::looks() - before) as usize >= count / RUN);
        }
    }
}
