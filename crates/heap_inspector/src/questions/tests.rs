#![allow(clippy::unwrap_used, reason = "a test may panic")]

use super::*;
use std::collections::HashSet;
use std::ffi::OsString;

fn ask(name: &str, dump: &str, given: &[(&str, &str)]) -> Result<Report> {
    let given = |name: &str| {
        let words: Vec<OsString> =
            given.iter().filter(|(known, _)| *known == name).map(|(_, word)| word.into()).collect();
        (!words.is_empty()).then_some(words)
    };
    let (question, words) = (Question::named(name).unwrap(), Words(&given));
    let shared = question.shared(&words)?;
    let asked = Asked {
        dump: dump.into(),
        filter: shared.filter,
        format: shared.format,
        options: scan::Options::default(),
        save: &|_, _, _| Ok(()),
    };
    let path = format!("{}/tests/dumps/{dump}.json.zst", env!("CARGO_MANIFEST_DIR"));
    let dumps = vec![Named { name: dump.into(), source: Source::path(path) }];
    question.ask(dumps, &words, true, &asked)
}

/// The address of some object of the dump.
fn address(dump: &str) -> String {
    let report = ask("retained", dump, &[("where", "type=HASH"), ("lines", "1")]).unwrap();
    let json: serde_json::Value = serde_json::from_str(&crate::view::render(
        &report,
        crate::view::Format::Json,
        &crate::view::TextStyle::default(),
    ))
    .unwrap();
    json["holders"]["rows"][0]["address"].as_str().unwrap().to_owned()
}

#[test]
fn the_list_is_whole_and_fits_the_page() {
    let names: HashSet<&str> = QUESTIONS.iter().map(|question| question.name).collect();
    assert_eq!(names.len(), QUESTIONS.len());
    assert_eq!(QUESTIONS[0].name, "suspects", "what a person needs first stands first");
    for question in QUESTIONS {
        let Question { name, about, examples, ruby, .. } = question;
        assert!(about.len() <= 61 && !about.ends_with('.'), "{name}: {about}");
        assert!(!ruby.is_empty() && examples.iter().any(|example| example.is_first), "{name}");
        assert!(examples.iter().all(|example| example.words.starts_with(&format!("{name} "))), "{name}");
        let choices = question.choices();
        let options: HashSet<&str> = choices.iter().map(|choice| choice.name).collect();
        assert_eq!(options.len(), choices.len(), "{name}: an option stands twice");
        let shorts: Vec<char> = choices
            .iter()
            .filter_map(|choice| match choice.place {
                Place::Option(short) => short,
                _ => None,
            })
            .collect();
        assert_eq!(shorts.iter().collect::<HashSet<_>>().len(), shorts.len(), "{name}: {shorts:?}");
        for drawing in question.drawings {
            let mut named = drawing.with.iter().map(|option| option.split('=').next().unwrap_or_default());
            assert!(named.all(|option| options.contains(&option)), "{name}: {drawing:?}");
        }
    }
}

/// A default stands in its type; its words, which doors show, are read to it again.
#[test]
fn defaults_are_read_again_from_their_words() {
    for question in QUESTIONS {
        for choice in question.choices() {
            let Some(default) = &choice.default else { continue };
            match &choice.kind {
                Kind::OneOf(names) => assert!(names.contains(&&default[..]), "{}: {choice:?}", question.name),
                Kind::SomeOf(names) => {
                    assert!(default.split(',').all(|word| names.contains(&word)), "{}: {choice:?}", question.name);
                }
                Kind::Text(check) => check(default).unwrap_or_else(|reason| panic!("{choice:?}: {reason}")),
                Kind::Flag => panic!("a flag has no default: {choice:?}"),
                Kind::File | Kind::Files | Kind::Texts => panic!("no default is known for {choice:?}"),
            }
        }
    }
}

/// What the list says can be drawn is what reports have.
#[test]
fn what_can_be_drawn_is_in_the_report() {
    const DUMP: &str = "ruby-3.4-x86_64";
    let address = address(DUMP);
    let mut drawn = 0;
    let is_of_one = |question: &&Question| !["diff", "verify"].contains(&question.name) && !question.exports();
    for question in QUESTIONS.iter().filter(is_of_one) {
        let needed = question.choices().into_iter().find_map(|choice| match choice.place {
            Place::Word(_) if choice.name == "address" => Some(("address", address.as_str())),
            _ => None,
        });
        let mut given: Vec<Vec<(&str, &str)>> = vec![needed.into_iter().collect()];
        if question.name == "path" {
            given.push(vec![("class", "Hash")]);
        }
        for given in given {
            for (format, format_name) in Format::NAMED {
                let given = [&given[..], &[("format", format_name)]].concat();
                let shapes = |report: &Report| -> Vec<_> {
                    report.sections.iter().filter_map(|section| section.shape()).collect()
                };
                match ask(question.name, DUMP, &given) {
                    Ok(report) => {
                        let fits = format.fits_all() || shapes(&report).iter().any(|shape| format.draws(*shape));
                        assert!(fits, "{} {given:?}", question.name);
                        drawn += usize::from(!format.fits_all());
                    }
                    Err(error) => {
                        let message = error.to_string();
                        let told = message.contains("does not fit") && message.contains("these fit: text, json");
                        assert!(told && !format.fits_all(), "{} {given:?}: {message}", question.name);
                    }
                }
            }
        }
    }
    assert_eq!(drawn, 3 + 1 + 3 + 1, "dominators, path to one and to many, show");
}

#[test]
fn a_format_that_does_not_fit_is_told_what_does() {
    let message = |name: &str, given: &[(&str, &str)]| ask(name, "nowhere", given).unwrap_err().to_string();
    assert_eq!(
        message("top", &[("format", "dot")]),
        "this answer of `top` does not fit dot, but with --by=stack it does; these fit: text, json, markdown, csv"
    );
    assert_eq!(
        message("path", &[("address", "0x1"), ("format", "folded")]),
        "this answer of `path` does not fit folded, but with --class or --where it does; these fit: text, json, markdown, csv, dot"
    );
}

#[test]
fn words_are_read_into_types_or_refused() {
    let refused = |name: &str, given: &[(&str, &str)]| ask(name, "nowhere", given).unwrap_err().to_string();
    assert!(refused("top", &[("by", "clas")]).contains("unknown key \"clas\"; did you mean class"));
    assert_eq!(refused("top", &[("lines", "many")]), "expected a number or `all`");
    assert_eq!(refused("read", &[("generation", "old")]), "expected a number, `untraced` or `all`");
    assert!(refused("top", &[("where", "klass=A")]).contains("cannot filter by \"klass\""));
    assert!(refused("suspects", &[("except", "/no/such/file")]).contains("no such file"));
    assert_eq!(refused("diff", &[]), "`diff` is of at least 2 dumps");
}
