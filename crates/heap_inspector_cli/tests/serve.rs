//! `serve` as a process: who is let in, what it answers, many at once, and that it ends.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod dumps;

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

const SHOP: [&str; 3] = ["shop-1.json.zst", "shop-2.json.zst", "shop-3.json.zst"];

struct Server {
    child: Child,
    address: String,
    /// Path of the link, a slash at its end.
    path: String,
}

impl Server {
    fn start(words: &[&str]) -> Server {
        let mut command = Command::new(env!("CARGO_BIN_EXE_heap_inspector"));
        command.current_dir(dumps::folder()).arg("serve").args(words).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let mut link = String::new();
        BufReader::new(child.stdout.as_mut().unwrap()).read_line(&mut link).unwrap();
        let (address, path) = link.trim().strip_prefix("http://").unwrap().split_once('/').unwrap();
        Server { address: address.to_owned(), path: format!("/{path}"), child }
    }

    /// Status, headers and body of a request with these headers.
    fn request(&self, method: &str, path: &str, headers: &[(&str, &str)]) -> (String, String, String) {
        let mut stream = TcpStream::connect(&self.address).unwrap();
        let headers: String = headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
        write!(stream, "{method} {path} HTTP/1.1\r\n{headers}\r\n").unwrap();
        let mut text = String::new();
        stream.read_to_string(&mut text).unwrap();
        let (head, body) = text.split_once("\r\n\r\n").unwrap_or((&text, ""));
        let (status, headers) = head.split_once("\r\n").unwrap_or((head, ""));
        (status.trim_start_matches("HTTP/1.1 ").to_owned(), headers.to_owned(), body.to_owned())
    }

    fn get(&self, path: &str) -> (String, String, String) {
        self.request("GET", &format!("{}{path}", self.path), &[("Host", &self.address)])
    }

    fn json(&self, path: &str) -> Value {
        let (status, _, body) = self.get(path);
        assert_eq!(status, "200 OK", "{path}: {body}");
        serde_json::from_str(&body).unwrap()
    }

    fn signal(&self) {
        kill_process(Pid::from_child(&self.child), Signal::INT).unwrap();
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What the command line prints.
fn printed(words: &[&str]) -> String {
    let mut command = Command::new(env!("CARGO_BIN_EXE_heap_inspector"));
    let output = command.current_dir(dumps::folder()).env_remove("COLUMNS").args(words).output().unwrap();
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn only_who_has_the_link_and_comes_from_the_page_is_let_in() {
    let server = Server::start(&SHOP);
    assert!(server.address.starts_with("127.0.0.1:"), "{}", server.address);
    assert_eq!(server.path.len(), 34, "a token of 128 bits: {}", server.path);
    let port = server.address.split(':').nth(1).unwrap();
    let local = format!("localhost:{port}");
    let own = format!("http://{}", server.address);
    let forbidden = |path: &str, headers: &[(&str, &str)]| {
        let (status, _, body) = server.request("GET", path, headers);
        assert_eq!(status, "403 Forbidden", "{path} {headers:?}");
        assert!(!body.contains("Audit"), "{body}");
    };
    let path = server.path.as_str();
    let host = ("Host", server.address.as_str());
    forbidden("/", &[host]);
    forbidden("/0123456789abcdef0123456789abcdef/", &[host]);
    forbidden(&path[..33], &[host]);
    forbidden(&format!("/x{path}"), &[host]);
    forbidden(path, &[]);
    for other in ["evil.example", "127.0.0.1", "127.0.0.1:1", &format!("evil.example:{port}"), ""] {
        forbidden(path, &[("Host", other)]);
    }
    forbidden(path, &[host, ("Host", "evil.example")]);
    for origin in ["http://evil.example", "null", "https://127.0.0.1", &format!("https://{}", server.address)] {
        forbidden(path, &[host, ("Origin", origin)]);
    }
    forbidden(path, &[host, ("Sec-Fetch-Site", "cross-site")]);
    forbidden(path, &[host, ("Sec-Fetch-Site", "same-site")]);
    for headers in [
        vec![host],
        vec![("Host", local.as_str())],
        vec![host, ("Origin", own.as_str())],
        vec![host, ("Sec-Fetch-Site", "none")],
        vec![host, ("Sec-Fetch-Site", "same-origin")],
    ] {
        let (status, told, body) = server.request("GET", path, &headers);
        assert_eq!(status, "200 OK", "{headers:?}");
        assert!(body.contains("Audit") && body.contains("connect-src 'self'"));
        for header in ["Cache-Control: no-store", "Referrer-Policy: no-referrer", "X-Content-Type-Options: nosniff"] {
            assert!(told.contains(header), "{told}");
        }
    }
    assert_eq!(server.request("POST", path, &[host]).0, "405 Method Not Allowed");
}

#[test]
fn answers_are_those_of_the_command_line() {
    let server = Server::start(&SHOP);
    for (path, words) in [
        (
            "ask/top?by=class%2Clocation&where=type%3DSTRING",
            vec!["top", SHOP[2], "--by", "class,location", "--where", "type=STRING"],
        ),
        ("ask/summary", vec!["summary", SHOP[2]]),
        ("ask/retained?by=class&lines=3", vec!["retained", SHOP[2], "--by", "class", "--lines", "3"]),
        ("ask/threads", vec!["threads", SHOP[2]]),
        ("ask/suspects", [&["suspects"], &SHOP[..]].concat()),
        ("ask/diff?by=holder&retained=true", [&["diff"], &SHOP[..], &["--by", "holder", "--retained"]].concat()),
    ] {
        let answer = server.get(path).2;
        assert!(answer.len() > 100, "{answer}");
        assert_eq!(answer, printed(&[&words[..], &["--format", "json"]].concat()), "{path}");
    }
    let (_, headers, csv) = server.get("ask/top?format=csv");
    assert!(headers.contains("Content-Type: text/csv"), "{headers}");
    assert_eq!(csv, printed(&["top", SHOP[2], "--format", "csv"]));
    let holder = server.json("ask/suspects")["suspects"][0]["address"].as_str().unwrap().to_owned();
    let object = server.json(&format!("object/{holder}"));
    assert_eq!(object[0]["address"], holder);
    assert_eq!(object[0]["before"], object[1]["address"]);
    let shown = server.json("ask/suspects?format=page");
    assert!(shown.as_array().unwrap().iter().any(|part| part["shape"] == "list"), "{shown}");
}

#[test]
fn what_cannot_be_answered_says_why() {
    let server = Server::start(&SHOP[2..]);
    let error = |path: &str| {
        let (status, _, body) = server.get(path);
        let body: Value = serde_json::from_str(&body).unwrap();
        assert_eq!(status, "400 Bad Request", "{path}");
        body["error"].as_str().unwrap().to_owned()
    };
    assert!(error("ask/top?by=clas").contains("did you mean class"));
    assert!(error("ask/nothing").contains("no question"));
    assert!(error("ask/top?no=1").contains("no option"));
    assert!(error("ask/report").contains("no question"), "nothing is written");
    assert!(error("ask/diff").contains("at least 2 dumps"));
    assert!(error("object/0x1").contains("no object at 0x1"));
    assert!(error("object/..%2f..").contains("is not an address"));
    assert_eq!(server.get("nothing").0, "404 Not Found");
    // No request at all, half of one, one too long: the connection ends, and others are answered.
    for bytes in [&b"\0\xff\n\n"[..], b"GET / HTTP/1.1\r\nHost", &[b'A'; 40_000]] {
        let mut stream = TcpStream::connect(&server.address).unwrap();
        let _ = stream.write_all(bytes);
        let _ = stream.shutdown(std::net::Shutdown::Write);
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer);
        assert!(answer.is_empty(), "{answer:?}");
    }
    assert_eq!(server.get("").0, "200 OK");
}

#[test]
fn no_file_is_written_or_read_for_who_asks() {
    let server = Server::start(&SHOP);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("lines.json");
    let (status, _, body) = server.get(&format!("ask/diff?output={}", path.display()));
    assert_eq!(status, "400 Bad Request", "{body}");
    assert!(body.contains("no file is read or written from here"), "{body}");
    assert!(!path.exists());
    let (status, _, body) = server.get("ask/suspects?except=/etc/passwd");
    assert_eq!(status, "400 Bad Request", "no file is read for who asks: {body}");
}

#[test]
fn fifty_clients_are_answered_at_once_and_ctrl_c_ends_it() {
    let mut server = Server::start(&SHOP);
    let expected = server.get("ask/retained?by=location").2;
    std::thread::scope(|scope| {
        let (server, expected) = (&server, &expected);
        let ask = |number: usize| {
            scope.spawn(move || match number % 5 {
                0 => server.get("").2.len() > 100_000,
                _ => server.get("ask/retained?by=location").2 == *expected,
            })
        };
        let asked: Vec<_> = (0..50).map(ask).collect();
        assert!(asked.into_iter().all(|one| one.join().unwrap()));
    });
    // Who connects and says nothing keeps it from nothing.
    let _silent = TcpStream::connect(&server.address).unwrap();
    server.signal();
    let start = Instant::now();
    let status = loop {
        if let Some(status) = server.child.try_wait().unwrap() {
            break status;
        }
        assert!(start.elapsed() < Duration::from_secs(5), "it does not end");
        std::thread::sleep(Duration::from_millis(20));
    };
    assert!(status.success(), "{status}");
}

#[test]
fn a_confidential_server_has_no_value_of_a_string() {
    let folder = tempfile::tempdir().unwrap();
    let dump = folder.path().join("heap.json");
    let lines = [
        r#"{"type":"ROOT", "root":"vm", "references":["0x7f0000000078", "0x7f00000000a0"]}"#,
        r#"{"address":"0x7f0000000078", "type":"STRING", "bytesize":10, "encoding":"UTF-8", "value":"the-secret", "memsize":40}"#,
        r#"{"address":"0x7f00000000a0", "type":"STRING", "bytesize":10, "encoding":"UTF-8", "value":"the-secret", "memsize":40}"#,
    ];
    std::fs::write(&dump, lines.join("\n") + "\n").unwrap();
    for (words, is_shown) in
        [(vec![dump.to_str().unwrap()], true), (vec![dump.to_str().unwrap(), "--confidential"], false)]
    {
        let server = Server::start(&words);
        for path in [
            "",
            "ask/strings",
            "ask/read?generation=all",
            "ask/show?address=0x7f0000000078",
            "object/0x7f0000000078",
            "ask/retained",
        ] {
            let (status, _, body) = server.get(path);
            assert_eq!(status, "200 OK", "{path}: {body}");
            assert_eq!(body.contains("the-secret"), is_shown, "{path}");
        }
    }
}
