//! What a terminal gets: colour, width, and the same bytes through the library's function as from the binary.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use heap_inspector_cli::{SUCCESS, Terminal, run};
use std::ffi::OsString;
use std::process::Command;
use std::sync::Arc;
use unicode_width::UnicodeWidthStr;

const DUMP: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../heap_inspector/tests/dumps/ruby-3.4-x86_64.json.zst");
const VERBS: [&[&str]; 5] = [
    &["read", DUMP],
    &["read", DUMP, "all"],
    &["summary", DUMP],
    &["top", DUMP, "--by=class,location"],
    &["strings", DUMP],
];

fn output(words: &[&str], terminal: Terminal) -> String {
    let words: Vec<OsString> = words.iter().map(OsString::from).collect();
    let (mut out, mut err) = (Vec::new(), Vec::new());
    assert_eq!(run(&words, terminal, &mut out, &mut err, &Arc::default()), SUCCESS);
    assert_eq!(String::from_utf8(err).unwrap(), "");
    String::from_utf8(out).unwrap()
}

#[test]
fn text_fits_the_terminal() {
    for words in VERBS {
        for width in [1, 2, 7, 20, 40, 80, 140, 1000] {
            let text = output(words, Terminal { width: Some(width), ..Terminal::default() });
            let widest = text.lines().max_by_key(|line| line.width()).unwrap();
            assert!(widest.width() <= usize::from(width), "{words:?} at {width}: {widest}");
        }
    }
}

#[test]
fn colour_is_for_those_who_ask() {
    let wide = |color: bool| Terminal { width: Some(100), color, progress: false };
    for words in VERBS {
        assert!(output(words, wide(true)).contains("\u{1b}[1m"));
        assert!(!output(words, wide(false)).contains('\u{1b}'));
        for format in ["json", "markdown", "csv"] {
            let words = [words, &["--lines", "all", "--format", format]].concat();
            assert_eq!(output(&words, wide(true)), output(&words, wide(false)));
        }
    }
}

#[test]
fn both_doors_give_the_same_bytes() {
    for words in VERBS {
        let binary =
            Command::new(env!("CARGO_BIN_EXE_heap_inspector")).env_remove("COLUMNS").args(words).output().unwrap();
        assert_eq!(String::from_utf8(binary.stdout).unwrap(), output(words, Terminal::default()));
    }
}

/// On a terminal of its own: `script` (of util-linux) makes one.
#[test]
fn a_terminal_gets_colour_unless_it_does_not_want_any() {
    let on_terminal = |setting: (&str, &str)| {
        // Without the progress bar, which a slow machine gets to see.
        let line = format!("stty cols 60 rows 24; {} summary {DUMP} 2>/dev/null", env!("CARGO_BIN_EXE_heap_inspector"));
        let script = Command::new("script")
            .args(["--quiet", "--return", "--command", &line, "/dev/null"])
            .env("TERM", "xterm")
            .env_remove("NO_COLOR")
            .env_remove("COLUMNS")
            .env(setting.0, setting.1)
            .stdin(std::process::Stdio::null())
            .output()
            .unwrap();
        assert!(script.status.success(), "{script:?}");
        String::from_utf8(script.stdout).unwrap()
    };
    let coloured = on_terminal(("NO_COLOR", ""));
    assert!(coloured.contains("\u{1b}[1mTypes\u{1b}[0m"), "{coloured}");
    for setting in [("NO_COLOR", "1"), ("TERM", "dumb")] {
        let plain = on_terminal(setting);
        assert!(plain.contains("Types") && !plain.contains('\u{1b}'), "{plain}");
        assert!(plain.lines().all(|line| line.width() <= 60), "{plain}");
    }
}
