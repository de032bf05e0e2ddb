//! Numbers of as many bytes as they need (LEB128), and addresses as steps from others.

/// Appends a number, seven bits a byte, the lowest first.
#[inline(always)]
pub(super) fn put(out: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        out.push(number as u8 | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
}

/// Reads one at a place and moves it on; none where the bytes end, or the number does not.
#[inline(always)]
pub(super) fn take(bytes: &[u8], at: &mut usize) -> Option<u64> {
    let first = *bytes.get(*at)?;
    *at += 1;
    if first < 0x80 {
        return Some(first.into());
    }
    let mut number = u64::from(first & 0x7f);
    for shift in (7..64).step_by(7) {
        let byte = *bytes.get(*at)?;
        *at += 1;
        number |= u64::from(byte & 0x7f) << shift;
        if byte < 0x80 {
            // Of the tenth byte one bit has room.
            return (shift < 63 || byte < 2).then_some(number);
        }
    }
    None
}

/// Small numbers for numbers near zero of either sign.
#[inline(always)]
pub(super) fn zigzag(signed: i64) -> u64 {
    (signed << 1 ^ signed >> 63) as u64
}

#[inline(always)]
pub(super) fn unzigzag(number: u64) -> i64 {
    (number >> 1) as i64 ^ -((number & 1) as i64)
}

/// How far an address is from another, small for near ones at multiples of 8: the three lowest bits stand on top, where they are those of
/// the sign unless they are set.
#[inline(always)]
pub(super) fn step(address: u64, from: u64) -> u64 {
    let distance = address.wrapping_sub(from);
    zigzag((distance as i64 >> 3) ^ (distance << 61) as i64)
}

/// The address that a step leads to.
#[inline(always)]
pub(super) fn follow(step: u64, from: u64) -> u64 {
    let step = unzigzag(step) as u64;
    let sign = (step >> 60 & 1) * 7;
    from.wrapping_add(step << 3 | (step >> 61 ^ sign))
}

/// The addresses that were met last, each in a place that it gives itself.
#[derive(Debug)]
pub(super) struct Recent(Box<[u64; Recent::PLACES]>);

impl Recent {
    const PLACES: usize = 1 << 10;

    pub(super) fn new() -> Recent {
        Recent(Box::new([0; Recent::PLACES]))
    }

    fn place(address: u64) -> usize {
        (address.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 54) as usize
    }

    /// Writes the place of an address plus 1, or 0 and the step to it where another is there.
    #[inline(always)]
    pub(super) fn put(&mut self, out: &mut Vec<u8>, address: u64, from: u64) {
        let place = Recent::place(address);
        if self.0[place] == address {
            put(out, place as u64 + 1);
        } else {
            self.0[place] = address;
            out.push(0);
            put(out, step(address, from));
        }
    }

    #[inline(always)]
    pub(super) fn take(&mut self, bytes: &[u8], at: &mut usize, from: u64) -> Option<u64> {
        match take(bytes, at)? {
            0 => {
                let address = follow(take(bytes, at)?, from);
                self.0[Recent::place(address)] = address;
                Some(address)
            }
            place => self.0.get(usize::try_from(place - 1).ok()?).copied(),
        }
    }

    pub(super) fn clear(&mut self) {
        self.0.fill(0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn numbers_and_steps_come_back(number: u64, from: u64) {
            let mut bytes = Vec::new();
            put(&mut bytes, number);
            let mut at = 0;
            prop_assert_eq!(take(&bytes, &mut at), Some(number));
            prop_assert_eq!(at, bytes.len());
            prop_assert_eq!(follow(step(number, from), from), number);
            prop_assert_eq!(unzigzag(zigzag(number as i64)), number as i64);
            prop_assert_eq!(take(&bytes[..bytes.len() - 1], &mut 0), None);
        }
    }

    #[test]
    fn near_slots_take_a_byte() {
        for distance in [-320i64, -40, 0, 40, 320] {
            assert!(step(0x7f00_0000_1000u64.wrapping_add_signed(distance), 0x7f00_0000_1000) < 0x80);
        }
    }

    #[test]
    fn refuses_numbers_that_do_not_end() {
        assert_eq!(take(&[0xff; 11], &mut 0), None);
        assert_eq!(take(&[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x02], &mut 0), None);
    }
}
