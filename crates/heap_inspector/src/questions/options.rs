//! What a question is asked with: options of a type, which reads words and has a default, and how they are told to people.

use crate::analysis::Order;
use crate::export::parquet::Tables;
use crate::export::parquet::schema::TABLES;
use crate::export::{FileFormat, Frames};
use crate::keys::Key;
use crate::select::{self, Filter};
use crate::view::Format;
use crate::{Error, Result};
use std::ffi::OsString;
use std::str::FromStr;

/// An option, or a word without an option's name, for those who make a door of it.
#[derive(Clone, Debug)]
pub struct Choice {
    /// Its name, for an option behind `--`.
    pub name: &'static str,
    /// Where it stands.
    pub place: Place,
    /// What its value is called; empty for a flag.
    pub value: &'static str,
    /// What it is for, without its default.
    pub help: &'static str,
    /// What it takes.
    pub kind: Kind,
    /// Its value where it is not given, in the words of the command line; none where there is none. For what depends on the format this is
    /// that of text.
    pub default: Option<String>,
    /// How help tells a default that depends on something, in place of the plain one.
    pub told: Option<String>,
    /// The variable of the environment that holds where it is not given; none but for what a machine or an app has as its own.
    pub variable: Option<&'static str>,
}

/// Where a choice stands on the command line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// Behind `--NAME`, or `-X`.
    Option(Option<char>),
    /// Alone; this one is needed, unless one of the named options is given, which exclude it.
    Word(&'static [&'static str]),
    /// Alone; may be missing.
    Spare,
    /// Behind `--`; needed.
    Behind,
}

/// What a choice takes.
#[derive(Clone, Debug)]
pub enum Kind {
    /// Nothing: it is there or not.
    Flag,
    /// One of these.
    OneOf(Vec<&'static str>),
    /// Some of these, with commas between, or given several times.
    SomeOf(Vec<&'static str>),
    /// A file's name.
    File,
    /// Several of them.
    Files,
    /// A text that passes this.
    Text(fn(&str) -> std::result::Result<(), String>),
    /// Several of them.
    Texts,
}

/// The words that were given, by a choice's name.
#[derive(Clone, Copy)]
pub struct Words<'a>(pub &'a dyn Fn(&str) -> Option<Vec<OsString>>);

impl std::fmt::Debug for Words<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Words")
    }
}

impl Words<'_> {
    /// Whether it was given.
    #[must_use]
    pub fn is_given(&self, name: &str) -> bool {
        (self.0)(name).is_some_and(|words| !words.is_empty())
    }

    /// Whether it was given this word, alone or with others and commas between.
    #[must_use]
    pub fn has(&self, name: &str, word: &str) -> bool {
        let words = (self.0)(name).unwrap_or_default();
        words.iter().filter_map(|words| words.to_str()).any(|words| words.split(',').any(|one| one.trim() == word))
    }

    pub(super) fn value<T: Value>(&self, name: &str) -> Result<Option<T>> {
        let words = (self.0)(name).filter(|words| !words.is_empty());
        words.map(|words| T::read(&words)).transpose().map_err(Error::usage)
    }
}

/// A type of options: how its values are written and read.
pub(super) trait Value: Sized {
    fn kind() -> Kind;
    /// Of at least one word.
    fn read(words: &[OsString]) -> std::result::Result<Self, String>;
    /// As it would be given; none where it would not be.
    fn word(&self) -> Option<String>;
}

/// The last one holds.
fn text(words: &[OsString]) -> std::result::Result<&str, String> {
    let word = words.last().ok_or("a word is missing")?;
    word.to_str().ok_or_else(|| format!("{word:?} is not UTF-8"))
}

fn check<T: Value>(word: &str) -> std::result::Result<(), String> {
    T::read(&[word.into()]).map(drop)
}

fn parse<T: FromStr<Err: std::fmt::Display>>(words: &[OsString]) -> std::result::Result<T, String> {
    text(words)?.parse().map_err(|error: T::Err| error.to_string())
}

impl Value for bool {
    fn kind() -> Kind {
        Kind::Flag
    }

    fn read(words: &[OsString]) -> std::result::Result<bool, String> {
        parse(words)
    }

    fn word(&self) -> Option<String> {
        self.then(|| "true".into())
    }
}

impl Value for usize {
    fn kind() -> Kind {
        Kind::Text(check::<usize>)
    }

    fn read(words: &[OsString]) -> std::result::Result<usize, String> {
        parse(words)
    }

    fn word(&self) -> Option<String> {
        Some(self.to_string())
    }
}

impl Value for String {
    fn kind() -> Kind {
        Kind::Text(check::<String>)
    }

    fn read(words: &[OsString]) -> std::result::Result<String, String> {
        text(words).map(str::to_owned)
    }

    fn word(&self) -> Option<String> {
        Some(self.clone())
    }
}

impl Value for Vec<String> {
    fn kind() -> Kind {
        Kind::Texts
    }

    fn read(words: &[OsString]) -> std::result::Result<Vec<String>, String> {
        words.iter().map(|word| text(std::slice::from_ref(word)).map(str::to_owned)).collect()
    }

    fn word(&self) -> Option<String> {
        None
    }
}

/// A file's name is anything.
impl Value for OsString {
    fn kind() -> Kind {
        Kind::File
    }

    fn read(words: &[OsString]) -> std::result::Result<OsString, String> {
        words.last().cloned().ok_or_else(|| "a file is missing".into())
    }

    fn word(&self) -> Option<String> {
        (!self.is_empty()).then(|| self.to_string_lossy().into_owned())
    }
}

/// Several files.
impl Value for Vec<OsString> {
    fn kind() -> Kind {
        Kind::Files
    }

    fn read(words: &[OsString]) -> std::result::Result<Vec<OsString>, String> {
        Ok(words.to_vec())
    }

    fn word(&self) -> Option<String> {
        None
    }
}

impl<T: Value> Value for Option<T> {
    fn kind() -> Kind {
        T::kind()
    }

    fn read(words: &[OsString]) -> std::result::Result<Option<T>, String> {
        T::read(words).map(Some)
    }

    fn word(&self) -> Option<String> {
        self.as_ref().and_then(T::word)
    }
}

/// What of an answer is to be an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum FailOn {
    /// A suspect that is not known.
    New,
}

impl FailOn {
    const NAMED: [(FailOn, &'static str); 1] = [(FailOn::New, "new")];
}

impl std::str::FromStr for FailOn {
    type Err = crate::Error;

    fn from_str(name: &str) -> Result<FailOn> {
        let found = FailOn::NAMED.iter().find(|(_, known)| *known == name);
        found
            .map(|(value, _)| *value)
            .ok_or_else(|| crate::Error::unknown(format!("cannot fail on {name:?}"), name, ["new"]))
    }
}

/// One of several, by its name.
macro_rules! named {
    ($($type:ty),*) => {$(
        impl Value for $type {
            fn kind() -> Kind {
                Kind::OneOf(<$type>::NAMED.map(|(_, name)| name).to_vec())
            }

            fn read(words: &[OsString]) -> std::result::Result<$type, String> {
                parse(words)
            }

            fn word(&self) -> Option<String> {
                <$type>::NAMED.iter().find(|(value, _)| value == self).map(|(_, name)| (*name).into())
            }
        }
    )*};
}

named!(Key, Format, Order, FileFormat, Frames, FailOn);

/// Words with commas between.
fn split(words: &[OsString]) -> std::result::Result<Vec<OsString>, String> {
    let words: Vec<String> = Value::read(words)?;
    Ok(words.iter().flat_map(|word| word.split(',')).map(OsString::from).collect())
}

fn joined<T: Value>(values: &[T]) -> Option<String> {
    let words: Vec<String> = values.iter().filter_map(T::word).collect();
    (!words.is_empty()).then(|| words.join(","))
}

impl Value for Vec<Key> {
    fn kind() -> Kind {
        Kind::SomeOf(Key::NAMED.map(|(_, name)| name).to_vec())
    }

    fn read(words: &[OsString]) -> std::result::Result<Vec<Key>, String> {
        split(words)?.iter().map(|word| Key::read(std::slice::from_ref(word))).collect()
    }

    fn word(&self) -> Option<String> {
        joined(self)
    }
}

/// The filter of all words together.
#[derive(Clone, Debug, Default)]
pub(super) struct Where(pub(super) Filter);

impl Value for Where {
    fn kind() -> Kind {
        Kind::Texts
    }

    fn read(words: &[OsString]) -> std::result::Result<Where, String> {
        let words: Vec<String> = Value::read(words)?;
        Filter::parse(&words).map(Where).map_err(|error| error.to_string())
    }

    fn word(&self) -> Option<String> {
        None
    }
}

/// Folders, with colons between.
#[derive(Clone, Debug, Default)]
pub(super) struct Paths(pub(super) Vec<String>);

impl Value for Tables {
    fn kind() -> Kind {
        Kind::SomeOf(TABLES.map(|table| table.name).to_vec())
    }

    fn read(words: &[OsString]) -> std::result::Result<Tables, String> {
        let words: Vec<&str> =
            words.iter().map(|word| text(std::slice::from_ref(word))).collect::<std::result::Result<_, _>>()?;
        words.join(",").parse().map_err(|error: Error| error.to_string())
    }

    fn word(&self) -> Option<String> {
        Some(self.0.iter().map(|table| table.name).collect::<Vec<_>>().join(","))
    }
}

impl Value for Paths {
    fn kind() -> Kind {
        Kind::Texts
    }

    fn read(words: &[OsString]) -> std::result::Result<Paths, String> {
        let words: Vec<String> = Value::read(words)?;
        Ok(Paths(words.iter().flat_map(|word| word.split(':')).map(str::to_owned).collect()))
    }

    fn word(&self) -> Option<String> {
        None
    }
}

/// How many rows to show.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Lines(pub(super) usize);

impl Lines {
    pub(super) const ALL: Lines = Lines(usize::MAX);

    /// None for all.
    pub(super) fn limit(self) -> Option<usize> {
        Some(self.0).filter(|_| self != Lines::ALL)
    }
}

impl Value for Lines {
    fn kind() -> Kind {
        Kind::Text(check::<Lines>)
    }

    fn read(words: &[OsString]) -> std::result::Result<Lines, String> {
        match text(words)? {
            "all" => Ok(Lines::ALL),
            word => word.parse().map(Lines).map_err(|_| "expected a number or `all`".into()),
        }
    }

    fn word(&self) -> Option<String> {
        Some(self.limit().map_or_else(|| "all".into(), |lines| lines.to_string()))
    }
}

/// Bytes, as a filter on them has them: `100KiB`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Bytes(pub(super) u64);

impl Value for Bytes {
    fn kind() -> Kind {
        Kind::Text(check::<Bytes>)
    }

    fn read(words: &[OsString]) -> std::result::Result<Bytes, String> {
        select::bytes(text(words)?).map(Bytes).map_err(|error| error.to_string())
    }

    fn word(&self) -> Option<String> {
        Some(self.0.to_string())
    }
}

/// Which generation to show in detail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Which {
    All,
    Untraced,
    Number(u32),
}

impl Value for Which {
    fn kind() -> Kind {
        Kind::Text(check::<Which>)
    }

    fn read(words: &[OsString]) -> std::result::Result<Which, String> {
        match text(words)? {
            "all" => Ok(Which::All),
            "untraced" => Ok(Which::Untraced),
            word => word.parse().map(Which::Number).map_err(|_| "expected a number, `untraced` or `all`".into()),
        }
    }

    fn word(&self) -> Option<String> {
        Some(match self {
            Which::All => "all".into(),
            Which::Untraced => "untraced".into(),
            Which::Number(number) => number.to_string(),
        })
    }
}

impl Which {
    pub(super) fn filter(self) -> Result<Filter> {
        match self {
            Which::All => Ok(Filter::default()),
            Which::Untraced => "generation=untraced".parse(),
            Which::Number(number) => format!("generation={number}").parse(),
        }
    }

    pub(super) fn title(self) -> String {
        match self {
            Which::All => "all generations".into(),
            Which::Untraced => "untraced".into(),
            Which::Number(number) => format!("generation {number}"),
        }
    }
}

/// What growth is told by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum DiffKey {
    Holder,
    Path,
    Key(Key),
}

impl Value for Vec<DiffKey> {
    fn kind() -> Kind {
        Kind::SomeOf(Key::NAMED.into_iter().map(|(_, name)| name).chain(["holder", "path"]).collect())
    }

    fn read(words: &[OsString]) -> std::result::Result<Vec<DiffKey>, String> {
        let one = |word: &OsString| match word {
            word if word == "holder" => Ok(DiffKey::Holder),
            word if word == "path" => Ok(DiffKey::Path),
            word => Key::read(std::slice::from_ref(word)).map(DiffKey::Key),
        };
        split(words)?.iter().map(one).collect()
    }

    fn word(&self) -> Option<String> {
        let words = self.iter().map(|key| match key {
            DiffKey::Holder => "holder",
            DiffKey::Path => "path",
            DiffKey::Key(key) => key.name(),
        });
        Some(words.collect::<Vec<_>>().join(",")).filter(|words| !words.is_empty())
    }
}

/// An option without its type, which [`options!`] gives it.
pub(super) struct Told {
    pub(super) name: &'static str,
    pub(super) place: Place,
    pub(super) value: &'static str,
    pub(super) help: &'static str,
    pub(super) told: Option<String>,
    /// In place of all values of its type.
    pub(super) possible: Option<Vec<&'static str>>,
    pub(super) variable: Option<&'static str>,
}

pub(super) fn option(name: &'static str, short: char, value: &'static str, help: &'static str) -> Told {
    Told { name, place: Place::Option(Some(short)), value, help, told: None, possible: None, variable: None }
}

/// A word without an option's name.
pub(super) fn word(name: &'static str, place: Place, value: &'static str, help: &'static str) -> Told {
    Told { name, place, value, help, told: None, possible: None, variable: None }
}

pub(super) fn lines(help: &'static str) -> Told {
    option("lines", 'n', "N", help)
}

impl Told {
    /// Help tells its default so.
    pub(super) fn told(self, words: impl Into<String>) -> Told {
        Told { told: Some(words.into()), ..self }
    }

    /// Only these of its type.
    pub(super) fn only(self, possible: &[&'static str]) -> Told {
        Told { possible: Some(possible.to_vec()), ..self }
    }

    /// Without a short name.
    pub(super) fn long(self) -> Told {
        Told { place: Place::Option(None), ..self }
    }

    /// A variable of the environment holds where it is not given.
    pub(super) fn or(self, variable: &'static str) -> Told {
        Told { variable: Some(variable), ..self }
    }

    pub(super) fn choice<T: Value>(self, default: &T) -> Choice {
        let Told { name, place, value, help, told, possible, variable } = self;
        let kind = possible.map_or_else(T::kind, Kind::OneOf);
        Choice { name, place, value, help, kind, default: default.word(), told, variable }
    }
}

/// The options of a question: a type with its defaults, which tells them and reads them.
macro_rules! options {
    ($(#[$meta:meta])* $name:ident { $($field:ident: $type:ty = $default:expr => $told:expr,)* }) => {
        $(#[$meta])*
        #[derive(Clone, Debug)]
        pub(super) struct $name {
            $(pub(super) $field: $type,)*
        }

        impl Default for $name {
            fn default() -> Self {
                $name { $($field: $default,)* }
            }
        }

        impl $name {
            pub(super) fn choices() -> Vec<Choice> {
                let default = $name::default();
                vec![$($told.choice::<$type>(&default.$field)),*]
            }

            pub(super) fn of(words: &Words<'_>) -> Result<$name> {
                let default = $name::default();
                Ok($name { $($field: words.value($told.name)?.unwrap_or(default.$field),)* })
            }
        }
    };
}
pub(super) use options;

options! {
    /// What questions share. Those that are of no set of objects have no filter, those of one pass no index file.
    Common {
        dump: OsString = OsString::new() => word("dump", Place::Word(&[]), "DUMP", "The dump; - for standard input"),
        format: Format = Format::Text => option("format", 'f', "FORMAT", "How to write the answer"),
        threads: usize = 0 => option("threads", 't', "N", "Threads that read the dump; 0 for one a core"),
        strict: bool = false =>
            option("strict", ' ', "", "End with an error where a line is broken, instead of a warning").long(),
        filter: Where = Where::default() => option(
            "where",
            'w',
            "FILTER",
            "Only objects that pass, as in `class=String|Array,generation=30..40,!frozen`; may be given several times",
        ),
        no_index: bool = false => option(
            "no-index",
            ' ',
            "",
            "Neither read nor write the index file beside the dump (heap.json.hidx), which saves the next such command the parsing",
        )
        .long(),
        app: Paths = Paths::default() => option(
            "app",
            ' ',
            "PATH",
            "The folder of the app, or several with : between: what lies below it and is in no gem there is the app's, and nothing else; \
             without it all that is in no gem and not Ruby's own",
        )
        .long()
        .or("HEAP_INSPECTOR_APP"),
    }
}

/// The dumps behind the first one, of a question of several.
pub(super) fn later(least: usize) -> Choice {
    Choice {
        name: "later",
        place: if least > 1 { Place::Word(&[]) } else { Place::Spare },
        value: "LATER",
        help: "The later dumps, oldest first",
        kind: Kind::Files,
        default: None,
        told: None,
        variable: None,
    }
}
