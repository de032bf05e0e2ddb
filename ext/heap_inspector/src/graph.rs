//! The questions of what holds what: what `Heap#retained` and its like are made of.

use crate::convert;
use crate::diff;
use crate::errors;
use crate::filter::filter;
use crate::heap::{Heap, keys, order, told};
use crate::native::function;
use crate::objects;
use heap_inspector::analysis::chains::Told;
use heap_inspector::analysis::collections::{self as sets, Fill, Form, LENGTHS};
use heap_inspector::analysis::dominator_tree::{self, Shown};
use heap_inspector::analysis::dominators_by_key::{self, DominatorsByKey};
use heap_inspector::analysis::{fragmentation as pages, groups, paths, show, unreachable as dead};
use heap_inspector::graph::dominators::Dominator;
use heap_inspector::heap::{NodeId, Target};
use heap_inspector::keys::Key;
use heap_inspector::labels::Edge;
use magnus::typed_data::Obj;
use magnus::{Error, Object, RArray, RHash, RModule, Ruby, Value};
use serde::Serialize;

fn retained(
    ruby: &Ruby,
    heap: Obj<Heap>,
    by: Option<Vec<String>>,
    terms: RArray,
    limit: Option<usize>,
) -> Result<RHash, Error> {
    let (filter, by) = (filter(ruby, terms)?, by.map(|by| keys(ruby, by)).transpose()?);
    let found = heap.work(ruby, |snapshot, control| snapshot.retained(by.as_deref(), &filter, limit, control))?;
    let (context, name) = (heap.snapshot(ruby)?.context(), heap.name().to_owned());
    told(ruby, Some(heap), found, move |found, _| Ok(found.report(&filter, &name, &context)))
}

/// The rows of a dominator tree: objects one by one, or merged by a key.
#[derive(Serialize)]
#[serde(rename_all = "snake_case")]
enum Dominators {
    Objects(Vec<dominator_tree::Row>),
    #[serde(serialize_with = "rows_alone")]
    Groups(DominatorsByKey),
}

/// What else there is to the answer is for its report.
fn rows_alone<S: serde::Serializer>(found: &DominatorsByKey, serializer: S) -> Result<S::Ok, S::Error> {
    found.rows.serialize(serializer)
}

fn dominators(
    ruby: &Ruby,
    heap: Obj<Heap>,
    top: Option<u32>,
    by: Option<String>,
    depth: usize,
    min: Option<u64>,
    width: usize,
) -> Result<RHash, Error> {
    let by = by.map(|by| by.parse::<Key>().map_err(|error| errors::raised(ruby, &error))).transpose()?;
    let top = top.map_or(Dominator::Root, |top| Dominator::Node(NodeId(top)));
    let (found, reachable, context) = heap.work(ruby, |snapshot, control| {
        let (dump, tree) = (snapshot.heap(), snapshot.tree(control)?);
        let all = match top {
            Dominator::Node(id) => tree.retained(id),
            _ => tree.reachable().memsize,
        };
        let shown = Shown { depth, min: min.unwrap_or_else(|| Shown::least(all)), width };
        let found = match by {
            None => Dominators::Objects(
                dominator_tree::dominator_tree(dump, tree, snapshot.source(), top, shown, control)?.rows().collect(),
            ),
            Some(by) => Dominators::Groups(dominators_by_key::dominators_by_key(dump, tree, by, top, shown, control)?),
        };
        Ok((found, tree.reachable(), snapshot.context()))
    })?;
    let name = heap.name().to_owned();
    told(ruby, Some(heap), found, move |found, control| match found {
        Dominators::Groups(found) => Ok(found.report(&name, &context)),
        Dominators::Objects(rows) => dominator_tree::report(rows.iter().cloned(), reachable, &name, &context, control),
    })
}

fn paths(ruby: &Ruby, heap: Obj<Heap>, id: u32, limit: usize, rules: Value) -> Result<RHash, Error> {
    let rules = diff::rules(ruby, rules)?;
    let (found, context) = heap.work(ruby, |snapshot, control| {
        let (dump, tree) = (snapshot.heap(), snapshot.tree(control)?);
        let told = Told { every_step: true, tree: Some(tree) };
        let others = if limit > 1 { Some((snapshot.referrers(control)?, limit)) } else { None };
        let shortest_paths = snapshot.shortest_paths(control)?;
        let mut found = paths::paths_by(dump, snapshot.source(), NodeId(id), shortest_paths, others, told, control)?;
        found.judge(dump, tree, snapshot.at_work(control)?, &rules);
        Ok((found, snapshot.context()))
    })?;
    let name = heap.name().to_owned();
    told(ruby, Some(heap), found, move |found, _| Ok(found.report(&name, &context)))
}

/// The path to one object as it would be without what `name` says, and what would be freed.
fn what_if(ruby: &Ruby, heap: Obj<Heap>, id: u32, name: String, rules: Value) -> Result<RHash, Error> {
    let rules = diff::rules(ruby, rules)?;
    let (found, context) = heap.work(ruby, |snapshot, control| {
        let mut found = snapshot.without(NodeId(id), &name, control)?;
        found.paths.judge(snapshot.heap(), snapshot.tree(control)?, snapshot.at_work(control)?, &rules);
        Ok((found, snapshot.context()))
    })?;
    let dump = heap.name().to_owned();
    told(ruby, Some(heap), found, move |found, _| Ok(found.report(&name, &dump, &context)))
}

/// The steps of the shortest path to one object; none where there is no path.
fn shortest_path(ruby: &Ruby, heap: Obj<Heap>, id: u32) -> Result<Value, Error> {
    let found = heap.work(ruby, |snapshot, control| {
        let (shortest_paths, told) = (snapshot.shortest_paths(control)?, Told { every_step: true, tree: None });
        paths::paths_by(snapshot.heap(), snapshot.source(), NodeId(id), shortest_paths, None, told, control)
    })?;
    convert::value_of(ruby, heap, &found.chains.first())
}

fn merged_paths(ruby: &Ruby, heap: Obj<Heap>, query: RArray, what: String, width: usize) -> Result<RHash, Error> {
    let query = objects::query(ruby, &heap, query)?;
    let (found, context) = heap.work(ruby, |snapshot, control| {
        let ids = objects::ids_of(snapshot, &query, control)?;
        let (shown, shortest_paths) =
            (paths::Shown { width, ..paths::Shown::default() }, snapshot.shortest_paths(control)?);
        let found = paths::merged_by(snapshot.heap(), snapshot.source(), &ids, shown, shortest_paths, control)?;
        Ok((found, snapshot.context()))
    })?;
    let name = heap.name().to_owned();
    told(ruby, None, found, move |found, _| Ok(found.report(&what, &name, &context)))
}

fn unreachable(
    ruby: &Ruby,
    heap: Obj<Heap>,
    by: Vec<String>,
    terms: RArray,
    sort: String,
    limit: Option<usize>,
) -> Result<RHash, Error> {
    let asked = groups::Options { by: keys(ruby, by)?, filter: filter(ruby, terms)?, sort: order(ruby, &sort)?, limit };
    let (found, context) = heap.work(ruby, |snapshot, control| {
        let tree = snapshot.tree(control)?;
        let found = dead::unreachable(snapshot.heap(), tree, snapshot.source(), &asked, control)?;
        Ok((found, snapshot.context()))
    })?;
    let name = heap.name().to_owned();
    let (groups, of_groups) = (found.groups.clone(), (asked.clone(), name.clone(), context.clone()));
    let groups = told(ruby, None, groups, move |groups, _| {
        let (asked, name, context) = &of_groups;
        Ok(groups.report(name, &asked.filter, asked.sort, context))
    })?;
    let answer = told(ruby, Some(heap), found, move |found, _| Ok(found.report(&asked, &name, &context)))?;
    answer.aset(ruby.to_symbol("groups"), groups)?;
    Ok(answer)
}

/// What arrays and hashes of a form, or of some lengths, come to.
#[derive(Serialize)]
struct OfForm {
    name: &'static str,
    fill: Fill,
}

#[derive(Serialize)]
struct OfLengths {
    least: u64,
    most: Option<u64>,
    arrays: Fill,
    hashes: Fill,
}

fn collections(ruby: &Ruby, heap: Obj<Heap>, by: Vec<String>, terms: RArray, limit: usize) -> Result<RHash, Error> {
    let (by, filter, name) = (keys(ruby, by)?, filter(ruby, terms)?, heap.name().to_owned());
    let found = heap.work(ruby, |snapshot, control| {
        sets::collections(snapshot.heap(), Some(snapshot.tree(control)?), &by, &filter, limit, control)
    })?;
    let forms = Form::NAMED.iter().zip(&found.forms);
    let forms: Vec<OfForm> = forms.map(|((_, name), fill)| OfForm { name, fill: *fill }).collect();
    let lengths = LENGTHS.iter().zip(&found.lengths).map(|((least, most), (arrays, hashes))| OfLengths {
        least: *least,
        most: Some(*most).filter(|most| *most < u64::MAX),
        arrays: *arrays,
        hashes: *hashes,
    });
    let lengths: Vec<OfLengths> = lengths.collect();
    let context = heap.snapshot(ruby)?.context();
    let answer = told(ruby, Some(heap), found, move |found, _| Ok(found.report(&filter, &name, &context)))?;
    answer.aset(ruby.to_symbol("forms"), convert::value(ruby, &forms)?)?;
    answer.aset(ruby.to_symbol("lengths"), convert::value(ruby, &lengths)?)?;
    Ok(answer)
}

fn fragmentation(ruby: &Ruby, heap: Obj<Heap>, by: Vec<String>, terms: RArray, limit: usize) -> Result<RHash, Error> {
    let (by, filter, name) = (keys(ruby, by)?, filter(ruby, terms)?, heap.name().to_owned());
    let found =
        heap.work(ruby, |snapshot, control| pages::fragmentation(snapshot.heap(), &by, &filter, limit, control))?;
    let (context, spare_bytes) = (heap.snapshot(ruby)?.context(), found.spare_bytes());
    let answer = told(ruby, Some(heap), found, move |found, _| Ok(found.report(&filter, &name, &context)))?;
    answer.aset(ruby.to_symbol("spare_bytes"), spare_bytes)?;
    Ok(answer)
}

/// All of one object; its report tells what is not here.
#[derive(Serialize)]
struct Details {
    label: String,
    fields: Vec<(String, String)>,
}

fn show(ruby: &Ruby, heap: Obj<Heap>, id: u32, limit: usize) -> Result<RHash, Error> {
    let (found, context) = heap.work(ruby, |snapshot, control| {
        let (dump, tree) = (snapshot.heap(), snapshot.tree(control)?);
        let kept = (snapshot.referrers(control)?, snapshot.shortest_paths(control)?, snapshot.at_work(control)?);
        let found = show::show_by(dump, tree, snapshot.source(), NodeId(id), limit, kept, control)?;
        Ok((found, snapshot.context()))
    })?;
    let details = Details { label: found.label.clone(), fields: found.fields.clone() };
    let name = heap.name().to_owned();
    told(ruby, None, details, move |_, _| Ok(found.report(&name, &context)))
}

/// An object at the other end of a reference; none where the dump has none at the address.
#[derive(Serialize)]
struct Reference {
    object: Option<NodeId>,
    address: String,
    edge: Edge,
}

/// What an object refers to.
fn references(ruby: &Ruby, heap: Obj<Heap>, id: u32) -> Result<Value, Error> {
    let found = heap.work(ruby, |snapshot, _| {
        let dump = snapshot.heap();
        let found = show::references(dump, snapshot.source(), NodeId(id))?.into_iter().map(|(edge, target)| {
            let (object, address) = match target {
                Target::Node(id) => (Some(id), dump.address(id)),
                Target::Dangling(address) => (None, address),
            };
            Reference { object, address: format!("0x{address:x}"), edge }
        });
        Ok(found.collect::<Vec<_>>())
    })?;
    convert::value_of(ruby, heap, &found)
}

/// What refers to an object, in the same form.
fn referrers(ruby: &Ruby, heap: Obj<Heap>, id: u32) -> Result<Value, Error> {
    let found = heap.work(ruby, |snapshot, control| {
        let dump = snapshot.heap();
        let found = show::referrers(dump, snapshot.source(), NodeId(id), snapshot.referrers(control)?)
            .into_iter()
            .map(|(edge, from)| Reference { object: Some(from), address: format!("0x{:x}", dump.address(from)), edge });
        Ok(found.collect::<Vec<_>>())
    })?;
    convert::value_of(ruby, heap, &found)
}

pub(crate) fn define(native: RModule) -> Result<(), Error> {
    native.define_singleton_method("retained", function!(retained, 4))?;
    native.define_singleton_method("dominators", function!(dominators, 6))?;
    native.define_singleton_method("paths", function!(paths, 4))?;
    native.define_singleton_method("what_if", function!(what_if, 4))?;
    native.define_singleton_method("shortest_path", function!(shortest_path, 2))?;
    native.define_singleton_method("merged_paths", function!(merged_paths, 4))?;
    native.define_singleton_method("unreachable", function!(unreachable, 5))?;
    native.define_singleton_method("collections", function!(collections, 4))?;
    native.define_singleton_method("fragmentation", function!(fragmentation, 4))?;
    native.define_singleton_method("show", function!(show, 3))?;
    native.define_singleton_method("references", function!(references, 2))?;
    native.define_singleton_method("referrers", function!(referrers, 2))
}
