//! All that a tracer knows, and what becomes of it when Ruby collects garbage.

use crate::pages::{Allocation, Pages};
use crate::sites::{Key, Site, Sites};
use crate::stacks::{Frames, NO_NODE, NodeId, Stacks};
use crate::texts::{TextId, Texts};
use crate::weak::{Mark, WeakMap};
use hashbrown::HashMap;

/// An object that was looked at when it was allocated, and lives.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Sample {
    /// Where it was allocated: [`Sites`]; `u32::MAX` where there was no room for it.
    pub site: u32,
    /// How it came there; [`NO_NODE`] where that is not known.
    pub stack: NodeId,
    /// The count of collections then.
    pub generation: u32,
    /// For how many allocations it stands.
    pub weight: f32,
    /// The count of samples then: what came since another is told by it.
    pub serial: u32,
}

/// What was allocated by a stack and site since tracing began: estimates.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Allocated {
    /// Objects.
    pub objects: f64,
    /// Bytes of their slots.
    pub bytes: f64,
}

/// What is known of a living object.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Traced {
    /// Where it was allocated.
    pub site: Option<Site>,
    /// The count of collections then.
    pub generation: u32,
    /// How it came there.
    pub stack: Option<NodeId>,
}

/// The tables. Their room is asked for: where the system has none, what comes is counted in `lost` and not kept.
#[derive(Debug, Default)]
pub struct Tracer {
    /// Paths, labels and names.
    pub texts: Texts,
    /// Code by its address.
    pub frames: Frames,
    /// Stacks.
    pub stacks: Stacks,
    /// Sites.
    pub sites: Sites,
    /// Every object, where every one is traced.
    pub pages: Pages,
    /// Every object, where only the count of samples then and the site are kept of each: that count stands for the generation.
    pub counted: Pages,
    /// What was allocated of them, by the number of the site.
    counts: Vec<Allocated>,
    /// The objects that were looked at and live.
    pub samples: WeakMap<Sample>,
    allocated: HashMap<(NodeId, u32), Allocated>,
    /// How many were looked at.
    pub sampled: u64,
    /// What could not be kept.
    pub lost: u64,
}

impl Tracer {
    /// Keeps a site and generation of a new object.
    #[inline]
    pub fn record(&mut self, address: u64, slot: u32, allocation: Allocation) {
        if !self.pages.insert(address, slot, allocation) {
            self.lost += 1;
        }
    }

    /// Keeps a sample of a new object.
    pub fn sample(&mut self, address: u64, slot: u32, sample: Sample) {
        self.sampled += 1;
        let sample = Sample { serial: self.sampled as u32, ..sample };
        let is_kept = self.samples.insert(address, sample) && self.allocated.try_reserve(1).is_ok();
        if is_kept {
            let allocated = self.allocated.entry((sample.stack, sample.site)).or_default();
            allocated.objects += f64::from(sample.weight);
            allocated.bytes += f64::from(sample.weight) * f64::from(slot);
        } else {
            self.lost += 1;
        }
    }

    /// Keeps when a new object came and its site, which takes a third of the time of a sample and a fifth of the room.
    #[inline]
    pub fn count(&mut self, address: u64, slot: u32, site: u32) {
        self.sampled += 1;
        let at = site as usize;
        if self.counts.len() <= at {
            let more = at + 1 - self.counts.len();
            match self.counts.try_reserve(more) {
                Ok(()) => self.counts.resize(at + 1, Allocated::default()),
                Err(_) => self.lost += 1,
            }
        }
        let Some(allocated) = self.counts.get_mut(at) else { return };
        if self.counted.insert(address, slot, Allocation { site, generation: self.sampled as u32 }) {
            allocated.objects += 1.0;
            allocated.bytes += f64::from(slot);
        } else {
            self.lost += 1;
        }
    }

    /// Gives samples another weight: known only when the window in which they were taken has ended.
    pub fn reweigh(&mut self, addresses: &[u64], slot: impl Fn(u64) -> u32, weight: f32) {
        for address in addresses {
            let Some(sample) = self.samples.get_mut(*address) else { continue };
            let more = f64::from(weight - sample.weight);
            sample.weight = weight;
            if let Some(allocated) = self.allocated.get_mut(&(sample.stack, sample.site)) {
                allocated.objects += more;
                allocated.bytes += more * f64::from(slot(*address));
            }
        }
    }

    /// Marking has ended.
    pub fn sweep(&mut self, is_major: bool, mut mark: impl FnMut(u64) -> Mark) {
        self.samples.sweep(is_major, &mut mark, |_| true);
        self.pages.sweep(is_major, &mut mark);
        self.counted.sweep(is_major, &mut mark);
        self.sites.sweep(is_major, &mut mark);
        self.frames.sweep(is_major, &mut mark);
    }

    /// Objects were moved.
    pub fn relocate(&mut self, mut moved: impl FnMut(u64) -> u64) {
        self.samples.relocate(&mut moved);
        self.pages.relocate(&mut moved);
        self.counted.relocate(&mut moved);
        self.sites.relocate(&mut moved);
        self.frames.relocate(&mut moved);
    }

    /// What is known of the living object at `address`.
    #[must_use]
    pub fn get(&self, address: u64) -> Option<Traced> {
        let sample = self.samples.get(address);
        let allocation = self.pages.get(address);
        let site = allocation.map(|allocation| allocation.site).or(sample.map(|sample| sample.site));
        let generation =
            allocation.map(|allocation| allocation.generation).or(sample.map(|sample| sample.generation))?;
        let stack = sample.map(|sample| sample.stack).filter(|stack| *stack != NO_NODE);
        Some(Traced { site: site.and_then(|site| self.sites.get(site)), generation, stack })
    }

    /// What was allocated, by stack and site.
    pub fn allocated(&self) -> impl Iterator<Item = (NodeId, u32, Allocated)> {
        let counts = self.counts.iter().enumerate().filter(|(_, allocated)| allocated.objects > 0.0);
        let counted = counts.map(|(site, allocated)| (NO_NODE, site as u32, *allocated));
        self.allocated.iter().map(|((stack, site), allocated)| (*stack, *site, *allocated)).chain(counted)
    }

    /// The number of a site that `find` did not know: its texts are asked for by `text`, which gets an address.
    pub fn learn_site(
        &mut self,
        key: Key,
        method: &[u8],
        mut text: impl FnMut(&mut Texts, u64) -> TextId,
    ) -> Option<u32> {
        let mut known = |address: u64| {
            if address == 0 {
                return TextId::NONE;
            }
            self.sites.text(address).unwrap_or_else(|| {
                let learnt = text(&mut self.texts, address);
                self.sites.learn_text(address, learnt);
                learnt
            })
        };
        let (path, class) = (known(key.path), known(key.class));
        let method = self.texts.intern(method);
        self.sites.learn(key, Site { path, line: key.line, method, class, is_internal: key.class == 0 })
    }

    /// Whether it knows of a living object.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.samples.is_empty() && self.pages.is_empty() && self.counted.is_empty()
    }

    /// How many living objects it knows.
    #[must_use]
    pub fn live(&self) -> usize {
        self.counted.len() + if self.pages.is_empty() { self.samples.len() } else { self.pages.len() }
    }

    /// Bytes that it takes.
    #[must_use]
    pub fn memory(&self) -> usize {
        self.texts.memory()
            + self.frames.memory()
            + self.stacks.memory()
            + self.sites.memory()
            + self.pages.memory()
            + self.counted.memory()
            + self.counts.capacity() * size_of::<Allocated>()
            + self.samples.memory()
            + self.allocated.allocation_size()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_counted_has_a_serial_lives_moves_and_adds_up() {
        let mut tracer = Tracer::default();
        let address = |object: u64| 0x7f00_0000_0000 + object * 40;
        for object in 0..10 {
            tracer.count(address(object), 40, (object % 2) as u32 * 7);
        }
        assert_eq!((tracer.sampled, tracer.live(), tracer.lost, tracer.is_empty()), (10, 10, 0, false));
        let mut allocated: Vec<(u32, f64, f64)> =
            tracer.allocated().map(|(_, site, more)| (site, more.objects, more.bytes)).collect();
        allocated.sort_by_key(|(site, ..)| *site);
        assert_eq!(allocated, [(0, 5.0, 200.0), (7, 5.0, 200.0)]);

        tracer.sweep(false, |found| if found == address(3) { Mark::Young } else { Mark::Dead });
        tracer.relocate(|found| found + 400);
        let left: Vec<(u64, Allocation)> = tracer.counted.iter().collect();
        assert_eq!(left, [(address(13), Allocation { site: 7, generation: 4 })]);
        assert_eq!(tracer.get(address(13)), None, "a serial is no generation");
    }
}
