//! Heap pages one by one: how full they are, what compaction could give back, and which objects keep nearly empty pages.
//!
//! Ruby gives a page back only when no object lives in it, so one object may hold 64 KiB (up to Ruby 3.1: 16 KiB); what a page is says
//! [`crate::ruby::pages`]. A dump lists no page without a live object, but for `full: true`, and nothing of what malloc does. Costs time
//! for each object and about 40 bytes for each page.

use super::grouping::Grouping;
use super::{Context, column, fact, key_cell, note, of_all, share, titled};
use crate::control::Control;
use crate::heap::{Heap, NodeId};
use crate::human;
use crate::keys::{Key, KeyValue};
use crate::labels::Labels;
use crate::memory::reach;
use crate::record::Flags;
use crate::report::{Cell, Column, Facts, Level, Report, Rest, Section, Table};
use crate::ruby::pages::{self as ruby, Layout, Pages, SHOWN_SIZES, SizePages};
use crate::select::Filter;
use crate::{Result, sort};
use hashbrown::HashMap;

/// A page that is at most this full is nearly empty: one part of so many.
const NEARLY_EMPTY: u64 = 10;
/// Rows of the table of fullness: 0 to 10 %, ..., 90 to 100 %.
const TENTHS: usize = 10;

/// So many cells a map of the pages of one slot size has at most.
const CELLS: usize = 1024;

/// One page.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Page {
    /// Where it begins.
    pub address: u64,
    /// Bytes of a slot.
    pub slot_size: u64,
    /// How many slots it has.
    pub slots: u64,
    /// How many objects live in it.
    pub live: u64,
    /// How many of them the GC may not move, as far as the dump tells.
    pub pinned: u64,
    /// The first of them.
    pub first: NodeId,
    /// Its address.
    pub first_address: u64,
    /// That one for people.
    pub label: String,
    /// Its class.
    pub class: KeyValue,
    /// Its generation.
    pub generation: KeyValue,
    /// Where it was allocated.
    #[serde(serialize_with = "crate::keys::if_present")]
    pub location: KeyValue,
}

/// The pages of one slot size in the order of their addresses.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PageMap {
    /// Bytes of a slot.
    pub slot_size: u32,
    /// How many pages there are.
    pub pages: u64,
    /// How many neighbours one cell stands for; the last one for fewer.
    pub pages_per_cell: u64,
    /// How full the pages of each cell are, in percent.
    pub cells: Vec<u8>,
}

/// Objects on nearly empty pages with the same values of the keys.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct Holders {
    /// A value for each key, in the order asked for.
    pub key: Vec<KeyValue>,
    /// How many objects.
    pub count: u64,
    /// How many of them the GC may not move, as far as the dump tells.
    pub pinned: u64,
    /// On how many nearly empty pages they are.
    pub pages: u64,
    /// The free bytes of those pages, a page's shared evenly among its objects.
    pub held_bytes: u64,
}

/// How full a heap's pages are.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct Fragmentation {
    /// Bytes of a page.
    pub page_bytes: u64,
    /// All pages with a live object.
    pub pages: Pages,
    /// By slot size, the smallest first.
    pub by_size: Vec<SizePages>,
    /// The same pages one by one, for a map of them.
    #[serde(skip)]
    pub map: Vec<PageMap>,
    /// By tenths of fullness: from 0 to 10 % (not included), ..., from 90 to 100 % (included).
    pub by_fullness: [Pages; TENTHS],
    /// Pages that are at most a tenth full.
    pub nearly_empty: Pages,
    /// How many objects the GC may not move, as far as the dump tells.
    pub pinned: u64,
    /// The keys of `holders`.
    pub by: Vec<Key>,
    /// What keeps the nearly empty pages, of the objects that pass the filter, the most free bytes first.
    pub holders: Vec<Holders>,
    /// How many groups of holders the limit cut off, and what they come to but for pages, which are no sum.
    pub rest_holders: (u64, Holders),
    /// The emptiest pages: those with most free bytes for each byte of a live object; the nearly empty ones, as many as the limit allows.
    pub emptiest: Vec<Page>,
    /// How many nearly empty pages the limit cut off.
    pub rest_pages: u64,
    /// Free slots of `full: true` dumps that are on pages without a live object; none where the dump lists no free slots.
    pub free_elsewhere: Option<u64>,
}

impl Fragmentation {
    /// The bytes of pages that would be empty if all live objects were moved together.
    #[must_use]
    pub fn spare_bytes(&self) -> u64 {
        self.by_size.iter().map(|size| size.spare).sum::<u64>() * self.page_bytes
    }
}

/// A page while it is counted.
#[derive(Clone, Copy)]
struct Counted {
    number: u64,
    page: ruby::Page,
    pinned: u32,
    /// The object with the lowest address.
    first: NodeId,
}

/// How full the pages are. The nearly empty ones' objects that pass the filter are grouped by `by`; `limit` holds for groups and pages.
///
/// # Errors
/// [`crate::Error::Interrupted`] when cancelled.
pub fn fragmentation(
    heap: &Heap,
    by: &[Key],
    filter: &Filter,
    limit: usize,
    control: &Control<'_>,
) -> Result<Fragmentation> {
    let layout = Layout::of(heap.totals().ruby_version);
    let page_bytes = layout.page_bytes();
    let counted = count(heap, &layout, control)?;
    let by_size = ruby::by_slot_size(counted.iter().map(|counted| counted.page), &layout);
    let mut found = Fragmentation { page_bytes, by_size, by: by.to_vec(), ..Fragmentation::default() };
    found.map = map(&counted, &layout);
    let mut nearly_empty: HashMap<u64, (u64, u32)> = HashMap::new();
    let mut emptiest: Vec<(u64, Counted)> = Vec::new();
    for counted in &counted {
        let sum = counted.page.sum(&layout);
        found.pages.add(sum);
        found.pinned += u64::from(counted.pinned);
        found.by_fullness[(sum.live as usize * TENTHS / sum.slots as usize).min(TENTHS - 1)].add(sum);
        if sum.live * NEARLY_EMPTY <= sum.slots {
            found.nearly_empty.add(sum);
            nearly_empty.insert(counted.number, (sum.free_bytes, counted.page.live));
            emptiest.push((sum.slots, *counted));
        }
    }
    found.hold(heap, nearly_empty, filter, limit, control)?;
    found.rest_pages = emptiest.len().saturating_sub(limit) as u64;
    // The share of live slots, compared without division.
    sort::by(&mut emptiest, |(slots, a), (other, b)| {
        let (one, two) = (u64::from(a.page.live) * other, u64::from(b.page.live) * slots);
        one.cmp(&two).then(a.number.cmp(&b.number))
    });
    emptiest.truncate(limit);
    let labels = Labels::new(heap);
    found.emptiest = emptiest
        .into_iter()
        .map(|(slots, Counted { number, page, pinned, first })| Page {
            address: number * page_bytes,
            slot_size: page.slot_size(&layout).into(),
            slots,
            live: page.live.into(),
            pinned: pinned.into(),
            first,
            first_address: heap.address(first),
            label: labels.node(first),
            class: labels.value(Key::Class, first),
            generation: labels.value(Key::Generation, first),
            location: labels.value(Key::Location, first),
        })
        .collect();
    let listed = heap.totals().free_slots;
    found.free_elsewhere = (listed > 0).then(|| (listed + heap.totals().zombies).saturating_sub(found.pages.free()));
    Ok(found)
}

/// A map of the pages: of each slot size at most [`CELLS`] cells.
fn map(counted: &[Counted], layout: &Layout) -> Vec<PageMap> {
    let mut pages: Vec<(u32, u64, Pages)> = counted
        .iter()
        .map(|counted| (counted.page.slot_size(layout), counted.number, counted.page.sum(layout)))
        .collect();
    sort::by_key(&mut pages, |(slot_size, number, _)| (*slot_size, *number));
    let percent = |cell: &[(u32, u64, Pages)]| {
        let (live, slots) = cell.iter().fold((0, 0), |(live, slots), (.., sum)| (live + sum.live, slots + sum.slots));
        u8::try_from(live * 100 / slots.max(1)).unwrap_or(100)
    };
    let of_size = |pages: &[(u32, u64, Pages)]| {
        let pages_per_cell = pages.len().div_ceil(CELLS).max(1);
        PageMap {
            slot_size: pages.first().map_or(0, |(slot_size, ..)| *slot_size),
            pages: pages.len() as u64,
            pages_per_cell: pages_per_cell as u64,
            cells: pages.chunks(pages_per_cell).map(percent).collect(),
        }
    };
    pages.chunk_by(|one, other| one.0 == other.0).take(SHOWN_SIZES).map(of_size).collect()
}

/// The pages in the order of their first objects in the dump. Objects of one page mostly follow each other.
fn count(heap: &Heap, layout: &Layout, control: &Control<'_>) -> Result<Vec<Counted>> {
    let mut places: HashMap<u64, usize> = HashMap::new();
    let mut pages: Vec<Counted> = Vec::new();
    let mut last = None;
    for id in heap.nodes() {
        control.check_at(id.0 as usize)?;
        let number = heap.address(id) >> layout.page_log;
        let place = match last {
            Some((known, place)) if known == number => place,
            _ => *places.entry(number).or_insert_with(|| {
                pages.push(Counted { number, page: ruby::Page::default(), pinned: 0, first: id });
                pages.len() - 1
            }),
        };
        last = Some((number, place));
        let (counted, slot) = (&mut pages[place], heap.properties(id));
        counted.page.take((heap.address(id) % layout.page_bytes()) as u32, slot.slot_size);
        counted.pinned += u32::from(slot.flags.has(Flags::PINNED));
        if heap.address(id) < heap.address(counted.first) {
            counted.first = id;
        }
    }
    Ok(pages)
}

impl Fragmentation {
    fn hold(
        &mut self,
        heap: &Heap,
        mut nearly_empty: HashMap<u64, (u64, u32)>,
        filter: &Filter,
        limit: usize,
        control: &Control<'_>,
    ) -> Result<()> {
        let by = self.by.clone();
        let mut grouping = Grouping::new(heap, &by, filter);
        let log = heap.totals().ruby_version.page_log();
        // By group: objects, pinned ones, pages, bytes; and the page that was counted last.
        let mut sums: Vec<(Holders, u64)> = Vec::new();
        for id in heap.nodes() {
            control.check_at(id.0 as usize)?;
            let number = heap.address(id) >> log;
            let Some((free_bytes, live)) = nearly_empty.get_mut(&number) else { continue };
            // What does not divide evenly goes to the last ones.
            let held_bytes = *free_bytes / u64::from((*live).max(1));
            *free_bytes -= held_bytes;
            *live -= 1;
            let Some(group) = grouping.group(id) else { continue };
            reach(&mut sums, group, (Holders::default(), u64::MAX))?;
            let (holders, last) = &mut sums[group];
            holders.count += 1;
            holders.pinned += u64::from(heap.properties(id).flags.has(Flags::PINNED));
            holders.pages += u64::from(std::mem::replace(last, number) != number);
            holders.held_bytes = holders.held_bytes.saturating_add(held_bytes);
        }
        self.holders =
            sums.into_iter().zip(grouping.keys(control)?).map(|((sum, _), key)| Holders { key, ..sum }).collect();
        sort::by(&mut self.holders, |a, b| b.held_bytes.cmp(&a.held_bytes).then_with(|| a.key.cmp(&b.key)));
        for rest in &self.holders[limit.min(self.holders.len())..] {
            self.rest_holders.0 += 1;
            self.rest_holders.1.add(rest);
        }
        self.holders.truncate(limit);
        Ok(())
    }

    /// The answer of `fragmentation`.
    #[must_use]
    pub fn report(&self, filter: &Filter, dump: &str, context: &Context) -> Report {
        let names: Vec<&str> = self.by.iter().map(|key| key.name()).collect();
        let mut sections = vec![context.facts(), self.facts()];
        if self.pages.count > 0 {
            sections.push(Section::Table(self.size_table()));
            sections.push(Section::Table(self.fullness_table()));
        }
        if !self.holders.is_empty() {
            let title = titled(&format!("What keeps nearly empty pages, by {}", names.join(", ")), filter);
            sections.push(Section::Table(self.holder_table(title)));
        }
        if !self.emptiest.is_empty() {
            sections.push(Section::Table(self.page_table()));
        }
        sections.extend(self.explain());
        sections.extend(context.notes());
        Report { verb: "fragmentation", dump: dump.to_owned(), sections }
    }

    fn facts(&self) -> Section {
        let whole = self.pages.count * self.page_bytes;
        let mut facts = vec![
            fact("pages", "Heap pages", Cell::Count(self.pages.count), format!("of {}", human::bytes(self.page_bytes))),
            fact("page_memory", "Memory of pages", Cell::Bytes(whole), String::new()),
            fact(
                "live_bytes",
                "Live slots",
                Cell::Bytes(self.pages.live_bytes),
                of_all(self.pages.live_bytes, whole, "of the pages' memory"),
            ),
            fact(
                "free_bytes",
                "Free slots",
                Cell::Bytes(self.pages.free_bytes),
                of_all(self.pages.free_bytes, whole, "of the pages' memory"),
            ),
            fact(
                "spare_bytes",
                "Pages to spare",
                Cell::Bytes(self.spare_bytes()),
                of_all(self.spare_bytes(), whole, "of the pages' memory: what compaction could give back at best"),
            ),
            fact(
                "nearly_empty",
                "Nearly empty pages",
                Cell::Count(self.nearly_empty.count),
                format!("at most a tenth full, with {} of free slots", human::bytes(self.nearly_empty.free_bytes)),
            ),
            fact("pinned", "Pinned objects", Cell::Count(self.pinned), "which compaction leaves where they are".into()),
        ];
        if let Some(slots) = self.free_elsewhere {
            facts.push(fact(
                "free_elsewhere",
                "Free slots elsewhere",
                Cell::Count(slots),
                "on pages without an object".into(),
            ));
        }
        Section::Facts(Facts { name: "fragmentation", title: "Heap pages".into(), facts })
    }

    fn size_table(&self) -> Table {
        let cells = |slot_size: Cell, pages: &Pages, spare: u64| {
            vec![
                slot_size,
                Cell::Count(pages.count),
                Cell::Count(pages.live),
                Cell::Count(pages.free()),
                Cell::Share(share(pages.live, pages.slots)),
                Cell::Bytes(pages.free_bytes),
                Cell::Count(spare),
                Cell::Bytes(spare * self.page_bytes),
            ]
        };
        let spare = |sizes: &[SizePages]| sizes.iter().map(|size| size.spare).sum();
        let (shown, rest) = self.by_size.split_at(self.by_size.len().min(ruby::SHOWN_SIZES));
        Table {
            name: "slot_sizes",
            title: "Pages by slot size".into(),
            columns: vec![
                column("slot_size", "Slot size"),
                column("pages", "Pages"),
                column("live_slots", "Live slots"),
                column("free_slots", "Free slots"),
                column("live_share", "Full"),
                column("free_bytes", "Free"),
                column("spare_pages", "Spare pages"),
                column("spare_bytes", "To give back"),
            ],
            rows: shown.iter().map(|size| cells(Cell::Bytes(size.slot_size.into()), &size.pages, size.spare)).collect(),
            rest: (!rest.is_empty()).then(|| {
                let mut pages = Pages::default();
                rest.iter().for_each(|size| pages.add(size.pages));
                Rest { rows: rest.len() as u64, cells: cells(Cell::Missing, &pages, spare(rest)) }
            }),
            total: Some(cells(Cell::Missing, &self.pages, spare(&self.by_size))),
            bar: None,
        }
    }

    fn fullness_table(&self) -> Table {
        let cells = |from: Cell, to: Cell, pages: &Pages| {
            vec![
                from,
                to,
                Cell::Count(pages.count),
                Cell::Count(pages.live),
                Cell::Bytes(pages.live_bytes),
                Cell::Bytes(pages.free_bytes),
            ]
        };
        Table {
            name: "fullness",
            title: "Pages by how full they are".into(),
            columns: vec![
                column("from_share", "Full from"),
                column("to_share", "to"),
                column("pages", "Pages"),
                column("live_slots", "Live slots"),
                column("live_bytes", "Live"),
                column("free_bytes", "Free"),
            ],
            rows: self
                .by_fullness
                .iter()
                .enumerate()
                .map(|(tenth, pages)| {
                    let part = |tenth: usize| Cell::Share(tenth as f64 / TENTHS as f64);
                    cells(part(tenth), part(tenth + 1), pages)
                })
                .collect(),
            rest: None,
            total: Some(cells(Cell::Missing, Cell::Missing, &self.pages)),
            bar: Some(2),
        }
    }

    fn holder_table(&self, title: String) -> Table {
        let mut columns = vec![
            column("held_bytes", "Free held"),
            column("held_share", ""),
            column("pages", "Pages"),
            column("count", "Objects"),
            column("pinned", "Pinned"),
        ];
        columns.extend(self.by.iter().map(|key| Column { name: key.name(), title: key.title(), shrinks: true }));
        let numbers = |holders: &Holders, pages: Cell| {
            [
                Cell::Bytes(holders.held_bytes),
                Cell::Share(share(holders.held_bytes, self.nearly_empty.free_bytes)),
                pages,
                Cell::Count(holders.count),
                Cell::Count(holders.pinned),
            ]
        };
        // Groups are on the same pages, so pages are no sum.
        let unlabelled = |holders: &Holders| {
            numbers(holders, Cell::Missing).into_iter().chain(self.by.iter().map(|_| Cell::Missing)).collect()
        };
        let mut total = self.rest_holders.1.clone();
        self.holders.iter().for_each(|holders| total.add(holders));
        Table {
            name: "holders",
            title,
            columns,
            rows: self
                .holders
                .iter()
                .map(|holders| {
                    let keys = self.by.iter().zip(&holders.key).map(|(key, value)| key_cell(*key, value));
                    numbers(holders, Cell::Count(holders.pages)).into_iter().chain(keys).collect()
                })
                .collect(),
            rest: (self.rest_holders.0 > 0)
                .then(|| Rest { rows: self.rest_holders.0, cells: unlabelled(&self.rest_holders.1) }),
            total: Some(unlabelled(&total)),
            bar: None,
        }
    }

    fn page_table(&self) -> Table {
        Table {
            name: "emptiest",
            title: "Emptiest pages, with the first object of each".into(),
            columns: vec![
                column("page", "Page"),
                column("slot_size", "Slot size"),
                column("live_slots", "Live"),
                column("slots", "Slots"),
                column("pinned", "Pinned"),
                column("address", "Address"),
                column("generation", "Generation"),
                Column { name: "object", title: "Object", shrinks: true },
                Column { name: "location", title: "Allocated at", shrinks: true },
            ],
            rows: self
                .emptiest
                .iter()
                .map(|page| {
                    vec![
                        Cell::Text(format!("0x{:x}", page.address)),
                        Cell::Bytes(page.slot_size),
                        Cell::Count(page.live),
                        Cell::Count(page.slots),
                        Cell::Count(page.pinned),
                        super::address_cell(page.first_address),
                        key_cell(Key::Generation, &page.generation),
                        Cell::Text(page.label.clone()),
                        key_cell(Key::Location, &page.location),
                    ]
                })
                .collect(),
            rest: (self.rest_pages > 0)
                .then(|| Rest { rows: self.rest_pages, cells: (0..9).map(|_| Cell::Missing).collect() }),
            total: None,
            bar: None,
        }
    }

    fn explain(&self) -> Vec<Section> {
        let mut notes = Vec::new();
        if self.free_elsewhere.is_none() {
            let text = "a dump lists no pages without a live object, unless it is taken with full: true, so Ruby may hold more pages than \
                        these";
            notes.push(note(Level::Info, text));
        }
        let text = "objects keep their pages, but most can be moved: GC.compact empties the spare pages, as far as pinned objects let it; \
                    where the process takes much more memory than pages and objects, malloc's own fragmentation, which no dump shows, \
                    is the likelier cause";
        notes.push(note(Level::Info, text));
        notes
    }
}

impl Holders {
    fn add(&mut self, other: &Holders) {
        self.count += other.count;
        self.pinned += other.pinned;
        self.held_bytes = self.held_bytes.saturating_add(other.held_bytes);
    }
}

#[cfg(test)]
mod tests;
