//! Stacks as one tree: frames that callers share stand once.

use crate::numbered::Numbered;
use crate::texts::TextId;
use crate::weak::{Mark, WeakMap};

/// A method, block or body of code.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Frame {
    /// The path of its file; none for what is written in C.
    pub path: TextId,
    /// Its name, as `block in index`.
    pub label: TextId,
    /// The line where it begins, which tells methods of one name in one file apart; any other number that does.
    pub first_line: u32,
}

/// A frame's number.
pub type FrameId = u32;
/// The number of a node of the tree: a frame at a line, called from another node.
pub type NodeId = u32;

/// No node: the caller of the outermost frame.
pub const NO_NODE: NodeId = u32::MAX;

/// A frame at a line, and who called it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Node {
    /// The caller, whose number is smaller; or [`NO_NODE`].
    pub parent: NodeId,
    /// Which code.
    pub frame: FrameId,
    /// The line in its file, 0 where there is none.
    pub line: u32,
}

/// The frames by the addresses that Ruby has for them.
#[derive(Debug)]
pub struct Frames {
    frames: Numbered<Frame>,
    /// The label with the method's class, where it was asked.
    full_labels: Vec<TextId>,
    by_address: WeakMap<FrameId>,
    recent: Vec<(u64, FrameId)>,
    /// Frames that were not yet asked for their class: that makes Ruby objects, so it waits. They are kept alive until then.
    pending: Vec<(u64, FrameId)>,
}

const RECENT: usize = 1 << 10;
/// So many frames wait to be asked for their class; what comes beyond them has none.
const PENDING: usize = 1 << 12;

impl Default for Frames {
    fn default() -> Self {
        Frames {
            frames: Numbered::new(Self::MOST),
            full_labels: Vec::new(),
            by_address: WeakMap::default(),
            recent: vec![(0, 0); RECENT],
            pending: Vec::new(),
        }
    }
}

impl Frames {
    /// Frames at most.
    pub const MOST: usize = 1 << 20;

    /// The number of a frame that was met before.
    #[inline]
    pub fn find(&mut self, address: u64) -> Option<FrameId> {
        let slot = (address >> 3) as usize & (RECENT - 1);
        let (known, number) = *self.recent.get(slot)?;
        if known == address && address != 0 {
            return Some(number);
        }
        let number = self.by_address.get(address)?;
        *self.recent.get_mut(slot)? = (address, number);
        Some(number)
    }

    /// Keeps a frame; none where there is no room.
    pub fn learn(&mut self, address: u64, frame: Frame) -> Option<FrameId> {
        self.full_labels.try_reserve(1).ok()?;
        let before = self.len();
        let number = self.frames.intern(frame)?;
        if number as usize == before {
            self.full_labels.push(TextId::NONE);
            if self.pending.len() < PENDING && self.pending.try_reserve(1).is_ok() {
                self.pending.push((address, number));
            }
        }
        self.by_address.insert(address, number).then_some(number)
    }

    /// The addresses of frames that must live on until they were asked.
    pub fn pending(&self) -> impl Iterator<Item = u64> {
        self.pending.iter().map(|(address, _)| *address)
    }

    /// One that is to be asked next.
    #[must_use]
    pub fn next_pending(&self) -> Option<(u64, FrameId)> {
        self.pending.last().copied()
    }

    /// Keeps the label with the class of one that was asked, which then no longer waits. It may have been forgotten meanwhile, and another
    /// have its number.
    pub fn name(&mut self, asked: (u64, FrameId), full_label: TextId) {
        let Some(at) = self.pending.iter().rposition(|pending| *pending == asked) else { return };
        self.pending.swap_remove(at);
        if let Some(label) = self.full_labels.get_mut(asked.1 as usize) {
            *label = full_label;
        }
    }

    /// A frame's path and best label.
    #[must_use]
    pub fn get(&self, number: FrameId) -> Frame {
        let frame = self.frames.get(number).unwrap_or_default();
        match self.full_labels.get(number as usize) {
            Some(label) if *label != TextId::NONE => Frame { label: *label, ..frame },
            _ => frame,
        }
    }

    /// How many.
    #[must_use]
    pub fn len(&self) -> usize {
        self.frames.values().len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.frames.values().is_empty()
    }

    /// Forgets the addresses of code that is dead.
    pub fn sweep(&mut self, is_major: bool, mark: impl FnMut(u64) -> Mark) {
        if self.by_address.sweep(is_major, mark, |_| true) > 0 {
            self.recent.fill((0, 0));
        }
    }

    /// Follows code that was moved. What is pending was pinned.
    pub fn relocate(&mut self, moved: impl FnMut(u64) -> u64) {
        self.by_address.relocate(moved);
        self.recent.fill((0, 0));
    }

    /// Bytes that it takes.
    #[must_use]
    pub fn memory(&self) -> usize {
        self.frames.memory()
            + self.full_labels.capacity() * size_of::<TextId>()
            + self.by_address.memory()
            + (self.recent.capacity() + self.pending.capacity()) * size_of::<(u64, FrameId)>()
    }
}

/// The tree.
#[derive(Debug)]
pub struct Stacks {
    nodes: Numbered<Node>,
}

impl Default for Stacks {
    fn default() -> Self {
        Stacks { nodes: Numbered::new(Self::MOST) }
    }
}

impl Stacks {
    /// Nodes at most: 64 MiB and their numbers. A stack that has no room ends at the frame that had.
    pub const MOST: usize = 1 << 22;

    /// The node of a stack, from the outermost frame to the innermost; [`NO_NODE`] for none.
    pub fn intern(&mut self, frames: impl Iterator<Item = (FrameId, u32)>) -> NodeId {
        let mut node = NO_NODE;
        for (frame, line) in frames {
            match self.nodes.intern(Node { parent: node, frame, line }) {
                Some(child) => node = child,
                None => break,
            }
        }
        node
    }

    /// A node.
    #[must_use]
    pub fn get(&self, node: NodeId) -> Option<Node> {
        self.nodes.get(node)
    }

    /// The nodes of a stack, from the innermost frame to the outermost.
    pub fn walk(&self, node: NodeId) -> impl Iterator<Item = Node> {
        std::iter::successors(self.get(node), |node| self.get(node.parent))
    }

    /// All nodes by their numbers.
    #[must_use]
    pub fn nodes(&self) -> &[Node] {
        self.nodes.values()
    }

    /// Bytes that it takes.
    #[must_use]
    pub fn memory(&self) -> usize {
        self.nodes.memory()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn callers_stand_once() {
        let mut stacks = Stacks::default();
        let one = stacks.intern([(0, 1), (1, 2), (2, 3)].into_iter());
        let other = stacks.intern([(0, 1), (1, 2), (2, 4)].into_iter());
        assert_eq!(stacks.nodes().len(), 4);
        assert_eq!(one, stacks.intern([(0, 1), (1, 2), (2, 3)].into_iter()));
        assert_ne!(one, other);
        let frames: Vec<_> = stacks.walk(other).map(|node| (node.frame, node.line)).collect();
        assert_eq!(frames, [(2, 4), (1, 2), (0, 1)]);
        assert_eq!(stacks.intern(std::iter::empty()), NO_NODE);
        assert_eq!(stacks.walk(NO_NODE).count(), 0);
        assert!(
            stacks.nodes().iter().enumerate().all(|(at, node)| node.parent == NO_NODE || (node.parent as usize) < at)
        );
    }

    #[test]
    fn code_that_died_is_learnt_anew_and_keeps_its_number() {
        let mut frames = Frames::default();
        let frame = Frame { path: TextId(1), label: TextId(2), first_line: 3 };
        let number = frames.learn(8, frame);
        assert_eq!(frames.find(8), number);
        assert_eq!(frames.pending().collect::<Vec<_>>(), [8]);
        frames.sweep(false, |_| Mark::Dead);
        assert_eq!(frames.find(8), None);
        assert_eq!(frames.learn(16, frame), number);
        frames.relocate(|address| address * 2);
        assert_eq!((frames.find(16), frames.find(32)), (None, number));
        frames.name((8, 1), TextId(9));
        frames.name((16, 0), TextId(9));
        assert_eq!(frames.get(0), frame, "another was asked");
        assert_eq!(frames.next_pending(), Some((8, 0)));
        frames.name((8, 0), TextId(7));
        assert_eq!(frames.get(0), Frame { label: TextId(7), ..frame });
        assert_eq!(frames.next_pending(), None);
    }

    #[test]
    fn frames_that_wait_are_bounded() {
        let mut frames = Frames::default();
        for line in 0..2 * PENDING as u32 {
            frames.learn(u64::from(line) * 8 + 8, Frame { first_line: line, ..Frame::default() });
        }
        assert_eq!(frames.pending().count(), PENDING);
    }
}
