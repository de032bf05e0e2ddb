//! Places that are one to a programmer: those with one normalised path, as each of many tenants' lists is.

use super::Suspect;
use crate::heap::{Heap, NodeId};
use crate::record::Type;
use hashbrown::HashMap;

/// So many more suspects than are asked for are looked at, since some are similar.
pub(super) const SIMILAR: usize = 20;

/// The suspects, similar ones as one at the place of the first of them: by fingerprint, class and holder. Two variables of one object are
/// two places.
pub(super) fn as_one(heap: &Heap, found: Vec<Suspect>) -> Vec<Suspect> {
    let mut places: HashMap<(String, String, String, Option<NodeId>), usize> = HashMap::new();
    let mut holders: HashMap<NodeId, usize> = HashMap::new();
    let before = |suspect: &Suspect| {
        let steps = &suspect.path.steps;
        let point = steps.iter().rposition(|step| Some(step.id) == suspect.id)?;
        Some(steps[point.checked_sub(1)?].id)
    };
    found.iter().filter_map(before).for_each(|id| *holders.entry(id).or_default() += 1);
    let mut all: Vec<Suspect> = Vec::new();
    for suspect in found {
        let is_one_of_many = before(&suspect).is_some_and(|id| match heap.ty(id) {
            Type::Class | Type::Module => false,
            Type::Array | Type::Hash => true,
            _ => holders.get(&id) == Some(&1),
        });
        let own = suspect.id.filter(|_| !is_one_of_many);
        let key = (suspect.fingerprint(), suspect.class.clone(), suspect.holder.clone(), own);
        match places.get(&key) {
            Some(place) => all[*place].join(suspect),
            None => {
                places.insert(key, all.len());
                all.push(suspect);
            }
        }
    }
    all
}

impl Suspect {
    fn join(&mut self, other: Suspect) {
        self.places += other.places;
        self.count += other.count;
        self.memsize = self.memsize.saturating_add(other.memsize);
        self.steps.iter_mut().zip(&other.steps).for_each(|(sum, step)| *sum = sum.saturating_add(*step));
        self.confidence = self.confidence.max(other.confidence);
        self.since = self.since.min(other.since);
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
            found.iter().map(|one| (one.count, one.places)).collect::<Vec<_>>(),
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
