//! A site and a generation for each object, beside the pages of Ruby's heap.
//!
//! Ruby's slots lie in rows of one size. A region of 64 KiB of addresses, which is one of Ruby's pages or some, has a list with eight
//! bytes for each slot, found by a division: less than any table of addresses takes.

use crate::weak::Mark;
use hashbrown::HashMap;

/// What is known of an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Allocation {
    /// The number of its site.
    pub site: u32,
    /// The count of collections when it was allocated.
    pub generation: u32,
}

/// Bytes of a region, as a power of two.
const BITS: u32 = 16;
const SIZE: u32 = 1 << BITS;
/// Objects stand at multiples of it.
const LEAST: u32 = 8;

/// An allocation in eight bytes, none being 0: the site's number and 1, the generation's low 31 bits, and whether the object is old.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Packed(u64);

impl Packed {
    const OLD: u64 = 1 << 63;

    fn new(allocation: Allocation) -> Packed {
        let generation = u64::from(allocation.generation & (u32::MAX >> 1)) << 32;
        Packed(generation | u64::from(allocation.site.saturating_add(1)))
    }

    fn allocation(self) -> Option<Allocation> {
        let site = (self.0 as u32).checked_sub(1)?;
        Some(Allocation { site, generation: ((self.0 & !Packed::OLD) >> 32) as u32 })
    }

    fn is_none(self) -> bool {
        self.0 == 0
    }

    fn is_old(self) -> bool {
        self.0 & Packed::OLD != 0
    }
}

#[derive(Debug)]
struct Region {
    /// Bytes from one slot to the next, or a part of them.
    stride: u32,
    /// Where the first slot stands.
    phase: u32,
    /// 2^32 divided by the stride, rounded up: a division by multiplication, exact for what is below 64 Ki.
    reciprocal: u64,
    entries: Vec<Packed>,
    count: u32,
    /// Those of them that are not old.
    young: u32,
}

impl Region {
    fn new(offset: u32, stride: u32) -> Option<Region> {
        let stride = stride.clamp(LEAST, SIZE);
        let phase = offset % stride;
        let mut entries = Vec::new();
        let slots = ((SIZE - phase).div_ceil(stride)) as usize;
        entries.try_reserve_exact(slots).ok()?;
        entries.resize(slots, Packed::default());
        let reciprocal = (1_u64 << 32).div_ceil(u64::from(stride));
        Some(Region { stride, phase, reciprocal, entries, count: 0, young: 0 })
    }

    /// The place of the slot at an offset; none where no slot of this row stands.
    #[inline]
    fn index(&self, offset: u32) -> Option<usize> {
        let distance = offset.checked_sub(self.phase)?;
        let index = ((u64::from(distance) * self.reciprocal) >> 32) as u32;
        (index * self.stride == distance).then_some(index as usize)
    }

    fn offset(&self, index: usize) -> u32 {
        self.phase + index as u32 * self.stride
    }

    #[inline]
    fn set(&mut self, index: usize, packed: Packed) {
        let Some(entry) = self.entries.get_mut(index) else { return };
        let before = std::mem::replace(entry, packed);
        let (was, is) = (u32::from(!before.is_none()), u32::from(!packed.is_none()));
        self.count = self.count + is - was;
        let (was_young, is_young) = (was & u32::from(!before.is_old()), is & u32::from(!packed.is_old()));
        self.young = self.young + is_young - was_young;
    }

    /// The same in a row that has a place for the slot at `offset` as well: Ruby made another page here, or one of another size.
    fn refined(&self, offset: u32) -> Option<Region> {
        let stride = greatest_common_divisor(self.stride, offset.abs_diff(self.phase)).max(LEAST);
        let mut region = Region::new(offset, stride)?;
        for (index, packed) in self.entries.iter().enumerate().filter(|(_, packed)| !packed.is_none()) {
            let index = region.index(self.offset(index))?;
            region.set(index, *packed);
        }
        Some(region)
    }
}

fn greatest_common_divisor(a: u32, b: u32) -> u32 {
    if b == 0 { a } else { greatest_common_divisor(b, a % b) }
}

/// Allocations by the addresses of objects. As with [`crate::weak::WeakMap`], `sweep` and `relocate` keep it true.
#[derive(Debug, Default)]
pub struct Pages {
    numbers: HashMap<u64, usize>,
    regions: Vec<Option<Box<Region>>>,
    /// Places in `regions` that are free.
    free: Vec<usize>,
    /// The region of the last allocation, which is mostly that of the next.
    last: Option<(u64, usize)>,
}

fn split(address: u64) -> (u64, u32) {
    (address >> BITS, address as u32 & (SIZE - 1))
}

impl Pages {
    /// Keeps what is known of a new object; what was known of one at this address before is gone. `slot` is the size of its slot in bytes.
    /// False where there is no memory for it.
    #[inline]
    pub fn insert(&mut self, address: u64, slot: u32, allocation: Allocation) -> bool {
        let (number, offset) = split(address);
        let at = match self.last {
            Some((last, at)) if last == number => Some(at),
            _ => self.region(number, offset, slot),
        };
        let Some(Some(region)) = at.and_then(|at| self.regions.get_mut(at)) else { return false };
        if region.index(offset).is_none() {
            match region.refined(offset) {
                Some(refined) => **region = refined,
                None => return false,
            }
        }
        match region.index(offset) {
            Some(index) => region.set(index, Packed::new(allocation)),
            None => return false,
        }
        true
    }

    #[cold]
    fn region(&mut self, number: u64, offset: u32, slot: u32) -> Option<usize> {
        let at = match self.numbers.get(&number) {
            Some(at) => *at,
            None => {
                self.numbers.try_reserve(1).ok()?;
                self.regions.try_reserve(1).ok()?;
                let region = Some(Box::new(Region::new(offset, slot)?));
                let at = match self.free.pop() {
                    Some(at) => {
                        *self.regions.get_mut(at)? = region;
                        at
                    }
                    None => {
                        self.regions.push(region);
                        self.regions.len() - 1
                    }
                };
                self.numbers.insert(number, at);
                at
            }
        };
        self.last = Some((number, at));
        Some(at)
    }

    /// What is known of the object at `address`.
    #[must_use]
    pub fn get(&self, address: u64) -> Option<Allocation> {
        let (number, offset) = split(address);
        let region = self.regions.get(*self.numbers.get(&number)?)?.as_ref()?;
        region.entries.get(region.index(offset)?)?.allocation()
    }

    /// All, in no order.
    pub fn iter(&self) -> impl Iterator<Item = (u64, Allocation)> {
        self.numbers
            .iter()
            .filter_map(|(number, at)| Some((number << BITS, self.regions.get(*at)?.as_ref()?)))
            .flat_map(|(base, region)| {
                let entries = region.entries.iter().enumerate();
                entries.filter_map(move |(index, packed)| {
                    Some((base + u64::from(region.offset(index)), packed.allocation()?))
                })
            })
    }

    /// Drops what is dead; a minor collection leaves what was old.
    pub fn sweep(&mut self, is_major: bool, mut mark: impl FnMut(u64) -> Mark) {
        self.last = None;
        let Pages { numbers, regions, free, .. } = self;
        numbers.retain(|number, at| {
            let Some(place) = regions.get_mut(*at) else { return false };
            let Some(region) = place else { return false };
            if is_major || region.young > 0 {
                sweep_region(region, number << BITS, is_major, &mut mark);
            }
            if region.count == 0 {
                *place = None;
                free.push(*at);
            }
            place.is_some()
        });
    }

    /// Follows objects that were moved.
    pub fn relocate(&mut self, mut moved: impl FnMut(u64) -> u64) {
        let mut changed = Vec::new();
        let addresses: Vec<(u64, Allocation)> = self.iter().collect();
        for (address, allocation) in addresses {
            let to = moved(address);
            if to != address {
                changed.push((to, self.slot(address), allocation));
                self.remove(address);
            }
        }
        for (address, slot, allocation) in changed {
            self.insert(address, slot, allocation);
        }
    }

    fn slot(&self, address: u64) -> u32 {
        let at = self.numbers.get(&split(address).0);
        at.and_then(|at| self.regions.get(*at)?.as_ref()).map_or(LEAST, |region| region.stride)
    }

    fn remove(&mut self, address: u64) {
        let (number, offset) = split(address);
        let at = self.numbers.get(&number).copied();
        if let Some(Some(region)) = at.and_then(|at| self.regions.get_mut(at))
            && let Some(index) = region.index(offset)
        {
            region.set(index, Packed::default());
        }
    }

    /// How many objects.
    #[must_use]
    pub fn len(&self) -> usize {
        self.regions.iter().flatten().map(|region| region.count as usize).sum()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.regions.iter().flatten().all(|region| region.count == 0)
    }

    /// Bytes that it takes.
    #[must_use]
    pub fn memory(&self) -> usize {
        let regions = self.regions.iter().flatten();
        let entries: usize =
            regions.map(|region| region.entries.capacity() * size_of::<Packed>() + size_of::<Region>()).sum();
        entries + self.regions.capacity() * size_of::<usize>() + self.numbers.allocation_size()
    }
}

fn sweep_region(region: &mut Region, base: u64, is_major: bool, mark: &mut impl FnMut(u64) -> Mark) {
    for index in 0..region.entries.len() {
        let Some(&packed) = region.entries.get(index) else { continue };
        if packed.is_none() || (packed.is_old() && !is_major) {
            continue;
        }
        let packed = match mark(base + u64::from(region.offset(index))) {
            Mark::Dead => Packed::default(),
            Mark::Young => Packed(packed.0 & !Packed::OLD),
            Mark::Old => Packed(packed.0 | Packed::OLD),
        };
        region.set(index, packed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    fn allocation(site: u32) -> Allocation {
        Allocation { site, generation: site + 1 }
    }

    #[test]
    fn a_row_of_another_size_keeps_what_lives() {
        let mut pages = Pages::default();
        let base = 0x7f00_0001_0000_u64;
        for slot in 0..100 {
            assert!(pages.insert(base + 16 + slot * 80, 80, allocation(slot as u32)));
        }
        assert!(pages.insert(base + 16 + 40, 40, allocation(500)));
        assert_eq!(pages.get(base + 16 + 40), Some(allocation(500)));
        assert_eq!(pages.get(base + 16 + 99 * 80), Some(allocation(99)));
        assert_eq!((pages.len(), pages.get(base + 16 + 120)), (101, None));
    }

    #[test]
    fn an_object_takes_eight_bytes() {
        let mut pages = Pages::default();
        let count = 100_000;
        for slot in 0..count {
            pages.insert(0x7f00_0000_0000 + slot * 40, 40, allocation(1));
        }
        assert!(pages.memory() as u64 <= count * 9, "{} bytes", pages.memory());
        pages.sweep(true, |_| Mark::Dead);
        assert!(pages.is_empty());
        assert!(pages.memory() < 1 << 16);
    }

    /// What a program does to its heap.
    #[derive(Clone, Debug)]
    enum Step {
        Allocate(u64, u32),
        Sweep(bool, u64),
        Move(u64),
    }

    fn steps() -> impl Strategy<Value = Vec<Step>> {
        let address = (0_u64..4, 0_u64..400, prop::sample::select(vec![40_u64, 80, 160]));
        let address = address.prop_map(|(page, slot, size)| (page << 14) + 24 + (slot * size) % 16_000);
        let step = prop_oneof![
            8 => (address, 0_u32..50).prop_map(|(address, site)| Step::Allocate(address & !7, site)),
            1 => (any::<bool>(), any::<u64>()).prop_map(|(is_major, seed)| Step::Sweep(is_major, seed)),
            1 => any::<u64>().prop_map(Step::Move),
        ];
        prop::collection::vec(step, 1..200)
    }

    proptest! {
        /// It is a map from addresses, whatever sizes meet in a page.
        #[test]
        fn it_equals_a_map(steps in steps()) {
            let mut pages = Pages::default();
            let mut map: BTreeMap<u64, (Allocation, bool)> = BTreeMap::new();
            for step in steps {
                match step {
                    Step::Allocate(address, site) => {
                        prop_assert!(pages.insert(address, 40, allocation(site)));
                        map.insert(address, (allocation(site), false));
                    }
                    Step::Sweep(is_major, seed) => {
                        let mark = |address: u64| match (address ^ seed).wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 62 {
                            0 => Mark::Dead,
                            1 => Mark::Old,
                            _ => Mark::Young,
                        };
                        pages.sweep(is_major, mark);
                        map.retain(|address, (_, is_old)| {
                            if *is_old && !is_major {
                                return true;
                            }
                            *is_old = mark(*address) == Mark::Old;
                            mark(*address) != Mark::Dead
                        });
                    }
                    Step::Move(seed) => {
                        // Objects change places within the region, none being lost.
                        let places: Vec<u64> = map.keys().copied().collect();
                        let turn = |address: u64| {
                            let at = places.binary_search(&address).unwrap_or(0);
                            places[(at + seed as usize % places.len().max(1)) % places.len()]
                        };
                        pages.relocate(turn);
                        map = map.into_iter().map(|(address, (known, is_old))| {
                            let to = turn(address);
                            (to, (known, is_old && to == address))
                        }).collect();
                    }
                }
                prop_assert_eq!(pages.len(), map.len());
            }
            let mut all: Vec<_> = pages.iter().collect();
            all.sort_unstable_by_key(|(address, _)| *address);
            let known: Vec<_> = map.iter().map(|(address, (known, _))| (*address, *known)).collect();
            prop_assert_eq!(all, known);
        }
    }
}
