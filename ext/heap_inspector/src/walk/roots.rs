//! The roots, and what they are called: global variables, and what threads keep under a name.

use super::names;
use super::text;
use super::value::*;
use super::{Format, Walk, each};
use heap_inspector::heap_file::{Field, Fields};
use rb_sys::{ID, VALUE};
use std::collections::HashSet;
use std::ffi::{CStr, CString, c_char, c_void};

/// The root whose value names what other roots and threads hold; see `docs/dump-format.md`.
const NAMES_ROOT: &str = "heap_inspector_names";
/// Bytes of a line with names, more or less.
const LINE: usize = 1 << 15;
/// So often a thread is asked for a name at most: a second's work.
const QUESTIONS: usize = 50_000_000;

/// What these would say is made when they are asked, or by code that does more than to look.
const ASKED: [&[u8]; 25] = [
    b"$KCODE",
    b"$FILENAME",
    b"$ERROR_INFO",
    b"$ERROR_POSITION",
    b"$FS",
    b"$FIELD_SEPARATOR",
    b"$OFS",
    b"$OUTPUT_FIELD_SEPARATOR",
    b"$RS",
    b"$INPUT_RECORD_SEPARATOR",
    b"$ORS",
    b"$OUTPUT_RECORD_SEPARATOR",
    b"$INPUT_LINE_NUMBER",
    b"$NR",
    b"$LAST_READ_LINE",
    b"$DEFAULT_OUTPUT",
    b"$DEFAULT_INPUT",
    b"$PID",
    b"$PROCESS_ID",
    b"$CHILD_STATUS",
    b"$LAST_MATCH_INFO",
    b"$ARGV",
    b"$MATCH",
    b"$PREMATCH",
    b"$POSTMATCH",
];

/// SAFETY: Ruby calls it for each thing that a root holds, with the walk.
pub(super) unsafe extern "C" fn root(category: *const c_char, object: VALUE, walk: *mut c_void) {
    let walk = unsafe { &mut *walk.cast::<Walk<'_, '_>>() };
    if category != walk.category {
        walk.end_roots();
        walk.category = category;
        walk.word(Field::Type, b"ROOT");
        // SAFETY: one of Ruby's own words.
        walk.word(Field::Root, unsafe { CStr::from_ptr(category) }.to_bytes());
        each!(&mut walk.format, to => to.begin_references());
    }
    each!(&mut walk.format, to => to.reference(object));
    // SAFETY: as above.
    if walk.wanted.names && unsafe { CStr::from_ptr(category) } == c"global_tbl" {
        walk.names.globals.insert(object);
    }
}

impl Walk<'_, '_> {
    /// Ends the line of the last root.
    pub(super) fn end_roots(&mut self) {
        if !self.category.is_null() {
            each!(&mut self.format, to => {
                to.end_references();
                to.end();
            });
        }
        self.category = std::ptr::null();
    }

    /// Writes which global variable holds what, and what threads hold in variables of their current fibers. The objects are written by
    /// now, so what Ruby makes to answer is in no dump.
    ///
    /// # Safety
    /// As for [`super::walk`].
    pub(super) unsafe fn name_roots(&mut self) {
        // SAFETY: lists of names, which are Symbols; what is asked is Ruby's own C.
        unsafe {
            let globals = self.global_variables();
            self.write_root_names("globals", &globals);
            let locals = self.thread_variables();
            self.write_root_names("threads", &locals);
        }
    }

    unsafe fn global_variables(&mut self) -> Vec<(VALUE, Vec<u8>, VALUE)> {
        unsafe {
            let names = rb_sys::rb_f_global_variables();
            let mut globals = Vec::new();
            for symbol in elements(names) {
                let Some(name) = symbol_name(symbol) else { continue };
                let is_word = name.get(1).is_some_and(|letter| letter.is_ascii_alphabetic() || *letter == b'_');
                if !is_word || name == b"$_" || ASKED.contains(&name) {
                    continue;
                }
                let Ok(c_name) = CString::new(name) else { continue };
                let value = rb_sys::rb_gv_get(c_name.as_ptr());
                // What is not among the roots was made to answer.
                if !is_special(value) && self.names.globals.contains(&value) {
                    globals.push((0, name.to_vec(), value));
                }
            }
            globals
        }
    }

    unsafe fn thread_variables(&mut self) -> Vec<(VALUE, Vec<u8>, VALUE)> {
        unsafe {
            let threads = std::mem::take(&mut self.names.threads);
            if threads.is_empty() {
                return Vec::new();
            }
            let symbols: Vec<(ID, &[u8])> = elements(rb_sys::rb_sym_all_symbols())
                .filter_map(|symbol| Some((rb_sys::rb_sym2id(symbol), symbol_name(symbol)?)))
                .collect();
            let mut seen = HashSet::new();
            let mut locals = Vec::new();
            let most = QUESTIONS / symbols.len().max(1);
            for thread in threads.into_iter().take(most) {
                // What Ruby notes while it prints and compares is nobody's.
                for (id, name) in symbols.iter().filter(|(_, name)| *name != b"__recursive_key__") {
                    let value = rb_sys::rb_thread_local_aref(thread, *id);
                    if !is_special(value) && seen.insert((thread, value, *id)) {
                        locals.push((thread, [b"[:", *name, b"]"].concat(), value));
                    }
                }
            }
            locals
        }
    }

    /// A line `{"globals":[["$name","0x…"],…]}` or `{"threads":[["0x…","[:name]","0x…"],…]}`, or several.
    fn write_root_names(&mut self, kind: &str, named: &[(VALUE, Vec<u8>, VALUE)]) {
        let mut rows = Vec::new();
        for (at, (holder, name, value)) in named.iter().enumerate() {
            rows.extend_from_slice(if rows.is_empty() { b"[" } else { b",[" });
            if *holder != 0 {
                text::put_address(&mut rows, *holder);
                rows.push(b',');
            }
            rows.push(b'"');
            names::escape(&mut rows, name);
            rows.extend_from_slice(b"\",");
            text::put_address(&mut rows, *value);
            rows.push(b']');
            if rows.len() >= LINE || at + 1 == named.len() {
                let mut line =
                    format!("{{\"type\":\"ROOT\", \"root\":\"{NAMES_ROOT}\", \"value\":\"{{\\\"{kind}\\\":[")
                        .into_bytes();
                text::escape(&mut line, &rows);
                line.extend_from_slice(b"]}\", \"references\":[]}");
                self.line(&line);
                rows.clear();
            }
        }
    }
}

/// The elements of an Array that stays as it is.
unsafe fn elements(array: VALUE) -> impl Iterator<Item = VALUE> {
    // SAFETY: so many elements are there.
    let length = unsafe { rb_sys::RARRAY_LEN(array) };
    (0..length).map(move |at| unsafe { rb_sys::rb_ary_entry(array, at) })
}

unsafe fn symbol_name<'a>(symbol: VALUE) -> Option<&'a [u8]> {
    unsafe { string_or_none(rb_sys::rb_sym2str(symbol)) }
}
