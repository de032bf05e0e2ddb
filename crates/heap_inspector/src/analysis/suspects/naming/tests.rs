//! What suspects are called, on dumps made by hand: a list that takes in items, held by what a test says.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use crate::analysis::diff::{Diff, Dump};
use crate::analysis::suspects::{Suspect, of_diff};
use crate::control::Control;
use crate::graph::dominators::Tree;
use crate::graph::random::heap_of_lines;
use crate::heap::Heap;
use crate::source::Source;

const GEM: &str = "/bundle/gems/parts-1.2.3/lib/parts.rb";
const APP: &str = "/srv/app/shop.rb";

/// Lines of a dump, and the next free address.
struct Lines(String, u64);

impl Lines {
    fn new(roots: &[u64]) -> Lines {
        Lines(format!("{{\"type\":\"ROOT\", \"root\":\"vm\", \"references\":[{}]}}\n", list(roots)), 0x10_0000)
    }

    fn put(&mut self, address: u64, ty: &str, more: &str, references: &[u64]) {
        self.0 += &format!(
            "{{\"address\":\"0x{address:x}\", \"type\":\"{ty}\", {more}, \"references\":[{}], \"memsize\":40}}\n",
            list(references)
        );
    }

    /// A class with a method in a file.
    fn class(&mut self, address: u64, name: &str, file: &str, references: &[u64]) {
        let [entry, code, label, path] = [1, 2, 3, 4].map(|part| address + part * 0x28);
        self.put(address, "CLASS", &format!("\"name\":\"{name}\""), &[references, &[entry]].concat());
        self.put(entry, "IMEMO", "\"imemo_type\":\"ment\"", &[code]);
        self.put(code, "IMEMO", "\"imemo_type\":\"iseq\"", &[label, label, path]);
        self.put(label, "STRING", "\"value\":\"add\", \"fstring\":true", &[]);
        self.put(path, "STRING", &format!("\"value\":\"{file}\", \"fstring\":true"), &[]);
    }

    /// An object that was allocated at a line of a file.
    fn object(&mut self, ty: &str, class: u64, site: &str, references: &[u64]) -> u64 {
        self.1 += 40;
        let more =
            format!("\"class\":\"0x{class:x}\", \"file\":\"{site}\", \"line\":7, \"generation\":{}", self.1 / 40);
        self.put(self.1, ty, &more, references);
        self.1
    }
}

fn list(nodes: &[u64]) -> String {
    nodes.iter().map(|node| format!("\"0x{node:x}\"")).collect::<Vec<_>>().join(", ")
}

const SHOP: u64 = 0x1000;
const PARTS: u64 = 0x2000;
const MAP: u64 = 0x3000;
const ITEM: u64 = 0x4000;
const ARRAY: u64 = 0x5000;
const HASH: u64 = 0x6000;
const HOLDER: u64 = 0x8000;
const LIST: u64 = 0x9000;

/// A list of `items` in an object of a class of the gem, held by a class. `beside` is what else that object holds.
fn dump(by: u64, holder: u64, beside: &[u64], fill: impl Fn(&mut Lines) -> Vec<u64>) -> String {
    let mut lines = Lines::new(&[SHOP, PARTS, MAP, ITEM, ARRAY, HASH]);
    let held = |class: u64| if class == by { vec![HOLDER] } else { Vec::new() };
    lines.class(SHOP, "Shop", APP, &held(SHOP));
    lines.class(PARTS, "Parts::Registry", GEM, &held(PARTS));
    lines.class(MAP, "Parts::Map", GEM, &[]);
    lines.class(ITEM, "Item", APP, &[]);
    lines.put(ARRAY, "CLASS", "\"name\":\"Array\"", &[]);
    lines.put(HASH, "CLASS", "\"name\":\"Hash\"", &[]);
    lines.put(HOLDER, "OBJECT", &format!("\"class\":\"0x{holder:x}\""), &[&[LIST], beside].concat());
    let items = fill(&mut lines);
    lines.put(LIST, "ARRAY", &format!("\"class\":\"0x{ARRAY:x}\", \"length\":{}", items.len()), &items);
    lines.0
}

fn suspects(dump: impl Fn(u64) -> String) -> Vec<Suspect> {
    let loaded: Vec<(Heap, Source)> = [200, 400, 600].iter().map(|count| heap_of_lines(&dump(*count))).collect();
    let (last, source) = loaded.last().unwrap();
    let control = Control::default();
    let tree = Tree::new(last, &control).unwrap();
    let dumps: Vec<Dump<'_>> = loaded.iter().map(|(heap, _)| Dump { name: "", heap, tree: None }).collect();
    of_diff(&Diff::new(&dumps, &control).unwrap(), &tree, source, 10, &control).unwrap()
}

fn items(count: u64, site: &'static str) -> impl Fn(&mut Lines) -> Vec<u64> {
    move |lines| (0..count).map(|_| lines.object("OBJECT", ITEM, site, &[])).collect()
}

#[test]
fn the_holder_is_the_apps_not_a_gems_container() {
    let found = suspects(|count| dump(SHOP, MAP, &[], items(count, APP)));
    assert_eq!((found[0].holder.as_str(), found[0].class.as_str(), found[0].count), ("Shop", "Item", 400));
    // Nor a gem's object that is more than one.
    let found = suspects(|count| dump(SHOP, PARTS, &[0x9800], items(count, APP)));
    assert_eq!(found[0].holder, "Shop");
}

#[test]
fn without_a_class_of_the_app_it_is_the_gems_that_is_no_container() {
    let registry = |count| {
        let lines = dump(PARTS, MAP, &[0x9800], items(count, APP));
        lines
            + &format!(
                "{{\"address\":\"0x9800\", \"type\":\"HASH\", \"class\":\"0x{HASH:x}\", \"size\":3, \"memsize\":40}}\n"
            )
    };
    assert_eq!(suspects(registry)[0].holder, "Parts::Map", "it holds two things");
    let found = suspects(|count| dump(PARTS, MAP, &[], items(count, APP)));
    assert_eq!(found[0].holder, "Parts::Registry");
}

#[test]
fn beside_a_line_of_a_gem_stands_the_apps() {
    let with_part = |count: u64| {
        dump(SHOP, MAP, &[], move |lines| {
            let item = |lines: &mut Lines| {
                let part = lines.object("OBJECT", ITEM, APP, &[]);
                lines.object("ARRAY", ARRAY, GEM, &[part])
            };
            (0..count).map(|_| item(lines)).collect()
        })
    };
    let found = suspects(with_part);
    assert_eq!(found[0].app_location, None, "{:?}", found[0].location);
    let found = suspects(|count| {
        dump(SHOP, MAP, &[], move |lines| {
            let item = |lines: &mut Lines| {
                let part = lines.object("ARRAY", ARRAY, APP, &[]);
                lines.object("OBJECT", ITEM, GEM, &[part])
            };
            (0..count).map(|_| item(lines)).collect()
        })
    });
    assert_eq!(found[0].location, crate::keys::KeyValue::Text(format!("{GEM}:7")));
    assert_eq!(found[0].app_location.as_deref(), Some("/srv/app/shop.rb:7"));
}

#[test]
fn the_path_goes_on_to_one_of_the_objects() {
    let found = suspects(|count| dump(SHOP, MAP, &[], items(count, APP)));
    let labels: Vec<&str> = found[0].path.steps.iter().map(|step| step.label.as_str()).collect();
    assert_eq!(labels, ["class Shop", "Parts::Map", "Array, 600 elements", "Item"]);
    assert_eq!(found[0].id, Some(found[0].path.steps[2].id));
}

#[test]
fn a_mixed_pile_is_what_the_list_holds_and_what_most_of_it_is() {
    let found = suspects(|count| {
        dump(SHOP, MAP, &[], move |lines| {
            let hash = |lines: &mut Lines, number: u64| {
                let held = number.is_multiple_of(4).then(|| lines.object("OBJECT", ITEM, APP, &[]));
                lines.object("HASH", HASH, GEM, held.as_slice())
            };
            (0..count).map(|number| hash(lines, number)).collect()
        })
    });
    assert_eq!((found[0].class.as_str(), found[0].count), ("Hash", 400));
    assert_eq!(found[0].mostly.as_deref(), Some("100 × Item"));
    assert!(found[0].headline().contains("400 × Hash, "), "{}", found[0].headline());
    assert!(found[0].headline().contains("new, most of it 100 × Item, held by Shop"), "{}", found[0].headline());
}

#[test]
fn classes_made_at_run_time_are_counted_without_their_own_classes() {
    let found = suspects(|count| {
        dump(SHOP, MAP, &[], move |lines| {
            let class = |lines: &mut Lines| {
                lines.1 += 80;
                let (class, own, site) =
                    (lines.1, lines.1 + 40, format!("\"file\":\"{APP}\", \"line\":9, \"generation\":{}", lines.1 / 40));
                lines.1 += 40;
                lines.put(
                    class,
                    "CLASS",
                    &format!("\"class\":\"0x{own:x}\", \"superclass\":\"0x{ITEM:x}\", {site}"),
                    &[ITEM],
                );
                lines.put(
                    own,
                    "CLASS",
                    &format!("\"class\":\"0x{SHOP:x}\", \"superclass\":\"0x{ITEM:x}\", \"singleton\":true, {site}"),
                    &[ITEM],
                );
                class
            };
            (0..count).map(|_| class(lines)).collect()
        })
    });
    assert_eq!(found[0].count, 400, "{:?}", found[0]);
    assert!(found[0].reasons.iter().any(|reason| reason.starts_with("they are classes")), "{:?}", found[0].reasons);
}
