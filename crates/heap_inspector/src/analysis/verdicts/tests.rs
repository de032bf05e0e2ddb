//! Verdicts on hand-made heaps: what the rules say, how verdicts spread, and which reference is at fault.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use super::{Fault, Growth, Judge, Judged, Rules, Verdict};
use crate::analysis::paths::paths;
use crate::control::Control;
use crate::graph::dominators::Tree;
use crate::graph::random::heap_of_lines;
use crate::heap::NodeId;

const CLASSES: [(u64, &str, Option<u64>); 14] = [
    (0x1000, "Registry", None),
    (0x1028, "Array", None),
    (0x1050, "ActionController::Metal", None),
    (0x1078, "PostsController", Some(0x1050)),
    (0x10a0, "Post", None),
    (0x10c8, "Thread", None),
    (0x10f0, "ActiveSupport::Cache::Store", None),
    (0x1118, "Fiber", None),
    (0x1140, "Hash", None),
    (0x1168, "Puma::Client", None),
    (0x1190, "Concurrent::Obligation", None),
    (0x11b8, "Concurrent::Promise", Some(0x1190)),
    (0x11e0, "Exception", None),
    (0x1208, "Timeout::Error", Some(0x11e0)),
];

/// The classes, of which Registry holds what is at 0x2000, and these lines.
fn dump(lines: &[String]) -> String {
    let mut all = vec![r#"{"type":"ROOT", "root":"vm", "references":["0x1000", "0x1200"]}"#.to_owned()];
    for (address, name, superclass) in CLASSES {
        let above = superclass.map_or(String::new(), |above| format!(r#", "superclass":"0x{above:x}""#));
        let held = if name == "Registry" { r#""0x2000""# } else { "" };
        all.push(format!(
            r#"{{"address":"0x{address:x}", "type":"CLASS"{above}, "name":"{name}", "references":[{held}], "memsize":40}}"#
        ));
    }
    all.extend(lines.iter().cloned());
    all.join("\n")
}

fn node(address: u64, ty: &str, class: u64, held: &[u64]) -> String {
    let held: Vec<String> = held.iter().map(|held| format!("\"0x{held:x}\"")).collect();
    let held = held.join(", ");
    format!(
        r#"{{"address":"0x{address:x}", "type":"{ty}", "class":"0x{class:x}", "references":[{held}], "memsize":40}}"#
    )
}

fn data(address: u64, class: u64, label: &str, held: &[u64]) -> String {
    node(address, "DATA", class, held).replace("\"references\"", &format!("\"struct\":\"{label}\", \"references\""))
}

/// What is thought of the path to the object at an address.
fn judged(lines: &[String], address: u64, rules: &Rules, point: Option<u64>) -> Vec<Judged> {
    let (heap, source) = heap_of_lines(&dump(lines));
    let control = Control::default();
    let tree = Tree::new(&heap, &control).unwrap();
    let id = |address: u64| -> NodeId { heap.node(address).unwrap() };
    let found = paths(&heap, &tree, &source, id(address), 1, &control).unwrap();
    let steps = &found.chains[0].steps;
    let point = point.and_then(|point| steps.iter().position(|step| step.id == id(point)));
    let growth = point.map(|at| Growth { point, pile: at + 1, is_known: true });
    Judge::new(&heap, &tree, &super::AtWork::of(&heap), rules).steps(steps, growth)
}

fn words(judged: &[Judged]) -> Vec<(&'static str, Fault)> {
    judged.iter().map(|judged| (judged.verdict.name(), judged.fault)).collect()
}

/// Registry → Array → PostsController → Post.
fn list() -> Vec<String> {
    vec![
        node(0x2000, "ARRAY", 0x1028, &[0x3000]),
        node(0x3000, "OBJECT", 0x1078, &[0x4000]),
        node(0x4000, "OBJECT", 0x10a0, &[]),
    ]
}

#[test]
fn a_controller_no_thread_is_at_work_on_is_stuck_with_what_only_it_holds() {
    let judged = judged(&list(), 0x4000, &Rules::default(), None);
    let expected =
        [("expected", Fault::None), ("unknown", Fault::Candidate), ("stuck", Fault::Candidate), ("stuck", Fault::None)];
    assert_eq!(words(&judged), expected, "{judged:?}");
    assert_eq!(judged[0].reason, "Registry lives as long as the program");
    assert_eq!(judged[2].reason, "a controller, and no thread is at work on it");
    assert_eq!(judged[3].reason, "only PostsController holds it, which is stuck");
}

#[test]
fn what_a_thread_has_on_its_stack_is_at_work() {
    let mut lines = list();
    lines.push(data(0x1200, 0x1118, "ractor", &[0x1300]));
    lines.push(data(0x1300, 0x10c8, "VM/thread", &[0x3000]));
    let judged = judged(&lines, 0x4000, &Rules::default(), None);
    assert!(judged.iter().all(|judged| judged.verdict != Verdict::Stuck), "{judged:?}");
    assert!(judged.iter().all(|judged| judged.fault != Fault::Faulty), "{judged:?}");
}

#[test]
fn the_environment_of_a_request_is_known_by_what_the_server_puts_into_it() {
    let mut lines = list();
    lines[0] = node(0x2000, "ARRAY", 0x1028, &[0x5000]);
    lines.push(node(0x5000, "HASH", 0x1140, &[0x6000, 0x4000]));
    lines.push(node(0x6000, "OBJECT", 0x1168, &[]));
    let judged = judged(&lines, 0x4000, &Rules::default(), None);
    assert_eq!(judged[2].reason, "the environment of a request, and no thread is at work on it");
    assert_eq!((judged[2].verdict, judged[2].fault), (Verdict::Stuck, Fault::Candidate));
    lines[4] = node(0x6000, "OBJECT", 0x10a0, &[]);
    let judged = self::judged(&lines, 0x4000, &Rules::default(), None);
    assert_eq!(judged[2].verdict, Verdict::Unknown, "a hash like any other");
}

#[test]
fn a_promise_that_failed_is_stuck() {
    let mut lines = list();
    lines[1] = node(0x3000, "OBJECT", 0x11b8, &[0x4000]);
    lines[2] = node(0x4000, "OBJECT", 0x1208, &[]);
    let judged = judged(&lines, 0x4000, &Rules::default(), None);
    assert_eq!((judged[2].verdict, judged[2].reason.as_str()), (Verdict::Stuck, "a promise that was rejected"));
    lines[2] = node(0x4000, "OBJECT", 0x10a0, &[]);
    assert_eq!(self::judged(&lines, 0x4000, &Rules::default(), None)[2].verdict, Verdict::Unknown);
}

#[test]
fn growth_tells_the_place_from_what_piles_up_in_it() {
    let judged = judged(
        &[node(0x2000, "ARRAY", 0x1028, &[0x3000]), node(0x3000, "OBJECT", 0x10a0, &[])],
        0x3000,
        &Rules::default(),
        Some(0x2000),
    );
    assert_eq!(words(&judged), [("expected", Fault::None), ("expected", Fault::None), ("stuck", Fault::Faulty)]);
    assert_eq!(judged[2].reason, "such objects pile up here");
}

#[test]
fn what_leads_to_an_expected_object_is_expected() {
    let lines = [
        node(0x2000, "OBJECT", 0x10a0, &[0x3000]),
        node(0x3000, "OBJECT", 0x10f0, &[0x4000]),
        node(0x4000, "OBJECT", 0x10a0, &[]),
    ];
    let judged = judged(&lines, 0x4000, &Rules::default(), None);
    let expected = [
        ("expected", Fault::None),
        ("expected", Fault::None),
        ("expected", Fault::None),
        ("unknown", Fault::Candidate),
    ];
    assert_eq!(words(&judged), expected, "{judged:?}");
    assert_eq!(judged[1].reason, "it leads to ActiveSupport::Cache::Store, which is expected");
}

#[test]
fn a_thread_that_no_ractor_has_is_finished_and_a_fiber_in_a_list_is_suspended() {
    let of = |label: &str, class: u64| {
        let lines = [
            data(0x1200, 0x1118, "ractor", &[0x1300]),
            data(0x1300, 0x10c8, "VM/thread", &[]),
            node(0x2000, "ARRAY", 0x1028, &[0x3000]),
            data(0x3000, class, label, &[]),
        ];
        judged(&lines, 0x3000, &Rules::default(), None).pop().unwrap()
    };
    assert_eq!(of("VM/thread", 0x10c8).reason, "a thread that is finished");
    assert_eq!(of("fiber", 0x1118).verdict, Verdict::Stuck);
    assert_eq!(of("mutex", 0x1118).verdict, Verdict::Unknown);
}

#[test]
fn a_users_rule_goes_before_ours() {
    let rules = Rules::of("# of ours\nPost* expected a post is for ever # since 2024\nReg stuck\n", "rules").unwrap();
    let judged = judged(&list(), 0x4000, &rules, None);
    assert_eq!(words(&judged)[2], ("expected", Fault::None));
    assert_eq!((judged[2].reason.as_str(), judged[3].reason.as_str()), ("a post is for ever", "a post is for ever"));
    assert!(Rules::of("Post\n", "rules").unwrap_err().to_string().contains("rules: line 1: \"Post\" is not a rule"));
    assert!(Rules::of("\nPost maybe\n", "rules").unwrap_err().to_string().contains("line 2"));
    assert!(Rules::of("[a stuck\n", "rules").unwrap_err().to_string().contains("is not a glob pattern"));
}
