//! `mcp`: the tools of [`questions::TOOLS`] for an agent, by the Model Context Protocol on standard input and output.
//!
//! Requests come in, one a line; each that takes work has a thread, a few work at once, and a cancelled one stops. One thread reads, the
//! caller's writes. It ends when the client closes standard input, and what was asked by then is answered. The protocol is written here and
//! not taken from the crate `rmcp`: that and the runtime it needs add 1.5 MiB to a library that every gem brings, which is a fifth of all
//! that an installed gem may take, for what are two hundred lines over pipes.
//!
//! [`questions::TOOLS`]: heap_inspector::questions::TOOLS

mod bounded;
mod protocol;
mod session;

use crate::http::LOOK;
use crate::places::Places;
use heap_inspector::control::Control;
use heap_inspector::gems::App;
use heap_inspector::{Error, Result};
use protocol::{Call, Failure, Incoming};
use rustix::event::{PollFd, PollFlags, poll};
use rustix::fs::Timespec;
use serde_json::{Value, json};
use session::Session;
use std::collections::HashMap;
use std::ffi::OsString;
use std::io::Write;
use std::os::fd::AsFd;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, Sender};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// What an agent may ask about.
#[derive(Debug)]
pub(crate) struct Serving<'a> {
    /// These dumps alone; where there are none, all that the user may read.
    pub(crate) dumps: &'a [OsString],
    pub(crate) confidential: bool,
    pub(crate) app: &'a [String],
}

/// Bytes of a request at most.
const LINE: usize = 1 << 20;
/// Requests at once, those that wait for a place among them.
const REQUESTS: usize = 64;
/// Between two words of how far the reading of a dump came.
const TOLD: Duration = Duration::from_millis(250);

/// What the caller's thread hears.
enum Event {
    /// A line that the client sent, or as much of it as may be read.
    Line(Vec<u8>),
    /// A message for the client.
    Message(Value),
    /// An answer, and the request it is of.
    Answer(String, Value),
    /// The client closed its end.
    End,
}

/// Serves until the client goes, or `cancel` is raised.
pub(crate) fn run(serving: &Serving<'_>, out: &mut dyn Write, cancel: &Arc<AtomicBool>) -> Result<()> {
    let app = App::below(serving.app.to_vec());
    let session = Session::new(serving, &app, cancel)?;
    let places = Places::new(Control::default().thread_count().max(2));
    let (sender, events) = mpsc::channel();
    let is_deaf = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let (reader, is_deaf) = (sender.clone(), &is_deaf);
        scope.spawn(move || read(&reader, &[cancel, is_deaf]));
        let mut sender = Some(sender);
        let mut running: HashMap<String, Arc<AtomicBool>> = HashMap::new();
        let mut written = Ok(());
        // It ends when nobody is left who could send: the reader is done, and so are all who work.
        for event in events {
            let message = match event {
                Event::Message(message) => Some(message),
                Event::Answer(id, message) => {
                    let was_cancelled = running.remove(&id).is_none_or(|flag| flag.load(Ordering::Relaxed));
                    (!was_cancelled).then_some(message)
                }
                Event::End => {
                    sender = None;
                    if cancel.load(Ordering::Relaxed) || is_deaf.load(Ordering::Relaxed) {
                        running.values().for_each(|flag| flag.store(true, Ordering::Relaxed));
                    }
                    None
                }
                Event::Line(line) => match Incoming::read(&line) {
                    Ok(Incoming::Cancelled(id)) => {
                        running.get(&id).inspect(|flag| flag.store(true, Ordering::Relaxed));
                        None
                    }
                    Ok(Incoming::Notification) => None,
                    Ok(Incoming::Request(call)) => match (session.at_once(&call), &sender) {
                        (Some(result), _) => Some(call.answer(result)),
                        (None, Some(_)) if running.len() >= REQUESTS || running.contains_key(&call.key()) => {
                            Some(call.answer(Err(Failure::invalid(
                                "too many requests at once, or one with an id that is at work",
                            ))))
                        }
                        (None, Some(sender)) => {
                            let (flag, sender) = (Arc::new(AtomicBool::new(false)), sender.clone());
                            running.insert(call.key(), Arc::clone(&flag));
                            let (session, places) = (&session, &places);
                            scope.spawn(move || work(session, places, &call, &flag, &sender));
                            None
                        }
                        (None, None) => None,
                    },
                    Err(refusal) => Some(refusal),
                },
            };
            if let Some(message) = message
                && written.is_ok()
            {
                written = writeln!(out, "{message}").and_then(|()| out.flush());
                // Where nobody hears, no more is read, and what works stops.
                is_deaf.store(written.is_err(), Ordering::Relaxed);
            }
        }
        if cancel.load(Ordering::Relaxed) { Err(Error::Interrupted) } else { Ok(()) }
    })
}

/// Works out an answer.
fn work(session: &Session<'_>, places: &Places, call: &Call, flag: &Arc<AtomicBool>, sender: &Sender<Event>) {
    let told = Mutex::new(Instant::now());
    let progress = |read: u64, all: Option<u64>| {
        let Some(token) = &call.progress else { return };
        let mut told = told.lock().unwrap_or_else(PoisonError::into_inner);
        if told.elapsed() >= TOLD {
            *told = Instant::now();
            let _ = sender.send(Event::Message(protocol::progress(token, read, all)));
        }
    };
    let control = Control { cancel: Some(flag), progress: Some(&progress), ..Control::default() };
    // A client waits for each of its requests.
    let safely = || catch_unwind(AssertUnwindSafe(|| session.answer(call, control))).unwrap_or(Err(Failure::bug()));
    let result = places.work(flag, safely).unwrap_or(Err(Failure::of(&Error::Interrupted)));
    if result.is_ok() && session.has_changed() {
        let _ =
            sender.send(Event::Message(json!({"jsonrpc": "2.0", "method": "notifications/resources/list_changed"})));
    }
    let _ = sender.send(Event::Answer(call.key(), call.answer(result)));
}

/// Reads lines until the client closes its end. What is longer than a line may be is handed on cut off, so that it is refused.
fn read(sender: &Sender<Event>, ends: &[&AtomicBool; 2]) {
    let stdin = std::io::stdin();
    let wait = Timespec { tv_sec: 0, tv_nsec: i64::from(LOOK.subsec_nanos()) };
    let (mut line, mut piece, mut is_cut) = (Vec::new(), [0; 1 << 16], false);
    while !ends.iter().any(|flag| flag.load(Ordering::Relaxed)) {
        match poll(&mut [PollFd::new(&stdin, PollFlags::IN)], Some(&wait)) {
            Ok(0) | Err(rustix::io::Errno::INTR) => continue,
            Ok(_) => {}
            Err(_) => break,
        }
        let count = match rustix::io::read(stdin.as_fd(), &mut piece) {
            Ok(0) => break,
            Ok(count) => count,
            Err(rustix::io::Errno::INTR | rustix::io::Errno::AGAIN) => continue,
            Err(_) => break,
        };
        for part in piece[..count].split_inclusive(|byte| *byte == b'\n') {
            if !is_cut {
                line.extend_from_slice(part);
                is_cut = line.len() > LINE;
                line.truncate(LINE);
            }
            if part.ends_with(b"\n") {
                is_cut = false;
                let whole = std::mem::take(&mut line);
                if !whole.trim_ascii().is_empty() && sender.send(Event::Line(whole)).is_err() {
                    return;
                }
            }
        }
    }
    if !line.trim_ascii().is_empty() {
        let _ = sender.send(Event::Line(line));
    }
    let _ = sender.send(Event::End);
}
