//! Which Ruby wrote the dump. It does not say, but its keys do.

use crate::record::{Flags, Record, Type};

/// What was seen that only some Rubies print.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct RubyVersion(u32);

macro_rules! seen {
    ($($bit:literal $name:ident,)*) => { $(const $name: u32 = 1 << $bit;)* };
}

seen! {
    0 IMEMO,
    1 IMEMO_TYPE,
    2 PINNED,
    3 NAMED_CLASS,
    4 SUPERCLASS,
    5 SLOT_SIZE,
    6 SHAPE,
    7 CAPACITY_SHAPE,
    8 EMBEDDED_OBJECT,
    9 CHILLED,
    10 PARENTLESS_SHAPE,
    11 AGE,
    12 SLOT_OF_5,
    13 SLOT_OF_3,
    14 SLOT_OF_ANOTHER,
    15 SUBCLASSES,
    16 SMALL_ADDRESSES,
    17 CLASS,
    18 NAMED_CLASS_TWICE,
}

impl RubyVersion {
    #[inline]
    pub(crate) fn take(&mut self, record: &Record<'_>) {
        let mut seen = 0;
        if let Some(slot_size) = record.slot_size {
            // 40 * 2^n; on 32 bits 20 * 2^n, in 4.0 24 * 2^n; from 4.1 sizes of several kinds.
            seen |= SLOT_SIZE
                | match slot_size >> slot_size.trailing_zeros().min(31) {
                    5 => SLOT_OF_5,
                    3 => SLOT_OF_3,
                    _ => SLOT_OF_ANOTHER,
                };
        }
        if record.age.is_some() {
            seen |= AGE;
        }
        match record.ty {
            Type::Imemo => {
                seen |= IMEMO;
                if let Some(sort) = record.imemo_type {
                    seen |= IMEMO_TYPE;
                    if matches!(sort.raw, b"subclasses" | b"cdhash") {
                        seen |= SUBCLASSES;
                    }
                }
            }
            Type::Class => {
                seen |= CLASS;
                // Up to 2.7 each singleton class of a class is said to be named "Class" too.
                if record.name.is_some_and(|name| name.raw == b"Class") {
                    seen |= if self.any(NAMED_CLASS) { NAMED_CLASS_TWICE } else { NAMED_CLASS };
                }
                if record.superclass.is_some() {
                    seen |= SUPERCLASS;
                }
                if record.address.is_some_and(|address| address <= u64::from(u32::MAX)) {
                    seen |= SMALL_ADDRESSES;
                }
            }
            Type::Object if record.flags.has(Flags::EMBEDDED) => seen |= EMBEDDED_OBJECT,
            Type::String if record.flags.has(Flags::CHILLED) => seen |= CHILLED,
            Type::Shape => {
                seen |= SHAPE;
                match record.shape_type.map(|ty| ty.raw) {
                    Some(b"CAPACITY_CHANGE" | b"INITIAL_CAPACITY") => seen |= CAPACITY_SHAPE,
                    Some(b"OBJ_ID") => seen |= AGE,
                    Some(b"T_OBJECT") if matches!(record.parent_id, Some(0xffff | 0xffff_ffff)) => {
                        seen |= PARENTLESS_SHAPE
                    }
                    _ => {}
                }
            }
            _ => {}
        }
        if record.flags.has(Flags::PINNED) {
            seen |= PINNED;
        }
        self.0 |= seen;
    }

    pub(crate) fn merge(&mut self, other: RubyVersion) {
        let twice = if self.any(NAMED_CLASS) && other.any(NAMED_CLASS) { NAMED_CLASS_TWICE } else { 0 };
        self.0 |= other.0 | twice;
    }

    fn any(self, bits: u32) -> bool {
        self.0 & bits != 0
    }

    /// The Ruby series the format points to: `3.3`, `2.3 to 2.4`; `unknown` where nothing tells.
    #[must_use]
    pub fn series(self) -> &'static str {
        if self.any(AGE) {
            let kinds = [SLOT_OF_5, SLOT_OF_3, SLOT_OF_ANOTHER].into_iter().filter(|kind| self.any(*kind)).count();
            return if kinds > 1 || self.any(SUBCLASSES) { "4.1" } else { "4.0" };
        }
        if self.any(SLOT_SIZE | SHAPE) {
            return if self.any(CHILLED | PARENTLESS_SHAPE) {
                "3.4"
            } else if self.any(CAPACITY_SHAPE) {
                "3.2"
            } else if self.any(EMBEDDED_OBJECT) {
                "3.3"
            } else if self.any(SHAPE) {
                "3.2 to 3.3"
            } else {
                "3.2 to 3.4"
            };
        }
        if self.any(SUPERCLASS) {
            "3.1"
        } else if self.any(NAMED_CLASS) && !self.any(NAMED_CLASS_TWICE) {
            "3.0"
        } else if self.any(PINNED) {
            "2.7"
        } else if self.any(IMEMO_TYPE) {
            "2.5 to 2.7"
        } else if self.any(IMEMO) {
            "2.3 to 2.4"
        } else if self.any(CLASS) {
            "2.1 to 2.2"
        } else {
            "unknown"
        }
    }

    /// The binary logarithm of a heap page's bytes in that series: 16 KiB up to Ruby 3.1, 64 KiB from 3.2.
    #[must_use]
    pub fn page_log(self) -> u32 {
        if self.any(AGE | SLOT_SIZE | SHAPE) { 16 } else { 14 }
    }

    /// The bytes at a heap page's end that hold no slots: up to Ruby 3.0 malloc's own.
    #[must_use]
    pub fn page_tail(self) -> u64 {
        if self.any(AGE | SLOT_SIZE | SHAPE | SUPERCLASS) { 0 } else { 5 * self.word() }
    }

    /// The bytes of a pointer.
    #[must_use]
    pub fn word(self) -> u64 {
        if self.any(SMALL_ADDRESSES) { 4 } else { 8 }
    }

    /// Whether hashes keep their entries in tables of 2ⁿ, as since Ruby 2.4; taken for granted where the dump tells nothing.
    #[must_use]
    pub fn has_entry_tables(self) -> bool {
        !matches!(self.series(), "2.1 to 2.2" | "2.3 to 2.4")
    }

    /// Whether the list of a short hash has the size of its slot, as since Ruby 4.1.
    #[must_use]
    pub fn has_sized_lists(self) -> bool {
        self.series() == "4.1"
    }

    /// The bytes of a slot where the dump prints none.
    #[must_use]
    pub fn base_slot(self) -> u32 {
        if self.any(SMALL_ADDRESSES) { 20 } else { 40 }
    }
}
