//! The gem's door to the command line.

use crate::input::bytes;
use crate::native::function;
use crate::work::{self, Callbacks, Channel};
use heap_inspector_cli::{Terminal, Waiting};
use magnus::{Error, Object, RArray, RModule, RString, Ruby, TryConvert};
use std::ffi::OsString;
use std::io;
use std::os::unix::ffi::OsStringExt;
use std::sync::Arc;

/// Runs the command line at the process's own doors and returns the exit code.
fn run(ruby: &Ruby, words: RArray) -> Result<i32, Error> {
    let word = |word| Ok(OsString::from_vec(bytes(RString::try_convert(word)?)));
    let words = words.into_iter().map(word).collect::<Result<Vec<OsString>, Error>>()?;
    let channel = Arc::new(Channel::default());
    work::run(ruby, &channel, Callbacks::default(), || {
        let cancel = &channel.cancel;
        let (mut out, mut err) = (Waiting::new(io::stdout(), cancel), Waiting::new(io::stderr(), cancel));
        heap_inspector_cli::run(&words, Terminal::of_process(), &mut out, &mut err, &channel.cancel)
    })
}

pub(crate) fn define(native: RModule) -> Result<(), Error> {
    native.define_singleton_method("command_line", function!(run, 1))
}
