//! The large tables, by parts of the heap that are a row group each: objects, references. And roots and frames of stacks, row by row.
//!
//! A part is encoded column by column, by any thread; of threads each has the words for references that it needs.

use super::chunks::{Chunk, Encoder, Known, Numbers, Texts};
use super::columns::{GROUP, Value, Writer, described};
use super::schema::{EDGES, OBJECTS, Table};
use crate::Result;
use crate::control::Control;
use crate::graph::dominators::Dominator;
use crate::heap::{Heap, NodeId, Target};
use crate::keys::{self, Key, Values};
use crate::labels::written::{NameId, WrittenNames};
use crate::labels::{Edge, Labels, Voted};
use crate::record::Flags;
use crate::snapshot::Named;
use crate::stacks::FrameId;
use parquet::schema::types::ColumnDescPtr;
use std::ops::Range;
use std::path::Path;

/// What makes a row group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Part {
    /// Objects.
    Objects(Range<u32>),
    /// References, in the order of the objects that refer: from the place of a first object's list to that of a last one's, which is left
    /// out. The place behind a list is the class.
    Edges([(u32, usize); 2]),
}

impl Part {
    /// The parts of a table, in order; none of another table than these two.
    pub(super) fn all_of(table: &Table, heap: &Heap) -> Vec<Part> {
        let count = heap.nodes().len() as u32;
        if table.name == OBJECTS.name {
            let group = GROUP as u32;
            return (0..count.div_ceil(group))
                .map(|at| Part::Objects(at * group..count.min((at + 1) * group)))
                .collect();
        }
        if table.name == EDGES.name { edge_parts(heap, count, GROUP) } else { Vec::new() }
    }
}

/// Parts of at most so many references, objects' classes among them.
fn edge_parts(heap: &Heap, count: u32, most: usize) -> Vec<Part> {
    let mut starts = vec![(0, 0)];
    let mut room = most;
    for id in (0..count).map(NodeId) {
        let all = heap.packed_targets(id).len() + 1;
        let mut before = 0;
        while all - before > room {
            before += room;
            starts.push((id.0, before));
            room = most;
        }
        room -= all - before;
    }
    starts.push((count, 0));
    starts.windows(2).map(|ends| Part::Edges([ends[0], ends[1]])).filter(|_| count > 0).collect()
}

/// Encodes parts; each thread has one.
pub(super) struct Maker<'a> {
    dump: &'a Named<'a>,
    written: Option<&'a WrittenNames>,
    labels: Labels<'a>,
    columns: [Vec<ColumnDescPtr>; 2],
    encoder: Encoder<'a>,
    control: &'a Control<'a>,
}

impl std::fmt::Debug for Maker<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Maker").field("encoder", &self.encoder).finish_non_exhaustive()
    }
}

impl<'a> Maker<'a> {
    /// One whose errors name a folder. What its labels have counted others have too; `written` are the names that the dump gives its
    /// references, where it does.
    pub(super) fn new(
        dump: &'a Named<'a>,
        written: Option<&'a WrittenNames>,
        voted: &Voted,
        folder: &'a Path,
        control: &'a Control<'a>,
    ) -> Result<Maker<'a>> {
        let columns = |table| Ok(described(table, folder)?.columns().to_vec());
        Ok(Maker {
            dump,
            written,
            labels: Labels::sharing(dump.snapshot.heap(), voted),
            columns: [columns(&OBJECTS)?, columns(&EDGES)?],
            encoder: Encoder::new(folder)?,
            control,
        })
    }

    /// The columns of a part; none of one that has no row.
    pub(super) fn make(&mut self, part: &Part) -> Result<Vec<Chunk>> {
        match part {
            Part::Objects(ids) => self.objects(ids.clone()),
            Part::Edges(ends) => self.edges(*ends),
        }
    }

    fn objects(&mut self, ids: Range<u32>) -> Result<Vec<Chunk>> {
        let (heap, tree) = (self.dump.snapshot.heap(), self.dump.snapshot.tree(self.control)?);
        let ids = || ids.clone().map(NodeId);
        // Kept plus 1, 0 for none.
        let (generation, newest) = (|id| heap.generation(id).checked_sub(1), heap.newest_generation());
        let mut values = Values::new(heap.names());
        let numbers = |get: &dyn Fn(NodeId) -> Option<u64>| -> Numbers {
            ids().map(|id| get(id).map(super::columns::bounded)).collect()
        };
        let address = |id| heap.address(id).cast_signed();
        let [columns, _] = &self.columns;
        let mut chunks = Vec::with_capacity(columns.len());
        for (field, column) in OBJECTS.fields.iter().zip(columns) {
            self.control.check()?;
            let encoder = &mut self.encoder;
            chunks.push(match field.name {
                "address" => encoder.differences(column, &ids().map(|id| Some(address(id))).collect())?,
                "type" => encoder.texts(column, &texts_of(heap, ids(), Key::Type, &mut values, true))?,
                "class" => encoder.texts(column, &texts_of(heap, ids(), Key::Class, &mut values, true))?,
                "memsize" => encoder.few(column, &numbers(&|id| Some(heap.bytes(id))))?,
                "retained" => {
                    let retained = |id| tree.is_reachable(id).then(|| tree.retained(id));
                    encoder.few(column, &numbers(&retained))?
                }
                "length" => encoder.few(column, &numbers(&|id| heap.length(id).map(u64::from)))?,
                "generation" => encoder.few(column, &numbers(&|id| generation(id).map(u64::from)))?,
                "age" => {
                    let age = |id| generation(id).map(|generation| u64::from(newest - 1 - generation));
                    encoder.few(column, &numbers(&age))?
                }
                "site" => encoder.texts(column, &texts_of(heap, ids(), Key::Location, &mut values, false))?,
                "stack" => {
                    let stack = |id| Some(heap.stack(id)).filter(|frame| frame.is_some());
                    encoder.few(column, &numbers(&|id| stack(id).map(|frame| frame.0.into())))?
                }
                "dominator" => {
                    let dominator = |id| match tree.dominator(id) {
                        Dominator::Node(by) => Some(address(by)),
                        _ => None,
                    };
                    encoder.differences(column, &ids().map(dominator).collect())?
                }
                "reachable" => encoder.flags(column, &ids().map(|id| tree.is_reachable(id)).collect::<Vec<_>>())?,
                _ => encoder.texts(column, &flags_of(heap, ids()))?,
            });
        }
        Ok(chunks)
    }

    /// References to objects of the dump, by addresses. Of several objects at one address the first is meant.
    fn edges(&mut self, [begin, end]: [(u32, usize); 2]) -> Result<Vec<Chunk>> {
        let heap = self.dump.snapshot.heap();
        let address = |id| Some(heap.address(id).cast_signed());
        let (mut from, mut to, mut names) = (Numbers::default(), Numbers::default(), Texts::default());
        let word = |edge: &Edge| Some(edge.to_string()).filter(|text| !text.is_empty());
        let (mut known, mut known_written): (Known<Edge>, Known<NameId>) = Default::default();
        let class = names.place(&Edge::Class.to_string());
        let last = end.0 + u32::from(end.1 > 0);
        for id in (begin.0..last).map(NodeId) {
            self.control.check_at(id.0 as usize)?;
            let first = if id.0 == begin.0 { begin.1 } else { 0 };
            let count = heap.packed_targets(id).len();
            let written = self.written.map(|written| (written, written.of(id)));
            let behind = if id.0 == end.0 { end.1 } else { count + 1 };
            for (step, (place, target)) in heap.references(id).enumerate().take(behind).skip(first).enumerate() {
                let Target::Node(target) = target else { continue };
                self.control.check_at(step + 1)?;
                from.push(address(id));
                to.push(address(target));
                let named = written.and_then(|(written, of_one)| Some((written, of_one.at(place)?)));
                let place = match named {
                    Some((written, name)) => known_written.place(&mut names, name, |name| word(written.edge(*name))),
                    None => known.place(&mut names, self.labels.reference(id, place), word),
                };
                names.push(place);
            }
            if let Some(of) = heap.class(id).filter(|_| behind > count) {
                from.push(address(id));
                to.push(address(of));
                names.push(Some(class));
            }
        }
        if from.is_empty() {
            return Ok(Vec::new());
        }
        self.control.check()?;
        let [_, columns] = &self.columns;
        let [from_column, to_column, name_column] = &columns[..] else { return Ok(Vec::new()) };
        Ok(vec![
            self.encoder.differences(from_column, &from)?,
            self.encoder.differences(to_column, &to)?,
            self.encoder.texts(name_column, &names)?,
        ])
    }
}

/// A key's values for some objects, told apart by the numbers that the heap has for them.
fn texts_of(
    heap: &Heap,
    ids: impl Iterator<Item = NodeId>,
    key: Key,
    values: &mut Values<'_>,
    is_absence_told: bool,
) -> Texts {
    let (mut texts, mut known) = (Texts::default(), Known::default());
    let domain = key.domain();
    for id in ids {
        let place = known.place(&mut texts, heap.code(id, domain), |_: &usize| {
            let value = values.value(key, &heap.properties(id));
            let is_told = is_absence_told || matches!(value, keys::Value::Text(_));
            values.outside(value).words().filter(|_| is_told).map(str::to_owned)
        });
        texts.push(place);
    }
    texts
}

/// The names of flags that are set.
fn flags_of(heap: &Heap, ids: impl Iterator<Item = NodeId>) -> Texts {
    let (mut texts, mut known) = (Texts::default(), Known::default());
    for id in ids {
        let flags = heap.flags(id);
        let named = |_: &u32| {
            let set = Flags::NAMED.iter().filter(|(flag, _)| flags.has(*flag));
            Some(set.map(|(_, name)| *name).collect::<Vec<_>>().join(","))
        };
        let place = known.place(&mut texts, flags.bits(), named);
        texts.push(place);
    }
    texts
}

pub(super) fn roots(heap: &Heap, out: &mut Writer<'_>, control: &Control<'_>) -> Result<()> {
    for root in heap.roots() {
        let category = Value::text(&root.category);
        for (step, target) in root.targets.iter().enumerate() {
            control.check_at(step)?;
            let address = match target {
                Target::Node(id) => heap.address(*id),
                Target::Dangling(address) => *address,
            };
            out.row([category.clone(), Value::Number(1), Value::address(address)])?;
        }
    }
    Ok(())
}

pub(super) fn stacks(heap: &Heap, out: &mut Writer<'_>, control: &Control<'_>) -> Result<()> {
    let tables = &heap.names().tables;
    let text = |sym| Some(tables.symbols.text(sym)).filter(|text| !text.is_empty());
    // Number 0 is none.
    for number in 1..tables.stacks.len() as u32 {
        control.check_at(number as usize)?;
        let (site, parent) =
            (tables.sites.get(tables.stacks.site(FrameId(number))), tables.stacks.parent(FrameId(number)));
        let location = text(site.file).map(|file| format!("{file}:{}", site.line));
        out.row([
            Value::number(number.into()),
            if parent.is_some() { Value::number(parent.0.into()) } else { Value::None },
            Value::of(location.as_deref()),
            Value::of(text(site.method).as_deref()),
        ])?;
    }
    Ok(())
}

/// How many objects a dump has, and references between them, classes among these.
pub(super) fn links(heap: &Heap) -> u64 {
    let classes = heap.nodes().filter(|id: &NodeId| heap.class(*id).is_some()).count();
    (heap.edge_count() - heap.dangling_count() + classes) as u64
}

#[cfg(test)]
mod tests;
