//! Loads a heap: threads scan blocks into columns of their own, which are joined in the order of the file; then the threads' numbers
//! are made one's, and the references' addresses are looked up.

use super::column::Column;
use super::index::Index;
use super::later::Later;
use super::root_names::{self, RootNames, Told};
use super::{Addresses, Columns, DANGLING, Edges, Heap, Lines, Root, Shape, Target, Types};
use crate::control::Control;
use crate::diagnostics::{Diagnostics, Warning, WarningKind};
use crate::memory::{STRIDE, copied, list, map, room, zeroed};
use crate::names::{ClassId, NameParts, Names, Numbers, Renumbering, TRACER_STRUCT, Tables};
use crate::properties::ObjectProperties;
use crate::record::{Flags, Record, Type};
use crate::ruby::pages::PageTable;
use crate::scan::{self, Options, Visitor};
use crate::source::Source;
use crate::stacks::Numbered;
use crate::sums::Totals;
use crate::symbols::{SiteId, Symbol, bounded};
use crate::{Error, Result, sort, threads};
use hashbrown::HashMap;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

/// The properties of the nodes of a block, or of several: of each as wide as it may be.
#[derive(Debug, Default)]
struct Rows {
    addresses: Vec<u64>,
    types: Vec<Type>,
    flags: Vec<Flags>,
    /// Bytes; `u32::MAX` where they stand in `memsizes_big`.
    memsizes: Vec<u32>,
    generations: Vec<u32>,
    classes: Vec<ClassId>,
    sites: Vec<SiteId>,
    labels: Vec<Symbol>,
    shapes: Vec<u32>,
    slot_sizes: Vec<u16>,
    /// Plus 1; 0 for none.
    lengths: Vec<u32>,
    offsets: Vec<u32>,
    edge_ends: Vec<u32>,
}

/// What a block holds.
#[derive(Debug, Default)]
struct Chunk {
    columns: Rows,
    /// The offset of the first node's line.
    begin: u64,
    /// Of the joined chunks: each one's first node and `begin`.
    begins: Vec<(u32, u64)>,
    /// The addresses of all nodes' references.
    references: Vec<u64>,
    memsizes_big: Vec<(u32, u64)>,
    /// Of the nodes that have a stack, its number in the dump plus 1: few have one.
    stacks: Vec<(u32, u32)>,
    roots: Vec<(String, Vec<u64>)>,
    shapes: Vec<Shape>,
    names: Vec<Told>,
}

/// The chunks of all threads, joined.
#[derive(Default)]
struct Joined {
    whole: Chunk,
    next: u64,
    /// Chunks that came before an earlier one was done.
    early: BTreeMap<u64, (usize, Chunk)>,
    /// Which worker's numbers stand in the nodes up to a place.
    segments: Vec<(usize, usize)>,
    spare: Vec<Chunk>,
}

impl Joined {
    fn add(&mut self, number: u64, worker: usize, chunk: Chunk) -> Result<()> {
        self.early.insert(number, (worker, chunk));
        while let Some((worker, mut chunk)) = self.early.remove(&self.next) {
            self.next += 1;
            self.append(worker, &mut chunk)?;
            self.spare.push(chunk);
        }
        Ok(())
    }

    fn append(&mut self, worker: usize, chunk: &mut Chunk) -> Result<()> {
        let whole = &mut self.whole;
        let (nodes, edges) = (whole.columns.addresses.len(), whole.references.len());
        let fits = |count: usize| count < DANGLING as usize;
        if !fits(nodes + chunk.columns.addresses.len()) || !fits(edges + chunk.references.len()) {
            let message = "more than 4,294,967,294 objects or references; the streaming verbs read, summary, top and strings have no limit";
            return Err(Error::format(message));
        }
        let from = &mut chunk.columns;
        macro_rules! append {
            ($($name:ident)*) => {
                $(room(&mut whole.columns.$name, from.$name.len())?;)*
                room(&mut whole.columns.edge_ends, from.edge_ends.len())?;
                room(&mut whole.references, chunk.references.len())?;
                room(&mut whole.memsizes_big, chunk.memsizes_big.len())?;
                room(&mut whole.stacks, chunk.stacks.len())?;
                room(&mut whole.shapes, chunk.shapes.len())?;
                $(whole.columns.$name.append(&mut from.$name);)*
            };
        }
        append!(addresses types flags memsizes generations classes sites labels shapes slot_sizes lengths offsets);
        whole.memsizes_big.extend(chunk.memsizes_big.drain(..).map(|(at, bytes)| (at + nodes as u32, bytes)));
        whole.stacks.extend(chunk.stacks.drain(..).map(|(at, stack)| (at + nodes as u32, stack)));
        whole.columns.edge_ends.extend(from.edge_ends.drain(..).map(|end| end + edges as u32));
        whole.references.append(&mut chunk.references);
        whole.roots.append(&mut chunk.roots);
        whole.shapes.append(&mut chunk.shapes);
        whole.names.append(&mut chunk.names);
        if whole.columns.addresses.len() > nodes {
            whole.begins.push((nodes as u32, chunk.begin));
        }
        self.segments.push((worker, whole.columns.addresses.len()));
        Ok(())
    }
}

struct Worker<'a> {
    number: usize,
    joined: &'a Mutex<Joined>,
    tables: Tables,
    tracer: Symbol,
    totals: Totals,
    pages: PageTable,
    chunk: Chunk,
    /// Room that was not to be had.
    refused: Option<Error>,
}

impl Visitor for Worker<'_> {
    fn references(&mut self) -> &mut Vec<u64> {
        &mut self.chunk.references
    }

    #[inline]
    fn record(&mut self, record: &Record<'_>, offset: u64) {
        if !record.ty.is_object() {
            self.totals.count(record, None);
            return self.other(record, offset);
        }
        let names = self.tables.take(record, NameParts::ALL);
        let properties = ObjectProperties::new(record, names, self.tracer);
        self.totals.count(record, Some(properties));
        self.pages.take(record.address.unwrap_or(0), properties.slot_size);
        let Chunk { columns, begin, references, memsizes_big, stacks, .. } = &mut self.chunk;
        if columns.addresses.is_empty() {
            *begin = offset;
        }
        let length = match record.ty {
            Type::Array | Type::Hash => record.length,
            Type::Object => record.ivars,
            _ => record.bytesize,
        };
        let Numbers { class, site, label } = names;
        let memsize = u32::try_from(record.memsize).unwrap_or(u32::MAX);
        if memsize == u32::MAX {
            memsizes_big.push((columns.addresses.len() as u32, record.memsize));
        }
        if properties.stack.is_some() {
            stacks.push((columns.addresses.len() as u32, properties.stack.0));
        }
        columns.addresses.push(record.address.unwrap_or(0));
        columns.types.push(record.ty);
        columns.flags.push(record.flags);
        columns.memsizes.push(memsize);
        columns.generations.push(properties.generation);
        columns.classes.push(class);
        columns.sites.push(site);
        columns.labels.push(label);
        columns.shapes.push(properties.shape);
        columns.slot_sizes.push(u16::try_from(properties.slot_size).unwrap_or(u16::MAX));
        columns
            .lengths
            .push(length.map_or(0, |length| u32::try_from(length).map_or(u32::MAX, |length| length.saturating_add(1))));
        columns.offsets.push((offset - *begin) as u32); // a block begins at most one record, of less than 4 GiB, before
        references.extend(record.hidden_reference());
        columns.edge_ends.push(references.len() as u32);
    }

    fn end_of_block(&mut self, number: u64) -> Result<()> {
        if let Some(refused) = self.refused.take() {
            return Err(refused);
        }
        self.tables.end_of_block(number)?;
        let chunk = std::mem::take(&mut self.chunk);
        let mut joined = self.joined.lock().unwrap_or_else(PoisonError::into_inner);
        joined.add(number, self.number, chunk)?;
        self.chunk = joined.spare.pop().unwrap_or_default();
        Ok(())
    }
}

impl Worker<'_> {
    #[cold]
    fn other(&mut self, record: &Record<'_>, offset: u64) {
        if record.is_stacks() {
            self.tables.take_stacks(record, offset);
            return;
        }
        let chunk = &mut self.chunk;
        let begin = chunk.references.len() - record.reference_count as usize;
        let text = |text: Option<crate::record::Text<'_>>| {
            text.map(|text| String::from_utf8_lossy(&bounded(text.decode())).into_owned())
        };
        match record.ty {
            Type::Root if record.is_meta() => {}
            Type::Root if record.is_names() => root_names::take(record, &mut chunk.names),
            Type::Root => match copied(&chunk.references[begin..]) {
                Ok(references) => chunk.roots.push((text(record.root).unwrap_or_default(), references)),
                Err(error) => self.refused = Some(error),
            },
            Type::Shape => {
                let Some(id) = record.id else { return };
                chunk.shapes.push(Shape {
                    id,
                    parent_id: record.parent_id,
                    shape_type: text(record.shape_type).unwrap_or_default(),
                    edge_name: text(record.edge_name),
                });
            }
            _ => {}
        }
        chunk.references.truncate(begin);
    }
}

pub(super) fn load(source: &Source, options: &Options<'_>) -> Result<Heap> {
    let joined = Mutex::new(Joined::default());
    let count = AtomicUsize::new(0);
    let make = || {
        let mut tables = Tables::default();
        let tracer = tables.symbols.intern(TRACER_STRUCT);
        let number = count.fetch_add(1, Ordering::Relaxed);
        let (totals, pages, chunk) = Default::default();
        Worker { number, joined: &joined, tables, tracer, totals, pages, chunk, refused: None }
    };
    let (mut workers, mut diagnostics) = scan::scan(source, options, make)?;
    sort::by_key(&mut workers, |worker| worker.number);
    let mut totals = Totals::default();
    let mut pages = PageTable::default();
    for worker in &mut workers {
        totals.merge(&worker.totals);
        pages.merge(std::mem::take(&mut worker.pages));
    }
    let several = workers.into_iter().map(|worker| worker.tables).collect();
    let check = |step: usize| options.control.check_at(step);
    let (tables, renumberings) = Tables::in_order(several, &check)?;
    let numbered_stacks = renumberings.first().map(Renumbering::stacks).unwrap_or_default();
    options.control.check()?;
    let Joined { whole, segments: numbered, .. } = joined.into_inner().unwrap_or_else(PoisonError::into_inner);
    let Chunk {
        mut columns, begins: mut segments, references, memsizes_big, stacks, roots, shapes, names: told, ..
    } = whole;
    let addresses = std::mem::take(&mut columns.addresses);
    let finish_columns = || {
        renumber(&mut columns, &numbered, &renumberings);
        join_segments(&mut columns.offsets, &mut segments);
    };
    let is_parallel = options.control.thread_count() > 1;
    let ((), index) = threads::both(is_parallel, finish_columns, || index(&addresses, &mut diagnostics, options));
    let index = index?;
    columns.addresses = addresses;
    options.control.check()?;
    let (edges, dangling) = resolve(&index, &references, &options.control)?;
    drop(references);
    let mut names = Names::new(tables, check)?;
    names.tables.fit();
    names.set_app(options.app);
    names.sampling = totals.sampling();
    let mut class_nodes = list(names.tables.class_count())?;
    let nodes = (0..names.tables.class_count())
        .map(|id| index.find(names.tables.class_address(crate::names::ClassId(id as u32))).filter(|_| id > 0))
        .map(|node| node.unwrap_or(DANGLING));
    class_nodes.extend(nodes);
    let target = |address: u64| match index.find(address) {
        Some(node) => Target::Node(super::NodeId(node)),
        None => Target::Dangling(address),
    };
    let roots: Vec<Root> = roots
        .into_iter()
        .map(|(category, addresses)| Root { category, targets: addresses.into_iter().map(target).collect() })
        .collect();
    let root_names = RootNames::new(told, &totals, |address| index.find(address));
    options.control.check()?;
    let edge_ends = std::mem::take(&mut columns.edge_ends);
    let (mut columns, addresses, offsets) = pack(columns, &memsizes_big, is_parallel)?;
    columns.stacks = Later::now(stack_column(columns.objects, &stacks, &numbered_stacks, &mut diagnostics, options)?);
    note_partial(&roots, dangling.len(), &mut diagnostics, options)?;
    Ok(Heap {
        columns,
        addresses: Later::now(addresses),
        lines: Later::now(Lines { segments, offsets }),
        edges: Later::now(Edges { ends: edge_ends, targets: edges, dangling }),
        class_nodes,
        roots,
        shapes,
        root_names,
        index: Later::now(index),
        origin: None,
        names,
        totals,
        pages,
        diagnostics,
    })
}

/// Puts the properties in columns as narrow as they may be, each wide one gone when its column is done.
fn pack(rows: Rows, memsizes_big: &[(u32, u64)], is_parallel: bool) -> Result<(Columns, Addresses, Column)> {
    let Rows { addresses, types, flags, memsizes, generations, classes, sites, labels, shapes, .. } = rows;
    let Rows { slot_sizes, lengths, offsets, .. } = rows;
    let count = types.len();
    macro_rules! column {
        ($name:ident, $number:expr) => {{
            let number = $number;
            let column = Column::new(count, |row| u64::from(number(&$name[row])))?;
            drop($name);
            column
        }};
    }
    let some = move || {
        let mut big = HashMap::new();
        map(&mut big, memsizes_big.len())?;
        big.extend(memsizes_big.iter().copied());
        let bytes = |row: usize| match memsizes[row] {
            u32::MAX => big.get(&(row as u32)).copied().unwrap_or(u64::from(u32::MAX)),
            bytes => u64::from(bytes),
        };
        let memsizes = Column::new(count, bytes)?;
        let (trait_sets, flags) = sets(&flags)?;
        let addresses = { Addresses::new(&addresses)? };
        Ok::<_, Error>((memsizes, trait_sets, flags, addresses, column!(lengths, |number: &u32| *number)))
    };
    let others = move || {
        let number = |number: &u32| *number;
        Ok::<_, Error>((
            column!(offsets, number),
            column!(generations, number),
            column!(classes, |id: &ClassId| id.0),
            column!(sites, |id: &SiteId| id.0),
            column!(labels, |sym: &Symbol| sym.0),
            column!(shapes, number),
            column!(slot_sizes, |bytes: &u16| *bytes),
        ))
    };
    let (others, some) = threads::both(is_parallel, others, some);
    let (memsizes, trait_sets, flags, addresses, lengths) = some?;
    let (offsets, generations, classes, sites, labels, shapes, slot_sizes) = others?;
    let columns = Columns {
        objects: count,
        types: Later::now(Types(types)),
        flags: Later::now(flags),
        memsizes: Later::now(memsizes),
        generations: Later::now(generations),
        classes: Later::now(classes),
        sites: Later::now(sites),
        labels: Later::now(labels),
        shapes: Later::now(shapes),
        slot_sizes: Later::now(slot_sizes),
        lengths: Later::now(lengths),
        stacks: Later::now(Column::default()),
        trait_sets,
    };
    Ok((columns, addresses, offsets))
}

/// The frames of the nodes that have a stack; what is wrong with the stacks of the dump is a warning.
fn stack_column(
    rows: usize,
    stacks: &[(u32, u32)],
    numbered: &Numbered,
    diagnostics: &mut Diagnostics,
    options: &Options<'_>,
) -> Result<Column> {
    let mut lost = 0;
    let column = if stacks.is_empty() {
        Column::same(rows, 0)
    } else {
        let mut frames = zeroed(rows)?;
        for (step, (row, stack)) in stacks.iter().enumerate() {
            options.control.check_at(step)?;
            let frame = numbered.frame(*stack);
            lost += u64::from(!frame.is_some());
            frames[*row as usize] = frame.0;
        }
        Column::new(rows, |row| u64::from(frames[row]))?
    };
    if let Some(warning) = numbered.warning(lost) {
        diagnostics.add(warning, options.strict)?;
    }
    Ok(column)
}

/// The distinct sets of flags, and which of them each node has.
fn sets(flags: &[Flags]) -> Result<(Vec<Flags>, Column)> {
    let mut sets: Vec<Flags> = Vec::new();
    let mut numbers: HashMap<Flags, u32> = HashMap::new();
    let mut last = (None, 0);
    let mut places: Vec<u32> = list(flags.len())?;
    places.extend(flags.iter().map(|set| {
        if last.0 != Some(*set) {
            let next = sets.len() as u32;
            let number = *numbers.entry(*set).or_insert(next);
            if number == next {
                sets.push(*set);
            }
            last = (Some(*set), number);
        }
        last.1
    }));
    let places = Column::new(places.len(), |row| u64::from(places[row]))?;
    Ok((sets, places))
}

/// Joins the segments of neighbours while an offset fits, so that there are few.
fn join_segments(offsets: &mut [u32], segments: &mut Vec<(u32, u64)>) {
    let ends: Vec<usize> = segments[1.min(segments.len())..].iter().map(|(first, _)| *first as usize).collect();
    let mut joined: Vec<(u32, u64)> = Vec::new();
    for (at, (first, begin)) in segments.iter().enumerate() {
        let range = *first as usize..ends.get(at).copied().unwrap_or(offsets.len());
        let last = offsets[range.clone()].last().copied().unwrap_or(0);
        let shift = joined.last().map(|(_, known)| begin - known);
        match shift.and_then(|shift| u32::try_from(shift + u64::from(last)).ok().map(|_| shift as u32)) {
            Some(shift) => offsets[range].iter_mut().for_each(|offset| *offset += shift),
            None => joined.push((*first, *begin)),
        }
    }
    *segments = joined;
}

/// Turns the workers' numbers into those of the joined tables; those of a single one are the same.
fn renumber(columns: &mut Rows, segments: &[(usize, usize)], renumberings: &[Renumbering]) {
    let mut begin = 0;
    for (worker, end) in segments.iter().filter(|_| renumberings.len() > 1) {
        let Renumbering { symbols, sites, classes, .. } = &renumberings[*worker];
        columns.classes[begin..*end].iter_mut().for_each(|class| *class = classes[class.0 as usize]);
        columns.sites[begin..*end].iter_mut().for_each(|site| *site = sites[site.0 as usize]);
        columns.labels[begin..*end].iter_mut().for_each(|label| *label = symbols[label.0 as usize]);
        begin = *end;
    }
}

/// Indexes the addresses; two nodes at one address are a warning.
fn index(addresses: &[u64], diagnostics: &mut Diagnostics, options: &Options<'_>) -> Result<Index> {
    let (mut count, mut first) = (0u64, None);
    let index = Index::new(addresses, &options.control, |id| {
        count += 1;
        first.get_or_insert(addresses[id as usize]);
    })?;
    if let Some(address) = first {
        let message = format!(
            "{count} objects have the address of an earlier one, the first 0x{address:x}; references to it lead to the earlier one \
             (two dumps in one file?)"
        );
        if options.strict {
            return Err(Error::format(message));
        }
        diagnostics.warnings.push(Warning { kind: WarningKind::Duplicate, position: None, message });
    }
    Ok(index)
}

/// Notes a dump of a part of the heap, as `since:` makes it: no roots, and references that lead out of it.
fn note_partial(roots: &[Root], dangling: usize, diagnostics: &mut Diagnostics, options: &Options<'_>) -> Result<()> {
    if !roots.is_empty() || dangling == 0 {
        return Ok(());
    }
    let message = format!(
        "the dump has no roots, and {dangling} references lead out of it: it is partial, as ObjectSpace.dump_all(since: ...) writes it, \
         so what holds what cannot be told"
    );
    if options.strict {
        return Err(Error::format(message));
    }
    diagnostics.warnings.push(Warning { kind: WarningKind::Partial, position: None, message });
    Ok(())
}

/// By place among the edges, the addresses at which no object is.
type Dangling = Vec<(u32, u64)>;

/// Looks up the references' addresses, a part of them on each thread.
fn resolve(index: &Index, references: &[u64], control: &Control<'_>) -> Result<(Vec<u32>, Dangling)> {
    let mut edges = zeroed(references.len())?;
    let part = references.len().div_ceil(control.thread_count()).max(1 << 16);
    let look_up = &|first: usize, edges: &mut [u32], references: &[u64]| {
        let mut dangling = Vec::new();
        for (at, (edge, address)) in edges.iter_mut().zip(references).enumerate() {
            if at.is_multiple_of(STRIDE) {
                control.check()?;
                room(&mut dangling, STRIDE)?;
            }
            *edge = index.find(*address).unwrap_or_else(|| {
                dangling.push(((first + at) as u32, *address));
                DANGLING
            });
        }
        Ok(dangling)
    };
    let parts = edges.chunks_mut(part).zip(references.chunks(part)).enumerate();
    let parts = parts.map(|(at, (edges, references))| move || look_up(at * part, edges, references));
    let mut dangling = Vec::new();
    for part in threads::all(parts.collect()) {
        let part: Dangling = part?;
        room(&mut dangling, part.len())?;
        dangling.extend(part);
    }
    Ok((edges, dangling))
}
