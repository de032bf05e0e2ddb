//! What of an object groups and filters tell apart, as numbers.

use crate::names::{ClassId, Numbers, Renumbering};
use crate::record::{Flags, Record, Type};
use crate::stacks::FrameId;
use crate::symbols::{SiteId, Symbol};
use std::hash::{Hash, Hasher};

/// The properties of an object that groups and filters tell apart, as numbers. [`ObjectProperties::keep`] blanks what is not asked for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ObjectProperties {
    /// Class, site and label, as numbered in the tables.
    pub names: Numbers,
    /// The GC count at the allocation plus 1; 0 for untraced objects.
    pub generation: u32,
    /// The shape's number plus 1; 0 for none.
    pub shape: u32,
    /// The slot's size in bytes; 0 where the Ruby prints none.
    pub slot_size: u32,
    /// The frame that allocated it; while the dump is read its number there plus 1, 0 for none.
    pub stack: FrameId,
    /// Frozen, embedded, old and the like.
    pub flags: Flags,
    /// The type.
    pub ty: Type,
    /// Whether the allocation was traced.
    pub traced: bool,
    /// Whether it is the allocation tracer's own store.
    pub tracer: bool,
}

/// In four words: of the fields one by one a hash takes twice as long.
impl Hash for ObjectProperties {
    #[inline(always)]
    fn hash<H: Hasher>(&self, state: &mut H) {
        let ObjectProperties { names, generation, shape, slot_size, stack, flags, ty, traced, tracer } = *self;
        let pair = |low: u32, high: u32| u64::from(low) | (u64::from(high) << 32);
        // A slot's size takes 16 bits, what is beside it 10.
        let last = slot_size | (ty as u32) << 16 | (u32::from(traced) << 24) | (u32::from(tracer) << 25);
        state.write_u64(pair(names.class.0, names.site.0));
        state.write_u64(pair(names.label.0, generation));
        state.write_u64(pair(shape, stack.0));
        state.write_u64(pair(flags.bits(), last));
    }
}

/// Which properties of a [`ObjectProperties`] a question needs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[allow(missing_docs, reason = "the names are those of ObjectProperties and Numbers")]
pub struct PropertyMask {
    pub class: bool,
    pub site: bool,
    pub label: bool,
    pub generation: bool,
    pub shape: bool,
    pub slot_size: bool,
    pub stack: bool,
    pub flags: Flags,
    pub ty: bool,
}

impl PropertyMask {
    /// These and those.
    #[must_use]
    pub fn union(self, other: PropertyMask) -> PropertyMask {
        PropertyMask {
            class: self.class || other.class,
            site: self.site || other.site,
            label: self.label || other.label,
            generation: self.generation || other.generation,
            shape: self.shape || other.shape,
            slot_size: self.slot_size || other.slot_size,
            stack: self.stack || other.stack,
            flags: self.flags.union(other.flags),
            ty: self.ty || other.ty,
        }
    }
}

/// No slot is larger than a page of 64 KiB; what a dump claims beyond is as good as this, in sums as in a heap's columns.
const LARGEST_SLOT: u32 = u16::MAX as u32;

impl ObjectProperties {
    /// The slot of a record.
    #[inline(always)]
    #[must_use]
    pub fn new(record: &Record<'_>, names: Numbers, tracer: Symbol) -> ObjectProperties {
        ObjectProperties {
            names,
            generation: record.generation.map_or(0, |number| number.saturating_add(1)),
            shape: record.shape_id.map_or(0, |number| number.saturating_add(1)),
            slot_size: record.slot_size.unwrap_or(0).min(LARGEST_SLOT),
            stack: FrameId(record.stack.map_or(0, |number| number.saturating_add(1))),
            flags: record.flags,
            ty: record.ty,
            traced: record.generation.is_some() || record.file.is_some(),
            tracer: record.ty == Type::Data && names.label == tracer,
        }
    }

    /// A number that differs for most slots, and follows on for sites that do.
    #[inline(always)]
    pub(crate) fn mixed(&self) -> u32 {
        let spread = |number: u32, factor: u32| number.wrapping_mul(factor) >> 16;
        self.names.site.0
            ^ spread(self.names.class.0, 0x9e37_79b9)
            ^ spread(self.generation, 0x85eb_ca6b)
            ^ spread(self.names.label.0 ^ self.shape ^ self.stack.0, 0xc2b2_ae35)
            ^ spread(self.flags.bits() ^ ((self.ty as u32) << 20), 0x27d4_eb2f)
    }

    /// The same in the numbers of the whole dump.
    #[must_use]
    pub(crate) fn renumbered(self, renumbering: &Renumbering) -> ObjectProperties {
        let stack = renumbering.frame(self.stack.0);
        ObjectProperties { names: renumbering.apply(self.names), stack, ..self }
    }

    /// The slot with all but `parts` blank. Whether it was traced and whether it is the tracer stay: they name groups.
    #[inline(always)]
    #[must_use]
    pub fn keep(mut self, parts: PropertyMask) -> ObjectProperties {
        if !parts.class {
            self.names.class = ClassId::NONE;
        }
        if !parts.site {
            self.names.site = SiteId::NONE;
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
        if !parts.stack {
            self.stack = FrameId::NONE;
        }
        if !parts.ty {
            self.ty = Type::Other;
        }
        self.flags = self.flags.intersection(parts.flags);
        self
    }
}
