//! The large tables, row by row as the heap has them: objects, references, roots, frames of stacks.

use super::columns::{Value, Writer};
use super::sums::Texts;
use crate::Result;
use crate::control::Control;
use crate::graph::dominators::Dominator;
use crate::heap::{Heap, NodeId, Target};
use crate::keys::{Key, Values};
use crate::labels::{Edge, Labels};
use crate::record::Flags;
use crate::snapshot::Named;
use crate::stacks::FrameId;

/// The value of an object's key as a text, each made once.
struct KeyTexts<'a> {
    values: Values<'a>,
    known: Texts<crate::keys::Value>,
}

impl KeyTexts<'_> {
    fn of(&mut self, key: Key, properties: &crate::properties::ObjectProperties, is_absence_told: bool) -> Value {
        let value = self.values.value(key, properties);
        if !is_absence_told && !matches!(value, crate::keys::Value::Text(_)) {
            return Value::None;
        }
        let values = &self.values;
        self.known.get(value, || values.outside(value).words().map_or(Value::None, Value::text))
    }
}

pub(super) fn objects(dump: &Named<'_>, out: &mut Writer<'_>, control: &Control<'_>) -> Result<()> {
    let (heap, tree) = (dump.snapshot.heap(), dump.snapshot.tree(control)?);
    let mut texts = KeyTexts { values: Values::new(heap.names()), known: Texts::default() };
    let mut flags: Texts<u32> = Texts::default();
    let newest = heap.newest_generation();
    for id in heap.nodes() {
        control.check_at(id.0 as usize)?;
        let properties = heap.properties(id);
        let is_reachable = tree.is_reachable(id);
        // Kept plus 1, 0 for none.
        let generation = properties.generation.checked_sub(1);
        let number = |number: Option<u32>| number.map_or(Value::None, |number| Value::number(number.into()));
        out.row([
            Value::address(heap.address(id)),
            texts.of(Key::Type, &properties, true),
            texts.of(Key::Class, &properties, true),
            Value::number(heap.bytes(id)),
            if is_reachable { Value::number(tree.retained(id)) } else { Value::None },
            number(heap.length(id)),
            number(generation),
            number(generation.map(|_| newest - properties.generation)),
            texts.of(Key::Location, &properties, false),
            if properties.stack.is_some() { Value::number(properties.stack.0.into()) } else { Value::None },
            match tree.dominator(id) {
                Dominator::Node(by) => Value::address(heap.address(by)),
                _ => Value::None,
            },
            Value::Flag(is_reachable),
            flags.get(properties.flags.bits(), || named(properties.flags)),
        ])?;
    }
    Ok(())
}

/// The names of flags that are set.
fn named(flags: Flags) -> Value {
    let names: Vec<&str> = Flags::NAMED.iter().filter(|(flag, _)| flags.has(*flag)).map(|(_, name)| *name).collect();
    Value::text(&names.join(","))
}

/// References to objects of the dump, by addresses. Of several objects at one address the first is meant.
pub(super) fn edges(dump: &Named<'_>, out: &mut Writer<'_>, control: &Control<'_>) -> Result<()> {
    let heap = dump.snapshot.heap();
    let labels = Labels::new(heap);
    let mut words: Texts<Edge> = Texts::default();
    let class = Value::text("class");
    for id in heap.nodes() {
        control.check_at(id.0 as usize)?;
        let from = Value::address(heap.address(id));
        for (place, target) in heap.references(id).enumerate() {
            let Target::Node(target) = target else { continue };
            let name = match labels.reference(id, place) {
                // Of these there is any number.
                edge @ (Edge::Element(_) | Edge::Value(Some(_)) | Edge::OneOf(_)) => Value::text(&edge.to_string()),
                edge => {
                    let text = || Some(edge.to_string()).filter(|text| !text.is_empty());
                    words.get(edge.clone(), || Value::of(text().as_deref()))
                }
            };
            out.row([from.clone(), Value::address(heap.address(target)), name])?;
        }
        if let Some(of) = heap.class(id) {
            out.row([from, Value::address(heap.address(of)), class.clone()])?;
        }
    }
    Ok(())
}

pub(super) fn roots(heap: &Heap, out: &mut Writer<'_>, control: &Control<'_>) -> Result<()> {
    for root in heap.roots() {
        let category = Value::text(&root.category);
        for (step, target) in root.targets.iter().enumerate() {
            control.check_at(step)?;
            let address = match target {
                Target::Node(id) => heap.address(*id),
                Target::Dangling(address) => *address,
            };
            out.row([category.clone(), Value::Number(1), Value::address(address)])?;
        }
    }
    Ok(())
}

pub(super) fn stacks(heap: &Heap, out: &mut Writer<'_>, control: &Control<'_>) -> Result<()> {
    let tables = &heap.names().tables;
    let text = |sym| Some(tables.symbols.text(sym)).filter(|text| !text.is_empty());
    // Number 0 is none.
    for number in 1..tables.stacks.len() as u32 {
        control.check_at(number as usize)?;
        let (site, parent) =
            (tables.sites.get(tables.stacks.site(FrameId(number))), tables.stacks.parent(FrameId(number)));
        let location = text(site.file).map(|file| format!("{file}:{}", site.line));
        out.row([
            Value::number(number.into()),
            if parent.is_some() { Value::number(parent.0.into()) } else { Value::None },
            Value::of(location.as_deref()),
            Value::of(text(site.method).as_deref()),
        ])?;
    }
    Ok(())
}

/// How many objects a dump has, and references between them, classes among these.
pub(super) fn links(heap: &Heap) -> u64 {
    let classes = heap.nodes().filter(|id: &NodeId| heap.class(*id).is_some()).count();
    (heap.edge_count() - heap.dangling_count() + classes) as u64
}
