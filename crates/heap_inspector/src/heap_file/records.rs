//! Records of a block as the scanner of lines gives them, without lines between.

use super::{Field, Fields, Name};
use crate::record::{Flags, Record, Text, Type};

/// Makes a [`Record`] of the fields that it is told. Names of references are kept beside it, and only for those who want them.
#[derive(Debug)]
pub(crate) struct Records<'a> {
    pub(crate) record: Record<'a>,
    /// Where the references go.
    pub(crate) references: Vec<u64>,
    /// Whether names of references are kept.
    keeps_names: bool,
    /// The list of names as it stands in a line, where there is one.
    names: Vec<u8>,
    /// The line, where the record is one.
    pub(crate) line: Option<&'a [u8]>,
    before: usize,
    /// Members that were met last, and what they say.
    members: [Members<'a>; 4],
    next: usize,
    /// The type that was met last.
    ty: (&'a [u8], Type),
}

#[derive(Clone, Copy, Debug, Default)]
struct Members<'a> {
    text: &'a [u8],
    flags: Flags,
    age: Option<u32>,
}

impl<'a> Records<'a> {
    pub(crate) fn new() -> Records<'a> {
        Records {
            record: Record::default(),
            before: 0,
            references: Vec::new(),
            keeps_names: false,
            names: Vec::new(),
            line: None,
            members: Default::default(),
            next: 0,
            ty: (b"", Type::Other),
        }
    }

    /// One that keeps the names of references too.
    pub(crate) fn with_names() -> Records<'a> {
        Records { keeps_names: true, ..Records::new() }
    }

    /// The record with the names of its references, where they are kept.
    pub(crate) fn named(&self) -> Record<'_> {
        let names = Some(&self.names[..]).filter(|names| !names.is_empty());
        Record { names, ..self.record }
    }

    /// Forgets the record; its references are the caller's.
    pub(crate) fn clear(&mut self) {
        self.record = Record::default();
        self.names.clear();
        self.line = None;
        self.before = self.references.len();
    }

    /// Takes back what was told of a record that did not end.
    pub(crate) fn take_back(&mut self) {
        self.references.truncate(self.before);
        self.clear();
    }

    /// Takes what stands in the braces of `flags`.
    fn flags(&mut self, text: &'a [u8]) {
        // The block does not change, so what stands in the same place is the same.
        let known = self.members.iter().find(|known| std::ptr::eq(known.text, text));
        let members = known.copied().unwrap_or_else(|| {
            let members = read_members(text);
            self.members[self.next] = members;
            self.next = (self.next + 1) % self.members.len();
            members
        });
        self.record.flags.set(members.flags);
        self.record.age = members.age.or(self.record.age);
    }
}

/// `"old":true, "age":3`
fn read_members(text: &[u8]) -> Members<'_> {
    let mut members = Members { text, ..Members::default() };
    for member in text.split(|byte| *byte == b',') {
        let mut parts = member.trim_ascii().splitn(2, |byte| *byte == b':');
        let (Some(key), Some(value)) = (parts.next(), parts.next()) else { continue };
        let Some(key) = key.strip_prefix(b"\"").and_then(|key| key.strip_suffix(b"\"")) else { continue };
        match value {
            b"true" => {
                let flag = Flags::from_key(key).filter(|flag| !Flags::OWN.has(*flag));
                members.flags.set(flag.unwrap_or_default());
            }
            _ if key == b"age" => {
                members.age = std::str::from_utf8(value).ok().and_then(|value| value.parse().ok());
            }
            _ => {}
        }
    }
    members
}

/// A text as it stands in a line.
fn printed(raw: &[u8]) -> Option<Text<'_>> {
    Some(Text { raw, escaped: memchr::memchr(b'\\', raw).is_some() })
}

fn small(number: u64) -> Option<u32> {
    u32::try_from(number).ok()
}

impl<'a> Fields<'a> for Records<'a> {
    #[inline]
    fn address(&mut self, field: Field, address: u64) {
        let record = &mut self.record;
        match field {
            Field::Address => record.address = Some(address),
            Field::Class => record.class = Some(address),
            Field::Superclass => record.superclass = Some(address),
            Field::Default => record.default = Some(address),
            _ => {}
        }
    }

    #[inline]
    fn number(&mut self, field: Field, number: u64) {
        let record = &mut self.record;
        match field {
            Field::ShapeId => record.shape_id = small(number),
            Field::SlotSize => record.slot_size = small(number),
            Field::Bytesize => record.bytesize = Some(number),
            Field::Capacity => record.capacity = Some(number),
            Field::Size => record.length = Some(number),
            Field::Ivars => record.ivars = Some(number),
            Field::Line => record.line = small(number),
            Field::Generation => record.generation = small(number),
            Field::Stack => record.stack = small(number),
            Field::Memsize => record.memsize = number,
            Field::Id => record.id = small(number),
            Field::ParentId => record.parent_id = small(number),
            _ => {}
        }
    }

    fn signed(&mut self, field: Field, number: i64) {
        match field {
            Field::Length => self.record.length = u64::try_from(number).ok(),
            Field::Fd => self.record.fd = Some(number),
            _ => {}
        }
    }

    #[inline]
    fn truth(&mut self, field: Field) {
        self.record.flags.set(match field {
            Field::Frozen => Flags::FROZEN,
            Field::Embedded => Flags::EMBEDDED,
            Field::Broken => Flags::BROKEN,
            Field::Fstring => Flags::FSTRING,
            Field::Chilled => Flags::CHILLED,
            Field::Shared => Flags::SHARED,
            Field::Singleton => Flags::SINGLETON,
            Field::TooComplexShape => Flags::COMPLEX_SHAPE,
            _ => Flags::default(),
        });
    }

    #[inline]
    fn word(&mut self, field: Field, word: &'a [u8]) {
        let record = &mut self.record;
        match field {
            Field::Type => {
                if !std::ptr::eq(self.ty.0, word) {
                    self.ty = (word, Type::from_name(word));
                }
                record.ty = self.ty.1;
                record.type_name = Text { raw: word, escaped: false };
            }
            Field::Flags => self.flags(word),
            Field::ImemoType => record.imemo_type = printed(word),
            Field::Encoding => record.encoding = printed(word),
            Field::Coderange => record.coderange = printed(word),
            Field::Name => record.name = printed(word),
            Field::RealClassName => record.real_class_name = printed(word),
            Field::Struct => record.struct_name = printed(word),
            Field::Block => record.block = printed(word),
            Field::WaitsIn => record.waits_in = printed(word),
            Field::File => record.file = printed(word),
            Field::Method => record.method = printed(word),
            Field::Root => record.root = printed(word),
            Field::ShapeType => record.shape_type = printed(word),
            Field::EdgeName => record.edge_name = printed(word),
            _ => {}
        }
    }

    #[inline]
    fn text(&mut self, field: Field, text: &'a [u8]) {
        if field == Field::Value {
            self.record.value = Some(Text { raw: text, escaped: false });
        }
    }

    fn line(&mut self, line: &'a [u8]) {
        self.line = Some(line);
    }

    fn begin_references(&mut self) {}

    #[inline]
    fn reference(&mut self, address: u64) {
        self.references.push(address);
    }

    fn end_references(&mut self) {}
    fn begin_names(&mut self) {}

    #[inline]
    fn name(&mut self, name: Name<'a>) {
        if self.keeps_names {
            name.write(&mut self.names);
            self.names.push(b',');
        }
    }

    fn end_names(&mut self) {}

    #[inline]
    fn end(&mut self) {
        // A list so long has no room in a block.
        self.record.reference_count = (self.references.len() - self.before) as u32;
    }
}
