//! Completions and manual pages, made of the same grammar as help.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use heap_inspector::questions::QUESTIONS;
use std::fs;
use std::process::Command;

fn run(words: &[&str]) -> (i32, String, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_heap_inspector")).args(words).output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (output.status.code().unwrap(), text(output.stdout), text(output.stderr))
}

#[test]
fn completions_of_each_shell_know_all_commands_and_options() {
    for shell in ["bash", "zsh", "fish"] {
        let (code, script, err) = run(&["completions", shell]);
        assert_eq!((code, err.as_str()), (0, ""));
        for question in QUESTIONS {
            assert!(script.contains(question.name), "{shell}: {}", question.name);
            for choice in question.choices() {
                let is_option = matches!(choice.place, heap_inspector::questions::Place::Option(_));
                assert!(!is_option || script.contains(choice.name), "{shell}: {} {}", question.name, choice.name);
            }
        }
        assert!(script.contains("redact") && script.contains("flamegraph"), "{shell}");
    }
    let (code, out, err) = run(&["completions", "tcsh"]);
    assert_eq!((code, out.as_str()), (2, ""));
    assert!(err.contains("possible values: bash"), "{err}");
}

/// What bash offers behind the words.
fn offered(words: &[&str]) -> Vec<String> {
    let (_, script, _) = run(&["completions", "bash"]);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("completions");
    fs::write(&path, script).unwrap();
    let code = format!(
        "source {}; COMP_WORDS=(heap_inspector {}); COMP_CWORD={}; \
         _heap_inspector heap_inspector \"${{COMP_WORDS[COMP_CWORD]}}\" \"${{COMP_WORDS[COMP_CWORD-1]}}\"; \
         printf '%s\\n' \"${{COMPREPLY[@]}}\"",
        path.display(),
        words.join(" "),
        words.len()
    );
    let output = Command::new("bash").args(["--norc", "-c", &code]).output().unwrap();
    let err = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success() && err.is_empty(), "{err}");
    String::from_utf8(output.stdout).unwrap().lines().map(str::to_owned).collect()
}

#[test]
fn bash_completes_commands_options_and_values() {
    assert_eq!(offered(&["fra"]), ["fragmentation"]);
    assert_eq!(offered(&["sus"]), ["suspects"]);
    let options = offered(&["top", "--"]);
    for option in ["--by", "--sort", "--lines", "--where", "--format"] {
        assert!(options.iter().any(|known| known == option), "{option}: {options:?}");
    }
    assert_eq!(offered(&["top", "--format", "m"]), ["markdown"]);
    assert_eq!(offered(&["dominators", "--format", "fl"]), ["flamegraph"]);
    assert_eq!(offered(&["strings", "--sort", ""]), ["bytes", "count"]);
    // What does not fit is not offered.
    assert!(offered(&["strings", "--format", "fl"]).iter().all(|word| word != "flamegraph"));
}

#[test]
fn manual_pages_say_what_help_says() {
    let folder = tempfile::tempdir().unwrap();
    let directory = folder.path().join("share/man1");
    let (code, out, err) = run(&["man", directory.to_str().unwrap()]);
    assert_eq!((code, out.as_str()), (0, ""), "{err}");
    let page = |name: &str| fs::read_to_string(directory.join(name)).unwrap();
    let whole = page("heap_inspector.1");
    for question in QUESTIONS {
        let name = question.name;
        assert!(whole.contains(&format!("heap_inspector\\-{name}")), "{name}: {whole}");
        let own = page(&format!("heap_inspector-{name}.1"));
        assert!(own.starts_with(".ie") || own.starts_with(".TH"), "{own}");
        for section in [".SH NAME", ".SH SYNOPSIS", ".SH DESCRIPTION", ".SH OPTIONS", ".SH NOTES"] {
            assert!(own.contains(section), "{name}: {section}");
        }
        // Examples are lines of their own, and their hyphens can be copied.
        for example in question.examples {
            let line = format!("\n  heap_inspector {}", example.words).replace('-', "\\-");
            assert!(own.contains(&line), "{name}: {line}: {own}");
        }
        for choice in question.choices() {
            let is_option = matches!(choice.place, heap_inspector::questions::Place::Option(_));
            let option = format!("\\-\\-{}", choice.name.replace('-', "\\-"));
            assert!(!is_option || own.contains(&option), "{name}: {option}");
        }
    }
    let count = fs::read_dir(&directory).unwrap().count();
    assert_eq!(err, format!("heap_inspector: {count} pages written\n"));
    assert!(count > QUESTIONS.len() + 8, "{count}");
    // No line of ours is taken for a command of the formatter.
    let known = [".ie", ".el", ".TH", ".SH", ".TP", ".nf", ".fi", ".br", ".PP", ".RS", ".RE", ".sp"];
    for line in whole.lines().filter(|line| line.starts_with(['.', '\''])) {
        assert!(known.iter().any(|known| line.starts_with(known)), "{line}");
    }
    let file = folder.path().join("file");
    fs::write(&file, "").unwrap();
    let (code, _, err) = run(&["man", file.to_str().unwrap()]);
    assert_eq!(code, 1);
    assert!(err.starts_with("heap_inspector: ") && err.lines().count() == 1, "{err}");
}
