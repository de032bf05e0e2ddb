//! By what an object holds others: worked out before its references are asked for, and matched with them by what they lead to.
//!
//! The first character says what a name is: `@x` an instance variable, `@@x` one of a class, `X` a constant, `#x` a method, `.x` a member of
//! a Struct or Data, `[…]` the key of a Hash or the place in an Array, `(…)` a word of ours, anything else a local variable.

use super::api::Api;
use super::code::{self, Block};
use super::frames;
use super::text;
use super::value::*;
use super::{Format, Walk, each};
use hashbrown::{HashMap, HashSet};
use heap_inspector::heap_file::{Field, Fields, Name as Told};
use rb_sys::{ID, VALUE};
use std::ffi::{CStr, c_char, c_int, c_void};
use std::ptr;

/// The number of a name; 0 for none.
pub(super) type Name = u32;

/// Bytes of a key that are told.
const SHOWN: usize = 60;
/// The binary logarithm of how many keys are kept.
const KEYS_BITS: u32 = 12;
/// Names of so many places in Arrays are kept.
const PLACES: usize = 1 << 10;
/// A longer list of names is searched through a table.
const SEARCHED: usize = 16;

/// What is known of names, and of those of one object.
#[derive(Default)]
pub(super) struct Names {
    /// What the root of global variables holds.
    pub(super) globals: HashSet<VALUE>,
    pub(super) threads: Vec<VALUE>,
    /// All names, each as it stands in JSON between its quotes.
    text: Vec<u8>,
    places: Vec<(u32, u32)>,
    /// By ID, and whether it is a method's.
    by_id: HashMap<(ID, bool), Name>,
    /// Words of ours, by where they stand in the program: there are a few.
    words: Vec<(&'static str, Name)>,
    of_entries: Option<[Name; 3]>,
    /// By constant and line what the file is called in which it was set.
    set: HashMap<(Name, c_int), Name>,
    /// By key of a Hash what stands under it is called.
    by_key: HashMap<VALUE, Name>,
    /// Of elements.
    by_place: Vec<Name>,
    /// Those that were met last, each in a place that it gives itself.
    keys: Vec<(VALUE, Name)>,
    /// By class or shape: the names of instance variables by their places.
    variables: HashMap<u64, Vec<Name>>,
    /// Whether objects do not keep their variables where it is thought.
    is_indirect: bool,
    /// By class: the members of its Structs.
    members: HashMap<VALUE, Vec<Name>>,
    data: HashMap<VALUE, Data>,
    /// What the object holds by name.
    pairs: Vec<(VALUE, Name)>,
    /// Where in `pairs` each thing is, the last place first; made when there are many and they do not come in order.
    index: Option<HashMap<VALUE, Vec<u32>>>,
    next: usize,
    /// The name of each reference.
    labels: Vec<Name>,
    takes: Takes,
    /// Of the references, where they are not kept: how many there are and what they come to.
    seen: (u64, u64),
    /// Where its code stands: file and line.
    location: Vec<u8>,
    /// Where it waits.
    waits_in: Vec<u8>,
}

/// What is done with the references of an object.
#[derive(Clone, Copy, Default, PartialEq)]
enum Takes {
    /// Nothing has a name.
    #[default]
    Nothing,
    /// They are looked for among the pairs.
    Pairs,
    /// The same, and methods say their names.
    Methods,
    /// The same, and what closures hold.
    Closure,
    /// The same, and what their environments hold.
    Environment,
    /// They are counted: keys and values come in order.
    Entries,
}

/// What sort of DATA a type is.
#[derive(Clone, Copy)]
enum Data {
    Closure,
    Method,
    Enumerator,
    Fiber,
    Thread,
    Other,
}

impl Names {
    pub(super) fn intern(&mut self, json: &[u8]) -> Name {
        if self.places.is_empty() {
            self.places.push((0, 0));
        }
        let start = self.text.len() as u32;
        self.text.extend_from_slice(json);
        self.places.push((start, json.len() as u32));
        (self.places.len() - 1) as Name
    }

    #[inline]
    pub(super) fn get(&self, name: Name) -> &[u8] {
        let (start, length) = self.places.get(name as usize).copied().unwrap_or_default();
        &self.text[start as usize..][..length as usize]
    }

    /// The name of an ID; none for those of Ruby's own.
    unsafe fn id(&mut self, id: ID) -> Name {
        unsafe { self.of_id(id, false) }
    }

    /// The same, of a method.
    unsafe fn method(&mut self, id: ID) -> Name {
        unsafe { self.of_id(id, true) }
    }

    unsafe fn of_id(&mut self, id: ID, is_method: bool) -> Name {
        if let Some(name) = self.by_id.get(&(id, is_method)) {
            return *name;
        }
        // SAFETY: an ID.
        let name = match unsafe { id_name(id) } {
            Some(text) => {
                let mut json = if is_method { b"#".to_vec() } else { Vec::new() };
                escape(&mut json, text);
                self.intern(&json)
            }
            None => 0,
        };
        self.by_id.insert((id, is_method), name);
        name
    }

    fn word(&mut self, word: &'static str) -> Name {
        if let Some((_, name)) = self.words.iter().find(|(known, _)| ptr::eq(*known, word)) {
            return *name;
        }
        let name = self.intern(word.as_bytes());
        self.words.push((word, name));
        name
    }

    /// What the file is called in which a constant of that name was set at a line.
    fn set(&mut self, constant: Name, line: c_int) -> Name {
        if let Some(name) = self.set.get(&(constant, line)) {
            return *name;
        }
        let mut json = b"(file of ".to_vec();
        json.extend_from_slice(self.get(constant));
        json.extend_from_slice(format!(", line {line})").as_bytes());
        let name = self.intern(&json);
        self.set.insert((constant, line), name);
        name
    }

    /// What keys, values and defaults of Hashes are called.
    fn entry_words(&mut self) -> [Name; 3] {
        let words = self.of_entries.unwrap_or_else(|| ["(key)", "(value)", "(default)"].map(|word| self.word(word)));
        self.of_entries = Some(words);
        words
    }

    /// The name of an element by its place; 0 for those far behind.
    fn place(&mut self, place: usize) -> Name {
        while self.by_place.len() <= place && place < PLACES {
            let mut json = Vec::new();
            write_place(self.by_place.len(), &mut json);
            let name = self.intern(&json);
            self.by_place.push(name);
        }
        self.by_place.get(place).copied().unwrap_or(0)
    }

    /// The name of what stands under a key that is a Symbol, nil, true, false or a class; 0 for others, and where it has none.
    ///
    /// # Safety
    /// It must be a key of a Hash.
    unsafe fn of_key(&mut self, key: VALUE) -> Name {
        // SAFETY: what a key is, is asked first.
        let is_kept = unsafe {
            rb_sys::STATIC_SYM_P(key)
                || if is_special(key) {
                    key & 3 == 0
                } else {
                    matches!(builtin_type(key), T_SYMBOL | T_CLASS | T_MODULE)
                }
        };
        if !is_kept {
            return 0;
        }
        let place = (key as usize).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> (usize::BITS - KEYS_BITS);
        if self.keys.is_empty() {
            self.keys.resize(1 << KEYS_BITS, (0, 0));
        }
        if self.keys[place].0 != key || self.keys[place].1 == 0 {
            let known = self.by_key.get(&key).copied();
            let name = known.unwrap_or_else(|| {
                let mut json = Vec::new();
                // SAFETY: a key.
                let name = if unsafe { write_key(key, false, &mut json) } { self.intern(&json) } else { 0 };
                self.by_key.insert(key, name);
                name
            });
            self.keys[place] = (key, name);
        }
        self.keys[place].1
    }

    fn pair(&mut self, value: VALUE, name: Name) {
        if name != 0 && !is_special(value) {
            self.pairs.push((value, name));
        }
    }

    /// Works out what an object holds by name.
    ///
    /// # Safety
    /// It must be an object of that type.
    pub(super) unsafe fn of(&mut self, api: &Api, object: VALUE, kind: u64, class: VALUE) {
        self.pairs.clear();
        self.labels.clear();
        self.location.clear();
        self.waits_in.clear();
        self.index = None;
        self.next = 0;
        self.seen = (0, 0);
        unsafe {
            if kind != T_OBJECT
                && kind != T_CLASS
                && kind != T_MODULE
                && kind != T_IMEMO
                && flags(object) & FL_EXIVAR != 0
            {
                self.by_foreach(object);
            }
            self.takes = match kind {
                T_OBJECT => {
                    self.of_object(api, object);
                    Takes::Pairs
                }
                T_CLASS | T_MODULE => {
                    self.of_class(api, object, kind);
                    Takes::Methods
                }
                T_ICLASS => {
                    let superclass = (api.superclass)(object);
                    let word = self.word("(superclass)");
                    self.pair(superclass, word);
                    Takes::Methods
                }
                T_HASH => Takes::Entries,
                T_STRUCT => {
                    self.of_struct(api, object, class);
                    Takes::Pairs
                }
                T_DATA => self.of_data(api, object),
                T_IMEMO if imemo_type(object) == IMEMO_ENV => {
                    self.of_environment(object);
                    Takes::Environment
                }
                _ => Takes::Pairs,
            };
            if self.takes == Takes::Pairs && self.pairs.is_empty() {
                self.takes = Takes::Nothing;
            }
        }
    }

    unsafe fn by_foreach(&mut self, object: VALUE) {
        unsafe extern "C" fn each(id: ID, value: VALUE, names: rb_sys::st_data_t) -> c_int {
            let names = unsafe { &mut *(names as *mut Names) };
            let name = unsafe { names.id(id) };
            match names.get(name) {
                b"locals" => {
                    let word = names.word("(thread variables)");
                    names.pair(value, word);
                }
                text if text.starts_with(b"@") => names.pair(value, name),
                // What Ruby keeps there for itself.
                _ => {}
            }
            0
        }
        // SAFETY: the names are there for the call.
        unsafe { rb_sys::rb_ivar_foreach(object, Some(each), (self as *mut Names) as rb_sys::st_data_t) };
    }

    /// Instance variables of an OBJECT, whose names are kept by class up to 3.1, by shape from then on: Ruby 3.1 takes the square of
    /// their count to tell them.
    unsafe fn of_object(&mut self, api: &Api, object: VALUE) {
        unsafe {
            let is_embedded = flags(object) & FL_USER1 != 0;
            let (key, values, room) = match &api.shapes {
                None => {
                    let (values, room) = match is_embedded {
                        true => (object + 16, 3),
                        false => (word(object, 24) as VALUE, *((object as usize + 16) as *const u32) as usize),
                    };
                    (word(object, 8), values, Some(room))
                }
                Some(shapes) => {
                    if self.is_indirect || (shapes.is_complex)(object) != 0 {
                        return self.by_foreach(object);
                    }
                    let values = if is_embedded { object + 16 } else { word(object, 16) as VALUE };
                    (u64::from((shapes.of)(object)), values, None)
                }
            };
            if self.is_indirect {
                return self.by_foreach(object);
            }
            if !self.by_places(key, values, room) {
                self.learn_variables(key, object, values, room);
                if self.is_indirect || !self.by_places(key, values, room) {
                    self.pairs.clear();
                    self.by_foreach(object);
                }
            }
        }
    }

    /// Whether all variables of an object are known by their places.
    unsafe fn by_places(&mut self, key: u64, values: VALUE, room: Option<usize>) -> bool {
        let Some(names) = self.variables.get(&key) else { return false };
        for place in 0..room.unwrap_or(names.len()) {
            let value = unsafe { word(values, place * 8) } as VALUE;
            if is_special(value) {
                continue;
            }
            match names.get(place) {
                Some(name) if *name != 0 => self.pairs.push((value, *name)),
                // A name that Ruby keeps for itself.
                Some(_) if room.is_none() => {}
                _ => {
                    self.pairs.clear();
                    return false;
                }
            }
        }
        true
    }

    unsafe fn learn_variables(&mut self, key: u64, object: VALUE, values: VALUE, room: Option<usize>) {
        unsafe extern "C" fn each(id: ID, value: VALUE, list: rb_sys::st_data_t) -> c_int {
            let list = unsafe { &mut *(list as *mut Vec<(ID, VALUE)>) };
            list.push((id, value));
            0
        }
        let mut list: Vec<(ID, VALUE)> = Vec::new();
        unsafe { rb_sys::rb_ivar_foreach(object, Some(each), (&raw mut list) as rb_sys::st_data_t) };
        let mut names = self.variables.remove(&key).unwrap_or_default();
        let mut place = 0;
        for (id, value) in list {
            // A place without a value is passed over.
            while room.is_some_and(|room| place < room) && unsafe { word(values, place * 8) } as VALUE != value {
                place += 1;
            }
            let is_there = room.is_none_or(|room| place < room);
            if !is_there || unsafe { word(values, place * 8) } as VALUE != value {
                self.is_indirect = true;
                return;
            }
            let name = unsafe { self.id(id) };
            if names.len() <= place {
                names.resize(place + 1, 0);
            }
            names[place] = name;
            place += 1;
        }
        self.variables.insert(key, names);
    }

    unsafe fn of_class(&mut self, api: &Api, object: VALUE, kind: u64) {
        unsafe extern "C" fn variable(id: ID, value: VALUE, names: rb_sys::st_data_t) -> c_int {
            let names = unsafe { &mut *(names as *mut Names) };
            let name = unsafe { names.id(id) };
            let name = match names.get(name) {
                text if text.starts_with(b"@") => name,
                // What Ruby keeps there for itself.
                b"__attached__" => names.word("(attached object)"),
                b"__classpath__" | b"__tmp_classpath__" => names.word("(name)"),
                _ => names.word("(hidden variable)"),
            };
            names.pair(value, name);
            0
        }
        unsafe extern "C" fn constant(
            id: rb_sys::st_data_t,
            entry: rb_sys::st_data_t,
            names: rb_sys::st_data_t,
        ) -> c_int {
            let names = unsafe { &mut *(names as *mut Names) };
            // SAFETY: `rb_const_entry_t` of constant.h: 4 bytes, line, value, file. The value of an autoload is none, and is not asked for.
            unsafe {
                let name = names.id(id as ID);
                let (value, file) = (word(entry as VALUE, 8) as VALUE, word(entry as VALUE, 16) as VALUE);
                let held = if name == 0 { names.word("(hidden constant)") } else { name };
                names.pair(value, held);
                if !is_special(file) {
                    let set = match name {
                        0 => names.word("(file of a constant)"),
                        name => names.set(name, *((entry as usize + 4) as *const c_int)),
                    };
                    names.pair(file, set);
                }
            }
            0
        }
        unsafe {
            let superclass = (api.superclass)(object);
            let word = self.word("(superclass)");
            self.pair(superclass, word);
            if let Some(attached_object) = api.attached_object
                && kind == T_CLASS
                && flags(object) & (rb_sys::ruby_fl_type::RUBY_FL_SINGLETON as u64) != 0
            {
                let word = self.word("(attached object)");
                self.pair(attached_object(object), word);
            }
            if api.shapes.is_some() {
                let word = self.word("(name)");
                self.pair(rb_sys::rb_mod_name(object), word);
            }
            let names = (self as *mut Names) as rb_sys::st_data_t;
            rb_sys::rb_ivar_foreach(object, Some(variable), names);
            let table = rb_sys::rb_mod_const_at(object, ptr::null_mut()).cast::<rb_sys::st_table>();
            if !table.is_null() {
                rb_sys::rb_st_foreach(table, Some(constant), names);
                rb_sys::rb_st_free_table(table);
            }
        }
    }

    unsafe fn of_struct(&mut self, api: &Api, object: VALUE, class: VALUE) {
        if class == 0 {
            return;
        }
        unsafe {
            if !self.members.contains_key(&class) {
                let members = self.learn_members((api.real_class)(class));
                self.members.insert(class, members);
            }
            let members = self.members.remove(&class).unwrap_or_default();
            let count = usize::try_from(rb_sys::rb_struct_size(object) as i64 >> 1).unwrap_or(0);
            for (place, name) in members.iter().take(count).enumerate() {
                let value = rb_sys::rb_struct_aref(object, (place << 1 | 1) as VALUE);
                self.pair(value, *name);
            }
            self.members.insert(class, members);
        }
    }

    unsafe fn learn_members(&mut self, class: VALUE) -> Vec<Name> {
        // SAFETY: where the class is none of Struct's it raises, which is caught.
        let members = magnus::rb_sys::protect(|| unsafe { rb_sys::rb_struct_s_members(class) });
        let Ok(members) = members else { return Vec::new() };
        let mut names = Vec::new();
        unsafe {
            for place in 0..rb_sys::RARRAY_LEN(members) {
                let symbol = rb_sys::rb_ary_entry(members, place);
                let mut json = b".".to_vec();
                escape(&mut json, string_or_none(rb_sys::rb_sym2str(symbol)).unwrap_or_default());
                names.push(self.intern(&json));
            }
        }
        names
    }

    unsafe fn of_data(&mut self, api: &Api, object: VALUE) -> Takes {
        unsafe {
            let Some((of, data)) = typed_data(object) else { return Takes::Pairs };
            let sort = *self.data.entry(of).or_insert_with(|| {
                let name = word(of, 0) as *const c_char;
                match if name.is_null() { &b""[..] } else { CStr::from_ptr(name).to_bytes() } {
                    b"proc" | b"binding" => Data::Closure,
                    b"method" => Data::Method,
                    b"enumerator" => Data::Enumerator,
                    b"fiber" => Data::Fiber,
                    b"VM/thread" => Data::Thread,
                    _ => Data::Other,
                }
            });
            if data == 0 {
                return Takes::Pairs;
            }
            match sort {
                Data::Closure => {
                    let (itself, code, block) = (self.word("(self)"), self.word("(code)"), self.word("(block)"));
                    match code::block(data) {
                        Some(Block::Code { itself: value, code: iseq }) => {
                            self.pair(value, itself);
                            self.pair(iseq, code);
                            let mut location = std::mem::take(&mut self.location);
                            if !code::location(api, iseq, &mut location) {
                                location.clear();
                            }
                            self.location = location;
                        }
                        Some(Block::Native { itself: value, code: native }) => {
                            self.pair(value, itself);
                            self.pair(native, code);
                        }
                        Some(Block::Other(value)) => self.pair(value, block),
                        None => {}
                    }
                    return Takes::Closure;
                }
                // `struct METHOD` and `struct enumerator` begin with the object that is asked. Behind method and arguments the latter has
                // the fiber that makes its values.
                Data::Method | Data::Enumerator => {
                    let receiver = self.word("(receiver)");
                    self.pair(word(data, 0) as VALUE, receiver);
                    if let Data::Enumerator = sort {
                        let (fiber, name) = (word(data, 24) as VALUE, self.word("(fiber)"));
                        self.pair(fiber, name);
                        if !is_special(fiber)
                            && builtin_type(fiber) == T_DATA
                            && let Some((_, data)) = typed_data(fiber)
                            && data != 0
                        {
                            frames::fiber(api, data, &mut self.waits_in);
                        }
                    }
                }
                Data::Fiber => frames::fiber(api, data, &mut self.waits_in),
                Data::Thread => {
                    self.threads.push(object);
                    let name = self.word("(name)");
                    self.pair(frames::name(data), name);
                    frames::thread(api, data, &mut self.waits_in);
                }
                Data::Other => {}
            }
            Takes::Pairs
        }
    }

    /// `rb_env_t` of vm_core.h: flags, code, two pointers to the values, their count, of which the last three are no variables.
    unsafe fn of_environment(&mut self, object: VALUE) {
        unsafe {
            let (iseq, values, count) =
                (word(object, 8) as VALUE, word(object, 24) as VALUE, *((object as usize + 32) as *const u32));
            if is_special(iseq) || builtin_type(iseq) != T_IMEMO || imemo_type(iseq) != IMEMO_ISEQ || values == 0 {
                return;
            }
            let Some(locals) = code::locals(iseq) else { return };
            for (place, id) in locals.iter().take((count as usize).saturating_sub(3)).enumerate() {
                let name = self.id(*id);
                self.pair(word(values, place * 8) as VALUE, name);
            }
        }
    }

    /// Takes note of the next reference.
    ///
    /// # Safety
    /// It must be an object.
    pub(super) unsafe fn take(&mut self, object: VALUE) {
        match self.takes {
            Takes::Nothing => return,
            Takes::Entries => {
                self.count(object);
                return;
            }
            _ => {}
        }
        // SAFETY: an object.
        let label = unsafe { self.look_up(object) };
        self.labels.push(label);
    }

    fn count(&mut self, object: VALUE) {
        self.seen = (self.seen.0 + 1, self.seen.1.rotate_left(5) ^ object);
    }

    unsafe fn look_up(&mut self, object: VALUE) -> Name {
        if let Some((_, name)) = self.pairs.get(self.next).filter(|(value, _)| *value == object) {
            self.next += 1;
            return *name;
        }
        unsafe {
            if builtin_type(object) == T_IMEMO {
                match (self.takes, imemo_type(object)) {
                    // `rb_method_entry_t` of method.h: flags, class, definition, name
                    (Takes::Methods, IMEMO_MENT) => {
                        let id = word(object, 24) as ID;
                        return self.method(id);
                    }
                    (Takes::Methods, IMEMO_CALLCACHE) => return self.word("(call cache)"),
                    (Takes::Closure, IMEMO_ENV) => return self.word("(local variables)"),
                    (Takes::Environment, IMEMO_ENV) => return self.word("(outer scope)"),
                    (Takes::Environment, IMEMO_ISEQ) => return self.word("(code)"),
                    (Takes::Environment, _) => return self.word("(scope)"),
                    (Takes::Closure, _) => {}
                    _ => return 0,
                }
            }
        }
        if self.pairs.len() <= SEARCHED {
            // Those before have their reference, but for what leads to the same.
            let found = (self.next..self.pairs.len()).chain(0..self.next).find(|at| self.pairs[*at].0 == object);
            return match found {
                Some(at) => {
                    self.next = at + 1;
                    self.pairs[at].1
                }
                None => 0,
            };
        }
        let pairs = &self.pairs;
        let index = self.index.get_or_insert_with(|| {
            let mut index: HashMap<VALUE, Vec<u32>> = HashMap::new();
            for (at, (value, _)) in pairs.iter().enumerate().rev() {
                index.entry(*value).or_default().push(at as u32);
            }
            index
        });
        let Some(places) = index.get_mut(&object) else { return 0 };
        // Of several names each in turn.
        let Some(at) = (if places.len() > 1 { places.pop() } else { places.last().copied() }) else { return 0 };
        self.next = at as usize + 1;
        self.pairs[at as usize].1
    }
}

/// What goes over the entries of a Hash.
struct Entries<'a, 'b, 'o> {
    walk: &'a mut Walk<'b, 'o>,
    class: VALUE,
    /// References that go before are not known yet: they are counted, not written.
    is_counting: bool,
    key: Name,
    value: Name,
}

impl Entries<'_, '_, '_> {
    /// Whether a reference is there and its name to be written.
    fn has(&mut self, value: VALUE) -> bool {
        if is_special(value) || value == self.class {
            return false;
        }
        if self.is_counting {
            self.walk.names.count(value);
        }
        !self.is_counting
    }

    fn put(&mut self, value: VALUE, name: Name) {
        if self.has(value) {
            self.walk.tell_name(name);
        }
    }

    /// The value under a key.
    unsafe fn put_value(&mut self, key: VALUE, value: VALUE) {
        if !self.has(value) {
            return;
        }
        let (walk, unnamed) = (&mut *self.walk, self.value);
        // SAFETY: a key. What stays the same for the same key is worked out once.
        let name = unsafe { walk.names.of_key(key) };
        if name != 0 {
            return walk.tell_name(name);
        }
        let has_texts = walk.wanted.texts;
        walk.with_scratch(|walk, text| {
            // SAFETY: a key.
            if unsafe { write_key(key, has_texts, text) } {
                each!(&mut walk.format, to => to.name(Told::Text(text)));
            } else {
                walk.tell_name(unnamed);
            }
        });
    }
}

/// SAFETY: Ruby calls it for each entry, with the `Entries`.
unsafe extern "C" fn entry(key: VALUE, value: VALUE, entries: *mut c_void) -> c_int {
    let entries = unsafe { &mut *entries.cast::<Entries<'_, '_, '_>>() };
    entries.put(key, entries.key);
    // SAFETY: a key.
    unsafe { entries.put_value(key, value) };
    0
}

impl Walk<'_, '_> {
    /// Writes the names of the references that were just written.
    ///
    /// # Safety
    /// It must be the object whose references they are.
    pub(super) unsafe fn write_names(&mut self, object: VALUE, kind: u64) {
        if !self.names.location.is_empty() {
            each!(&mut self.format, to => to.word(Field::Block, &self.names.location));
        }
        if !self.names.waits_in.is_empty() {
            each!(&mut self.format, to => to.word(Field::WaitsIn, &self.names.waits_in));
        }
        if kind == T_HASH {
            // SAFETY: a Hash.
            unsafe { self.write_entries(object) };
            return;
        }
        if kind == T_ARRAY && self.names.takes == Takes::Nothing {
            // SAFETY: an Array.
            unsafe { self.write_places(object) };
            return;
        }
        let Some(last) = self.names.labels.iter().rposition(|name| *name != 0) else { return };
        each!(&mut self.format, to => to.begin_names());
        for place in 0..=last {
            self.tell_name(self.names.labels[place]);
        }
        each!(&mut self.format, to => to.end_names());
    }

    #[inline]
    fn tell_name(&mut self, name: Name) {
        let told = match name {
            0 => Told::None,
            _ => Told::Known(name, self.names.get(name)),
        };
        each!(&mut self.format, to => to.name(told));
    }

    /// The places of an Array's elements, where such stand between them that are no references.
    unsafe fn write_places(&mut self, array: VALUE) {
        unsafe {
            let length = usize::try_from(rb_sys::RARRAY_LEN(array)).unwrap_or(0);
            if flags(array) & (FL_EXIVAR | ELTS_SHARED) != 0 || self.references >= length {
                return;
            }
            let elements = std::slice::from_raw_parts(rb_sys::RARRAY_CONST_PTR(array), length);
            let class = self.class;
            let is_reference = |element: &VALUE| !is_special(*element) && *element != class;
            if elements.iter().filter(|element| is_reference(element)).count() != self.references {
                return;
            }
            each!(&mut self.format, to => to.begin_names());
            for (place, _) in elements.iter().enumerate().filter(|(_, element)| is_reference(element)) {
                let name = self.names.place(place);
                if name != 0 {
                    self.tell_name(name);
                    continue;
                }
                self.with_scratch(|walk, text| {
                    write_place(place, text);
                    each!(&mut walk.format, to => to.name(Told::Text(text)));
                });
            }
            each!(&mut self.format, to => to.end_names());
        }
    }

    /// A Hash's keys and values come in the order of its entries; whether they do is seen before anything is written.
    unsafe fn write_entries(&mut self, hash: VALUE) {
        unsafe {
            let seen = self.names.seen;
            self.names.seen = (0, 0);
            self.entries(hash, true);
            if self.names.seen != seen {
                return;
            }
            each!(&mut self.format, to => to.begin_names());
            self.entries(hash, false);
            each!(&mut self.format, to => to.end_names());
        }
    }

    unsafe fn entries(&mut self, hash: VALUE, is_counting: bool) {
        let variables = std::mem::take(&mut self.names.pairs);
        let class = self.class;
        let (api, default_at) = (self.api, if self.api.shapes.is_some() { 16 } else { 24 });
        let [key, value, default] = self.names.entry_words();
        let mut entries = Entries { walk: self, class, is_counting, key, value };
        for (value, name) in &variables {
            entries.put(*value, *name);
        }
        unsafe {
            (api.each_pair)(hash, entry, (&raw mut entries).cast::<c_void>());
            entries.put(word(hash, default_at) as VALUE, default);
        }
        self.names.pairs = variables;
    }
}

/// Writes `[:key]`, `[12]` or `[\"text\"]`; of other keys, and of texts where these are not to be told, nothing.
unsafe fn write_key(key: VALUE, has_texts: bool, out: &mut Vec<u8>) -> bool {
    let before = out.len();
    out.push(b'[');
    // SAFETY: what a key is, is asked first.
    let is_told = unsafe {
        if key & 1 == 1 {
            text::put_signed(out, key as i64 >> 1);
            true
        } else if key == rb_sys::Qnil as VALUE {
            out.extend_from_slice(b"nil");
            true
        } else if key == rb_sys::Qtrue as VALUE || key == rb_sys::Qfalse as VALUE {
            out.extend_from_slice(if key == rb_sys::Qtrue as VALUE { b"true" } else { b"false" });
            true
        } else if rb_sys::STATIC_SYM_P(key) || !is_special(key) && builtin_type(key) == T_SYMBOL {
            out.push(b':');
            let text = string_or_none(rb_sys::rb_sym2str(key)).unwrap_or_default();
            escape_start(out, text)
        } else if rb_sys::FLONUM_P(key) {
            out.extend_from_slice(format!("{:?}", rb_sys::rb_num2dbl(key)).as_bytes());
            true
        } else if is_special(key) {
            false
        } else {
            match builtin_type(key) {
                T_FLOAT => {
                    out.extend_from_slice(format!("{:?}", f64::from_bits(word(key, 16))).as_bytes());
                    true
                }
                T_STRING if has_texts => {
                    out.extend_from_slice(b"\\\"");
                    let is_told = escape_start(out, string(key));
                    out.extend_from_slice(b"\\\"");
                    is_told
                }
                T_CLASS | T_MODULE => match string_or_none(rb_sys::rb_mod_name(key)) {
                    Some(name) => escape_start(out, name),
                    None => false,
                },
                _ => false,
            }
        }
    };
    if is_told {
        out.push(b']');
    } else {
        out.truncate(before);
    }
    is_told
}

fn write_place(place: usize, out: &mut Vec<u8>) {
    out.push(b'[');
    text::put_number(out, place as u64);
    out.push(b']');
}

/// As much of a text as is told; nothing of what is not UTF-8.
fn escape_start(out: &mut Vec<u8>, text: &[u8]) -> bool {
    let start = &text[..text.len().min(SHOWN)];
    let valid = match std::str::from_utf8(start) {
        Ok(valid) => valid,
        // The cut may fall into a letter.
        Err(error) if text.len() > SHOWN && error.error_len().is_none() => {
            std::str::from_utf8(&start[..error.valid_up_to()]).unwrap_or_default()
        }
        Err(_) => return false,
    };
    text::escape(out, valid.as_bytes());
    if valid.len() < text.len() {
        out.extend_from_slice("…".as_bytes());
    }
    true
}

/// A name as it stands in JSON: what is not UTF-8 in it replaced.
pub(super) fn escape(out: &mut Vec<u8>, text: &[u8]) {
    text::escape(out, String::from_utf8_lossy(text).as_bytes());
}
