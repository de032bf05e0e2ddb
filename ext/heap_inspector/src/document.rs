//! `HeapInspector::Document`: the report of an answer, to be rendered.

use crate::errors;
use crate::native::method;
use crate::work::{self, Callbacks, Channel};
use heap_inspector::control::Control;
use heap_inspector::report::Report;
use heap_inspector::snapshot::Once;
use heap_inspector::view::{Format, TextStyle, render, rendered};
use magnus::typed_data::Obj;
use magnus::value::ReprValue;
use magnus::{Class, DataTypeFunctions, Error, Module, RModule, RString, Ruby, TypedData, Value};
use std::sync::{Arc, Mutex, PoisonError};

/// Reports of fewer rows are rendered at once: a thread costs more.
const SMALL: usize = 1 << 10;
/// Ruby's other threads may run between two pieces of a long text.
const PIECE: usize = 1 << 20;

/// How a report is made of an answer.
type Make = Arc<dyn Fn(&Control<'_>) -> heap_inspector::Result<Report> + Send + Sync>;

/// The report of a finished answer, made when it is first printed. Never changes to who looks at it.
#[derive(TypedData)]
#[magnus(class = "HeapInspector::Document", free_immediately, frozen_shareable)]
pub(crate) struct Document {
    report: Once<Report>,
    /// Goes with the answer that it holds, when the report is made.
    make: Mutex<Option<Make>>,
}

impl DataTypeFunctions for Document {}

impl Document {
    /// A document for Ruby, of which nothing is made yet.
    pub(crate) fn later(
        ruby: &Ruby,
        make: impl Fn(&Control<'_>) -> heap_inspector::Result<Report> + Send + Sync + 'static,
    ) -> Obj<Document> {
        Document::wrapped(ruby, Document { report: Once::default(), make: Mutex::new(Some(Arc::new(make))) })
    }

    /// A document of a report that is there.
    pub(crate) fn made(ruby: &Ruby, report: Report) -> Obj<Document> {
        Document::wrapped(ruby, Document { report: Once::of(report), make: Mutex::new(None) })
    }

    fn wrapped(ruby: &Ruby, document: Document) -> Obj<Document> {
        let document = ruby.obj_wrap(document);
        document.freeze();
        document
    }

    /// The report, whoever makes it.
    fn report(&self, control: &Control<'_>) -> heap_inspector::Result<&Report> {
        let lock = || self.make.lock().unwrap_or_else(PoisonError::into_inner);
        let report = self.report.get(control, || match lock().clone() {
            Some(make) => make(control),
            None => Err(heap_inspector::Error::Interrupted), // it goes behind the report alone
        })?;
        drop(lock().take());
        Ok(report)
    }

    /// The report in a format of the command line; width and colour matter to text alone. What is large, or not yet made, is made beside
    /// Ruby.
    fn render(ruby: &Ruby, document: &Document, format: String, width: usize, color: bool) -> Result<RString, Error> {
        let format: Format = format.parse().map_err(|error| errors::raised(ruby, &error))?;
        let style = TextStyle { width, color };
        if let Some(report) = document.report.peek().filter(|report| report.row_count() < SMALL) {
            return Ok(ruby.str_new(&render(report, format, &style)));
        }
        let channel = Arc::new(Channel::default());
        let text = work::run(ruby, &channel, Callbacks::default(), || {
            let control = Control { cancel: Some(&channel.cancel), ..Control::default() };
            rendered(document.report(&control)?, format, &style, &control)
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

    /// Whether the report is made already: for specs.
    fn is_made(_ruby: &Ruby, document: &Document) -> bool {
        document.report.peek().is_some()
    }
}

pub(crate) fn define(ruby: &Ruby, module: RModule) -> Result<(), Error> {
    let class = module.define_class("Document", ruby.class_object())?;
    class.undef_default_alloc_func();
    class.define_method("render", method!(Document::render, 3))?;
    class.define_method("made?", method!(Document::is_made, 0))?;
    module.funcall::<_, _, Value>("private_constant", (ruby.to_symbol("Document"),))?;
    Ok(())
}
