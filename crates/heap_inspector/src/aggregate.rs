//! One pass over a dump that keeps sums, not objects: what `read`, `summary`, `top` and `strings` need.
//!
//! For each object a few numbers (class, site, generation, ...) make a [`ObjectProperties`]; those a question asks for are kept, the others left
//! blank, and count and bytes are summed for each distinct slot. Names are worked out at the end. Memory is for the distinct slots, at
//! worst one for each pair of class and site, and never for an object; a dump larger than the machine's memory can be read.

pub mod texts;

pub use texts::Texts;

use crate::Result;
use crate::diagnostics::Diagnostics;
use crate::memory::{STRIDE, map};
use crate::names::{NameParts, Names, Renumbering, TRACER_STRUCT, Tables};
use crate::properties::{ObjectProperties, PropertyMask};
use crate::record::{Record, Type};
use crate::ruby::pages::PageTable;
use crate::scan::{self, Visitor};
use crate::source::Source;
use crate::sums::{Ranges, Sum, Sums, Totals, sum};
use crate::symbols::Symbol;

/// Sums while they are added up: those of recent slots in a small table, since the map of all is far larger than a CPU's cache.
#[derive(Debug)]
struct Summing {
    recent: Vec<(ObjectProperties, Sum)>,
    sums: Sums,
}

impl Default for Summing {
    fn default() -> Self {
        Summing { recent: vec![Default::default(); Summing::RECENT], sums: Sums::new() }
    }
}

impl Summing {
    const RECENT: usize = 1 << 13;

    /// Room for what the records of a block may bring, and what is at hand.
    fn room(&mut self) -> Result<()> {
        map(&mut self.sums, 5 * Summing::RECENT)
    }

    #[inline(always)]
    fn add(&mut self, properties: ObjectProperties, sum: Sum) {
        let place = &mut self.recent[properties.mixed() as usize % Summing::RECENT];
        if place.0 != properties {
            let (properties, sum) = std::mem::replace(place, (properties, Sum::default()));
            if sum.count > 0 {
                self.sums.entry(properties).or_default().add(sum);
            }
        }
        place.1.add(sum);
    }

    fn finish(mut self) -> Sums {
        for (properties, sum) in self.recent {
            if sum.count > 0 {
                self.sums.entry(properties).or_default().add(sum);
            }
        }
        self.sums
    }
}

/// What a aggregate is to find out.
#[derive(Clone, Copy, Debug, Default)]
pub struct Options<'a> {
    /// Sums by these properties.
    pub parts: PropertyMask,
    /// Whether sums are wanted at all.
    pub summing: bool,
    /// Only objects of these bytes.
    pub memsize: Option<&'a Ranges>,
    /// How full the heap's pages are.
    pub pages: bool,
    /// Duplicate strings, told apart by these properties too.
    pub texts: Option<PropertyMask>,
}

/// What one pass found out.
#[derive(Debug)]
pub struct Aggregate {
    /// What the dump holds in all.
    pub totals: Totals,
    /// Sums by the properties wanted.
    pub sums: Sums,
    /// The names behind the slots' numbers.
    pub names: Names,
    /// What was lost or repaired.
    pub diagnostics: Diagnostics,
    /// How full the pages are, where wanted.
    pub pages: PageTable,
    /// The strings' texts, where wanted.
    pub texts: Option<Texts>,
}

impl Aggregate {
    /// Runs once through `source`.
    ///
    /// # Errors
    /// Those of [`scan::scan`].
    pub fn take(source: &Source, asked: &Options<'_>, scan: &scan::Options<'_>) -> Result<Aggregate> {
        let (mut workers, mut diagnostics) = scan::scan(source, scan, || Worker::new(asked))?;
        let several = workers.iter_mut().map(|worker| std::mem::take(&mut worker.tables)).collect();
        let check = |step: usize| scan.control.check_at(step);
        let (tables, renumberings) = Tables::joined(several, &check)?;
        let mut totals = Totals::default();
        let mut sums = Sums::new();
        let mut pages = PageTable::default();
        let mut texts = asked.texts.map(|_| Texts::default());
        let numbered = renumberings.first().map(Renumbering::stacks);
        let mut lost = 0;
        for (number, (worker, renumbering)) in workers.into_iter().zip(renumberings).enumerate() {
            totals.merge(&worker.totals);
            pages.merge(worker.pages);
            let found = worker.sums.finish();
            if number == 0 && !asked.parts.stack {
                sums = found; // its numbers are the whole's
            } else {
                for (step, (properties, sum)) in found.into_iter().enumerate() {
                    if step.is_multiple_of(STRIDE) {
                        scan.control.check()?;
                        map(&mut sums, STRIDE)?;
                    }
                    let whole = properties.renumbered(&renumbering);
                    lost += if properties.stack.is_some() && !whole.stack.is_some() { sum.count } else { 0 };
                    sums.entry(whole).or_default().add(sum);
                }
            }
            if let (Some(texts), Some(found)) = (&mut texts, worker.texts) {
                texts.merge(found, renumbering);
            }
        }
        if let Some(warning) = numbered.and_then(|numbered| numbered.warning(lost)) {
            diagnostics.add(warning, scan.strict)?;
        }
        let mut names = Names::new(tables, check)?;
        names.set_app(scan.app);
        names.sampling = totals.sampling();
        Ok(Aggregate { totals, sums, names, diagnostics, pages, texts })
    }
}

struct Worker<'a> {
    asked: &'a Options<'a>,
    references: Vec<u64>,
    tables: Tables,
    names: NameParts,
    /// Whether stacks are wanted.
    stacks: bool,
    tracer: Symbol,
    totals: Totals,
    sums: Summing,
    pages: PageTable,
    texts: Option<texts::Collector>,
}

impl<'a> Worker<'a> {
    fn new(asked: &'a Options<'a>) -> Self {
        let mut tables = Tables::default();
        let tracer = tables.symbols.intern(TRACER_STRUCT);
        let parts = asked.parts.union(asked.texts.unwrap_or_default());
        Worker {
            asked,
            references: Vec::new(),
            tables,
            names: NameParts { class: parts.class, site: parts.site, label: parts.label },
            stacks: parts.stack,
            tracer,
            totals: Totals::default(),
            sums: Summing::default(),
            pages: PageTable::default(),
            texts: asked.texts.map(|_| texts::Collector::default()),
        }
    }
}

impl Visitor for Worker<'_> {
    fn references(&mut self) -> &mut Vec<u64> {
        &mut self.references
    }

    #[inline(always)]
    fn record(&mut self, record: &Record<'_>, offset: u64) {
        self.references.clear();
        if !record.ty.is_object() {
            self.totals.count(record, None);
            if self.stacks && record.is_stacks() {
                self.tables.take_stacks(record, offset);
            }
            return;
        }
        let properties = ObjectProperties::new(record, self.tables.take(record, self.names), self.tracer);
        self.totals.count(record, Some(properties));
        if self.asked.pages {
            self.pages.take(record.address.unwrap_or(0), properties.slot_size);
        }
        if self.asked.memsize.is_some_and(|ranges| !ranges.hold(record.memsize)) {
            return;
        }
        if self.asked.summing {
            self.sums.add(properties.keep(self.asked.parts), sum(record));
        }
        if let (Some(texts), Some(parts)) = (&mut self.texts, self.asked.texts)
            && record.ty == Type::String
        {
            texts.take(record, properties.keep(parts));
        }
    }

    fn end_of_block(&mut self, _: u64) -> Result<()> {
        self.tables.room()?;
        if self.asked.summing {
            self.sums.room()?;
        }
        self.texts.as_mut().map_or(Ok(()), texts::Collector::end_of_block)
    }
}
