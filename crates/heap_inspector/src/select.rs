//! Which objects: the one filter that every analysis takes, read from words such as `class=String|Array,generation=30..40,!frozen`.
//!
//! All terms must hold. A term is decided on the distinct slots when the pass is over, not on each object; only `memsize` is decided
//! at once.

use crate::heap::Domain;
use crate::keys::{Key, Value, Values};
use crate::patterns::{self, Patterns};
use crate::properties::{ObjectProperties, PropertyMask};
use crate::record::{Flags, Type};
use crate::sums::Ranges;
use crate::{Error, Result, sort};
use hashbrown::HashSet;
use std::str::FromStr;

/// A filter. The empty one holds every object.
#[derive(Clone, Debug, Default)]
pub struct Filter {
    terms: Vec<Term>,
    memsize: Option<Ranges>,
    words: Vec<String>,
}

#[derive(Clone, Debug)]
struct Term {
    subject: Subject,
    negated: bool,
    tests: Vec<Test>,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Subject {
    Key(Key),
    Flag(Flags),
}

#[derive(Clone, Debug)]
enum Test {
    None,
    /// As `None`, of a key that says why there is no text.
    Absent,
    True,
    False,
    Range(u64, u64),
    Text(Vec<u8>),
    /// Any of them; there may be thousands.
    Texts(HashSet<Vec<u8>>),
    /// Any of them.
    Globs(Patterns),
}

/// What a term allows, for [`Filter::with`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Wanted {
    /// No value: `generation` and `file` of untraced objects.
    None,
    /// Yes or no.
    Flag(bool),
    /// A number from the first to the second, both included.
    Range(u64, u64),
    /// This text to the letter.
    Text(String),
    /// What it would mean among the alternatives of a term: a pattern where it holds `*`, `?`, `[` or `{`, a range of numbers, ...
    Word(String),
}

impl Wanted {
    fn word(&self) -> String {
        match self {
            Wanted::None => "none".into(),
            Wanted::Flag(flag) => flag.to_string(),
            Wanted::Range(low, high) if low == high => low.to_string(),
            Wanted::Range(low, u64::MAX) => format!("{low}.."),
            Wanted::Range(low, high) => format!("{low}..{high}"),
            Wanted::Text(text) | Wanted::Word(text) => text.clone(),
        }
    }
}

impl Filter {
    /// Reads words of comma-separated terms; all terms of all words must hold.
    ///
    /// # Errors
    /// [`Error::Usage`] that says which term is wrong, and what is right.
    pub fn parse<S: AsRef<str>>(words: &[S]) -> Result<Filter> {
        let mut filter = Filter::default();
        for word in words {
            let word = word.as_ref();
            filter.words.push(word.to_owned());
            for term in split_terms(word) {
                let term = term.trim();
                if term.is_empty() {
                    return Err(Error::usage(format!("empty term in the filter {word:?}")));
                }
                filter.term(term)?;
            }
        }
        Ok(filter)
    }

    /// This filter and that: both must hold.
    #[must_use]
    pub fn and(mut self, other: &Filter) -> Filter {
        self.terms.extend(other.terms.iter().cloned());
        if let Some(Ranges(ranges)) = &other.memsize {
            self.memsize.get_or_insert_default().0.extend(ranges.iter().cloned());
        }
        self.words.extend(other.words.iter().cloned());
        self
    }

    /// Whether every object passes.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.terms.is_empty() && self.memsize.is_none()
    }

    /// The words the filter was read from.
    #[must_use]
    pub fn words(&self) -> &[String] {
        &self.words
    }

    /// The ranges of bytes to test each object by.
    #[must_use]
    pub fn memsize(&self) -> Option<&Ranges> {
        self.memsize.as_ref()
    }

    /// The parts of slots that the terms need.
    #[must_use]
    pub fn parts(&self) -> PropertyMask {
        self.terms.iter().fold(PropertyMask::default(), |parts, term| {
            parts.union(match term.subject {
                Subject::Key(key) => key.parts(),
                Subject::Flag(bit) => PropertyMask { flags: bit, ..PropertyMask::default() },
            })
        })
    }

    /// Whether the objects of a slot pass (their memsize aside).
    pub fn holds(&self, values: &mut Values<'_>, properties: &ObjectProperties) -> bool {
        (0..self.terms.len()).all(|at| self.holds_term(at, values, properties))
    }

    /// Whether they pass one of the terms.
    pub(crate) fn holds_term(&self, at: usize, values: &mut Values<'_>, properties: &ObjectProperties) -> bool {
        let term = &self.terms[at];
        let value = match term.subject {
            Subject::Key(key) => values.value(key, properties),
            Subject::Flag(bit) => Value::Flag(properties.flags.has(bit)),
        };
        term.tests.iter().any(|test| test.holds(values, value)) != term.negated
    }

    /// The keys that the terms are of.
    pub(crate) fn keys(&self) -> impl Iterator<Item = Key> + '_ {
        self.terms.iter().filter_map(|term| match term.subject {
            Subject::Key(key) => Some(key),
            Subject::Flag(_) => None,
        })
    }

    /// What each term depends on.
    pub(crate) fn domains(&self) -> impl Iterator<Item = Domain> + '_ {
        self.terms.iter().map(|term| match term.subject {
            Subject::Key(key) => key.domain(),
            Subject::Flag(_) => Domain::Flags,
        })
    }

    /// This filter with one more term: `name` is one of `wanted`, or none of them. Unlike words, texts need no quoting.
    ///
    /// # Errors
    /// [`Error::Usage`] for an unknown name, with those there are, and for a value that does not suit it.
    ///
    /// ```
    /// use heap_inspector::select::{Filter, Wanted};
    ///
    /// let file = Wanted::Text("/srv/app/views/a,b|*.erb".into());
    /// let filter = Filter::default().with("file", false, &[file])?.with("memsize", false, &[Wanted::Range(1024, u64::MAX)])?;
    /// assert!(Filter::default().with("fiel", false, &[Wanted::None]).is_err());
    /// # Ok::<(), heap_inspector::Error>(())
    /// ```
    pub fn with(mut self, name: &str, negated: bool, wanted: &[Wanted]) -> Result<Filter> {
        let words: Vec<String> = wanted.iter().map(Wanted::word).collect();
        self.words.push(format!("{name}{}{}", if negated { "!=" } else { "=" }, words.join("|")));
        if name == "memsize" {
            let ranges = wanted.iter().map(|wanted| match wanted {
                Wanted::Range(low, high) if low <= high => Ok((*low, *high)),
                Wanted::Word(text) => range(name, text),
                _ => Err(unsuited(name, wanted)),
            });
            self.memsize.get_or_insert_default().0.push((negated, ranges.collect::<Result<_>>()?));
            return Ok(self);
        }
        let subject = Subject::named(name)?;
        let tests = wanted.iter().map(|wanted| match wanted {
            Wanted::None if !subject.is_flag() => Ok(subject.none()),
            Wanted::Flag(flag) if subject.is_flag() => Ok(if *flag { Test::True } else { Test::False }),
            Wanted::Range(low, high) if subject.is_number() && low <= high => Ok(Test::Range(*low, *high)),
            Wanted::Text(text) if !subject.is_flag() && !subject.is_number() => subject.text(text),
            Wanted::Word(text) => test(subject, name, text),
            _ => Err(unsuited(name, wanted)),
        });
        let (mut texts, mut tests) = (HashSet::new(), tests.collect::<Result<Vec<Test>>>()?);
        tests.retain_mut(|test| match test {
            Test::Text(text) => {
                texts.insert(std::mem::take(text));
                false
            }
            _ => true,
        });
        tests.extend((!texts.is_empty()).then_some(Test::Texts(texts)));
        self.terms.push(Term { subject, negated, tests });
        Ok(self)
    }

    fn term(&mut self, term: &str) -> Result<()> {
        let (name, negated, alternatives) = match term.find('=') {
            None => match term.strip_prefix('!') {
                Some(name) => (name, true, None),
                None => (term, false, None),
            },
            Some(at) => {
                let name = term[..at].strip_suffix('!').unwrap_or(&term[..at]);
                (name, name.len() < at, Some(&term[at + 1..]))
            }
        };
        let name = name.trim();
        if name == "memsize" {
            let ranges = alternatives.map_or_else(
                || Err(Error::usage("memsize needs a range, as in memsize=1024.. or memsize=1KiB..1MiB")),
                |alternatives| alternatives.split('|').map(|text| range(name, text)).collect(),
            )?;
            self.memsize.get_or_insert_default().0.push((negated, ranges));
            return Ok(());
        }
        let subject = Subject::named(name)?;
        let tests = match alternatives {
            None if subject.is_flag() => vec![Test::True],
            None => return Err(Error::usage(format!("{name} needs a value, as in {name}=…"))),
            Some(alternatives) => {
                alternatives.split('|').map(|text| test(subject, name, text)).collect::<Result<_>>()?
            }
        };
        self.terms.push(Term { subject, negated, tests });
        Ok(())
    }
}

impl Subject {
    fn named(name: &str) -> Result<Subject> {
        match name.parse::<Key>() {
            Ok(key) => Ok(Subject::Key(key)),
            Err(_) => Flags::from_key(name.as_bytes()).map(Subject::Flag).ok_or_else(|| unknown(name)),
        }
    }

    fn is_flag(self) -> bool {
        matches!(
            self,
            Subject::Flag(_) | Subject::Key(Key::Frozen | Key::Embedded | Key::Old | Key::Shared | Key::Traced)
        )
    }

    fn is_number(self) -> bool {
        matches!(self, Subject::Key(Key::Generation | Key::SlotSize | Key::Shape | Key::Line))
    }

    fn none(self) -> Test {
        match self {
            Subject::Key(key) if key.is_site() || key.is_of_stack() => Test::Absent,
            _ => Test::None,
        }
    }

    /// This text to the letter; types are written in capitals, but nobody types them so. A type that Ruby does not have is taken for a
    /// slip; should a later Ruby have it, a pattern finds it.
    fn text(self, text: &str) -> Result<Test> {
        if self != Subject::Key(Key::Type) {
            return Ok(Test::Text(text.as_bytes().to_vec()));
        }
        let capitals = text.to_ascii_uppercase().into_bytes();
        if Type::from_name(&capitals) == Type::Other {
            let names: Vec<String> = Type::NAMED
                .iter()
                .filter(|(ty, _)| ty.is_object())
                .map(|(_, name)| name.to_ascii_lowercase())
                .collect();
            return Err(Error::unknown(format!("there is no type {text:?}"), text, names.iter().map(String::as_str)));
        }
        Ok(Test::Text(capitals))
    }
}

impl FromStr for Filter {
    type Err = Error;

    fn from_str(word: &str) -> Result<Filter> {
        Filter::parse(&[word])
    }
}

/// Splits at commas outside of `{a,b}` and `[,]`.
fn split_terms(word: &str) -> Vec<&str> {
    let mut depth = 0usize;
    word.split(|letter: char| {
        match letter {
            '{' | '[' => depth += 1,
            '}' | ']' => depth = depth.saturating_sub(1),
            _ => {}
        }
        letter == ',' && depth == 0
    })
    .collect()
}

fn unknown(name: &str) -> Error {
    let keys = Key::NAMED.iter().map(|(_, name)| *name);
    let flags = Flags::NAMED.iter().map(|(_, name)| *name);
    let mut names: Vec<&str> = keys.chain(["memsize"]).chain(flags).collect();
    sort::by(&mut names, Ord::cmp);
    names.dedup();
    Error::unknown(format!("cannot filter by {name:?}"), name, names)
}

fn unsuited(name: &str, wanted: &Wanted) -> Error {
    Error::usage(format!("{name} cannot be {:?}", wanted.word()))
}

fn test(subject: Subject, name: &str, text: &str) -> Result<Test> {
    let text = text.trim();
    if subject.is_flag() {
        return match text {
            "true" | "yes" => Ok(Test::True),
            "false" | "no" => Ok(Test::False),
            _ => Err(Error::usage(format!("{name}: expected true or false, got {text:?}"))),
        };
    }
    if matches!(text, "none" | "nil") || subject == Subject::Key(Key::Generation) && text == "untraced" {
        return Ok(subject.none());
    }
    if subject.is_number() {
        return range(name, text).map(|(low, high)| Test::Range(low, high));
    }
    let is_path = matches!(subject, Subject::Key(Key::File | Key::Directory | Key::Location | Key::AppLocation));
    if !text.contains(['*', '?', '[', '{']) && (!is_path || text.starts_with(['/', '(', '<'])) {
        return subject.text(text);
    }
    // A relative path matches below any directory: `app/models/*` as `/srv/app/models/user.rb`.
    let mut patterns = vec![text.to_owned()];
    if is_path && !text.starts_with(['/', '*', '(', '<']) {
        patterns.push(format!("*/{text}"));
    }
    let options = patterns::Options { ignores_case: subject == Subject::Key(Key::Type), ..Default::default() };
    let globs = patterns::compile(patterns.iter().map(String::as_str), options);
    globs.map(Test::Globs).map_err(|reason| Error::usage(format!("{name}: {reason}")))
}

/// Reads a number of bytes, as `1024`, `100KiB` or `1_000`.
///
/// # Errors
/// [`Error::Usage`] where it is none.
pub fn bytes(text: &str) -> Result<u64> {
    range("bytes", text)
        .ok()
        .filter(|(low, high)| low == high)
        .map(|(bytes, _)| bytes)
        .ok_or_else(|| Error::usage(format!("{text:?} is not a number of bytes; write 1024, 100KiB or 10MiB")))
}

/// Reads `5`, `5..`, `..9`, `5..9` (both ends belong to it), with `KiB` and the like for bytes.
fn range(name: &str, text: &str) -> Result<(u64, u64)> {
    let number = |text: &str, otherwise: u64| -> Result<u64> {
        let text = text.trim();
        if text.is_empty() {
            return Ok(otherwise);
        }
        let end = text.find(|letter: char| !letter.is_ascii_digit() && letter != '_').unwrap_or(text.len());
        let factor = match text[end..].trim().to_ascii_lowercase().as_str() {
            "" | "b" => 1,
            "k" | "kb" | "kib" => 1 << 10,
            "m" | "mb" | "mib" => 1 << 20,
            "g" | "gb" | "gib" => 1u64 << 30,
            _ => 0,
        };
        let number = text[..end].replace('_', "").parse::<u64>().ok().filter(|_| factor > 0);
        number
            .and_then(|number| number.checked_mul(factor))
            .ok_or_else(|| Error::usage(format!("{name}: {text:?} is not a number; write 5, 5.., ..9 or 5..9")))
    };
    let (low, high) = match text.split_once("..") {
        None => {
            let value = number(text, u64::MAX)?;
            if text.trim().is_empty() {
                return Err(Error::usage(format!("{name} needs a number or a range, as in {name}=5..9")));
            }
            (value, value)
        }
        Some((low, high)) => (number(low, 0)?, number(high, u64::MAX)?),
    };
    if low > high {
        return Err(Error::usage(format!("{name}: the range {text:?} is empty")));
    }
    Ok((low, high))
}

impl Test {
    fn holds(&self, values: &Values<'_>, value: Value) -> bool {
        match (self, value) {
            (Test::None, Value::None) | (Test::True, Value::Flag(true)) | (Test::False, Value::Flag(false)) => true,
            (Test::Absent, Value::Absent(_)) => true,
            (Test::Range(low, high), Value::Number(number)) => (*low..=*high).contains(&number),
            // The words for no text are typed as they are read.
            (Test::Text(text), value) => values.bytes(value).as_deref() == Some(text),
            (Test::Texts(texts), value) => values.bytes(value).is_some_and(|bytes| texts.contains(&*bytes)),
            (Test::Globs(globs), value) => {
                values.bytes(value).is_some_and(|bytes| globs.is_match(String::from_utf8_lossy(&bytes).as_ref()))
            }
            _ => false,
        }
    }
}

#[cfg(test)]
mod tests;
