//! A dump in memory: one column for each property of the objects, and the references between them.
//!
//! Objects are numbered in the order of the file ([`NodeId`]). A node costs about 25 bytes and a reference 4, so a heap takes about a
//! tenth of its file; while it is loaded twice as much, and never more than a quarter. This is the only door to the columns.

mod build;
mod codes;
pub(crate) mod column;
mod index;
pub(crate) mod later;
mod lines;
mod parts;
mod root_names;

use crate::control::Control;
use crate::diagnostics::Diagnostics;
use crate::gems::App;
use crate::memory::{STRIDE, map};
use crate::names::{ClassId, Names, Numbers};
use crate::properties::{ObjectProperties, PropertyMask};
use crate::record::{Flags, Type};
use crate::ruby::pages::{Layout, PageTable, SizePages};
use crate::scan::Options;
use crate::source::Source;
use crate::stacks::FrameId;
use crate::sums::{Ranges, Sum, Sums, Totals};
use crate::symbols::{SiteId, Symbol};
use crate::{Error, Result};
pub(crate) use codes::Domain;
use column::Column;
use index::Index;
pub(crate) use later::{FewRows, Kept, Later, Origin};
pub(crate) use lines::changed;
use root_names::RootNames;
use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;

/// An object's number: its place among the object lines of the dump, from 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Serialize)]
pub struct NodeId(pub u32);

/// What an object refers to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Target {
    /// An object of the dump.
    Node(NodeId),
    /// An address that no object of the dump has.
    Dangling(u64),
}

impl Target {
    /// The object, where it is in the dump.
    pub(crate) fn node(&self) -> Option<NodeId> {
        match self {
            Target::Node(id) => Some(*id),
            Target::Dangling(_) => None,
        }
    }
}

/// The references of a ROOT line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Root {
    /// The category: `vm`, `machine_context`, ...
    pub category: String,
    /// What it refers to, in order.
    pub targets: Vec<Target>,
}

/// A SHAPE line: instance variables in the order an object got them, each shape adding one to its parent's.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Shape {
    /// Its number.
    pub id: u32,
    /// The shape it grew from.
    pub parent_id: Option<u32>,
    /// ROOT, IVAR, ...
    pub shape_type: String,
    /// The instance variable it adds.
    pub edge_name: Option<String>,
}

/// The properties of all nodes that most questions look at, each by node number.
#[derive(Debug)]
struct Columns {
    /// How many rows each has.
    objects: usize,
    types: Later<Types>,
    /// The place in `trait_sets`.
    flags: Later<Column>,
    memsizes: Later<Column>,
    generations: Later<Column>,
    classes: Later<Column>,
    sites: Later<Column>,
    labels: Later<Column>,
    shapes: Later<Column>,
    slot_sizes: Later<Column>,
    /// Elements, entries, bytes or instance variables, by the type, plus 1; 0 where the dump does not say.
    lengths: Later<Column>,
    /// The frame that allocated a node; 0 for none.
    stacks: Later<Column>,
    trait_sets: Vec<Flags>,
}

/// The types of all nodes.
#[derive(Debug, Default)]
struct Types(Vec<Type>);

impl Later<Types> {
    #[inline(always)]
    fn get(&self, row: usize) -> Type {
        self.ask(|types| types.0[row], |few| few.number(row).and_then(|number| Type::from_number(number as u8)))
    }
}

/// The references of all nodes.
#[derive(Debug, Default)]
struct Edges {
    /// By node, where its references end; they begin where the node's before it end.
    ends: Vec<u32>,
    /// The targets of all, by node; [`DANGLING`] where the address stands in `dangling`.
    targets: Vec<u32>,
    /// The addresses of dangling references by the place of the reference, ascending.
    dangling: Vec<(u32, u64)>,
}

impl Edges {
    #[inline]
    fn places(&self, row: usize) -> std::ops::Range<u32> {
        row.checked_sub(1).map_or(0, |before| self.ends[before])..self.ends[row]
    }

    /// None where there are no such places: of edges that were lost since.
    #[inline]
    fn targets(&self, places: std::ops::Range<u32>) -> &[u32] {
        self.targets.get(places.start as usize..places.end as usize).unwrap_or_default()
    }
}

/// Where the lines of nodes begin in the dump.
#[derive(Debug, Default)]
struct Lines<C = Column> {
    /// From a node on, behind which offset. Ascending.
    segments: Vec<(u32, u64)>,
    /// By node, in bytes behind its segment's begin.
    offsets: C,
}

impl<C> Lines<C> {
    /// Where the line of a node begins that is so many bytes behind its segment's begin.
    fn offset(&self, id: NodeId, behind: u64) -> u64 {
        let segment = self.segments.partition_point(|(first, _)| *first <= id.0) - 1;
        self.segments[segment].1 + behind
    }
}

/// Addresses by node. Most heaps lie within 32 GiB, so a multiple of 8 behind the lowest address fits in 4 bytes.
#[derive(Debug, Default, PartialEq)]
struct Addresses<C = Column> {
    lowest: u64,
    /// The binary logarithm of what all are multiples of.
    grain: u32,
    steps: C,
}

impl Addresses {
    fn new(addresses: &[u64]) -> Result<Addresses> {
        let lowest = addresses.iter().copied().min().unwrap_or(0);
        let all = addresses.iter().fold(0, |all, address| all | (address - lowest));
        let grain = all.trailing_zeros().min(63);
        let steps = Column::new(addresses.len(), |row| (addresses[row] - lowest) >> grain)?;
        Ok(Addresses { lowest, grain, steps })
    }

    #[inline]
    fn get(&self, row: usize) -> u64 {
        self.lowest + (self.steps.get(row) << self.grain)
    }
}

/// A loaded dump.
#[derive(Debug)]
pub struct Heap {
    columns: Columns,
    addresses: Later<Addresses>,
    lines: Later<Lines>,
    edges: Later<Edges>,
    class_nodes: Vec<u32>,
    roots: Vec<Root>,
    shapes: Vec<Shape>,
    root_names: RootNames,
    index: Later<Index>,
    /// The index file from which it was opened, if it was.
    origin: Option<Arc<Origin>>,
    names: Names,
    totals: Totals,
    pages: PageTable,
    diagnostics: Diagnostics,
}

/// In place of a node: no object of the dump.
pub(crate) const DANGLING: u32 = u32::MAX;

impl Heap {
    /// Reads a dump.
    ///
    /// # Errors
    /// Those of [`crate::scan::scan`], and [`crate::Error::Format`] for more than 4,294,967,294 objects or references.
    ///
    /// ```no_run
    /// use heap_inspector::heap::Heap;
    /// use heap_inspector::source::Source;
    ///
    /// let heap = Heap::load(&Source::path("heap.json"), &Default::default())?;
    /// println!("{} objects, {} bytes", heap.object_count(), heap.memsize());
    /// # Ok::<(), heap_inspector::Error>(())
    /// ```
    pub fn load(source: &Source, options: &Options<'_>) -> Result<Heap> {
        build::load(source, options)
    }

    /// How many objects there are.
    #[must_use]
    pub fn object_count(&self) -> usize {
        self.columns.objects
    }

    /// The bytes of all objects.
    #[must_use]
    pub fn memsize(&self) -> u64 {
        self.totals.objects.memsize
    }

    /// How many references the objects hold, own classes not counted.
    #[must_use]
    pub fn edge_count(&self) -> usize {
        self.edges.targets.len()
    }

    /// How many of them lead to no object of the dump.
    #[must_use]
    pub fn dangling_count(&self) -> usize {
        self.edges.dangling.len()
    }

    /// What the dump holds in all.
    #[must_use]
    pub fn totals(&self) -> &Totals {
        &self.totals
    }

    /// The heap's pages by slot size, smallest first; none where the addresses are no heap's.
    #[must_use]
    pub fn pages(&self) -> Option<Vec<SizePages>> {
        self.pages.by_slot_size(&Layout::of(self.totals.ruby_version))
    }

    /// About how many bytes of memory the heap takes: its columns, references, index and names.
    #[must_use]
    pub fn footprint(&self) -> usize {
        let columns = &self.columns;
        size_of::<Heap>()
            + columns.packed().iter().filter_map(|column| column.peek()).map(Column::footprint).sum::<usize>()
            + columns.types.peek().map_or(0, |types| bytes_of(&types.0))
            + self.addresses.peek().map_or(0, |addresses| addresses.steps.footprint())
            + self.lines.peek().map_or(0, |lines| lines.offsets.footprint())
            + self
                .edges
                .peek()
                .map_or(0, |edges| bytes_of(&edges.ends) + bytes_of(&edges.targets) + bytes_of(&edges.dangling))
            + bytes_of(&self.class_nodes)
            + self.roots.iter().map(|root| bytes_of(&root.targets)).sum::<usize>()
            + bytes_of(&self.shapes)
            + self.index.peek().map_or(0, Index::footprint)
            + self.names.tables.symbols.footprint()
            + self.names.tables.sites.footprint()
            + self.names.tables.stacks.footprint()
    }

    /// Whether all that was asked of it so far was there.
    ///
    /// # Errors
    /// [`Error::File`] where a part was read from an index file that is not what it was, and could not be read from the dump either: what
    /// was answered since is wrong.
    #[inline]
    pub fn whole(&self) -> Result<()> {
        match &self.origin {
            Some(origin) if origin.lost.load(Ordering::Acquire) => {
                let source = io::Error::other(
                    "the index file was changed while it was open, and the dump could not be read in its place",
                );
                Err(Error::File { path: origin.path.clone(), source })
            }
            _ => Ok(()),
        }
    }

    /// What was lost or repaired.
    #[must_use]
    pub fn diagnostics(&self) -> &Diagnostics {
        &self.diagnostics
    }

    /// The names behind the numbers.
    #[must_use]
    pub fn names(&self) -> &Names {
        &self.names
    }

    /// Says which files are the app's: what an index file keeps does not depend on it.
    pub(crate) fn set_app(&mut self, app: Option<&App>) {
        self.names.set_app(app);
    }

    /// The ROOT lines, in order.
    #[must_use]
    pub fn roots(&self) -> &[Root] {
        &self.roots
    }

    /// The global variable that holds an object, where the dump names it.
    #[must_use]
    pub fn global_variable(&self, id: NodeId) -> Option<&str> {
        self.root_names.get(None, id)
    }

    /// What a thread calls an object that it holds, `[:request]`, where the dump names it.
    pub(crate) fn thread_variable(&self, thread: NodeId, id: NodeId) -> Option<&str> {
        self.root_names.get(Some(thread), id)
    }

    /// Whether the lines of objects name what these hold.
    pub(crate) fn has_edge_names(&self) -> bool {
        self.root_names.is_native
    }

    /// The SHAPE lines, in order.
    #[must_use]
    pub fn shapes(&self) -> &[Shape] {
        &self.shapes
    }

    /// All nodes, in the order of the file.
    pub fn nodes(&self) -> impl ExactSizeIterator<Item = NodeId> + DoubleEndedIterator + use<> {
        (0..self.columns.objects as u32).map(NodeId)
    }

    /// The node at an address; of several the first.
    #[must_use]
    pub fn node(&self, address: u64) -> Option<NodeId> {
        self.index.find(address).map(NodeId)
    }

    /// The node's address.
    #[must_use]
    #[inline(always)]
    pub fn address(&self, id: NodeId) -> u64 {
        self.addresses.ask(|addresses| addresses.get(at(id)), |few| few.get(at(id)))
    }

    /// The node's bytes, slot included.
    #[must_use]
    #[inline(always)]
    pub fn bytes(&self, id: NodeId) -> u64 {
        self.columns.memsizes.get(at(id))
    }

    /// The node's type, class, site and other properties, as numbers.
    #[must_use]
    pub fn properties(&self, id: NodeId) -> ObjectProperties {
        let columns = &self.columns;
        let (at, names, generation) = (at(id), self.numbers(id), self.generation(id));
        ObjectProperties {
            names,
            generation,
            shape: columns.shapes.get(at) as u32,
            slot_size: self.slot_size(id),
            stack: self.stack(id),
            flags: self.flags(id),
            ty: self.ty(id),
            traced: generation > 0 || names.site != SiteId::NONE,
            tracer: self.is_tracer(id),
        }
    }

    /// The node's type: less work than all properties, as the others below.
    #[must_use]
    #[inline(always)]
    pub fn ty(&self, id: NodeId) -> Type {
        self.columns.types.get(at(id))
    }

    /// The collection in which the node was allocated, as [`ObjectProperties::generation`].
    #[must_use]
    #[inline(always)]
    pub fn generation(&self, id: NodeId) -> u32 {
        self.columns.generations.get(at(id)) as u32
    }

    /// Whether the node is frozen, old, ...
    #[must_use]
    #[inline(always)]
    pub fn flags(&self, id: NodeId) -> Flags {
        self.columns.trait_sets[self.columns.flags.get(at(id)) as usize]
    }

    /// The bytes of the node's slot; 0 where the dump does not say.
    #[must_use]
    #[inline]
    pub fn slot_size(&self, id: NodeId) -> u32 {
        self.columns.slot_sizes.get(at(id)) as u32
    }

    /// The number of the node's class.
    #[must_use]
    #[inline]
    pub fn class_id(&self, id: NodeId) -> ClassId {
        ClassId(self.columns.classes.get(at(id)) as u32)
    }

    /// The number of the node's allocation site.
    #[must_use]
    #[inline]
    pub fn site(&self, id: NodeId) -> SiteId {
        SiteId(self.columns.sites.get(at(id)) as u32)
    }

    /// The name that the node's type does not say: an IMEMO's sort, a DATA's struct, a STRING's encoding.
    #[must_use]
    #[inline]
    pub fn label(&self, id: NodeId) -> Symbol {
        Symbol(self.columns.labels.get(at(id)) as u32)
    }

    /// Whether the node's allocation was traced.
    #[must_use]
    #[inline]
    pub fn is_traced(&self, id: NodeId) -> bool {
        self.generation(id) > 0 || self.site(id) != SiteId::NONE
    }

    /// The numbers of the node's class, site and label.
    pub(crate) fn numbers(&self, id: NodeId) -> Numbers {
        Numbers { class: self.class_id(id), site: self.site(id), label: self.label(id) }
    }

    /// Whether the node is the allocation tracer's own store.
    #[must_use]
    #[inline]
    pub fn is_tracer(&self, id: NodeId) -> bool {
        self.ty(id) == Type::Data && self.names.is_tracer(Type::Data, self.label(id))
    }

    /// The frame that allocated the node, where its stack is known: less work than its slot.
    #[must_use]
    pub fn stack(&self, id: NodeId) -> FrameId {
        FrameId(self.columns.stacks.get(at(id)) as u32)
    }

    /// The greatest generation of an object, plus 1 as in [`ObjectProperties::generation`]; 0 where nothing is traced.
    pub(crate) fn newest_generation(&self) -> u32 {
        self.columns.generations.max() as u32
    }

    /// The least and the greatest generation of objects, as [`ObjectProperties::generation`]; none where nothing is traced.
    pub(crate) fn generations(&self) -> Option<(u32, u32)> {
        Some((self.columns.generations.least()? as u32, self.newest_generation()))
    }

    /// How long the node is: elements of an ARRAY, entries of a HASH, bytes of a STRING or SYMBOL, instance variables of an OBJECT.
    #[must_use]
    #[inline]
    pub fn length(&self, id: NodeId) -> Option<u32> {
        (self.columns.lengths.get(at(id)) as u32).checked_sub(1)
    }

    /// Where the node's line begins in the decoded dump, in bytes.
    #[must_use]
    pub fn offset(&self, id: NodeId) -> u64 {
        self.lines.ask(
            |lines| lines.offset(id, lines.offsets.get(at(id))),
            |few| Some(few.offset(id, few.offsets.get(at(id))?)),
        )
    }

    /// The node of the node's class: a singleton class where it has one. The dump lists it apart from the references.
    #[must_use]
    pub fn class(&self, id: NodeId) -> Option<NodeId> {
        match self.packed_class(id) {
            DANGLING => None,
            node => Some(NodeId(node)),
        }
    }

    /// What the node refers to, in order, repeated ones too; its class is not among them.
    pub fn references(&self, id: NodeId) -> impl ExactSizeIterator<Item = Target> + DoubleEndedIterator + '_ {
        let places = self.edge_places(id);
        self.packed_edges(places.clone()).iter().zip(places).map(|(node, place)| match *node {
            DANGLING => Target::Dangling(self.dangling_address(place)),
            node => Target::Node(NodeId(node)),
        })
    }

    /// The nodes that the node refers to, in order, repeated ones too; its class is not among them.
    pub(crate) fn targets(&self, id: NodeId) -> impl DoubleEndedIterator<Item = NodeId> + '_ {
        self.packed_targets(id).iter().filter(|target| **target != DANGLING).map(|target| NodeId(*target))
    }

    /// The node that the reference at a place of the node's list leads to; none where that is not in the dump.
    pub(crate) fn target(&self, id: NodeId, place: usize) -> Option<NodeId> {
        self.packed_targets(id).get(place).filter(|target| **target != DANGLING).map(|target| NodeId(*target))
    }

    /// The place of the first reference from one node to another.
    pub(crate) fn place(&self, from: NodeId, to: NodeId) -> Option<usize> {
        self.packed_targets(from).iter().position(|target| *target == to.0)
    }

    /// The targets of the node's references as they are kept, [`DANGLING`] for what is not in the dump: for loops over all edges.
    #[inline(always)]
    pub(crate) fn packed_targets(&self, id: NodeId) -> &[u32] {
        self.packed_edges(self.edge_places(id))
    }

    /// The node of the node's class in the same form.
    #[inline(always)]
    pub(crate) fn packed_class(&self, id: NodeId) -> u32 {
        self.class_nodes[self.columns.classes.get(at(id)) as usize]
    }

    /// The classes and modules that have a name, by it; of several of one name the first.
    pub(crate) fn classes_by_name(&self) -> hashbrown::HashMap<String, NodeId> {
        let mut classes = hashbrown::HashMap::new();
        for id in self.nodes().filter(|id| matches!(self.ty(*id), Type::Class | Type::Module)) {
            let name = self.names.class_name(self.address(id)).filter(|name| !name.starts_with("#<"));
            if let Some(name) = name {
                classes.entry(name).or_insert(id);
            }
        }
        classes
    }

    /// Where the node's references stand among those of all nodes.
    #[inline(always)]
    pub(crate) fn edge_places(&self, id: NodeId) -> std::ops::Range<u32> {
        self.edges.ask(|edges| edges.places(at(id)), |few| few.places(at(id)))
    }

    /// The targets of the references at some places, as [`Heap::packed_targets`] has them.
    #[inline(always)]
    pub(crate) fn packed_edges(&self, places: std::ops::Range<u32>) -> &[u32] {
        let of_few = places.clone();
        self.edges.ask(|edges| edges.targets(places), |few| few.targets(of_few))
    }

    fn dangling_address(&self, place: u32) -> u64 {
        let dangling = &self.edges.dangling;
        dangling.binary_search_by_key(&place, |(place, _)| *place).map_or(0, |at| dangling[at].1)
    }

    /// Sums by the parts of slots wanted, of objects whose bytes lie in `memsize`.
    ///
    /// # Errors
    /// [`crate::Error::Interrupted`] when cancelled.
    pub fn sums(&self, parts: PropertyMask, memsize: Option<&Ranges>, control: &Control<'_>) -> Result<Sums> {
        self.sums_of(self.nodes(), parts, memsize, control)
    }

    /// The same of some objects.
    ///
    /// # Errors
    /// [`crate::Error::Interrupted`] when cancelled.
    pub fn sums_of(
        &self,
        ids: impl Iterator<Item = NodeId>,
        parts: PropertyMask,
        memsize: Option<&Ranges>,
        control: &Control<'_>,
    ) -> Result<Sums> {
        let mut sums = Sums::new();
        let all = ids.size_hint().1.unwrap_or(STRIDE);
        for (step, id) in ids.enumerate() {
            if step.is_multiple_of(STRIDE) {
                control.check()?;
                map(&mut sums, STRIDE.min(all))?;
            }
            let bytes = self.bytes(id);
            if memsize.is_some_and(|ranges| !ranges.hold(bytes)) {
                continue;
            }
            let references = self.edge_places(id).len() as u64;
            let sum = Sum { count: 1, memsize: bytes, references };
            sums.entry(self.properties(id).keep(parts)).or_default().add(sum);
        }
        Ok(sums)
    }
}

fn at(id: NodeId) -> usize {
    id.0 as usize
}

/// The memory a list takes, its spare room too.
fn bytes_of<T>(list: &Vec<T>) -> usize {
    list.capacity() * size_of::<T>()
}
