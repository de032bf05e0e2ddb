//! `HeapInspector::Heap`: a snapshot dump and the questions to it, in plain arrays.

use crate::document::Document;
use crate::errors;
use crate::filter::filter;
use crate::input::{self, Input};
use crate::native::{function, method};
use crate::work::{self, Callbacks, Channel};
use heap_inspector::analysis::groups::Estimate;
use heap_inspector::analysis::objects::Number;
use heap_inspector::analysis::{Context, Order, by_stack, generations, groups, hints, strings, summary, untraced};
use heap_inspector::control::Control;
use heap_inspector::diagnostics::WarningKind;
use heap_inspector::gems::App;
use heap_inspector::keys::{Key, KeyValue};
use heap_inspector::record::Flags;
use heap_inspector::report::Report;
use heap_inspector::scan;
use heap_inspector::snapshot::{Index, Snapshot};
use heap_inspector::sums::Sum;
use heap_inspector::threads;
use magnus::value::ReprValue;
use magnus::{
    Class, DataTypeFunctions, Error, IntoValue, Module, Object, RArray, RHash, RModule, RString, Ruby, TypedData,
    Value, typed_data::Obj,
};
use std::ops::Deref;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

/// A snapshot dump for Ruby. Never changes, but that it can be closed, and keeps what is worked out of it.
#[derive(TypedData)]
#[magnus(class = "HeapInspector::Heap", free_immediately, size, frozen_shareable)]
pub(crate) struct Heap {
    /// None when closed.
    snapshot: Mutex<Option<Arc<Kept>>>,
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
        let snapshot = Mutex::new(Some(Arc::new(Kept(Some(snapshot)))));
        let object = ruby.obj_wrap(Heap { snapshot, name, path, accounted: AtomicUsize::new(0) });
        object.freeze();
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
        snapshot.ok_or_else(|| errors::closed(ruby))
    }

    /// Gives the memory back, as soon as no call works with it any more.
    fn close(ruby: &Ruby, this: &Heap) {
        drop(this.snapshot.lock().unwrap_or_else(PoisonError::into_inner).take());
        this.account(ruby, 0);
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
            work(&snapshot, &Control { cancel: Some(&channel.cancel), progress: report, ..Control::default() })
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

    /// `[[kind, line, byte, message], ...]`
    fn warnings(ruby: &Ruby, this: &Heap) -> Result<RArray, Error> {
        let rows = ruby.ary_new();
        let snapshot = this.snapshot(ruby)?;
        for warning in &snapshot.heap().diagnostics().warnings {
            let kind = match warning.kind {
                WarningKind::Lost => "lost",
                WarningKind::Repaired => "repaired",
                WarningKind::Truncated => "truncated",
                WarningKind::Duplicate => "duplicate",
                WarningKind::Partial => "partial",
                WarningKind::Stacks => "stacks",
                _ => "other",
            };
            let (line, byte) = warning.position.map(|place| (place.line, place.byte)).unzip();
            rows.push((ruby.to_symbol(kind), line, byte, text(ruby, &warning.message)))?;
        }
        Ok(rows)
    }

    /// `[rows, rest, total, document]`, a row being `[key, count, memsize, references]`.
    fn groups(
        ruby: &Ruby,
        this: &Heap,
        by: Vec<String>,
        terms: RArray,
        sort: String,
        limit: Option<usize>,
    ) -> Result<RArray, Error> {
        let by = by.iter().map(|name| name.parse()).collect::<heap_inspector::Result<Vec<Key>>>();
        let by = by.map_err(|error| errors::raised(ruby, &error))?;
        let options = groups::Options { by, filter: filter(ruby, terms)?, sort: order(ruby, &sort)?, limit };
        let (found, report, drawing) = this.work(ruby, |snapshot, working| {
            let (heap, context) = (snapshot.heap(), snapshot.context());
            let found = groups::groups(heap, &options, working)?;
            let report = found.report(this.name(), &options.filter, options.sort, &context);
            let drawing = options.by.contains(&Key::Stack).then(|| {
                let sums = heap.sums(options.parts(), options.filter.memsize(), working)?;
                by_stack::report(heap.names(), &sums, &options, this.name(), &context, working)
            });
            Ok((found, hints::after_groups(report, snapshot.source()), drawing.transpose()?))
        })?;
        let parts = grouped(ruby, &found, report)?;
        parts.push(drawing.map(|drawing| document(ruby, drawing)))?;
        Ok(parts)
    }

    /// `[rows, rest, total, document]`, a row being `[number, count, memsize, references]`.
    fn generations(ruby: &Ruby, this: &Heap, terms: RArray, limit: Option<usize>) -> Result<RArray, Error> {
        let filter = filter(ruby, terms)?;
        let (found, report) = this.work(ruby, |snapshot, options| {
            let found = generations::generations(snapshot.heap(), filter.clone(), limit, options)?;
            let report = found.report(this.name(), &filter, &Context::of(snapshot.heap()));
            Ok((found, hints::after_generations(report, snapshot.source())))
        })?;
        let rows = ruby.ary_new();
        for (at, generation) in found.generations.iter().enumerate() {
            work::check_interrupts(ruby, at)?;
            let Sum { count, memsize, references } = generation.sum;
            rows.push((generation.number, count, memsize, references))?;
        }
        let rest = (found.rest_generations, found.rest.count, found.rest.memsize, found.rest.references);
        answer(ruby, rows, rest, found.total, report)
    }

    /// `[rows, rest, total, document]`, a row being `[value, cut, bytesize, count, memsize, wasted, sites, rest_sites]` and the total
    /// `[texts, count, memsize, wasted, strings_with_text, strings_without_text]`.
    fn strings(
        ruby: &Ruby,
        this: &Heap,
        terms: RArray,
        sort: String,
        limit: usize,
        threads: usize,
        progress: Option<Value>,
    ) -> Result<RArray, Error> {
        let (filter, sort) = (filter(ruby, terms)?, order(ruby, &sort)?);
        let (found, report) = this.serve(ruby, progress, |snapshot, control| {
            let options = scan::Options::from(Control { threads, ..*control });
            let (found, context) = strings::read(snapshot.source(), &filter, sort, limit, &options)?;
            let report = found.report(this.name(), &filter, &context);
            Ok((found, report))
        })?;
        let rows = ruby.ary_new();
        for (at, string) in found.duplicates.iter().enumerate() {
            work::check_interrupts(ruby, at)?;
            let sites = ruby.ary_new();
            for (site, count) in &string.sites {
                sites.push((text(ruby, site), *count))?;
            }
            rows.push((
                text(ruby, &string.value),
                string.is_cut,
                string.bytesize,
                string.count,
                string.memsize,
                string.wasted,
                sites,
                string.rest_sites,
            ))?;
        }
        let all = found.duplicate_strings;
        let total = (
            found.duplicate_texts,
            all.count,
            all.memsize,
            found.wasted,
            found.with_text.count,
            found.without_text.count,
        );
        let document = document(ruby, report);
        let parts = ruby.ary_new();
        parts.push(rows)?;
        parts.push(total)?;
        parts.push(document)?;
        Ok(parts)
    }

    /// A Hash of the facts, with `types` and `classes` as from [`Heap::groups`], and the `document`.
    fn summary(ruby: &Ruby, this: &Heap, terms: RArray, limit: usize) -> Result<RHash, Error> {
        let filter = filter(ruby, terms)?;
        let (found, reports) = this.work(ruby, |snapshot, options| {
            let found = summary::summary(snapshot.heap(), &filter, limit, options)?;
            let of = |groups: &groups::Groups| groups.report(this.name(), &filter, Order::Bytes, &found.context);
            let reports = (of(&found.types), of(&found.classes), found.report(this.name()));
            Ok((found, reports))
        })?;
        let (totals, diagnostics) = (&found.context.totals, &found.context.diagnostics);
        let pair = |sum: Sum| (sum.count, sum.memsize);
        let (types, classes, report) = reports;
        let roots = ruby.hash_new();
        for (category, references) in &totals.roots {
            roots.aset(text(ruby, category), *references)?;
        }
        let pages = match &found.pages {
            None => None,
            Some(pages) => {
                let rows = ruby.ary_new();
                for page in pages {
                    rows.push((page.slot_size, page.pages.count, page.pages.live, page.pages.slots))?;
                }
                Some(rows)
            }
        };
        let facts = ruby.hash_new();
        let set = |name: &str, value: Value| facts.aset(ruby.to_symbol(name), value);
        set("object_count", totals.objects.count.into_value_with(ruby))?;
        set("memsize", totals.objects.memsize.into_value_with(ruby))?;
        set("references", totals.objects.references.into_value_with(ruby))?;
        set("traced", pair(totals.traced).into_value_with(ruby))?;
        set("untraced", pair(untraced(totals)).into_value_with(ruby))?;
        set("tracer", pair(totals.tracer).into_value_with(ruby))?;
        set("types", grouped(ruby, &found.types, types)?.as_value())?;
        set("classes", grouped(ruby, &found.classes, classes)?.as_value())?;
        set("pages", pages.into_value_with(ruby))?;
        set("roots", roots.as_value())?;
        set("shapes", totals.shapes.into_value_with(ruby))?;
        set("free_slots", totals.free_slots.into_value_with(ruby))?;
        set("zombies", totals.zombies.into_value_with(ruby))?;
        set("ruby_series", text(ruby, totals.ruby_version.series()).as_value())?;
        set("lines", diagnostics.lines.into_value_with(ruby))?;
        set("lost_lines", diagnostics.lost.into_value_with(ruby))?;
        set("repaired_lines", diagnostics.repaired.into_value_with(ruby))?;
        set("truncated", diagnostics.truncated.into_value_with(ruby))?;
        set("document", document(ruby, report).as_value())?;
        Ok(facts)
    }
}

pub(crate) fn grouped(ruby: &Ruby, found: &groups::Groups, report: Report) -> Result<RArray, Error> {
    let rows = ruby.ary_new_capa(found.groups.len());
    for (at, group) in found.groups.iter().enumerate() {
        work::check_interrupts(ruby, at)?;
        let key = match &group.key[..] {
            [value] => key_value(ruby, value),
            values => {
                let key = ruby.ary_new_capa(values.len());
                for value in values {
                    key.push(key_value(ruby, value))?;
                }
                key.freeze();
                key.as_value()
            }
        };
        let Sum { count, memsize, references } = group.sum;
        let estimate = group.estimate.map(|Estimate { samples, sum }| (samples, sum.count, sum.memsize));
        rows.push((key, count, memsize, references, estimate))?;
    }
    let rest = (found.rest_groups, found.rest.count, found.rest.memsize, found.rest.references);
    answer(ruby, rows, rest, found.total, report)
}

fn answer(ruby: &Ruby, rows: RArray, rest: (u64, u64, u64, u64), total: Sum, report: Report) -> Result<RArray, Error> {
    let parts = ruby.ary_new();
    parts.push(rows)?;
    parts.push(rest)?;
    parts.push((total.count, total.memsize, total.references))?;
    parts.push(document(ruby, report))?;
    Ok(parts)
}

pub(crate) fn document(ruby: &Ruby, report: Report) -> Obj<Document> {
    let document = ruby.obj_wrap(Document(report));
    document.freeze();
    document
}

pub(crate) fn order(ruby: &Ruby, name: &str) -> Result<Order, Error> {
    name.parse().map_err(|error| errors::raised(ruby, &error))
}

pub(crate) fn key_value(ruby: &Ruby, value: &KeyValue) -> Value {
    match value {
        KeyValue::None => ruby.qnil().as_value(),
        KeyValue::Number(number) => number.into_value_with(ruby),
        KeyValue::Flag(flag) => flag.into_value_with(ruby),
        KeyValue::Text(words) => text(ruby, words).as_value(),
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
    class.define_singleton_method("native_load", function!(Heap::load, 9))?;
    class.define_method("object_count", method!(Heap::object_count, 0))?;
    class.define_method("memsize", method!(Heap::memsize, 0))?;
    class.define_method("close", method!(Heap::close, 0))?;
    class.define_method("closed?", method!(|_: &Ruby, heap: &Heap| heap.is_closed(), 0))?;
    class.define_method("truncated?", method!(Heap::is_truncated, 0))?;
    class.define_method("path", method!(Heap::path, 0))?;
    class.define_method("name", method!(|_: &Ruby, heap: &Heap| heap.name().to_owned(), 0))?;
    class.define_private_method("native_warnings", method!(Heap::warnings, 0))?;
    class.define_private_method("native_groups", method!(Heap::groups, 4))?;
    class.define_private_method("native_generations", method!(Heap::generations, 2))?;
    class.define_private_method("native_strings", method!(Heap::strings, 5))?;
    class.define_private_method("native_summary", method!(Heap::summary, 2))?;
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
