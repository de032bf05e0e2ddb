//! The verbs on several dumps as a process: exit codes, the files they write and read, their formats.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod dumps;

use serde_json::Value;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

const SHOP: [&str; 3] = ["shop-1.json.zst", "shop-2.json.zst", "shop-3.json.zst"];

fn run(words: &[&str]) -> (i32, String, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_heap_inspector"));
    let output =
        command.current_dir(dumps::folder()).env_remove("NO_COLOR").env_remove("COLUMNS").args(words).output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (output.status.code().unwrap_or(-1), text(output.stdout), text(output.stderr))
}

/// The answer of a verb on the three dumps.
fn answer(verb: &str, more: &[&str]) -> String {
    let (code, out, err) = run(&[&[verb], &SHOP[..], more].concat());
    assert_eq!((code, err.as_str()), (0, ""), "{verb} {more:?}");
    out
}

fn json(verb: &str, more: &[&str]) -> Value {
    serde_json::from_str(&answer(verb, &[more, &["--format", "json"]].concat())).unwrap()
}

/// The one line of an error.
fn error(words: &[&str]) -> (i32, String) {
    let (code, out, err) = run(words);
    assert_eq!(out, "", "{words:?}");
    assert_eq!(err.lines().count(), 1, "{words:?}: {err}");
    assert!(err.starts_with("heap_inspector: "), "{words:?}: {err}");
    (code, err)
}

#[test]
fn suspects_names_the_leak_and_not_the_cache() {
    let answer = json("suspects", &[]);
    let suspects = answer["suspects"].as_array().unwrap();
    assert_eq!(suspects.len(), 1, "{answer}");
    let suspect = &suspects[0];
    let texts = ["holder", "class", "location", "confidence"].map(|key| suspect[key].as_str().unwrap());
    assert_eq!(texts, ["Audit", "Order", "shop.rb:27", "high"]);
    assert_eq!(suspect["count"], 200);
    assert_eq!(suspect["steps"].as_array().unwrap().len(), 2);
    assert!(!suspect["path"].as_array().unwrap().is_empty());
}

#[test]
fn suspects_of_one_dump_and_of_two_say_that_three_are_better() {
    for dumps in [&SHOP[2..], &SHOP[1..]] {
        let (code, out, err) = run(&[&["suspects"], dumps, &["--format", "json"]].concat());
        assert_eq!((code, err.as_str()), (0, ""));
        let answer: Value = serde_json::from_str(&out).unwrap();
        assert_eq!(answer["suspects"][0]["holder"], "Audit", "{answer}");
        assert_ne!(answer["suspects"][0]["confidence"], "high");
        assert!(answer["notes"][0]["text"].as_str().unwrap().starts_with("fewer than three dumps"), "{answer}");
    }
}

#[test]
fn dumps_without_a_leak_are_an_answer_too() {
    let (code, out, err) = run(&["suspects", SHOP[0], SHOP[0], SHOP[0]]);
    assert_eq!((code, err.as_str()), (0, ""));
    assert!(out.contains("\nnote: nothing took in objects in each step and kept them\n"), "{out}");
}

/// The lines of a dump of the three, unpacked.
fn lines(dump: &str) -> String {
    let packed = fs::File::open(dumps::folder().join(dump)).unwrap();
    String::from_utf8_lossy(&zstd::decode_all(packed).unwrap()).into_owned()
}

/// The answer of `suspects` to dumps of these texts; their names are `1.json` and so on.
fn suspects_of(texts: [String; 3]) -> (String, String) {
    let folder = tempfile::tempdir().unwrap();
    let paths: Vec<String> =
        (1..=3).map(|number| folder.path().join(format!("{number}.json")).display().to_string()).collect();
    paths.iter().zip(texts).for_each(|(path, text)| fs::write(path, text).unwrap());
    let (code, out, err) = run(&["suspects", &paths[0], &paths[1], &paths[2]]);
    assert_eq!((code, err.as_str()), (0, ""));
    let out = out.replace(folder.path().to_str().unwrap(), "");
    let joined = out.split_whitespace().collect::<Vec<_>>().join(" ");
    let (before, after) = joined.split_once(" Suspects ").unwrap();
    (before.to_owned(), after.to_owned())
}

#[test]
fn what_makes_the_dumps_doubtful_stands_first_and_names_the_dump() {
    let texts = || SHOP.map(lines);
    let (before, _) = suspects_of(texts());
    assert!(!before.contains("warning"), "{before}");
    let mut cut = texts();
    let half = cut[1].len() / 2;
    cut[1].truncate((0..half).rev().find(|at| cut[1].is_char_boundary(*at)).unwrap());
    let (before, after) = suspects_of(cut);
    assert!(before.contains("warning: /2.json: "), "{before}");
    assert!(!after.contains("Confidence high") && !after.contains("Confidence medium"), "{after}");
    let partial =
        texts().map(|text| text.lines().filter(|line| !line.contains("\"ROOT\"")).collect::<Vec<_>>().join("\n"));
    let (before, after) = suspects_of(partial);
    assert!(before.contains("warning: /1.json has no roots"), "{before}");
    assert!(after.contains("which objects pile up cannot be told"), "{after}");
}

#[test]
fn dumps_that_tell_when_they_were_taken_are_put_in_order() {
    let taken = |number: usize, pid: u32| {
        let meta = format!("{{\"time\":\"2026-01-02T0{number}:00:00.000Z\",\"pid\":{pid}}}");
        format!(
            "{{\"type\":\"ROOT\", \"root\":\"heap_inspector\", \"value\":{meta:?}, \"references\":[]}}\n{}",
            lines(SHOP[number])
        )
    };
    let (before, after) = suspects_of([taken(2, 7), taken(0, 7), taken(1, 7)]);
    assert!(before.contains("they are read as /2.json, /3.json, /1.json"), "{before}");
    assert!(after.contains("held by Audit Confidence high"), "{after}");
    let (before, after) = suspects_of([taken(0, 7), taken(1, 8), taken(2, 9)]);
    assert!(before.contains("are not of one process: the one is of process 7, the other of process 9"), "{before}");
    assert!(before.contains("the dumps are of several processes, so it is told by path"), "{before}");
    assert!(
        after.contains("held by Audit Confidence low: it grew evenly in each step; it held little in the first dump"),
        "{after}"
    );
}

#[test]
fn exceptions_leave_suspects_out() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("except");
    let file = path.to_str().unwrap();
    for (text, count) in [("# meant to be\nAud*\n", 0), ("Order # fine\n", 0), ("shop.rb:27", 0), ("Cache\n", 1)] {
        fs::write(&path, text).unwrap();
        let answer = json("suspects", &["--except", file]);
        assert_eq!(answer["suspects"].as_array().unwrap().len(), count, "{text:?}");
    }
    let words = |file| [&["suspects"], &SHOP[..], &["--except", file]].concat();
    fs::write(&path, "Audit\nOr[der\n").unwrap();
    let (code, err) = error(&words(file));
    assert_eq!(code, 2);
    assert!(err.contains(&format!("{file}: \"Or[der\" is not a glob pattern: ")), "{err}");
    let missing = folder.path().join("missing");
    let (code, err) = error(&words(missing.to_str().unwrap()));
    assert_eq!(code, 1);
    assert!(err.contains("missing: no such file"), "{err}");
}

#[test]
fn diff_says_what_came_and_stayed() {
    let answer = json("diff", &["--lines", "all"]);
    let retained = answer["retained"]["rows"].as_array().unwrap();
    let count = |rows: &[Value], class: &str| {
        let row = rows.iter().find(|row| row["class"] == class && row["location"] == "shop.rb:27");
        row.map_or(0, |row| row["count"].as_u64().unwrap())
    };
    assert_eq!(count(retained, "Order"), 100, "of those between the first two dumps");
    let growth = answer["growth"]["rows"].as_array().unwrap();
    let order = growth.iter().find(|row| row["class"] == "Order").unwrap();
    assert_eq!((&order["trend"], order["memsizes"].as_array().unwrap().len()), (&"steady".into(), 3));
    assert!(growth.iter().all(|row| row["class"] != "(allocation tracer)"), "{answer}");
    assert_eq!(answer["changes"]["tracer_memsizes"].as_array().unwrap().len(), 3);
    let (_, out, _) = run(&["diff", SHOP[1], SHOP[2], "--lines", "all", "--format", "json"]);
    let answer: Value = serde_json::from_str(&out).unwrap();
    assert_eq!(count(answer["new"]["rows"].as_array().unwrap(), "Order"), 100);
    assert!(answer.get("retained").is_none());
}

/// A trend is that of the first number of its row, so no row says that it grew and shrank.
#[test]
fn trends_by_holder_agree_with_their_numbers() {
    for more in [&["--by", "holder"][..], &["--by", "holder", "--retained"]] {
        let answer = json("diff", &[more, &["--lines", "all"]].concat());
        for row in answer["growth"]["rows"].as_array().unwrap() {
            let first =
                row["retained_memsize_delta"].as_i64().unwrap_or_else(|| row["memsize_delta"].as_i64().unwrap());
            match row["trend"].as_str().unwrap() {
                "shrinking" => assert!(first < 0, "{row}"),
                "flat" => assert_eq!(first, 0, "{row}"),
                _ => assert!(first > 0, "{row}"),
            }
        }
    }
}

#[test]
fn diff_by_holder_says_who_holds_what_came() {
    let answer = json("diff", &["--by", "holder", "--lines", "1"]);
    let row = &answer["growth"]["rows"][0];
    assert_eq!((&row["holder"], &row["accumulates_in"]), (&"Audit".into(), &"Array, 300 elements".into()));
    let suspects = json("suspects", &[]);
    let suspect = &suspects["suspects"][0];
    assert_eq!((&row["address"], &row["memsize_delta"]), (&suspect["address"], &suspect["memsize"]));
    assert_eq!(row["trend"], "steady");
    assert!(row.get("retained_memsizes").is_none() && answer.get("retained").is_none(), "{answer}");
    // What is cut off and what is shown is all that came.
    let all = json("diff", &["--by", "holder", "--lines", "all"]);
    let rows = all["growth"]["rows"].as_array().unwrap();
    let sum = |key: &str| rows.iter().map(|row| row[key].as_i64().unwrap()).sum::<i64>();
    for key in ["memsize_delta", "count_delta"] {
        assert_eq!(sum(key), row[key].as_i64().unwrap() + answer["growth"]["rest"][key].as_i64().unwrap(), "{key}");
    }
}

#[test]
fn diff_says_what_groups_and_holders_retain() {
    let by_class = json("diff", &["--by", "class", "--retained", "--lines", "all"]);
    let rows = by_class["growth"]["rows"].as_array().unwrap();
    let array = rows.iter().find(|row| row["class"] == "Array").unwrap();
    let memsizes = |row: &Value| -> Vec<u64> {
        row["retained_memsizes"].as_array().unwrap().iter().map(|bytes| bytes.as_u64().unwrap()).collect()
    };
    // As `retained` has it of each dump alone.
    let alone = SHOP.map(|dump| {
        let (_, out, _) = run(&["retained", dump, "--by", "class", "--lines", "all", "--format", "json"]);
        let answer: Value = serde_json::from_str(&out).unwrap();
        let rows = answer["groups"]["rows"].as_array().unwrap();
        rows.iter().find(|row| row["class"] == "Array").unwrap()["retained_memsize"].as_u64().unwrap()
    });
    assert_eq!(memsizes(array), alone);
    assert_eq!(array["retained_memsize_delta"].as_u64().unwrap(), alone[2] - alone[0]);
    let by_holder = json("diff", &["--by", "holder", "--retained", "--lines", "1"]);
    let row = &by_holder["growth"]["rows"][0];
    let (_, out, _) = run(&["show", SHOP[2], row["address"].as_str().unwrap(), "--format", "json"]);
    let shown: Value = serde_json::from_str(&out).unwrap();
    assert_eq!(memsizes(row)[2], shown["object"]["retained_memsize"].as_u64().unwrap(), "{shown}");
}

#[test]
fn dumps_of_different_rubies_are_told_and_nothing_is_claimed_of_them() {
    const RUBIES: [&str; 2] = ["ruby-3.3-x86_64.json.zst", "ruby-3.4-x86_64.json.zst"];
    for words in [&["diff"][..], &["diff", "--by", "holder", "--retained"], &["suspects"]] {
        let (code, out, err) = run(&[&words[..1], &RUBIES, &words[1..], &["--format", "json"]].concat());
        assert_eq!((code, err.as_str()), (0, ""), "{words:?}");
        let answer: Value = serde_json::from_str(&out).unwrap();
        let notes = answer["notes"].as_array().unwrap();
        let told = "are not of one process: Ruby 3.3 wrote the one, Ruby 3.4 the other";
        assert!(notes.iter().any(|note| note["text"].as_str().unwrap().contains(told)), "{words:?} {answer}");
        if words[0] == "suspects" {
            assert_eq!(answer["suspects"], Value::Array(Vec::new()));
        } else {
            // Groups can be compared; who holds what is new cannot be told.
            assert_eq!(answer.get("growth").is_none(), words.len() > 1, "{words:?} {answer}");
            assert!(answer.get("changes").is_none() && answer.get("new").is_none(), "{words:?} {answer}");
        }
    }
}

#[test]
fn a_holder_is_no_key_beside_others() {
    let (code, err) = error(&["diff", SHOP[0], SHOP[1], "--by", "holder,class"]);
    assert_eq!(code, 2);
    assert!(err.contains("by holder, by path or by keys"), "{err}");
    let (code, err) = error(&["diff", SHOP[0], SHOP[1], "--by", "path", "--retained"]);
    assert_eq!(code, 2);
    assert!(err.contains("what paths retain is not told"), "{err}");
}

#[test]
fn output_has_the_lines_of_the_retained_objects_for_the_owner_alone() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("retained.json");
    let file = path.to_str().unwrap();
    let answer = json("diff", &["--output", file]);
    let mode = fs::metadata(&path).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let written = fs::read_to_string(&path).unwrap();
    assert_eq!(written.lines().count() as u64, answer["changes"]["retained_count"].as_u64().unwrap());
    let last = zstd::decode_all(fs::File::open(dumps::folder().join(SHOP[2])).unwrap()).unwrap();
    let last = String::from_utf8(last).unwrap();
    let lines: std::collections::HashSet<&str> = last.lines().collect();
    assert!(written.lines().all(|line| lines.contains(line)));

    // What is there is not written over.
    let words = |file| [&["diff"], &SHOP[..], &["-o", file]].concat();
    let (code, err) = error(&words(file));
    assert_eq!(code, 1);
    assert!(err.contains(file) && err.contains("exists"), "{err}");
    assert_eq!(fs::read_to_string(&path).unwrap(), written);
    let nowhere = folder.path().join("no/file");
    let (code, err) = error(&words(nowhere.to_str().unwrap()));
    assert_eq!(code, 1);
    assert!(err.contains("no/file: no such file"), "{err}");
}

#[test]
fn a_diff_needs_a_second_dump() {
    let (code, out, err) = run(&["diff", SHOP[0]]);
    assert_eq!((code, out.as_str()), (2, ""));
    assert!(err.contains("<LATER>"), "{err}");
}

#[test]
fn an_error_is_of_the_dump_that_is_wrong() {
    let folder = tempfile::tempdir().unwrap();
    let inside = |name: &str, bytes: &[u8]| {
        let path = folder.path().join(name);
        fs::write(&path, bytes).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let zst = fs::read(dumps::folder().join(SHOP[1])).unwrap();
    let bad = [
        folder.path().join("missing").to_str().unwrap().to_owned(),
        inside("no-dump", b"{\"a\": 1}\n[1, 2]\n"),
        inside("empty", b""),
        inside("damaged.zst", &[&zst[..200], &[0xff; 300], &zst[500..]].concat()),
    ];
    for path in &bad {
        for verb in ["diff", "suspects"] {
            for words in [[verb, SHOP[0], path, SHOP[2]], [verb, SHOP[0], SHOP[1], path]] {
                let (code, err) = error(&[&words[..], &["--strict"]].concat());
                let name = Path::new(path).file_name().unwrap().to_str().unwrap();
                assert_eq!(code, 1, "{words:?}: {err}");
                assert!(err.contains(name) && !err.contains("shop-"), "{words:?}: {err}");
            }
        }
    }
}

#[test]
fn numbers_are_exact_but_for_people() {
    assert_eq!(json("diff", &[])["growth"]["rows"][1]["count_delta"], 200);
    let csv = answer_with_notes("diff", "csv");
    assert!(csv.contains("\n8000,200,steady,\"4000; 8000; 12000\",Order,shop.rb:27\n"), "{csv}");
    let text = answer("diff", &[]);
    assert!(text.contains("     +200  steady  3.9 KiB, 7.8 KiB, 11.7 KiB  "), "{text}");
}

#[test]
fn every_format_can_be_read_again() {
    for verb in ["diff", "suspects"] {
        json(verb, &[]);
        let csv = answer_with_notes(verb, "csv");
        for table in csv.trim_end().split("\n\n") {
            let rows: Vec<usize> = table.lines().map(cells).collect();
            assert!(rows.len() > 1 && rows.iter().all(|cells| *cells == rows[0]), "{verb}: {table}");
        }
        let markdown = answer_with_notes(verb, "markdown");
        assert!(markdown.contains("Order") && markdown.contains("shop.rb:27"), "{markdown}");
        let columns = |line: &str| line.replace("\\|", "").matches('|').count();
        for table in markdown.split("\n\n").filter(|block| block.starts_with('|')) {
            let widths: Vec<usize> = table.lines().map(columns).collect();
            assert!(widths.len() > 2 && widths.iter().all(|width| *width == widths[0]), "{table}");
        }
    }
}

/// The answer in a format that leaves out sections and says so elsewhere.
fn answer_with_notes(verb: &str, format: &str) -> String {
    let (code, out, err) = run(&[&[verb], &SHOP[..], &["--format", format]].concat());
    assert_eq!(code, 0, "{err}");
    out
}

/// How many cells a line of CSV has that has no line break in a cell.
fn cells(line: &str) -> usize {
    let mut is_quoted = false;
    let commas = line.chars().filter(|letter| {
        is_quoted ^= *letter == '"';
        *letter == ',' && !is_quoted
    });
    commas.count() + 1
}

#[test]
fn no_escape_sequence_of_a_dump_reaches_the_output() {
    let folder = tempfile::tempdir().unwrap();
    let hostile = "\\u001b]0;owned\\u0007\\u001b[2J\\u007f\\n|<b>`";
    let raw = "\u{1b}[31m\u{202e}\u{9b}2J";
    let dump = |number: u64| {
        let held = |at: u64| format!("\"0x{:x}\"", 0x10_0000 + at * 40);
        let references = (0..number * 200).map(held).collect::<Vec<_>>().join(", ");
        let mut lines = format!(
            r#"{{"type":"ROOT", "root":"vm{raw}", "references":["0x1000"]}}
{{"address":"0x1000", "type":"CLASS", "class":"0x1000", "name":"{raw}{hostile}", "references":["0x1028"], "memsize":40}}
{{"address":"0x1028", "type":"ARRAY", "class":"0x1000", "length":{}, "references":[{references}], "memsize":40}}
"#,
            number * 200
        );
        for at in 0..number * 200 {
            let generation = at / 10 + 1;
            lines += &format!(
                r#"{{"address":{}, "type":"OBJECT", "class":"0x1000", "file":"/a{raw}.rb", "line":1, "method":"{hostile}", "generation":{generation}, "memsize":40}}"#,
                held(at)
            );
            lines.push('\n');
        }
        let path = folder.path().join(format!("{number}{raw}.json"));
        fs::write(&path, lines).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let paths = [1, 2, 3].map(dump);
    let paths = paths.each_ref().map(String::as_str);
    let verbs: [&[&str]; 3] = [&["suspects"], &["diff"], &["diff", "--by", "class,location,method"]];
    for verb in verbs {
        for format in ["text", "json", "markdown", "csv"] {
            let (code, out, err) = run(&[verb, &paths, &["--format", format]].concat());
            let is_raw = |letter: char| letter != '\n' && (letter.is_control() || letter == '\u{202e}');
            assert_eq!(code, 0, "{verb:?} {format}: {err}");
            assert!(!out.contains(is_raw) && !err.contains(is_raw), "{verb:?} {format}: {out:?} {err:?}");
            assert!(out.contains("owned"), "{verb:?} {format}: {out}");
        }
    }
}

/// The data of a page.
fn data(page: &str) -> Value {
    let (_, data) = page.split_once("type=\"application/json\">").unwrap();
    serde_json::from_str(data.split_once("</script>").unwrap().0).unwrap()
}

#[test]
fn report_writes_a_page_for_its_owner_alone() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("page.html");
    fs::write(&path, "old").unwrap();
    let text = answer("report", &["-o", path.to_str().unwrap()]);
    assert!(text.contains("Suspects") && text.contains("page.html"), "{text}");
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    let page = fs::read_to_string(&path).unwrap();
    let data = data(&page);
    assert_eq!((&data["suspects"][0]["holder"], &data["suspects"][0]["confidence"]), (&"Audit".into(), &"high".into()));
    assert_eq!(data["dumps"].as_array().unwrap().len(), 3);
    let (code, out, err) = run(&[&["report"], &SHOP[..], &["-o", "-"]].concat());
    assert_eq!((code, err.as_str()), (0, ""));
    assert!(out == page, "the page alone goes to standard output");
    let (code, message) = error(&["report", "no-such-file.json", "-o", path.to_str().unwrap()]);
    assert_eq!(code, 1, "{message}");
    assert!(fs::read_to_string(&path).unwrap() == page, "an error leaves the page that is there");
}

/// Each number of the page is that of the answer of its question.
#[test]
fn the_page_says_what_the_commands_say() {
    let (_, page, _) = run(&[&["report"], &SHOP[..], &["-o", "-"]].concat());
    let data = data(&page);
    let retained: Value =
        serde_json::from_str(&run(&["retained", SHOP[2], "--by", "class", "--format", "json"]).1).unwrap();
    let class = &data["groups"][0];
    for row in retained["groups"]["rows"].as_array().unwrap() {
        let found = class["rows"]
            .as_array()
            .unwrap()
            .iter()
            .find(|cells| cells.as_array().unwrap().last().unwrap()[1] == row["class"]);
        let found = found.unwrap_or_else(|| panic!("{row}"));
        assert_eq!(
            [&found[0][1], &found[1][1], &found[2][1]],
            [&row["count"], &row["memsize"], &row["retained_memsize"]]
        );
    }
    let holders: Value = serde_json::from_str(&run(&["retained", SHOP[2], "--format", "json"]).1).unwrap();
    for (row, told) in holders["holders"]["rows"].as_array().unwrap().iter().zip(data["holders"].as_array().unwrap()) {
        assert_eq!([&told[0], &told[1], &told[3]], [&row["address"], &row["object"], &row["retained_memsize"]]);
    }
    let threads: Value = serde_json::from_str(&run(&["threads", SHOP[2], "--format", "json"]).1).unwrap();
    let table = data["threads"].as_array().unwrap().iter().find(|part| part["shape"] == "table").unwrap();
    let told: Vec<&Value> = table["rows"].as_array().unwrap().iter().map(|row| &row[0][1]).collect();
    let expected: Vec<&Value> =
        threads["threads"]["rows"].as_array().unwrap().iter().map(|row| &row["retained_memsize"]).collect();
    assert_eq!(told, expected);
    // Each object's references and way to a root are those of `show`.
    let object = data["objects"].as_array().unwrap().iter().find(|object| object["label"] == "Order").unwrap();
    let shown: Value =
        serde_json::from_str(&run(&["show", SHOP[2], object["address"].as_str().unwrap(), "--format", "json"]).1)
            .unwrap();
    assert_eq!(
        [&object["own"], &object["retained"]],
        [&shown["object"]["memsize"], &shown["object"]["retained_memsize"]]
    );
    let references: Vec<&Value> =
        shown["references"]["rows"].as_array().unwrap().iter().map(|row| &row["address"]).collect();
    for told in object["to"].as_array().unwrap() {
        assert!(references.contains(&&told[1]), "{told}: {references:?}");
    }
    let path = shown["paths"].as_array().unwrap();
    assert_eq!(object["before"], path[path.len() - 2]["address"]);
}

#[test]
fn a_confidential_page_has_no_value_of_a_string() {
    let folder = tempfile::tempdir().unwrap();
    let dump = folder.path().join("heap.json");
    let lines = [
        r#"{"type":"ROOT", "root":"vm", "references":["0x7f0000000050", "0x7f00000000a0"]}"#,
        r#"{"address":"0x7f0000000028", "type":"CLASS", "class":"0x7f0000000028", "name":"Box", "references":[], "memsize":100}"#,
        r#"{"address":"0x7f0000000050", "type":"HASH", "class":"0x7f0000000028", "size":1, "references":["0x7f0000000078", "0x7f00000000c8"], "memsize":168}"#,
        r#"{"address":"0x7f0000000078", "type":"STRING", "bytesize":10, "encoding":"UTF-8", "value":"the-secret", "memsize":40}"#,
        r#"{"address":"0x7f00000000a0", "type":"STRING", "bytesize":10, "encoding":"UTF-8", "value":"the-secret", "memsize":40}"#,
        r#"{"address":"0x7f00000000c8", "type":"OBJECT", "class":"0x7f0000000028", "references":[], "memsize":40}"#,
    ];
    let write = |meta: &str| fs::write(&dump, format!("{meta}{}\n", lines.join("\n"))).unwrap();
    write("");
    let page = |more: &[&str]| run(&[&["report", dump.to_str().unwrap(), "-o", "-"], more].concat()).1;
    // As a key on a path, as a label, as a field, as a duplicate.
    assert!(page(&[]).matches("the-secret").count() > 3);
    let confidential = page(&["--confidential"]);
    assert!(!confidential.contains("the-secret"));
    assert_eq!(data(&confidential)["confidential"], true);
    assert_eq!(
        data(&confidential)["objects"].as_array().unwrap().len(),
        data(&page(&[])).get("objects").unwrap().as_array().unwrap().len()
    );
    let meta = r#"{"type":"ROOT", "root":"heap_inspector", "references":[], "value":"{\"redacted\":true}"}"#;
    write(&format!("{meta}\n"));
    assert!(!page(&[]).contains("the-secret"), "a dump that says it is redacted");
}
