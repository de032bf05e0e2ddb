//! Filters as words and as values, on lines of dumps.

use super::*;
use crate::analysis::groups;
use crate::control::Control;
use crate::keys::KeyValue;
use crate::names::{NameParts, Names, Tables};
use crate::record::Record;
use crate::record::scan::Scanner;
use crate::source::Source;
use crate::symbols::Symbol;

/// Whether the object of a line passes.
fn holds(filter: &Filter, line: &str) -> bool {
    let (mut record, mut references) = (Record::default(), Vec::new());
    Scanner::default().scan(line.as_bytes(), &mut record, &mut references).expect("a line of Ruby's");
    let mut tables = Tables::default();
    let properties = ObjectProperties::new(&record, tables.take(&record, NameParts::ALL), Symbol::NONE);
    let names = Names::new(tables, |_| Ok(())).expect("nothing cancels it");
    filter.memsize().is_none_or(|ranges| ranges.hold(record.memsize))
        && filter.holds(&mut Values::new(&names), &properties)
}

const LINE: &str = concat!(
    r#"{"address":"0x10", "type":"STRING", "class":"0x8", "frozen":true, "encoding":"UTF-8", "#,
    r#""file":"/srv/a,b|*.rb", "line":3, "generation":7, "memsize":40}"#,
    "\n"
);

fn with(name: &str, negated: bool, wanted: &[Wanted]) -> Filter {
    Filter::default().with(name, negated, wanted).expect("a filter")
}

#[test]
fn takes_texts_to_the_letter_and_words_as_patterns() {
    let text = |text: &str| [Wanted::Text(text.into())];
    let word = |text: &str| [Wanted::Word(text.into())];
    assert!(holds(&with("file", false, &text("/srv/a,b|*.rb")), LINE));
    assert!(!holds(&with("file", false, &text("/srv/*")), LINE));
    assert!(holds(&with("file", false, &word("/srv/*")), LINE));
    assert!(!holds(&with("file", true, &word("/srv/*")), LINE));
}

#[test]
fn takes_ranges_flags_and_none() {
    assert!(holds(&with("generation", false, &[Wanted::Range(7, 7)]), LINE));
    assert!(!holds(&with("generation", false, &[Wanted::None, Wanted::Range(8, u64::MAX)]), LINE));
    assert!(holds(&with("memsize", false, &[Wanted::Range(0, 39), Wanted::Word("40B".into())]), LINE));
    assert!(!holds(&with("memsize", true, &[Wanted::Range(40, 40)]), LINE));
    assert!(holds(&with("frozen", false, &[Wanted::Flag(true)]), LINE));
    assert!(!holds(&with("frozen", false, &[Wanted::Flag(false)]), LINE));
    assert!(!holds(&with("generation", false, &[]), LINE), "one of nothing");
    assert!(!holds(&with("file", false, &[Wanted::None]), LINE));
    assert!(holds(&with("method", false, &[Wanted::None]), LINE), "allocated outside of a method");
}

#[test]
fn takes_types_in_any_case() {
    for word in ["type=string", "type=String|array", "type=str*"] {
        assert!(holds(&word.parse().expect("a filter"), LINE), "{word}");
    }
    assert!(!holds(&"type=array".parse().expect("a filter"), LINE));
}

#[test]
fn says_its_terms_as_words() {
    let filter = with("type", true, &[Wanted::Text("STRING".into()), Wanted::None])
        .with("memsize", false, &[Wanted::Range(9, u64::MAX)])
        .expect("a filter");
    assert_eq!(filter.words(), ["type!=STRING|none", "memsize=9.."]);
}

#[test]
fn refuses_what_does_not_suit() {
    let cases = [
        ("frozen", Wanted::Range(1, 2)),
        ("frozen", Wanted::None),
        ("generation", Wanted::Text("7".into())),
        ("generation", Wanted::Range(9, 5)),
        ("class", Wanted::Range(1, 2)),
        ("memsize", Wanted::None),
        ("fiel", Wanted::None),
    ];
    for (name, wanted) in cases {
        let error = Filter::default().with(name, false, std::slice::from_ref(&wanted)).expect_err(name);
        assert_eq!(error.kind(), crate::ErrorKind::Usage, "{name}: {wanted:?}");
    }
}

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
    let (groups, _) = groups::read(&source, &asked, &Control { threads: 1, ..Control::default() }.into()).expect(word);
    let method = |group: &groups::Group| match &group.key[..] {
        [KeyValue::Absent(crate::keys::Absent::Untraced)] => "f".to_owned(),
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
        ("file=none", "ef"),
        ("file!=none", "abcd"),
        ("file=none|order.rb", "bef"),
        ("directory=none", "ef"),
        ("location=nil", "ef"),
        ("gem=none", "ef"),
        ("method=none", "f"),
        ("class=none", ""),
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
        ("klass=String", "cannot filter by \"klass\"; did you mean class; there are "),
        ("colour=red", "cannot filter by \"colour\"; there are "),
        ("type=sting", "there is no type \"sting\"; did you mean string; there are object, class, "),
        ("", "empty term in the filter \"\""),
        ("class=String,,frozen", "empty term in the filter"),
        ("class", "class needs a value, as in class="),
        ("!generation", "generation needs a value, as in generation="),
        ("memsize", "memsize needs a range, as in memsize=1024.."),
        ("generation=abc", "generation: \"abc\" is not a number; write 5, 5.., ..9 or 5..9"),
        ("generation=-1", "generation: \"-1\" is not a number"),
        ("generation=40..30", "generation: the range \"40..30\" is empty"),
        ("generation=", "generation needs a number or a range"),
        ("memsize=1QB", "memsize: \"1QB\" is not a number"),
        ("memsize=99999999999999999999", "is not a number"),
        ("memsize=18446744073709551615KiB", "is not a number"),
        ("frozen=maybe", "frozen: expected true or false, got \"maybe\""),
        ("class=[a", "class: \"[a\" is not a glob pattern: "),
    ];
    for (word, message) in pairs {
        let error = Filter::parse(&[word]).expect_err(word);
        assert_eq!(error.kind(), crate::ErrorKind::Usage);
        assert!(error.to_string().contains(message), "{word}: {error}");
    }
}
