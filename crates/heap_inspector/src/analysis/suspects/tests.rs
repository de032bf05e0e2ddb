//! What is named and what is not, on dumps made by hand: an `App` that holds something which grows, or only seems to.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use super::{Confidence, Exceptions, Suspect, free, of_diff, of_heap};
use crate::analysis::diff::{Diff, Dump};
use crate::control::Control;
use crate::graph::dominators::Tree;
use crate::graph::random::heap_of_lines;
use crate::graph::shortest_paths::ShortestPaths;
use crate::heap::Heap;
use crate::keys::KeyValue;
use crate::source::Source;
use std::fmt::Write as _;
use std::fs;

const APP: u64 = 0x1000;
const CLASS: [(&str, u64); 6] =
    [("App", APP), ("Item", 0x1028), ("Array", 0x1050), ("String", 0x1078), ("List", 0x10a0), ("Node", 0x10c8)];
const HELD: u64 = 0x2000;

fn item(number: u64) -> u64 {
    0x10_0000 + number * 40
}

fn references(nodes: impl Iterator<Item = u64>) -> String {
    nodes.map(|node| format!("\"0x{node:x}\"")).collect::<Vec<_>>().join(", ")
}

fn class(name: &str) -> u64 {
    CLASS.iter().find(|(known, _)| *known == name).unwrap().1
}

/// The classes, of which `App` refers to what lies at [`HELD`].
fn classes() -> String {
    let all = references(CLASS.iter().map(|(_, address)| *address));
    let mut lines = format!("{{\"type\":\"ROOT\", \"root\":\"vm\", \"references\":[{all}]}}\n");
    for (name, address) in CLASS {
        let held = if name == "App" { references(std::iter::once(HELD)) } else { String::new() };
        writeln!(
            lines,
            "{{\"address\":\"0x{address:x}\", \"type\":\"CLASS\", \"name\":\"{name}\", \"references\":[{held}], \"memsize\":40}}"
        )
        .unwrap();
    }
    lines
}

fn allocated(address: u64, class_name: &str, to: &str, generation: u64) -> String {
    format!(
        "{{\"address\":\"0x{address:x}\", \"type\":\"OBJECT\", \"class\":\"0x{:x}\", \"references\":[{to}], \"file\":\"/app/leak.rb\", \
         \"line\":7, \"method\":\"add\", \"generation\":{generation}, \"memsize\":40}}\n",
        class(class_name)
    )
}

/// An array of an item for each generation, in the slots from the first one on.
fn array(generations: impl Iterator<Item = u64> + Clone) -> String {
    let count = generations.clone().count() as u64;
    let mut lines = classes();
    writeln!(
        lines,
        "{{\"address\":\"0x{HELD:x}\", \"type\":\"ARRAY\", \"class\":\"0x{:x}\", \"references\":[{}], \"memsize\":{}}}",
        class("Array"),
        references((0..count).map(item)),
        40 + count * 8
    )
    .unwrap();
    generations.zip(0..).for_each(|(generation, number)| lines += &allocated(item(number), "Item", "", generation));
    lines
}

fn string(bytes: u64) -> String {
    classes()
        + &format!(
            "{{\"address\":\"0x{HELD:x}\", \"type\":\"STRING\", \"class\":\"0x{:x}\", \"bytesize\":{bytes}, \"memsize\":{}, \
             \"file\":\"/app/log.rb\", \"line\":3, \"method\":\"log\", \"generation\":1}}\n",
            class("String"),
            bytes + 41
        )
}

/// A list of `count` nodes, the first one first; each refers to the next one, and to what `beside` says.
fn list(count: u64, beside: impl Fn(u64) -> Option<u64>) -> String {
    let mut lines = classes() + &allocated(HELD, "List", &references(std::iter::once(item(0))), 1);
    for number in 0..count {
        let next = (number + 1 < count).then(|| item(number + 1));
        lines +=
            &allocated(item(number), "Node", &references(next.into_iter().chain(beside(number))), number / 100 + 1);
    }
    lines
}

fn suspects(dumps: &[String]) -> Vec<Suspect> {
    let loaded: Vec<(Heap, Source)> = dumps.iter().map(|lines| heap_of_lines(lines)).collect();
    let (last, source) = loaded.last().unwrap();
    let control = Control::default();
    let tree = Tree::new(last, &control).unwrap();
    if let [(heap, source)] = &loaded[..] {
        return of_heap(heap, &tree, source, 10, &control).unwrap();
    }
    let dumps: Vec<Dump<'_>> = loaded.iter().map(|(heap, _)| Dump { name: "", heap, tree: None }).collect();
    of_diff(&Diff::new(&dumps, &control).unwrap(), &tree, source, 10, &control).unwrap()
}

fn location(text: &str) -> KeyValue {
    KeyValue::Text(text.into())
}

#[test]
fn names_a_growing_array_by_who_holds_it() {
    let found = suspects(&[array(1..=200), array(1..=400), array(1..=600)]);
    let [suspect] = &found[..] else { panic!("{found:?}") };
    assert_eq!((suspect.holder.as_str(), suspect.class.as_str(), suspect.count), ("App", "Item", 400));
    assert_eq!(suspect.holder_id, Some(suspect.path.steps[0].id));
    assert_eq!(suspect.location, location("/app/leak.rb:7"));
    // Items of 40 bytes, and the array's own 8 for each.
    assert_eq!((suspect.steps.as_slice(), suspect.memsize), (&[9600, 9600][..], 19200));
    assert_eq!((suspect.since, suspect.confidence), (Some(201), Confidence::High));
    assert!(suspect.label.starts_with("Array"), "{}", suspect.label);
    assert_eq!(suspect.path.steps.len(), 3, "{:?}", suspect.path);
    assert_eq!(suspect.id, Some(suspect.path.steps[1].id));
}

/// That a class has no name is not told by how its name begins: Ruby takes any that is no constant's (`set_temporary_name`).
#[test]
fn a_class_whose_name_begins_with_a_parenthesis_is_a_class() {
    let things = |name: &str| {
        [200, 400, 600].map(|count| {
            let mut lines = classes().replace("\"Item\"", &format!("\"{name}\""));
            let held = references((0..count).map(item));
            writeln!(
                lines,
                "{{\"address\":\"0x{HELD:x}\", \"type\":\"ARRAY\", \"class\":\"0x{:x}\", \"length\":{count}, \
                 \"references\":[{held}], \"memsize\":{}}}",
                class("Array"),
                40 + count * 8
            )
            .unwrap();
            for number in 0..count {
                let text = 0x80_0000 + number * 40;
                lines += &allocated(item(number), "Item", &references(std::iter::once(text)), number / 200 + 1);
                writeln!(
                    lines,
                    "{{\"address\":\"0x{text:x}\", \"type\":\"STRING\", \"class\":\"0x{:x}\", \"memsize\":140, \
                     \"file\":\"/app/leak.rb\", \"line\":8, \"generation\":{}}}",
                    class("String"),
                    number / 200 + 1
                )
                .unwrap();
            }
            lines
        })
    };
    for name in ["Thing", "(temp) Thing", "(IMEMO iseq)", "(class, not in the dump)"] {
        let found = suspects(&things(name));
        let [suspect] = &found[..] else { panic!("{name}: {found:?}") };
        assert_eq!((suspect.class.as_str(), suspect.count), (name, 400));
        assert_eq!(suspect.location, location("/app/leak.rb:7"), "{name}");
        assert_eq!(suspect.normalised_path.0, ["App", "Array", name]);
    }
}

/// The dump as it would be without tracing.
fn untraced(lines: &str) -> String {
    let words = lines.lines().map(|line| match (line.find("\"file\""), line.find("\"memsize\"")) {
        (Some(from), Some(to)) if from < to => format!("{}{}\n", &line[..from], &line[to..]),
        _ => format!("{line}\n"),
    });
    words.collect()
}

#[test]
fn names_who_holds_many_objects_where_nothing_was_traced() {
    let found = suspects(&[untraced(&array(1..=200))]);
    let [suspect] = &found[..] else { panic!("{found:?}") };
    assert_eq!((suspect.holder.as_str(), suspect.class.as_str(), suspect.count), ("App", "Item", 200));
    assert_eq!((suspect.memsize, suspect.confidence, suspect.since), (8000, Confidence::Low, None));
    assert!(suspect.reasons[0].contains("since when the dump does not tell"), "{:?}", suspect.reasons);
    assert_eq!(suspect.reasons[1..], ["the accumulation point retains 9.4 KiB, each object in it 40 B at most"]);
    assert_eq!(suspects(&[untraced(&array(1..=9))]), []);
}

#[test]
fn names_the_holder_of_a_list_where_nothing_was_traced() {
    let found = suspects(&[untraced(&list(300, |_| None))]);
    let [suspect] = &found[..] else { panic!("{found:?}") };
    assert_eq!(
        (suspect.holder.as_str(), suspect.class.as_str(), suspect.count, suspect.memsize),
        ("List", "Node", 300, 12_000)
    );
}

#[test]
fn says_what_else_speaks_for_it() {
    let (proc, list, first) = (HELD, 0x3000, 0x50_0000);
    let mut lines = classes();
    let mut line = |address: u64, ty: &str, class: u64, more: &str| {
        writeln!(
            lines,
            "{{\"address\":\"0x{address:x}\", \"type\":\"{ty}\", \"class\":\"0x{class:x}\", {more}, \"memsize\":40}}"
        )
        .unwrap();
    };
    line(0x1100, "CLASS", 0x1100, "\"name\":\"Proc\"");
    line(proc, "DATA", 0x1100, "\"references\":[\"0x3000\"], \"file\":\"/app/hook.rb\", \"line\":4, \"generation\":1");
    let strings = references((0..200).map(|number| first + number * 40));
    line(list, "ARRAY", class("Array"), &format!("\"length\":200, \"references\":[{strings}], \"generation\":1"));
    for number in 0..200u64 {
        let text = ["paid", "open"][number as usize % 2];
        let more = format!(
            "\"value\":\"{text}\", \"bytesize\":4, \"file\":\"/app/leak.rb\", \"line\":7, \"generation\":{}",
            number / 10 + 2
        );
        line(first + number * 40, "STRING", class("String"), &more);
    }
    // They are garbage, but arrays.
    (0..MANY_ARRAYS).for_each(|number| line(0x90_0000 + number * 40, "ARRAY", class("Array"), "\"length\":3"));
    let found = suspects(&[lines]);
    let [suspect] = &found[..] else { panic!("{found:?}") };
    let evidence = [
        "longest of 1,001 arrays",
        "the accumulation point retains 7.9 KiB, each object in it 40 B at most",
        "a closure of /app/hook.rb:4 holds it, by a local variable around the block",
        "200 of these strings have 2 texts in all",
    ];
    assert_eq!(suspect.reasons[1..], evidence);
}

const MANY_ARRAYS: u64 = 1000;

#[test]
fn two_dumps_do_not_tell_a_leak_from_a_cache() {
    let found = suspects(&[array(1..=200), array(1..=400)]);
    let [suspect] = &found[..] else { panic!("{found:?}") };
    assert_eq!((suspect.holder.as_str(), suspect.confidence), ("App", Confidence::Low));
}

#[test]
fn uneven_growth_is_less_sure() {
    let found = suspects(&[array(1..=200), array(1..=400), array(1..=1000)]);
    assert_eq!(found[0].confidence, Confidence::Medium);
    let found = suspects(&[array(1..=200), array(1..=400), array(1..=3000)]);
    assert_eq!(found[0].confidence, Confidence::Low);
}

#[test]
fn a_cache_that_stops_is_no_suspect() {
    assert_eq!(suspects(&[array(1..=200), array(1..=900), array(1..=900)]), []);
}

#[test]
fn a_bounded_cache_is_no_suspect() {
    assert_eq!(suspects(&[array(1..=500), array(501..=1000), array(1001..=1500)]), []);
}

#[test]
fn start_up_data_is_no_suspect() {
    assert_eq!(suspects(&[array(1..=5000), array(1..=5000), array(1..=5000)]), []);
}

#[test]
fn names_a_growing_string_itself() {
    let found = suspects(&[string(10_000), string(30_000), string(50_000)]);
    let [suspect] = &found[..] else { panic!("{found:?}") };
    assert_eq!((suspect.holder.as_str(), suspect.class.as_str(), suspect.count), ("App", "String", 1));
    assert_eq!((suspect.memsize, &suspect.location), (40_000, &location("/app/log.rb:3")));
}

/// An array that was made in the app, of `count` items without a line, or of a gem's; each refers to what `inside` says.
fn array_of_the_app(count: u64, site: &str, inside: impl Fn(u64) -> String) -> String {
    let app = "\"file\":\"/app/list.rb\", \"line\":2, \"generation\":1, ";
    let mut lines = classes();
    writeln!(
        lines,
        "{{\"address\":\"0x{HELD:x}\", \"type\":\"ARRAY\", \"class\":\"0x{:x}\", \"references\":[{}], {app}\"memsize\":{}}}",
        class("Array"),
        references((0..count).map(item)),
        40 + count * 8
    )
    .unwrap();
    for number in 0..count {
        writeln!(
            lines,
            "{{\"address\":\"0x{:x}\", \"type\":\"OBJECT\", \"class\":\"0x{:x}\", \"references\":[{}], {site}\"memsize\":40}}",
            item(number),
            class("Item"),
            inside(number)
        )
        .unwrap();
    }
    lines
}

#[test]
fn where_no_line_of_the_app_allocated_what_came_stands_the_one_that_made_what_takes_it_in() {
    let gem = "\"file\":\"/usr/lib/ruby/gems/3.1.0/gems/shelf-1.0/lib/shelf.rb\", \"line\":7, \"generation\":1, ";
    let found = suspects(&[1000, 2000, 3000].map(|count| array_of_the_app(count, gem, |_| String::new())));
    let [suspect] = &found[..] else { panic!("{found:?}") };
    assert_eq!(suspect.location, location("/usr/lib/ruby/gems/3.1.0/gems/shelf-1.0/lib/shelf.rb:7"));
    assert_eq!(suspect.app_location.as_deref(), Some("/app/list.rb:2"));
    assert!(suspect.reasons.iter().any(|reason| reason.contains("made what takes it in")), "{:?}", suspect.reasons);
}

#[test]
fn what_lost_its_line_is_told_by_the_line_of_what_came_with_it() {
    let dump = |count: u64| {
        let part = |number: u64| item(100_000 + number);
        let mut lines = array_of_the_app(count, "", |number| references(std::iter::once(part(number))));
        (0..count).for_each(|number| lines += &allocated(part(number), "Node", "", 1));
        lines
    };
    let found = suspects(&[1000, 2000, 3000].map(dump));
    let [suspect, ..] = &found[..] else { panic!("{found:?}") };
    assert_eq!((suspect.class.as_str(), &suspect.location), ("Item", &location("/app/leak.rb:7")));
    assert_eq!(suspect.app_location, None);
    assert!(suspect.reasons.iter().any(|reason| reason.contains("their own is lost")), "{:?}", suspect.reasons);
}

#[test]
fn caches_of_calls_stand_behind_the_classes_that_they_come_with() {
    let dump = |count: u64| {
        let cache = |number: u64| item(200_000 + number);
        let mut lines = array((0..count / 2).map(|_| 1));
        writeln!(
            lines,
            "{{\"type\":\"ROOT\", \"root\":\"global_tbl\", \"references\":[{}]}}",
            references((0..count).map(cache))
        )
        .unwrap();
        for number in 0..count {
            writeln!(
                lines,
                "{{\"address\":\"0x{:x}\", \"type\":\"IMEMO\", \"imemo_type\":\"callcache\", \"generation\":1, \"memsize\":40}}",
                cache(number)
            )
            .unwrap();
        }
        lines
    };
    let found = suspects(&[1000, 2000, 3000].map(dump));
    let [first, caches] = &found[..] else { panic!("{found:?}") };
    assert_eq!((first.holder.as_str(), first.class.as_str()), ("App", "Item"));
    assert_eq!((caches.class.as_str(), caches.confidence), ("(IMEMO callcache)", Confidence::Low));
}

#[test]
fn a_list_that_is_appended_to_is_named_by_its_holder() {
    let found = suspects(&[10_000, 20_000, 30_000].map(|count| list(count, |_| None)));
    let [suspect] = &found[..] else { panic!("{found:?}") };
    assert_eq!((suspect.holder.as_str(), suspect.class.as_str(), suspect.count), ("List", "Node", 20_000));
    assert_eq!(suspect.memsize, 800_000);
}

#[test]
fn a_tree_is_held_by_who_holds_its_root() {
    // The root has its children in an array.
    let dump = |count: u64| {
        let mut lines = classes() + &allocated(HELD, "Node", "\"0x3000\"", 1);
        writeln!(
            lines,
            "{{\"address\":\"0x3000\", \"type\":\"ARRAY\", \"class\":\"0x{:x}\", \"references\":[{}], \"memsize\":{}}}",
            class("Array"),
            references((0..count).map(item)),
            40 + count * 8
        )
        .unwrap();
        (0..count).for_each(|number| lines += &allocated(item(number), "Node", "", number / 100 + 1));
        lines
    };
    let found = suspects(&[200, 400, 600].map(dump));
    let [suspect] = &found[..] else { panic!("{found:?}") };
    assert_eq!((suspect.holder.as_str(), suspect.class.as_str(), suspect.count), ("App", "Node", 400));
}

#[test]
fn a_list_whose_every_node_takes_in_another_costs_no_square() {
    const COUNT: u64 = 100_000;
    let beside =
        |since: u64| move |number: u64| -> Vec<u64> { (0..since).map(|at| item(COUNT * (at + 1) + number)).collect() };
    let dump = |steps: u64| {
        let beside = beside(steps);
        // The last one refers to the one of the step before.
        let mut lines = list(COUNT, |number| beside(number).last().copied());
        for number in 0..COUNT {
            let nodes = beside(number);
            for (at, node) in nodes.iter().enumerate() {
                let to = references(at.checked_sub(1).map(|at| nodes[at]).into_iter());
                lines += &allocated(*node, "Node", &to, 1000 + at as u64);
            }
        }
        lines
    };
    // A square takes minutes.
    let found = suspects(&[dump(0), dump(1), dump(2)]);
    let [suspect] = &found[..] else { panic!("{found:?}") };
    assert_eq!((suspect.holder.as_str(), suspect.class.as_str(), suspect.count), ("List", "Node", 2 * COUNT));
}

#[test]
fn one_dump_names_what_has_piled_up_over_many_collections() {
    let found = suspects(&[array(1..=2000)]);
    let suspect = &found[0];
    assert_eq!((suspect.holder.as_str(), suspect.class.as_str(), suspect.count), ("App", "Item", 2000));
    assert_eq!(suspect.confidence, Confidence::Medium);
    assert_eq!(suspect.steps, [0; 0]);
}

fn exceptions(text: &str) -> crate::Result<Exceptions> {
    let file = tempfile::NamedTempFile::new().unwrap();
    fs::write(file.path(), text).unwrap();
    Exceptions::read(file.path())
}

#[test]
fn exceptions_name_holder_class_or_location() {
    let found = suspects(&[array(1..=200), array(1..=400), array(1..=600)]);
    let names = |text: &str| exceptions(text).unwrap().name(&found[0]);
    for text in
        ["App", "Item", "I*m", "/app/leak.rb:7", "*/leak.rb:*", "# all\n\n  App # it is meant to be", "Other\nApp\n"]
    {
        assert!(names(text), "{text:?}");
    }
    for text in ["", "#App", "# App", "Ap", "app", "Other", "leak.rb:7", "App::*"] {
        assert!(!names(text), "{text:?}");
    }
}

#[test]
fn a_bad_exception_is_told_with_file_and_line() {
    let file = tempfile::NamedTempFile::new().unwrap();
    fs::write(file.path(), "App\nIt[em\n").unwrap();
    let error = Exceptions::read(file.path()).unwrap_err();
    assert!(matches!(error, crate::Error::Usage { .. }), "{error}");
    let text = error.to_string();
    assert!(text.contains(&format!("{}: \"It[em\" is not a glob pattern", file.path().display())), "{text}");
    let missing = Exceptions::read(&file.path().with_extension("missing")).unwrap_err();
    assert!(matches!(missing, crate::Error::File { .. }), "{missing}");
}

/// An array that holds items of some slots, each with its generation, and is as long as said.
fn holding(slots: std::ops::Range<u64>, length: u64) -> String {
    let mut lines = classes();
    writeln!(
        lines,
        "{{\"address\":\"0x{HELD:x}\", \"type\":\"ARRAY\", \"class\":\"0x{:x}\", \"length\":{length}, \"references\":[{}], \"memsize\":40}}",
        class("Array"),
        references(slots.clone().map(item))
    )
    .unwrap();
    slots.for_each(|slot| lines += &allocated(item(slot), "Item", "", slot / 10 + 1));
    lines
}

#[test]
fn a_full_cache_that_replaces_a_part_of_it_is_no_suspect() {
    assert_eq!(suspects(&[holding(0..500, 500), holding(150..650, 500), holding(300..800, 500)]), []);
}

#[test]
fn a_place_that_grew_by_more_than_it_lost_ranks_by_the_difference() {
    let found = suspects(&[holding(0..500, 500), holding(100..800, 700), holding(200..1100, 900)]);
    let [suspect] = &found[..] else { panic!("{found:?}") };
    // 300 came in each step and 100 left.
    assert_eq!((&suspect.steps[..], suspect.memsize), (&[8000, 8000][..], 16_000));
}

#[test]
fn what_gives_back_most_of_what_it_takes_in_is_low() {
    let found = suspects(&[holding(0..1000, 1000), holding(600..1720, 1120), holding(1200..2440, 1240)]);
    assert_eq!(found[0].confidence, Confidence::Low);
    assert!(found[0].reasons[0].contains("gave back most"), "{:?}", found[0].reasons);
}

#[test]
fn growth_that_flattens_is_low_and_says_so() {
    let found = suspects(&[array(1..=400), array(1..=900), array(1..=1200)]);
    assert_eq!(found[0].confidence, Confidence::Low);
    assert!(found[0].reasons[0].contains("a fourth dump would tell"), "{:?}", found[0].reasons);
}

#[test]
fn an_array_of_one_length_that_is_filled_is_low() {
    let found = suspects(&[holding(0..300, 4000), holding(0..600, 4000), holding(0..900, 4000)]);
    assert_eq!(found[0].confidence, Confidence::Low);
    assert!(found[0].reasons[0].contains("keeps its length"), "{:?}", found[0].reasons);
}

#[test]
fn what_held_nothing_in_the_first_dump_is_low() {
    let found = suspects(&[array(1..=10), array(1..=210), array(1..=410)]);
    assert_eq!(found[0].confidence, Confidence::Low);
    assert!(found[0].reasons[0].contains("held little"), "{:?}", found[0].reasons);
}

/// An object of a type that holds nothing in the dump, with a size and the memory it has.
fn container(ty: &str, size: &str, memsize: u64) -> String {
    classes()
        + &format!(
            "{{\"address\":\"0x{HELD:x}\", \"type\":\"{ty}\", \"class\":\"0x{:x}\", {size}, \"memsize\":{memsize}, \
             \"file\":\"/app/log.rb\", \"line\":3, \"method\":\"log\", \"generation\":1}}\n",
            class(if ty == "STRING" { "String" } else { "Array" })
        )
}

#[test]
fn growth_within_a_capacity_counts_by_what_is_in_it() {
    for (ty, field, each) in [("STRING", "bytesize", 1), ("ARRAY", "length", 8), ("HASH", "size", 24)] {
        let dumps = [10_000, 20_000, 30_000].map(|size| container(ty, &format!("\"{field}\":{size}"), 1 << 20));
        let found = suspects(&dumps);
        let [suspect] = &found[..] else { panic!("{ty}: {found:?}") };
        assert_eq!(suspect.steps, [10_000 * each; 2], "{ty}");
        assert_eq!(suspect.location, location("/app/log.rb:3"));
    }
}

#[test]
fn a_capacity_that_doubles_is_no_growth() {
    let dumps = [(9000, 10_000), (9001, 20_000), (9002, 40_000)]
        .map(|(size, memsize)| container("STRING", &format!("\"bytesize\":{size}"), memsize));
    assert_eq!(suspects(&dumps), []);
}

#[test]
fn a_hash_that_fills_evenly_is_medium_until_a_fourth_dump() {
    let hash = |size: u64| container("HASH", &format!("\"size\":{size}"), 8 << 20);
    let found = suspects(&[hash(1000), hash(2000), hash(3000)]);
    assert_eq!(found[0].confidence, Confidence::Medium);
    let found = suspects(&[hash(1000), hash(2000), hash(3000), hash(4000)]);
    assert_eq!(found[0].confidence, Confidence::High);
}

#[test]
fn a_value_that_is_replaced_by_a_longer_one_is_low() {
    let text = |number: u64| {
        let held = format!("{:x}", 0x9000 + number * 40);
        string(20_000 * (number + 1))
            .replace("\"0x2000\"", &format!("\"0x{held}\""))
            .replace("\"generation\":1", &format!("\"generation\":{}", number + 1))
    };
    let found = suspects(&[text(0), text(1), text(2)]);
    let [suspect] = &found[..] else { panic!("{found:?}") };
    assert_eq!(
        (suspect.holder.as_str(), suspect.class.as_str(), suspect.confidence),
        ("App", "String", Confidence::Low)
    );
    assert_eq!(suspect.steps, [20_000, 20_000]);
}

#[test]
fn the_line_of_what_c_allocated_is_its_callers() {
    let stacks = r#"{"type":"ROOT", "root":"heap_inspector_stacks", "value":"{\"first\":1,\"frames\":[[-1,\"/app/feed.rb\",31,\"load\"],[1,\"\",0,\"new\"]]}", "references":[]}"#;
    let line = r#""file":"/app/leak.rb", "line":7, "method":"add""#;
    let dumps = [200, 400, 600].map(|last| format!("{stacks}\n{}", array(1..=last)).replace(line, "\"stack\":2"));
    let [suspect] = &suspects(&dumps)[..] else { panic!() };
    assert_eq!(
        (&suspect.location, suspect.app_location.as_deref()),
        (&location("/app/feed.rb:31"), Some("/app/feed.rb:31"))
    );
}

/// Items that nothing holds, of the generations.
fn unheld(generations: impl Iterator<Item = u64>) -> String {
    let held = allocated(HELD, "Item", "", 1);
    generations.fold(classes() + &held, |lines, number| lines + &allocated(item(number), "Node", "", number))
}

#[test]
fn what_nothing_holds_and_yet_stays_is_a_suspect_of_its_own() {
    let found = suspects(&[unheld(1..=200), unheld(1..=400), unheld(1..=600)]);
    let [suspect] = &found[..] else { panic!("{found:?}") };
    assert!(suspect.holder.contains("dumps do not show"), "{}", suspect.holder);
    assert_eq!((suspect.class.as_str(), suspect.count, suspect.confidence), ("Node", 400, Confidence::Medium));
    assert_eq!((&suspect.steps[..], &suspect.location), (&[8000, 8000][..], &location("/app/leak.rb:7")));
}

#[test]
fn what_came_after_the_last_collection_outlived_nothing() {
    const MARKED: &str = r#", "flags":{"marked":true}}"#;
    let marked = |lines: String, is_marked: &dyn Fn(&str) -> bool| -> String {
        let mark = |line: &str| {
            if is_marked(line) { line.strip_suffix('}').unwrap().to_owned() + MARKED } else { line.to_owned() }
        };
        lines.lines().map(|line| mark(line) + "\n").collect()
    };
    let dumps = [unheld(1..=200), unheld(1..=400), unheld(1..=600)];
    let all = dumps.clone().map(|lines| marked(lines, &|line| line.contains("address")));
    assert_eq!(suspects(&all).len(), 1, "the collector marked it, and nothing in the dump leads to it");
    assert_eq!(suspects(&all[2..]).len(), 1);
    let others = dumps.map(|lines| marked(lines, &|line| line.contains("CLASS")));
    assert_eq!(suspects(&others), [], "what is not marked came after the collection, at addresses that are used again");
    assert_eq!(suspects(&others[2..]), []);
}

#[test]
fn what_nothing_holds_in_one_dump_is_low_where_it_is_of_many_collections() {
    let found = suspects(&[unheld(1..=400)]);
    let [suspect] = &found[..] else { panic!("{found:?}") };
    assert!(suspect.holder.contains("dumps do not show"), "{}", suspect.holder);
    assert_eq!((suspect.class.as_str(), suspect.count, suspect.confidence), ("Node", 400, Confidence::Low));
    assert_eq!((suspect.memsize, &suspect.location), (16_000, &location("/app/leak.rb:7")));
    // What is only of the last ones is garbage, what ended long ago waits for a full collection; what was lost may have held it.
    let last = unheld(301..=400);
    assert_eq!(suspects(std::slice::from_ref(&last)), []);
    assert_eq!(suspects(&[unheld(1..=300) + &allocated(0x50_0000, "Item", "", 400)]), []);
    assert_eq!(suspects(&[unheld(1..=400) + "{\"address\":\"0x99"]), []);
}

#[test]
fn garbage_that_goes_is_no_suspect() {
    assert_eq!(suspects(&[unheld(1..=200), unheld(201..=600), unheld(601..=1200)]), []);
    // It was held in the second dump, and is garbage of the last.
    assert_eq!(suspects(&[array(1..=200), array(1..=400), unheld(1..=600)]), []);
}

#[test]
fn a_dump_that_was_cut_off_lets_nothing_be_sure() {
    let whole = array(1..=400);
    let cut = format!("{}{{\"address\":\"0x99", array(1..=200));
    let found = suspects(&[cut, whole, array(1..=600)]);
    assert_eq!(found[0].confidence, Confidence::Low);
    assert!(found[0].reasons[0].contains("was cut off"), "{:?}", found[0].reasons);
}

#[test]
fn what_goes_on_from_list_to_list_is_one_place() {
    // `App` holds a list of the latest, and it goes from there to a list of all.
    let dump = |count: u64| {
        let (latest, all) = (0x3000u64, 0x4000u64);
        let mut lines = classes() + &allocated(HELD, "List", &references([latest, all].into_iter()), 1);
        lines += &allocated(latest, "List", &references((count - 200..count).map(item)), 1);
        lines += &allocated(all, "List", &references((0..count - 200).map(item)), 1);
        (0..count).for_each(|number| lines += &allocated(item(number), "Item", "", number / 10 + 1));
        lines
    };
    let found = suspects(&[dump(400), dump(600), dump(800)]);
    let [suspect] = &found[..] else { panic!("{found:?}") };
    assert_eq!((suspect.class.as_str(), suspect.count, &suspect.steps[..]), ("Item", 400, &[8000, 8000][..]));
}

#[test]
fn what_was_made_in_one_go_stands_behind_what_came_bit_by_bit_where_nothing_was_traced() {
    let list = |address: u64, items: &[u64]| {
        format!(
            "{{\"address\":\"0x{address:x}\", \"type\":\"ARRAY\", \"class\":\"0x{:x}\", \"references\":[{}], \"memsize\":4000}}\n",
            class("Array"),
            references(items.iter().copied())
        )
    };
    let (table, leak) = (0x3000u64, 0x4000u64);
    let side_by_side: Vec<u64> = (0..600).map(item).collect();
    let apart: Vec<u64> = (0..300).map(|number| item(100_000 + number * 50)).collect();
    let mut lines = classes() + &allocated(HELD, "List", &references([table, leak].into_iter()), 1);
    lines += &(list(table, &side_by_side) + &list(leak, &apart));
    side_by_side.iter().chain(&apart).for_each(|at| lines += &allocated(*at, "Item", "", 1));
    let found = suspects(&[untraced(&lines)]);
    let told: Vec<(u64, bool)> =
        found.iter().map(|suspect| (suspect.count, suspect.reasons[0].contains("side by side"))).collect();
    assert_eq!(told, [(300, false), (600, true)]);
}

/// Ruby's shapes and an array of so many items: of what kind grows more is the same to the app.
fn beside_shapes(count: u64, shapes: &str) -> String {
    array((0..count).map(|number| number / 100 + 1))
        + "{\"type\":\"ROOT\", \"root\":\"vm\", \"references\":[\"0x500\"]}\n{\"address\":\"0x10f0\", \"type\":\"CLASS\", \
           \"name\":\"RubyVM\", \"memsize\":40}\n"
        + shapes
}

#[test]
fn rubys_own_tables_stand_behind_what_the_app_holds() {
    let places = |shapes: &dyn Fn(u64) -> String| -> Vec<(String, Confidence)> {
        let dumps: Vec<String> = (1..=3).map(|dump| beside_shapes(dump * 300, &shapes(dump))).collect();
        suspects(&dumps).into_iter().map(|suspect| (suspect.holder, suspect.confidence)).collect()
    };
    let app = || ("App".to_owned(), Confidence::High);
    let of_the_vm = |dump: u64| {
        let bytes = dump * 100_000;
        format!(
            "{{\"address\":\"0x500\", \"type\":\"DATA\", \"class\":\"0x10f0\", \"struct\":\"VM\", \"memsize\":{bytes}}}\n"
        )
    };
    assert_eq!(places(&of_the_vm), [app(), ("RubyVM".to_owned(), Confidence::Low)]);
    let in_tables = |dump: u64| {
        let tables = 0x20_0000..0x20_0000 + dump;
        let mut lines = format!(
            "{{\"address\":\"0x500\", \"type\":\"DATA\", \"struct\":\"VM/shape_tree\", \"references\":[{}], \"memsize\":40}}\n",
            references(tables.clone().map(|number| number * 40))
        );
        for number in tables {
            let address = number * 40;
            writeln!(
                lines,
                "{{\"address\":\"0x{address:x}\", \"type\":\"DATA\", \"struct\":\"VM/managed_id_table\", \"memsize\":100000}}"
            )
            .unwrap();
        }
        lines
    };
    let found = places(&in_tables);
    assert_eq!((found.len(), &found[0], found[1].1), (2, &app(), Confidence::Low), "{found:?}");
}

/// A dump with a first line that tells so.
fn taken(meta: &str, lines: &str) -> String {
    let value = serde_json::to_string(meta).unwrap();
    format!("{{\"type\":\"ROOT\", \"root\":\"heap_inspector\", \"value\":{value}, \"references\":[]}}\n{lines}")
}

/// A dump after so many requests.
fn after(requests: u64, lines: &str) -> String {
    taken(&format!("{{\"work\":{{\"requests\":{requests}}}}}"), lines)
}

#[test]
fn growth_is_told_by_request_and_uneven_steps_of_uneven_work_are_even() {
    let found = suspects(&[after(5, &array(1..=200)), after(105, &array(1..=300)), after(1105, &array(1..=1300))]);
    let [suspect] = &found[..] else { panic!("{found:?}") };
    let rate = suspect.rate.as_ref().unwrap();
    assert_eq!(rate.words(&suspect.class), "+1.00 Item and 48 B per request");
    assert_eq!((rate.work, rate.whole(), suspect.confidence), (1100, Some(1), Confidence::High));
    assert!(suspect.reasons[0].starts_with("it grew evenly in each step for the work in it"), "{:?}", suspect.reasons);
    // Without the counts the second step is ten times the first.
    let found = suspects(&[array(1..=200), array(1..=300), array(1..=1300)]);
    assert!(found.iter().all(|suspect| suspect.rate.is_none() && suspect.confidence == Confidence::Low), "{found:?}");
}

#[test]
fn a_step_without_work_is_left_out() {
    let idle = [
        after(5, &array(1..=200)),
        after(105, &array(1..=400)),
        after(105, &array(1..=400)),
        after(205, &array(1..=600)),
    ];
    let found = suspects(&idle);
    let [suspect] = &found[..] else { panic!("{found:?}") };
    assert_eq!((suspect.confidence, &suspect.steps[..]), (Confidence::High, &[9600, 0, 9600][..]));
    assert_eq!(suspect.rate.as_ref().unwrap().words("Item"), "+2.00 Item and 96 B per request");
    // Nothing grows in a step that had work.
    assert!(
        suspects(&[after(5, &array(1..=200)), after(105, &array(1..=400)), after(205, &array(1..=400))]).is_empty()
    );
}

/// Items of which the first few should be gone.
fn left(count: u64, lines: &str) -> String {
    let addresses: Vec<String> = (0..count).map(|number| format!("\"0x{:x}\"", item(number))).collect();
    let left = format!(r#"{{"reason":"closed","count":{count},"seconds":40,"addresses":[{}]}}"#, addresses.join(","));
    taken(&format!("{{\"uncollected\":[{left}]}}"), lines)
}

#[test]
fn what_should_be_gone_comes_first() {
    let [one] = &suspects(&[left(3, &untraced(&array(1..=12)))])[..] else { panic!("one suspect") };
    assert_eq!((one.holder.as_str(), one.class.as_str(), one.count, one.memsize), ("App", "Item", 3, 120));
    assert_eq!(one.confidence, Confidence::High);
    assert!(
        one.reasons[0].starts_with("the app said that 3 such objects should be gone (closed), up to 40 s"),
        "{:?}",
        one.reasons
    );
    // Where it grows too it is the same suspect.
    let found = suspects(&[array(1..=200), array(1..=400), left(3, &array(1..=600))]);
    let [one] = &found[..] else { panic!("{found:?}") };
    assert_eq!((one.count, one.memsize, one.reasons.len() > 1), (400, 19200, true));
    assert!(one.reasons[0].starts_with("the app said"), "{:?}", one.reasons);
}

#[test]
fn what_a_dump_says_should_be_gone_is_not_believed() {
    for meta in [
        r#"{"uncollected":7}"#,
        r#"{"uncollected":[{"count":-1}]}"#,
        r#"{"uncollected":[{"count":1,"addresses":["0xzz","","0x","0xffffffffffffffffff","0x7"]}]}"#,
        r#"{"uncollected":[{"count":1,"addresses":[17]}]}"#,
    ] {
        assert_eq!(
            suspects(&[taken(meta, &untraced(&array(1..=12)))]),
            suspects(&[untraced(&array(1..=12))]),
            "{meta}"
        );
    }
}

const TENANTS: u64 = 200;
const OTHER: u64 = 0x10f0;

/// `App` holds a register of tenants (each a `Node` with a `List`), each with a list of the items that `held` says; another class holds
/// as many items in a list of its own as `others` says.
fn tenants(held: impl Fn(u64) -> std::ops::Range<u64>, others: u64) -> String {
    let array = |address: u64, nodes: &mut dyn Iterator<Item = u64>| {
        let nodes: Vec<u64> = nodes.collect();
        format!(
            "{{\"address\":\"0x{address:x}\", \"type\":\"ARRAY\", \"class\":\"0x{:x}\", \"length\":{}, \"references\":[{}], \"memsize\":{}}}\n",
            class("Array"),
            nodes.len(),
            references(nodes.iter().copied()),
            40 + nodes.len() * 8
        )
    };
    let part = |tenant: u64, number: u64| 0x100_0000 + tenant * 0x1_0000 + number * 40;
    let mut lines = classes() + &array(HELD, &mut (0..TENANTS).map(|tenant| part(tenant, 0)));
    for tenant in 0..TENANTS {
        let items = || held(tenant).map(|number| part(tenant, 10 + number));
        lines += &allocated(part(tenant, 0), "Node", &references(std::iter::once(part(tenant, 1))), 1);
        lines += &allocated(part(tenant, 1), "List", &references(std::iter::once(part(tenant, 2))), 1);
        lines += &array(part(tenant, 2), &mut items());
        items().for_each(|item| lines += &allocated(item, "Item", "", 1));
    }
    writeln!(lines, "{{\"type\":\"ROOT\", \"root\":\"vm\", \"references\":[\"0x{OTHER:x}\"]}}").unwrap();
    writeln!(
        lines,
        "{{\"address\":\"0x{OTHER:x}\", \"type\":\"CLASS\", \"name\":\"Other\", \"references\":[\"0x{:x}\"], \"memsize\":40}}",
        HELD + 40
    )
    .unwrap();
    lines += &array(HELD + 40, &mut (0..others).map(item));
    (0..others).for_each(|number| lines += &allocated(item(number), "Item", "", 1));
    lines
}

fn told(found: &[Suspect]) -> Vec<(&str, u64, u64, &[u64], Confidence)> {
    found
        .iter()
        .map(|one| (&one.holder[..], one.accumulation_point_count, one.count, &one.steps[..], one.confidence))
        .collect()
}

#[test]
fn many_small_places_that_are_one_rank_by_their_sum() {
    // Ten items of 40 bytes for each, and 8 in its list, are noise; those of all are not. The other list takes in as much as twenty.
    let dump = |number: u64| tenants(|_| 0..10 * number, 200 * number);
    let found = suspects(&[dump(1), dump(2), dump(3)]);
    assert_eq!(
        told(&found),
        [
            ("List", TENANTS, 4000, &[96_000, 96_000][..], Confidence::High),
            ("Other", 1, 400, &[9600, 9600][..], Confidence::High)
        ]
    );
}

#[test]
fn places_that_are_one_are_believed_by_what_they_do_together() {
    // Each grows in one step only, which is none; all of them grow evenly.
    let dump = |number: u64| {
        let of =
            move |tenant: u64| 0..20 + if tenant.is_multiple_of(2) { number.min(2) * 20 } else { number.max(2) * 20 };
        tenants(of, 10)
    };
    let found = suspects(&[dump(1), dump(2), dump(3)]);
    assert_eq!(told(&found), [("List", TENANTS, 4000, &[96_000, 96_000][..], Confidence::High)]);
    // Unevenly.
    let dump = |number: u64| tenants(move |_| 0..100 + number * number * number * 5, 10);
    let found = suspects(&[dump(1), dump(2), dump(3)]);
    assert_eq!(told(&found), [("List", TENANTS, 26_000, &[336_000, 912_000][..], Confidence::Medium)]);
}

#[test]
fn places_that_are_one_do_not_grow_where_some_give_back_what_others_take_in() {
    // All take in new items, half of them fewer than they let go.
    let dump = |number: u64| {
        let of =
            move |tenant: u64| number * 100..number * 100 + if (tenant + number).is_multiple_of(2) { 40 } else { 60 };
        tenants(of, 10)
    };
    assert_eq!(suspects(&[dump(1), dump(2), dump(3)]), []);
}

#[test]
fn many_small_places_of_one_dump_are_one() {
    let found = suspects(&[tenants(|_| 0..12, 600)]);
    let told: Vec<(&str, u64, u64)> =
        found.iter().map(|one| (&one.holder[..], one.accumulation_point_count, one.count)).collect();
    // The register's tenants are one point above that; the other list holds a fourth.
    assert_eq!(told, [("App", 1, TENANTS), ("List", TENANTS, 2400), ("Other", 1, 600)]);
}

#[test]
fn what_else_holds_what_piles_up_is_named() {
    let dump = |count: u64| {
        let kept = references((0..count / 20).map(item));
        array(1..=count)
            + &format!(
                "{{\"type\":\"ROOT\", \"root\":\"vm\", \"references\":[\"0x{OTHER:x}\"]}}\n{{\"address\":\"0x{OTHER:x}\", \"type\":\"CLASS\", \
                 \"name\":\"Other\", \"references\":[{kept}], \"memsize\":40}}\n"
            )
    };
    let loaded: Vec<(Heap, Source)> = [200, 400, 600].iter().map(|count| heap_of_lines(&dump(*count))).collect();
    let (last, source) = loaded.last().unwrap();
    let control = Control::default();
    let tree = Tree::new(last, &control).unwrap();
    let shortest_paths = ShortestPaths::new(last, &control).unwrap();
    let dumps: Vec<Dump<'_>> = loaded.iter().map(|(heap, _)| Dump { name: "", heap, tree: None }).collect();
    let diff = Diff::new(&dumps, &control).unwrap();
    let mut found = of_diff(&diff, &tree, source, 10, &control).unwrap();
    free(&mut found, last, &tree, source, Some(&diff), || Ok(&shortest_paths), &control).unwrap();
    let freed = found[0].freed.clone().unwrap();
    assert_eq!((freed.count, freed.kept), (570, 30), "{found:?}");
    assert_eq!(
        freed.kept_words(),
        "30 of them are also held by Other (Other constant or variable → Item), and would stay"
    );
}

/// An array of items, each with a string of its own; items and strings lie in slots from these on.
fn items_of_strings(items: std::ops::Range<u64>, strings: std::ops::Range<u64>) -> String {
    let mut lines = classes();
    let text = |number: u64| 0x80_0000 + number * 40;
    writeln!(
        lines,
        "{{\"address\":\"0x{HELD:x}\", \"type\":\"ARRAY\", \"class\":\"0x{:x}\", \"references\":[{}], \"memsize\":{}}}",
        class("Array"),
        references(items.clone().map(item)),
        40 + (items.end - items.start) * 8
    )
    .unwrap();
    for (at, string) in items.zip(strings) {
        lines += &untraced(&allocated(item(at), "Item", &references(std::iter::once(text(string))), 1));
        writeln!(
            lines,
            "{{\"address\":\"0x{:x}\", \"type\":\"STRING\", \"class\":\"0x{:x}\", \"bytesize\":200, \"memsize\":240}}",
            text(string),
            class("String")
        )
        .unwrap();
    }
    lines
}

#[test]
fn what_lies_where_other_strings_lay_is_as_new_as_what_it_is_part_of() {
    // All is given back between the dumps, and the strings lie where others lay.
    let tide = suspects(&[
        items_of_strings(0..50, 0..50),
        items_of_strings(100..200, 0..100),
        items_of_strings(300..450, 0..150),
    ]);
    assert!(tide.is_empty(), "{tide:?}");
    let found =
        suspects(&[items_of_strings(0..50, 0..50), items_of_strings(0..100, 0..100), items_of_strings(0..150, 0..150)]);
    let [suspect] = &found[..] else { panic!("{found:?}") };
    assert_eq!((suspect.class.as_str(), suspect.count, suspect.confidence), ("Item", 100, Confidence::High));
}

#[test]
fn what_grows_in_a_constant_is_told_by_the_line_that_sets_it() {
    let dump = |bytes: u64, file: &str| {
        let site = ", \"file\":\"/app/log.rb\", \"line\":3, \"method\":\"log\", \"generation\":1";
        let app = format!("\"references\":[\"0x{HELD:x}\"]");
        let set = format!("\"references\":[\"0x{HELD:x}\", \"0x3000\"], \"names\":[\"BOOK\", \"{file}\"]");
        let native = "{\"type\":\"ROOT\", \"root\":\"heap_inspector\", \"value\":\"{\\\"version\\\":2,\\\"dumper\\\":\\\"native\\\"}\", \
                      \"references\":[]}\n";
        let path = format!(
            "{{\"address\":\"0x3000\", \"type\":\"STRING\", \"class\":\"0x{:x}\", \"bytesize\":12, \"value\":\"/app/book.rb\", \
             \"memsize\":40}}\n",
            class("String")
        );
        format!("{native}{}{path}", string(bytes).replace(&app, &set).replace(site, ""))
    };
    let told = |file: &str| {
        let found = suspects(&[10_000, 30_000, 50_000].map(|bytes| {
            let lines = dump(bytes, file);
            assert!(lines.contains("BOOK"), "{lines}");
            lines
        }));
        let [suspect] = &found[..] else { panic!("{found:?}") };
        (suspect.holder.clone(), suspect.location.clone())
    };
    assert_eq!(told("(file of BOOK, line 7)"), ("App::BOOK".to_owned(), location("/app/book.rb:7")));
    let untold = KeyValue::Absent(crate::keys::Absent::Untraced);
    for other in [
        "(file of SHELF, line 7)",
        "(file of a constant)",
        "(file of BOOK, line x)",
        "(file of BOOK, line 0)",
        "(file of BOOK)",
        "FILE",
    ] {
        assert_eq!(told(other), ("App::BOOK".to_owned(), untold.clone()), "{other}");
    }
}
