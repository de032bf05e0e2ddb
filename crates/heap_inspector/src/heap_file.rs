//! The heap file: a dump as columns, as heap_inspector's own dumper writes it with `--format heap`. docs/dump-format.md has the layout.
//!
//! A record is what a line of a dump is: some [`Field`]s in order. It is told field by field to [`Fields`]: [`lines::Lines`] makes the very
//! line of it that Ruby would print, [`write::Columns`] puts each field into a column of its own, `rows::Rows` tells it again of these
//! columns, and `records::Records` makes a [`crate::record::Record`] without any text between. So a heap file and the lines of the same
//! heap say the same, byte for byte.
//!
//! Blocks of some thousand records stand alone, each packed with zstd and with a checksum: they are read on several threads, and what is
//! cut off or damaged is lost alone. Nothing in a block is believed: all reading is bounded by the block's bytes, whose number is bounded
//! by how many there are in the file.
//!
//! Costs, for each block under way: its bytes, about [`write::FULL`] or what its longest record takes.

pub mod frame;
pub mod lines;
mod numbers;
pub mod records;
pub mod rows;
pub mod write;

/// How the value of a [`Field`] is kept and printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// The address of the record itself.
    Own,
    /// Another address, mostly one of a few.
    Address,
    /// A number without a sign.
    Number,
    /// A number.
    Signed,
    /// Nothing: it is there or not.
    Truth,
    /// A text as it stands between the quotes of the line, mostly one of a few.
    Word,
    /// The members of an object as they stand between its braces, mostly one of a few.
    Members,
    /// Any text, which the line escapes.
    Text,
    /// A list of addresses.
    References,
    /// A list of names, each as it stands between its quotes.
    Names,
    /// A whole line, as it stands.
    Line,
}

macro_rules! fields {
    ($($code:literal $field:ident $kind:ident $key:literal,)*) => {
        /// A key of a record. The numbers are those of the file.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[repr(u8)]
        pub enum Field {
            $(#[doc = concat!("`", $key, "`")] $field = $code,)*
        }

        impl Field {
            /// Every field, by number from 1 on.
            pub const ALL: &'static [Field] = &[$(Field::$field,)*];

            pub(crate) const fn kind(self) -> Kind {
                match self {
                    $(Field::$field => Kind::$kind,)*
                }
            }

            /// The key in the line, with quotes and colon.
            pub(crate) const fn key(self) -> &'static str {
                match self {
                    $(Field::$field => concat!("\"", $key, "\":"),)*
                }
            }
        }
    };
}

fields! {
    1 Address Own "address",
    2 Type Word "type",
    3 ShapeId Number "shape_id",
    4 SlotSize Number "slot_size",
    5 Class Address "class",
    6 Frozen Truth "frozen",
    7 ImemoType Word "imemo_type",
    8 Mid Word "mid",
    9 CalledId Word "called_id",
    10 ReceiverClass Address "receiver_class",
    11 Embedded Truth "embedded",
    12 Broken Truth "broken",
    13 Fstring Truth "fstring",
    14 Chilled Truth "chilled",
    15 Shared Truth "shared",
    16 Bytesize Number "bytesize",
    17 Capacity Number "capacity",
    18 Value Text "value",
    19 Encoding Word "encoding",
    20 Coderange Word "coderange",
    21 Size Number "size",
    22 Default Address "default",
    23 Length Signed "length",
    24 Superclass Address "superclass",
    25 VariationCount Signed "variation_count",
    26 Name Word "name",
    27 RealClassName Word "real_class_name",
    28 Singleton Truth "singleton",
    29 Struct Word "struct",
    30 Ivars Number "ivars",
    31 TooComplexShape Truth "too_complex_shape",
    32 Fd Signed "fd",
    33 References References "references",
    34 Block Word "block",
    35 Names Names "names",
    36 File Word "file",
    37 Line Number "line",
    38 Method Word "method",
    39 Generation Number "generation",
    40 Stack Number "stack",
    41 Memsize Number "memsize",
    42 Flags Members "flags",
    43 Root Word "root",
    44 Id Number "id",
    45 ParentId Number "parent_id",
    46 Depth Number "depth",
    47 ShapeType Word "shape_type",
    48 EdgeName Word "edge_name",
    49 Edges Number "edges",
    50 Whole Line "",
    51 WaitsIn Word "waits_in",
}

impl Field {
    /// The key without its quotes.
    #[must_use]
    pub fn key_text(self) -> &'static str {
        self.key().trim_matches(['"', ':'])
    }

    pub(crate) fn from_number(number: u8) -> Option<Field> {
        Field::ALL.get(usize::from(number).checked_sub(1)?).copied()
    }
}

/// What a reference is called.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Name<'a> {
    /// Nothing.
    None,
    /// A name that occurs again under the writer's own number for it, as it stands between quotes in JSON.
    Known(u32, &'a [u8]),
    /// One that may not, in the same form.
    Text(&'a [u8]),
}

impl Name<'_> {
    /// Appends it as it stands in a line's list.
    #[inline]
    pub(crate) fn write(self, out: &mut Vec<u8>) {
        match self {
            Name::None => out.push(b'0'),
            Name::Known(_, text) | Name::Text(text) => {
                out.push(b'"');
                out.extend_from_slice(text);
                out.push(b'"');
            }
        }
    }
}

/// What records are told to, field by field, in the order of the line. Each field but for the last of these methods' is of the kind that
/// the method is for; lists are begun and ended.
pub trait Fields<'a> {
    /// An address: the record's own or another.
    fn address(&mut self, field: Field, address: u64);
    /// A number.
    fn number(&mut self, field: Field, number: u64);
    /// A number that may be negative.
    fn signed(&mut self, field: Field, number: i64);
    /// What is true where it stands at all.
    fn truth(&mut self, field: Field);
    /// A text as it stands in the line, of a word or of members.
    fn word(&mut self, field: Field, word: &'a [u8]);
    /// One whose bytes stay where they are, and as they are, as long as records are told: by where it stands it is known again.
    #[inline]
    fn fixed_word(&mut self, field: Field, word: &'a [u8]) {
        self.word(field, word);
    }
    /// The same with the writer's own number for it, as of [`Name::Known`].
    #[inline]
    fn known_word(&mut self, field: Field, _number: u32, word: &'a [u8]) {
        self.word(field, word);
    }
    /// A text that the line escapes.
    fn text(&mut self, field: Field, text: &'a [u8]);
    /// A whole line, without its newline, as the record.
    fn line(&mut self, line: &'a [u8]);
    /// Begins the list of references.
    fn begin_references(&mut self);
    /// The next reference.
    fn reference(&mut self, address: u64);
    /// Ends the list.
    fn end_references(&mut self);
    /// Begins the list of names.
    fn begin_names(&mut self);
    /// The name of the next reference.
    fn name(&mut self, name: Name<'a>);
    /// Ends the list.
    fn end_names(&mut self);
    /// The record is whole.
    fn end(&mut self);
}

#[cfg(test)]
mod tests;
