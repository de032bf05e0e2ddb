//! Dumps made by hand: an app that holds two arrays, which take in strings or give them back.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use super::growth;
use crate::analysis::diff::{Diff, Dump, HolderGrowth, Holders, Trend};
use crate::control::Control;
use crate::graph::dominators::Tree;
use crate::graph::random::heap_of_lines;
use crate::graph::shortest_paths::ShortestPaths;
use crate::heap::Heap;
use crate::select::Filter;
use crate::source::Source;
use std::fmt::Write as _;
use std::ops::Range;

const ARRAYS: [u64; 2] = [0x2000, 0x2028];

/// A dump of the class `App`, which holds two arrays of the strings of some numbers, each of 100 bytes; and `shared` strings that
/// both hold.
fn dump(arrays: [Range<u64>; 2], shared: Range<u64>) -> Heap {
    let string = |number: u64| 0x10_0000 + number * 40;
    let list = |nodes: &mut dyn Iterator<Item = u64>| {
        nodes.map(|node| format!("\"0x{node:x}\"")).collect::<Vec<_>>().join(", ")
    };
    let mut lines = format!(
        "{{\"type\":\"ROOT\", \"root\":\"vm\", \"references\":[\"0x1000\"]}}\n\
         {{\"address\":\"0x1000\", \"type\":\"CLASS\", \"name\":\"App\", \"references\":[{}, \"0x1028\", \"0x1050\"], \"memsize\":40}}\n\
         {{\"address\":\"0x1028\", \"type\":\"CLASS\", \"name\":\"String\", \"memsize\":40}}\n\
         {{\"address\":\"0x1050\", \"type\":\"CLASS\", \"name\":\"Array\", \"memsize\":40}}\n",
        list(&mut ARRAYS.into_iter())
    );
    for (address, strings) in ARRAYS.into_iter().zip(&arrays) {
        let length = strings.clone().chain(shared.clone()).count();
        let held = list(&mut strings.clone().chain(shared.clone()).map(string));
        writeln!(
            lines,
            "{{\"address\":\"0x{address:x}\", \"type\":\"ARRAY\", \"class\":\"0x1050\", \"length\":{length}, \"references\":[{held}], \"memsize\":40}}"
        )
        .unwrap();
    }
    for number in arrays.into_iter().flatten().chain(shared) {
        writeln!(
            lines,
            "{{\"address\":\"0x{:x}\", \"type\":\"STRING\", \"class\":\"0x1028\", \"file\":\"/app/{}.rb\", \"line\":1, \
             \"generation\":7, \"memsize\":100}}",
            string(number),
            if number % 2 == 0 { "even" } else { "odd" }
        )
        .unwrap();
    }
    heap_of_lines(&lines).0
}

fn holders(heaps: &[Heap], filter: &Filter, limit: usize, with_trees: bool) -> Holders {
    let control = Control::default();
    let trees: Vec<Tree> = heaps.iter().map(|heap| Tree::new(heap, &control).unwrap()).collect();
    let dumps = heaps.iter().zip(&trees).map(|(heap, tree)| Dump { name: "", heap, tree: with_trees.then_some(tree) });
    let diff = Diff::new(&dumps.collect::<Vec<_>>(), &control).unwrap();
    let shortest_paths = ShortestPaths::new(diff.heap(), &control).unwrap();
    // No class here has a method whose code would be read.
    growth(&diff, trees.last().unwrap(), &shortest_paths, &Source::path(""), filter, limit, &control).unwrap()
}

fn address(heap: &Heap, growth: &HolderGrowth) -> u64 {
    heap.address(growth.id.unwrap())
}

/// The first array takes in three strings in each step and keeps them, the other five in the first; what both hold is their holder's.
fn grown() -> [Heap; 3] {
    [dump([100..110, 200..205], 0..0), dump([100..113, 200..210], 300..301), dump([100..116, 200..210], 300..302)]
}

#[test]
fn what_came_stands_under_the_old_object_that_holds_it() {
    let heaps = grown();
    let found = holders(&heaps, &Filter::default(), usize::MAX, true);
    assert_eq!((found.rest_holders, found.rest.count), (0, 0));
    let [steady, step, shared] = &found.holders[..] else { panic!("{found:?}") };
    assert_eq!([steady, step, shared].map(|growth| address(&heaps[2], growth)), [ARRAYS[0], ARRAYS[1], 0x1000]);
    assert_eq!(steady.memsizes, [0, 300, 600]);
    assert_eq!(step.memsizes, [0, 500, 500]);
    assert_eq!(shared.memsizes, [0, 100, 200]);
    assert_eq!([steady, step, shared].map(|growth| growth.count), [6, 5, 2]);
    // By what they retain: the class of both holds 900 bytes more, then 400.
    assert_eq!([steady, step, shared].map(|growth| growth.trend), [Trend::Steady, Trend::Step, Trend::Growing]);
    assert_eq!([steady, step, shared].map(|growth| growth.holder.as_str()), ["App"; 3]);
    assert_eq!(steady.label, "Array, 18 elements");
    assert_eq!(steady.retained_memsizes.as_deref(), Some(&[1040, 1340, 1640].map(Some)[..]));
}

#[test]
fn without_the_trees_of_all_dumps_it_is_not_told_what_they_retain() {
    let found = holders(&grown(), &Filter::default(), usize::MAX, false);
    assert!(found.holders.iter().all(|growth| growth.retained_memsizes.is_none()));
}

#[test]
fn a_limit_sums_up_the_others() {
    let found = holders(&grown(), &Filter::default(), 1, false);
    assert_eq!((found.holders.len(), found.rest_holders), (1, 2));
    assert_eq!((found.rest.count, found.rest.memsize), (7, 700));
}

#[test]
fn a_filter_says_what_counts() {
    let heaps = grown();
    let found = holders(&heaps, &Filter::parse(&["file=odd.rb"]).unwrap(), usize::MAX, false);
    let counts: Vec<(u64, u64)> =
        found.holders.iter().map(|growth| (address(&heaps[2], growth), growth.count)).collect();
    assert_eq!(counts, [(ARRAYS[0], 3), (ARRAYS[1], 3), (0x1000, 1)]);
}

#[test]
fn what_came_and_went_is_nobodys() {
    let heaps = [dump([100..110, 200..205], 0..0), dump([100..120, 200..205], 0..0), dump([100..110, 200..205], 0..0)];
    assert_eq!(holders(&heaps, &Filter::default(), usize::MAX, true), Holders::default());
}

#[test]
fn what_takes_in_as_much_as_it_gives_back_retains_no_more() {
    let heaps = [dump([100..110, 0..0], 0..0), dump([110..120, 0..0], 0..0), dump([120..130, 0..0], 0..0)];
    let trend = |with_trees| {
        let found = holders(&heaps, &Filter::default(), usize::MAX, with_trees);
        let [growth] = &found.holders[..] else { panic!("{found:?}") };
        assert_eq!(growth.memsizes, [0, 0, 1000]);
        growth.trend
    };
    assert_eq!((trend(false), trend(true)), (Trend::Step, Trend::Flat));
}
