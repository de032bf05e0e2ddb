//! Which objects: the one filter that every analysis takes, read from words such as `class=String|Array,generation=30..40,!frozen`.
//!
//! All terms must hold. A term is decided on the distinct slots when the pass is over, not on each object; only `memsize` is decided
//! at once.

use crate::keys::{Key, KeyValue, Value, Values};
use crate::record::Traits;
use crate::survey::{Parts, Slot};
use crate::{Error, Result};
use globset::{GlobBuilder, GlobMatcher};
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
    Trait(Traits),
}

#[derive(Clone, Debug)]
enum Test {
    None,
    True,
    False,
    Range(u64, u64),
    Text(Vec<u8>),
    /// Any of them.
    Globs(Vec<GlobMatcher>),
}

/// Ranges of bytes that a memsize must lie in, all of them. Each is a list of alternatives.
#[derive(Clone, Debug, Default)]
pub struct Ranges(Vec<(bool, Vec<(u64, u64)>)>);

impl Ranges {
    /// Whether `bytes` lies in the ranges.
    #[must_use]
    pub fn hold(&self, bytes: u64) -> bool {
        self.0
            .iter()
            .all(|(negated, ranges)| ranges.iter().any(|(low, high)| (*low..=*high).contains(&bytes)) != *negated)
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
    pub fn parts(&self) -> Parts {
        self.terms.iter().fold(Parts::default(), |parts, term| {
            parts.union(match term.subject {
                Subject::Key(key) => key.parts(),
                Subject::Trait(bit) => Parts { traits: bit, ..Parts::default() },
            })
        })
    }

    /// Whether the objects of a slot pass (their memsize aside).
    pub fn holds(&self, values: &mut Values<'_>, slot: &Slot) -> bool {
        self.terms.iter().all(|term| {
            let value = match term.subject {
                Subject::Key(key) => values.value(key, slot),
                Subject::Trait(bit) => Value::Flag(slot.traits.has(bit)),
            };
            term.tests.iter().any(|test| test.holds(values, value)) != term.negated
        })
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
        let subject = match name.parse::<Key>() {
            Ok(key) => Subject::Key(key),
            Err(_) => Subject::Trait(Traits::from_key(name.as_bytes()).ok_or_else(|| unknown(name))?),
        };
        let is_flag = matches!(
            subject,
            Subject::Trait(_) | Subject::Key(Key::Frozen | Key::Embedded | Key::Old | Key::Shared | Key::Traced)
        );
        let tests = match alternatives {
            None if is_flag => vec![Test::True],
            None => return Err(Error::usage(format!("{name} needs a value, as in {name}=…"))),
            Some(alternatives) => {
                alternatives.split('|').map(|text| test(subject, name, is_flag, text)).collect::<Result<_>>()?
            }
        };
        self.terms.push(Term { subject, negated, tests });
        Ok(())
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
    let traits = Traits::NAMED.iter().map(|(_, name)| *name);
    let mut names: Vec<&str> = keys.chain(["memsize"]).chain(traits).collect();
    names.sort_unstable();
    names.dedup();
    Error::usage(format!("cannot filter by {name:?}; there are {}", names.join(", ")))
}

fn test(subject: Subject, name: &str, is_flag: bool, text: &str) -> Result<Test> {
    let text = text.trim();
    if is_flag {
        return match text {
            "true" | "yes" => Ok(Test::True),
            "false" | "no" => Ok(Test::False),
            _ => Err(Error::usage(format!("{name} is true or false, not {text:?}"))),
        };
    }
    if matches!(text, "none" | "nil") || subject == Subject::Key(Key::Generation) && text == "untraced" {
        return Ok(Test::None);
    }
    if let Subject::Key(Key::Generation | Key::SlotSize | Key::Shape) = subject {
        return range(name, text).map(|(low, high)| Test::Range(low, high));
    }
    if !text.contains(['*', '?', '[', '{']) {
        let is_path = matches!(subject, Subject::Key(Key::File | Key::Directory | Key::Location));
        if !is_path || text.starts_with(['/', '(', '<']) {
            return Ok(Test::Text(text.as_bytes().to_vec()));
        }
    }
    // A relative path matches below any directory: `app/models/*` as `/srv/app/models/user.rb`.
    let is_path = matches!(subject, Subject::Key(Key::File | Key::Directory | Key::Location));
    let mut patterns = vec![text.to_owned()];
    if is_path && !text.starts_with(['/', '*', '(', '<']) {
        patterns.push(format!("*/{text}"));
    }
    let globs = patterns.iter().map(|pattern| {
        let glob = GlobBuilder::new(pattern).backslash_escape(true).build();
        let glob =
            glob.map_err(|error| Error::usage(format!("{name}: {text:?} is no glob pattern: {}", error.kind())))?;
        Ok(glob.compile_matcher())
    });
    globs.collect::<Result<_>>().map(Test::Globs)
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
            .ok_or_else(|| Error::usage(format!("{name}: {text:?} is no number; write 5, 5.., ..9 or 5..9")))
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
            (Test::Range(low, high), Value::Number(number)) => (*low..=*high).contains(&number),
            (Test::Text(text), Value::Text(sym)) => values.bytes(sym) == &text[..],
            (Test::Globs(globs), Value::Text(sym)) => match values.outside(Value::Text(sym)) {
                KeyValue::Text(text) => globs.iter().any(|glob| glob.is_match(&text)),
                _ => false,
            },
            _ => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::analysis::groups;
    use crate::scan::Options;
    use crate::source::Source;

    /// Objects `a` to `f`, told apart by their methods.
    const DUMP: &str = concat!(
        r#"{"address":"0x7f0000000000", "type":"STRING", "class":"0x7f0000001000", "frozen":true, "bytesize":1, "value":"v", "#,
        r#""encoding":"UTF-8", "file":"/srv/app/models/user.rb", "line":12, "method":"a", "generation":30, "memsize":40, "#,
        r#""flags":{"wb_protected":true, "old":true}}"#,
        "\n",
        r#"{"address":"0x7f0000000028", "type":"ARRAY", "class":"0x7f0000001028", "length":0, "#,
        r#""file":"app/models/order.rb", "line":2, "method":"b", "generation":40, "memsize":1024}"#,
        "\n",
        r#"{"address":"0x7f0000000050", "type":"HASH", "class":"0x7f0000001050", "size":0, "#,
        r#""file":"/srv/myapp/models/user.rb", "line":12, "method":"c", "generation":41, "memsize":1048576}"#,
        "\n",
        r#"{"address":"0x7f0000000078", "type":"OBJECT", "class":"0x7f0000001078", "slot_size":80, "shape_id":7, "ivars":0, "#,
        r#""file":"/usr/lib/gems/rack-3.0/lib/rack{a,b}.rb", "line":1, "method":"d", "generation":0, "memsize":1025}"#,
        "\n",
        r#"{"address":"0x7f00000000a0", "type":"DATA", "class":"0x7f0000001078", "struct":"pool", "method":"e", "generation":5}"#,
        "\n",
        r#"{"address":"0x7f00000000c8", "type":"STRING", "class":"0x7f0000001000", "shared":true, "memsize":40}"#,
        "\n",
        r#"{"address":"0x7f0000001000", "type":"CLASS", "name":"String"}"#,
        "\n",
        r#"{"address":"0x7f0000001028", "type":"CLASS", "name":"Array"}"#,
        "\n",
        r#"{"address":"0x7f0000001050", "type":"CLASS", "name":"Shop::Cart"}"#,
        "\n",
        r#"{"address":"0x7f0000001078", "type":"CLASS", "name":"Shop::Item"}"#,
        "\n",
    );

    /// The methods of the objects that pass, in order; `f` stands for the untraced string.
    fn passes(word: &str) -> String {
        let filter = Filter::parse(&[word, "type!=CLASS"]).expect(word);
        let source = Source::reader(DUMP.as_bytes(), "memory");
        let asked = groups::Options { by: vec![Key::Method], filter, ..groups::Options::default() };
        let (groups, _) = groups::read(&source, &asked, &Options { threads: 1, ..Options::default() }).expect(word);
        let method = |group: &groups::Group| match &group.key[..] {
            [KeyValue::Text(method)] if method == crate::keys::UNTRACED => "f".to_owned(),
            [KeyValue::Text(method)] => method.clone(),
            other => panic!("{other:?}"),
        };
        let mut methods: Vec<String> = groups.groups.iter().map(method).collect();
        methods.sort_unstable();
        methods.concat()
    }

    #[test]
    fn terms_choose_objects() {
        let pairs = [
            ("class=String", "af"),
            ("class=String|Array", "abf"),
            ("class!=String|Array", "cde"),
            ("class=Shop::*", "cde"),
            ("class=Shop::{Cart,Order}", "c"),
            ("class=Shop::[!C]*", "de"),
            ("class=Str", ""),
            ("class=string", ""),
            ("class=?rray", "b"),
            ("type=DATA", "e"),
            ("generation=30", "a"),
            ("generation=30..40", "ab"),
            ("generation=31..", "bc"),
            ("generation=..5", "de"),
            ("generation=0", "d"),
            ("generation!=30..40", "cdef"),
            ("generation=untraced", "f"),
            ("generation=none|41", "cf"),
            ("generation!=untraced,generation=..5", "de"),
            ("memsize=1024", "b"),
            ("memsize=1KiB", "b"),
            ("memsize=1k..1 MiB", "bcd"),
            ("memsize=..40", "aef"),
            ("memsize!=..40", "bcd"),
            ("memsize=0", "e"),
            ("memsize=1_048_576..", "c"),
            ("memsize=..2K,memsize=1024..", "bd"),
            ("frozen", "a"),
            ("!frozen", "bcdef"),
            ("frozen=false", "bcdef"),
            ("frozen=yes", "a"),
            ("shared", "f"),
            ("old", "a"),
            ("wb_protected", "a"),
            ("traced", "abcde"),
            ("!traced", "f"),
            ("slot_size=80", "d"),
            ("shape=7", "d"),
            ("shape=none", "abcef"),
            ("struct=pool", "e"),
            ("struct!=none", "e"),
            ("encoding=UTF-8", "a"),
            ("encoding=BINARY", "f"),
            ("method=a|b", "ab"),
            ("type=STRING,frozen,generation=30", "a"),
        ];
        for (word, methods) in pairs {
            assert_eq!(passes(word), methods, "{word}");
        }
    }

    #[test]
    fn relative_paths_begin_behind_any_slash() {
        let pairs = [
            ("file=/srv/app/models/user.rb", "a"),
            ("file=app/models/user.rb", "a"),
            ("file=user.rb", "ac"),
            ("file=ser.rb", ""),
            ("file=app/models/*", "ab"),
            ("file=*app/models/*", "abc"),
            ("file=/app/models/*", ""),
            ("file!=app/models/*", "cdef"),
            ("directory=models", "abc"),
            ("directory=app/models", "ab"),
            ("location=user.rb:12", "ac"),
            ("location=app/*:2", "b"),
            ("file={user,order}.rb", "abc"),
            ("file=/srv/{app,lib}/*", "a"),
            ("file=rack\\{a,b\\}.rb", "d"),
            ("file=(untraced)", "f"),
            ("file=(no Ruby file)", "e"),
        ];
        for (word, methods) in pairs {
            assert_eq!(passes(word), methods, "{word}");
        }
    }

    #[test]
    fn several_words_are_one_filter() {
        let both = Filter::parse(&["class=String", "frozen,memsize=..40"]).expect("it is right");
        assert_eq!(both.words(), ["class=String", "frozen,memsize=..40"]);
        assert!(both.memsize().is_some_and(|ranges| ranges.hold(40) && !ranges.hold(41)));
        let joined = Filter::default().and(&both);
        assert_eq!(joined.words(), both.words());
        assert!(!joined.is_empty() && Filter::default().is_empty());
    }

    #[test]
    fn wrong_words_say_what_is_right() {
        let pairs = [
            ("klass=String", "cannot filter by \"klass\"; there are "),
            ("", "empty term in the filter \"\""),
            ("class=String,,frozen", "empty term in the filter"),
            ("class", "class needs a value, as in class="),
            ("!generation", "generation needs a value, as in generation="),
            ("memsize", "memsize needs a range, as in memsize=1024.."),
            ("generation=abc", "generation: \"abc\" is no number; write 5, 5.., ..9 or 5..9"),
            ("generation=-1", "generation: \"-1\" is no number"),
            ("generation=40..30", "generation: the range \"40..30\" is empty"),
            ("generation=", "generation needs a number or a range"),
            ("memsize=1QB", "memsize: \"1QB\" is no number"),
            ("memsize=99999999999999999999", "is no number"),
            ("memsize=18446744073709551615KiB", "is no number"),
            ("frozen=maybe", "frozen is true or false, not \"maybe\""),
            ("class=[a", "class: \"[a\" is no glob pattern: "),
        ];
        for (word, message) in pairs {
            let error = Filter::parse(&[word]).expect_err(word);
            assert_eq!(error.kind(), crate::ErrorKind::Usage);
            assert!(error.to_string().contains(message), "{word}: {error}");
        }
    }
}
