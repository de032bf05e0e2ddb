//! `Heap#export` and `Diff#export`: loaded heaps go in, files come out.

use crate::diff::work;
use crate::errors;
use crate::filter::filter;
use crate::input;
use crate::native::function;
use heap_inspector::export::{FileFormat, Options, export};
use heap_inspector::questions::Existing;
use heap_inspector_cli::output;
use magnus::{Error, Object, RArray, RHash, RModule, RString, Ruby, Symbol, TryConvert};
use std::ffi::OsString;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::PathBuf;
use std::sync::atomic::AtomicBool;

/// The options as Ruby has them, checked there: `format`, `by` or nil, `sites`, `confidential`, `min`.
fn options(ruby: &Ruby, given: RHash, terms: RArray) -> Result<Options, Error> {
    fn read<T: TryConvert>(ruby: &Ruby, given: RHash, name: &str) -> Result<T, Error> {
        given.fetch::<Symbol, T>(ruby.to_symbol(name))
    }
    let raised = |error| errors::raised(ruby, &error);
    let frames: Option<String> = read(ruby, given, "by")?;
    let format: String = read(ruby, given, "format")?;
    let tables: Option<String> = read(ruby, given, "tables")?;
    Ok(Options {
        format: if format == "summary" { FileFormat::Summary } else { format.parse().map_err(raised)? },
        tables: tables.map(|names| names.parse()).transpose().map_err(raised)?,
        frames: frames.map(|name| name.parse()).transpose().map_err(raised)?,
        sites: read(ruby, given, "sites")?,
        confidential: read(ruby, given, "confidential")?,
        filter: filter(ruby, terms)?,
        min: read(ruby, given, "min")?,
    })
}

/// Writes a file for each heap; the files' paths.
fn export_heaps(ruby: &Ruby, heaps: RArray, path: RString, given: RHash, terms: RArray) -> Result<RArray, Error> {
    let options = options(ruby, given, terms)?;
    let path = PathBuf::from(OsString::from_vec(input::bytes(path)));
    let never = AtomicBool::new(false);
    let (_, written) = work(ruby, heaps, |several, control| {
        let cancel = control.cancel.unwrap_or(&never);
        export(
            &several.named(),
            &options,
            &path,
            &|path, fill| output::save(path, Existing::Kept, cancel, fill),
            control,
        )
    })?;
    let paths = written.iter().map(|file| ruby.enc_str_new(file.path.as_os_str().as_bytes(), ruby.utf8_encoding()));
    Ok(ruby.ary_from_iter(paths))
}

pub(crate) fn define(native: RModule) -> Result<(), Error> {
    native.define_singleton_method("export", function!(export_heaps, 4))
}
