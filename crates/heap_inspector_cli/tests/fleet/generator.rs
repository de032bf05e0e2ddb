//! A fleet as it might be: summaries made of a real one, with leaks planted in some deploys and workers, and noise that is none.

use heap_inspector::analysis::normalised::NormalisedPath;
use heap_inspector::control::Control;
use heap_inspector::export::parquet::columns::Value;
use heap_inspector::export::parquet::schema::{PATHS, SUSPECTS};
use heap_inspector::export::parquet::{Summary, path_row, path_values};
use heap_inspector::scan;
use heap_inspector::snapshot::{Index, Named, Snapshot};
use heap_inspector::source::Source;
use std::fs;
use std::path::Path;

/// Leaks that are planted.
pub(crate) const LEAKS: u64 = 40;
const DEPLOYS: u64 = 25;
const HOSTS: u64 = 200;
/// Dumps of each process that lives as long.
const DUMPS: u64 = 3;
const HOUR: u64 = 3600;
/// When the first deploy begins: 2026-01-01.
pub(crate) const BEGIN: u64 = 1_767_225_600;

/// Numbers that look random and are the same each time (SplitMix64).
pub(crate) struct Random(pub u64);

impl Random {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    pub(crate) fn below(&mut self, end: u64) -> u64 {
        self.next() % end
    }
}

/// A leak: from a deploy to another, in so many of a hundred workers.
pub(crate) struct Leak {
    pub(crate) path: String,
    first: u64,
    last: u64,
    percent: u64,
    each: u64,
    requests_each: u64,
    steps: Vec<String>,
}

pub(crate) fn leaks() -> Vec<Leak> {
    let mut random = Random(7);
    let leak = |number: u64| {
        let steps: Vec<String> = match number % 4 {
            0 => vec![format!("Shop::Registry{number}"), "Hash".into(), format!("Shop::Entry{number}")],
            1 => vec![format!("Shop::Bus{number}"), "Array".into(), "Proc".into()],
            2 => vec!["Thread".into(), format!("Shop::Context{number}"), format!("Trace::Span{number}")],
            _ => vec![format!("Cache{number}"), "Shop::Store".into(), "Hash".into(), "String".into()],
        };
        let first = random.below(DEPLOYS - 3);
        Leak {
            path: steps.join(" → "),
            first,
            last: (first + 3 + random.below(DEPLOYS)).min(DEPLOYS),
            percent: [100, 100, 50, 25][random.below(4) as usize],
            each: 200 + random.below(2000),
            requests_each: 1 + random.below(20),
            steps,
        }
    };
    (0..LEAKS).map(leak).collect()
}

/// What a fleet has.
pub(crate) struct Fleet {
    /// Processes that have each leak, by its number.
    pub(crate) workers: Vec<u64>,
}

/// Sums up a real dump.
pub(crate) fn summary(dump: &Path) -> Summary {
    let snapshot = Snapshot::load(Source::path(dump), Index::Ignored, &scan::Options::default()).unwrap();
    Summary::of(&Named { name: "base", snapshot: &snapshot }, &Control::default()).unwrap()
}

fn row(steps: &[String], count: u64, bytes: u64, retained: u64) -> Vec<Value> {
    path_row(&NormalisedPath(steps.to_vec()), count, bytes, retained)
}

fn number(value: &Value) -> u64 {
    match value {
        Value::Number(number) => *number as u64,
        _ => 0,
    }
}

/// Writes so many summaries into the folder.
pub(crate) fn write(base: &Summary, folder: &Path, files: u64) -> Fleet {
    let leaks = leaks();
    let mut fleet = Fleet { workers: vec![0; leaks.len()] };
    let (mut random, mut written, mut process) = (Random(42), 0, 0);
    while written < files {
        let deploy = process % DEPLOYS;
        let host = random.below(HOSTS);
        let begin = BEGIN + deploy * 24 * HOUR + random.below(6 * HOUR);
        let rate = 500 + random.below(3000); // requests an hour
        let dumps = if random.below(10) == 0 { 1 } else { DUMPS }.min(files - written);
        let own: Vec<usize> = (0..leaks.len())
            .filter(|at| {
                (leaks[*at].first..leaks[*at].last).contains(&deploy) && random.below(100) < leaks[*at].percent
            })
            .collect();
        own.iter().for_each(|at| fleet.workers[*at] += 1);
        for dump in 0..dumps {
            let uptime = (dump + 1) * 2 * HOUR + random.below(600);
            let requests = rate * uptime / HOUR;
            let mut one = base.clone();
            for (name, text) in [
                ("service", "shop".to_owned()),
                ("deploy", format!("d{deploy:02}")),
                ("host", format!("host-{host}")),
                ("process", format!("host-{host}/{process}/1")),
            ] {
                one.set(name, Value::text(&text));
            }
            one.set("pid", Value::number(process));
            one.set("taken", Value::number((begin + uptime) * 1_000_000));
            one.set("uptime", Value::Real(uptime as f64));
            one.set("requests", Value::number(requests));
            let paths = one.list_mut(&PATHS).unwrap();
            shake(paths, &mut random);
            noise(paths, process, dump, requests, &mut random);
            let mut suspects = Vec::new();
            for at in &own {
                let (steps, leak) = (&leaks[*at].steps, &leaks[*at]);
                let count = 20 + requests / leak.requests_each;
                let bytes = count * 40;
                paths.push(row(steps, count, bytes, count * leak.each));
                let text = [&steps[..], &["Text".to_owned()]].concat();
                paths.push(row(&text, count * 2, count * (leak.each - 40), count * (leak.each - 40)));
                let holder = &steps[..steps.len() - 1];
                paths.push(row(holder, 1, count.next_power_of_two() * 8, count * leak.each + count * 8));
                if dump > 0 {
                    let values = path_values(&NormalisedPath(steps.clone()));
                    let told = [Value::number(suspects.len() as u64 + 1)].into_iter().chain(values);
                    let rest = [
                        Value::text(steps.last().unwrap()),
                        Value::number(count),
                        Value::number(count * leak.each),
                        Value::text("medium"),
                        Value::text(&format!("/app/lib/leak{at}.rb:{}", 10 + deploy)),
                        Value::None,
                        Value::None,
                    ];
                    suspects.push(told.chain(rest).collect());
                }
            }
            *one.list_mut(&SUSPECTS).unwrap() = suspects;
            let name = format!("{written:05}.parquet");
            let path = folder.join(format!("service=shop/deploy=d{deploy:02}"));
            fs::create_dir_all(&path).unwrap();
            let path = path.join(name);
            fs::write(&path, one.bytes(&path).unwrap()).unwrap();
            written += 1;
        }
        process += 1;
    }
    fleet
}

/// No two processes hold just the same.
fn shake(paths: &mut [Vec<Value>], random: &mut Random) {
    let places = ["count", "bytes", "retained"].map(|name| PATHS.place(name).unwrap());
    for row in paths {
        let part = 970 + random.below(60);
        for place in places {
            row[place] = Value::number((number(&row[place]) * part).div_ceil(1000));
        }
    }
}

/// What looks like a leak and is none: caches that fill and are full, pools, what comes and goes, what is there from the start.
fn noise(paths: &mut Vec<Vec<Value>>, process: u64, dump: u64, requests: u64, random: &mut Random) {
    for number in 0..40 {
        let steps = |name: &str| -> Vec<String> {
            vec![format!("Noise::{name}{number}"), "Hash".into(), format!("Noise::Item{number}")]
        };
        let full = 300 + number * 17;
        let warm = [full * 3 / 4, full, full][dump as usize].min(requests);
        let (tide, peak) = (random.below(2 * full), if dump == 1 { 4 * full } else { full });
        for (name, count) in [("Cache", warm), ("Tide", tide), ("Peak", peak), ("Boot", full)] {
            paths.push(row(&steps(name), count, count * 40, count * 900));
        }
    }
    // Of each process alone.
    let own = [format!("Job{process}"), "Array".to_owned(), "String".to_owned()];
    paths.push(row(&own, 500 + random.below(500), 20_000, 90_000));
}
