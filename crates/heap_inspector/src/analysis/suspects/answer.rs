//! The answer of `suspects` as a report.

use super::{Confidence, Freed, OtherHolder, Suspect};
use crate::analysis::chains::Step;
use crate::analysis::diff::{Compared, Diff, Dump};
use crate::analysis::verdicts::Fault;
use crate::analysis::work::Rate;
use crate::analysis::{Context, UNTRACED, fact, key_cell, note};
use crate::diagnostics::WarningKind;
use crate::gems::App;
use crate::human;
use crate::keys::{Key, KeyValue};
use crate::report::{Cell, Fact, Level, List, Report, Section};

/// The answer of `suspects`, complete without the heaps it is of.
#[derive(Clone, Debug)]
pub struct Suspects {
    /// The suspects, the most suspect first.
    pub suspects: Vec<Suspect>,
    /// Why they are told by path, where they are.
    pub by_path: Option<&'static str>,
    /// The dumps, oldest first.
    dumps: Vec<Told>,
    /// What comparing them told, where there are several.
    compared: Option<Compared>,
    /// Which files are the app's.
    app: App,
}

/// What of a dump the answer tells.
#[derive(Clone, Debug)]
struct Told {
    name: String,
    context: Context,
    has_roots: bool,
}

impl Suspects {
    /// Suspects of one dump, or of several, which `diff` compares; where they are told `by_path`, why.
    #[must_use]
    pub fn new(
        suspects: Vec<Suspect>,
        by_path: Option<&'static str>,
        dumps: &[Dump<'_>],
        diff: Option<&Diff<'_>>,
    ) -> Suspects {
        let told = |dump: &Dump<'_>| Told {
            name: dump.name.to_owned(),
            context: Context::of(dump.heap),
            has_roots: !dump.heap.roots().is_empty(),
        };
        let app = dumps.last().map(|dump| dump.heap.names().app().clone()).unwrap_or_default();
        Suspects { suspects, by_path, dumps: dumps.iter().map(told).collect(), compared: diff.map(Compared::of), app }
    }

    /// The name of the dump whose objects are told.
    #[must_use]
    pub fn dump(&self) -> &str {
        self.dumps.last().map_or("", |dump| &dump.name)
    }

    /// The answer as a report.
    #[must_use]
    pub fn report(&self) -> Report {
        let Suspects { suspects, dumps, .. } = self;
        let items = suspects.iter().map(|suspect| suspect.facts(self.dump(), &self.app)).collect();
        // What makes all of it doubtful is read before it is believed.
        let mut sections: Vec<Section> =
            dumps.iter().rev().find_map(|dump| dump.context.sampled()).into_iter().collect();
        sections.extend(self.doubts());
        sections.extend(self.by_path.map(|why| {
            let text =
                format!("{why}, so it is told by path, not by identity, where there are more objects in each dump");
            note(Level::Info, text)
        }));
        sections.push(Section::List(List { name: "suspects", title: "Suspects".into(), items }));
        let is_one_process = self.compared.as_ref().is_none_or(|compared| compared.is_one_process);
        let is_told = dumps.iter().all(|dump| dump.has_roots) && (self.by_path.is_some() || is_one_process);
        if suspects.is_empty() {
            let is_cut = dumps.iter().any(|dump| dump.context.diagnostics.truncated);
            let text = match dumps.len() {
                _ if !is_told => "so which objects pile up cannot be told",
                _ if is_cut => "nothing looks like a leak in what is left of a dump that was cut off; take it again",
                1 => "nothing in this dump looks like a leak; take two more while the app works, and give all three",
                2 => "nothing grew between the dumps that was not there before",
                _ => "nothing took in objects in each step and kept them",
            };
            sections.push(note(Level::Info, text));
        } else if dumps.len() < 3 {
            let text = "fewer than three dumps do not tell a leak from a cache that is still warming up; take three, with work in between, \
                        and give the oldest first";
            sections.push(note(Level::Info, text));
        }
        if self.compared.is_none() && dumps.iter().any(|dump| dump.context.totals.traced.count == 0) {
            sections.push(note(Level::Info, UNTRACED));
        }
        sections.extend(self.compared.as_ref().map(|_| self.growth()));
        sections.push(note(Level::Next, next(suspects, dumps.len(), is_told)));
        let names: Vec<&str> = dumps.iter().map(|dump| &dump.name[..]).collect();
        Report { verb: "suspects", dump: names.join(", "), sections }
    }

    /// How much the heap grew, and how much of that the suspects are: both parts make the whole, to the byte.
    fn growth(&self) -> Section {
        let bytes = |dump: Option<&Told>| dump.map_or(0, |dump| i128::from(dump.context.totals.objects.memsize));
        let grew = bytes(self.dumps.last()) - bytes(self.dumps.first());
        let in_suspects: i128 = self.suspects.iter().map(|suspect| i128::from(suspect.memsize)).sum();
        let rest = grew - in_suspects;
        let words = |bytes: i128| format!("{} B", human::count(bytes.unsigned_abs() as u64));
        let text = format!(
            "the heap {} by {} from the first dump to the last: {} more in the suspects here, {} {} in all else",
            if grew < 0 { "shrank" } else { "grew" },
            words(grew),
            words(in_suspects),
            words(rest),
            if rest < 0 { "less" } else { "more" }
        );
        note(Level::Info, text)
    }

    /// What is to be known before the answer is read: what was lost of which dump, and whether they are of one process.
    fn doubts(&self) -> Vec<Section> {
        let mut sections: Vec<Section> =
            self.compared.as_ref().map(|compared| compared.doubts.clone()).unwrap_or_default();
        for Told { name, context, .. } in self.dumps.iter().filter(|dump| !dump.has_roots) {
            if !context.diagnostics.warnings.iter().any(|warning| warning.kind == WarningKind::Partial) {
                sections.push(note(Level::Warning, format!("{name} has no roots, so who holds what cannot be told")));
            }
        }
        for Told { name, context, .. } in &self.dumps {
            sections.extend(context.notes().into_iter().map(|section| match section {
                Section::Note(found) if self.dumps.len() > 1 => note(found.level, format!("{name}: {}", found.text)),
                section => section,
            }));
        }
        sections
    }
}

/// What to do next.
fn next(suspects: &[Suspect], dumps: usize, is_told: bool) -> String {
    let Some(first) = suspects.first() else {
        return match dumps {
            _ if !is_told => "take three dumps of one process, as it works, by `heap_inspector dump PID` or HeapInspector.dump".to_owned(),
            1 | 2 => format!("take {} as the app works, and give all three, the oldest first", missing(dumps)),
            _ => "if the process grows all the same, look at what `heap_inspector summary` has beside Ruby's heap; else nothing is to be done"
                .to_owned(),
        };
    };
    let is_certain = first.judged.iter().any(|judged| judged.fault == Fault::Faulty);
    match dumps {
        1 | 2 if first.confidence < Confidence::High => {
            format!("take {} as the app works, to tell whether it goes on, and give all three, the oldest first", missing(dumps))
        }
        _ if !first.has_line() => {
            "trace allocations (`heap_inspector trace PID on`, or HEAP_INSPECTOR_TRACE=one from its start) and dump again, to know the line".to_owned()
        }
        3 if first.confidence < Confidence::High => {
            "a fourth dump, after as much work again, would tell whether it goes on".to_owned()
        }
        _ => match &first.faulty_references[..] {
            [fault] if is_certain => format!("see in {} what should cut {fault}; then dump again and compare the fingerprints", first.holder),
            _ => format!("see what takes out of {} again what is put there; then dump again and compare the fingerprints", first.holder),
        },
    }
}

/// What dumps are missing to have three.
fn missing(dumps: usize) -> &'static str {
    if dumps == 1 { "two more dumps" } else { "a third dump" }
}

/// A note where suspects are new and that is to be an error. Those that may as well be none do not count: a healthy app has such ones.
#[must_use]
pub fn failure(found: &[Suspect]) -> Option<Section> {
    let is_new = |suspect: &&Suspect| suspect.is_known != Some(true) && suspect.confidence > Confidence::Low;
    let new: Vec<String> = found.iter().filter(is_new).map(Suspect::fingerprint).collect();
    let what = if new.len() == 1 { "a suspect is new" } else { "suspects are new" };
    (!new.is_empty()).then(|| note(Level::Failure, format!("{what}: {}", new.join(", "))))
}

impl Suspect {
    /// Whether a line is known that allocated what piles up.
    pub(crate) fn has_line(&self) -> bool {
        self.app_location.is_some() || matches!(self.location, KeyValue::Text(_))
    }

    /// It in a line.
    #[must_use]
    pub fn headline(&self) -> String {
        let what = if self.count == 1 {
            self.class.clone()
        } else {
            format!("{} × {}", human::count(self.count), self.class)
        };
        let bytes = human::bytes(self.memsize);
        let memory = if self.steps.is_empty() { format!("retaining {bytes}") } else { format!("{bytes} new") };
        let mostly = self.mostly.as_ref().map_or_else(String::new, |mostly| format!(", most of it {mostly}"));
        let points = match self.accumulation_point_count {
            0 | 1 => String::new(),
            count => format!(" at {} accumulation points", human::count(count)),
        };
        format!("{what}, {memory}{mostly}, held by {}{points}", self.holder)
    }

    /// The leak's short name, the same in each of its dumps.
    #[must_use]
    pub fn fingerprint(&self) -> String {
        self.normalised_path.fingerprint()
    }

    /// The command that goes on from it; none where a root itself holds the objects.
    #[must_use]
    pub fn next(&self, dump: &str) -> Option<String> {
        self.address.map(|address| format!("heap_inspector show {} 0x{address:x}", shell_words::quote(dump)))
    }

    /// What is thought of a row of its path: `stuck: a controller, and no thread is at work on it`.
    fn verdict(&self, row: Result<(usize, &Step), String>) -> String {
        match row.ok().and_then(|(at, _)| self.judged.get(at)) {
            Some(judged) if judged.reason.is_empty() => judged.verdict.name().to_owned(),
            Some(judged) => format!("{}: {}", judged.verdict.name(), judged.reason),
            None => String::new(),
        }
    }

    fn facts(&self, dump: &str, app: &App) -> Vec<Fact> {
        let words = |step: &Step| match step.edge.to_string() {
            edge if edge.is_empty() => step.label.clone(),
            edge => format!("{edge} → {}", step.label),
        };
        let step = |(at, step): (usize, &Step)| {
            let (text, judged) = (words(step), self.judged.get(at));
            match judged.and_then(|judged| judged.fault.words()) {
                Some(fault) => Cell::Brief { brief: format!("{text}   ← {fault}"), text },
                None => Cell::Text(text),
            }
        };
        let address = self.address.map(|address| format!("0x{address:x}"));
        let list = |texts: &mut dyn Iterator<Item = String>| Cell::List(texts.map(Cell::Text).collect());
        let text = |text: Option<String>| text.map_or(Cell::Missing, Cell::Text);
        let rate = |of: fn(&Rate) -> Cell| self.rate.as_ref().map_or(Cell::Missing, of);
        // Of a line of the app that stacks tell, and the gem's that it called.
        let location = match (self.location.words(), &self.app_location) {
            (Some(own), Some(line)) if self.is_by_stack && own != line => {
                let brief = format!("{line}, in {}", app.short(own));
                Cell::Brief { text: own.to_owned(), brief }
            }
            _ => key_cell(Key::Location, &self.location),
        };
        let in_app = if self.is_by_stack { "" } else { "In the app at" };
        let freed = self.freed.as_ref();
        let kept = freed.map(Freed::kept_words).unwrap_or_default();
        let held = || freed.iter().map(|freed| &freed.others);
        let told = match self.is_known {
            Some(true) => format!("known; {}", self.normalised_path),
            Some(false) => format!("new; {}", self.normalised_path),
            None => self.normalised_path.to_string(),
        };
        vec![
            fact("headline", "", Cell::Text(self.headline()), String::new()),
            fact("confidence", "Confidence", Cell::Text(self.confidence.name().into()), self.reasons.join("; ")),
            fact("reasons", "", list(&mut self.reasons.iter().cloned()), String::new()),
            fact("class", "Class", Cell::Text(self.class.clone()), String::new()),
            fact("count", "Objects", Cell::Count(self.count), String::new()),
            fact("memsize", "Memory", Cell::Bytes(self.memsize), String::new()),
            fact(
                "steps",
                "In each step",
                Cell::List(self.steps.iter().map(|bytes| Cell::Bytes(*bytes)).collect()),
                String::new(),
            ),
            fact("rate", "Growth", text(self.rate.as_ref().map(|rate| rate.words(&self.class))), String::new()),
            fact("unit", "", text(self.rate.as_ref().map(|rate| rate.unit.clone())), String::new()),
            fact("work", "", rate(|rate| Cell::Count(rate.work)), String::new()),
            fact("count_per_unit", "", rate(Rate::count_cell), String::new()),
            fact("memsize_per_unit", "", rate(Rate::memsize_cell), String::new()),
            fact("mostly", "", text(self.mostly.clone()), String::new()),
            fact("location", "Allocated at", location, String::new()),
            fact("app_location", in_app, text(self.app_location.clone()), String::new()),
            fact(
                "since",
                "Since generation",
                self.since.map_or(Cell::Missing, |number| Cell::Number(u64::from(number))),
                String::new(),
            ),
            fact("known_leak", "Known leak", text(self.known_leak.clone()), String::new()),
            fact("holder", "Holder", Cell::Text(self.holder.clone()), String::new()),
            fact("accumulates_in", "Accumulates in", Cell::Text(self.label.clone()), String::new()),
            fact("address", "Address", text(address), String::new()),
            fact(
                "path",
                "Path",
                Cell::List(self.path.rows().map(|row| row.map_or_else(Cell::Text, step)).collect()),
                String::new(),
            ),
            fact("verdicts", "", list(&mut self.path.rows().map(|row| self.verdict(row))), String::new()),
            fact(
                "faulty_references",
                "Faulty reference",
                list(&mut self.faulty_references.iter().cloned()),
                match self.judged.iter().find(|judged| judged.fault != Fault::None) {
                    Some(judged) if judged.fault == Fault::Faulty => judged.reason.clone(),
                    Some(_) => "one of these".to_owned(),
                    None => String::new(),
                },
            ),
            fact("accumulation_point_count", "", Cell::Count(self.accumulation_point_count), String::new()),
            fact(
                "freed_memsize",
                "Freed if cut",
                freed.map_or(Cell::Missing, |freed| Cell::Bytes(freed.memsize)),
                kept,
            ),
            fact("freed_count", "", freed.map_or(Cell::Missing, |freed| Cell::Count(freed.count)), String::new()),
            fact("kept_count", "", freed.map_or(Cell::Missing, |freed| Cell::Count(freed.kept)), String::new()),
            fact(
                "also_held_by",
                "",
                list(&mut held().flat_map(|others| &others.named).map(OtherHolder::words)),
                String::new(),
            ),
            fact("also_held_by_more", "", Cell::Count(held().map(|others| others.more).sum()), String::new()),
            fact("fingerprint", "Fingerprint", Cell::Text(self.fingerprint()), told),
            fact("known", "", self.is_known.map_or(Cell::Missing, Cell::Flag), String::new()),
            fact("normalised_path", "", list(&mut self.normalised_path.0.iter().cloned()), String::new()),
            fact("next", "Look at", text(self.next(dump)), String::new()),
        ]
    }
}
