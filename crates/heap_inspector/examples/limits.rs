//! The limits that reading a dump is measured against, on one thread: `cargo run --release --example limits -- newlines|serde_json heap.json`.
//!
//! `newlines` reads the file in blocks and counts line ends with memchr: no reader of lines can be faster. `serde_json` parses each
//! line into a struct that borrows from it, with the fields our records have: what a reader made of good parts takes.
#![allow(clippy::print_stdout, reason = "an example talks to its reader")]

use std::borrow::Cow;
use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::time::Instant;

const BLOCK: usize = 1 << 20;

#[derive(serde::Deserialize)]
struct Line<'a> {
    address: Option<&'a str>,
    #[serde(rename = "type")]
    ty: &'a str,
    class: Option<&'a str>,
    #[serde(borrow)]
    name: Option<Cow<'a, str>>,
    #[serde(borrow)]
    value: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    references: Vec<&'a str>,
    #[serde(borrow)]
    file: Option<Cow<'a, str>>,
    line: Option<u32>,
    #[serde(borrow)]
    method: Option<Cow<'a, str>>,
    generation: Option<u32>,
    #[serde(default)]
    memsize: u64,
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [limit, path] = &arguments[..] else { return Err("usage: limits newlines|serde_json DUMP".into()) };
    let start = Instant::now();
    let file = File::open(path)?;
    let bytes = file.metadata()?.len();
    let found = match limit.as_str() {
        "newlines" => newlines(file)?,
        "serde_json" => typed(file)?,
        other => return Err(format!("no limit {other:?}; there are newlines, serde_json").into()),
    };
    let seconds = start.elapsed().as_secs_f64();
    println!("{found}");
    println!("{seconds:.3} s, {:.2} GB/s", bytes as f64 / 1e9 / seconds);
    Ok(())
}

fn newlines(mut file: File) -> std::io::Result<String> {
    let mut block = vec![0; BLOCK];
    let mut lines = 0;
    loop {
        let read = file.read(&mut block)?;
        if read == 0 {
            return Ok(format!("{lines} lines"));
        }
        lines += memchr::memchr_iter(b'\n', &block[..read]).count();
    }
}

fn typed(file: File) -> Result<String, Box<dyn std::error::Error>> {
    let mut reader = BufReader::with_capacity(BLOCK, file);
    let mut text = Vec::new();
    let (mut objects, mut memsize, mut references, mut bad, mut kept) = (0u64, 0u64, 0u64, 0u64, 0u64);
    while reader.read_until(b'\n', &mut text)? > 0 {
        match serde_json::from_slice::<Line<'_>>(&text) {
            Ok(line) if line.address.is_some() && line.ty != "SHAPE" => {
                objects += 1;
                memsize += line.memsize;
                references += line.references.len() as u64;
                // Looks at every field, so that none is parsed in vain.
                kept += u64::from(line.class.is_some())
                    + u64::from(line.name.is_some())
                    + u64::from(line.value.is_some())
                    + u64::from(line.file.is_some() && line.line.is_some())
                    + u64::from(line.method.is_some())
                    + u64::from(line.generation.is_some());
            }
            Ok(_) => {}
            Err(_) => bad += 1,
        }
        text.clear();
    }
    Ok(format!("{objects} objects, {memsize} bytes, {references} references, {kept} more fields, {bad} bad lines"))
}
