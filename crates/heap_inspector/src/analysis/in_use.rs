//! What of an object's memory is in use, and which objects are Ruby's own bookkeeping of calls: what growth is told by.

use crate::heap::{Heap, NodeId};
use crate::record::Type;

/// The sorts of IMEMO that are caches of calls and constants.
pub(super) const CACHES: [&[u8]; 3] = [b"callcache", b"callinfo", b"constcache"];

/// The own bytes of an object that are in use. A container doubles its memory when it is full, so the memory stays the same for long, and
/// may not grow between three dumps, though what is in it does.
pub(super) fn own_bytes(heap: &Heap, id: NodeId, ty: Type) -> u64 {
    let each = match ty {
        Type::String => 1,
        Type::Array => 8,
        Type::Hash => 24,
        _ => return heap.bytes(id),
    };
    heap.length(id).map_or(u64::MAX, |length| SLOT + each * u64::from(length)).min(heap.bytes(id))
}

/// The bytes of a small slot.
pub(super) const SLOT: u64 = 40;
