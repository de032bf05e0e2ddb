//! The suspects of loaded dumps, the same through every door.

use super::Named;
use crate::analysis::diff::{Diff, Dump};
use crate::analysis::suspects::{self, Exceptions, Known, Suspects};
use crate::analysis::verdicts::{Judge, Rules};
use crate::control::Control;
use crate::report::Section;
use crate::source::Source;
use crate::{Error, Result};

/// What a user says of suspects.
#[derive(Clone, Copy, Debug)]
pub struct Said<'a> {
    /// So many are told at most.
    pub limit: usize,
    /// Which are left out.
    pub except: Option<&'a Exceptions>,
    /// What is meant to live, and what is not.
    pub rules: &'a Rules,
    /// Which were seen before.
    pub known: Option<&'a Known>,
    /// Whether one that was not seen before is a failure, one too that is not told.
    pub fails_on_new: bool,
}

impl<'a> Said<'a> {
    /// So many, by these rules, and nothing else.
    #[must_use]
    pub fn plain(limit: usize, rules: &'a Rules) -> Said<'a> {
        Said { limit, except: None, rules, known: None, fails_on_new: false }
    }
}

impl Named<'_> {
    /// The suspects of dumps, the oldest first, which `diff` compares where there are several; and the failure, where there is one. Texts
    /// are read from `source`, the last dump's.
    ///
    /// # Errors
    /// [`Error::Usage`] for no dump; those of [`suspects::of_dumps`].
    pub fn suspects(
        dumps: &[Named<'_>],
        diff: Option<&Diff<'_>>,
        source: &Source,
        said: Said<'_>,
        control: &Control<'_>,
    ) -> Result<(Suspects, Option<Section>)> {
        let [.., Named { snapshot, .. }] = dumps else { return Err(Error::usage("suspects are of a dump")) };
        let (heap, tree) = (snapshot.heap(), snapshot.tree(control)?);
        // Those left out must not take the places of others.
        let limit = if said.except.is_some() || said.fails_on_new { usize::MAX } else { said.limit };
        let (mut found, by_path) = match diff {
            None => {
                let graph = (snapshot.children(control)?, snapshot.shortest_paths(control)?);
                (suspects::of_heap_by(heap, tree, graph, source, limit, control)?, None)
            }
            Some(diff) => {
                let pathed = || dumps.iter().map(|dump| dump.pathed(control)).collect();
                suspects::of_dumps(diff, tree, source, limit, &pathed, control)?
            }
        };
        found.retain(|suspect| said.except.is_none_or(|except| !except.name(suspect)));
        if let Some(known) = said.known {
            known.mark(&mut found);
        }
        let failure = if said.fails_on_new { suspects::failure(&found) } else { None };
        found.truncate(said.limit);
        suspects::free(&mut found, heap, tree, source, diff, || snapshot.shortest_paths(control), control)?;
        suspects::judge(&mut found, &Judge::new(heap, tree, snapshot.at_work(control)?, said.rules), diff);
        let compared: Vec<Dump<'_>> = dumps.iter().map(|dump| dump.compared()).collect();
        Ok((Suspects::new(found, by_path, &compared, diff), failure))
    }
}
