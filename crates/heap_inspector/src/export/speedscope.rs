//! A profile in speedscope's own form (www.speedscope.app/file-format-schema.json): bytes, and objects, as two profiles over one list of
//! frames, the outermost first, the class last.

use hashbrown::HashMap;
use heap_inspector_tracer::profile::{Profile, Row};
use serde::Serialize;
use std::io::{self, Write};

#[derive(Serialize)]
struct File<'a> {
    #[serde(rename = "$schema")]
    schema: &'static str,
    exporter: &'static str,
    name: &'a str,
    #[serde(rename = "activeProfileIndex")]
    active: usize,
    shared: Shared<'a>,
    profiles: [Sampled<'a>; 2],
}

#[derive(Serialize)]
struct Shared<'a> {
    frames: Vec<Frame<'a>>,
}

#[derive(Serialize)]
struct Frame<'a> {
    name: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    file: &'a str,
    #[serde(skip_serializing_if = "is_none")]
    line: u32,
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "as serde calls it")]
fn is_none(line: &u32) -> bool {
    *line == 0
}

#[derive(Serialize)]
struct Sampled<'a> {
    #[serde(rename = "type")]
    kind: &'static str,
    name: &'static str,
    unit: &'static str,
    #[serde(rename = "startValue")]
    start: u64,
    #[serde(rename = "endValue")]
    end: u64,
    samples: &'a [Vec<u32>],
    weights: Vec<u64>,
}

pub(super) fn write(profile: &Profile, name: &str, out: &mut dyn Write) -> io::Result<()> {
    let mut frames: Vec<Frame<'_>> =
        profile.frames.iter().map(|frame| Frame { name: &frame.label, file: &frame.file, line: frame.line }).collect();
    let mut classes: HashMap<&str, u32> = HashMap::new();
    let samples: Vec<Vec<u32>> = profile
        .rows
        .iter()
        .map(|row| {
            let mut stack: Vec<u32> = profile.stack(row).map(|(number, _)| number).collect();
            stack.reverse();
            if !row.class.is_empty() {
                stack.push(*classes.entry(&row.class).or_insert_with(|| {
                    frames.push(Frame { name: &row.class, file: "", line: 0 });
                    frames.len() as u32 - 1
                }));
            }
            stack
        })
        .collect();
    let sampled = |name, unit, weight: fn(&Row) -> f64| {
        let weights: Vec<u64> = profile.rows.iter().map(|row| weight(row) as u64).collect();
        let end = weights.iter().fold(0, |sum: u64, weight| sum.saturating_add(*weight));
        Sampled { kind: "sampled", name, unit, start: 0, end, samples: &samples, weights }
    };
    let profiles =
        [sampled("Bytes", "bytes", |row| row.inuse_space), sampled("Objects", "none", |row| row.inuse_objects)];
    let file = File {
        schema: "https://www.speedscope.app/file-format-schema.json",
        exporter: concat!("heap_inspector@", env!("CARGO_PKG_VERSION")),
        name,
        active: 0,
        shared: Shared { frames },
        profiles,
    };
    serde_json::to_writer(&mut *out, &file)?;
    out.write_all(b"\n")
}
