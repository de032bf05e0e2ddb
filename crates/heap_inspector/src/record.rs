//! One line of a dump as a borrowed value.
//!
//! Bytes of a block come in, a [`Record`] goes out that borrows its texts from the block; nothing is allocated on the usual path.
//! [`scan`] reads the exact form that Ruby writes. A line it does not take is brought into that form by [`repair`] (valid JSON
//! is normalized, Ruby's unescaped file and class names are repaired) and scanned again, so there is one reader of fields only.
//! The facts about the format of Ruby 2.1 to 4.1 stand here and in these two files; their source is `ext/objspace/objspace_dump.c`.

pub mod repair;
pub mod scan;

use std::borrow::Cow;
use std::fmt;

/// The type of a line: a slot's `T_*` type, or one of the two kinds of line that are no slot.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
#[allow(missing_docs, reason = "the names are Ruby's own T_* names")]
pub enum Type {
    /// A type this version does not know; the record keeps its name.
    #[default]
    Other,
    /// A free slot (`full: true` dumps).
    None,
    Object,
    Class,
    Iclass,
    Module,
    Float,
    String,
    Regexp,
    Array,
    Hash,
    Struct,
    Bignum,
    File,
    Data,
    Match,
    Symbol,
    Rational,
    Complex,
    /// Up to Ruby 2.4.
    Node,
    /// From Ruby 2.3.
    Imemo,
    /// An object whose finalizer has yet to run.
    Zombie,
    /// A root category: no address, not an object.
    Root,
    /// An object shape (from Ruby 3.2): has an address, not an object.
    Shape,
}

impl Type {
    /// Every type with a name, in the order of their discriminants after [`Type::Other`].
    pub const NAMED: [(Type, &'static str); 23] = [
        (Type::None, "NONE"),
        (Type::Object, "OBJECT"),
        (Type::Class, "CLASS"),
        (Type::Iclass, "ICLASS"),
        (Type::Module, "MODULE"),
        (Type::Float, "FLOAT"),
        (Type::String, "STRING"),
        (Type::Regexp, "REGEXP"),
        (Type::Array, "ARRAY"),
        (Type::Hash, "HASH"),
        (Type::Struct, "STRUCT"),
        (Type::Bignum, "BIGNUM"),
        (Type::File, "FILE"),
        (Type::Data, "DATA"),
        (Type::Match, "MATCH"),
        (Type::Symbol, "SYMBOL"),
        (Type::Rational, "RATIONAL"),
        (Type::Complex, "COMPLEX"),
        (Type::Node, "NODE"),
        (Type::Imemo, "IMEMO"),
        (Type::Zombie, "ZOMBIE"),
        (Type::Root, "ROOT"),
        (Type::Shape, "SHAPE"),
    ];

    /// The type that Ruby prints as `name`, [`Type::Other`] for one we do not know.
    #[must_use]
    pub fn from_name(name: &[u8]) -> Type {
        Type::NAMED.iter().find(|(_, known)| known.as_bytes() == name).map_or(Type::Other, |(ty, _)| *ty)
    }

    /// The type of a discriminant.
    pub(crate) fn from_number(number: u8) -> Option<Type> {
        match number {
            0 => Some(Type::Other),
            _ => Type::NAMED.get(usize::from(number) - 1).map(|(ty, _)| *ty),
        }
    }

    /// Ruby's name (`STRING`); `OTHER` where only the record knows it.
    #[must_use]
    pub fn name(self) -> &'static str {
        Type::NAMED.iter().find(|(ty, _)| *ty == self).map_or("OTHER", |(_, name)| name)
    }

    /// Whether a line of this type is a live heap object, given that it has an address.
    #[must_use]
    pub fn is_object(self) -> bool {
        !matches!(self, Type::None | Type::Zombie | Type::Root | Type::Shape)
    }
}

impl fmt::Display for Type {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// The true-or-absent fields of a record, one bit each: the object's own (`frozen`) and those of its `flags`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Flags(u32);

macro_rules! flags {
    ($($bit:literal $constant:ident $key:literal,)*) => {
        impl Flags {
            $(#[doc = concat!("`\"", $key, "\":true`")] pub const $constant: Flags = Flags(1 << $bit);)*
            /// Every flag with its key in the dump.
            pub const NAMED: &'static [(Flags, &'static str)] = &[$((Flags::$constant, $key),)*];
        }
    };
}

flags! {
    0 FROZEN "frozen",
    1 EMBEDDED "embedded",
    2 BROKEN "broken",
    3 FSTRING "fstring",
    4 SHARED "shared",
    5 ASSOCIATED "associated",
    6 CHILLED "chilled",
    7 SINGLETON "singleton",
    8 COMPLEX_SHAPE "complex_shape",
    9 WB_PROTECTED "wb_protected",
    10 OLD "old",
    11 INFANT "infant",
    12 REMEMBERED "remembered",
    13 MARKED "marked",
    14 LONG_LIVED "long_lived",
    15 MARKING "marking",
    16 UNCOLLECTIBLE "uncollectible",
    17 PINNED "pinned",
    18 SHAREABLE "shareable",
}

impl Flags {
    /// Those that stand in the record itself; the others stand in its `flags`.
    pub const OWN: Flags = Flags((1 << 9) - 1);

    /// Whether all of `other` are set here.
    #[must_use]
    pub const fn has(self, other: Flags) -> bool {
        self.0 & other.0 == other.0
    }

    /// Sets what is set in `other`.
    pub const fn set(&mut self, other: Flags) {
        self.0 |= other.0;
    }

    /// These and those.
    #[must_use]
    pub const fn union(self, other: Flags) -> Flags {
        Flags(self.0 | other.0)
    }

    /// Those set in both.
    #[must_use]
    pub const fn intersection(self, other: Flags) -> Flags {
        Flags(self.0 & other.0)
    }

    /// One bit for each flag, in the order of [`Flags::NAMED`].
    #[must_use]
    pub const fn bits(self) -> u32 {
        self.0
    }

    /// The flags of these bits.
    #[must_use]
    pub const fn from_bits(bits: u32) -> Flags {
        Flags(bits)
    }

    /// The flag whose key in the dump is `key`.
    #[must_use]
    pub fn from_key(key: &[u8]) -> Option<Flags> {
        if key == b"too_complex_shape" {
            return Some(Flags::COMPLEX_SHAPE); // its name before Ruby 4.1
        }
        Flags::NAMED.iter().find(|(_, known)| known.as_bytes() == key).map(|(bit, _)| *bit)
    }
}

/// A JSON string of the dump: the bytes between its quotes.
///
/// Ruby never escapes `file`, `struct`, `encoding`, `real_class_name` and `root`, so a backslash there may be no escape.
/// [`Text::decode`] takes it as one where the whole text is validly escaped, and as itself where it is not.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Text<'a> {
    /// The bytes as they stand in the line; any bytes, not always UTF-8.
    pub raw: &'a [u8],
    /// Whether a backslash occurs.
    pub escaped: bool,
}

impl<'a> Text<'a> {
    /// The bytes that the text stands for.
    #[must_use]
    pub fn decode(&self) -> Cow<'a, [u8]> {
        if !self.escaped {
            return Cow::Borrowed(self.raw);
        }
        unescape(self.raw).map_or(Cow::Borrowed(self.raw), Cow::Owned)
    }

    /// The first `limit` of those bytes, without looking at many more.
    #[must_use]
    pub fn decode_start(&self, limit: usize) -> Cow<'a, [u8]> {
        const LONGEST: usize = 12; // of an escape: a pair of surrogates
        let cut = self.raw.len().min(limit * 6 + LONGEST);
        // The cut may fall inside an escape.
        let start = (0..LONGEST.min(cut))
            .map(|back| Text { raw: &self.raw[..cut - back], ..*self })
            .find(|start| !start.escaped || cut == self.raw.len() || unescape(start.raw).is_some());
        match start.unwrap_or(Text { raw: &self.raw[..cut], escaped: false }).decode() {
            Cow::Borrowed(bytes) => Cow::Borrowed(&bytes[..bytes.len().min(limit)]),
            Cow::Owned(mut bytes) => {
                bytes.truncate(limit);
                Cow::Owned(bytes)
            }
        }
    }
}

/// Undoes JSON's escapes; `None` where one is invalid. A lone surrogate becomes U+FFFD.
fn unescape(raw: &[u8]) -> Option<Vec<u8>> {
    let mut out = Vec::with_capacity(raw.len());
    let mut rest = raw;
    while let Some(at) = memchr::memchr(b'\\', rest) {
        out.extend_from_slice(&rest[..at]);
        let letter = *rest.get(at + 1)?;
        rest = &rest[at + 2..];
        let plain = match letter {
            b'"' | b'\\' | b'/' => letter,
            b'b' => 0x08,
            b'f' => 0x0c,
            b'n' => b'\n',
            b'r' => b'\r',
            b't' => b'\t',
            b'u' => {
                let mut unit = hex4(rest)?;
                rest = &rest[4..];
                if (0xd800..0xdc00).contains(&unit) && rest.starts_with(b"\\u") {
                    let low = hex4(&rest[2..])?;
                    if (0xdc00..0xe000).contains(&low) {
                        unit = 0x10000 + ((unit - 0xd800) << 10) + (low - 0xdc00);
                        rest = &rest[6..];
                    }
                }
                let character = char::from_u32(unit).unwrap_or(char::REPLACEMENT_CHARACTER);
                out.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes());
                continue;
            }
            _ => return None,
        };
        out.push(plain);
    }
    out.extend_from_slice(rest);
    Some(out)
}

fn hex4(bytes: &[u8]) -> Option<u32> {
    bytes.get(..4)?.iter().try_fold(0, |sum, byte| Some(sum << 4 | char::from(*byte).to_digit(16)?))
}

/// The category of the ROOT line, without references, whose value tells how heap_inspector took the dump: the JSON text of an object.
/// Other tools see a root that holds nothing.
pub const META_ROOT: &str = "heap_inspector";

/// The category of the ROOT lines, without references, whose values are the frames of stacks in which objects were allocated, where
/// heap_inspector traced: see [`crate::stacks`].
pub const STACKS_ROOT: &str = "heap_inspector_stacks";

/// The category of the ROOT lines, without references, whose values name global variables and what threads keep under a name, where
/// heap_inspector's own dumper took the dump.
pub const NAMES_ROOT: &str = "heap_inspector_names";

/// One line of a dump. Fields that the line lacks are `None`, `0` (`memsize`, `reference_count`) or unset.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Record<'a> {
    /// What the line is.
    pub ty: Type,
    /// The type's name as printed, for [`Type::Other`].
    pub type_name: Text<'a>,
    /// The slot's address (of a SHAPE: the shape's); ROOT lines have none.
    pub address: Option<u64>,
    /// The class's address as printed: a singleton class where there is one, junk for IMEMO up to Ruby 3.1.
    pub class: Option<u64>,
    /// The superclass's address (CLASS and ICLASS, from Ruby 3.1).
    pub superclass: Option<u64>,
    /// Frozen, embedded, old and the like.
    pub flags: Flags,
    /// The shape's number (from Ruby 3.2).
    pub shape_id: Option<u32>,
    /// The slot's size in bytes (from Ruby 3.2).
    pub slot_size: Option<u32>,
    /// Bytes of a string or symbol.
    pub bytesize: Option<u64>,
    /// Bytes a string has room for, where that differs.
    pub capacity: Option<u64>,
    /// Elements of an array, entries of a hash.
    pub length: Option<u64>,
    /// Instance variables of an object.
    pub ivars: Option<u64>,
    /// The default proc's address (HASH).
    pub default: Option<u64>,
    /// A file's descriptor.
    pub fd: Option<i64>,
    /// The value of a string, symbol or float.
    pub value: Option<Text<'a>>,
    /// The string's encoding; none means BINARY.
    pub encoding: Option<Text<'a>>,
    /// What is known of a string's bytes (from Ruby 3.2).
    pub coderange: Option<Text<'a>>,
    /// The name of a class or module.
    pub name: Option<Text<'a>>,
    /// The name a class without one answers with (from Ruby 3.1).
    pub real_class_name: Option<Text<'a>>,
    /// The C type of a DATA.
    pub struct_name: Option<Text<'a>>,
    /// The sort of an IMEMO (from Ruby 2.5).
    pub imemo_type: Option<Text<'a>>,
    /// The category of a ROOT.
    pub root: Option<Text<'a>>,
    /// How many references the line lists; the scanner hands them over beside the record.
    pub reference_count: u32,
    /// By what the references are held, in a dump by heap_inspector: the list as it stands there; see [`Record::edge_names`].
    pub names: Option<&'a [u8]>,
    /// File and line of the block that a closure runs, in a dump by heap_inspector.
    pub block: Option<Text<'a>>,
    /// File and line where a thread, fiber or enumerator waits, in a dump by heap_inspector.
    pub waits_in: Option<Text<'a>>,
    /// The file whose code allocated the object (traced objects).
    pub file: Option<Text<'a>>,
    /// The line of that file.
    pub line: Option<u32>,
    /// The method that allocated the object.
    pub method: Option<Text<'a>>,
    /// The GC count at the allocation.
    pub generation: Option<u32>,
    /// The number of the frame that allocated the object, among those of the [`STACKS_ROOT`] lines.
    pub stack: Option<u32>,
    /// Bytes the object takes, slot included.
    pub memsize: u64,
    /// The object's age in GCs (from Ruby 4.0).
    pub age: Option<u32>,
    /// SHAPE: its number.
    pub id: Option<u32>,
    /// SHAPE: the number it grew from; none for a root, and on Ruby 3.4 an invalid number for T_OBJECT shapes.
    pub parent_id: Option<u32>,
    /// SHAPE: ROOT, IVAR, FROZEN, ...
    pub shape_type: Option<Text<'a>>,
    /// SHAPE: the instance variable it adds.
    pub edge_name: Option<Text<'a>>,
}

impl Record<'_> {
    /// Whether the line is no root but tells how the dump was taken; see [`META_ROOT`].
    #[must_use]
    pub fn is_meta(&self) -> bool {
        self.ty == Type::Root
            && self.reference_count == 0
            && self.root.is_some_and(|root| root.raw == META_ROOT.as_bytes())
    }

    /// Whether the line is no root but has frames of stacks; see [`STACKS_ROOT`].
    #[must_use]
    pub fn is_stacks(&self) -> bool {
        self.ty == Type::Root
            && self.reference_count == 0
            && self.root.is_some_and(|root| root.raw == STACKS_ROOT.as_bytes())
    }

    /// Whether the line is no root but names what roots and threads hold; see [`NAMES_ROOT`].
    #[must_use]
    pub fn is_names(&self) -> bool {
        self.ty == Type::Root
            && self.reference_count == 0
            && self.root.is_some_and(|root| root.raw == NAMES_ROOT.as_bytes())
    }

    /// By what the object holds what its references lead to, one by one, none where the dump does not say; there may be fewer than
    /// references.
    pub fn edge_names(&self) -> impl Iterator<Item = Option<Text<'_>>> {
        scan::each_name(self.names.unwrap_or_default())
    }

    /// A reference that Ruby up to 3.1 hides: it prints an IMEMO's second word as its class and leaves what equals it out of the
    /// references. In these sorts of IMEMO the word is a strong reference: a cref's refinements, a method entry's class, the code of a
    /// closure's environment, ... (imemo.h, method.h, vm_core.h); in others it is junk.
    #[must_use]
    #[inline(always)]
    pub fn hidden_reference(&self) -> Option<u64> {
        if self.ty == Type::Imemo { self.hidden_of_imemo() } else { None }
    }

    fn hidden_of_imemo(&self) -> Option<u64> {
        const STRONG: [&[u8]; 7] = [b"cref", b"ment", b"env", b"iseq", b"svar", b"memo", b"constcache"];
        if !STRONG.contains(&self.imemo_type?.raw) {
            return None;
        }
        let word = self.class?;
        // It may be nil, a number or a symbol (0x…0c) too; objects lie at multiples of 8, on 32 bits of 4.
        let grain = if word > u64::from(u32::MAX) { 8 } else { 4 };
        (word > 0xfff && word % grain == 0 && word & 0xff != 0x0c).then_some(word)
    }
}
