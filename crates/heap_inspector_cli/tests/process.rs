//! The binary as a process: exit codes, pipes, signals, bad inputs, and what reaches the terminal.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use heap_inspector::questions::QUESTIONS;
use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::{Read, Write};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

const DUMPS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../heap_inspector/tests/dumps");

fn dump(name: &str) -> PathBuf {
    Path::new(DUMPS).join(format!("{name}.json.zst"))
}

/// The lines of a real dump.
fn plain(name: &str) -> Vec<u8> {
    zstd::decode_all(File::open(dump(name)).unwrap()).unwrap()
}

fn command<S: AsRef<OsStr>>(words: &[S]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_heap_inspector"));
    command
        .args(words)
        .env_remove("NO_COLOR")
        .env_remove("COLUMNS")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command
}

fn run<S: AsRef<OsStr>>(words: &[S]) -> (i32, String, String) {
    told(&command(words).output().unwrap())
}

fn told(output: &Output) -> (i32, String, String) {
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    (output.status.code().unwrap_or(-1), text(&output.stdout), text(&output.stderr))
}

/// Runs with `input` on standard input.
fn fed(words: &[&str], input: &[u8]) -> (i32, String, String) {
    let mut child = command(words).stdin(Stdio::piped()).spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    std::thread::scope(|scope| {
        // A child that refuses the input closes the pipe.
        scope.spawn(move || drop(stdin.write_all(input)));
        told(&child.wait_with_output().unwrap())
    })
}

/// A file that is gone with the test.
fn file(bytes: &[u8]) -> tempfile::NamedTempFile {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(bytes).unwrap();
    file
}

/// Ends of a process, waited for with a deadline.
fn wait(child: &mut Child) -> Option<i32> {
    let deadline = Instant::now() + Duration::from_secs(10);
    loop {
        match child.try_wait().unwrap() {
            Some(status) => return status.code(),
            None if Instant::now() > deadline => {
                child.kill().unwrap();
                panic!("it did not end in time");
            }
            None => std::thread::yield_now(),
        }
    }
}

fn interrupt(child: &Child) {
    let pid = i32::try_from(child.id()).ok().and_then(rustix::process::Pid::from_raw).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::INT).unwrap();
}

/// The limit holds for no administrator, so one becomes nobody.
#[test]
fn where_there_are_no_further_threads_it_works_alone() {
    use std::os::unix::process::CommandExt;
    let path = dump("ruby-3.4-x86_64");
    for (verb, dumps) in [("summary", 1), ("retained", 1), ("suspects", 1), ("suspects", 3)] {
        let mut words = vec![verb.as_ref(), "--threads=4".as_ref()];
        words.extend(std::iter::repeat_n(path.as_os_str(), dumps));
        words.extend((verb != "summary").then_some(OsStr::new("--no-index")));
        let expected = told(&command(&words[..]).output().unwrap());
        let mut alone = Command::new("prlimit");
        alone.args(["--nproc=1", env!("CARGO_BIN_EXE_heap_inspector")]).args(&words);
        if rustix::process::geteuid().is_root() {
            alone.uid(65_534);
        }
        let (code, out, err) = told(&alone.stdin(Stdio::null()).output().unwrap());
        // No system without such a limit passes for one that was tried.
        assert_eq!((code, &err[..], out == expected.1), (0, "", true), "{verb}: {out}");
    }
}

/// The dump's own size is asked for, and refused with words: the process does not end by a signal.
#[test]
fn too_little_memory_is_an_error_in_words() {
    let mut dump = b"{\"type\":\"ROOT\", \"root\":\"vm\", \"references\":[\"0x7f0000000028\"]}\n".to_vec();
    for number in 1..300_000_u64 {
        let (at, next) = (0x7f00_0000_0000 + 40 * number, 0x7f00_0000_0000 + 40 * (number + 1));
        writeln!(dump, "{{\"address\":\"0x{at:x}\", \"type\":\"ARRAY\", \"class\":\"0x{:x}\", \"references\":[\"0x{next:x}\"], \"memsize\":40}}", number % 100_000 * 8 + 8).unwrap();
    }
    let dump = file(&dump);
    let asked: [&[&str]; 10] = [
        &["summary"],
        &["top", "--by=class,location", "-n", "all"],
        &["strings"],
        &["dominators", "--no-index", "-n", "all", "--min", "0"],
        &["path", "0x7f0000000028", "--no-index"],
        &["show", "0x7f0000000028", "--no-index"],
        &["suspects", "--no-index"],
        &["retained", "--no-index", "-n", "all"],
        &["collections", "--no-index", "-n", "all"],
        &["unreachable", "--no-index", "-n", "all"],
    ];
    for asked in asked {
        let (verb, options) = (asked[0], &asked[1..]);
        let mut words = vec![OsStr::new(verb), dump.path().as_os_str(), OsStr::new("--threads=1")];
        words.extend(options.iter().map(OsStr::new));
        let limited = |megabytes: u64| {
            let mut limited = Command::new("prlimit");
            limited.arg(format!("--as={}", megabytes << 20)).arg(env!("CARGO_BIN_EXE_heap_inspector")).args(&words);
            let output = limited.stdin(Stdio::null()).output().unwrap();
            assert!(
                output.status.code().is_some(),
                "{verb} with {megabytes} MB: {}",
                String::from_utf8_lossy(&output.stderr)
            );
            told(&output)
        };
        let mut refused = 0;
        for megabytes in LIMITS {
            match limited(*megabytes) {
                (0, ..) => {}
                (code, _, err) => {
                    assert!(
                        code == 1 && err.starts_with("heap_inspector: out of memory: "),
                        "{verb} with {megabytes} MB: {err}"
                    );
                    refused += 1;
                }
            }
        }
        assert!((1..LIMITS.len()).contains(&refused), "{verb}: {refused}");
    }
}

/// Megabytes of address space, the program's own files among them: from what is too little for all to what is enough.
const LIMITS: &[u64] = &[24, 40, 56, 64, 72, 80, 96, 112, 1024];

#[test]
fn a_dump_is_read_from_a_file_and_from_a_pipe_in_any_packing() {
    let lines = plain("ruby-3.4-x86_64");
    let plain = file(&lines);
    let words = [OsStr::new("summary"), plain.path().as_os_str(), OsStr::new("--format=json")];
    let (code, from_file, err) = run(&words);
    assert_eq!((code, err.as_str()), (0, ""));
    let expected = from_file.replace(plain.path().to_str().unwrap(), "-");

    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    gzip.write_all(&lines).unwrap();
    let mut lz4 = lz4_flex::frame::FrameEncoder::new(Vec::new());
    lz4.write_all(&lines).unwrap();
    let packed = [gzip.finish().unwrap(), lz4.finish().unwrap(), fs::read(dump("ruby-3.4-x86_64")).unwrap(), lines];
    for input in packed {
        assert_eq!(fed(&["summary", "-", "--format", "json"], &input), (0, expected.clone(), String::new()));
    }
}

#[test]
fn without_words_there_is_help() {
    let (code, out, err) = run::<&str>(&[]);
    assert_eq!((code, err.as_str()), (0, ""));
    for verb in ["read", "summary", "top", "strings", "retained", "path"] {
        assert!(out.contains(&format!("\n  {verb} ")), "{out}");
        let (code, help, _) = run(&[verb, "--help"]);
        assert_eq!(code, 0);
        assert!(help.contains("Examples:") && help.contains("Filters (--where):"), "{help}");
    }
}

#[test]
fn wrong_words_are_told_the_right_ones_with_code_2() {
    let path = dump("ruby-3.4-x86_64");
    let path = path.to_str().unwrap();
    let wrong: [(&[&str], &str); 15] = [
        (&["raed", path], "'read'"),
        (&["top", path, "--by", "clas"], "a similar value exists: 'class'"),
        (&["top", path, "--sort", "size"], "possible values: bytes, count, references"),
        (&["strings", path, "--format", "yaml"], "possible values: text, json, markdown, csv]"),
        (&["strings", path, "--format", "dot"], "possible values: text, json, markdown, csv]"),
        (&["top", path, "--format", "dot"], "with --by=stack it does"),
        (&["show", path, "0x1", "--format", "folded"], "possible values: text, json, markdown, csv, dot]"),
        (&["dominators", path, "--format", "svg"], "csv, dot, folded, flamegraph]"),
        (&["path", path, "0x1", "--format", "folded"], "with --class or --where it does"),
        (&["path", path, "--class", "Gem::Specificaton"], "did you mean Gem::Specification"),
        (&["read"], "<DUMP>"),
        (&["read", path, "old"], "expected a number, `untraced` or `all`"),
        (&["read", path, "--lines", "many"], "expected a number or `all`"),
        (&["read", path, "--where", "klass=String"], "cannot filter by \"klass\"; did you mean class; there are"),
        (&["read", path, "--where", "generation=5..x"], "write 5, 5.., ..9 or 5..9"),
    ];
    for (words, hint) in wrong {
        let (code, out, err) = run(words);
        assert_eq!((code, out.as_str()), (2, ""), "{words:?}");
        assert!(err.contains(hint), "{words:?}: {err}");
    }
}

#[test]
fn bad_input_is_one_clear_line_with_code_1() {
    let folder = tempfile::tempdir().unwrap();
    let inside = |name: &str, bytes: &[u8]| {
        let path = folder.path().join(name);
        fs::write(&path, bytes).unwrap();
        path
    };
    let zst = fs::read(dump("ruby-3.4-x86_64")).unwrap();
    let bad = [
        (folder.path().join("missing"), "no such file"),
        (folder.path().to_owned(), "is a directory"),
        (inside("empty", b""), "empty"),
        (inside("json", b"{\"a\": 1}\n[1, 2]\n"), "not a heap dump"),
        (inside("binary", &[0x7f, b'E', b'L', b'F', 0, 1, 2, 255]), "not a heap dump"),
        (inside("xz", b"\xfd7zXZ\0rest"), "xz is not read here"),
    ];
    for (path, reason) in bad {
        let (code, out, err) = run(&[OsStr::new("summary"), path.as_os_str()]);
        assert_eq!((code, out.as_str()), (1, ""), "{path:?}: {err}");
        assert!(err.starts_with("heap_inspector: ") && err.contains(reason), "{path:?}: {err}");
        assert_eq!(err.lines().count(), 1, "{err}");
    }
    // Cut short it is read as far as it goes.
    let cut = inside("cut.zst", &zst[..zst.len() / 2]);
    let (code, out, err) = run(&[OsStr::new("read"), cut.as_os_str()]);
    assert_eq!((code, err.as_str()), (0, ""));
    assert!(out.contains("\nwarning: "), "{out}");
}

#[test]
fn strict_makes_a_warning_an_error() {
    let mut lines = plain("ruby-3.4-x86_64");
    lines.truncate(lines.len() - 10);
    let cut = file(&lines);
    let words = |more: &'static [&'static str]| {
        let mut words = vec![OsStr::new("read"), cut.path().as_os_str()];
        words.extend(more.iter().map(OsStr::new));
        words
    };
    let (code, out, err) = run(&words(&[]));
    assert_eq!((code, err.as_str()), (0, ""));
    assert!(out.contains("warning: line "), "{out}");
    let (code, out, err) = run(&words(&["--strict"]));
    assert_eq!((code, out.as_str()), (1, ""));
    assert!(err.contains(": line ") && err.lines().count() == 1, "{err}");
    // Warnings are not in CSV.
    let (code, out, err) = run(&words(&["--format", "csv", "--lines", "1"]));
    assert_eq!(code, 0);
    assert!(!out.contains("warning"), "{out}");
    assert!(err.contains("heap_inspector: warning: line "), "{err}");
    assert!(err.contains("heap_inspector: generations has "), "{err}");
}

#[test]
fn a_path_need_not_be_utf8() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(OsStr::from_bytes(b"heap\xff\x1b[31m.json"));
    fs::write(&path, plain("ruby-2.7-x86_64")).unwrap();
    let (code, out, err) = run(&[OsStr::new("read"), path.as_os_str()]);
    assert_eq!((code, err.as_str()), (0, ""));
    assert!(out.lines().next().unwrap().ends_with("heap\u{fffd}\\e[31m.json"), "{out}");
}

#[test]
fn a_closed_pipe_is_no_error() {
    let path = dump("ruby-3.4-x86_64");
    let words = [OsStr::new("top"), path.as_os_str(), OsStr::new("--by=location,class"), OsStr::new("--lines=all")];
    let mut child = command(&words).spawn().unwrap();
    drop(child.stdout.take());
    let mut err = String::new();
    child.stderr.take().unwrap().read_to_string(&mut err).unwrap();
    assert_eq!((wait(&mut child), err.as_str()), (Some(0), ""));
}

#[test]
fn a_full_disk_is_told_with_code_1() {
    let full = || File::options().write(true).open("/dev/full").unwrap();
    let path = dump("ruby-3.4-x86_64");
    for words in [vec![OsStr::new("read"), path.as_os_str()], vec![OsStr::new("--help")]] {
        let (code, _, err) = told(&command(&words).stdout(full()).output().unwrap());
        assert_eq!(code, 1);
        assert_eq!(err, "heap_inspector: cannot write the answer: no space left on device\n");
    }
}

#[test]
fn ctrl_c_ends_a_read_of_a_silent_pipe_with_code_130() {
    let mut child = command(&["read", "-"]).stdin(Stdio::piped()).spawn().unwrap();
    let stdin = child.stdin.take();
    // The handler is there when the process waits in its read.
    let state = format!("/proc/{}/status", child.id());
    let deadline = Instant::now() + Duration::from_secs(10);
    while !fs::read_to_string(&state).unwrap().lines().any(|line| line.starts_with("SigCgt") && catches_interrupt(line))
    {
        assert!(Instant::now() < deadline, "no handler came");
        std::thread::yield_now();
    }
    interrupt(&child);
    assert_eq!(wait(&mut child), Some(130));
    let mut err = String::new();
    child.stderr.take().unwrap().read_to_string(&mut err).unwrap();
    assert_eq!(err, "heap_inspector: interrupted\n");
    drop(stdin);
}

/// Bit 1 of the mask stands for signal 2.
fn catches_interrupt(line: &str) -> bool {
    let mask = line.rsplit('\t').next().and_then(|mask| u64::from_str_radix(mask, 16).ok());
    mask.is_some_and(|mask| mask & 0b10 != 0)
}

#[test]
fn no_escape_sequence_of_a_dump_reaches_the_output() {
    let hostile = "\\u001b]0;owned\\u0007\\u001b[2J\\u007f\\n|<b>`";
    let raw = "\u{1b}[31m\u{202e}\u{9b}2J";
    let lines = format!(
        r#"{{"type":"ROOT", "root":"vm{raw}", "references":["0x7f0000000028", "0x7f00000000c8"]}}
{{"address":"0x7f0000000028", "type":"CLASS", "class":"0x7f0000000028", "name":"{raw}{hostile}", "references":[], "memsize":40}}
{{"address":"0x7f0000000050", "type":"STRING", "class":"0x7f0000000028", "bytesize":3, "value":"{hostile}", "encoding":"{raw}", "file":"/a{raw}.rb", "line":1, "method":"{hostile}", "generation":3, "memsize":40, "flags":{{"old":true}}}}
{{"address":"0x7f0000000078", "type":"STRING", "class":"0x7f0000000028", "bytesize":3, "value":"{hostile}", "encoding":"{raw}", "file":"/a{raw}.rb", "line":1, "method":"{hostile}", "generation":3, "memsize":40, "flags":{{"old":true}}}}
{{"address":"0x7f00000000a0", "type":"DATA", "struct":"{raw}", "references":[], "memsize":40}}
{{"address":"0x7f00000000c8", "type":"DATA", "struct":"ractor", "references":["0x7f0000000050", "0x7f0000000078", "0x7f00000000f0"], "memsize":40}}
{{"address":"0x7f00000000f0", "type":"FILE", "references":[], "memsize":40}}
{{"broken {raw}
"#
    );
    let bad = file(lines.as_bytes());
    let path = bad.path().to_str().unwrap();
    let filter = format!("class!={raw}");
    let verbs: [&[&str]; 12] = [
        &["read", path],
        &["read", path, "all", "--where", &filter],
        &["summary", path],
        &["top", path, "--by", "class,location,method,struct,encoding", "--where", &filter],
        &["strings", path],
        &["strings", path, "--strict"],
        &["read", path, "--where", raw],
        &["retained", path, "--by", "class,location,method,struct,encoding"],
        &["dominators", path, "--min", "0"],
        &["path", path, "--where", &filter],
        &["path", path, "0x7f0000000028"],
        &["show", path, "0x7f0000000050"],
    ];
    let plain = QUESTIONS.iter().map(|question| match question.name {
        "report" => vec!["report", path, "-o", "/dev/null"],
        name => vec![name, path],
    });
    for words in plain.chain(verbs.map(<[&str]>::to_vec)) {
        for format in ["text", "json", "markdown", "csv", "dot", "folded", "flamegraph"] {
            let (_, out, err) = run(&[&words[..], &["--format", format]].concat());
            let is_raw = |letter: char| letter != '\n' && (letter.is_control() || letter == '\u{202e}');
            assert!(!out.contains(is_raw) && !err.contains(is_raw), "{words:?} {format}: {out:?} {err:?}");
            let has_no_rows = words[0] == "report" && format == "csv";
            assert!(has_no_rows || !(out.is_empty() && err.is_empty()), "{words:?} {format}");
        }
    }
}

#[test]
fn redacts_into_a_file_of_ones_own() {
    use std::os::unix::fs::PermissionsExt;
    let folder = tempfile::tempdir().unwrap();
    let output = folder.path().join("clean.json.zst");
    let origin = dump("ruby-3.4-x86_64");
    let (code, out, err) = run(&["redact".as_ref(), origin.as_os_str(), output.as_os_str()]);
    assert_eq!((code, out.as_str()), (0, ""), "{err}");
    assert!(err.starts_with("heap_inspector: ") && err.contains(" values replaced in "), "{err}");
    assert_eq!(fs::metadata(&output).unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    let clean = zstd::decode_all(File::open(&output).unwrap()).unwrap();
    let text = String::from_utf8_lossy(&clean);
    assert!(!text.contains("frozen_string_literal: true"));
    let top = |path: &Path| run(&["top".as_ref(), path.as_os_str(), "--by".as_ref(), "location".as_ref()]).1;
    let is_row = |line: &&str| !line.starts_with("note: "); // which name the dump
    let rows = |text: String| text.lines().skip(1).take_while(is_row).map(str::to_owned).collect::<Vec<_>>();
    assert!(rows(top(&origin)).len() > 5);
    assert_eq!(rows(top(&origin)), rows(top(&output)));
    let (code, out, _) = fed(&["redact", "-", "-"], &clean);
    assert_eq!(code, 0);
    assert_eq!(out.lines().count(), text.lines().count());
}

#[test]
fn a_redaction_that_fails_leaves_no_file() {
    let folder = tempfile::tempdir().unwrap();
    let output = folder.path().join("clean.json");
    let input = file(b"this is no dump\n");
    let (code, _, err) = run(&["redact".as_ref(), input.path().as_os_str(), output.as_os_str()]);
    assert_eq!(code, 1);
    assert!(err.contains("not a heap dump"), "{err}");
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
    let nowhere = folder.path().join("missing/clean.json");
    let (code, _, err) = run(&["redact".as_ref(), dump("ruby-3.4-x86_64").as_os_str(), nowhere.as_os_str()]);
    assert_eq!(code, 1);
    assert!(err.contains("no such file"), "{err}");
}

/// Issue 13: what exists and is no file was replaced by one. The links keep this test away from the devices themselves.
#[test]
fn a_redaction_writes_to_devices_and_pipes_and_replaces_none() {
    let folder = tempfile::tempdir().unwrap();
    let links = ["/dev/stdout", "/dev/null", "/dev/full"].map(|device| {
        let link = folder.path().join(Path::new(device).file_name().unwrap());
        std::os::unix::fs::symlink(device, &link).unwrap();
        link
    });
    let origin = dump("ruby-3.4-x86_64");
    let expected = run(&["redact".as_ref(), origin.as_os_str(), "-".as_ref()]).1;
    let outcomes = links.each_ref().map(|link| run(&["redact".as_ref(), origin.as_os_str(), link.as_os_str()]));
    assert_eq!((outcomes[0].0, outcomes[0].1.lines().count()), (0, expected.lines().count()), "{}", outcomes[0].2);
    assert_eq!((outcomes[1].0, outcomes[1].1.as_str()), (0, ""), "{}", outcomes[1].2);
    assert_eq!(outcomes[2].0, 1);
    assert!(outcomes[2].2.contains("no space left on device"), "{}", outcomes[2].2);
    assert!(links.iter().all(|link| fs::symlink_metadata(link).unwrap().is_symlink()));
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), links.len());
}

/// Issue 13: SIGTERM and SIGHUP left the unfinished file.
#[test]
fn signals_that_end_a_redaction_take_its_file_with_them() {
    for (signal, code) in
        [(rustix::process::Signal::TERM, 143), (rustix::process::Signal::HUP, 129), (rustix::process::Signal::INT, 130)]
    {
        let folder = tempfile::tempdir().unwrap();
        let output = folder.path().join("clean.json");
        let words = ["redact".as_ref(), "-".as_ref(), output.as_os_str()];
        let mut child = command(&words).stdin(Stdio::piped()).spawn().unwrap();
        // Its input stays open, so it is at work until the signal comes.
        let line = b"{\"address\":\"0x7f0000000028\", \"type\":\"STRING\", \"memsize\":40}\n";
        child.stdin.as_mut().unwrap().write_all(line).unwrap();
        while fs::read_dir(folder.path()).unwrap().count() == 0 {
            assert!(child.try_wait().unwrap().is_none());
            std::thread::sleep(Duration::from_millis(10));
        }
        rustix::process::kill_process(rustix::process::Pid::from_child(&child), signal).unwrap();
        let _input = child.stdin.take();
        assert_eq!(wait(&mut child), Some(code));
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0, "{signal:?}");
    }
}

#[test]
fn commands_for_a_running_ruby_point_to_the_gem() {
    for words in
        [&["ps"][..], &["dump", "worker-0", "-o", "-"], &["dump", "--help"], &["trace", "1", "on"], &["watch", "1"]]
    {
        let (code, out, err) = run(words);
        assert_eq!((code, out.as_str()), (2, ""));
        assert!(err.contains("gem install heap_inspector"), "{err}");
    }
    let (_, help, _) = run(&["--help"]);
    for verb in ["ps", "dump", "trace", "watch", "redact"] {
        assert!(help.lines().any(|line| line.trim_start().starts_with(&format!("{verb} "))), "{help}");
    }
}
