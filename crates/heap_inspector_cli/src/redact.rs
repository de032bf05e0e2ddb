//! `redact`: a dump goes in, one without secrets comes out.

use crate::output::Output;
use heap_inspector::human;
use heap_inspector::redact::redact;
use heap_inspector::sink::{Compression, Sink};
use heap_inspector::source::Source;
use heap_inspector::{Error, Result};
use std::ffi::OsStr;
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

/// Has `copy` write what it makes of `dump` into `output`, compressed as its name says. A file gets its name when it is whole.
pub(crate) fn copied<T>(
    dump: &OsStr,
    output: &OsStr,
    out: &mut dyn Write,
    cancel: &Arc<AtomicBool>,
    copy: impl FnOnce(&Source, &mut dyn Write, &str) -> Result<T>,
) -> Result<T> {
    let source = if dump == "-" { Source::stdin() } else { Source::path(dump) }.cancelled_by(Arc::clone(cancel));
    let name = output.to_string_lossy().into_owned();
    let failed = |source: io::Error| Error::File { path: PathBuf::from(output), source };
    if output == "-" {
        let copied = copy(&source, out, "standard output")?;
        out.flush().map_err(failed)?;
        return Ok(copied);
    }
    let mut file = Output::open(Path::new(output), Some(cancel))?;
    let mut sink =
        Sink::new(BufWriter::with_capacity(1 << 18, &mut file), Compression::of_name(&name)).map_err(failed)?;
    let copied = copy(&source, &mut sink, &name)?;
    sink.finish().map_err(failed)?;
    file.finish().map_err(failed)?;
    Ok(copied)
}

/// Redacts `dump` into `output`, and says what was done. A file gets its name when it is whole, so it may be the dump itself.
pub(crate) fn run(dump: &OsStr, output: &OsStr, out: &mut dyn Write, cancel: &Arc<AtomicBool>) -> Result<String> {
    let redacted = copied(dump, output, out, cancel, |source, out, name| redact(source, out, name, Some(cancel)))?;
    let mut told =
        format!("{} values replaced in {} records", human::count(redacted.values), human::count(redacted.records));
    if redacted.lost > 0 {
        told += &format!("; {} lines could not be read and were left out", human::count(redacted.lost));
    }
    if redacted.truncated {
        told += "; the dump ends early";
    }
    Ok(told)
}
