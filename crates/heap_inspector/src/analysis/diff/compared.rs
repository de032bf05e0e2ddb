//! Which dumps are compared, and what to know of them before the numbers are believed: what each answer of several dumps carries, as
//! [`Context`] is what those of one do.

use super::Diff;
use super::doubts::doubts;
use crate::analysis::Context;
use crate::report::{Level, Note, Report, Section};

/// Dumps that are compared, told without them.
#[derive(Clone, Debug)]
pub struct Compared {
    /// Their names, oldest first.
    pub names: Vec<String>,
    /// What each holds in all, and what was lost of it.
    pub contexts: Vec<Context>,
    /// Whether all can be of one process; else what is new cannot be told.
    pub is_one_process: bool,
    /// Why the numbers are not sure, where it is so.
    pub doubts: Vec<Section>,
}

impl Compared {
    /// Those of a diff.
    #[must_use]
    pub fn of(diff: &Diff<'_>) -> Compared {
        Compared {
            names: diff.dumps().iter().map(|dump| dump.name.to_owned()).collect(),
            contexts: diff.dumps().iter().map(|dump| Context::of(dump.heap)).collect(),
            is_one_process: diff.is_one_process(),
            doubts: doubts(diff),
        }
    }

    /// What the numbers cannot be believed for, in words.
    #[must_use]
    pub fn warnings(&self) -> Vec<String> {
        let warning = |section: &Section| match section {
            Section::Note(note) if note.level == Level::Warning => Some(note.text.clone()),
            _ => None,
        };
        self.report(Vec::new()).sections.iter().filter_map(warning).collect()
    }

    /// A report with what is to be known of the dumps.
    pub(super) fn report(&self, mut sections: Vec<Section>) -> Report {
        // What the numbers cannot be believed for is read before them.
        let is_warning = |section: &Section| matches!(section, Section::Note(note) if note.level == Level::Warning);
        let (warnings, notes): (Vec<Section>, Vec<Section>) = self.doubts.iter().cloned().partition(is_warning);
        sections.splice(0..0, warnings);
        sections.extend(notes);
        for (name, context) in self.names.iter().zip(&self.contexts) {
            sections.extend(context.notes().into_iter().map(|section| match section {
                Section::Note(note) => Section::Note(Note { text: format!("{name}: {}", note.text), ..note }),
                section => section,
            }));
        }
        Report { verb: "diff", dump: self.names.join(", "), sections }
    }
}
