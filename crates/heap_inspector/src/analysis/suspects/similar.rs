//! Accumulation points that are one to a programmer: those with one normalised path, as each of many tenants' lists is.
//!
//! They are looked for before points are ranked ([`alike`]), since many that are small each may be more than one that is not; and once more
//! among the suspects ([`as_one`]), whose classes are known then.

use super::Suspect;
use super::anchors::AccumulationPoint;
use super::growth::evenness;
use super::points::{Accumulation, kind_of};
use crate::analysis::normalised::{NormalisedPaths, PathId};
use crate::analysis::work::Work;
use crate::control::Control;
use crate::graph::dominators::Tree;
use crate::graph::shortest_paths::ShortestPaths;
use crate::heap::{Heap, NodeId};
use crate::memory::map;
use crate::record::Type;
use crate::symbols::Symbol;
use crate::{Result, sort};
use hashbrown::HashMap;

/// So many more suspects than are asked for are looked at, since some are similar.
pub(super) const SIMILAR: usize = 20;

/// Whether a point is one of many by what it is held by: in a list, or by an object that has but one such point. Two variables of one object
/// are two points, and so are two constants.
fn is_one_of_many(heap: &Heap, holder: NodeId, held: usize) -> bool {
    match heap.ty(holder) {
        Type::Class | Type::Module => false,
        Type::Array | Type::Hash => true,
        _ => held == 1,
    }
}

/// The points with one normalised path that hold objects of one class, two or more each; of each the one that holds the most is the first.
///
/// # Errors
/// [`crate::Error::Interrupted`] when cancelled, [`crate::Error::Memory`].
pub(super) fn alike(
    heap: &Heap,
    tree: &Tree,
    shortest_paths: &ShortestPaths,
    accumulations: &HashMap<AccumulationPoint, Accumulation>,
    control: &Control<'_>,
) -> Result<Vec<Vec<AccumulationPoint>>> {
    type Class = (Type, Symbol);
    let class = |accumulation: &Accumulation| -> Option<Class> {
        let main = accumulation.content.iter().max_by_key(|(kind, content)| (content.retained, **kind))?;
        let (ty, class, ..) = kind_of(heap, main.1.sample);
        Some((ty, class))
    };
    let is_holder =
        |id: &NodeId| matches!(heap.ty(*id), Type::Array | Type::Hash | Type::Object | Type::Struct | Type::Data);
    let held = accumulations.iter().filter_map(|(anchor, accumulation)| {
        let id = anchor.node().filter(is_holder)?;
        Some((id, shortest_paths.parent(id)?, class(accumulation)?))
    });
    let mut found: Vec<(NodeId, NodeId, Class)> = held.collect();
    control.check()?;
    sort::by(&mut found, Ord::cmp);
    let mut by_holder: HashMap<(NodeId, Class), usize> = HashMap::new();
    for (_, holder, class) in &found {
        map(&mut by_holder, 1)?;
        *by_holder.entry((*holder, *class)).or_default() += 1;
    }
    let mut paths = NormalisedPaths::new(heap, tree, shortest_paths)?;
    let mut groups: HashMap<(PathId, Class), Vec<NodeId>> = HashMap::new();
    for (step, (id, holder, class)) in found.into_iter().enumerate() {
        control.check_at(step)?;
        let path = paths.of(id)?;
        // By what only a root holds no program tells one from another.
        if paths.has_beginning(path) && is_one_of_many(heap, holder, by_holder[&(holder, class)]) {
            map(&mut groups, 1)?;
            groups.entry((path, class)).or_default().push(id);
        }
    }
    let total = |id: &NodeId| accumulations[&AccumulationPoint::Node(*id)].total();
    let mut groups: Vec<Vec<NodeId>> = groups.into_values().filter(|group| group.len() > 1).collect();
    for group in &mut groups {
        control.check()?;
        sort::by_key(group, |id| (std::cmp::Reverse(total(id)), *id));
    }
    sort::by_key(&mut groups, |group| group[0]);
    Ok(groups.into_iter().map(|group| group.into_iter().map(AccumulationPoint::Node).collect()).collect())
}

/// The suspects, similar ones as one: by fingerprint, class and holder. One that is of several ranks anew, by the sum.
pub(super) fn as_one(heap: &Heap, work: Option<&Work>, found: Vec<Suspect>) -> Vec<Suspect> {
    let mut known: HashMap<(String, String, String, Option<NodeId>), usize> = HashMap::new();
    let mut holders: HashMap<(NodeId, String), usize> = HashMap::new();
    let before = |suspect: &Suspect| {
        let steps = &suspect.path.steps;
        let point = steps.iter().rposition(|step| Some(step.id) == suspect.id)?;
        Some((steps[point.checked_sub(1)?].id, suspect.class.clone()))
    };
    found.iter().filter_map(before).for_each(|held| *holders.entry(held).or_default() += 1);
    // Each with whether it is of several.
    let mut all: Vec<(Suspect, bool)> = Vec::new();
    for suspect in found {
        let is_one = before(&suspect).is_some_and(|held| is_one_of_many(heap, held.0, holders[&held]));
        let own = suspect.id.filter(|_| !is_one);
        let key = (suspect.fingerprint(), suspect.class.clone(), suspect.holder.clone(), own);
        match known.get(&key) {
            Some(at) => {
                let (first, is_joined) = &mut all[*at];
                first.join(suspect);
                *is_joined = true;
            }
            None => {
                known.insert(key, all.len());
                all.push((suspect, false));
            }
        }
    }
    let mut ranked: Vec<Suspect> = Vec::new();
    for (mut suspect, is_joined) in all {
        if !is_joined {
            ranked.push(suspect);
            continue;
        }
        suspect.judge_together(work);
        let position = ranked.iter().position(|other| other.rank < suspect.rank).unwrap_or(ranked.len());
        ranked.insert(position, suspect);
    }
    ranked
}

impl Suspect {
    fn join(&mut self, other: Suspect) {
        self.accumulation_point_count += other.accumulation_point_count;
        self.count += other.count;
        self.grown += other.grown;
        self.memsize = self.memsize.saturating_add(other.memsize);
        self.steps.iter_mut().zip(&other.steps).for_each(|(sum, step)| *sum = sum.saturating_add(*step));
        self.confidence = self.confidence.max(other.confidence);
        self.since = self.since.min(other.since);
        self.rank = (self.rank.0.max(other.rank.0), self.rank.1.saturating_add(other.rank.1));
    }

    /// Ranks what is of several accumulation points by its sum, and believes it no more than that allows.
    fn judge_together(&mut self, work: Option<&Work>) {
        if self.steps.is_empty() {
            return; // what the points rank by adds up
        }
        let worked = work.map_or_else(|| self.steps.clone(), |work| work.worked(&self.steps));
        self.rank.1 = worked.iter().min().copied().unwrap_or(0);
        if worked.len() < 2 {
            return;
        }
        let (most, grew) = evenness(&work.map_or(worked, |work| work.evened(&self.steps)));
        if most < self.confidence {
            self.confidence = most;
            self.reasons.insert(0, format!("its accumulation points together: {grew}"));
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test may panic")]

    use crate::analysis::suspects::{Suspect, of_heap};
    use crate::control::Control;
    use crate::graph::dominators::Tree;
    use crate::graph::random::heap_of_lines;
    use std::fmt::Write as _;

    /// The suspects of two lists of items, each held by `holder` in its own way.
    fn suspects(is_by_tenants: bool) -> Vec<Suspect> {
        let mut lines = r#"{"type":"ROOT", "root":"vm", "references":["0x1000", "0x1028", "0x1050", "0x1078"]}
{"address":"0x1028", "type":"CLASS", "name":"Array", "memsize":40}
{"address":"0x1050", "type":"CLASS", "name":"Item", "memsize":40}
{"address":"0x1078", "type":"CLASS", "name":"Tenant", "memsize":40}
"#
        .to_owned();
        let held = if is_by_tenants { "0x5000" } else { "0x2000\", \"0x3000" };
        writeln!(
            lines,
            r#"{{"address":"0x1000", "type":"CLASS", "name":"App", "references":["{held}"], "memsize":40}}"#
        )
        .unwrap();
        writeln!(lines, r#"{{"address":"0x5000", "type":"ARRAY", "class":"0x1028", "length":2, "references":["0x5100", "0x5200"], "memsize":40}}"#).unwrap();
        for (tenant, list, first) in [(0x5100, 0x2000, 0x10_0000), (0x5200, 0x3000, 0x20_0000)] {
            writeln!(lines, r#"{{"address":"0x{tenant:x}", "type":"OBJECT", "class":"0x1078", "references":["0x{list:x}"], "memsize":40}}"#).unwrap();
            let items: Vec<u64> = (0..300u64).map(|number| first + number * 4000).collect();
            let references: Vec<String> = items.iter().map(|item| format!("\"0x{item:x}\"")).collect();
            writeln!(lines, r#"{{"address":"0x{list:x}", "type":"ARRAY", "class":"0x1028", "length":300, "references":[{}], "memsize":2440}}"#, references.join(", ")).unwrap();
            for item in items {
                writeln!(lines, r#"{{"address":"0x{item:x}", "type":"OBJECT", "class":"0x1050", "memsize":80}}"#)
                    .unwrap();
            }
        }
        let (heap, source) = heap_of_lines(&lines);
        let control = Control::default();
        let found = of_heap(&heap, &Tree::new(&heap, &control).unwrap(), &source, 5, &control).unwrap();
        found.into_iter().filter(|suspect| suspect.class == "Item").collect()
    }

    #[test]
    fn two_variables_of_one_object_are_two_places() {
        let found = suspects(false);
        assert_eq!(
            found.iter().map(|one| (one.count, one.accumulation_point_count)).collect::<Vec<_>>(),
            [(300, 1), (300, 1)],
            "{found:?}"
        );
    }

    #[test]
    fn lists_of_many_tenants_are_one() {
        let found = suspects(true);
        let all: u64 = found.iter().map(|one| one.count).sum();
        assert_eq!((found.len(), all), (1, 600), "{found:?}");
    }
}
