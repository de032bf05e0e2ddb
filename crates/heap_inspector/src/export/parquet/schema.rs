//! The tables and their columns, the one description of which files, documentation and checks are made.

use std::fmt::Write as _;

/// Which of several schemas a file has: it counts up where a column goes or its meaning changes, not where one is added.
pub const VERSION: i64 = 1;

/// What a column of numbers holds at most.
pub(super) const LARGEST: u64 = i64::MAX as u64;

/// What a column holds; any may be null.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// An INT64.
    Number,
    /// A DOUBLE.
    Real,
    /// A BOOLEAN.
    Flag,
    /// A STRING.
    Text,
    /// A TIMESTAMP of microseconds, in UTC without saying so: engines show it the same everywhere.
    Time,
}

impl Kind {
    /// Its type in words of SQL.
    #[must_use]
    pub fn sql(self) -> &'static str {
        match self {
            Kind::Number => "BIGINT",
            Kind::Real => "DOUBLE",
            Kind::Flag => "BOOLEAN",
            Kind::Text => "VARCHAR",
            Kind::Time => "TIMESTAMP",
        }
    }
}

/// A column.
#[derive(Clone, Copy, Debug)]
pub struct Field {
    /// Its name.
    pub name: &'static str,
    /// What it holds.
    pub kind: Kind,
    /// What it means.
    pub about: &'static str,
}

/// A table: a file of its own, or a list within the row of a dump.
#[derive(Clone, Copy, Debug)]
pub struct Table {
    /// Its name, and that of its file without the ending.
    pub name: &'static str,
    /// What a row is.
    pub about: &'static str,
    /// Its columns, in order.
    pub fields: &'static [Field],
    /// Columns that are lists of such rows.
    pub lists: &'static [&'static Table],
}

impl Table {
    /// The place of a column.
    #[must_use]
    pub fn place(&self, name: &str) -> Option<usize> {
        self.fields.iter().position(|field| field.name == name)
    }

    /// The schema in Parquet's own words.
    pub(super) fn message(&self) -> String {
        let mut text = format!("message {} {{\n", self.name);
        fields(self, &mut text);
        for list in self.lists {
            let _ = writeln!(
                text,
                "required group {} (LIST) {{ repeated group list {{ required group element {{",
                list.name
            );
            fields(list, &mut text);
            text += "} } }\n";
        }
        text + "}\n"
    }
}

fn fields(table: &Table, text: &mut String) {
    for Field { name, kind, .. } in table.fields {
        let _ = match kind {
            Kind::Number => writeln!(text, "optional int64 {name};"),
            Kind::Real => writeln!(text, "optional double {name};"),
            Kind::Flag => writeln!(text, "optional boolean {name};"),
            Kind::Text => writeln!(text, "optional binary {name} (STRING);"),
            Kind::Time => writeln!(text, "optional int64 {name} (TIMESTAMP(MICROS,false));"),
        };
    }
}

const fn number(name: &'static str, about: &'static str) -> Field {
    Field { name, kind: Kind::Number, about }
}

const fn text(name: &'static str, about: &'static str) -> Field {
    Field { name, kind: Kind::Text, about }
}

const fn flag(name: &'static str, about: &'static str) -> Field {
    Field { name, kind: Kind::Flag, about }
}

const fn real(name: &'static str, about: &'static str) -> Field {
    Field { name, kind: Kind::Real, about }
}

/// The dump: one row, with the tables that a fleet keeps as lists in it.
pub const DUMP: Table = Table {
    name: "dump",
    about: "the dump, in one row; the first five columns are also the folders it lies in",
    fields: &[
        text("service", "HEAP_INSPECTOR_SERVICE of the process"),
        text("deploy", "the revision that ran"),
        text("host", "the host's name"),
        number("pid", "the process"),
        Field { name: "taken", kind: Kind::Time, about: "when the dump was taken, in UTC" },
        number("schema_version", "of this description"),
        text("writer", "who wrote the file"),
        text(
            "process",
            "the same in all dumps of a process, and in those of no other: host, pid, when it began; of a dump that does not tell its file's name",
        ),
        number("worker", "its number among the workers of a server"),
        text("ruby", "RUBY_DESCRIPTION"),
        real("uptime", "seconds since the process began"),
        number("requests", "web requests it had answered"),
        number("rss", "bytes of resident memory"),
        number("objects", "live objects"),
        number("bytes", "their bytes"),
        number("reachable_objects", "those that a root leads to"),
        number("reachable_bytes", "their bytes"),
        number("traced_objects", "those whose allocation was traced"),
        flag("redacted", "whether the values of its strings were replaced"),
        flag("truncated", "whether the dump was cut off, or lines of it are lost"),
    ],
    lists: &[&WORK, &SUSPECTS, &PATHS, &CLASSES, &SITES, &GEMS, &STRINGS, &ROOTS],
};

/// What the process had done.
pub const WORK: Table = Table {
    name: "work",
    about: "a sort of work that the process counts",
    fields: &[text("unit", "its name, a plural as `requests`"), number("count", "how much of it there was")],
    lists: &[],
};

/// The suspects of the dump alone.
pub const SUSPECTS: Table = Table {
    name: "suspects",
    about: "a suspect of this dump alone, as `heap_inspector suspects` has them, the most suspect first",
    fields: &[
        number("rank", "its rank, from 1"),
        text("fingerprint", "the leak's short name, the same in each dump of it"),
        number("path_id", "63 bits of a hash of its path"),
        text("path", "by what a program holds the objects: classes, the holder first"),
        text("class", "of the objects that pile up"),
        number("count", "how many of them"),
        number("bytes", "what they hold in all"),
        text("confidence", "low, medium or high"),
        text("location", "file and line that allocated them, where traced"),
        text("app_location", "the line of the app that did"),
        text("known_leak", "the leak of a gem that it is, where it is a known one"),
    ],
    lists: &[],
};

/// What objects are held by.
pub const PATHS: Table = Table {
    name: "paths",
    about: "a normalised path: by what a program holds objects, in words that are the same in every dump of it",
    fields: &[
        text("fingerprint", "its short name"),
        number("path_id", "63 bits of a hash of it, to group and join by"),
        text("path", "the classes on it, the holder first"),
        text("holder", "the first of them"),
        text("class", "the last: of the objects themselves"),
        number("count", "how many objects have it"),
        number("bytes", "their own bytes"),
        number("retained", "their bytes and those of all objects whose path begins with it"),
    ],
    lists: &[],
};

/// Sums by class.
pub const CLASSES: Table = Table {
    name: "classes",
    about: "a class",
    fields: &[
        text("class", "its name, or what stands for one, as `top` has it"),
        number("count", "its objects"),
        number("bytes", "their bytes"),
    ],
    lists: &[],
};

/// Sums by allocating line.
pub const SITES: Table = Table {
    name: "sites",
    about: "a line that allocated objects, where that was traced",
    fields: &[
        text("location", "file and line"),
        text("method", "the method"),
        text("gem", "the gem of the file with its version, `app`, `stdlib` or `ruby`"),
        number("count", "objects it allocated that are alive"),
        number("bytes", "their bytes"),
    ],
    lists: &[],
};

/// Sums by gem.
pub const GEMS: Table = Table {
    name: "gems",
    about: "a gem whose files allocated objects, where that was traced",
    fields: &[
        text("gem", "its name without the version, `app`, `stdlib` or `ruby`"),
        text("version", "its version"),
        number("count", "objects it allocated that are alive"),
        number("bytes", "their bytes"),
    ],
    lists: &[],
};

/// Texts that several strings hold.
pub const STRINGS: Table = Table {
    name: "strings",
    about: "a text that several strings hold",
    fields: &[
        text("hash", "16 hexadecimal digits of the SHA-256 of its length and first 160 bytes"),
        number("length", "its bytes"),
        number("copies", "strings that hold it"),
        number("bytes", "their bytes"),
        number("wasted", "their bytes beside the biggest of them"),
        text("location", "the line that allocated most of them, where traced"),
        text("text", "its first 160 bytes; null in a summary, and where confidential"),
    ],
    lists: &[],
};

/// References of the roots.
pub const ROOTS: Table = Table {
    name: "roots",
    about: "a category of roots; as a file of its own each reference of a root",
    fields: &[
        text("category", "vm, machine_context, …"),
        number("count", "references of it"),
        number("address", "the object that is referred to; null where rows are sums"),
    ],
    lists: &[],
};

/// All objects.
pub const OBJECTS: Table = Table {
    name: "objects",
    about: "an object, in the order of the dump",
    fields: &[
        number("address", "where it lies"),
        text("type", "STRING, ARRAY, OBJECT, …"),
        text("class", "its class, or what stands for one, as `top` has it"),
        number("memsize", "its own bytes, slot included"),
        number("retained", "bytes that would go with it; null where no root leads to it"),
        number("length", "elements, entries, bytes or variables, by the type"),
        number("generation", "the collection in which it was allocated, where traced"),
        number("age", "collections since then, to the latest of which an object was allocated"),
        text("site", "file and line that allocated it, where traced"),
        number("stack", "the innermost frame of the stack that allocated it: `frame` in `stacks`"),
        number("dominator", "the object that alone holds it; null where that is a root, or none leads to it"),
        flag("reachable", "whether a root leads to it"),
        text("flags", "frozen, embedded, old, …, with commas between"),
    ],
    lists: &[],
};

/// All references.
pub const EDGES: Table = Table {
    name: "edges",
    about: "a reference from an object to another of the dump; its class is one",
    fields: &[
        number("from", "address of the object that refers"),
        number("to", "address of the one referred to"),
        text(
            "name",
            "what it is called: what the dump names, else as far as shapes and types tell: ::LISTENERS, @name, [:key], [3], class",
        ),
    ],
    lists: &[],
};

/// Frames of the stacks.
pub const STACKS: Table = Table {
    name: "stacks",
    about: "a frame of the stacks that allocated objects, as a tree",
    fields: &[
        number("frame", "its number"),
        number("parent", "the frame that called it; null for the outermost"),
        text("location", "file and line"),
        text("method", "the method"),
    ],
    lists: &[],
};

/// Every table that is a file, by name.
pub const TABLES: [&Table; 10] =
    [&DUMP, &OBJECTS, &EDGES, &CLASSES, &SITES, &STACKS, &STRINGS, &ROOTS, &SUSPECTS, &PATHS];
