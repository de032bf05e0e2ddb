//! The words of the command line, and its help. A new verb is a variant of [`Verb`] here and a function in `lib.rs`.

use clap::builder::{PossibleValuesParser, TypedValueParser};
use clap::{Args, Parser, Subcommand};
use heap_inspector::analysis::Sort;
use heap_inspector::keys::Key;
use heap_inspector::select::Filter;
use heap_inspector::{Result, view};
use std::ffi::OsString;
use std::str::FromStr;

#[derive(Debug, Parser)]
#[command(name = "heap_inspector", version)]
#[command(about = "Reads heap dumps of Ruby's ObjectSpace.dump_all and says what fills the heap")]
#[command(after_help = "\
Dumps may be plain, gzip, zstd or lz4, whatever their names are; - reads standard input.
Begin with `heap_inspector read heap.json`. `heap_inspector help top` explains a command.

Exit codes: 0 done, 1 the dump cannot be read, 2 the command line is wrong, 130 interrupted.")]
pub(crate) struct Arguments {
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// What may be asked.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    #[command(flatten)]
    Answered(Verb),
    /// Write a dump anew without its secrets: strings become others of the same length
    ///
    /// The values of strings and floats are replaced, the same ones by the same, so that sizes and duplicates still count. The key is
    /// random and not kept. Names stay: symbols, classes, methods, instance variables, files. Lines that cannot be read are left out.
    Redact {
        /// The dump; - for standard input
        dump: OsString,
        /// Where to write it, - for standard output; packed as the name's end says: .zst, .gz or neither
        output: OsString,
    },
    #[command(flatten)]
    Living(Living),
}

/// The commands that ask a running Ruby. The gem answers them before it asks here.
#[derive(Debug, Subcommand)]
pub(crate) enum Living {
    /// List the Ruby processes of this host, and which of them can be asked for a dump (gem only)
    #[command(disable_help_flag = true)]
    Ps(Words),
    /// Take a dump of a running process, which goes on meanwhile (gem only)
    #[command(disable_help_flag = true)]
    Dump(Words),
    /// Have a running process note where objects are allocated, or no longer (gem only)
    #[command(disable_help_flag = true)]
    Trace(Words),
    /// Take several dumps of one process, to find what it keeps (gem only)
    #[command(disable_help_flag = true)]
    Watch(Words),
}

/// Words that are not ours to understand.
#[derive(Debug, Args)]
pub(crate) struct Words {
    /// See `heap_inspector COMMAND --help` of the gem
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    words: Vec<OsString>,
}

impl Living {
    pub(crate) fn name(&self) -> &'static str {
        match self {
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
  A filter is a list of terms with commas between; an object must pass all of them.
  KEY=VALUE          the value is equal; KEY=A|B one of several; KEY!=VALUE another one
  file=app/models/*  * ? [abc] {a,b} are patterns, and * goes past a /; a path that does not begin
                     with / may begin below any directory
  generation=30..40  numbers may be ranges, both ends included: 30.. and ..40 are open
  generation=untraced  objects that have no generation; KEY=none any other that lacks a value
  memsize=1MiB..     bytes may have a unit: KiB, MiB, GiB
  frozen, !frozen    a flag is set or is not
  Keys: those of `top --by`, memsize, and the flags that Ruby writes (marked, wb_protected, ...)"
        )
    };
}

#[derive(Debug, Subcommand)]
pub(crate) enum Verb {
    /// Show the objects by generation; with GENERATION, what one of them holds
    ///
    /// A generation is the number of garbage collections before an object was allocated. What an app needs was allocated at its
    /// start; what it leaks keeps coming, so look for a later generation that holds much more than its neighbours. With
    /// GENERATION: memory, objects and references by location, objects by class, duplicate strings.
    #[command(after_help = READ_EXAMPLES, after_long_help = filters!("\
Examples:
  heap_inspector read heap.json            all generations, with those that stand out
  heap_inspector read heap.json 47         what generation 47 holds, and where it was allocated
  heap_inspector read heap.json all        the same of the whole heap
  heap_inspector read heap.json.gz all --lines 10 --where file=app/*"))]
    Read {
        #[command(flatten)]
        common: Common,
        /// The number of a generation, `untraced`, or `all`
        generation: Option<Which>,
        /// Rows of each table, or `all` [default: 50; all generations]
        #[arg(long, short = 'n', value_name = "N")]
        lines: Option<Lines>,
    },
    /// Say what the dump is: types, classes, pages, roots, which Ruby wrote it, what was lost
    #[command(after_help = SUMMARY_EXAMPLES, after_long_help = filters!("\
Examples:
  heap_inspector summary heap.json
  heap_inspector summary heap.json --lines 5 --where old
  heap_inspector summary heap.json --format markdown   to paste into an issue"))]
    Summary {
        #[command(flatten)]
        common: Common,
        /// Rows of the table of classes, or `all`
        #[arg(long, short = 'n', value_name = "N", default_value = "20")]
        lines: Lines,
    },
    /// Group the objects by one key or several, the greatest groups first
    #[command(after_help = TOP_EXAMPLES, after_long_help = filters!("\
Examples:
  heap_inspector top heap.json                         by class
  heap_inspector top heap.json --by gem                which gems allocated it
  heap_inspector top heap.json --by class,location --where generation=30..
  heap_inspector top heap.json --by file --where type=STRING,!frozen --sort count --format csv

Keys (--by):
  generation         the number of garbage collections before the allocation
  type               STRING, HASH, OBJECT, ... as Ruby's C code names them
  class              the class; internal objects as (IMEMO iseq)
  location, file, directory, method   what allocated the object
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
        #[arg(value_parser = one_of::<Sort>(["bytes", "count", "references"]))]
        sort: Sort,
        /// Rows of the table, or `all`
        #[arg(long, short = 'n', value_name = "N", default_value = LINES)]
        lines: Lines,
    },
    /// Find duplicate strings: what the copies waste, and where they were allocated
    #[command(after_help = STRINGS_EXAMPLES, after_long_help = filters!("\
Examples:
  heap_inspector strings heap.json                     those that waste the most bytes
  heap_inspector strings heap.json --sort count        those with the most copies
  heap_inspector strings heap.json --where file=app/*,!frozen"))]
    Strings {
        #[command(flatten)]
        common: Common,
        /// Order of the rows: by wasted bytes or by the number of copies
        #[arg(long, short, value_name = "ORDER", default_value = "bytes")]
        #[arg(value_parser = one_of::<Sort>(["bytes", "count"]))]
        sort: Sort,
        /// Rows of the table, or `all`
        #[arg(long, short = 'n', value_name = "N", default_value = LINES)]
        lines: Lines,
    },
}

/// Rows of a table where nothing else is asked for.
const LINES: &str = "50";

const READ_EXAMPLES: &str = "\
Examples:
  heap_inspector read heap.json            all generations, with those that stand out
  heap_inspector read heap.json 47         what generation 47 holds, and where it was allocated
  heap_inspector read heap.json all        the same of the whole heap";
const SUMMARY_EXAMPLES: &str = "\
Examples:
  heap_inspector summary heap.json
  heap_inspector summary heap.json --format markdown   to paste into an issue";
const TOP_EXAMPLES: &str = "\
Examples:
  heap_inspector top heap.json --by gem
  heap_inspector top heap.json --by class,location --where generation=30..
--help tells all keys.";
const STRINGS_EXAMPLES: &str = "\
Examples:
  heap_inspector strings heap.json
  heap_inspector strings heap.json --sort count --where file=app/*";

impl Verb {
    pub(crate) fn common(&self) -> &Common {
        match self {
            Verb::Read { common, .. }
            | Verb::Summary { common, .. }
            | Verb::Top { common, .. }
            | Verb::Strings { common, .. } => common,
        }
    }
}

#[derive(Debug, Args)]
pub(crate) struct Common {
    /// The dump; - for standard input
    pub(crate) dump: OsString,
    /// Only objects that pass, as in `class=String|Array,generation=30..40,!frozen`; may be given several times
    #[arg(long = "where", short = 'w', value_name = "FILTER")]
    pub(crate) filter: Vec<String>,
    /// How to write the answer
    #[arg(long, short, value_name = "FORMAT", default_value = "text")]
    #[arg(value_parser = one_of::<view::Format>(view::Format::NAMED.map(|(_, name)| name)))]
    pub(crate) format: view::Format,
    /// Threads that read the dump; 0 for one a core
    #[arg(long, short, value_name = "N", default_value_t = 0)]
    pub(crate) threads: usize,
    /// End with an error where a line is broken, instead of a warning
    #[arg(long)]
    pub(crate) strict: bool,
}

impl Common {
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
    use clap::CommandFactory;

    #[test]
    fn the_words_do_not_contradict_each_other() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn every_key_is_explained() {
        let mut command = Arguments::command();
        let top = command.find_subcommand_mut("top").expect("there is one");
        let help = top.render_long_help().to_string();
        let (_, keys) = help.split_once("Keys (--by):").expect("there is such a part");
        for (_, name) in Key::NAMED {
            assert!(keys.contains(name), "{name}");
        }
    }
}
