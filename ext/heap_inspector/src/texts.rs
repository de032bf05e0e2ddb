//! The Strings that many objects of a heap have in common, each made once: names of classes, files, locations, gems and the like.
//!
//! Each kind is an Array of Ruby's by the number that the heap has for it, of its class or its site, 8 bytes for each; one that nobody asked
//! for is not made. An Array, since the garbage collector looks at an old one only when something was put into it, and follows its Strings where it
//! moves them.

use magnus::rb_sys::{AsRawValue, FromRawValue};
use magnus::value::ReprValue;
use magnus::{Error, RArray, Ruby, Value, gc};
use rb_sys::VALUE;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

/// What a text is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TextKind {
    /// By the number of the class.
    Class,
    /// By the number of the site, as those that follow.
    File,
    Location,
    Method,
    Gem,
    Directory,
    /// Of what has no class, `(IMEMO iseq)`: by the place of its type and label, see [`Texts::kind`], as those that follow.
    Kind,
    Encoding,
    Struct,
    Imemo,
}

/// How many kinds there are.
const TEXT_KINDS: usize = TextKind::Imemo as usize + 1;

/// How many types with labels have places: a power of two. A heap has a few dozen.
pub(crate) const KINDS: usize = 256;

/// A heap's texts. In the Arrays, nil is what was not asked for yet, and false what is none.
pub(crate) struct Texts {
    lists: [AtomicUsize; TEXT_KINDS],
    /// A type and label by its place, 0 where there is none yet.
    kinds: [AtomicU64; KINDS],
}

impl Default for Texts {
    fn default() -> Texts {
        Texts { lists: [const { AtomicUsize::new(0) }; TEXT_KINDS], kinds: [const { AtomicU64::new(0) }; KINDS] }
    }
}

impl Texts {
    /// Has the garbage collector keep them, where they are.
    pub(crate) fn mark(&self, marker: &gc::Marker) {
        for list in &self.lists {
            if let Some(list) = list_of(list) {
                marker.mark(list);
            }
        }
    }

    /// The place of a type and label; where it has none yet, it gets one if `claim` is set. None where another has that place.
    #[inline]
    pub(crate) fn kind(&self, ty: u8, label: u32, claim: bool) -> Option<usize> {
        let kind = 1 << 40 | u64::from(ty) << 32 | u64::from(label);
        let place = (kind.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32) as usize % KINDS;
        match self.kinds[place].load(Ordering::Relaxed) {
            0 if claim => {
                let claimed = self.kinds[place].compare_exchange(0, kind, Ordering::Relaxed, Ordering::Relaxed);
                (claimed.is_ok() || claimed == Err(kind)).then_some(place)
            }
            known => (known == kind).then_some(place),
        }
    }

    /// A text that was kept, nil for none.
    #[inline]
    pub(crate) fn get(&self, kind: TextKind, number: usize) -> Option<Value> {
        let list = self.lists[kind as usize].load(Ordering::Acquire) as VALUE;
        if list == 0 {
            return None;
        }
        // SAFETY: it is an Array, which the heap marks; the caller holds the heap. Its size never changes.
        let text = unsafe { rb_sys::rb_ary_entry(list, number as _) };
        match text {
            _ if text == rb_sys::Qnil as VALUE => None,
            _ if text == rb_sys::Qfalse as VALUE => Some(unsafe { Value::from_raw(rb_sys::Qnil as VALUE) }),
            // SAFETY: what is put into it are Ruby values.
            _ => Some(unsafe { Value::from_raw(text) }),
        }
    }

    /// Keeps the text, or that there is none, of one of `count` numbers. Others that do the same at once put in the same.
    pub(crate) fn keep(
        &self,
        ruby: &Ruby,
        kind: TextKind,
        number: usize,
        count: usize,
        text: Value,
    ) -> Result<(), Error> {
        let place = &self.lists[kind as usize];
        let list = match list_of(place) {
            Some(list) => list,
            None => {
                let made = ruby.ary_new_capa(count);
                made.store(count.saturating_sub(1) as isize, ruby.qnil())?;
                let raw = made.as_raw() as usize;
                match place.compare_exchange(0, raw, Ordering::AcqRel, Ordering::Acquire) {
                    Ok(_) => made,
                    Err(_) => list_of(place).unwrap_or(made),
                }
            }
        };
        if number >= count {
            return Ok(());
        }
        match text.is_nil() {
            true => list.store(number as isize, false),
            false => list.store(number as isize, text),
        }
    }
}

fn list_of(place: &AtomicUsize) -> Option<RArray> {
    match place.load(Ordering::Acquire) as VALUE {
        0 => None,
        // SAFETY: it was made as an Array, and is marked by whoever holds it here.
        list => RArray::from_value(unsafe { Value::from_raw(list) }),
    }
}
