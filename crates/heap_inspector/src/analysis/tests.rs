//! Each look at the cancel flag ends the work: no analysis swallows what one finds.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use super::diff::{self, By, Diff, Dump};
use super::dominator_tree::{self, Shown};
use super::objects::{Number, Objects, Query};
use super::paths;
use super::*;
use crate::control::Control;
use crate::graph::Referrers;
use crate::graph::dominators::{Dominator, Tree};
use crate::graph::shortest_paths::ShortestPaths;
use crate::heap::NodeId;
use crate::source::Source;
use crate::view::{self, Format, TextStyle};
use crate::{ErrorKind, Result};
use std::path::Path;

const ALONE: Control<'_> = Control { threads: 1, cancel: None, progress: None };

#[test]
fn every_look_at_the_flag_ends_the_work() {
    let source =
        Source::path(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/dumps/ruby-3.4-x86_64.json.zst")).spooled();
    let heap = Heap::load(&source, &ALONE.into()).unwrap();
    let tree = Tree::new(&heap, &ALONE).unwrap();
    let dump = |name| Dump { name, heap: &heap, tree: Some(&tree) };
    let dumps = [dump("one"), dump("other"), dump("third")];
    let diff = Diff::new(&dumps, &ALONE).unwrap();
    let (filter, by) = (Filter::default(), [Key::Class, Key::Location]);
    let asked = groups::Options { by: by.to_vec(), ..groups::Options::default() };
    let ids: Vec<NodeId> = heap.nodes().collect();
    let all = Query::default();
    let children = tree.children().unwrap();
    let objects = Objects::new(&heap, Some((&tree, children)), &all);
    let context = Context::of(&heap);
    let shown = Shown { depth: 9, min: 0, width: usize::MAX };
    let found = dominator_tree::dominator_tree(&heap, &tree, &source, Dominator::Root, shown, &ALONE).unwrap();
    let report = dominator_tree::report(found.rows(), tree.reachable(), "a dump", &context, &ALONE).unwrap();
    let id = *ids.last().unwrap();
    type Work<'a> = Box<dyn Fn(&Control<'_>) -> Result<()> + 'a>;
    let works: Vec<(&str, Work<'_>)> = vec![
        ("load", Box::new(|control| Heap::load(&source, &(*control).into()).map(drop))),
        ("dominators", Box::new(|control| Tree::new(&heap, control).map(drop))),
        ("referrers", Box::new(|control| Referrers::new(&heap, control).map(drop))),
        ("shortest paths", Box::new(|control| ShortestPaths::new(&heap, control).map(drop))),
        ("paths", Box::new(|control| paths::paths(&heap, &tree, &source, id, 3, control).map(drop))),
        (
            "merged paths",
            Box::new(|control| paths::merged(&heap, &source, &ids, paths::Shown::default(), control).map(drop)),
        ),
        ("show", Box::new(|control| show::show(&heap, &tree, &source, id, 3, control).map(drop))),
        (
            "dominator tree",
            Box::new(|control| {
                dominator_tree::dominator_tree(&heap, &tree, &source, Dominator::Root, shown, control).map(drop)
            }),
        ),
        (
            "its report",
            Box::new(|control| {
                dominator_tree::report(found.rows(), tree.reachable(), "a dump", &context, control).map(drop)
            }),
        ),
        (
            "merged",
            Box::new(|control| {
                dominators_by_key::dominators_by_key(&heap, &tree, Key::Class, Dominator::Root, shown, control)
                    .map(drop)
            }),
        ),
        ("holders", Box::new(|control| retained::holders(&heap, &tree, &source, &filter, 3, control).map(drop))),
        ("retained", Box::new(|control| retained::groups(&heap, &tree, &by, &filter, None, control).map(drop))),
        ("unreachable", Box::new(|control| unreachable::unreachable(&heap, &tree, &source, &asked, control).map(drop))),
        (
            "collections",
            Box::new(|control| collections::collections(&heap, Some(&tree), &by, &filter, 3, control).map(drop)),
        ),
        ("fragmentation", Box::new(|control| fragmentation::fragmentation(&heap, &by, &filter, 3, control).map(drop))),
        ("strings", Box::new(|control| strings::read(&source, &filter, Order::Bytes, 3, &(*control).into()).map(drop))),
        ("suspects", Box::new(|control| suspects::of_heap(&heap, &tree, &source, usize::MAX, control).map(drop))),
        (
            "suspects of several",
            Box::new(|control| suspects::of_diff(&diff, &tree, &source, usize::MAX, control).map(drop)),
        ),
        ("groups of a dump", Box::new(|control| groups::read(&source, &asked, &(*control).into()).map(drop))),
        ("groups", Box::new(|control| groups::groups(&heap, &asked, control).map(drop))),
        ("generations", Box::new(|control| generations::generations(&heap, filter.clone(), None, control).map(drop))),
        ("summary", Box::new(|control| summary::summary(&heap, &filter, 3, control).map(drop))),
        ("diff", Box::new(|control| Diff::new(&dumps, control).map(drop))),
        ("its answer", Box::new(|control| diff::answer(&diff, By::Keys(by.to_vec()), &filter, 9, control).map(drop))),
        ("what stayed", Box::new(|control| diff::stayed(&diff, &by, &filter, None, control).map(drop))),
        ("what is gone", Box::new(|control| diff.gone_objects(control).map(drop))),
        ("growth", Box::new(|control| diff::growth(&diff, &by, &filter, true, control).map(drop))),
        (
            "growth by holder",
            Box::new(|control| {
                holders::growth(&diff, &tree, &ShortestPaths::new(&heap, &ALONE)?, &source, &filter, 9, control)
                    .map(drop)
            }),
        ),
        ("nodes", Box::new(|control| grouping::nodes(&heap, &filter, control).map(drop))),
        ("similar classes", Box::new(|control| grouping::similar_classes(&heap, "Order", 3, control).map(drop))),
        ("objects", Box::new(|control| objects.ids(control).map(drop))),
        ("groups of objects", Box::new(|control| objects.groups(&by, Number::Memsize, control).map(drop))),
        ("text", Box::new(|control| view::rendered(&report, Format::Text, &TextStyle::default(), control).map(drop))),
        ("JSON", Box::new(|control| view::rendered(&report, Format::Json, &TextStyle::default(), control).map(drop))),
        (
            "Markdown",
            Box::new(|control| view::rendered(&report, Format::Markdown, &TextStyle::default(), control).map(drop)),
        ),
        ("CSV", Box::new(|control| view::rendered(&report, Format::Csv, &TextStyle::default(), control).map(drop))),
        ("dot", Box::new(|control| view::rendered(&report, Format::Dot, &TextStyle::default(), control).map(drop))),
        (
            "stacks",
            Box::new(|control| view::rendered(&report, Format::Folded, &TextStyle::default(), control).map(drop)),
        ),
    ];
    let mut went_on = Vec::new();
    for (name, work) in works {
        let before = crate::control::looks();
        work(&ALONE).unwrap();
        let looks = crate::control::looks() - before;
        if looks == 0 {
            went_on.push((name, 0, 0));
            continue;
        }
        for look in [0, looks / 3, looks / 2, looks - 1] {
            crate::control::trip_after(look);
            let ended = work(&ALONE).err().map(|error| error.kind());
            if ended != Some(ErrorKind::Interrupted) {
                went_on.push((name, look, looks));
            }
        }
    }
    assert_eq!(went_on, []);
}
