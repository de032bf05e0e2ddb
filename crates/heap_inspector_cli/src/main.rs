//! The standalone binary: the command line at the process's own doors.

use heap_inspector_cli::{INTERRUPTED, Terminal, run};
use std::ffi::OsString;
use std::io::Write;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// How long work that was interrupted may take to end by itself. A read of a silent pipe never does.
const GRACE: Duration = Duration::from_millis(300);

fn main() -> ExitCode {
    let cancel = Arc::new(AtomicBool::new(false));
    let raised = Arc::clone(&cancel);
    // Without a handler Ctrl-C ends the process at once, which is right too.
    let _ = ctrlc::set_handler(move || {
        raised.store(true, Ordering::Relaxed);
        std::thread::sleep(GRACE);
        give_up();
    });
    let arguments: Vec<OsString> = std::env::args_os().skip(1).collect();
    let code = run(&arguments, Terminal::of_process(), &mut std::io::stdout(), &mut std::io::stderr(), &cancel);
    ExitCode::from(u8::try_from(code).unwrap_or(1))
}

#[allow(
    clippy::exit,
    reason = "the main thread is blocked in a read; nothing is left behind, temporary files have no name"
)]
fn give_up() {
    // An error on the way to standard error has nowhere to go.
    let _ = writeln!(std::io::stderr(), "heap_inspector: interrupted");
    std::process::exit(INTERRUPTED)
}
