//! Manual pages: one for the program and one for each command, made of the same grammar as help.

use crate::args;
use clap_mangen::Man;
use heap_inspector::questions::Question;
use heap_inspector::{Error, Result};
use roff::{Roff, roman};
use std::fs;
use std::io;
use std::path::Path;

/// Writes all pages into a directory; tells how many. A page that is there is replaced.
pub(crate) fn write(directory: &Path) -> Result<usize> {
    let failed = |path: &Path| {
        let path = path.to_owned();
        move |source| Error::File { path, source }
    };
    fs::create_dir_all(directory).map_err(failed(directory))?;
    let pages = pages().map_err(failed(directory))?;
    for (name, page) in &pages {
        let path = directory.join(name);
        fs::write(&path, page).map_err(failed(&path))?;
    }
    Ok(pages.len())
}

/// The pages by the names of their files.
fn pages() -> io::Result<Vec<(String, Vec<u8>)>> {
    let mut command = args::grammar().disable_help_subcommand(true);
    command.build();
    let mut pages = vec![("heap_inspector.1".to_owned(), page(command.clone(), None)?)];
    for verb in command.get_subcommands() {
        let (name, question) = (format!("heap_inspector-{}", verb.get_name()), Question::named(verb.get_name()));
        pages.push((format!("{name}.1"), page(verb.clone().display_name(name), question)?));
    }
    Ok(pages)
}

/// What clap_mangen writes, but that the texts behind the options keep their lines: they are examples and tables.
fn page(command: clap::Command, question: Option<&Question>) -> io::Result<Vec<u8>> {
    let text = match question {
        Some(question) => args::closing(question),
        None => command.get_after_long_help().or(command.get_after_help()).map(ToString::to_string).unwrap_or_default(),
    };
    let has_commands = command.has_subcommands();
    let man = Man::new(command);
    let mut page = Vec::new();
    man.render_title(&mut page)?;
    man.render_name_section(&mut page)?;
    man.render_synopsis_section(&mut page)?;
    man.render_description_section(&mut page)?;
    man.render_options_section(&mut page)?;
    if has_commands {
        man.render_subcommands_section(&mut page)?;
    }
    let mut roff = Roff::new();
    roff.control("SH", ["NOTES"]).control("nf", []);
    for line in text.lines() {
        roff.text([roman(line)]);
    }
    roff.control("fi", []);
    roff.to_writer(&mut page)?;
    Ok(page)
}
