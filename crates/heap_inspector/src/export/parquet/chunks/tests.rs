//! What is encoded here is read again by the crate.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use super::super::columns::{Writer, described};
use super::super::schema::{Field, Kind, Table};
use super::*;
use parquet::file::reader::{FileReader, SerializedFileReader};
use parquet::record::RowAccessor;
use proptest::prelude::*;

const TABLE: Table = Table {
    name: "mixed",
    about: "a row",
    fields: &[
        Field { name: "near", kind: Kind::Number, about: "" },
        Field { name: "few", kind: Kind::Number, about: "" },
        Field { name: "text", kind: Kind::Text, about: "" },
        Field { name: "flag", kind: Kind::Flag, about: "" },
    ],
    lists: &[],
};

type Row = (Option<i64>, Option<i64>, Option<String>, bool);

/// A file with each of the groups.
fn written(groups: &[Vec<Row>]) -> Vec<u8> {
    static STATIC: Table = TABLE;
    let path = Path::new("mixed.parquet");
    let (columns, mut encoder) = (described(&STATIC, path).unwrap(), Encoder::new(path).unwrap());
    let columns = columns.columns();
    let mut bytes = Vec::new();
    let mut writer = Writer::new(&STATIC, path, &mut bytes).unwrap();
    for rows in groups {
        let (mut texts, mut known) = (Texts::default(), Known::default());
        for (_, _, text, _) in rows {
            let place = known.place(&mut texts, text.clone(), Clone::clone);
            texts.push(place);
        }
        let chunks = vec![
            encoder.differences(&columns[0], &rows.iter().map(|row| row.0).collect()).unwrap(),
            encoder.few(&columns[1], &rows.iter().map(|row| row.1).collect()).unwrap(),
            encoder.texts(&columns[2], &texts).unwrap(),
            encoder.flags(&columns[3], &rows.iter().map(|row| row.3).collect::<Vec<_>>()).unwrap(),
        ];
        writer.group(chunks).unwrap();
    }
    assert_eq!(writer.finish().unwrap(), groups.iter().map(Vec::len).sum::<usize>() as u64);
    bytes
}

fn read(bytes: Vec<u8>) -> Vec<Row> {
    let file = SerializedFileReader::new(Bytes::from(bytes)).unwrap();
    let row = |row: parquet::errors::Result<parquet::record::Row>| {
        let row = row.unwrap();
        (row.get_long(0).ok(), row.get_long(1).ok(), row.get_string(2).ok().cloned(), row.get_bool(3).unwrap())
    };
    file.get_row_iter(None).unwrap().map(row).collect()
}

/// Numbers as they come: in runs, few, near one another, far from one another, the least and the greatest.
fn numbers() -> impl Strategy<Value = Vec<Option<i64>>> {
    let number = prop_oneof![
        3 => Just(None),
        3 => (0..3i64).prop_map(Some),
        3 => (0..1i64 << 40).prop_map(Some),
        1 => any::<i64>().prop_map(Some),
        1 => prop_oneof![Just(i64::MIN), Just(i64::MAX)].prop_map(Some),
    ];
    let runs = prop::collection::vec((number, prop_oneof![1..4usize, 1..40usize, 100..300usize]), 1..30);
    runs.prop_map(|runs| runs.into_iter().flat_map(|(number, count)| std::iter::repeat_n(number, count)).collect())
}

fn rows() -> impl Strategy<Value = Vec<Row>> {
    (numbers(), numbers(), any::<bool>()).prop_map(|(one, other, swings)| {
        let row = |(at, (one, other)): (usize, (Option<i64>, Option<i64>))| {
            (one, other, other.map(|other| format!("é{}", other % 700)), swings && at % 3 == 0)
        };
        one.into_iter().zip(other).enumerate().map(row).collect()
    })
}

proptest! {
    #[test]
    fn what_is_encoded_is_read_again(groups in prop::collection::vec(rows(), 1..4)) {
        prop_assert_eq!(read(written(&groups)), groups.concat());
    }
}

#[test]
fn many_different_values_have_no_dictionary() {
    let number = |at: i64| (Some(at * at), Some(at * 7), Some(format!("{at}")), true);
    for count in [1, 2, 129, 4096, 4097, 9000] {
        let rows: Vec<Row> = (0..count).map(number).collect();
        let bytes = written(std::slice::from_ref(&rows));
        let file = SerializedFileReader::new(Bytes::from(bytes.clone())).unwrap();
        let has = |at: usize| file.metadata().row_group(0).column(at).dictionary_page_offset().is_some();
        assert_eq!([0, 1, 2, 3].map(has), [false, count <= MOST_IN_DICTIONARY as i64, true, false], "{count}");
        assert_eq!(read(bytes), rows);
    }
}

#[test]
fn the_end_of_the_file_tells_the_least_the_greatest_and_nulls() {
    let rows = vec![(Some(-3), None, None, false), (None, None, None, true), (Some(9), None, None, true)];
    let file = SerializedFileReader::new(Bytes::from(written(&[rows]))).unwrap();
    let column = |at: usize| file.metadata().row_group(0).column(at).statistics().unwrap().clone();
    assert_eq!((column(0).min_bytes_opt(), column(0).null_count_opt()), (Some(&(-3i64).to_le_bytes()[..]), Some(1)));
    assert_eq!(column(0).max_bytes_opt(), Some(&9i64.to_le_bytes()[..]));
    assert_eq!((column(1).min_bytes_opt(), column(1).null_count_opt()), (None, Some(3)));
    assert_eq!((column(2).min_bytes_opt(), column(2).null_count_opt()), (None, Some(3)));
}

const LISTED: &[Field] = &[
    Field { name: "number", kind: Kind::Number, about: "" },
    Field { name: "real", kind: Kind::Real, about: "" },
    Field { name: "flag", kind: Kind::Flag, about: "" },
    Field { name: "text", kind: Kind::Text, about: "" },
];
static ELEMENTS: Table = Table { name: "elements", about: "an element", fields: LISTED, lists: &[] };
static WITH_LISTS: Table = Table { name: "with_lists", about: "a row", fields: LISTED, lists: &[&ELEMENTS] };

type Element = (Option<i64>, Option<f64>, Option<bool>, Option<String>);

fn values((number, real, flag, text): &Element) -> Vec<Value> {
    let text = text.as_deref();
    vec![
        number.map_or(Value::None, Value::Number),
        real.map_or(Value::None, Value::Real),
        flag.map_or(Value::None, Value::Flag),
        Value::of(text),
    ]
}

fn element(row: &parquet::record::Row) -> Element {
    let text = row.get_string(3).ok().cloned();
    (row.get_long(0).ok(), row.get_double(1).ok(), row.get_bool(2).ok(), text)
}

fn element_of() -> impl Strategy<Value = Element> {
    use prop::option::of;
    (of(-3..9_000i64), of((-3..3i8).prop_map(f64::from)), of(any::<bool>()), of("[ä-ö]{0,2}"))
}

proptest! {
    #[test]
    fn lists_are_read_again(rows in prop::collection::vec((element_of(), prop::collection::vec(element_of(), 0..20)), 1..60)) {
        let mut bytes = Vec::new();
        let mut writer = Writer::new(&WITH_LISTS, Path::new("lists.parquet"), &mut bytes).unwrap();
        for (own, list) in &rows {
            writer.row_with_lists(values(own), vec![list.iter().map(values).collect()]).unwrap();
        }
        prop_assert_eq!(writer.finish().unwrap(), rows.len() as u64);
        let file = SerializedFileReader::new(Bytes::from(bytes)).unwrap();
        let nulls = file.metadata().row_group(0).column(4).statistics().unwrap().null_count_opt();
        let without = |list: &Vec<Element>| if list.is_empty() { 1 } else { list.iter().filter(|one| one.0.is_none()).count() };
        prop_assert_eq!(nulls, Some(rows.iter().map(|(_, list)| without(list) as u64).sum()));
        let read = file.get_row_iter(None).unwrap().map(|row| {
            let row = row.unwrap();
            let list = row.get_list(4).unwrap();
            let elements = list.elements().iter().map(|one| match one {
                parquet::record::Field::Group(one) => element(one),
                other => panic!("{other:?}"),
            });
            (element(&row), elements.collect::<Vec<_>>())
        });
        prop_assert_eq!(read.collect::<Vec<_>>(), rows);
    }
}
