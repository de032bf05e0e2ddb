//! Notes that lead from an answer to the next question. What came down a pipe cannot be asked again, so it has none.

use heap_inspector::report::{Level, Note, Report, Section};

/// After the generations of a dump: the largest is often a harmless one, so the way goes by what is retained.
pub(crate) fn after_generations(report: Report, dump: &str) -> Report {
    with(report, dump, &[format!("`heap_inspector read {} N` shows generation N in detail", quoted(dump))])
}

/// After groups of objects, which say what there is much of, but not what keeps it.
pub(crate) fn after_groups(report: Report, dump: &str) -> Report {
    with(report, dump, &[])
}

fn with(mut report: Report, dump: &str, more: &[String]) -> Report {
    if dump != "-" {
        let next = format!(
            "`heap_inspector suspects {}` names what may leak and what retains it; three dumps of one process at work tell a leak \
             from a cache",
            quoted(dump)
        );
        let note = |text: &String| Section::Note(Note { level: Level::Info, text: text.clone() });
        report.sections.extend(more.iter().chain([&next]).map(note));
    }
    report
}

/// A file's name as a shell takes it.
fn quoted(name: &str) -> String {
    let is_plain = |letter: char| letter.is_alphanumeric() || "_-./:@%+=,".contains(letter);
    if !name.is_empty() && name.chars().all(is_plain) {
        name.to_owned()
    } else {
        format!("'{}'", name.replace('\'', "'\\''"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn notes(dump: &str) -> Vec<Section> {
        after_groups(Report { verb: "top", dump: dump.to_owned(), sections: Vec::new() }, dump).sections
    }

    #[test]
    fn names_of_files_are_for_a_shell() {
        let [Section::Note(note)] = &notes("it's a heap.json")[..] else { panic!("no note") };
        assert!(note.text.starts_with("`heap_inspector suspects 'it'\\''s a heap.json'` names"), "{}", note.text);
        let [Section::Note(note)] = &notes("tmp/heap.json")[..] else { panic!("no note") };
        assert!(note.text.starts_with("`heap_inspector suspects tmp/heap.json` names"), "{}", note.text);
    }

    #[test]
    fn a_pipe_has_no_next_question() {
        assert_eq!(notes("-"), []);
    }
}
