//! `HeapInspector::Document`: a finished report, to be rendered.

use crate::errors;
use crate::native::method;
use heap_inspector::report::Report;
use heap_inspector::view::{Format, TextStyle, render};
use magnus::value::ReprValue;
use magnus::{Class, DataTypeFunctions, Error, Module, RModule, RString, Ruby, TypedData, Value};

/// A finished report. Never changes.
#[derive(TypedData)]
#[magnus(class = "HeapInspector::Document", free_immediately, frozen_shareable)]
pub(crate) struct Document(pub(crate) Report);

impl DataTypeFunctions for Document {}

impl Document {
    /// The report in a format of the command line; width and colour matter to text alone.
    fn render(ruby: &Ruby, document: &Document, format: String, width: usize, color: bool) -> Result<RString, Error> {
        let format: Format = format.parse().map_err(|error| errors::raised(ruby, &error))?;
        Ok(ruby.str_new(&render(&document.0, format, &TextStyle { width, color })))
    }
}

pub(crate) fn define(ruby: &Ruby, module: RModule) -> Result<(), Error> {
    let class = module.define_class("Document", ruby.class_object())?;
    class.undef_default_alloc_func();
    class.define_method("render", method!(Document::render, 3))?;
    module.funcall::<_, _, Value>("private_constant", (ruby.to_symbol("Document"),))?;
    Ok(())
}
