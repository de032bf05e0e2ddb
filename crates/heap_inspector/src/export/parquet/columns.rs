//! Rows of a table as columns in Parquet's encoding: values, and the levels that tell nulls and lists (Dremel, Melnik et al., VLDB 2010).
//!
//! Rows are gathered until they make a row group, which is then written; so memory is for one. The large tables come as groups that are
//! encoded already. `chunks` encodes both.

use super::chunks::{Chunk, Column, Encoder};
use super::schema::Table;
use crate::Result;
use parquet::data_type::ByteArray;
use parquet::errors::ParquetError;
use parquet::file::properties::{WriterProperties, WriterVersion};
use parquet::file::writer::SerializedFileWriter;
use parquet::schema::parser::parse_message_type;
use parquet::schema::types::SchemaDescriptor;
use std::borrow::Cow;
use std::io::{self, Write};
use std::path::Path;
use std::sync::Arc;

/// A value of a row.
#[derive(Clone, Debug, PartialEq, Default)]
pub enum Value {
    /// Null.
    #[default]
    None,
    /// A number, or a time in microseconds.
    Number(i64),
    /// A number that may be a fraction.
    Real(f64),
    /// Yes or no.
    Flag(bool),
    /// A text; copies of it share it.
    Text(ByteArray),
}

impl Value {
    /// A text. One that is longer than [`LONGEST`] bytes ends in `…`.
    #[must_use]
    pub fn text(text: &str) -> Value {
        Value::Text(ByteArray::from(&*shortened(text)))
    }

    /// The same of a text that may be missing.
    pub(super) fn of(text: Option<&str>) -> Value {
        text.map_or(Value::None, Value::text)
    }

    /// A number; none is greater than what a column holds.
    #[must_use]
    pub fn number(number: u64) -> Value {
        Value::Number(bounded(number))
    }

    /// The bits of an address.
    pub(super) fn address(address: u64) -> Value {
        Value::Number(address.cast_signed())
    }
}

/// Bytes of a text.
pub const LONGEST: usize = 1024;
/// Rows that are written at a time.
pub(super) const GROUP: usize = 1 << 17;

/// A number as a column holds it.
pub(super) fn bounded(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

/// A text as it is written.
pub(super) fn shortened(text: &str) -> Cow<'_, str> {
    if text.len() <= LONGEST {
        return Cow::Borrowed(text);
    }
    let end = (0..=LONGEST).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0);
    Cow::Owned(format!("{}…", &text[..end]))
}

/// Writes one file of a table.
pub(super) struct Writer<'a> {
    file: SerializedFileWriter<Vec<u8>>,
    encoder: Encoder<'a>,
    table: &'static Table,
    columns: Vec<Column>,
    rows: usize,
    written: u64,
    path: &'a Path,
    out: &'a mut dyn Write,
}

impl<'a> Writer<'a> {
    pub(super) fn new(table: &'static Table, path: &'a Path, out: &'a mut dyn Write) -> Result<Writer<'a>> {
        let schema = described(table, path)?.root_schema_ptr();
        let file = SerializedFileWriter::new(Vec::new(), schema, Arc::new(properties())).map_err(failed(path))?;
        let encoder = Encoder::new(path)?;
        Ok(Writer { file, encoder, table, columns: columns(table), rows: 0, written: 0, path, out })
    }

    /// Adds a row of a table without lists.
    pub(super) fn row(&mut self, values: impl IntoIterator<Item = Value>) -> Result<()> {
        self.columns.iter_mut().zip(values).for_each(|(column, value)| column.push(value, true));
        self.ended_row()
    }

    /// Adds a row with its lists, in the order of the table.
    pub(super) fn row_with_lists(&mut self, values: Vec<Value>, lists: Vec<Vec<Vec<Value>>>) -> Result<()> {
        let own = self.table.fields.len();
        self.columns.iter_mut().zip(values).take(own).for_each(|(column, value)| column.push(value, true));
        let mut columns = &mut self.columns[own..];
        for (table, rows) in self.table.lists.iter().zip(lists) {
            let (here, behind) = columns.split_at_mut(table.fields.len());
            if rows.is_empty() {
                here.iter_mut().for_each(Column::push_empty);
            }
            for (at, row) in rows.into_iter().enumerate() {
                here.iter_mut().zip(row).for_each(|(column, value)| column.push(value, at == 0));
            }
            columns = behind;
        }
        self.ended_row()
    }

    fn ended_row(&mut self) -> Result<()> {
        self.rows += 1;
        if self.rows == GROUP { self.flush() } else { Ok(()) }
    }

    fn flush(&mut self) -> Result<()> {
        let full = std::mem::replace(&mut self.columns, columns(self.table));
        self.rows = 0;
        let descriptions = self.file.schema_descr().columns().to_vec();
        let all = descriptions.iter().zip(&full);
        let chunks = all.map(|(description, column)| self.encoder.column(description, column));
        let chunks = chunks.collect::<Result<_>>()?;
        self.group(chunks)
    }

    /// Adds rows that are encoded already, as a group of their own.
    pub(super) fn group(&mut self, chunks: Vec<Chunk>) -> Result<()> {
        let failed = failed(self.path);
        let Some(rows) = chunks.first().map(|chunk| chunk.told.rows_written) else { return Ok(()) };
        let mut group = self.file.next_row_group().map_err(failed)?;
        chunks.into_iter().try_for_each(|Chunk { bytes, told }| group.append_column(&bytes, told)).map_err(failed)?;
        group.close().map_err(failed)?;
        self.written += rows;
        self.drain()
    }

    /// Hands on what the encoder has written so far; it counts the bytes by itself.
    fn drain(&mut self) -> Result<()> {
        let failed = super::super::failed(self.path);
        self.file.flush().map_err(failed)?;
        self.out.write_all(self.file.inner()).map_err(failed)?;
        self.file.inner_mut().clear();
        Ok(())
    }

    /// Writes what is left, and says how many rows there are.
    pub(super) fn finish(mut self) -> Result<u64> {
        if self.rows > 0 {
            self.flush()?;
        }
        self.file.finish().map_err(failed(self.path))?;
        self.drain()?;
        Ok(self.written)
    }
}

/// The table's columns as the crate describes them.
pub(super) fn described(table: &Table, path: &Path) -> Result<SchemaDescriptor> {
    let schema = parse_message_type(&table.message()).map_err(failed(path))?;
    Ok(SchemaDescriptor::new(Arc::new(schema)))
}

/// The columns of a row group to come.
fn columns(table: &Table) -> Vec<Column> {
    let own = table.fields.iter().map(|field| Column::new(field, false));
    own.chain(table.lists.iter().flat_map(|list| list.fields).map(|field| Column::new(field, true))).collect()
}

fn properties() -> WriterProperties {
    WriterProperties::builder()
        .set_created_by(format!("heap_inspector {}", env!("CARGO_PKG_VERSION")))
        .set_writer_version(WriterVersion::PARQUET_1_0)
        .set_offset_index_disabled(true)
        .build()
}

pub(super) fn failed(path: &Path) -> impl Fn(ParquetError) -> crate::Error + Copy + '_ {
    |error| {
        let source = match error {
            ParquetError::External(error) => io::Error::other(error),
            error => io::Error::other(error.to_string()),
        };
        super::super::failed(path)(source)
    }
}
