//! Who owns which part of the memory without a file: claims of addresses, each laid on what is still nobody's. What is counted for one
//! owner is counted for no other, so all of it adds up to what is resident.

use super::maps::Area;

/// Memory that is nobody's yet.
#[derive(Clone, Copy, Debug)]
pub(super) struct Free {
    pub(super) start: u64,
    pub(super) end: u64,
    /// Place of its mapping.
    pub(super) area: usize,
}

/// What is left of the mappings, in the order of addresses.
#[derive(Debug)]
pub(super) struct Claims {
    free: Vec<Free>,
    /// Resident bytes of each mapping that nobody has yet.
    unclaimed: Vec<u64>,
}

impl Claims {
    pub(super) fn new(areas: &[Area]) -> Claims {
        let free = areas.iter().enumerate().filter(|(_, area)| area.is_anonymous() && area.resident > 0);
        let free = free.map(|(at, area)| Free { start: area.start, end: area.end, area: at }).collect();
        Claims {
            free,
            unclaimed: areas.iter().map(|area| if area.is_anonymous() { area.resident } else { 0 }).collect(),
        }
    }

    /// What is nobody's.
    pub(super) fn left(&self) -> &[Free] {
        &self.free
    }

    /// Takes ranges, which are sorted and apart from each other: the resident bytes that they had.
    pub(super) fn take(&mut self, areas: &[Area], ranges: &[(u64, u64)]) -> u64 {
        let mut taken = 0;
        let mut left = Vec::with_capacity(self.free.len() + ranges.len());
        let mut at = 0;
        for &Free { mut start, end, area } in &self.free {
            while at < ranges.len() && ranges[at].1 <= start {
                at += 1;
            }
            let mut next = at;
            while next < ranges.len() && ranges[next].0 < end {
                let (from, to) = (ranges[next].0.max(start), ranges[next].1.min(end));
                if from > start {
                    left.push(Free { start, end: from, area });
                }
                let bytes = areas[area].resident_in(from, to).min(self.unclaimed[area]);
                self.unclaimed[area] -= bytes;
                taken += bytes;
                start = to;
                next += 1;
            }
            if start < end {
                left.push(Free { start, end, area });
            }
        }
        self.free = left;
        taken
    }

    /// The resident bytes of what is nobody's.
    pub(super) fn resident(&self) -> u64 {
        self.unclaimed.iter().sum()
    }
}
