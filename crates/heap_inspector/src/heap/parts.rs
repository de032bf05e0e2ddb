//! A heap as arrays of numbers, for [`crate::stored`], and back. What comes back is checked where a wrong number would lead outside
//! of a column.

use super::column::{Cells, Column};
use super::index::Index;
use super::later::{FewRows, Kept, Later, Origin};
use super::root_names::RootNames;
use super::{Addresses, Columns, DANGLING, Edges, Heap, Lines, NodeId, Root, Shape, Target, Types};
use crate::arrays::{Few, Group, Groups, Part, Parts, Reader};
use crate::diagnostics::Diagnostics;
use crate::names::{ClassId, Names, Renumbering, Tables};
use crate::record::{Flags, Type};
use crate::ruby::pages::PageTable;
use crate::sums::Totals;
use crate::threads;
use serde::{Deserialize, Serialize};
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// What is not worth an array.
#[derive(Serialize, Deserialize)]
struct Rest {
    totals: Totals,
    diagnostics: Diagnostics,
    shapes: Vec<Shape>,
    roots: Vec<(String, usize)>,
    root_names: RootNames,
}

impl Column {
    pub(crate) fn parts<'a>(&'a self, parts: &mut Parts<'a>) {
        let (sort, number) = match &self.cells {
            Cells::Same(_, number) => (0, *number),
            Cells::U8(_) => (1, 0),
            Cells::U16(_) => (2, 0),
            Cells::U32(_) => (4, 0),
        };
        parts.push(vec![sort, self.rows() as u64, number]);
        match &self.cells {
            Cells::Same(..) => parts.push(Vec::<u8>::new()),
            Cells::U8(cells) => parts.push(&cells[..]),
            Cells::U16(cells) => parts.push(&cells[..]),
            Cells::U32(cells) => parts.push(&cells[..]),
        }
        parts.push(flat(self.big.iter().map(|(row, number)| [u64::from(*row), *number])));
    }

    /// A column of so many rows and of numbers below `end`.
    pub(crate) fn from_parts(reader: &mut Reader, rows: usize, end: u64) -> Option<Column> {
        let sort: Vec<u64> = reader.take()?;
        let cells = match (reader.part()?, &sort[..]) {
            (Part::U8(_), [0, rows, number]) => Cells::Same(usize::try_from(*rows).ok()?, *number),
            (Part::U8(cells), [1, ..]) => Cells::U8(cells.into_owned()),
            (Part::U16(cells), [2, ..]) => Cells::U16(cells.into_owned()),
            (Part::U32(cells), [4, ..]) => Cells::U32(cells.into_owned()),
            _ => return None,
        };
        let big = rows_of(reader)?
            .into_iter()
            .map(|[row, number]| Some((u32::try_from(row).ok()?, number)))
            .collect::<Option<_>>()?;
        let column = Column { cells, big };
        (column.rows() == rows && column.is_sound() && (rows == 0 || column.max() < end)).then_some(column)
    }

    /// Whether each number beside the cells has its cell, and each such cell its number, in order.
    fn is_sound(&self) -> bool {
        macro_rules! sound {
            ($cells:expr, $cell:ty) => {{
                // Counted in bytes, which takes many cells at once.
                let full: usize = $cells
                    .chunks(255)
                    .map(|cells| cells.iter().fold(0u8, |full, cell| full + u8::from(*cell == <$cell>::MAX)) as usize)
                    .sum();
                full == self.big.len()
                    && self.big.iter().all(|(row, number)| {
                        $cells.get(*row as usize) == Some(&<$cell>::MAX) && *number >= u64::from(<$cell>::MAX)
                    })
            }};
        }
        let is_in_order = self.big.windows(2).all(|pair| pair[0].0 < pair[1].0);
        is_in_order
            && match &self.cells {
                Cells::Same(..) => self.big.is_empty(),
                Cells::U8(cells) => sound!(cells, u8),
                Cells::U16(cells) => sound!(cells, u16),
                Cells::U32(cells) => sound!(cells, u32),
            }
    }
}

fn flat<const N: usize>(rows: impl Iterator<Item = [u64; N]>) -> Vec<u64> {
    rows.flatten().collect()
}

fn rows_of<const N: usize>(reader: &mut Reader) -> Option<Vec<[u64; N]>> {
    let numbers: Vec<u64> = reader.take()?;
    let (rows, rest) = numbers.as_chunks();
    rest.is_empty().then(|| rows.to_vec())
}

impl Heap {
    /// The groups of the file: what most questions look at, then each part that may stay there.
    pub(crate) fn parts<'a>(&'a self, parts: &mut Parts<'a>) {
        let Heap {
            columns,
            addresses,
            lines,
            edges,
            class_nodes,
            roots,
            shapes,
            root_names,
            index,
            origin: _,
            names,
            totals,
            pages,
            diagnostics,
        } = self;
        let rest = Rest {
            totals: totals.clone(),
            diagnostics: diagnostics.clone(),
            shapes: shapes.clone(),
            roots: roots.iter().map(|root| (root.category.clone(), root.targets.len())).collect(),
            root_names: root_names.clone(),
        };
        // Maps of numbers and texts always have a JSON.
        parts.push(serde_json::to_vec(&rest).unwrap_or_default());
        names.tables.parts(parts);
        parts.push(columns.trait_sets.iter().map(|set| set.bits()).collect::<Vec<u32>>());
        parts.push(&class_nodes[..]);
        parts.push(flat(roots.iter().flat_map(|root| &root.targets).map(|target| match target {
            Target::Node(node) => [0, u64::from(node.0)],
            Target::Dangling(address) => [1, *address],
        })));
        pages.parts(parts);
        parts.end_group();
        parts.push(columns.types.0.iter().map(|ty| *ty as u8).collect::<Vec<u8>>());
        parts.end_group();
        for column in columns.packed() {
            column.parts(parts);
            parts.end_group();
        }
        parts.push(vec![addresses.lowest, u64::from(addresses.grain)]);
        addresses.steps.parts(parts);
        parts.end_group();
        parts.push(flat(lines.segments.iter().map(|(first, begin)| [u64::from(*first), *begin])));
        lines.offsets.parts(parts);
        parts.end_group();
        parts.push(&edges.ends[..]);
        parts.push(&edges.targets[..]);
        parts.push(flat(edges.dangling.iter().map(|(place, address)| [u64::from(*place), *address])));
        parts.end_group();
        index.parts(parts);
        parts.end_group();
    }

    /// The heap of a file's first group, whose columns stay in the groups behind it.
    pub(crate) fn from_parts(first: &Group, behind: &mut Groups, origin: &Arc<Origin>) -> Option<Heap> {
        let reader = &mut first.read()?;
        let rest: Vec<u8> = reader.take()?;
        let Rest { totals, diagnostics, shapes, roots: categories, root_names } = serde_json::from_slice(&rest).ok()?;
        let tables = Tables::from_parts(reader)?;
        let trait_sets: Vec<u32> = reader.take()?;
        let trait_sets: Vec<Flags> = trait_sets.into_iter().map(Flags::from_bits).collect();
        let objects = usize::try_from(totals.objects.count).ok().filter(|objects| *objects < DANGLING as usize)?;
        macro_rules! column {
            ($name:ident, $end:expr) => {
                Later::kept(behind.group()?, (objects, $end), origin, |heap| heap.columns.$name.into_inner())
            };
        }
        let columns = Columns {
            objects,
            types: Later::kept(behind.group()?, objects, origin, |heap| heap.columns.types.into_inner()),
            flags: column!(flags, trait_sets.len() as u64),
            memsizes: column!(memsizes, u64::MAX),
            generations: column!(generations, ANY),
            classes: column!(classes, tables.class_count() as u64),
            sites: column!(sites, tables.sites.len() as u64),
            labels: column!(labels, tables.symbols.len() as u64),
            shapes: column!(shapes, ANY),
            slot_sizes: column!(slot_sizes, ANY),
            lengths: column!(lengths, ANY),
            stacks: column!(stacks, tables.stacks.len() as u64),
            trait_sets,
        };
        let is_empty = objects > 0 && columns.trait_sets.is_empty();
        let class_nodes: Vec<u32> = reader.take()?;
        let are_classes = class_nodes.len() == tables.class_count() && are_nodes(&class_nodes, objects);
        if is_empty || !root_names.is_sound(objects) || !are_classes {
            return None;
        }
        let mut targets = rows_of::<2>(reader)?.into_iter().map(|[sort, number]| match sort {
            0 => u32::try_from(number)
                .ok()
                .filter(|node| (*node as usize) < objects)
                .map(|node| Target::Node(NodeId(node))),
            _ => Some(Target::Dangling(number)),
        });
        let roots = categories
            .into_iter()
            .map(|(category, count)| {
                let targets = targets.by_ref().take(count).collect::<Option<Vec<Target>>>()?;
                (targets.len() == count).then_some(Root { category, targets })
            })
            .collect::<Option<Vec<Root>>>()?;
        let pages = PageTable::from_parts(reader)?;
        if !add_up(&totals, objects, &diagnostics) || !reader.is_empty() {
            return None;
        }
        let mut names = Names::new(tables, |_| Ok(())).ok()?;
        names.sampling = totals.sampling();
        Some(Heap {
            columns,
            addresses: Later::kept(behind.group()?, objects, origin, |heap| heap.addresses.into_inner()),
            lines: Later::kept(behind.group()?, objects, origin, |heap| heap.lines.into_inner()),
            edges: Later::kept(behind.group()?, objects, origin, |heap| heap.edges.into_inner()),
            class_nodes,
            roots,
            shapes,
            root_names,
            index: Later::kept(behind.group()?, objects, origin, |heap| heap.index.into_inner()),
            origin: Some(Arc::clone(origin)),
            names,
            totals,
            pages,
            diagnostics,
        })
    }

    /// The same heap, which was read from its dump, with the numbers that a file's first group has for names and sets of flags, should they
    /// be others.
    pub(crate) fn renumbered(mut self, first: &Group) -> Option<Heap> {
        let reader = &mut first.read()?;
        let _rest: Vec<u8> = reader.take()?;
        let mut tables = Tables::from_parts(reader)?;
        let trait_sets: Vec<u32> = reader.take()?;
        let Renumbering { symbols, sites, classes, .. } = tables.renumbering(&self.names.tables)?;
        let columns = &mut self.columns;
        let place = |set: &Flags| trait_sets.iter().position(|bits| *bits == set.bits()).map(|at| at as u64);
        let flags = columns.trait_sets.iter().map(place).collect::<Option<Vec<u64>>>()?;
        columns.trait_sets = trait_sets.into_iter().map(Flags::from_bits).collect();
        let renumber = |column: &mut Later<Column>, map: &dyn Fn(usize) -> u64| {
            let renumbered = Column::new(column.rows(), |row| map(Column::get(column, row) as usize)).ok()?;
            *column = Later::now(renumbered);
            Some(())
        };
        renumber(&mut columns.flags, &|set| flags[set])?;
        renumber(&mut columns.classes, &|class| u64::from(classes[class].0))?;
        renumber(&mut columns.sites, &|site| u64::from(sites[site].0))?;
        renumber(&mut columns.labels, &|sym| u64::from(symbols[sym].0))?;
        let mut class_nodes = vec![DANGLING; tables.class_count()];
        self.class_nodes.iter().zip(&classes).for_each(|(node, ClassId(class))| class_nodes[*class as usize] = *node);
        self.class_nodes = class_nodes;
        Some(self)
    }

    /// Reads the columns that most questions look at, which are many; where they stay in an index file.
    pub(crate) fn read_ahead(&self, threads: usize) {
        if self.origin.is_none() {
            return;
        }
        let (columns, next) = (self.columns.packed(), AtomicUsize::new(0));
        let read = || {
            while let Some(column) = columns.get(next.fetch_add(1, Ordering::Relaxed)) {
                column.rows();
            }
            self.columns.types.0.len()
        };
        threads::all(vec![read; threads.clamp(1, 4)]);
    }
}

/// An end of numbers that holds all of 4 bytes.
const ANY: u64 = 1 << 32;

/// Whether all are nodes or [`super::DANGLING`].
fn are_nodes(nodes: &[u32], count: usize) -> bool {
    // The first number that is no node; folded, which takes many at once.
    let end = nodes.iter().fold(0, |end, node| node.wrapping_add(1).max(end));
    end as usize <= count
}

/// Pairs of a row and a number.
fn pairs(reader: &mut Reader) -> Option<Vec<(u32, u64)>> {
    pairs_of(reader.take()?)
}

fn pairs_of(numbers: Vec<u64>) -> Option<Vec<(u32, u64)>> {
    let (rows, rest) = numbers.as_chunks::<2>();
    let pair = |[row, number]: &[u64; 2]| Some((u32::try_from(*row).ok()?, *number));
    rest.is_empty().then(|| rows.iter().map(pair).collect())?
}

impl Kept for Column {
    type Few = FewRows;
    type Bounds = (usize, u64);

    fn from_parts(reader: &mut Reader, (objects, end): (usize, u64)) -> Option<Column> {
        Column::from_parts(reader, objects, end).filter(|_| reader.is_empty())
    }

    fn few(group: &Group, (objects, end): (usize, u64)) -> Option<FewRows> {
        FewRows::new(group, 0, objects, end)
    }

    fn empty(objects: usize) -> Column {
        Column::same(objects, 0)
    }
}

impl Kept for Types {
    type Few = Few;
    type Bounds = usize;

    fn from_parts(reader: &mut Reader, objects: usize) -> Option<Types> {
        let types: Vec<u8> = reader.take()?;
        let types: Vec<Type> = types.into_iter().map(Type::from_number).collect::<Option<_>>()?;
        (types.len() == objects && reader.is_empty()).then_some(Types(types))
    }

    fn few(group: &Group, objects: usize) -> Option<Few> {
        group.few(0).filter(|few| few.count_of(1) == Some(objects))
    }

    fn empty(objects: usize) -> Types {
        Types(vec![Type::default(); objects])
    }
}

/// What stands before the steps of addresses.
fn lowest_and_grain(numbers: Vec<u64>) -> Option<(u64, u32)> {
    let [lowest, grain] = numbers[..].try_into().ok()?;
    Some((lowest, u32::try_from(grain).ok().filter(|grain| *grain < 64)?))
}

impl Kept for Addresses {
    type Few = Addresses<FewRows>;
    type Bounds = usize;

    fn from_parts(reader: &mut Reader, objects: usize) -> Option<Addresses> {
        let (lowest, grain) = lowest_and_grain(reader.take()?)?;
        let steps = Column::from_parts(reader, objects, u64::MAX)?;
        let highest = steps.max();
        let fits = highest <= u64::MAX >> grain && lowest.checked_add(highest << grain).is_some();
        (fits && reader.is_empty()).then_some(Addresses { lowest, grain, steps })
    }

    fn few(group: &Group, objects: usize) -> Option<Addresses<FewRows>> {
        let (lowest, grain) = lowest_and_grain(group.array(0)?)?;
        Some(Addresses { lowest, grain, steps: FewRows::new(group, 1, objects, u64::MAX)? })
    }

    fn empty(objects: usize) -> Addresses {
        Addresses { lowest: 0, grain: 0, steps: Column::same(objects, 0) }
    }
}

impl Addresses<FewRows> {
    pub(super) fn get(&self, row: usize) -> Option<u64> {
        let step = self.steps.get(row).filter(|step| *step <= u64::MAX >> self.grain)?;
        self.lowest.checked_add(step << self.grain)
    }
}

/// Whether the segments of the lines of so many objects can be such.
fn are_segments(segments: &[(u32, u64)], objects: usize) -> bool {
    let is_first = objects == 0 || segments.first().is_some_and(|(first, _)| *first == 0);
    segments.is_sorted() && is_first && segments.last().is_none_or(|(_, begin)| *begin <= OFFSETS)
}

impl Kept for Lines {
    type Few = Lines<FewRows>;
    type Bounds = usize;

    fn from_parts(reader: &mut Reader, objects: usize) -> Option<Lines> {
        let segments = pairs(reader)?;
        let offsets = Column::from_parts(reader, objects, ANY)?;
        (are_segments(&segments, objects) && reader.is_empty()).then_some(Lines { segments, offsets })
    }

    fn few(group: &Group, objects: usize) -> Option<Lines<FewRows>> {
        let segments = pairs_of(group.array(0)?)?;
        let offsets = FewRows::new(group, 1, objects, ANY)?;
        are_segments(&segments, objects).then_some(Lines { segments, offsets })
    }

    fn empty(objects: usize) -> Lines {
        Lines { segments: vec![(0, 0)], offsets: Column::same(objects, 0) }
    }
}

impl Kept for Edges {
    type Few = FewEdges;
    type Bounds = usize;

    fn from_parts(reader: &mut Reader, objects: usize) -> Option<Edges> {
        let ends: Vec<u32> = reader.take()?;
        let targets: Vec<u32> = reader.take()?;
        let dangling = pairs(reader)?;
        let ends_well = ends.last().copied().unwrap_or(0) as usize == targets.len();
        let in_order = ends.is_sorted() && dangling.windows(2).all(|pair| pair[0].0 < pair[1].0);
        let fits = ends.len() == objects && ends_well && in_order && are_nodes(&targets, objects);
        (fits && reader.is_empty()).then_some(Edges { ends, targets, dangling })
    }

    fn few(group: &Group, objects: usize) -> Option<FewEdges> {
        let (ends, targets) = (group.few(0)?, group.few(1)?);
        let count = targets.count_of(4)?;
        (ends.count_of(4)? == objects).then_some(FewEdges { ends, targets, count, objects })
    }

    fn empty(objects: usize) -> Edges {
        Edges { ends: vec![0; objects], ..Edges::default() }
    }
}

/// [`Edges`] of which few are read.
#[derive(Debug)]
pub(super) struct FewEdges {
    ends: Few,
    targets: Few,
    count: usize,
    objects: usize,
}

impl FewEdges {
    /// Where the references of a node stand.
    pub(super) fn places(&self, row: usize) -> Option<Range<u32>> {
        let end = self.ends.number(row)? as u32;
        let begin = row.checked_sub(1).map_or(Some(0), |before| Some(self.ends.number(before)? as u32))?;
        (begin <= end && end as usize <= self.count).then_some(begin..end)
    }

    /// Those at some places.
    pub(super) fn targets(&self, places: Range<u32>) -> Option<&[u32]> {
        let targets = self.targets.numbers(places.start as usize..places.end as usize)?;
        are_nodes(targets, self.objects).then_some(targets)
    }
}

impl Kept for Index {
    type Few = ();
    type Bounds = usize;

    fn from_parts(reader: &mut Reader, objects: usize) -> Option<Index> {
        Index::from_parts(reader, objects).filter(|_| reader.is_empty())
    }

    fn few(_: &Group, _: usize) -> Option<()> {
        None
    }

    fn empty(_: usize) -> Index {
        Index::default()
    }
}

/// No dump is so long.
const OFFSETS: u64 = 1 << 48;

/// Whether what the dump holds in all can be so: parts are subtracted from wholes, and sums summed up.
fn add_up(totals: &Totals, objects: usize, diagnostics: &Diagnostics) -> bool {
    let Totals { traced, tracer, .. } = totals;
    let all = totals.objects;
    let fits = |part: u64| part <= OFFSETS;
    all.count == objects as u64
        && [traced, tracer].iter().all(|part| part.count <= all.count && part.memsize <= all.memsize)
        && [all.references, totals.free_slots, totals.free_bytes, totals.zombies, totals.shapes].into_iter().all(fits)
        && totals.roots.iter().all(|(_, references)| fits(*references))
        && [diagnostics.bytes, diagnostics.lines, diagnostics.lost, diagnostics.repaired].into_iter().all(fits)
        && totals.roots.len() <= Totals::ROOTS + 1
        && totals.meta.as_ref().is_none_or(|meta| meta.len() <= 4 * Totals::META)
}

impl Columns {
    /// The packed columns, in the order of the file.
    pub(super) fn packed(&self) -> [&Later<Column>; 10] {
        [
            &self.flags,
            &self.memsizes,
            &self.generations,
            &self.classes,
            &self.sites,
            &self.labels,
            &self.shapes,
            &self.slot_sizes,
            &self.lengths,
            &self.stacks,
        ]
    }
}
