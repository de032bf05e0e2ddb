//! `HeapInspector::Heap`: a snapshot dump, and the questions to it that need no graph.

use crate::convert;
use crate::document::Document;
use crate::errors;
use crate::filter::filter;
use crate::heap_object::Blocks;
use crate::input::{self, Input};
use crate::native::{function, method};
use crate::texts::Texts;
use crate::work::{self, Callbacks, Channel};
use heap_inspector::analysis::objects::Number;
use heap_inspector::analysis::{Order, by_stack, generations, groups, hints, strings, summary, untraced};
use heap_inspector::control::Control;
use heap_inspector::gems::App;
use heap_inspector::keys::{Key, KeyValue};
use heap_inspector::record::Flags;
use heap_inspector::report::Report;
use heap_inspector::scan;
use heap_inspector::snapshot::{Index, Snapshot};
use heap_inspector::threads;
use magnus::value::ReprValue;
use magnus::{
    Class, DataTypeFunctions, Error, IntoValue, Module, Object, RArray, RClass, RHash, RModule, RString, Ruby,
    TypedData, Value, gc, typed_data::Obj,
};
use serde::Serialize;
use std::ops::Deref;
use std::sync::atomic::{AtomicPtr, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

/// A snapshot dump for Ruby. Never changes, but that it can be closed, and keeps what is worked out of it.
#[derive(TypedData)]
#[magnus(class = "HeapInspector::Heap", free_immediately, mark, size, frozen_shareable)]
pub(crate) struct Heap {
    /// None when closed.
    snapshot: Mutex<Option<Arc<Kept>>>,
    /// The same for [`Heap::open`]; null when closed.
    open: AtomicPtr<Kept>,
    /// What was closed while a reader of another Ractor may have been within [`Heap::open`]: it goes with the heap.
    kept_on: OnceLock<Arc<Kept>>,
    /// What its objects are.
    blocks: Blocks,
    texts: Texts,
    name: String,
    /// The file's path in Ruby's bytes.
    path: Option<Vec<u8>>,
    /// The bytes the GC was told of.
    accounted: AtomicUsize,
}

/// A snapshot dump that is freed on a thread of its own when nobody works with it any more, if it is large: freeing gigabytes takes a
/// second, in which no thread of Ruby's would run.
#[derive(Debug)]
pub(crate) struct Kept(Option<Snapshot>);

/// A smaller one is freed at once.
const LARGE: usize = 4 << 20;

/// How many were freed on threads of their own: for specs.
static FREED_BESIDE: AtomicUsize = AtomicUsize::new(0);

impl Deref for Kept {
    type Target = Snapshot;

    fn deref(&self) -> &Snapshot {
        self.0.as_ref().expect("it goes when it is dropped alone")
    }
}

impl Drop for Kept {
    fn drop(&mut self) {
        // Where the system gives no thread, what was to be done there is dropped here.
        if let Some(snapshot) = self.0.take().filter(|snapshot| snapshot.footprint() >= LARGE) {
            let free = move || {
                drop(snapshot);
                FREED_BESIDE.fetch_add(1, Ordering::Relaxed);
            };
            drop(threads::beside("heap_inspector", free));
        }
    }
}

impl DataTypeFunctions for Heap {
    fn size(&self) -> usize {
        self.accounted.load(Ordering::Relaxed)
    }

    fn mark(&self, marker: &gc::Marker) {
        self.texts.mark(marker);
    }
}

impl Drop for Heap {
    fn drop(&mut self) {
        // Objects are freed by Ruby threads alone.
        if let Ok(ruby) = Ruby::get() {
            self.account(&ruby, 0);
        }
    }
}

impl Heap {
    /// Reads a dump; [`Input::new`] takes the first three.
    #[allow(clippy::too_many_arguments, reason = "Ruby's own method names them")]
    fn load(
        ruby: &Ruby,
        what: Value,
        head: Option<RString>,
        name: RString,
        path: Option<RString>,
        strict: bool,
        threads: usize,
        progress: Option<Value>,
        index: bool,
        app: Vec<String>,
    ) -> Result<Obj<Heap>, Error> {
        let channel = Arc::new(Channel::default());
        let path = path.map(input::bytes);
        let (source, input) = Input::new(ruby, what, head, name)?.source(&channel);
        let report = |read: u64, all: Option<u64>| channel.report(read, all);
        let report = progress.is_some().then_some(&report as &(dyn Fn(u64, Option<u64>) + Sync));
        let name = source.name().to_owned();
        let index = if index { Index::Kept } else { Index::Ignored };
        let app = App::below(app);
        let snapshot = work::run(ruby, &channel, Callbacks { progress, input }, || {
            let control = Control { threads, cancel: Some(&channel.cancel), progress: report };
            let options = scan::Options { strict, control, app: Some(&app) };
            Snapshot::load(source, index, &options)
        })?;
        let snapshot = snapshot.map_err(|error| errors::raised(ruby, &error))?;
        let bytes = snapshot.footprint();
        let blocks = Blocks::new(snapshot.heap().object_count());
        let snapshot = Arc::new(Kept(Some(snapshot)));
        let object = ruby.obj_wrap(Heap {
            open: AtomicPtr::new(Arc::as_ptr(&snapshot).cast_mut()),
            snapshot: Mutex::new(Some(snapshot)),
            kept_on: OnceLock::new(),
            blocks,
            texts: Texts::default(),
            name,
            path,
            accounted: AtomicUsize::new(0),
        });
        object.freeze();
        // Now, while it holds nothing of Ruby's: later Ruby would look into it and find the Arrays of its texts, which are not frozen.
        ruby.class_object().const_get::<_, RClass>("Ractor")?.funcall::<_, _, Value>("make_shareable", (object,))?;
        object.account(ruby, bytes);
        Ok(object)
    }

    /// Tells the GC how much memory the heap has now.
    fn account(&self, ruby: &Ruby, bytes: usize) {
        let before = self.accounted.swap(bytes, Ordering::Relaxed);
        let more = isize::try_from(bytes).unwrap_or(isize::MAX) - isize::try_from(before).unwrap_or(isize::MAX);
        if more != 0 {
            ruby.gc_adjust_memory_usage(more);
        }
    }

    /// Tells the GC what is kept after some work.
    pub(crate) fn settle(&self, ruby: &Ruby, snapshot: &Snapshot) {
        // Another thread may have closed it.
        if !self.is_closed() {
            self.account(ruby, snapshot.footprint());
        }
    }

    /// The snapshot dump.
    pub(crate) fn snapshot(&self, ruby: &Ruby) -> Result<Arc<Kept>, Error> {
        let snapshot = self.snapshot.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let snapshot = snapshot.ok_or_else(|| errors::closed(ruby))?;
        snapshot.heap().whole().map_err(|error| errors::raised(ruby, &error))?;
        Ok(snapshot)
    }

    /// The snapshot dump without a lock, for what reads a number of one object.
    ///
    /// # Safety
    /// Nothing of Ruby's is called before it is let go of: other threads of this Ractor do not run meanwhile, so none closes the heap, and
    /// those of other Ractors leave it where it is when they do.
    #[inline]
    pub(crate) unsafe fn open(&self) -> Option<&Snapshot> {
        // SAFETY: it is null, or what `snapshot` held when it was read; see above, and `close`.
        unsafe { self.open.load(Ordering::Acquire).as_ref() }.map(|kept| &**kept)
    }

    pub(crate) fn blocks(&self) -> &Blocks {
        &self.blocks
    }

    pub(crate) fn texts(&self) -> &Texts {
        &self.texts
    }

    /// Gives the memory back, as soon as no call works with it any more; beside other Ractors, with the heap.
    fn close(ruby: &Ruby, this: &Heap) {
        this.open.store(std::ptr::null_mut(), Ordering::Release);
        let Some(kept) = this.snapshot.lock().unwrap_or_else(PoisonError::into_inner).take() else { return };
        if is_only_ractor(ruby) {
            drop(kept);
            this.account(ruby, 0);
        } else {
            // It was there once to be taken, so nothing is here yet.
            drop(this.kept_on.set(kept));
        }
    }

    fn is_closed(&self) -> bool {
        self.snapshot.lock().unwrap_or_else(PoisonError::into_inner).is_none()
    }

    /// Does the work beside Ruby, and tells the GC what it left in memory.
    pub(crate) fn work<T: Send>(
        &self,
        ruby: &Ruby,
        work: impl FnOnce(&Snapshot, &Control<'_>) -> heap_inspector::Result<T> + Send,
    ) -> Result<T, Error> {
        self.serve(ruby, None, work)
    }

    /// The same of work that reads the dump, whose progress is reported.
    fn serve<T: Send>(
        &self,
        ruby: &Ruby,
        progress: Option<Value>,
        work: impl FnOnce(&Snapshot, &Control<'_>) -> heap_inspector::Result<T> + Send,
    ) -> Result<T, Error> {
        let (channel, snapshot) = (Arc::new(Channel::default()), self.snapshot(ruby)?);
        let report = |read: u64, all: Option<u64>| channel.report(read, all);
        let report = progress.is_some().then_some(&report as &(dyn Fn(u64, Option<u64>) + Sync));
        let done = work::run(ruby, &channel, Callbacks { progress, input: None }, || {
            let done =
                work(&snapshot, &Control { cancel: Some(&channel.cancel), progress: report, ..Control::default() })?;
            snapshot.heap().whole().map(|()| done)
        })?;
        self.settle(ruby, &snapshot);
        done.map_err(|error| errors::raised(ruby, &error))
    }

    fn object_count(ruby: &Ruby, this: &Heap) -> Result<usize, Error> {
        Ok(this.snapshot(ruby)?.heap().object_count())
    }

    fn memsize(ruby: &Ruby, this: &Heap) -> Result<u64, Error> {
        Ok(this.snapshot(ruby)?.heap().memsize())
    }

    fn is_truncated(ruby: &Ruby, this: &Heap) -> Result<bool, Error> {
        Ok(this.snapshot(ruby)?.heap().diagnostics().truncated)
    }

    fn path(ruby: &Ruby, this: &Heap) -> Option<RString> {
        this.path.as_ref().map(|path| ruby.enc_str_new(path, ruby.utf8_encoding()))
    }

    pub(crate) fn name(&self) -> &str {
        &self.name
    }
}

/// Whether no code of another Ractor can run now.
fn is_only_ractor(ruby: &Ruby) -> bool {
    let ractor = ruby.class_object().const_get::<_, RClass>("Ractor");
    ractor.and_then(|ractor| ractor.funcall::<_, _, usize>("count", ())).is_ok_and(|count| count == 1)
}

/// A finished answer: a Hash by its fields' names, with the report of it, which is made when it is printed, as `document`.
pub(crate) fn told<T: Serialize + Send + Sync + 'static>(
    ruby: &Ruby,
    heap: Option<Obj<Heap>>,
    found: T,
    report: impl Fn(&T, &Control<'_>) -> heap_inspector::Result<Report> + Send + Sync + 'static,
) -> Result<RHash, Error> {
    let found = Arc::new(found);
    let kept = Arc::clone(&found);
    told_as(ruby, heap, &*found, move |control| report(&kept, control))
}

/// The same of an answer that Ruby sees in another form than its report is made of.
pub(crate) fn told_as<T: Serialize>(
    ruby: &Ruby,
    heap: Option<Obj<Heap>>,
    seen: &T,
    report: impl Fn(&Control<'_>) -> heap_inspector::Result<Report> + Send + Sync + 'static,
) -> Result<RHash, Error> {
    let answer = convert::fields(ruby, heap, seen)?;
    answer.aset(ruby.to_symbol("document"), Document::later(ruby, report))?;
    Ok(answer)
}

/// What was lost or repaired.
fn warnings(ruby: &Ruby, heap: Obj<Heap>) -> Result<Value, Error> {
    convert::value(ruby, &heap.snapshot(ruby)?.heap().diagnostics().warnings)
}

fn groups(
    ruby: &Ruby,
    heap: Obj<Heap>,
    by: Vec<String>,
    terms: RArray,
    sort: String,
    limit: Option<usize>,
) -> Result<RHash, Error> {
    let options =
        groups::Options { by: keys(ruby, by)?, filter: filter(ruby, terms)?, sort: order(ruby, &sort)?, limit };
    let name = heap.name().to_owned();
    let (found, context, hints) = heap.work(ruby, |snapshot, control| {
        let found = groups::groups(snapshot.heap(), &options, control)?;
        Ok((found, snapshot.context(), hints::after_groups(untold(&name), snapshot.source()).sections))
    })?;
    let drawing = match options.by.contains(&Key::Stack) {
        true => Some((heap.snapshot(ruby)?, options.clone(), name.clone())),
        false => None,
    };
    let answer = told(ruby, None, found, move |found, _| {
        let mut report = found.report(&name, &options.filter, options.sort, &context);
        report.sections.extend_from_slice(&hints);
        Ok(report)
    })?;
    let drawing = drawing.map(|(snapshot, options, name)| {
        Document::later(ruby, move |control| {
            let heap = snapshot.heap();
            let sums = heap.sums(options.parts(), options.filter.memsize(), control)?;
            let stacks = by_stack::by_stack(heap.names(), &sums, &options, control)?;
            Ok(stacks.report(&name, &options.filter, &snapshot.context()))
        })
    });
    answer.aset(ruby.to_symbol("drawing"), drawing)?;
    Ok(answer)
}

/// A report to which hints are added.
fn untold(dump: &str) -> Report {
    Report { verb: "", dump: dump.to_owned(), sections: Vec::new() }
}

fn generations(ruby: &Ruby, heap: Obj<Heap>, terms: RArray, limit: Option<usize>) -> Result<RHash, Error> {
    let (filter, name) = (filter(ruby, terms)?, heap.name().to_owned());
    let (found, context, hints) = heap.work(ruby, |snapshot, control| {
        let found = generations::generations(snapshot.heap(), filter.clone(), limit, control)?;
        Ok((found, snapshot.context(), hints::after_generations(untold(&name), snapshot.source()).sections))
    })?;
    told(ruby, None, found, move |found, _| {
        let mut report = found.report(&name, &filter, &context);
        report.sections.extend_from_slice(&hints);
        Ok(report)
    })
}

fn strings(
    ruby: &Ruby,
    heap: Obj<Heap>,
    terms: RArray,
    sort: String,
    limit: usize,
    threads: usize,
    progress: Option<Value>,
) -> Result<RHash, Error> {
    let (filter, sort, name) = (filter(ruby, terms)?, order(ruby, &sort)?, heap.name().to_owned());
    let (found, context) = heap.serve(ruby, progress, |snapshot, control| {
        let options = scan::Options::from(Control { threads, ..*control });
        strings::read(snapshot.source(), &filter, sort, limit, &options)
    })?;
    told(ruby, None, found, move |found, _| Ok(found.report(&name, &filter, &context)))
}

/// The facts, and of the groups in them the documents, as of [`groups`].
fn summary(ruby: &Ruby, heap: Obj<Heap>, terms: RArray, limit: usize) -> Result<RHash, Error> {
    let (filter, name) = (filter(ruby, terms)?, heap.name().to_owned());
    let found = heap.work(ruby, |snapshot, control| summary::summary(snapshot.heap(), &filter, limit, control))?;
    let found = Arc::new(found);
    let groups = |of: fn(&summary::Summary) -> &groups::Groups| {
        let (found, filter, name) = (Arc::clone(&found), filter.clone(), name.clone());
        Document::later(ruby, move |_| Ok(of(&found).report(&name, &filter, Order::Bytes, &found.context)))
    };
    let (types, classes) = (groups(|found| &found.types), groups(|found| &found.classes));
    let totals = &found.context.totals;
    let (untraced, series) = (untraced(totals), totals.ruby_version.series());
    let answer = convert::fields(ruby, None, &*found)?;
    let kept = Arc::clone(&found);
    answer.aset(ruby.to_symbol("document"), Document::later(ruby, move |_| Ok(kept.report(&name))))?;
    answer.aset(ruby.to_symbol("untraced"), convert::value(ruby, &untraced)?)?;
    answer.aset(ruby.to_symbol("ruby_series"), text(ruby, series))?;
    answer.aset(ruby.to_symbol("types_document"), types)?;
    answer.aset(ruby.to_symbol("classes_document"), classes)?;
    Ok(answer)
}

pub(crate) fn keys(ruby: &Ruby, by: Vec<String>) -> Result<Vec<Key>, Error> {
    let by = by.iter().map(|name| name.parse()).collect::<heap_inspector::Result<Vec<Key>>>();
    by.map_err(|error| errors::raised(ruby, &error))
}

pub(crate) fn order(ruby: &Ruby, name: &str) -> Result<Order, Error> {
    name.parse().map_err(|error| errors::raised(ruby, &error))
}

pub(crate) fn key_value(ruby: &Ruby, value: &KeyValue) -> Value {
    match value {
        KeyValue::None => ruby.qnil().as_value(),
        KeyValue::Number(number) => number.into_value_with(ruby),
        KeyValue::Flag(flag) => flag.into_value_with(ruby),
        KeyValue::Text(words) | KeyValue::NoClass(words) => text(ruby, words).as_value(),
        KeyValue::Stack(stack) => text(ruby, &stack.text).as_value(),
        KeyValue::Absent(absent) => text(ruby, absent.words()).as_value(),
    }
}

pub(crate) fn text(ruby: &Ruby, text: &str) -> RString {
    let text = ruby.str_new(text);
    text.freeze();
    text
}

pub(crate) fn define(ruby: &Ruby, module: RModule, native: RModule) -> Result<(), Error> {
    let class = module.define_class("Heap", ruby.class_object())?;
    class.undef_default_alloc_func();
    native.define_singleton_method("load", function!(Heap::load, 9))?;
    class.define_method("object_count", method!(Heap::object_count, 0))?;
    class.define_method("memsize", method!(Heap::memsize, 0))?;
    class.define_method("close", method!(Heap::close, 0))?;
    class.define_method("closed?", method!(|_: &Ruby, heap: &Heap| heap.is_closed(), 0))?;
    class.define_method("truncated?", method!(Heap::is_truncated, 0))?;
    class.define_method("path", method!(Heap::path, 0))?;
    class.define_method("name", method!(|_: &Ruby, heap: &Heap| heap.name().to_owned(), 0))?;
    native.define_singleton_method("warnings", function!(warnings, 1))?;
    native.define_singleton_method("groups", function!(groups, 5))?;
    native.define_singleton_method("generations", function!(generations, 3))?;
    native.define_singleton_method("strings", function!(strings, 6))?;
    native.define_singleton_method("summary", function!(summary, 3))?;
    native.define_singleton_method("freed_beside", function!(|_: &Ruby| FREED_BESIDE.load(Ordering::Relaxed), 0))?;
    let names = |names: Vec<&str>| {
        let list = ruby.ary_new();
        for name in names {
            list.push(ruby.to_symbol(name))?;
        }
        list.freeze();
        Ok::<RArray, Error>(list)
    };
    class.const_set("KEYS", names(Key::NAMED.iter().map(|(_, name)| *name).collect())?)?;
    class.const_set("NUMBERS", names(Number::NAMED.iter().map(|(_, name)| *name).collect())?)?;
    class.const_set("FLAGS", names(Flags::NAMED.iter().map(|(_, name)| *name).collect())?)
}

/// What Ractors may share must be so for threads.
const _: fn() = || {
    fn shared<T: Send + Sync>() {}
    shared::<Heap>();
    shared::<Document>();
};
