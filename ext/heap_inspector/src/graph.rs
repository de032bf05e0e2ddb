//! The questions of what holds what, and the reports of them: what `Heap#retained` and its like are made of.
//!
//! Objects stand in answers by their numbers; Ruby makes `HeapObject`s of them.

use crate::errors;
use crate::filter::filter;
use crate::heap::{Heap, document, grouped, key_value, order, text};
use crate::native::function;
use crate::objects;
use crate::work;
use heap_inspector::analysis::chains::{Step, Told};
use heap_inspector::analysis::collections::{self as sets, Collection, Fill, Form, LENGTHS};
use heap_inspector::analysis::fragmentation as pages;
use heap_inspector::analysis::paths;
use heap_inspector::analysis::verdicts::Rules;
use heap_inspector::analysis::{
    Context, dominator_tree, dominators_by_key, groups, retained, show, unreachable as dead,
};
use heap_inspector::graph::dominators::Dominator;
use heap_inspector::heap::{NodeId, Target};
use heap_inspector::keys::{Key, KeyValue};
use heap_inspector::labels::Edge;
use heap_inspector::ruby::pages::{Pages, SizePages};
use heap_inspector::sums::Sum;
use magnus::{Error, IntoValue, Object, RArray, RHash, RModule, Ruby, Value, value::ReprValue};

/// A Hash by Symbols.
pub(crate) struct Facts<'a>(&'a Ruby, pub(crate) RHash);

impl<'a> Facts<'a> {
    pub(crate) fn new(ruby: &'a Ruby) -> Facts<'a> {
        Facts(ruby, ruby.hash_new())
    }

    pub(crate) fn set(self, name: &str, value: impl IntoValue) -> Result<Facts<'a>, Error> {
        self.1.aset(self.0.to_symbol(name), value.into_value_with(self.0))?;
        Ok(self)
    }
}

/// An Array of what `row` makes of each.
pub(crate) fn rows<T, R: IntoValue>(
    ruby: &Ruby,
    list: impl IntoIterator<Item = T>,
    row: impl Fn(T) -> Result<R, Error>,
) -> Result<RArray, Error> {
    let rows = ruby.ary_new();
    for (at, item) in list.into_iter().enumerate() {
        work::check_interrupts(ruby, at)?;
        rows.push(row(item)?)?;
    }
    Ok(rows)
}

macro_rules! row {
    ($ruby:expr, $($value:expr),* $(,)?) => {{
        let row = $ruby.ary_new();
        $(row.push($value)?;)*
        Ok::<RArray, Error>(row)
    }};
}
pub(crate) use row;

pub(crate) fn keys(ruby: &Ruby, by: Vec<String>) -> Result<Vec<Key>, Error> {
    let by = by.iter().map(|name| name.parse()).collect::<heap_inspector::Result<Vec<Key>>>();
    by.map_err(|error| errors::raised(ruby, &error))
}

/// The value of one key, an Array of several.
fn key(ruby: &Ruby, values: &[KeyValue]) -> Result<Value, Error> {
    objects::key(ruby, values)
}

/// An edge in words, and whether the dump proves it.
fn edge(ruby: &Ruby, edge: &Edge) -> (Value, bool) {
    match edge.to_string() {
        words if words.is_empty() => (ruby.qnil().as_value(), true),
        words => (text(ruby, &words).as_value(), edge.is_certain()),
    }
}

fn triple(sum: Sum) -> (u64, u64, u64) {
    (sum.count, sum.memsize, sum.references)
}

/// `[object, label, memsize, retained_memsize, retained_count, location, held_by]`, groups, sums.
fn retained(
    ruby: &Ruby,
    heap: &Heap,
    by: Option<Vec<String>>,
    terms: RArray,
    limit: Option<usize>,
) -> Result<RHash, Error> {
    let filter = filter(ruby, terms)?;
    let by = by.map(|by| keys(ruby, by)).transpose()?;
    let name = heap.name();
    let (holders, groups, report) = heap.work(ruby, |snapshot, control| {
        let (dump, tree) = (snapshot.heap(), snapshot.tree(control)?);
        let holders = match by {
            None => {
                let limit = limit.unwrap_or(usize::MAX);
                Some(retained::holders(dump, tree, snapshot.source(), &filter, limit, control)?)
            }
            Some(_) => None,
        };
        let by = by.unwrap_or_else(|| vec![Key::Class]);
        let groups = retained::groups(dump, tree, &by, &filter, limit, control)?;
        let report = retained::report(holders.as_deref(), &groups, &filter, name, &Context::of(dump));
        Ok((holders, groups, report))
    })?;
    let holder = |holder: &retained::Holder| {
        let held_by = holder.held_by.as_ref().map(|label| text(ruby, label));
        let location = objects::present(ruby, &holder.location);
        let numbers = (holder.memsize, holder.retained_memsize, holder.retained_count);
        row!(ruby, holder.id.0, text(ruby, &holder.label), numbers.0, numbers.1, numbers.2, location, held_by)
    };
    let group = |group: &retained::Group| {
        let (count, memsize, _) = triple(group.sum);
        row!(ruby, key(ruby, &group.key)?, count, memsize, group.retained_memsize, group.retained_count)
    };
    Ok(Facts::new(ruby)
        .set("by", rows(ruby, &groups.by, |key| row!(ruby, ruby.to_symbol(key.name())))?)?
        .set("holders", rows(ruby, holders.iter().flatten(), holder)?)?
        .set("groups", rows(ruby, &groups.groups, group)?)?
        .set("rest", (groups.rest_groups, groups.rest.count, groups.rest.memsize, groups.rest.references))?
        .set("total", triple(groups.total))?
        .set("reachable", (groups.reachable.count, groups.reachable.memsize))?
        .set("document", document(ruby, report))?
        .1)
}

/// `[rows, document]`, a row being `[depth, object, count, edge, certain, label, memsize, retained_memsize, retained_count, location]`.
/// By a key the label is its value.
fn dominators(
    ruby: &Ruby,
    heap: &Heap,
    top: Option<u32>,
    by: Option<String>,
    (depth, min, limit): (usize, Option<u64>, usize),
) -> Result<RArray, Error> {
    let name = heap.name();
    let by = by.map(|by| by.parse::<Key>().map_err(|error| errors::raised(ruby, &error))).transpose()?;
    let (found, report) = heap.work(ruby, |snapshot, control| {
        let (dump, tree) = (snapshot.heap(), snapshot.tree(control)?);
        let (top, all) = match top {
            Some(top) => (Dominator::Node(NodeId(top)), tree.retained(NodeId(top))),
            None => (Dominator::Root, tree.reachable().memsize),
        };
        let shown = dominator_tree::Shown { depth, min: min.unwrap_or(all / 100), width: limit };
        let context = Context::of(dump);
        Ok(match by {
            None => {
                let rows = dominator_tree::dominator_tree(dump, tree, snapshot.source(), top, shown, control)?;
                let report = dominator_tree::report(&rows, name, &context, control)?;
                (DominatorRows::Objects(rows.rows().collect()), report)
            }
            Some(by) => {
                let found = dominators_by_key::dominators_by_key(dump, tree, by, top, shown, control)?;
                let report = found.report(name, &context);
                (DominatorRows::Groups(found.rows), report)
            }
        })
    })?;
    let group = |found: &dominators_by_key::Row| {
        let key = found.key.as_ref().map(|key| key_value(ruby, key));
        let (nil, numbers) = (ruby.qnil(), (found.memsize, found.retained_memsize, found.retained_count));
        row!(ruby, found.depth, nil, found.count, nil, true, key, numbers.0, numbers.1, numbers.2, nil)
    };
    let one = |found: &dominator_tree::Row| {
        let (words, certain) = edge(ruby, &found.edge);
        let label = (!found.label.is_empty()).then(|| text(ruby, &found.label));
        let (depth, id, count) = (found.depth, found.id.map(|id| id.0), found.count);
        let numbers = (found.memsize, found.retained_memsize, found.retained_count);
        let location = objects::present(ruby, &found.location);
        row!(ruby, depth, id, count, words, certain, label, numbers.0, numbers.1, numbers.2, location)
    };
    let found = match &found {
        DominatorRows::Objects(found) => rows(ruby, found, one)?,
        DominatorRows::Groups(found) => rows(ruby, found, group)?,
    };
    row!(ruby, found, document(ruby, report))
}

/// Objects one by one, or merged by a key.
enum DominatorRows {
    Objects(Vec<dominator_tree::Row>),
    Groups(Vec<dominators_by_key::Row>),
}

/// `[object, edge, certain, label]`
pub(crate) fn step(ruby: &Ruby, step: &Step) -> Result<RArray, Error> {
    let (words, certain) = edge(ruby, &step.edge);
    row!(ruby, step.id.0, words, certain, text(ruby, &step.label))
}

/// `[label, chains, document]`
fn paths(ruby: &Ruby, heap: &Heap, id: u32, limit: usize) -> Result<RArray, Error> {
    let name = heap.name();
    let (found, report) = heap.work(ruby, |snapshot, control| {
        let (dump, tree, shortest_paths) =
            (snapshot.heap(), snapshot.tree(control)?, snapshot.shortest_paths(control)?);
        let told = Told { every_step: true, tree: Some(tree) };
        let others = if limit > 1 { Some((snapshot.referrers(control)?, limit)) } else { None };
        let mut found = paths::paths_by(dump, snapshot.source(), NodeId(id), shortest_paths, others, told, control)?;
        found.judge(dump, tree, snapshot.at_work(control)?, &Rules::default());
        let report = found.report(name, &Context::of(dump));
        Ok((found, report))
    })?;
    let chains = rows(ruby, &found.chains, |chain| rows(ruby, &chain.steps, |one| step(ruby, one)))?;
    row!(ruby, text(ruby, &found.label), chains, document(ruby, report))
}

/// The steps of the way to one object; none where there is no way.
fn way(ruby: &Ruby, heap: &Heap, id: u32) -> Result<Option<RArray>, Error> {
    let found = heap.work(ruby, |snapshot, control| {
        paths::paths_by(
            snapshot.heap(),
            snapshot.source(),
            NodeId(id),
            snapshot.shortest_paths(control)?,
            None,
            Told { every_step: true, tree: None },
            control,
        )
    })?;
    found.chains.first().map(|chain| rows(ruby, &chain.steps, |one| step(ruby, one))).transpose()
}

/// `[rows, count, memsize, unreachable, document]`, a row being `[depth, edge, certain, count, label, object, targets, memsize]`.
fn merged_paths(ruby: &Ruby, heap: &Heap, query: RArray, what: String, limit: usize) -> Result<RArray, Error> {
    let (name, query) = (heap.name(), objects::query(ruby, heap, query)?);
    let (found, report) = heap.work(ruby, |snapshot, control| {
        let dump = snapshot.heap();
        let ids = objects::ids_of(snapshot, &query, control)?;
        let shown = paths::Shown { width: limit, ..paths::Shown::default() };
        let found = paths::merged_by(dump, snapshot.source(), &ids, shown, snapshot.shortest_paths(control)?, control)?;
        let report = found.report(&what, name, &Context::of(dump));
        Ok((found, report))
    })?;
    let snapshot = heap.snapshot(ruby)?;
    let one = |group: &paths::Group| {
        let (words, certain) = edge(ruby, &group.edge);
        let id = group.address.and_then(|address| snapshot.heap().node(address)).map(|id| id.0);
        row!(ruby, group.depth, words, certain, group.count, text(ruby, &group.label), id, group.targets, group.memsize)
    };
    row!(ruby, rows(ruby, &found.groups, one)?, found.count, found.memsize, found.unreachable, document(ruby, report))
}

fn unreachable(
    ruby: &Ruby,
    heap: &Heap,
    by: Vec<String>,
    terms: RArray,
    sort: String,
    limit: Option<usize>,
) -> Result<RHash, Error> {
    let asked = groups::Options { by: keys(ruby, by)?, filter: filter(ruby, terms)?, sort: order(ruby, &sort)?, limit };
    let name = heap.name();
    let (found, report, groups) = heap.work(ruby, |snapshot, control| {
        let (dump, tree) = (snapshot.heap(), snapshot.tree(control)?);
        let found = dead::unreachable(dump, tree, snapshot.source(), &asked, control)?;
        let context = Context::of(dump);
        let report = found.report(&asked, name, &context);
        let groups = found.groups.report(name, &asked.filter, asked.sort, &context);
        Ok((found, report, groups))
    })?;
    let component = |one: &dead::Component| {
        let location = objects::present(ruby, &one.location);
        row!(
            ruby,
            one.id.0,
            text(ruby, &one.label),
            one.memsize,
            one.sum.count,
            one.sum.memsize,
            one.is_cycle,
            location
        )
    };
    let component_roots =
        |one: &dead::ComponentGroup| row!(ruby, key(ruby, &one.key)?, one.components, one.sum.count, one.sum.memsize);
    let weak = found.weak;
    Ok(Facts::new(ruby)
        .set("total", triple(found.total))?
        .set("components", found.components)?
        .set("groups", grouped(ruby, &found.groups, groups)?)?
        .set("component_roots", rows(ruby, &found.component_roots, component_roots)?)?
        .set("biggest", rows(ruby, &found.biggest, component)?)?
        .set("weak_strings", triple(weak.strings))?
        .set("weak_symbols", triple(weak.symbols))?
        .set("weak_calls", triple(weak.calls))?
        .set("weak_maps", weak.maps)?
        .set("document", document(ruby, report))?
        .1)
}

/// `[count, memsize, elements, capacity, filled, wasted, empty]`
fn fill(ruby: &Ruby, fill: &Fill) -> Result<RArray, Error> {
    let Fill { count, memsize, elements, capacity, filled, wasted, empty } = *fill;
    row!(ruby, count, memsize, elements, capacity, filled, wasted, empty)
}

fn collections(ruby: &Ruby, heap: &Heap, by: Vec<String>, terms: RArray, limit: usize) -> Result<RHash, Error> {
    let (by, filter, name) = (keys(ruby, by)?, filter(ruby, terms)?, heap.name());
    let (found, report) = heap.work(ruby, |snapshot, control| {
        let (dump, tree) = (snapshot.heap(), snapshot.tree(control)?);
        let found = sets::collections(dump, Some(tree), &by, &filter, limit, control)?;
        let report = found.report(&filter, name, &Context::of(dump));
        Ok((found, report))
    })?;
    let collection = |one: &Collection| {
        let (room, location) = (one.room, objects::present(ruby, &one.location));
        let label = text(ruby, &one.label);
        row!(ruby, one.id.0, label, one.length, room.capacity, room.wasted, one.memsize, one.retained_memsize, location)
    };
    let group = |one: &sets::Group| row!(ruby, key(ruby, &one.key)?, fill(ruby, &one.fill)?);
    let forms = Form::NAMED.iter().zip(&found.forms);
    let lengths = LENGTHS
        .iter()
        .zip(&found.lengths)
        .map(|((low, high), fills)| (low, Some(*high).filter(|high| *high < u64::MAX), fills));
    Ok(Facts::new(ruby)
        .set("arrays", fill(ruby, &found.arrays)?)?
        .set("hashes", fill(ruby, &found.hashes)?)?
        .set("forms", rows(ruby, forms, |((_, name), one)| row!(ruby, text(ruby, name), fill(ruby, one)?))?)?
        .set(
            "lengths",
            rows(ruby, lengths, |(low, high, (arrays, hashes))| {
                row!(ruby, *low, high, fill(ruby, arrays)?, fill(ruby, hashes)?)
            })?,
        )?
        .set("empty", fill(ruby, &found.empty)?)?
        .set("sparse", fill(ruby, &found.sparse)?)?
        .set("estimated", found.estimated)?
        .set("groups", rows(ruby, &found.groups, group)?)?
        .set("rest", row!(ruby, found.rest.0, fill(ruby, &found.rest.1)?)?)?
        .set("biggest", rows(ruby, &found.biggest, collection)?)?
        .set("emptiest", rows(ruby, &found.emptiest, collection)?)?
        .set("sets", found.sets)?
        .set("document", document(ruby, report))?
        .1)
}

/// `[count, slots, live, live_bytes, free_bytes]`
fn page_sums(ruby: &Ruby, pages: &Pages) -> Result<RArray, Error> {
    row!(ruby, pages.count, pages.slots, pages.live, pages.live_bytes, pages.free_bytes)
}

fn fragmentation(ruby: &Ruby, heap: &Heap, by: Vec<String>, terms: RArray, limit: usize) -> Result<RHash, Error> {
    let (by, filter, name) = (keys(ruby, by)?, filter(ruby, terms)?, heap.name());
    let (found, report) = heap.work(ruby, |snapshot, control| {
        let dump = snapshot.heap();
        let found = pages::fragmentation(dump, &by, &filter, limit, control)?;
        let report = found.report(&filter, name, &Context::of(dump));
        Ok((found, report))
    })?;
    let size = |one: &SizePages| row!(ruby, one.slot_size, page_sums(ruby, &one.pages)?, one.spare);
    let holders =
        |one: &pages::Holders| row!(ruby, key(ruby, &one.key)?, one.count, one.pinned, one.pages, one.held_bytes);
    let page = |one: &pages::Page| {
        let (address, label) = (text(ruby, &format!("0x{:x}", one.address)), text(ruby, &one.label));
        row!(ruby, address, one.slot_size, one.slots, one.live, one.pinned, one.first.0, label)
    };
    Ok(Facts::new(ruby)
        .set("page_bytes", found.page_bytes)?
        .set("pages", page_sums(ruby, &found.pages)?)?
        .set("by_slot_size", rows(ruby, &found.by_size, size)?)?
        .set("by_fullness", rows(ruby, &found.by_fullness, |one| page_sums(ruby, one))?)?
        .set("nearly_empty", page_sums(ruby, &found.nearly_empty)?)?
        .set("pinned", found.pinned)?
        .set("holders", rows(ruby, &found.holders, holders)?)?
        .set("emptiest", rows(ruby, &found.emptiest, page)?)?
        .set("spare_bytes", found.spare_bytes())?
        .set("document", document(ruby, report))?
        .1)
}

/// A report of all of one object.
fn show(ruby: &Ruby, heap: &Heap, id: u32, limit: usize) -> Result<RArray, Error> {
    let name = heap.name();
    let (found, report) = heap.work(ruby, |snapshot, control| {
        let (dump, tree) = (snapshot.heap(), snapshot.tree(control)?);
        let kept = (snapshot.referrers(control)?, snapshot.shortest_paths(control)?, snapshot.at_work(control)?);
        let found = show::show_by(dump, tree, snapshot.source(), NodeId(id), limit, kept, control)?;
        let report = found.report(name, &Context::of(dump));
        Ok((found, report))
    })?;
    let field = |(name, value): &(String, String)| row!(ruby, text(ruby, name), text(ruby, value));
    row!(ruby, text(ruby, &found.label), rows(ruby, &found.fields, field)?, document(ruby, report))
}

/// What an object refers to: `[[edge, certain, object or nil, address], ...]`
fn references(ruby: &Ruby, heap: &Heap, id: u32) -> Result<RArray, Error> {
    let found = heap.work(ruby, |snapshot, _| show::references(snapshot.heap(), snapshot.source(), NodeId(id)))?;
    let dump = heap.snapshot(ruby)?;
    rows(ruby, &found, |(by, target)| {
        let (words, certain) = edge(ruby, by);
        let (id, address) = match target {
            Target::Node(id) => (Some(id.0), dump.heap().address(*id)),
            Target::Dangling(address) => (None, *address),
        };
        row!(ruby, words, certain, id, objects::address(ruby, address))
    })
}

/// What refers to an object, in the same form.
fn referrers(ruby: &Ruby, heap: &Heap, id: u32) -> Result<RArray, Error> {
    let found = heap.work(ruby, |snapshot, control| {
        Ok(show::referrers(snapshot.heap(), snapshot.source(), NodeId(id), snapshot.referrers(control)?))
    })?;
    let dump = heap.snapshot(ruby)?;
    rows(ruby, &found, |(by, from)| {
        let (words, certain) = edge(ruby, by);
        row!(ruby, words, certain, from.0, objects::address(ruby, dump.heap().address(*from)))
    })
}

pub(crate) fn define(native: RModule) -> Result<(), Error> {
    native.define_singleton_method("retained", function!(retained, 4))?;
    native.define_singleton_method("dominators", function!(dominators, 4))?;
    native.define_singleton_method("paths", function!(paths, 3))?;
    native.define_singleton_method("way", function!(way, 2))?;
    native.define_singleton_method("merged_paths", function!(merged_paths, 4))?;
    native.define_singleton_method("unreachable", function!(unreachable, 5))?;
    native.define_singleton_method("collections", function!(collections, 4))?;
    native.define_singleton_method("fragmentation", function!(fragmentation, 4))?;
    native.define_singleton_method("show", function!(show, 3))?;
    native.define_singleton_method("references", function!(references, 2))?;
    native.define_singleton_method("referrers", function!(referrers, 2))
}
