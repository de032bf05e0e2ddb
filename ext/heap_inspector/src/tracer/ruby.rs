//! What the tracer asks of Ruby, most of which no header has. Nothing here makes a Ruby object.

use heap_inspector_tracer::stacks::Frame;
use heap_inspector_tracer::texts::{TextId, Texts};
use heap_inspector_tracer::weak::Mark;
use rb_sys::{ID, VALUE};
use std::ffi::{CStr, c_char};

/// `rb_obj_gc_flags` of gc.c: writes the names of what is set, returns how many.
pub(super) type GcFlags = unsafe extern "C" fn(VALUE, *mut ID, usize) -> usize;

/// `rb_gc_obj_slot_size` of gc.c.
pub(super) type SlotSize = unsafe extern "C" fn(VALUE) -> usize;

/// The functions of this Ruby, which no header has.
pub(super) struct Api {
    pub(super) gc_flags: GcFlags,
    pub(super) marked: ID,
    pub(super) old: ID,
    /// From 3.3 on; before that a slot has 40 bytes, or is taken for such.
    pub(super) slot_size: Option<SlotSize>,
    /// Whether a hook of the collector makes allocations slow, as up to 3.2.
    pub(super) hides_hooks: bool,
    /// Symbols for `GC.latest_gc_info`: of what is asked, and an answer.
    pub(super) gc_state: VALUE,
    pub(super) is_marking: VALUE,
    /// Symbols for `GC.stat`.
    pub(super) major_count: VALUE,
    pub(super) total_allocated: VALUE,
    pub(super) malloc_increase: VALUE,
}

/// The bytes of a slot where Ruby does not tell.
pub(super) const SLOT: u32 = 40;

impl Api {
    pub(super) fn slot(&self, object: VALUE) -> u32 {
        // SAFETY: a living object.
        self.slot_size.map_or(SLOT, |slot_size| unsafe { slot_size(object) } as u32)
    }

    /// Whether a collection is under way that has not marked all.
    pub(super) fn is_marking(&self) -> bool {
        // SAFETY: asks for one answer, a Symbol, which makes no object.
        unsafe { rb_sys::rb_gc_latest_gc_info(self.gc_state) == self.is_marking }
    }

    /// How an object stands. To be asked at the end of marking, of objects that live until then.
    pub(super) fn mark(&self, address: u64) -> Mark {
        let mut flags: [ID; 16] = [0; 16];
        // SAFETY: the function writes at most as many as it is told; the object's slot is one of Ruby's, not yet swept.
        let count = unsafe { (self.gc_flags)(address as VALUE, flags.as_mut_ptr(), flags.len()) };
        let flags = flags.get(..count).unwrap_or_default();
        match (flags.contains(&self.marked), flags.contains(&self.old)) {
            (false, _) => Mark::Dead,
            (true, false) => Mark::Young,
            (true, true) => Mark::Old,
        }
    }
}

pub(super) fn generation() -> u32 {
    // SAFETY: takes nothing.
    unsafe { rb_sys::rb_gc_count() as u32 }
}

/// The class of a new object, 0 where what stands in its place is none.
///
/// # Safety
/// The object must be one of the heap.
pub(super) unsafe fn class_of(object: VALUE) -> VALUE {
    // SAFETY: every object begins so.
    let basic = unsafe { &*(object as *const rb_sys::RBasic) };
    let kind = basic.flags as u32 & rb_sys::ruby_value_type::RUBY_T_MASK as u32;
    // Behind the last of Ruby's types come internal ones, which keep other things there.
    if kind == 0 || kind >= rb_sys::ruby_value_type::RUBY_T_IMEMO as u32 { 0 } else { basic.klass }
}

/// The number of a text that Ruby has as a String; of none for what is not.
pub(super) fn intern(texts: &mut Texts, string: VALUE) -> TextId {
    string_bytes(string).map_or(TextId::NONE, |bytes| texts.intern(bytes))
}

/// The bytes of a String, as long as nothing else runs.
pub(super) fn string_bytes<'a>(string: VALUE) -> Option<&'a [u8]> {
    // SAFETY: where it is a String its pointer and length are so.
    unsafe {
        if rb_sys::SPECIAL_CONST_P(string) || rb_sys::RB_BUILTIN_TYPE(string) != rb_sys::ruby_value_type::RUBY_T_STRING
        {
            return None;
        }
        let length = usize::try_from(rb_sys::RSTRING_LEN(string)).ok()?;
        Some(std::slice::from_raw_parts(rb_sys::RSTRING_PTR(string).cast::<u8>(), length))
    }
}

/// The name of a Symbol.
pub(super) fn name_of<'a>(symbol: VALUE) -> &'a [u8] {
    // SAFETY: a Symbol that has an ID, being a method's name; the text is Ruby's and stays.
    unsafe {
        let name: *const c_char = rb_sys::rb_id2name(rb_sys::rb_sym2id(symbol));
        if name.is_null() { b"" } else { CStr::from_ptr(name).to_bytes() }
    }
}

/// What a frame says of itself without making an object.
pub(super) fn described(texts: &mut Texts, frame: u64) -> Frame {
    let frame = frame as VALUE;
    // SAFETY: a frame that runs just now.
    let (path, label, line) = unsafe {
        (
            rb_sys::rb_profile_frame_path(frame),
            rb_sys::rb_profile_frame_label(frame),
            rb_sys::rb_profile_frame_first_lineno(frame),
        )
    };
    // A Fixnum, or nil for what is written in C. Of that many have one name, as `Array#each` and `Hash#each`, and no file tells them apart.
    let first_line = if line & 1 == 1 { (line >> 1) as u32 } else { (frame >> 3) as u32 };
    Frame { path: intern(texts, path), label: intern(texts, label), first_line }
}

/// The bytes of a living object, as far as its header tells them: the slot, and the content of Strings, Arrays and Hashes beside it.
/// `ObjectSpace.memsize_of` asks more, and crashes for some classes of Ruby 4.0.
pub(super) fn size(api: &Api, address: u64) -> u64 {
    use rb_sys::ruby_value_type::{RUBY_T_ARRAY, RUBY_T_HASH, RUBY_T_STRING};
    /// `RSTRING_NOEMBED`, and of Arrays `RARRAY_EMBED_FLAG`.
    const EMBEDDING: u64 = rb_sys::ruby_fl_type::RUBY_FL_USER1 as u64;
    /// Bytes of a Hash's entry, about.
    const ENTRY: u64 = 24;
    let object = address as VALUE;
    let slot = u64::from(api.slot(object));
    // SAFETY: a living object, of the type that is asked for.
    let content = unsafe {
        let has_flag = (*(object as *const rb_sys::RBasic)).flags & EMBEDDING != 0;
        match rb_sys::RB_BUILTIN_TYPE(object) {
            RUBY_T_STRING if has_flag => rb_sys::RSTRING_LEN(object) as u64,
            RUBY_T_ARRAY if !has_flag => rb_sys::RARRAY_LEN(object) as u64 * 8,
            RUBY_T_HASH => rb_sys::rb_hash_size_num(object) as u64 * ENTRY,
            _ => 0,
        }
    };
    slot + content
}
