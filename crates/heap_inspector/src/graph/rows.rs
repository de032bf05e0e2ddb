//! Lists of numbers behind one another, one for each number: the compressed sparse rows in which a graph's edges are kept.
//!
//! Two passes over the same pairs of a list and what it holds: the first counts, the second puts each at the end of its list's part, the
//! last first. So the lists are in the order of the pairs where the second pass goes backwards. Costs 4 bytes for each list and pair,
//! and time for both.

use crate::memory::zeroed;
use crate::{Error, Result};

/// How many each list will hold; at first nothing.
#[derive(Debug)]
pub(crate) struct Counts(Vec<u32>);

impl Counts {
    /// So many empty lists.
    ///
    /// # Errors
    /// [`Error::Memory`].
    pub(crate) fn new(lists: usize) -> Result<Counts> {
        Ok(Counts(zeroed(lists + 1)?))
    }

    /// One more for a list.
    #[inline(always)]
    pub(crate) fn add(&mut self, list: u32) {
        self.0[list as usize] += 1;
    }

    /// Room for all that was counted.
    ///
    /// # Errors
    /// [`Error::Format`] for more than 4,294,967,295, [`Error::Memory`].
    pub(crate) fn room(self) -> Result<Room> {
        let Counts(mut begins) = self;
        let mut sum = 0u32;
        for begin in &mut begins {
            let message = "more than 4,294,967,295 references and objects; they cannot be numbered";
            sum = sum.checked_add(*begin).ok_or_else(|| Error::format(message))?;
            *begin = sum;
        }
        Ok(Room(Rows { begins, items: zeroed(sum as usize)? }))
    }
}

/// Lists that are being filled, each from its end; where the free part of one ends stands where it will begin.
#[derive(Debug)]
pub(crate) struct Room(Rows);

impl Room {
    /// Puts an item before those that the list has. No list may get another number than was counted.
    #[inline(always)]
    pub(crate) fn put(&mut self, list: u32, item: u32) {
        let place = &mut self.0.begins[list as usize];
        *place -= 1;
        self.0.items[*place as usize] = item;
    }

    /// The lists, now full.
    pub(crate) fn rows(self) -> Rows {
        self.0
    }
}

/// The lists by number.
#[derive(Debug, Default)]
pub(crate) struct Rows {
    /// Where each one begins in `items`, and where the last one ends.
    begins: Vec<u32>,
    items: Vec<u32>,
}

impl Rows {
    /// What a list holds.
    #[inline(always)]
    pub(crate) fn of(&self, list: u32) -> &[u32] {
        &self.items[self.begins[list as usize] as usize..self.begins[list as usize + 1] as usize]
    }

    /// How many lists there are.
    pub(crate) fn len(&self) -> usize {
        self.begins.len().saturating_sub(1)
    }

    /// About how many bytes of memory they take.
    pub(crate) fn footprint(&self) -> usize {
        4 * (self.begins.capacity() + self.items.capacity())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test may panic")]

    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn are_the_pairs_of_each_list_in_order(lists in 1u32..20, pairs in proptest::collection::vec((0u32..20, any::<u32>()), 0..200)) {
            let pairs: Vec<(u32, u32)> = pairs.into_iter().map(|(list, item)| (list % lists, item)).collect();
            let mut counts = Counts::new(lists as usize).unwrap();
            pairs.iter().for_each(|(list, _)| counts.add(*list));
            let mut room = counts.room().unwrap();
            pairs.iter().rev().for_each(|(list, item)| room.put(*list, *item));
            let rows = room.rows();
            prop_assert_eq!(rows.len(), lists as usize);
            for list in 0..lists {
                let slow: Vec<u32> = pairs.iter().filter(|(of, _)| *of == list).map(|(_, item)| *item).collect();
                prop_assert_eq!(rows.of(list), slow);
            }
        }
    }

    #[test]
    fn more_than_can_be_numbered_are_an_error() {
        let counts = Counts(vec![u32::MAX, 1, 0]);
        assert!(counts.room().unwrap_err().to_string().contains("4,294,967,295"));
    }
}
