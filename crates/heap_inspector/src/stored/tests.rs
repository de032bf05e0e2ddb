//! What comes back from an index file is what went in, and a file that is damaged, stale or somebody else's is as good as none.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use super::{load, path, read};
use crate::analysis::{Context, Order, groups, summary};
use crate::control::Control;
use crate::graph::dominators::Tree;
use crate::heap::Heap;
use crate::keys::Key;
use crate::scan::Options;
use crate::source::Source;
use proptest::prelude::*;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use tempfile::TempDir;

const DUMPS: [&str; 6] =
    ["ruby-2.7-x86_64", "ruby-3.1-x86_64", "ruby-3.2-wasm32", "ruby-3.3-x86_64", "ruby-3.4-x86_64", "ruby-4.0-wasm32"];

/// A copy of a real dump in a folder of its own.
fn dump(name: &str) -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let dump = folder.path().join("heap.json");
    let packed = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/dumps").join(format!("{name}.json.zst"));
    std::fs::copy(packed, &dump).unwrap();
    (folder, dump)
}

fn fresh(dump: &Path) -> (Heap, Tree) {
    load(&Source::path(dump), &Options::default()).unwrap()
}

fn stored(dump: &Path) -> Option<(Heap, Tree)> {
    read(dump, &Options::default())
}

#[test]
fn gives_back_the_heap_and_its_tree() {
    for name in DUMPS {
        let (_folder, dump) = dump(name);
        let (heap, tree) = fresh(&dump);
        let (again, tree_again) = stored(&dump).expect(name);
        assert_eq!(again.object_count(), heap.object_count());
        assert_eq!(
            (again.totals(), again.diagnostics(), again.roots()),
            (heap.totals(), heap.diagnostics(), heap.roots())
        );
        assert_eq!((again.shapes(), again.pages()), (heap.shapes(), heap.pages()));
        assert_eq!(tree_again.reachable(), tree.reachable());
        assert_same(&again, &heap);
        assert_same_tree(&tree_again, &tree, &heap);
        let options = groups::Options { by: vec![Key::Class, Key::Location], sort: Order::Bytes, ..Default::default() };
        let groups = |heap: &Heap| groups::groups(heap, &options, &Default::default()).unwrap();
        assert_eq!(groups(&again), groups(&heap));
        let summary =
            |heap: &Heap| summary::summary(heap, &Default::default(), 100, &Default::default()).unwrap().report("dump");
        assert_eq!(summary(&again), summary(&heap));
        assert_eq!(Context::of(&again).diagnostics, Context::of(&heap).diagnostics);
    }
}

fn assert_same_tree(again: &Tree, tree: &Tree, heap: &Heap) {
    for id in heap.nodes() {
        assert_eq!((again.dominator(id), again.retained(id)), (tree.dominator(id), tree.retained(id)));
        assert_eq!(again.retained_count(id), tree.retained_count(id));
    }
}

/// Every object of one heap is as in the other.
fn assert_same(again: &Heap, heap: &Heap) {
    for id in heap.nodes() {
        assert_eq!((again.address(id), again.bytes(id)), (heap.address(id), heap.bytes(id)));
        assert_eq!((again.properties(id), again.length(id)), (heap.properties(id), heap.length(id)));
        assert_eq!((again.offset(id), again.class(id)), (heap.offset(id), heap.class(id)));
        assert!(again.references(id).eq(heap.references(id)));
        assert_eq!(again.node(heap.address(id)), Some(id));
    }
}

/// The groups of columns, which are not read when the file is opened.
const LATER: std::ops::RangeInclusive<usize> = 1..=16;

/// Turns a bit in the middle of each array of some groups.
fn damage(dump: &Path, groups: std::ops::RangeInclusive<usize>) {
    let mut bytes = std::fs::read(path(dump)).unwrap();
    let word = |at: usize| u64::from_ne_bytes(bytes[at * 8..at * 8 + 8].try_into().unwrap()) as usize;
    let (words, table, count) = (word(1), word(2) / 8, word(3));
    let mut begin = (5 + words + 1) * 8;
    let mut places = Vec::new();
    for section in 0..count {
        let [group, length] = [0, 2].map(|part| word(table + section * 3 + part));
        if groups.contains(&group) && length > 0 {
            places.push(begin + length / 2);
        }
        begin += length.next_multiple_of(8);
    }
    assert!(!places.is_empty());
    places.into_iter().for_each(|place| bytes[place] ^= 8);
    // In place, as nobody should: another file of this name would not be the one that is open.
    std::fs::write(path(dump), bytes).unwrap();
}

#[test]
fn what_is_damaged_and_read_later_comes_from_the_dump() {
    let (_folder, dump) = dump(DUMPS[4]);
    // Each thread numbers names as it meets them, so the second reading may number them otherwise.
    for threads in [1, 4] {
        let options = Options { control: Control { threads, ..Control::default() }, ..Options::default() };
        let (heap, tree) = load(&Source::path(&dump), &options).unwrap();
        damage(&dump, LATER);
        let (again, tree_again) = stored(&dump).expect("what is read at once is whole");
        assert_same(&again, &heap);
        assert_same_tree(&tree_again, &tree, &heap);
        assert!(again.whole().is_ok());
        assert!(!path(&dump).exists(), "the next one makes a new one");
    }
}

#[test]
fn few_objects_are_told_from_pieces_of_columns() {
    for name in DUMPS {
        let (_folder, dump) = dump(name);
        let (heap, tree) = fresh(&dump);
        let ids: Vec<_> = heap.nodes().step_by(heap.object_count().div_ceil(300)).collect();
        let (again, tree_again) = stored(&dump).unwrap();
        let before = again.footprint() + tree_again.footprint();
        for id in &ids {
            let id = *id;
            assert_eq!((again.address(id), again.bytes(id)), (heap.address(id), heap.bytes(id)));
            assert_eq!((again.properties(id), again.length(id)), (heap.properties(id), heap.length(id)));
            assert_eq!((again.offset(id), again.class(id)), (heap.offset(id), heap.class(id)));
            assert_eq!((tree_again.dominator(id), tree_again.retained(id)), (tree.dominator(id), tree.retained(id)));
            assert_eq!(tree_again.retained_count(id), tree.retained_count(id));
        }
        assert_eq!(again.footprint() + tree_again.footprint(), before, "columns stay in the file");
        assert!(ids.iter().all(|id| again.references(*id).eq(heap.references(*id))));
    }
}

#[test]
fn what_is_lost_is_told() {
    let (_folder, dump) = dump(DUMPS[4]);
    let (heap, _) = fresh(&dump);
    let (again, tree) = stored(&dump).unwrap();
    damage(&dump, LATER);
    std::fs::write(&dump, "another dump").unwrap();
    assert!(again.whole().is_ok(), "nothing was asked yet");
    for id in heap.nodes() {
        // Some pieces are whole. What is not leads nowhere, and above all to no panic.
        again.references(id).for_each(drop);
        assert!(again.node(heap.address(id)).is_none());
        assert!([0, heap.offset(id)].contains(&again.offset(id)));
        assert!([0, heap.bytes(id)].contains(&again.bytes(id)));
        let _ = (again.properties(id), tree.dominator(id), tree.retained(id));
    }
    let message = again.whole().unwrap_err().to_string();
    assert!(
        message.contains(
            "heap.json.hidx: the index file was changed while it was open, and the dump could not be read in its place"
        ),
        "{message}"
    );
}

#[test]
fn a_damaged_plain_answer_is_as_good_as_no_file() {
    let (_folder, dump) = dump(DUMPS[3]);
    fresh(&dump);
    damage(&dump, 17..=17);
    assert!(stored(&dump).is_none());
}

#[test]
fn is_of_its_owner_alone() {
    let (_folder, dump) = dump(DUMPS[0]);
    fresh(&dump);
    assert_eq!(std::fs::metadata(path(&dump)).unwrap().permissions().mode() & 0o777, 0o600);
    let real = path(&dump).with_extension("moved");
    std::fs::rename(path(&dump), &real).unwrap();
    std::os::unix::fs::symlink(&real, path(&dump)).unwrap();
    assert!(stored(&dump).is_none(), "a link");
}

#[test]
fn a_changed_dump_is_loaded_anew() {
    let (_folder, dump) = dump(DUMPS[1]);
    let (heap, _) = fresh(&dump);
    let other = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/dumps/ruby-3.3-x86_64.json.zst");
    std::fs::copy(other, &dump).unwrap();
    assert!(stored(&dump).is_none());
    let (changed, _) = fresh(&dump);
    assert_ne!(changed.object_count(), heap.object_count());
    assert_eq!(stored(&dump).expect("written anew").0.object_count(), changed.object_count());
    let touched = std::fs::File::options().append(true).open(&dump).unwrap();
    touched.set_modified(std::time::UNIX_EPOCH).unwrap();
    assert!(stored(&dump).is_none(), "changed at another time");
}

#[test]
fn a_folder_that_cannot_be_written_to_is_no_error() {
    let (folder, dump) = dump(DUMPS[2]);
    let name = path(&dump);
    std::fs::create_dir(&name).unwrap(); // even the administrator cannot rename a file to a folder
    std::fs::write(name.join("inside"), "").unwrap();
    let (heap, _) = fresh(&dump);
    assert!(heap.object_count() > 0);
    assert!(stored(&dump).is_none());
    let left: Vec<_> = std::fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(left.len(), 2, "no temporary file is left: {left:?}");
}

#[test]
fn what_killed_writers_left_is_swept_when_it_is_old() {
    let (folder, dump) = dump(DUMPS[0]);
    let file = |name: &str, age: u64| {
        let path = folder.path().join(name);
        let file = std::fs::File::create(&path).unwrap();
        file.set_modified(std::time::SystemTime::now() - std::time::Duration::from_secs(age)).unwrap();
        path
    };
    let left = file(".hidx-old", 7200);
    let kept = [file(".hidx-young", 60), file("other", 7200), folder.path().join(".hidx-link")];
    std::os::unix::fs::symlink(&kept[1], &kept[2]).unwrap();
    fresh(&dump);
    assert!(!left.exists());
    assert!(kept.iter().all(|path| path.exists()));
}

#[test]
fn warnings_are_told_again_and_are_errors_to_the_strict() {
    let (_folder, dump) = dump(DUMPS[3]);
    let mut lines = zstd::decode_all(std::fs::File::open(&dump).unwrap()).unwrap();
    lines.extend_from_slice(b"garbage\n");
    std::fs::write(&dump, lines).unwrap();
    let (heap, _) = fresh(&dump);
    assert_eq!(heap.diagnostics().lost, 1);
    assert_eq!(stored(&dump).expect("stored").0.diagnostics(), heap.diagnostics());
    let strict = Options { strict: true, ..Options::default() };
    assert!(load(&Source::path(&dump), &strict).is_err());
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 60, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_damaged_file_changes_nothing(place in any::<prop::sample::Index>(), bit in 0u32..8, cut in any::<bool>()) {
        thread_local! {
            static DUMP: (TempDir, PathBuf, Vec<u8>, Heap) = {
                let (folder, dump) = dump(DUMPS[5]);
                let (heap, _) = fresh(&dump);
                let whole = std::fs::read(path(&dump)).unwrap();
                (folder, dump, whole, heap)
            };
        }
        DUMP.with(|(_, dump, whole, heap)| {
            let mut bytes = whole.clone();
            let place = place.index(bytes.len());
            // What lies between two parts is padding and says nothing; all else is under a checksum, and is as good as not there.
            if cut {
                bytes.truncate(place);
            } else {
                bytes[place] ^= 1 << bit;
            }
            std::fs::write(path(dump), &bytes).unwrap();
            if let Some((again, _)) = stored(dump) {
                prop_assert!(!cut);
                assert_same(&again, heap);
            }
            Ok(())
        })?;
    }
}
