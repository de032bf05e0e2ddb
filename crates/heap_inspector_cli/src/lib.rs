//! The command line of heap_inspector as a function: words come in, text and an exit code go out.
//!
//! It has two doors, the standalone binary and the gem's executable, and both give the same bytes.

mod args;
mod graph;
pub mod output;
mod progress;
mod redact;
mod several;

use args::{Arguments, Command, Lines, Unfiltered, Verb, Which};
use clap::FromArgMatches;
use heap_inspector::analysis::{Order, generation, generations, groups, hints, strings, summary};
use heap_inspector::control::Control;
use heap_inspector::human;
use heap_inspector::keys::Key;
use heap_inspector::report::{Level, Report, Section};
use heap_inspector::scan;
use heap_inspector::select::Filter;
use heap_inspector::source::Source;
use heap_inspector::view::{self, Format, TextStyle};
use heap_inspector::{Error, ErrorKind};
use progress::Progress;
use std::ffi::OsString;
use std::io::{self, Write};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

/// All went well, or the reader closed the pipe.
pub const SUCCESS: i32 = 0;
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
    let arguments = match parse(arguments, terminal) {
        Ok(arguments) => arguments,
        Err(message) => {
            let color = terminal.color && !message.use_stderr();
            let text = if color { message.render().ansi().to_string() } else { message.render().to_string() };
            if message.use_stderr() {
                // An error on the way to standard error has nowhere to go, here and below.
                let _ = err.write_all(text.as_bytes());
                return USAGE;
            }
            return write(&text, out, err);
        }
    };
    let verb = match arguments.command {
        Command::Answered(verb) => verb,
        Command::Redact { dump, output } => {
            return match redact::run(&dump, &output, out, cancel) {
                Ok(told) => {
                    let _ = writeln!(err, "heap_inspector: {told}");
                    SUCCESS
                }
                Err(error) => refuse(&error, Some(&dump), err),
            };
        }
        Command::Living(living) => {
            let name = living.name();
            let _ = writeln!(
                err,
                "heap_inspector: `{name}` needs Ruby, which this program is without: install the gem (gem install \
                 heap_inspector) and use its `heap_inspector {name}`"
            );
            return USAGE;
        }
    };
    let common = verb.common();
    match answer(&verb, terminal, cancel) {
        Ok(report) => {
            if common.format == Format::Csv {
                let _ = err.write_all(beside_csv(&report).as_bytes());
            }
            write(&view::render(&report, common.format, &terminal.style()), out, err)
        }
        Err(error) => {
            // Of several dumps the error itself says which.
            let names_its_dump = matches!(verb, Verb::Diff { .. } | Verb::Suspects { .. });
            refuse(&error, (!names_its_dump).then_some(&common.dump), err)
        }
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

fn parse(arguments: &[OsString], terminal: Terminal) -> Result<Arguments, clap::Error> {
    let mut command = Arguments::grammar().term_width(terminal.width.unwrap_or(HELP_WIDTH).min(HELP_WIDTH).into());
    let program = OsString::from("heap_inspector");
    let words: Vec<OsString> = match arguments {
        [] => vec![program, "--help".into()],
        words => std::iter::once(program).chain(words.iter().cloned()).collect(),
    };
    Arguments::from_arg_matches(&command.try_get_matches_from_mut(words)?).map_err(|error| error.format(&mut command))
}

/// Writes the answer. A reader that has seen enough closes the pipe: no error.
fn write(text: &str, out: &mut dyn Write, err: &mut dyn Write) -> i32 {
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Ok(()) => SUCCESS,
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => SUCCESS,
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

/// What every verb works with.
struct Task<'a> {
    source: Source,
    /// The dump's name for the report.
    dump: String,
    filter: Filter,
    /// Whether an index file beside the dump may be read and written.
    has_index: bool,
    options: scan::Options<'a>,
}

fn answer(verb: &Verb, terminal: Terminal, cancel: &Arc<AtomicBool>) -> Result<Report, Error> {
    let common @ Unfiltered { dump, threads, strict, .. } = verb.common();
    let progress = Progress::new(terminal.progress);
    let task = Task {
        source: if dump == "-" { Source::stdin() } else { Source::path(dump) }.cancelled_by(Arc::clone(cancel)),
        dump: common.name(),
        filter: Filter::parse(verb.filter())?,
        has_index: verb.has_index(),
        options: scan::Options {
            strict: *strict,
            control: Control {
                threads: *threads,
                cancel: Some(cancel),
                progress: Some(&|read, all| progress.update(read, all)),
            },
        },
    };
    match verb {
        Verb::Read { generation: None, lines, .. } => read(task, *lines),
        Verb::Read { generation: Some(which), lines, .. } => read_generation(task, *which, *lines),
        Verb::Summary { lines, .. } => summary(&task, *lines),
        Verb::Top { by, sort, lines, .. } => top(task, by, *sort, *lines),
        Verb::Strings { sort, lines, .. } => strings(&task, *sort, *lines),
        Verb::Retained { by, lines, .. } => graph::retained(task, by, *lines),
        Verb::Dominators { address, by, depth, min, lines, .. } => {
            let shown = graph::Shown { by: *by, depth: *depth, min: *min, lines: *lines, format: common.format };
            graph::dominators(task, address.as_deref(), shown)
        }
        Verb::Path { address: Some(_), .. } if matches!(common.format, Format::Folded | Format::Flamegraph) => {
            let message = "the paths to one object are no flame graph; --format dot draws them, and with --class or --where there is one";
            Err(Error::Usage { message: message.into() })
        }
        Verb::Path { address: Some(address), paths, .. } => graph::path(task, address, *paths),
        Verb::Path { class, lines, .. } => graph::merged_paths(task, class.as_deref(), *lines),
        Verb::Show { address, lines, .. } => graph::show(task, address, *lines, common.format == Format::Dot),
        Verb::Unreachable { by, sort, lines, .. } => graph::unreachable(task, by, *sort, *lines),
        Verb::Collections { by, lines, .. } => graph::collections(task, by, *lines),
        Verb::Fragmentation { by, lines, .. } => graph::fragmentation(task, by, *lines),
        Verb::Suspects { later, lines, except, .. } => several::suspects(task, later, *lines, except.as_deref()),
        Verb::Diff { later, by, retained, lines, output, .. } => {
            several::diff(task, later, several::Shown { by, retained: *retained, lines: *lines }, output.as_deref())
        }
    }
}

fn read(task: Task<'_>, lines: Option<Lines>) -> Result<Report, Error> {
    let limit = lines.map(|lines| lines.0);
    let (generations, context) = generations::read(&task.source, task.filter.clone(), limit, &task.options)?;
    let report = generations.report(&task.dump, &task.filter, &context);
    Ok(hints::after_generations(report, &task.source))
}

fn read_generation(task: Task<'_>, which: Which, lines: Option<Lines>) -> Result<Report, Error> {
    let filter = task.filter.and(&which.filter()?);
    let limit = lines.map_or(LINES, |lines| lines.0);
    let (detail, context) = generation::read(&task.source, &filter, limit, &task.options)?;
    Ok(detail.report(&task.dump, &which.title(), &filter, &context))
}

fn summary(task: &Task<'_>, lines: Lines) -> Result<Report, Error> {
    Ok(summary::read(&task.source, &task.filter, lines.0, &task.options)?.report(&task.dump))
}

fn top(task: Task<'_>, by: &[Key], sort: Order, lines: Lines) -> Result<Report, Error> {
    let asked = groups::Options { by: by.to_vec(), filter: task.filter, sort, limit: Some(lines.0) };
    let (groups, context) = groups::read(&task.source, &asked, &task.options)?;
    Ok(hints::after_groups(groups.report(&task.dump, &asked.filter, asked.sort, &context), &task.source))
}

fn strings(task: &Task<'_>, sort: Order, lines: Lines) -> Result<Report, Error> {
    let (strings, context) = strings::read(&task.source, &task.filter, sort, lines.0, &task.options)?;
    Ok(strings.report(&task.dump, &task.filter, &context))
}

/// Rows of each of a generation's tables where nothing else is asked for.
const LINES: usize = 20;
