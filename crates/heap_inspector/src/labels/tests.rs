//! Names of edges in hand-made lines as Ruby 3.2 to 4.0 writes them, and the vote against a slow twin.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use super::*;
use crate::graph::random::heap_of_lines;
use proptest::prelude::*;

/// Shapes: 3 -> @a (10) -> @b (11) -> @c (12), and what else a version writes among them.
const SHAPES: &str = r#"{"address":"0x10", "type":"SHAPE", "id":3, "parent_id":4294967295, "depth":1, "shape_type":"T_OBJECT", "edges":1, "memsize":40}
{"address":"0x11", "type":"SHAPE", "id":10, "parent_id":3, "depth":2, "shape_type":"IVAR","edge_name":"@a", "edges":1, "memsize":40}
{"address":"0x12", "type":"SHAPE", "id":11, "parent_id":10, "depth":3, "shape_type":"IVAR","edge_name":"@b", "edges":1, "memsize":40}
{"address":"0x13", "type":"SHAPE", "id":12, "parent_id":11, "depth":4, "shape_type":"IVAR","edge_name":"@c", "edges":1, "memsize":40}
{"address":"0x14", "type":"SHAPE", "id":13, "parent_id":12, "depth":5, "shape_type":"FROZEN", "edges":0, "memsize":40}
{"address":"0x15", "type":"SHAPE", "id":20, "parent_id":21, "depth":5, "shape_type":"IVAR","edge_name":"@ring", "edges":0, "memsize":40}
{"address":"0x16", "type":"SHAPE", "id":21, "parent_id":20, "depth":5, "shape_type":"IVAR","edge_name":"@ring", "edges":0, "memsize":40}
{"address":"0x1000", "type":"STRING", "shape_id":0, "bytesize":1, "value":"s", "memsize":40}
{"address":"0x1028", "type":"ARRAY", "shape_id":0, "length":0, "memsize":40}
{"address":"0x1050", "type":"HASH", "shape_id":0, "size":0, "memsize":40}
"#;

const STRING: &str = "0x1000";
const ARRAY: &str = "0x1028";
const HASH: &str = "0x1050";

fn object(address: u64, more: &str, ivars: usize, references: &[&str]) -> String {
    let list: Vec<String> = references.iter().map(|target| format!("\"{target}\"")).collect();
    format!(
        "{{\"address\":\"0x{address:x}\", \"type\":\"OBJECT\", {more}\"ivars\":{ivars}, \"references\":[{}], \"memsize\":40}}\n",
        list.join(", ")
    )
}

/// The names of all references of the object at an address.
fn names(lines: &str, address: u64) -> Vec<String> {
    let (heap, source) = heap_of_lines(&format!("{SHAPES}{lines}"));
    let mut labels = Labels::new(&heap);
    let id = heap.node(address).unwrap();
    let held: Vec<NodeId> = (0..heap.references(id).len()).filter_map(|place| labels.target(id, place)).collect();
    labels.read_texts(&source, &held, []).unwrap();
    (0..heap.references(id).len()).map(|place| labels.reference(id, place).to_string()).collect()
}

#[test]
fn names_are_certain_where_each_variable_has_a_reference() {
    let of = |shape: &str, ivars, references: &[&str]| names(&object(0x2000, shape, ivars, references), 0x2000);
    assert_eq!(of("\"shape_id\":12, ", 3, &[STRING, ARRAY, STRING]), ["@a", "@b", "@c"]);
    assert_eq!(of("\"shape_id\":13, ", 3, &[STRING, ARRAY, HASH]), ["@a", "@b", "@c"], "frozen");
    assert_eq!(of("\"shape_id\":10, ", 1, &[HASH]), ["@a"]);
}

#[test]
fn names_are_one_of_few_where_references_are_missing() {
    let of = |shape: &str, ivars, references: &[&str]| names(&object(0x2000, shape, ivars, references), 0x2000);
    let two = of("\"shape_id\":12, ", 3, &[STRING, ARRAY]);
    assert_eq!(two, ["@a or @b (one of these)", "@b or @c (one of these)"]);
    assert_eq!(of("\"shape_id\":12, ", 3, &[STRING]), ["@a or @b or @c (one of these)"]);
    // More references than variables, no shape, a complex one, shapes in a ring, a shape that is not there.
    let unknown = ["instance variable", "instance variable"];
    assert_eq!(of("\"shape_id\":10, ", 1, &[STRING, ARRAY]), unknown);
    assert_eq!(of("", 3, &[STRING, ARRAY]), unknown);
    assert_eq!(of("\"shape_id\":12, \"too_complex_shape\":true, ", 2, &[STRING, ARRAY]), unknown);
    assert_eq!(of("\"shape_id\":20, ", 2, &[STRING, ARRAY]), unknown);
    assert_eq!(of("\"shape_id\":99, ", 2, &[STRING, ARRAY]), unknown);
}

#[test]
fn names_are_likely_by_what_others_of_the_shape_hold() {
    let voter = object(0x2000, "\"shape_id\":12, ", 3, &[STRING, ARRAY, HASH]);
    let of =
        |references: &[&str]| names(&format!("{voter}{}", object(0x2028, "\"shape_id\":12, ", 3, references)), 0x2028);
    assert_eq!(of(&[STRING, HASH]), ["@a (likely)", "@c (likely)"]);
    assert_eq!(of(&[ARRAY]), ["@b (likely)"]);
    // Two strings fit no way of what was seen.
    assert_eq!(of(&[STRING, STRING]), ["@a or @b (one of these)", "@b or @c (one of these)"]);
    let other = object(0x2050, "\"shape_id\":12, ", 3, &[STRING, STRING, HASH]);
    let both = names(&format!("{voter}{other}{}", object(0x2028, "\"shape_id\":12, ", 3, &[STRING, HASH])), 0x2028);
    assert_eq!(both, ["@a or @b (one of these)", "@c (likely)"]);
}

#[test]
fn fields_of_a_class_are_its_variables() {
    let lines = r#"{"address":"0x3000", "type":"CLASS", "shape_id":0, "name":"Foo", "references":["0x3028"], "memsize":40}
{"address":"0x3028", "type":"IMEMO", "shape_id":11, "class":"0x3000", "imemo_type":"fields", "references":["0x1000", "0x1050"], "memsize":40}
"#;
    assert_eq!(names(lines, 0x3000), ["variables"]);
    assert_eq!(names(lines, 0x3028), ["@a", "@b"]);
    // On the way to a value the object between is left out, so the class holds it by its variable.
    let root = "{\"type\":\"ROOT\", \"root\":\"vm\", \"references\":[\"0x3000\"]}\n";
    let (heap, source) = heap_of_lines(&format!("{root}{SHAPES}{lines}"));
    let tree = crate::graph::dominators::Tree::new(&heap, &Default::default()).unwrap();
    let value = heap.node(0x1050).unwrap();
    let paths = crate::analysis::paths::paths(&heap, &tree, &source, value, 1, &Default::default()).unwrap();
    let steps: Vec<(String, &str)> =
        paths.chains[0].steps.iter().map(|step| (step.edge.to_string(), step.label.as_str())).collect();
    assert_eq!(steps, [("root vm".to_owned(), "class Foo"), ("@b".to_owned(), "(HASH), 0 entries")]);
}

#[test]
fn elements_stand_at_their_places() {
    let array = |length: u32, more: &str| {
        let line = format!(
            "{{\"address\":\"0x2000\", \"type\":\"ARRAY\", {more}\"length\":{length}, \"references\":[\"{STRING}\", \"{HASH}\"], \"memsize\":40}}\n"
        );
        names(&line, 0x2000)
    };
    assert_eq!(array(2, ""), ["[0]", "[1]"]);
    assert_eq!(array(5, ""), ["element", "element"], "numbers and nil leave no reference");
    assert_eq!(array(2, "\"shared\":true, "), ["shared elements", "shared elements"]);
}

#[test]
fn hashes_are_pairs_where_none_is_missing() {
    let hash = |size: u32, more: &str, references: &[&str]| {
        let list: Vec<String> = references.iter().map(|target| format!("\"{target}\"")).collect();
        let line = format!(
            "{{\"address\":\"0x2000\", \"type\":\"HASH\", \"size\":{size}, {more}\"references\":[{}], \"memsize\":40}}\n",
            list.join(", ")
        );
        names(&line, 0x2000)
    };
    assert_eq!(hash(2, "", &[STRING, ARRAY, ARRAY, HASH]), ["key", "[\"s\"]", "key", "value"]);
    assert_eq!(hash(1, "\"default\":\"0x1050\", ", &[STRING, ARRAY, HASH]), ["key", "[\"s\"]", "default"]);
    // Symbols and numbers as keys leave no reference, so what is left is in no pairs.
    assert_eq!(hash(3, "", &[STRING, ARRAY]), ["key or value", "key or value"]);
}

/// Up to Ruby 3.4 their references come first.
#[test]
fn variables_of_strings_arrays_and_hashes_come_before_what_these_hold() {
    let of = |ty: &str, more: &str, references: &[&str]| {
        let list: Vec<String> = references.iter().map(|target| format!("\"{target}\"")).collect();
        let line = format!(
            "{{\"address\":\"0x2000\", \"type\":\"{ty}\", \"shape_id\":11, {more}\"references\":[{}], \"memsize\":40}}\n",
            list.join(", ")
        );
        names(&line, 0x2000)
    };
    assert_eq!(of("STRING", "", &[STRING, ARRAY]), ["@a", "@b"]);
    assert_eq!(of("STRING", "\"shared\":true, ", &[ARRAY, HASH, STRING]), ["@a", "@b", "shared text"]);
    assert_eq!(of("ARRAY", "\"length\":1, ", &[STRING, STRING, HASH]), ["@a", "@b", "[0]"]);
    // One variable or the one element is nil.
    let either = "@a or @b (one of these)";
    assert_eq!(of("ARRAY", "\"length\":1, ", &[STRING, HASH]), [either, "@b or an element (one of these)"]);
    assert_eq!(of("HASH", "\"size\":1, ", &[STRING])[0], "@a or @b or a key or value (one of these)");
    assert_eq!(
        of("HASH", "\"size\":1, ", &[HASH, ARRAY, STRING, ARRAY, HASH]),
        ["@a", "@b", "key", "[\"s\"]", "default"]
    );
    assert_eq!(
        of("HASH", "\"size\":1, ", &[HASH, ARRAY, STRING, ARRAY]),
        ["@a (likely)", "@b (likely)", "key", "[\"s\"]"]
    );
    assert_eq!(of("STRUCT", "", &[STRING, HASH, HASH])[2], "member");
    // Without a variable all is as it is.
    let plain = format!(
        "{{\"address\":\"0x2000\", \"type\":\"STRING\", \"shape_id\":0, \"references\":[\"{STRING}\"], \"memsize\":40}}\n"
    );
    assert_eq!(names(&plain, 0x2000), ["shared text"]);
}

/// From Ruby 4.0 on one object holds them, and it comes first.
#[test]
fn fields_of_an_array_or_set_come_before_its_elements() {
    let fields = format!(
        "{{\"address\":\"0x3028\", \"type\":\"IMEMO\", \"shape_id\":10, \"imemo_type\":\"fields\", \"references\":[\"{HASH}\"], \"memsize\":40}}\n"
    );
    let of = |more: &str| {
        let line = format!(
            "{{\"address\":\"0x3000\", {more} \"shape_id\":10, \"references\":[\"0x3028\", \"{STRING}\", \"{HASH}\"], \"memsize\":40}}\n"
        );
        names(&format!("{fields}{line}"), 0x3000)
    };
    assert_eq!(of("\"type\":\"ARRAY\", \"length\":2,"), ["instance variables", "[0]", "[1]"]);
    assert_eq!(of("\"type\":\"DATA\", \"struct\":\"set\","), ["instance variables", "element", "element"]);
    assert_eq!(of("\"type\":\"HASH\", \"size\":1,"), ["instance variables", "key", "[\"s\"]"]);
}

/// What the zoos' program put into its objects is known: the names of all that hold one of these texts, by class.
#[test]
fn variables_of_all_kinds_have_their_names_in_the_zoos() {
    let by_3_4 = [
        ("StrSub", "smeta ", "@smeta", 5),
        ("ArrSub", "meta ", "@meta or an element (one of these)", 5), // the one element is a number
        ("HashSub", "hmeta ", "@hmeta or a key or value (one of these)", 5), // its key is a symbol
        ("String", "gen 4 0", "@gi0", 1),
        ("String", "gen 4 7", "@gi7", 1),
        ("String", "generic ivar", "@gen", 1),
        ("Array", "generic ivar", "@gen or an element (one of these)", 1),
        ("Hash", "generic ivar", "@gen or a key or value (one of these)", 1),
        ("Regexp", "generic ivar", "@gen or its own (one of these)", 1),
    ];
    let by_4_1 = [
        ("StrSub", "smeta ", "@smeta", 5),
        ("ArrSub", "meta ", "@meta", 5),
        ("HashSub", "hmeta ", "@hmeta", 5),
        ("String", "gen 4 0", "@gi0", 1),
        ("String", "gen 4 7", "@gi7", 1),
        ("String", "generic ivar", "@gen", 1),
        ("Array", "generic ivar", "@gen", 1),
        ("Hash", "generic ivar", "@gen", 1),
        ("MySet", "extra ", "@extra", 3),
        ("Set", "ivar of set", "@on_set", 1),
        ("MySet", "ms ", "element", 3),
        ("Set", "set ", "element", 10),
        ("Set", "bigset ", "element", 1000),
    ];
    for (ruby, expected) in [("3.4", &by_3_4[..]), ("4.1", &by_4_1[..])] {
        let dumps = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/dumps");
        let source = Source::path(dumps.join(format!("ruby-{ruby}-native-zoo.json.zst")));
        let heap = Heap::load(&source, &crate::scan::Options::default()).unwrap();
        let mut labels = Labels::new(&heap);
        let strings: Vec<NodeId> = heap.nodes().filter(|id| heap.properties(*id).ty == Type::String).collect();
        labels.read_texts(&source, &strings, []).unwrap();
        for (class, text, name, count) in expected {
            let mut names = Vec::new();
            for holder in heap.nodes().filter(|id| labels.class_name(*id) == *class) {
                // From 4.0 on one object holds the variables, which a path leaves out.
                let first = labels.target(holder, 0).filter(|first| labels.is_fields(*first));
                for from in std::iter::once(holder).chain(first) {
                    for place in 0..heap.references(from).len() {
                        let target = labels.target(from, place);
                        if target.and_then(|target| labels.start(target)).is_some_and(|held| held.starts_with(text)) {
                            names.push(labels.reference(from, place).to_string());
                        }
                    }
                }
            }
            assert_eq!(names, vec![(*name).to_owned(); *count], "{ruby}: {class} {text}");
        }
    }
}

/// All ways to lay the references, in order, on variables that fit.
fn shortest_paths(votes: &Votes, held: &[Option<Held>], from: usize) -> Vec<Vec<usize>> {
    let Some((first, rest)) = held.split_first() else { return vec![Vec::new()] };
    let fitting = (from..votes.len()).filter(|at| first.is_none_or(|held| votes[*at].contains(&held)));
    fitting
        .flat_map(|at| {
            let shortest_paths = shortest_paths(votes, rest, at + 1);
            shortest_paths.into_iter().map(move |way| std::iter::once(at).chain(way).collect::<Vec<usize>>())
        })
        .collect()
}

fn held() -> impl Strategy<Value = Held> {
    (0u32..3).prop_map(|class| (Type::Object, ClassId(class)))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_vote_agrees_with_all_ways(
        votes in prop::collection::vec(prop::collection::vec(held(), 0..3), 1..7),
        held in prop::collection::vec(prop::option::weighted(0.8, held()), 1..7),
    ) {
        let shortest_paths = shortest_paths(&votes, &held, 0);
        for place in 0..held.len() {
            let mut found: Vec<usize> = shortest_paths.iter().map(|way| way[place]).collect();
            found.sort_unstable();
            found.dedup();
            let expected = (found.len() == 1).then(|| found[0]);
            prop_assert_eq!(elect(&votes, &held, place), expected, "reference {} of {:?}", place, shortest_paths);
        }
    }
}

#[test]
fn a_text_is_cut_where_there_is_more_of_it_not_where_it_looks_so() {
    let whole = "é".repeat(SHOWN / 2);
    let values =
        ["and so on…".to_owned(), whole.clone(), format!("{whole}."), "\\n".repeat(SHOWN), "\\n".repeat(SHOWN + 1)];
    let lines: String = (0u64..)
        .zip(&values)
        .map(|(at, value)| {
            let address = 0x2000 + at * 40;
            format!(r#"{{"address":"0x{address:x}", "type":"STRING", "value":"{value}", "memsize":40}}"#) + "\n"
        })
        .collect();
    let (heap, source) = heap_of_lines(&lines);
    let mut labels = Labels::new(&heap);
    let ids: Vec<NodeId> = heap.nodes().collect();
    labels.read_texts(&source, &ids, []).unwrap();
    let newlines = "\n".repeat(SHOWN);
    let known: Vec<Option<&str>> = ids.iter().map(|id| labels.text(*id)).collect();
    assert_eq!(known, [Some("and so on…"), Some(&whole), None, Some(&newlines), None]);
    assert_eq!(labels.start(ids[2]), Some(&*format!("{whole}…")));
    assert_eq!(labels.start(ids[4]), Some(&*format!("{newlines}…")));
}

/// What a dump of ours says of itself.
const NATIVE: &str = r#"{"type":"ROOT", "root":"heap_inspector", "value":"{\"version\":2,\"dumper\":\"native\"}", "references":[]}
{"type":"ROOT", "root":"global_tbl", "references":["0x1028"]}
"#;

/// The names of all references of an object with these keys, where the dump says such.
fn told(keys: &str, references: &[&str]) -> Vec<String> {
    let list: Vec<String> = references.iter().map(|target| format!("\"{target}\"")).collect();
    let lines = format!(
        "{SHAPES}{NATIVE}{{\"address\":\"0x2000\", {}, \"memsize\":40}}\n",
        keys.replace("REFERENCES", &format!("\"references\":[{}]", list.join(", ")))
    );
    let (heap, source) = heap_of_lines(&lines);
    let id = heap.node(0x2000).unwrap();
    let mut labels = Labels::new(&heap);
    labels.read_names(&source, &[id], 100).unwrap();
    (0..references.len()).map(|place| labels.reference(id, place).to_string()).collect()
}

#[test]
fn names_that_the_dump_tells_go_before_guesses() {
    let two = [STRING, ARRAY];
    let of = |keys: &str| told(keys, &two);
    assert_eq!(of(r#""type":"OBJECT", "shape_id":12, "ivars":3, REFERENCES, "names":["@c","@a"]"#), ["@c", "@a"]);
    assert_eq!(of(r#""type":"OBJECT", REFERENCES, "names":[0,"@a"]"#), ["instance variable", "@a"]);
    assert_eq!(
        of(r#""type":"CLASS", "name":"Catalog", REFERENCES, "names":["LISTENERS","@@count"]"#),
        ["::LISTENERS", "@@count"]
    );
    assert_eq!(
        of(r##""type":"MODULE", "name":"Catalog", REFERENCES, "names":["(superclass)","#load"]"##),
        ["superclass", "#load"]
    );
    assert_eq!(of(r#""type":"STRUCT", REFERENCES, "names":[".left",".right"]"#), [".left", ".right"]);
    assert_eq!(of(r#""type":"HASH", "size":2, REFERENCES, "names":["[:a]","[\"b\n\"]"]"#), ["[:a]", r#"["b\n"]"#]);
    assert_eq!(of(r#""type":"HASH", "size":1, REFERENCES, "names":["(key)","(value)"]"#), ["key", "value"]);
    // Where numbers stand between them.
    assert_eq!(of(r#""type":"ARRAY", "length":9, REFERENCES, "names":["[2]","[7]"]"#), ["[2]", "[7]"]);
    assert_eq!(of(r#""type":"ARRAY", "length":9, REFERENCES, "names":["[:a]","[x]"]"#), ["element", "element"]);
    assert_eq!(of(r#""type":"ARRAY", "length":2, REFERENCES, "names":["[2]","[7]"]"#), ["[0]", "[1]"]);
    assert_eq!(
        of(r#""type":"IMEMO", "imemo_type":"env", REFERENCES, "names":["request","(outer scope)"]"#),
        ["local variable request", "outer scope"]
    );
}

#[test]
fn names_that_cannot_be_are_not_told() {
    let of = |keys: &str| told(keys, &[STRING, ARRAY]);
    let unknown = ["instance variable", "instance variable"];
    assert_eq!(of(r#""type":"OBJECT", REFERENCES, "names":["LISTENERS",".left"]"#), unknown);
    assert_eq!(of(r#""type":"OBJECT", REFERENCES, "names":["(made up)",""]"#), unknown);
    assert_eq!(of(r#""type":"OBJECT", REFERENCES, "names":[]"#), unknown);
    // More names than references, a name without end, one that would move the cursor: it is escaped where it is shown.
    assert_eq!(of(r#""type":"OBJECT", REFERENCES, "names":["@a","@b","@c"]"#), ["@a", "@b"]);
    let long = of(&format!(r#""type":"OBJECT", REFERENCES, "names":["@{}"]"#, "x".repeat(5_000))).swap_remove(0);
    assert!(long.len() < 210 && long.ends_with('…'), "{long}");
    assert_eq!(of(r#""type":"OBJECT", REFERENCES, "names":["@\u001b[2J"]"#)[0], "@\u{1b}[2J");
    // Numbers other than 0 are no names: such a line is no record.
    assert_eq!(of(r#""type":"OBJECT", REFERENCES, "names" : [ "@a" , 0 ]"#)[0], "@a");
}

#[test]
fn other_dumps_are_not_asked_for_names() {
    let line = object(0x2000, "", 2, &[STRING]).replace("], \"memsize\"", "], \"names\":[\"@a\"], \"memsize\"");
    let (heap, source) = heap_of_lines(&format!("{SHAPES}{line}"));
    let mut labels = Labels::new(&heap);
    let id = heap.node(0x2000).unwrap();
    labels.read_names(&source, &[id], 100).unwrap();
    assert_eq!(labels.reference(id, 0).to_string(), "instance variable");
}

#[test]
fn roots_and_threads_say_what_they_hold_and_so_does_the_index_file() {
    let names = |value: &str| {
        let value = serde_json::to_string(value).unwrap();
        format!("{{\"type\":\"ROOT\", \"root\":\"heap_inspector_names\", \"value\":{value}, \"references\":[]}}\n")
    };
    let thread =
        r#"{"address":"0x2000", "type":"DATA", "struct":"VM/thread", "references":["0x1000", "0x1050"], "memsize":40}"#;
    let text = [
        format!("{SHAPES}{NATIVE}{thread}\n"),
        names(r#"{"globals":[["$listeners","0x1028"],["$again","0x1028"],["$gone","0x9999"]]}"#),
        names(r#"{"threads":[["0x2000","[:request]","0x1050"],["0x9999","[:x]","0x1000"]]}"#),
        names("nonsense"),
    ]
    .concat();
    let folder = tempfile::tempdir().unwrap();
    let dump = folder.path().join("heap.json");
    std::fs::write(&dump, text).unwrap();
    let source = Source::path(&dump);
    let first = crate::stored::load(&source, &Default::default()).unwrap().0;
    let again = crate::stored::read(&dump, &Default::default()).expect("an index file").0;
    for heap in [first, again] {
        let [array, thread] = [0x1028, 0x2000].map(|address| heap.node(address).unwrap());
        assert_eq!(heap.global_variable(array), Some("$listeners"));
        assert_eq!(heap.global_variable(thread), None);
        let labels = Labels::new(&heap);
        assert_eq!(labels.reference(thread, 1).to_string(), "[:request]");
        assert_eq!(labels.reference(thread, 0).to_string(), "thread");
        // They are no roots.
        assert_eq!(heap.roots().len(), 1);
        assert_eq!(heap.totals().roots.len(), 1);
        assert!(heap.has_edge_names());
    }
}
