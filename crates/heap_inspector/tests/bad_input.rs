//! Input that is broken, cut off, hostile or no dump at all, one by one: a clear error or a counted warning, and right numbers.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use heap_inspector::control::Control;

use heap_inspector::analysis::{Context, Order, fragmentation, generations, strings, summary};
use heap_inspector::diagnostics::WarningKind;
use heap_inspector::heap::{Heap, Target};
use heap_inspector::report::Section;
use heap_inspector::scan::Options;
use heap_inspector::select::Filter;
use heap_inspector::source::Source;
use heap_inspector::{Error, ErrorKind};
use std::fmt::Write as _;
use std::io::{Cursor, Write as _};
use std::sync::atomic::AtomicBool;

const ROOT: &str = r#"{"type":"ROOT", "root":"vm", "references":["0x7f0000000028"]}"#;

fn object(number: u64) -> String {
    let (address, next) = (0x7f00_0000_0000 + number * 40, 0x7f00_0000_0000 + (number + 1) * 40);
    format!(
        r#"{{"address":"0x{address:x}", "type":"OBJECT", "class":"0x7f0000000000", "references":["0x{next:x}"], "memsize":40}}"#
    )
}

fn dump(objects: u64) -> Vec<u8> {
    let mut lines = format!("{ROOT}\n");
    (0..objects).for_each(|number| writeln!(lines, "{}", object(number)).unwrap());
    lines.into_bytes()
}

fn source(bytes: impl Into<Vec<u8>>) -> Source {
    Source::reader(Cursor::new(bytes.into()), "memory").spooled()
}

fn read(source: &Source) -> Result<Context, Error> {
    generations::read(source, Filter::default(), None, &Control { threads: 2, ..Control::default() }.into())
        .map(|(_, context)| context)
}

fn load(source: &Source) -> Result<Heap, Error> {
    Heap::load(source, &Control { threads: 2, ..Control::default() }.into())
}

/// Both ways of reading, which must tell the same.
fn both(bytes: impl Into<Vec<u8>>) -> Result<Context, Error> {
    let source = source(bytes);
    let streamed = read(&source);
    match (&streamed, load(&source)) {
        (Ok(context), Ok(heap)) => {
            assert_eq!(heap.totals(), &context.totals);
            assert_eq!(heap.diagnostics(), &context.diagnostics);
        }
        (Err(one), Err(other)) => assert_eq!(one.to_string(), other.to_string()),
        (one, other) => panic!("{one:?} but {other:?}"),
    }
    streamed
}

fn failure(bytes: impl Into<Vec<u8>>) -> (ErrorKind, String) {
    let error = both(bytes).unwrap_err();
    (error.kind(), error.to_string())
}

/// Warnings as `kind line: message`.
fn warnings(context: &Context) -> Vec<String> {
    let line = |warning: &heap_inspector::diagnostics::Warning| warning.position.map_or(0, |position| position.line);
    context
        .diagnostics
        .warnings
        .iter()
        .map(|warning| format!("{:?} {}: {}", warning.kind, line(warning), warning.message))
        .collect()
}

#[test]
fn a_whole_dump_has_no_warnings() {
    let context = both(dump(10)).unwrap();
    assert_eq!(warnings(&context), [""; 0]);
    assert_eq!(
        (context.totals.objects.count, context.totals.objects.memsize, context.diagnostics.lines),
        (10, 400, 11)
    );
}

#[test]
fn cut_at_any_byte_keeps_every_whole_line() {
    let whole = dump(3);
    let ends: Vec<usize> = whole.iter().enumerate().filter(|(_, byte)| **byte == b'\n').map(|(at, _)| at).collect();
    for cut in ends[0]..whole.len() {
        let context = both(&whole[..cut]).unwrap();
        let objects = ends[1..].iter().filter(|end| **end <= cut).count() as u64;
        assert_eq!(context.totals.objects.count, objects, "cut at {cut}");
        let at_line_end = whole[..cut].ends_with(b"\n") || ends.contains(&cut);
        assert_eq!(context.diagnostics.truncated, !at_line_end, "cut at {cut}");
        assert_eq!(context.diagnostics.lost, u64::from(!at_line_end), "cut at {cut}");
    }
    assert_eq!(failure(&whole[..ends[0] - 1]).0, ErrorKind::Format);
}

#[test]
fn a_broken_line_in_the_middle_is_told_by_number() {
    for broken in
        ["garbage", r#"{"address":"0x1", "type":}"#, "{}", "[]", "null", r#"{"address":"0x1"}"#, r#"{"type":"STRING"}"#]
    {
        let bytes = [&dump(2)[..], broken.as_bytes(), b"\n", object(9).as_bytes(), b"\n"].concat();
        let context = both(bytes).unwrap();
        assert_eq!(context.totals.objects.count, 3, "{broken}");
        assert_eq!((context.diagnostics.lost, context.diagnostics.truncated), (1, false), "{broken}");
        assert!(warnings(&context)[0].starts_with("Lost 4: "), "{:?}", warnings(&context));
    }
}

#[test]
fn strict_ends_at_the_first_warning() {
    let bytes = [&dump(2)[..], b"garbage\n", object(9).as_bytes(), b"\nmore\n", object(10).as_bytes()].concat();
    let options = Options { strict: true, ..Options::default() };
    let error = generations::read(&source(bytes), Filter::default(), None, &options).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Format);
    assert_eq!(error.position().unwrap().line, 4);
    assert!(error.to_string().starts_with(&format!("line 4, byte {}: not a record", dump(2).len())), "{error}");
}

#[test]
fn many_broken_lines_are_counted_and_some_are_told() {
    let mut bytes = dump(2);
    (0..1000).for_each(|_| bytes.extend_from_slice(format!("broken\n{}\n", object(7)).as_bytes()));
    let context = read(&source(bytes)).unwrap();
    assert_eq!((context.diagnostics.lost, context.diagnostics.warnings.len()), (1000, 20));
    assert_eq!(context.totals.objects.count, 1002);
    assert_eq!(context.diagnostics.warnings[1].position.unwrap().line, 6);
}

#[test]
fn unescaped_names_are_repaired_and_counted() {
    let quote = r#"{"address":"0x7f0000001000", "type":"OBJECT", "file":"/srv/a"b\c.rb", "line":7, "generation":3, "memsize":40}"#;
    let split = "{\"address\":\"0x7f0000001028\", \"type\":\"DATA\", \"struct\":\"a\nb\", \"memsize\":56}";
    let path = "{\"address\":\"0x7f0000001050\", \"type\":\"OBJECT\", \"file\":\"/srv/a\nb.rb\", \"line\":7, \"generation\":3, \"memsize\":40}";
    let bytes = [&dump(2)[..], format!("{quote}\n{split}\n{path}\n{}\ngarbage\n", object(9)).as_bytes()].concat();
    let context = both(bytes).unwrap();
    assert_eq!((context.totals.objects.count, context.totals.objects.memsize), (6, 80 + 40 + 56 + 40 + 40));
    assert_eq!((context.diagnostics.repaired, context.diagnostics.lost, context.diagnostics.lines), (2, 1, 10));
    let told = warnings(&context);
    assert!(told[0].starts_with("Repaired 4: "), "{told:?}");
    assert!(told[1].starts_with("Repaired 5: "), "{told:?}");
    assert!(told[2].starts_with("Lost 10: "), "{told:?}");
}

#[test]
fn invalid_utf8_is_data() {
    let line = b"{\"address\":\"0x7f0000001000\", \"type\":\"STRING\", \"value\":\"\xff\xc3\", \"memsize\":40}\n";
    let context = both([&dump(1)[..], line].concat()).unwrap();
    assert_eq!((context.totals.objects.count, context.diagnostics.warnings.len()), (2, 0));
}

#[test]
fn what_is_no_dump_is_an_error_that_says_so() {
    assert_eq!(failure(""), (ErrorKind::Format, "the dump is empty".into()));
    let binary: Vec<u8> = (0..200_000u32).map(|number| (number.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    for bytes in
        [&b"hello\n"[..], b"\n\n", b"{}", b"[1,2,3]", b"{\"a\":1}\n{\"a\":2}\n", b"{\n  \"a\": 1\n}\n", &binary]
    {
        let (kind, message) = failure(bytes);
        assert_eq!(kind, ErrorKind::Format, "{message}");
        assert!(message.starts_with("not a heap dump"), "{message}");
    }
}

#[test]
fn paths_that_cannot_be_read_are_errors_of_their_own() {
    let folder = tempfile::tempdir().unwrap();
    let missing = read(&Source::path(folder.path().join("none.json"))).unwrap_err();
    assert_eq!(missing.kind(), ErrorKind::NotFound);
    assert!(missing.to_string().ends_with("none.json: no such file"), "{missing}");
    let directory = read(&Source::path(folder.path())).unwrap_err();
    assert_eq!(directory.kind(), ErrorKind::Io);
    assert!(directory.to_string().contains("is a directory"), "{directory}");
}

#[test]
fn compressed_dumps_that_are_cut_give_what_was_before() {
    let whole = dump(20_000);
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    gzip.write_all(&whole).unwrap();
    let gzip = gzip.finish().unwrap();
    let zstd = zstd::encode_all(&whole[..], 1).unwrap();
    for (name, packed) in [("gzip", gzip), ("zstd", zstd)] {
        assert_eq!(both(&packed[..]).unwrap().totals.objects.count, 20_000, "{name}");
        let context = both(&packed[..packed.len() / 2]).unwrap();
        assert!(context.diagnostics.truncated, "{name}");
        assert!((1000..20_000).contains(&context.totals.objects.count), "{name}: {}", context.totals.objects.count);
        assert!(warnings(&context).iter().any(|warning| warning.contains("cut off after")), "{:?}", warnings(&context));
        let (kind, message) = failure(&packed[..12]);
        assert_eq!(kind, ErrorKind::Compression, "{message}");
    }
}

#[test]
fn a_line_of_fifty_megabytes_is_a_line() {
    let value = "x".repeat(50 << 20);
    let line = format!(
        "{{\"address\":\"0x7f0000001000\", \"type\":\"STRING\", \"bytesize\":{}, \"value\":\"{value}\", \"memsize\":52428841}}\n",
        value.len()
    );
    let context = both([&dump(1)[..], line.as_bytes(), object(5).as_bytes()].concat()).unwrap();
    assert_eq!((context.totals.objects.count, context.totals.objects.memsize), (3, 80 + 52_428_841));
}

#[test]
fn one_object_may_hold_ten_million_references() {
    let mut line =
        r#"{"address":"0x7f0000001000", "type":"ARRAY", "length":10000000, "references":["0x7f0000000000""#.to_owned();
    (1..10_000_000).for_each(|_| line.push_str(r#", "0x7f0000000028""#));
    line.push_str("], \"memsize\":80000040}\n");
    let heap = load(&source([&dump(2)[..], line.as_bytes()].concat())).unwrap();
    assert_eq!((heap.edge_count(), heap.dangling_count()), (10_000_002, 1));
    let array = heap.node(0x7f00_0000_1000).unwrap();
    assert_eq!(heap.references(array).len(), 10_000_000);
    assert_eq!(heap.references(array).last(), heap.node(0x7f00_0000_0028).map(Target::Node));
}

#[test]
fn duplicate_addresses_are_counted_and_the_first_is_referred_to() {
    let heap = load(&source([dump(5), dump(3)].concat())).unwrap();
    assert_eq!(heap.object_count(), 8);
    assert_eq!(heap.diagnostics().warnings[0].kind, WarningKind::Duplicate);
    assert!(
        heap.diagnostics().warnings[0]
            .message
            .starts_with("3 objects have the address of an earlier one, the first 0x7f0000000000;")
    );
    assert_eq!(heap.node(0x7f00_0000_0028).unwrap().0, 1);
}

#[test]
fn scattered_and_odd_addresses_are_found() {
    let addresses: Vec<u64> = (0..5000u64).map(|number| number.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1).collect();
    let lines: String = addresses
        .iter()
        .map(|address| format!("{{\"address\":\"0x{address:x}\", \"type\":\"OBJECT\", \"memsize\":40}}\n"))
        .collect();
    let heap = load(&source(lines)).unwrap();
    for (at, address) in addresses.iter().enumerate() {
        assert_eq!(heap.node(*address).map(|id| id.0 as usize), Some(at));
        assert_eq!(heap.node(address ^ 2), None);
    }
}

#[test]
fn only_roots_is_a_dump_without_objects() {
    let context = both(format!("{ROOT}\n")).unwrap();
    assert_eq!((context.totals.objects.count, context.totals.roots.len()), (0, 1));
}

#[test]
fn no_roots_is_a_partial_dump() {
    // Sums need no graph; where there is one its warning says that it leads out of the dump.
    let lone = source(format!("{}\n", object(1)));
    let context = read(&lone).unwrap();
    assert_eq!((context.totals.objects.count, context.totals.roots.len()), (1, 0));
    let heap = load(&lone).unwrap();
    assert_eq!(heap.totals(), &context.totals);
    let kinds: Vec<WarningKind> = heap.diagnostics().warnings.iter().map(|warning| warning.kind).collect();
    assert_eq!(kinds, [WarningKind::Partial]);
}

#[test]
fn carriage_returns_and_a_byte_order_mark_change_nothing() {
    let plain = both(dump(5)).unwrap();
    let windows = String::from_utf8(dump(5)).unwrap().replace('\n', "\r\n");
    let marked = [b"\xef\xbb\xbf", windows.as_bytes()].concat();
    assert_eq!(both(windows).unwrap().totals, plain.totals);
    assert_eq!(both(marked).unwrap().totals, plain.totals);
}

#[test]
fn other_json_dress_is_read_without_a_warning() {
    let pretty = String::from_utf8(dump(5)).unwrap().replace("\", \"", "\",\"").replace("\":", "\" : ");
    let context = both(pretty).unwrap();
    assert_eq!((&context.totals, context.diagnostics.warnings.len()), (&both(dump(5)).unwrap().totals, 0));
}

#[test]
fn addresses_of_32_bits_are_addresses() {
    let dump = String::from_utf8(dump(50)).unwrap().replace("0x7f00", "0x");
    let heap = load(&source(dump)).unwrap();
    assert_eq!((heap.object_count(), heap.edge_count(), heap.dangling_count()), (50, 50, 1));
}

#[test]
fn free_slots_zombies_and_shapes_are_not_objects() {
    let lines = "{\"address\":\"0x7f0000002000\", \"type\":\"NONE\", \"shape_id\":0, \"slot_size\":40}\n\
                 {\"address\":\"0x7f0000002028\", \"type\":\"ZOMBIE\"}\n\
                 {\"address\":\"0x1\", \"type\":\"SHAPE\", \"id\":1, \"parent_id\":0, \"depth\":1, \"shape_type\":\"IVAR\",\"edge_name\":\"@a\", \"edges\":0, \"memsize\":32}\n\
                 {\"address\":\"0x7f0000002050\", \"type\":\"FANCY\", \"memsize\":8}\n";
    let totals = both([&dump(1)[..], lines.as_bytes()].concat()).unwrap().totals;
    assert_eq!((totals.objects.count, totals.objects.memsize), (2, 48));
    assert_eq!((totals.free_slots, totals.free_bytes, totals.zombies, totals.shapes), (1, 40, 1, 1));
}

#[test]
fn a_raised_flag_interrupts() {
    let cancel = AtomicBool::new(true);
    let options = Control { cancel: Some(&cancel), ..Control::default() };
    let error = Heap::load(&source(dump(3)), &options.into()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Interrupted);
}

#[test]
fn a_ring_of_classes_ends() {
    let lines = "{\"address\":\"0x7f0000002000\", \"type\":\"CLASS\", \"class\":\"0x7f0000002000\", \"superclass\":\"0x7f0000002028\", \"singleton\":true, \"memsize\":8}\n\
                 {\"address\":\"0x7f0000002028\", \"type\":\"CLASS\", \"class\":\"0x7f0000002000\", \"superclass\":\"0x7f0000002000\", \"singleton\":true, \"memsize\":8}\n";
    let heap = load(&source(lines)).unwrap();
    assert_eq!(heap.names().class_name(0x7f00_0000_2000).unwrap(), "#<Class:#<Class:0x7f0000002000>:0x7f0000002000>");
}

/// Each was compared with all before: 200,000 took 20 seconds.
#[test]
fn a_slot_size_of_its_own_on_each_page_is_summed_up() {
    let count = 60_000;
    let mut dump = String::new();
    // The last two claim slots larger than a page.
    let slot_sizes = (8..8 + count).chain([70_000, 80_000]);
    for (number, slot_size) in (0u64..).zip(slot_sizes) {
        let address = 0x7f00_0000_0008u64 + (number << 16);
        writeln!(
            dump,
            r#"{{"address":"0x{address:x}", "type":"OBJECT", "shape_id":1, "slot_size":{slot_size}, "memsize":8}}"#
        )
        .unwrap();
    }
    // A page in full of free slots, and one with a zombie: neither holds an object.
    dump += "{\"address\":\"0x10000\", \"type\":\"NONE\", \"slot_size\":40}\n";
    dump += "{\"address\":\"0x20000\", \"type\":\"ZOMBIE\", \"slot_size\":40}\n";
    let (filter, options) = (Filter::default(), Options::default());
    let source = source(dump);
    let read = summary::read(&source, &filter, 1, &options).unwrap();
    let pages = read.pages.as_ref().unwrap();
    let all = pages.iter().map(|size| size.pages.count).sum::<u64>();
    assert_eq!((pages.len() as u64, all), (count + 1, count + 2));
    let heap = load(&source).unwrap();
    let found = fragmentation::fragmentation(&heap, &[], &filter, 1, &options.control).unwrap();
    assert_eq!(pages, &found.by_size);
    for report in [read.report("dump"), found.report(&filter, "dump", &Context::of(&heap))] {
        let tables = report.sections.iter().filter_map(|section| match section {
            Section::Table(table) if table.columns[0].name == "slot_size" => Some(table),
            _ => None,
        });
        let rows: Vec<(usize, u64)> =
            tables.map(|table| (table.rows.len(), table.rest.as_ref().unwrap().rows)).collect();
        assert_eq!(rows, [(100, count + 1 - 100)]);
    }
}

/// Found by `bin/fuzz`.
#[test]
fn duplicate_strings_of_impossible_sizes_are_summed_to_the_end() {
    let string = |number: u64, value: &str| {
        format!(
            "{{\"address\":\"0x{:x}\", \"type\":\"STRING\", \"value\":\"{value}\", \"memsize\":{}}}\n",
            number * 40,
            u64::MAX
        )
    };
    let lines = string(1, "a") + &string(2, "a") + &string(3, "b") + &string(4, "b");
    let control = Control { threads: 1, ..Control::default() };
    let filter = Filter::default();
    let (found, context) = strings::read(&source(lines), &filter, Order::Bytes, 2, &control.into()).unwrap();
    assert_eq!(found.report("memory", &filter, &context).sections.len(), 2);
}
