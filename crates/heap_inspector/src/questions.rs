//! The one list of what may be asked of dumps, [`QUESTIONS`]: each question's name and texts, its options with their types and defaults,
//! examples, what of its answer can be drawn, and how it is answered.
//!
//! All doors are made of it: the verbs of the command line with their help, shell completions and manual pages, the Rake tasks, the
//! console's help, the table of docs/json.md. A door brings words and dumps and gets a report. The words of an option are read here, into
//! the type that also has its default, so a default stands in one place.

mod graph;
mod list;
mod next;
mod options;
mod several;
mod tools;

pub use list::QUESTIONS;
pub use options::{Choice, Kind, Place, Words};
pub use several::{InOrder, Load, Loaded, load};
pub use tools::{Does, INSTRUCTIONS, PROMPT, TOOLS, Tool, overview, prompt};

use crate::gems::App;
use crate::report::Shape;
use crate::scan;
use crate::select::Filter;
use crate::snapshot::{Index, Snapshot};
use crate::source::Source;
use crate::view::Format;
use crate::{Error, Result, report::Report};
use options::Common;
use std::io::Write;
use std::path::Path;

/// What may be asked.
#[derive(Debug)]
pub struct Question {
    /// The verb.
    pub name: &'static str,
    /// What it does in a line: a verb first, no full stop.
    pub about: &'static str,
    /// What else is to be said, paragraphs with an empty line between; empty for nothing.
    pub details: &'static str,
    /// Command lines that help shows.
    pub examples: &'static [Example],
    /// What the long help says behind them, lines of at most 80 letters.
    pub more: &'static str,
    /// Whether it is of a set of objects, which a filter says.
    pub filtered: bool,
    /// Its own options, in order.
    own: fn() -> Vec<Choice>,
    /// What of its answers can be drawn.
    pub drawings: &'static [Drawing],
    /// What it is there to write, beside its answer.
    pub writes: Writes,
    /// The methods that ask it in Ruby, as `Heap#groups`, the one for most people first.
    pub ruby: &'static [&'static str],
    /// How it is answered.
    pub answer: Answer,
}

/// What a question is there to write. That one may be told to write its answer's lines to a file as well is no such thing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Writes {
    /// Nothing.
    Nothing,
    /// A page, of which it tells.
    Page,
    /// Files in formats of their own, which an option of its own chooses; what it tells of them is text.
    Files,
}

/// A command line that help shows.
#[derive(Debug)]
pub struct Example {
    /// The words behind the program's name.
    pub words: &'static str,
    /// What it is for; may be empty.
    pub note: &'static str,
    /// Whether the short help shows it, too.
    pub is_first: bool,
}

/// A part of an answer that can be drawn.
#[derive(Debug)]
pub struct Drawing {
    /// What it is like.
    pub shape: Shape,
    /// It is there where one of these options is given, or given such a word (`by=stack`); always where there are none.
    pub with: &'static [&'static str],
}

/// From words and the dump to the report.
#[derive(Debug)]
pub enum Answer {
    /// One pass over the dump, which keeps sums.
    Pass(fn(&Source, &Words<'_>, &Asked<'_>) -> Result<Report>),
    /// The dump in memory, with what refers to what.
    Heap(fn(&Snapshot, &Words<'_>, &Asked<'_>) -> Result<Report>),
    /// Several dumps of one process in memory, which are loaded when the words are understood.
    Heaps {
        /// At least so many.
        least: usize,
        /// The last argument loads them.
        answer: fn(&Words<'_>, &Asked<'_>, Load<'_>) -> Result<Report>,
    },
}

/// Writes a file at the path, whole or not at all, which only its owner may read.
pub type Save<'a> = &'a dyn Fn(&Path, Existing, &mut dyn FnMut(&mut dyn Write) -> Result<()>) -> Result<()>;

/// What becomes of a file that is there already.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Existing {
    /// It stays, and that is an error.
    Kept,
    /// The new one takes its place.
    Replaced,
}

/// What is known beside the words of the question's own options.
pub struct Asked<'a> {
    /// The dump's name for the report.
    pub dump: String,
    /// Which objects.
    pub filter: Filter,
    /// How the report will be written.
    pub format: Format,
    /// How to work.
    pub options: scan::Options<'a>,
    /// Where the door lets a question write.
    pub save: Save<'a>,
}

impl std::fmt::Debug for Asked<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Asked").field("dump", &self.dump).field("filter", &self.filter).finish_non_exhaustive()
    }
}

/// A dump that a question is put to.
#[derive(Debug)]
pub struct Named {
    /// Its name for people.
    pub name: String,
    /// Where it is read from.
    pub source: Source,
}

impl Question {
    /// The question of a name.
    #[must_use]
    pub fn named(name: &str) -> Option<&'static Question> {
        QUESTIONS.iter().find(|question| question.name == name)
    }

    /// All that it is asked with: the words without an option's name first, then what questions share, then its own options.
    #[must_use]
    pub fn choices(&self) -> Vec<Choice> {
        let is_graph = !matches!(self.answer, Answer::Pass(_));
        let is_taken = |choice: &Choice| match choice.name {
            "format" => !self.exports(),
            "where" => self.filtered,
            "no-index" => is_graph,
            _ => true,
        };
        let mut choices: Vec<Choice> = Common::choices().into_iter().filter(is_taken).collect();
        for choice in &mut choices {
            if choice.name == "format" {
                choice.kind = Kind::OneOf(self.formats().map(Format::name).collect());
            }
        }
        let several = match self.answer {
            Answer::Heaps { least, .. } => Some(options::later(least)),
            _ => None,
        };
        choices.extend(several);
        choices.extend((self.own)());
        choices
    }

    /// Whether its answer is files in formats of their own.
    #[must_use]
    pub fn exports(&self) -> bool {
        self.writes == Writes::Files
    }

    /// The formats that its answers fit; none of one that exports.
    pub fn formats(&self) -> impl Iterator<Item = Format> {
        Format::NAMED
            .into_iter()
            .filter(|_| !self.exports())
            .map(|(format, _)| format)
            .filter(|format| self.drawn(*format, None))
    }

    /// Whether the answer to these words, or to any, can be written so.
    fn drawn(&self, format: Format, words: Option<&Words<'_>>) -> bool {
        format.fits_all()
            || self.drawings.iter().any(|drawing| {
                let is_there = |words: &Words<'_>| {
                    drawing.with.iter().any(|with| match with.split_once('=') {
                        Some((name, word)) => words.has(name, word),
                        None => words.is_given(with),
                    })
                };
                format.draws(drawing.shape) && (drawing.with.is_empty() || words.is_none_or(is_there))
            })
    }

    /// Refuses a format that the answer to these words does not fit.
    ///
    /// # Errors
    /// [`Error::Usage`] with those that fit.
    pub fn check(&self, format: Format, words: &Words<'_>) -> Result<()> {
        if self.drawn(format, Some(words)) {
            return Ok(());
        }
        let others: Vec<String> = self
            .drawings
            .iter()
            .filter(|drawing| format.draws(drawing.shape))
            .flat_map(|drawing| drawing.with.iter().map(|name| format!("--{name}")))
            .collect();
        let others =
            if others.is_empty() { String::new() } else { format!(", but with {} it does", others.join(" or ")) };
        let fitting: Vec<&str> = Format::NAMED
            .into_iter()
            .filter(|(format, _)| self.drawn(*format, Some(words)))
            .map(|(_, name)| name)
            .collect();
        let (name, format, fitting) = (self.name, format.name(), fitting.join(", "));
        Err(Error::Usage {
            message: format!("this answer of `{name}` does not fit {format}{others}; these fit: {fitting}"),
        })
    }

    /// Reads what questions share.
    ///
    /// # Errors
    /// [`Error::Usage`] for a filter or another word that is none.
    pub fn shared(&self, words: &Words<'_>) -> Result<Shared> {
        let shared = |name: &str| (words.0)(name).filter(|_| !self.exports() || name != "format");
        let Common { format, threads, strict, filter, no_index, app, .. } = Common::of(&Words(&shared))?;
        let filter = if self.filtered { filter.0 } else { Filter::default() };
        Ok(Shared { format, threads, strict, filter, no_index, app: App::below(app.0) })
    }

    /// Asks a loaded dump.
    ///
    /// # Errors
    /// What is wrong with the words; also where the question is put to another form of dumps.
    pub fn of(&self, snapshot: &Snapshot, words: &Words<'_>, asked: &Asked<'_>) -> Result<Report> {
        match self.answer {
            Answer::Heap(answer) => {
                self.check(asked.format, words)?;
                whole(answer(snapshot, words, asked)?, [snapshot])
            }
            _ => Err(Error::Usage { message: format!("`{}` is not asked of a loaded dump", self.name) }),
        }
    }

    /// Asks dumps that are loaded, the oldest first; a question of one dump is put to the last.
    ///
    /// # Errors
    /// What is wrong with the words, and with the dumps.
    pub fn of_loaded(&self, (loaded, word): &InOrder, words: &Words<'_>, asked: &Asked<'_>) -> Result<Report> {
        self.check(asked.format, words)?;
        let [.., last] = &loaded[..] else { return Err(Error::usage("no dump is loaded")) };
        match self.answer {
            Answer::Pass(answer) => answer(last.snapshot.source(), words, asked),
            Answer::Heap(answer) => whole(answer(&last.snapshot, words, asked)?, [&*last.snapshot]),
            Answer::Heaps { least, .. } if loaded.len() < least => {
                Err(Error::Usage { message: format!("`{}` is of at least {least} dumps", self.name) })
            }
            Answer::Heaps { answer, .. } => {
                let report = answer(words, asked, &mut || Ok((loaded.clone(), word.clone())))?;
                whole(report, loaded.iter().map(|dump| &*dump.snapshot))
            }
        }
    }

    /// Asks dumps, of which there is one, or the oldest first.
    ///
    /// # Errors
    /// What is wrong with the words, before any dump is read, and with the dumps; of several its message begins with the dump's name.
    pub fn ask(&self, dumps: Vec<Named>, words: &Words<'_>, no_index: bool, asked: &Asked<'_>) -> Result<Report> {
        self.check(asked.format, words)?;
        let mut dumps = dumps;
        let one = |dumps: &mut Vec<Named>| match dumps.len() {
            1 => Ok(dumps.remove(0).source),
            count => Err(Error::Usage { message: format!("`{}` is of one dump, not of {count}", self.name) }),
        };
        match self.answer {
            Answer::Pass(answer) => answer(&one(&mut dumps)?, words, asked),
            Answer::Heap(answer) => {
                let index = if no_index { Index::Ignored } else { Index::Kept };
                let snapshot = Snapshot::load(one(&mut dumps)?, index, &asked.options)?;
                snapshot.tree(&asked.options.control)?; // for the index file, should the question not need it
                whole(answer(&snapshot, words, asked)?, [&snapshot])
            }
            Answer::Heaps { least, .. } if dumps.len() < least => {
                Err(Error::Usage { message: format!("`{}` is of at least {least} dumps", self.name) })
            }
            Answer::Heaps { answer, .. } => {
                let index = if no_index { Index::Ignored } else { Index::Read };
                let mut loaded = Vec::new();
                let report = answer(words, asked, &mut || {
                    let in_order = several::load(std::mem::take(&mut dumps), index, &asked.options)?;
                    loaded.clone_from(&in_order.0);
                    Ok(in_order)
                })?;
                whole(report, loaded.iter().map(|dump| &*dump.snapshot))
            }
        }
    }
}

/// An answer, if all that the dumps were asked for was there.
fn whole<'a>(report: Report, dumps: impl IntoIterator<Item = &'a Snapshot>) -> Result<Report> {
    dumps.into_iter().try_for_each(|dump| dump.heap().whole())?;
    Ok(report)
}

/// What all questions share, read from words.
#[derive(Debug)]
pub struct Shared {
    /// How to write the answer.
    pub format: Format,
    /// Threads that read the dump; 0 for one a core.
    pub threads: usize,
    /// Whether what would be a warning is an error.
    pub strict: bool,
    /// Which objects.
    pub filter: Filter,
    /// Whether the index file is neither read nor written.
    pub no_index: bool,
    /// Which files are the app's.
    pub app: App,
}

#[cfg(test)]
mod tests;
