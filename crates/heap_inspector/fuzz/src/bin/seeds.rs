//! Makes seeds for the target `block` of a dump's lines: `seeds FOLDER NAME < LINES`, each of some lines.
#![allow(clippy::unwrap_used, reason = "a tool of tests may panic")]

#[path = "../../../tests/written/mod.rs"]
mod written;

use heap_inspector_fuzz::{HEAD, HEADER};
use std::io::Read;
use std::path::Path;

/// Lines of a seed.
const LINES: usize = 12;

fn main() {
    let mut words = std::env::args().skip(1);
    let (folder, name) = (words.next().unwrap(), words.next().unwrap());
    let mut lines = Vec::new();
    std::io::stdin().read_to_end(&mut lines).unwrap();
    let lines: Vec<&[u8]> = lines.split_inclusive(|byte| *byte == b'\n').collect();
    for (at, some) in lines.chunks(LINES).enumerate() {
        let file = written::heap_file(&some.concat());
        let number = |at: usize| u32::from_le_bytes(file[at..at + 4].try_into().unwrap()) as usize;
        let (bytes, packed) = (number(HEADER + 8), number(HEADER + 12));
        let payload = &file[HEADER + HEAD..HEADER + HEAD + packed];
        let block = if packed == bytes { payload.to_vec() } else { zstd::bulk::decompress(payload, bytes).unwrap() };
        let mut seed = (some.len() as u16).to_le_bytes().to_vec();
        seed.extend(block);
        std::fs::write(Path::new(&folder).join(format!("{name}-{at}")), seed).unwrap();
    }
}
