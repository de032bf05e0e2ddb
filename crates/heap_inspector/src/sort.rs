//! Sorting of what is not many: groups, rows, places, whatever their types.
//!
//! The standard library's sort is compiled for each type and each comparison, 10 KB at a time; a hundred of them were a tenth of the gem's
//! library. Here the places are sorted, by one routine that calls the comparison, and then what stands there is moved. That takes half
//! as long again and 12 bytes for each, so what may have millions stays with the standard library.

use std::cmp::Ordering;

/// Sorts as `sort_by` does: what is equal stays in its order.
pub fn by<T>(list: &mut [T], compare: impl Fn(&T, &T) -> Ordering) {
    let mut order = places(list.len(), &|a, b| compare(&list[a], &list[b]));
    for start in 0..list.len() {
        // Along the circle of those that take each other's place.
        let mut at = start;
        while order[at] != start {
            let next = order[at];
            list.swap(at, next);
            order[at] = at;
            at = next;
        }
        order[at] = at;
    }
}

/// Sorts as `sort_by_key` does.
pub fn by_key<T, K: Ord>(list: &mut [T], key: impl Fn(&T) -> K) {
    by(list, |a, b| key(a).cmp(&key(b)));
}

/// The places `0..count` by what stands there, of equal ones the first first.
#[inline(never)]
pub(crate) fn places(count: usize, compare: &dyn Fn(usize, usize) -> Ordering) -> Vec<usize> {
    let mut order: Vec<usize> = (0..count).collect();
    order.sort_by(|a, b| compare(*a, *b));
    order
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn sorts_as_the_standard_library_does(texts in prop::collection::vec("[ab]{0,3}", 0..60)) {
            let mut ours: Vec<(usize, String)> = texts.into_iter().enumerate().collect();
            let mut twin = ours.clone();
            by(&mut ours, |(_, a), (_, b)| b.cmp(a));
            twin.sort_by(|(_, a), (_, b)| b.cmp(a));
            prop_assert_eq!(&ours, &twin);
            by_key(&mut ours, |(_, text)| text.len());
            twin.sort_by_key(|(_, text)| text.len());
            prop_assert_eq!(ours, twin);
        }
    }
}
