//! Where the resident memory of the process was when the dump was taken, beside what the dump holds of it: the rows of the dump's first
//! line. They are a claim, as all of it, and believed only where they add up.

use super::super::{column, share};
use crate::report::{Cell, Column, Table};
use crate::sort;
use serde_json::Value;

/// Rows that are read, and letters of a name.
const MOST: usize = 100;
const LETTERS: usize = 300;

/// A part of the resident memory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Part {
    /// Its name: see `docs/memory.md`.
    pub(crate) name: String,
    /// Its bytes.
    pub(crate) bytes: u64,
    /// Whether an owner or the kernel tells of it.
    pub(crate) is_named: bool,
}

/// The parts that a dump's account of itself tells, the largest first. None where they do not add up to what it says.
pub(crate) fn parts(meta: &Value) -> Option<Vec<Part>> {
    let memory = meta.get("memory")?;
    let rss = memory.get("rss")?.as_u64()?;
    let rows = memory.get("rows")?.as_array()?;
    if rows.len() > MOST {
        return None;
    }
    let part = |row: &Value| {
        Some(Part {
            name: row.get("name")?.as_str()?.chars().take(LETTERS).collect(),
            bytes: row.get("bytes")?.as_u64()?,
            is_named: row.get("named")?.as_bool()?,
        })
    };
    let mut parts = rows.iter().map(part).collect::<Option<Vec<Part>>>()?;
    let sum = parts.iter().try_fold(0_u64, |sum, part| sum.checked_add(part.bytes))?;
    sort::by(&mut parts, |one, other| other.bytes.cmp(&one.bytes).then_with(|| one.name.cmp(&other.name)));
    (sum == rss && rss > 0).then_some(parts)
}

/// The table, with the objects of the dump in a row above it for comparison.
pub(super) fn table(parts: &[Part], objects: u64) -> Table {
    let rss = parts.iter().map(|part| part.bytes).sum();
    let rows: Vec<Vec<Cell>> = parts
        .iter()
        .map(|part| {
            vec![
                Cell::Bytes(part.bytes),
                Cell::Share(share(part.bytes, rss)),
                Cell::Text(part.name.clone()),
                Cell::Flag(part.is_named),
            ]
        })
        .collect();
    Table {
        name: "resident",
        title: format!(
            "Resident memory: the dump's objects are {} of it",
            crate::human::percent(share(objects.min(rss), rss))
        ),
        columns: vec![
            column("bytes", "Bytes"),
            column("share", "Share"),
            Column { name: "part", title: "Part", shrinks: true },
            column("named", "Named"),
        ],
        rows: rows.into_iter().collect(),
        rest: None,
        total: Some(vec![Cell::Bytes(rss), Cell::Missing, Cell::Missing, Cell::Missing]),
        bar: Some(0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn meta(rss: u64, rows: &Value) -> Value {
        json!({ "memory": { "rss": rss, "rows": rows } })
    }

    #[test]
    fn reads_parts_that_add_up_largest_first() {
        let rows = json!([{ "name": "stacks", "bytes": 1, "named": true }, { "name": "anonymous", "bytes": 2, "named": false }]);
        let parts = parts(&meta(3, &rows)).expect("they add up");
        assert_eq!(
            parts,
            [
                Part { name: "anonymous".into(), bytes: 2, is_named: false },
                Part { name: "stacks".into(), bytes: 1, is_named: true }
            ]
        );
        let table = table(&parts, 1);
        assert_eq!(table.title, "Resident memory: the dump's objects are 33.3 % of it");
        assert_eq!(table.total.expect("a sum")[0], Cell::Bytes(3));
    }

    #[test]
    fn believes_no_other_form() {
        let row = json!({ "name": "stacks", "bytes": 1, "named": true });
        let many = Value::Array(vec![row.clone(); MOST + 1]);
        for odd in [
            meta(2, &json!([row])),
            meta(0, &json!([])),
            meta(101, &many),
            meta(1, &json!([{ "name": "stacks", "bytes": 1 }])),
            meta(1, &json!([{ "name": 7, "bytes": 1, "named": true }])),
            meta(u64::MAX, &json!([{ "name": "a", "bytes": u64::MAX, "named": true }, row])),
            json!({ "memory": [] }),
            json!({}),
        ] {
            assert_eq!(parts(&odd), None, "{odd}");
        }
    }
}
