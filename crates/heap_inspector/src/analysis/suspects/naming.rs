//! Puts accumulation points in words: the holder, what piles up, its line, the path.

use super::anchors::AccumulationPoint;
use super::origins::{self, Origin, Origins};
use super::points::{Accumulation, Content, kind_of};
use super::{Confidence, Suspect, evidence, ruby};
use crate::Result;
use crate::analysis::chains::{self, Chain, Told};
use crate::analysis::normalised::NormalisedPaths;
use crate::control::Control;
use crate::graph::dominators::{Children, Dominator, Tree};
use crate::graph::shortest_paths::ShortestPaths;
use crate::heap::{Heap, NodeId};
use crate::human;
use crate::keys::{Absent, Key, KeyValue};
use crate::labels::{Edge, Labels};
use crate::record::Type;
use crate::source::Source;
use crate::stacks::FrameId;
use crate::symbols::Symbol;
use hashbrown::HashMap;

/// Classes of Ruby's own whose objects are seldom what leaks, but what it is made of.
const CORE: [&str; 53] = [
    "Array",
    "BasicObject",
    "Bignum",
    "BigDecimal",
    "Binding",
    "Class",
    "Complex",
    "Data",
    "Date",
    "DateTime",
    "Dir",
    "Encoding",
    "Enumerator",
    "Enumerator::Generator",
    "Enumerator::Lazy",
    "Enumerator::Yielder",
    "Fiber",
    "File",
    "Float",
    "Hash",
    "IO",
    "Integer",
    "MatchData",
    "Method",
    "Module",
    "Monitor",
    "Mutex",
    "NilClass",
    "Object",
    "ObjectSpace::WeakMap",
    "ObjectSpace::WeakKeyMap",
    "Pathname",
    "Proc",
    "Queue",
    "Ractor",
    "Random",
    "Range",
    "Rational",
    "Regexp",
    "Set",
    "SizedQueue",
    "String",
    "StringIO",
    "Struct",
    "Symbol",
    "Thread",
    "Thread::ConditionVariable",
    "Thread::Mutex",
    "Thread::Queue",
    "Thread::SizedQueue",
    "Time",
    "UnboundMethod",
    "UnicodeNormalize",
];

/// Whether a class is such.
pub(super) fn is_core(class: &str) -> bool {
    CORE.contains(&class)
}

/// Whether an object is of such a class, or of none that the dump tells of.
pub(super) fn is_of_core(labels: &Labels<'_>, id: NodeId) -> bool {
    labels.class(id).is_none_or(|class| is_core(&class))
}

/// An application's class is what leaks if its objects hold at least this part of what came.
const MAIN_PART: f64 = 0.2;

/// Puts the accumulation points in words; `came` says what is new, of one dump everything.
#[expect(clippy::too_many_arguments, reason = "an analysis takes what it needs of others as arguments")]
pub(super) fn name(
    heap: &Heap,
    tree: &Tree,
    children: &Children,
    shortest_paths: &ShortestPaths,
    source: &Source,
    accumulations: &[(AccumulationPoint, Accumulation)],
    came: &dyn Fn(NodeId) -> bool,
    judge: &dyn Fn(&Accumulation) -> (Confidence, String),
    control: &Control<'_>,
) -> Result<Vec<Suspect>> {
    if accumulations.is_empty() {
        return Ok(Vec::new());
    }
    let mut labels = Labels::new(heap);
    let roots = chains::root_categories(heap);
    let found: Vec<Found> = accumulations
        .iter()
        .map(|(anchor, accumulation)| {
            control.check()?;
            let id = anchor.node();
            let path = id.and_then(|id| shortest_paths.path(id)).unwrap_or_default();
            let main = main_content(&labels, accumulation, id.map(|id| heap.properties(id).ty));
            let strings = match (id, main.map(|content| kind_of(heap, content.sample))) {
                (Some(id), Some(kind)) if kind.0 == Type::String => evidence::strings(heap, children, id, kind),
                _ => Vec::new(),
            };
            let sample = match main {
                // Of a Ractor's threads each does something else.
                Some(content) if id.is_some_and(|id| ruby::is_ractor(heap, id)) => Some(content.sample),
                Some(content) => Some(inside(heap, tree, children, &labels, content.sample)),
                None => id,
            };
            let ends = sample.filter(|sample| id.is_some_and(|id| id != *sample)).map_or_else(Vec::new, |sample| {
                let inner = inner(heap, tree, children, &labels, sample);
                inner.into_iter().chain([sample]).collect()
            });
            let on = |end: NodeId| (end, onward(heap, shortest_paths, id.unwrap_or(end), end));
            let ends = ends.into_iter().map(on).collect();
            let pile = id.zip(main).and_then(|(id, main)| pile(heap, tree, &labels, accumulation, id, main, came));
            Ok(Found { id, path, ends, main, sample, pile, strings })
        })
        .collect::<Result<_>>()?;
    let ends = found.iter().flat_map(|found| found.ends.iter().map(|(end, _)| end));
    let origins = Origins::new(heap, &labels, found.iter().flat_map(|found| &found.path).chain(ends).copied());
    let told = found.iter().flat_map(|found| ruby::telling(heap, &found.path));
    let read: Vec<NodeId> = found
        .iter()
        .flat_map(|found| found.path.iter().chain(found.ends.iter().flat_map(|(_, on)| on)).chain(&found.strings))
        .copied()
        .chain(told)
        .chain(origins.code())
        .collect();
    let pairs = |nodes: Vec<NodeId>| nodes.windows(2).map(|pair| (pair[0], pair[1])).collect::<Vec<_>>();
    let edges = found.iter().flat_map(|found| {
        let on =
            found.ends.iter().flat_map(|(_, on)| pairs(found.path.last().into_iter().chain(on).copied().collect()));
        pairs(found.path.clone()).into_iter().chain(on)
    });
    labels.read_texts(source, &read, edges)?;
    let labels = &labels;
    let lengths = evidence::Lengths::default();
    let seen = evidence::Evidence { heap, tree, children, labels, lengths: &lengths };
    let mut normalised = NormalisedPaths::new(heap, tree, shortest_paths)?;
    let mut suspects = Vec::new();
    for ((anchor, accumulation), found) in accumulations.iter().zip(&found) {
        control.check()?;
        let (confidence, growth) = judge(accumulation);
        let Found { id, path, main, .. } = found;
        let Some(sample) = found.sample else { continue };
        let class = labels.class_name(sample);
        let since = main.map_or(heap.properties(sample).generation, |content| content.since);
        let (holder, holder_id) = match id {
            Some(_) => holder(heap, labels, &origins, &roots, path, &class),
            None => root_holder(heap, labels, *anchor, &class),
        };
        let count = main.map_or(1, |content| content.count);
        // To an object of the app, if there is one in what piles up.
        let is_of_app =
            |end: &&(NodeId, Vec<NodeId>)| origins.of_object(labels, end.0) == Origin::App && !end.1.is_empty();
        let on = found.ends.iter().find(is_of_app).or(found.ends.last()).map_or(&[][..], |(_, on)| on);
        let holder = match id.filter(|id| holder_id == Some(*id) && is_module(heap, *id)).zip(on.first()) {
            // What one of its variables holds is most of it.
            Some((id, next)) if tree.retained(*next) >= accumulation.total() / 2 => {
                holder + &variable(labels, id, Some(next))
            }
            _ => holder,
        };
        let chain: Vec<NodeId> = path.iter().chain(on).copied().collect();
        let (sample, class, count, mostly) = match &found.pile {
            Some(pile) if pile.class == class => (sample, class, count.max(pile.count), None),
            Some(pile) => {
                let mostly = format!("{} × {class}", human::count(count));
                (pile.sample, pile.class.clone(), pile.count, Some(mostly))
            }
            None => (sample, class, count, None),
        };
        let of_kind = found.pile.as_ref().map(|pile| pile.sample).or(main.map(|content| content.sample));
        let kind = of_kind.map(|id| kind_of(heap, id));
        let line = Line::of(labels, accumulation, sample, path, holder_id);
        let held = normalised.of(id.unwrap_or(sample))?;
        let piled = id.and_then(|id| piled_class(heap, tree, labels, id));
        let normalised_path = normalised.path(held).to(piled.as_deref().unwrap_or(&class));
        suspects.push(Suspect {
            holder,
            holder_id,
            id: *id,
            address: id.map(|id| heap.address(id)),
            label: id.map_or_else(|| root_label(heap, *anchor), |id| labels.node(id)),
            class,
            count,
            memsize: accumulation.total(),
            steps: accumulation.steps.clone(),
            rate: None,
            location: line.own,
            app_location: line.app,
            is_by_stack: line.is_by_stack,
            mostly,
            since: since.checked_sub(1),
            known_leak: None,
            path: Chain::new(labels, &roots, &chain, Told::default(), control)?,
            judged: Vec::new(),
            faulty_references: Vec::new(),
            is_known: None,
            accumulation_point_count: 1 + accumulation.others.len() as u64,
            rank: accumulation.rank,
            grown: accumulation.grown(kind, count),
            freed: None,
            normalised_path,
            confidence,
            reasons: std::iter::once(growth)
                .chain(seen.of(path, accumulation.total(), main.as_ref(), &found.strings))
                .chain(line.why.map(str::to_owned))
                .collect(),
        });
    }
    Ok(suspects)
}

/// What is known of a point before texts are read.
struct Found {
    /// The accumulation point; none where it is a root.
    id: Option<NodeId>,
    /// The path to it.
    path: Vec<NodeId>,
    /// What the path may lead on to, and the way on; the last is `sample`.
    ends: Vec<(NodeId, Vec<NodeId>)>,
    main: Option<Content>,
    /// One of these objects, as a programmer knows it.
    sample: Option<NodeId>,
    pile: Option<Pile>,
    strings: Vec<NodeId>,
}

/// What a list holds itself, where that is not what takes most of the bytes.
struct Pile {
    sample: NodeId,
    class: String,
    count: u64,
}

/// What an array, hash or set holds itself, where it holds at least twice as many as what piles up in it has by class and site.
fn pile(
    heap: &Heap,
    tree: &Tree,
    labels: &Labels<'_>,
    accumulation: &Accumulation,
    id: NodeId,
    main: Content,
    came: &dyn Fn(NodeId) -> bool,
) -> Option<Pile> {
    let is_set = || heap.names().tables.symbols.bytes(heap.properties(id).names.label) == b"set";
    match heap.properties(id).ty {
        Type::Array | Type::Hash => {}
        Type::Data if is_set() => {}
        _ => return None,
    }
    /// How many, what they retain, one of them.
    type Held = (u64, u64, NodeId);
    let mut held: HashMap<(Type, Symbol), Held> = HashMap::new();
    for target in std::iter::once(&id).chain(&accumulation.others).flat_map(|id| heap.targets(*id)) {
        let kind = kind_of(heap, target);
        if came(target) && accumulation.content.contains_key(&kind) {
            let entry = held.entry((kind.0, kind.1)).or_insert((0, 0, target));
            entry.0 += 1;
            entry.1 += tree.retained(target);
        }
    }
    let most = held.values().map(|(count, ..)| *count).max()?;
    let often = held.values().filter(|(count, ..)| count * 2 >= most);
    let &(count, _, sample) = often.max_by_key(|(count, retained, sample)| (*retained, *count, *sample))?;
    let objects: Vec<Held> = held.iter().filter(|((ty, _), _)| *ty == Type::Object).map(|(_, held)| *held).collect();
    let sum: u64 = objects.iter().map(|(count, ..)| count).sum();
    // Objects of several classes are told by what these have in common, as errors are.
    let common = (sum >= count * 2).then(|| common_class(heap, labels, objects.iter().map(|held| held.2))).flatten();
    let pile = match common {
        Some(class) => Pile { sample: main.sample, class, count: sum },
        None => Pile { sample, class: labels.class_name(sample), count },
    };
    (pile.count >= main.count * 2).then_some(pile)
}

/// The class of what an array, hash or set holds the most of, of the app's classes where they take a good part. It is that of the last dump
/// alone, whatever lines and generations tell of what came, so that it is the same of each dump.
fn piled_class(heap: &Heap, tree: &Tree, labels: &Labels<'_>, id: NodeId) -> Option<String> {
    let is_set = || heap.names().tables.symbols.bytes(heap.properties(id).names.label) == b"set";
    match heap.properties(id).ty {
        Type::Array | Type::Hash => {}
        Type::Data if is_set() => {}
        _ => return None,
    }
    let mut held: HashMap<(Type, Symbol, Symbol), (u64, NodeId)> = HashMap::new();
    for target in heap.targets(id) {
        let (ty, class, _, label) = kind_of(heap, target);
        if !matches!(ty, Type::Imemo | Type::Iclass) {
            held.entry((ty, class, label)).or_insert((0, target)).0 += tree.retained(target).max(1);
        }
    }
    let most = held.values().map(|(retained, _)| *retained).max()?;
    let named = held.values().filter_map(|(retained, sample)| Some((*retained, labels.class(*sample)?)));
    let rank = |retained: u64, class: &str| {
        let is_app = !is_core(class) && (retained as f64) >= MAIN_PART * most as f64;
        (is_app, retained)
    };
    let best = named.max_by(|(one, a), (other, b)| rank(*one, a).cmp(&rank(*other, b)).then_with(|| b.cmp(a)));
    best.map(|(_, class)| class)
}

/// The nearest class that all these objects are of, other than what all objects are.
fn common_class(heap: &Heap, labels: &Labels<'_>, objects: impl Iterator<Item = NodeId>) -> Option<String> {
    let names = heap.names();
    let chain = |id: NodeId| {
        let first = heap.class(id).map(|class| heap.address(class));
        let classes = std::iter::successors(first, |address| names.superclass(*address)).take(SEARCHED);
        let own = std::iter::once(labels.class_name(id));
        own.chain(classes.filter_map(|address| names.class_name(address)).filter(|name| !name.starts_with("#<")))
    };
    let mut common: Option<Vec<String>> = None;
    for id in objects {
        let classes: Vec<String> = chain(id).collect();
        match &mut common {
            None => common = Some(classes),
            Some(common) => common.retain(|class| classes.contains(class)),
        }
    }
    common?.into_iter().find(|class| !matches!(class.as_str(), "Object" | "BasicObject" | "Kernel"))
}

/// Whether an object was allocated in a file of the app.
fn is_app_line(labels: &Labels<'_>, id: NodeId) -> bool {
    match labels.value(Key::File, id) {
        KeyValue::Text(file) => origins::of_file(labels.heap().names().app(), &file) == Some(Origin::App),
        _ => false,
    }
}

/// Where a suspect's objects come from.
struct Line {
    /// Where they were allocated.
    own: KeyValue,
    /// Where that is in no file of the app: the line of the app.
    app: Option<String>,
    /// Whether stacks of these objects tell that line.
    is_by_stack: bool,
    /// What is to be said of it.
    why: Option<&'static str>,
}

impl Line {
    /// Of a sample at the end of a path. The app's line is that of what came with it, else that of what takes it in.
    fn of(
        labels: &Labels<'_>,
        accumulation: &Accumulation,
        sample: NodeId,
        path: &[NodeId],
        holder: Option<NodeId>,
    ) -> Line {
        let own = labels.value(Key::Location, sample);
        if is_app_line(labels, sample) {
            return Line { own, app: None, is_by_stack: false, why: None };
        }
        if let Some((app, innermost)) = stack_location(labels, accumulation, sample) {
            let own = if matches!(own, KeyValue::Absent(_)) { KeyValue::Text(innermost) } else { own };
            return Line { own, app: Some(app), is_by_stack: true, why: None };
        }
        let line =
            |own: KeyValue, app: Option<String>, why: Option<&'static str>| Line { own, app, is_by_stack: false, why };
        match (own, app_location(labels, accumulation)) {
            // Its own is lost, so that of what came with it stands for it.
            (KeyValue::Absent(Absent::Untraced), Some(app)) => {
                let why =
                    "the line is that of objects that came with them: their own is lost, as a compaction loses it";
                line(KeyValue::Text(app), None, Some(why))
            }
            (own, Some(app)) => line(own, Some(app), None),
            (own, None) => {
                if let Some(app) = place_location(labels, path, holder) {
                    let why = "no line of the app allocated what came; the one told made what takes it in";
                    return line(own, Some(app), Some(why));
                }
                let set = constant_location(labels, path);
                match (own, set) {
                    // It grows itself, and what a constant is set to is mostly made there.
                    (KeyValue::Absent(Absent::Untraced), Some(set)) if path.last() == Some(&sample) => {
                        let why = "its own line is not known; the one told sets the constant that holds it";
                        line(KeyValue::Text(set), None, Some(why))
                    }
                    (own, set) => {
                        let why = "no line is known of what came; the one told sets the constant that holds it";
                        let why = set.is_some().then_some(why);
                        line(own, set, why)
                    }
                }
            }
        }
    }
}

/// The line of the app that set the nearest constant on a path.
fn constant_location(labels: &Labels<'_>, path: &[NodeId]) -> Option<String> {
    let set = path.windows(2).rev().find_map(|pair| labels.constant_location(pair[0], pair[1]))?;
    (origins::of_file(labels.heap().names().app(), &set) == Some(Origin::App)).then_some(set)
}

/// The line of the app in the stacks of most objects of the sample's class, or of any where these have none, and the innermost line of
/// most such stacks.
fn stack_location(labels: &Labels<'_>, accumulation: &Accumulation, sample: NodeId) -> Option<(String, String)> {
    let (ty, class, ..) = kind_of(labels.heap(), sample);
    let of = |is_counted: &dyn Fn(&(Type, Symbol)) -> bool| {
        let stacks = accumulation.stacks.iter().filter(|((ty, class, _), _)| is_counted(&(*ty, *class)));
        let told: Vec<(String, FrameId, u64)> =
            stacks.filter_map(|((.., stack), count)| Some((labels.app_location(*stack)?, *stack, *count))).collect();
        let app = commonest(told.iter().map(|(app, _, count)| (app.clone(), *count)))?;
        let same = told.iter().filter(|(other, ..)| *other == app);
        let innermost =
            commonest(same.filter_map(|(_, stack, count)| Some((labels.innermost_location(*stack)?, *count))))?;
        Some((app, innermost))
    };
    of(&|kind| *kind == (ty, class)).or_else(|| of(&|_| true))
}

/// The line of the app that allocated a point, or else what is nearest above it, up to its holder.
fn place_location(labels: &Labels<'_>, path: &[NodeId], holder: Option<NodeId>) -> Option<String> {
    let holder = path.iter().rposition(|id| Some(*id) == holder)?;
    let id = path[holder..].iter().rev().find(|id| is_app_line(labels, **id))?;
    match labels.value(Key::Location, *id) {
        KeyValue::Text(location) => Some(location),
        _ => None,
    }
}

/// The line of the app that allocated most of what piles up at a point.
fn app_location(labels: &Labels<'_>, accumulation: &Accumulation) -> Option<String> {
    let of_app = accumulation.content.values().filter(|content| is_app_line(labels, content.sample));
    commonest(of_app.filter_map(|content| match labels.value(Key::Location, content.sample) {
        KeyValue::Text(location) => Some((location, content.count)),
        _ => None,
    }))
}

/// Of equal ones the first by name.
fn commonest(told: impl Iterator<Item = (String, u64)>) -> Option<String> {
    let mut counts: HashMap<String, u64> = HashMap::new();
    told.for_each(|(location, count)| *counts.entry(location).or_default() += count);
    let most = counts.into_iter().max_by(|(a, one), (b, other)| one.cmp(other).then_with(|| b.cmp(a)));
    most.map(|(location, _)| location)
}

/// The way on from an accumulation point to an object in it: the end of the object's own path, else what a short search finds.
fn onward(heap: &Heap, shortest_paths: &ShortestPaths, from: NodeId, to: NodeId) -> Vec<NodeId> {
    let path = shortest_paths.path(to).unwrap_or_default();
    if let Some(at) = path.iter().rposition(|id| *id == from) {
        return path[at + 1..].to_vec();
    }
    let mut before: HashMap<NodeId, NodeId> = HashMap::from([(from, from)]);
    let mut waiting = std::collections::VecDeque::from([from]);
    let mut looks = LOOKS;
    while let Some(at) = waiting.pop_front() {
        for target in heap.targets(at) {
            looks -= 1;
            if looks == 0 {
                return Vec::new();
            }
            if before.contains_key(&target) {
                continue;
            }
            before.insert(target, at);
            if target == to {
                let back = std::iter::successors(Some(to), |node| before.get(node).copied());
                let mut on: Vec<NodeId> = back.take_while(|node| *node != from).collect();
                on.reverse();
                return on;
            }
            waiting.push_back(target);
        }
    }
    Vec::new()
}

/// So many references are looked at for a way on.
const LOOKS: u32 = 20_000;

/// What piles up at a point: of an application's class if such objects hold a good part of it, else what holds the most; none where the
/// point itself grows.
fn main_content(labels: &Labels<'_>, accumulation: &Accumulation, anchor: Option<Type>) -> Option<Content> {
    let mut best: Option<(u8, Content)> = None;
    let most = accumulation.content.values().map(|content| content.retained).max().unwrap_or(0);
    // An array, hash or string grows itself; in another object it is many kinds of things that came.
    let grows = anchor.is_none_or(|ty| matches!(ty, Type::Array | Type::Hash | Type::String | Type::Data | Type::File));
    if most * 4 < accumulation.total() && grows {
        return None;
    }
    for (kind, content) in &accumulation.content {
        let rank = match labels.class(content.sample) {
            _ if kind.0 == Type::Iclass || labels.is_metaclass(content.sample) => 0,
            // What a Ruby programmer does not see.
            None => 0,
            _ if (content.retained as f64) < MAIN_PART * most as f64 => 0,
            Some(class) if is_core(&class) => 1,
            Some(_) => 2,
        };
        let key =
            |rank: u8, content: &Content| (rank, content.retained, content.count, std::cmp::Reverse(content.sample));
        if best.as_ref().is_none_or(|(other, known)| key(rank, content) > key(*other, known)) {
            best = Some((rank, *content));
        }
    }
    best.map(|(_, content)| content)
}

/// What a programmer knows an object by: itself, or where it is of a class of Ruby's own the object of an application's class inside of
/// it that holds the most of it, as a block does a request.
fn inside(heap: &Heap, tree: &Tree, children: &Children, labels: &Labels<'_>, sample: NodeId) -> NodeId {
    if !is_of_core(labels, sample) {
        return sample;
    }
    let least = (tree.retained(sample) as f64 * MAIN_PART) as u64;
    let mut best: Option<(bool, u64, NodeId)> = None;
    let mut stack = vec![sample];
    for _ in 0..SEARCHED {
        let Some(id) = stack.pop() else { break };
        let class = labels.class(id).filter(|_| id == sample || is_object(heap, id));
        if let Some(class) = class {
            let key = (!is_core(&class), tree.retained(id), id);
            if key.1 >= least && best.is_none_or(|best| (key.0, key.1) > (best.0, best.1)) {
                best = Some(key);
            }
        }
        stack.extend(children.of(Dominator::Node(id)).take(SEARCHED));
    }
    best.map_or(sample, |(.., id)| id)
}

/// What holds a good part of an object of a class that is not Ruby's own, as a subscriber's block does a controller: one of each class.
fn inner(heap: &Heap, tree: &Tree, children: &Children, labels: &Labels<'_>, sample: NodeId) -> Vec<NodeId> {
    let least = (tree.retained(sample) as f64 * MAIN_PART) as u64;
    let mut found: Vec<(String, NodeId)> = vec![(labels.class_name(sample), sample)];
    let mut stack: Vec<NodeId> = children.of(Dominator::Node(sample)).take(SEARCHED).collect();
    for _ in 0..SEARCHED {
        let Some(id) = stack.pop().filter(|_| found.len() <= INNER) else { break };
        if tree.retained(id) < least {
            continue;
        }
        let class = labels.class(id).filter(|class| is_object(heap, id) && !is_core(class));
        if let Some(class) = class.filter(|class| found.iter().all(|(known, _)| known != class)) {
            found.push((class, id));
        }
        stack.extend(children.of(Dominator::Node(id)).take(SEARCHED));
    }
    // Itself first, so that an object of the app stays the end.
    found.into_iter().map(|(_, id)| id).collect()
}

fn is_module(heap: &Heap, id: NodeId) -> bool {
    matches!(heap.ty(id), Type::Class | Type::Module)
}

/// So many of them are told apart.
const INNER: usize = 4;

/// Whether a node is what a program makes of a class, and no class.
fn is_object(heap: &Heap, id: NodeId) -> bool {
    !matches!(heap.properties(id).ty, Type::Class | Type::Module | Type::Iclass | Type::Imemo)
}

/// So many objects inside of one are looked at.
pub(super) const SEARCHED: usize = 100;

/// What holds a point, as a programmer would say: the nearest class, module, thread or object of the app on the path, from its end; where
/// there is none that of a gem which is more than a container. What Ruby itself holds objects in goes by its name. An object of the class
/// that piles up is a link of a list or a node of a tree: what holds the whole is its holder.
pub(in crate::analysis) fn holder(
    heap: &Heap,
    labels: &Labels<'_>,
    origins: &Origins,
    roots: &HashMap<NodeId, &str>,
    path: &[NodeId],
    class: &str,
) -> (String, Option<NodeId>) {
    type Named = (String, NodeId);
    let (mut link, mut of_gem, mut container): (Option<Named>, Option<Named>, Option<Named>) = (None, None, None);
    let mut between = 0;
    let known = |(name, id): Named| (name, Some(id));
    for (index, id) in path.iter().enumerate().rev() {
        let properties = heap.properties(*id);
        let name = labels.class_name(*id);
        match properties.ty {
            Type::Class | Type::Module | Type::Iclass => {
                let name = heap.names().class_name(heap.address(*id)).unwrap_or_default();
                let inside = name.strip_prefix("#<Class:").and_then(|name| name.strip_suffix('>'));
                // The singleton class of an object: its object is before it on the path.
                if inside.is_some_and(|name| name.starts_with("0x") || name.contains(":0x")) && path.first() != Some(id)
                {
                    container.get_or_insert((name, *id));
                    continue;
                }
                let name = inside.unwrap_or(&name).to_owned();
                return match link.or(of_gem) {
                    Some(nearer) if between > FAR || origins.of(labels, &name) != Origin::App => known(nearer),
                    _ => (name + &variable(labels, *id, path.get(index + 1)), Some(*id)),
                };
            }
            Type::Data if name == "Thread" => return link.or(of_gem).map_or((name, Some(*id)), known),
            Type::Object | Type::Struct | Type::Data if !is_of_core(labels, *id) => match origins.of(labels, &name) {
                Origin::App if between > FAR => break,
                Origin::App if name == class => {
                    link.get_or_insert((name, *id));
                }
                Origin::App => return (name, Some(*id)),
                Origin::Gem if !is_container(heap, *id) => {
                    between += 1;
                    of_gem.get_or_insert((name, *id));
                }
                _ => {
                    container.get_or_insert((name, *id));
                }
            },
            _ => {}
        }
    }
    if let Some(found) = link.or(of_gem) {
        return known(found);
    }
    let category = path.first().and_then(|first| roots.get(first)).copied().unwrap_or_default();
    if let Some(store) = ruby::store(heap, labels, category, path, class) {
        return (store.to_owned(), path.last().copied());
    }
    if let Some(variable) = path.first().and_then(|first| heap.global_variable(*first)) {
        return (variable.to_owned(), path.last().copied());
    }
    container.map_or_else(|| (root_name(category), None), known)
}

/// By which constant or variable a class or module holds what is next on the path, where the dump names it: `::EVENTS`, `@quotes`.
fn variable(labels: &Labels<'_>, module: NodeId, next: Option<&NodeId>) -> String {
    if !labels.heap().has_edge_names() {
        return String::new();
    }
    match next.map(|next| labels.edge(module, *next)) {
        Some(edge @ (Edge::Constant(_) | Edge::Variable(_))) => edge.to_string(),
        _ => String::new(),
    }
}

/// So many objects of gems may stand between a holder of the app and the point. Behind more of them it only leads there, as an
/// application object does to all that a framework has.
const FAR: usize = 2;

fn root_name(category: &str) -> String {
    if category.is_empty() { String::new() } else { format!("root {category}") }
}

/// The holder where a root itself is the point.
fn root_holder(heap: &Heap, labels: &Labels<'_>, root: AccumulationPoint, class: &str) -> (String, Option<NodeId>) {
    let store = ruby::store(heap, labels, root.category(heap).unwrap_or_default(), &[], class);
    (store.map_or_else(|| root_label(heap, root), str::to_owned), None)
}

/// A root as an accumulation point, for people.
pub(in crate::analysis) fn root_label(heap: &Heap, root: AccumulationPoint) -> String {
    format!("root {}", root.category(heap).unwrap_or_default())
}

/// Whether an object holds no more than one thing that holds others: a list, map or reference with what guards and describes it.
fn is_container(heap: &Heap, id: NodeId) -> bool {
    let holds = heap.targets(id).take(SEARCHED).filter(|target| {
        let properties = heap.properties(*target);
        match properties.ty {
            Type::Array | Type::Hash => heap.length(*target) != Some(0),
            Type::Object | Type::Struct => true,
            Type::Data => {
                let label = heap.names().tables.symbols.bytes(properties.names.label);
                !matches!(label, b"proc" | b"method" | b"mutex" | b"monitor" | b"condvar" | b"encoding")
            }
            _ => false,
        }
    });
    holds.count() <= 1
}

#[cfg(test)]
mod tests;
