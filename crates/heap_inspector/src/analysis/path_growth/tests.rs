//! What piles up by its path, on dumps of which no two have an address in common.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use super::{ByPath, Pathed, Rising};
use crate::control::Control;
use crate::graph::dominators::Tree;
use crate::graph::random::heap_of_lines;
use crate::graph::shortest_paths::ShortestPaths;
use crate::heap::Heap;
use crate::select::Filter;
use std::fmt::Write as _;

const CLASSES: [&str; 4] = ["App", "Array", "Order", "Line"];
const FLOOR: u64 = 4096;

/// `App` holds an array of orders, each of which holds lines; the array has room for `room`, the rest of it is nil.
fn dump(process: u64, orders: u64, lines_each: u64, room: u64) -> String {
    let base = 0x10_0000 * (process + 1);
    let class = |name: &str| base + CLASSES.iter().position(|known| *known == name).unwrap() as u64 * 64;
    let (list, order) = (base + 0x1000, |number: u64| base + 0x2000 + number * 64);
    let line = |number: u64, at: u64| base + 0x8_0000 + (number * lines_each + at) * 64;
    let references = |nodes: &mut dyn Iterator<Item = u64>| {
        nodes.map(|node| format!("\"0x{node:x}\"")).collect::<Vec<_>>().join(", ")
    };
    let mut text = format!(
        "{{\"type\":\"ROOT\", \"root\":\"vm\", \"references\":[{}]}}\n",
        references(&mut CLASSES.iter().map(|name| class(name)))
    );
    for name in CLASSES {
        let held = if name == "App" { references(&mut std::iter::once(list)) } else { String::new() };
        let address = class(name);
        writeln!(
            text,
            "{{\"address\":\"0x{address:x}\", \"type\":\"CLASS\", \"name\":\"{name}\", \"references\":[{held}], \"memsize\":40}}"
        )
        .unwrap();
    }
    let length = room.max(orders);
    writeln!(
        text,
        "{{\"address\":\"0x{list:x}\", \"type\":\"ARRAY\", \"class\":\"0x{:x}\", \"length\":{length}, \"references\":[{}], \"memsize\":{}}}",
        class("Array"),
        references(&mut (0..orders).map(order)),
        40 + length * 8
    )
    .unwrap();
    let mut object = |address: u64, of: u64, held: String| {
        writeln!(
            text,
            "{{\"address\":\"0x{address:x}\", \"type\":\"OBJECT\", \"class\":\"0x{of:x}\", \"references\":[{held}], \"memsize\":64}}"
        )
        .unwrap();
    };
    for number in 0..orders {
        object(order(number), class("Order"), references(&mut (0..lines_each).map(|at| line(number, at))));
        (0..lines_each).for_each(|at| object(line(number, at), class("Line"), String::new()));
    }
    text
}

fn by_path<T>(dumps: &[String], then: impl FnOnce(ByPath) -> T) -> T {
    let control = Control::default();
    let loaded: Vec<(Heap, Tree, ShortestPaths)> = dumps
        .iter()
        .map(|lines| {
            let heap = heap_of_lines(lines).0;
            let (tree, paths) = (Tree::new(&heap, &control).unwrap(), ShortestPaths::new(&heap, &control).unwrap());
            (heap, tree, paths)
        })
        .collect();
    let pathed: Vec<Pathed<'_>> =
        loaded.iter().map(|(heap, tree, shortest_paths)| Pathed { name: "", heap, tree, shortest_paths }).collect();
    then(ByPath::new(&pathed, &Filter::default(), &control).unwrap())
}

fn rising(dumps: &[String]) -> Vec<Rising> {
    by_path(dumps, |by_path| by_path.rising(FLOOR))
}

#[test]
fn what_piles_up_is_told_once_with_all_that_came_with_it() {
    let found = rising(&[dump(0, 100, 2, 0), dump(1, 200, 2, 0), dump(2, 300, 2, 0)]);
    let [one] = &found[..] else { panic!("{found:?}") };
    assert_eq!(one.path.to_string(), "App → Array → Order");
    // An order, its two lines, and its place in the array.
    assert_eq!((&one.counts[..], &one.steps[..]), (&[100, 100][..], &[20_000, 20_000][..]));
    assert!(!one.is_filling && !one.is_alone());
    // In the first dump as much, and what the array takes by itself.
    assert_eq!((one.before, one.length), (20_040, None));
}

#[test]
fn what_grows_below_what_does_not_is_told_by_its_own_path() {
    let found = rising(&[dump(0, 100, 2, 0), dump(1, 100, 4, 0), dump(2, 100, 6, 0)]);
    let paths: Vec<String> = found.iter().map(|one| one.path.to_string()).collect();
    assert_eq!(paths, ["App → Array → Order → Line"]);
}

#[test]
fn an_array_that_was_made_for_so_many_is_told_to_fill() {
    let found = rising(&[dump(0, 100, 0, 500), dump(1, 200, 0, 500), dump(2, 300, 0, 500)]);
    let [one] = &found[..] else { panic!("{found:?}") };
    assert!(one.is_filling, "{one:?}");
    assert_eq!(one.length, Some(500));
}

#[test]
fn what_does_not_grow_in_each_step_does_not_pile_up() {
    for orders in [[100, 200, 200], [300, 200, 400], [100, 101, 102], [200, 200, 200]] {
        let dumps: Vec<String> = (0..).zip(orders).map(|(process, count)| dump(process, count, 1, 0)).collect();
        assert!(rising(&dumps).is_empty(), "{orders:?}");
    }
}

#[test]
fn growth_is_summed_by_path() {
    let growth = by_path(&[dump(0, 10, 3, 0), dump(1, 30, 3, 0)], |by_path| by_path.growth());
    let told: Vec<(&str, i64, i64)> =
        growth.iter().map(|one| (one.key[0].words().unwrap(), one.count_delta(), one.memsize_delta())).collect();
    assert_eq!(
        told,
        [("App → Array → Order → Line", 60, 3840), ("App → Array → Order", 20, 1280), ("App → Array", 0, 160)]
    );
}
