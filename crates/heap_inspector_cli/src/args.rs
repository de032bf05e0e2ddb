//! The words of the command line, and its help: the verbs of the list of questions, and those that answer no question.

use clap::builder::{OsStringValueParser, PossibleValuesParser, StringValueParser, TypedValueParser};
use clap::{Arg, ArgAction, ArgMatches, Args, Command, FromArgMatches, Subcommand, ValueHint};
use heap_inspector::questions::{Choice, Kind, Place, QUESTIONS, Question};
use std::ffi::OsString;

/// What may be asked.
pub(crate) enum Asked {
    Question(&'static Question, ArgMatches),
    Other(Other),
}

/// The commands that answer no question about a dump.
#[derive(Debug, Subcommand)]
pub(crate) enum Other {
    /// Copy a dump with other strings; symbols and names stay
    ///
    /// The values of strings and floats are replaced by others of the same length, the same ones by the same, so that sizes and
    /// duplicates still count; keys of hashes that are strings are left out. The random key is not kept. Names and small values stay:
    /// symbols, those made of user input too; keys of hashes that are symbols, numbers, nil, true, false or classes; classes, methods,
    /// constants, variables; paths of files; the first line, with host and process title. Lines that cannot be read are left out.
    Redact {
        /// The dump; - for standard input
        #[arg(value_hint = ValueHint::FilePath)]
        dump: OsString,
        /// Where to write it, - for standard output; compressed as the name's end says: .zst, .gz or neither
        #[arg(value_hint = ValueHint::FilePath)]
        output: OsString,
    },
    /// Make lines of a heap file, for other tools
    ///
    /// A dump taken with `--format heap` becomes the JSON lines that `--format ndjson` would have written of the same moment. What of a
    /// damaged file is whole is written, and what is missing is told.
    #[command(after_help = "\
Examples:
  heap_inspector convert app.heap -o heap.json
  heap_inspector convert app.heap -o heap.json.zst")]
    Convert {
        /// The heap file; - for standard input
        #[arg(value_hint = ValueHint::FilePath)]
        dump: OsString,
        /// Where to write the lines, - for standard output; compressed as the name's end says: .zst, .gz or neither
        #[arg(long, short, value_name = "FILE", value_hint = ValueHint::FilePath)]
        output: OsString,
    },
    /// Look at dumps in a browser, with every object behind the page
    ///
    /// The page of `report` with all of the heap behind it: every object, every question with its options. Prints a link with a secret in
    /// it, which is for this machine, and serves until Ctrl-C.
    #[command(after_help = "\
Examples:
  heap_inspector serve a.json b.json c.json
  heap_inspector serve heap.json --port 8080 --confidential")]
    Serve {
        /// The dumps, oldest first; - for standard input
        #[arg(required = true, value_name = "DUMP", value_hint = ValueHint::FilePath)]
        dumps: Vec<OsString>,
        /// The port; a free one by default
        #[arg(long, short, default_value_t = 0, hide_default_value = true)]
        port: u16,
        /// The address to listen on; who reaches it and has the link sees the heap
        #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1")]
        bind: std::net::IpAddr,
        /// Leave out the values of strings
        #[arg(long, short)]
        confidential: bool,
        /// A file of rules, as of `suspects`
        #[arg(long, short, value_name = "FILE", value_hint = ValueHint::FilePath)]
        rules: Option<OsString>,
        /// The folder of the app, as of `suspects`
        #[arg(long, value_name = "PATH", env = "HEAP_INSPECTOR_APP", value_delimiter = ':')]
        app: Vec<String>,
    },
    /// Say what leaks in a fleet, from the summaries of its dumps
    ///
    /// Groups what piles up in the processes of all files by its path: since when and in how many workers, deploys and hosts, how much
    /// each holds, and by how much it grows. The `duckdb` program works it out; --sql shows the query, to go on from in any engine.
    #[command(after_help = "\
Examples:
  heap_inspector fleet summaries                      what grows the most
  heap_inspector fleet summaries --since 2026-01-02   what is new since, or gone
  heap_inspector fleet 'summaries/service=shop/**/*.parquet' --format json
  heap_inspector fleet s3://bucket/summaries --service shop
  heap_inspector fleet summaries --from 2026-01-01 --until 2026-02-01
  heap_inspector fleet summaries --sql > fleet.sql    for your own engine")]
    Fleet {
        /// Summaries: files, folders, patterns, or an address that DuckDB reads
        #[arg(required = true, value_name = "FILE|DIR|GLOB", value_hint = ValueHint::AnyPath)]
        places: Vec<OsString>,
        /// What was first seen then is new: a day, a time in UTC, or a deploy
        #[arg(long, value_name = "TIME|DEPLOY")]
        since: Option<String>,
        /// Of dumps taken then or later alone: a day, or a time in UTC
        #[arg(long, value_name = "TIME")]
        from: Option<String>,
        /// Of dumps taken before alone
        #[arg(long, value_name = "TIME")]
        until: Option<String>,
        /// Of this service alone
        #[arg(long, value_name = "NAME")]
        service: Option<String>,
        /// Leaks to show at most
        #[arg(long, short = 'n', value_name = "N", default_value_t = 20)]
        lines: usize,
        /// How to write the answer
        #[arg(long, short, value_name = "FORMAT", default_value = "text", value_parser = ["text", "json", "markdown", "csv"])]
        format: String,
        /// Show the query instead of its answer
        #[arg(long)]
        sql: bool,
        /// The program of DuckDB
        #[arg(long, value_name = "PROGRAM", env = "HEAP_INSPECTOR_DUCKDB", default_value = "duckdb")]
        duckdb: OsString,
    },
    /// Let an agent ask about dumps, by the Model Context Protocol
    ///
    /// A server on standard input and output, for programs that speak the protocol: tools to open dumps and to find what leaks in them,
    /// with answers of bounded size. It reads dumps that the user may read, or only those that are given, and sends nothing anywhere;
    /// what it says of strings of the heap goes to the agent's model, unless it is told to leave their values out.
    #[command(after_help = "\
Examples:
  heap_inspector mcp
  heap_inspector mcp a.json b.json c.json --confidential")]
    Mcp {
        /// The only dumps that may be opened, oldest first; without any, all
        #[arg(value_name = "DUMP", value_hint = ValueHint::FilePath)]
        dumps: Vec<OsString>,
        /// Leave out the values of strings
        #[arg(long, short)]
        confidential: bool,
        /// The folder of the app, as of `suspects`
        #[arg(long, value_name = "PATH", env = "HEAP_INSPECTOR_APP", value_delimiter = ':')]
        app: Vec<String>,
    },
    #[command(flatten)]
    Living(Living),
    /// Write what a shell needs to complete commands and options
    #[command(after_help = "\
Examples:
  heap_inspector completions bash > ~/.local/share/bash-completion/completions/heap_inspector
  heap_inspector completions zsh > ~/.zfunc/_heap_inspector
  heap_inspector completions fish > ~/.config/fish/completions/heap_inspector.fish")]
    Completions {
        /// The shell
        shell: clap_complete::Shell,
    },
    /// Write manual pages into a directory
    #[command(after_help = "\
Example:
  heap_inspector man ~/.local/share/man/man1")]
    Man {
        /// The directory, which is made where it is missing
        #[arg(value_hint = ValueHint::DirPath)]
        directory: OsString,
    },
}

/// The commands that need a Ruby. The gem answers them before it asks here. What is needed first stands first.
#[derive(Debug, Subcommand)]
pub(crate) enum Living {
    /// Say where the resident memory of a process is (gem)
    #[command(disable_help_flag = true, after_help = LIVING)]
    Memory(Words),
    /// Take three dumps of one process, for `suspects` (gem)
    #[command(disable_help_flag = true, after_help = LIVING)]
    Watch(Words),
    /// Take a dump of a running process, which goes on (gem)
    #[command(disable_help_flag = true, after_help = LIVING)]
    Dump(Words),
    /// Switch allocation tracing in a running process (gem)
    #[command(disable_help_flag = true, after_help = LIVING)]
    Trace(Words),
    /// Take a profile of what is alive in a running process (gem)
    #[command(disable_help_flag = true, after_help = LIVING)]
    Profile(Words),
    /// Have a process give back memory that it does not need (gem)
    #[command(disable_help_flag = true, after_help = LIVING)]
    Trim(Words),
    /// Compare the memory a command keeps with limits, for CI (gem)
    #[command(disable_help_flag = true, after_help = LIVING)]
    Check(Words),
    /// Say what memory requiring gems and files takes (gem)
    #[command(disable_help_flag = true, after_help = LIVING)]
    Require(Words),
    /// List Ruby processes, and which can be asked for a dump (gem)
    #[command(disable_help_flag = true, after_help = LIVING)]
    Ps(Words),
    /// Load dumps and ask them in Ruby, in IRB (gem)
    #[command(disable_help_flag = true, after_help = LIVING)]
    Console(Words),
    /// Say what a report of a fault needs, and what works here (gem)
    #[command(disable_help_flag = true, after_help = LIVING)]
    Doctor(Words),
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
            Living::Doctor(_) => "doctor",
            Living::Memory(_) => "memory",
            Living::Trim(_) => "trim",
            Living::Ps(_) => "ps",
            Living::Check(_) => "check",
            Living::Require(_) => "require",
            Living::Dump(_) => "dump",
            Living::Trace(_) => "trace",
            Living::Profile(_) => "profile",
            Living::Watch(_) => "watch",
        }
    }
}

const ABOUT: &str = "\
Says what fills the heap of a Ruby process and what leaks, from its heap dumps

Where to begin:
  Three dumps of one process, taken while it works?
    heap_inspector suspects a.json b.json c.json    what leaks, who retains it
  One dump?
    heap_inspector suspects heap.json               what may leak
    heap_inspector top heap.json --by location      what fills the heap
    heap_inspector path heap.json --class Order     why these objects are alive
  None yet?
    heap_inspector dump PID, or ObjectSpace.dump_all in the process";

const CLOSING: &str = "\
Dumps may be plain, gzip, zstd or lz4, whatever their names are; - reads
standard input. `heap_inspector help top` explains a command. Text is as wide as
the terminal, or as COLUMNS says.

Exit codes: 0 done, 1 the dump cannot be read, 2 the command line is wrong,
3 suspects --fail-on found something, 130 interrupted.";

const LIVING: &str = "\
This command needs the gem (gem install heap_inspector): it works with a running
Ruby. There `heap_inspector COMMAND --help` lists its options.";

/// What `--where` takes, for the long help of the verbs that have it.
const FILTERS: &str = "\
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
  (marked, wb_protected, ...)";

/// The command line.
pub(crate) fn grammar() -> Command {
    let questions = Command::new("heap_inspector").subcommands(QUESTIONS.iter().map(verb));
    Other::augment_subcommands(questions)
        .version(env!("CARGO_PKG_VERSION"))
        .about(ABOUT)
        .after_help(CLOSING)
        .subcommand_required(true)
        .arg_required_else_help(true)
}

/// What the matches of the whole command line ask.
pub(crate) fn asked(matches: &ArgMatches) -> Result<Asked, clap::Error> {
    let question = matches.subcommand().and_then(|(name, own)| Some((Question::named(name)?, own)));
    match question {
        Some((question, own)) => Ok(Asked::Question(question, own.clone())),
        None => Other::from_arg_matches(matches).map(Asked::Other),
    }
}

fn verb(question: &'static Question) -> Command {
    let mut command = Command::new(question.name).about(question.about);
    if !question.details.is_empty() {
        command = command.long_about(format!("{}\n\n{}", question.about, question.details));
    }
    let (short, long) = (examples(question, false), closing(question));
    if short != long {
        command = command.after_long_help(long);
    }
    command.after_help(short).args(question.choices().into_iter().map(argument))
}

/// What the long help says behind the options.
pub(crate) fn closing(question: &Question) -> String {
    let mut parts = vec![examples(question, true)];
    parts.extend([question.more].iter().filter(|more| !more.is_empty()).map(|more| (*more).to_owned()));
    parts.extend(question.filtered.then(|| FILTERS.to_owned()));
    parts.join("\n\n")
}

/// The examples, notes of those that have one below each other.
fn examples(question: &Question, is_long: bool) -> String {
    let examples = || question.examples.iter().filter(|example| is_long || example.is_first);
    let noted = examples().filter(|example| !example.note.is_empty());
    let width = noted.map(|example| example.words.len()).max().unwrap_or(0);
    let lines = examples().map(|example| {
        let gap = if example.note.is_empty() { 0 } else { width + 2 - example.words.len() };
        format!("\n  heap_inspector {}{}{}", example.words, " ".repeat(gap), example.note)
    });
    format!("Examples:{}", lines.collect::<String>())
}

fn argument(choice: Choice) -> Arg {
    let Choice { name, place, value, help, kind, default, told, variable } = choice;
    let help = told.as_ref().map_or_else(|| help.to_owned(), |told| format!("{help} [default: {told}]"));
    let help = variable.map_or_else(|| help.clone(), |variable| format!("{help} [or {variable}]"));
    let mut arg = Arg::new(name).help(help);
    if !value.is_empty() {
        arg = arg.value_name(value);
    }
    arg = match place {
        Place::Option(short) => short.into_iter().fold(arg.long(name), Arg::short),
        Place::Spare => arg,
        Place::Behind => arg.required(true).last(true),
        Place::Word([]) => arg.required(true),
        Place::Word(others) => arg.required_unless_present_any(others).conflicts_with_all(others),
    };
    // What stands without a default is not filled in, so a door can tell what was given.
    if let Some(default) = default.filter(|_| told.is_none() && matches!(place, Place::Option(_))) {
        arg = arg.default_value(default);
    }
    match kind {
        Kind::Flag => arg.action(ArgAction::SetTrue),
        Kind::OneOf(names) => {
            let is_keys = names.len() > SHOWN;
            arg.value_parser(words_of(names)).hide_possible_values(is_keys)
        }
        Kind::SomeOf(names) => {
            arg.value_parser(words_of(names)).hide_possible_values(true).value_delimiter(',').action(ArgAction::Append)
        }
        Kind::File => arg.value_parser(OsStringValueParser::new()).value_hint(ValueHint::FilePath),
        Kind::Files => arg
            .value_parser(OsStringValueParser::new())
            .value_hint(ValueHint::FilePath)
            .num_args(1..)
            .action(ArgAction::Append),
        Kind::Text(check) => arg.value_parser(move |word: &str| check(word).map(|()| OsString::from(word))),
        Kind::Texts => arg.value_parser(StringValueParser::new().map(OsString::from)).action(ArgAction::Append),
    }
}

/// More values than these are explained in the long help.
const SHOWN: usize = 8;

/// One of these; clap suggests the nearest one.
fn words_of(names: Vec<&'static str>) -> impl TypedValueParser<Value = OsString> {
    PossibleValuesParser::new(names).map(OsString::from)
}

/// The words that were given for an option of a verb, or its default.
pub(crate) fn words(matches: &ArgMatches, name: &str) -> Option<Vec<OsString>> {
    if let Ok(Some(flag)) = matches.try_get_one::<bool>(name) {
        return flag.then(|| vec!["true".into()]);
    }
    let words = matches.try_get_many::<OsString>(name).ok().flatten()?;
    Some(words.cloned().collect())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test may panic")]

    use super::*;
    use heap_inspector::keys::Key;

    #[test]
    fn the_words_do_not_contradict_each_other() {
        grammar().debug_assert();
    }

    /// The longest line of a text that is ours to fold: a terminal of 80 columns breaks none of it.
    #[test]
    fn help_fits_80_columns() {
        let mut command = grammar();
        for verb in command.get_subcommands_mut().filter(|verb| verb.get_name() != "completions") {
            let about = verb.get_about().map(ToString::to_string).unwrap_or_default();
            assert!(about.len() <= 63, "{about}");
            let texts = [verb.get_after_help(), verb.get_after_long_help()].map(|text| text.map(ToString::to_string));
            for line in texts.iter().flatten().flat_map(|text| text.lines()) {
                assert!(line.len() <= 80, "{}: {line}", verb.get_name());
            }
        }
        let help = command.render_help().to_string();
        let begin = help.find("Where to begin").unwrap();
        assert!(begin < help.find("Usage:").unwrap(), "{help}");
    }

    #[test]
    fn help_lists_the_questions_in_their_order_and_then_the_rest() {
        let help = grammar().render_help().to_string();
        let (_, commands) = help.split_once("Commands:\n").unwrap();
        let (commands, _) = commands.split_once("\n\n").unwrap();
        let listed: Vec<&str> = commands.lines().filter_map(|line| line.split_whitespace().next()).collect();
        let others = [
            "redact",
            "convert",
            "serve",
            "fleet",
            "mcp",
            "memory",
            "watch",
            "dump",
            "trace",
            "profile",
            "trim",
            "check",
            "require",
            "ps",
            "console",
            "doctor",
            "completions",
            "man",
            "help",
        ];
        let expected: Vec<&str> = QUESTIONS.iter().map(|question| question.name).chain(others).collect();
        assert_eq!(listed, expected);
    }

    #[test]
    fn every_key_is_explained() {
        let mut command = grammar();
        let help = command.find_subcommand_mut("top").unwrap().render_long_help().to_string();
        let (_, keys) = help.split_once("Keys (--by):").unwrap();
        for (_, name) in Key::NAMED {
            assert!(keys.contains(name), "{name}");
        }
    }

    /// An example is a command line that is understood, as far as the shell gives it to us.
    #[test]
    fn examples_are_understood() {
        let mut count = 0;
        for example in QUESTIONS.iter().flat_map(|question| question.examples) {
            let words = example.words.split([' ']).take_while(|word| !matches!(*word, ">" | "|"));
            let words: Vec<&str> = std::iter::once("heap_inspector").chain(words).collect();
            let matches = grammar().try_get_matches_from(&words).unwrap_or_else(|error| panic!("{words:?}: {error}"));
            let Ok(Asked::Question(question, matches)) = asked(&matches) else { panic!("{words:?} asks nothing") };
            let given = |name: &str| super::words(&matches, name);
            let given = heap_inspector::questions::Words(&given);
            let shared = question.shared(&given).unwrap();
            question.check(shared.format, &given).unwrap();
            count += 1;
        }
        assert!(count > 40, "{count}");
    }
}
