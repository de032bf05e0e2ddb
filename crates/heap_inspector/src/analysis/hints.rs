//! Notes that lead from an answer to the next question. What came down a pipe cannot be asked again, so it has none.

use super::note;
use crate::report::{Level, Report};
use crate::source::Source;

/// After the generations of a dump: the largest is often a harmless one, so the way goes by what is retained.
#[must_use]
pub fn after_generations(report: Report, source: &Source) -> Report {
    let detail = format!("`heap_inspector read {} N` shows generation N in detail", shell_words::quote(&report.dump));
    with(report, source, Some(detail))
}

/// After groups of objects, which say what there is much of, but not what keeps it.
#[must_use]
pub fn after_groups(report: Report, source: &Source) -> Report {
    with(report, source, None)
}

fn with(mut report: Report, source: &Source, more: Option<String>) -> Report {
    if source.file_path().is_some() {
        let next = format!(
            "`heap_inspector suspects {}` names what may leak and what retains it; three dumps of one process at work tell a leak \
             from a cache",
            shell_words::quote(&report.dump)
        );
        report.sections.extend(more.into_iter().chain([next]).map(|text| note(Level::Info, text)));
    }
    report
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::Section;

    fn notes(source: &Source) -> Vec<Section> {
        let dump = source.name().to_owned();
        after_groups(Report { verb: "top", dump, sections: Vec::new() }, source).sections
    }

    #[test]
    fn names_of_files_are_for_a_shell() {
        let [Section::Note(note)] = &notes(&Source::path("it's a heap.json"))[..] else { panic!("no note") };
        assert!(note.text.starts_with("`heap_inspector suspects 'it'\\''s a heap.json'` names"), "{}", note.text);
        let [Section::Note(note)] = &notes(&Source::path("tmp/heap.json"))[..] else { panic!("no note") };
        assert!(note.text.starts_with("`heap_inspector suspects tmp/heap.json` names"), "{}", note.text);
    }

    #[test]
    fn a_pipe_has_no_next_question() {
        assert_eq!(notes(&Source::stdin()), []);
    }
}
