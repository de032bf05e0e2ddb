//! What `Diff`, its `Growths` and `Suspects` are made of: the questions to several heaps of one process.
//!
//! Heaps arrive as an Array, the oldest first, and with them what [`compare`] found out about them.

use crate::errors;
use crate::filter::filter;
use crate::heap::{Heap, Kept, keys, told, told_as};
use crate::input;
use crate::native::function;
use crate::objects::pack;
use crate::work::{self, Callbacks, Channel};
use heap_inspector::analysis::diff::{self, By, Compared, Diff, Dump};
use heap_inspector::analysis::holders;
use heap_inspector::analysis::path_growth::{ByPath, Pathed};
use heap_inspector::analysis::suspects::{Exceptions, Known, Suspect, Suspects};
use heap_inspector::analysis::verdicts::Rules;
use heap_inspector::analysis::verify::{Verification, verify};
use heap_inspector::control::Control;
use heap_inspector::graph::dominators::Tree;
use heap_inspector::heap::NodeId;
use heap_inspector::page::{self, Page};
use heap_inspector::select::Filter;
use heap_inspector::snapshot::{Named, Said, Snapshot};
use heap_inspector::sums::Sum;
use magnus::typed_data::Obj;
use magnus::value::ReprValue;
use magnus::{
    Class, DataTypeFunctions, Error, Module, Object, RArray, RHash, RModule, RString, Ruby, TryConvert, TypedData,
    Value,
};
use serde::Serialize;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::sync::Arc;

/// What was found out about several heaps. Never changes.
#[derive(TypedData)]
#[magnus(class = "HeapInspector::Matches", free_immediately, size, frozen_shareable)]
struct Matches {
    matches: diff::Matches,
    compared: Arc<Compared>,
}

impl DataTypeFunctions for Matches {
    fn size(&self) -> usize {
        self.matches.footprint()
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

    /// With the trees that were asked for before: they are not made anew.
    fn with_trees(&self) -> Vec<Dump<'_>> {
        let mut dumps = self.dumps(&[]);
        dumps.iter_mut().zip(&self.snapshots).for_each(|(dump, snapshot)| dump.tree = snapshot.made_tree());
        dumps
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

/// Does work on the heaps beside Ruby, as [`Heap::work`] does on one, and hands them out with what came of it.
pub(crate) fn work<T: Send>(
    ruby: &Ruby,
    heaps: RArray,
    work: impl FnOnce(&Several, &Control<'_>) -> heap_inspector::Result<T> + Send,
) -> Result<(Several, T), Error> {
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
    done.map(|done| (several, done)).map_err(|error| errors::raised(ruby, &error))
}

/// What is told of a diff without its growth.
#[derive(Serialize)]
struct Told {
    new: Sum,
    gone: Sum,
    retained: Sum,
    one_process: bool,
    warnings: Vec<String>,
}

/// Compares the heaps. `by` and `limit` are for the report, which works out what grew.
fn compare(ruby: &Ruby, heaps: RArray, by: Vec<String>, limit: Option<usize>) -> Result<RHash, Error> {
    let (by, limit) = (keys(ruby, by)?, limit.unwrap_or(usize::MAX));
    let (several, (matches, compared, told)) = work(ruby, heaps, |several, control| {
        let diff = Diff::new(&several.dumps(&[]), control)?;
        let compared = Compared::of(&diff);
        let told = Told {
            new: diff.sum(diff.new_objects()),
            gone: diff.gone(),
            retained: diff.sum(diff.retained_objects()),
            one_process: compared.is_one_process,
            warnings: compared.warnings(),
        };
        Ok((diff.matches(), compared, told))
    })?;
    let kept = matches.clone();
    let answer = told_as(ruby, None, &told, move |control| {
        let (diff, filter) = (Diff::of(&several.dumps(&[]), &kept), Filter::default());
        Ok(diff::answer(&diff, By::Keys(by.clone()), &filter, limit, control)?.report(&filter, limit))
    })?;
    let matches = ruby.obj_wrap(Matches { matches, compared: Arc::new(compared) });
    matches.freeze();
    answer.aset(ruby.to_symbol("matches"), matches)?;
    Ok(answer)
}

/// The objects that became what is said: of the first heap the `gone`, of the last one the `new`, `kept` and `retained`.
fn objects_that(ruby: &Ruby, heaps: RArray, matches: &Matches, became: String) -> Result<RString, Error> {
    let (_, ids): (_, Vec<NodeId>) = work(ruby, heaps, |several, options| {
        let diff = Diff::of(&several.dumps(&[]), &matches.matches);
        Ok(match became.as_str() {
            "new" => diff.new_objects().collect(),
            "retained" => diff.retained_objects().collect(),
            "gone" => diff.gone_objects(options)?,
            _ => diff.heap().nodes().filter(|id| !diff.is_new(*id)).collect(),
        })
    })?;
    Ok(pack(ruby, &ids))
}

/// What came and stayed, in groups.
fn leaks(
    ruby: &Ruby,
    heaps: RArray,
    matches: &Matches,
    by: Vec<String>,
    terms: RArray,
    limit: Option<usize>,
) -> Result<RHash, Error> {
    let (by, filter) = (keys(ruby, by)?, filter(ruby, terms)?);
    let (_, found) = work(ruby, heaps, |several, control| {
        diff::stayed(&Diff::of(&several.dumps(&[]), &matches.matches), &by, &filter, limit, control)
    })?;
    let compared = Arc::clone(&matches.compared);
    told(ruby, None, found, move |found, _| Ok(compared.stayed_report(found, &filter)))
}

/// The trees of the heaps, where what they retain is asked for.
fn trees<'a>(several: &'a Several, retained: bool, control: &Control<'_>) -> heap_inspector::Result<Vec<&'a Tree>> {
    let heaps = several.snapshots.iter().filter(|_| retained);
    heaps.map(|snapshot| snapshot.tree(control)).collect()
}

/// What grew: as many groups as the limit allows, and by how much the others did.
#[derive(Serialize)]
struct Growths<'a> {
    rows: &'a [diff::Growth],
    rest: Rest,
}

#[derive(Serialize)]
struct Rest {
    rows: usize,
    count: i64,
    memsize: i64,
}

impl Growths<'_> {
    fn new(all: &[diff::Growth], limit: usize) -> Growths<'_> {
        let (rows, cut) = all.split_at(limit.min(all.len()));
        let deltas = cut.iter().map(|growth| (growth.count_delta(), growth.memsize_delta()));
        let (count, memsize) = deltas.fold((0, 0), |sum, delta| (sum.0 + delta.0, sum.1 + delta.1));
        Growths { rows, rest: Rest { rows: cut.len(), count, memsize } }
    }
}

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
    let (limit, compared) = (limit.unwrap_or(usize::MAX), Arc::clone(&matches.compared));
    let (_, all) = work(ruby, heaps, |several, control| {
        let diff = Diff::of(&several.dumps(&trees(several, retained, control)?), &matches.matches);
        diff::growth(&diff, &by, &filter, retained, control).map(Arc::new)
    })?;
    let kept = Arc::clone(&all);
    told_as(ruby, None, &Growths::new(&all, limit), move |_| Ok(compared.growth_report(&kept, &by, &filter, limit)))
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
    let (limit, compared) = (limit.unwrap_or(usize::MAX), Arc::clone(&matches.compared));
    let (_, all) = work(ruby, heaps, |several, control| {
        Ok(Arc::new(ByPath::new(&several.pathed(control)?, &filter, control)?.growth()))
    })?;
    let kept = Arc::clone(&all);
    told_as(ruby, None, &Growths::new(&all, limit), move |_| Ok(compared.path_report(&kept, &filter, limit)))
}

/// The same by holder.
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
    let (_, found) = work(ruby, heaps, |several, control| {
        let diff = Diff::of(&several.dumps(&trees(several, retained, control)?), &matches.matches);
        let last = several.last()?;
        let (tree, shortest_paths) = (last.tree(control)?, last.shortest_paths(control)?);
        holders::growth(&diff, tree, shortest_paths, last.source(), &filter, limit, control)
    })?;
    let compared = Arc::clone(&matches.compared);
    told(ruby, Some(last(heaps)?), found, move |found, _| Ok(compared.holder_report(found, &filter)))
}

/// The heap whose objects answers name.
fn last(heaps: RArray) -> Result<Obj<Heap>, Error> {
    heaps.entry(-1)
}

/// The page of the heaps, as HTML; `confidential` is nil for what the dumps say, `rules` as for [`suspects_of`].
fn page(ruby: &Ruby, heaps: RArray, confidential: Option<bool>, rules: Value) -> Result<RString, Error> {
    let rules = &self::rules(ruby, rules)?;
    let (_, html) = work(ruby, heaps, |several, control| {
        let options = page::Options { confidential, rules };
        Page::new(&several.named(), None, options, &(*control).into()).map(|page| page.html())
    })?;
    Ok(ruby.str_new(&html))
}

/// A suspect with what is made of it.
#[derive(Serialize)]
struct Row<'a> {
    suspect: &'a Suspect,
    headline: String,
    fingerprint: String,
    next: Option<String>,
}

#[derive(Serialize)]
struct Rows<'a> {
    rows: Vec<Row<'a>>,
}

impl<'a> Rows<'a> {
    fn new(found: &'a Suspects) -> Rows<'a> {
        let row = |suspect: &'a Suspect| Row {
            headline: suspect.headline(),
            fingerprint: suspect.fingerprint(),
            next: suspect.next(found.dump()),
            suspect,
        };
        Rows { rows: found.suspects.iter().map(row).collect() }
    }
}

/// The rules of a file or of lines, if any.
pub(crate) fn rules(ruby: &Ruby, rules: Value) -> Result<Rules, Error> {
    let rules = said(rules, Rules::read, |lines| Rules::of(lines, "rules"))?;
    Ok(rules.map_err(|error| errors::raised(ruby, &error))?.unwrap_or_default())
}

/// The suspects of the heaps, `matches` being nil for one heap; `except`, `rules` and `known` are each a path, an Array of lines or nil.
fn suspects_of(
    ruby: &Ruby,
    heaps: RArray,
    matches: Option<&Matches>,
    limit: Option<usize>,
    except: Value,
    rules: Value,
    known: Value,
) -> Result<RHash, Error> {
    let raised = |error: heap_inspector::Error| errors::raised(ruby, &error);
    let except = exceptions(except)?.map_err(raised)?;
    let rules = self::rules(ruby, rules)?;
    let known = said(known, Known::read, |lines| Known::of(lines, "known"))?.map_err(raised)?;
    let (_, found) = work(ruby, heaps, |several, control| {
        let dumps = several.with_trees();
        let diff = matches.map(|matches| Diff::of(&dumps, &matches.matches));
        let limit = limit.unwrap_or(usize::MAX);
        let said = Said { limit, except: except.as_ref(), rules: &rules, known: known.as_ref(), fails_on_new: false };
        let source = several.last()?.source();
        Named::suspects(&several.named(), diff.as_ref(), source, said, control).map(|(found, _)| Arc::new(found))
    })?;
    let kept = Arc::clone(&found);
    told_as(ruby, Some(last(heaps)?), &Rows::new(&found), move |_| Ok(kept.report()))
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

/// Whether a leak is fixed, with what became of those that are not in words.
#[derive(Serialize)]
struct Verified {
    verification: Verification,
    details: String,
}

/// Of the heaps the last `after` are from after the fix.
fn verification(ruby: &Ruby, heaps: RArray, after: usize, leak: Option<String>) -> Result<RHash, Error> {
    let (several, found) = work(ruby, heaps, |several, control| {
        let dumps = several.pathed(control)?;
        let (before, later) = dumps.split_at(dumps.len().saturating_sub(after));
        let verification = verify(before, later, leak.as_deref(), control)?;
        Ok(Verified { details: verification.details(), verification })
    })?;
    let names = several.names;
    told(ruby, None, found, move |found, _| {
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        Ok(found.verification.report(&names, Vec::new()))
    })
}

pub(crate) fn define(ruby: &Ruby, module: RModule, native: RModule) -> Result<(), Error> {
    let class = module.define_class("Matches", ruby.class_object())?;
    class.undef_default_alloc_func();
    module.funcall::<_, _, Value>("private_constant", (ruby.to_symbol("Matches"),))?;
    native.define_singleton_method("compare", function!(compare, 3))?;
    native.define_singleton_method("objects_that", function!(objects_that, 3))?;
    native.define_singleton_method("leaks", function!(leaks, 5))?;
    native.define_singleton_method("growth", function!(growth, 6))?;
    native.define_singleton_method("path_growth", function!(path_growth, 4))?;
    native.define_singleton_method("verify", function!(verification, 3))?;
    native.define_singleton_method("page", function!(page, 3))?;
    native.define_singleton_method("holder_growth", function!(holder_growth, 5))?;
    native.define_singleton_method("suspects", function!(suspects_of, 6))
}

/// What Ractors may share must be so for threads.
const _: fn() = || {
    fn shared<T: Send + Sync>() {}
    shared::<Matches>();
};
