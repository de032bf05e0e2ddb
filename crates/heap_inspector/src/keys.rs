//! The properties that objects are grouped and filtered by, and their values as a person reads them.
//!
//! A [`ObjectProperties`] holds numbers; a [`Values`] turns them into values of a [`Key`], each distinct site, class or path once.

use crate::error::named;
use crate::heap::Domain;
use crate::names::{ClassId, Names, Numbers};
use crate::properties::{ObjectProperties, PropertyMask};
use crate::record::{Flags, Type};
use crate::stacks::FrameId;
use crate::symbols::{Site, SiteId, Symbol, Symbols};
use crate::{Error, Result};
use hashbrown::{HashMap, HashSet};
use std::borrow::Cow;
use std::cmp::Ordering;
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
    /// `file:line` of the nearest frame of the app, where the stack is known; else the location, where that is the app's.
    AppLocation,
    /// The stack in which the object was allocated, the innermost frame first.
    Stack,
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
    pub const NAMED: [(Key, &'static str); 21] = [
        (Key::Generation, "generation"),
        (Key::Type, "type"),
        (Key::Class, "class"),
        (Key::File, "file"),
        (Key::Directory, "directory"),
        (Key::Line, "line"),
        (Key::Location, "location"),
        (Key::Method, "method"),
        (Key::Gem, "gem"),
        (Key::AppLocation, "app_location"),
        (Key::Stack, "stack"),
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
            Key::AppLocation => "Location in the app",
            Key::Stack => "Stack",
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
    pub fn parts(self) -> PropertyMask {
        let none = PropertyMask::default();
        match self {
            Key::Generation => PropertyMask { generation: true, ..none },
            Key::Type => PropertyMask { ty: true, label: true, ..none },
            Key::Class => PropertyMask { class: true, ty: true, label: true, ..none },
            Key::File | Key::Directory | Key::Line | Key::Location | Key::Method | Key::Gem => {
                PropertyMask { site: true, ..none }
            }
            Key::Imemo | Key::Struct | Key::Encoding => PropertyMask { ty: true, label: true, ..none },
            Key::AppLocation => PropertyMask { stack: true, site: true, ..none },
            Key::Stack => PropertyMask { stack: true, ..none },
            Key::SlotSize => PropertyMask { slot_size: true, ..none },
            Key::Shape => PropertyMask { shape: true, ..none },
            Key::Frozen => PropertyMask { flags: Flags::FROZEN, ..none },
            Key::Embedded => PropertyMask { flags: Flags::EMBEDDED, ..none },
            Key::Old => PropertyMask { flags: Flags::OLD, ..none },
            Key::Shared => PropertyMask { flags: Flags::SHARED, ..none },
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
            Key::Frozen | Key::Embedded | Key::Old | Key::Shared => Domain::Flags,
            Key::Traced => Domain::Traced,
            Key::Generation => Domain::Generation,
            Key::Shape => Domain::Shape,
            Key::SlotSize => Domain::SlotSize,
            Key::AppLocation => Domain::AppLocation,
            Key::Stack => Domain::Stack,
        }
    }

    /// Whether its values are parts of the site where an object was allocated.
    #[must_use]
    pub fn is_site(self) -> bool {
        matches!(self, Key::File | Key::Directory | Key::Line | Key::Location | Key::Method | Key::Gem)
    }

    /// Whether its values depend on the stack in which an object was allocated.
    #[must_use]
    pub fn is_of_stack(self) -> bool {
        matches!(self, Key::AppLocation | Key::Stack)
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
        named(&Key::NAMED, name, format_args!("unknown key {name:?}"))
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
    /// No class that the dump tells of: what stands for its name, `(IMEMO iseq)`, numbered as a text is.
    NoClass(Symbol),
    /// A stack, by its innermost frame: its text is made when it is shown.
    Stack(FrameId),
    /// No text, and why.
    Absent(Absent),
}

/// Why a key that has a text for other objects has none. It has words, which no text that a dump may hold is mistaken for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Absent {
    /// The object was allocated before tracing began, or without it.
    Untraced,
    /// It was traced, but no Ruby file allocated it.
    NoFile,
    /// It was allocated outside a method.
    NoMethod,
    /// It was traced without a stack.
    NoStack,
    /// No line of the app is known that allocated it.
    NoAppLine,
    /// It is the allocation tracer's own store.
    Tracer,
}

impl Absent {
    /// For people, and in JSON: `(untraced)`.
    #[must_use]
    pub const fn words(self) -> &'static str {
        match self {
            Absent::Untraced => "(untraced)",
            Absent::NoFile => "(no Ruby file)",
            Absent::NoMethod => "(no method)",
            Absent::NoStack => "(no stack)",
            Absent::NoAppLine => "(no app line)",
            Absent::Tracer => "(allocation tracer)",
        }
    }
}

/// Serializes what an object has of a key, and nothing where it has none, whatever the reason.
pub(crate) fn if_present<S: serde::Serializer>(
    value: &KeyValue,
    serializer: S,
) -> std::result::Result<S::Ok, S::Error> {
    match value {
        KeyValue::Absent(_) => serializer.serialize_none(),
        value => serde::Serialize::serialize(value, serializer),
    }
}

impl serde::Serialize for Key {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
        serializer.serialize_unit_variant("Key", *self as u32, self.name())
    }
}

impl serde::Serialize for Absent {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
        serializer.serialize_str(self.words())
    }
}

/// Works out the values of slots.
pub struct Values<'a> {
    names: &'a Names,
    /// Texts that are none of the dump's own, numbered behind those: a name is not kept twice.
    texts: Symbols,
    cache: HashMap<(Key, u32), std::result::Result<Symbol, Absent>>,
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
        Values { names, texts: Symbols::default(), cache: HashMap::new() }
    }

    /// The names that they are values of.
    #[must_use]
    pub fn names(&self) -> &'a Names {
        self.names
    }

    /// The number of a text: that of the dump's own, where it is one.
    fn intern(&mut self, text: &[u8]) -> Symbol {
        let own = &self.names.tables.symbols;
        own.find(text).unwrap_or_else(|| Symbol(self.texts.intern(text).0 + own.len() as u32))
    }

    /// The value of one of the dump's own texts.
    fn own(&mut self, sym: Symbol) -> Value {
        Value::Text(if sym.is_some() { sym } else { self.intern(b"") })
    }

    fn bytes_of(&self, sym: Symbol) -> &[u8] {
        let own = &self.names.tables.symbols;
        match sym.0.checked_sub(own.len() as u32) {
            Some(number) => self.texts.bytes(Symbol(number)),
            None => own.bytes(sym),
        }
    }

    fn text_of(&self, sym: Symbol) -> String {
        String::from_utf8_lossy(self.bytes_of(sym)).into_owned()
    }

    /// The value of `key` for `slot`, which must hold the parts that the key needs.
    pub fn value(&mut self, key: Key, properties: &ObjectProperties) -> Value {
        let number = |number: u32| if number == 0 { Value::None } else { Value::Number(u64::from(number) - 1) };
        match key {
            Key::Generation => number(properties.generation),
            Key::Shape => number(properties.shape),
            Key::SlotSize if properties.slot_size == 0 => Value::None,
            Key::SlotSize => Value::Number(u64::from(properties.slot_size)),
            Key::Frozen => Value::Flag(properties.flags.has(Flags::FROZEN)),
            Key::Embedded => Value::Flag(properties.flags.has(Flags::EMBEDDED)),
            Key::Old => Value::Flag(properties.flags.has(Flags::OLD)),
            Key::Shared => Value::Flag(properties.flags.has(Flags::SHARED)),
            Key::Traced => Value::Flag(properties.traced),
            Key::Type if properties.ty == Type::Other => self.label(properties),
            Key::Type => Value::Text(self.intern(properties.ty.name().as_bytes())),
            Key::Imemo if properties.ty == Type::Imemo => self.label(properties),
            Key::Struct if properties.ty == Type::Data => self.label(properties),
            Key::Encoding if properties.ty == Type::String && !properties.names.label.is_some() => {
                Value::Text(self.intern(b"BINARY")) // Ruby prints no encoding for it
            }
            Key::Encoding if properties.ty == Type::String => self.label(properties),
            Key::Imemo | Key::Struct | Key::Encoding => Value::None,
            Key::Line => match self.names.tables.sites.get(properties.names.site).line {
                0 => Value::None,
                line => Value::Number(u64::from(line)),
            },
            Key::Class => self.class(properties),
            Key::File | Key::Directory | Key::Location | Key::Method | Key::Gem => self.site(key, properties),
            Key::AppLocation | Key::Stack if properties.tracer => Value::Absent(Absent::Tracer),
            Key::AppLocation | Key::Stack if !properties.traced && !properties.stack.is_some() => {
                Value::Absent(Absent::Untraced)
            }
            Key::Stack if !properties.stack.is_some() => Value::Absent(Absent::NoStack),
            Key::Stack => Value::Stack(properties.stack),
            Key::AppLocation => self.app_location(properties),
        }
    }

    /// The values of a key of sites, of all sites of the dump.
    pub(crate) fn of_sites(&mut self, key: Key) -> Vec<KeyValue> {
        let sites = 0..self.names.tables.sites.len() as u32;
        let slots = sites.map(|site| ObjectProperties {
            names: Numbers { site: SiteId(site), ..Numbers::default() },
            traced: true,
            ..ObjectProperties::default()
        });
        let mut values: HashSet<Value> = slots.map(|properties| self.value(key, &properties)).collect();
        values.extend(
            [ObjectProperties::default(), ObjectProperties { tracer: true, ..ObjectProperties::default() }]
                .map(|properties| self.value(key, &properties)),
        );
        values.into_iter().map(|value| self.outside(value)).collect()
    }

    /// A value as it stands outside: its text looked up.
    #[must_use]
    pub fn outside(&self, value: Value) -> KeyValue {
        match value {
            Value::None => KeyValue::None,
            Value::Number(number) => KeyValue::Number(number),
            Value::Flag(flag) => KeyValue::Flag(flag),
            Value::Text(sym) => KeyValue::Text(self.text_of(sym)),
            Value::NoClass(sym) => KeyValue::NoClass(self.text_of(sym)),
            Value::Absent(absent) => KeyValue::Absent(absent),
            Value::Stack(innermost) => KeyValue::Stack(self.stack_text(innermost)),
        }
    }

    /// The order of two rows of values: as they stand outside, texts by their bytes.
    pub(crate) fn compare(&self, one: &[Value], other: &[Value]) -> Ordering {
        let mut order = one.iter().zip(other).map(|(a, b)| match (*a, *b) {
            (Value::Stack(one), Value::Stack(other)) => self.compare_stacks(one, other),
            _ => match (self.plain(*a), self.plain(*b)) {
                // The words for no text come before a text of the same.
                (Some(one), Some(other)) => one.cmp(other).then_with(|| b.cmp(a)),
                _ => a.cmp(b),
            },
        });
        order.find(|order| order.is_ne()).unwrap_or(Ordering::Equal)
    }

    /// The bytes of a text value, or of the words for none: as people see it. None of what is no text.
    #[must_use]
    pub fn bytes(&self, value: Value) -> Option<Cow<'_, [u8]>> {
        match value {
            Value::Stack(innermost) => Some(Cow::Owned(self.stack_text(innermost).text.into_bytes())),
            value => self.plain(value).map(Cow::Borrowed),
        }
    }

    /// The same of what is no stack.
    fn plain(&self, value: Value) -> Option<&[u8]> {
        match value {
            Value::Text(sym) | Value::NoClass(sym) => Some(self.bytes_of(sym)),
            Value::Absent(absent) => Some(absent.words().as_bytes()),
            _ => None,
        }
    }

    fn label(&mut self, properties: &ObjectProperties) -> Value {
        if !properties.names.label.is_some() {
            return Value::None;
        }
        self.own(properties.names.label)
    }

    fn class(&mut self, properties: &ObjectProperties) -> Value {
        if properties.tracer {
            return Value::Absent(Absent::Tracer);
        }
        let class = properties.names.class;
        if self.names.is_told(class) {
            return self.own(self.names.instance_class(class));
        }
        if class != ClassId::NONE {
            return Value::NoClass(self.names.instance_class(class));
        }
        let label = match properties.ty {
            Type::Imemo | Type::Data => self.names.tables.symbols.text(properties.names.label),
            Type::Other => return self.own(properties.names.label),
            _ => "".into(),
        };
        let separator = if label.is_empty() { "" } else { " " };
        Value::NoClass(self.intern(format!("({}{separator}{label})", properties.ty).as_bytes()))
    }

    fn site(&mut self, key: Key, properties: &ObjectProperties) -> Value {
        if properties.tracer {
            return Value::Absent(Absent::Tracer);
        }
        if !properties.traced {
            return Value::Absent(Absent::Untraced);
        }
        let id = properties.names.site;
        // What depends on the file alone is looked up once a file, which has many sites.
        let of = match key {
            Key::File | Key::Directory | Key::Gem => self.names.tables.sites.get(id).file.0,
            _ => id.0,
        };
        let part = match self.cache.get(&(key, of)) {
            Some(part) => *part,
            None => {
                let part = self.part_of_site(key, id);
                self.cache.insert((key, of), part);
                part
            }
        };
        part.map_or_else(Value::Absent, Value::Text)
    }

    fn part_of_site(&mut self, key: Key, id: SiteId) -> std::result::Result<Symbol, Absent> {
        let names = self.names;
        let symbols = &names.tables.symbols;
        let Site { file, line, method } = self.names.tables.sites.get(id);
        if key == Key::Method {
            return if method.is_some() { Ok(method) } else { Err(Absent::NoMethod) };
        }
        let path = symbols.bytes(file);
        if path.is_empty() || path == b"(null)" {
            return Err(Absent::NoFile); // up to Ruby 2.7 "(null)"
        }
        Ok(match key {
            Key::Location if line > 0 => self.intern(&[path, format!(":{line}").as_bytes()].concat()),
            Key::Directory => {
                let end = memchr::memrchr(b'/', path);
                self.intern(match end {
                    Some(0) => b"/",
                    Some(end) => &path[..end],
                    None => b".",
                })
            }
            Key::Gem => self.intern(names.app().owner(&symbols.text(file)).as_bytes()),
            _ => file,
        })
    }

    /// Of an object that was traced, or has a stack.
    fn app_location(&mut self, properties: &ObjectProperties) -> Value {
        let names = self.names;
        let site = if properties.stack.is_some() {
            match names.in_app(properties.stack) {
                FrameId::NONE => return Value::Absent(Absent::NoAppLine),
                frame => names.tables.stacks.site(frame),
            }
        } else {
            properties.names.site
        };
        let part = match self.cache.get(&(Key::AppLocation, site.0)) {
            Some(part) => *part,
            None => {
                let is_app = names.is_app(site);
                let location = self.part_of_site(Key::Location, site).ok().filter(|_| is_app);
                let part = location.ok_or(Absent::NoAppLine);
                self.cache.insert((Key::AppLocation, site.0), part);
                part
            }
        };
        part.map_or_else(Value::Absent, Value::Text)
    }

    /// In the order of what frames are read as, the innermost first. So far as stacks are shown; what differs beyond, by number.
    fn compare_stacks(&self, one: FrameId, other: FrameId) -> Ordering {
        let stacks = &self.names.tables.stacks;
        let words = |frame: FrameId| {
            let site = self.names.tables.sites.get(stacks.site(frame));
            let symbols = &self.names.tables.symbols;
            (symbols.bytes(site.file), site.line, symbols.bytes(site.method))
        };
        let pairs = stacks.frames(one).zip(stacks.frames(other)).take(FRAMES).take_while(|(one, other)| one != other);
        pairs
            .map(|(one, other)| words(one).cmp(&words(other)))
            .find(|order| order.is_ne())
            .unwrap_or_else(|| one.cmp(&other))
    }

    fn stack_text(&self, innermost: FrameId) -> StackText {
        let stacks = &self.names.tables.stacks;
        let depth = self.names.depth(innermost) as usize;
        let first_of_app = self.names.in_app(innermost);
        let (mut text, mut brief) = (String::new(), String::new());
        // How many frames stand in the text, and in what people read; how far the latter goes.
        let (mut told, mut shown, mut end) = (0, 0, 0);
        for (at, frame) in stacks.frames(innermost).take(FRAMES).enumerate() {
            if text.len() > LONGEST_STACK {
                break;
            }
            let (site, between) = (stacks.site(frame), if at > 0 { BETWEEN } else { "" });
            text = text + between + &self.frame_text(site, false);
            told += 1;
            // What calls a frame has a smaller number.
            let is_before_app = first_of_app.is_some() && frame > first_of_app;
            if shown < SHOWN_FRAMES && (at == 0 || !is_before_app) {
                let left_out = if at > end { format!("{between}…") } else { String::new() };
                brief = brief + &left_out + between + &self.frame_text(site, true);
                (shown, end) = (shown + 1, at + 1);
            }
        }
        for (words, told) in [(&mut text, told), (&mut brief, end)] {
            if told < depth {
                *words += &format!("{BETWEEN}({} more)", crate::human::count((depth - told) as u64));
            }
        }
        StackText { text, brief }
    }

    /// `app/models/feed.rb:31 in load_feed`.
    pub(crate) fn frame_text(&self, site: SiteId, is_short: bool) -> String {
        let symbols = &self.names.tables.symbols;
        let (location, method) = (self.frame_location(site, is_short), self.names.tables.sites.get(site).method);
        match (location.is_empty(), method.is_some()) {
            (true, false) => Absent::NoFile.words().to_owned(),
            (true, true) => symbols.text(method).into_owned(),
            (false, false) => location,
            (false, true) => format!("{location} in {}", symbols.text(method)),
        }
    }

    /// File and line of a frame; empty where it has no file.
    pub(crate) fn frame_location(&self, site: SiteId, is_short: bool) -> String {
        let Site { file, line, .. } = self.names.tables.sites.get(site);
        let path = self.names.tables.symbols.text(file);
        let path = if is_short { self.names.app().short(&path) } else { &path };
        if line > 0 && !path.is_empty() { format!("{path}:{line}") } else { path.to_owned() }
    }
}

/// What stands between a frame and the one that called it.
const BETWEEN: &str = " ← ";
/// So many frames of a stack are told; tracers take no more than half as many.
const FRAMES: usize = 512;
/// In so many bytes, and one frame.
const LONGEST_STACK: usize = 16 << 10;
/// So many are read in a table: the innermost, and those from the first of the app on.
const SHOWN_FRAMES: usize = 3;

/// A stack as one text.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct StackText {
    /// All frames, the innermost first.
    pub text: String,
    /// The innermost and the first of the app, for a row of a table.
    pub brief: String,
}

impl serde::Serialize for StackText {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.text)
    }
}

/// The value of a key, complete in itself. They are ordered as people see them: the words for no text stand among the texts.
#[derive(Clone, Debug, PartialEq, Eq, Hash, serde::Serialize)]
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
    /// No class that the dump tells of: what stands for its name, `(IMEMO iseq)`, which a class may be called as well.
    NoClass(String),
    /// A stack.
    Stack(StackText),
    /// No text, and why.
    Absent(Absent),
}

impl KeyValue {
    /// The text, or the words for none.
    #[must_use]
    pub fn words(&self) -> Option<&str> {
        match self {
            KeyValue::Text(text) | KeyValue::NoClass(text) | KeyValue::Stack(StackText { text, .. }) => Some(text),
            KeyValue::Absent(absent) => Some(absent.words()),
            _ => None,
        }
    }
}

impl Ord for KeyValue {
    fn cmp(&self, other: &KeyValue) -> Ordering {
        let rank = |value: &KeyValue| match value {
            KeyValue::None => (0, 0),
            KeyValue::Number(number) => (1, *number),
            KeyValue::Flag(flag) => (2, u64::from(*flag)),
            KeyValue::Text(_) | KeyValue::NoClass(_) | KeyValue::Stack(_) | KeyValue::Absent(_) => (3, 0),
        };
        let is_absent = |value: &KeyValue| matches!(value, KeyValue::Absent(_) | KeyValue::NoClass(_));
        rank(self)
            .cmp(&rank(other))
            .then_with(|| self.words().cmp(&other.words()))
            .then_with(|| is_absent(other).cmp(&is_absent(self)))
    }
}

impl PartialOrd for KeyValue {
    fn partial_cmp(&self, other: &KeyValue) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test may panic")]

    use super::*;
    use crate::heap::Heap;
    use crate::source::Source;

    #[test]
    fn words_for_none_are_ordered_as_texts_and_are_none() {
        let text = |text: &str| KeyValue::Text(text.into());
        let mut values = [
            text("(zsuper)"),
            text("/app.rb"),
            KeyValue::Absent(Absent::Tracer),
            text("(untraced)"),
            KeyValue::Absent(Absent::Untraced),
            text("(erb):12"),
            KeyValue::Flag(true),
            KeyValue::Number(3),
            KeyValue::None,
        ];
        values.sort();
        let words = values.iter().map(|value| value.words().unwrap_or("-"));
        let expected =
            ["-", "-", "-", "(allocation tracer)", "(erb):12", "(untraced)", "(untraced)", "(zsuper)", "/app.rb"];
        assert_eq!(words.collect::<Vec<_>>(), expected);
        assert_eq!(values[..3], [KeyValue::None, KeyValue::Number(3), KeyValue::Flag(true)]);
        assert_ne!(values[5], values[6]);
        assert_eq!(serde_json::to_string(&KeyValue::Absent(Absent::NoMethod)).unwrap(), "\"(no method)\"");
    }

    #[test]
    fn a_file_whose_name_is_like_the_words_for_none_is_one() {
        let lines = [
            r#"{"address":"0x128", "type":"STRING", "file":"(untraced)", "method":"(no method)", "generation":1, "memsize":40}"#,
            r#"{"address":"0x150", "type":"STRING", "memsize":40}"#,
            r#"{"address":"0x178", "type":"STRING", "file":"(null)", "generation":1, "memsize":40}"#,
        ];
        let source = Source::reader(std::io::Cursor::new(lines.join("\n")), "memory");
        let heap = Heap::load(&source, &Default::default()).unwrap();
        let mut values = Values::new(heap.names());
        let found: Vec<[KeyValue; 3]> = heap
            .nodes()
            .map(|id| {
                [Key::File, Key::Method, Key::Location].map(|key| {
                    let value = values.value(key, &heap.properties(id));
                    values.outside(value)
                })
            })
            .collect();
        let text = |text: &str| KeyValue::Text(text.into());
        let [untraced, no_file, no_method] = [Absent::Untraced, Absent::NoFile, Absent::NoMethod].map(KeyValue::Absent);
        assert_eq!(found[0], [text("(untraced)"), text("(no method)"), text("(untraced)")]);
        assert_eq!(found[1], [untraced.clone(), untraced.clone(), untraced]);
        assert_eq!(found[2], [no_file.clone(), no_method, no_file]);
    }

    #[test]
    fn nodes_of_one_code_have_one_value() {
        for dump in ["ruby-2.7-x86_64", "ruby-3.1-x86_64", "ruby-4.0-wasm32"] {
            let source = Source::path(format!("tests/dumps/{dump}.json.zst"));
            let heap = Heap::load(&source, &Default::default()).unwrap();
            let mut values = Values::new(heap.names());
            for (key, name) in Key::NAMED {
                let mut known = HashMap::new();
                for id in heap.nodes() {
                    let value = values.value(key, &heap.properties(id));
                    let before = *known.entry(heap.code(id, key.domain())).or_insert(value);
                    assert_eq!(before, value, "{dump} {name}");
                }
            }
        }
    }
}
