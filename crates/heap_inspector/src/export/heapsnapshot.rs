//! A heap as a `.heapsnapshot`, the form of V8 that Chrome's DevTools, VS Code and memlab read.
//!
//! The form: "The heap snapshot file format" in the documentation of Microsoft Edge's DevTools, and V8's `heap-snapshot-generator.cc`,
//! whose order of sections readers rely on (julia issue 54414). Below the root is one node, of which all roots are edges. Written as a
//! stream: two passes over the objects' columns and one over the dump for the texts of strings.
//!
//! What a reader makes of it decides the types of nodes. Only `object` and `native` nodes are grouped by their names, so that all of
//! Ruby's classes keep theirs. Strings and symbols whose texts are known have them as names. There are no nodes of the types whose bytes
//! DevTools counts to others (`hidden`, `array`), and no `shortcut` edges, which would mark a web page's objects.

use super::{Contents, Options, failed};
use crate::control::Control;
use crate::graph::dominators::Tree;
use crate::heap::{Heap, NodeId};
use crate::labels::written::WrittenNames;
use crate::labels::{Edge, Labels};
use crate::memory::filled;
use crate::names::ClassId;
use crate::record::Type;
use crate::snapshot::Named;
use crate::symbols::Symbol;
use crate::{Error, Result, human};
use cut::{Cut, ROOTS};
use hashbrown::HashMap;
pub(super) use identities::Identities;
use identities::Numbered;
use std::borrow::Cow;
use std::io::Write;
use std::path::Path;
use strings::Strings;
use text::Text;
use traces::Traces;

mod cut;
mod identities;
mod strings;
mod text;
mod traces;

/// Types of nodes, by their places in the header.
mod kind {
    pub(super) const STRING: u8 = 2;
    pub(super) const OBJECT: u8 = 3;
    pub(super) const NATIVE: u8 = 8;
    pub(super) const SYNTHETIC: u8 = 9;
    pub(super) const SYMBOL: u8 = 12;
}

/// Types of edges, by their places in the header.
mod link {
    pub(super) const ELEMENT: u8 = 1;
    pub(super) const PROPERTY: u8 = 2;
    pub(super) const INTERNAL: u8 = 3;
}

/// Fields of a node: VS Code's reader wants all seven (julia issue 52680).
const NODE_FIELDS: u64 = 7;
const EDGE_FIELDS: u64 = 3;

/// Ids are odd, as V8's; what is left out below an object has the even one behind the object's.
const ROOT_ID: u64 = 1;
const ROOTS_ID: u64 = 3;
const FIRST_ID: u64 = 5;

/// The root and the node of all roots stand before the objects.
const BEFORE: u64 = 2;

/// Set in the place of a name that is the text of a string or symbol.
const IS_TEXT: u32 = 1 << 31;

/// How many nodes and edges there are, and what the greatest numbers are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Size {
    nodes: u64,
    edges: u64,
    last_id: u64,
    biggest: u64,
}

impl Size {
    /// Readers keep all numbers in 32 bits, also the places of a node's and an edge's first field.
    fn check(self, dump: &str) -> Result<()> {
        let most = u64::from(u32::MAX);
        let (nodes, edges) = (most / NODE_FIELDS, most / EDGE_FIELDS);
        let what = match self {
            Size { nodes: count, .. } if count > nodes => {
                format!("{} objects; a heap snapshot holds {}", human::count(count), human::count(nodes))
            }
            Size { edges: count, .. } if count > edges => {
                format!("{} references; a heap snapshot holds {}", human::count(count), human::count(edges))
            }
            Size { last_id, .. } if last_id > most => {
                "more objects, together with the dumps before, than a heap snapshot has numbers for".to_owned()
            }
            Size { biggest, .. } if biggest > most => {
                format!("an object of {}; in a heap snapshot one has less than 4 GiB", human::bytes(biggest))
            }
            _ => return Ok(()),
        };
        Err(Error::usage(format!("{dump} has {what}: cut it with --min BYTES or --where")))
    }
}

/// Writes it; what is left out, moved or unreachable is told.
pub(super) fn write<'a>(
    dump: &Named<'a>,
    options: &Options,
    identities: &mut Identities<'a>,
    path: &Path,
    out: &mut dyn Write,
    control: &Control<'_>,
) -> Result<Contents> {
    let (heap, tree) = (dump.snapshot.heap(), dump.snapshot.tree(control)?);
    let cut = Cut::new(heap, tree, &options.filter, options.min, control)?;
    let ids = identities.number(heap, control)?;
    let size = size(heap, &cut, ids, control)?;
    size.check(dump.name)?;
    let traces = if options.sites { Some(Traces::new(heap, cut.nodes(), control)?) } else { None };
    let mut strings = Strings::new()?;
    let names = names(dump, &cut, options.confidential, &mut strings, control)?;
    let (labels, words) = (Labels::new(heap), HashMap::new());
    let source = dump.snapshot.source_to_tell(options.confidential);
    let written = WrittenNames::read(heap, &source, control)?;
    let written = written.as_ref();
    let mut file = File { heap, cut: &cut, ids, names, strings, words, traces, labels, written, control };
    let mut text = Text::new(out, path);
    file.header(size, &mut text)?;
    file.nodes(&mut text)?;
    file.edges(&mut text)?;
    file.traces(&mut text)?;
    text.text("\"samples\":[],\n\"locations\":[],\n\"strings\":[")?;
    file.strings.write(text.out()?, failed(path))?;
    text.text("]}\n")?;
    text.out()?.flush().map_err(failed(path))?;
    Ok(Contents { objects: cut.count as u64, links: size.edges, notes: notes(heap, tree, &cut, ids, options) })
}

/// How many edges leave an object.
fn edge_count(heap: &Heap, cut: &Cut, id: NodeId) -> u64 {
    let references = crate::graph::targets(heap, id).filter(|target| cut.place(*target).is_some()).count();
    (references + cut.chains(id.0).len() + usize::from(cut.held(id.0).is_some())) as u64
}

fn roots(heap: &Heap) -> impl Iterator<Item = (&str, NodeId)> {
    heap.roots().iter().flat_map(|root| root.targets.iter().map(|target| (root.category.as_str(), target))).filter_map(
        |(category, target)| match target {
            crate::heap::Target::Node(id) => Some((category, *id)),
            crate::heap::Target::Dangling(_) => None,
        },
    )
}

fn root_edge_count(heap: &Heap, cut: &Cut) -> u64 {
    let references = roots(heap).filter(|(_, id)| cut.place(*id).is_some()).count();
    (references + cut.chains(ROOTS).len() + usize::from(cut.held(ROOTS).is_some())) as u64
}

fn size(heap: &Heap, cut: &Cut, ids: Numbered<'_>, control: &Control<'_>) -> Result<Size> {
    let mut size = Size {
        nodes: BEFORE + cut.count as u64 + cut.left_out.len() as u64,
        edges: 1 + root_edge_count(heap, cut),
        last_id: FIRST_ID + 2 * u64::from(ids.end),
        biggest: cut.left_out.iter().map(|(_, sum)| sum.memsize).max().unwrap_or(0),
    };
    for id in cut.nodes() {
        control.check_at(id.0 as usize)?;
        size.edges += edge_count(heap, cut, id);
        size.biggest = size.biggest.max(heap.bytes(id));
    }
    Ok(size)
}

/// By node: the place of its name, with [`IS_TEXT`] where that is a text.
fn names(
    dump: &Named<'_>,
    cut: &Cut,
    confidential: bool,
    strings: &mut Strings,
    control: &Control<'_>,
) -> Result<Vec<u32>> {
    let heap = dump.snapshot.heap();
    let labels = Labels::new(heap);
    let mut names = filled(0, heap.object_count())?;
    let mut texts: Vec<NodeId> = Vec::new();
    let mut known: HashMap<(Type, ClassId, Symbol), (u32, bool)> = HashMap::new();
    for id in cut.nodes() {
        control.check_at(id.0 as usize)?;
        if matches!(heap.ty(id), Type::Class | Type::Module) {
            names[id.0 as usize] = strings.intern(labels.node(id).as_bytes())?;
            continue;
        }
        let properties = heap.properties(id);
        let key = (properties.ty, properties.names.class, properties.names.label);
        let (name, has_text) = match known.get(&key) {
            Some(known) => *known,
            None => {
                let class = labels.class_name(id);
                let has_text = match properties.ty {
                    Type::String => class == "String" && !confidential,
                    Type::Symbol => class == "Symbol",
                    _ => false,
                };
                let name = (strings.intern(class.as_bytes())?, has_text);
                known.insert(key, name);
                name
            }
        };
        names[id.0 as usize] = name;
        if has_text {
            crate::memory::room(&mut texts, 1)?;
            texts.push(id);
        }
    }
    let mut step = 0;
    heap.records(dump.snapshot.source(), &texts, |id, record, _| {
        step += 1;
        control.check_at(step)?;
        let text = match record.value {
            Some(text) => text.decode(),
            // From Ruby 3.2 an empty value is left out.
            None if record.bytesize == Some(0) => Default::default(),
            None => return Ok(()),
        };
        names[id.0 as usize] = strings.intern(&text)? | IS_TEXT;
        Ok(())
    })?;
    if strings.len() >= IS_TEXT as usize {
        return Err(Error::usage(format!("{} has too many texts for a heap snapshot: cut it with --where", dump.name)));
    }
    Ok(names)
}

fn notes(heap: &Heap, tree: &Tree, cut: &Cut, ids: Numbered<'_>, options: &Options) -> Vec<String> {
    let mut notes = Vec::new();
    let mut left_out = cut.unreachable;
    cut.left_out.iter().for_each(|(_, sum)| left_out.add(*sum));
    if left_out.count > 0 {
        notes.push(format!(
            "{} objects of {} are left out; below what retains them they are one node `(left out)`, but for {} that no root leads to",
            human::count(left_out.count),
            human::bytes(left_out.memsize),
            human::count(cut.unreachable.count),
        ));
    }
    let unreachable = (heap.object_count() as u64).saturating_sub(tree.reachable().count + cut.unreachable.count);
    if unreachable > 0 {
        notes.push(format!(
            "{} objects are in it that no root leads to: garbage that was not collected yet, or held weakly",
            human::count(unreachable)
        ));
    }
    if ids.moved > 0 {
        notes.push(format!(
            "{} objects were moved by a compaction since the dump before, and look new beside it",
            human::count(ids.moved)
        ));
    }
    if options.confidential {
        notes.push("the texts of strings are left out".to_owned());
    }
    notes
}

struct File<'a> {
    heap: &'a Heap,
    cut: &'a Cut,
    ids: Numbered<'a>,
    names: Vec<u32>,
    strings: Strings,
    /// Places of the program's own words, which name most edges.
    words: HashMap<&'static str, u32>,
    traces: Option<Traces>,
    labels: Labels<'a>,
    /// What the dump calls its references, where it does.
    written: Option<&'a WrittenNames>,
    control: &'a Control<'a>,
}

impl File<'_> {
    fn header(&mut self, size: Size, out: &mut Text<'_>) -> Result<()> {
        let (trace_functions, trace_nodes) = match &self.traces {
            Some(_) => (traces::FUNCTION_FIELDS, traces::NODE_FIELDS),
            None => ("", ""),
        };
        let functions = self.traces.as_ref().map_or(0, Traces::function_count);
        out.text(&format!(
            r#"{{"snapshot":{{"meta":{{"node_fields":["type","name","id","self_size","edge_count","trace_node_id","detachedness"],
"node_types":[["hidden","array","string","object","code","closure","regexp","number","native","synthetic","concatenated string","sliced string","symbol","bigint","object shape"],"string","number","number","number","number","number"],
"edge_fields":["type","name_or_index","to_node"],
"edge_types":[["context","element","property","internal","hidden","shortcut","weak"],"string_or_number","node"],
"trace_function_info_fields":[{trace_functions}],
"trace_node_fields":[{trace_nodes}],
"sample_fields":["timestamp_us","last_assigned_id"],
"location_fields":["object_index","script_id","line","column"]}},
"node_count":{},"edge_count":{},"trace_function_count":{functions}}},
"#,
            size.nodes, size.edges,
        ))
    }

    fn word(&mut self, word: &'static str) -> Result<u32> {
        if let Some(known) = self.words.get(word) {
            return Ok(*known);
        }
        let place = self.strings.intern(word.as_bytes())?;
        self.words.insert(word, place);
        Ok(place)
    }

    fn node_id(&self, id: NodeId) -> u64 {
        FIRST_ID + 2 * u64::from(self.ids.numbers[id.0 as usize])
    }

    fn nodes(&mut self, out: &mut Text<'_>) -> Result<()> {
        let (heap, cut) = (self.heap, self.cut);
        let root = self.strings.intern(b"")?;
        let roots = self.strings.intern(b"(GC roots)")?;
        let left_out = self.strings.intern(b"(left out)")?;
        out.text("\"nodes\":[")?;
        out.numbers(true, &[kind::SYNTHETIC.into(), root.into(), ROOT_ID, 0, 1, 0, 0])?;
        out.numbers(false, &[kind::SYNTHETIC.into(), roots.into(), ROOTS_ID, 0, root_edge_count(heap, cut), 0, 0])?;
        let object = self.strings.intern(b"Object")?;
        for id in cut.nodes() {
            self.control.check_at(id.0 as usize)?;
            let properties = heap.properties(id);
            let name = self.names[id.0 as usize];
            let kind = match properties.ty {
                Type::String if name & IS_TEXT != 0 => kind::STRING,
                Type::Symbol if name & IS_TEXT != 0 => kind::SYMBOL,
                Type::Imemo | Type::Iclass => kind::NATIVE,
                // DevTools names a plain Object by its properties.
                _ if name == object => kind::NATIVE,
                _ => kind::OBJECT,
            };
            let trace = self.traces.as_ref().map_or(0, |traces| traces.of(&properties));
            let fields = [
                kind.into(),
                (name & !IS_TEXT).into(),
                self.node_id(id),
                heap.bytes(id),
                edge_count(heap, cut, id),
                trace.into(),
                0,
            ];
            out.numbers(false, &fields)?;
        }
        for (holder, sum) in &cut.left_out {
            let id = if *holder == ROOTS { ROOTS_ID } else { self.node_id(NodeId(*holder)) } + 1;
            out.numbers(false, &[kind::NATIVE.into(), left_out.into(), id, sum.memsize, 0, 0, 0])?;
        }
        out.text("],\n")
    }

    /// Where a node begins among all fields.
    fn field(place: u64) -> u64 {
        place * NODE_FIELDS
    }

    fn to(&self, id: NodeId) -> Option<u64> {
        self.cut.place(id).map(|place| File::field(BEFORE + u64::from(place)))
    }

    fn edges(&mut self, out: &mut Text<'_>) -> Result<()> {
        let (heap, cut) = (self.heap, self.cut);
        let internal = u64::from(link::INTERNAL);
        let roots_name = self.strings.intern(b"roots")?;
        out.text("\"edges\":[")?;
        out.numbers(true, &[internal, roots_name.into(), File::field(1)])?;
        for (category, id) in roots(heap) {
            if let Some(to) = self.to(id) {
                let name = self.strings.intern(category.as_bytes())?;
                out.numbers(false, &[internal, name.into(), to])?;
            }
        }
        self.in_place(ROOTS, out)?;
        for id in cut.nodes() {
            self.control.check_at(id.0 as usize)?;
            let written = self.written.map(|written| (written, written.of(id)));
            for (place, target) in heap.packed_targets(id).iter().enumerate() {
                let target = Some(NodeId(*target)).filter(|target| target.0 != crate::heap::DANGLING);
                if let Some(to) = target.and_then(|target| self.to(target)) {
                    let told = written.and_then(|(written, of_one)| Some(written.edge(of_one.at(place)?)));
                    let (kind, name) = self.edge(id, place, told)?;
                    out.numbers(false, &[kind.into(), name.into(), to])?;
                }
            }
            if let Some(to) = heap.class(id).and_then(|class| self.to(class)) {
                let name = self.word("class")?;
                out.numbers(false, &[internal, name.into(), to])?;
            }
            self.in_place(id.0, out)?;
        }
        out.text("],\n")
    }

    /// The edges in place of what is left out.
    fn in_place(&mut self, from: u32, out: &mut Text<'_>) -> Result<()> {
        let (cut, internal) = (self.cut, u64::from(link::INTERNAL));
        if cut.left_out.is_empty() {
            return Ok(());
        }
        let through = self.word("through objects left out")?;
        for to in cut.chains(from).filter_map(|to| self.to(to)) {
            out.numbers(false, &[internal, through.into(), to])?;
        }
        if let Some(held) = cut.held(from) {
            let name = self.word("left out")?;
            let to = File::field(BEFORE + cut.count as u64 + held as u64);
            out.numbers(false, &[internal, name.into(), to])?;
        }
        Ok(())
    }

    /// Type and name of the reference at a place of an object's list, which the dump may call something.
    fn edge(&mut self, from: NodeId, place: usize, told: Option<&Edge>) -> Result<(u8, u32)> {
        let edge = match told {
            Some(edge) => Cow::Borrowed(edge),
            None => Cow::Owned(self.labels.reference(from, place)),
        };
        let kind = match &*edge {
            Edge::Element(place) => return Ok((link::ELEMENT, *place)),
            Edge::Value(_) => {
                // By the text of its key, as a JavaScript object's.
                let key = self.labels.key_at(from, place).filter(|key| self.cut.place(*key).is_some());
                let key = key.map_or(0, |key| self.names[key.0 as usize]);
                if key & IS_TEXT != 0 {
                    return Ok((link::PROPERTY, key & !IS_TEXT));
                }
                match &*edge {
                    Edge::Value(Some(key)) => return Ok((link::PROPERTY, self.strings.intern(key.as_bytes())?)),
                    _ => link::INTERNAL,
                }
            }
            Edge::Variable(_)
            | Edge::Likely(_)
            | Edge::OneOf(_)
            | Edge::Constant(_)
            | Edge::Entry(_)
            | Edge::Member(_)
            | Edge::Method(_)
            | Edge::Local(_)
            | Edge::Global(_) => link::PROPERTY,
            Edge::Key | Edge::Class | Edge::Root(_) | Edge::Mostly(..) | Edge::Other(_) => link::INTERNAL,
        };
        let name = match &*edge {
            Edge::Other("") => self.word("reference")?,
            Edge::Other(words) => self.word(words)?,
            Edge::Key => self.word("key")?,
            Edge::Variable(name) => self.strings.intern(name.as_bytes())?,
            Edge::Value(_) => self.word("value")?,
            edge => self.strings.intern(edge.to_string().as_bytes())?,
        };
        Ok((kind, name))
    }

    fn traces(&mut self, out: &mut Text<'_>) -> Result<()> {
        out.text("\"trace_function_infos\":[")?;
        if let Some(traces) = &self.traces {
            traces.write_functions(self.heap, &mut self.strings, out)?;
        }
        out.text("],\n\"trace_tree\":[")?;
        if let Some(traces) = &self.traces {
            traces.write_tree(out)?;
        }
        out.text("],\n")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_has_no_room_in_32_bits_is_refused_with_what_to_do() {
        let size = Size { nodes: 613_566_756, edges: 1_431_655_765, last_id: 4_294_967_295, biggest: 4_294_967_295 };
        assert!(size.check("heap.json").is_ok());
        let refused = |size: Size| size.check("heap.json").err().map(|error| error.to_string()).unwrap_or_default();
        assert_eq!(
            refused(Size { nodes: size.nodes + 1, ..size }),
            "heap.json has 613,566,757 objects; a heap snapshot holds 613,566,756: cut it with --min BYTES or --where"
        );
        assert!(refused(Size { edges: size.edges + 1, ..size }).contains("1,431,655,766 references"));
        assert!(refused(Size { last_id: size.last_id + 1, ..size }).contains("together with the dumps before"));
        assert!(refused(Size { biggest: size.biggest + 1, ..size }).contains("an object of 4.0 GiB"));
    }
}
