//! Whole answers for real dumps of six Ruby versions, as files to be read by eye: `INSTA_UPDATE=always cargo test --test golden`
//! writes them anew.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod dumps;

use heap_inspector::questions::QUESTIONS;
use heap_inspector::view::Format;
use std::io::Write;
use std::process::{Command, Stdio};

const RUBIES: [&str; 6] =
    ["ruby-2.7-x86_64", "ruby-3.1-x86_64", "ruby-3.2-wasm32", "ruby-3.3-x86_64", "ruby-3.4-x86_64", "ruby-4.0-wasm32"];

/// Of a program that holds objects of every kind.
const ZOO: &str = "ruby-3.4-native-zoo";

/// What `heap_inspector VERB DUMP WORDS` writes, in a folder with links to the dumps: index files go there too.
fn answer(verb: &str, ruby: &str, words: &[&str]) -> String {
    answer_in(None, verb, ruby, words)
}

/// The same in so many columns.
fn answer_in(columns: Option<&str>, verb: &str, ruby: &str, words: &[&str]) -> String {
    let mut command = Command::new(env!("CARGO_BIN_EXE_heap_inspector"));
    command.env("COLUMNS", columns.unwrap_or_default());
    command.current_dir(dumps::folder()).arg(verb).arg(format!("{ruby}.json.zst")).args(words);
    let output = command.output().unwrap();
    let message = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success(), "{message}");
    String::from_utf8(output.stdout).unwrap() + &message
}

fn golden(name: &str, verb: &str, words: &[&str]) {
    for ruby in RUBIES {
        let name = format!("{name}-{}", ruby.split('-').nth(1).unwrap());
        insta::with_settings!({ prepend_module_to_snapshot => false, omit_expression => true }, {
            insta::assert_snapshot!(name, answer(verb, ruby, words));
        });
    }
}

/// Help, in the order of the list of questions.
#[test]
fn help() {
    let output =
        Command::new(env!("CARGO_BIN_EXE_heap_inspector")).arg("--help").env_remove("COLUMNS").output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    insta::with_settings!({ prepend_module_to_snapshot => false, omit_expression => true }, {
        insta::assert_snapshot!("help", text);
    });
}

/// A question that needs no more than a dump has a golden file for each, and one for each format. Those above all are shown in part, by
/// the tests below.
#[test]
fn questions() {
    const OWN: [&str; 15] = [
        "read",
        "summary",
        "top",
        "strings",
        "retained",
        "dominators",
        "path",
        "show",
        "unreachable",
        "collections",
        "fragmentation",
        "diff",
        "verify",
        "suspects",
        "report",
    ];
    for question in QUESTIONS.iter().filter(|question| !OWN.contains(&question.name) && !question.exports()) {
        golden(question.name, question.name, &[]);
        for format in question.formats().map(Format::name) {
            let name = format!("{}-format-{format}", question.name);
            let words = ["--lines", "3", "--format", format];
            insta::with_settings!({ prepend_module_to_snapshot => false, omit_expression => true }, {
                insta::assert_snapshot!(name, answer(question.name, ZOO, &words));
            });
        }
    }
}

#[test]
fn read() {
    golden("read", "read", &[]);
}

#[test]
fn read_all() {
    golden("read-all", "read", &["all", "--lines", "8"]);
}

#[test]
fn summary() {
    golden("summary", "summary", &[]);
}

#[test]
fn top_by_class_and_location() {
    golden("top-class-location", "top", &["--by", "class,location", "--lines", "12"]);
}

#[test]
fn top_by_gem_of_traced_objects() {
    golden("top-gem-traced", "top", &["--by", "gem", "--where", "traced", "--sort", "count"]);
}

#[test]
fn strings() {
    golden("strings", "strings", &["--lines", "12"]);
}

#[test]
fn retained() {
    golden("retained", "retained", &["--lines", "8"]);
}

#[test]
fn dominators() {
    golden("dominators", "dominators", &["--lines", "5"]);
}

#[test]
fn dominators_by_class() {
    golden("dominators-class", "dominators", &["--by", "class", "--lines", "5", "--depth", "3"]);
}

/// An object of each dump that all six programs allocate: `Shop::Order` in most.
fn order(ruby: &str) -> String {
    let found = answer("retained", ruby, &["--where", "file=*,type=OBJECT", "--lines", "1", "--format", "csv"]);
    let row = found.lines().nth(1).unwrap();
    row.split(',').find(|cell| cell.starts_with("0x")).unwrap().to_owned()
}

#[test]
fn path_to_an_object() {
    for ruby in RUBIES {
        let name = format!("path-{}", ruby.split('-').nth(1).unwrap());
        insta::with_settings!({ prepend_module_to_snapshot => false, omit_expression => true }, {
            insta::assert_snapshot!(name, answer("path", ruby, &[&order(ruby), "--paths", "2"]));
        });
    }
}

#[test]
fn path_to_all_strings() {
    golden("path-class", "path", &["--class", "String", "--lines", "2"]);
}

#[test]
fn show() {
    for ruby in RUBIES {
        let name = format!("show-{}", ruby.split('-').nth(1).unwrap());
        insta::with_settings!({ prepend_module_to_snapshot => false, omit_expression => true }, {
            insta::assert_snapshot!(name, answer("show", ruby, &[&order(ruby), "--lines", "6"]));
        });
    }
}

/// The other formats of the verbs on what holds what, of one dump.
#[test]
fn graph_formats() {
    let object = order(RUBIES[4]);
    let verbs: [(&str, &[&str]); 5] = [
        ("retained", &["--lines", "2"]),
        ("dominators", &["--lines", "2", "--depth", "2"]),
        ("path", &[&object, "--paths", "2"]),
        ("path", &["--class", "Hash", "--lines", "2"]),
        ("show", &[&object, "--lines", "3"]),
    ];
    for format in ["json", "markdown", "csv", "dot"] {
        let answers: Vec<String> = verbs
            .iter()
            .filter(|(verb, _)| format != "dot" || *verb != "retained")
            .map(|(verb, words)| {
                let words = [*words, &["--format", format]].concat();
                format!("$ heap_inspector {verb} DUMP {}\n{}", words.join(" "), answer(verb, RUBIES[4], &words))
            })
            .collect();
        insta::with_settings!({ prepend_module_to_snapshot => false, omit_expression => true }, {
            insta::assert_snapshot!(format!("graph-format-{format}"), answers.join("\n"));
        });
    }
    let words = ["--min", "30KiB", "--format", "folded"];
    insta::with_settings!({ prepend_module_to_snapshot => false, omit_expression => true }, {
        insta::assert_snapshot!("graph-format-folded", answer("dominators", RUBIES[4], &words));
    });
    // All memory is in the stacks, whatever is told apart.
    let sum = |words: &[&str]| -> u64 {
        let stacks = answer("dominators", RUBIES[4], words);
        stacks.lines().map(|line| line.rsplit_once(' ').unwrap().1.parse::<u64>().unwrap()).sum()
    };
    for by in ["class", "location"] {
        assert_eq!(sum(&["--by", by, "--format", "folded"]), 4_516_753);
    }
}

#[test]
fn unreachable() {
    golden("unreachable", "unreachable", &[]);
}

/// The real dumps were taken after a GC; this one has components, a cycle and what Ruby may hold weakly.
#[test]
fn unreachable_structures() {
    let mut command = Command::new(env!("CARGO_BIN_EXE_heap_inspector"));
    command.args(["unreachable", "-", "--by", "type", "--lines", "3"]);
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(GARBAGE.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success());
    insta::with_settings!({ prepend_module_to_snapshot => false, omit_expression => true }, {
        insta::assert_snapshot!("unreachable-components", String::from_utf8(output.stdout).unwrap());
    });
}

/// Alive: 1000. Dead: 2000 with two strings, one of them held by 3000 too; the ring of 4000 and 4028.
const GARBAGE: &str = r#"{"type":"ROOT", "root":"vm", "references":["0x1000"]}
{"address":"0x1000", "type":"DATA", "struct":"weakmap", "references":[], "memsize":400}
{"address":"0x2000", "type":"ARRAY", "length":2, "embedded":true, "references":["0x2028", "0x2050"], "file":"/app/a.rb", "line":1, "generation":5, "memsize":40}
{"address":"0x2028", "type":"STRING", "bytesize":1, "value":"\u001b[31m", "encoding":"UTF-8", "memsize":40}
{"address":"0x2050", "type":"STRING", "bytesize":1, "value":"shared", "encoding":"UTF-8", "fstring":true, "memsize":41}
{"address":"0x3000", "type":"HASH", "size":1, "references":["0x2050"], "memsize":168}
{"address":"0x3028", "type":"STRING", "bytesize":4, "value":"\u001b[31m", "encoding":"UTF-8", "file":"/app/\"b.rb", "line":2, "generation":6, "memsize":2000}
{"address":"0x4000", "type":"OBJECT", "ivars":1, "references":["0x4028"], "memsize":40}
{"address":"0x4028", "type":"OBJECT", "ivars":1, "references":["0x4000"], "memsize":500}
{"address":"0x4050", "type":"SYMBOL", "bytesize":3, "value":"dyn", "memsize":40}
"#;

#[test]
fn collections() {
    golden("collections", "collections", &["--lines", "6"]);
}

#[test]
fn fragmentation() {
    golden("fragmentation", "fragmentation", &["--lines", "6"]);
}

/// Dumps in which one allocation of 16 has a line and a stack.
#[test]
fn sampled() {
    let feed = "0x100280"; // it has a stack
    let three = ["sampled-2.json.zst", "sampled-3.json.zst"];
    let verbs: [(&str, Vec<&str>); 12] = [
        ("read", vec![]),
        ("read", vec!["10", "--lines", "3"]),
        ("summary", vec!["--lines", "3"]),
        ("top", vec![]),
        ("top", vec!["--by", "app_location"]),
        ("top", vec!["--by", "class,location"]),
        ("top", vec!["--by", "stack", "--sort", "count", "--lines", "3"]),
        ("top", vec!["--by", "gem", "--app", "/usr/local/bundle/gems/rack-3.0.8"]),
        ("top", vec!["--where", "app_location=models/feed.rb:31"]),
        ("show", vec![feed, "--lines", "3"]),
        ("suspects", vec![]),
        ("suspects", three.to_vec()),
    ];
    for format in ["text", "json", "markdown", "csv"] {
        let answers: Vec<String> = verbs
            .iter()
            .map(|(verb, words)| {
                let words = [&words[..], &["--format", format]].concat();
                let answer = answer(verb, "sampled-1", &words);
                format!("$ heap_inspector {verb} sampled-1.json.zst {}\n{answer}", words.join(" "))
            })
            .collect();
        insta::with_settings!({ prepend_module_to_snapshot => false, omit_expression => true }, {
            insta::assert_snapshot!(format!("sampled-{format}"), answers.join("\n"));
        });
    }
    for words in [&["--by", "stack"][..], &["--by", "stack,class", "--sort", "count"]] {
        let name = format!("sampled-folded-{}", words.len() / 2);
        insta::with_settings!({ prepend_module_to_snapshot => false, omit_expression => true }, {
            insta::assert_snapshot!(name, answer("top", "sampled-1", &[words, &["--format", "folded"]].concat()));
        });
    }
    let svg = answer("top", "sampled-1", &["--by", "stack", "--format", "flamegraph"]);
    assert!(svg.contains("Feed.load_feed") && svg.contains("sampled-1.json.zst"), "{svg}");
}

/// The verbs on several dumps, of a process that leaks, in every format.
#[test]
fn several_dumps() {
    const SHOP: [&str; 2] = ["shop-2.json.zst", "shop-3.json.zst"];
    let verbs: [(&str, &[&str]); 5] = [
        ("diff", &["--lines", "4"]),
        ("diff", &["--lines", "4", "--by", "holder"]),
        ("diff", &["--lines", "4", "--by", "holder", "--retained"]),
        ("diff", &["--lines", "4", "--by", "class", "--retained", "--where", "traced"]),
        ("suspects", &[]),
    ];
    for format in ["text", "json", "markdown", "csv"] {
        let answers: Vec<String> = verbs
            .iter()
            .map(|(verb, words)| {
                let words = [*words, &["--format", format]].concat();
                let answer = answer(verb, "shop-1", &[&SHOP[..], &words].concat());
                format!("$ heap_inspector {verb} DUMP DUMP DUMP {}\n{answer}", words.join(" "))
            })
            .collect();
        insta::with_settings!({ prepend_module_to_snapshot => false, omit_expression => true }, {
            insta::assert_snapshot!(format!("several-{format}"), answers.join("\n"));
        });
    }
}

/// The other formats, of one dump.
#[test]
fn formats() {
    let verbs: [(&str, &[&str]); 8] = [
        ("read", &[]),
        ("read", &["9", "--lines", "3"]),
        ("summary", &["--lines", "3"]),
        ("top", &["--by", "class,generation,frozen", "--lines", "3", "--where", "file=/tmp/*"]),
        ("strings", &["--lines", "3"]),
        ("unreachable", &["--lines", "3"]),
        ("collections", &["--lines", "3", "--by", "class,location"]),
        ("fragmentation", &["--lines", "3", "--where", "type=STRING"]),
    ];
    for format in ["json", "markdown", "csv"] {
        let answers: Vec<String> = verbs
            .iter()
            .map(|(verb, words)| {
                let words = [*words, &["--format", format]].concat();
                format!("$ heap_inspector {verb} DUMP {}\n{}", words.join(" "), answer(verb, RUBIES[4], &words))
            })
            .collect();
        insta::with_settings!({ prepend_module_to_snapshot => false, omit_expression => true }, {
            insta::assert_snapshot!(format!("format-{format}"), answers.join("\n"));
        });
    }
}

/// Every verb in a narrow, a usual and a wide terminal: no class, holder or line is cut, and what is left out is no answer.
#[test]
fn widths() {
    let object = order(RUBIES[4]);
    let later = ["shop-2.json.zst", "shop-3.json.zst"];
    let several = |words: &[&'static str]| [&later, words].concat();
    let verbs: [(&str, &str, Vec<&str>); 18] = [
        ("read", RUBIES[4], vec![]),
        ("read", RUBIES[4], vec!["9", "--lines", "4"]),
        ("read", RUBIES[4], vec!["999"]),
        ("summary", RUBIES[4], vec!["--lines", "4"]),
        ("top", RUBIES[4], vec!["--by", "class,location", "--lines", "12"]),
        ("top", RUBIES[4], vec!["--by", "class,location,method", "--where", "traced", "--lines", "6"]),
        ("strings", RUBIES[4], vec!["--lines", "5"]),
        ("retained", RUBIES[4], vec!["--lines", "6"]),
        ("dominators", RUBIES[4], vec!["--lines", "4"]),
        ("path", RUBIES[4], vec![&object]),
        ("path", RUBIES[4], vec!["--class", "String", "--lines", "3"]),
        ("show", RUBIES[4], vec![&object, "--lines", "4"]),
        ("unreachable", RUBIES[4], vec!["--lines", "3"]),
        ("collections", RUBIES[4], vec!["--lines", "4"]),
        ("fragmentation", RUBIES[4], vec!["--lines", "4"]),
        ("diff", "shop-1", several(&["--lines", "5"])),
        ("diff", "shop-1", several(&["--lines", "5", "--by", "holder", "--retained"])),
        ("suspects", "shop-1", several(&[])),
    ];
    for columns in ["80", "100", "140"] {
        let answers: Vec<String> = verbs
            .iter()
            .map(|(verb, dump, words)| {
                format!(
                    "$ heap_inspector {verb} DUMP {}\n{}",
                    words.join(" "),
                    answer_in(Some(columns), verb, dump, words)
                )
            })
            .collect();
        insta::with_settings!({ prepend_module_to_snapshot => false, omit_expression => true }, {
            insta::assert_snapshot!(format!("width-{columns}"), answers.join("\n"));
        });
        // `shop.rb:27` is the line that leaks, Audit retains what it makes.
        for answer in answers.iter().rev().take(1) {
            assert!(answer.contains("Audit") && answer.contains("shop.rb:27"), "{answer}");
        }
        let [.., by_site, by_holder, _] = &answers[..] else { panic!("too few") };
        assert!(by_site.matches("shop.rb:27").count() >= 4 && by_site.contains("Thread::Mutex"), "{by_site}");
        assert!(by_holder.contains("Audit") && by_holder.contains("Cache"), "{by_holder}");
    }
}

/// The sums do not depend on how the work is shared out.
#[test]
fn threads_change_nothing() {
    for verb in ["read", "summary", "top", "strings", "retained", "dominators"] {
        let one = answer(verb, RUBIES[5], &["--threads", "1", "--format", "json"]);
        assert_eq!(answer(verb, RUBIES[5], &["--threads", "7", "--format", "json"]), one);
    }
}
