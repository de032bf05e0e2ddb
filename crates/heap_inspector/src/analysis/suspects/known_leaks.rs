//! Leaks of gems that are known: the entries of `known_leaks.json`, told apart by the path of what piles up and the gem's version.
//!
//! An entry fits a suspect if its patterns fit steps of the normalised path, in order, and if the version that the dump tells of the gem is
//! one that leaks. Where a dump tells no versions the entry is told with what versions it is of.

use super::Suspect;
use crate::Result;
use crate::analysis::normalised::{NormalisedPath, NormalisedPaths, PathId};
use crate::graph::dominators::Tree;
use crate::graph::shortest_paths::ShortestPaths;
use crate::heap::{Heap, NodeId};
use crate::patterns::{self, Patterns};
use serde::Deserialize;
use std::cmp::Ordering;
use std::collections::HashMap;
use std::sync::LazyLock;

/// So many objects are looked at below one that piles up.
const NEAR: usize = 64;
const DATA: &str = include_str!("known_leaks.json");

/// A leak that is known of a gem.
#[derive(Debug, Deserialize)]
struct KnownLeak {
    gem: String,
    /// The first version that leaks; none where it always did.
    first: Option<String>,
    /// The last that is known to leak.
    last: Option<String>,
    /// The first without it; none where there is none.
    fixed: Option<String>,
    /// Patterns of classes, in the order of the path.
    path: Vec<String>,
    /// A class of which what piles up holds an object, a few references further, where the path alone does not tell.
    holds: Option<String>,
    /// What to do.
    advice: String,
    link: String,
}

/// Each with its patterns.
static KNOWN: LazyLock<Vec<(KnownLeak, Vec<Patterns>)>> = LazyLock::new(|| {
    let all: Vec<KnownLeak> = serde_json::from_str(DATA).unwrap_or_default();
    let compiled = |leak: &KnownLeak| -> Option<Vec<Patterns>> {
        leak.path.iter().map(|step| patterns::compile([&step[..]], Default::default()).ok()).collect()
    };
    all.into_iter().filter_map(|leak| compiled(&leak).map(|path| (leak, path))).collect()
});

#[derive(Deserialize)]
struct Told {
    gems: Option<HashMap<String, String>>,
}

/// Says of suspects that are known leaks of gems which; the dump tells the versions.
///
/// # Errors
/// [`crate::Error::Memory`].
pub(super) fn mark(found: &mut [Suspect], heap: &Heap, tree: &Tree, shortest_paths: &ShortestPaths) -> Result<()> {
    let gems = heap.totals().taken::<Told>().and_then(|told| told.gems);
    let mut paths = NormalisedPaths::new(heap, tree, shortest_paths)?;
    for suspect in found {
        // What piles up may hold what takes most of the memory, which is what the suspect names.
        let Some(end) = suspect.path.steps.last().map(|step| step.id) else { continue };
        let all =
            [Some(end), suspect.id].into_iter().flatten().map(|id| paths.of(id)).collect::<Result<Vec<PathId>>>()?;
        let all: Vec<NormalisedPath> = all.into_iter().map(|id| paths.path(id).to(&suspect.class)).collect();
        suspect.known_leak = KNOWN.iter().find_map(|(leak, path)| {
            let is_it = all.iter().any(|steps| fits(path, steps))
                && leak.holds.as_ref().is_none_or(|class| holds(heap, end, class));
            is_it.then(|| leak.words(gems.as_ref())).flatten()
        });
    }
    Ok(())
}

/// Whether an object leads to one of a class by a few references.
fn holds(heap: &Heap, id: NodeId, class: &str) -> bool {
    let is_it = |id: NodeId| {
        let sym = heap.names().instance_class(heap.properties(id).names.class);
        heap.names().tables.symbols.bytes(sym) == class.as_bytes()
    };
    let (mut seen, mut at) = (vec![id], 0);
    while let Some(node) = seen.get(at).copied() {
        if is_it(node) {
            return true;
        }
        at += 1;
        for target in heap.targets(node).take(NEAR) {
            if seen.len() < NEAR && !seen.contains(&target) {
                seen.push(target);
            }
        }
    }
    false
}

/// Whether the patterns fit steps in this order. What is below the last of them came with it.
fn fits(path: &[Patterns], NormalisedPath(steps): &NormalisedPath) -> bool {
    let mut steps = steps.iter();
    !path.is_empty() && path.iter().all(|pattern| steps.any(|step| pattern.is_match(step)))
}

impl KnownLeak {
    /// It in words; none where another version of the gem is loaded, or none.
    fn words(&self, gems: Option<&HashMap<String, String>>) -> Option<String> {
        let loaded = match gems {
            Some(gems) => Some(gems.get(&self.gem).filter(|version| self.is_of(version))?),
            None => None,
        };
        let fixed = self.fixed.as_ref().map_or("not fixed yet".to_owned(), |fixed| format!("fixed in {fixed}"));
        let loaded = match loaded {
            Some(version) => format!("{version} is loaded"),
            None => "the dump tells no versions".to_owned(),
        };
        Some(format!("{} {}, {fixed} ({loaded}): {}; {}", self.gem, self.versions(), self.advice, self.link))
    }

    fn versions(&self) -> String {
        match (&self.first, &self.last) {
            (Some(first), Some(last)) if first == last => first.clone(),
            (Some(first), Some(last)) => format!("{first} to {last}"),
            (Some(first), None) => format!("since {first}"),
            (None, Some(last)) => format!("up to {last}"),
            (None, None) => "in all versions".to_owned(),
        }
    }

    /// Whether a version leaks.
    fn is_of(&self, version: &str) -> bool {
        let is_late = self.first.as_ref().is_none_or(|first| compare(version, first) != Ordering::Less);
        is_late && self.fixed.as_ref().is_none_or(|fixed| compare(version, fixed) == Ordering::Less)
    }
}

/// Versions as RubyGems compares them: by numbers, and a word (`beta1`) is before any number.
fn compare(one: &str, other: &str) -> Ordering {
    let part =
        |part: &str| part.parse::<u64>().map_or_else(|_| (0, 0, part.to_owned()), |number| (1, number, String::new()));
    let parts = |version: &str| version.split(['.', '-']).take(16).map(part).collect::<Vec<_>>();
    let (mut one, mut other) = (parts(one), parts(other));
    let length = one.len().max(other.len());
    // 1.0 is 1.0.0.
    one.resize(length, (1, 0, String::new()));
    other.resize(length, (1, 0, String::new()));
    one.cmp(&other)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test may panic")]

    use super::*;

    #[test]
    fn the_data_is_whole() {
        let all: Vec<KnownLeak> = serde_json::from_str(DATA).unwrap();
        assert_eq!(KNOWN.len(), all.len(), "each pattern is one");
        assert!(all.len() >= 5);
        assert!(all.iter().map(|leak| &leak.gem).is_sorted());
        for leak in &all {
            assert!(leak.link.starts_with("https://") && !leak.advice.is_empty(), "{leak:?}");
            assert!(leak.path.len() + usize::from(leak.holds.is_some()) > 1, "one class is too little: {leak:?}");
            let bounds = [&leak.first, &leak.last, &leak.fixed].map(Option::as_deref);
            let known: Vec<&str> = bounds.into_iter().flatten().collect();
            assert!(known.windows(2).all(|pair| compare(pair[0], pair[1]) != Ordering::Greater), "{leak:?}");
        }
    }

    #[test]
    fn versions_are_compared_as_rubygems_does() {
        let order = ["0.9", "1.0.0.beta1", "1.0.0.beta2", "1.0", "1.0.1", "1.2", "1.10", "2.0.0.pre", "2"];
        for (at, one) in order.iter().enumerate() {
            for (place, other) in order.iter().enumerate() {
                assert_eq!(compare(one, other), at.cmp(&place), "{one} {other}");
            }
        }
        assert_eq!(compare("1", "1.0.0"), Ordering::Equal);
    }

    #[test]
    fn a_path_fits_by_its_steps_in_order() {
        let path: Vec<Patterns> = ["Session", "*::Client"]
            .iter()
            .map(|step| patterns::compile([*step], Default::default()).unwrap())
            .collect();
        let of = |steps: &[&str]| NormalisedPath(steps.iter().map(|step| (*step).to_owned()).collect());
        assert!(fits(&path, &of(&["Debugger", "Session", "Hash", "A::Client"])));
        assert!(fits(&path, &of(&["Session", "A::Client", "String"])));
        for other in [&["A::Client", "Session"][..], &["Session", "Hash"], &["A::Client"], &[]] {
            assert!(!fits(&path, &of(other)), "{other:?}");
        }
        assert!(!fits(&[], &of(&["Session"])));
    }

    #[test]
    fn it_is_told_of_the_versions_that_leak() {
        let (leak, _) = KNOWN.iter().find(|(leak, _)| leak.gem == "newrelic_rpm").unwrap();
        let gems = |version: &str| HashMap::from([("newrelic_rpm".to_owned(), version.to_owned())]);
        let words = leak.words(Some(&gems("9.1.0"))).unwrap();
        assert!(words.starts_with("newrelic_rpm 9.0.0 to 9.2.0, fixed in 9.2.1 (9.1.0 is loaded): "), "{words}");
        for version in ["8.16.0", "9.2.1", "10.0.0"] {
            assert_eq!(leak.words(Some(&gems(version))), None, "{version}");
        }
        assert_eq!(leak.words(Some(&HashMap::new())), None);
        assert!(leak.words(None).unwrap().contains("(the dump tells no versions)"));
    }
}
