//! What is alive, and what was allocated, by stack: a profile as other tools read it.
//!
//! The forms are pprof's (github.com/google/pprof, proto/profile.proto), folded stacks (Gregg 2016, "The Flame Graph"), a flame graph of
//! them, and JSON.

use crate::sites::Site;
use crate::stacks::{NO_NODE, NodeId};
use crate::texts::TextId;
use crate::tracer::Tracer;
use flate2::Compression;
use flate2::write::GzEncoder;
use hashbrown::HashMap;
use inferno::flamegraph;
use prost::Message;
use serde::Serialize;
use std::fmt::Write as _;
use std::io::{self, Write};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// A frame at a line.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ProfileFrame {
    /// The number of the frame that called it, in the profile's list; none for an outermost one. Callers stand before.
    pub parent: Option<u32>,
    /// The path of its file; empty for what is written in C.
    pub file: String,
    /// The line, 0 where there is none.
    pub line: u32,
    /// The method, as `block in Feed#load`.
    pub label: String,
}

/// What a stack holds or has allocated of a class: estimates.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Row {
    /// The innermost frame; none where no stack is known.
    pub frame: Option<u32>,
    /// The class, where it has a name.
    pub class: String,
    /// How many collections they have lived through, at least: 0, 1, 2, 4, 8, ... None of what is counted as allocated.
    pub age: Option<u32>,
    /// Objects alive.
    pub inuse_objects: f64,
    /// Their bytes: slot and content.
    pub inuse_space: f64,
    /// Objects allocated since tracing began.
    pub alloc_objects: f64,
    /// Bytes of their slots.
    pub alloc_space: f64,
    /// Samples of which this was estimated.
    pub samples: u64,
}

/// The profile.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Profile {
    /// Frames, callers first.
    pub frames: Vec<ProfileFrame>,
    /// What is alive, and what was allocated.
    pub rows: Vec<Row>,
    /// One allocation of so many was looked at.
    pub every: u32,
    /// The last sample, of which a later profile may ask what came since.
    pub serial: u32,
    /// Whether nothing is known of what was allocated and died, as of a dump: pprof's form lacks these values then.
    #[serde(skip)]
    pub is_of_living: bool,
}

impl Profile {
    /// What `tracer` knows of the sites that `wanted` lets through. Only samples after `since`, where it is given, and then nothing of what
    /// was allocated and died. `size` tells the bytes of a living object by its address.
    #[must_use]
    pub fn new(
        tracer: &Tracer,
        every: u32,
        generation: u32,
        since: Option<u32>,
        wanted: impl Fn(Site) -> bool,
        mut size: impl FnMut(u64) -> u64,
    ) -> Profile {
        let mut profile = Profile { every, serial: tracer.sampled as u32, ..Profile::default() };
        let wanted = |site: u32| tracer.sites.get(site).is_none_or(&wanted);
        let mut numbers = HashMap::new();
        let mut rows: HashMap<(NodeId, TextId, Option<u32>), Row> = HashMap::new();
        let class_of = |site: u32| tracer.sites.get(site).map_or(TextId::NONE, |site| site.class);
        let new = |sample: u32| since.is_none_or(|since| sample.wrapping_sub(since).cast_signed() > 0);
        for (address, sample) in tracer.samples.iter().filter(|(_, sample)| new(sample.serial) && wanted(sample.site)) {
            let age = match generation.saturating_sub(sample.generation) {
                0 => 0,
                collections => 1 << collections.ilog2(),
            };
            let class = class_of(sample.site);
            let row = rows.entry((sample.stack, class, Some(age)));
            let row = row.or_insert_with(|| profile.row(tracer, &mut numbers, sample.stack, class, Some(age)));
            row.inuse_objects += f64::from(sample.weight);
            row.inuse_space += f64::from(sample.weight) * size(address) as f64;
            row.samples += 1;
        }
        for (stack, site, allocated) in tracer.allocated().filter(|(_, site, _)| since.is_none() && wanted(*site)) {
            let class = class_of(site);
            let row = rows.entry((stack, class, None));
            let row = row.or_insert_with(|| profile.row(tracer, &mut numbers, stack, class, None));
            row.alloc_objects += allocated.objects;
            row.alloc_space += allocated.bytes;
        }
        profile.rows = rows.into_values().collect();
        let key = |row: &Row| (row.frame, row.class.clone(), row.age);
        profile.rows.sort_by(|a, b| b.inuse_space.total_cmp(&a.inuse_space).then_with(|| key(a).cmp(&key(b))));
        profile
    }

    fn row(
        &mut self,
        tracer: &Tracer,
        numbers: &mut HashMap<NodeId, u32>,
        stack: NodeId,
        class: TextId,
        age: Option<u32>,
    ) -> Row {
        let frame = self.frame(tracer, numbers, stack);
        let class = String::from_utf8_lossy(tracer.texts.get(class)).into_owned();
        Row {
            frame,
            class,
            age,
            inuse_objects: 0.0,
            inuse_space: 0.0,
            alloc_objects: 0.0,
            alloc_space: 0.0,
            samples: 0,
        }
    }

    /// The number of a node's frame; those of its callers are made before.
    fn frame(&mut self, tracer: &Tracer, numbers: &mut HashMap<NodeId, u32>, node: NodeId) -> Option<u32> {
        let mut missing = Vec::new();
        let mut at = node;
        while at != NO_NODE && !numbers.contains_key(&at) {
            missing.push(at);
            at = tracer.stacks.get(at).map_or(NO_NODE, |node| node.parent);
        }
        let mut parent = numbers.get(&at).copied();
        for node in missing.into_iter().rev() {
            let Some(known) = tracer.stacks.get(node) else { continue };
            let frame = tracer.frames.get(known.frame);
            let text = |id| String::from_utf8_lossy(tracer.texts.get(id)).into_owned();
            let number = self.frames.len() as u32;
            self.frames.push(ProfileFrame {
                parent,
                file: text(frame.path),
                line: known.line,
                label: text(frame.label),
            });
            numbers.insert(node, number);
            parent = Some(number);
        }
        parent
    }

    /// The frames of a row, from the innermost to the outermost.
    pub fn stack(&self, row: &Row) -> impl Iterator<Item = (u32, &ProfileFrame)> {
        let get = |number: Option<u32>| number.and_then(|number| Some((number, self.frames.get(number as usize)?)));
        std::iter::successors(get(row.frame), move |(_, frame)| get(frame.parent))
    }

    /// pprof's form, packed by gzip, with the values inuse_objects and inuse_space, and where they are known alloc_objects and alloc_space.
    ///
    /// # Errors
    /// None but those of the packing.
    pub fn pprof(&self, time: SystemTime, duration: Duration) -> io::Result<Vec<u8>> {
        let mut out = pprof::Profile { string_table: vec![String::new()], ..pprof::Profile::default() };
        let mut strings = HashMap::new();
        let mut text = |out: &mut pprof::Profile, text: &str| -> i64 {
            if text.is_empty() {
                return 0;
            }
            if let Some(known) = strings.get(text) {
                return *known;
            }
            let number = out.string_table.len() as i64;
            out.string_table.push(text.to_owned());
            strings.insert(text.to_owned(), number);
            number
        };
        let kinds = [
            ("inuse_objects", "count"),
            ("inuse_space", "bytes"),
            ("alloc_objects", "count"),
            ("alloc_space", "bytes"),
        ];
        let known = if self.is_of_living { 2 } else { kinds.len() };
        for (kind, unit) in kinds.into_iter().take(known) {
            let value = pprof::ValueType { r#type: text(&mut out, kind), unit: text(&mut out, unit) };
            out.sample_type.push(value);
        }
        out.period_type = Some(pprof::ValueType { r#type: text(&mut out, "objects"), unit: text(&mut out, "count") });
        out.period = self.every.into();
        out.default_sample_type = text(&mut out, "inuse_space");
        out.time_nanos = time.duration_since(UNIX_EPOCH).map_or(0, nanoseconds);
        out.duration_nanos = nanoseconds(duration);
        let (class_key, age_key, collections) =
            (text(&mut out, "class"), text(&mut out, "age"), text(&mut out, "collections"));
        let mut functions: HashMap<(&str, &str), u64> = HashMap::new();
        for (at, frame) in self.frames.iter().enumerate() {
            let next = functions.len() as u64 + 1;
            let function = *functions.entry((&frame.file, &frame.label)).or_insert(next);
            if function == next {
                let (name, filename) = (text(&mut out, &frame.label), text(&mut out, &frame.file));
                out.function.push(pprof::Function { id: function, name, system_name: name, filename, start_line: 0 });
            }
            let line = pprof::Line { function_id: function, line: frame.line.into() };
            out.location.push(pprof::Location { id: at as u64 + 1, line: vec![line], ..pprof::Location::default() });
        }
        for row in &self.rows {
            let values = [row.inuse_objects, row.inuse_space, row.alloc_objects, row.alloc_space];
            let mut label = Vec::new();
            if !row.class.is_empty() {
                label.push(pprof::Label { key: class_key, str: text(&mut out, &row.class), ..pprof::Label::default() });
            }
            if let Some(age) = row.age {
                label.push(pprof::Label {
                    key: age_key,
                    num: age.into(),
                    num_unit: collections,
                    ..pprof::Label::default()
                });
            }
            out.sample.push(pprof::Sample {
                location_id: self.stack(row).map(|(number, _)| u64::from(number) + 1).collect(),
                value: values.iter().take(known).map(|value| value.round() as i64).collect(),
                label,
            });
        }
        let mut packed = GzEncoder::new(Vec::new(), Compression::default());
        packed.write_all(&out.encode_to_vec())?;
        packed.finish()
    }

    /// A line for each stack with the bytes alive: `outermost;...;innermost;Class 4711`.
    #[must_use]
    pub fn folded(&self) -> String {
        let mut sums: HashMap<String, f64> = HashMap::new();
        for row in self.rows.iter().filter(|row| row.inuse_space > 0.0) {
            let mut frames: Vec<String> = self.stack(row).map(|(_, frame)| folded_frame(frame)).collect();
            frames.reverse();
            if !row.class.is_empty() {
                frames.push(without_separators(&row.class));
            }
            *sums.entry(frames.join(";")).or_default() += row.inuse_space;
        }
        let mut lines: Vec<_> = sums.into_iter().collect();
        lines.sort_by(|a, b| a.0.cmp(&b.0));
        let mut out = String::new();
        for (stack, bytes) in lines {
            let _ = writeln!(out, "{stack} {bytes:.0}");
        }
        out
    }

    /// The flame graph of what is alive, as SVG.
    ///
    /// # Errors
    /// Where there is nothing to draw.
    pub fn flamegraph(&self) -> io::Result<String> {
        let folded = self.folded();
        let mut options = flamegraph::Options::default();
        options.title = "Objects alive by the stack that allocated them".to_owned();
        options.count_name = "bytes".to_owned();
        let (lines, mut out) = (folded.lines().collect::<Vec<&str>>(), Vec::new());
        flamegraph::from_lines(&mut options, lines, &mut out).map_err(io::Error::other)?;
        String::from_utf8(out).map_err(io::Error::other)
    }

    /// The profile as JSON.
    #[must_use]
    pub fn json(&self) -> String {
        serde_json::to_string(self).unwrap_or_default()
    }
}

fn nanoseconds(duration: Duration) -> i64 {
    i64::try_from(duration.as_nanos()).unwrap_or(i64::MAX)
}

/// `Feed#load app/models/feed.rb:31`.
fn folded_frame(frame: &ProfileFrame) -> String {
    let label = without_separators(&frame.label);
    match (frame.file.as_str(), frame.line) {
        ("", _) => label,
        (file, 0) => format!("{label} {}", without_separators(file)),
        (file, line) => format!("{label} {}:{line}", without_separators(file)),
    }
}

/// What parts frames and lines, or would do something to a terminal, cannot stand in a name.
fn without_separators(text: &str) -> String {
    text.chars().map(|char| if char == ';' || char.is_control() { '?' } else { char }).collect()
}

/// The messages of profile.proto that are written.
#[allow(missing_docs, reason = "named as there")]
mod pprof {
    #[derive(Clone, PartialEq, prost::Message)]
    pub(super) struct Profile {
        #[prost(message, repeated, tag = "1")]
        pub(super) sample_type: Vec<ValueType>,
        #[prost(message, repeated, tag = "2")]
        pub(super) sample: Vec<Sample>,
        #[prost(message, repeated, tag = "4")]
        pub(super) location: Vec<Location>,
        #[prost(message, repeated, tag = "5")]
        pub(super) function: Vec<Function>,
        #[prost(string, repeated, tag = "6")]
        pub(super) string_table: Vec<String>,
        #[prost(int64, tag = "9")]
        pub(super) time_nanos: i64,
        #[prost(int64, tag = "10")]
        pub(super) duration_nanos: i64,
        #[prost(message, optional, tag = "11")]
        pub(super) period_type: Option<ValueType>,
        #[prost(int64, tag = "12")]
        pub(super) period: i64,
        #[prost(int64, tag = "14")]
        pub(super) default_sample_type: i64,
    }

    #[derive(Clone, PartialEq, prost::Message)]
    pub(super) struct ValueType {
        #[prost(int64, tag = "1")]
        pub(super) r#type: i64,
        #[prost(int64, tag = "2")]
        pub(super) unit: i64,
    }

    #[derive(Clone, PartialEq, prost::Message)]
    pub(super) struct Sample {
        #[prost(uint64, repeated, tag = "1")]
        pub(super) location_id: Vec<u64>,
        #[prost(int64, repeated, tag = "2")]
        pub(super) value: Vec<i64>,
        #[prost(message, repeated, tag = "3")]
        pub(super) label: Vec<Label>,
    }

    #[derive(Clone, PartialEq, prost::Message)]
    pub(super) struct Label {
        #[prost(int64, tag = "1")]
        pub(super) key: i64,
        #[prost(int64, tag = "2")]
        pub(super) str: i64,
        #[prost(int64, tag = "3")]
        pub(super) num: i64,
        #[prost(int64, tag = "4")]
        pub(super) num_unit: i64,
    }

    #[derive(Clone, PartialEq, prost::Message)]
    pub(super) struct Location {
        #[prost(uint64, tag = "1")]
        pub(super) id: u64,
        #[prost(uint64, tag = "2")]
        pub(super) mapping_id: u64,
        #[prost(uint64, tag = "3")]
        pub(super) address: u64,
        #[prost(message, repeated, tag = "4")]
        pub(super) line: Vec<Line>,
    }

    #[derive(Clone, PartialEq, prost::Message)]
    pub(super) struct Line {
        #[prost(uint64, tag = "1")]
        pub(super) function_id: u64,
        #[prost(int64, tag = "2")]
        pub(super) line: i64,
    }

    #[derive(Clone, PartialEq, prost::Message)]
    pub(super) struct Function {
        #[prost(uint64, tag = "1")]
        pub(super) id: u64,
        #[prost(int64, tag = "2")]
        pub(super) name: i64,
        #[prost(int64, tag = "3")]
        pub(super) system_name: i64,
        #[prost(int64, tag = "4")]
        pub(super) filename: i64,
        #[prost(int64, tag = "5")]
        pub(super) start_line: i64,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sites::Key;
    use crate::stacks::Frame;
    use crate::tracer::Sample;
    use flate2::read::GzDecoder;
    use std::io::Read;

    /// Three samples of a class by two stacks that share their caller; one of them died.
    fn tracer() -> Tracer {
        let mut tracer = Tracer::default();
        let key = Key { path: 8, line: 7, method: 1, class: 16 };
        let texts =
            |texts: &mut crate::texts::Texts, address| texts.intern(if address == 16 { b"Fo;o" } else { b"b.rb" });
        let site = tracer.learn_site(key, b"load", texts).unwrap_or(9);
        let frames =
            [(8, "a.rb", "main"), (16, "b.rb", "load"), (24, "", "Array#map")].map(|(address, path, label)| {
                let frame = Frame {
                    path: tracer.texts.intern(path.as_bytes()),
                    label: tracer.texts.intern(label.as_bytes()),
                    first_line: 1,
                };
                tracer.frames.learn(address, frame).unwrap_or(9)
            });
        let one = tracer.stacks.intern([(frames[0], 3), (frames[1], 7)].into_iter());
        let other = tracer.stacks.intern([(frames[0], 3), (frames[2], 0)].into_iter());
        for (address, stack, generation) in [(0x1000, one, 5), (0x2000, one, 6), (0x3000, other, 20)] {
            tracer.sample(address, 40, Sample { site, stack, generation, weight: 10.0, serial: 0 });
        }
        tracer.samples.remove(0x3000);
        tracer
    }

    fn profile(since: Option<u32>) -> Profile {
        Profile::new(&tracer(), 10, 20, since, |_| true, |address| if address == 0x1000 { 100 } else { 50 })
    }

    #[test]
    fn what_lives_and_what_was_allocated() {
        let profile = profile(None);
        let sums = profile.rows.iter().fold([0.0; 4], |sums, row| {
            [
                sums[0] + row.inuse_objects,
                sums[1] + row.inuse_space,
                sums[2] + row.alloc_objects,
                sums[3] + row.alloc_space,
            ]
        });
        assert_eq!(sums, [20.0, 1500.0, 30.0, 1200.0]);
        assert_eq!(profile.rows.iter().filter_map(|row| row.age).collect::<Vec<_>>(), [8]);
        assert_eq!(profile.folded(), "main a.rb:3;load b.rb:7;Fo?o 1500\n");
        assert!(profile.flamegraph().is_ok_and(|svg| svg.contains("<svg") && svg.contains("load b.rb:7")));
        assert!(
            profile
                .frames
                .iter()
                .enumerate()
                .all(|(at, frame)| frame.parent.is_none_or(|parent| (parent as usize) < at))
        );
    }

    #[test]
    fn what_came_since_another_profile() {
        let profile = profile(Some(1));
        assert_eq!(
            profile.rows.iter().map(|row| (row.inuse_space, row.alloc_objects)).collect::<Vec<_>>(),
            [(500.0, 0.0)]
        );
        assert_eq!(self::profile(Some(3)).rows, []);
        assert!(self::profile(Some(3)).flamegraph().is_err());
    }

    #[test]
    fn pprof_reads_what_is_written() {
        let packed =
            profile(None).pprof(UNIX_EPOCH + Duration::from_secs(7), Duration::from_secs(2)).unwrap_or_default();
        let mut bytes = Vec::new();
        assert!(GzDecoder::new(&packed[..]).read_to_end(&mut bytes).is_ok());
        let read = pprof::Profile::decode(&bytes[..]).unwrap_or_default();
        let text = |number: i64| read.string_table[number as usize].as_str();
        assert_eq!(
            read.sample_type.iter().map(|kind| text(kind.r#type)).collect::<Vec<_>>(),
            ["inuse_objects", "inuse_space", "alloc_objects", "alloc_space"]
        );
        assert_eq!((read.time_nanos, read.duration_nanos, read.period), (7_000_000_000, 2_000_000_000, 10));
        let names = read.sample[0].location_id.iter().map(|id| {
            let line = &read.location[*id as usize - 1].line[0];
            (text(read.function[line.function_id as usize - 1].name), line.line)
        });
        assert_eq!(names.collect::<Vec<_>>(), [("load", 7), ("main", 3)]);
        assert_eq!(read.sample[0].value, [20, 1500, 0, 0]);
        assert_eq!(text(read.sample[0].label[0].str), "Fo;o");
    }
}
