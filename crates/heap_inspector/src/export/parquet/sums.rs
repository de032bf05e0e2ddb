//! The small tables: what a dump comes to by class, line, gem, text and path, and its suspects. The rows of the most bytes come first.

use super::columns::Value;
use super::schema::LARGEST;
use crate::analysis::normalised::NormalisedPath;
use crate::analysis::path_growth::{self, PathSum};
use crate::analysis::{Order, groups, strings as texts, suspects as suspected};
use crate::control::Control;
use crate::keys::{Key, KeyValue};
use crate::select::Filter;
use crate::snapshot::Named;
use crate::sums::Sum;
use crate::{Result, scan};
use hashbrown::HashMap;
use sha2::{Digest, Sha256};

/// Rows that a fleet keeps of each.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    pub(super) suspects: usize,
    pub(super) paths: usize,
    pub(super) classes: usize,
    pub(super) sites: usize,
    pub(super) gems: usize,
    pub(super) strings: usize,
}

type Row = Vec<Value>;

fn of_key(value: &KeyValue) -> Value {
    match value {
        KeyValue::Text(text) => Value::text(text),
        _ => Value::None,
    }
}

fn sum(sum: Sum) -> [Value; 2] {
    [Value::number(sum.count), Value::number(sum.memsize)]
}

/// Groups by keys; of a site only what was traced.
fn groups_by(dump: &Named<'_>, by: &[Key], limit: Option<usize>, control: &Control<'_>) -> Result<Vec<groups::Group>> {
    let options = groups::Options { by: by.to_vec(), filter: Filter::default(), sort: Order::Bytes, limit };
    Ok(groups::groups(dump.snapshot.heap(), &options, control)?.groups)
}

pub(super) fn classes(dump: &Named<'_>, limit: Option<usize>, control: &Control<'_>) -> Result<Vec<Row>> {
    let groups = groups_by(dump, &[Key::Class], limit, control)?;
    let row = |group: groups::Group| {
        let name = group.key.first().and_then(KeyValue::words).map_or(Value::None, Value::text);
        [name].into_iter().chain(sum(group.sum)).collect()
    };
    Ok(groups.into_iter().map(row).collect())
}

pub(super) fn sites(dump: &Named<'_>, limit: Option<usize>, control: &Control<'_>) -> Result<Vec<Row>> {
    let groups = groups_by(dump, &[Key::Location, Key::Method, Key::Gem], None, control)?;
    let rows = groups.into_iter().filter(|group| matches!(group.key.first(), Some(KeyValue::Text(_))));
    let row = |group: groups::Group| group.key.iter().map(of_key).chain(sum(group.sum)).collect();
    Ok(rows.take(limit.unwrap_or(usize::MAX)).map(row).collect())
}

pub(super) fn gems(dump: &Named<'_>, limit: Option<usize>, control: &Control<'_>) -> Result<Vec<Row>> {
    let groups = groups_by(dump, &[Key::Gem], None, control)?;
    let rows = groups.into_iter().filter_map(|group| match group.key.first() {
        Some(KeyValue::Text(gem)) => {
            let (name, version) = match gem.rsplit_once(' ') {
                Some((name, version)) => (name, Value::text(version)),
                None => (&gem[..], Value::None),
            };
            Some([Value::text(name), version].into_iter().chain(sum(group.sum)).collect())
        }
        _ => None,
    });
    Ok(rows.take(limit.unwrap_or(usize::MAX)).collect())
}

/// Texts that several strings hold, without the texts themselves where `is_hidden`. Reads the dump once more; of one whose texts were
/// replaced there are none.
pub(super) fn strings(dump: &Named<'_>, limit: usize, is_hidden: bool, control: &Control<'_>) -> Result<Vec<Row>> {
    if dump.snapshot.heap().totals().is_redacted() {
        return Ok(Vec::new());
    }
    let scanning = scan::Options { control: *control, ..scan::Options::default() };
    let found = texts::read(&dump.snapshot.source().again(), &Filter::default(), Order::Bytes, limit, &scanning)?.0;
    let row = |text: texts::DuplicateString| {
        let site = text.sites.first().map(|(site, _)| &site[..]).filter(|site| !site.starts_with('('));
        vec![
            Value::text(&hash(&text.value, text.bytesize)),
            Value::number(text.bytesize),
            Value::number(text.count),
            Value::number(text.memsize),
            Value::number(text.wasted),
            Value::of(site),
            if is_hidden { Value::None } else { Value::text(&text.value) },
        ]
    };
    Ok(found.duplicates.into_iter().map(row).collect())
}

/// The same for the same text in each process, as far as its length and start tell.
fn hash(start: &str, bytesize: u64) -> String {
    let digest = Sha256::digest(format!("{bytesize}:{start}"));
    digest.iter().take(8).map(|byte| format!("{byte:02x}")).collect()
}

/// A number for a path, the same in each dump.
fn path_id(path: &NormalisedPath) -> Value {
    let digest = Sha256::digest(path.0.join("\n"));
    let bits = digest.iter().take(8).fold(0u64, |bits, byte| bits << 8 | u64::from(*byte));
    Value::number(bits & LARGEST)
}

/// What tells a path: its short name, its number, its words.
#[must_use]
pub fn path_values(path: &NormalisedPath) -> [Value; 3] {
    [Value::text(&path.fingerprint()), path_id(path), Value::text(&path.to_string())]
}

/// The row of a path.
#[must_use]
pub fn path_row(path: &NormalisedPath, count: u64, bytes: u64, retained: u64) -> Vec<Value> {
    let ends = [path.0.first(), path.0.last()].map(|step| Value::of(step.map(|step| &step[..])));
    path_values(path).into_iter().chain(ends).chain([count, bytes, retained].map(Value::number)).collect()
}

pub(super) fn suspects(dump: &Named<'_>, limit: usize, control: &Control<'_>) -> Result<Vec<Row>> {
    let (heap, tree) = (dump.snapshot.heap(), dump.snapshot.tree(control)?);
    // Their texts are not asked for: so no label can have one.
    let source = dump.snapshot.source().again().without_values();
    let (children, shortest_paths) = (dump.snapshot.children(control)?, dump.snapshot.shortest_paths(control)?);
    let found = suspected::of_heap_by(heap, tree, (children, shortest_paths), &source, limit, control)?;
    let row = |(at, suspect): (usize, &suspected::Suspect)| {
        let rest = [
            Value::text(&suspect.class),
            Value::number(suspect.count),
            Value::number(suspect.memsize),
            Value::text(suspect.confidence.name()),
            of_key(&suspect.location),
            Value::of(suspect.app_location.as_deref()),
            Value::of(suspect.known_leak.as_deref()),
        ];
        let rank = Value::number(at as u64 + 1);
        [rank].into_iter().chain(path_values(&suspect.normalised_path)).chain(rest).collect()
    };
    Ok(found.iter().enumerate().map(row).collect())
}

/// What has which path; of a limited number those that retain the most, and a quarter those of the most objects.
pub(super) fn paths(dump: &Named<'_>, limit: Option<usize>, control: &Control<'_>) -> Result<Vec<Row>> {
    let mut found = with_retained(path_growth::counted(&dump.pathed(control)?, control)?, control)?;
    if let Some(limit) = limit {
        let mut by_count: Vec<usize> = (0..found.len()).collect();
        by_count.sort_by_key(|at| std::cmp::Reverse(found[*at].0.sum.count));
        let mut kept = vec![false; found.len()];
        by_count.iter().take(limit / 4).for_each(|at| kept[*at] = true);
        let mut by_bytes: Vec<usize> = (0..found.len()).collect();
        by_bytes.sort_by_key(|at| std::cmp::Reverse(found[*at].1));
        by_bytes.iter().take(limit - limit / 4).for_each(|at| kept[*at] = true);
        let mut kept = kept.into_iter();
        found.retain(|_| kept.next().unwrap_or(false));
    }
    found.sort_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.path.cmp(&b.0.path)));
    let row = |(one, retained): (PathSum, u64)| path_row(&one.path, one.sum.count, one.sum.memsize, retained);
    Ok(found.into_iter().map(row).collect())
}

/// Adds to each path the bytes of those that begin with it. In order, a path stands right before these.
fn with_retained(mut found: Vec<PathSum>, control: &Control<'_>) -> Result<Vec<(PathSum, u64)>> {
    found.sort_by(|a, b| a.path.cmp(&b.path));
    let mut retained: Vec<u64> = found.iter().map(|one| one.sum.memsize).collect();
    let mut open: Vec<usize> = Vec::new();
    for at in 0..found.len() {
        control.check_at(at)?;
        while open.last().is_some_and(|above| !found[at].path.0.starts_with(&found[*above].path.0)) {
            open.pop();
        }
        let own = found[at].sum.memsize;
        open.iter().for_each(|above| retained[*above] = retained[*above].saturating_add(own));
        open.push(at);
    }
    Ok(found.into_iter().zip(retained).collect())
}

/// The texts of values by what they stand for, each made once: rows share them.
#[derive(Debug)]
pub(super) struct Texts<K: std::hash::Hash + Eq>(HashMap<K, Value>);

impl<K: std::hash::Hash + Eq> Default for Texts<K> {
    fn default() -> Self {
        Texts(HashMap::new())
    }
}

impl<K: std::hash::Hash + Eq> Texts<K> {
    pub(super) fn get(&mut self, key: K, make: impl FnOnce() -> Value) -> Value {
        self.0.entry(key).or_insert_with(make).clone()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test may panic")]

    use super::*;

    #[test]
    fn a_path_retains_what_lies_below_it() {
        let path = |words: &str, memsize| PathSum {
            path: NormalisedPath(words.split(' ').map(str::to_owned).collect()),
            sum: Sum { count: 1, memsize, references: 0 },
        };
        let found =
            vec![path("A B C", 4), path("AB", 100), path("A", 1), path("A B", 2), path("A D", 8), path("B", 50)];
        let found = with_retained(found, &Control::default()).unwrap();
        let told: Vec<(String, u64)> = found.iter().map(|(one, all)| (one.path.0.join(" "), *all)).collect();
        let expected = [("A", 15), ("A B", 6), ("A B C", 4), ("A D", 8), ("AB", 100), ("B", 50)];
        assert_eq!(told, expected.map(|(path, all)| (path.to_owned(), all)));
    }

    #[test]
    fn equal_texts_have_equal_hashes() {
        assert_eq!(hash("id", 2), hash("id", 2));
        assert_eq!(hash("id", 2).len(), 16);
        assert_ne!(hash("id", 2), hash("id", 3));
    }
}
