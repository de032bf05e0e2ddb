//! Hostile dumps of twice the size take twice the memory, not four times: bytes that are asked for in all are counted, not seconds.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use cap::Cap;
use heap_inspector::analysis::{Context, dominator_tree, groups, paths, show, suspects};
use heap_inspector::control::Control;
use heap_inspector::graph::dominators::{Dominator, Tree};
use heap_inspector::heap::{Heap, NodeId};
use heap_inspector::keys::Key;
use heap_inspector::scan::Options;
use heap_inspector::source::Source;
use heap_inspector::view::{self, Format, TextStyle};
use std::alloc::System;
use std::fmt::Write as _;
use std::io::{Cursor, Read};
use std::sync::Mutex;

#[global_allocator]
static ALLOCATOR: Cap<System> = Cap::new(System, usize::MAX);

/// What is counted is the process's: one test after another.
static ALONE: Mutex<()> = Mutex::new(());

const ONE_THREAD: Options<'_> =
    Options { strict: false, app: None, control: Control { threads: 1, cancel: None, progress: None } };

fn source(dump: String) -> Source {
    Source::reader(Cursor::new(dump.into_bytes()), "a dump").spooled()
}

/// How many times its dump each of a dump of `size` and one of twice that takes in all.
fn factors(size: usize, dump: impl Fn(usize) -> String, work: impl Fn(&Source)) -> [f64; 2] {
    [size, 2 * size].map(|size| {
        let dump = dump(size);
        let length = dump.len() as f64;
        let source = source(dump);
        let before = ALLOCATOR.total_allocated();
        work(&source);
        (ALLOCATOR.total_allocated() - before) as f64 / length
    })
}

/// Twice the dump takes at most about twice as much, and that is so many times the dump at most.
#[track_caller]
fn assert_linear(what: &str, [one, other]: [f64; 2], most: f64) {
    assert!(other < one * 1.3 + 1.0 && other < most, "{what}: {one:.1} and {other:.1} times the dump");
}

fn address(number: usize) -> String {
    format!("0x{:x}", 0x7f00_0000_0000 + 40 * number)
}

const ROOT: &str = "{\"type\":\"ROOT\", \"root\":\"vm\", \"references\":[\"0x7f0000000000\"]}\n";

#[test]
fn long_names_are_not_copied_for_each_class_that_bears_them() {
    let _alone = ALONE.lock().unwrap();
    // A class with a name of a megabyte, its singleton classes, and an object of each.
    let dump = |count: usize| {
        let name = "N".repeat(count << 10);
        let mut dump = format!(
            "{ROOT}{{\"address\":\"{}\", \"type\":\"CLASS\", \"name\":\"{name}\", \"memsize\":40}}\n",
            address(0)
        );
        for number in 1..count {
            let (class, object, above) = (address(2 * number), address(2 * number + 1), address(2 * (number - 1)));
            writeln!(dump, "{{\"address\":\"{class}\", \"type\":\"CLASS\", \"superclass\":\"{above}\", \"singleton\":true, \"memsize\":40}}").unwrap();
            writeln!(dump, "{{\"address\":\"{object}\", \"type\":\"OBJECT\", \"class\":\"{class}\", \"memsize\":40}}")
                .unwrap();
        }
        dump
    };
    let all = groups::Options { by: vec![Key::Class], limit: None, ..groups::Options::default() };
    let found = factors(500, dump, |source| drop(groups::read(source, &all, &ONE_THREAD).unwrap()));
    assert_linear("groups by class", found, 40.0);
    let found = factors(500, dump, |source| drop(Heap::load(source, &ONE_THREAD).unwrap()));
    assert_linear("a loaded heap", found, 60.0);
    let shown = factors(500, dump, |source| {
        let heap = Heap::load(source, &ONE_THREAD).unwrap();
        let last = heap.nodes().last().unwrap();
        let tree = Tree::new(&heap, &ONE_THREAD.control).unwrap();
        drop(paths::paths(&heap, &tree, source, last, 3, &ONE_THREAD.control).unwrap());
    });
    assert_linear("paths", shown, 80.0);
}

#[test]
fn groups_of_one_size_are_ordered_without_texts_of_each_comparison() {
    let _alone = ALONE.lock().unwrap();
    let dump = |count: usize| {
        let mut dump = ROOT.to_owned();
        for number in 0..count {
            let file = number.wrapping_mul(2_654_435_761) % 1_000_003;
            let address = address(number);
            writeln!(dump, "{{\"address\":\"{address}\", \"type\":\"OBJECT\", \"file\":\"/srv/app/models/file_{file}.rb\", \"line\":1, \"generation\":3, \"memsize\":40}}").unwrap();
        }
        dump
    };
    let some = groups::Options { by: vec![Key::Class, Key::Location], limit: Some(10), ..groups::Options::default() };
    let found = factors(20_000, dump, |source| drop(groups::read(source, &some, &ONE_THREAD).unwrap()));
    assert_linear("groups by class and location", found, 12.0);
}

#[test]
fn shapes_of_many_names_are_not_all_kept() {
    let _alone = ALONE.lock().unwrap();
    // Each shape adds a variable to the one before, and each has an object.
    let dump = |count: usize| {
        let mut dump = ROOT.to_owned();
        for number in 1..=count {
            let (parent, target) = (number - 1, address(number));
            writeln!(dump, "{{\"address\":\"0x{number:x}\", \"type\":\"SHAPE\", \"id\":{number}, \"parent_id\":{parent}, \"depth\":1, \"shape_type\":\"IVAR\",\"edge_name\":\"@variable_{number}\", \"edges\":1, \"memsize\":40}}").unwrap();
            writeln!(dump, "{{\"address\":\"{}\", \"type\":\"OBJECT\", \"shape_id\":{number}, \"ivars\":1, \"references\":[\"{target}\"], \"memsize\":40}}", address(number - 1)).unwrap();
        }
        dump
    };
    let found = factors(1_500, dump, |source| {
        let heap = Heap::load(source, &ONE_THREAD).unwrap();
        let tree = Tree::new(&heap, &ONE_THREAD.control).unwrap();
        drop(show::show(&heap, &tree, source, NodeId(3), 10, &ONE_THREAD.control).unwrap());
    });
    assert_linear("show", found, 60.0);
}

#[test]
fn rising_generations_under_each_other_take_a_few_bytes_each() {
    let _alone = ALONE.lock().unwrap();
    let dump = |count: usize| {
        let mut dump = ROOT.to_owned();
        for number in 0..count {
            let (at, next, generation) = (address(number), address(number + 1), number + 1);
            writeln!(dump, "{{\"address\":\"{at}\", \"type\":\"ARRAY\", \"length\":1, \"references\":[\"{next}\"], \"file\":\"a.rb\", \"line\":1, \"generation\":{generation}, \"memsize\":40}}").unwrap();
        }
        dump
    };
    let found = factors(20_000, dump, |source| {
        let heap = Heap::load(source, &ONE_THREAD).unwrap();
        let tree = Tree::new(&heap, &ONE_THREAD.control).unwrap();
        drop(suspects::of_heap(&heap, &tree, source, 3, &ONE_THREAD.control).unwrap());
    });
    assert_linear("suspects", found, 40.0);
}

fn object(dump: &mut String, at: usize, ty: &str, held: &[usize]) {
    let held: Vec<String> = held.iter().map(|held| format!("\"{}\"", address(*held))).collect();
    let (at, held) = (address(at), held.join(", "));
    writeln!(dump, "{{\"address\":\"{at}\", \"type\":\"{ty}\", \"class\":\"0x7f\", \"references\":[{held}], \"memsize\":40, \"flags\":{{\"wb_protected\":true}}}}").unwrap();
}

/// Objects that each hold the next: as one list, as two lists with rungs between them, and with what they hold themselves.
type Lists = [(&'static str, fn(&mut String, usize)); 5];
const LISTS: Lists = [
    ("a list of objects", |dump, count| (0..count).for_each(|at| object(dump, at, "OBJECT", &[at + 1]))),
    ("a list of arrays", |dump, count| (0..count).for_each(|at| object(dump, at, "ARRAY", &[at + 1]))),
    ("a ladder", |dump, count| (0..count).for_each(|at| object(dump, at, "OBJECT", &[at + 2, (at + 2) ^ 1]))),
    ("a ladder of two kinds", |dump, count| {
        for at in (0..count).step_by(2) {
            object(dump, at, "OBJECT", &[at + 1, at + 2]);
            object(dump, at + 1, "ARRAY", &[at + 2]);
        }
    }),
    ("a list of arrays of strings", |dump, count| {
        for at in (0..count).step_by(12) {
            let held: Vec<usize> = (at + 1..=at + 12).collect();
            object(dump, at, "ARRAY", &held);
            held[..11].iter().for_each(|held| object(dump, *held, "STRING", &[]));
        }
    }),
];

#[test]
fn lists_and_ladders_without_generations_take_half_of_the_dump() {
    let _alone = ALONE.lock().unwrap();
    for (what, lines) in LISTS {
        let dump = |count: usize| {
            let mut dump = ROOT.replace(']', &format!(", \"{}\"]", address(1)));
            lines(&mut dump, count);
            dump
        };
        let found = factors(60_000, dump, |source| {
            let heap = Heap::load(source, &ONE_THREAD).unwrap();
            let tree = Tree::new(&heap, &ONE_THREAD.control).unwrap();
            // What is held at once beside these: 72 bytes an object, whose lines have 125.
            ALLOCATOR.set_limit(ALLOCATOR.allocated() + heap.object_count() * 72 + (1 << 20)).unwrap();
            let found = suspects::of_heap(&heap, &tree, source, 3, &ONE_THREAD.control);
            ALLOCATOR.set_limit(usize::MAX).unwrap();
            drop(found.unwrap());
        });
        assert_linear(what, found, 8.0);
    }
}

#[test]
fn ways_to_what_lies_deep_in_a_list_take_a_few_bytes_a_step() {
    let _alone = ALONE.lock().unwrap();
    // A list at whose end there are ten objects with many strings each; of one sort so few that they are not taken for one place.
    let dump = |count: usize| {
        let mut dump = ROOT.to_owned();
        (0..count).for_each(|at| object(&mut dump, at, "ARRAY", &[at + 1]));
        object(&mut dump, count, "ARRAY", &(count + 1..count + 11).collect::<Vec<_>>());
        for (number, ty) in [["HASH"; 4], ["ARRAY"; 4], ["STRUCT"; 4]].concat().into_iter().take(10).enumerate() {
            let first = count + 11 + number * 200;
            object(&mut dump, count + 1 + number, ty, &(first..first + 200).collect::<Vec<_>>());
            (first..first + 200).for_each(|at| object(&mut dump, at, "STRING", &[]));
        }
        dump
    };
    let found = factors(20_000, dump, |source| {
        let heap = Heap::load(source, &ONE_THREAD).unwrap();
        let tree = Tree::new(&heap, &ONE_THREAD.control).unwrap();
        let suspects = suspects::of_heap(&heap, &tree, source, 10, &ONE_THREAD.control).unwrap();
        assert_eq!(suspects.len(), 10);
        for suspect in suspects {
            assert!((3..12).contains(&suspect.path.steps.len()), "{:?}", suspect.path);
        }
        let last = NodeId(heap.object_count() as u32 - 1);
        let found = paths::paths(&heap, &tree, source, last, 10, &ONE_THREAD.control).unwrap();
        assert!(found.chains.iter().all(|chain| chain.steps.len() < 12), "{found:?}");
        let shown = show::show(&heap, &tree, source, last, 10, &ONE_THREAD.control).unwrap();
        assert!(shown.paths.chains.iter().all(|chain| chain.steps.len() < 12), "{shown:?}");
    });
    assert_linear("suspects, path and show", found, 40.0);
}

/// Counts what is written, and how much memory is held meanwhile.
struct Held(usize, usize);

impl std::io::Write for Held {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0 += bytes.len();
        self.1 = self.1.max(ALLOCATOR.allocated());
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[test]
fn a_row_of_a_long_answer_takes_two_hundred_bytes() {
    let _alone = ALONE.lock().unwrap();
    // A hash of many keys, each with an object of its own.
    let count = 40_000;
    let pair = |at: usize| format!("\"{}\", \"{}\"", address(2 * at), address(2 * at + 1));
    let pairs: Vec<String> = (1..=count).map(pair).collect();
    let mut dump = format!(
        "{ROOT}{{\"address\":\"{}\", \"type\":\"HASH\", \"size\":{count}, \"references\":[{}], \"memsize\":40}}\n",
        address(0),
        pairs.join(", ")
    );
    for at in 1..=count {
        let (key, value) = (address(2 * at), address(2 * at + 1));
        writeln!(dump, "{{\"address\":\"{key}\", \"type\":\"STRING\", \"value\":\"key {at}\", \"memsize\":40}}")
            .unwrap();
        writeln!(dump, "{{\"address\":\"{value}\", \"type\":\"OBJECT\", \"file\":\"app/models/order.rb\", \"line\":{}, \"memsize\":40}}", at % 100).unwrap();
    }
    let source = source(dump);
    let heap = Heap::load(&source, &ONE_THREAD).unwrap();
    let tree = Tree::new(&heap, &ONE_THREAD.control).unwrap();
    let before = ALLOCATOR.allocated();
    let shown = dominator_tree::Shown { depth: 4, min: 0, width: usize::MAX };
    let rows =
        dominator_tree::dominator_tree(&heap, &tree, &source, Dominator::Root, shown, &ONE_THREAD.control).unwrap();
    let context = Context::of(&heap);
    let report =
        dominator_tree::report(rows.rows(), tree.reachable(), "a dump", &context, &ONE_THREAD.control).unwrap();
    for format in [Format::Text, Format::Json, Format::Markdown, Format::Csv] {
        let mut out = Held(0, 0);
        view::write(&report, format, &TextStyle::default(), &ONE_THREAD.control, &mut out).unwrap();
        let held = (out.1 - before) / report.row_count();
        assert!(report.row_count() > 2 * count && out.0 > 0 && held < 200, "{format:?}: {held} bytes a row");
    }
}

#[test]
fn a_group_takes_a_few_hundred_bytes() {
    let _alone = ALONE.lock().unwrap();
    // Classes with an object each.
    let count = 200_000;
    let mut dump = ROOT.to_owned();
    for number in 0..count {
        let (class, object) = (address(2 * number), address(2 * number + 1));
        writeln!(
            dump,
            "{{\"address\":\"{class}\", \"type\":\"CLASS\", \"name\":\"Some::Class{number}\", \"memsize\":40}}"
        )
        .unwrap();
        writeln!(dump, "{{\"address\":\"{object}\", \"type\":\"OBJECT\", \"class\":\"{class}\", \"memsize\":40}}")
            .unwrap();
    }
    let source = source(dump);
    let some = groups::Options { by: vec![Key::Class], limit: Some(10), ..groups::Options::default() };
    let before = ALLOCATOR.total_allocated();
    let (found, _) = groups::read(&source, &some, &ONE_THREAD).unwrap();
    // What is asked for in all, each doubling of a table anew: what is held at once is less than half of it.
    let each = (ALLOCATOR.total_allocated() - before) / count;
    assert_eq!(found.rest_groups as usize, count + 1 - 10);
    assert!(each < 1200, "{each} bytes a group");
}

/// Zeros without end, as a file that lost its blocks in a crash has them.
struct Zeros(u64);

impl Read for Zeros {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let count = (self.0.min(buffer.len() as u64)) as usize;
        buffer[..count].fill(0);
        self.0 -= count as u64;
        Ok(count)
    }
}

#[test]
fn gigabytes_that_are_no_record_take_a_few_megabytes() {
    let _alone = ALONE.lock().unwrap();
    let line = "{\"address\":\"0x7f0000000000\", \"type\":\"OBJECT\", \"memsize\":40}\n";
    let start = format!("{ROOT}{line}{{\"address\":\"0x7f0000000028\", \"ty");
    let source = Source::reader(Cursor::new(start).chain(Zeros(3 << 30)), "a crash");
    let before = ALLOCATOR.total_allocated();
    let (groups, context) = groups::read(&source, &groups::Options::default(), &ONE_THREAD).unwrap();
    let took = ALLOCATOR.total_allocated() - before;
    assert!(took < 64 << 20, "{took}");
    assert_eq!((groups.total.count, context.diagnostics.lost, context.diagnostics.truncated), (1, 1, true));
    assert_eq!(
        context.diagnostics.bytes,
        (ROOT.len() + line.len()) as u64 + "{\"address\":\"0x7f0000000028\", \"ty".len() as u64 + (3 << 30)
    );
}
