//! `serve`: the page of dumps with all of the heap behind it, for a browser on this machine.
//!
//! It listens on one address and nowhere else, and answers who knows the link: a token of 128 random bits stands in its path. Since any page
//! that a browser shows may ask this address too, the request's `Host` must be ours, and an `Origin` likewise; all else is 403. Each
//! connection has a thread, so many at most; of questions a few are worked out at once, and one whose client went is cancelled.

use crate::http::{Answer, LOOK, Request, is_gone};
use crate::places::Places;
use crate::progress::Progress;
use heap_inspector::analysis::verdicts::Rules;
use heap_inspector::control::Control;
use heap_inspector::gems::App;
use heap_inspector::page::{self, Page};
use heap_inspector::questions::{
    self, Asked, Choice, InOrder, Kind, Loaded, Named, Place, QUESTIONS, Question, Words, Writes,
};
use heap_inspector::scan;
use heap_inspector::snapshot::Index;
use heap_inspector::source::Source;
use heap_inspector::view::{self, Format, TextStyle};
use heap_inspector::{Error, ErrorKind, Result};
use percent_encoding::percent_decode_str;
use rustix::event::{PollFd, PollFlags, poll};
use rustix::fs::Timespec;
use serde_json::{Value, json};
use std::collections::HashMap;
use std::ffi::OsString;
use std::io::{self, Write};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

/// What is served, and where.
#[derive(Debug)]
pub(crate) struct Serving<'a> {
    pub(crate) dumps: &'a [OsString],
    pub(crate) bind: IpAddr,
    pub(crate) port: u16,
    pub(crate) confidential: bool,
    pub(crate) app: &'a [String],
    pub(crate) rules: Option<&'a OsString>,
}

/// Connections at once.
const CONNECTIONS: usize = 256;

/// Serves until `cancel` is raised. The link is written to `out` when it can be followed.
pub(crate) fn run(
    serving: &Serving<'_>,
    progress: Progress,
    out: &mut dyn Write,
    cancel: &Arc<AtomicBool>,
) -> Result<()> {
    let app = App::below(serving.app.to_vec());
    let tell = |read, all| progress.update(read, all);
    let control = Control { cancel: Some(cancel), progress: Some(&tell), ..Control::default() };
    let options = scan::Options { app: Some(&app), control, ..scan::Options::default() };
    let dump = |(at, path): (usize, &OsString)| {
        let source = if path == "-" && at == 0 { Source::stdin() } else { Source::path(path) };
        let source = source.cancelled_by(Arc::clone(cancel));
        let source = if serving.confidential { source.without_values() } else { source };
        Named { name: path.to_string_lossy().into_owned(), source }
    };
    let rules = serving.rules.map(|path| Rules::read(Path::new(path))).transpose()?.unwrap_or_default();
    // What listens is known before the dumps are read: a port may be taken.
    let failed = |source: io::Error| Error::File { path: PathBuf::from(serving.bind.to_string()), source };
    let listener = TcpListener::bind(SocketAddr::new(serving.bind, serving.port)).map_err(failed)?;
    listener.set_nonblocking(true).map_err(failed)?;
    let address = listener.local_addr().map_err(failed)?;
    let heaps = questions::load(serving.dumps.iter().enumerate().map(dump).collect(), Index::Kept, &options)?;
    let dumps: Vec<_> = heaps.0.iter().map(Loaded::named).collect();
    let shown = page::Options { confidential: serving.confidential.then_some(true), rules: &rules };
    let page = Page::new(&dumps, heaps.1.clone(), shown, &options)?;
    drop(progress); // the bar goes
    let server = Server {
        token: token()?,
        address,
        page: page.served(asked_of(heaps.0.len())),
        heaps: &heaps,
        app: &app,
        cancel,
        working: Places::new(Control::default().thread_count().max(2)),
        connections: AtomicUsize::new(0),
    };
    let told = writeln!(out, "{}", server.link()).and_then(|()| out.flush());
    told.map_err(|source| Error::File { path: "standard output".into(), source })?;
    server.accept(&listener).map_err(failed)
}

/// 128 random bits in words of a link.
pub(crate) fn token() -> Result<String> {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes)
        .map_err(|error| Error::File { path: "/dev/urandom".into(), source: io::Error::other(error.to_string()) })?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}

/// What may be asked of so many dumps, for the page's form.
fn asked_of(count: usize) -> Value {
    // The dumps behind `--` are others than those that are loaded.
    let is_of_these = |question: &Question| question.choices().iter().all(|choice| choice.place != Place::Behind);
    let is_asked = |question: &&Question| match question.answer {
        questions::Answer::Heaps { least, .. } => least <= count && !writes(question) && is_of_these(question),
        _ => true,
    };
    // What every question takes is about how it is asked: that is settled here.
    let has = |question: &Question, name: &str| question.choices().iter().any(|choice| choice.name == name);
    let is_of_all = |name: &str| QUESTIONS.iter().all(|question| has(question, name));
    let choice = |choice: &Choice| {
        let is_own =
            !matches!(choice.kind, Kind::File | Kind::Files) && choice.name != "no-index" && !is_of_all(choice.name);
        let values = match &choice.kind {
            Kind::OneOf(names) | Kind::SomeOf(names) => names.clone(),
            _ => Vec::new(),
        };
        is_own.then(|| {
            json!({
                "name": choice.name,
                "help": choice.help,
                "default": choice.default,
                "flag": matches!(choice.kind, Kind::Flag),
                "several": matches!(choice.kind, Kind::SomeOf(_)),
                "needed": matches!(choice.place, Place::Word(_)),
                "values": values,
            })
        })
    };
    let question = |question: &Question| {
        let choices: Vec<Value> = question.choices().iter().filter_map(choice).collect();
        json!({"name": question.name, "about": question.about, "options": choices})
    };
    QUESTIONS.iter().filter(is_asked).map(question).collect()
}

/// Whether a question is there for what it writes.
fn writes(question: &Question) -> bool {
    question.writes != Writes::Nothing
}

struct Server<'a> {
    token: String,
    address: SocketAddr,
    page: String,
    heaps: &'a InOrder,
    app: &'a App,
    cancel: &'a AtomicBool,
    working: Places,
    connections: AtomicUsize,
}

impl Server<'_> {
    fn link(&self) -> String {
        format!("http://{}/{}/", self.address, self.token)
    }

    fn accept(&self, listener: &TcpListener) -> io::Result<()> {
        std::thread::scope(|scope| {
            while !self.cancel.load(Ordering::Relaxed) {
                let wait = Timespec { tv_sec: 0, tv_nsec: i64::from(LOOK.subsec_nanos()) };
                if poll(&mut [PollFd::new(listener, PollFlags::IN)], Some(&wait)).unwrap_or(0) == 0 {
                    continue;
                }
                // What goes wrong with one connection is not the others' business.
                let Ok((stream, _)) = listener.accept() else { continue };
                if stream.set_nonblocking(false).is_err() || self.connections.load(Ordering::Relaxed) >= CONNECTIONS {
                    continue;
                }
                self.connections.fetch_add(1, Ordering::Relaxed);
                let connection = move || {
                    let mut stream = stream;
                    let _ = self.serve(&mut stream);
                    self.connections.fetch_sub(1, Ordering::Relaxed);
                };
                if std::thread::Builder::new().spawn_scoped(scope, connection).is_err() {
                    self.connections.fetch_sub(1, Ordering::Relaxed);
                }
            }
            Ok(())
        })
    }

    fn serve(&self, stream: &mut TcpStream) -> io::Result<()> {
        let Some(request) = Request::read(stream, self.cancel)? else { return Ok(()) };
        let answer = match self.admitted(&request) {
            Some(path) if request.method == "GET" => self.answer(path, stream),
            Some(_) => Some(Answer::new("405 Method Not Allowed", "text/plain", "only GET\n")),
            None => Some(Answer::new("403 Forbidden", "text/plain", "this is not for you\n")),
        };
        match answer {
            Some(answer) => answer.write(stream, self.cancel),
            None => Ok(()), // nobody waits for it
        }
    }

    /// What is asked for below the token, where the request may ask: it has the token, comes to our name and from our own page.
    fn admitted<'r>(&self, request: &'r Request) -> Option<&'r str> {
        let is_ours = |host: &str| {
            let mut names = vec![self.address.to_string()];
            if self.address.ip().is_loopback() {
                names.push(format!("localhost:{}", self.address.port()));
            }
            names.iter().any(|name| name.eq_ignore_ascii_case(host))
        };
        let is_host = request.header("host").is_some_and(is_ours);
        let is_origin =
            request.header("origin").is_none_or(|origin| origin.strip_prefix("http://").is_some_and(is_ours));
        // What a browser says of the page that asks; `none` is a link that a person followed or typed.
        let is_site = request.header("sec-fetch-site").is_none_or(|site| matches!(site, "same-origin" | "none"));
        let (token, path) = request.target.strip_prefix('/')?.split_once('/')?;
        (is_same(token, &self.token) && is_host && is_origin && is_site).then_some(path)
    }

    fn answer(&self, path: &str, stream: &TcpStream) -> Option<Answer> {
        let (path, query) = path.split_once('?').unwrap_or((path, ""));
        if path.is_empty() {
            return Some(Answer::new("200 OK", "text/html", self.page.as_bytes()));
        }
        let words = decoded(query);
        self.while_there(stream, |control| {
            let (kind, body) = match path.split_once('/') {
                Some(("object", address)) => {
                    let last = self.heaps.0.last().ok_or(Error::Interrupted)?;
                    ("application/json", page::object(&last.snapshot, address, &control)?)
                }
                Some(("ask", question)) => self.asked(question, &words, control)?,
                _ => return Ok(Answer::new("404 Not Found", "text/plain", "no such page\n")),
            };
            Ok(Answer::new("200 OK", kind, body))
        })
    }

    /// Asks a question in the words of the command line; `format` may be one of its formats, or `page`.
    fn asked(
        &self,
        question: &str,
        words: &HashMap<String, Vec<OsString>>,
        control: Control<'_>,
    ) -> Result<(&'static str, String)> {
        let question = Question::named(question)
            .filter(|question| !writes(question))
            .ok_or_else(|| Error::Usage { message: format!("there is no question {question:?}") })?;
        let choices = question.choices();
        let is_known = |name: &String| name == "format" || choices.iter().any(|choice| choice.name == *name);
        if let Some(name) = words.keys().find(|name| !is_known(name)) {
            return Err(Error::Usage { message: format!("`{}` has no option {name:?}", question.name) });
        }
        let is_file = |choice: &&Choice| matches!(choice.kind, Kind::File | Kind::Files);
        if let Some(choice) = choices.iter().filter(is_file).find(|choice| words.contains_key(choice.name)) {
            let message = format!("`{}` is a file; no file is read or written from here", choice.name);
            return Err(Error::Usage { message });
        }
        let is_page = words.get("format").is_some_and(|words| words.iter().any(|word| word == "page"));
        let given = |name: &str| match name {
            "format" if is_page || !words.contains_key("format") => Some(vec!["json".into()]),
            name => words.get(name).filter(|words| words.iter().any(|word| !word.is_empty())).cloned(),
        };
        let words = Words(&given);
        let shared = question.shared(&words)?;
        let refuse = "nothing is written from here";
        let names: Vec<&str> = self.heaps.0.iter().map(|dump| &dump.name[..]).collect();
        let asked = Asked {
            dump: names.last().copied().unwrap_or_default().to_owned(),
            filter: shared.filter,
            format: shared.format,
            options: scan::Options { app: Some(self.app), control, ..scan::Options::default() },
            save: &|_, _, _| Err(Error::Usage { message: refuse.into() }),
        };
        let report = question.of_loaded(self.heaps, &words, &asked)?;
        if is_page {
            return Ok(("application/json", page::answer(&report)));
        }
        let kind = match shared.format {
            Format::Json => "application/json",
            Format::Csv => "text/csv",
            Format::Flamegraph => "image/svg+xml",
            _ => "text/plain",
        };
        Ok((kind, view::rendered(&report, shared.format, &TextStyle::default(), &asked.options.control)?))
    }

    /// Does the work as long as the client waits and nobody ends the program; none where it did not.
    fn while_there(&self, stream: &TcpStream, work: impl FnOnce(Control<'_>) -> Result<Answer>) -> Option<Answer> {
        let (gone, done) = (AtomicBool::new(false), AtomicBool::new(false));
        std::thread::scope(|scope| {
            let watch = || {
                while !done.load(Ordering::Relaxed) && !gone.load(Ordering::Relaxed) {
                    if self.cancel.load(Ordering::Relaxed) || is_gone(stream, LOOK) {
                        gone.store(true, Ordering::Relaxed);
                    }
                }
            };
            let _watch = std::thread::Builder::new().spawn_scoped(scope, watch);
            let control = Control { cancel: Some(&gone), ..Control::default() };
            let answer = self.working.work(&gone, || work(control));
            done.store(true, Ordering::Relaxed);
            match answer? {
                Ok(answer) => Some(answer),
                Err(error) if error.kind() == ErrorKind::Interrupted => None,
                Err(error) => {
                    let status = match error.kind() {
                        ErrorKind::Usage => "400 Bad Request",
                        _ => "500 Internal Server Error",
                    };
                    let body = json!({"error": view::escape::terminal(&error.to_string())});
                    Some(Answer::new(status, "application/json", body.to_string()))
                }
            }
        })
    }
}

/// Whether they are equal, told in a time that says nothing of where they differ.
fn is_same(given: &str, token: &str) -> bool {
    given.len() == token.len() && given.bytes().zip(token.bytes()).fold(0, |all, (a, b)| all | (a ^ b)) == 0
}

/// The words of a query by name, as forms write them.
fn decoded(query: &str) -> HashMap<String, Vec<OsString>> {
    let mut words: HashMap<String, Vec<OsString>> = HashMap::new();
    let text = |part: &str| percent_decode_str(&part.replace('+', " ")).decode_utf8_lossy().into_owned();
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        let (name, word) = pair.split_once('=').unwrap_or((pair, ""));
        words.entry(text(name)).or_default().push(text(word).into());
    }
    words
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn a_query_is_read_as_forms_write_it() {
        let words = decoded("by=class&where=file%3Dapp%2F*%2C%21frozen&where=a+b&empty");
        assert_eq!(words["by"], ["class"]);
        assert_eq!(words["where"], ["file=app/*,!frozen", "a b"]);
        assert_eq!(words["empty"], [""]);
    }

    #[test]
    fn no_question_that_writes_is_offered_and_diff_only_of_several() {
        let names = |count| -> Vec<String> {
            let all = asked_of(count);
            let all = all.as_array().expect("a list");
            all.iter().map(|question| question["name"].as_str().unwrap_or_default().to_owned()).collect()
        };
        let (one, two) = (names(1), names(2));
        // Without diff, report, export, summarize and verify.
        assert_eq!(one.len() + 5, QUESTIONS.len(), "{one:?}");
        assert_eq!(two.len(), one.len() + 1, "{two:?}");
    }

    #[test]
    fn a_token_is_told_from_all_others() {
        let own = token().expect("random bits");
        assert_eq!(own.len(), 32);
        assert_ne!(own, token().expect("others"));
        assert!(is_same(&own, &own) && !is_same("", &own) && !is_same(&own[1..], &own));
    }

    /// Two ends of a connection.
    fn connection() -> (TcpStream, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let client = TcpStream::connect(listener.local_addr().expect("its address")).expect("it listens");
        (client, listener.accept().expect("the client").0)
    }

    fn with_server<T>(cancel: &AtomicBool, test: impl FnOnce(&Server<'_>) -> T) -> T {
        let (heaps, app) = ((Vec::new(), None), App::default());
        test(&Server {
            token: "t".into(),
            address: SocketAddr::from(([127, 0, 0, 1], 1)),
            page: String::new(),
            heaps: &heaps,
            app: &app,
            cancel,
            working: Places::new(1),
            connections: AtomicUsize::new(0),
        })
    }

    /// Works until it is cancelled.
    fn endless(control: Control<'_>) -> Result<Answer> {
        loop {
            control.check()?;
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    #[test]
    fn work_ends_when_its_client_goes_or_the_program_does() {
        let cancel = AtomicBool::new(false);
        with_server(&cancel, |server| {
            let (client, stream) = connection();
            std::thread::scope(|scope| {
                let working = scope.spawn(|| server.while_there(&stream, endless).is_none());
                std::thread::sleep(Duration::from_millis(50));
                assert!(!working.is_finished(), "as long as the client is there");
                // Who waits for a place is not in the way of who goes.
                let (other, waiting) = connection();
                let waits = scope.spawn(move || server.while_there(&waiting, endless).is_none());
                drop(other);
                assert!(waits.join().expect("no panic"));
                drop(client);
                assert!(working.join().expect("no panic"));
                let (_client, stream) = connection();
                let working = scope.spawn(move || server.while_there(&stream, endless).is_none());
                cancel.store(true, Ordering::Relaxed);
                assert!(working.join().expect("no panic"));
            });
        });
    }

    #[test]
    fn work_of_a_client_that_waits_is_answered() {
        with_server(&AtomicBool::new(false), |server| {
            let (_client, stream) = connection();
            let answer = server.while_there(&stream, |_| Ok(Answer::new("200 OK", "text/plain", "yes")));
            assert_eq!(answer.expect("it waits").body, b"yes");
        });
    }
}
