//! Files read back as JSON: against the heap, against what taking nodes away shows, and of dumps that mean harm.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use super::*;
use crate::graph::random::{self, graph};
use crate::heap::NodeId;
use crate::snapshot::{Index, Snapshot};
use crate::source::Source;
use hashbrown::{HashMap, HashSet};
use proptest::prelude::*;
use serde_json::Value;
use std::cell::RefCell;
use std::fmt::Write as _;
use std::io::Cursor;

fn snapshot(lines: &str) -> Snapshot {
    let source = Source::reader(Cursor::new(lines.to_owned()), "memory");
    Snapshot::load(source, Index::Ignored, &Control { threads: 1, ..Control::default() }.into()).unwrap()
}

/// What is written for dumps, by the files' names, and what is told of them.
fn exported(snapshots: &[(&str, &Snapshot)], options: &Options) -> Result<(Vec<Vec<u8>>, Vec<Written>)> {
    exported_by(snapshots, options, &Control::default())
}

fn exported_by(
    snapshots: &[(&str, &Snapshot)],
    options: &Options,
    control: &Control<'_>,
) -> Result<(Vec<Vec<u8>>, Vec<Written>)> {
    let dumps: Vec<Named<'_>> = snapshots.iter().map(|(name, snapshot)| Named { name, snapshot }).collect();
    let folder = tempfile::tempdir().unwrap();
    let files = RefCell::new(Vec::new());
    let save = |_: &Path, fill: &mut dyn FnMut(&mut dyn Write) -> Result<()>| {
        let mut bytes = Vec::new();
        fill(&mut bytes)?;
        files.borrow_mut().push(bytes);
        Ok(())
    };
    let path = if dumps.len() > 1 { folder.path().to_owned() } else { folder.path().join("file") };
    let written = export(&dumps, options, &path, &save, control)?;
    Ok((files.into_inner(), written))
}

fn one(lines: &str, options: &Options) -> Vec<u8> {
    exported(&[("heap.json", &snapshot(lines))], options).unwrap().0.remove(0)
}

/// A node of a heap snapshot.
#[derive(Clone, Debug, PartialEq)]
struct Node {
    kind: String,
    name: String,
    id: u64,
    bytes: u64,
    trace: u64,
    /// Type and name or place of each edge, and the node it leads to.
    edges: Vec<(String, String, usize)>,
}

/// The nodes of a heap snapshot, its form checked on the way.
fn nodes(bytes: &[u8]) -> Vec<Node> {
    let json: Value = serde_json::from_slice(bytes).unwrap();
    let keys: Vec<&str> = json.as_object().unwrap().keys().map(String::as_str).collect();
    assert_eq!(keys.len(), 8, "{keys:?}");
    let meta = &json["snapshot"]["meta"];
    let list =
        |value: &Value| -> Vec<u64> { value.as_array().unwrap().iter().map(|one| one.as_u64().unwrap()).collect() };
    let words = |value: &Value| -> Vec<String> {
        value.as_array().unwrap().iter().map(|one| one.as_str().unwrap().to_owned()).collect()
    };
    let strings = words(&json["strings"]);
    assert_eq!(strings.iter().collect::<HashSet<_>>().len(), strings.len(), "a text stands twice");
    let (kinds, links) = (words(&meta["node_types"][0]), words(&meta["edge_types"][0]));
    let (fields, edges) = (list(&json["nodes"]), list(&json["edges"]));
    let width = words(&meta["node_fields"]).len();
    assert_eq!(fields.len() as u64, json["snapshot"]["node_count"].as_u64().unwrap() * width as u64);
    assert_eq!(edges.len() as u64, json["snapshot"]["edge_count"].as_u64().unwrap() * 3);
    let mut edges = edges.chunks(3);
    let found: Vec<Node> = fields
        .chunks(width)
        .map(|node| Node {
            kind: kinds[node[0] as usize].clone(),
            name: strings[node[1] as usize].clone(),
            id: node[2],
            bytes: node[3],
            trace: node[5],
            edges: (0..node[4])
                .map(|_| {
                    let [kind, name, to] = edges.next().unwrap() else { panic!("an edge has three fields") };
                    let kind = links[*kind as usize].clone();
                    let name = if kind == "element" { name.to_string() } else { strings[*name as usize].clone() };
                    assert_eq!(to % width as u64, 0);
                    (kind, name, *to as usize / width)
                })
                .collect(),
        })
        .collect();
    assert_eq!(edges.next(), None);
    assert!(found.iter().all(|node| node.edges.iter().all(|(_, _, to)| *to < found.len())));
    assert_eq!(found.iter().map(|node| node.id).collect::<HashSet<_>>().len(), found.len(), "an id stands twice");
    found
}

/// What each node retains: what cannot be reached without it.
fn retained(nodes: &[Node]) -> Vec<u64> {
    let reached = |gone: Option<usize>| {
        let (mut seen, mut queue) = (vec![false; nodes.len()], vec![0]);
        while let Some(node) = queue.pop() {
            if Some(node) != gone && !std::mem::replace(&mut seen[node], true) {
                queue.extend(nodes[node].edges.iter().map(|(_, _, to)| *to));
            }
        }
        seen
    };
    let all = reached(None);
    let lost = |gone: usize| {
        let left = reached(Some(gone));
        (0..nodes.len()).filter(|node| all[*node] && !left[*node]).map(|node| nodes[node].bytes).sum()
    };
    (0..nodes.len()).map(lost).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    /// Whatever is cut out: each object that is in the file has its own bytes and retains what it does in the dump.
    #[test]
    fn objects_retain_what_they_do_in_the_dump(drawn in graph(), min in 0u64..60, largest in 0u64..60) {
        let lines = random::lines_of(&drawn);
        let snapshot = snapshot(&lines);
        let (heap, tree) = (snapshot.heap(), snapshot.tree(&Control::default()).unwrap());
        let filter: Filter = if largest < 40 { format!("memsize=..{largest}").parse().unwrap() } else { Filter::default() };
        let options = Options { min, filter, ..Options::default() };
        let nodes = nodes(&exported(&[("heap", &snapshot)], &options).unwrap().0[0]);
        let retained = retained(&nodes);
        let is_in = |id: &NodeId| {
            let bytes = if tree.is_reachable(*id) { tree.retained(*id) } else { heap.bytes(*id) };
            bytes >= min && (largest >= 40 || heap.bytes(*id) <= largest)
        };
        let ids: Vec<NodeId> = heap.nodes().filter(is_in).collect();
        let held = nodes.iter().skip(2 + ids.len()).map(|node| (node.name.as_str(), node.id % 2));
        prop_assert!(held.clone().all(|node| node == ("(left out)", 0)), "{:?}", held.collect::<Vec<_>>());
        for (at, id) in ids.iter().enumerate() {
            let node = &nodes[2 + at];
            prop_assert_eq!(node.bytes, heap.bytes(*id));
            prop_assert_eq!(node.id % 2, 1);
            prop_assert_eq!(retained[2 + at], tree.retained(*id), "{:?} of {:?}", id, nodes);
        }
        prop_assert_eq!(retained[0], tree.reachable().memsize);
    }
}

const DUMP: &str = r#"{"type":"ROOT", "root":"vm", "references":["0x1000", "0x9999"]}
{"address":"0x800", "type":"CLASS", "class":"0x800", "name":"Class", "memsize":100}
{"address":"0x828", "type":"CLASS", "class":"0x800", "name":"String", "memsize":100}
{"address":"0x850", "type":"CLASS", "class":"0x800", "name":"Object", "memsize":100}
{"address":"0x878", "type":"CLASS", "class":"0x800", "name":"Hash", "memsize":100}
{"address":"0x8a0", "type":"CLASS", "class":"0x800", "name":"Shop::Order", "memsize":100}
{"address":"0x1000", "type":"HASH", "class":"0x878", "size":2, "references":["0x2000", "0x3000", "0x2028", "0x4000"], "memsize":168}
{"address":"0x2000", "type":"STRING", "class":"0x828", "bytesize":3, "value":"one", "encoding":"UTF-8", "memsize":40}
{"address":"0x2028", "type":"STRING", "class":"0x828", "bytesize":9, "encoding":"UTF-8", "memsize":40}
{"address":"0x3000", "type":"OBJECT", "class":"0x8a0", "references":["0x2000"], "file":"/app/shop.rb", "line":7, "method":"order", "generation":3, "memsize":40}
{"address":"0x4000", "type":"ARRAY", "length":2, "references":["0x5000", "0x5028"], "memsize":40}
{"address":"0x5000", "type":"OBJECT", "class":"0x850", "references":["0x4000"], "memsize":40}
{"address":"0x5028", "type":"STRING", "class":"0x828", "bytesize":0, "encoding":"UTF-8", "memsize":40}
{"address":"0x5050", "type":"SYMBOL", "value":"a_name", "memsize":40}
{"address":"0x5078", "type":"IMEMO", "imemo_type":"iseq", "memsize":40}
"#;

#[test]
fn nodes_and_edges_are_called_as_readers_understand_them() {
    let found = nodes(&one(DUMP, &Options::default()));
    let by_id = |at: usize| (found[at].kind.as_str(), found[at].name.as_str(), found[at].id);
    assert_eq!([by_id(0), by_id(1)], [("synthetic", "", 1), ("synthetic", "(GC roots)", 3)]);
    assert_eq!(found[1].edges, [("internal".to_owned(), "vm".to_owned(), 7)]);
    assert_eq!(by_id(6), ("object", "class Shop::Order", 13));
    assert_eq!(by_id(7), ("object", "Hash", 15));
    // A value is called by its key, where that is a text that is known.
    let edges: Vec<(&str, &str)> =
        found[7].edges.iter().map(|(kind, name, _)| (kind.as_str(), name.as_str())).collect();
    let expected =
        [("internal", "key"), ("property", "one"), ("internal", "key"), ("internal", "value"), ("internal", "class")];
    assert_eq!(edges, expected);
    assert_eq!(by_id(8), ("string", "one", 17));
    assert_eq!(by_id(9), ("object", "String", 19), "its text is not in the dump");
    assert_eq!(by_id(11).0, "object");
    assert_eq!(found[11].edges[1], ("element".to_owned(), "1".to_owned(), 13));
    assert_eq!(by_id(12), ("native", "Object", 25), "DevTools would call an object by its properties");
    assert_eq!(by_id(13), ("string", "", 27));
    assert_eq!(by_id(14).0, "object", "of an unknown class");
    assert_eq!(by_id(15), ("native", "(IMEMO iseq)", 31));
}

#[test]
fn texts_are_left_out_where_that_is_asked_or_was() {
    let has_text = |bytes: &[u8]| String::from_utf8_lossy(bytes).contains("\"one\"");
    assert!(has_text(&one(DUMP, &Options::default())));
    let confidential = one(DUMP, &Options { confidential: true, ..Options::default() });
    assert!(!has_text(&confidential));
    assert_eq!(nodes(&confidential)[8].kind, "object");
    let meta = r#"{"type":"ROOT", "root":"heap_inspector", "value":"{\"redacted\":true}", "references":[]}"#;
    let redacted = format!("{meta}\n{DUMP}");
    let snapshot = snapshot(&redacted);
    assert!(snapshot.heap().totals().meta.is_some());
    let (files, written) = exported(&[("heap", &snapshot)], &Options::default()).unwrap();
    assert!(!has_text(&files[0]));
    assert!(written[0].notes.contains(&"the texts of strings are left out".to_owned()), "{written:?}");
}

#[test]
fn sites_are_a_tree_of_stacks_and_lines() {
    let stacks = r#"{"type":"ROOT", "root":"heap_inspector_stacks", "value":"{\"first\":1,\"frames\":[[-1,\"/app/run.rb\",3,\"<main>\"],[1,\"/app/feed.rb\",31,\"load\"]]}", "references":[]}"#;
    let object = |at: u32, rest: &str| {
        format!("{{\"address\":\"0x{:x}\", \"type\":\"OBJECT\", {rest}\"generation\":3, \"memsize\":40}}\n", at * 40)
    };
    let lines = [
        format!("{stacks}\n"),
        object(10, r#""file":"/app/feed.rb", "line":31, "method":"load", "stack":2, "#),
        object(11, r#""file":"/app/feed.rb", "line":31, "method":"load", "stack":2, "#),
        object(12, r#""file":"/app/other.rb", "line":1, "method":"other", "#),
        "{\"address\":\"0x10000\", \"type\":\"OBJECT\", \"memsize\":40}\n".to_owned(),
    ]
    .concat();
    let bytes = one(&lines, &Options { sites: true, ..Options::default() });
    let json: Value = serde_json::from_slice(&bytes).unwrap();
    assert_eq!(json["trace_tree"].to_string(), "[1,0,0,0,[2,1,0,0,[3,2,2,80,[]],4,3,1,40,[]]]");
    let functions = json["trace_function_infos"].as_array().unwrap();
    assert_eq!(json["snapshot"]["trace_function_count"].as_u64().unwrap() * 6, functions.len() as u64);
    let named = functions.chunks(6).map(|function| json["strings"][function[1].as_u64().unwrap() as usize].as_str());
    assert_eq!(named.map(Option::unwrap).collect::<Vec<_>>(), ["(root)", "<main>", "load", "other"]);
    assert_eq!(nodes(&bytes)[2..].iter().map(|node| node.trace).collect::<Vec<_>>(), [3, 3, 4, 0]);
    let none: Value = serde_json::from_slice(&one(&lines, &Options::default())).unwrap();
    assert_eq!(
        (&none["trace_tree"], &none["snapshot"]["trace_function_count"]),
        (&Value::from(Vec::<u8>::new()), &0.into())
    );
}

/// Twenty thousand frames upon one another are no tree of that depth, at which readers end.
#[test]
fn deep_stacks_end_where_readers_do() {
    let frames: Vec<String> = (0..20_000).map(|at| format!("[{},\\\"/a.rb\\\",{},\\\"f\\\"]", at, at + 1)).collect();
    let frames = frames.join(",").replacen("[0,", "[-1,", 1);
    let stacks = format!(
        r#"{{"type":"ROOT", "root":"heap_inspector_stacks", "value":"{{\"first\":1,\"frames\":[{frames}]}}", "references":[]}}"#
    );
    let object = r#"{"address":"0x1000", "type":"OBJECT", "file":"/a.rb", "line":9, "stack":20000, "generation":1, "memsize":40}"#;
    let lines = format!("{stacks}\n{object}\n");
    let bytes = one(&lines, &Options { sites: true, ..Options::default() });
    let deepest = bytes.iter().fold((0i32, 0), |(depth, most), byte| {
        let depth = depth + i32::from(*byte == b'[') - i32::from(*byte == b']');
        (depth, most.max(depth))
    });
    assert!((100..128).contains(&deepest.1), "{deepest:?}");
    assert!(nodes(&bytes)[2].trace > 100);
}

#[test]
fn objects_have_one_id_in_all_dumps() {
    let later = DUMP.replace("0x5028", "0x5100").replace("\"value\":\"a_name\"", "\"value\":\"other_name\"");
    let (first, second, third) = (snapshot(DUMP), snapshot(&later), snapshot(DUMP));
    let options = Options::default();
    let (files, written) = exported(&[("/x/a.json.gz", &first), ("b", &second), ("a.json", &third)], &options).unwrap();
    let names: Vec<&str> = written.iter().map(|file| file.path.file_name().unwrap().to_str().unwrap()).collect();
    assert_eq!(names, ["a-1.heapsnapshot", "b.heapsnapshot", "a-3.heapsnapshot"]);
    let ids: Vec<Vec<u64>> = files.iter().map(|file| nodes(file).iter().map(|node| node.id).collect()).collect();
    let differ: Vec<usize> = (0..ids[0].len()).filter(|at| ids[0][*at] != ids[1][*at]).collect();
    assert_eq!(differ, [13], "the string that came at 0x5100");
    let all: HashSet<u64> = ids.iter().flatten().copied().collect();
    assert_eq!(all.len(), ids[0].len() + 2, "what went does not give its number to what comes");
}

/// Control characters, quotes, text that is not UTF-8, ten megabytes, references to nowhere, two objects at one address.
#[test]
fn hostile_dumps_make_valid_files() {
    let name = "</script>\\u0000\\u001b[31m\\u202e\\\"\\\\x";
    let long = "y".repeat(10 << 20);
    let text = format!(
        "{{\"type\":\"ROOT\", \"root\":\"{name}\", \"references\":[\"0x1000\", \"0x1\", \"0x1000\"]}}\n\
         {{\"address\":\"0x828\", \"type\":\"CLASS\", \"class\":\"0x828\", \"name\":\"{name}{long}\", \"memsize\":100}}\n\
         {{\"address\":\"0x900\", \"type\":\"CLASS\", \"class\":\"0x828\", \"name\":\"String\", \"memsize\":100}}\n\
         {{\"address\":\"0x1000\", \"type\":\"OBJECT\", \"class\":\"0x828\", \"references\":[\"0x1000\", \"0x2\", \"0x3000\"], \"memsize\":40}}\n\
         {{\"address\":\"0x1000\", \"type\":\"OBJECT\", \"class\":\"0x828\", \"file\":\"{name}\", \"line\":4294967295, \"method\":\"{name}{long}\", \"memsize\":40}}\n\
         {{\"address\":\"0x3000\", \"type\":\"STRING\", \"class\":\"0x900\", \"value\":\"\u{1}\\ud800{name}\", \"memsize\":40}}\n\
         {{\"address\":\"0x4000\", \"type\":\"STRING\", \"class\":\"0x900\", \"value\":\"{long}\", \"memsize\":40}}\n\
         {{\"address\":\"0x5000\", \"type\":\"IMEMO\", \"imemo_type\":\"{name}\", \"memsize\":40}}\n"
    );
    let mut bytes = text.into_bytes();
    bytes.extend_from_slice(b"{\"address\":\"0x6000\", \"type\":\"STRING\", \"class\":\"0x900\", \"value\":\"\xff\xfe;a 1\", \"memsize\":40}\n");
    let load = || {
        let source = Source::reader(Cursor::new(bytes.clone()), "memory");
        Snapshot::load(source, Index::Ignored, &Control { threads: 1, ..Control::default() }.into()).unwrap()
    };
    let (first, second) = (load(), load());
    let dumps = [("a", &first), ("b", &second)];
    let (files, _) = exported(&dumps, &Options { sites: true, ..Options::default() }).unwrap();
    let ids: Vec<Vec<u64>> = files.iter().map(|file| nodes(file).iter().map(|node| node.id).collect()).collect();
    assert!(files.iter().all(|file| file.len() < 1 << 20), "long texts are cut");
    assert!(ids[0].len() > 8 && ids[0] != ids[1], "the second object at one address is not the first");
    for format in [FileFormat::Folded, FileFormat::Speedscope, FileFormat::Pprof] {
        for frames in Frames::NAMED.map(|(frames, _)| frames) {
            let options = Options { format, frames: Some(frames), ..Options::default() };
            let (files, _) = exported(&[("a\u{1b}", &first)], &options).unwrap();
            match format {
                FileFormat::Speedscope => drop(serde_json::from_slice::<Value>(&files[0]).unwrap()),
                FileFormat::Folded => {
                    let text = std::str::from_utf8(&files[0]).unwrap();
                    assert!(!text.contains(|letter: char| letter.is_control() && letter != '\n'), "{frames:?}");
                    assert!(text.lines().all(|line| line.rsplit_once(' ').unwrap().1.parse::<u64>().is_ok()));
                }
                _ => assert_eq!(files[0][..2], [0x1f, 0x8b]),
            }
        }
    }
}

#[test]
fn empty_and_rootless_dumps_make_files() {
    let empty = "{\"type\":\"ROOT\", \"root\":\"vm\", \"references\":[]}\n";
    assert_eq!(nodes(&one(empty, &Options::default())).len(), 2);
    let rootless = DUMP.lines().skip(1).collect::<Vec<_>>().join("\n");
    let found = nodes(&one(&rootless, &Options { min: 50, ..Options::default() }));
    assert_eq!(found.len(), 2 + 6, "five classes and the hash");
    for format in [FileFormat::Folded, FileFormat::Speedscope, FileFormat::Pprof] {
        let options = Options { format, frames: Some(Frames::Dominators), ..Options::default() };
        exported(&[("heap", &snapshot(empty))], &options).unwrap();
    }
}

/// What has no room in 64 bits together counts as the greatest number.
#[test]
fn objects_of_impossible_sizes_are_refused_or_counted_to_the_end() {
    let object = |at: u64, references: &str| {
        format!(
            "{{\"address\":\"0x{:x}\", \"type\":\"ARRAY\", \"references\":[{references}], \"memsize\":{}}}\n",
            at * 40,
            u64::MAX
        )
    };
    let lines = "{\"type\":\"ROOT\", \"root\":\"vm\", \"references\":[\"0x28\", \"0x50\"]}\n".to_owned()
        + &object(1, "\"0x50\", \"0x78\"")
        + &object(2, "")
        + &object(3, "");
    let snapshot = snapshot(&lines);
    let refused = exported(&[("heap.json", &snapshot)], &Options::default()).unwrap_err().to_string();
    assert!(refused.starts_with("heap.json has an object of 16.0 EiB; in a heap snapshot"), "{refused}");
    for format in [FileFormat::Folded, FileFormat::Speedscope, FileFormat::Pprof] {
        for frames in Frames::NAMED.map(|(frames, _)| frames) {
            let options = Options { format, frames: Some(frames), ..Options::default() };
            let (files, written) = exported(&[("heap", &snapshot)], &options).unwrap();
            assert!(!files[0].is_empty() && written[0].objects == 3, "{written:?}");
        }
    }
}

/// `folded` as pairs of a stack and its bytes.
fn folded(lines: &str, options: &Options) -> HashMap<String, u64> {
    let text = String::from_utf8(one(lines, options)).unwrap();
    text.lines()
        .map(|line| line.rsplit_once(' ').unwrap())
        .map(|(stack, bytes)| (stack.to_owned(), bytes.parse().unwrap()))
        .collect()
}

#[test]
fn profiles_sum_up_own_sizes() {
    let profile = |frames| {
        let options = Options { format: FileFormat::Folded, frames, ..Options::default() };
        folded(DUMP, &options)
    };
    let by_line = profile(None);
    assert_eq!(by_line["order /app/shop.rb:7;Shop::Order"], 40);
    assert_eq!(by_line["(untraced);String"], 120);
    assert_eq!(by_line.values().sum::<u64>(), 988);
    let by_dominators = profile(Some(Frames::Dominators));
    assert_eq!(by_dominators["Hash"], 168);
    assert_eq!(by_dominators["Hash;Shop::Order"], 40);
    assert_eq!(by_dominators["Hash;(ARRAY);Object"], 40);
    let reachable = snapshot(DUMP).tree(&Control::default()).unwrap().reachable().memsize;
    assert_eq!(by_dominators.values().sum::<u64>(), reachable);
}

/// A list of a hundred thousand nodes is no hundred thousand frames deep, and nothing of it is lost.
#[test]
fn deep_chains_of_dominators_count_to_the_last_level() {
    let node = |at: u64| {
        format!(
            "{{\"address\":\"0x{:x}\", \"type\":\"ARRAY\", \"references\":[\"0x{:x}\"], \"memsize\":40}}\n",
            at * 40,
            (at + 1) * 40
        )
    };
    let lines = format!(
        "{{\"type\":\"ROOT\", \"root\":\"vm\", \"references\":[\"0x28\"]}}\n{}",
        (1..=100_000).map(node).collect::<String>()
    );
    let options = Options { format: FileFormat::Folded, frames: Some(Frames::Dominators), ..Options::default() };
    let found = folded(&lines, &options);
    assert_eq!(found.values().sum::<u64>(), 4_000_000);
    assert!(found.keys().all(|stack| stack.matches(';').count() <= 64), "{}", found.len());
}

#[test]
fn speedscope_counts_bytes_and_objects() {
    let options = Options { format: FileFormat::Speedscope, ..Options::default() };
    let json: Value = serde_json::from_slice(&one(DUMP, &options)).unwrap();
    let sums: Vec<u64> =
        json["profiles"].as_array().unwrap().iter().map(|profile| profile["endValue"].as_u64().unwrap()).collect();
    assert_eq!(sums, [988, 14]);
    let frames = json["shared"]["frames"].as_array().unwrap().len() as u64;
    let samples = json["profiles"][0]["samples"].as_array().unwrap();
    assert!(samples.iter().flat_map(|stack| stack.as_array().unwrap()).all(|frame| frame.as_u64().unwrap() < frames));
}

#[test]
fn what_does_not_go_together_is_refused() {
    let refused = |options: Options| options.check().unwrap_err().to_string();
    let base = || Options { format: FileFormat::Pprof, ..Options::default() };
    assert!(refused(Options { frames: Some(Frames::Site), ..Options::default() }).starts_with("--by is of profiles"));
    assert!(refused(Options { sites: true, ..base() }).starts_with("--sites is of heap snapshots"));
    assert!(refused(Options { min: 1, ..base() }).starts_with("--min is of heap snapshots"));
    let filter = "type=STRING".parse().unwrap();
    assert!(refused(Options { filter, frames: Some(Frames::Dominators), ..base() }).starts_with("--where does not go"));
    assert!("heapsnap".parse::<FileFormat>().unwrap_err().to_string().contains("did you mean heapsnapshot"));
    assert!("stak".parse::<Frames>().unwrap_err().to_string().contains("stack"));
}

/// A dump of several blocks, a part of whose objects have stacks.
fn large() -> String {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/dumps");
    let packed = std::fs::read(folder.join("ruby-3.4-x86_64.json.zst")).unwrap();
    let mut lines = String::from_utf8(zstd::decode_all(&packed[..]).unwrap()).unwrap();
    for at in 0..12_000 {
        let site = format!(r#""file":"/srv/app/{}.rb", "line":{}, "method":"m{}""#, at % 97, at % 31, at % 13);
        let stack = if at % 3 == 0 { String::new() } else { format!(r#", "stack":{}"#, at * 7 % 600) };
        let text = "x".repeat(at % 50);
        let _ = writeln!(
            lines,
            r#"{{"address":"0x{:x}", "type":"STRING", {site}, "generation":{}{stack}, "bytesize":{}, "value":"{text}{at}", "memsize":{}}}"#,
            0x10_0000_0000u64 + 40 * at as u64,
            at % 5,
            at % 50 + at.to_string().len(),
            40 + at % 9,
        );
    }
    for first in (0..600).step_by(60) {
        let frame = |at: u32| {
            let parent = if at.is_multiple_of(20) { -1 } else { i64::from(at) - 1 };
            format!(r#"[{parent},\"/srv/app/{}.rb\",{at},\"S{}#go\"]"#, 200 + at % 41, at % 17)
        };
        let frames: Vec<String> = (first..first + 60).map(frame).collect();
        let value = format!(r#"{{\"first\":{first},\"frames\":[{}]}}"#, frames.join(","));
        let _ =
            writeln!(lines, r#"{{"type":"ROOT", "root":"heap_inspector_stacks", "value":"{value}", "references":[]}}"#);
    }
    lines
}

/// The same dump and options: the same bytes, however many threads have read and written it, and in which order.
#[test]
fn every_format_is_the_same_bytes_each_time() {
    let lines = large();
    let formats = FileFormat::NAMED.map(|(format, _)| format).into_iter().chain([FileFormat::Summary]);
    let with_frames = |format: FileFormat| match format {
        FileFormat::HeapSnapshot | FileFormat::Parquet | FileFormat::Summary => vec![None],
        _ => Frames::NAMED.map(|(frames, _)| Some(frames)).to_vec(),
    };
    let options =
        |format, frames| Options { format, frames, sites: format == FileFormat::HeapSnapshot, ..Options::default() };
    let whole = formats.flat_map(|format| with_frames(format).into_iter().map(move |frames| options(format, frames)));
    let cut = Options { format: FileFormat::HeapSnapshot, min: 500, ..Options::default() };
    let asked: Vec<Options> = whole.chain([cut]).collect();
    let written = |threads: usize| -> Vec<Vec<Vec<u8>>> {
        let control = Control { threads, ..Control::default() };
        let source = Source::reader(Cursor::new(lines.clone()), "memory");
        let snapshot = Snapshot::load(source, Index::Ignored, &control.into()).unwrap();
        let one = |options: &Options| exported_by(&[("heap.json", &snapshot)], options, &control).unwrap().0;
        asked.iter().map(one).collect()
    };
    let once = written(1);
    assert!(once.iter().flatten().all(|file| !file.is_empty()));
    for threads in [1, 2, 2, 4, 4] {
        let again = written(threads);
        for ((options, once), again) in asked.iter().zip(&once).zip(&again) {
            let differ: Vec<usize> = (0..once.len()).filter(|file| once[*file] != again[*file]).collect();
            assert!(differ.is_empty(), "{options:?} with {threads} threads: files {differ:?}");
        }
    }
}
