//! Any bytes as the unpacked block of a heap file, its head and checksums as they should be: the reader must neither fail nor hang, and
//! the heap that it makes must be the one that its own lines make, where these can be read.
//!
//! The first two bytes say how many records the block has. With `SEEDS=FOLDER/NAME` it makes seeds of the lines on standard input.
#![no_main]

#[path = "../../tests/written/mod.rs"]
mod written;

use heap_inspector::control::Control;
use heap_inspector::heap::Heap;
use heap_inspector::heap_file::frame;
use heap_inspector::source::{Source, convert};
use libfuzzer_sys::fuzz_target;
use std::io::{Cursor, Read};
use twox_hash::XxHash3_64;

/// Bytes before a block: of the file's head, and of the block's.
const HEADER: usize = 16;
const HEAD: usize = 32;
/// Lines of a seed.
const LINES: usize = 12;

fuzz_target!(
    init: {
        if let Ok(place) = std::env::var("SEEDS") {
            seeds(&place);
            std::process::exit(0);
        }
    },
    |bytes: &[u8]| {
        let Some((records, block)) = bytes.split_first_chunk() else { return };
        let file = heap_file(u16::from_le_bytes(*records).into(), block);
        let source = |bytes: &[u8]| Source::reader(Cursor::new(bytes.to_vec()), "block").spooled();
        let mut lines = Vec::new();
        let converted = convert(&source(&file), &mut lines, "lines", None);
        let read = |bytes: &[u8]| {
            let control = Control { threads: 1, ..Control::default() };
            Heap::load(&source(bytes), &control.into())
        };
        let direct = read(&file);
        if converted.is_ok_and(|converted| converted.damage.is_none()) {
            let (Ok(direct), Ok(told)) = (direct, read(&lines)) else { return };
            // What nobody would write, such as flags that are no JSON, may be told in lines that cannot be read.
            let diagnostics = told.diagnostics();
            if diagnostics.lost + diagnostics.repaired > 0 {
                return;
            }
            assert_eq!(
                (direct.object_count(), direct.memsize(), direct.edge_count(), direct.dangling_count(), direct.totals()),
                (told.object_count(), told.memsize(), told.edge_count(), told.dangling_count(), told.totals())
            );
        }
    }
);

/// A heap file of one block that is not packed.
fn heap_file(records: u32, block: &[u8]) -> Vec<u8> {
    let mut head = b"ROWS".to_vec();
    let length = (block.len() as u32).to_le_bytes();
    for part in [records.min(block.len() as u32).to_le_bytes(), length, length] {
        head.extend(part);
    }
    head.extend(XxHash3_64::oneshot(block).to_le_bytes());
    head.extend(XxHash3_64::oneshot(&head).to_le_bytes());
    let mut file = frame::header().to_vec();
    file.extend(head);
    file.extend(block);
    file.extend(frame::end(records.into()));
    file
}

fn seeds(place: &str) {
    let mut lines = Vec::new();
    std::io::stdin().read_to_end(&mut lines).expect("lines on standard input");
    let lines: Vec<&[u8]> = lines.split_inclusive(|byte| *byte == b'\n').collect();
    for (at, some) in lines.chunks(LINES).enumerate() {
        let file = written::heap_file(&some.concat());
        let number = |at: usize| u32::from_le_bytes(*file[at..].first_chunk().expect("a head")) as usize;
        let (bytes, packed) = (number(HEADER + 8), number(HEADER + 12));
        let payload = &file[HEADER + HEAD..HEADER + HEAD + packed];
        let block = if packed == bytes {
            payload.to_vec()
        } else {
            zstd::bulk::decompress(payload, bytes).expect("it was packed")
        };
        let mut seed = (some.len() as u16).to_le_bytes().to_vec();
        seed.extend(block);
        std::fs::write(format!("{place}-{at}"), seed).expect("the seed is written");
    }
}
