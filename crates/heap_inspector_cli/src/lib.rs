//! The command line of heap_inspector as a function: words come in, text and an exit code go out.
//!
//! It has two doors, the standalone binary and the gem's executable, and both give the same bytes.

mod args;
mod convert;
mod fleet;
mod http;
mod man;
mod mcp;
pub mod output;
mod places;
mod progress;
mod redact;
mod serve;
mod waiting;

pub use waiting::Waiting;

use args::{Asked, Other};
use clap::ArgMatches;
use heap_inspector::control::Control;
use heap_inspector::fleet::sql::Period;
use heap_inspector::human;
use heap_inspector::questions::{self, Answer, Existing, Named, Question, Words};
use heap_inspector::report::{self, Level, Report, Section};
use heap_inspector::scan;
use heap_inspector::source::Source;
use heap_inspector::view::{self, Format, TextStyle};
use heap_inspector::{Error, ErrorKind};
use progress::Progress;
use std::cell::Cell;
use std::ffi::OsString;
use std::io::{self, Write};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// All went well, or the reader closed the pipe.
pub const SUCCESS: i32 = 0;
/// What `--fail-on` names is there.
pub const FOUND: i32 = 3;
/// The input is to blame, or the operating system.
pub const FAILURE: i32 = 1;
/// The words are to blame.
pub const USAGE: i32 = 2;
/// Ctrl-C.
pub const INTERRUPTED: i32 = 130;

/// What the output goes to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Terminal {
    /// Columns of the terminal that `out` is, or that were asked for; none for a file or a pipe.
    pub width: Option<u16>,
    /// Whether `out` may be coloured.
    pub color: bool,
    /// Whether a progress bar may be drawn on the process's standard error.
    pub progress: bool,
}

impl Terminal {
    /// The terminal that the process's standard output and error are. Colour is off where `NO_COLOR` is set, or `TERM` is `dumb`;
    /// `COLUMNS` says how wide to write, to a file or a pipe, too.
    #[must_use]
    pub fn of_process() -> Terminal {
        use std::io::IsTerminal;
        let is_set = |name: &str| std::env::var_os(name).is_some_and(|value| !value.is_empty());
        let is_dumb = std::env::var_os("TERM").is_some_and(|term| term == "dumb");
        let is_terminal = io::stdout().is_terminal();
        let asked = std::env::var("COLUMNS").ok().and_then(|columns| columns.parse().ok()).filter(|width| *width > 0);
        let known = || terminal_size::terminal_size_of(io::stdout()).map_or(80, |(width, _)| width.0);
        Terminal {
            width: asked.or_else(|| is_terminal.then(known)),
            color: is_terminal && !is_set("NO_COLOR") && !is_dumb,
            progress: io::stderr().is_terminal() && !is_dumb,
        }
    }

    fn style(self) -> TextStyle {
        TextStyle { width: self.width.map_or(TextStyle::default().width, usize::from), color: self.color }
    }
}

/// Help is not wider than a page.
const HELP_WIDTH: u16 = 100;

/// Runs the command line with `arguments`, the program's name not among them, and returns the exit code. The work stops soon after
/// `cancel` is raised.
pub fn run(
    arguments: &[OsString],
    terminal: Terminal,
    out: &mut dyn Write,
    err: &mut dyn Write,
    cancel: &Arc<AtomicBool>,
) -> i32 {
    let asked = match parse(arguments, terminal) {
        Ok(asked) => asked,
        Err(message) => {
            let color = terminal.color && !message.use_stderr();
            let text = if color { message.render().ansi().to_string() } else { message.render().to_string() };
            if message.use_stderr() {
                // An error on the way to standard error has nowhere to go, here and below.
                let _ = err.write_all(text.as_bytes());
                return USAGE;
            }
            return answered(out.write_all(text.as_bytes()).and_then(|()| out.flush()), cancel, err);
        }
    };
    match asked {
        Asked::Question(question, matches) => answer(question, &matches, terminal, out, err, cancel),
        Asked::Other(Other::Redact { dump, output }) => copied(redact::run(&dump, &output, out, cancel), &dump, err),
        Asked::Other(Other::Convert { dump, output }) => copied(convert::run(&dump, &output, out, cancel), &dump, err),
        Asked::Other(Other::Serve { dumps, port, bind, confidential, rules, app }) => {
            let serving = serve::Serving { dumps: &dumps, bind, port, confidential, app: &app, rules: rules.as_ref() };
            ended(serve::run(&serving, Progress::new(terminal.progress), out, cancel), err)
        }
        Asked::Other(Other::Fleet { places, since, from, until, service, lines, format, sql, duckdb }) => {
            let period = Period { from, until };
            let (since, service) = (since.as_deref(), service.as_deref());
            let asked =
                fleet::Asked { places: &places, service, since, period: &period, lines, engine: Path::new(&duckdb) };
            let control = Control { cancel: Some(cancel), ..Control::default() };
            if sql {
                match asked.sql(&control) {
                    Ok((text, files)) => {
                        for told in files.warnings() {
                            let _ = writeln!(err, "heap_inspector: warning: {}", view::escape::terminal(&told));
                        }
                        answered(out.write_all(text.as_bytes()).and_then(|()| out.flush()), cancel, err)
                    }
                    Err(error) => refuse(&error, None, err),
                }
            } else {
                let report = asked.inbox(&control).and_then(|report| Ok((report, format.parse()?)));
                match report {
                    Ok((report, format)) => shown(&report, format, terminal, out, err, cancel),
                    Err(error) => refuse(&error, None, err),
                }
            }
        }
        Asked::Other(Other::Mcp { dumps, confidential, app }) => {
            ended(mcp::run(&mcp::Serving { dumps: &dumps, confidential, app: &app }, out, cancel), err)
        }
        Asked::Other(Other::Completions { shell }) => {
            let mut text = Vec::new();
            clap_complete::generate(shell, &mut args::grammar(), "heap_inspector", &mut text);
            answered(out.write_all(&text).and_then(|()| out.flush()), cancel, err)
        }
        Asked::Other(Other::Man { directory }) => match man::write(Path::new(&directory)) {
            Ok(count) => {
                let _ = writeln!(err, "heap_inspector: {count} pages written");
                SUCCESS
            }
            Err(error) => refuse(&error, None, err),
        },
        Asked::Other(Other::Living(living)) => {
            let name = living.name();
            let _ = writeln!(
                err,
                "heap_inspector: `{name}` needs Ruby, which this program is without: install the gem (gem install \
                 heap_inspector) and use its `heap_inspector {name}`"
            );
            USAGE
        }
    }
}

/// Says what became of a dump that was written anew.
fn copied(told: heap_inspector::Result<String>, dump: &OsString, err: &mut dyn Write) -> i32 {
    match told {
        Ok(told) => {
            let _ = writeln!(err, "heap_inspector: {told}");
            SUCCESS
        }
        Err(error) => refuse(&error, Some(dump), err),
    }
}

/// The code of what served until it ended.
fn ended(served: heap_inspector::Result<()>, err: &mut dyn Write) -> i32 {
    match served {
        Ok(()) => SUCCESS,
        Err(error) => refuse(&error, None, err),
    }
}

/// Says why there is no answer.
fn refuse(error: &Error, dump: Option<&OsString>, err: &mut dyn Write) -> i32 {
    let reason = error.to_string();
    let reason = view::escape::terminal(&reason);
    let _ = match (error.kind(), dump) {
        (ErrorKind::Format | ErrorKind::Compression, Some(dump)) => {
            let dump = if dump == "-" { "standard input".into() } else { dump.to_string_lossy() };
            writeln!(err, "heap_inspector: {}: {reason}", view::escape::terminal(&dump))
        }
        _ => writeln!(err, "heap_inspector: {reason}"),
    };
    match error.kind() {
        ErrorKind::Interrupted => INTERRUPTED,
        ErrorKind::Usage => USAGE,
        _ => FAILURE,
    }
}

fn parse(arguments: &[OsString], terminal: Terminal) -> Result<Asked, clap::Error> {
    let mut command = args::grammar().term_width(terminal.width.unwrap_or(HELP_WIDTH).min(HELP_WIDTH).into());
    let program = OsString::from("heap_inspector");
    let words: Vec<OsString> = match arguments {
        [] => vec![program, "--help".into()],
        words => std::iter::once(program).chain(words.iter().cloned()).collect(),
    };
    args::asked(&command.try_get_matches_from_mut(words)?).map_err(|error| error.format(&mut command))
}

/// How the writing of the answer went. A reader that has seen enough closes the pipe: no error.
fn answered(written: io::Result<()>, cancel: &AtomicBool, err: &mut dyn Write) -> i32 {
    match written {
        Ok(()) => SUCCESS,
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => SUCCESS,
        Err(_) if cancel.load(Ordering::Relaxed) => refuse(&Error::Interrupted, None, err),
        Err(error) if error.get_ref().is_some_and(|inner| inner.is::<Error>()) => {
            let inner = error.into_inner().and_then(|inner| inner.downcast::<Error>().ok());
            refuse(&inner.map_or(Error::Interrupted, |inner| *inner), None, err)
        }
        Err(error) => {
            let reason = error.to_string().to_lowercase();
            let reason = reason.split(" (os error").next().unwrap_or_default();
            let _ = writeln!(err, "heap_inspector: cannot write the answer: {reason}");
            FAILURE
        }
    }
}

/// What a reader of CSV would miss: warnings, and how many rows were cut off.
fn beside_csv(report: &Report) -> String {
    let mut text = String::new();
    for section in &report.sections {
        match section {
            Section::Note(note) if note.level == Level::Warning => {
                text += &format!("heap_inspector: warning: {}\n", view::escape::terminal(&note.text));
            }
            Section::Table(table) => {
                if let Some(rest) = &table.rest {
                    let rows = human::count(rest.rows);
                    text += &format!("heap_inspector: {} has {rows} more rows, see --lines\n", table.name);
                }
            }
            _ => {}
        }
    }
    text
}

/// The code that an answer has of its own, for scripts.
fn exit_code(report: &Report) -> i32 {
    if report.is_failure() {
        return FOUND;
    }
    let facts = report.sections.iter().filter_map(|section| match section {
        Section::Facts(facts) => facts.facts.iter().find(|fact| fact.name == "exit_code"),
        _ => None,
    });
    let codes = facts.map(|fact| match fact.cell {
        report::Cell::Number(code) => i32::try_from(code).unwrap_or(FAILURE),
        _ => SUCCESS,
    });
    codes.max().unwrap_or(SUCCESS)
}

/// Writes a report.
fn shown(
    report: &Report,
    format: Format,
    terminal: Terminal,
    out: &mut dyn Write,
    err: &mut dyn Write,
    cancel: &AtomicBool,
) -> i32 {
    if format == Format::Csv {
        let _ = err.write_all(beside_csv(report).as_bytes());
    }
    let control = Control { cancel: Some(cancel), ..Control::default() };
    match answered(view::write(report, format, &terminal.style(), &control, out), cancel, err) {
        SUCCESS => exit_code(report),
        code => code,
    }
}

/// Puts a question and writes its answer.
fn answer(
    question: &Question,
    matches: &ArgMatches,
    terminal: Terminal,
    out: &mut dyn Write,
    err: &mut dyn Write,
    cancel: &Arc<AtomicBool>,
) -> i32 {
    let choices = question.choices();
    let variable = |name: &str| choices.iter().find(|choice| choice.name == name)?.variable;
    let given = |name: &str| {
        let of_environment = || std::env::var_os(variable(name)?).filter(|value| !value.is_empty());
        args::words(matches, name).or_else(|| Some(vec![of_environment()?]))
    };
    let words = Words(&given);
    let paths: Vec<OsString> = ["dump", "later", "after"].into_iter().filter_map(given).flatten().collect();
    match ask(question, &paths, &words, terminal, cancel) {
        Ok((_, _, true)) => answered(out.flush(), cancel, err),
        Ok((report, format, false)) => shown(&report, format, terminal, out, err, cancel),
        // Of several dumps the error itself says which.
        Err(error) => match question.answer {
            Answer::Heaps { .. } => refuse(&error, None, err),
            _ => refuse(&error, paths.first(), err),
        },
    }
}

/// The answer and its format, and whether what it wrote stands in its place.
fn ask(
    question: &Question,
    paths: &[OsString],
    words: &Words<'_>,
    terminal: Terminal,
    cancel: &Arc<AtomicBool>,
) -> Result<(Report, Format, bool), Error> {
    let shared = question.shared(words)?;
    let progress = Progress::new(terminal.progress);
    let is_in_out = Cell::new(false);
    let asked = questions::Asked {
        dump: paths.first().map(|path| path.to_string_lossy().into_owned()).unwrap_or_default(),
        filter: shared.filter,
        format: shared.format,
        options: scan::Options {
            strict: shared.strict,
            app: Some(&shared.app),
            control: Control {
                threads: shared.threads,
                cancel: Some(cancel),
                progress: Some(&|read, all| progress.update(read, all)),
            },
        },
        save: &|path, existing, fill| {
            // What a question writes takes the place of its answer there.
            let is_out = existing == Existing::Replaced && path == Path::new("-");
            is_in_out.set(is_out);
            output::save(if is_out { Path::new("/dev/stdout") } else { path }, existing, cancel, fill)
        },
    };
    let dump = |(at, path): (usize, &OsString)| {
        // Standard input can be read once.
        let source = if path == "-" && at == 0 { Source::stdin() } else { Source::path(path) };
        Named { name: path.to_string_lossy().into_owned(), source: source.cancelled_by(Arc::clone(cancel)) }
    };
    let dumps = paths.iter().enumerate().map(dump).collect();
    let report = question.ask(dumps, words, shared.no_index, &asked)?;
    Ok((report, shared.format, is_in_out.get()))
}
