//! Where objects were allocated, as DevTools' tree of allocations: a node for each frame of each stack, the outermost on top; for an object
//! whose stack is not known a node of its own line.

use super::strings::Strings;
use super::text::Text;
use crate::control::Control;
use crate::heap::{Heap, NodeId};
use crate::memory::{filled, list, room};
use crate::properties::ObjectProperties;
use crate::stacks::FrameId;
use crate::sums::Sum;
use crate::symbols::SiteId;
use crate::{Result, sort};
use hashbrown::HashMap;

/// Frames below so many others count to the last of these: readers recurse, and serde's, as VS Code's is, ends at 128.
const DEEPEST: u32 = 120;

/// The number of the node above all.
const TOP: u32 = 1;

/// What the parts of a function are called.
pub(super) const FUNCTION_FIELDS: &str = r#""function_id","name","script_name","script_id","line","column""#;
/// And of a node.
pub(super) const NODE_FIELDS: &str = r#""id","function_info_index","count","size","children""#;

/// A frame of a stack, or a line alone.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Place {
    Frame(FrameId),
    Site(SiteId),
}

/// A node as it is written, or the end of one.
enum Step {
    Node { id: u32, function: u32, sum: Sum, is_first: bool },
    End,
}

#[derive(Default)]
pub(super) struct Traces {
    /// By frame and by site: the number of its node, 0 for none.
    of_frames: Vec<u32>,
    of_sites: Vec<u32>,
    steps: Vec<Step>,
    functions: Vec<SiteId>,
}

impl Traces {
    /// Those of some objects.
    pub(super) fn new(heap: &Heap, ids: impl Iterator<Item = NodeId>, control: &Control<'_>) -> Result<Traces> {
        let tables = &heap.names().tables;
        let stacks = &tables.stacks;
        let mut frames = filled(Sum::default(), stacks.len())?;
        let mut sites = filled(Sum::default(), tables.sites.len())?;
        let shown = shown(heap)?;
        for (step, id) in ids.enumerate() {
            control.check_at(step)?;
            let sum = Sum { count: 1, memsize: heap.bytes(id), references: 0 };
            match place(&heap.properties(id)) {
                Some(Place::Frame(frame)) => frames[shown[frame.0 as usize].0 as usize].add(sum),
                Some(Place::Site(site)) => sites[site.0 as usize].add(sum),
                None => {}
            }
        }
        // Children stand behind their parents.
        let mut is_needed: Vec<bool> = list(frames.len())?;
        is_needed.extend(frames.iter().map(|sum| sum.count > 0));
        for frame in (1..frames.len()).rev().filter(|frame| shown[*frame].0 as usize == *frame) {
            if is_needed[frame] {
                is_needed[stacks.parent(FrameId(frame as u32)).0 as usize] = true;
            }
        }
        let mut children: Vec<(FrameId, Place)> = Vec::new();
        let needed = (1..frames.len() as u32)
            .map(FrameId)
            .filter(|frame| is_needed[frame.0 as usize] && shown[frame.0 as usize] == *frame);
        for frame in needed {
            room(&mut children, 1)?;
            children.push((stacks.parent(frame), Place::Frame(frame)));
        }
        let lines = (1..sites.len() as u32).map(SiteId).filter(|site| sites[site.0 as usize].count > 0);
        for site in lines {
            room(&mut children, 1)?;
            children.push((FrameId::NONE, Place::Site(site)));
        }
        sort::by(&mut children, Ord::cmp);
        let mut traces = Traces {
            of_frames: filled(0, frames.len())?,
            of_sites: filled(0, sites.len())?,
            functions: vec![SiteId::NONE],
            steps: Vec::new(),
        };
        traces.walk(heap, &children, |place| match place {
            Place::Frame(frame) => frames[frame.0 as usize],
            Place::Site(site) => sites[site.0 as usize],
        })?;
        for (frame, shown) in shown.iter().enumerate() {
            traces.of_frames[frame] = traces.of_frames[shown.0 as usize];
        }
        Ok(traces)
    }

    fn walk(&mut self, heap: &Heap, children: &[(FrameId, Place)], sum: impl Fn(Place) -> Sum) -> Result<()> {
        let below = |frame: FrameId| {
            let begin = children.partition_point(|(parent, _)| *parent < frame);
            let end = begin + children[begin..].partition_point(|(parent, _)| *parent == frame);
            children[begin..end].iter().enumerate().map(|(at, (_, place))| (*place, at == 0))
        };
        let mut functions: HashMap<SiteId, u32> = HashMap::from([(SiteId::NONE, 0)]);
        let mut number = TOP;
        self.steps.push(Step::Node { id: TOP, function: 0, sum: Sum::default(), is_first: true });
        // A place to begin, or the end of one that was begun.
        let mut open: Vec<Option<(Place, bool)>> = below(FrameId::NONE).rev().map(Some).collect();
        while let Some(next) = open.pop() {
            room(&mut self.steps, 1)?;
            let Some((place, is_first)) = next else {
                self.steps.push(Step::End);
                continue;
            };
            number += 1;
            let site = match place {
                Place::Frame(frame) => {
                    self.of_frames[frame.0 as usize] = number;
                    heap.names().tables.stacks.site(frame)
                }
                Place::Site(site) => {
                    self.of_sites[site.0 as usize] = number;
                    site
                }
            };
            let next = self.functions.len() as u32;
            let function = *functions.entry(site).or_insert(next);
            if function == next {
                self.functions.push(site);
            }
            self.steps.push(Step::Node { id: number, function, sum: sum(place), is_first });
            open.push(None);
            if let Place::Frame(frame) = place {
                open.extend(below(frame).rev().map(Some));
            }
        }
        self.steps.push(Step::End);
        Ok(())
    }

    /// The number of the node where an object was allocated; 0 where that is not known.
    pub(super) fn of(&self, properties: &ObjectProperties) -> u32 {
        match place(properties) {
            Some(Place::Frame(frame)) => self.of_frames[frame.0 as usize],
            Some(Place::Site(site)) => self.of_sites[site.0 as usize],
            None => 0,
        }
    }

    pub(super) fn function_count(&self) -> usize {
        self.functions.len()
    }

    pub(super) fn write_functions(&self, heap: &Heap, strings: &mut Strings, out: &mut Text<'_>) -> Result<()> {
        let tables = &heap.names().tables;
        for (at, site) in self.functions.iter().enumerate() {
            let site = tables.sites.get(*site);
            let method = tables.symbols.bytes(site.method);
            let name = match (at, method) {
                (0, _) => &b"(root)"[..],
                (_, b"") => b"(no method)",
                (_, method) => method,
            };
            let (name, file) = (strings.intern(name)?, strings.intern(tables.symbols.bytes(site.file))?);
            let fields = [at as u64, name.into(), file.into(), file.into(), site.line.into(), 0];
            out.numbers(at == 0, &fields)?;
        }
        Ok(())
    }

    pub(super) fn write_tree(&self, out: &mut Text<'_>) -> Result<()> {
        for step in &self.steps {
            match step {
                Step::Node { id, function, sum, is_first } => {
                    out.numbers(*is_first, &[u64::from(*id), u64::from(*function), sum.count, sum.memsize])?;
                    out.text(",[")?;
                }
                Step::End => out.text("]")?,
            }
        }
        Ok(())
    }
}

/// By frame: itself, or where it stands too deep the last one above that does not.
fn shown(heap: &Heap) -> Result<Vec<FrameId>> {
    let stacks = &heap.names().tables.stacks;
    let mut shown: Vec<FrameId> = list(stacks.len())?;
    let mut depths: Vec<u32> = list(stacks.len())?;
    shown.push(FrameId::NONE);
    depths.push(0);
    for frame in (1..stacks.len() as u32).map(FrameId) {
        let parent = stacks.parent(frame).0 as usize;
        let depth = depths[parent].saturating_add(1);
        depths.push(depth);
        shown.push(if depth > DEEPEST { shown[parent] } else { frame });
    }
    Ok(shown)
}

fn place(properties: &ObjectProperties) -> Option<Place> {
    match (properties.stack, properties.names.site) {
        (stack, _) if stack.is_some() => Some(Place::Frame(stack)),
        (_, SiteId::NONE) => None,
        (_, site) => Some(Place::Site(site)),
    }
}
