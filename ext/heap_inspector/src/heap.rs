//! `HeapInspector::Heap`: a loaded dump and the questions to it, in plain arrays.

use crate::document::Document;
use crate::errors;
use crate::filter::filter;
use crate::input::{self, Input};
use crate::work::{self, Desk, Servants};
use heap_inspector::analysis::{Context, Sort, generations, groups, strings, summary, untraced};
use heap_inspector::heap::Heap as Loaded;
use heap_inspector::keys::{Key, KeyValue};
use heap_inspector::record::Traits;
use heap_inspector::report::Report;
use heap_inspector::scan::{Options, WarningKind};
use heap_inspector::source::Source;
use heap_inspector::survey::Sum;
use magnus::value::ReprValue;
use magnus::{
    Class, DataTypeFunctions, Error, IntoValue, Module, Object, RArray, RHash, RModule, RString, Ruby, TypedData,
    Value, function, method, typed_data::Obj,
};
use std::sync::Arc;

/// A loaded dump. Never changes.
#[derive(TypedData)]
#[magnus(class = "HeapInspector::Heap", free_immediately, size, frozen_shareable)]
struct Heap {
    heap: Loaded,
    /// To read the dump once more.
    source: Source,
    /// The file's path in Ruby's bytes.
    path: Option<Vec<u8>>,
    /// The bytes the GC was told of.
    accounted: usize,
}

impl DataTypeFunctions for Heap {
    fn size(&self) -> usize {
        self.accounted
    }
}

impl Drop for Heap {
    fn drop(&mut self) {
        // Objects are freed by Ruby threads alone.
        if let Ok(ruby) = Ruby::get() {
            ruby.gc_adjust_memory_usage(-isize::try_from(self.accounted).unwrap_or(isize::MAX));
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
    ) -> Result<Obj<Heap>, Error> {
        let desk = Arc::new(Desk::default());
        let path = path.map(input::bytes);
        let (source, input) = Input::new(ruby, what, head, name)?.source(&desk);
        let report = |read: u64, all: Option<u64>| desk.report(read, all);
        let report = progress.is_some().then_some(&report as &(dyn Fn(u64, Option<u64>) + Sync));
        let heap = work::run(ruby, &desk, Servants { progress, input }, || {
            Loaded::load(&source, &Options { threads, strict, cancel: Some(&desk.cancel), progress: report })
        })?;
        let heap = heap.map_err(|error| errors::raised(ruby, &error))?;
        let accounted = heap.footprint();
        ruby.gc_adjust_memory_usage(isize::try_from(accounted).unwrap_or(isize::MAX));
        let object = ruby.obj_wrap(Heap { heap, source, path, accounted });
        object.freeze();
        Ok(object)
    }

    fn object_count(&self) -> usize {
        self.heap.object_count()
    }

    fn memsize(&self) -> u64 {
        self.heap.memsize()
    }

    fn is_truncated(&self) -> bool {
        self.heap.intake().truncated
    }

    fn path(ruby: &Ruby, this: &Heap) -> Option<RString> {
        this.path.as_ref().map(|path| ruby.enc_str_new(path, ruby.utf8_encoding()))
    }

    fn name(&self) -> &str {
        self.source.name()
    }

    /// `[[kind, line, byte, message], ...]`
    fn warnings(ruby: &Ruby, this: &Heap) -> Result<RArray, Error> {
        let rows = ruby.ary_new();
        for warning in &this.heap.intake().warnings {
            let kind = match warning.kind {
                WarningKind::Lost => "lost",
                WarningKind::Repaired => "repaired",
                WarningKind::Truncated => "truncated",
                WarningKind::Duplicate => "duplicate",
                _ => "other",
            };
            let (line, byte) = warning.position.map(|place| (place.line, place.byte)).unzip();
            rows.push((ruby.to_symbol(kind), line, byte, text(ruby, &warning.message)))?;
        }
        Ok(rows)
    }

    /// Does the work beside Ruby.
    fn ask<T: Send>(&self, ruby: &Ruby, work: impl FnOnce(&Loaded) -> T + Send) -> Result<T, Error> {
        work::run(ruby, &Arc::new(Desk::default()), Servants::default(), || work(&self.heap))
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
        let found = this.ask(ruby, |heap| groups::groups(heap, &options))?;
        let report = found.report(this.name(), &options.filter, options.sort, &Context::of(&this.heap));
        grouped(ruby, &found, report)
    }

    /// `[rows, rest, total, document]`, a row being `[number, count, memsize, references]`.
    fn generations(ruby: &Ruby, this: &Heap, terms: RArray, limit: Option<usize>) -> Result<RArray, Error> {
        let filter = filter(ruby, terms)?;
        let found = this.ask(ruby, |heap| generations::generations(heap, filter.clone(), limit))?;
        let rows = ruby.ary_new();
        for generation in &found.generations {
            let Sum { count, memsize, references } = generation.sum;
            rows.push((generation.number, count, memsize, references))?;
        }
        let report = found.report(this.name(), &filter, &Context::of(&this.heap));
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
    ) -> Result<RArray, Error> {
        let (filter, sort) = (filter(ruby, terms)?, order(ruby, &sort)?);
        let desk = Arc::new(Desk::default());
        let found = work::run(ruby, &desk, Servants::default(), || {
            let options = Options { threads, cancel: Some(&desk.cancel), ..Options::default() };
            strings::read(&this.source, &filter, sort, limit, &options)
        })?;
        let (found, context) = found.map_err(|error| errors::raised(ruby, &error))?;
        let rows = ruby.ary_new();
        for string in &found.duplicates {
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
        let document = document(ruby, found.report(this.name(), &filter, &context));
        let parts = ruby.ary_new();
        parts.push(rows)?;
        parts.push(total)?;
        parts.push(document)?;
        Ok(parts)
    }

    /// A Hash of the facts, with `types` and `classes` as from [`Heap::groups`], and the `document`.
    fn summary(ruby: &Ruby, this: &Heap, terms: RArray, limit: usize) -> Result<RHash, Error> {
        let filter = filter(ruby, terms)?;
        let found = this.ask(ruby, |heap| summary::summary(heap, &filter, limit))?;
        let (totals, intake) = (&found.context.totals, &found.context.intake);
        let pair = |sum: Sum| (sum.count, sum.memsize);
        let groups = |groups: &groups::Groups| {
            let report = groups.report(this.name(), &filter, Sort::Bytes, &found.context);
            grouped(ruby, groups, report)
        };
        let roots = ruby.hash_new();
        for (category, references) in &totals.roots {
            roots.aset(text(ruby, category), *references)?;
        }
        let pages = match &found.pages {
            None => None,
            Some(pages) => {
                let rows = ruby.ary_new();
                for page in pages {
                    rows.push((page.slot_size, page.pages, page.live, page.slots))?;
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
        set("types", groups(&found.types)?.as_value())?;
        set("classes", groups(&found.classes)?.as_value())?;
        set("pages", pages.into_value_with(ruby))?;
        set("roots", roots.as_value())?;
        set("shapes", totals.shapes.into_value_with(ruby))?;
        set("free_slots", totals.free_slots.into_value_with(ruby))?;
        set("zombies", totals.zombies.into_value_with(ruby))?;
        set("ruby_series", text(ruby, totals.evidence.series()).as_value())?;
        set("lines", intake.lines.into_value_with(ruby))?;
        set("lost_lines", intake.lost.into_value_with(ruby))?;
        set("repaired_lines", intake.repaired.into_value_with(ruby))?;
        set("truncated", intake.truncated.into_value_with(ruby))?;
        set("document", document(ruby, found.report(this.name())).as_value())?;
        Ok(facts)
    }
}

fn grouped(ruby: &Ruby, found: &groups::Groups, report: Report) -> Result<RArray, Error> {
    let rows = ruby.ary_new_capa(found.groups.len());
    for group in &found.groups {
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
        rows.push((key, count, memsize, references))?;
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

fn document(ruby: &Ruby, report: Report) -> Obj<Document> {
    let document = ruby.obj_wrap(Document(report));
    document.freeze();
    document
}

fn order(ruby: &Ruby, name: &str) -> Result<Sort, Error> {
    name.parse().map_err(|error| errors::raised(ruby, &error))
}

fn key_value(ruby: &Ruby, value: &KeyValue) -> Value {
    match value {
        KeyValue::None => ruby.qnil().as_value(),
        KeyValue::Number(number) => number.into_value_with(ruby),
        KeyValue::Flag(flag) => flag.into_value_with(ruby),
        KeyValue::Text(words) => text(ruby, words).as_value(),
    }
}

fn text(ruby: &Ruby, text: &str) -> RString {
    let text = ruby.str_new(text);
    text.freeze();
    text
}

pub(crate) fn define(ruby: &Ruby, module: RModule) -> Result<(), Error> {
    let class = module.define_class("Heap", ruby.class_object())?;
    class.undef_default_alloc_func();
    class.define_singleton_method("native_load", function!(Heap::load, 7))?;
    class.define_method("object_count", method!(Heap::object_count, 0))?;
    class.define_method("memsize", method!(Heap::memsize, 0))?;
    class.define_method("truncated?", method!(Heap::is_truncated, 0))?;
    class.define_method("path", method!(Heap::path, 0))?;
    class.define_method("name", method!(Heap::name, 0))?;
    class.define_private_method("native_warnings", method!(Heap::warnings, 0))?;
    class.define_private_method("native_groups", method!(Heap::groups, 4))?;
    class.define_private_method("native_generations", method!(Heap::generations, 2))?;
    class.define_private_method("native_strings", method!(Heap::strings, 4))?;
    class.define_private_method("native_summary", method!(Heap::summary, 2))?;
    let names = |names: Vec<&str>| {
        let list = ruby.ary_new();
        for name in names {
            list.push(ruby.to_symbol(name))?;
        }
        list.freeze();
        Ok::<RArray, Error>(list)
    };
    class.const_set("KEYS", names(Key::NAMED.iter().map(|(_, name)| *name).collect())?)?;
    class.const_set("TRAITS", names(Traits::NAMED.iter().map(|(_, name)| *name).collect())?)
}

/// What Ractors may share must be so for threads.
const _: fn() = || {
    fn shared<T: Send + Sync>() {}
    shared::<Heap>();
    shared::<Document>();
};
