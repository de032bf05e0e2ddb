//! What the library counts in the dumps of eight Rubies, against a count that knows nothing of it: serde_json, line by line.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use heap_inspector::control::Control;

use heap_inspector::analysis::{Order, fragmentation, generations, groups, strings, summary};
use heap_inspector::heap::{Heap, Target};
use heap_inspector::keys::{Key, KeyValue};
use heap_inspector::scan::Options;
use heap_inspector::select::Filter;
use heap_inspector::source::Source;
use serde_json::Value;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::path::PathBuf;

const DUMPS: [&str; 8] = [
    "ruby-2.7-x86_64",
    "ruby-3.1-x86_64",
    "ruby-3.2-wasm32",
    "ruby-3.3-x86_64",
    "ruby-3.4-x86_64",
    "ruby-3.4-native-zoo",
    "ruby-4.0-wasm32",
    "ruby-4.1-native-zoo",
];

fn path(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/dumps").join(format!("{name}.json.zst"))
}

/// The lines of a dump as trees.
fn lines(name: &str) -> Vec<Value> {
    let bytes = zstd::decode_all(std::fs::File::open(path(name)).unwrap()).unwrap();
    bytes
        .split(|byte| *byte == b'\n')
        .filter(|line| !line.is_empty())
        .map(|line| serde_json::from_slice(line).unwrap())
        .collect()
}

/// The addresses of all lines.
fn addresses(lines: &[Value]) -> HashSet<&str> {
    lines.iter().filter_map(|line| line["address"].as_str()).collect()
}

/// The references of a line, with the one that Ruby up to 3.1 prints as an IMEMO's class, where it is an object's address.
fn references<'a>(line: &'a Value, known: &HashSet<&str>) -> Vec<&'a Value> {
    let mut references: Vec<&Value> = line["references"].as_array().into_iter().flatten().collect();
    let strong = ["cref", "ment", "env", "iseq", "svar", "memo", "constcache"];
    if line["type"] == "IMEMO" && line.get("imemo_type").is_some_and(|sort| strong.contains(&text(sort))) {
        references.extend(line.get("class").filter(|class| known.contains(text(class))));
    }
    references
}

fn is_object(line: &Value) -> bool {
    line.get("address").is_some() && !matches!(line["type"].as_str(), Some("ROOT" | "SHAPE" | "NONE" | "ZOMBIE"))
}

type Sums = BTreeMap<String, (u64, u64)>;

/// Count and bytes of the objects by whatever `key` says of them.
fn sums(lines: &[Value], key: impl Fn(&Value) -> String) -> Sums {
    let mut sums = Sums::new();
    for line in lines.iter().filter(|line| is_object(line)) {
        let sum = sums.entry(key(line)).or_default();
        sum.0 += 1;
        sum.1 += line["memsize"].as_u64().unwrap_or(0);
    }
    sums
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

fn is_tracer(line: &Value) -> bool {
    text(&line["struct"]) == "ObjectTracing/allocation_info_tracer"
}

fn expected(lines: &[Value], key: Key) -> Sums {
    let site = |line: &Value, of: &dyn Fn(&Value) -> String| {
        if is_tracer(line) {
            "(allocation tracer)".into()
        } else if line.get("file").is_none() && line.get("generation").is_none() {
            "(untraced)".into()
        } else if matches!(text(&line["file"]), "" | "(null)") {
            "(no Ruby file)".into()
        } else {
            of(line)
        }
    };
    match key {
        Key::Generation => sums(lines, |line| line["generation"].to_string()),
        Key::Type => sums(lines, |line| text(&line["type"]).into()),
        Key::File => sums(lines, |line| site(line, &|line| text(&line["file"]).into())),
        Key::Location => sums(lines, |line| {
            site(line, &|line| match line["line"].as_u64() {
                Some(1..) => format!("{}:{}", text(&line["file"]), line["line"]),
                _ => text(&line["file"]).into(),
            })
        }),
        Key::Imemo => sums(lines, |line| line.get("imemo_type").map_or("null".into(), |sort| text(sort).into())),
        Key::Struct => sums(lines, |line| line.get("struct").map_or("null".into(), |name| text(name).into())),
        Key::SlotSize => sums(lines, |line| line["slot_size"].to_string()),
        Key::Shape => sums(lines, |line| line["shape_id"].to_string()),
        Key::Frozen => sums(lines, |line| (line["frozen"] == true).to_string()),
        Key::Old => sums(lines, |line| (line["flags"]["old"] == true).to_string()),
        Key::Encoding => sums(lines, |line| match text(&line["type"]) {
            "STRING" => line.get("encoding").map_or("BINARY".into(), |encoding| text(encoding).into()),
            _ => "null".into(),
        }),
        _ => unreachable!("no independent count of {key}"),
    }
}

const COUNTED: [Key; 11] = [
    Key::Generation,
    Key::Type,
    Key::File,
    Key::Location,
    Key::Imemo,
    Key::Struct,
    Key::SlotSize,
    Key::Shape,
    Key::Frozen,
    Key::Old,
    Key::Encoding,
];

fn found(groups: &groups::Groups) -> Sums {
    let name = |value: &KeyValue| match value {
        KeyValue::None => "null".into(),
        KeyValue::Number(number) => number.to_string(),
        KeyValue::Flag(flag) => flag.to_string(),
        KeyValue::Text(text) | KeyValue::NoClass(text) => text.clone(),
        KeyValue::Stack(stack) => stack.text.clone(),
        KeyValue::Absent(absent) => absent.words().into(),
    };
    groups.groups.iter().map(|group| (name(&group.key[0]), (group.sum.count, group.sum.memsize))).collect()
}

#[test]
fn groups_are_those_of_an_independent_count() {
    for dump in DUMPS {
        let lines = lines(dump);
        let heap = Heap::load(&Source::path(path(dump)), &Control { threads: 2, ..Control::default() }.into()).unwrap();
        for key in COUNTED {
            let options = groups::Options { by: vec![key], ..groups::Options::default() };
            let expected = expected(&lines, key);
            let streamed = groups::read(&Source::path(path(dump)), &options, &Options::default()).unwrap().0;
            assert_eq!(found(&streamed), expected, "{dump} by {key}");
            assert_eq!(
                groups::groups(&heap, &options, &Control::default()).unwrap(),
                streamed,
                "{dump} by {key}, loaded"
            );
        }
    }
}

#[test]
fn a_loaded_heap_holds_what_the_lines_say() {
    for dump in DUMPS {
        let lines = lines(dump);
        let heap = Heap::load(&Source::path(path(dump)), &Control { threads: 3, ..Control::default() }.into()).unwrap();
        let all = addresses(&lines);
        let objects: Vec<&Value> = lines.iter().filter(|line| is_object(line)).collect();
        let address = |value: &Value| u64::from_str_radix(text(value).trim_start_matches("0x"), 16).unwrap();
        let known: HashMap<u64, usize> =
            objects.iter().enumerate().map(|(at, line)| (address(&line["address"]), at)).collect();
        assert_eq!(heap.object_count(), objects.len(), "{dump}");
        let mut dangling = 0;
        for (id, line) in heap.nodes().zip(&objects) {
            assert_eq!(heap.address(id), address(&line["address"]), "{dump}");
            assert_eq!(heap.node(heap.address(id)), Some(id), "{dump}");
            assert_eq!(heap.bytes(id), line["memsize"].as_u64().unwrap_or(0), "{dump}");
            let references: Vec<u64> = references(line, &all).iter().map(|value| address(value)).collect();
            let targets: Vec<u64> = heap
                .references(id)
                .map(|target| match target {
                    Target::Node(id) => heap.address(id),
                    Target::Dangling(address) => {
                        dangling += 1;
                        assert!(!known.contains_key(&address), "{dump}: 0x{address:x} is in the dump");
                        address
                    }
                })
                .collect();
            assert_eq!(targets, references, "{dump}");
            let class = line.get("class").filter(|_| line["type"] != "IMEMO").map(address);
            let class = class.and_then(|class| known.get(&class)).map(|at| address(&objects[*at]["address"]));
            assert_eq!(heap.class(id).map(|id| heap.address(id)), class, "{dump}");
        }
        assert_eq!(heap.dangling_count(), dangling, "{dump}");
        let roots: usize = lines
            .iter()
            .filter(|line| line["type"] == "ROOT")
            .map(|line| line["references"].as_array().unwrap().len())
            .sum();
        assert_eq!(heap.roots().iter().map(|root| root.targets.len()).sum::<usize>(), roots, "{dump}");
        assert_eq!(heap.shapes().len(), lines.iter().filter(|line| line["type"] == "SHAPE").count(), "{dump}");
    }
}

#[test]
fn totals_are_those_of_an_independent_count() {
    for dump in DUMPS {
        let lines = lines(dump);
        let totals = summary::read(&Source::path(path(dump)), &Filter::default(), 5, &Options::default())
            .unwrap()
            .context
            .totals;
        let count = |of: &dyn Fn(&&Value) -> bool| lines.iter().filter(of).count() as u64;
        assert_eq!(totals.objects.count, count(&|line| is_object(line)), "{dump}");
        assert_eq!(totals.traced.count, count(&|line| is_object(line) && line.get("generation").is_some()), "{dump}");
        assert_eq!(totals.tracer.count, count(&|line| is_tracer(line)), "{dump}");
        assert_eq!(totals.shapes, count(&|line| line["type"] == "SHAPE"), "{dump}");
        assert_eq!(totals.roots.len() as u64, count(&|line| line["type"] == "ROOT"), "{dump}");
        let all = addresses(&lines);
        let references: u64 =
            lines.iter().filter(|line| is_object(line)).map(|line| references(line, &all).len() as u64).sum();
        assert_eq!(totals.objects.references, references, "{dump}");
        let series = match dump.split('-').nth(1).unwrap() {
            "2.7" => "2.5 to 2.7", // the dump has nothing that tells them apart
            series => series,
        };
        assert_eq!(totals.ruby_version.series(), series, "{dump}");
    }
}

#[test]
fn generations_come_in_order_and_add_up() {
    for dump in DUMPS {
        let source = Source::path(path(dump));
        let (all, context) = generations::read(&source, Filter::default(), None, &Options::default()).unwrap();
        assert!(all.generations.is_sorted_by_key(|generation| generation.number), "{dump}");
        assert_eq!(all.total.memsize, context.totals.objects.memsize, "{dump}");
        let (some, _) = generations::read(&source, Filter::default(), Some(2), &Options::default()).unwrap();
        assert_eq!(some.generations.len(), 2, "{dump}");
        let sum: u64 = some.generations.iter().map(|generation| generation.sum.count).sum();
        assert_eq!(sum + some.rest.count, all.total.count, "{dump}");
    }
}

#[test]
fn duplicate_strings_are_those_of_an_independent_count() {
    for dump in DUMPS {
        let mut texts: HashMap<String, Vec<u64>> = HashMap::new();
        for line in lines(dump).iter().filter(|line| line["type"] == "STRING") {
            let text = match line.get("value") {
                Some(value) => text(value).to_owned(),
                None if line["bytesize"] == 0 => String::new(),
                None => continue,
            };
            texts.entry(text).or_default().push(line["memsize"].as_u64().unwrap_or(0));
        }
        texts.retain(|_, sizes| sizes.len() > 1);
        let wasted = |sizes: &[u64]| sizes.iter().sum::<u64>() - sizes.iter().max().unwrap();
        let source = Source::path(path(dump));
        let (found, _) =
            strings::read(&source, &Filter::default(), Order::Bytes, 1_000_000, &Options::default()).unwrap();
        assert_eq!(found.duplicate_texts, texts.len() as u64, "{dump}");
        assert_eq!(found.wasted, texts.values().map(|sizes| wasted(sizes)).sum::<u64>(), "{dump}");
        let mut seen = HashSet::new();
        for string in found.duplicates.iter().filter(|string| !string.is_cut) {
            assert!(seen.insert(&string.value), "{dump}: {:?} twice", string.value);
            let sizes = &texts[&string.value];
            assert_eq!(
                (string.count, string.wasted),
                (sizes.len() as u64, wasted(sizes)),
                "{dump}: {:?}",
                string.value
            );
            let named: u64 = string.sites.iter().map(|(_, count)| count).sum();
            assert_eq!(named == string.count, string.rest_sites == 0, "{dump}: {:?}", string.value);
        }
    }
}

#[test]
fn any_number_of_threads_finds_the_same() {
    let options = groups::Options { by: vec![Key::Class, Key::Gem, Key::Method], ..groups::Options::default() };
    let read = |threads| {
        let scanning = Control { threads, ..Control::default() };
        groups::read(&Source::path(path(DUMPS[3])), &options, &scanning.into()).unwrap().0
    };
    let one = read(1);
    assert!(one.groups.len() > 10);
    for threads in [2, 3, 8] {
        assert_eq!(read(threads), one, "{threads} threads");
    }
}

#[test]
fn a_loaded_heap_and_a_pass_over_its_dump_give_one_summary() {
    for dump in DUMPS {
        let source = Source::path(path(dump));
        let options = Control { threads: 2, ..Control::default() };
        let heap = Heap::load(&source, &options.into()).unwrap();
        for filter in [Filter::default(), "type=STRING|ARRAY,memsize=41..".parse().unwrap()] {
            let read = summary::read(&source, &filter, 5, &options.into()).unwrap();
            assert!(read.pages.as_ref().is_some_and(|pages| !pages.is_empty()), "{dump}");
            assert_eq!(
                summary::summary(&heap, &filter, 5, &Control::default()).unwrap().report(dump),
                read.report(dump),
                "{dump}"
            );
        }
    }
}

#[test]
fn summary_and_fragmentation_count_the_same_pages() {
    for dump in DUMPS {
        let (source, options) = (Source::path(path(dump)), Options::default());
        let read = summary::read(&source, &Filter::default(), 1, &options).unwrap().pages.unwrap();
        let heap = Heap::load(&source, &options).unwrap();
        let found = fragmentation::fragmentation(&heap, &[], &Filter::default(), 1, &options.control).unwrap();
        assert_eq!(read, found.by_size, "{dump}");
        assert_eq!(heap.pages().unwrap(), found.by_size, "{dump}");
        assert_eq!(read.iter().map(|size| size.pages.slots).sum::<u64>(), found.pages.slots, "{dump}");
        assert!(found.pages.slots >= heap.object_count() as u64, "{dump}");
    }
}
