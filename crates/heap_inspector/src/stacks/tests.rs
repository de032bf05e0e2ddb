//! Stacks as our tracer writes them, and as a hostile dump may.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use super::FrameId;
use crate::control::Control;
use crate::diagnostics::WarningKind;
use crate::gems::App;
use crate::heap::{Heap, NodeId};
use crate::keys::{Key, KeyValue, Values};
use crate::scan::Options;
use crate::source::Source;
use proptest::prelude::*;
use std::collections::HashMap;

/// A line of frames.
fn line(json: &str) -> String {
    let text = serde_json::Value::from(json);
    format!(r#"{{"type":"ROOT", "root":"heap_inspector_stacks", "value":{text}, "references":[]}}"#)
}

/// An object with a stack, of the node's own address.
fn object(number: usize, stack: &str) -> String {
    let address = 0x1000 + 40 * number;
    format!(
        r#"{{"address":"0x{address:x}", "type":"STRING", "file":"/gems/json-1.0/lib/c.rb", "line":1, "generation":3{stack}, "memsize":40}}"#
    )
}

fn with_stack(number: usize, stack: u32) -> String {
    object(number, &format!(", \"stack\":{stack}"))
}

fn load(lines: &[String], threads: usize) -> Heap {
    let source = Source::reader(std::io::Cursor::new(lines.join("\n")), "memory");
    Heap::load(&source, &Control { threads, ..Control::default() }.into()).unwrap()
}

/// The frames of an object's stack as text, the innermost first.
fn stack(heap: &Heap, number: u32) -> Vec<String> {
    let stacks = &heap.names().tables.stacks;
    let values = Values::new(heap.names());
    stacks.frames(heap.stack(NodeId(number))).map(|frame| values.frame_text(stacks.site(frame), false)).collect()
}

fn value(heap: &Heap, key: Key, number: u32) -> KeyValue {
    let mut values = Values::new(heap.names());
    let value = values.value(key, &heap.properties(NodeId(number)));
    values.outside(value)
}

fn warning(heap: &Heap) -> Option<&str> {
    let warnings = &heap.diagnostics().warnings;
    warnings.iter().find(|warning| warning.kind == WarningKind::Stacks).map(|warning| &warning.message[..])
}

const FEED: &str = r#"{"first":7,"frames":[[-1,"/srv/app/run.rb",3,"<main>"],[7,"/srv/app/feed.rb",31,"load_feed"],
    [8,"/gems/json-1.0/lib/json/common.rb",219,"JSON.parse"],[7,"/srv/app/feed.rb",40,"block in \"load\""]]}"#;

#[test]
fn an_object_has_the_frames_of_its_stack() {
    let heap = load(&[line(FEED), with_stack(0, 9), with_stack(1, 10), object(2, "")], 1);
    assert_eq!(
        stack(&heap, 0),
        [
            "/gems/json-1.0/lib/json/common.rb:219 in JSON.parse",
            "/srv/app/feed.rb:31 in load_feed",
            "/srv/app/run.rb:3 in <main>"
        ]
    );
    assert_eq!(stack(&heap, 1)[0], "/srv/app/feed.rb:40 in block in \"load\"");
    assert_eq!(stack(&heap, 2), [""; 0]);
    assert_eq!(warning(&heap), None);
    assert!(heap.roots().is_empty() && heap.totals().roots.is_empty());
}

#[test]
fn keys_tell_the_stack_and_the_line_of_the_app() {
    let untraced = r#"{"address":"0x9000", "type":"STRING", "memsize":40}"#.to_owned();
    let own =
        r#"{"address":"0x9028", "type":"STRING", "file":"/srv/app/own.rb", "line":2, "generation":1, "memsize":40}"#;
    let heap = load(&[line(FEED), with_stack(0, 9), object(1, ""), untraced, own.to_owned()], 1);
    let KeyValue::Stack(told) = value(&heap, Key::Stack, 0) else { panic!("no stack") };
    assert_eq!(
        told.text,
        "/gems/json-1.0/lib/json/common.rb:219 in JSON.parse ← /srv/app/feed.rb:31 in load_feed ← /srv/app/run.rb:3 in <main>"
    );
    let words = |key: Key, number: u32| value(&heap, key, number).words().unwrap().to_owned();
    assert_eq!(words(Key::AppLocation, 0), "/srv/app/feed.rb:31");
    assert_eq!((words(Key::Stack, 1), words(Key::AppLocation, 1)), ("(no stack)".into(), "(no app line)".into()));
    assert_eq!((words(Key::Stack, 2), words(Key::AppLocation, 2)), ("(untraced)".into(), "(untraced)".into()));
    assert_eq!((words(Key::Stack, 3), words(Key::AppLocation, 3)), ("(no stack)".into(), "/srv/app/own.rb:2".into()));
}

#[test]
fn which_files_are_the_apps_can_be_said() {
    let lines = [line(FEED), with_stack(0, 9)].join("\n");
    let app = App::below(["/gems/json-1.0".to_owned()]);
    let options = Options { app: Some(&app), ..Options::default() };
    let heap = Heap::load(&Source::reader(std::io::Cursor::new(lines), "memory"), &options).unwrap();
    assert_eq!(value(&heap, Key::AppLocation, 0), KeyValue::Text("/gems/json-1.0/lib/json/common.rb:219".into()));
}

#[test]
fn a_row_of_a_table_has_the_innermost_frame_and_those_of_the_app() {
    let frame = |at: usize| match at {
        0..4 => format!("[{},\"/srv/app/deep.rb\",{at},\"step\"]", at as i64 - 1),
        at => format!("[{},\"/gems/rack-3.0.1/lib/rack.rb\",{at},\"call\"]", at - 1),
    };
    let frames = (0..8).map(frame).collect::<Vec<_>>().join(",");
    let heap = load(&[line(&format!("{{\"first\":0,\"frames\":[{frames}]}}")), with_stack(0, 7), with_stack(1, 3)], 1);
    let brief = |number: u32| match value(&heap, Key::Stack, number) {
        KeyValue::Stack(told) => told.brief,
        other => panic!("{other:?}"),
    };
    let app = "/srv/app/deep.rb:3 in step ← /srv/app/deep.rb:2 in step";
    assert_eq!(brief(0), format!("rack.rb:7 in call ← … ← {app} ← (2 more)"));
    assert_eq!(brief(1), format!("{app} ← /srv/app/deep.rb:1 in step ← (1 more)"));
}

/// A tracer's numbers may be spread over the lines as it likes.
#[test]
fn lines_may_stand_in_any_order() {
    let later = line(r#"{"first":2,"frames":[[1,"b.rb",2,"b"]]}"#);
    let first = line(r#"{"first":1,"frames":[[-1,"a.rb",1,"a"]]}"#);
    let heap = load(&[later, with_stack(0, 2), first], 1);
    assert_eq!(stack(&heap, 0), ["b.rb:2 in b", "a.rb:1 in a"]);
    assert_eq!(warning(&heap), None);
}

#[test]
fn equal_frames_under_equal_ones_are_one() {
    let frames =
        line(r#"{"first":0,"frames":[[-1,"a.rb",1,"a"],[0,"b.rb",2,"b"],[-1,"a.rb",1,"a"],[2,"b.rb",2,"b"]]}"#);
    let heap = load(&[frames, with_stack(0, 1), with_stack(1, 3)], 1);
    assert_eq!(heap.stack(NodeId(0)), heap.stack(NodeId(1)));
    assert_eq!(heap.names().tables.stacks.len(), 3);
}

#[test]
fn what_is_wrong_with_stacks_is_counted() {
    let own = |at: usize| with_stack(at, 5);
    for (json, expected) in [
        (r#"{"first":5,"frames":[[5,"a.rb",1,"a"]]}"#, "1 frames do not say by what earlier frame they were called"),
        (r#"{"first":5,"frames":[[4,"a.rb",1,"a"]]}"#, "1 frames do not say by what earlier frame they were called"),
        (r#"{"first":5,"frames":[[-2,"a.rb",1,"a"]]}"#, "1 frames do not say by what earlier frame they were called"),
        (
            r#"{"first":5,"frames":[[99999999999,"a.rb",1,"a"]]}"#,
            "1 frames do not say by what earlier frame they were called",
        ),
    ] {
        let heap = load(&[line(json), own(0)], 1);
        assert_eq!(warning(&heap), Some(&format!("stacks are not complete: {expected}")[..]), "{json}");
        assert_eq!(stack(&heap, 0), ["a.rb:1 in a"]);
    }
    for json in [
        "",
        "[]",
        "7",
        "{}",
        r#"{"first":5}"#,
        r#"{"frames":[]}"#,
        r#"{"frames":[],"first":5}"#,
        r#"{"first":-1,"frames":[]}"#,
        r#"{"first":4294967296,"frames":[]}"#,
        r#"{"first":4294967295,"frames":[[-1,"a",1,"a"],[-1,"b",1,"b"]]}"#,
        r#"{"first":5,"frames":[[-1,"a.rb",1,"a"]],"frames":[]}"#,
        r#"{"first":5,"frames":[[-1,"a.rb",1,"a"],7]}"#,
        r#"{"first":5,"frames":[[-1,"a.rb",1]]}"#,
        r#"{"first":5,"frames":[[-1,"a.rb","1","a"]]}"#,
        r#"{"first":5,"frames":[[-1,"a.rb",1,"a"]]"#,
        r#"{"first":5,"frames":[[-1,"a.rb",1,"a"]]} x"#,
    ] {
        let heap = load(&[line(json), own(0)], 1);
        let expected =
            "stacks are not complete: 1 lines of frames cannot be read, 1 objects name a frame that is not in the dump";
        assert_eq!(warning(&heap), Some(expected), "{json}");
        assert_eq!(stack(&heap, 0), [""; 0]);
    }
    // What a later version may add, and what may be missing.
    let more = r#"{"version":2,"first":5,"frames":[[-1,null,-3,null,{"class":"Feed"}]],"rest":[]}"#;
    let heap = load(&[line(more), own(0)], 1);
    assert_eq!((warning(&heap), stack(&heap, 0)), (None, vec!["(no Ruby file)".to_owned()]));
    // References make it a root like others.
    let root = line(FEED).replace("[]}", "[\"0x1000\"]}");
    assert_eq!(load(&[root, own(0)], 1).roots().len(), 1);
}

#[test]
fn of_two_lines_for_one_number_the_first_counts() {
    let [one, other] =
        ["a.rb", "b.rb"].map(|file| line(&format!("{{\"first\":5,\"frames\":[[-1,\"{file}\",1,\"x\"]]}}")));
    for threads in [1, 4] {
        let heap = load(&[one.clone(), other.clone(), with_stack(0, 5)], threads);
        assert_eq!(stack(&heap, 0), ["a.rb:1 in x"]);
        assert_eq!(warning(&heap), Some("stacks are not complete: 1 frames have the number of another one"));
    }
}

#[test]
fn is_an_error_where_warnings_are() {
    let lines = [line("{}"), with_stack(0, 5)].join("\n");
    let strict = Options { strict: true, ..Options::default() };
    let error = Heap::load(&Source::reader(std::io::Cursor::new(lines), "memory"), &strict).unwrap_err();
    assert!(error.to_string().contains("stacks are not complete"), "{error}");
}

/// A chain that nobody recurses over, and of which no row has all.
#[test]
fn a_deep_chain_is_no_trouble() {
    const DEPTH: usize = 100_000;
    let lines: Vec<String> = (0..DEPTH)
        .step_by(1000)
        .map(|first| {
            let frames: Vec<String> = (first..first + 1000)
                .map(|at| format!("[{},\"/gems/a-1/b.rb\",{at},\"deep\"]", at as i64 - 1))
                .collect();
            line(&format!("{{\"first\":{first},\"frames\":[{}]}}", frames.join(",")))
        })
        .collect();
    let objects = (0..1000).map(|at| with_stack(at, (DEPTH - 1 - at) as u32));
    let heap = load(&lines.into_iter().chain(objects).collect::<Vec<_>>(), 2);
    assert_eq!((warning(&heap), heap.names().tables.stacks.len()), (None, DEPTH + 1));
    let mut values = Values::new(heap.names());
    for id in heap.nodes() {
        let [stack, app] = [Key::Stack, Key::AppLocation].map(|key| values.value(key, &heap.properties(id)));
        let KeyValue::Stack(told) = values.outside(stack) else { panic!("no stack") };
        assert!(told.text.len() < 20_000 && told.text.ends_with(" more)"), "{}", told.text.len());
        assert_eq!(values.outside(app).words(), Some("(no app line)"));
    }
    assert_eq!(stack(&heap, 0).len(), DEPTH);
}

/// A frame of a dump: what calls it, and where it is.
type Plain = (i64, u8);

/// The naive walk: from number to number, by what the lines say.
fn naive(frames: &HashMap<u32, Plain>, number: u32) -> Vec<String> {
    let mut found = Vec::new();
    let mut at = Some(number);
    while let Some((own, (parent, site))) = at.and_then(|own| Some((own, frames.get(&own)?))) {
        found.push(format!("f{site}.rb:{site} in m{site}"));
        at = u32::try_from(*parent).ok().filter(|parent| *parent < own && frames.contains_key(parent));
    }
    found
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_stack_of_an_object_is_what_a_naive_walk_finds(
        lines in prop::collection::vec((0u32..30, prop::collection::vec((-2i64..40, 0u8..4), 0..9)), 1..7),
        objects in prop::collection::vec(0u32..40, 1..20),
        threads in 1usize..4,
    ) {
        let mut frames: HashMap<u32, Plain> = HashMap::new();
        for (first, told) in &lines {
            for (at, frame) in told.iter().enumerate() {
                frames.entry(first + at as u32).or_insert(*frame);
            }
        }
        let told = lines.iter().map(|(first, told)| {
            let frames: Vec<String> =
                told.iter().map(|(parent, site)| format!("[{parent},\"f{site}.rb\",{site},\"m{site}\"]")).collect();
            line(&format!("{{\"first\":{first},\"frames\":[{}]}}", frames.join(",")))
        });
        // A line 0 is none, as Ruby has it.
        let plain = |text: String| text.replace(".rb:0 in", ".rb in");
        let dump: Vec<String> = told.chain(objects.iter().enumerate().map(|(at, stack)| with_stack(at, *stack))).collect();
        let heap = load(&dump, threads);
        for (number, own) in objects.iter().enumerate() {
            let expected: Vec<String> = naive(&frames, *own).into_iter().map(plain).collect();
            prop_assert_eq!(stack(&heap, number as u32), expected);
        }
        // Children stand behind their parents.
        let stacks = &heap.names().tables.stacks;
        for frame in 1..stacks.len() as u32 {
            prop_assert!(stacks.parent(FrameId(frame)).0 < frame);
        }
    }
}
