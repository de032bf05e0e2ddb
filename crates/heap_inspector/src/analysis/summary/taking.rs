//! How a dump was taken, where heap_inspector took it: the JSON text of its first line comes in, facts and notes go out.
//!
//! It is a claim of the dump, like all of it: what has another form than expected is left out.

use super::super::{fact, note};
use crate::report::{Cell, Fact, Facts, Level, Section};
use serde_json::{Map, Value};

/// How a dump was taken.
pub(super) struct Taking(Map<String, Value>);

/// Characters of a text that are shown.
const SHOWN: usize = 200;

impl Taking {
    pub(super) fn parse(meta: &str) -> Option<Taking> {
        serde_json::from_str(meta).ok().map(Taking)
    }

    /// What is known, as a section.
    pub(super) fn facts(&self) -> Option<Facts> {
        let facts: Vec<Fact> = [
            self.text("taken_at", "Taken", "time", self.word("taken_by").map(|tool| format!("by {tool}"))),
            self.number("pid", "Process", "pid", self.word("command")),
            self.number("worker", "Worker", "worker", None),
            self.text("host", "Host", "host", None),
            self.text("ruby", "Ruby", "ruby", None),
            self.text("revision", "Revision", "revision", None),
            self.bytes("rss", "Resident memory"),
            self.text("tracing_since", "Traced since", "tracing_since", None),
        ]
        .into_iter()
        .flatten()
        .collect();
        (!facts.is_empty()).then(|| Facts { name: "taken", title: "Taken".into(), facts })
    }

    /// What to keep in mind.
    pub(super) fn notes(&self) -> Vec<Section> {
        let is = |key: &str, value: bool| self.0.get(key).and_then(Value::as_bool) == Some(value);
        let mut notes = Vec::new();
        if self.word("stacks").is_some_and(|stacks| stacks != "all") {
            let text = "the dump was written by a forked child, which has only the stack of the thread that forked: objects that \
                        only another thread's stack held look unreachable, and are no garbage";
            notes.push(note(Level::Info, text));
        }
        if is("gc", false) {
            notes.push(note(
                Level::Info,
                "garbage was not collected before: objects that nothing holds are in the dump",
            ));
        }
        if is("redacted", true) {
            notes.push(note(Level::Info, "the values of strings are replaced by others of their length"));
        }
        notes
    }

    fn word(&self, key: &str) -> Option<String> {
        Some(self.0.get(key)?.as_str()?.chars().take(SHOWN).collect())
    }

    fn text(&self, name: &'static str, title: &'static str, key: &str, remark: Option<String>) -> Option<Fact> {
        Some(fact(name, title, Cell::Text(self.word(key)?), remark.unwrap_or_default()))
    }

    fn number(&self, name: &'static str, title: &'static str, key: &str, remark: Option<String>) -> Option<Fact> {
        Some(fact(name, title, Cell::Number(self.0.get(key)?.as_u64()?), remark.unwrap_or_default()))
    }

    fn bytes(&self, key: &'static str, title: &'static str) -> Option<Fact> {
        Some(fact(key, title, Cell::Bytes(self.0.get(key)?.as_u64()?), String::new()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tells_what_the_dump_claims_in_the_expected_form() {
        let meta = r#"{"taken_by":"heap_inspector 0.1.0","pid":42,"worker":"zero","time":"2026-01-02T03:04:05.678Z","rss":1048576,
            "stacks":"dumping thread only","gc":true,"redacted":true,"command":7,"gc_stat":{"count":3}}"#;
        let taking = Taking::parse(meta).expect("an object");
        let facts = taking.facts().expect("some are known").facts;
        let told: Vec<(&str, &Cell, &str)> = facts.iter().map(|fact| (fact.name, &fact.cell, &*fact.remark)).collect();
        assert_eq!(
            told,
            [
                ("taken_at", &Cell::Text("2026-01-02T03:04:05.678Z".into()), "by heap_inspector 0.1.0"),
                ("pid", &Cell::Number(42), ""),
                ("rss", &Cell::Bytes(1 << 20), ""),
            ]
        );
        assert_eq!(taking.notes().len(), 2);
    }

    #[test]
    fn believes_no_other_form() {
        for meta in ["", "[]", "7", "{\"pid\":", "null"] {
            assert!(Taking::parse(meta).is_none(), "{meta}");
        }
        let odd = Taking::parse(r#"{"pid":-1,"time":{},"ruby":[],"stacks":null}"#).expect("an object");
        assert!(odd.facts().is_none());
        assert!(odd.notes().is_empty());
        let long = Taking::parse(&format!("{{\"host\":{:?}}}", "h".repeat(5000))).expect("an object");
        let facts = long.facts().expect("the host").facts;
        assert_eq!(facts[0].cell, Cell::Text("h".repeat(SHOWN)));
    }
}
