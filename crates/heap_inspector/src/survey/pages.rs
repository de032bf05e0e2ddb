//! How full the heap's pages are: live objects for each 16 KiB of address, joined to the 64 KiB pages of Ruby 3.2 and later.
//!
//! Ruby keeps objects in aligned pages of equal slots (gc.c: HEAP_PAGE_ALIGN_LOG is 14 up to Ruby 3.1 and 16 from 3.2).
//! Costs about 32 bytes for each page.

use crate::arrays::{Parts, Reader};
use crate::record::{Record, Type};
use hashbrown::HashMap;

/// Live and free slots of pages.
#[derive(Clone, Debug, Default)]
pub struct Pages {
    pages: HashMap<u64, Page>,
    last: (u64, Page),
    /// More pages than a real heap's: the addresses are made up, nothing is said of pages.
    overflow: bool,
}

#[derive(Clone, Copy, Debug, Default)]
struct Page {
    live: u32,
    slot_size: u32,
}

/// The pages of one slot size.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PageUse {
    /// Bytes of a slot.
    pub slot_size: u32,
    /// How many pages hold at least one object.
    pub pages: u64,
    /// How many objects live in them.
    pub live: u64,
    /// How many slots they have.
    pub slots: u64,
}

const LOG: u32 = 14;
const MOST: usize = 1 << 20;

impl Pages {
    /// Counts an object or a free slot.
    #[inline]
    pub(crate) fn take(&mut self, record: &Record<'_>) {
        let number = record.address.unwrap_or(0) >> LOG;
        if number != self.last.0 {
            self.flush();
            self.last.0 = number;
        }
        let page = &mut self.last.1;
        page.live += u32::from(record.ty != Type::None);
        page.slot_size = page.slot_size.max(record.slot_size.unwrap_or(0));
    }

    fn flush(&mut self) {
        let (number, page) = std::mem::take(&mut self.last);
        if page.live == 0 && page.slot_size == 0 {
            return;
        }
        self.add(number, page);
    }

    fn add(&mut self, number: u64, page: Page) {
        if self.pages.len() >= MOST {
            self.overflow = true;
            self.pages.clear();
        }
        if self.overflow {
            return;
        }
        let known = self.pages.entry(number).or_default();
        known.live = known.live.saturating_add(page.live);
        known.slot_size = known.slot_size.max(page.slot_size);
    }

    pub(crate) fn parts(&self, parts: &mut Parts<'_>) {
        let last = (self.last.1.live > 0 || self.last.1.slot_size > 0).then_some((&self.last.0, &self.last.1));
        let rows = self.pages.iter().chain(last);
        let rows = rows.flat_map(|(number, page)| [*number, u64::from(page.live), u64::from(page.slot_size)]);
        parts.push(std::iter::once(u64::from(self.overflow)).chain(rows).collect::<Vec<u64>>());
    }

    pub(crate) fn from_parts(reader: &mut Reader) -> Option<Pages> {
        let numbers: Vec<u64> = reader.take()?;
        let (overflow, rows) = numbers.split_first()?;
        let (rows, []) = rows.as_chunks() else { return None };
        let mut pages = Pages { overflow: *overflow != 0, ..Pages::default() };
        for [number, live, slot_size] in rows {
            pages.add(*number, Page { live: u32::try_from(*live).ok()?, slot_size: u32::try_from(*slot_size).ok()? });
        }
        Some(pages)
    }

    pub(crate) fn merge(&mut self, mut other: Pages) {
        self.flush();
        other.flush();
        self.overflow |= other.overflow;
        for (number, page) in other.pages {
            self.add(number, page);
        }
    }

    /// The pages by slot size, smallest first. `page_log` is the binary logarithm of a page's bytes; `base_slot` the slot size where
    /// the dump prints none. `None` where the addresses are no heap's.
    #[must_use]
    pub fn by_slot_size(&self, page_log: u32, base_slot: u32) -> Option<Vec<PageUse>> {
        if self.overflow {
            return None;
        }
        let mut joined: HashMap<u64, Page> = HashMap::new();
        for (number, page) in &self.pages {
            let known = joined.entry(number >> (page_log - LOG)).or_default();
            known.live = known.live.saturating_add(page.live);
            known.slot_size = known.slot_size.max(page.slot_size);
        }
        let mut uses: Vec<PageUse> = Vec::new();
        for page in joined.values() {
            let slot_size = if page.slot_size == 0 { base_slot } else { page.slot_size };
            // A page begins with a header of one pointer; up to Ruby 3.0 malloc's own bytes are taken off too.
            let room = (1u64 << page_log) - if page_log == 14 { 48 } else { 8 };
            let slots = (room / u64::from(slot_size.max(1))).max(u64::from(page.live));
            let at = uses.iter().position(|known| known.slot_size == slot_size).unwrap_or_else(|| {
                uses.push(PageUse { slot_size, pages: 0, live: 0, slots: 0 });
                uses.len() - 1
            });
            uses[at].pages += 1;
            uses[at].live += u64::from(page.live);
            uses[at].slots += slots;
        }
        uses.sort_by_key(|known| known.slot_size);
        Some(uses)
    }
}
