//! The properties that objects are grouped and filtered by, and their values as a person reads them.
//!
//! A [`Slot`] holds numbers; a [`Values`] turns them into values of a [`Key`], each distinct site, class or path once.

use crate::gems;
use crate::heap::Domain;
use crate::names::{Names, Numbers};
use crate::record::{Traits, Type};
use crate::survey::{Parts, Slot};
use crate::symbols::{Site, SiteId, Symbol, Symbols};
use crate::{Error, Result};
use hashbrown::{HashMap, HashSet};
use std::fmt;
use std::str::FromStr;

/// A property to group or filter by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Key {
    /// The GC count at the allocation; none for untraced objects.
    Generation,
    /// Ruby's internal type: STRING, HASH, ...
    Type,
    /// The class; `(IMEMO iseq)` and the like for internal objects.
    Class,
    /// The file whose code allocated the object.
    File,
    /// The directory of that file.
    Directory,
    /// The line of that file.
    Line,
    /// `file:line`.
    Location,
    /// The method that allocated the object.
    Method,
    /// Gem and version, `app`, `stdlib`, `ruby`.
    Gem,
    /// The sort of an IMEMO; none for other types.
    Imemo,
    /// The C type of a DATA; none for other types.
    Struct,
    /// The encoding of a STRING; none for other types.
    Encoding,
    /// Bytes of the slot; none before Ruby 3.2.
    SlotSize,
    /// The number of the object's shape; none before Ruby 3.2.
    Shape,
    /// Whether frozen.
    Frozen,
    /// Whether the object's content is in its slot.
    Embedded,
    /// Whether it has outlived several GCs.
    Old,
    /// Whether it shares its content with another.
    Shared,
    /// Whether its allocation was traced.
    Traced,
}

impl Key {
    /// Every key with its name.
    pub const NAMED: [(Key, &'static str); 19] = [
        (Key::Generation, "generation"),
        (Key::Type, "type"),
        (Key::Class, "class"),
        (Key::File, "file"),
        (Key::Directory, "directory"),
        (Key::Line, "line"),
        (Key::Location, "location"),
        (Key::Method, "method"),
        (Key::Gem, "gem"),
        (Key::Imemo, "imemo"),
        (Key::Struct, "struct"),
        (Key::Encoding, "encoding"),
        (Key::SlotSize, "slot_size"),
        (Key::Shape, "shape"),
        (Key::Frozen, "frozen"),
        (Key::Embedded, "embedded"),
        (Key::Old, "old"),
        (Key::Shared, "shared"),
        (Key::Traced, "traced"),
    ];

    /// Its name, as options and JSON write it.
    #[must_use]
    pub fn name(self) -> &'static str {
        Key::NAMED.iter().find(|(key, _)| *key == self).map_or("", |(_, name)| name)
    }

    /// Its heading for people.
    #[must_use]
    pub fn title(self) -> &'static str {
        match self {
            Key::Imemo => "Imemo type",
            Key::SlotSize => "Slot size",
            Key::Generation => "Generation",
            Key::Type => "Type",
            Key::Class => "Class",
            Key::File => "File",
            Key::Directory => "Directory",
            Key::Line => "Line",
            Key::Location => "Location",
            Key::Method => "Method",
            Key::Gem => "Gem",
            Key::Struct => "Struct",
            Key::Encoding => "Encoding",
            Key::Shape => "Shape",
            Key::Frozen => "Frozen",
            Key::Embedded => "Embedded",
            Key::Old => "Old",
            Key::Shared => "Shared",
            Key::Traced => "Traced",
        }
    }

    /// The parts of a slot that its values need.
    #[must_use]
    pub fn parts(self) -> Parts {
        let none = Parts::default();
        match self {
            Key::Generation => Parts { generation: true, ..none },
            Key::Type => Parts { ty: true, label: true, ..none },
            Key::Class => Parts { class: true, ty: true, label: true, ..none },
            Key::File | Key::Directory | Key::Line | Key::Location | Key::Method | Key::Gem => {
                Parts { site: true, ..none }
            }
            Key::Imemo | Key::Struct | Key::Encoding => Parts { ty: true, label: true, ..none },
            Key::SlotSize => Parts { slot_size: true, ..none },
            Key::Shape => Parts { shape: true, ..none },
            Key::Frozen => Parts { traits: Traits::FROZEN, ..none },
            Key::Embedded => Parts { traits: Traits::EMBEDDED, ..none },
            Key::Old => Parts { traits: Traits::OLD, ..none },
            Key::Shared => Parts { traits: Traits::SHARED, ..none },
            Key::Traced => none,
        }
    }

    /// What its values depend on.
    pub(crate) fn domain(self) -> Domain {
        match self {
            Key::File | Key::Directory | Key::Line | Key::Location | Key::Method | Key::Gem => Domain::Site,
            Key::Class => Domain::Class,
            Key::Type => Domain::Type,
            Key::Imemo => Domain::Imemo,
            Key::Struct => Domain::Struct,
            Key::Encoding => Domain::Encoding,
            Key::Frozen | Key::Embedded | Key::Old | Key::Shared => Domain::Traits,
            Key::Traced => Domain::Traced,
            Key::Generation => Domain::Generation,
            Key::Shape => Domain::Shape,
            Key::SlotSize => Domain::SlotSize,
        }
    }

    /// Whether its values are parts of the site where an object was allocated.
    #[must_use]
    pub fn is_site(self) -> bool {
        matches!(self, Key::File | Key::Directory | Key::Line | Key::Location | Key::Method | Key::Gem)
    }

    /// Reads `generation` or `class,location`.
    ///
    /// # Errors
    /// [`Error::Usage`] for an unknown name, with those there are.
    pub fn list(names: &str) -> Result<Vec<Key>> {
        names.split(',').map(|name| name.trim().parse()).collect()
    }
}

impl FromStr for Key {
    type Err = Error;

    fn from_str(name: &str) -> Result<Key> {
        Key::NAMED.iter().find(|(_, known)| *known == name).map(|(key, _)| *key).ok_or_else(|| {
            Error::unknown(format!("unknown key {name:?}"), name, Key::NAMED.iter().map(|(_, name)| *name))
        })
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// The value of a key, texts by number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Value {
    /// The key does not apply, or the dump does not say.
    None,
    /// A number.
    Number(u64),
    /// Yes or no.
    Flag(bool),
    /// A text, numbered in the [`Values`].
    Text(Symbol),
}

/// What the site keys say of objects that were allocated before tracing began, or without it.
pub const UNTRACED: &str = "(untraced)";
/// What they say of traced objects that no Ruby file allocated.
pub const NO_FILE: &str = "(no Ruby file)";
/// What they say of traced objects allocated outside a method.
pub const NO_METHOD: &str = "(no method)";
/// What text keys say of the allocation tracer's own store.
pub const TRACER: &str = "(allocation tracer)";

/// Works out the values of slots.
pub struct Values<'a> {
    names: &'a Names,
    texts: Symbols,
    cache: HashMap<(Key, u32), Symbol>,
    untraced: Symbol,
    no_file: Symbol,
    no_method: Symbol,
    tracer: Symbol,
}

impl fmt::Debug for Values<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Values").field("texts", &self.texts.len()).finish_non_exhaustive()
    }
}

impl<'a> Values<'a> {
    /// Values by these names.
    #[must_use]
    pub fn new(names: &'a Names) -> Self {
        let mut texts = Symbols::default();
        let mut constant = |text: &str| texts.intern(text.as_bytes());
        let (untraced, no_file) = (constant(UNTRACED), constant(NO_FILE));
        let (no_method, tracer) = (constant(NO_METHOD), constant(TRACER));
        Values { names, texts, cache: HashMap::new(), untraced, no_file, no_method, tracer }
    }

    /// The value of `key` for `slot`, which must hold the parts that the key needs.
    pub fn value(&mut self, key: Key, slot: &Slot) -> Value {
        let number = |number: u32| if number == 0 { Value::None } else { Value::Number(u64::from(number) - 1) };
        match key {
            Key::Generation => number(slot.generation),
            Key::Shape => number(slot.shape),
            Key::SlotSize if slot.slot_size == 0 => Value::None,
            Key::SlotSize => Value::Number(u64::from(slot.slot_size)),
            Key::Frozen => Value::Flag(slot.traits.has(Traits::FROZEN)),
            Key::Embedded => Value::Flag(slot.traits.has(Traits::EMBEDDED)),
            Key::Old => Value::Flag(slot.traits.has(Traits::OLD)),
            Key::Shared => Value::Flag(slot.traits.has(Traits::SHARED)),
            Key::Traced => Value::Flag(slot.traced),
            Key::Type if slot.ty == Type::Other => self.label(slot),
            Key::Type => Value::Text(self.texts.intern(slot.ty.name().as_bytes())),
            Key::Imemo if slot.ty == Type::Imemo => self.label(slot),
            Key::Struct if slot.ty == Type::Data => self.label(slot),
            Key::Encoding if slot.ty == Type::String && !slot.names.label.is_some() => {
                Value::Text(self.texts.intern(b"BINARY")) // Ruby prints no encoding for it
            }
            Key::Encoding if slot.ty == Type::String => self.label(slot),
            Key::Imemo | Key::Struct | Key::Encoding => Value::None,
            Key::Line => match self.names.tables.sites.get(slot.names.site).line {
                0 => Value::None,
                line => Value::Number(u64::from(line)),
            },
            Key::Class => Value::Text(self.class(slot)),
            Key::File | Key::Directory | Key::Location | Key::Method | Key::Gem => Value::Text(self.site(key, slot)),
        }
    }

    /// The values of a key of sites, of all sites of the dump.
    pub(crate) fn of_sites(&mut self, key: Key) -> Vec<KeyValue> {
        let sites = 0..self.names.tables.sites.len() as u32;
        let slots = sites.map(|site| Slot {
            names: Numbers { site: SiteId(site), ..Numbers::default() },
            traced: true,
            ..Slot::default()
        });
        let mut values: HashSet<Value> = slots.map(|slot| self.value(key, &slot)).collect();
        values.extend([Slot::default(), Slot { tracer: true, ..Slot::default() }].map(|slot| self.value(key, &slot)));
        values.into_iter().map(|value| self.outside(value)).collect()
    }

    /// A value as it stands outside: its text looked up.
    #[must_use]
    pub fn outside(&self, value: Value) -> KeyValue {
        match value {
            Value::None => KeyValue::None,
            Value::Number(number) => KeyValue::Number(number),
            Value::Flag(flag) => KeyValue::Flag(flag),
            Value::Text(sym) => KeyValue::Text(self.texts.text(sym).into_owned()),
        }
    }

    /// The bytes of a text value.
    #[must_use]
    pub fn bytes(&self, sym: Symbol) -> &[u8] {
        self.texts.bytes(sym)
    }

    /// Whether it is what site keys say where there is no site, or no such part of it.
    #[must_use]
    pub fn is_no_site(&self, sym: Symbol) -> bool {
        [self.untraced, self.no_file, self.no_method, self.tracer].contains(&sym)
    }

    fn label(&mut self, slot: &Slot) -> Value {
        if !slot.names.label.is_some() {
            return Value::None;
        }
        Value::Text(self.texts.intern(self.names.tables.symbols.bytes(slot.names.label)))
    }

    fn class(&mut self, slot: &Slot) -> Symbol {
        if slot.tracer {
            return self.tracer;
        }
        let class = slot.names.class;
        if class != crate::names::ClassId::NONE {
            let (names, texts) = (self.names, &mut self.texts);
            return *self
                .cache
                .entry((Key::Class, class.0))
                .or_insert_with(|| texts.intern(names.tables.symbols.bytes(names.instance_class(class))));
        }
        let label = match slot.ty {
            Type::Imemo | Type::Data => self.names.tables.symbols.text(slot.names.label),
            Type::Other => return self.texts.intern(self.names.tables.symbols.bytes(slot.names.label)),
            _ => "".into(),
        };
        let separator = if label.is_empty() { "" } else { " " };
        self.texts.intern(format!("({}{separator}{label})", slot.ty).as_bytes())
    }

    fn site(&mut self, key: Key, slot: &Slot) -> Symbol {
        if slot.tracer {
            return self.tracer;
        }
        if !slot.traced {
            return self.untraced;
        }
        let id = slot.names.site;
        // What depends on the file alone is looked up once a file, which has many sites.
        let of = match key {
            Key::File | Key::Directory | Key::Gem => self.names.tables.sites.get(id).file.0,
            _ => id.0,
        };
        if let Some(sym) = self.cache.get(&(key, of)) {
            return *sym;
        }
        let sym = self.site_text(key, id);
        self.cache.insert((key, of), sym);
        sym
    }

    fn site_text(&mut self, key: Key, id: SiteId) -> Symbol {
        let symbols = &self.names.tables.symbols;
        let Site { file, line, method } = self.names.tables.sites.get(id);
        if key == Key::Method {
            return if method.is_some() { self.texts.intern(symbols.bytes(method)) } else { self.no_method };
        }
        let path = symbols.bytes(file);
        if path.is_empty() || path == b"(null)" {
            return self.no_file; // up to Ruby 2.7 "(null)"
        }
        match key {
            Key::Location if line > 0 => self.texts.intern(&[path, format!(":{line}").as_bytes()].concat()),
            Key::Directory => {
                let end = memchr::memrchr(b'/', path);
                self.texts.intern(match end {
                    Some(0) => b"/",
                    Some(end) => &path[..end],
                    None => b".",
                })
            }
            Key::Gem => self.texts.intern(gems::gem(&symbols.text(file)).as_bytes()),
            _ => self.texts.intern(path),
        }
    }
}

/// The value of a key, complete in itself.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Serialize)]
#[serde(untagged)]
pub enum KeyValue {
    /// The key does not apply, or the dump does not say.
    None,
    /// A number.
    Number(u64),
    /// Yes or no.
    Flag(bool),
    /// A text, invalid UTF-8 replaced.
    Text(String),
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test may panic")]

    use super::*;
    use crate::heap::Heap;
    use crate::source::Source;

    #[test]
    fn nodes_of_one_code_have_one_value() {
        for dump in ["ruby-2.7-x86_64", "ruby-3.1-x86_64", "ruby-4.0-wasm32"] {
            let source = Source::path(format!("tests/dumps/{dump}.json.zst"));
            let heap = Heap::load(&source, &Default::default()).unwrap();
            let mut values = Values::new(heap.names());
            for (key, name) in Key::NAMED {
                let mut known = HashMap::new();
                for id in heap.nodes() {
                    let value = values.value(key, &heap.slot(id));
                    let before = *known.entry(heap.code(id, key.domain())).or_insert(value);
                    assert_eq!(before, value, "{dump} {name}");
                }
            }
        }
    }
}
