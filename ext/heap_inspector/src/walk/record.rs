//! One object as a line, with the keys of `dump_object` in ext/objspace/objspace_dump.c of the Ruby that runs, in its order.

use super::Walk;
use super::text;
use super::value::*;
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

impl Walk<'_> {
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
            self.text("{\"address\":");
            text::address(&mut self.buffer, object);
            self.text(", \"type\":\"");
            self.text(TYPES[kind as usize]);
            self.text("\"");
            if let Some(shapes) = &self.api.shapes {
                self.number(", \"shape_id\":", u64::from((shapes.of)(object)));
                self.number(", \"slot_size\":", self.slot_size as u64);
            }
            if self.class != 0 {
                self.address(", \"class\":", self.class);
            }
            if flags & FL_FREEZE != 0 {
                self.text(", \"frozen\":true");
            }
            match kind {
                T_IMEMO => self.imemo(object),
                T_SYMBOL => self.content(rb_sys::rb_sym2str(object)),
                T_STRING => self.string(object, flags),
                T_HASH => self.hash(object, flags),
                T_ARRAY => self.array(object, flags),
                T_ICLASS => self.superclass(object),
                T_CLASS | T_MODULE => self.class(object, flags, kind),
                T_DATA => {
                    if let Some((of, _)) = typed_data(object) {
                        self.text(", \"struct\":\"");
                        self.c_string(word(of, 0) as *const c_char);
                        self.text("\"");
                    }
                }
                T_FLOAT => {
                    self.text(", \"value\":\"");
                    text::float(&mut self.buffer, f64::from_bits(word(object, 16)));
                    self.text("\"");
                }
                T_OBJECT => self.variables(object, flags),
                T_FILE => {
                    let file = word(object, 16) as VALUE;
                    if file != 0 {
                        self.text(", \"fd\":");
                        let descriptor = *((file as usize + 16) as *const c_int);
                        text::signed(&mut self.buffer, descriptor.into());
                    }
                }
                T_ZOMBIE => {
                    self.text("}\n");
                    return;
                }
                _ => {}
            }
            self.references(object, kind);
            self.allocation(object);
            let memsize = (self.api.memsize)(object);
            if memsize > 0 {
                self.number(", \"memsize\":", memsize as u64);
            }
            self.gc_flags(object);
            self.text("}\n");
            self.make_room();
        }
    }

    unsafe fn imemo(&mut self, object: VALUE) {
        unsafe {
            let kind = imemo_type(object);
            self.text(", \"imemo_type\":\"");
            self.c_string((self.api.imemo_name)(kind as c_int));
            self.text("\"");
            if self.api.version < (3, 3) {
                return;
            }
            match kind {
                IMEMO_CALLINFO => {
                    // `struct rb_callinfo`: flags, keywords, name
                    let name = word(object, 16);
                    if name != 0 {
                        self.id(", \"mid\":", name);
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
                        self.id(", \"called_id\":", name);
                        self.address(", \"receiver_class\":", class);
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
                self.text(", \"embedded\":true");
            }
            if !has_shapes {
                // It looks, where that is not known yet, and keeps what it finds in the child's copy.
                let coderange = rb_sys::rb_enc_str_coderange(object) as u64;
                if coderange & CODERANGE == CODERANGE {
                    self.text(", \"broken\":true");
                }
            }
            if flags & FL_USER17 != 0 {
                self.text(", \"fstring\":true");
            }
            if self.api.version >= (3, 4) && flags & (FL_USER2 | FL_USER3) != 0 {
                self.text(", \"chilled\":true");
            }
            if is_shared(flags) {
                self.text(", \"shared\":true");
            } else {
                self.content(object);
            }
            let encoding = encoding_index(object);
            if encoding != 0 {
                self.text(", \"encoding\":\"");
                self.encoding(encoding);
                self.text("\"");
            }
            if has_shapes {
                self.text(", \"coderange\":\"");
                self.text(match flags & CODERANGE {
                    0 => "unknown",
                    CODERANGE_7BIT => "7bit",
                    CODERANGE_VALID => "valid",
                    _ => "broken",
                });
                self.text("\"");
                if flags & CODERANGE == CODERANGE {
                    self.text(", \"broken\":true");
                }
            }
        }
    }

    /// Size and text of a String.
    unsafe fn content(&mut self, object: VALUE) {
        unsafe {
            let flags = flags(object);
            let bytes = string(object);
            self.number(", \"bytesize\":", bytes.len() as u64);
            if flags & FL_USER1 != 0 && !is_shared(flags) {
                let capacity = (self.api.capacity)(object);
                if capacity != bytes.len() {
                    self.number(", \"capacity\":", capacity as u64);
                }
            }
            let is_ascii = if self.api.shapes.is_none() {
                rb_sys::rb_enc_str_coderange(object) as u64 & CODERANGE == CODERANGE_7BIT
            } else {
                let known = flags & CODERANGE;
                !bytes.is_empty()
                    && is_ascii_compatible(encoding_index(object))
                    && (known == CODERANGE_7BIT || known == 0 && bytes.is_ascii())
            };
            if is_ascii {
                self.text(", \"value\":\"");
                // In pieces, so that the buffer stays small.
                for piece in bytes.chunks(super::CHUNK) {
                    text::escape(&mut self.buffer, piece);
                    self.make_room();
                }
                self.text("\"");
            }
        }
    }

    unsafe fn hash(&mut self, object: VALUE, flags: u64) {
        unsafe {
            self.number(", \"size\":", rb_sys::rb_hash_size_num(object) as u64);
            if flags & FL_USER2 != 0 {
                let default = if self.api.shapes.is_some() { word(object, 16) } else { word(object, 24) };
                self.address(", \"default\":", default as VALUE);
            }
        }
    }

    unsafe fn array(&mut self, object: VALUE, flags: u64) {
        unsafe {
            let length = rb_sys::RARRAY_LEN(object);
            self.text(", \"length\":");
            text::signed(&mut self.buffer, length);
            if length > 0 && flags & ELTS_SHARED != 0 {
                self.text(", \"shared\":true");
            }
            if (length > 0 || self.api.shapes.is_some()) && flags & FL_USER1 != 0 {
                self.text(", \"embedded\":true");
            }
        }
    }

    unsafe fn superclass(&mut self, object: VALUE) {
        unsafe {
            let superclass = (self.api.superclass)(object);
            if superclass != 0 {
                self.address(", \"superclass\":", superclass);
            }
        }
    }

    unsafe fn class(&mut self, object: VALUE, flags: u64, kind: u64) {
        unsafe {
            if kind == T_CLASS
                && let Some(count) = self.api.variations(object)
            {
                self.text(", \"variation_count\":");
                text::signed(&mut self.buffer, count.into());
            }
            self.superclass(object);
            if self.class == 0 {
                return;
            }
            if let Some(name) = string_or_none(rb_sys::rb_mod_name(object)) {
                self.text(", \"name\":\"");
                if self.api.version >= (3, 3) {
                    text::escape(&mut self.buffer, name);
                } else {
                    self.buffer.extend_from_slice(until_nul(name));
                }
                self.text("\"");
            } else if let Some(name) = string_or_none(rb_sys::rb_mod_name((self.api.real_class)(object))) {
                self.text(", \"real_class_name\":\"");
                self.buffer.extend_from_slice(until_nul(name));
                self.text("\"");
            }
            if flags & (rb_sys::ruby_fl_type::RUBY_FL_SINGLETON as u64) != 0 && kind == T_CLASS {
                self.text(", \"singleton\":true");
            }
        }
    }

    unsafe fn variables(&mut self, object: VALUE, flags: u64) {
        unsafe {
            let is_embedded = flags & FL_USER1 != 0;
            let Some(shapes) = &self.api.shapes else {
                // `ROBJECT_NUMIV`: the room for variables, three in the slot.
                let count = if is_embedded { 3 } else { *((object as usize + 16) as *const u32) };
                self.number(", \"ivars\":", count.into());
                return;
            };
            if is_embedded {
                self.text(", \"embedded\":true");
            }
            self.number(", \"ivars\":", rb_sys::rb_ivar_count(object) as u64);
            if (shapes.is_complex)(object) != 0 {
                self.text(", \"too_complex_shape\":true");
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
                self.text("]");
                if self.wanted.names {
                    self.write_names(object, kind);
                }
            }
        }
    }

    /// What Ruby's own tracer knows.
    unsafe fn allocation(&mut self, object: VALUE) {
        unsafe {
            let Some(info) = self.api.allocation.and_then(|look_up| look_up(object).as_ref()) else { return };
            if !info.path.is_null() {
                self.text(", \"file\":\"");
                self.c_string(info.path);
                self.text("\"");
            }
            if info.line != 0 {
                self.number(", \"line\":", info.line);
            }
            if info.method & !8 != 0
                && let Some(name) = string_or_none(rb_sys::rb_sym2str(info.method))
            {
                self.text(", \"method\":\"");
                text::escape(&mut self.buffer, name);
                self.text("\"");
            }
            self.number(", \"generation\":", info.generation as u64);
        }
    }

    unsafe fn gc_flags(&mut self, object: VALUE) {
        unsafe {
            let mut found: [rb_sys::ID; GC_FLAGS] = [0; GC_FLAGS];
            let count = (self.api.gc_flags)(object, found.as_mut_ptr(), found.len());
            let found = &found[..count.min(found.len())];
            if found.is_empty() {
                return;
            }
            // There are a few sets of them.
            if let Some((_, text)) = self.flags.iter().find(|(known, _)| known == found) {
                self.buffer.extend_from_slice(text);
                return;
            }
            let names = found
                .iter()
                .map(|flag| format!("\"{}\":true", String::from_utf8_lossy(id_name(*flag).unwrap_or_default())));
            let text = format!(", \"flags\":{{{}}}", names.collect::<Vec<_>>().join(", ")).into_bytes();
            self.buffer.extend_from_slice(&text);
            self.flags.push((found.to_vec(), text));
        }
    }

    fn number(&mut self, key: &str, number: u64) {
        self.text(key);
        text::number(&mut self.buffer, number);
    }

    pub(super) fn address(&mut self, key: &str, address: VALUE) {
        self.text(key);
        text::address(&mut self.buffer, address);
    }

    /// The name of an ID; of one of Ruby's own its number.
    pub(super) unsafe fn id(&mut self, key: &str, id: rb_sys::ID) {
        // SAFETY: an ID.
        let name = unsafe { id_name(id) };
        self.text(key);
        self.text("\"");
        match name {
            Some(name) => text::escape(&mut self.buffer, name),
            // `rb_id_to_serial`: what is no operator has its scope in the lowest bits.
            None => {
                let serial = if id > LAST_OPERATOR { id >> ID_SCOPE_SHIFT } else { id };
                self.buffer.extend_from_slice(format!("ID_INTERNAL({serial})").as_bytes());
            }
        }
        self.text("\"");
    }

    unsafe fn c_string(&mut self, text: *const c_char) {
        if !text.is_null() {
            // SAFETY: a C string of Ruby's or an extension's.
            self.buffer.extend_from_slice(unsafe { CStr::from_ptr(text) }.to_bytes());
        }
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
        self.buffer.extend_from_slice(name);
    }
}

/// `tLAST_OP_ID` and `ID_SCOPE_SHIFT` of symbol.h.
const LAST_OPERATOR: rb_sys::ID = 169;
const ID_SCOPE_SHIFT: u32 = 4;

/// SAFETY: Ruby calls it for each thing that the object holds, with the walk.
unsafe extern "C" fn reference(object: VALUE, walk: *mut c_void) {
    let walk = unsafe { &mut *walk.cast::<Walk<'_>>() };
    if object == walk.class {
        return;
    }
    walk.text(if walk.references == 0 { ", \"references\":[" } else { ", " });
    text::address(&mut walk.buffer, object);
    walk.references += 1;
    if walk.wanted.names {
        // SAFETY: an object.
        unsafe { walk.names.take(object) };
    }
    walk.make_room();
}

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
