//! All names of references that a dump tells, for those who want that of each reference: read in one pass on all threads.
//!
//! A reference takes 4 bytes, and each different name is kept once. The plain version is [`super::Labels::read_names`] of all objects,
//! which keeps a name for each reference.

use super::Edge;
use super::named::{edge, is_told, shown};
use crate::control::Control;
use crate::heap::{Heap, NodeId};
use crate::memory::{copied, room};
use crate::record::{Record, Text, Type};
use crate::scan::{self, Visitor};
use crate::source::Source;
use crate::{Error, Result, sort};
use hashbrown::HashMap;

/// A thread keeps so many different names, of so many bytes; a dump may have a key of its own for each entry of its hashes.
const KEPT: usize = 1 << 19;
const KEPT_BYTES: usize = 32 << 20;
/// Bytes of a name as it stands in the dump that decide what is shown of it: six for each, and one more.
const DECISIVE: usize = 1300;

/// The names of a dump's references.
#[derive(Debug)]
pub(crate) struct WrittenNames {
    /// The different names, of each thread that read.
    names: Vec<Vec<Edge>>,
    /// In the order of the objects.
    blocks: Vec<Block>,
}

/// Objects that stand behind one another.
#[derive(Debug)]
struct Block {
    first: NodeId,
    /// By object where its references' numbers begin, and where the last one's end.
    starts: Vec<u32>,
    /// By reference the number of its name plus 1, 0 for none; of an object's last references there may be none at all.
    numbers: Vec<u32>,
    thread: usize,
}

/// Tells names apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct NameId {
    thread: u32,
    number: u32,
}

/// The names of one object's references.
#[derive(Clone, Copy, Debug)]
pub(crate) struct NamesOfOne<'a> {
    numbers: &'a [u32],
    thread: u32,
}

impl NamesOfOne<'_> {
    /// That of the reference at a place of the object's list, where the dump tells one.
    pub(crate) fn at(&self, place: usize) -> Option<NameId> {
        let number = self.numbers.get(place)?.checked_sub(1)?;
        Some(NameId { thread: self.thread, number })
    }
}

impl WrittenNames {
    /// Reads those of the heap's dump; none where it tells none. Of keys that are texts it says only that they are keys, where the source
    /// hides values.
    ///
    /// # Errors
    /// Those of [`scan::scan`]; [`Error::Format`] where `source` holds something else than when the heap was loaded; [`Error::Memory`].
    pub(crate) fn read(heap: &Heap, source: &Source, control: &Control<'_>) -> Result<Option<WrittenNames>> {
        if !heap.has_edge_names() {
            return Ok(None);
        }
        let options = scan::Options::from(*control);
        let (readers, _) = scan::scan(source, &options, || Reader::new(heap, source.hides_values()))?;
        let (mut names, mut blocks, mut taken) = (Vec::new(), Vec::new(), 0);
        for (thread, mut reader) in readers.into_iter().enumerate() {
            reader.blocks.iter_mut().for_each(|block| block.thread = thread);
            blocks.append(&mut reader.blocks);
            names.push(reader.names);
            taken += reader.taken;
        }
        if taken != heap.object_count() {
            return Err(crate::heap::changed(source));
        }
        sort::by_key(&mut blocks, |block: &Block| block.first);
        Ok(Some(WrittenNames { names, blocks }))
    }

    /// Those of an object's references.
    pub(crate) fn of(&self, id: NodeId) -> NamesOfOne<'_> {
        let none = NamesOfOne { numbers: &[], thread: 0 };
        let behind = self.blocks.partition_point(|block| block.first <= id);
        let Some(block) = behind.checked_sub(1).map(|at| &self.blocks[at]) else { return none };
        let at = (id.0 - block.first.0) as usize;
        match block.starts.get(at..at + 2) {
            Some(ends) => NamesOfOne {
                numbers: &block.numbers[ends[0] as usize..ends[1] as usize],
                thread: block.thread as u32, // a thread is one of a few
            },
            None => none,
        }
    }

    /// What a name says.
    pub(crate) fn edge(&self, id: NameId) -> &Edge {
        &self.names[id.thread as usize][id.number as usize]
    }
}

/// What one thread reads.
struct Reader<'a> {
    heap: &'a Heap,
    hides_texts: bool,
    names: Vec<Edge>,
    /// By sort of holder the numbers plus 1 of names as they stand in the dump, 0 for what says nothing there.
    known: [HashMap<Box<[u8]>, u32>; HOLDERS],
    known_bytes: usize,
    references: Vec<u64>,
    blocks: Vec<Block>,
    /// The block in work: none before its first object.
    first: Option<NodeId>,
    starts: Vec<u32>,
    numbers: Vec<u32>,
    taken: usize,
    failed: Option<Error>,
}

/// Sorts of holders, which names mean different things in.
const HOLDERS: usize = 6;

fn holder(ty: Type) -> usize {
    match ty {
        Type::Class | Type::Module | Type::Iclass => 0,
        Type::Struct => 1,
        Type::Hash => 2,
        Type::Array => 3,
        Type::Imemo => 4,
        _ => 5,
    }
}

impl<'a> Reader<'a> {
    fn new(heap: &'a Heap, hides_texts: bool) -> Reader<'a> {
        Reader {
            heap,
            hides_texts,
            names: Vec::new(),
            known: Default::default(),
            known_bytes: 0,
            references: Vec::new(),
            blocks: Vec::new(),
            first: None,
            starts: Vec::new(),
            numbers: Vec::new(),
            taken: 0,
            failed: None,
        }
    }

    /// The object whose line begins there.
    fn node(&self, offset: u64) -> Option<NodeId> {
        let count = self.heap.object_count() as u32;
        let next = self.first.map_or(0, |first| first.0 + self.starts.len() as u32);
        if next < count && self.heap.offset(NodeId(next)) == offset {
            return Some(NodeId(next));
        }
        let (mut low, mut high) = (0, count);
        while low < high {
            let middle = low + (high - low) / 2;
            match self.heap.offset(NodeId(middle)) < offset {
                true => low = middle + 1,
                false => high = middle,
            }
        }
        Some(NodeId(low)).filter(|id| id.0 < count && self.heap.offset(*id) == offset)
    }

    fn take(&mut self, record: &Record<'_>, offset: u64) -> Result<()> {
        let Some(id) = self.node(offset).filter(|id| record.address == Some(self.heap.address(*id))) else {
            return Ok(());
        };
        let first = *self.first.get_or_insert(id);
        // Objects of a block are numbered one behind the other.
        if id.0 != first.0 + self.starts.len() as u32 {
            return Ok(());
        }
        self.taken += 1;
        room(&mut self.starts, 1)?;
        self.starts.push(self.numbers.len() as u32);
        if record.names.is_none() || !is_told(self.heap, id) {
            return Ok(());
        }
        let count = self.heap.references(id).len();
        for name in record.edge_names().take(count) {
            room(&mut self.numbers, 1)?;
            let number = name.map_or(0, |name| self.number(record.ty, name));
            self.numbers.push(number);
        }
        Ok(())
    }

    fn number(&mut self, ty: Type, name: Text<'_>) -> u32 {
        let key = &name.raw[..name.raw.len().min(DECISIVE)];
        let known = &mut self.known[holder(ty)];
        if let Some(number) = known.get(key) {
            return *number;
        }
        if self.names.len() >= KEPT || self.known_bytes >= KEPT_BYTES {
            return 0;
        }
        let number = match edge(ty, &shown(name), self.hides_texts) {
            Some(edge) => {
                self.names.push(edge);
                self.names.len() as u32
            }
            None => 0,
        };
        self.known_bytes += 2 * key.len();
        known.insert(key.into(), number);
        number
    }
}

impl Visitor for Reader<'_> {
    const TAKES_NAMES: bool = true;

    fn references(&mut self) -> &mut Vec<u64> {
        &mut self.references
    }

    fn record(&mut self, record: &Record<'_>, offset: u64) {
        self.references.clear();
        if let Err(error) = self.take(record, offset) {
            self.failed.get_or_insert(error);
        }
    }

    fn end_of_block(&mut self, _: u64) -> Result<()> {
        if let Some(error) = self.failed.take() {
            return Err(error);
        }
        if let Some(first) = self.first.take() {
            room(&mut self.starts, 1)?;
            self.starts.push(self.numbers.len() as u32);
            room(&mut self.blocks, 1)?;
            let (starts, numbers) = (copied(&self.starts)?, copied(&self.numbers)?);
            self.blocks.push(Block { first, starts, numbers, thread: 0 });
        }
        self.starts.clear();
        self.numbers.clear();
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test may panic")]

    use super::*;
    use crate::graph::random::heap_of_lines;
    use crate::labels::Labels;

    /// A dump by the native dumper, of some blocks.
    fn dump() -> String {
        let root = r#"{"type":"ROOT", "root":"heap_inspector", "value":"{\"version\":2,\"dumper\":\"native\"}", "references":[]}"#;
        let holders = [
            r#""type":"OBJECT", "names":["@session","@user"]"#,
            r#""type":"OBJECT", "names":[0,"@user"]"#,
            r#""type":"OBJECT", "names":["@session","@user","@more than there are"]"#,
            r#""type":"OBJECT", "names":["[\"no name of an object\"]"]"#,
            r#""type":"CLASS", "name":"Catalog", "names":["LISTENERS","@quotes"]"#,
            r#""type":"HASH", "length":1, "names":["(key)","[\"card 4111\"]"]"#,
            r#""type":"HASH", "length":1, "names":["[:café]","[12]"]"#,
            r#""type":"HASH", "length":1, "names":["(key)","[\"cut before its end"]"#,
            r#""type":"HASH", "length":1, "names":["(key)","[\"number NUMBER\"]"]"#,
            r#""type":"IMEMO", "imemo_type":"env", "names":["request","(self)"]"#,
            r#""type":"STRUCT", "names":[".left"]"#,
            r#""type":"ARRAY", "length":2, "names":["[7]","[8]"]"#,
            r#""type":"ARRAY", "length":4, "names":["[2]","[3]"]"#,
            r#""type":"DATA", "struct":"proc""#,
        ];
        let mut lines = vec![root.to_owned()];
        for number in 0..20_000u64 {
            let own = holders[number as usize % holders.len()].replace("NUMBER", &number.to_string());
            let (keys, names) = own.split_once(", \"names\"").unwrap_or((&own, ""));
            let names = if names.is_empty() { String::new() } else { format!(", \"names\"{names}") };
            let address = |number: u64| format!("0x{:x}", 0x10_0000 + number % 20_000 * 40);
            let to = format!("\"{}\", \"{}\"", address(number + 1), address(number * 7));
            lines.push(format!(
                "{{\"address\":\"{}\", {keys}, \"references\":[{to}]{names}, \"memsize\":40}}",
                address(number)
            ));
        }
        lines.join("\n")
    }

    fn heap() -> (Heap, Source) {
        heap_of_lines(&dump())
    }

    #[test]
    fn all_names_are_those_that_are_read_one_by_one() {
        let (heap, source) = heap();
        let ids: Vec<NodeId> = heap.nodes().collect();
        let mut labels = Labels::new(&heap);
        labels.read_names(&source, &ids, usize::MAX).unwrap();
        for threads in [1, 3] {
            let control = Control { threads, ..Control::default() };
            let written = WrittenNames::read(&heap, &source, &control).unwrap().unwrap();
            assert!(written.blocks.len() > 1, "{}", written.blocks.len());
            let mut words: HashMap<String, usize> = HashMap::new();
            for id in &ids {
                let names = written.of(*id);
                for place in 0..heap.references(*id).len() {
                    let edge = names.at(place).map(|name| written.edge(name));
                    assert_eq!(edge, labels.named.edge(*id, place), "0x{:x} {place}", heap.address(*id));
                    *words.entry(edge.map_or_else(String::new, Edge::to_string)).or_default() += 1;
                }
                assert_eq!(names.at(heap.references(*id).len()), None);
            }
            for word in
                ["@session", "::LISTENERS", "[\"card 4111\"]", "[:café]", "local variable request", ".left", "[3]"]
            {
                assert!(words.get(word).is_some_and(|count| *count > 1000), "{word}: {words:?}");
            }
            assert_eq!(words.get("[\"number 8\"]"), Some(&1));
            assert!(!words.contains_key("[8]"), "arrays that tell all their elements are not named");
        }
    }

    #[test]
    fn keys_that_are_texts_are_hidden_with_the_values() {
        let (heap, source) = heap();
        let source = source.without_values();
        let written = WrittenNames::read(&heap, &source, &Control::default()).unwrap().unwrap();
        let mut labels = Labels::new(&heap);
        let ids: Vec<NodeId> = heap.nodes().collect();
        labels.read_names(&source, &ids, usize::MAX).unwrap();
        let edges = written.names.iter().flatten().map(Edge::to_string);
        let one_by_one = ids.iter().flat_map(|id| [0, 1].map(|place| labels.reference(*id, place).to_string()));
        for words in [edges.collect::<Vec<_>>(), one_by_one.collect()] {
            assert!(words.iter().all(|words| !words.contains('"')), "{words:?}");
            for kept in ["value", "[:café]", "[12]", "@user"] {
                assert!(words.iter().any(|words| words == kept), "{kept}");
            }
        }
    }

    #[test]
    fn another_dump_is_refused_and_one_without_names_has_none() {
        let (heap, _) = heap();
        let (other, source) = heap_of_lines(&dump().replace("0x100028", "0x9000028"));
        let refused = WrittenNames::read(&heap, &source, &Control::default()).unwrap_err();
        assert!(refused.to_string().contains("is not what it was when it was loaded"), "{refused}");
        assert!(WrittenNames::read(&other, &source, &Control::default()).unwrap().is_some());
        let (plain, source) = heap_of_lines(&dump().replace("native", "ruby"));
        assert!(WrittenNames::read(&plain, &source, &Control::default()).unwrap().is_none());
    }
}
