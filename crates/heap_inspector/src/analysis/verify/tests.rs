//! Ten pairs of series, made by hand: an `App` that keeps things, before and after a fix.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use super::{DUMPS, Fate, Outcome, Verification, verify};
use crate::analysis::path_growth::Pathed;
use crate::control::Control;
use crate::graph::dominators::Tree;
use crate::graph::random::heap_of_lines;
use crate::graph::shortest_paths::ShortestPaths;
use crate::heap::Heap;
use std::fmt::Write as _;

const CLASSES: [&str; 5] = ["App", "Item", "Array", "Audit", "Entry"];
/// Where this process's objects begin; another process has others.
const PROCESSES: [u64; 2] = [0x10_0000, 0x7000_0000];

/// What is kept, by class: `App` keeps items, `Audit` entries.
#[derive(Clone, Copy, Default)]
struct Kept {
    items: u64,
    entries: u64,
    /// Pieces of code that are loaded.
    code: u64,
}

/// A dump of a process after so much work.
fn dump(process: usize, work: &str, kept: Kept) -> String {
    let base = PROCESSES[process];
    let class = |name: &str| base + CLASSES.iter().position(|known| *known == name).unwrap() as u64 * 64;
    let list = |number: u64| base + 0x1000 + number * 64;
    let object = |list: u64, number: u64| base + 0x10_0000 * (list + 1) + number * 64;
    let references = |nodes: &mut dyn Iterator<Item = u64>| {
        nodes.map(|node| format!("\"0x{node:x}\"")).collect::<Vec<_>>().join(", ")
    };
    let meta = serde_json::to_string(&format!("{{\"pid\":{process},{work}}}")).unwrap();
    let mut lines = format!(
        "{{\"type\":\"ROOT\", \"root\":\"heap_inspector\", \"value\":{meta}, \"references\":[]}}\n{{\"type\":\"ROOT\", \
         \"root\":\"vm\", \"references\":[{}]}}\n",
        references(&mut CLASSES.iter().map(|name| class(name)).chain((0..kept.code).map(|at| object(2, at))))
    );
    for name in CLASSES {
        let held = match name {
            "App" => references(&mut std::iter::once(list(0))),
            "Audit" => references(&mut std::iter::once(list(1))),
            _ => String::new(),
        };
        writeln!(
            lines,
            "{{\"address\":\"0x{:x}\", \"type\":\"CLASS\", \"name\":\"{name}\", \"references\":[{held}], \"memsize\":40}}",
            class(name)
        )
        .unwrap();
    }
    for (number, (count, of)) in [(kept.items, "Item"), (kept.entries, "Entry")].into_iter().enumerate() {
        let number = number as u64;
        writeln!(
            lines,
            "{{\"address\":\"0x{:x}\", \"type\":\"ARRAY\", \"class\":\"0x{:x}\", \"length\":{count}, \"references\":[{}], \"memsize\":{}}}",
            list(number),
            class("Array"),
            references(&mut (0..count).map(|at| object(number, at))),
            40 + count * 8
        )
        .unwrap();
        for at in 0..count {
            writeln!(
                lines,
                "{{\"address\":\"0x{:x}\", \"type\":\"OBJECT\", \"class\":\"0x{:x}\", \"references\":[], \"memsize\":80}}",
                object(number, at),
                class(of)
            )
            .unwrap();
        }
    }
    for at in 0..kept.code {
        writeln!(
            lines,
            "{{\"address\":\"0x{:x}\", \"type\":\"IMEMO\", \"imemo_type\":\"iseq\", \"references\":[], \"memsize\":40}}",
            object(2, at)
        )
        .unwrap();
    }
    lines
}

fn requests(count: u64) -> String {
    format!("\"uptime\":{count}.5,\"work\":{{\"requests\":{count}}}")
}

/// Dumps after so many requests each, as `kept` says.
fn series(process: usize, after: &[u64], kept: impl Fn(u64) -> Kept) -> Vec<String> {
    after.iter().map(|count| dump(process, &requests(*count), kept(*count))).collect()
}

/// A leak of so many items for 100 requests.
fn leaks(hundredths: u64) -> impl Fn(u64) -> Kept {
    move |requests| Kept { items: 50 + requests * hundredths / 100, entries: 50, ..Kept::default() }
}

fn verified(before: &[String], after: &[String], only: Option<&str>) -> Verification {
    let control = Control::default();
    let loaded = |dumps: &[String]| -> Vec<(Heap, Tree, ShortestPaths)> {
        let one = |lines: &String| {
            let heap = heap_of_lines(lines).0;
            let (tree, paths) = (Tree::new(&heap, &control).unwrap(), ShortestPaths::new(&heap, &control).unwrap());
            (heap, tree, paths)
        };
        dumps.iter().map(one).collect()
    };
    let (before, after) = (loaded(before), loaded(after));
    fn pathed(dumps: &[(Heap, Tree, ShortestPaths)]) -> Vec<Pathed<'_>> {
        let one = |(heap, tree, shortest_paths)| Pathed { name: "", heap, tree, shortest_paths };
        dumps.iter().map(|(heap, tree, paths)| one((heap, tree, paths))).collect()
    }
    verify(&pathed(&before), &pathed(&after), only, &control).unwrap()
}

const AFTER: [u64; 3] = [100, 300, 500];
/// The other process served more, and at other times.
const OTHER: [u64; 4] = [200, 500, 900, 1400];

#[test]
fn five_that_are_fixed_are_fixed() {
    for hundredths in [100, 200, 300, 1000, 50] {
        let found = verified(&series(0, &AFTER, leaks(hundredths)), &series(1, &OTHER, leaks(0)), None);
        assert_eq!((found.outcome, &found.reasons[..]), (Outcome::Fixed, &[][..]), "{hundredths}: {found:?}");
        let [leak] = &found.leaks[..] else { panic!("{found:?}") };
        assert_eq!((leak.fate, leak.class.as_str(), leak.gone()), (Fate::Fixed, "Item", Some(1.0)));
        // An item and its place in the list.
        let (each, rate) = (hundredths as f64 / 100.0, &leak.before);
        assert!((rate.count - each).abs() < 0.01 && (rate.memsize - each * 88.0).abs() < 1.0, "{rate:?}");
        assert_eq!(found.outcome.code(), 0);
    }
}

#[test]
fn two_that_are_half_fixed_are_better_by_half() {
    for (before, after) in [(100, 50), (300, 150)] {
        let found = verified(&series(0, &AFTER, leaks(before)), &series(1, &OTHER, leaks(after)), None);
        assert_eq!((found.outcome, found.outcome.code()), (Outcome::NotFixed, 1), "{found:?}");
        assert_eq!(found.headline(), "not fixed: better by 50 %");
    }
}

#[test]
fn two_that_are_unchanged_are_unchanged_whatever_the_load() {
    for hundredths in [100, 200] {
        let found = verified(&series(0, &AFTER, leaks(hundredths)), &series(1, &OTHER, leaks(hundredths)), None);
        assert_eq!(found.headline(), "not fixed: unchanged", "{found:?}");
        assert_eq!(found.outcome.code(), 1);
    }
    let worse = verified(&series(0, &AFTER, leaks(100)), &series(1, &OTHER, leaks(200)), None);
    assert_eq!((worse.headline(), worse.leaks[0].gone()), ("not fixed: worse".into(), None));
}

#[test]
fn another_leak_is_told() {
    let other = |requests| Kept { items: 50, entries: 50 + requests, ..Kept::default() };
    let (before, after) = (series(0, &AFTER, leaks(100)), series(1, &OTHER, other));
    let found = verified(&before, &after, None);
    assert_eq!((found.headline().as_str(), found.outcome.code()), ("not fixed: new leak", 1), "{found:?}");
    let fates: Vec<(&str, Fate)> = found.leaks.iter().map(|leak| (leak.class.as_str(), leak.fate)).collect();
    assert_eq!(fates, [("Item", Fate::Fixed), ("Entry", Fate::New)]);
    // Of the one leak alone that is no matter.
    let only = verified(&before, &after, Some(&found.leaks[0].fingerprint));
    assert_eq!((only.outcome, only.leaks.len()), (Outcome::Fixed, 1));
    let none = verified(&before, &after, Some("leak-000000"));
    assert_eq!(none.outcome, Outcome::CannotTell);
    assert!(none.reasons[0].starts_with("no leak leak-000000 grows in the series before"), "{none:?}");
}

#[test]
fn refuses_where_the_dumps_do_not_tell() {
    let leaky = series(0, &AFTER, leaks(100));
    let fixed = series(1, &OTHER, leaks(0));
    let jobs = |count: u64| dump(1, &format!("\"work\":{{\"jobs\":{count}}}"), leaks(0)(count));
    let silent = |process, count: u64| dump(process, "\"host\":\"a\"", leaks(100)(count));
    let warming = |requests| Kept { code: requests, ..leaks(0)(requests) };
    let refused: [(Vec<String>, Vec<String>, &str); 7] = [
        (leaky[..DUMPS - 1].to_vec(), fixed.clone(), "the series before has 2 dumps"),
        (leaky.clone(), fixed[..1].to_vec(), "the series after has 1 dumps"),
        (leaky.clone(), AFTER.map(jobs).to_vec(), "the work is another: requests before, jobs after"),
        (
            AFTER.map(|count| silent(0, count)).to_vec(),
            fixed.clone(),
            "the dumps of the series before tell neither work nor time",
        ),
        (
            leaky.clone(),
            series(1, &OTHER, warming),
            "1,200 pieces of code were loaded between the dumps of the series after",
        ),
        (fixed.clone(), leaky.clone(), "nothing grows in each step of the series before"),
        (leaky.clone(), series(1, &[1, 3, 7], leaks(0)), "there were 6 requests in the series after"),
    ];
    for (before, after, reason) in refused {
        let found = verified(&before, &after, None);
        assert_eq!((found.outcome, found.outcome.code()), (Outcome::CannotTell, 2), "{reason}: {found:?}");
        assert!(found.reasons.iter().any(|told| told.starts_with(reason)), "{reason}: {:?}", found.reasons);
    }
}

#[test]
fn time_serves_where_no_work_is_told() {
    let timed = |process, count: u64, kept: Kept| dump(process, &format!("\"uptime\":{count}.25"), kept);
    let before = AFTER.map(|seconds| timed(0, seconds, leaks(100)(seconds)));
    let after = OTHER.map(|seconds| timed(1, seconds, leaks(0)(seconds)));
    let found = verified(&before, &after, None);
    assert_eq!((found.outcome, found.leaks[0].before.unit.as_str()), (Outcome::Fixed, "seconds"), "{found:?}");
}

#[test]
fn the_report_has_the_exit_code() {
    let found = verified(&series(0, &AFTER, leaks(100)), &series(1, &OTHER, leaks(50)), None);
    let report = found.report(&["a", "b"], Vec::new());
    let text = crate::view::render(&report, crate::view::Format::Json, &crate::view::TextStyle::default());
    let json: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!(json["verification"], serde_json::json!({"outcome": "not fixed", "exit_code": 1}));
    let row = &json["leaks"]["rows"][0];
    assert_eq!(
        (&row["fate"], &row["unit"], &row["gone"]),
        (&"better".into(), &"requests".into(), &0.5.into()),
        "{row}"
    );
    assert_eq!((&row["before_memsize"], &row["after_memsize"]), (&88.0.into(), &44.0.into()), "{row}");
}
