//! Files of `export`: where they go, who may read them, that none is overwritten or half written.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod dumps;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

const DUMP: &str = "ruby-3.4-native-zoo.json.zst";
const SHOP: [&str; 3] = ["shop-1.json.zst", "shop-2.json.zst", "shop-3.json.zst"];

/// Exit code, output and errors of `export`.
fn export(words: &[&str]) -> (i32, String, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_heap_inspector"));
    let output = command.current_dir(dumps::folder()).arg("export").args(words).arg("--no-index").output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (output.status.code().unwrap(), text(output.stdout), text(output.stderr))
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}

#[test]
fn each_format_goes_into_a_file_for_its_owner() {
    let folder = tempfile::tempdir().unwrap();
    for format in ["heapsnapshot", "pprof", "folded", "speedscope"] {
        let path = folder.path().join(format);
        let (code, out, err) = export(&[DUMP, "--format", format, "-o", path.to_str().unwrap()]);
        assert_eq!((code, err.as_str()), (0, ""));
        assert!(out.contains("Files\n") && out.contains("iB\n"), "{out}");
        assert_eq!(mode(&path), 0o600);
        let bytes = fs::read(&path).unwrap();
        match format {
            "heapsnapshot" | "speedscope" => drop(serde_json::from_slice::<serde_json::Value>(&bytes).unwrap()),
            "pprof" => assert_eq!(bytes[..2], [0x1f, 0x8b]),
            _ => assert!(bytes.ends_with(b"\n")),
        }
        let (code, _, err) = export(&[DUMP, "--format", format, "-o", path.to_str().unwrap()]);
        assert_eq!(code, 1);
        assert!(err.contains("file exists"), "{err}");
        assert_eq!(fs::read(&path).unwrap(), bytes, "what is there stays");
    }
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 4, "nothing is left behind");
}

#[test]
fn several_dumps_go_into_a_folder() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("snapshots");
    let words = [&SHOP[..], &["-o", path.to_str().unwrap()]].concat();
    let (code, out, err) = export(&words);
    assert_eq!((code, err.as_str()), (0, ""));
    assert!(out.contains("shop-3.heapsnapshot"), "{out}");
    assert_eq!(mode(&path), 0o700);
    for number in 1..=3 {
        assert_eq!(mode(&path.join(format!("shop-{number}.heapsnapshot"))), 0o600);
    }
    // One dump into a folder that is there.
    let (code, _, err) = export(&[DUMP, "--format", "folded", "-o", path.to_str().unwrap()]);
    assert_eq!((code, err.as_str()), (0, ""));
    assert!(path.join("ruby-3.4-native-zoo.folded").exists());
    // A file is no folder.
    let file = path.join("shop-1.heapsnapshot");
    let (code, _, err) = export(&[SHOP[0], SHOP[1], "-o", file.to_str().unwrap()]);
    assert_eq!(code, 1, "{err}");
    assert!(err.contains("file exists"), "{err}");
}

/// Tables have a folder a dump, also where dumps say nothing of themselves and have one name.
#[test]
fn tables_of_each_dump_have_a_folder() {
    let folder = tempfile::tempdir().unwrap();
    let dump = |name: &str| {
        let path = folder.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, "{\"type\":\"ROOT\", \"root\":\"vm\", \"references\":[]}\n").unwrap();
        path.to_str().unwrap().to_owned()
    };
    let dumps = [dump("a/heap.json"), dump("b/heap.json"), dump("c/other.json")];
    let out = folder.path().join("out");
    let words = ["--format", "parquet", "--tables", "roots,dump,roots", "-o", out.to_str().unwrap()];
    let (code, _, err) = export(&[&dumps.each_ref().map(String::as_str)[..], &words].concat());
    assert_eq!(code, 0, "{err}");
    let unknown = "__HIVE_DEFAULT_PARTITION__";
    let below = format!("service={unknown}/deploy={unknown}/host={unknown}/pid={unknown}");
    for name in ["heap.json", "heap.json-2", "other.json"] {
        let place = out.join(&below).join(format!("taken={name}"));
        assert!(place.join("dump.parquet").is_file() && place.join("roots.parquet").is_file(), "{name}");
        assert_eq!(fs::read_dir(&place).unwrap().count(), 2);
    }
}

#[test]
fn what_is_wrong_is_said_before_a_dump_is_read() {
    let refused = |words: &[&str]| {
        let (code, out, err) = export(words);
        assert_eq!((code, out.as_str()), (2, ""), "{words:?}: {err}");
        err
    };
    assert!(refused(&["nowhere.json"]).contains("`export` needs --output: a new file, or a folder"));
    assert!(refused(&["nowhere.json", "-o", "-"]).contains("`export` needs --output: a new file"));
    let to = ["-o", "/nowhere/x"];
    let with = |words: &[&'static str]| refused(&[&["nowhere.json"], &to[..], words].concat());
    assert!(with(&["--by", "site"]).contains("--by is of profiles"));
    assert!(
        with(&["--format", "json"]).contains("[possible values: heapsnapshot, pprof, folded, speedscope, parquet]")
    );
    assert!(with(&["--format", "pprof", "--sites"]).contains("--sites is of heap snapshots"));
    assert!(with(&["--format", "pprof", "--by", "dominators", "--where", "frozen"]).contains("--where does not go"));
    let (code, _, err) = export(&[DUMP, "-o", "/nowhere/x"]);
    assert_eq!(code, 1);
    assert!(err.contains("/nowhere"), "{err}");
}

/// A dump that is cut off, one of nothing, one that is none.
#[test]
fn broken_dumps_make_files_with_a_warning_or_none() {
    let folder = tempfile::tempdir().unwrap();
    let lines = "{\"type\":\"ROOT\", \"root\":\"vm\", \"references\":[\"0x1000\"]}\n\
                 {\"address\":\"0x1000\", \"type\":\"OBJECT\", \"references\":[\"0x2\"], \"memsize\":40}\n\
                 {\"address\":\"0x1028\", \"type\":\"OBJ";
    for (name, text, expected) in [("cut", lines, 0), ("empty", "", 1), ("other", "no dump\n", 1)] {
        let (dump, output) = (folder.path().join(name), folder.path().join(format!("{name}.heapsnapshot")));
        fs::write(&dump, text).unwrap();
        let (code, out, err) = export(&[dump.to_str().unwrap(), "-o", output.to_str().unwrap()]);
        assert_eq!(code, expected, "{name}: {out}{err}");
        assert_eq!(output.exists(), expected == 0, "{name}");
        assert!(expected == 1 || out.contains("warning: "), "{out}");
    }
}
