//! What is known of Ruby objects by their addresses, for as long as these live.

use hashbrown::HashMap;

/// How an object stands when marking has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mark {
    /// It will be swept.
    Dead,
    /// It lives.
    Young,
    /// It lives, and a minor collection will not sweep it.
    Old,
}

/// Values by the addresses of objects, which it does not keep alive. [`WeakMap::sweep`] has to be called whenever marking has ended, and
/// [`WeakMap::relocate`] when objects were moved; then all that is in it lives.
#[derive(Debug)]
pub struct WeakMap<V> {
    entries: HashMap<u64, Entry<V>>,
}

#[derive(Clone, Copy, Debug)]
struct Entry<V> {
    value: V,
    is_old: bool,
}

impl<V> Default for WeakMap<V> {
    fn default() -> Self {
        WeakMap { entries: HashMap::new() }
    }
}

impl<V: Copy> WeakMap<V> {
    /// The value of the object at `address`.
    #[must_use]
    pub fn get(&self, address: u64) -> Option<V> {
        self.entries.get(&address).map(|entry| entry.value)
    }

    /// A value to change.
    pub fn get_mut(&mut self, address: u64) -> Option<&mut V> {
        self.entries.get_mut(&address).map(|entry| &mut entry.value)
    }

    /// Keeps a value of a new object; false where there is no memory for it.
    pub fn insert(&mut self, address: u64, value: V) -> bool {
        let has_room = self.entries.try_reserve(1).is_ok();
        if has_room {
            self.entries.insert(address, Entry { value, is_old: false });
        }
        has_room
    }

    /// Forgets one.
    pub fn remove(&mut self, address: u64) {
        self.entries.remove(&address);
    }

    /// Drops what is dead, and what `keep` does not want. A minor collection leaves what was old. Returns how many there are less.
    pub fn sweep(
        &mut self,
        is_major: bool,
        mut mark: impl FnMut(u64) -> Mark,
        mut keep: impl FnMut(&V) -> bool,
    ) -> usize {
        let before = self.entries.len();
        self.entries.retain(|address, entry| {
            if entry.is_old && !is_major {
                return true;
            }
            let mark = mark(*address);
            entry.is_old = mark == Mark::Old;
            mark != Mark::Dead && keep(&entry.value)
        });
        before - self.entries.len()
    }

    /// Follows objects that were moved. Where there is no memory for it all is forgotten: an entry must not stand at a wrong address.
    pub fn relocate(&mut self, mut moved: impl FnMut(u64) -> u64) {
        let mut entries = HashMap::new();
        if entries.try_reserve(self.entries.len()).is_ok() {
            entries.extend(self.entries.drain().map(|(address, entry)| (moved(address), entry)));
        }
        self.entries = entries;
    }

    /// How many.
    #[must_use]
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// All, in no order.
    pub fn iter(&self) -> impl Iterator<Item = (u64, V)> {
        self.entries.iter().map(|(address, entry)| (*address, entry.value))
    }

    /// Forgets all.
    pub fn clear(&mut self) {
        self.entries = HashMap::new();
    }

    /// Bytes that it takes.
    #[must_use]
    pub fn memory(&self) -> usize {
        self.entries.allocation_size()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_dead_go_and_the_old_wait_for_a_major_collection() {
        let mut map = WeakMap::default();
        for address in 1..=3 {
            assert!(map.insert(address, address * 10));
        }
        let marks = |address| [Mark::Dead, Mark::Young, Mark::Old][address as usize - 1];
        assert_eq!(map.sweep(false, marks, |_| true), 1);
        assert_eq!((map.get(1), map.get(2), map.get(3)), (None, Some(20), Some(30)));
        assert_eq!(map.sweep(false, |_| Mark::Dead, |_| true), 1);
        assert_eq!(map.get(3), Some(30));
        assert_eq!(map.sweep(true, |_| Mark::Dead, |_| true), 1);
        assert!(map.is_empty());
    }

    #[test]
    fn a_new_object_at_an_old_address_is_young() {
        let mut map = WeakMap::default();
        map.insert(1, 'a');
        map.sweep(true, |_| Mark::Old, |_| true);
        map.insert(1, 'b');
        assert_eq!(map.sweep(false, |_| Mark::Dead, |_| true), 1);
    }

    #[test]
    fn objects_that_change_places_keep_their_values() {
        let mut map = WeakMap::default();
        map.insert(1, 'a');
        map.insert(2, 'b');
        map.relocate(|address| 3 - address);
        assert_eq!((map.get(1), map.get(2)), (Some('b'), Some('a')));
    }
}
