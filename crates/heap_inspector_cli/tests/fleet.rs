//! `fleet` and the tables it stands on, asked by DuckDB: what is planted is found, what is exported is what is in the dump, and what is
//! no summary is left out. `bin/setup --test` installs DuckDB.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod dumps;
#[path = "fleet/generator.rs"]
mod generator;

use generator::{LEAKS, Random};
use serde_json::Value;
use std::collections::HashMap;
use std::fs;
use std::io::{BufRead, BufReader};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

const SHOP: [&str; 3] = ["shop-1.json.zst", "shop-2.json.zst", "shop-3.json.zst"];

/// The program of DuckDB: the one that is named, or that `bin/setup --test` installs.
fn duckdb() -> PathBuf {
    let own = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tmp/fleet/bin/duckdb");
    let found = std::env::var_os("HEAP_INSPECTOR_DUCKDB").map_or(own, PathBuf::from);
    assert!(found.exists(), "no {}: run bin/setup --test", found.display());
    found
}

fn run(words: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_heap_inspector"));
    command.current_dir(dumps::folder()).args(words).env("HEAP_INSPECTOR_DUCKDB", duckdb()).output().unwrap()
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap()
}

/// What a command that ends well writes.
fn answer(words: &[&str]) -> String {
    let output = run(words);
    assert!(output.status.success(), "{words:?}: {}", text(&output.stderr));
    text(&output.stdout).to_owned()
}

fn inbox(folder: &Path, words: &[&str]) -> Value {
    let words = [&["fleet", folder.to_str().unwrap(), "--format", "json", "--lines", "1000"], words].concat();
    serde_json::from_str(&answer(&words)).unwrap()
}

/// The rows that DuckDB answers.
fn query(sql: &str) -> Vec<Value> {
    let output = Command::new(duckdb()).args(["-no-init", "-batch", "-bail", "-json", "-c", sql]).output().unwrap();
    assert!(output.status.success(), "{sql}: {}", text(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap_or_default()
}

fn rows(answer: &Value) -> &Vec<Value> {
    answer["inbox"]["rows"].as_array().unwrap_or_else(|| panic!("{answer}"))
}

/// Planted leaks stand before all else, each once, in all processes that have it and in no other.
#[test]
fn planted_leaks_come_first_and_whole() {
    // For measurements of more: FLEET_FILES=10000.
    let files = std::env::var("FLEET_FILES").map_or(1000, |files| files.parse().unwrap());
    let folder = tempfile::tempdir().unwrap();
    let base = generator::summary(&dumps::folder().join(SHOP[0]));
    let fleet = generator::write(&base, folder.path(), files);
    let largest = files_below(folder.path()).iter().map(|path| fs::metadata(path).unwrap().len()).max().unwrap();
    assert!(largest <= 200_000, "{largest}");

    let answer = inbox(folder.path(), &["--since", "2026-01-15"]);

    let leaks = generator::leaks();
    let planted: HashMap<&str, usize> = leaks.iter().enumerate().map(|(at, leak)| (&leak.path[..], at)).collect();
    let there = fleet.workers.iter().filter(|workers| **workers > 2).count();
    assert!(files < 1000 || there as u64 == LEAKS, "{:?}", fleet.workers);
    let (mut found, mut same, mut in_groups, mut in_fleet) = (0, 0, 0, 0);
    for (place, row) in rows(&answer).iter().take(there).enumerate() {
        let path = row["path"].as_str().unwrap();
        let at = *planted.get(path).unwrap_or_else(|| panic!("row {place} is no planted leak: {row}"));
        let workers = row["workers"].as_u64().unwrap();
        found += 1;
        same += workers.min(fleet.workers[at]);
        in_groups += workers;
        in_fleet += fleet.workers[at];
        assert_eq!(row["trend"], "rising", "{row}");
        assert!(row["location"].as_str().unwrap().starts_with(&format!("/app/lib/leak{at}.rb:")), "{row}");
        let (each, share) = (row["bytes_per_request"].as_f64().unwrap(), row["share_of_workers"].as_f64().unwrap());
        assert!(each > 0.0 && share > 0.0 && share <= 1.0, "{row}");
    }
    assert_eq!(found, there);
    let (purity, recall) = (same as f64 / in_groups as f64, same as f64 / in_fleet as f64);
    assert!(purity >= 0.98 && recall >= 0.98, "purity {purity}, recall {recall}");
    // Nothing else rises.
    let rising = rows(&answer).iter().filter(|row| row["trend"] == "rising").count();
    assert_eq!(rising, there);
    for state in ["new", "known", "gone"] {
        assert!(rows(&answer).iter().any(|row| row["state"] == state), "none is {state}");
    }
    let new = rows(&answer).iter().filter(|row| row["state"] == "new");
    assert!(new.clone().all(|row| row["first_seen"].as_str().unwrap() >= "2026-01-15"), "{answer}");
    // The same by the deploy of that day.
    let by_deploy = inbox(folder.path(), &["--since", "d14"]);
    assert_eq!(rows(&by_deploy).iter().filter(|row| row["state"] == "new").count(), new.count());
}

/// A period is asked for by the rows' own time, and before by the folders' names: what lies in another's is not opened.
#[test]
fn of_a_period_only_its_dumps_are_read() {
    let folder = tempfile::tempdir().unwrap();
    let base = generator::summary(&dumps::folder().join(SHOP[0]));
    generator::write(&base, folder.path(), 200);
    let all = inbox(folder.path(), &[]);
    let (from, until) = ("2026-01-08", "2026-01-15T12:00");
    let some = inbox(folder.path(), &["--from", from, "--until", until]);
    assert!(!rows(&some).is_empty() && rows(&some).len() < rows(&all).len());
    for row in rows(&some) {
        let (first, last) = (row["first_seen"].as_str().unwrap(), row["last_seen"].as_str().unwrap());
        assert!(first >= from && last < "2026-01-15 12:00", "{row}");
    }
    // Files that cannot be read are told, where they are looked at.
    for taken in ["20260107T235959999Z", "20260108T000000000Z", "20260115T115959999Z", "20260115T120000000Z", "notes"] {
        let place = folder.path().join(format!("service=shop/taken={taken}"));
        fs::create_dir_all(&place).unwrap();
        fs::write(place.join("dump.parquet"), "no summary").unwrap();
    }
    let told = run(&["fleet", folder.path().to_str().unwrap(), "--sql", "--from", from, "--until", until]);
    let told = text(&told.stderr);
    for (taken, is_told) in
        [("20260107", false), ("20260108", true), ("20260115T1159", true), ("20260115T1200", false), ("notes", true)]
    {
        assert_eq!(told.contains(&format!("taken={taken}")), is_told, "{taken}: {told}");
    }
    let refused = run(&["fleet", folder.path().to_str().unwrap(), "--from", "tuesday"]);
    assert!(text(&refused.stderr).contains("--from: \"tuesday\" is not a time"), "{}", text(&refused.stderr));
    assert_eq!(refused.status.code(), Some(2));
}

/// The questions of docs/fleet.md, in order.
fn questions() -> Vec<String> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/fleet.md");
    let text = fs::read_to_string(path).unwrap();
    let questions: Vec<String> =
        text.split("\n```sql\n").skip(1).map(|rest| rest.split("```").next().unwrap().to_owned()).collect();
    assert_eq!(questions.len(), 10);
    questions
}

/// A row in an order of its own, without what is null, numbers to six digits.
fn plain(row: &Value) -> Vec<(String, String)> {
    let told = |value: &Value| match value.as_f64() {
        Some(number) => format!("{number:.5e}"),
        None => value.as_str().unwrap_or_default().trim_end_matches(".0").to_owned(),
    };
    let mut columns: Vec<(String, String)> = row
        .as_object()
        .unwrap()
        .iter()
        .filter(|(_, value)| !value.is_null())
        .map(|(name, value)| (name.clone(), told(value)))
        .collect();
    columns.sort();
    columns
}

/// The inbox and the ten questions of the documentation, asked of the same files.
#[test]
fn spark_answers_what_duckdb_does() {
    let folder = tempfile::tempdir().unwrap();
    let base = generator::summary(&dumps::folder().join(SHOP[1]));
    generator::write(&base, folder.path(), 60);
    let place = folder.path().to_str().unwrap();
    let script = answer(&["fleet", place, "--sql", "--since", "2026-01-10"]);
    let (views, inbox) = script.split_once("\nWITH steps AS (").unwrap();
    let inbox = format!("WITH steps AS ({inbox}");
    let all: Vec<String> = [inbox.trim_end().trim_end_matches(';').to_owned()].into_iter().chain(questions()).collect();

    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let asked = folder.path().join("questions.json");
    fs::write(&asked, serde_json::to_string(&all[1..]).unwrap()).unwrap();
    let python = root.join("../../tmp/fleet/bin/python");
    assert!(python.exists(), "no {}: run bin/setup --test", python.display());
    let output = Command::new(python)
        .arg(root.join("tests/fleet/spark.py"))
        .args([place, asked.to_str().unwrap(), "2026-01-10"])
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", text(&output.stderr));
    let by_spark: Vec<Vec<Value>> =
        text(&output.stdout).lines().map(|line| serde_json::from_str(line).unwrap()).collect();

    assert_eq!(by_spark.len(), all.len());
    for (sql, by_spark) in all.iter().zip(&by_spark) {
        let by_duckdb = query(&format!("{views}\n{sql};"));
        let [one, other] = [&by_duckdb, by_spark].map(|rows| rows.iter().map(plain).collect::<Vec<_>>());
        assert_eq!(one, other, "{sql}");
    }
    // Of a program without gems' leaks and of untraced strings some have no row.
    assert!(by_spark.iter().filter(|rows| !rows.is_empty()).count() >= 9, "{by_spark:?}");
}

fn files_below(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() { found.extend(files_below(&path)) } else { found.push(path) }
    }
    found
}

/// By every fixture: counts and bytes by class are those of `top`, and references lead to objects that are there.
#[test]
fn tables_hold_what_the_dump_holds() {
    let folder = tempfile::tempdir().unwrap();
    let mut dumps: Vec<String> = fs::read_dir(dumps::folder())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| name.ends_with(".json.zst"))
        .collect();
    dumps.sort();
    assert!(dumps.len() >= 8, "{dumps:?}");
    for dump in &dumps {
        let place = folder.path().join(dump);
        let words = ["export", dump, "--no-index", "--format", "parquet", "-o", place.to_str().unwrap()];
        answer(&words);
        let all = files_below(&place);
        assert_eq!(all.len(), 10, "{dump}");
        assert!(all.iter().all(|path| fs::metadata(path).unwrap().permissions().mode() & 0o777 == 0o600));
        let table = |name: &str| format!("read_parquet('{}/**/{name}.parquet')", place.display());
        let by_class: Value =
            serde_json::from_str(&answer(&["top", dump, "--by", "class", "--lines", "all", "-f", "json"])).unwrap();
        let expected: HashMap<String, (u64, u64)> = by_class["groups"]["rows"]
            .as_array()
            .unwrap()
            .iter()
            .map(|row| {
                let number = |name: &str| row[name].as_u64().unwrap();
                (row["class"].as_str().unwrap_or_default().to_owned(), (number("count"), number("memsize")))
            })
            .collect();
        assert!(expected.len() > 3, "{by_class}");
        for sql in [
            format!(
                "SELECT class, count(*) AS count, CAST(sum(memsize) AS BIGINT) AS bytes FROM {} GROUP BY class",
                table("objects")
            ),
            format!("SELECT class, count, bytes FROM {}", table("classes")),
        ] {
            let found: HashMap<String, (u64, u64)> = query(&sql)
                .iter()
                .map(|row| {
                    let number = |name: &str| row[name].as_u64().unwrap();
                    (row["class"].as_str().unwrap_or_default().to_owned(), (number("count"), number("bytes")))
                })
                .collect();
            assert_eq!(found, expected, "{dump}: {sql}");
        }
        let ends = query(&format!(
            "SELECT count(*) AS all_of, count(o.address) AS begins, count(p.address) AS ends FROM {edges} AS e \
             LEFT JOIN (SELECT DISTINCT address FROM {objects}) AS o ON e.\"from\" = o.address \
             LEFT JOIN (SELECT DISTINCT address FROM {objects}) AS p ON e.\"to\" = p.address",
            edges = table("edges"),
            objects = table("objects")
        ));
        assert!(ends[0]["all_of"].as_u64().unwrap() > 100, "{dump}: {ends:?}");
        assert_eq!(ends[0]["all_of"], ends[0]["begins"], "{dump}");
        assert_eq!(ends[0]["all_of"], ends[0]["ends"], "{dump}");
        let sums = query(&format!(
            "SELECT d.objects, d.bytes, (SELECT count(*) FROM {objects}) AS count, (SELECT CAST(sum(memsize) AS BIGINT) FROM {objects}) AS sum, \
             (SELECT count(*) FROM {objects} WHERE reachable) AS reached, d.reachable_objects FROM {dump} AS d",
            objects = table("objects"),
            dump = table("dump")
        ));
        assert_eq!((&sums[0]["objects"], &sums[0]["bytes"]), (&sums[0]["count"], &sums[0]["sum"]), "{dump}");
        assert_eq!(sums[0]["reached"], sums[0]["reachable_objects"], "{dump}");
    }
}

#[test]
fn what_is_no_summary_is_left_out_by_name() {
    let folder = tempfile::tempdir().unwrap();
    let place = |name: &str| folder.path().join(name);
    for (dump, name) in SHOP.iter().zip(["a'; DROP TABLE x; --.parquet", "b[1]*.parquet", "c.parquet"]) {
        answer(&["summarize", dump, "--no-index", "-o", place(name).to_str().unwrap()]);
    }
    let whole = fs::read(place("c.parquet")).unwrap();
    let classes = tempfile::tempdir().unwrap();
    let words = ["export", SHOP[0], "--no-index", "--format", "parquet", "--tables", "classes", "-o"];
    answer(&[&words[..], &[classes.path().to_str().unwrap()]].concat());
    let foreign = fs::read(&files_below(classes.path())[0]).unwrap();
    let mut patched = whole.clone();
    patched[200..260].fill(0xff);
    for (name, bytes) in [
        ("empty", &b""[..]),
        ("half", &whole[..whole.len() / 2]),
        ("text", b"PAR1 and no more PAR1"),
        ("foreign", &foreign),
        ("patched", &patched),
    ] {
        fs::write(place(&format!("{name}.parquet")), bytes).unwrap();
    }
    std::os::unix::fs::symlink("/dev/zero", place("endless.parquet")).unwrap();
    let found = answer(&["fleet", folder.path().to_str().unwrap(), "-f", "json"]);
    for name in ["empty", "half", "text", "foreign", "patched", "endless"] {
        assert!(found.contains(&format!("{name}.parquet is left out: ")), "{name}: {found}");
    }
    assert!(found.contains("Audit → Array → Order"), "{found}");
    assert!(!found.contains("c.parquet"), "{found}");
    let sql = answer(&["fleet", folder.path().to_str().unwrap(), "--sql"]);
    assert!(sql.contains("a''; DROP TABLE x; --.parquet'") && sql.contains("b[[]1][*].parquet"), "{sql}");
    // Nothing that can be asked is an error.
    let nothing = tempfile::tempdir().unwrap();
    let output = run(&["fleet", nothing.path().to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(2));
    assert!(text(&output.stderr).contains("no summary of a dump is at"), "{}", text(&output.stderr));
}

/// Whatever stands in a file, it is read or left out.
#[test]
fn damaged_files_are_read_or_left_out() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("whole.parquet");
    answer(&["summarize", SHOP[2], "--no-index", "-o", path.to_str().unwrap()]);
    let whole = fs::read(&path).unwrap();
    let mut random = Random(11);
    for number in 0..300 {
        let mut bytes = whole.clone();
        for _ in 0..=random.below(4) {
            let at = match number % 2 {
                0 => random.below(bytes.len() as u64) as usize,
                _ => bytes.len() - 1 - random.below(3000.min(bytes.len() as u64)) as usize, // what describes the rest stands at the end
            };
            bytes[at] = random.below(256) as u8;
        }
        fs::write(folder.path().join(format!("{number}.parquet")), bytes).unwrap();
    }
    let output = run(&["fleet", folder.path().to_str().unwrap(), "-f", "json"]);
    let (out, err) = (text(&output.stdout), text(&output.stderr));
    assert!(output.status.success(), "{err}");
    assert!(out.matches(" is left out: ").count() > 100, "{out}");
    assert!(out.contains("Audit → Array → Order"), "{out}");
}

/// An S3 server of its own; ends with its input.
struct Store {
    server: std::process::Child,
    address: String,
    home: tempfile::TempDir,
}

impl Store {
    /// With the files of a folder in the bucket `fleet`, and a home in which DuckDB has what reads from it.
    fn of(folder: &Path) -> Store {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        let python = root.join("../../tmp/fleet/bin/python");
        assert!(root.join("../../tmp/fleet/bin/moto_server").exists(), "no moto: run bin/setup --test");
        let mut server = Command::new(&python)
            .arg(root.join("tests/fleet/s3.py"))
            .arg(folder)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut address = String::new();
        BufReader::new(server.stdout.take().unwrap()).read_line(&mut address).unwrap();
        assert!(address.starts_with("http://"), "the server said {address:?}");
        let home = tempfile::tempdir().unwrap();
        let place = "import duckdb_extension_httpfs as e, pathlib; print(next(pathlib.Path(e.__file__).parent.rglob('*.duckdb_extension')))";
        let extension = Command::new(&python).args(["-c", place]).output().unwrap();
        let extension = Path::new(text(&extension.stdout).trim()).to_owned();
        let version = extension.parent().unwrap().file_name().unwrap();
        let platform = query("PRAGMA platform")[0]["platform"].as_str().unwrap().to_owned();
        let own = home.path().join(".duckdb/extensions").join(version).join(platform);
        fs::create_dir_all(&own).unwrap();
        fs::copy(&extension, own.join("httpfs.duckdb_extension")).unwrap();
        Store { server, address: address.trim().to_owned(), home }
    }

    fn run(&self, words: &[&str]) -> Output {
        let mut command = Command::new(env!("CARGO_BIN_EXE_heap_inspector"));
        command
            .env("HEAP_INSPECTOR_DUCKDB", duckdb())
            .env("HOME", self.home.path())
            .env("AWS_ENDPOINT_URL", &self.address);
        for (name, value) in [("ACCESS_KEY_ID", "id"), ("SECRET_ACCESS_KEY", "key"), ("DEFAULT_REGION", "eu-west-1")] {
            command.env(format!("AWS_{name}"), value);
        }
        command.args(words).output().unwrap()
    }

    fn inbox(&self, words: &[&str]) -> Value {
        let output = self.run(&[&["fleet", "-f", "json", "--lines", "1000"], words].concat());
        assert!(output.status.success(), "{}", text(&output.stderr));
        serde_json::from_slice(&output.stdout).unwrap()
    }
}

impl Drop for Store {
    fn drop(&mut self) {
        drop(self.server.stdin.take());
        self.server.wait().unwrap();
    }
}

/// The same answer as of the files in a folder, by names of services and times too; and what is no summary is left out by name.
#[test]
fn summaries_in_a_bucket_are_read_where_they_lie() {
    let folder = tempfile::tempdir().unwrap();
    let below = |path: &str| folder.path().join(path);
    let base = generator::summary(&dumps::folder().join(SHOP[0]));
    generator::write(&base, &below("summaries"), 30);
    for (dump, service, day) in [(SHOP[1], "shop", "05"), (SHOP[2], "mail", "06")] {
        let place = below(&format!("dated/service={service}/taken=202601{day}T000000000Z"));
        fs::create_dir_all(&place).unwrap();
        answer(&["summarize", dump, "--no-index", "-o", place.join("dump.parquet").to_str().unwrap()]);
    }
    let words = ["export", SHOP[0], "--no-index", "--format", "parquet", "-o"];
    answer(&[&words[..], &[below("tables").to_str().unwrap()]].concat());
    let whole = fs::read(&files_below(&below("dated"))[0]).unwrap();
    fs::create_dir_all(below("broken")).unwrap();
    fs::write(below("broken/half.parquet"), &whole[..whole.len() / 2]).unwrap();
    fs::write(below("broken/whole[1].parquet"), &whole).unwrap();
    fs::create_dir_all(below("foreign")).unwrap();
    fs::write(below("foreign/ours.parquet"), &whole).unwrap();
    query(&format!(
        "COPY (SELECT 1 AS pid, 'x' AS name) TO '{}' (FORMAT parquet)",
        below("foreign/a.parquet").display()
    ));
    let store = Store::of(folder.path());

    let local = inbox(&below("summaries"), &["--since", "2026-01-15"]);
    assert!(rows(&local).len() > 10, "{local}");
    assert_eq!(rows(&store.inbox(&["s3://fleet/summaries", "--since", "2026-01-15"])), rows(&local));
    let local = inbox(&below("tables"), &[]);
    assert_eq!(
        rows(&store.inbox(&["s3://fleet/tables/"])),
        rows(&local),
        "of the tables of a dump its row alone is asked"
    );
    let broken = store.inbox(&["s3://fleet/broken"]);
    assert!(
        broken.to_string().contains("s3://fleet/broken/half.parquet is left out: the engine cannot read it"),
        "{broken}"
    );
    assert!(broken.to_string().contains("Audit → Array → Order"), "{broken}");
    let foreign = store.inbox(&["s3://fleet/foreign"]);
    assert_eq!(rows(&foreign), rows(&store.inbox(&["s3://fleet/foreign/ours.parquet"])));
    // What a name tells is believed: these dumps themselves tell neither.
    for (words, is_there) in [
        (&["--until", "2026-01-05"][..], false),
        (&["--from", "2026-01-07"], false),
        (&["--service", "post"], false),
        (&[], true),
    ] {
        let output = store.run(&[&["fleet", "s3://fleet/dated"], words].concat());
        assert_eq!(output.status.success(), is_there, "{words:?}: {}", text(&output.stderr));
        assert!(is_there || text(&output.stderr).contains("no summary of a dump is at s3://fleet/dated"), "{words:?}");
    }
    let output = store.run(&["fleet", "s3://nowhere/summaries"]);
    assert!(!output.status.success() && text(&output.stderr).contains("nowhere"), "{}", text(&output.stderr));
}

/// A file of a later version, with a column more, beside those of this one.
#[test]
fn versions_stand_side_by_side() {
    let folder = tempfile::tempdir().unwrap();
    let place = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    for (dump, name) in SHOP.iter().zip(["a.parquet", "b.parquet", "c.parquet"]) {
        answer(&["summarize", dump, "--no-index", "-o", &place(name)]);
    }
    query(&format!(
        "COPY (SELECT * EXCLUDE (schema_version, suspects), CAST(2 AS BIGINT) AS schema_version, 'x' AS region, \
         list_transform(suspects, lambda s: struct_insert(s, severity := 3)) AS suspects FROM '{}') TO '{}' (FORMAT parquet)",
        place("c.parquet"),
        place("later.parquet")
    ));
    let found = answer(&["fleet", folder.path().to_str().unwrap(), "-f", "json"]);
    assert!(!found.contains("left out"), "{found}");
    assert!(found.contains("Audit → Array → Order"), "{found}");
}

#[test]
fn what_is_missing_is_said() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.parquet");
    answer(&["summarize", SHOP[0], "--no-index", "-o", path.to_str().unwrap()]);
    let output = run(&["fleet", path.to_str().unwrap(), "--duckdb", "/nowhere/duckdb"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(text(&output.stderr).contains("install DuckDB"), "{}", text(&output.stderr));
    // The query needs no engine.
    let sql = answer(&["fleet", path.to_str().unwrap(), "--sql", "--duckdb", "/nowhere/duckdb", "--service", "o'shop"]);
    assert!(sql.contains("WHERE service = 'o''shop'"), "{sql}");
    let output = run(&["summarize", SHOP[0], "-o", "-"]);
    assert!(text(&output.stderr).contains("`summarize` needs --output"), "{}", text(&output.stderr));
}

/// A summary has no text of a string, whatever the dump has: not in its columns, and in no other way.
#[test]
fn a_summary_has_no_text_of_strings() {
    let folder = tempfile::tempdir().unwrap();
    let secret = "hunter2-is-the-password-of-all";
    let string = |at: u64| {
        format!(
            "{{\"address\":\"0x{:x}\", \"type\":\"STRING\", \"class\":\"0x100\", \"value\":\"{secret}\", \"bytesize\":{}, \"memsize\":80}}\n",
            0x1000 + at * 40,
            secret.len()
        )
    };
    let held: Vec<String> = (0..200).map(|at| format!("\"0x{:x}\"", 0x1000 + at * 40)).collect();
    let lines = format!(
        "{{\"type\":\"ROOT\", \"root\":\"vm\", \"references\":[\"0x100\", \"0x200\"]}}\n\
         {{\"address\":\"0x100\", \"type\":\"CLASS\", \"name\":\"String\", \"references\":[], \"memsize\":600}}\n\
         {{\"address\":\"0x200\", \"type\":\"ARRAY\", \"class\":\"0x300\", \"length\":200, \"references\":[{}], \"memsize\":1640}}\n{}",
        held.join(", "),
        (0..200).map(string).collect::<String>()
    );
    let (dump, path) = (folder.path().join("heap.json"), folder.path().join("heap.parquet"));
    fs::write(&dump, lines).unwrap();
    answer(&["summarize", dump.to_str().unwrap(), "--no-index", "-o", path.to_str().unwrap()]);
    let told = query(&format!("SELECT * FROM '{}'", path.display()));
    let told = serde_json::to_string(&told).unwrap();
    assert!(told.contains("\"copies\":200") || told.contains("copies': 200"), "{told}");
    assert!(!told.contains("hunter2"), "{told}");
    // All that is packed is read above; nothing is beside it.
    let bytes = fs::read(&path).unwrap();
    assert!(!bytes.windows(7).any(|part| part == b"hunter2"));
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    // The tables have texts unless they are confidential.
    for (word, is_there) in [("--no-index", true), ("--confidential", false)] {
        let place = folder.path().join(word);
        answer(&[
            "export",
            dump.to_str().unwrap(),
            "--format",
            "parquet",
            "--tables",
            "strings",
            word,
            "-o",
            place.to_str().unwrap(),
        ]);
        let rows = query(&format!("SELECT text FROM read_parquet('{}/**/strings.parquet')", place.display()));
        assert_eq!(rows[0]["text"].as_str() == Some(secret), is_there, "{rows:?}");
    }
}
