//! The small tables: what a dump comes to by class, line, gem, text and path, and its suspects. The rows of the most bytes come first.

use super::columns::Value;
use super::schema::{LARGEST, Table};
use crate::analysis::normalised::NormalisedPath;
use crate::analysis::path_growth::{self, PathSum};
use crate::analysis::strings::{self as texts, DuplicateString};
use crate::analysis::{Order, groups, suspects as suspected};
use crate::control::Control;
use crate::keys::{Key, KeyValue};
use crate::select::Filter;
use crate::snapshot::{Named, Once};
use crate::sums::Sum;
use crate::{Result, scan, sort};
use sha2::{Digest, Sha256};

type Row = Vec<Value>;

/// Suspects of a dump, of which a summary has the first.
const SUSPECTS: usize = 100;

/// What the small tables are made of, each worked out when it is first asked for: those that are written apart are in the dump's row as well.
#[derive(Debug)]
pub(super) struct Sums<'a> {
    dump: Named<'a>,
    /// Texts that are wanted.
    texts: usize,
    strings: Once<Vec<DuplicateString>>,
    suspects: Once<Vec<Row>>,
    paths: Once<Vec<(PathSum, u64)>>,
    classes: Once<Vec<Row>>,
    sites: Once<Vec<Row>>,
    gems: Once<Vec<Row>>,
}

impl<'a> Sums<'a> {
    /// Of a dump, with at most so many texts.
    pub(super) fn new(dump: Named<'a>, texts: usize) -> Sums<'a> {
        Sums {
            dump,
            texts,
            strings: Once::default(),
            suspects: Once::default(),
            paths: Once::default(),
            classes: Once::default(),
            sites: Once::default(),
            gems: Once::default(),
        }
    }

    /// The dump.
    pub(super) fn dump(&self) -> &Named<'a> {
        &self.dump
    }

    /// Works out the sums of a table that stands for nothing else, so that they are there when they are asked for.
    pub(super) fn work_out(&self, table: &Table, control: &Control<'_>) -> Result<()> {
        match table.name {
            "strings" => self.found_strings(control).map(drop),
            "suspects" => self.suspects(control).map(drop),
            "paths" => self.found_paths(control).map(drop),
            "classes" => self.classes(control).map(drop),
            "sites" => self.sites(control).map(drop),
            "gems" => self.gems(control).map(drop),
            _ => Ok(()),
        }
    }

    /// Of each class.
    pub(super) fn classes(&self, control: &Control<'_>) -> Result<&[Row]> {
        let rows = || {
            let row = |group: groups::Group| {
                let name = group.key.first().and_then(KeyValue::words).map_or(Value::None, Value::text);
                [name].into_iter().chain(sum(group.sum)).collect()
            };
            Ok(groups_by(&self.dump, &[Key::Class], control)?.into_iter().map(row).collect())
        };
        self.classes.get(control, rows).map(Vec::as_slice)
    }

    /// Of each line that allocated.
    pub(super) fn sites(&self, control: &Control<'_>) -> Result<&[Row]> {
        let rows = || {
            let groups = groups_by(&self.dump, &[Key::Location, Key::Method, Key::Gem], control)?;
            let traced = groups.into_iter().filter(|group| matches!(group.key.first(), Some(KeyValue::Text(_))));
            Ok(traced.map(|group| group.key.iter().map(of_key).chain(sum(group.sum)).collect()).collect())
        };
        self.sites.get(control, rows).map(Vec::as_slice)
    }

    /// Of each gem that allocated.
    pub(super) fn gems(&self, control: &Control<'_>) -> Result<&[Row]> {
        let row = |group: groups::Group| match group.key.first() {
            Some(KeyValue::Text(gem)) => {
                let (name, version) = match gem.rsplit_once(' ') {
                    Some((name, version)) => (name, Value::text(version)),
                    None => (&gem[..], Value::None),
                };
                Some([Value::text(name), version].into_iter().chain(sum(group.sum)).collect())
            }
            _ => None,
        };
        let rows = || Ok(groups_by(&self.dump, &[Key::Gem], control)?.into_iter().filter_map(row).collect());
        self.gems.get(control, rows).map(Vec::as_slice)
    }

    /// Texts that several strings hold: at most so many, without the texts themselves where `is_hidden`.
    pub(super) fn strings(&self, limit: usize, is_hidden: bool, control: &Control<'_>) -> Result<Vec<Row>> {
        let row = |text: &DuplicateString| {
            vec![
                Value::text(&hash(&text.value, text.bytesize)),
                Value::number(text.bytesize),
                Value::number(text.count),
                Value::number(text.memsize),
                Value::number(text.wasted),
                text.sites.first().map_or(Value::None, |(site, _)| of_key(site)),
                if is_hidden { Value::None } else { Value::text(&text.value) },
            ]
        };
        Ok(self.found_strings(control)?.iter().take(limit).map(row).collect())
    }

    /// Reads the dump once more; of one whose texts were replaced there are none.
    fn found_strings(&self, control: &Control<'_>) -> Result<&[DuplicateString]> {
        let found = || {
            if self.dump.snapshot.heap().totals().is_redacted() {
                return Ok(Vec::new());
            }
            let source = self.dump.snapshot.source().again();
            let scanning = scan::Options { control: *control, ..scan::Options::default() };
            Ok(texts::read(&source, &Filter::default(), Order::Bytes, self.texts, &scanning)?.0.duplicates)
        };
        self.strings.get(control, found).map(Vec::as_slice)
    }

    /// The suspects of the dump alone.
    pub(super) fn suspects(&self, control: &Control<'_>) -> Result<&[Row]> {
        let dump = &self.dump;
        let rows = || {
            let (heap, tree) = (dump.snapshot.heap(), dump.snapshot.tree(control)?);
            // Their texts are not asked for: so no label can have one.
            let source = dump.snapshot.source().again().without_values();
            let (children, shortest_paths) = (dump.snapshot.children(control)?, dump.snapshot.shortest_paths(control)?);
            let found = suspected::of_heap_by(heap, tree, (children, shortest_paths), &source, SUSPECTS, control)?;
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
        };
        self.suspects.get(control, rows).map(Vec::as_slice)
    }

    /// What has which path; of a limited number those that retain the most, and a quarter those of the most objects.
    pub(super) fn paths(&self, limit: Option<usize>, control: &Control<'_>) -> Result<Vec<Row>> {
        let found = self.found_paths(control)?;
        let mut kept: Vec<usize> = (0..found.len()).collect();
        if let Some(limit) = limit {
            let mut by_count = kept.clone();
            sort::by_key(&mut by_count, |at| std::cmp::Reverse(found[*at].0.sum.count));
            // They stand by bytes.
            kept.truncate(limit - limit / 4);
            kept.extend(by_count.into_iter().take(limit / 4));
            kept.sort_unstable();
            kept.dedup();
        }
        let row = |at| {
            let (one, retained): &(PathSum, u64) = &found[at];
            path_row(&one.path, one.sum.count, one.sum.memsize, *retained)
        };
        Ok(kept.into_iter().map(row).collect())
    }

    /// Those that retain the most first.
    fn found_paths(&self, control: &Control<'_>) -> Result<&[(PathSum, u64)]> {
        let found = || {
            let mut found = with_retained(path_growth::counted(&self.dump.pathed(control)?, control)?, control)?;
            sort::by(&mut found, |a, b| b.1.cmp(&a.1).then_with(|| a.0.path.cmp(&b.0.path)));
            Ok(found)
        };
        self.paths.get(control, found).map(Vec::as_slice)
    }
}

fn of_key(value: &KeyValue) -> Value {
    match value {
        KeyValue::Text(text) => Value::text(text),
        _ => Value::None,
    }
}

fn sum(sum: Sum) -> [Value; 2] {
    [Value::number(sum.count), Value::number(sum.memsize)]
}

fn groups_by(dump: &Named<'_>, by: &[Key], control: &Control<'_>) -> Result<Vec<groups::Group>> {
    let options = groups::Options { by: by.to_vec(), filter: Filter::default(), sort: Order::Bytes, limit: None };
    Ok(groups::groups(dump.snapshot.heap(), &options, control)?.groups)
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

/// Adds to each path the bytes of those that begin with it. In order, a path stands right before these.
fn with_retained(mut found: Vec<PathSum>, control: &Control<'_>) -> Result<Vec<(PathSum, u64)>> {
    sort::by(&mut found, |a, b| a.path.cmp(&b.path));
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

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test may panic")]

    use super::*;
    use crate::snapshot::{Index, Snapshot};
    use crate::source::Source;

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
    fn a_text_has_the_line_that_allocated_it_whatever_it_is_called() {
        let found = |file: &str| {
            let line = |at: u32| {
                format!(
                    "{{\"address\":\"0x{:x}\", \"type\":\"STRING\", \"bytesize\":4, \"value\":\"same\"{file}, \"memsize\":40}}\n",
                    0x1000 + at * 40
                )
            };
            let source = Source::reader(std::io::Cursor::new((0..3).map(line).collect::<String>()), "memory");
            let snapshot = Snapshot::load(source, Index::Ignored, &scan::Options::default()).unwrap();
            let sums = Sums::new(Named { name: "x", snapshot: &snapshot }, 10);
            let rows = sums.strings(10, false, &Control::default()).unwrap();
            let [row] = &rows[..] else { panic!("{rows:?}") };
            assert_eq!(row[2], Value::Number(3));
            row[5].clone()
        };
        let allocated = |path: &str| format!(", \"file\":\"{path}\", \"line\":12, \"generation\":3");
        for path in ["app.erb", "(erb)", "(untraced)"] {
            assert_eq!(found(&allocated(path)), Value::text(&format!("{path}:12")));
        }
        assert_eq!(found(""), Value::None);
        assert_eq!(found(&allocated("")), Value::None);
    }

    #[test]
    fn equal_texts_have_equal_hashes() {
        assert_eq!(hash("id", 2), hash("id", 2));
        assert_eq!(hash("id", 2).len(), 16);
        assert_ne!(hash("id", 2), hash("id", 3));
    }
}
