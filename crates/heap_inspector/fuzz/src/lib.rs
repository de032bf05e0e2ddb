//! What the fuzz targets and the maker of their seeds share.

use heap_inspector::heap_file::frame;
use twox_hash::XxHash3_64;

/// Bytes before a block: of the file's head, and of the block's.
pub const HEADER: usize = 16;
pub const HEAD: usize = 32;

/// A heap file of one block that is not packed.
pub fn heap_file(records: u32, block: &[u8]) -> Vec<u8> {
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
