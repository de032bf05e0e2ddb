//! Schemas that are schemas, and summaries that stay small.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use super::columns::Value;
use super::schema::{CLASSES, DUMP, TABLES};
use super::{MOST_BYTES, Summary, Tables};
use parquet::file::reader::{FileReader, SerializedFileReader};
use parquet::schema::parser::parse_message_type;
use std::path::Path;

fn empty() -> Summary {
    Summary { row: vec![Value::None; DUMP.fields.len()], lists: vec![Vec::new(); DUMP.lists.len()] }
}

fn rows(bytes: Vec<u8>) -> Vec<String> {
    let file = SerializedFileReader::new(bytes::Bytes::from(bytes)).unwrap();
    file.get_row_iter(None).unwrap().map(|row| row.unwrap().to_string()).collect()
}

#[test]
fn every_table_has_a_schema_with_its_columns() {
    for table in TABLES {
        let schema = parse_message_type(&table.message()).unwrap();
        assert_eq!(schema.get_fields().len(), table.fields.len() + table.lists.len(), "{}", table.name);
    }
}

#[test]
fn what_is_written_is_read_again() {
    let mut summary = empty();
    summary.set("service", Value::text("shop"));
    summary.set("objects", Value::Number(7));
    *summary.list_mut(&CLASSES).unwrap() = vec![
        vec![Value::text("Order"), Value::Number(3), Value::None],
        vec![Value::None, Value::Number(4), Value::Number(5)],
    ];
    let rows = rows(summary.bytes(Path::new("x")).unwrap());
    assert_eq!(rows.len(), 1);
    assert!(rows[0].contains("service: \"shop\"") && rows[0].contains("objects: 7"), "{rows:?}");
    assert!(
        rows[0].contains("classes: [{class: \"Order\", count: 3, bytes: null}, {class: null, count: 4, bytes: 5}]"),
        "{rows:?}"
    );
    assert!(rows[0].contains("paths: []"), "{rows:?}");
}

/// Names that cannot be packed, as hostile ones.
#[test]
fn a_summary_is_cut_until_it_is_small() {
    let mut summary = empty();
    let name = |number: u64| {
        let mut bits = number.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        (0..60)
            .map(|_| {
                bits = bits.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                format!("{bits:x}")
            })
            .collect::<String>()
    };
    *summary.list_mut(&CLASSES).unwrap() =
        (0..2000).map(|number| vec![Value::text(&name(number)), Value::Number(1), Value::Number(1)]).collect();
    let bytes = summary.bytes(Path::new("x")).unwrap();
    assert!(bytes.len() <= MOST_BYTES && bytes.len() > MOST_BYTES / 4, "{}", bytes.len());
    assert_eq!(rows(bytes).len(), 1);
}

#[test]
fn tables_are_known_by_name() {
    assert_eq!("dump, paths".parse::<Tables>().unwrap().0.len(), 2);
    let message = "dump,nope".parse::<Tables>().unwrap_err().to_string();
    assert!(message.starts_with("unknown table \"nope\"; there are dump, objects, "), "{message}");
}
