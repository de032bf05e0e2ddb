//! The slow twin, which tells an object by the whole of its record, on random dumps that use their slots again; and what is said of
//! dumps that do not belong together.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use super::{Before, By, Diff, Dump, Growth, Holders, Trend, answer, growth, stayed};
use crate::control::Control;
use crate::graph::dominators::Tree;
use crate::graph::random::heap_of_lines;
use crate::heap::{Heap, NodeId};
use crate::keys::{Key, KeyValue};
use crate::report::{Cell, Level, Report, Section};
use crate::select::Filter;
use proptest::prelude::*;
use std::collections::{HashMap, HashSet};
use std::fmt::Write as _;

const CLASSES: u64 = 0x1000;
const SLOTS: u64 = 0x10_0000;

/// Where an object was allocated: file, line, method, generation.
type Trace = (u8, u8, Option<u8>, u32);

/// An object but for its address; the class is a number of an address, not of a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Object {
    ty: &'static str,
    class: usize,
    trace: Option<Trace>,
}

/// A dump: the names of the classes, what lies in the slots.
type Drawn = (Vec<&'static str>, Vec<Option<Object>>);

fn line(address: u64, object: &Object) -> String {
    let mut line = format!(
        "{{\"address\":\"0x{address:x}\", \"type\":\"{}\", \"class\":\"0x{:x}\"",
        object.ty,
        CLASSES + object.class as u64 * 40
    );
    if let Some((file, number, method, generation)) = object.trace {
        write!(line, ", \"file\":\"/app/{file}.rb\", \"line\":{number}").unwrap();
        if let Some(method) = method {
            write!(line, ", \"method\":\"m{method}\"").unwrap();
        }
        write!(line, ", \"generation\":{generation}").unwrap();
    }
    line + ", \"memsize\":40}\n"
}

fn slot(number: usize) -> u64 {
    SLOTS + number as u64 * 40
}

fn heap(drawn: &Drawn) -> Heap {
    heap_of_lines(&lines(drawn)).0
}

fn lines((classes, objects): &Drawn) -> String {
    let mut lines = String::new();
    for (number, name) in classes.iter().enumerate() {
        let address = CLASSES + number as u64 * 40;
        writeln!(lines, "{{\"address\":\"0x{address:x}\", \"type\":\"CLASS\", \"name\":\"{name}\", \"memsize\":40}}")
            .unwrap();
    }
    for (number, object) in objects.iter().enumerate() {
        lines.extend(object.map(|object| line(slot(number), &object)));
    }
    lines
}

fn named(heaps: &[Heap]) -> Vec<Dump<'_>> {
    let names = ["first", "second", "third", "fourth"];
    heaps.iter().zip(names).map(|(heap, name)| Dump { name, heap, tree: None }).collect()
}

/// Few kinds of objects and few slots, so that much comes again.
fn drawn() -> impl Strategy<Value = Vec<Drawn>> {
    let trace = (0..2u8, 1..3u8, prop::option::of(0..2u8), 1..5u32);
    let types = prop::sample::select(vec!["OBJECT", "STRING", "ARRAY"]);
    let object = (types, 0..3usize, prop::option::weighted(0.8, trace));
    let object = object.prop_map(|(ty, class, trace)| Object { ty, class, trace });
    prop::collection::vec(object, 1..6).prop_flat_map(|pool| {
        let name = || prop::sample::select(vec!["A", "A", "A", "B"]);
        let dump =
            (prop::collection::vec(name(), 3), prop::collection::vec(prop::option::of(prop::sample::select(pool)), 8));
        prop::collection::vec(dump, 2..5)
    })
}

/// All that tells an object: the address, the record, the name of its class.
fn identities((classes, objects): &Drawn) -> HashMap<usize, (usize, Object, &'static str)> {
    let object = |(number, object): (usize, &Option<Object>)| {
        object.map(|object| (number, (number, object, classes[object.class])))
    };
    objects.iter().enumerate().filter_map(object).collect()
}

fn generation(object: &Object) -> u32 {
    object.trace.map_or(0, |(.., generation)| generation)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn agrees_with_comparing_whole_records(dumps in drawn()) {
        let heaps: Vec<Heap> = dumps.iter().map(heap).collect();
        let diff = Diff::new(&named(&heaps), &Control::default()).unwrap();
        let last = identities(dumps.last().unwrap());
        // Of a traced dump and another one the traces are not compared.
        let is_traced = |(_, objects): &Drawn| objects.iter().flatten().any(|object| object.trace.is_some());
        let told = |at: usize, (number, object, class): &(usize, Object, &'static str)| {
            let is_alone = is_traced(&dumps[at]) != is_traced(dumps.last().unwrap());
            (*number, Object { trace: object.trace.filter(|_| !is_alone), ..*object }, *class)
        };
        let mut is_new = vec![HashMap::new(); dumps.len() - 1];
        for (at, earlier) in dumps[..dumps.len() - 1].iter().enumerate() {
            let there = identities(earlier);
            let newest = there.values().map(|(_, object, _)| generation(object)).max().unwrap_or(0);
            for (number, identity) in &last {
                let id = heaps.last().unwrap().node(slot(*number)).unwrap();
                let before = match there.get(number) {
                    Some(before) if told(at, before) == told(at, identity) => Before::Same(heaps[at].node(slot(*number)).unwrap()),
                    // A generation that was over when the earlier dump was taken.
                    _ if (1..newest).contains(&generation(&identity.1)) => Before::Moved,
                    _ => Before::New,
                };
                prop_assert_eq!(diff.before(at, id), before, "slot {} in dump {}", number, at);
                is_new[at].insert(id, before == Before::New);
            }
        }
        let of = |ids: &mut dyn Iterator<Item = NodeId>| ids.collect::<HashSet<_>>();
        let twin = |rule: &dyn Fn(&NodeId) -> bool| is_new[0].keys().copied().filter(|id| rule(id)).collect::<HashSet<_>>();
        prop_assert_eq!(of(&mut diff.new_objects()), twin(&|id| is_new[0][id]));
        let retained = twin(&|id| is_new[0][id] && is_new[1..].iter().all(|is_new| !is_new[id]));
        prop_assert_eq!(of(&mut diff.retained_objects()), retained);
        let first = identities(&dumps[0]);
        // As many as were moved are still there, whatever their address.
        let node = |number: usize| heaps.last().unwrap().node(slot(number)).unwrap();
        let moved = last.values().filter(|(number, ..)| diff.before(0, node(*number)) == Before::Moved);
        let mut moved: Vec<_> = moved.map(|(_, object, class)| (object, class)).collect();
        let mut gone = HashSet::new();
        for (number, identity) in first.iter().collect::<std::collections::BTreeMap<_, _>>() {
            let (_, object, class) = identity;
            match moved.iter().position(|one| *one == (object, class)) {
                _ if last.get(number).is_some_and(|found| told(0, found) == told(0, identity)) => {}
                Some(at) => drop(moved.swap_remove(at)),
                None => drop(gone.insert(heaps[0].node(slot(*number)).unwrap())),
            }
        }
        prop_assert_eq!(of(&mut diff.gone_objects(&Control::default()).unwrap().into_iter()), gone);
    }

    #[test]
    fn growth_sums_up_each_dump_of_what_grew(dumps in drawn()) {
        let heaps: Vec<Heap> = dumps.iter().map(heap).collect();
        let diff = Diff::new(&named(&heaps), &Control::default()).unwrap();
        let filter = Filter::parse(&["type!=CLASS"]).unwrap();
        let groups = growth(&diff, &[Key::Class, Key::Generation], &filter, false, &Control::default()).unwrap();
        let mut expected: HashMap<(String, u64), Vec<u64>> = HashMap::new();
        for (at, dump) in dumps.iter().enumerate() {
            for (_, object, name) in identities(dump).values() {
                let key = (String::from(*name), u64::from(generation(object)));
                expected.entry(key).or_insert_with(|| vec![0; dumps.len()])[at] += 1;
            }
        }
        let grown = expected.values().filter(|counts| counts.last() > counts.first()).count();
        prop_assert_eq!(groups.len(), grown);
        let deltas: Vec<i64> = groups.iter().map(Growth::memsize_delta).collect();
        prop_assert!(deltas.is_sorted_by(|a, b| a >= b));
        for group in &groups {
            let [KeyValue::Text(name), generation] = &group.key[..] else { panic!("{:?}", group.key) };
            let generation = match generation {
                KeyValue::Number(number) => *number,
                _ => 0,
            };
            let counts: Vec<u64> = group.sums.iter().map(|sum| sum.count).collect();
            prop_assert_eq!(&counts, &expected[&(name.clone(), generation)]);
            let memsizes: Vec<u64> = group.sums.iter().map(|sum| sum.memsize).collect();
            prop_assert_eq!(&memsizes, &counts.iter().map(|count| count * 40).collect::<Vec<_>>());
            prop_assert_eq!(group.count_delta(), counts[counts.len() - 1] as i64 - counts[0] as i64);
            prop_assert_eq!(group.trend, Trend::of(&memsizes));
        }
    }
}

fn object(generation: u32) -> Option<Object> {
    let trace = (generation > 0).then_some((1, 1, None, generation));
    Some(Object { ty: "OBJECT", class: 0, trace })
}

fn objects(generations: &[u32]) -> Heap {
    heap(&(vec!["A", "B", "C"], generations.iter().map(|generation| object(*generation)).collect()))
}

fn notes(report: &Report) -> Vec<&str> {
    let notes = report.sections.iter().filter_map(|section| match section {
        Section::Note(note) => Some(note.text.as_str()),
        _ => None,
    });
    notes.collect()
}

fn told(heaps: &[Heap]) -> Vec<String> {
    let diff = Diff::new(&named(heaps), &Control::default()).unwrap();
    let report = report(&diff, By::Keys(vec![Key::Class]));
    notes(&report).into_iter().map(str::to_owned).collect()
}

fn report(diff: &Diff<'_>, by: By) -> Report {
    let filter = Filter::default();
    answer(diff, by, &filter, 10, &Control::default()).unwrap().report(&filter, 10)
}

#[test]
fn one_dump_is_no_diff() {
    let heaps = [objects(&[1])];
    let error = Diff::new(&named(&heaps), &Control::default()).unwrap_err();
    assert!(matches!(error, crate::Error::Usage { .. }), "{error}");
}

#[test]
fn a_slot_used_again_is_new_and_what_lay_there_is_gone() {
    let heaps = [objects(&[1, 2, 3]), objects(&[1, 5, 3])];
    let diff = Diff::new(&named(&heaps), &Control::default()).unwrap();
    let reused = diff.heap().node(slot(1)).unwrap();
    assert_eq!(diff.new_objects().collect::<Vec<_>>(), [reused]);
    assert_eq!(diff.gone_objects(&Control::default()).unwrap(), [heaps[0].node(slot(1)).unwrap()]);
    assert_eq!((diff.gone.count, diff.gone.memsize), (1, 40));
    assert_eq!(told(&heaps), Vec::<String>::new());
}

#[test]
fn what_a_compaction_moved_is_kept_and_told() {
    // All of generations 1 to 3 lie one slot lower; the last came after the first dump.
    let after = |generations: &[u32]| {
        heap(&(
            vec!["A", "B", "C"],
            generations.iter().map(|generation| object(*generation).filter(|_| *generation > 0)).collect(),
        ))
    };
    let heaps = [after(&[0, 1, 2, 3, 4]), after(&[1, 2, 3, 4, 9])];
    let diff = Diff::new(&named(&heaps), &Control::default()).unwrap();
    let of = |number| diff.before(0, diff.heap().node(slot(number)).unwrap());
    assert_eq!([0, 1, 2].map(of), [Before::Moved; 3]);
    // The first dump was taken in generation 4: what has it may have come after that.
    assert_eq!([3, 4].map(of), [Before::New; 2]);
    // That of generation 4 is not found again.
    assert_eq!(diff.gone_objects(&Control::default()).unwrap(), [heaps[0].node(slot(4)).unwrap()]);
    assert_eq!(diff.gone.count, 1);
    let told = told(&heaps);
    assert_eq!(told.len(), 1, "{told:?}");
    assert!(told[0].starts_with("3 objects were moved between first and second, by GC.compact"), "{told:?}");
}

#[test]
fn untraced_objects_that_are_not_found_among_traced_ones_are_told() {
    // Ruby 3.1 forgets where objects were allocated that GC.compact moves.
    let told = told(&[objects(&[0, 0, 2, 2]), objects(&[0, 0, 2, 2, 0, 5])]);
    assert_eq!(told.len(), 1, "{told:?}");
    assert!(told[0].starts_with("1 objects without a generation are not where they were in first"), "{told:?}");
}

#[test]
fn with_three_dumps_retained_is_what_came_after_the_first_and_stayed() {
    let heaps = [objects(&[1, 1, 1]), objects(&[1, 1, 5, 5, 6]), objects(&[1, 7, 8, 5, 6, 8])];
    let diff = Diff::new(&named(&heaps), &Control::default()).unwrap();
    let retained: Vec<NodeId> = diff.retained_objects().collect();
    assert_eq!(retained, [3, 4].map(|number| diff.heap().node(slot(number)).unwrap()));
    assert_eq!(diff.new_objects().count(), 5);
}

#[test]
fn dumps_of_different_processes_are_told() {
    let other = heap(&(vec!["X", "Y", "C"], vec![object(1), object(9)]));
    let told = told(&[objects(&[1, 1, 2]), other]);
    assert!(told[0].starts_with("first and second are not of one process"), "{told:?}");
}

/// Of two processes everything is new and everything is gone: that is said first, and such tables are left out.
#[test]
fn what_cannot_be_compared_is_said_before_the_numbers() {
    let other = heap(&(vec!["X", "Y", "C"], vec![object(1), object(9)]));
    let heaps = [objects(&[1, 1, 2]), other];
    let diff = Diff::new(&named(&heaps), &Control::default()).unwrap();
    let names = |by: By| {
        let report = report(&diff, by);
        let name = |section: &Section| match section {
            Section::Note(note) if note.level == Level::Warning => "warning",
            Section::Note(_) => "note",
            Section::Table(table) => table.name,
            Section::Facts(facts) => facts.name,
            _ => "other",
        };
        report.sections.iter().map(name).filter(|name| *name != "note").collect::<Vec<_>>()
    };
    assert_eq!(names(By::Keys(vec![Key::Class])), ["warning", "dumps", "growth"]);
    assert_eq!(names(By::Holder(Holders::default())), ["warning", "dumps"]);
}

#[test]
fn the_tracer_is_not_among_what_is_new() {
    let lines = |tracer: &str| {
        format!(
            "{{\"type\":\"ROOT\", \"root\":\"vm\", \"references\":[\"0x5000\", \"0x5028\"]}}\n\
             {{\"address\":\"0x5000\", \"type\":\"DATA\", \"struct\":\"old\", \"memsize\":40}}\n{tracer}"
        )
    };
    let new = "{\"address\":\"0x5028\", \"type\":\"DATA\", \"struct\":\"ObjectTracing/allocation_info_tracer\", \"memsize\":9000}\n\
               {\"address\":\"0x5050\", \"type\":\"DATA\", \"struct\":\"other\", \"memsize\":50}\n";
    let heaps = [lines(""), lines(new)].map(|lines| heap_of_lines(&lines).0);
    let diff = Diff::new(&named(&heaps), &Control::default()).unwrap();
    assert_eq!(stayed(&diff, &[Key::Class], &Filter::default(), None, &Control::default()).unwrap().total.memsize, 50);
    let report = report(&diff, By::Keys(vec![Key::Class]));
    let facts = report.sections.iter().find_map(|section| match section {
        Section::Facts(facts) => Some(&facts.facts[..2]),
        _ => None,
    });
    let cells: Vec<&Cell> = facts.unwrap().iter().map(|fact| &fact.cell).collect();
    assert_eq!(cells, [&Cell::Count(1), &Cell::Bytes(50)]);
}

#[test]
fn the_wrong_order_is_told() {
    let told = told(&[objects(&[1, 2, 9]), objects(&[1, 2])]);
    assert_eq!(told, ["first is newer than second: give the oldest dump first"]);
}

#[test]
fn what_a_dump_lacks_that_was_cut_off_is_no_sign_of_another_process_nor_of_another_order() {
    // Of every time some, so that the lack of the rest would look like a fork's or a compaction's.
    let generations: Vec<u32> = (0..400).map(|number| 1 + number % 20).collect();
    let objects = generations.iter().map(|generation| object(*generation)).collect();
    let whole = lines(&(vec!["A", "B", "C"], objects));
    let cut = &whole[..whole.len() * 2 / 3];
    for (dumps, name) in
        [([&whole[..], cut, &whole], "second"), ([cut, &whole, &whole], "first"), ([&whole, &whole, cut], "third")]
    {
        let heaps = dumps.map(|lines| heap_of_lines(lines).0);
        let told = told(&heaps);
        let expected = format!("{name} was cut off: what is missing there cannot be told from what came or went");
        assert_eq!(told[0], expected);
        let is_wrong = |note: &&String| ["newer", "process", "moved"].iter().any(|word| note.contains(word));
        assert_eq!(told.iter().find(is_wrong), None);
    }
}

#[test]
fn an_untraced_dump_among_traced_ones_is_told() {
    let told = told(&[objects(&[1, 2]), objects(&[0, 0, 0]), objects(&[1, 2, 9])]);
    assert_eq!(told.len(), 2, "{told:?}");
    assert!(told[0].starts_with("first was traced and second was not"), "{told:?}");
    assert!(told[1].starts_with("third was traced and second was not"), "{told:?}");
    // By address, type and class the first two were there.
    let heaps = [objects(&[1]), objects(&[0, 0]), objects(&[1, 2, 9])];
    let diff = Diff::new(&named(&heaps), &Control::default()).unwrap();
    assert_eq!(diff.retained_objects().collect::<Vec<_>>(), [diff.heap().node(slot(1)).unwrap()]);
}

#[test]
fn untraced_dumps_are_told() {
    let told = told(&[objects(&[0, 0]), objects(&[0, 0, 0])]);
    assert!(told[0].starts_with("first and second were not traced: an object at the address of another"), "{told:?}");
}

#[test]
fn one_file_twice_is_told() {
    let twice = "first and second hold the same objects: are they one dump twice?";
    assert_eq!(told(&[objects(&[1, 2]), objects(&[1, 2])]), [twice]);
    // Also beside others.
    assert_eq!(told(&[objects(&[1, 2]), objects(&[1, 2]), objects(&[1, 2, 5])]), [twice]);
    assert_eq!(
        told(&[objects(&[1]), objects(&[1, 2]), objects(&[1, 2])]),
        ["second and third hold the same objects: are they one dump twice?"]
    );
}

#[test]
fn dumps_of_different_rubies_are_told() {
    let of = |ruby: &str| {
        let source = crate::source::Source::path(format!("tests/dumps/ruby-{ruby}.json.zst"));
        Heap::load(&source, &Default::default()).unwrap()
    };
    let told = told(&[of("3.3-x86_64"), of("3.4-x86_64")]);
    assert!(told[0].contains("not of one process: Ruby 3.3 wrote the one, Ruby 3.4 the other"), "{told:?}");
    assert!(!told.iter().any(|text| text.contains("oldest dump first")), "{told:?}");
}

#[test]
fn the_tracer_does_not_grow() {
    let tracer = |memsize: u32| {
        format!(
            "{{\"type\":\"ROOT\", \"root\":\"vm\", \"references\":[\"0x5000\", \"0x5028\"]}}\n\
             {{\"address\":\"0x5000\", \"type\":\"DATA\", \"struct\":\"ObjectTracing/allocation_info_tracer\", \"memsize\":{memsize}}}\n\
             {{\"address\":\"0x5028\", \"type\":\"DATA\", \"struct\":\"other\", \"memsize\":{}}}\n",
            memsize / 10
        )
    };
    let heaps = [1000, 5000].map(|memsize| heap_of_lines(&tracer(memsize)).0);
    let trees: Vec<Tree> = heaps.iter().map(|heap| Tree::new(heap, &Control::default()).unwrap()).collect();
    let mut dumps = named(&heaps);
    dumps.iter_mut().zip(&trees).for_each(|(dump, tree)| dump.tree = Some(tree));
    let diff = Diff::new(&dumps, &Control::default()).unwrap();
    for retained in [false, true] {
        let groups = growth(&diff, &[Key::Type], &Filter::default(), retained, &Control::default()).unwrap();
        assert_eq!(groups.len(), 1);
        assert_eq!(groups[0].memsize_delta(), 400);
        assert_eq!(groups[0].retained_memsizes.is_some(), retained);
    }
    let told = report(&diff, By::Keys(vec![Key::Class]));
    let fact = told.sections.iter().find_map(|section| match section {
        Section::Facts(facts) => facts.facts.iter().find(|fact| fact.name == "tracer_memsizes"),
        _ => None,
    });
    assert_eq!(fact.unwrap().remark, "in each dump: the cost of tracing, left out here");
}

#[test]
fn growth_knows_what_groups_retain() {
    let held = |count: u64| {
        let held: Vec<String> = (0..count).map(|number| format!("\"0x{:x}\"", slot(number as usize))).collect();
        let mut lines = format!(
            "{{\"type\":\"ROOT\", \"root\":\"vm\", \"references\":[\"0x5000\"]}}\n\
             {{\"address\":\"0x5000\", \"type\":\"ARRAY\", \"references\":[{}], \"memsize\":40}}\n",
            held.join(", ")
        );
        (0..count as usize).for_each(|number| lines += &line(slot(number), &object(1).unwrap()));
        heap_of_lines(&lines).0
    };
    let heaps = [held(1), held(2), held(4)];
    let trees: Vec<Tree> = heaps.iter().map(|heap| Tree::new(heap, &Control::default()).unwrap()).collect();
    let mut dumps = named(&heaps);
    dumps.iter_mut().zip(&trees).for_each(|(dump, tree)| dump.tree = Some(tree));
    let diff = Diff::new(&dumps, &Control::default()).unwrap();
    let groups = growth(&diff, &[Key::Type], &Filter::default(), true, &Control::default()).unwrap();
    let array = groups.iter().find(|group| group.key == [KeyValue::Text("ARRAY".into())]).unwrap();
    assert_eq!(array.memsize_delta(), 0);
    assert_eq!(array.retained_memsizes.as_deref(), Some(&[80, 120, 200][..]));
    assert_eq!(array.trend, Trend::Steady);
}

#[test]
fn trends_tell_growth_from_a_step() {
    let cases: [(&[u64], Trend); 13] = [
        (&[], Trend::Flat),
        (&[5], Trend::Flat),
        (&[5, 5], Trend::Flat),
        (&[5, 9, 5], Trend::Flat),
        (&[5, 4], Trend::Shrinking),
        (&[5, 9, 4], Trend::Shrinking),
        // Of two dumps there is no telling whether it goes on.
        (&[5, 6], Trend::Growing),
        (&[0, 10, 20], Trend::Steady),
        (&[0, 10, 15], Trend::Steady),
        (&[0, 10, 14], Trend::Growing),
        (&[0, 10, 10], Trend::Step),
        (&[0, 10, 9], Trend::Step),
        (&[0, u64::MAX / 2, u64::MAX], Trend::Steady),
    ];
    for (sizes, trend) in cases {
        assert_eq!(Trend::of(sizes), trend, "{sizes:?}");
    }
}

/// A dump of a worker: what it had before it was forked, and as many objects of later generations in slots of its own.
fn worker(number: usize, later: u32) -> Heap {
    let early = (0..200).map(|_| object(1));
    let gap = (0..number * 400).map(|_| None);
    let own = (0..later).map(|at| object(2 + at / 20));
    heap(&(vec!["A"], early.chain(gap).chain(own).collect()))
}

#[test]
fn workers_that_forked_from_one_process_are_not_one_process() {
    let told = told(&[worker(0, 200), worker(1, 300), worker(2, 400)]);
    assert!(told[0].contains("first and third are not of one process"), "{told:?}");
    assert!(told[0].contains("workers that one process forked"), "{told:?}");
    assert!(!told.iter().any(|note| note.contains("GC.compact")), "{told:?}");
}

#[test]
fn what_a_compaction_moved_of_every_time_is_of_one_process() {
    // Each third object lies elsewhere, old ones as well.
    let objects = |moved: usize| -> Vec<Option<Object>> {
        let here = (0..600).map(|at| if at % 3 == 0 && moved > 0 { None } else { object(1 + at / 60) });
        here.chain((0..600).step_by(3).filter(|_| moved > 0).map(|at| object(1 + at / 60))).collect()
    };
    let [one, other] = [0, 1].map(|moved| heap(&(vec!["A"], objects(moved))));
    let told = told(&[one, other]);
    assert!(told.iter().any(|note| note.contains("by GC.compact")), "{told:?}");
    assert!(!told.iter().any(|note| note.contains("not of one process")), "{told:?}");
}

/// A dump that tells when and of which process it was taken.
fn taken(time: &str, pid: u32) -> Heap {
    let meta = format!("{{\"time\":\"{time}\",\"pid\":{pid},\"host\":\"web-1\"}}");
    let first = format!("{{\"type\":\"ROOT\", \"root\":\"heap_inspector\", \"value\":{meta:?}, \"references\":[]}}\n");
    heap_of_lines(&(first + &line(SLOTS, &object(1).unwrap()))).0
}

#[test]
fn dumps_that_tell_their_time_are_put_in_order() {
    let [one, two, three] = [1, 2, 3].map(|hour| taken(&format!("2026-01-02T0{hour}:00:00.000Z"), 7));
    assert_eq!(super::order(&[&three, &one, &two]), Some(vec![1, 2, 0]));
    assert_eq!(super::order(&[&one, &two, &three]), None);
    let plain = objects(&[1]);
    assert_eq!(super::order(&[&three, &one, &plain]), None);
    // What is no time of the form, or of another process, is not believed.
    assert_eq!(super::order(&[&three, &one, &taken("yesterday", 7)]), None);
    assert_eq!(super::order(&[&three, &one, &taken("2026-01-02T02:00:00.000Z", 8)]), None);
}

#[test]
fn dumps_that_tell_of_two_processes_are_not_of_one() {
    let told = told(&[taken("2026-01-02T01:00:00.000Z", 7), taken("2026-01-02T02:00:00.000Z", 8)]);
    assert!(told[0].contains("the one is of process 7, the other of process 8"), "{told:?}");
}
