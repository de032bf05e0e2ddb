//! Where Ruby up to 3.2 keeps short-lived parts of arrays, hashes and structs: one mapping of 32 MiB made when Ruby starts, of 1024 blocks,
//! each touched once (`transient_heap.c`).

use super::claims::Free;
use super::maps::Area;
use super::own::Own;

const BLOCK: u64 = 32 << 10;
const BLOCKS: u64 = 1024;
/// Places that are tried.
const MOST: usize = 4096;

/// Where it is in what is nobody's, if this Ruby has one.
pub(super) fn find(own: &Own, areas: &[Area], left: &[Free]) -> Option<(u64, u64)> {
    // SAFETY: numbers that do not change.
    let [major, minor, _] = unsafe { rb_sys::ruby_api_version };
    if (major, minor) > (3, 2) {
        return None;
    }
    let mut places = left.iter().flat_map(|free| {
        let last = free.end.saturating_sub(BLOCK * BLOCKS);
        (free.start.next_multiple_of(BLOCK)..=last).step_by(BLOCK as usize).map(|start| (&areas[free.area], start))
    });
    let found = places.by_ref().take(MOST).find(|(area, start)| is_one(own, area, *start));
    found.map(|(_, start)| (start, start + BLOCK * BLOCKS))
}

/// Whether each of some blocks begins with three small numbers and the address of another block or none.
fn is_one(own: &Own, area: &Area, start: u64) -> bool {
    let mut named = 0;
    for number in (0..BLOCKS).step_by(64) {
        let Some([numbers, next]) = own.words::<2>(area, start + number * BLOCK) else { return false };
        // Bytes in use, the last one that is marked or -1, objects.
        let [used, marked, objects, _] = [0, 16, 32, 48].map(|shift| (numbers >> shift) as u16 as i16);
        let is_place = next >= start && next < start + BLOCK * BLOCKS && next % BLOCK == start % BLOCK;
        if used < 0 || i64::from(used) >= BLOCK as i64 || marked < -1 || objects < 0 || !(next == 0 || is_place) {
            return false;
        }
        named += u32::from(is_place);
    }
    named > 0
}
