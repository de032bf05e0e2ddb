//! One object as a line, with the keys of `dump_object` in ext/objspace/objspace_dump.c of the Ruby that runs, in its order.

use super::text;
use super::value::*;
use super::{Format, Walk, each};
use heap_inspector::heap_file::{Field, Fields};
use heap_inspector_tracer::annotate::json;
use heap_inspector_tracer::texts::TextId;
use heap_inspector_tracer::tracer::Tracer;
use rb_sys::VALUE;
use std::ffi::{CStr, c_char, c_int, c_void};

/// Ruby's names of types, by number.
const TYPES: [&str; 32] = {
    let mut names = ["UNKNOWN"; 32];
    let known = [
        (0x00, "NONE"),
        (0x01, "OBJECT"),
        (0x02, "CLASS"),
        (0x03, "MODULE"),
        (0x04, "FLOAT"),
        (0x05, "STRING"),
        (0x06, "REGEXP"),
        (0x07, "ARRAY"),
        (0x08, "HASH"),
        (0x09, "STRUCT"),
        (0x0a, "BIGNUM"),
        (0x0b, "FILE"),
        (0x0c, "DATA"),
        (0x0d, "MATCH"),
        (0x0e, "COMPLEX"),
        (0x0f, "RATIONAL"),
        (0x11, "NIL"),
        (0x12, "TRUE"),
        (0x13, "FALSE"),
        (0x14, "SYMBOL"),
        (0x15, "FIXNUM"),
        (0x16, "UNDEF"),
        (0x1a, "IMEMO"),
        (0x1b, "NODE"),
        (0x1c, "ICLASS"),
        (0x1d, "ZOMBIE"),
    ];
    let mut at = 0;
    while at < known.len() {
        names[known[at].0] = known[at].1;
        at += 1;
    }
    names
};

/// `RB_OBJ_GC_FLAGS_MAX`, and some.
const GC_FLAGS: usize = 16;

impl Walk<'_, '_> {
    /// Writes an object's line.
    ///
    /// # Safety
    /// It must be a slot that is in use, in a heap that stands still.
    pub(super) unsafe fn object(&mut self, object: VALUE) {
        // SAFETY: what is read of an object is what its type says is there.
        unsafe {
            let has_shapes = self.api.shapes.is_some();
            let flags = flags(object);
            let kind = flags & 0x1f;
            self.references = 0;
            self.class = match kind {
                T_NODE => 0,
                // Up to 3.1 what stands there in an IMEMO is printed as its class, whatever it is.
                T_IMEMO if has_shapes => 0,
                _ => word(object, 8) as VALUE,
            };
            self.address(Field::Address, object);
            if self.types[kind as usize] == 0 {
                self.types[kind as usize] = self.names.intern(TYPES[kind as usize].as_bytes());
            }
            self.known_word(Field::Type, self.types[kind as usize]);
            if let Some(shapes) = &self.api.shapes {
                self.number(Field::ShapeId, u64::from((shapes.of)(object)));
                self.number(Field::SlotSize, self.slot_size as u64);
            }
            if self.class != 0 {
                self.address(Field::Class, self.class);
            }
            if flags & FL_FREEZE != 0 {
                self.truth(Field::Frozen);
            }
            match kind {
                T_IMEMO => self.imemo(object),
                T_SYMBOL => self.content(rb_sys::rb_sym2str(object), false),
                T_STRING => self.string(object, flags),
                T_HASH => self.hash(object, flags),
                T_ARRAY => self.array(object, flags),
                T_ICLASS => self.superclass(object),
                T_CLASS | T_MODULE => self.class(object, flags, kind),
                T_DATA => {
                    if let Some((of, _)) = typed_data(object) {
                        self.c_string(Field::Struct, word(of, 0) as *const c_char);
                    }
                }
                T_FLOAT => {
                    self.with_scratch(|walk, text| {
                        text::float(text, f64::from_bits(word(object, 16)));
                        walk.value(text);
                    });
                }
                T_OBJECT => self.variables(object, flags),
                T_FILE => {
                    let file = word(object, 16) as VALUE;
                    if file != 0 {
                        let descriptor = *((file as usize + 16) as *const c_int);
                        self.signed(Field::Fd, descriptor.into());
                    }
                }
                T_ZOMBIE => {
                    each!(&mut self.format, to => to.end());
                    return;
                }
                _ => {}
            }
            self.references(object, kind);
            self.allocation(object);
            let memsize = (self.api.memsize)(object);
            if memsize > 0 {
                self.number(Field::Memsize, memsize as u64);
            }
            self.gc_flags(object);
            each!(&mut self.format, to => to.end());
        }
    }

    unsafe fn imemo(&mut self, object: VALUE) {
        unsafe {
            let kind = imemo_type(object);
            self.c_string(Field::ImemoType, (self.api.imemo_name)(kind as c_int));
            if self.api.version < (3, 3) {
                return;
            }
            match kind {
                IMEMO_CALLINFO => {
                    // `struct rb_callinfo`: flags, keywords, name
                    let name = word(object, 16);
                    if name != 0 {
                        self.id(Field::Mid, name);
                    }
                }
                IMEMO_CALLCACHE => {
                    // `struct rb_callcache`: flags, class, method entry. Without a class it is out of use, and its method entry may be gone.
                    let (class, method) = (word(object, 8) as VALUE, word(object, 16) as VALUE);
                    if class == 0 || method == 0 {
                        return;
                    }
                    let name = word(method, 24);
                    if name != 0 {
                        self.id(Field::CalledId, name);
                        self.address(Field::ReceiverClass, class);
                    }
                }
                _ => {}
            }
        }
    }

    unsafe fn string(&mut self, object: VALUE, flags: u64) {
        unsafe {
            let has_shapes = self.api.shapes.is_some();
            let is_embedded = flags & FL_USER1 == 0;
            if is_embedded {
                self.truth(Field::Embedded);
            }
            if !has_shapes && coderange(object) == CODERANGE {
                self.truth(Field::Broken);
            }
            if flags & FL_USER17 != 0 {
                self.truth(Field::Fstring);
            }
            if self.api.version >= (3, 4) && flags & (FL_USER2 | FL_USER3) != 0 {
                self.truth(Field::Chilled);
            }
            if is_shared(flags) {
                self.truth(Field::Shared);
            } else {
                self.content(object, true);
            }
            let encoding = encoding_index(object);
            if encoding != 0 {
                self.encoding(encoding);
            }
            if has_shapes {
                let coderange: &[u8] = match flags & CODERANGE {
                    0 => b"unknown",
                    CODERANGE_7BIT => b"7bit",
                    CODERANGE_VALID => b"valid",
                    _ => b"broken",
                };
                self.fixed_word(Field::Coderange, coderange);
                if flags & CODERANGE == CODERANGE {
                    self.truth(Field::Broken);
                }
            }
        }
    }

    /// Size and text of a String, which may be a value or a name.
    unsafe fn content(&mut self, object: VALUE, is_value: bool) {
        unsafe {
            let flags = flags(object);
            let bytes = string(object);
            self.number(Field::Bytesize, bytes.len() as u64);
            if flags & FL_USER1 != 0 && !is_shared(flags) {
                let capacity = (self.api.capacity)(object);
                if capacity != bytes.len() {
                    self.number(Field::Capacity, capacity as u64);
                }
            }
            let is_ascii = if self.api.shapes.is_none() {
                coderange(object) == CODERANGE_7BIT
            } else {
                let known = flags & CODERANGE;
                !bytes.is_empty()
                    && is_ascii_compatible(encoding_index(object))
                    && (known == CODERANGE_7BIT || known == 0 && bytes.is_ascii())
            };
            if is_ascii {
                if is_value {
                    self.value(bytes);
                } else {
                    self.text(Field::Value, bytes);
                }
            }
        }
    }

    /// A value, or what it is replaced by.
    fn value(&mut self, value: &[u8]) {
        match self.wanted.values {
            Some(values) => self.text(Field::Value, &values.other(value)),
            None => self.text(Field::Value, value),
        }
    }

    unsafe fn hash(&mut self, object: VALUE, flags: u64) {
        unsafe {
            self.number(Field::Size, rb_sys::rb_hash_size_num(object) as u64);
            if flags & FL_USER2 != 0 {
                let default = if self.api.shapes.is_some() { word(object, 16) } else { word(object, 24) };
                self.address(Field::Default, default as VALUE);
            }
        }
    }

    unsafe fn array(&mut self, object: VALUE, flags: u64) {
        unsafe {
            let length = rb_sys::RARRAY_LEN(object);
            self.signed(Field::Length, length);
            if length > 0 && flags & ELTS_SHARED != 0 {
                self.truth(Field::Shared);
            }
            if (length > 0 || self.api.shapes.is_some()) && flags & FL_USER1 != 0 {
                self.truth(Field::Embedded);
            }
        }
    }

    unsafe fn superclass(&mut self, object: VALUE) {
        unsafe {
            let superclass = (self.api.superclass)(object);
            if superclass != 0 {
                self.address(Field::Superclass, superclass);
            }
        }
    }

    unsafe fn class(&mut self, object: VALUE, flags: u64, kind: u64) {
        unsafe {
            if kind == T_CLASS
                && let Some(count) = self.api.variations(object)
            {
                self.signed(Field::VariationCount, count.into());
            }
            self.superclass(object);
            if self.class == 0 {
                return;
            }
            if let Some(name) = string_or_none(rb_sys::rb_mod_name(object)) {
                if self.api.version >= (3, 3) {
                    self.escaped(Field::Name, name);
                } else {
                    self.word(Field::Name, until_nul(name));
                }
            } else if let Some(name) = string_or_none(rb_sys::rb_mod_name((self.api.real_class)(object))) {
                self.word(Field::RealClassName, until_nul(name));
            }
            if flags & (rb_sys::ruby_fl_type::RUBY_FL_SINGLETON as u64) != 0 && kind == T_CLASS {
                self.truth(Field::Singleton);
            }
        }
    }

    unsafe fn variables(&mut self, object: VALUE, flags: u64) {
        unsafe {
            let is_embedded = flags & FL_USER1 != 0;
            let Some(shapes) = &self.api.shapes else {
                // `ROBJECT_NUMIV`: the room for variables, three in the slot.
                let count = if is_embedded { 3 } else { *((object as usize + 16) as *const u32) };
                self.number(Field::Ivars, count.into());
                return;
            };
            if is_embedded {
                self.truth(Field::Embedded);
            }
            self.number(Field::Ivars, rb_sys::rb_ivar_count(object) as u64);
            if (shapes.is_complex)(object) != 0 {
                self.truth(Field::TooComplexShape);
            }
        }
    }

    unsafe fn references(&mut self, object: VALUE, kind: u64) {
        unsafe {
            if self.wanted.names {
                self.names.of(self.api, object, kind, self.class);
            }
            (self.api.from)(object, reference, (self as *mut Self).cast::<c_void>());
            if self.references > 0 {
                each!(&mut self.format, to => to.end_references());
                if self.wanted.names {
                    self.write_names(object, kind);
                }
            }
        }
    }

    /// What Ruby's own tracer knows, and ours.
    unsafe fn allocation(&mut self, object: VALUE) {
        unsafe {
            let info = self.api.allocation.and_then(|look_up| look_up(object).as_ref());
            if let Some(info) = info {
                if !info.path.is_null() {
                    self.c_string(Field::File, info.path);
                }
                if info.line != 0 {
                    self.number(Field::Line, info.line);
                }
                if info.method & !8 != 0
                    && let Some(name) = string_or_none(rb_sys::rb_sym2str(info.method))
                {
                    self.escaped(Field::Method, name);
                }
                self.number(Field::Generation, info.generation as u64);
            }
            let Some((tracer, numbering)) = self.wanted.traced else { return };
            let Some(traced) = tracer.get(object) else { return };
            // What Ruby's own tracer said stands.
            if info.is_none() {
                if let Some(site) = traced.site {
                    if site.path != TextId::NONE {
                        self.traced_text(Field::File, tracer, site.path);
                    }
                    if site.line > 0 {
                        self.number(Field::Line, site.line.into());
                    }
                    if site.method != TextId::NONE {
                        self.traced_text(Field::Method, tracer, site.method);
                    }
                }
                self.number(Field::Generation, traced.generation.into());
            }
            if let Some(number) = traced.stack.and_then(|stack| numbering.get(stack)) {
                self.number(Field::Stack, number.into());
            }
        }
    }

    /// A text of our tracer's.
    fn traced_text(&mut self, field: Field, tracer: &Tracer, id: TextId) {
        let at = id.0 as usize;
        if self.texts.len() <= at {
            self.texts.resize(at + 1, None);
        }
        let text = self.texts[at].get_or_insert_with(|| {
            let quoted = json(tracer, id).to_string();
            quoted.as_bytes()[1..quoted.len() - 1].into()
        });
        each!(&mut self.format, to => to.fixed_word(field, text));
    }

    unsafe fn gc_flags(&mut self, object: VALUE) {
        unsafe {
            let mut found: [rb_sys::ID; GC_FLAGS] = [0; GC_FLAGS];
            let count = (self.api.gc_flags)(object, found.as_mut_ptr(), found.len());
            let found = &found[..count.min(found.len())];
            if found.is_empty() {
                return;
            }
            // There are a few sets of them, and mostly it is that of the object before. They are compared one by one: each has a few, and a
            // call to compare their bytes takes longer.
            let is_known = |at: usize| {
                let Some((known, _)) = self.flags.get(at) else { return false };
                known.len() == found.len() && (0..known.len()).all(|flag| known[flag] == found[flag])
            };
            let last = Some(self.last_flags).filter(|at| is_known(*at));
            let known = last.or_else(|| (0..self.flags.len()).find(|at| is_known(*at)));
            let at = known.unwrap_or_else(|| {
                let names = found
                    .iter()
                    .map(|flag| format!("\"{}\":true", String::from_utf8_lossy(id_name(*flag).unwrap_or_default())));
                let name = self.names.intern(names.collect::<Vec<_>>().join(", ").as_bytes());
                self.flags.push((found.to_vec(), name));
                self.flags.len() - 1
            });
            self.last_flags = at;
            self.known_word(Field::Flags, self.flags[at].1);
        }
    }

    /// A word that is escaped.
    fn escaped(&mut self, field: Field, text: &[u8]) {
        self.with_scratch(|walk, word| {
            text::escape(word, text);
            walk.word(field, word);
        });
    }

    /// The name of an ID; of one of Ruby's own its number.
    pub(super) unsafe fn id(&mut self, field: Field, id: rb_sys::ID) {
        // SAFETY: an ID.
        match unsafe { id_name(id) } {
            Some(name) => self.escaped(field, name),
            // `rb_id_to_serial`: what is no operator has its scope in the lowest bits.
            None => {
                let serial = if id > LAST_OPERATOR { id >> ID_SCOPE_SHIFT } else { id };
                self.word(field, format!("ID_INTERNAL({serial})").as_bytes());
            }
        }
    }

    unsafe fn c_string(&mut self, field: Field, text: *const c_char) {
        // SAFETY: a C string of Ruby's or an extension's.
        let text = if text.is_null() { b"" } else { unsafe { CStr::from_ptr(text) }.to_bytes() };
        self.fixed_word(field, text);
    }

    unsafe fn encoding(&mut self, index: c_int) {
        let at = usize::try_from(index).unwrap_or(0);
        if self.encodings.len() <= at {
            self.encodings.resize(at + 1, None);
        }
        let name = self.encodings[at].get_or_insert_with(|| {
            // SAFETY: the index of a string's encoding.
            unsafe {
                let encoding = rb_sys::rb_enc_from_index(index).as_ref();
                encoding.map_or_else(Vec::new, |encoding| CStr::from_ptr(encoding.name).to_bytes().to_vec())
            }
        });
        each!(&mut self.format, to => to.fixed_word(Field::Encoding, name));
    }
}

/// `tLAST_OP_ID` and `ID_SCOPE_SHIFT` of symbol.h.
const LAST_OPERATOR: rb_sys::ID = 169;
const ID_SCOPE_SHIFT: u32 = 4;

/// SAFETY: Ruby calls it for each thing that the object holds, with the walk.
unsafe extern "C" fn reference(object: VALUE, walk: *mut c_void) {
    let walk = unsafe { &mut *walk.cast::<Walk<'_, '_>>() };
    if object == walk.class {
        return;
    }
    if walk.references == 0 {
        each!(&mut walk.format, to => to.begin_references());
    }
    each!(&mut walk.format, to => to.reference(object));
    walk.references += 1;
    if walk.wanted.names {
        // SAFETY: an object.
        unsafe { walk.names.take(object) };
    }
}

/// What a String consists of: where that is not known yet Ruby looks, and keeps what it finds in the child's copy.
unsafe fn coderange(object: VALUE) -> u64 {
    // SAFETY: a String.
    unsafe {
        match flags(object) & CODERANGE {
            0 => rb_sys::rb_enc_str_coderange(object) as u64 & CODERANGE,
            known => known,
        }
    }
}

#[inline(always)]
fn is_shared(flags: u64) -> bool {
    flags & (FL_USER1 | ELTS_SHARED) == FL_USER1 | ELTS_SHARED
}

fn until_nul(text: &[u8]) -> &[u8] {
    text.split(|byte| *byte == 0).next().unwrap_or_default()
}

/// The number of a string's encoding, 0 for BINARY.
unsafe fn encoding_index(object: VALUE) -> c_int {
    const INLINED: u64 = 127;
    unsafe {
        match flags(object) >> (USHIFT + 10) & INLINED {
            INLINED => rb_sys::rb_enc_get_index(object),
            index => index as c_int,
        }
    }
}

unsafe fn is_ascii_compatible(index: c_int) -> bool {
    const DUMMY: c_int = 1 << 24;
    // SAFETY: the index of a string's encoding.
    let encoding = unsafe { rb_sys::rb_enc_from_index(index).as_ref() };
    encoding.is_some_and(|encoding| encoding.min_enc_len == 1 && encoding.ruby_encoding_index & DUMMY == 0)
}
