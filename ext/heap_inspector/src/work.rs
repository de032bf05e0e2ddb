//! Long work beside Ruby.
//!
//! The work gets a thread of its own, made for the call. The Ruby thread waits without the GVL and serves what the work asks of Ruby:
//! progress to report, bytes to read from a Ruby object. When Ruby interrupts the wait (a signal, `Thread#kill`, `Timeout`), it is
//! Ruby that decides: where the interrupt raises, the cancel flag goes up, the work ends, and the exception goes on; where it does
//! not (a trap handler that returns), the wait goes on, and so did the work all the time. The same goes for exceptions of a
//! callback. A panic of the work becomes a `HeapInspector::Error`.

use crate::errors;
use crate::native::panic_message;
use magnus::value::ReprValue;
use magnus::{Error, RString, Ruby, TryConvert, Value};
use std::ffi::c_void;
use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// Where the work leaves its requests and the Ruby thread its answers.
#[derive(Default)]
pub(crate) struct Channel {
    state: Mutex<State>,
    changed: Condvar,
    /// Raised to end the work.
    pub(crate) cancel: Arc<AtomicBool>,
}

#[derive(Default)]
struct State {
    is_done: bool,
    is_interrupted: bool,
    /// Bytes read and their total, not yet reported; a newer report replaces an older one.
    progress: Option<(u64, Option<u64>)>,
    input: Input,
}

/// The longest wait.
const CHECK_INTERVAL: Duration = Duration::from_millis(100);

/// What goes on with the Ruby object that is read.
#[derive(Default)]
enum Input {
    #[default]
    Idle,
    Wanted,
    Given(Vec<u8>),
    Closed,
}

/// What the work wants next.
struct Requests {
    is_done: bool,
    progress: Option<(u64, Option<u64>)>,
    input: bool,
}

/// The Ruby objects that serve the work.
#[derive(Clone, Copy, Default)]
pub(crate) struct Callbacks {
    /// Called with the bytes read and their total or nil.
    pub(crate) progress: Option<Value>,
    /// Read where the dump comes from an object with `read`.
    pub(crate) input: Option<Value>,
}

impl Channel {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Asks that progress is reported.
    pub(crate) fn report(&self, read: u64, all: Option<u64>) {
        self.lock().progress = Some((read, all));
        self.changed.notify_all();
    }

    /// Waits for something to do for the Ruby thread, but not for ever: Ruby 3.1 leaves a signal lying when it comes while the main
    /// thread waits here and the last other thread has just ended; a new wait finds it.
    fn wait(&self) {
        let idle = |state: &mut State| {
            let wanted = matches!(state.input, Input::Wanted);
            !(state.is_done || state.is_interrupted || state.progress.is_some() || wanted)
        };
        drop(
            self.changed.wait_timeout_while(self.lock(), CHECK_INTERVAL, idle).unwrap_or_else(PoisonError::into_inner),
        );
    }

    fn take(&self) -> Requests {
        let mut state = self.lock();
        state.is_interrupted = false;
        let input = matches!(state.input, Input::Wanted);
        Requests { is_done: state.is_done, progress: state.progress.take(), input }
    }

    fn give(&self, bytes: Vec<u8>) {
        self.lock().input = Input::Given(bytes);
        self.changed.notify_all();
    }

    fn is_done(&self) -> bool {
        self.lock().is_done
    }

    fn interrupt(&self) {
        self.lock().is_interrupted = true;
        self.changed.notify_all();
    }

    fn done(&self) {
        self.lock().is_done = true;
        self.changed.notify_all();
    }

    /// Ends the work soon.
    fn close(&self) {
        self.cancel.store(true, Ordering::Relaxed);
        self.lock().input = Input::Closed;
        self.changed.notify_all();
    }
}

/// Reads a Ruby object through the channel.
pub(crate) struct Reader {
    channel: Arc<Channel>,
    chunk: Vec<u8>,
    at: usize,
}

impl Reader {
    pub(crate) fn new(channel: Arc<Channel>) -> Reader {
        Reader { channel, chunk: Vec::new(), at: 0 }
    }

    /// The next bytes of the object; none at its end.
    fn fetch(&self) -> io::Result<Vec<u8>> {
        let mut state = self.channel.lock();
        if !matches!(state.input, Input::Closed) {
            state.input = Input::Wanted;
            self.channel.changed.notify_all();
        }
        let waits = |state: &mut State| matches!(state.input, Input::Wanted);
        state = self.channel.changed.wait_while(state, waits).unwrap_or_else(PoisonError::into_inner);
        match std::mem::take(&mut state.input) {
            Input::Given(bytes) => Ok(bytes),
            _ => {
                state.input = Input::Closed;
                Err(io::Error::other("the reader was interrupted"))
            }
        }
    }
}

impl io::Read for Reader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.at == self.chunk.len() {
            self.chunk = self.fetch()?;
            self.at = 0;
        }
        let count = buffer.len().min(self.chunk.len() - self.at);
        buffer[..count].copy_from_slice(&self.chunk[self.at..self.at + count]);
        self.at += count;
        Ok(count)
    }
}

/// Runs `work` on a thread of its own and serves it until it is done.
pub(crate) fn run<T: Send>(
    ruby: &Ruby,
    channel: &Arc<Channel>,
    callbacks: Callbacks,
    work: impl FnOnce() -> T + Send,
) -> Result<T, Error> {
    /// Says that the work is done, even if it panics.
    struct Done<'a>(&'a Channel);
    impl Drop for Done<'_> {
        fn drop(&mut self) {
            self.0.done();
        }
    }
    let (served, ended) = std::thread::scope(|scope| {
        let thread = std::thread::Builder::new().name("heap_inspector".into()).spawn_scoped(scope, || {
            let _done = Done(channel);
            // What nobody waits for is freed here, not by a Ruby thread that holds the GVL meanwhile.
            Some(work()).filter(|_| !channel.cancel.load(Ordering::Relaxed))
        });
        let thread = match thread {
            Ok(thread) => thread,
            Err(error) => return (Err(errors::internal(ruby, &format!("no thread to work on: {error}"))), None),
        };
        let mut served = serve(ruby, channel, callbacks);
        if served.is_err() {
            channel.close();
        }
        while !channel.is_done() {
            // As in an `ensure`, what is raised last goes on.
            if let Err(later) = wait_without_gvl(channel).and_then(|()| ruby.thread_check_ints()) {
                served = Err(later);
            }
            channel.take();
        }
        (served, Some(thread.join()))
    });
    served?;
    match ended {
        Some(Ok(Some(value))) => Ok(value),
        Some(Ok(None)) => Err(errors::internal(ruby, "work that nobody cancelled was cancelled")),
        Some(Err(panic)) => Err(errors::internal(ruby, panic_message(&*panic))),
        None => Err(errors::internal(ruby, "no thread")),
    }
}

fn serve(ruby: &Ruby, channel: &Channel, callbacks: Callbacks) -> Result<(), Error> {
    loop {
        wait_without_gvl(channel)?;
        ruby.thread_check_ints()?;
        let requests = channel.take();
        if let (Some((read, all)), Some(progress)) = (requests.progress, callbacks.progress) {
            progress.funcall::<_, _, Value>("call", (read, all))?;
        }
        if let (true, Some(input)) = (requests.input, callbacks.input) {
            channel.give(chunk(ruby, input)?);
        }
        if requests.is_done {
            return Ok(());
        }
    }
}

/// Has Ruby look now and then whether another thread wants to run, or this one is to end. For loops that make Ruby objects; `at` counts.
pub(crate) fn check_interrupts(ruby: &Ruby, at: usize) -> Result<(), Error> {
    if at.is_multiple_of(1 << 10) { ruby.thread_check_ints() } else { Ok(()) }
}

/// How many bytes are asked of a Ruby object at a time.
const CHUNK: usize = 1 << 20;

fn chunk(ruby: &Ruby, input: Value) -> Result<Vec<u8>, Error> {
    let read: Value = input.funcall("read", (CHUNK,))?;
    if read.is_nil() {
        return Ok(Vec::new());
    }
    let text = RString::try_convert(read).map_err(|_| {
        let message = format!("read of {} returned no String", input.class());
        Error::new(ruby.exception_type_error(), message)
    })?;
    // SAFETY: the bytes are copied before anything of Ruby's runs again.
    Ok(unsafe { text.as_slice() }.to_vec())
}

/// Panics with these words, on a thread of its own or on Ruby's, so that specs see what becomes of it.
pub(crate) fn panic(ruby: &Ruby, words: String, beside: bool) -> Result<(), Error> {
    if !beside {
        panic!("{words}");
    }
    run(ruby, &Arc::new(Channel::default()), Callbacks::default(), || panic!("{words}"))
}

/// Waits without the GVL until there is something to do. Returns at once where an interrupt is pending already.
fn wait_without_gvl(channel: &Channel) -> Result<(), Error> {
    /// SAFETY: `channel` is the one that `wait_without_gvl` borrows until it returns. Nothing of Ruby's is touched.
    unsafe extern "C" fn wait(channel: *mut c_void) -> *mut c_void {
        unsafe { &*channel.cast_const().cast::<Channel>() }.wait();
        std::ptr::null_mut()
    }
    /// SAFETY: as above. Ruby calls it from another thread, while it is in `wait` or about to call it. The lock it takes is never
    /// held for long, nor by anyone who waits for Ruby.
    unsafe extern "C" fn unblock(channel: *mut c_void) {
        unsafe { &*channel.cast_const().cast::<Channel>() }.interrupt();
    }
    let data = std::ptr::from_ref(channel).cast_mut().cast::<c_void>();
    // SAFETY: this is a Ruby thread with the GVL, since the caller has a `Ruby`. Both functions keep to what is said at them, and
    // neither unwinds. The variant with the 2 is said to raise nothing; but where the main thread is the only one, Ruby 3.1 makes
    // another to unblock it, and raises pending interrupts when it joins that: so it is called protected, and no Rust frame that
    // lives on is jumped over.
    magnus::rb_sys::protect(|| unsafe {
        rb_sys::rb_thread_call_without_gvl2(Some(wait), data, Some(unblock), data);
        rb_sys::Qnil.into()
    })?;
    Ok(())
}
