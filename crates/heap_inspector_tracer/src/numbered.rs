//! Values kept once, by number, in the order in which they came.

use hashbrown::{DefaultHashBuilder, HashTable};
use std::hash::{BuildHasher, Hash};

/// The values. What comes beyond a number of them, or where there is no memory for it, is not kept.
#[derive(Debug)]
pub struct Numbered<T> {
    values: Vec<T>,
    numbers: HashTable<u32>,
    hasher: DefaultHashBuilder,
    most: usize,
}

impl<T: Copy + Eq + Hash> Numbered<T> {
    /// None yet, and at most so many.
    #[must_use]
    pub fn new(most: usize) -> Numbered<T> {
        Numbered { values: Vec::new(), numbers: HashTable::new(), hasher: DefaultHashBuilder::default(), most }
    }

    /// The number of a value, which is that of the values before it where it is new; none where there is no room for it.
    pub fn intern(&mut self, value: T) -> Option<u32> {
        let Numbered { values, numbers, hasher, most } = self;
        let hash = hasher.hash_one(value);
        if let Some(known) = numbers.find(hash, |number| values.get(*number as usize) == Some(&value)) {
            return Some(*known);
        }
        if values.len() >= *most {
            return None;
        }
        values.try_reserve(1).ok()?;
        let hash_of = |number: &u32| values.get(*number as usize).map_or(0, |value| hasher.hash_one(value));
        numbers.try_reserve(1, hash_of).ok()?;
        let number = u32::try_from(values.len()).ok()?;
        numbers.insert_unique(hash, number, hash_of);
        values.push(value);
        Some(number)
    }

    /// A value by its number.
    #[must_use]
    pub fn get(&self, number: u32) -> Option<T> {
        self.values.get(number as usize).copied()
    }

    /// All by their numbers.
    #[must_use]
    pub fn values(&self) -> &[T] {
        &self.values
    }

    /// Bytes that they take.
    #[must_use]
    pub fn memory(&self) -> usize {
        self.values.capacity() * size_of::<T>() + self.numbers.capacity() * 5
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_has_one_number_and_what_has_no_room_has_none() {
        let mut numbered = Numbered::new(2);
        assert_eq!(["a", "b", "a", "c"].map(|value| numbered.intern(value)), [Some(0), Some(1), Some(0), None]);
        assert_eq!((numbered.get(1), numbered.get(2), numbered.values()), (Some("b"), None, &["a", "b"][..]));
    }
}
