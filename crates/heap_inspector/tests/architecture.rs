//! Data goes one way, and so do the imports: a module names only such as stand earlier in the order.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// The library's modules; each may import those before it.
const ORDER: [&str; 38] = [
    "error",
    "control",
    "diagnostics",
    "human",
    "memory",
    "threads",
    "patterns",
    "sort",
    "arrays",
    "symbols",
    "report",
    "gems",
    "record",
    "heap_file",
    "ruby",
    "source",
    "sink",
    "redact",
    "stacks",
    "sampling",
    "names",
    "properties",
    "sums",
    "scan",
    "aggregate",
    "heap",
    "keys",
    "select",
    "graph",
    "labels",
    "analysis",
    "stored",
    "snapshot",
    "export",
    "fleet",
    "view",
    "page",
    "questions",
];

fn sources() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("src")
}

fn files_below(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    entries
        .flat_map(|path| match path.is_dir() {
            true => files_below(&path),
            false => vec![path],
        })
        .collect()
}

fn rust_files(folder: &Path) -> Vec<PathBuf> {
    files_below(folder)
        .into_iter()
        .filter(|path| path.extension().is_some_and(|extension| extension == "rs") && !path.ends_with("tests.rs"))
        .collect()
}

/// A file's code, without comments and the tests at its end: they may look anywhere.
fn code(path: &Path) -> String {
    let text = fs::read_to_string(path).unwrap();
    let code = text.split("#[cfg(test)]\nmod tests").next().unwrap();
    code.lines().map(|line| line.split("//").next().unwrap()).collect::<Vec<_>>().join("\n")
}

/// The modules that come behind `root::` in the code: `root::a::B`, `root::{a::B, c}`.
fn imports(code: &str, root: &str) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for (at, _) in code.match_indices(root) {
        let rest = &code[at + root.len()..];
        let names = match rest.strip_prefix('{') {
            Some(list) => list.split('}').next().unwrap().split(',').collect(),
            None => vec![rest],
        };
        for name in names {
            let name: String =
                name.trim().chars().take_while(|letter| letter.is_ascii_lowercase() || *letter == '_').collect();
            found.extend((!name.is_empty()).then_some(name));
        }
    }
    found
}

/// Whom each module imports, its submodules counted to it.
fn arrows(folder: &Path, root: &str) -> BTreeMap<String, BTreeSet<String>> {
    let mut arrows: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for path in rust_files(folder) {
        let inside = path.strip_prefix(folder).unwrap();
        let module = inside.components().next().unwrap().as_os_str().to_str().unwrap().trim_end_matches(".rs");
        let mut found = imports(&code(&path), root);
        found.remove(module);
        arrows.entry(module.to_owned()).or_default().append(&mut found);
    }
    arrows
}

#[test]
fn modules_import_only_what_stands_before_them() {
    let mut arrows = arrows(&sources(), "crate::");
    arrows.remove("lib");
    let place = |module: &str| ORDER.iter().position(|known| *known == module);
    assert!(arrows.values().map(BTreeSet::len).sum::<usize>() > 20, "imports are not seen: {arrows:?}");
    for (module, imported) in &arrows {
        let own = place(module).unwrap_or_else(|| panic!("{module} has no place in the order yet"));
        for other in imported {
            let other_place = place(other).unwrap_or_else(|| panic!("{module} imports {other}, which has no place"));
            assert!(other_place < own, "{module} imports {other}, which stands behind it");
        }
    }
}

#[test]
fn analyses_import_one_another_in_no_circle() {
    let mut arrows = arrows(&sources().join("analysis"), "super::");
    let modules: BTreeSet<String> = arrows.keys().cloned().collect();
    arrows.values_mut().for_each(|imported| imported.retain(|other| modules.contains(other)));
    assert!(arrows["generation"].contains("strings"), "imports are not seen: {arrows:?}");
    while let Some(done) = arrows.iter().find(|(_, imported)| imported.is_empty()).map(|(module, _)| module.clone()) {
        arrows.remove(&done);
        arrows.values_mut().for_each(|imported| {
            imported.remove(&done);
        });
    }
    assert!(arrows.is_empty(), "these import one another: {arrows:?}");
}

#[test]
fn the_library_knows_neither_ruby_nor_the_command_line() {
    for path in rust_files(&sources()) {
        let code = code(&path);
        for word in ["magnus", "rb_sys", "clap", "heap_inspector_cli", "println!", "eprintln!", "unsafe "] {
            assert!(!code.contains(word), "{}: {word}", path.display());
        }
    }
}

/// That something has no name, file or class is a type (`KeyValue`): a class may be called `(temp) Thing`, a file `(erb)`. So nobody looks for
/// a parenthesis at the beginning of a text to tell; what is read of `(eval` is Ruby's own name for a file.
#[test]
fn no_code_takes_a_parenthesis_for_absence() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let folders = ["crates/heap_inspector/src", "crates/heap_inspector_cli/src", "ext/heap_inspector/src", "lib"];
    let mut files: Vec<PathBuf> = folders.iter().flat_map(|folder| files_below(&root.join(folder))).collect();
    files.retain(|path| path.extension().is_some_and(|ending| ["rs", "rb", "js"].iter().any(|known| ending == *known)));
    assert!(files.len() > 200, "{files:?}");
    let starts = ["starts_with", "start_with?", "startsWith"];
    let parentheses = ["'('", "\"(\"", "b'('", "b\"(\"", "['('"];
    for path in files.iter().filter(|path| !path.ends_with("tests.rs")) {
        for (start, parenthesis) in starts.iter().flat_map(|start| parentheses.map(|parenthesis| (start, parenthesis)))
        {
            let check = format!("{start}({parenthesis}");
            assert!(!code(path).contains(&check), "{}: {check}", path.display());
        }
    }
}

/// What ARCHITECTURE.md lists under "Adding a question" is true of `threads`, and short.
#[test]
fn a_question_takes_ten_files() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let text = fs::read_to_string(root.join("ARCHITECTURE.md")).unwrap();
    let (_, section) = text.split_once("## Adding a question\n").unwrap();
    let (section, _) = section.split_once("\n## ").unwrap();
    let files: Vec<&str> = section
        .lines()
        .filter_map(|line| line.strip_prefix("- `"))
        .map(|line| line.split('`').next().unwrap())
        .collect();
    assert!((8..=10).contains(&files.len()), "{files:?}");
    for file in files {
        let text = fs::read_to_string(root.join(file)).unwrap_or_else(|error| panic!("{file}: {error}"));
        assert!(text.contains("threads") || text.contains("Threads"), "{file} has nothing of it");
    }
}

/// The doors are made of the list: where their code named a question, that would be another file to be changed with it.
#[test]
fn no_door_names_a_question() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let doors = ["reading_tasks.rb", "tasks.rb", "console.rb", "irb_commands.rb", "command_line.rb"];
    let mut files: Vec<PathBuf> = doors.iter().map(|file| root.join("lib/heap_inspector").join(file)).collect();
    files.extend(rust_files(&root.join("crates/heap_inspector_cli/src")));
    files.extend(["question.rs", "command_line.rs"].map(|file| root.join("ext/heap_inspector/src").join(file)));
    assert!(files.len() > 10, "{files:?}");
    for file in files {
        let code = code(&file);
        for question in heap_inspector::questions::QUESTIONS {
            let word = format!("\"{}\"", question.name);
            assert!(!code.contains(&word), "{} names {word}", file.display());
        }
    }
}
