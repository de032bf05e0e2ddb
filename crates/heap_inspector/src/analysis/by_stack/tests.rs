#![allow(clippy::unwrap_used, reason = "a test may panic")]

use super::read;
use crate::analysis::Order;
use crate::analysis::groups::{self, Groups};
use crate::keys::Key;
use crate::report::{Cell, Section};
use crate::scan;
use crate::source::Source;
use crate::view::{Format, TextStyle, render};
use std::collections::HashMap;

const META: &str = r#"{"type":"ROOT", "root":"heap_inspector", "value":"{\"tracing\":{\"mode\":\"MODE\",\"every\":16}}", "references":[]}"#;
const STACKS: &str = r#"{"type":"ROOT", "root":"heap_inspector_stacks", "value":"{\"first\":3,\"frames\":[[-1,\"/app/run.rb\",1,\"<main>\"],[3,\"/app/feed.rb\",31,\"load in all\"],[4,\"/gems/json-1.0/lib/json.rb\",9,\"parse\"]]}", "references":[]}"#;

/// So many strings and hashes of each: in a stack that ends in the gem, in one that ends in the app, without one, untraced.
fn dump(mode: &str, counts: [[usize; 4]; 2]) -> String {
    let mut lines = vec![META.replace("MODE", mode), STACKS.to_owned()];
    for (ty, counts) in ["STRING", "HASH"].into_iter().zip(counts) {
        let sites = [
            r#" "file":"/gems/json-1.0/lib/json.rb", "line":9, "generation":2, "stack":5,"#,
            r#" "file":"/app/feed.rb", "line":31, "generation":2, "stack":4,"#,
            r#" "file":"/gems/json-1.0/lib/json.rb", "line":9, "generation":2,"#,
            "",
        ];
        for (site, count) in sites.into_iter().zip(counts) {
            for _ in 0..count {
                let address = 0x1000 + 40 * lines.len();
                lines.push(format!(r#"{{"address":"0x{address:x}", "type":"{ty}",{site} "memsize":100}}"#));
            }
        }
    }
    lines.join("\n")
}

fn source(dump: &str) -> Source {
    Source::reader(std::io::Cursor::new(dump.to_owned()), "memory")
}

fn options(by: &[Key], filter: &str) -> groups::Options {
    let filter = if filter.is_empty() { Default::default() } else { filter.parse().unwrap() };
    groups::Options { by: by.to_vec(), filter, sort: Order::Bytes, limit: None }
}

fn top(dump: &str, by: &[Key], filter: &str) -> Groups {
    groups::read(&source(dump), &options(by, filter), &scan::Options::default()).unwrap().0
}

/// By group: how many objects there are, how many samples, and what these stand for.
fn estimates(groups: &Groups) -> HashMap<String, (u64, u64, u64)> {
    let row = |group: &groups::Group| {
        let key: Vec<&str> = group.key.iter().filter_map(|value| value.words()).collect();
        let estimate = group.estimate.unwrap();
        assert_eq!(estimate.sum.memsize, 100 * estimate.sum.count);
        (key.join(" "), (group.sum.count, estimate.samples, estimate.sum.count))
    };
    groups.groups.iter().map(row).collect()
}

fn expected(rows: &[(&str, u64, u64, u64)]) -> HashMap<String, (u64, u64, u64)> {
    rows.iter().map(|(key, all, samples, estimate)| ((*key).to_owned(), (*all, *samples, *estimate))).collect()
}

#[test]
fn a_sample_stands_for_as_many_as_were_allocated_for_each() {
    let dump = dump("sampled", [[10, 2, 0, 300], [0, 1, 0, 5]]);
    let found = estimates(&top(&dump, &[Key::AppLocation], ""));
    // 13 samples stand for 195 others.
    assert_eq!(found, expected(&[("/app/feed.rb:31", 13, 13, 208), ("(untraced)", 305, 0, 110)]));
    // Of hashes there are fewer than their sample stands for: none is left, and all are as many as there are of strings.
    let found = estimates(&top(&dump, &[Key::Type, Key::Location], ""));
    assert_eq!(
        found,
        expected(&[
            ("STRING /gems/json-1.0/lib/json.rb:9", 10, 10, 160),
            ("STRING /app/feed.rb:31", 2, 2, 32),
            ("STRING (untraced)", 300, 0, 120),
            ("HASH /app/feed.rb:31", 1, 1, 16),
            ("HASH (untraced)", 5, 0, 0),
        ])
    );
}

#[test]
fn what_is_known_of_all_objects_is_not_reckoned() {
    let dump = dump("sampled", [[10, 2, 0, 300], [0, 1, 0, 5]]);
    let found = top(&dump, &[Key::Type], "");
    assert!(found.sampling.is_none() && found.groups.iter().all(|group| group.estimate.is_none()));
    // But of those that a filter lets through by what is known of samples.
    let found = top(&dump, &[Key::Type], "file=/app/feed.rb");
    assert_eq!(estimates(&found), expected(&[("STRING", 2, 2, 32), ("HASH", 1, 1, 16)]));
    // Where all was traced, or nobody says that it was not.
    for plain in [dump.replace("\\\"every\\\":16", "\\\"every\\\":1"), dump.replace("sampled", "other")] {
        assert!(top(&plain, &[Key::Location], "").sampling.is_none());
    }
}

#[test]
fn where_only_stacks_were_sampled_lines_are_known() {
    let dump = dump("full", [[4, 2, 120, 50], [0; 4]]);
    assert!(top(&dump, &[Key::Location], "").sampling.is_none());
    let found = estimates(&top(&dump, &[Key::Stack], ""));
    let json = "/gems/json-1.0/lib/json.rb:9 in parse ← /app/feed.rb:31 in load in all ← /app/run.rb:1 in <main>";
    assert_eq!(found[json], (4, 4, 64));
    // What the app allocated itself is known; its stack stands for none in the pool.
    assert_eq!((found["(no stack)"], found["(untraced)"]), ((120, 0, 30), (50, 0, 50)));
    let found = estimates(&top(&dump, &[Key::AppLocation], ""));
    assert_eq!(
        found,
        expected(&[("/app/feed.rb:31", 6, 4, 66), ("(no app line)", 120, 0, 60), ("(untraced)", 50, 0, 50)])
    );
}

#[test]
fn few_samples_are_rough() {
    let table = |count: usize| {
        let found = top(&dump("continuous", [[count, 0, 0, 9999], [0; 4]]), &[Key::Location], "");
        let section = found.table("groups", String::new(), groups::Shows::BytesAndCount);
        assert_eq!(section.columns[4].name, "samples");
        let row = section.rows.iter().find(|row| row[4] != Cell::Missing).unwrap();
        (row[0].clone(), row[4].clone())
    };
    let about = |amount: u64, is_rough: bool| Cell::About { amount, of_bytes: true, is_rough };
    assert_eq!(table(29), (about(29 * 1600, true), Cell::Count(29)));
    assert_eq!(table(30), (about(30 * 1600, false), Cell::Count(30)));
}

#[test]
fn a_hostile_rate_overflows_nothing() {
    let dump = dump("sampled", [[3, 0, 0, 3], [0; 4]]).replace("\"memsize\":100", "\"memsize\":18446744073709551615");
    let dump = dump.replace("\\\"every\\\":16", "\\\"every\\\":4294967296");
    let found = top(&dump, &[Key::Location], "");
    assert_eq!(found.groups.len(), 2);
    let _ = read(&source(&dump), &options(&[Key::Stack], ""), &scan::Options::default()).unwrap();
}

fn folded(dump: &str, by: &[Key], sort: Order, filter: &str) -> Vec<String> {
    let options = groups::Options { sort, ..options(by, filter) };
    let (found, context) = read(&source(dump), &options, &scan::Options::default()).unwrap();
    let report = found.report("heap.json", &options.filter, &context);
    assert!(report.sections.iter().any(|section| matches!(section, Section::Tree(_))));
    let text = render(&report, Format::Folded, &TextStyle::default());
    text.lines().map(str::to_owned).collect()
}

#[test]
fn flames_have_the_outermost_frames_first_and_are_scaled() {
    let plain = dump("sampled", [[10, 2, 0, 300], [0, 1, 0, 5]]);
    let (all, json) = ("heap.json;<main> (/app/run.rb:1);load in all (/app/feed.rb:31)", "parse (json.rb:9)");
    assert_eq!(folded(&plain, &[Key::Stack], Order::Bytes, ""), [format!("{all} 4800"), format!("{all};{json} 16000")]);
    assert_eq!(
        folded(&plain, &[Key::Stack, Key::Type], Order::Count, ""),
        [format!("{all};STRING 32"), format!("{all};HASH 16"), format!("{all};{json};STRING 160")]
    );
    assert_eq!(folded(&plain, &[Key::Stack], Order::Count, "type=HASH"), [format!("{all} 16")]);
    let exact = plain.replace("sampled", "other");
    assert_eq!(folded(&exact, &[Key::Stack], Order::Count, ""), [format!("{all} 3"), format!("{all};{json} 10")]);
    assert_eq!(folded(&exact, &[Key::Stack], Order::Count, "generation=untraced"), [""; 0]);
}
