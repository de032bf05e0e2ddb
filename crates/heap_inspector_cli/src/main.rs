//! The standalone binary: the command line at the process's own doors.

use heap_inspector_cli::{Terminal, run};
use std::ffi::OsString;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

fn main() -> ExitCode {
    let cancel = Arc::new(AtomicBool::new(false));
    let raised = Arc::clone(&cancel);
    // Without a handler Ctrl-C ends the process at once, which is right too.
    let _ = ctrlc::set_handler(move || raised.store(true, Ordering::Relaxed));
    let arguments: Vec<OsString> = std::env::args_os().skip(1).collect();
    let code = run(&arguments, Terminal::of_process(), &mut std::io::stdout(), &mut std::io::stderr(), &cancel);
    ExitCode::from(u8::try_from(code).unwrap_or(1))
}
