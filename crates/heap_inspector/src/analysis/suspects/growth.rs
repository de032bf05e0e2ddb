//! How accumulation points went from dump to dump: what each holds in every one of them, so that what came is set against what left.
//!
//! What came to an accumulation point and stayed may be no growth: a full cache takes in as much as it gives back. So an accumulation
//! point is measured in each dump by what it retains there, less what the points below it retain; its own bytes count as far as they are
//! in use. What it holds together with others is in no retained size: there the objects of the same class and line in the whole heap tell
//! which part of what came is growth. Needs the dominator trees of the earlier dumps, which are made while the last one's paths are
//! found.

use super::Confidence;
use super::anchors::AccumulationPoint;
use super::points::{Accumulation, Content, ObjectKind, kind_of};
use super::similar::alike;
use crate::analysis::diff::{Before, Diff, Translation};
use crate::analysis::in_use::{CACHES, own_bytes};
use crate::analysis::work::Work;
use crate::control::Control;
use crate::graph::dominators::Tree;
use crate::graph::shortest_paths::ShortestPaths;
use crate::heap::{Heap, NodeId};
use crate::human;
use crate::names::ClassId;
use crate::record::Type;
use crate::symbols::SiteId;
use crate::{Result, sort};
use hashbrown::{HashMap, HashSet};
use std::cell::OnceCell;

/// Growth by less than this part of what came is chance.
const CHANCE: u64 = 10;
/// A point that gave back more than all but this part of what came is a cache more likely than not.
const GIVEN_BACK: u64 = 4;
/// A step below this part of the one before is less growth, in eighths; without tracing not all that came is seen.
const FLATTER: u64 = 7;
const FLATTER_UNTRACED: u64 = 5;
/// Growth over so many steps without flattening is more than a cache that fills.
pub(super) const MANY_STEPS: usize = 3;
/// An object that lies elsewhere is looked for by so many steps of its path.
const DEPTH: usize = 12;
/// So many points that take in objects of one kind are joined at most, and their common holder is looked for so far up.
const JOINED: usize = 16;
const HIGH: usize = 1000;
/// So much new code, and such a part of all of it, and the app was still starting.
const NEW_CODE: u64 = 20;
const NEW_CODE_PART: u64 = 100;

/// The dominator trees of all dumps but the last, where they are not known.
///
/// # Errors
/// [`crate::Error::Interrupted`] when cancelled.
pub(super) fn trees(diff: &Diff<'_>, control: &Control<'_>) -> Result<Vec<Option<Tree>>> {
    let earlier = &diff.dumps()[..diff.step_count()];
    earlier.iter().map(|dump| dump.tree.is_none().then(|| Tree::new(dump.heap, control)).transpose()).collect()
}

/// The dumps beside each other.
pub(super) struct Course<'a> {
    diff: &'a Diff<'a>,
    tree: &'a Tree,
    earlier: Vec<&'a Tree>,
    classes: Vec<OnceCell<HashMap<String, NodeId>>>,
    /// Below this growth is noise.
    floor: u64,
    /// What the process did in each step, where the dumps tell.
    work: Option<Work>,
    /// What all of them say against every suspicion.
    caps: Vec<(Confidence, String)>,
    has_unmatched: bool,
    /// What came may be so many times what was seen to come: without tracing, a new object in the place of another of its class is not.
    unseen: u64,
}

/// How many objects of a kind each dump has, and how many came in each step.
type Counted = (Vec<u64>, Vec<u64>);

/// Whether a kind is more than its class: without a line the strings of all the app are one.
fn is_told((ty, _, site, _): &ObjectKind) -> bool {
    *site != SiteId::NONE || matches!(ty, Type::Object | Type::Struct)
}

/// A point's growth: the bytes by which it grew in each step, and how far to believe them.
struct Growth {
    steps: Vec<u64>,
    verdict: (Confidence, String),
}

impl<'a> Course<'a> {
    pub(super) fn new(diff: &'a Diff<'a>, tree: &'a Tree, trees: &'a [Option<Tree>], floor: u64) -> Course<'a> {
        let earlier: Vec<&Tree> =
            diff.dumps().iter().zip(trees).filter_map(|(dump, tree)| tree.as_ref().or(dump.tree)).collect();
        let classes = earlier.iter().map(|_| OnceCell::new()).collect();
        let mut caps = Vec::new();
        caps.extend(diff.doubtful().map(|why| (Confidence::Low, why)));
        caps.extend(starting(diff, tree).map(|why| (Confidence::Medium, why)));
        let unseen = if diff.is_traced() { 1 } else { 2 };
        let work = diff.work();
        Course { diff, tree, earlier, classes, floor, work, caps, has_unmatched: diff.has_unmatched(), unseen }
    }

    /// The dominator trees of all dumps but the last.
    pub(super) fn earlier(&self) -> &[&'a Tree] {
        &self.earlier
    }

    /// What the process did in each step, where the dumps tell.
    pub(super) fn work(&self) -> Option<&Work> {
        self.work.as_ref()
    }

    /// The steps in which the process did something; all of them where that is not known.
    fn worked(&self, steps: &[u64]) -> Vec<u64> {
        self.work.as_ref().map_or_else(|| steps.to_vec(), |work| work.worked(steps))
    }

    /// A confidence, as far as the dumps allow it.
    pub(super) fn at_most(&self, confidence: Confidence) -> Confidence {
        self.caps.iter().map(|(cap, _)| *cap).fold(confidence, Confidence::min)
    }

    /// Those of the points that grew, with their growth in place of what came; the most suspect first. Points that are one by their
    /// normalised path are judged and ranked by their sum.
    ///
    /// # Errors
    /// [`crate::Error::Interrupted`] when cancelled.
    pub(super) fn rank(
        &self,
        mut accumulations: HashMap<AccumulationPoint, Accumulation>,
        shortest_paths: &ShortestPaths,
        control: &Control<'_>,
    ) -> Result<Vec<(AccumulationPoint, Accumulation)>> {
        let mut groups = alike(self.diff.heap(), self.tree, shortest_paths, &accumulations, control)?;
        groups.retain(|group| group.iter().map(|anchor| accumulations[anchor].total()).sum::<u64>() >= self.floor);
        let grouped: HashSet<AccumulationPoint> = groups.iter().flatten().copied().collect();
        accumulations.retain(|anchor, accumulation| accumulation.total() >= self.floor || grouped.contains(anchor));
        let sizes = self.sizes(&accumulations);
        let parts = self.parts(&accumulations, &sizes, control)?;
        let mut ranked: Vec<(u8, u64, AccumulationPoint, Accumulation)> = Vec::new();
        let mut growths = Vec::new();
        let mut passing = Vec::new();
        for group in groups {
            growths.extend(self.together(&group, &mut accumulations, &sizes, &parts));
        }
        for (anchor, accumulation) in
            accumulations.into_iter().filter(|(_, accumulation)| accumulation.total() >= self.floor)
        {
            match self.growth(anchor, &accumulation, sizes.get(&anchor), &parts) {
                Some(growth) => growths.push((anchor, accumulation, growth)),
                None => passing.push((anchor, accumulation)),
            }
        }
        for (anchor, accumulation) in self.joined(passing) {
            growths
                .extend(self.growth(anchor, &accumulation, None, &parts).map(|growth| (anchor, accumulation, growth)));
        }
        for (anchor, mut accumulation, mut growth) in growths {
            let own = if self.is_of_caches(&accumulation) {
                Some("they are caches of Ruby's own, which come with code and classes")
            } else if self.is_internal(anchor, &accumulation) {
                Some("it is a table of Ruby's own, which grows with what the app does")
            } else {
                None
            };
            if let Some(reason) = own {
                growth.verdict.0 = Confidence::Low;
                growth.verdict.1 += &format!("; {reason}");
            }
            let least = self.worked(&growth.steps).into_iter().min().unwrap_or(0);
            let tier = match growth.verdict.0 {
                _ if own.is_some() => 0,
                Confidence::Low => 1,
                _ => 2,
            };
            accumulation.came = accumulation.total();
            accumulation.steps = growth.steps;
            accumulation.verdict = Some(growth.verdict);
            accumulation.rank = (tier, least);
            ranked.push((tier, least, anchor, accumulation));
        }
        sort::by(&mut ranked, |(tier, one, a, _), (level, other, b, _)| {
            level.cmp(tier).then(other.cmp(one)).then(a.cmp(b))
        });
        Ok(ranked.into_iter().map(|(.., anchor, accumulation)| (anchor, accumulation)).collect())
    }

    /// A table of Ruby's own that grows by itself, or takes in such tables: shapes grow with an app's instance variables, up to 3.3 in
    /// the `RubyVM` itself, from 3.4 on in a tree of tables.
    fn is_internal(&self, anchor: AccumulationPoint, accumulation: &Accumulation) -> bool {
        let heap = self.diff.heap();
        let is_own = |id: NodeId| {
            let properties = heap.properties(id);
            properties.names.class == ClassId::NONE && matches!(properties.ty, Type::Data | Type::Imemo | Type::Other)
                || properties.ty == Type::Data && heap.names().tables.symbols.bytes(properties.names.label) == b"VM"
        };
        let is_table = |id: NodeId| heap.properties(id).ty == Type::Data && is_own(id);
        anchor.node().is_some_and(is_own) && accumulation.content.values().all(|content| is_table(content.sample))
    }

    /// Whether most of what came are the caches that Ruby makes for each place of a call, and each class that is called there.
    fn is_of_caches(&self, accumulation: &Accumulation) -> bool {
        let heap = self.diff.heap();
        let is_cache = |content: &Content| {
            let label = heap.names().tables.symbols.bytes(heap.properties(content.sample).names.label);
            heap.ty(content.sample) == Type::Imemo && CACHES.contains(&label)
        };
        let most =
            accumulation.content.values().max_by_key(|content| (content.retained, content.count, content.sample));
        most.is_some_and(is_cache)
    }

    /// The object of the last dump in an earlier one: at its address, or, where objects were moved, by the path of points that lead to it.
    fn locate(&self, dump: usize, id: NodeId) -> Option<NodeId> {
        let (heap, earlier) = (self.diff.heap(), self.diff.dumps()[dump].heap);
        let mut steps: Vec<(usize, NodeId)> = Vec::new();
        let mut at = id;
        let mut node = loop {
            if let Before::Same(before) = self.diff.before(dump, at) {
                break before;
            }
            if !self.has_unmatched || steps.len() >= DEPTH {
                return None;
            }
            let name = heap.names().class_name(heap.address(at));
            if let Some(name) = name.filter(|_| matches!(heap.properties(at).ty, Type::Class | Type::Module)) {
                break *self.classes[dump].get_or_init(|| earlier.classes_by_name()).get(&name)?;
            }
            let above = self.tree.above(at)?;
            steps.push((heap.place(above, at)?, at));
            at = above;
        };
        for (index, like) in steps.into_iter().rev() {
            node = earlier.target(node, index).filter(|node| is_alike(heap, like, earlier, *node))?;
        }
        Some(node)
    }

    /// By point, what it alone holds in each dump, what the points below it hold left out; only of those that are known in all dumps.
    fn sizes(&self, accumulations: &HashMap<AccumulationPoint, Accumulation>) -> HashMap<AccumulationPoint, Vec<u64>> {
        let steps = self.diff.step_count();
        let size = |heap: &Heap, tree: &Tree, id: NodeId| {
            tree.retained(id).saturating_sub(heap.bytes(id)) + own_bytes(heap, id, heap.properties(id).ty)
        };
        let whole = |anchor: &AccumulationPoint| -> Option<(NodeId, Vec<u64>)> {
            let id = anchor.node()?;
            let earlier = (0..steps)
                .map(|dump| Some(size(self.diff.dumps()[dump].heap, self.earlier[dump], self.locate(dump, id)?)));
            let mut sizes: Vec<u64> = earlier.collect::<Option<_>>()?;
            sizes.push(size(self.diff.heap(), self.tree, id));
            Some((id, sizes))
        };
        let whole: HashMap<NodeId, Vec<u64>> = accumulations.keys().filter_map(whole).collect();
        let mut own = whole.clone();
        // Each object is walked over once, however deep the points lie below each other.
        let mut nearest: HashMap<NodeId, Option<NodeId>> = HashMap::new();
        let mut walked = Vec::new();
        for (id, sizes) in &whole {
            let mut at = self.tree.above(*id);
            let above = loop {
                let Some(node) = at.filter(|node| !own.contains_key(node)) else { break at };
                if let Some(above) = nearest.get(&node) {
                    break *above;
                }
                walked.push(node);
                at = self.tree.above(node);
            };
            nearest.extend(walked.drain(..).map(|node| (node, above)));
            if let Some(above) = above.and_then(|above| own.get_mut(&above)) {
                above.iter_mut().zip(sizes).for_each(|(above, size)| *above = above.saturating_sub(*size));
            }
        }
        own.into_iter().map(|(id, sizes)| (AccumulationPoint::Node(id), sizes)).collect()
    }

    /// By kind, and step, by which part of what came the heap's objects of the kind became more. Of what points hold that are not known
    /// in all dumps, or not alone.
    fn parts(
        &self,
        accumulations: &HashMap<AccumulationPoint, Accumulation>,
        sizes: &HashMap<AccumulationPoint, Vec<u64>>,
        control: &Control<'_>,
    ) -> Result<HashMap<ObjectKind, Vec<f64>>> {
        let asked: HashSet<ObjectKind> = accumulations
            .iter()
            .filter(|(anchor, accumulation)| {
                !sizes.contains_key(*anchor)
                    || accumulation.joint.iter().any(|bytes| *bytes > 0)
                    || self.is_lacking(accumulation)
            })
            .flat_map(|(_, accumulation)| accumulation.content.keys().map(|kind| self.told(*kind)))
            .collect();
        let counted = self.counted(&asked, control)?;
        let part = |(counts, came): &Counted, step: usize| {
            let (before, after, came) = (counts[step], counts[step + 1], came[step]);
            if came == 0 { 1.0 } else { (after.saturating_sub(before) as f64 / came as f64).min(self.unseen as f64) }
        };
        let steps = self.diff.step_count();
        Ok(counted
            .iter()
            .map(|(kind, counted)| (*kind, (0..steps).map(|step| part(counted, step)).collect()))
            .collect())
    }

    /// Says of points that gave back some of what came, by kind, which part of it is growth: of what the whole heap has of the kind. It is
    /// another part than that of the bytes where something else left, as the list does that a longer one replaces.
    ///
    /// # Errors
    /// [`crate::Error::Interrupted`] when cancelled.
    pub(super) fn weigh(
        &self,
        accumulations: &mut [(AccumulationPoint, Accumulation)],
        control: &Control<'_>,
    ) -> Result<()> {
        let told = |accumulation: &Accumulation| -> Vec<ObjectKind> {
            let kinds =
                if accumulation.gave_back() { accumulation.content.keys().copied().collect() } else { Vec::new() };
            kinds.into_iter().filter(is_told).collect()
        };
        let asked =
            accumulations.iter().flat_map(|(_, accumulation)| told(accumulation)).map(|kind| self.told(kind)).collect();
        let counted = self.counted(&asked, control)?;
        for (_, accumulation) in accumulations {
            for kind in told(accumulation) {
                let (counts, came) = &counted[&self.told(kind)];
                let (grown, came) = (counts[counts.len() - 1].saturating_sub(counts[0]), came.iter().sum::<u64>());
                if came > 0 {
                    accumulation.kept.insert(kind, (grown as f64 / came as f64).min(1.0));
                }
            }
        }
        Ok(())
    }

    /// How many objects of a kind each dump has, and how many came in each step.
    fn counted(&self, asked: &HashSet<ObjectKind>, control: &Control<'_>) -> Result<HashMap<ObjectKind, Counted>> {
        if asked.is_empty() {
            return Ok(HashMap::new());
        }
        let types: HashSet<Type> = asked.iter().map(|(ty, ..)| *ty).collect();
        let (heap, steps) = (self.diff.heap(), self.diff.step_count());
        let mut counted: HashMap<ObjectKind, Counted> =
            asked.iter().map(|kind| (*kind, (vec![0; steps + 1], vec![0; steps]))).collect();
        for id in heap.nodes().filter(|id| self.tree.is_reachable(*id)) {
            control.check_at(id.0 as usize)?;
            if !types.contains(&heap.ty(id)) {
                continue;
            }
            let kind = self.told(kind_of(heap, id));
            if let Some((counts, came)) = counted.get_mut(&kind) {
                counts[steps] += 1;
                self.diff.step(id).into_iter().for_each(|step| came[step] += 1);
            }
        }
        for dump in 0..steps {
            let earlier = self.diff.dumps()[dump].heap;
            let translation = Translation::new(heap.names(), earlier.names());
            let read = |(ty, class, site, label): &ObjectKind| -> Option<ObjectKind> {
                let text = |sym: crate::symbols::Symbol| translation.labels[sym.0 as usize];
                Some((*ty, text(*class)?, translation.sites[site.0 as usize]?, text(*label)?))
            };
            let there: HashMap<ObjectKind, ObjectKind> =
                asked.iter().filter_map(|kind| read(kind).map(|there| (there, *kind))).collect();
            for id in earlier.nodes().filter(|id| self.earlier[dump].is_reachable(*id)) {
                control.check_at(id.0 as usize)?;
                if !types.contains(&earlier.ty(id)) {
                    continue;
                }
                let kind = there.get(&self.told(kind_of(earlier, id)));
                if let Some((counts, _)) = kind.and_then(|kind| counted.get_mut(kind)) {
                    counts[dump] += 1;
                }
            }
        }
        Ok(counted)
    }

    /// What goes from point to point, as from a list of the latest to an index of all, comes to each of them in one step only: such points,
    /// which hold most of one kind, as one, at the nearest object that holds them all, or else at the one that took in the most.
    fn joined(&self, accumulations: Vec<(AccumulationPoint, Accumulation)>) -> Vec<(AccumulationPoint, Accumulation)> {
        let mut by_kind: HashMap<ObjectKind, Vec<(AccumulationPoint, Accumulation)>> = HashMap::new();
        for (anchor, accumulation) in accumulations {
            let main = accumulation.content.iter().max_by_key(|(kind, content)| (content.retained, **kind));
            let main = main.map(|(kind, _)| *kind).filter(is_told);
            if let Some(kind) = main.map(|kind| self.told(kind)).filter(|_| self.is_lacking(&accumulation)) {
                by_kind.entry(kind).or_default().push((anchor, accumulation));
            }
        }
        let mut joined = Vec::new();
        for mut accumulations in by_kind.into_values().filter(|accumulations| accumulations.len() > 1) {
            sort::by(&mut accumulations, |(a, one), (b, other)| other.total().cmp(&one.total()).then(a.cmp(b)));
            accumulations.truncate(JOINED);
            let common = self.common(accumulations.iter().map(|(anchor, _)| anchor.node()));
            let anchor = common.map_or(accumulations[0].0, AccumulationPoint::Node);
            let mut all = Accumulation::default();
            accumulations.into_iter().for_each(|(_, accumulation)| all.add(accumulation));
            joined.push((anchor, all));
        }
        joined
    }

    /// Whether nothing came in some step.
    fn is_lacking(&self, accumulation: &Accumulation) -> bool {
        self.worked(&accumulation.steps).into_iter().any(|came| came < self.floor)
    }

    /// The nearest object that dominates all, one of them too.
    fn common(&self, mut nodes: impl Iterator<Item = Option<NodeId>>) -> Option<NodeId> {
        let up = |from: NodeId| std::iter::successors(Some(from), |node| self.tree.above(*node)).take(HIGH);
        let mut common: Vec<NodeId> = up(nodes.next()??).collect();
        for node in nodes {
            let held: HashSet<NodeId> = up(node?).collect();
            let from = common.iter().position(|node| held.contains(node))?;
            common.drain(..from);
        }
        common.first().copied()
    }

    /// What a kind is told by: where objects were moved their lines are lost.
    fn told(&self, (ty, class, site, label): ObjectKind) -> ObjectKind {
        (ty, class, if self.has_unmatched { SiteId::NONE } else { site }, label)
    }

    /// The growth of a point; none where it did not grow.
    fn growth(
        &self,
        anchor: AccumulationPoint,
        accumulation: &Accumulation,
        sizes: Option<&Vec<u64>>,
        parts: &HashMap<ObjectKind, Vec<f64>>,
    ) -> Option<Growth> {
        let steps = self.net(accumulation, sizes, parts);
        if let Some(growth) = self.judged(anchor, accumulation, steps, sizes) {
            return Some(growth);
        }
        let grown = grown(sizes?);
        if !self.is_growing(&grown) || !is_one_value(accumulation) {
            return None;
        }
        let why = "it is replaced by a longer one each time, so it may as well be filled anew each time; a fourth dump would tell";
        let verdict = (Confidence::Low, why.to_owned());
        Some(Growth { steps: grown, verdict })
    }

    /// Points that are one to a programmer, as one that grew by the sum of what each did; none where that is no growth. Then they are left.
    fn together(
        &self,
        group: &[AccumulationPoint],
        accumulations: &mut HashMap<AccumulationPoint, Accumulation>,
        sizes: &HashMap<AccumulationPoint, Vec<u64>>,
        parts: &HashMap<ObjectKind, Vec<f64>>,
    ) -> Option<(AccumulationPoint, Accumulation, Growth)> {
        let sum = |all: Vec<u64>, one: &Vec<u64>| -> Vec<u64> {
            all.iter().zip(one).map(|(sum, step)| sum.saturating_add(*step)).collect()
        };
        // What one point gives back another did not take in.
        let signed = |anchor: &AccumulationPoint| -> Vec<i128> {
            let (accumulation, sizes) = (&accumulations[anchor], sizes.get(anchor));
            let lost = |step: usize| {
                let (before, after) = sizes.map_or((0, 0), |sizes| (sizes[step], sizes[step + 1]));
                i128::from(before.saturating_sub(after))
            };
            self.net(accumulation, sizes, parts)
                .iter()
                .enumerate()
                .map(|(step, net)| i128::from(*net) - lost(step))
                .collect()
        };
        let nets =
            group.iter().map(signed).reduce(|all, one| all.iter().zip(&one).map(|(sum, step)| sum + step).collect());
        let steps = nets?.into_iter().map(|net| u64::try_from(net.max(0)).unwrap_or(u64::MAX)).collect();
        let known: Option<Vec<&Vec<u64>>> = group.iter().map(|anchor| sizes.get(anchor)).collect();
        let known = known.and_then(|known| known.into_iter().cloned().reduce(|all, one| sum(all, &one)));
        let first = *group.first()?;
        let mut all = Accumulation::default();
        group.iter().for_each(|anchor| all.add(accumulations[anchor].clone()));
        let growth = self.judged(first, &all, steps, known.as_ref())?;
        all.others.extend(group[1..].iter().filter_map(|anchor| anchor.node()));
        group.iter().for_each(|anchor| _ = accumulations.remove(anchor));
        Some((first, all, growth))
    }

    /// Whether as much came in each step in which the process did something.
    fn is_growing(&self, steps: &[u64]) -> bool {
        self.worked(steps).into_iter().all(|step| step >= self.floor)
    }

    /// The growth of a point by what came, less what left; none where it gave back what it took in, or did not grow in each step.
    fn judged(
        &self,
        anchor: AccumulationPoint,
        accumulation: &Accumulation,
        steps: Vec<u64>,
        sizes: Option<&Vec<u64>>,
    ) -> Option<Growth> {
        let (net, came): (u64, u64) = (steps.iter().sum(), accumulation.steps.iter().sum());
        if !self.is_growing(&steps) || net < came / CHANCE {
            return None;
        }
        let is_alone = accumulation.joint.iter().all(|joint| *joint == 0);
        let verdict = self.verdict(anchor, &steps, came, sizes.filter(|_| is_alone));
        Some(Growth { steps, verdict })
    }

    /// What came to a point in each step, less what left.
    fn net(
        &self,
        accumulation: &Accumulation,
        sizes: Option<&Vec<u64>>,
        parts: &HashMap<ObjectKind, Vec<f64>>,
    ) -> Vec<u64> {
        let count: u64 = accumulation.count();
        let part = |step: usize| {
            let sum: f64 = accumulation
                .content
                .iter()
                .map(|(kind, content)| {
                    parts.get(&self.told(*kind)).map_or(1.0, |part| part[step]) * content.count as f64
                })
                .sum();
            if count == 0 { 1.0 } else { sum / count as f64 }
        };
        let grown = sizes.map(|sizes| grown(sizes));
        let net = |(step, came): (usize, &u64)| {
            let joint = accumulation.joint.get(step).copied().unwrap_or(0);
            match &grown {
                // What was moved looks new in a later step than it came in.
                Some(grown) if self.has_unmatched => grown[step],
                Some(grown) => {
                    grown[step].min((came - joint).saturating_mul(self.unseen)) + (joint as f64 * part(step)) as u64
                }
                None => (*came as f64 * part(step)) as u64,
            }
        };
        accumulation.steps.iter().enumerate().map(net).collect()
    }

    fn verdict(
        &self,
        anchor: AccumulationPoint,
        steps: &[u64],
        came: u64,
        sizes: Option<&Vec<u64>>,
    ) -> (Confidence, String) {
        let net: u64 = steps.iter().sum();
        let plain = self.worked(steps);
        // What grows by request grows unevenly where there are more of them in one step than in another.
        let even = self.work.as_ref().map_or_else(|| steps.to_vec(), |work| work.evened(steps));
        let by_work = if even == plain { "" } else { " for the work in it" };
        let steps = &even[..];
        if let [_] = steps {
            let mut why = "it grew between two dumps; a third would tell whether it goes on".to_owned();
            self.caps
                .iter()
                .filter(|(cap, _)| *cap == Confidence::Low)
                .for_each(|(_, cap)| why = format!("{cap}; {why}"));
            return (Confidence::Low, why);
        }
        let kept = match net.saturating_mul(10) < came.saturating_mul(7) {
            true => {
                format!("{} of the {} that came are still more than what left", human::bytes(net), human::bytes(came))
            }
            false => "what came is still there".to_owned(),
        };
        let (mut confidence, grew) = evenness(steps);
        let mut caps = self.caps.clone();
        let mut cap = |confidence, why: &str| caps.push((confidence, why.to_owned()));
        let flatter = if self.unseen == 1 { FLATTER } else { FLATTER_UNTRACED };
        if is_flatter(steps, flatter) {
            cap(Confidence::Low, FILLS);
        }
        if net.saturating_mul(GIVEN_BACK) < came {
            cap(Confidence::Low, "it gave back most of what it took in, as a cache does");
        }
        if self.is_filled(anchor) {
            cap(Confidence::Low, "the array keeps its length while it is filled");
        }
        if sizes.is_some_and(|sizes| sizes[0] < plain.iter().min().copied().unwrap_or(0) / 2) {
            cap(Confidence::Low, "it held little in the first dump, and what has just begun to fill may end");
        }
        if steps.len() < MANY_STEPS && anchor.node().is_some_and(|id| self.diff.heap().properties(id).ty == Type::Hash)
        {
            cap(
                Confidence::Medium,
                "a cache that warms up fills a hash just so; a fourth dump would tell whether it ends",
            );
        }
        caps.retain(|(cap, _)| *cap < confidence);
        confidence = caps.iter().map(|(cap, _)| *cap).min().unwrap_or(confidence);
        let whys = std::iter::once(format!("{grew}{by_work}, and {kept}")).chain(caps.into_iter().map(|(_, why)| why));
        (confidence, whys.collect::<Vec<_>>().join("; "))
    }

    /// Whether the point is an array that has one length in all dumps: it was made for so many, as a ring buffer is.
    fn is_filled(&self, anchor: AccumulationPoint) -> bool {
        let array = anchor.node().filter(|id| self.diff.heap().properties(*id).ty == Type::Array);
        let Some(array) = array else { return false };
        let length = self.diff.heap().length(array);
        let before = |dump: usize| self.diff.dumps()[dump].heap.length(self.locate(dump, array)?);
        length.is_some() && (0..self.diff.step_count()).all(|dump| before(dump) == length)
    }
}

/// By how much sizes grew in each step.
fn grown(sizes: &[u64]) -> Vec<u64> {
    sizes.windows(2).map(|pair| pair[1].saturating_sub(pair[0])).collect()
}

/// How evenly something grew.
pub(super) fn evenness(steps: &[u64]) -> (Confidence, &'static str) {
    let (least, most) = (steps.iter().min().copied().unwrap_or(0), steps.iter().max().copied().unwrap_or(0));
    match () {
        () if least.saturating_mul(2) >= most => (Confidence::High, "it grew evenly in each step"),
        () if least.saturating_mul(8) >= most => (Confidence::Medium, "it grew in each step, unevenly"),
        () => (Confidence::Low, "it grew much more in one step than in another"),
    }
}

/// Whether each step is smaller than such a part, in eighths, of the one before.
fn is_flatter(steps: &[u64], part: u64) -> bool {
    steps.windows(2).all(|pair| pair[1].saturating_mul(8) < pair[0].saturating_mul(part))
}

const FILLS: &str = "each step is smaller than the one before, as while a cache fills; a fourth dump would tell";

/// How far to believe that what grew so goes on, of what no more is known.
pub(super) fn course(steps: &[u64], work: Option<&Work>) -> (Confidence, String) {
    let even = work.map_or_else(|| steps.to_vec(), |work| work.evened(steps));
    if even.len() < 2 {
        return (Confidence::Low, "it grew between two dumps; a third would tell whether it goes on".to_owned());
    }
    let by_work =
        if even == work.map_or_else(|| steps.to_vec(), |work| work.worked(steps)) { "" } else { " for the work in it" };
    let (confidence, grew) = evenness(&even);
    match is_flatter(&even, FLATTER_UNTRACED) {
        true => (Confidence::Low, format!("{grew}{by_work}; {FILLS}")),
        false => (confidence, format!("{grew}{by_work}")),
    }
}

/// How many pieces of code came between two dumps, where that is so many that the app was still starting.
pub(in crate::analysis) fn warm_up(first: &Heap, last: &Heap) -> Option<u64> {
    let count = |heap: &Heap| {
        let iseq = heap.names().tables.symbols.find(b"iseq");
        let is_code = |id: &NodeId| heap.ty(*id) == Type::Imemo && Some(heap.properties(*id).names.label) == iseq;
        heap.nodes().filter(is_code).count() as u64
    };
    let (before, all) = (count(first), count(last));
    let new = all.saturating_sub(before);
    (new >= NEW_CODE && new >= all / NEW_CODE_PART).then_some(new)
}

fn is_alike(heap: &Heap, id: NodeId, other: &Heap, node: NodeId) -> bool {
    let class = |heap: &Heap, id: NodeId| {
        heap.names().tables.symbols.text(heap.names().instance_class(heap.properties(id).names.class)).into_owned()
    };
    heap.properties(id).ty == other.properties(node).ty && class(heap, id) == class(other, node)
}

/// Whether what came is a single text, list or table.
fn is_one_value(accumulation: &Accumulation) -> bool {
    let most = accumulation.content.iter().max_by_key(|(_, content)| content.retained);
    most.is_some_and(|((ty, ..), content)| {
        matches!(ty, Type::String | Type::Array | Type::Hash)
            && content.count == 1
            && content.retained.saturating_mul(5) >= accumulation.total().saturating_mul(4)
    })
}

/// Why the app was still starting: much of its code is new.
fn starting(diff: &Diff<'_>, tree: &Tree) -> Option<String> {
    let heap = diff.heap();
    let iseq = heap.names().tables.symbols.find(b"iseq")?;
    let (mut all, mut new) = (0u64, 0u64);
    for id in heap.nodes().filter(|id| heap.ty(*id) == Type::Imemo && tree.is_reachable(*id)) {
        if heap.properties(id).names.label == iseq {
            all += 1;
            new += u64::from(diff.is_new(id));
        }
    }
    (new >= NEW_CODE && new >= all / NEW_CODE_PART).then(|| {
        format!("{} pieces of code were loaded between the dumps, so the app was still warming up", human::count(new))
    })
}
