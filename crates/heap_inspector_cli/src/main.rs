//! The standalone binary: the command line at the process's own doors.

use heap_inspector_cli::{INTERRUPTED, Terminal, Waiting, run};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;
use std::ffi::OsString;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI32, Ordering};
use std::time::Duration;

fn main() -> ExitCode {
    let cancel = Arc::new(AtomicBool::new(false));
    let ended_by = Arc::new(AtomicI32::new(SIGINT));
    watch(Arc::clone(&cancel), Arc::clone(&ended_by));
    let arguments: Vec<OsString> = std::env::args_os().skip(1).collect();
    let (mut out, mut err) = (Waiting::new(std::io::stdout(), &cancel), Waiting::new(std::io::stderr(), &cancel));
    let code = run(&arguments, Terminal::of_process(), &mut out, &mut err, &cancel);
    let code = if code == INTERRUPTED { BY_SIGNAL + ended_by.load(Ordering::Relaxed) } else { code };
    ExitCode::from(u8::try_from(code).unwrap_or(1))
}

/// What shells add to the number of the signal that ended a program.
const BY_SIGNAL: i32 = 128;
/// How long the work may take to remove its unfinished files when the program is to end.
const GRACE: Duration = Duration::from_secs(2);

/// Has the work stop when a signal asks for it. Without these handlers signals end the program at once, which is right too, but leaves
/// unfinished files behind.
fn watch(cancel: Arc<AtomicBool>, ended_by: Arc<AtomicI32>) {
    let others = [SIGTERM, SIGHUP].into_iter().filter(|signal| !is_ignored(*signal));
    let signals: Vec<i32> = std::iter::once(SIGINT).chain(others).collect();
    let Ok(mut signals) = Signals::new(signals) else { return };
    let wait = move || {
        for signal in signals.forever() {
            ended_by.store(signal, Ordering::Relaxed);
            cancel.store(true, Ordering::Relaxed);
            if signal != SIGINT {
                // What waits for a slow reader of its output does not look at the flag.
                std::thread::sleep(GRACE);
                #[allow(clippy::exit, reason = "the one door of the program, and the work does not end")]
                std::process::exit(BY_SIGNAL + signal);
            }
        }
    };
    let _ = std::thread::Builder::new().name("signals".into()).spawn(wait);
}

/// Whether the program was started deaf to the signal, as `nohup` does; then it stays so.
fn is_ignored(signal: i32) -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let ignored = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    ignored.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).is_some_and(|mask| mask >> (signal - 1) & 1 == 1)
}
