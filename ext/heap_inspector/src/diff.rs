//! What `Diff`, its `Growths` and `Suspects` are made of: the questions to several heaps of one process.
//!
//! Heaps arrive as an Array, the oldest first, and with them what [`compare`] found out about them.

use crate::errors;
use crate::filter::filter;
use crate::graph::{Facts, keys, row, rows, step};
use crate::heap::{Heap, Kept, document, grouped, text};
use crate::input;
use crate::native::function;
use crate::objects::{self, pack};
use crate::work::{self, Callbacks, Channel};
use heap_inspector::analysis::diff::{self, By, Diff, Dump};
use heap_inspector::analysis::path_growth::{ByPath, Pathed};
use heap_inspector::analysis::suspects::{self, Exceptions, Known, Suspect};
use heap_inspector::analysis::verdicts::{Fault, Judge, Judged, Rules};
use heap_inspector::analysis::verify::{Leak, verify};
use heap_inspector::analysis::work::Rate;
use heap_inspector::analysis::{Context, holders};
use heap_inspector::control::Control;
use heap_inspector::graph::dominators::Tree;
use heap_inspector::heap::NodeId;
use heap_inspector::keys::Key;
use heap_inspector::page::{self, Page};
use heap_inspector::report::{Level, Report, Section};
use heap_inspector::select::Filter;
use heap_inspector::snapshot::{Named, Snapshot};
use magnus::typed_data::Obj;
use magnus::value::ReprValue;
use magnus::{
    Class, DataTypeFunctions, Error, Module, Object, RArray, RHash, RModule, RString, Ruby, TryConvert, TypedData,
    Value,
};
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::sync::Arc;

/// What was found out about several heaps. Never changes.
#[derive(TypedData)]
#[magnus(class = "HeapInspector::Matches", free_immediately, size, frozen_shareable)]
struct Matches(diff::Matches);

impl DataTypeFunctions for Matches {
    fn size(&self) -> usize {
        self.0.footprint()
    }
}

/// Heaps that are compared, the oldest first.
pub(crate) struct Several {
    snapshots: Vec<Arc<Kept>>,
    names: Vec<String>,
}

impl Several {
    fn dumps<'a>(&'a self, trees: &[&'a Tree]) -> Vec<Dump<'a>> {
        let named = self.snapshots.iter().zip(&self.names).enumerate();
        named.map(|(at, (snapshot, name))| Dump { name, heap: snapshot.heap(), tree: trees.get(at).copied() }).collect()
    }

    /// Each with its name.
    pub(crate) fn named(&self) -> Vec<Named<'_>> {
        self.names.iter().zip(&self.snapshots).map(|(name, snapshot)| Named { name, snapshot }).collect()
    }

    /// Each with its graph.
    fn pathed(&self, control: &Control<'_>) -> heap_inspector::Result<Vec<Pathed<'_>>> {
        self.named().into_iter().map(|named| named.pathed(control)).collect()
    }

    fn last(&self) -> heap_inspector::Result<&Snapshot> {
        self.snapshots.last().map(|kept| &***kept).ok_or(heap_inspector::Error::Interrupted)
    }
}

/// Does work on the heaps beside Ruby, as [`Heap::work`] does on one.
pub(crate) fn work<T: Send>(
    ruby: &Ruby,
    heaps: RArray,
    work: impl FnOnce(&Several, &Control<'_>) -> heap_inspector::Result<T> + Send,
) -> Result<T, Error> {
    let objects = || heaps.into_iter().map(Obj::<Heap>::try_convert).collect::<Result<Vec<_>, Error>>();
    let mut several = Several { snapshots: Vec::new(), names: Vec::new() };
    for heap in objects()? {
        several.snapshots.push(heap.snapshot(ruby)?);
        several.names.push(heap.name().to_owned());
    }
    let channel = Arc::new(Channel::default());
    let done = work::run(ruby, &channel, Callbacks::default(), || {
        work(&several, &Control { cancel: Some(&channel.cancel), ..Control::default() })
    })?;
    for (heap, snapshot) in objects()?.iter().zip(&several.snapshots) {
        heap.settle(ruby, snapshot);
    }
    done.map_err(|error| errors::raised(ruby, &error))
}

/// What the keys and rows of the answer of `diff` are where nothing else is asked for.
const BY: [Key; 2] = [Key::Class, Key::Location];
const LINES: usize = 20;

/// Compares the heaps: `matches`, the facts, `warnings`, `document`.
fn compare(ruby: &Ruby, heaps: RArray) -> Result<RHash, Error> {
    let (matches, sums, is_one_process, report) = work(ruby, heaps, |several, control| {
        let diff = Diff::new(&several.dumps(&[]), control)?;
        let sums = [diff.sum(diff.new_objects()), diff.gone(), diff.sum(diff.retained_objects())];
        let report = diff::report(&diff, By::Keys(&BY), &Filter::default(), LINES, control)?;
        Ok((diff.matches(), sums, diff.is_one_process(), report))
    })?;
    let matches = ruby.obj_wrap(Matches(matches));
    matches.freeze();
    let [new, gone, retained] = sums;
    Facts::new(ruby)
        .set("matches", matches)?
        .set("new_count", new.count)?
        .set("new_memsize", new.memsize)?
        .set("gone_count", gone.count)?
        .set("gone_memsize", gone.memsize)?
        .set("retained_count", retained.count)?
        .set("retained_memsize", retained.memsize)?
        .set("one_process", is_one_process)?
        .set("warnings", warnings(ruby, &report)?)?
        .set("document", document(ruby, report))
        .map(|facts| facts.1)
}

fn warnings(ruby: &Ruby, report: &Report) -> Result<RArray, Error> {
    let warnings = ruby.ary_new();
    for section in &report.sections {
        match section {
            Section::Note(note) if note.level == Level::Warning => warnings.push(text(ruby, &note.text))?,
            _ => {}
        }
    }
    warnings.freeze();
    Ok(warnings)
}

/// The objects that became what is said: of the first heap the `gone`, of the last one the `new`, `kept` and `retained`.
fn objects_that(ruby: &Ruby, heaps: RArray, matches: &Matches, became: String) -> Result<RString, Error> {
    let ids: Vec<NodeId> = work(ruby, heaps, |several, options| {
        let diff = Diff::of(&several.dumps(&[]), &matches.0);
        Ok(match became.as_str() {
            "new" => diff.new_objects().collect(),
            "retained" => diff.retained_objects().collect(),
            "gone" => diff.gone_objects(options)?,
            _ => diff.heap().nodes().filter(|id| !diff.is_new(*id)).collect(),
        })
    })?;
    Ok(pack(ruby, &ids))
}

/// What came and stayed, in groups, as from `Heap#groups`.
fn leaks(
    ruby: &Ruby,
    heaps: RArray,
    matches: &Matches,
    by: Vec<String>,
    terms: RArray,
    limit: Option<usize>,
) -> Result<RArray, Error> {
    let (by, filter) = (keys(ruby, by)?, filter(ruby, terms)?);
    let (found, report) = work(ruby, heaps, |several, options| {
        let diff = Diff::of(&several.dumps(&[]), &matches.0);
        let found = diff::stayed(&diff, &by, &filter, limit, options)?;
        Ok((found, diff::stayed_report(&diff, &by, &filter, limit.unwrap_or(usize::MAX), options)?))
    })?;
    grouped(ruby, &found, report)
}

/// The trees of the heaps, where what they retain is asked for.
fn trees<'a>(several: &'a Several, retained: bool, control: &Control<'_>) -> heap_inspector::Result<Vec<&'a Tree>> {
    let heaps = several.snapshots.iter().filter(|_| retained);
    heaps.map(|snapshot| snapshot.tree(control)).collect()
}

/// `[unit, work, count, memsize]`, or nil.
fn rate(ruby: &Ruby, rate: Option<&Rate>) -> Result<Option<RArray>, Error> {
    let row = |rate: &Rate| row!(ruby, text(ruby, &rate.unit), rate.work, rate.count, rate.memsize);
    rate.map(row).transpose()
}

/// `rows`, `rest` and `document`; a row is `[key, counts, memsizes, retained_memsizes, trend, rate]`.
fn growth(
    ruby: &Ruby,
    heaps: RArray,
    matches: &Matches,
    by: Vec<String>,
    terms: RArray,
    limit: Option<usize>,
    retained: bool,
) -> Result<RHash, Error> {
    let (by, filter) = (keys(ruby, by)?, filter(ruby, terms)?);
    let limit = limit.unwrap_or(usize::MAX);
    let (mut all, report) = work(ruby, heaps, |several, control| {
        let diff = Diff::of(&several.dumps(&trees(several, retained, control)?), &matches.0);
        let all = diff::growth(&diff, &by, &filter, retained, control)?;
        let report = diff::growth_report(&diff, &all, &by, &filter, limit);
        Ok((all, report))
    })?;
    grown(ruby, &mut all, limit, report)
}

/// The same by path; the keys are texts.
fn path_growth(
    ruby: &Ruby,
    heaps: RArray,
    matches: &Matches,
    terms: RArray,
    limit: Option<usize>,
) -> Result<RHash, Error> {
    let filter = filter(ruby, terms)?;
    let limit = limit.unwrap_or(usize::MAX);
    let (mut all, report) = work(ruby, heaps, |several, control| {
        let diff = Diff::of(&several.dumps(&[]), &matches.0);
        let all = ByPath::new(&several.pathed(control)?, &filter, control)?.growth();
        let report = diff::path_report(&diff, &all, &filter, limit);
        Ok((all, report))
    })?;
    grown(ruby, &mut all, limit, report)
}

fn grown(ruby: &Ruby, all: &mut Vec<diff::Growth>, limit: usize, report: Report) -> Result<RHash, Error> {
    let cut = all.split_off(limit.min(all.len()));
    let row = |growth: &diff::Growth| {
        let counts: Vec<u64> = growth.sums.iter().map(|sum| sum.count).collect();
        let memsizes: Vec<u64> = growth.sums.iter().map(|sum| sum.memsize).collect();
        let key = objects::key(ruby, &growth.key)?;
        row!(
            ruby,
            key,
            counts,
            memsizes,
            growth.retained_memsizes.clone(),
            ruby.to_symbol(growth.trend.name()),
            rate(ruby, growth.rate.as_ref())?
        )
    };
    let deltas = cut.iter().map(|growth| (growth.count_delta(), growth.memsize_delta()));
    let rest = deltas.fold((0, 0), |sum, delta| (sum.0 + delta.0, sum.1 + delta.1));
    Facts::new(ruby)
        .set("rows", rows(ruby, &*all, row)?)?
        .set("rest", (cut.len(), rest.0, rest.1))?
        .set("document", document(ruby, report))
        .map(|facts| facts.1)
}

/// The same by holder; a row is `[object, holder, label, count, memsizes, retained_memsizes, trend]`.
fn holder_growth(
    ruby: &Ruby,
    heaps: RArray,
    matches: &Matches,
    terms: RArray,
    limit: Option<usize>,
    retained: bool,
) -> Result<RHash, Error> {
    let filter = filter(ruby, terms)?;
    let limit = limit.unwrap_or(usize::MAX);
    let (found, report) = work(ruby, heaps, |several, control| {
        let diff = Diff::of(&several.dumps(&trees(several, retained, control)?), &matches.0);
        let last = several.last()?;
        let (tree, shortest_paths) = (last.tree(control)?, last.shortest_paths(control)?);
        let found = holders::growth(&diff, tree, shortest_paths, last.source(), &filter, limit, control)?;
        let report = diff::holder_report(&diff, &found, &filter);
        Ok((found, report))
    })?;
    let row = |growth: &diff::HolderGrowth| {
        let (holder, label) = (text(ruby, &growth.holder), text(ruby, &growth.label));
        let (id, memsizes) = (growth.id.map(|id| id.0), growth.memsizes.clone());
        let (retained, trend) = (growth.retained_memsizes.clone(), ruby.to_symbol(growth.trend.name()));
        row!(ruby, id, holder, label, growth.count, memsizes, retained, trend)
    };
    Facts::new(ruby)
        .set("rows", rows(ruby, &found.holders, row)?)?
        .set("rest", (found.rest_holders, found.rest.count, found.rest.memsize))?
        .set("document", document(ruby, report))
        .map(|facts| facts.1)
}

/// The page of the heaps, as HTML; `confidential` is nil for what the dumps say.
fn page(ruby: &Ruby, heaps: RArray, confidential: Option<bool>) -> Result<RString, Error> {
    let html = work(ruby, heaps, |several, control| {
        Page::new(&several.named(), None, page::Options { confidential }, &(*control).into()).map(|page| page.html())
    })?;
    Ok(ruby.str_new(&html))
}

/// The suspects of the heaps, `matches` being nil for one heap; `except`, `rules` and `known` are each a path, an Array of lines or nil.
/// `[rows, document]`, a row being `[headline, fingerprint, normalised_path, places, freed_memsize, kept_count, known, verdicts,
/// faulty_references, object, holder, holder_object, label, class, count, memsize, steps, location, app_location, mostly, since, known_leak,
/// rate, path, confidence, reasons, next]`.
fn suspects_of(
    ruby: &Ruby,
    heaps: RArray,
    matches: Option<&Matches>,
    limit: Option<usize>,
    said_beside: RArray,
) -> Result<RArray, Error> {
    let [except, rules, known]: [Value; 3] = said_beside.to_value_array()?;
    let raised = |error: heap_inspector::Error| errors::raised(ruby, &error);
    let except = exceptions(except)?.map_err(raised)?;
    let rules = said(rules, Rules::read, |lines| Rules::of(lines, "rules"))?.map_err(raised)?.unwrap_or_default();
    let known = said(known, Known::read, |lines| Known::of(lines, "known"))?.map_err(raised)?;
    let (found, nexts, report) = work(ruby, heaps, |several, control| {
        let mut dumps = several.dumps(&[]);
        // What was asked for before is not made anew.
        dumps.iter_mut().zip(&several.snapshots).for_each(|(dump, snapshot)| dump.tree = snapshot.made_tree());
        let diff = matches.map(|matches| Diff::of(&dumps, &matches.0));
        let (mut found, by_path) = suspected(several, diff.as_ref(), limit, (except.as_ref(), &rules), control)?;
        if let Some(known) = &known {
            known.mark(&mut found);
        }
        let (heap, names) = (several.last()?.heap(), several.names.iter().map(String::as_str).collect::<Vec<_>>());
        let last = names.last().copied().unwrap_or_default();
        let beside = |suspect: &Suspect| (suspect.next(heap, last), suspect.faulty_references(heap));
        let nexts: Vec<(Option<String>, Vec<String>)> = found.iter().map(beside).collect();
        let contexts: Vec<Context> = dumps.iter().map(|dump| Context::of(dump.heap)).collect();
        let report = suspects::report(heap, &found, &names, &contexts, diff.as_ref(), by_path);
        Ok((found, nexts, report))
    })?;
    let one = |(suspect, (next, faults)): (&Suspect, &(Option<String>, Vec<String>))| {
        row!(
            ruby,
            text(ruby, &suspect.headline()),
            text(ruby, &suspect.fingerprint()),
            rows(ruby, &suspect.normalised_path.0, |step| Ok(text(ruby, step)))?,
            suspect.places,
            suspect.freed.map(|freed| freed.memsize),
            suspect.freed.map(|freed| freed.kept),
            suspect.is_known,
            rows(ruby, &suspect.judged, |judged| verdict(ruby, judged))?,
            rows(ruby, faults, |fault| Ok(text(ruby, fault)))?,
            suspect.id.map(|id| id.0),
            text(ruby, &suspect.holder),
            suspect.holder_id.map(|id| id.0),
            text(ruby, &suspect.label),
            text(ruby, &suspect.class),
            suspect.count,
            suspect.memsize,
            suspect.steps.clone(),
            objects::present(ruby, &suspect.location),
            suspect.app_location.as_deref().map(|location| text(ruby, location)),
            suspect.mostly.as_deref().map(|mostly| text(ruby, mostly)),
            suspect.since,
            suspect.known_leak.as_deref().map(|known| text(ruby, known)),
            rate(ruby, suspect.rate.as_ref())?,
            rows(ruby, &suspect.path.steps, |one| step(ruby, one))?,
            ruby.to_symbol(suspect.confidence.name()),
            rows(ruby, &suspect.reasons, |reason| Ok(text(ruby, reason)))?,
            next.as_ref().map(|next| text(ruby, next))
        )
    };
    row!(ruby, rows(ruby, found.iter().zip(&nexts), one)?, document(ruby, report))
}

/// Those that no exception names; those left out do not take the places of others.
fn suspected(
    several: &Several,
    diff: Option<&Diff<'_>>,
    limit: Option<usize>,
    (except, rules): (Option<&Exceptions>, &Rules),
    control: &Control<'_>,
) -> heap_inspector::Result<(Vec<Suspect>, Option<&'static str>)> {
    let (last, limit) = (several.last()?, limit.unwrap_or(usize::MAX));
    let (tree, all) = (last.tree(control)?, if except.is_some() { usize::MAX } else { limit });
    let (mut found, by_path) = match diff {
        Some(diff) => suspects::of_dumps(diff, tree, last.source(), all, &|| several.pathed(control), control)?,
        None => (suspects::of_heap(last.heap(), tree, last.source(), all, control)?, None),
    };
    found.retain(|suspect| except.is_none_or(|except| !except.name(suspect)));
    found.truncate(limit);
    suspects::free(&mut found, last.heap(), tree, diff, control)?;
    suspects::judge(&mut found, &Judge::new(last.heap(), tree, last.at_work(control)?, rules), diff);
    Ok((found, by_path))
}

/// `[verdict, reason, fault]`
fn verdict(ruby: &Ruby, judged: &Judged) -> Result<RArray, Error> {
    let fault = match judged.fault {
        Fault::None => None,
        Fault::Candidate => Some(ruby.to_symbol("candidate")),
        Fault::Faulty => Some(ruby.to_symbol("faulty")),
    };
    row!(ruby, ruby.to_symbol(judged.verdict.name()), text(ruby, &judged.reason), fault)
}

/// What a file of this path, or an Array of its lines, says; none of nil.
fn said<T>(
    what: Value,
    read: impl Fn(&Path) -> heap_inspector::Result<T>,
    of: impl Fn(&str) -> heap_inspector::Result<T>,
) -> Result<heap_inspector::Result<Option<T>>, Error> {
    if what.is_nil() {
        return Ok(Ok(None));
    }
    if let Some(path) = RString::from_value(what) {
        return Ok(read(Path::new(OsStr::from_bytes(&input::bytes(path)))).map(Some));
    }
    let lines: Vec<String> = TryConvert::try_convert(what)?;
    Ok(of(&lines.join("\n")).map(Some))
}

fn exceptions(except: Value) -> Result<heap_inspector::Result<Option<Exceptions>>, Error> {
    if except.is_nil() {
        return Ok(Ok(None));
    }
    if let Some(path) = RString::from_value(except) {
        return Ok(Exceptions::read(Path::new(OsStr::from_bytes(&input::bytes(path)))).map(Some));
    }
    let patterns: Vec<String> = TryConvert::try_convert(except)?;
    Ok(Exceptions::of(patterns.iter().map(String::as_str), "except").map(Some))
}

/// Whether a leak is mended: of the heaps the last `after` are from after the fix. `[outcome, details, reasons, leaks, document]`, a leak
/// being `[fingerprint, path, class, before, after, fate]`.
fn verification(ruby: &Ruby, heaps: RArray, after: usize, leak: Option<String>) -> Result<RArray, Error> {
    let (found, report) = work(ruby, heaps, |several, control| {
        let dumps = several.pathed(control)?;
        let (before, later) = dumps.split_at(dumps.len().saturating_sub(after));
        let found = verify(before, later, leak.as_deref(), control)?;
        let names: Vec<&str> = several.names.iter().map(String::as_str).collect();
        let report = found.report(&names, Vec::new());
        Ok((found, report))
    })?;
    let row = |leak: &Leak| {
        row!(
            ruby,
            text(ruby, &leak.fingerprint),
            text(ruby, &leak.path),
            text(ruby, &leak.class),
            rate(ruby, Some(&leak.before))?,
            rate(ruby, Some(&leak.after))?,
            ruby.to_symbol(leak.fate.name())
        )
    };
    row!(
        ruby,
        ruby.to_symbol(found.outcome.name().replace(' ', "_")),
        text(ruby, &found.details()),
        rows(ruby, &found.reasons, |reason| Ok(text(ruby, reason)))?,
        rows(ruby, &found.leaks, row)?,
        document(ruby, report)
    )
}

pub(crate) fn define(ruby: &Ruby, module: RModule, native: RModule) -> Result<(), Error> {
    let class = module.define_class("Matches", ruby.class_object())?;
    class.undef_default_alloc_func();
    module.funcall::<_, _, Value>("private_constant", (ruby.to_symbol("Matches"),))?;
    native.define_singleton_method("compare", function!(compare, 1))?;
    native.define_singleton_method("objects_that", function!(objects_that, 3))?;
    native.define_singleton_method("page", function!(page, 2))?;
    native.define_singleton_method("leaks", function!(leaks, 5))?;
    native.define_singleton_method("growth", function!(growth, 6))?;
    native.define_singleton_method("path_growth", function!(path_growth, 4))?;
    native.define_singleton_method("verify", function!(verification, 3))?;
    native.define_singleton_method("holder_growth", function!(holder_growth, 5))?;
    native.define_singleton_method("suspects", function!(suspects_of, 4))
}

/// What Ractors may share must be so for threads.
const _: fn() = || {
    fn shared<T: Send + Sync>() {}
    shared::<Matches>();
};
