//! Where objects are allocated: file, line, method and the object's class, each place once, by number.

use crate::texts::TextId;
use crate::weak::{Mark, WeakMap};
use hashbrown::HashMap;

/// A site as Ruby names it, by the addresses of its own objects: quick to compare, and true while these live.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Key {
    /// The String of the path, 0 where there is none.
    pub path: u64,
    /// The line, 0 where there is none.
    pub line: u32,
    /// The number Ruby gave the method's name, 0 where there is none.
    pub method: u64,
    /// The class of the object, 0 where there is none.
    pub class: u64,
}

/// A site in words.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Site {
    /// The path of the file.
    pub path: TextId,
    /// The line, 0 where there is none.
    pub line: u32,
    /// The method.
    pub method: TextId,
    /// The class of the object, where it has a name.
    pub class: TextId,
    /// Whether the object is Ruby's own and no program sees it: it has no class at all.
    pub is_internal: bool,
}

/// The sites.
#[derive(Debug)]
pub struct Sites {
    sites: Vec<Site>,
    /// How many objects each has allocated.
    allocated: Vec<u64>,
    numbers: HashMap<Site, u32>,
    by_key: HashMap<Key, u32>,
    /// Texts of paths and classes by their addresses.
    texts: WeakMap<TextId>,
    /// The keys met last, by the low bits of their hashes.
    recent: Vec<(Key, u32)>,
}

impl Default for Sites {
    fn default() -> Self {
        Sites {
            sites: Vec::new(),
            allocated: Vec::new(),
            numbers: HashMap::new(),
            by_key: HashMap::new(),
            texts: WeakMap::default(),
            recent: vec![(Key::default(), u32::MAX); RECENT],
        }
    }
}

const RECENT: usize = 1 << 12;

fn slot_of(key: &Key) -> usize {
    let mixed =
        (key.path >> 3) ^ (key.class >> 3).rotate_left(20) ^ key.method.rotate_left(40) ^ u64::from(key.line) << 7;
    (mixed.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 52) as usize
}

impl Sites {
    /// Sites at most. What comes beyond them is not known by its site.
    pub const MOST: usize = 1 << 22;

    /// The number of a site that was met before.
    #[inline]
    pub fn find(&mut self, key: &Key) -> Option<u32> {
        let slot = slot_of(key);
        let (known, number) = *self.recent.get(slot)?;
        if number != u32::MAX && known == *key {
            return Some(number);
        }
        let number = *self.by_key.get(key)?;
        *self.recent.get_mut(slot)? = (*key, number);
        Some(number)
    }

    /// The text of a path or class whose address was met before.
    #[must_use]
    pub fn text(&self, address: u64) -> Option<TextId> {
        self.texts.get(address)
    }

    /// Keeps the text of a path or class for as long as it lives.
    pub fn learn_text(&mut self, address: u64, text: TextId) {
        self.texts.insert(address, text);
    }

    /// Keeps a site, whose texts were learnt; none where there is no room.
    pub fn learn(&mut self, key: Key, site: Site) -> Option<u32> {
        self.by_key.try_reserve(1).ok()?;
        let number = match self.numbers.get(&site) {
            Some(number) => *number,
            None => {
                if self.sites.len() >= Self::MOST {
                    return None;
                }
                self.numbers.try_reserve(1).ok()?;
                self.sites.try_reserve(1).ok()?;
                self.allocated.try_reserve(1).ok()?;
                let number = u32::try_from(self.sites.len()).ok()?;
                self.sites.push(site);
                self.allocated.push(0);
                self.numbers.insert(site, number);
                number
            }
        };
        self.by_key.insert(key, number);
        Some(number)
    }

    /// Counts an object of a site.
    #[inline]
    pub fn count(&mut self, number: u32) {
        if let Some(allocated) = self.allocated.get_mut(number as usize) {
            *allocated += 1;
        }
    }

    /// A site by its number.
    #[must_use]
    pub fn get(&self, number: u32) -> Option<Site> {
        self.sites.get(number as usize).copied()
    }

    /// Each site, with how many objects it has allocated.
    pub fn iter(&self) -> impl Iterator<Item = (Site, u64)> {
        self.sites.iter().copied().zip(self.allocated.iter().copied())
    }

    /// How many.
    #[must_use]
    pub fn len(&self) -> usize {
        self.sites.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.sites.is_empty()
    }

    /// Forgets the addresses of what is dead: another may stand there next. A class without a name may have got one, so that is asked
    /// again after each major collection.
    pub fn sweep(&mut self, is_major: bool, mark: impl FnMut(u64) -> Mark) {
        if self.texts.sweep(is_major, mark, |text| !is_major || *text != TextId::NONE) > 0 {
            let Sites { by_key, texts, .. } = self;
            by_key.retain(|key, _| {
                [key.path, key.class].iter().all(|address| *address == 0 || texts.get(*address).is_some())
            });
            self.recent.fill((Key::default(), u32::MAX));
        }
    }

    /// Follows paths and classes that were moved.
    pub fn relocate(&mut self, mut moved: impl FnMut(u64) -> u64) {
        self.texts.relocate(&mut moved);
        let mut by_key = HashMap::new();
        if by_key.try_reserve(self.by_key.len()).is_ok() {
            let mut place = |address| if address == 0 { 0 } else { moved(address) };
            let keys = self.by_key.drain();
            by_key.extend(
                keys.map(|(key, number)| (Key { path: place(key.path), class: place(key.class), ..key }, number)),
            );
        }
        self.by_key = by_key;
        self.recent.fill((Key::default(), u32::MAX));
    }

    /// Bytes that it takes.
    #[must_use]
    pub fn memory(&self) -> usize {
        self.sites.capacity() * (size_of::<Site>() + size_of::<u64>())
            + self.numbers.allocation_size()
            + self.by_key.allocation_size()
            + self.texts.memory()
            + self.recent.capacity() * size_of::<(Key, u32)>()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_that_is_used_again_is_another_site() {
        let mut sites = Sites::default();
        let key = Key { path: 8, line: 3, method: 1, class: 16 };
        assert_eq!(sites.find(&key), None);
        sites.learn_text(8, TextId(1));
        sites.learn_text(16, TextId(2));
        let site = Site { path: TextId(1), line: 3, method: TextId(5), class: TextId(2), is_internal: false };
        let number = sites.learn(key, site);
        assert_eq!(sites.find(&key), number);
        sites.sweep(false, |address| if address == 16 { Mark::Dead } else { Mark::Young });
        assert_eq!(sites.find(&key), None);
        assert_eq!(sites.text(8), Some(TextId(1)));
        let other = sites.learn(key, Site { class: TextId(9), ..site });
        assert_ne!(other, number);
    }

    #[test]
    fn what_moves_keeps_its_number() {
        let mut sites = Sites::default();
        let key = Key { path: 8, line: 3, method: 1, class: 0 };
        sites.learn_text(8, TextId(1));
        let number = sites.learn(key, Site { path: TextId(1), line: 3, ..Site::default() });
        sites.relocate(|address| address + 40);
        assert_eq!(sites.find(&key), None);
        assert_eq!(sites.find(&Key { path: 48, ..key }), number);
    }

    #[test]
    fn a_class_that_got_a_name_is_asked_again() {
        let mut sites = Sites::default();
        let key = Key { path: 0, line: 0, method: 0, class: 8 };
        sites.learn_text(8, TextId::NONE);
        sites.learn(key, Site::default());
        sites.sweep(false, |_| Mark::Old);
        assert!(sites.find(&key).is_some());
        sites.sweep(true, |_| Mark::Old);
        assert_eq!((sites.find(&key), sites.text(8)), (None, None));
    }
}
