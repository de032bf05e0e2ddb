//! Heap pages as each Ruby lays them out: how many slots a page has, and how many of them hold an object.
//!
//! Ruby keeps objects in aligned pages of equal slots (gc.c: HEAP_PAGE_ALIGN_LOG is 14 up to Ruby 3.1 and 16 from 3.2). How many slots a
//! page has depends on where its first one lies; the addresses of its objects tell (heap_page_allocate: slots lie at multiples of their
//! size from the first, behind a header of one pointer). Where a dump prints no slot sizes all slots have the one size there was. Free
//! slots and zombies, which `full: true` dumps list, are no objects; a page without an object is none here, as most dumps do not list it.

use super::RubyVersion;
use crate::arrays::{Parts, Reader};
use hashbrown::HashMap;

/// How a Ruby lays out its pages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Layout {
    /// The binary logarithm of a page's bytes.
    pub page_log: u32,
    /// The bytes at a page's start that hold no slots: a pointer.
    pub header: u64,
    /// The bytes at its end that hold none: up to Ruby 3.0 malloc's own.
    pub tail: u64,
    /// The bytes of a slot where the dump prints none.
    pub base_slot: u32,
}

impl Layout {
    /// The layout of the Ruby that wrote a dump.
    #[must_use]
    pub fn of(ruby: RubyVersion) -> Layout {
        Layout { page_log: ruby.page_log(), header: ruby.word(), tail: ruby.page_tail(), base_slot: ruby.base_slot() }
    }

    /// Bytes of a page.
    #[must_use]
    pub fn page_bytes(&self) -> u64 {
        1 << self.page_log
    }
}

/// A page, or a part of one, as its objects tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Page {
    /// How many objects live in it.
    pub live: u32,
    /// The greatest slot size of an object; 0 where the dump prints none.
    slot_size: u32,
    /// How far from the page's start the lowest object lies.
    lowest: u32,
}

impl Default for Page {
    /// A page without an object.
    fn default() -> Page {
        Page { live: 0, slot_size: 0, lowest: u32::MAX }
    }
}

impl Page {
    /// Counts an object so far from the page's start, of this slot size or 0.
    #[inline]
    pub fn take(&mut self, place: u32, slot_size: u32) {
        self.add(Page { live: 1, slot_size, lowest: place });
    }

    #[inline]
    fn add(&mut self, other: Page) {
        self.live = self.live.saturating_add(other.live);
        self.slot_size = self.slot_size.max(other.slot_size);
        self.lowest = self.lowest.min(other.lowest);
    }

    /// Bytes of a slot.
    #[must_use]
    pub fn slot_size(&self, layout: &Layout) -> u32 {
        if self.slot_size == 0 { layout.base_slot } else { self.slot_size }
    }

    /// How many slots the page has: as many as fit from the first place behind the header that is whole slots before its objects.
    #[must_use]
    pub fn slots(&self, layout: &Layout) -> u64 {
        let size = u64::from(self.slot_size(layout));
        let first = u64::from(self.lowest) % size;
        let first = if first < layout.header { first + (layout.header - first).div_ceil(size) * size } else { first };
        let end = layout.page_bytes() - layout.tail;
        (end.saturating_sub(first) / size).max(u64::from(self.live))
    }

    /// The page summed up.
    #[must_use]
    pub fn sum(&self, layout: &Layout) -> Pages {
        let (size, slots, live) = (u64::from(self.slot_size(layout)), self.slots(layout), u64::from(self.live));
        Pages { count: 1, slots, live, live_bytes: live * size, free_bytes: (slots - live) * size }
    }
}

/// Pages summed up.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct Pages {
    /// How many with an object.
    pub count: u64,
    /// How many slots they have.
    pub slots: u64,
    /// How many objects live in them.
    pub live: u64,
    /// Bytes of the slots of these.
    pub live_bytes: u64,
    /// Bytes of the other slots.
    pub free_bytes: u64,
}

impl Pages {
    /// Adds others.
    pub fn add(&mut self, other: Pages) {
        self.count += other.count;
        self.slots += other.slots;
        self.live += other.live;
        self.live_bytes += other.live_bytes;
        self.free_bytes += other.free_bytes;
    }

    /// How many slots are free.
    #[must_use]
    pub fn free(&self) -> u64 {
        self.slots - self.live
    }
}

/// The pages of one slot size.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct SizePages {
    /// Bytes of a slot.
    pub slot_size: u32,
    /// The pages.
    pub pages: Pages,
    /// How many of them would be empty if the objects of this slot size were moved together.
    pub spare: u64,
}

/// Ruby has at most twelve slot sizes; of a dump that claims more a report shows so many, the others summed.
pub(crate) const SHOWN_SIZES: usize = 100;

/// The pages by slot size, smallest first. Costs time for each page.
#[must_use]
pub fn by_slot_size(pages: impl IntoIterator<Item = Page>, layout: &Layout) -> Vec<SizePages> {
    let mut sizes: HashMap<u32, Pages> = HashMap::new();
    for page in pages {
        sizes.entry(page.slot_size(layout)).or_default().add(page.sum(layout));
    }
    let mut sizes: Vec<SizePages> = sizes
        .into_iter()
        .map(|(slot_size, pages)| {
            // Slots of a page differ by one at most; the average is near enough.
            let needed = (pages.live * pages.count).div_ceil(pages.slots);
            SizePages { slot_size, pages, spare: pages.count - needed }
        })
        .collect();
    sizes.sort_unstable_by_key(|size| size.slot_size);
    sizes
}

/// The pages of a dump while it is read. Which Ruby wrote it is known at the end only, so objects are counted for each 16 KiB of address,
/// a quarter of a page from Ruby 3.2 on. Costs about 32 bytes for each.
#[derive(Clone, Debug, Default)]
pub struct PageTable {
    quarters: HashMap<u64, Page>,
    last: (u64, Page),
    /// More pages than a real heap's: the addresses are made up, nothing is said of pages.
    overflow: bool,
}

const LOG: u32 = 14;
const MOST: usize = 1 << 20;

impl PageTable {
    /// Counts an object, of this slot size or 0.
    #[inline]
    pub(crate) fn take(&mut self, address: u64, slot_size: u32) {
        let number = address >> LOG;
        if number != self.last.0 {
            self.flush();
            self.last.0 = number;
        }
        self.last.1.take((address % (1 << LOG)) as u32, slot_size);
    }

    fn flush(&mut self) {
        let (number, page) = std::mem::take(&mut self.last);
        if page.live > 0 {
            self.add(number, page);
        }
    }

    fn add(&mut self, number: u64, page: Page) {
        if self.quarters.len() >= MOST {
            self.overflow = true;
            self.quarters.clear();
        }
        if !self.overflow {
            self.quarters.entry(number).or_default().add(page);
        }
    }

    pub(crate) fn merge(&mut self, mut other: PageTable) {
        self.flush();
        other.flush();
        self.overflow |= other.overflow;
        for (number, page) in other.quarters {
            self.add(number, page);
        }
    }

    pub(crate) fn parts(&self, parts: &mut Parts<'_>) {
        let last = (self.last.1.live > 0).then_some((&self.last.0, &self.last.1));
        let rows = self.quarters.iter().chain(last).flat_map(|(number, page)| {
            [*number, u64::from(page.live), u64::from(page.slot_size), u64::from(page.lowest)]
        });
        parts.push(std::iter::once(u64::from(self.overflow)).chain(rows).collect::<Vec<u64>>());
    }

    pub(crate) fn from_parts(reader: &mut Reader) -> Option<PageTable> {
        let numbers: Vec<u64> = reader.take()?;
        let (overflow, rows) = numbers.split_first()?;
        let (rows, []) = rows.as_chunks() else { return None };
        let mut pages = PageTable { overflow: *overflow != 0, ..PageTable::default() };
        for [number, live, slot_size, lowest] in rows {
            let page = Page {
                live: u32::try_from(*live).ok().filter(|live| *live > 0)?,
                slot_size: u32::try_from(*slot_size).ok()?,
                lowest: u32::try_from(*lowest).ok().filter(|place| *place < 1 << LOG)?,
            };
            pages.add(*number, page);
        }
        Some(pages)
    }

    /// The pages by slot size, smallest first. `None` where the addresses are no heap's.
    #[must_use]
    pub fn by_slot_size(&self, layout: &Layout) -> Option<Vec<SizePages>> {
        if self.overflow {
            return None;
        }
        let log = layout.page_log - LOG;
        let mut pages: HashMap<u64, Page> = HashMap::new();
        let last = (self.last.1.live > 0).then_some((&self.last.0, &self.last.1));
        for (number, quarter) in self.quarters.iter().chain(last) {
            let before = (number % (1 << log)) as u32 * (1 << LOG);
            let page = Page { lowest: before + quarter.lowest, ..*quarter };
            pages.entry(number >> log).or_default().add(page);
        }
        Some(by_slot_size(pages.into_values(), layout))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn joins_quarters_to_pages_whatever_came_first() {
        let layout = Layout { page_log: 16, header: 8, tail: 0, base_slot: 40 };
        let base = 0x7f00_0000_0000;
        let mut table = PageTable::default();
        let mut other = PageTable::default();
        // The lowest object of the page lies in its second quarter and is met last; the page before has one in its last slot.
        other.take(base + 0xc000 + 24, 40);
        other.take(base + 0x4000 + 16, 40);
        table.take(base - 40, 0);
        table.merge(other);
        let sizes = table.by_slot_size(&layout).expect("a heap's addresses");
        let sum = sizes[0].pages;
        assert_eq!((sizes.len(), sum.count, sum.live), (1, 2, 3));
        // The lowest object lies at 16,400, so the first slot at 40, as one at 0 would be in the header; the other page's at 16.
        assert_eq!(sum.slots, (65_536 - 40) / 40 + (65_536 - 16) / 40);
    }
}
