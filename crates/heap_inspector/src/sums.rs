//! What is counted and added up over objects, and over a whole dump.

use crate::properties::ObjectProperties;
use crate::record::{Record, Text, Type};
use crate::ruby::RubyVersion;
use crate::sampling::Sampling;
use hashbrown::HashMap;
use serde::Deserialize;
use serde::de::DeserializeOwned;

/// What is summed up over objects.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, Deserialize)]
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
    #[inline(always)]
    pub fn add(&mut self, other: Sum) {
        self.count += other.count;
        self.memsize = self.memsize.saturating_add(other.memsize);
        self.references += other.references;
    }
}

/// Sums by slot.
pub type Sums = HashMap<ObjectProperties, Sum>;

/// What a dump holds in all, told by every pass.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize, Deserialize)]
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
    pub ruby_version: RubyVersion,
}

impl Totals {
    /// A longer account of how the dump was taken is not believed.
    pub const META: usize = 1 << 16;
    /// A hostile dump may invent categories of roots; what goes beyond so many is one.
    pub(crate) const ROOTS: usize = 100;

    /// How allocations were sampled, where they were.
    #[must_use]
    pub fn sampling(&self) -> Option<Sampling> {
        Sampling::of(self.meta.as_deref()?)
    }

    /// How the dump was taken, as far as that is of this type. A claim, like all of a dump.
    pub(crate) fn taken<T: DeserializeOwned>(&self) -> Option<T> {
        serde_json::from_str(self.meta.as_deref()?).ok()
    }

    /// Whether the dump says that its values were replaced.
    #[must_use]
    pub fn is_redacted(&self) -> bool {
        #[derive(Deserialize)]
        struct Taken {
            redacted: bool,
        }
        self.taken::<Taken>().is_some_and(|taken| taken.redacted)
    }

    /// Counts a record; `slot` is that of a live object.
    #[inline]
    pub(crate) fn count(&mut self, record: &Record<'_>, properties: Option<ObjectProperties>) {
        self.ruby_version.take(record);
        let Some(properties) = properties else {
            match record.ty {
                Type::None => {
                    self.free_slots += 1;
                    self.free_bytes += u64::from(record.slot_size.unwrap_or(0));
                }
                Type::Zombie => self.zombies += 1,
                Type::Shape => self.shapes += 1,
                _ if record.is_meta() => self.meta = record.value.and_then(meta),
                _ if record.is_stacks() || record.is_names() => {}
                _ => {
                    let name = record.root.unwrap_or_default().decode();
                    self.add_root(&String::from_utf8_lossy(&name), u64::from(record.reference_count));
                }
            }
            return;
        };
        let sum = sum(record);
        self.objects.add(sum);
        if properties.traced {
            self.traced.add(sum);
        }
        if properties.tracer {
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
        self.ruby_version.merge(other.ruby_version);
    }
}

fn meta(text: Text<'_>) -> Option<String> {
    let bytes = text.decode_start(Totals::META + 1);
    (bytes.len() <= Totals::META).then(|| String::from_utf8_lossy(&bytes).into_owned())
}

#[inline(always)]
pub(crate) fn sum(record: &Record<'_>) -> Sum {
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
