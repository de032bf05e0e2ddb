//! Which code a closure or method runs, and where that code stands.
//!
//! A dump prints neither of an iseq's names, but what it refers to ends with them, as texts: after the literals of the code stand its
//! label, the label of the method around it and its path (an array of the path and the real path where these differ), then other
//! machinery (`rb_iseq_mark` in iseq.c; seen in real dumps of 2.7 to 4.1). A literal may look like any of the three, a default of a
//! keyword may follow them, so the three are told by what a label is: `count`, `block in count`, `rescue in block (2 levels) in count`
//! for the method `count`.

use crate::heap::{Heap, NodeId};
use crate::record::Type;

/// So many texts at the end of an iseq's references are looked at.
const LOOKED_AT: usize = 8;
/// Of longer lists of references only the end is.
const TAIL: usize = 4096;

/// Where code stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Code<'a> {
    /// `count`, `block in count`, `<class:Shop>`.
    pub(crate) label: &'a str,
    /// The file, as Ruby was given it.
    pub(crate) file: &'a str,
}

/// The iseq that a Proc, Method, Binding, environment, method entry or iseq runs.
pub(crate) fn iseq_of(heap: &Heap, id: NodeId) -> Option<NodeId> {
    // A Method leads to its entry, that one perhaps to a Proc (`define_method`), a Proc perhaps to a Method (`&method(:x)`).
    let mut at = id;
    for _ in 0..6 {
        let (ty, label) = sort(heap, at);
        let next: &[&[u8]] = match (ty, label) {
            (Type::Imemo, b"iseq") => return Some(at),
            (Type::Imemo, b"env") => &[b"iseq"],
            (Type::Imemo, b"ment") => &[b"iseq", b"proc"],
            (Type::Imemo, b"ifunc") => &[b"method"],
            (Type::Data, b"proc" | b"binding") => &[b"iseq", b"ifunc"],
            (Type::Data, b"method") => &[b"ment"],
            _ => return None,
        };
        at = next.iter().find_map(|wanted| heap.targets(at).find(|target| sort(heap, *target).1 == *wanted))?;
    }
    None
}

/// Type and label, the latter of IMEMO and DATA only.
fn sort(heap: &Heap, id: NodeId) -> (Type, &[u8]) {
    let properties = heap.properties(id);
    match properties.ty {
        Type::Imemo | Type::Data => (properties.ty, heap.names().tables.symbols.bytes(properties.names.label)),
        ty => (ty, b""),
    }
}

/// The strings that may be an iseq's label, the label around it and its path: the last ones in its references, in order.
pub(crate) fn texts(heap: &Heap, iseq: NodeId) -> Vec<NodeId> {
    let mut texts: Vec<NodeId> = trail(heap, iseq).into_iter().filter_map(|(text, _)| text).collect();
    texts.reverse();
    texts
}

/// The last references of an iseq that are texts, the last one first, each with whether it is an array with the path.
fn trail(heap: &Heap, iseq: NodeId) -> Vec<(Option<NodeId>, bool)> {
    let targets = heap.references(iseq).rev().take(TAIL).filter_map(|target| target.node());
    let text = |target: NodeId| match heap.properties(target).ty {
        Type::String => Some((Some(target), false)),
        Type::Array => Some((path(heap, target), true)),
        _ => None,
    };
    targets.filter_map(text).take(LOOKED_AT).collect()
}

/// The path in the array of a path and its real path.
fn path(heap: &Heap, array: NodeId) -> Option<NodeId> {
    heap.target(array, 0).filter(|first| heap.properties(*first).ty == Type::String)
}

/// Where the iseq's code stands, with the texts that [`texts`] asked for.
pub(crate) fn of<'a>(heap: &Heap, iseq: NodeId, text: impl Fn(NodeId) -> Option<&'a str>) -> Option<Code<'a>> {
    let trail = trail(heap, iseq);
    trail.windows(3).find_map(|last| {
        let [(Some(file), _), (Some(around), false), (Some(label), false)] = *last else { return None };
        let (file, label) = (text(file)?, text(label)?);
        // Of a method both are one object.
        let is_label = last[1] == last[2] || {
            let around = text(around)?;
            label == around || label.strip_suffix(around).is_some_and(|before| before.ends_with(" in "))
        };
        (is_label && !file.is_empty()).then_some(Code { label, file })
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test may panic")]

    use super::iseq_of;
    use crate::graph::random::heap_of_lines;
    use crate::heap::{Heap, NodeId};
    use crate::keys::Key;
    use crate::labels::Labels;
    use crate::record::Type;
    use crate::scan::Options;
    use crate::source::Source;

    /// What the Proc at 0x100 is called, whose iseq refers to `references`.
    fn label(references: &str) -> String {
        let lines = format!(
            r#"{{"address":"0x80", "type":"CLASS", "name":"Proc", "memsize":40}}
{{"address":"0x100", "type":"DATA", "class":"0x80", "struct":"proc", "references":["0x80", "0x128", "0x150"], "memsize":40}}
{{"address":"0x128", "type":"IMEMO", "imemo_type":"iseq", "references":[{references}], "memsize":40}}
{{"address":"0x150", "type":"IMEMO", "imemo_type":"env", "references":["0x128"], "memsize":40}}
{{"address":"0x200", "type":"STRING", "value":"block in count", "memsize":40}}
{{"address":"0x228", "type":"STRING", "value":"count", "memsize":40}}
{{"address":"0x250", "type":"STRING", "value":"app/shop.rb", "memsize":40}}
{{"address":"0x278", "type":"STRING", "value":"a literal", "memsize":40}}
{{"address":"0x2a0", "type":"ARRAY", "length":2, "references":["0x250", "0x278"], "memsize":40}}
"#
        );
        let (heap, source) = heap_of_lines(&lines);
        let mut labels = Labels::new(&heap);
        let id = heap.node(0x100).unwrap();
        labels.read_texts(&source, &[id], []).unwrap();
        labels.node(id)
    }

    #[test]
    fn a_closure_is_called_by_its_code() {
        let expected = "Proc, block in count, app/shop.rb";
        assert_eq!(label(r#""0x278", "0x200", "0x228", "0x250", "0x128""#), expected);
        assert_eq!(
            label(r#""0x228", "0x228", "0x278", "0x200", "0x228", "0x2a0", "0x150""#),
            expected,
            "with a real path"
        );
        assert_eq!(label(r#""0x200", "0x228", "0x250", "0x150", "0x278""#), expected, "a keyword's default follows");
        assert_eq!(label(r#""0x228", "0x228", "0x250""#), "Proc, count, app/shop.rb");
    }

    #[test]
    fn what_is_no_label_is_none() {
        assert_eq!(label(r#""0x278", "0x228", "0x250""#), "Proc");
        assert_eq!(label(r#""0x228", "0x250""#), "Proc");
        assert_eq!(label(""), "Proc");
        assert_eq!(label(r#""0x9999", "0x200", "0x228", "0x9999""#), "Proc");
    }

    /// Of 2.7 to 4.0: each closure that has code is called by it.
    #[test]
    fn every_closure_of_eight_dumps_is_called_by_its_code() {
        let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/dumps");
        let mut rubies = 0;
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.extension().is_none_or(|extension| extension != "zst") {
                continue;
            }
            rubies += 1;
            let source = Source::path(&path);
            let heap = Heap::load(&source, &Options::default()).unwrap();
            let is_closure = |id: &NodeId| heap.properties(*id).ty == Type::Data && iseq_of(&heap, *id).is_some();
            let closures: Vec<NodeId> = heap.nodes().filter(is_closure).collect();
            let mut labels = Labels::new(&heap);
            labels.read_texts(&source, &closures, []).unwrap();
            assert!(closures.len() > 10, "{}", path.display());
            for id in closures {
                let code = labels.code(id).unwrap_or_else(|| panic!("{}: 0x{:x}", path.display(), heap.address(id)));
                let is_zoo = path.to_string_lossy().contains("zoo");
                let is_path = code.file.contains('/')
                    || code.file.starts_with('<')
                    || ["eval", "-e"].contains(&code.file)
                    || is_zoo && code.file == "zoo.rb"; // the program was run in its folder
                assert!(is_path, "{}: {code:?}", path.display());
            }
        }
        assert_eq!(rubies, 8);
    }
    /// Which block stands in which line of the zoos' program is known, and how many closures each made.
    #[test]
    fn closures_of_the_zoos_are_called_by_the_blocks_in_their_lines() {
        let (one, two, three) = ("block in <main>", "block (2 levels) in <main>", "block (3 levels) in <main>");
        let expected = [
            (70, two, 5),
            (77, two, 5),
            (79, one, 1),
            (80, one, 1),
            (92, two, 5),
            (94, three, 5),
            (112, one, 1),
            (113, one, 1),
        ];
        for ruby in ["3.4", "4.1"] {
            let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/dumps");
            let source = Source::path(folder.join(format!("ruby-{ruby}-native-zoo.json.zst")));
            let heap = Heap::load(&source, &Options::default()).unwrap();
            let is_proc = |id: &NodeId| super::sort(&heap, *id) == (Type::Data, b"proc");
            let procs: Vec<NodeId> = heap.nodes().filter(is_proc).collect();
            let mut labels = Labels::new(&heap);
            labels.read_texts(&source, &procs, []).unwrap();
            for (line, label, count) in expected {
                let site = format!("zoo.rb:{line}");
                let there = procs.iter().filter(|id| labels.value(Key::Location, **id).words() == Some(&site));
                let found: Vec<_> = there.map(|id| labels.code(*id).map(|code| (code.label, code.file))).collect();
                assert_eq!(found, vec![Some((label, "zoo.rb")); count], "{ruby}: {site}");
            }
        }
    }
}
