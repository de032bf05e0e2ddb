//! Mutated dumps, and index and heap files with repaired checksums, through whole command lines.
//!
//! Whatever the bytes are: nothing panics or hangs, what succeeds prints valid JSON, all verbs count the same objects and bytes, and
//! neither the number of threads nor an index file changes the answer. A run is told by its seed; `HEAP_INSPECTOR_FUZZ_SECONDS` goes on
//! with new seeds for so long (`bin/fuzz`), without it a few fixed ones are taken. What fails is kept in `target/fuzz`.
#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a test may panic, and tells its seed")]

#[path = "../../heap_inspector/tests/written/mod.rs"]
mod written;

use heap_inspector::questions::{Answer, Place, QUESTIONS, Question};
use heap_inspector_cli::{Terminal, run};
use std::collections::HashSet;
use std::ffi::OsString;
use std::fs::{self, File};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use twox_hash::XxHash3_64;

const DUMPS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../heap_inspector/tests/dumps");
/// One with stacks.
const SAMPLED: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/dumps/sampled-1.json.zst");
/// Seeds that are always taken.
const FIXED: u64 = 6;
/// A command that takes longer hangs.
const CHECK_INTERVAL: Duration = Duration::from_secs(60);

/// Marsaglia's xorshift: numbers that are told by the seed.
struct Random(u64);

impl Random {
    fn new(seed: u64) -> Random {
        Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    fn below(&mut self, end: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) as usize % end.max(1)
    }

    fn of<'a, T>(&mut self, list: &'a [T]) -> &'a T {
        &list[self.below(list.len())]
    }
}

/// Runs `each` with one seed after another; what panics is told with its seed.
fn with_seeds(mut each: impl FnMut(u64)) {
    let seconds = std::env::var("HEAP_INSPECTOR_FUZZ_SECONDS").ok().map(|text| text.parse::<u64>().unwrap());
    let end = Instant::now() + Duration::from_secs(seconds.unwrap_or(0));
    let first = if seconds.is_some() { u64::from(std::process::id()) << 20 } else { 0 };
    for seed in first.. {
        if if seconds.is_some() { Instant::now() >= end } else { seed >= FIXED } {
            break;
        }
        if let Err(panic) = catch_unwind(AssertUnwindSafe(|| each(seed))) {
            println!("the seed is {seed}");
            std::panic::resume_unwind(panic);
        }
    }
}

/// The lines of a part of a real dump: roots, classes and a few hundred others.
fn lines(random: &mut Random) -> Vec<Vec<u8>> {
    let mut names: Vec<PathBuf> = fs::read_dir(DUMPS).unwrap().map(|entry| entry.unwrap().path()).collect();
    names.retain(|path| path.extension().is_some_and(|extension| extension == "zst"));
    names.sort();
    names.push(SAMPLED.into());
    let whole = zstd::decode_all(File::open(random.of(&names)).unwrap()).unwrap();
    let one_in = 20 + random.below(80);
    let mut kept = Vec::new();
    for line in whole.split_inclusive(|byte| *byte == b'\n') {
        let has = |text: &str| line.windows(text.len()).any(|part| part == text.as_bytes());
        if line.starts_with(b"{\"type\":\"ROOT\"")
            || has("\"type\":\"CLASS\"") && random.below(4) == 0
            || has("\"stack\":") && random.below(2) == 0
            || random.below(one_in) == 0
        {
            kept.push(line.to_vec());
        }
    }
    kept
}

/// What is put where a number or a text stood.
const ODD: [&str; 16] = [
    "0",
    "1",
    "-1",
    "255",
    "65535",
    "4294967295",
    "18446744073709551615",
    "\"\"",
    "null",
    "true",
    "[]",
    "{}",
    "\"0x0\"",
    "\"0xffffffffffffffff\"",
    "\"=1;=2\"",
    "\"\\u202e\\u0000\\\"\"",
];

fn mutate(lines: &mut Vec<Vec<u8>>, random: &mut Random) {
    for _ in 0..1 + random.below(40) {
        let (at, other) = (random.below(lines.len()), random.below(lines.len()));
        match random.below(10) {
            0 => lines.swap(at, other),
            1 => {
                let copy = lines[other].clone();
                lines.insert(at, copy);
            }
            2 if lines.len() > 20 => {
                lines.remove(at);
            }
            3 => {
                let end = random.below(lines[at].len());
                lines[at].truncate(end);
            }
            4 => {
                let (place, byte) = (random.below(lines[at].len()), random.below(256) as u8);
                if let Some(old) = lines[at].get_mut(place) {
                    *old = byte;
                }
            }
            5 => {
                // A piece of another line.
                let from = random.below(lines[other].len());
                let piece: Vec<u8> = lines[other][from..].iter().copied().take(random.below(60)).collect();
                let place = random.below(lines[at].len());
                lines[at].splice(place..place, piece);
            }
            _ => {
                // The value behind one of the colons.
                let line = &lines[at];
                let colons: Vec<usize> =
                    line.iter().enumerate().filter(|(_, byte)| **byte == b':').map(|(at, _)| at).collect();
                if colons.is_empty() {
                    continue;
                }
                let begin = *random.of(&colons) + 1;
                let length = line[begin..].iter().position(|byte| matches!(byte, b',' | b'}')).unwrap_or(0);
                let odd = *random.of(&ODD);
                lines[at].splice(begin..begin + length, odd.bytes());
            }
        }
    }
}

/// Exit code, output, what was said beside it.
fn answer(words: &[&str]) -> (i32, String, String) {
    let words: Vec<OsString> = words.iter().map(OsString::from).collect();
    let cancel = Arc::new(AtomicBool::new(false));
    let (told, done) = std::sync::mpsc::channel::<()>();
    let (raised, ended) = (Arc::clone(&cancel), words.clone());
    // Ends with the answer: then nobody listens any more.
    let watch = std::thread::spawn(move || {
        if done.recv_timeout(CHECK_INTERVAL) == Err(std::sync::mpsc::RecvTimeoutError::Timeout) {
            raised.store(true, Ordering::Relaxed);
            return Some(ended);
        }
        None
    });
    let (mut out, mut err) = (Vec::new(), Vec::new());
    let code = run(&words, Terminal::default(), &mut out, &mut err, &cancel);
    drop(told);
    let late: Option<Vec<OsString>> = watch.join().unwrap();
    assert_eq!(late, None, "took longer than {CHECK_INTERVAL:?}");
    (code, String::from_utf8(out).unwrap(), String::from_utf8(err).unwrap())
}

fn json(words: &[&str]) -> Option<serde_json::Value> {
    let (code, out, err) = answer(words);
    assert!([0, 1, 2].contains(&code), "{words:?}: {code}, {err}");
    (code == 0).then(|| serde_json::from_str(&out).unwrap_or_else(|error| panic!("{words:?}: {error}\n{out}")))
}

/// Keeps the input for the one who looks into it.
fn keep(name: &str, seed: u64, bytes: &[u8]) {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("../fuzz");
    fs::create_dir_all(&folder).unwrap();
    fs::write(folder.join(format!("{name}-{seed}")), bytes).unwrap();
}

/// Words beside those of [`plain`].
const STREAMED: [&[&str]; 4] = [
    &["read", "all"],
    &["top", "--by", "class,location"],
    &["top", "--by", "shape,encoding,old", "-n", "3"],
    &["top", "--by", "stack,app_location"],
];
const LOADED: [&[&str]; 5] = [
    &["retained", "--by", "class"],
    &["retained", "--by", "stack", "--where", "app_location=*.rb*"],
    &["dominators", "--min", "0"],
    &["path", "--where", "type=STRING"],
    &["dominators", "--by", "class"],
];

/// Every question that needs no more than a dump: those of one pass, or the others.
fn plain(is_streamed: bool) -> impl Iterator<Item = Vec<&'static str>> {
    let is_plain = move |question: &&Question| {
        let needs_more = question.choices().iter().skip(1).any(|choice| matches!(choice.place, Place::Word(_)));
        !needs_more && !question.exports() && matches!(question.answer, Answer::Pass(_)) == is_streamed
    };
    QUESTIONS.iter().filter(is_plain).map(|question| match question.name {
        "report" => vec!["report", "--output", "/dev/null"],
        name => vec![name],
    })
}

#[test]
fn mutated_dumps_are_answered_alike_by_all_verbs() {
    let folder = tempfile::tempdir().unwrap();
    let dump = folder.path().join("heap.json");
    let path = dump.to_str().unwrap();
    with_seeds(|seed| {
        let mut random = Random::new(seed);
        let mut lines = lines(&mut random);
        mutate(&mut lines, &mut random);
        let bytes = lines.concat();
        fs::write(&dump, &bytes).unwrap();
        let checked = catch_unwind(AssertUnwindSafe(|| {
            let mut totals = Vec::new();
            let mut compare = |words: &[&str], ways: &[&[&str]]| {
                let [verb, rest @ ..] = words else { return };
                let whole = |more: &[&str]| json(&[&[*verb, path], rest, &["--format", "json"], more].concat());
                let first = whole(ways[0]);
                for way in &ways[1..] {
                    assert_eq!(whole(way), first, "{words:?} {way:?}");
                }
                if let Some(first) = first {
                    let facts = &first["totals"];
                    totals.push((words.join(" "), facts["object_count"].clone(), facts["memsize"].clone()));
                }
            };
            for words in plain(true).chain(STREAMED.map(<[&str]>::to_vec)) {
                compare(&words, &[&["--threads", "1"], &["--threads", "2"]]);
            }
            for words in plain(false).chain(LOADED.map(<[&str]>::to_vec)) {
                let _ = fs::remove_file(dump.with_extension("json.hidx"));
                // Without an index file, twice; then as it is written, and as it is read.
                compare(&words, &[&["--no-index", "--threads", "1"], &["--no-index", "--threads", "2"], &[], &[]]);
            }
            for (words, count, memsize) in &totals[1.min(totals.len())..] {
                if !count.is_null() && !totals[0].1.is_null() {
                    assert_eq!((count, memsize), (&totals[0].1, &totals[0].2), "{words}, {}", totals[0].0);
                }
            }
            for format in ["text", "markdown", "csv"] {
                let (code, out, _) = answer(&["summary", path, "--format", format]);
                assert!(code != 0 || !out.chars().any(|letter| letter != '\n' && letter.is_control()), "{format}");
            }
            exported(path, folder.path());
        }));
        if let Err(panic) = checked {
            keep("dump", seed, &bytes);
            std::panic::resume_unwind(panic);
        }
    });
}

/// Files of a dump in each format: what is written is whole, and objects have ids of their own.
fn exported(path: &str, folder: &Path) {
    let snapshot: &[&[&str]] = &[&[], &["--sites", "--min", "100"], &["--where", "type=STRING|HASH", "--confidential"]];
    let profile: &[&[&str]] = &[&["--by", "site"], &["--by", "stack"], &["--by", "dominators"]];
    let (tables, summary) = (folder.join("tables"), folder.join("summary.parquet"));
    let (code, _, err) = answer(&["summarize", path, "-o", summary.to_str().unwrap()]);
    assert_eq!(code == 0, summary.exists(), "{err}");
    let all = answer(&["export", path, "--format", "parquet", "-o", tables.to_str().unwrap()]);
    assert_eq!(code, all.0, "{err} {}", all.2);
    let _ = fs::remove_file(&summary); // where there is none
    let _ = fs::remove_dir_all(&tables);
    for (format, ways) in [("heapsnapshot", snapshot), ("speedscope", profile), ("folded", profile), ("pprof", profile)]
    {
        for words in ways {
            let output = folder.join("exported");
            let to = ["export", path, "--format", format, "-o", output.to_str().unwrap()];
            let (code, _, err) = answer(&[&to[..], words].concat());
            assert_eq!(code == 0, output.exists(), "{format} {words:?}: {err}");
            if code != 0 {
                continue;
            }
            let bytes = fs::read(&output).unwrap();
            fs::remove_file(&output).unwrap();
            match format {
                "heapsnapshot" => {
                    let json: serde_json::Value = serde_json::from_slice(&bytes).unwrap();
                    let nodes = json["nodes"].as_array().unwrap();
                    let ids: HashSet<u64> = nodes.chunks(7).map(|node| node[2].as_u64().unwrap()).collect();
                    assert_eq!(ids.len(), nodes.len() / 7, "{words:?}");
                    let (names, edges) = (json["strings"].as_array().unwrap(), json["edges"].as_array().unwrap());
                    assert!(nodes.chunks(7).all(|node| (node[1].as_u64().unwrap() as usize) < names.len()));
                    assert!(edges.chunks(3).all(|edge| (edge[2].as_u64().unwrap() as usize) < nodes.len()));
                    let counted: u64 = nodes.chunks(7).map(|node| node[4].as_u64().unwrap()).sum();
                    assert_eq!(counted as usize * 3, edges.len(), "{words:?}");
                }
                "speedscope" => drop(serde_json::from_slice::<serde_json::Value>(&bytes).unwrap()),
                "folded" => assert!(std::str::from_utf8(&bytes).unwrap().lines().all(|line| line.contains(' '))),
                _ => assert_eq!(bytes[..2], [0x1f, 0x8b]),
            }
        }
    }
}

/// The arrays of an index file: width, length and place of each, and where its table begins; the layout is told in `arrays.rs`.
fn sections(bytes: &[u8]) -> (usize, Vec<(usize, usize, usize)>) {
    let word = |at: usize| u64::from_ne_bytes(bytes[8 * at..8 * at + 8].try_into().unwrap()) as usize;
    let (words, table, count) = (word(1), word(2) / 8, word(3));
    let mut begin = 8 * (5 + words + 1);
    let mut sections = Vec::new();
    for at in 0..count {
        let (width, length) = (word(table + 3 * at + 1), word(table + 3 * at + 2));
        sections.push((width, length, begin));
        begin += length.next_multiple_of(8);
    }
    assert_eq!(begin, table * 8);
    (table, sections)
}

/// Changes some numbers and makes the checksums right again.
fn forge(bytes: &mut [u8], random: &mut Random) {
    let (table, sections) = sections(bytes);
    for _ in 0..1 + random.below(6) {
        let section = random.below(sections.len());
        let (width, length, begin) = sections[section];
        if length == 0 {
            continue;
        }
        let numbers = length / width;
        let place = |number: usize| begin + number * width..begin + (number + 1) * width;
        let target = random.below(numbers);
        let number = match random.below(7) {
            0 => vec![0; width],
            1 => vec![0xff; width],
            2 => [&[0xfe][..], &vec![0xff; width - 1]].concat(),
            3 => [&[random.below(256) as u8][..], &vec![0; width - 1]].concat(),
            4 => (0..width).map(|_| random.below(256) as u8).collect(),
            _ => bytes[place(random.below(numbers))].to_vec(),
        };
        bytes[place(target)].copy_from_slice(&number);
    }
    let pieces = sections.iter().flat_map(|(_, length, begin)| bytes[*begin..begin + length].chunks(32 << 10));
    let sums: Vec<u8> = pieces.flat_map(|piece| XxHash3_64::oneshot(piece).to_ne_bytes()).collect();
    let end = bytes.len() - 8;
    assert_eq!(end - sums.len(), 8 * (table + 3 * sections.len()));
    bytes[end - sums.len()..end].copy_from_slice(&sums);
    let sum = XxHash3_64::oneshot(&bytes[8 * table..end]).to_ne_bytes();
    bytes[end..].copy_from_slice(&sum);
}

#[test]
fn forged_index_files_neither_panic_nor_hang() {
    let folder = tempfile::tempdir().unwrap();
    let dump = folder.path().join("heap.json");
    let path = dump.to_str().unwrap();
    let bytes = lines(&mut Random::new(7)).concat();
    fs::write(&dump, &bytes).unwrap();
    json(&["retained", path, "--format", "json"]).expect("a real dump");
    let index = folder.path().join("heap.json.hidx");
    let whole = fs::read(&index).unwrap();
    let addresses: Vec<String> = {
        let found = json(&["retained", path, "--format", "json"]).unwrap().to_string();
        let all = found.split("\"0x").skip(1).map(|rest| format!("0x{}", rest.split('"').next().unwrap()));
        all.take(3).collect()
    };
    // So that a forger's file is read at all.
    assert!(sections(&whole).1.len() > 20);
    forge(&mut whole.clone(), &mut Random::new(1));
    with_seeds(|seed| {
        let mut random = Random::new(seed);
        let mut rounds = if std::env::var_os("HEAP_INSPECTOR_FUZZ_SECONDS").is_some() { 1 } else { 25 };
        while rounds > 0 {
            rounds -= 1;
            let mut forged = whole.clone();
            forge(&mut forged, &mut random);
            let checked = catch_unwind(AssertUnwindSafe(|| {
                let shows: Vec<[&str; 3]> =
                    addresses.iter().flat_map(|at| [["show", path, at], ["path", path, at]]).collect();
                let shows = shows.iter().map(|words| (&words[..1], &words[2..]));
                let loaded: Vec<Vec<&str>> = plain(false).chain(LOADED.map(<[&str]>::to_vec)).collect();
                for (verb, rest) in loaded.iter().map(|words| (&words[..1], &words[1..])).chain(shows) {
                    fs::write(&index, &forged).unwrap();
                    json(&[verb, &[path], rest, &["--format", "json"]].concat());
                }
            }));
            if let Err(panic) = checked {
                keep("index", seed, &forged);
                std::panic::resume_unwind(panic);
            }
        }
    });
}

/// Changes some bytes of the blocks of a heap file and makes checksums and lengths right again; the layout is in docs/dump-format.md.
fn forge_blocks(file: &[u8], random: &mut Random) -> Vec<u8> {
    const HEADER: usize = 16;
    const HEAD: usize = 32;
    let number = |bytes: &[u8], at: usize| u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap()) as usize;
    let mut forged = file[..HEADER].to_vec();
    let mut rest = &file[HEADER..];
    while rest.starts_with(b"ROWS") {
        let (bytes, packed) = (number(rest, 8), number(rest, 12));
        let payload = &rest[HEAD..HEAD + packed];
        let mut raw = if packed == bytes { payload.to_vec() } else { zstd::bulk::decompress(payload, bytes).unwrap() };
        for _ in 0..random.below(8) {
            let at = random.below(raw.len());
            // Most of what can be said of a block stands at its beginning.
            let at = if random.below(2) == 0 { at } else { at % 600.min(raw.len()) };
            match random.below(5) {
                0 => raw[at] = *random.of(&[0, 1, 0x7f, 0x80, 0xff]),
                1 => raw[at] = random.below(256) as u8,
                2 => raw[at] = raw[at].wrapping_add(1),
                3 => drop(raw.remove(at)),
                _ => raw.insert(at, random.below(256) as u8),
            }
        }
        let mut head = rest[..HEAD].to_vec();
        if random.below(4) == 0 {
            let records = [0, 1, raw.len(), number(rest, 4) + 1][random.below(4)].min(raw.len()) as u32;
            head[4..8].copy_from_slice(&records.to_le_bytes());
        }
        let length = (raw.len() as u32).to_le_bytes();
        head[8..12].copy_from_slice(&length);
        head[12..16].copy_from_slice(&length);
        head[16..24].copy_from_slice(&XxHash3_64::oneshot(&raw).to_le_bytes());
        let sum = XxHash3_64::oneshot(&head[..24]).to_le_bytes();
        head[24..].copy_from_slice(&sum);
        forged.extend(head);
        forged.extend(raw);
        rest = &rest[HEAD + packed..];
    }
    forged.extend(rest);
    if random.below(5) == 0 {
        forged.truncate(random.below(forged.len()));
    }
    forged
}

#[test]
fn forged_heap_files_neither_panic_nor_hang() {
    let folder = tempfile::tempdir().unwrap();
    let dump = folder.path().join("app.heap");
    let path = dump.to_str().unwrap();
    let converted = folder.path().join("heap.json");
    with_seeds(|seed| {
        let mut random = Random::new(seed);
        let mut lines = lines(&mut random);
        let whole = written::heap_file(&lines.concat());
        fs::write(&dump, &whole).unwrap();
        fs::write(&converted, lines.concat()).unwrap();
        let totals =
            |path: &str| json(&["retained", path, "--no-index", "--format", "json"]).unwrap()["totals"].clone();
        assert_eq!(totals(path), totals(converted.to_str().unwrap()));
        lines.retain(|line| line.ends_with(b"\n"));
        mutate(&mut lines, &mut random);
        let mutated =
            written::heap_file(&lines.iter().flat_map(|line| [line.as_slice(), b"\n"].concat()).collect::<Vec<u8>>());
        for round in 0..12 {
            let forged = if round == 0 { mutated.clone() } else { forge_blocks(&whole, &mut random) };
            let checked = catch_unwind(AssertUnwindSafe(|| {
                fs::write(&dump, &forged).unwrap();
                for words in [
                    &["summary"][..],
                    &["top"],
                    &["suspects"],
                    &["retained", "--no-index"],
                    &["path", "--where", "type=STRING"],
                ] {
                    let one =
                        json(&[&words[..1], &[path], &words[1..], &["--threads", "1", "--format", "json"]].concat());
                    let two =
                        json(&[&words[..1], &[path], &words[1..], &["--threads", "2", "--format", "json"]].concat());
                    assert_eq!(one, two, "{words:?}");
                    let _ = fs::remove_file(folder.path().join("app.heap.hidx"));
                }
                let _ = fs::remove_file(&converted);
                let (code, _, err) = answer(&["convert", path, "-o", converted.to_str().unwrap()]);
                assert_eq!(code == 0, converted.exists(), "{err}");
            }));
            if let Err(panic) = checked {
                keep("heap-file", seed, &forged);
                std::panic::resume_unwind(panic);
            }
        }
    });
}
