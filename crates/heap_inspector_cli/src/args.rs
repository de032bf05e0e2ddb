//! The words of the command line, and its help. A new verb is a variant of [`Verb`] here and a function in `lib.rs`.

use clap::builder::{PossibleValuesParser, TypedValueParser};
use clap::{Args, CommandFactory, Parser, Subcommand};
use heap_inspector::analysis::Order;
use heap_inspector::keys::Key;
use heap_inspector::select::Filter;
use heap_inspector::{Result, view};
use std::ffi::OsString;
use std::str::FromStr;

#[derive(Debug, Parser)]
#[command(name = "heap_inspector", version)]
#[command(about = "\
Says what fills the heap of a Ruby process and what leaks, from its heap dumps

Where to begin:
  Three dumps of one process, taken while it works?
    heap_inspector suspects a.json b.json c.json    what leaks, who retains it
  One dump?
    heap_inspector suspects heap.json               what may leak
    heap_inspector top heap.json --by location      what fills the heap
    heap_inspector path heap.json --class Order     why these objects are alive
  None yet?
    heap_inspector dump PID, or ObjectSpace.dump_all in the process")]
#[command(after_help = "\
Dumps may be plain, gzip, zstd or lz4, whatever their names are; - reads
standard input. `heap_inspector help top` explains a command. Text is as wide as
the terminal, or as COLUMNS says.

Exit codes: 0 done, 1 the dump cannot be read, 2 the command line is wrong,
130 interrupted.")]
pub(crate) struct Arguments {
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// What may be asked.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    #[command(flatten)]
    Answered(Verb),
    /// Copy a dump without its secrets: strings become others
    ///
    /// The values of strings and floats are replaced by others of the same length, the same ones by the same, so that sizes and
    /// duplicates still count. The key is random and not kept. Names stay: symbols, classes, methods, instance variables, files.
    /// Lines that cannot be read are left out.
    Redact {
        /// The dump; - for standard input
        dump: OsString,
        /// Where to write it, - for standard output; packed as the name's end says: .zst, .gz or neither
        output: OsString,
    },
    #[command(flatten)]
    Living(Living),
}

/// The commands that need a Ruby. The gem answers them before it asks here.
#[derive(Debug, Subcommand)]
pub(crate) enum Living {
    /// Load dumps and ask them in Ruby, in IRB (gem)
    #[command(disable_help_flag = true, after_help = LIVING)]
    Console(Words),
    /// List Ruby processes, and which can be asked for a dump (gem)
    #[command(disable_help_flag = true, after_help = LIVING)]
    Ps(Words),
    /// Take a dump of a running process, which goes on (gem)
    #[command(disable_help_flag = true, after_help = LIVING)]
    Dump(Words),
    /// Switch allocation tracing in a running process (gem)
    #[command(disable_help_flag = true, after_help = LIVING)]
    Trace(Words),
    /// Take three dumps of one process, for `suspects` (gem)
    #[command(disable_help_flag = true, after_help = LIVING)]
    Watch(Words),
}

/// Words that are not ours to understand.
#[derive(Debug, Args)]
pub(crate) struct Words {
    /// Options and arguments, as --help lists them
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    words: Vec<OsString>,
}

impl Living {
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Living::Console(_) => "console",
            Living::Ps(_) => "ps",
            Living::Dump(_) => "dump",
            Living::Trace(_) => "trace",
            Living::Watch(_) => "watch",
        }
    }
}

/// What `--where` takes, for the long help of every verb.
macro_rules! filters {
    ($examples:literal) => {
        concat!(
            $examples,
            "

Filters (--where):
  A list of terms with commas between; an object must pass all of them.
  KEY=VALUE          the value is equal; KEY=A|B one of several;
                     KEY!=VALUE another one
  file=app/models/*  * ? [abc] {a,b} are patterns, and * goes past a /; a path
                     that does not begin with / may begin below any directory
  generation=30..40  numbers may be ranges, both ends included: 30.. and ..40
                     are open
  generation=untraced   objects that have no generation; KEY=none any other
                     that lacks a value
  memsize=1MiB..     bytes may have a unit: KiB, MiB, GiB
  frozen, !frozen    a flag is set or is not
  Keys: those of `top --by`, memsize, and the flags that Ruby writes
  (marked, wb_protected, ...)"
        )
    };
}

#[derive(Debug, Subcommand)]
pub(crate) enum Verb {
    /// Show objects by generation, or one generation in detail
    ///
    /// A generation is the number of garbage collections before an object was allocated. What an app needs was allocated at its
    /// start; a leak leaves some objects in each later generation. With GENERATION: memory, objects and references by location,
    /// objects by class, duplicate strings.
    #[command(after_help = READ_EXAMPLES, after_long_help = filters!("\
Examples:
  heap_inspector read heap.json      all generations
  heap_inspector read heap.json 47   generation 47: classes, locations
  heap_inspector read heap.json all  the same of the whole heap
  heap_inspector read heap.json.gz all --lines 10 --where file=app/*"))]
    Read {
        #[command(flatten)]
        common: Common,
        /// The number of a generation, `untraced`, or `all`
        generation: Option<Which>,
        /// Rows of each table, or `all` [default: 20; all generations]
        #[arg(long, short = 'n', value_name = "N")]
        lines: Option<Lines>,
    },
    /// Show totals: types, classes, heap pages, roots, Ruby version
    #[command(after_help = SUMMARY_EXAMPLES, after_long_help = filters!("\
Examples:
  heap_inspector summary heap.json
  heap_inspector summary heap.json --lines 5 --where old
  heap_inspector summary heap.json --format markdown  for an issue"))]
    Summary {
        #[command(flatten)]
        common: Common,
        /// Rows of the table of classes, or `all`
        #[arg(long, short = 'n', value_name = "N", default_value = "20")]
        lines: Lines,
    },
    /// Group objects by class, location, gem, ...: largest first
    #[command(after_help = TOP_EXAMPLES, after_long_help = filters!("\
Examples:
  heap_inspector top heap.json           by class
  heap_inspector top heap.json --by gem  which gems allocated it
  heap_inspector top heap.json --by class,location --where generation=30..
  heap_inspector top heap.json --by file --where type=STRING --format csv

Keys (--by):
  generation         the number of garbage collections before the allocation
  type               STRING, HASH, OBJECT, ... as Ruby's C code names them
  class              the class; internal objects as (IMEMO iseq)
  location, file, line, directory,     what allocated the object
  method
  gem                the gem and version of that file, or app, stdlib, ruby
  imemo, struct      the sort of an internal object; the C type of a DATA
  encoding           the encoding of a string
  slot_size, shape   from Ruby 3.2
  frozen, embedded, old, shared, traced   flags: yes or no"))]
    Top {
        #[command(flatten)]
        common: Common,
        /// Keys to group by, with commas between
        #[arg(long, short, value_name = "KEY[,KEY]", value_delimiter = ',', default_value = "class")]
        #[arg(value_parser = one_of::<Key>(Key::NAMED.map(|(_, name)| name)), hide_possible_values = true)]
        by: Vec<Key>,
        /// Order of the rows
        #[arg(long, short, value_name = "ORDER", default_value = "bytes")]
        #[arg(value_parser = one_of::<Order>(["bytes", "count", "references"]))]
        sort: Order,
        /// Rows of the table, or `all`
        #[arg(long, short = 'n', value_name = "N", default_value = LINES)]
        lines: Lines,
    },
    /// Find duplicate strings: wasted bytes, allocation sites
    #[command(after_help = STRINGS_EXAMPLES, after_long_help = filters!("\
Examples:
  heap_inspector strings heap.json               those that waste the most bytes
  heap_inspector strings heap.json --sort count  those with the most copies
  heap_inspector strings heap.json --where file=app/*,!frozen"))]
    Strings {
        #[command(flatten)]
        common: Common,
        /// Order of the rows: by wasted bytes or by the number of copies
        #[arg(long, short, value_name = "ORDER", default_value = "bytes")]
        #[arg(value_parser = one_of::<Order>(["bytes", "count"]))]
        sort: Order,
        /// Rows of the table, or `all`
        #[arg(long, short = 'n', value_name = "N", default_value = LINES)]
        lines: Lines,
    },
    /// Show how much objects, and groups of them, keep in memory
    ///
    /// An object retains what would go if it went: itself, and all that only it leads to from the roots. A group retains the sum over
    /// those of its objects that no other of them retains already.
    #[command(after_help = RETAINED_EXAMPLES, after_long_help = filters!("\
Examples:
  heap_inspector retained heap.json                single objects, by class
  heap_inspector retained heap.json --by location  by the allocating line
  heap_inspector retained heap.json --by class --where file=app/*

Keys (--by): those of `top`"))]
    Retained {
        #[command(flatten)]
        common: Common,
        #[command(flatten)]
        index: Index,
        /// Keys to group by, with commas between; groups alone are shown then [default: class, and the biggest holders]
        #[arg(long, short, value_name = "KEY[,KEY]", value_delimiter = ',')]
        #[arg(value_parser = one_of::<Key>(Key::NAMED.map(|(_, name)| name)), hide_possible_values = true)]
        by: Vec<Key>,
        /// Rows of each table, or `all`
        #[arg(long, short = 'n', value_name = "N", default_value = "20")]
        lines: Lines,
    },
    /// Show as a tree which object alone keeps which in memory
    ///
    /// An object stands under the nearest one that every chain of references from the roots to it leads through.
    ///
    /// With --by, objects of one class, location and so on under the same parent are one row.
    #[command(after_help = DOMINATORS_EXAMPLES, after_long_help = "\
Examples:
  heap_inspector dominators heap.json                 from the roots
  heap_inspector dominators heap.json 0x7f1386ee2a78  from one object
  heap_inspector dominators heap.json --depth 8 --min 100KiB
  heap_inspector dominators heap.json --by class
  heap_inspector dominators heap.json --format flamegraph > heap.svg
  heap_inspector dominators heap.json --format folded > heap.folded
  heap_inspector dominators heap.json --format dot | dot -Tsvg > heap.svg

Keys (--by): those of `top`")]
    Dominators {
        #[command(flatten)]
        common: Unfiltered,
        #[command(flatten)]
        index: Index,
        /// Begin with the object at this address
        address: Option<String>,
        /// Merge objects with the same value of a key under the same parent [default: none; class for flame graphs]
        #[arg(long, short, value_name = "KEY")]
        #[arg(value_parser = one_of::<Key>(Key::NAMED.map(|(_, name)| name)), hide_possible_values = true)]
        by: Option<Key>,
        /// Levels of the tree [default: 4; 40 for flame graphs]
        #[arg(long, short, value_name = "N")]
        depth: Option<usize>,
        /// Objects that retain fewer bytes are summed up [default: a hundredth of the top; less for flame graphs]
        #[arg(long, short, value_name = "BYTES", value_parser = bytes)]
        min: Option<u64>,
        /// Rows under one row, or `all` [default: 10; all for flame graphs]
        #[arg(long, short = 'n', value_name = "N")]
        lines: Option<Lines>,
    },
    /// Show why objects are in memory: references from the roots
    #[command(after_help = PATH_EXAMPLES, after_long_help = filters!("\
Examples:
  heap_inspector path heap.json 0x7f1386ee2a78            what holds this object
  heap_inspector path heap.json 0x7f1386ee2a78 --paths 5  and what else does
  heap_inspector path heap.json --class Order             what holds all orders
  heap_inspector path heap.json --where file=app/*,type=STRING
  heap_inspector path heap.json --class Order --format flamegraph > orders.svg
  heap_inspector path heap.json 0x7f1386ee2a78 --format dot | dot -Tsvg > p.svg"))]
    Path {
        #[command(flatten)]
        common: Common,
        #[command(flatten)]
        index: Index,
        /// The object's address, as in 0x7f1386ee2a78
        #[arg(required_unless_present_any = ["class", "filter"], conflicts_with_all = ["class", "filter"])]
        address: Option<String>,
        /// All objects of the class of this name
        #[arg(long, short, value_name = "NAME")]
        class: Option<String>,
        /// Chains to show; the others differ from the first where they can
        #[arg(long, short, value_name = "N", default_value_t = 1)]
        paths: usize,
        /// Rows of the tree of many objects under each row, or `all`
        #[arg(long, short = 'n', value_name = "N", default_value = "5")]
        lines: Lines,
    },
    /// Show one object: fields, references, referrers, retained size
    #[command(after_help = SHOW_EXAMPLES)]
    Show {
        #[command(flatten)]
        common: Unfiltered,
        #[command(flatten)]
        index: Index,
        /// The object's address, as in 0x7f1386ee2a78
        address: String,
        /// Rows of each table, or `all`
        #[arg(long, short = 'n', value_name = "N", default_value = "20")]
        lines: Lines,
    },
    /// List unreachable objects: garbage not collected yet
    ///
    /// No root leads to them, or only a weak reference does. Such objects hang together in components: one that no other of them
    /// refers to, and all that it leads to. Each object counts to
    /// one component.
    #[command(after_help = UNREACHABLE_EXAMPLES, after_long_help = filters!("\
Examples:
  heap_inspector unreachable heap.json                by class, by component
  heap_inspector unreachable heap.json --by location  what was allocated in vain
  heap_inspector unreachable heap.json --by class,location --where old

Keys (--by): those of `top`"))]
    Unreachable {
        #[command(flatten)]
        common: Common,
        #[command(flatten)]
        index: Index,
        /// Keys to group by, with commas between
        #[arg(long, short, value_name = "KEY[,KEY]", value_delimiter = ',', default_value = "class")]
        #[arg(value_parser = one_of::<Key>(Key::NAMED.map(|(_, name)| name)), hide_possible_values = true)]
        by: Vec<Key>,
        /// Order of the objects' groups
        #[arg(long, short, value_name = "ORDER", default_value = "bytes")]
        #[arg(value_parser = one_of::<Order>(["bytes", "count", "references"]))]
        sort: Order,
        /// Rows of each table, or `all`
        #[arg(long, short = 'n', value_name = "N", default_value = "20")]
        lines: Lines,
    },
    /// Show unused capacity of arrays and hashes, and the largest
    #[command(after_help = COLLECTIONS_EXAMPLES, after_long_help = filters!("\
Examples:
  heap_inspector collections heap.json  what is wasted, by location
  heap_inspector collections heap.json --by class,gem
  heap_inspector collections heap.json --where type=HASH,memsize=100KiB..

Keys (--by): those of `top`"))]
    Collections {
        #[command(flatten)]
        common: Common,
        #[command(flatten)]
        index: Index,
        /// Keys to group by, with commas between
        #[arg(long, short, value_name = "KEY[,KEY]", value_delimiter = ',', default_value = "location")]
        #[arg(value_parser = one_of::<Key>(Key::NAMED.map(|(_, name)| name)), hide_possible_values = true)]
        by: Vec<Key>,
        /// Rows of each table, or `all`
        #[arg(long, short = 'n', value_name = "N", default_value = "20")]
        lines: Lines,
    },
    /// Show how full heap pages are, and what keeps empty ones
    ///
    /// Also what compaction could give back.
    #[command(after_help = FRAGMENTATION_EXAMPLES, after_long_help = filters!("\
Examples:
  heap_inspector fragmentation heap.json           what keeps nearly empty pages
  heap_inspector fragmentation heap.json --by class,location,generation
  heap_inspector fragmentation heap.json --where old  of these only old ones

Keys (--by): those of `top`"))]
    Fragmentation {
        #[command(flatten)]
        common: Common,
        #[command(flatten)]
        index: Index,
        /// Keys to group by, with commas between
        #[arg(long, short, value_name = "KEY[,KEY]", value_delimiter = ',', default_value = "class")]
        #[arg(value_parser = one_of::<Key>(Key::NAMED.map(|(_, name)| name)), hide_possible_values = true)]
        by: Vec<Key>,
        /// Rows of each table, or `all`
        #[arg(long, short = 'n', value_name = "N", default_value = "20")]
        lines: Lines,
    },
    /// Compare dumps of one process: what is new, kept, growing
    ///
    /// Objects are told apart by more than their addresses, which are used again: by type, class, allocation site and generation. With
    /// three dumps or more the objects that are shown are those that came after the first dump and were there in all since: what the
    /// app allocated while it worked, and kept.
    #[command(after_help = DIFF_EXAMPLES, after_long_help = filters!("\
Examples:
  heap_inspector diff a.json b.json c.json              oldest first
  heap_inspector diff a.json b.json --by gem
  heap_inspector diff a.json b.json c.json --by holder  who retains what is new
  heap_inspector diff a.json b.json c.json --retained  what each group retains
  heap_inspector diff a.json b.json --where class=Order --output orders.json

Keys (--by): those of `top`, or holder alone: the nearest object above, in the
dominator tree, that was there in the first dump"))]
    Diff {
        #[command(flatten)]
        common: Common,
        #[command(flatten)]
        index: Index,
        /// The later dumps, oldest first
        #[arg(required = true, value_name = "LATER")]
        later: Vec<OsString>,
        /// Keys to group by, with commas between, or `holder`
        #[arg(long, short, value_name = "KEY[,KEY]", value_delimiter = ',', default_value = "class,location")]
        #[arg(value_parser = one_of::<DiffKey>(DiffKey::names()), hide_possible_values = true)]
        by: Vec<DiffKey>,
        /// Also show what each group or holder retains in each dump
        #[arg(long, short)]
        retained: bool,
        /// Rows of each table, or `all`
        #[arg(long, short = 'n', value_name = "N", default_value = "20")]
        lines: Lines,
        /// Write the lines of the retained objects (of two dumps: the new ones) to this new file
        #[arg(long, short, value_name = "FILE")]
        output: Option<OsString>,
    },
    /// Name what leaks: which objects, who retains them, which line
    ///
    /// Best with three dumps of one process, taken as it works: then a leak is what takes in objects between each two dumps and keeps
    /// them. One dump alone shows what has piled up over many garbage collections, which a cache does too.
    #[command(after_help = SUSPECTS_EXAMPLES, after_long_help = "\
Examples:
  heap_inspector suspects a.json b.json c.json  oldest first
  heap_inspector suspects heap.json             what one dump can tell
  heap_inspector suspects a.json b.json c.json --format json
  heap_inspector suspects a.json b.json c.json --except .heap_inspector_ignore

The file of --except has a line for each cache that is meant to be: a holder, a
class or file:line of a suspect, with * for anything; # begins a comment.")]
    Suspects {
        #[command(flatten)]
        common: Unfiltered,
        #[command(flatten)]
        index: Index,
        /// The later dumps, oldest first
        #[arg(value_name = "LATER")]
        later: Vec<OsString>,
        /// Suspects to show at most, or `all`
        #[arg(long, short = 'n', value_name = "N", default_value = "5")]
        lines: Lines,
        /// Leave out the suspects that a line of this file names
        #[arg(long, short, value_name = "FILE")]
        except: Option<OsString>,
    },
}

/// Rows of a table where nothing else is asked for.
const LINES: &str = "50";

const LIVING: &str = "\
This command needs the gem (gem install heap_inspector): it works with a running
Ruby. There `heap_inspector COMMAND --help` lists its options.";

const READ_EXAMPLES: &str = "\
Examples:
  heap_inspector read heap.json      all generations
  heap_inspector read heap.json 47   generation 47: classes, locations
  heap_inspector read heap.json all  the same of the whole heap";
const SUMMARY_EXAMPLES: &str = "\
Examples:
  heap_inspector summary heap.json
  heap_inspector summary heap.json --format markdown  for an issue";
const TOP_EXAMPLES: &str = "\
Examples:
  heap_inspector top heap.json --by gem
  heap_inspector top heap.json --by class,location --where generation=30..
--help tells all keys.";
const STRINGS_EXAMPLES: &str = "\
Examples:
  heap_inspector strings heap.json
  heap_inspector strings heap.json --sort count --where file=app/*";

const RETAINED_EXAMPLES: &str = "\
Examples:
  heap_inspector retained heap.json
  heap_inspector retained heap.json --by location --where file=app/*";
const DOMINATORS_EXAMPLES: &str = "\
Examples:
  heap_inspector dominators heap.json
  heap_inspector dominators heap.json 0x7f1386ee2a78 --depth 8
  heap_inspector dominators heap.json --format flamegraph > heap.svg";
const PATH_EXAMPLES: &str = "\
Examples:
  heap_inspector path heap.json 0x7f1386ee2a78 --paths 5
  heap_inspector path heap.json --class Order";
const SHOW_EXAMPLES: &str = "\
Examples:
  heap_inspector show heap.json 0x7f1386ee2a78
  heap_inspector show heap.json 0x7f1386ee2a78 --format dot | dot -Tsvg > o.svg";
const UNREACHABLE_EXAMPLES: &str = "\
Examples:
  heap_inspector unreachable heap.json
  heap_inspector unreachable heap.json --by location --where generation=30..";
const COLLECTIONS_EXAMPLES: &str = "\
Examples:
  heap_inspector collections heap.json
  heap_inspector collections heap.json --by class,gem --where type=HASH";
const FRAGMENTATION_EXAMPLES: &str = "\
Examples:
  heap_inspector fragmentation heap.json
  heap_inspector fragmentation heap.json --by class,location,generation";

const DIFF_EXAMPLES: &str = "\
Examples:
  heap_inspector diff a.json b.json c.json
  heap_inspector diff a.json b.json --by gem";

const SUSPECTS_EXAMPLES: &str = "\
Examples:
  heap_inspector suspects a.json b.json c.json
  heap_inspector suspects heap.json";

/// How many of the formats fit any answer; the verbs that draw have more.
const ANY: usize = 4;
/// The verbs with more formats, and how many.
const DRAWING: [(&str, usize); 3] = [("dominators", 7), ("path", 7), ("show", 5)];

/// The commands as help lists them: what a person needs first comes first.
const ORDER: [&str; 19] = [
    "suspects",
    "top",
    "read",
    "path",
    "retained",
    "diff",
    "summary",
    "strings",
    "dominators",
    "show",
    "collections",
    "fragmentation",
    "unreachable",
    "redact",
    "watch",
    "dump",
    "trace",
    "ps",
    "console",
];

/// The first formats.
fn formats(count: usize) -> impl TypedValueParser<Value = view::Format> {
    one_of(view::Format::NAMED.into_iter().take(count).map(|(_, name)| name))
}

impl Arguments {
    /// The command line, each verb with its formats.
    pub(crate) fn grammar() -> clap::Command {
        let command = DRAWING.into_iter().fold(Arguments::command(), |command, (verb, count)| {
            command.mut_subcommand(verb, |verb| verb.mut_arg("format", |format| format.value_parser(formats(count))))
        });
        ORDER
            .into_iter()
            .enumerate()
            .fold(command.mut_subcommands(|verb| verb.display_order(ORDER.len())), |command, (at, verb)| {
                command.mut_subcommand(verb, |verb| verb.display_order(at))
            })
    }
}

impl Verb {
    pub(crate) fn common(&self) -> &Unfiltered {
        self.parts().0
    }

    /// The words of `--where`.
    pub(crate) fn filter(&self) -> &[String] {
        self.parts().1
    }

    /// Whether the index file beside the dump is read and written.
    pub(crate) fn has_index(&self) -> bool {
        self.parts().2.is_some_and(|index| !index.no_index)
    }

    /// What the verb has of what verbs share; the last are the verbs that can do with an index file.
    fn parts(&self) -> (&Unfiltered, &[String], Option<Index>) {
        match self {
            Verb::Read { common, .. }
            | Verb::Summary { common, .. }
            | Verb::Top { common, .. }
            | Verb::Strings { common, .. } => (&common.unfiltered, &common.filter, None),
            Verb::Retained { common, index, .. }
            | Verb::Path { common, index, .. }
            | Verb::Unreachable { common, index, .. }
            | Verb::Collections { common, index, .. }
            | Verb::Fragmentation { common, index, .. }
            | Verb::Diff { common, index, .. } => (&common.unfiltered, &common.filter, Some(*index)),
            Verb::Dominators { common, index, .. }
            | Verb::Show { common, index, .. }
            | Verb::Suspects { common, index, .. } => (common, &[], Some(*index)),
        }
    }
}

/// What every verb on a set of objects takes.
#[derive(Debug, Args)]
pub(crate) struct Common {
    #[command(flatten)]
    pub(crate) unfiltered: Unfiltered,
    /// Only objects that pass, as in `class=String|Array,generation=30..40,!frozen`; may be given several times
    #[arg(long = "where", short = 'w', value_name = "FILTER")]
    pub(crate) filter: Vec<String>,
}

/// What every verb takes.
#[derive(Debug, Args)]
pub(crate) struct Unfiltered {
    /// The dump; - for standard input
    pub(crate) dump: OsString,
    /// How to write the answer
    #[arg(long, short, value_name = "FORMAT", default_value = "text")]
    #[arg(value_parser = formats(ANY))]
    pub(crate) format: view::Format,
    /// Threads that read the dump; 0 for one a core
    #[arg(long, short, value_name = "N", default_value_t = 0)]
    pub(crate) threads: usize,
    /// End with an error where a line is broken, instead of a warning
    #[arg(long)]
    pub(crate) strict: bool,
}

/// What verbs take that load the whole reference graph.
#[derive(Clone, Copy, Debug, Args)]
pub(crate) struct Index {
    /// Neither read nor write the index file beside the dump (heap.json.hidx), which saves the next such command the parsing
    #[arg(long)]
    pub(crate) no_index: bool,
}

impl Unfiltered {
    /// The dump's name for people and reports.
    pub(crate) fn name(&self) -> String {
        self.dump.to_string_lossy().into_owned()
    }
}

/// A value that is one of `names`, which its type knows; clap suggests the nearest one.
fn one_of<T>(names: impl IntoIterator<Item = &'static str>) -> impl TypedValueParser<Value = T>
where
    T: FromStr + Clone + Send + Sync + 'static,
{
    PossibleValuesParser::new(names).map(|name| name.parse().ok().expect("the library knows all of the names"))
}

/// Reads `100KiB` as a filter on bytes does.
fn bytes(word: &str) -> std::result::Result<u64, String> {
    heap_inspector::select::bytes(word).map_err(|error| error.to_string())
}

/// What growth is told by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum DiffKey {
    Holder,
    Key(Key),
}

impl DiffKey {
    fn names() -> impl Iterator<Item = &'static str> {
        Key::NAMED.into_iter().map(|(_, name)| name).chain(["holder"])
    }
}

impl FromStr for DiffKey {
    type Err = heap_inspector::Error;

    fn from_str(name: &str) -> Result<DiffKey> {
        if name == "holder" { Ok(DiffKey::Holder) } else { name.parse().map(DiffKey::Key) }
    }
}

/// How many rows to show.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Lines(pub(crate) usize);

impl FromStr for Lines {
    type Err = &'static str;

    fn from_str(word: &str) -> std::result::Result<Lines, Self::Err> {
        if word == "all" {
            Ok(Lines(usize::MAX))
        } else {
            word.parse().map(Lines).map_err(|_| "a number or `all` is meant")
        }
    }
}

/// Which generation to show in detail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Which {
    All,
    Untraced,
    Number(u32),
}

impl FromStr for Which {
    type Err = &'static str;

    fn from_str(word: &str) -> std::result::Result<Which, Self::Err> {
        match word {
            "all" => Ok(Which::All),
            "untraced" => Ok(Which::Untraced),
            _ => word.parse().map(Which::Number).map_err(|_| "a number, `untraced` or `all` is meant"),
        }
    }
}

impl Which {
    pub(crate) fn filter(self) -> Result<Filter> {
        match self {
            Which::All => Ok(Filter::default()),
            Which::Untraced => "generation=untraced".parse(),
            Which::Number(number) => format!("generation={number}").parse(),
        }
    }

    pub(crate) fn title(self) -> String {
        match self {
            Which::All => "all generations".into(),
            Which::Untraced => "untraced".into(),
            Which::Number(number) => format!("generation {number}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_words_do_not_contradict_each_other() {
        Arguments::grammar().debug_assert();
    }

    /// The longest line of a text that is ours to fold: a terminal of 80 columns breaks none of it.
    #[test]
    fn help_fits_80_columns() {
        let mut command = Arguments::grammar();
        for verb in command.get_subcommands_mut() {
            let about = verb.get_about().map(ToString::to_string).unwrap_or_default();
            assert!(about.len() <= 63, "{about}");
            let texts = [verb.get_after_help(), verb.get_after_long_help()].map(|text| text.map(ToString::to_string));
            for line in texts.iter().flatten().flat_map(|text| text.lines()) {
                assert!(line.len() <= 80, "{}: {line}", verb.get_name());
            }
        }
        let help = command.render_help().to_string();
        let begin = help.find("Where to begin").expect("help says what to do");
        assert!(begin < help.find("Usage:").expect("then how"), "{help}");
        assert!(command.get_subcommands().all(|verb| ORDER.contains(&verb.get_name()) || verb.get_name() == "help"));
        let first = help.split("Commands:\n").nth(1).and_then(|commands| commands.split_whitespace().next());
        assert_eq!(first, Some("suspects"));
    }

    #[test]
    fn every_key_is_explained() {
        let mut command = Arguments::grammar();
        let top = command.find_subcommand_mut("top").expect("there is one");
        let help = top.render_long_help().to_string();
        let (_, keys) = help.split_once("Keys (--by):").expect("there is such a part");
        for (_, name) in Key::NAMED {
            assert!(keys.contains(name), "{name}");
        }
    }
}
