#![allow(clippy::unwrap_used, reason = "a test may panic")]

use super::once::Once;
use super::{Index, Snapshot};
use crate::Error;
use crate::control::Control;
use crate::scan::Options;
use crate::source::Source;
use crate::stored;
use std::fs;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

const DUMP: &str = concat!(
    "{\"type\":\"ROOT\", \"root\":\"vm\", \"references\":[\"0x28\"]}\n",
    "{\"address\":\"0x28\", \"type\":\"ARRAY\", \"references\":[\"0x50\"], \"memsize\":40}\n",
    "{\"address\":\"0x50\", \"type\":\"STRING\", \"memsize\":40}\n",
);

#[test]
fn one_thread_makes_a_value_and_the_others_wait_for_it() {
    let (once, made) = (Once::default(), AtomicUsize::new(0));
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                let value = once.get(&Control::default(), || {
                    std::thread::yield_now();
                    Ok(made.fetch_add(1, Ordering::Relaxed) + 1)
                });
                assert_eq!(*value.unwrap(), 1);
            });
        }
    });
    assert_eq!(made.load(Ordering::Relaxed), 1);
}

#[test]
fn a_cancelled_attempt_leaves_the_next_one_free_to_try() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("heap.json");
    fs::write(&path, DUMP).unwrap();
    let snapshot = Snapshot::load(Source::path(&path), Index::Ignored, &Options::default()).unwrap();
    let cancelled = AtomicBool::new(true);
    let options = Control { cancel: Some(&cancelled), ..Control::default() };
    assert!(matches!(snapshot.tree(&options), Err(Error::Interrupted)));
    assert!(snapshot.made_tree().is_none());
    assert_eq!(snapshot.tree(&Control::default()).unwrap().reachable().memsize, 80);
}

#[test]
fn the_index_file_is_written_only_where_it_is_kept() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("heap.json");
    fs::write(&path, DUMP).unwrap();
    let options = Options::default();
    for index in [Index::Ignored, Index::Read] {
        Snapshot::load(Source::path(&path), index, &options).unwrap().tree(&options.control).unwrap();
        assert!(!stored::path(&path).exists(), "{index:?}");
    }
    let kept = Snapshot::load(Source::path(&path), Index::Kept, &options).unwrap();
    assert!(!stored::path(&path).exists(), "nothing is to be kept yet");
    kept.tree(&options.control).unwrap();
    assert!(stored::path(&path).exists());
    let again = Snapshot::load(Source::path(&path), Index::Read, &options).unwrap();
    assert!(again.made_tree().is_some(), "it came with the index file");
    let without = Snapshot::load(Source::path(&path), Index::Ignored, &options).unwrap();
    assert!(without.made_tree().is_none());
}
