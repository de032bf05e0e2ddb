//! Threads, fibers and ractors: what each is called, what it runs, what it retains, and of what that is most.
//!
//! They are DATA objects (`VM/thread`, `fiber`, `ractor`) that the root `vm` leads to, and which mark their stacks. Each object is counted
//! to the nearest of them above it in the dominator tree, so what rows hold mostly is nowhere counted twice. Costs time for each object
//! they retain, and the groups of them by class.

use super::grouping::Grouping;
use super::{Context, address_cell, column, fact, key_cell, retained};
use crate::control::Control;
use crate::graph::dominators::{Children, Dominator, Tree};
use crate::heap::{Heap, NodeId, Target};
use crate::human;
use crate::keys::{Key, KeyValue};
use crate::labels::{Edge, Labels};
use crate::record::{Flags, Type};
use crate::report::{Cell, Column, Facts, Report, Rest, Section, Table};
use crate::select::Filter;
use crate::source::Source;
use crate::sums::Sum;
use crate::{Result, sort};
use hashbrown::{HashMap, HashSet};

/// What it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A `Thread`.
    Thread,
    /// A `Fiber`.
    Fiber,
    /// A `Ractor`.
    Ractor,
}

impl Kind {
    /// All of them, with their names and the struct that Ruby's C code has for them.
    pub const NAMED: [(Kind, &'static str, &'static str); 3] =
        [(Kind::Thread, "thread", "VM/thread"), (Kind::Fiber, "fiber", "fiber"), (Kind::Ractor, "ractor", "ractor")];

    /// Its name.
    #[must_use]
    pub fn name(self) -> &'static str {
        Kind::NAMED.iter().find(|(kind, ..)| *kind == self).map_or("", |(_, name, _)| name)
    }

    fn of(heap: &Heap, id: NodeId) -> Option<Kind> {
        let properties = heap.properties(id);
        if properties.ty != Type::Data {
            return None;
        }
        let label = heap.names().tables.symbols.bytes(properties.names.label);
        Kind::NAMED.iter().find(|(.., name)| name.as_bytes() == label).map(|(kind, ..)| *kind)
    }
}

/// The class that takes most bytes of what one retains.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mostly {
    /// The class.
    pub class: KeyValue,
    /// How many of its objects.
    pub count: u64,
    /// Their bytes.
    pub memsize: u64,
}

/// A thread, fiber or ractor.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Holder {
    /// The object.
    pub id: NodeId,
    /// Its address.
    pub address: u64,
    /// What it is.
    pub kind: Kind,
    /// The name that the program gave it.
    pub name: Option<String>,
    /// The block it was made with: `block in run, app/worker.rb`.
    pub code: Option<String>,
    /// File and line of the innermost Ruby code that it runs or waits in, where the dump tells.
    pub waits_in: Option<String>,
    /// Its own bytes, a stack among them.
    pub memsize: u64,
    /// The bytes it retains, its own included.
    pub retained_memsize: u64,
    /// How many objects it retains, itself included.
    pub retained_count: u64,
    /// Of what it retains, and none below it does, the class of most bytes.
    pub mostly: Option<Mostly>,
    /// Where it was allocated.
    pub location: KeyValue,
}

/// The threads, fibers and ractors of a heap.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Threads {
    /// Those that roots lead to and that retain most, as many as the limit allows.
    pub holders: Vec<Holder>,
    /// How many the limit cut off, and their own bytes.
    pub rest: Sum,
    /// By kind, in the order of [`Kind::NAMED`], how many roots lead to.
    pub counts: [u64; 3],
    /// Their own bytes.
    pub total: Sum,
    /// How many no root leads to: they ended, or nobody will resume them.
    pub unreachable: u64,
    /// All reachable objects of the heap.
    pub reachable: Sum,
}

/// The `limit` threads, fibers and ractors that retain most. Names and code are read from `source`.
///
/// # Errors
/// Those of [`Heap::records`], and [`crate::Error::Interrupted`] when cancelled.
pub fn threads(
    heap: &Heap,
    tree: &Tree,
    children: &Children,
    source: &Source,
    limit: usize,
    control: &Control<'_>,
) -> Result<Threads> {
    let mut found = Threads { reachable: tree.reachable(), ..Threads::default() };
    let mut kinds: Vec<(NodeId, Kind)> = Vec::new();
    for id in heap.nodes() {
        control.check_at(id.0 as usize)?;
        let Some(kind) = Kind::of(heap, id) else { continue };
        if !tree.is_reachable(id) {
            found.unreachable += 1;
            continue;
        }
        found.counts[kind as usize] += 1;
        found.total.add(own(heap, id));
        kinds.push((id, kind));
    }
    let all: HashSet<NodeId> = kinds.iter().map(|(id, _)| *id).collect();
    sort::by_key(&mut kinds, |(id, _)| (std::cmp::Reverse(tree.retained(*id)), *id));
    kinds[limit.min(kinds.len())..].iter().for_each(|(id, _)| found.rest.add(own(heap, *id)));
    kinds.truncate(limit);

    let mut labels = Labels::new(heap);
    let threads = kinds.iter().filter(|(_, kind)| *kind == Kind::Thread).map(|(id, _)| *id);
    labels.read_names(source, &threads.collect::<Vec<_>>(), usize::MAX)?;
    let told: Vec<_> = kinds.iter().map(|(id, _)| labels.named(*id, &Edge::Other("name"))).collect();
    // A dump that tells the name of one tells all of them.
    let tells_names = told.iter().any(Option::is_some);
    let names = kinds.iter().zip(told).map(|((id, kind), told)| match kind {
        Kind::Thread if tells_names => told,
        _ => name_of(heap, *id, *kind),
    });
    let names: Vec<_> = names.collect();
    let codes: Vec<_> = kinds.iter().map(|(id, kind)| code_of(heap, *id, *kind)).collect();
    let ids = kinds.iter().map(|(id, _)| Some(*id));
    let texts: Vec<NodeId> = names.iter().chain(&codes).copied().chain(ids).flatten().collect();
    labels.read_texts(source, &texts, [])?;
    let filter = Filter::default();
    let mut below =
        Below { heap, children, all: &all, grouping: Grouping::new(heap, &[Key::Class], &filter), walked: 0 };
    for (((id, kind), name), code) in kinds.into_iter().zip(names).zip(codes) {
        found.holders.push(Holder {
            id,
            address: heap.address(id),
            kind,
            name: name.and_then(|name| labels.start(name)).map(str::to_owned),
            code: code.and_then(|code| labels.code(code)).map(|code| format!("{}, {}", code.label, code.file)),
            waits_in: labels.waits_in(id).map(str::to_owned),
            memsize: heap.bytes(id),
            retained_memsize: tree.retained(id),
            retained_count: tree.retained_count(id),
            mostly: below.mostly(id, &labels, control)?,
            location: labels.value(Key::Location, id),
        });
    }
    Ok(found)
}

fn own(heap: &Heap, id: NodeId) -> Sum {
    Sum { count: 1, memsize: heap.bytes(id), references: 0 }
}

/// Sums up what stands below one in the dominator tree, down to others of its like.
struct Below<'a> {
    heap: &'a Heap,
    children: &'a Children,
    all: &'a HashSet<NodeId>,
    grouping: Grouping<'a>,
    walked: usize,
}

impl Below<'_> {
    fn mostly(&mut self, id: NodeId, labels: &Labels<'_>, control: &Control<'_>) -> Result<Option<Mostly>> {
        // By class: the first object that was met, how many there are, and their bytes.
        let mut sums: HashMap<usize, (NodeId, u64, u64)> = HashMap::new();
        let mut stack: Vec<NodeId> = self.children.of(Dominator::Node(id)).collect();
        while let Some(id) = stack.pop() {
            control.check_at(self.walked)?;
            self.walked += 1;
            if self.all.contains(&id) {
                continue;
            }
            if let Some(group) = self.grouping.group(id) {
                let (_, count, memsize) = sums.entry(group).or_insert((id, 0, 0));
                *count += 1;
                *memsize = memsize.saturating_add(self.heap.bytes(id));
            }
            stack.extend(self.children.of(Dominator::Node(id)));
        }
        // Of equal ones that which was met first.
        let most = sums.into_iter().max_by_key(|(group, (.., memsize))| (*memsize, std::cmp::Reverse(*group)));
        Ok(most.map(|(_, (first, count, memsize))| Mostly { class: labels.value(Key::Class, first), count, memsize }))
    }
}

fn nodes(heap: &Heap, id: NodeId) -> Vec<NodeId> {
    let node = |target| match target {
        Target::Node(node) => Some(node),
        Target::Dangling(_) => None,
    };
    heap.references(id).filter_map(node).collect()
}

fn is_string(heap: &Heap, id: NodeId) -> bool {
    heap.properties(id).ty == Type::String
}

/// The string that is its name.
///
/// A thread marks its stack, its block, two arrays without a class that nobody else sees (interrupts to come), its `self`, up to Ruby 3.1
/// the stack once more, and, last but for a scheduler, its name: a frozen string. There a frozen string in a variable of its fiber, which
/// is marked last with the stack, would be taken for the name of a thread without one. A ractor marks where it was made, as
/// `app.rb:12`, and behind that its name. A fiber has none.
fn name_of(heap: &Heap, id: NodeId, kind: Kind) -> Option<NodeId> {
    let nodes = nodes(heap, id);
    match kind {
        Kind::Thread => {
            let is_hidden = |id: &NodeId| heap.properties(*id).ty == Type::Array && heap.class(*id).is_none();
            let behind = nodes.windows(2).rposition(|pair| pair.iter().all(is_hidden))? + 2;
            let is_name = |id: &&NodeId| is_string(heap, **id) && heap.properties(**id).flags.has(Flags::FROZEN);
            nodes[behind..].iter().rev().take(2).find(is_name).copied()
        }
        Kind::Ractor => {
            let begin = nodes.iter().position(|id| is_string(heap, *id))?;
            // Without a place to be made at it is the main one, whose strings are local variables.
            let is_made = nodes[begin..].iter().any(|id| heap.properties(*id).ty == Type::File);
            nodes.get(begin + 1).copied().filter(|id| is_made && is_string(heap, *id))
        }
        Kind::Fiber => None,
    }
}

/// The block it was made with: what a thread marks before its ractor and group, a fiber first of all.
fn code_of(heap: &Heap, id: NodeId, kind: Kind) -> Option<NodeId> {
    let label = |id: NodeId| {
        let properties = heap.properties(id);
        if properties.ty == Type::Data { heap.names().tables.symbols.bytes(properties.names.label) } else { b"" }
    };
    let nodes = nodes(heap, id);
    let is_proc = |id: &NodeId| label(*id) == b"proc";
    match kind {
        Kind::Thread => {
            let group = nodes.iter().rposition(|id| label(*id) == b"thgroup")?;
            nodes[..group].iter().rev().take(2).copied().find(is_proc)
        }
        Kind::Fiber => nodes.first().copied().filter(is_proc),
        Kind::Ractor => None,
    }
}

impl Threads {
    /// The answer of `threads`.
    #[must_use]
    pub fn report(&self, dump: &str, context: &Context) -> Report {
        let answer = [self.facts(), Section::Table(self.table())];
        let sections = retained::with_facts(self.reachable, context, answer);
        Report { verb: "threads", dump: dump.to_owned(), sections }
    }

    fn facts(&self) -> Section {
        let titles = [("threads", "Threads"), ("fibers", "Fibers"), ("ractors", "Ractors")];
        let count = |((name, title), count): ((&'static str, &'static str), &u64)| {
            fact(name, title, Cell::Count(*count), String::new())
        };
        let mut facts: Vec<_> = titles.into_iter().zip(&self.counts).map(count).collect();
        let none = "of these no root leads to: they ended, or nobody can resume them".into();
        facts.push(fact("unreachable", "Unreachable", Cell::Count(self.unreachable), none));
        Section::Facts(Facts { name: "counts", title: String::new(), facts })
    }

    fn table(&self) -> Table {
        let all = self.reachable.memsize;
        let text = |text: &Option<String>| text.clone().map_or(Cell::Missing, Cell::Text);
        let row = |holder: &Holder| {
            let mostly = holder.mostly.as_ref();
            let numbers = retained::cells(holder.retained_memsize, all, holder.retained_count, holder.memsize);
            let others = [
                Cell::Text(holder.kind.name().into()),
                address_cell(holder.address),
                text(&holder.name),
                mostly.map_or(Cell::Missing, |mostly| Cell::Bytes(mostly.memsize)),
                mostly.map_or(Cell::Missing, |mostly| {
                    let class = mostly.class.words().unwrap_or_default();
                    Cell::Text(format!("{} × {class}", human::count(mostly.count)))
                }),
                text(&holder.code),
                text(&holder.waits_in),
                key_cell(Key::Location, &holder.location),
            ];
            numbers.into_iter().chain(others).collect()
        };
        let own_columns = [
            column("kind", "Kind"),
            column("address", "Address"),
            Column { name: "name", title: "Name", shrinks: true },
            column("mostly_memsize", "Mostly"),
            Column { name: "mostly", title: "", shrinks: true },
            Column { name: "code", title: "Runs", shrinks: true },
            Column { name: "waits_in", title: "Waits in", shrinks: true },
            Column { name: "location", title: "Allocated at", shrinks: true },
        ];
        let columns: Vec<Column> = retained::columns().into_iter().chain(own_columns).collect();
        let sums = |sum: Sum| -> Vec<Cell> {
            let own = columns.iter().map(|column| match column.name {
                "memsize" => Cell::Bytes(sum.memsize),
                _ => Cell::Missing,
            });
            own.collect()
        };
        Table {
            name: "threads",
            title: "Threads, fibers and ractors".into(),
            rows: self.holders.iter().map(row).collect(),
            rest: (self.rest.count > 0).then(|| Rest { rows: self.rest.count, cells: sums(self.rest) }),
            total: Some(sums(self.total)),
            bar: None,
            columns,
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test may panic")]

    use super::*;
    use std::io::Cursor;

    fn asked(dump: Source, limit: usize) -> (Heap, Threads) {
        let (source, control) = (dump.spooled(), Control::default());
        let heap = Heap::load(&source, &control.into()).unwrap();
        let tree = Tree::new(&heap, &control).unwrap();
        let found = threads(&heap, &tree, tree.children().unwrap(), &source, limit, &control).unwrap();
        (heap, found)
    }

    fn lines(lines: &[&str]) -> Source {
        Source::reader(Cursor::new(lines.join("\n")), "memory")
    }

    /// As Ruby 3.1 and 3.4 list the references of a thread: block, ractor, group, two hidden arrays, self, name.
    const SMALL: &[&str] = &[
        r#"{"type":"ROOT", "root":"vm", "references":["0x1000", "0x2000", "0x3000"]}"#,
        r#"{"address":"0x1000", "type":"DATA", "struct":"VM/thread", "references":["0x1028", "0x2000", "0x1050", "0x1078", "0x10a0", "0x10c8", "0x10f0"], "memsize":500}"#,
        r#"{"address":"0x1028", "type":"DATA", "struct":"proc", "references":[], "memsize":80}"#,
        r#"{"address":"0x1050", "type":"DATA", "struct":"thgroup", "references":[], "memsize":40}"#,
        r#"{"address":"0x1078", "type":"ARRAY", "length":0, "memsize":40}"#,
        r#"{"address":"0x10a0", "type":"ARRAY", "length":0, "memsize":40}"#,
        r#"{"address":"0x10c8", "type":"OBJECT", "references":["0x1118", "0x1140", "0x4000"], "memsize":40}"#,
        r#"{"address":"0x10f0", "type":"STRING", "frozen":true, "bytesize":6, "value":"worker", "encoding":"UTF-8", "memsize":40}"#,
        r#"{"address":"0x1118", "type":"HASH", "memsize":1000}"#,
        r#"{"address":"0x1140", "type":"HASH", "memsize":1500}"#,
        r#"{"address":"0x2000", "type":"DATA", "struct":"ractor", "references":["0x2028", "0x2050", "0x2078"], "memsize":700}"#,
        r#"{"address":"0x2028", "type":"STRING", "bytesize":8, "value":"app.rb:1", "encoding":"UTF-8", "memsize":40}"#,
        r#"{"address":"0x2050", "type":"STRING", "bytesize":4, "value":"mine", "encoding":"UTF-8", "memsize":40}"#,
        r#"{"address":"0x2078", "type":"FILE", "memsize":232}"#,
        r#"{"address":"0x3000", "type":"DATA", "struct":"fiber", "references":["0x3028"], "memsize":300}"#,
        r#"{"address":"0x3028", "type":"STRING", "frozen":true, "bytesize":5, "value":"local", "encoding":"UTF-8", "memsize":40}"#,
        r#"{"address":"0x4000", "type":"DATA", "struct":"fiber", "references":["0x4028"], "memsize":300}"#,
        r#"{"address":"0x4028", "type":"ARRAY", "length":9, "memsize":9000}"#,
        r#"{"address":"0x5000", "type":"DATA", "struct":"fiber", "references":[], "memsize":300}"#,
    ];

    #[test]
    fn each_is_told_by_name_and_by_what_it_alone_holds() {
        let (heap, found) = asked(lines(SMALL), 9);
        let rows: Vec<_> = found
            .holders
            .iter()
            .map(|one| (heap.address(one.id), one.kind, one.name.as_deref(), one.retained_memsize))
            .collect();
        assert_eq!(
            rows,
            [
                (0x1000, Kind::Thread, Some("worker"), 500 + 80 + 40 * 5 + 2500 + 9300),
                (0x4000, Kind::Fiber, None, 9300),
                (0x2000, Kind::Ractor, Some("mine"), 700 + 80 + 232),
                (0x3000, Kind::Fiber, None, 340),
            ]
        );
        assert_eq!((found.counts, found.unreachable, found.total.memsize), ([1, 2, 1], 1, 1800));
        // What the fiber below it holds is the fiber's.
        let mostly: Vec<_> = found.holders.iter().map(|one| one.mostly.clone().unwrap()).collect();
        assert_eq!((mostly[0].class.words().unwrap(), mostly[0].count, mostly[0].memsize), ("(HASH)", 2, 2500));
        assert_eq!((mostly[1].class.words().unwrap(), mostly[1].memsize), ("(ARRAY)", 9000));
    }

    #[test]
    fn what_the_limit_cuts_off_is_summed_up() {
        let (heap, found) = asked(lines(SMALL), 1);
        assert_eq!((found.holders.len(), found.rest.count, found.rest.memsize), (1, 3, 1300));
        assert_eq!(found.counts, [1, 2, 1]);
        let report = found.report("memory", &Context::of(&heap));
        let json: serde_json::Value = serde_json::from_str(&crate::view::render(
            &report,
            crate::view::Format::Json,
            &crate::view::TextStyle::default(),
        ))
        .unwrap();
        assert_eq!(json["threads"]["rest"]["memsize"], 1300);
        assert_eq!(json["threads"]["rows"][0]["mostly"], "2 × (HASH)");
    }

    #[test]
    fn what_the_dump_tells_goes_before_what_is_guessed() {
        let told = SMALL.iter().map(|line| match &line[..20] {
            r#"{"address":"0x1000","# => line
                .replace(r#""memsize":500"#, r#""waits_in":"app.rb:7", "names":[0,0,0,0,0,0,"(name)"], "memsize":500"#),
            r#"{"address":"0x4000","# => line.replace(r#""memsize":300"#, r#""waits_in":"feed.rb:9", "memsize":300"#),
            // By what it refers to this one would be called "local".
            r#"{"address":"0x3000","# => {
                line.replace("fiber", "VM/thread").replace("0x3028", "0x1078\", \"0x10a0\", \"0x3028")
            }
            _ => (*line).to_owned(),
        });
        let head = r#"{"type":"ROOT", "root":"heap_inspector", "value":"{\"version\":2,\"dumper\":\"native\"}", "references":[]}"#;
        let told: Vec<String> = std::iter::once(head.to_owned()).chain(told).collect();
        let (heap, found) = asked(lines(&told.iter().map(String::as_str).collect::<Vec<_>>()), 9);
        let rows: Vec<_> = found
            .holders
            .iter()
            .map(|one| (heap.address(one.id), one.name.as_deref(), one.waits_in.as_deref()))
            .collect();
        assert_eq!(
            rows,
            [
                (0x1000, Some("worker"), Some("app.rb:7")),
                (0x4000, None, Some("feed.rb:9")),
                (0x2000, Some("mine"), None),
                (0x3000, None, None),
            ]
        );
    }

    #[test]
    fn hostile_references_name_nothing() {
        let mut hostile = SMALL.to_vec();
        hostile[1] = r#"{"address":"0x1000", "type":"DATA", "struct":"VM/thread", "references":["0x10f0", "0x1", "0x1000", "0x1078"], "memsize":500}"#;
        hostile[10] = r#"{"address":"0x2000", "type":"DATA", "struct":"ractor", "references":["0x2028", "0x2050"], "memsize":700}"#;
        let (_, found) = asked(lines(&hostile), 9);
        assert!(found.holders.len() == 3 && found.holders.iter().all(|one| one.name.is_none()), "{found:?}");
    }

    #[test]
    fn real_programs_show_their_threads() {
        let dump = |name| Source::path(format!("{}/tests/dumps/{name}.json.zst", env!("CARGO_MANIFEST_DIR")));
        for (name, counts) in [
            ("ruby-2.7-x86_64", [1, 2, 0]),
            ("ruby-3.1-x86_64", [1, 2, 1]),
            ("ruby-3.4-native-zoo", [4, 11, 2]),
            ("ruby-4.1-native-zoo", [4, 14, 2]),
        ] {
            let (_, found) = asked(dump(name), usize::MAX);
            let unreachable: u64 = counts.iter().sum::<u64>() - found.counts.iter().sum::<u64>();
            assert_eq!(found.unreachable, unreachable, "{name}");
            assert!(found.counts.iter().zip(counts).all(|(found, all)| *found <= all), "{name}: {:?}", found.counts);
            assert!(found.holders.iter().all(|one| one.name.is_none()), "{name} names none: {:?}", found.holders);
        }
        let (_, found) = asked(dump("ruby-3.4-native-zoo"), usize::MAX);
        let code = found.holders.iter().filter(|one| one.kind == Kind::Thread).filter_map(|one| one.code.as_deref());
        assert!(code.clone().any(|code| code.ends_with("zoo.rb")), "{:?}", code.collect::<Vec<_>>());
    }
}
