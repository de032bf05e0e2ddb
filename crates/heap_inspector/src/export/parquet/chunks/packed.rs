//! Numbers in Parquet's own encodings: those in few bits with runs of the same (`RLE`, `RLE_DICTIONARY`), and by their differences
//! (`DELTA_BINARY_PACKED`). The crate has both, but to nobody outside.

/// Levels from 0 to `most`.
pub(super) fn levels(levels: &[u8], most: u8, out: &mut Vec<u8>) {
    mixed(levels.len(), bits(u64::from(most)), |at| u32::from(levels[at]), out);
}

/// Places in a dictionary of so many, behind the width that they take.
pub(super) fn places(places: &[u32], count: u32, out: &mut Vec<u8>) {
    let width = bits(u64::from(count.saturating_sub(1))).max(1);
    out.push(width as u8);
    mixed(places.len(), width, |at| places[at], out);
}

/// Numbers of `width` bits, by eights; and wherever the next eight are the same, a run of all that are.
fn mixed(count: usize, width: u32, get: impl Fn(usize) -> u32, out: &mut Vec<u8>) {
    let (mut at, mut begin) = (0, 0);
    while at < count {
        let first = get(at);
        let same = 1 + (at + 1..count).take_while(|next| get(*next) == first).count();
        if same < 8 {
            at = count.min(at + 8);
            continue;
        }
        eights(begin..at, width, &get, out);
        varint((same as u64) << 1, out);
        out.extend_from_slice(&first.to_le_bytes()[..width.div_ceil(8) as usize]);
        at += same;
        begin = at;
    }
    eights(begin..count, width, &get, out);
}

/// Numbers without runs; zeros fill up the last eight.
fn eights(places: std::ops::Range<usize>, width: u32, get: &impl Fn(usize) -> u32, out: &mut Vec<u8>) {
    if places.is_empty() {
        return;
    }
    let eights = places.len().div_ceil(8);
    varint((eights as u64) << 1 | 1, out);
    let end = out.len() + eights * width as usize;
    pack(places.map(|at| u64::from(get(at))), width, out);
    out.resize(end, 0);
}

/// Values of a block, and of each of the parts of it that have a width of their own.
const BLOCK: usize = 128;
const PART: usize = 32;

/// The differences of numbers from those before them, none where there is no number.
pub(super) fn differences(numbers: &[i64], out: &mut Vec<u8>) {
    let Some(first) = numbers.first() else { return };
    for number in [BLOCK, BLOCK / PART, numbers.len()] {
        varint(number as u64, out);
    }
    varint(zigzag(*first), out);
    let mut deltas = Vec::with_capacity(BLOCK);
    // Of the least and the greatest number the difference goes round, here as where it is read.
    let mut before = *first;
    for block in numbers[1..].chunks(BLOCK) {
        deltas.clear();
        deltas.extend(block.iter().map(|number| number.wrapping_sub(std::mem::replace(&mut before, *number))));
        let least = deltas.iter().min().copied().unwrap_or(0);
        varint(zigzag(least), out);
        let above = |delta: &i64| delta.wrapping_sub(least).cast_unsigned();
        let widths = out.len();
        out.resize(widths + BLOCK / PART, 0);
        for (at, part) in deltas.chunks(PART).enumerate() {
            let width = bits(part.iter().map(above).fold(0, |all, one| all | one));
            out[widths + at] = width as u8;
            let end = out.len() + PART * width as usize / 8;
            pack(part.iter().map(above), width, out);
            out.resize(end, 0);
        }
    }
}

/// Puts numbers of at most 64 bits one behind the other, the lowest bits first.
fn pack(numbers: impl Iterator<Item = u64>, width: u32, out: &mut Vec<u8>) {
    let (mut held, mut count) = (0u128, 0);
    for number in numbers {
        held |= u128::from(number) << count;
        count += width;
        if count >= u64::BITS {
            out.extend_from_slice(&(held as u64).to_le_bytes());
            held >>= u64::BITS;
            count -= u64::BITS;
        }
    }
    out.extend_from_slice(&held.to_le_bytes()[..count.div_ceil(8) as usize]);
}

/// Bits that a number takes.
fn bits(number: u64) -> u32 {
    u64::BITS - number.leading_zeros()
}

fn zigzag(number: i64) -> u64 {
    ((number << 1) ^ (number >> 63)).cast_unsigned()
}

fn varint(mut number: u64, out: &mut Vec<u8>) {
    while number >= 0x80 {
        out.push(number as u8 | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
}
