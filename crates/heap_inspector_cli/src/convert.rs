//! `convert`: a heap file goes in, lines come out.

use crate::redact::copied;
use heap_inspector::Result;
use heap_inspector::human;
use heap_inspector::source::convert;
use std::ffi::OsStr;
use std::io::Write;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

/// Writes the lines of `dump` into `output`, and says what was done.
pub(crate) fn run(dump: &OsStr, output: &OsStr, out: &mut dyn Write, cancel: &Arc<AtomicBool>) -> Result<String> {
    let converted = copied(dump, output, out, cancel, |source, out, name| convert(source, out, name, Some(cancel)))?;
    let mut told = format!("{} records, {} bytes", human::count(converted.records), human::count(converted.bytes));
    if let Some(damage) = converted.damage {
        told += &format!("; {damage}");
    }
    Ok(told)
}
