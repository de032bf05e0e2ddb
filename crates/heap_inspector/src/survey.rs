//! One pass over a dump that keeps sums, not objects: what `read`, `summary`, `top` and `strings` need.
//!
//! For each object a few numbers (class, site, generation, ...) make a [`Slot`]; those a question asks for are kept, the others left
//! blank, and count and bytes are summed for each distinct slot. Names are worked out at the end. Memory is for the distinct slots, at
//! worst one for each pair of class and site, and never for an object; a dump larger than the machine's memory can be read.

pub mod texts;

pub use texts::Texts;

use crate::Result;
use crate::names::{NameParts, Names, Numbers, TRACER_STRUCT, Tables};
use crate::record::{Record, Text, Traits, Type};
use crate::ruby::Evidence;
use crate::ruby::pages::PageTable;
use crate::scan::{self, Intake, Options, Visitor};
use crate::source::Source;
use crate::symbols::Symbol;
use hashbrown::HashMap;
use std::hash::{Hash, Hasher};

/// The properties of an object that groups and filters tell apart, as numbers. [`Slot::keep`] blanks what is not asked for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Slot {
    /// Class, site and label, as numbered in the tables.
    pub names: Numbers,
    /// The GC count at the allocation plus 1; 0 for untraced objects.
    pub generation: u32,
    /// The shape's number plus 1; 0 for none.
    pub shape: u32,
    /// The slot's size in bytes; 0 where the Ruby prints none.
    pub slot_size: u32,
    /// Frozen, embedded, old and the like.
    pub traits: Traits,
    /// The type.
    pub ty: Type,
    /// Whether the allocation was traced.
    pub traced: bool,
    /// Whether it is the allocation tracer's own store.
    pub tracer: bool,
}

/// In four words: of the fields one by one a hash takes twice as long.
impl Hash for Slot {
    #[inline]
    fn hash<H: Hasher>(&self, state: &mut H) {
        let Slot { names, generation, shape, slot_size, traits, ty, traced, tracer } = *self;
        let pair = |low: u32, high: u32| u64::from(low) | (u64::from(high) << 32);
        let last = ty as u32 | (u32::from(traced) << 8) | (u32::from(tracer) << 9);
        state.write_u64(pair(names.class.0, names.site.0));
        state.write_u64(pair(names.label.0, generation));
        state.write_u64(pair(shape, slot_size));
        state.write_u64(pair(traits.bits(), last));
    }
}

/// Which properties of a [`Slot`] a question needs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[allow(missing_docs, reason = "the names are those of Slot and Numbers")]
pub struct Parts {
    pub class: bool,
    pub site: bool,
    pub label: bool,
    pub generation: bool,
    pub shape: bool,
    pub slot_size: bool,
    pub traits: Traits,
    pub ty: bool,
}

impl Parts {
    /// These and those.
    #[must_use]
    pub fn union(self, other: Parts) -> Parts {
        Parts {
            class: self.class || other.class,
            site: self.site || other.site,
            label: self.label || other.label,
            generation: self.generation || other.generation,
            shape: self.shape || other.shape,
            slot_size: self.slot_size || other.slot_size,
            traits: self.traits.union(other.traits),
            ty: self.ty || other.ty,
        }
    }
}

/// No slot is larger than a page of 64 KiB; what a dump claims beyond is as good as this, in sums as in a heap's columns.
const LARGEST_SLOT: u32 = u16::MAX as u32;

impl Slot {
    /// The slot of a record.
    #[must_use]
    pub fn new(record: &Record<'_>, names: Numbers, tracer: Symbol) -> Slot {
        Slot {
            names,
            generation: record.generation.map_or(0, |number| number.saturating_add(1)),
            shape: record.shape_id.map_or(0, |number| number.saturating_add(1)),
            slot_size: record.slot_size.unwrap_or(0).min(LARGEST_SLOT),
            traits: record.traits,
            ty: record.ty,
            traced: record.generation.is_some() || record.file.is_some(),
            tracer: record.ty == Type::Data && names.label == tracer,
        }
    }

    /// A number that differs for most slots, and follows on for sites that do.
    #[inline]
    fn mixed(&self) -> u32 {
        let spread = |number: u32, factor: u32| number.wrapping_mul(factor) >> 16;
        self.names.site.0
            ^ spread(self.names.class.0, 0x9e37_79b9)
            ^ spread(self.generation, 0x85eb_ca6b)
            ^ spread(self.names.label.0 ^ self.shape, 0xc2b2_ae35)
            ^ spread(self.traits.bits() ^ ((self.ty as u32) << 20), 0x27d4_eb2f)
    }

    /// The slot with all but `parts` blank. Whether it was traced and whether it is the tracer stay: they name groups.
    #[must_use]
    pub fn keep(mut self, parts: Parts) -> Slot {
        if !parts.class {
            self.names.class = crate::names::ClassId::NONE;
        }
        if !parts.site {
            self.names.site = crate::symbols::SiteId::NONE;
        }
        if !parts.label {
            self.names.label = Symbol::NONE;
        }
        if !parts.generation {
            self.generation = 0;
        }
        if !parts.shape {
            self.shape = 0;
        }
        if !parts.slot_size {
            self.slot_size = 0;
        }
        if !parts.ty {
            self.ty = Type::Other;
        }
        self.traits = self.traits.intersection(parts.traits);
        self
    }
}

/// What is summed up over objects.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Sum {
    /// How many objects.
    pub count: u64,
    /// Their bytes, slots included.
    pub memsize: u64,
    /// How many references they hold, own classes not counted.
    pub references: u64,
}

impl Sum {
    /// Adds another sum.
    pub fn add(&mut self, other: Sum) {
        self.count += other.count;
        self.memsize = self.memsize.saturating_add(other.memsize);
        self.references += other.references;
    }
}

/// Sums by slot.
pub type Sums = HashMap<Slot, Sum>;

/// Sums while they are added up: those of recent slots in a small table, since the map of all is far larger than a CPU's cache.
#[derive(Debug)]
struct Summing {
    recent: Vec<(Slot, Sum)>,
    sums: Sums,
}

impl Default for Summing {
    fn default() -> Self {
        Summing { recent: vec![Default::default(); Summing::RECENT], sums: Sums::new() }
    }
}

impl Summing {
    const RECENT: usize = 1 << 13;

    #[inline]
    fn add(&mut self, slot: Slot, sum: Sum) {
        let place = &mut self.recent[slot.mixed() as usize % Summing::RECENT];
        if place.0 != slot {
            let (slot, sum) = std::mem::replace(place, (slot, Sum::default()));
            if sum.count > 0 {
                self.sums.entry(slot).or_default().add(sum);
            }
        }
        place.1.add(sum);
    }

    fn finish(mut self) -> Sums {
        for (slot, sum) in self.recent {
            if sum.count > 0 {
                self.sums.entry(slot).or_default().add(sum);
            }
        }
        self.sums
    }
}

/// What a dump holds in all, told by every pass.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Totals {
    /// The live objects: lines with an address that are no SHAPE, free slot or zombie.
    pub objects: Sum,
    /// Those among them whose allocation was traced.
    pub traced: Sum,
    /// The allocation tracer's own store among them; its bytes are the cost of tracing, not of the app.
    pub tracer: Sum,
    /// Free slots (`full: true` dumps), and their bytes where the Ruby prints slot sizes.
    pub free_slots: u64,
    /// Bytes of the free slots.
    pub free_bytes: u64,
    /// Objects whose finalizers have yet to run.
    pub zombies: u64,
    /// SHAPE lines.
    pub shapes: u64,
    /// References of the ROOT lines by category, in the order of the dump.
    pub roots: Vec<(String, u64)>,
    /// How the dump was taken, the JSON text of an object, where heap_inspector took it. At most [`Totals::META`] bytes.
    pub meta: Option<String>,
    /// What tells the Ruby series.
    pub evidence: Evidence,
}

impl Totals {
    /// A longer account of how the dump was taken is not believed.
    pub const META: usize = 1 << 16;
    /// A hostile dump may invent categories of roots; what goes beyond so many is one.
    pub(crate) const ROOTS: usize = 100;

    /// Counts a record; `slot` is that of a live object.
    pub(crate) fn count(&mut self, record: &Record<'_>, slot: Option<Slot>) {
        self.evidence.take(record);
        let Some(slot) = slot else {
            match record.ty {
                Type::None => {
                    self.free_slots += 1;
                    self.free_bytes += u64::from(record.slot_size.unwrap_or(0));
                }
                Type::Zombie => self.zombies += 1,
                Type::Shape => self.shapes += 1,
                _ if record.is_meta() => self.meta = record.value.and_then(meta),
                _ => {
                    let name = record.root.unwrap_or_default().decode();
                    self.add_root(&String::from_utf8_lossy(&name), u64::from(record.reference_count));
                }
            }
            return;
        };
        let sum = sum(record);
        self.objects.add(sum);
        if slot.traced {
            self.traced.add(sum);
        }
        if slot.tracer {
            self.tracer.add(sum);
        }
    }

    fn add_root(&mut self, name: &str, references: u64) {
        let known = self.roots.iter().position(|(known, _)| known == name);
        match known.or((self.roots.len() > Totals::ROOTS).then_some(Totals::ROOTS)) {
            Some(at) => self.roots[at].1 += references,
            None if self.roots.len() == Totals::ROOTS => self.roots.push(("(other)".to_owned(), references)),
            None => self.roots.push((name.to_owned(), references)),
        }
    }

    pub(crate) fn merge(&mut self, other: &Totals) {
        self.objects.add(other.objects);
        self.traced.add(other.traced);
        self.tracer.add(other.tracer);
        self.free_slots += other.free_slots;
        self.free_bytes += other.free_bytes;
        self.zombies += other.zombies;
        self.shapes += other.shapes;
        for (name, references) in &other.roots {
            self.add_root(name, *references);
        }
        if self.meta.is_none() {
            self.meta.clone_from(&other.meta);
        }
        self.evidence.merge(other.evidence);
    }
}

fn meta(text: Text<'_>) -> Option<String> {
    let bytes = text.decode_start(Totals::META + 1);
    (bytes.len() <= Totals::META).then(|| String::from_utf8_lossy(&bytes).into_owned())
}

fn sum(record: &Record<'_>) -> Sum {
    let references = u64::from(record.reference_count) + u64::from(record.hidden_reference().is_some());
    Sum { count: 1, memsize: record.memsize, references }
}

/// Ranges of bytes that a memsize must lie in, all of them. Each is a list of alternatives.
#[derive(Clone, Debug, Default)]
pub struct Ranges(pub(crate) Vec<(bool, Vec<(u64, u64)>)>);

impl Ranges {
    /// Whether `bytes` lies in the ranges.
    #[must_use]
    pub fn hold(&self, bytes: u64) -> bool {
        self.0
            .iter()
            .all(|(negated, ranges)| ranges.iter().any(|(low, high)| (*low..=*high).contains(&bytes)) != *negated)
    }
}

/// What a survey is to find out.
#[derive(Clone, Copy, Debug, Default)]
pub struct Wants<'a> {
    /// Sums by these properties.
    pub parts: Parts,
    /// Whether sums are wanted at all.
    pub summing: bool,
    /// Only objects of these bytes.
    pub memsize: Option<&'a Ranges>,
    /// How full the heap's pages are.
    pub pages: bool,
    /// Duplicate strings, told apart by these properties too.
    pub texts: Option<Parts>,
}

/// What one pass found out.
#[derive(Debug)]
pub struct Survey {
    /// What the dump holds in all.
    pub totals: Totals,
    /// Sums by the properties wanted.
    pub sums: Sums,
    /// The names behind the slots' numbers.
    pub names: Names,
    /// What was lost or repaired.
    pub intake: Intake,
    /// How full the pages are, where wanted.
    pub pages: PageTable,
    /// The strings' texts, where wanted.
    pub texts: Option<Texts>,
}

impl Survey {
    /// Runs once through `source`.
    ///
    /// # Errors
    /// Those of [`scan::scan`].
    pub fn take(source: &Source, wants: &Wants<'_>, options: &Options<'_>) -> Result<Survey> {
        let (mut workers, intake) = scan::scan(source, options, || Worker::new(wants))?;
        let several = workers.iter_mut().map(|worker| std::mem::take(&mut worker.tables)).collect();
        let check = |step: usize| options.check_at(step);
        let (tables, renumberings) = Tables::joined(several, &check)?;
        let mut totals = Totals::default();
        let mut sums = Sums::new();
        let mut pages = PageTable::default();
        let mut texts = wants.texts.map(|_| Texts::default());
        for (number, (worker, renumbering)) in workers.into_iter().zip(renumberings).enumerate() {
            totals.merge(&worker.totals);
            pages.merge(worker.pages);
            let found = worker.sums.finish();
            if number == 0 {
                sums = found; // its numbers are the whole's
            } else {
                for (step, (slot, sum)) in found.into_iter().enumerate() {
                    check(step)?;
                    sums.entry(Slot { names: renumbering.apply(slot.names), ..slot }).or_default().add(sum);
                }
            }
            if let (Some(texts), Some(found)) = (&mut texts, worker.texts) {
                texts.merge(found, renumbering);
            }
        }
        Ok(Survey { totals, sums, names: Names::new(tables, check)?, intake, pages, texts })
    }
}

struct Worker<'a> {
    wants: &'a Wants<'a>,
    references: Vec<u64>,
    tables: Tables,
    names: NameParts,
    tracer: Symbol,
    totals: Totals,
    sums: Summing,
    pages: PageTable,
    texts: Option<texts::Collector>,
}

impl<'a> Worker<'a> {
    fn new(wants: &'a Wants<'a>) -> Self {
        let mut tables = Tables::default();
        let tracer = tables.symbols.intern(TRACER_STRUCT);
        let parts = wants.parts.union(wants.texts.unwrap_or_default());
        Worker {
            wants,
            references: Vec::new(),
            tables,
            names: NameParts { class: parts.class, site: parts.site, label: parts.label },
            tracer,
            totals: Totals::default(),
            sums: Summing::default(),
            pages: PageTable::default(),
            texts: wants.texts.map(|_| texts::Collector::default()),
        }
    }
}

impl Visitor for Worker<'_> {
    fn references(&mut self) -> &mut Vec<u64> {
        &mut self.references
    }

    #[inline]
    fn record(&mut self, record: &Record<'_>, _: u64) {
        self.references.clear();
        if !record.ty.is_object() {
            self.totals.count(record, None);
            return;
        }
        let slot = Slot::new(record, self.tables.take(record, self.names), self.tracer);
        self.totals.count(record, Some(slot));
        if self.wants.pages {
            self.pages.take(record.address.unwrap_or(0), slot.slot_size);
        }
        if self.wants.memsize.is_some_and(|ranges| !ranges.hold(record.memsize)) {
            return;
        }
        if self.wants.summing {
            self.sums.add(slot.keep(self.wants.parts), sum(record));
        }
        if let (Some(texts), Some(parts)) = (&mut self.texts, self.wants.texts)
            && record.ty == Type::String
        {
            texts.take(record, slot.keep(parts));
        }
    }

    fn end_of_block(&mut self, _: u64) -> Result<()> {
        self.texts.as_mut().map_or(Ok(()), texts::Collector::end_of_block)
    }
}
