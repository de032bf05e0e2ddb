//! How a heap file begins, and what stands around its blocks. All numbers are little-endian.

use crate::{Error, Result};
use twox_hash::XxHash3_64;

/// The version of the format that is written, and the newest that is read.
pub const VERSION: u32 = 1;
/// What the file begins with: no text, and what a transfer as text would change.
pub(crate) const MAGIC: [u8; 8] = *b"\x91HEAP\r\n\x1a";
/// Bytes of the magic number, the version, and four that are zero.
pub(crate) const HEADER: usize = 16;
/// Bytes of the head of a block.
pub(crate) const HEAD: usize = 32;

const RECORDS: [u8; 4] = *b"ROWS";
const END: [u8; 4] = *b"END.";

/// So many bytes a block may always become ...
const SMALL: u64 = 16 << 20;
/// ... and beyond that so many times those that it takes in the file.
const RATIO: u64 = 1000;

/// Whether so many bytes can have been packed in so few.
pub(crate) fn is_believed(bytes: u32, packed: usize) -> bool {
    u64::from(bytes) <= SMALL.max(packed as u64 * RATIO)
}

/// What the file begins with.
#[must_use]
pub fn header() -> [u8; HEADER] {
    let mut header = [0; HEADER];
    header[..8].copy_from_slice(&MAGIC);
    header[8..12].copy_from_slice(&VERSION.to_le_bytes());
    header
}

/// Checks the bytes behind the magic number.
///
/// # Errors
/// [`Error::Format`] for another version.
pub(crate) fn check_header(header: &[u8; HEADER]) -> Result<()> {
    let version = u32_at(header, 8);
    match (version, u32_at(header, 12)) {
        (VERSION, 0) => Ok(()),
        (0, _) => Err(Error::format("the heap file is of version 0, which there never was; it is damaged")),
        (VERSION, _) => Err(Error::format(
            "the heap file wants something of its reader that this heap_inspector does not know; update it",
        )),
        _ => Err(Error::format(format!(
            "the heap file is of version {version}, and this heap_inspector reads version {VERSION}; read it with a newer one"
        ))),
    }
}

/// What ends the file: how many records there are in all.
#[must_use]
pub fn end(records: u64) -> [u8; HEAD] {
    let mut bytes = [0; HEAD];
    bytes[..4].copy_from_slice(&END);
    bytes[4..12].copy_from_slice(&records.to_le_bytes());
    sealed(bytes)
}

/// What stands before the bytes of a block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Head {
    pub(crate) records: u32,
    /// Bytes of the block.
    pub(crate) bytes: u32,
    /// Bytes that follow; as many as of the block where it is not packed.
    pub(crate) packed: u32,
    /// Of what follows.
    pub(crate) checksum: u64,
}

/// What comes next in the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Next {
    Block(Head),
    /// The end, with the number of records.
    End(u64),
}

impl Head {
    pub(crate) fn to_bytes(self) -> [u8; HEAD] {
        let mut bytes = [0; HEAD];
        bytes[..4].copy_from_slice(&RECORDS);
        bytes[4..8].copy_from_slice(&self.records.to_le_bytes());
        bytes[8..12].copy_from_slice(&self.bytes.to_le_bytes());
        bytes[12..16].copy_from_slice(&self.packed.to_le_bytes());
        bytes[16..24].copy_from_slice(&self.checksum.to_le_bytes());
        sealed(bytes)
    }
}

/// What a head says; none where it is not as it was written.
pub(crate) fn read_head(bytes: &[u8; HEAD]) -> Option<Next> {
    if sealed(*bytes) != *bytes {
        return None;
    }
    match bytes[..4] {
        _ if bytes[..4] == RECORDS => {
            let (records, bytes, packed, checksum) =
                (u32_at(bytes, 4), u32_at(bytes, 8), u32_at(bytes, 12), u64_at(bytes, 16));
            // A record takes a byte at least: so a block's records and the bytes before it make places that ascend.
            let is_sound = records <= bytes && packed <= bytes;
            is_sound.then_some(Next::Block(Head { records, bytes, packed, checksum }))
        }
        _ if bytes[..4] == END => Some(Next::End(u64_at(bytes, 4))),
        _ => None,
    }
}

/// The head with its own checksum.
fn sealed(mut head: [u8; HEAD]) -> [u8; HEAD] {
    let checksum = XxHash3_64::oneshot(&head[..24]);
    head[24..].copy_from_slice(&checksum.to_le_bytes());
    head
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    bytes[at..].first_chunk().map_or(0, |bytes| u32::from_le_bytes(*bytes))
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    bytes[at..].first_chunk().map_or(0, |bytes| u64::from_le_bytes(*bytes))
}
