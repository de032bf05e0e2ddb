//! Heaps laid out by hand. That pages have so many slots was told by `full: true` dumps of Ruby 3.1.7: all 53 pages of one, 408 where
//! the first slot lies at 32 or 40 bytes, 409 where it lies at 8, 16 or 24.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use super::*;
use crate::control::Control;
use crate::source::Source;
use std::fmt::Write as _;
use std::io::Cursor;

const PAGE: u64 = 0x7f00_0000_0000;

fn load(dump: String) -> Heap {
    let source = Source::reader(Cursor::new(dump), "memory");
    Heap::load(&source, &Control { threads: 1, ..Control::default() }.into()).unwrap()
}

fn fragmentation_of(heap: &Heap, by: &[Key], limit: usize) -> Fragmentation {
    fragmentation(heap, by, &Filter::default(), limit, &Default::default()).unwrap()
}

fn line(dump: &mut String, address: u64, rest: &str) {
    writeln!(dump, "{{\"address\":\"0x{address:x}\", {rest}}}").unwrap();
}

/// Three pages of Ruby 3.1: 400 objects of 409, one of 409, 40 of 408.
fn three_pages() -> String {
    let mut dump = String::new();
    line(&mut dump, PAGE + 24, "\"type\":\"CLASS\", \"superclass\":\"0x7e0000000028\", \"memsize\":40");
    for at in 1..400 {
        line(&mut dump, PAGE + 24 + at * 40, "\"type\":\"OBJECT\", \"memsize\":40");
    }
    let string = "\"type\":\"STRING\", \"encoding\":\"UTF-8\", \"file\":\"/app/a.rb\", \"line\":3, \"generation\":7, \"memsize\":40, \
                  \"flags\":{\"pinned\":true}";
    line(&mut dump, PAGE + 0x4000 + 24 + 5 * 40, string);
    // The last one first: objects need not be in order.
    for at in (1..=40).rev() {
        let ty = if at % 4 == 0 { "HASH" } else { "OBJECT" };
        line(&mut dump, PAGE + 0x8000 + at * 40, &format!("\"type\":\"{ty}\", \"memsize\":40"));
    }
    dump
}

#[test]
fn counts_slots_of_each_page() {
    let found = fragmentation_of(&load(three_pages()), &[Key::Type], 9);
    let (live, slots) = (400 + 1 + 40, 409 + 409 + 408);
    let free_bytes = (slots - live) * 40;
    assert_eq!(found.page_bytes, 16_384);
    assert_eq!(found.pages, Pages { count: 3, slots, live, live_bytes: live * 40, free_bytes });
    // 441 objects fill a page of 408 and a part of another.
    assert_eq!(found.by_size, [SizePages { slot_size: 40, pages: found.pages, spare: 1 }]);
    assert_eq!(found.spare_bytes(), 16_384);
    assert_eq!(found.by_fullness.map(|pages| pages.count), [2, 0, 0, 0, 0, 0, 0, 0, 0, 1]);
    assert_eq!((found.nearly_empty.count, found.nearly_empty.live), (2, 41));
    assert_eq!(found.pinned, 1);
    assert_eq!(found.free_elsewhere, None);
}

#[test]
fn a_map_has_a_cell_for_each_page_in_order_or_one_for_several() {
    let found = fragmentation_of(&load(three_pages()), &[Key::Type], 9);
    assert_eq!(found.map, [PageMap { slot_size: 40, pages: 3, pages_per_cell: 1, cells: vec![97, 0, 9] }]);
    let mut dump = String::new();
    for page in 0..2 * CELLS as u64 + 1 {
        for at in 0..=(page % 2) * 203 {
            line(&mut dump, PAGE + page * 0x4000 + 24 + at * 40, "\"type\":\"OBJECT\", \"memsize\":40");
        }
    }
    let [map] = &fragmentation_of(&load(dump), &[Key::Type], 9).map[..] else { panic!("one slot size") };
    assert_eq!((map.pages, map.pages_per_cell, map.cells.len()), (2 * CELLS as u64 + 1, 3, 683));
    // Of three neighbours one or two are half full.
    assert_eq!(map.cells[..2], [16, 33]);
}

#[test]
fn shares_a_page_among_its_objects() {
    let heap = load(three_pages());
    let found = fragmentation_of(&heap, &[Key::Type], 2);
    let holders: Vec<(&KeyValue, u64, u64, u64, u64)> = found
        .holders
        .iter()
        .map(|holders| (&holders.key[0], holders.held_bytes, holders.count, holders.pages, holders.pinned))
        .collect();
    let text = |text: &str| KeyValue::Text(text.into());
    // 368 slots are free on the page of 40: 368 bytes for each of its objects.
    assert_eq!(holders, [(&text("STRING"), 408 * 40, 1, 1, 1), (&text("OBJECT"), 30 * 368, 30, 1, 0)]);
    let (groups, rest) = &found.rest_holders;
    assert_eq!((*groups, rest.count, rest.held_bytes), (1, 10, 10 * 368));
}

#[test]
fn shows_the_emptiest_pages() {
    let heap = load(three_pages());
    let found = fragmentation_of(&heap, &[], 1);
    let page = &found.emptiest[0];
    assert_eq!((page.address, page.slot_size, page.slots, page.live, page.pinned), (PAGE + 0x4000, 40, 409, 1, 1));
    assert_eq!(page.location, KeyValue::Text("/app/a.rb:3".into()));
    assert_eq!(page.generation, KeyValue::Number(7));
    assert_eq!((found.emptiest.len(), found.rest_pages), (1, 1));
    let both = fragmentation_of(&heap, &[], 2);
    assert_eq!(heap.address(both.emptiest[1].first), PAGE + 0x8000 + 40, "the lowest, though the last in the dump");
}

#[test]
fn tells_holders_that_pass_the_filter() {
    let heap = load(three_pages());
    let filter = "type=HASH".parse().unwrap();
    let found = fragmentation(&heap, &[Key::Type], &filter, 9, &Control::default()).unwrap();
    assert_eq!(found.holders.len(), 1);
    assert_eq!(found.holders[0].count, 10);
    assert_eq!(found.pages.live, 441);
}

#[test]
fn takes_slot_sizes_and_pages_of_64_kib_from_ruby_3_2_on() {
    let mut dump = String::new();
    line(&mut dump, PAGE + 8, "\"type\":\"OBJECT\", \"slot_size\":640, \"memsize\":640");
    // 3,200 bytes are five slots.
    line(&mut dump, PAGE + 8 + 3200, "\"type\":\"OBJECT\", \"slot_size\":640, \"memsize\":640");
    line(&mut dump, PAGE + 0x1_0000 + 160, "\"type\":\"HASH\", \"slot_size\":160, \"memsize\":160");
    let found = fragmentation_of(&load(dump), &[], 9);
    let sizes: Vec<(u32, u64, u64)> =
        found.by_size.iter().map(|size| (size.slot_size, size.pages.slots, size.pages.live)).collect();
    // (65,536 - 160) / 160 and (65,536 - 8) / 640
    assert_eq!(sizes, [(160, 408, 1), (640, 102, 2)]);
}

#[test]
fn counts_free_slots_on_other_pages_of_full_dumps() {
    let mut dump = String::new();
    line(&mut dump, PAGE + 8, "\"type\":\"OBJECT\", \"slot_size\":640, \"memsize\":640");
    for at in 1..102 {
        let ty = if at == 50 { "ZOMBIE" } else { "NONE" };
        line(&mut dump, PAGE + 8 + at * 640, &format!("\"type\":\"{ty}\", \"slot_size\":640"));
    }
    for at in 0..30 {
        line(&mut dump, PAGE + 0x1_0000 + 8 + at * 640, "\"type\":\"NONE\", \"slot_size\":640");
    }
    let found = fragmentation_of(&load(dump), &[], 9);
    assert_eq!(found.pages.free(), 101);
    assert_eq!(found.free_elsewhere, Some(30));
}

#[test]
fn made_up_addresses_harm_nothing() {
    let mut dump = String::new();
    for address in [0, 1, 2, 8, u64::MAX >> 1, (u64::MAX >> 1) - 3] {
        line(&mut dump, address, "\"type\":\"OBJECT\", \"slot_size\":1, \"memsize\":18446744073709551615");
        line(&mut dump, address, "\"type\":\"OBJECT\", \"slot_size\":4294967295, \"memsize\":0");
    }
    let found = fragmentation_of(&load(dump), &[Key::Class], 9);
    assert_eq!(found.pages.live, 12);
    assert!(found.pages.slots >= 12);
}

#[test]
fn nothing_is_no_page() {
    let heap = load("{\"type\":\"ROOT\", \"root\":\"vm\", \"references\":[]}\n".into());
    let found = fragmentation_of(&heap, &[Key::Class], 9);
    assert_eq!((found.pages.count, found.spare_bytes()), (0, 0));
    let report = found.report(&Filter::default(), "memory", &Context::of(&heap));
    assert!(report.sections.iter().all(|section| !matches!(section, Section::Table(_))));
}
