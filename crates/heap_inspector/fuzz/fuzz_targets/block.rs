//! Any bytes as the unpacked block of a heap file, its head and checksums as they should be: the reader must neither fail nor hang, and
//! the heap that it makes must be the one that its own lines make.
//!
//! The first two bytes say how many records the block has.
#![no_main]

use heap_inspector::control::Control;
use heap_inspector::heap::Heap;
use heap_inspector::source::{Source, convert};
use heap_inspector_fuzz::heap_file;
use libfuzzer_sys::fuzz_target;
use std::io::Cursor;

fuzz_target!(|bytes: &[u8]| {
    let Some((records, block)) = bytes.split_first_chunk() else { return };
    let file = heap_file(u16::from_le_bytes(*records).into(), block);
    let source = |bytes: &[u8]| Source::reader(Cursor::new(bytes.to_vec()), "block").spooled();
    let mut lines = Vec::new();
    let converted = convert(&source(&file), &mut lines, "lines", None);
    let control = Control { threads: 1, ..Control::default() };
    let read = |bytes: &[u8]| Heap::load(&source(bytes), &(&control).into());
    let direct = read(&file);
    if converted.is_ok_and(|converted| converted.damage.is_none()) {
        let (Ok(direct), Ok(told)) = (direct, read(&lines)) else { return };
        assert_eq!(
            (direct.object_count(), direct.memsize(), direct.edge_count(), direct.dangling_count(), direct.totals()),
            (told.object_count(), told.memsize(), told.edge_count(), told.dangling_count(), told.totals())
        );
    }
});
