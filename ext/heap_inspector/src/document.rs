//! `HeapInspector::Document`: a finished report, to be rendered.

use crate::errors;
use crate::native::method;
use crate::work::{self, Callbacks, Channel};
use heap_inspector::control::Control;
use heap_inspector::report::Report;
use heap_inspector::view::{Format, TextStyle, render, rendered};
use magnus::value::ReprValue;
use magnus::{Class, DataTypeFunctions, Error, Module, RModule, RString, Ruby, TypedData, Value};
use std::sync::Arc;

/// Reports of fewer rows are rendered at once: a thread costs more.
const SMALL: usize = 1 << 10;
/// Ruby's other threads may run between two pieces of a long text.
const PIECE: usize = 1 << 20;

/// A finished report. Never changes.
#[derive(TypedData)]
#[magnus(class = "HeapInspector::Document", free_immediately, frozen_shareable)]
pub(crate) struct Document(pub(crate) Report);

impl DataTypeFunctions for Document {}

impl Document {
    /// The report in a format of the command line; width and colour matter to text alone. A large one is rendered beside Ruby.
    fn render(ruby: &Ruby, document: &Document, format: String, width: usize, color: bool) -> Result<RString, Error> {
        let format: Format = format.parse().map_err(|error| errors::raised(ruby, &error))?;
        let (report, style) = (&document.0, TextStyle { width, color });
        if report.row_count() < SMALL {
            return Ok(ruby.str_new(&render(report, format, &style)));
        }
        let channel = Arc::new(Channel::default());
        let text = work::run(ruby, &channel, Callbacks::default(), || {
            rendered(report, format, &style, &Control { cancel: Some(&channel.cancel), ..Control::default() })
        })?;
        let text = text.map_err(|error| errors::raised(ruby, &error))?;
        let copy = ruby.str_with_capacity(text.len());
        copy.funcall::<_, _, Value>("force_encoding", (ruby.utf8_encoding(),))?;
        for piece in text.as_bytes().chunks(PIECE) {
            copy.cat(piece);
            ruby.thread_check_ints()?;
        }
        Ok(copy)
    }
}

pub(crate) fn define(ruby: &Ruby, module: RModule) -> Result<(), Error> {
    let class = module.define_class("Document", ruby.class_object())?;
    class.undef_default_alloc_func();
    class.define_method("render", method!(Document::render, 3))?;
    module.funcall::<_, _, Value>("private_constant", (ruby.to_symbol("Document"),))?;
    Ok(())
}
