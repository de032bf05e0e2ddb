//! The allocation tracer: Ruby's hooks on one side, the tables of `heap_inspector_tracer` on the other. See `lib/heap_inspector/tracing.rb`.
//!
//! The hook of an allocation makes no Ruby object and takes no lock. Ruby calls it with the GVL and, where there are Ractors, with the lock
//! of the VM; what reads the tables meanwhile from another Ractor raises [`BUSY`], and the hook then leaves the allocation out. A forked
//! child has one thread, so it lowers the flag.
//!
//! What lives is known without a hook for each death: when marking has ended, `rb_obj_gc_flags` tells who is not marked. Up to Ruby 3.2
//! the bare presence of any hook of the collector makes each allocation slow. There the hook for the end of marking is put in by the mark
//! function of an object of ours, with which marking comes by, and taken out when it has run. Ruby's room for a hook must not bring a
//! collection then: [`add_while_marking`] sees to that, and under `GC.stress` the hook stays in.

use crate::block_profile::{self, KeptString};
use crate::document::Document;
use crate::errors;
use crate::gvl;
use crate::native::{function, method};
use heap_inspector_tracer::distance::Distances;
use heap_inspector_tracer::pages::Allocation;
use heap_inspector_tracer::profile::Profile;
use heap_inspector_tracer::sites::Key;
use heap_inspector_tracer::stacks::{Frame, NO_NODE, NodeId};
use heap_inspector_tracer::texts::{TextId, Texts};
use heap_inspector_tracer::tracer::{Sample, Tracer};
use heap_inspector_tracer::weak::Mark;
use magnus::value::ReprValue;
use magnus::{Class, Error, Module, Object, RArray, RHash, RModule, RString, Ruby, Value};
use rb_sys::{ID, Qfalse, Qnil, VALUE};
use std::ffi::{CStr, c_char, c_int, c_uint, c_void};
use std::hint;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::ptr;
use std::sync::atomic::{AtomicBool, AtomicPtr, AtomicU32, Ordering};
use std::time::{Duration, Instant, SystemTime};

/// Frames of a stack at most; of a deeper one the innermost.
const DEPTH: usize = 256;
/// What Ruby takes for any hook of allocations, in nanoseconds: measured on 3.1 to 3.4, 25 frames deep.
const FLOOR: f64 = 20.0;
/// Samples of a window of continuous tracing at most.
const WINDOW_SAMPLES: usize = 512;
/// How much of the time windows may be open.
const DUTY: (f64, f64) = (0.001, 0.5);

/// What is traced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mode {
    /// Every allocation's site, and stacks of samples.
    Full,
    /// Sites and stacks of samples.
    Sampled,
    /// The same in windows.
    Continuous,
}

impl Mode {
    const NAMED: [(Mode, &'static str); 3] =
        [(Mode::Full, "full"), (Mode::Sampled, "sampled"), (Mode::Continuous, "continuous")];

    fn name(self) -> &'static str {
        Mode::NAMED.iter().find(|(mode, _)| *mode == self).map_or("", |(_, name)| name)
    }
}

/// `rb_obj_gc_flags` of gc.c: writes the names of what is set, returns how many.
type GcFlags = unsafe extern "C" fn(VALUE, *mut ID, usize) -> usize;
/// `rb_gc_obj_slot_size` of gc.c.
type SlotSize = unsafe extern "C" fn(VALUE) -> usize;

/// The functions of this Ruby, which no header has.
struct Api {
    gc_flags: GcFlags,
    marked: ID,
    old: ID,
    /// From 3.3 on; before that a slot has 40 bytes, or is taken for such.
    slot_size: Option<SlotSize>,
    /// Whether a hook of the collector makes allocations slow, as up to 3.2.
    hides_hooks: bool,
    /// Symbols for `GC.stat`.
    major_count: VALUE,
    total_allocated: VALUE,
    malloc_increase: VALUE,
}

/// The bytes of a slot where Ruby does not tell.
const SLOT: u32 = 40;

impl Api {
    fn slot(&self, object: VALUE) -> u32 {
        // SAFETY: a living object.
        self.slot_size.map_or(SLOT, |slot_size| unsafe { slot_size(object) } as u32)
    }

    /// How an object stands. To be asked at the end of marking, of objects that live until then.
    fn mark(&self, address: u64) -> Mark {
        let mut flags: [ID; 16] = [0; 16];
        // SAFETY: the function writes at most as many as it is told; the object's slot is one of Ruby's, not yet swept.
        let count = unsafe { (self.gc_flags)(address as VALUE, flags.as_mut_ptr(), flags.len()) };
        let flags = flags.get(..count).unwrap_or_default();
        match (flags.contains(&self.marked), flags.contains(&self.old)) {
            (false, _) => Mark::Dead,
            (true, false) => Mark::Young,
            (true, true) => Mark::Old,
        }
    }
}

/// A window of continuous tracing.
#[derive(Default)]
struct Window {
    /// The addresses of what was sampled in it.
    samples: Vec<u64>,
    /// How many were sampled, those that died among them.
    count: u32,
    /// All objects ever allocated, when the last window with samples was closed.
    last_closed: u64,
    /// The processor time of the process when the last window was closed.
    processor: Duration,
    /// The cost then.
    cost: f64,
}

struct State {
    api: Api,
    tracer: Tracer,
    mode: Mode,
    distances: Distances,
    /// Whether allocations are traced: the hook is in, or in continuous mode goes in and out.
    is_on: bool,
    /// Whether the hook of allocations is in.
    is_hooked: bool,
    /// Whether the hook for the end of marking is in.
    awaits_marks: bool,
    /// Whether it has to stay, since it cannot be put in under `GC.stress`.
    is_stressed: bool,
    /// The count of major collections at the last end of marking.
    majors: u64,
    /// How many were allocated while the hook was in; up to the last stop.
    seen: u64,
    /// All objects ever allocated, when the hook went in.
    hooked_at: u64,
    /// Nanoseconds in the hook, as measured at samples, without [`FLOOR`].
    cost: f64,
    began: Instant,
    began_processor: Duration,
    /// The share of the processor that continuous tracing may take, and how much of the time windows are open.
    budget: f64,
    duty: f64,
    window: Window,
    frames: Box<[VALUE; DEPTH]>,
    lines: Box<[c_int; DEPTH]>,
}

/// The one state, made when tracing begins for the first time, and never freed: hooks may be under way.
static STATE: AtomicPtr<State> = AtomicPtr::new(ptr::null_mut());
/// Whether somebody is at the tables.
static BUSY: AtomicBool = AtomicBool::new(false);
/// How many allocations until the next sample.
static LEFT: AtomicU32 = AtomicU32::new(1);
/// Whether nothing is to be noted any more: in a child that dumps.
static FROZEN: AtomicBool = AtomicBool::new(false);

/// Runs `work` at the tables, unless somebody else is there or there are none.
fn with<T>(work: impl FnOnce(&mut State) -> T) -> Option<T> {
    let state = STATE.load(Ordering::Acquire);
    if state.is_null() || BUSY.swap(true, Ordering::Acquire) {
        return None;
    }
    // A panic must not cross Ruby's frames; what it leaves half done is not looked at again.
    // SAFETY: the state is never freed, and the flag keeps all others out.
    let done = catch_unwind(AssertUnwindSafe(|| work(unsafe { &mut *state })));
    if done.is_err() {
        FROZEN.store(true, Ordering::Relaxed);
    }
    BUSY.store(false, Ordering::Release);
    done.ok()
}

/// The same for what must be done: others are gone after some microseconds, since they hold nothing that they could wait with.
fn with_certainly<T>(mut work: impl FnMut(&mut State) -> T) -> Option<T> {
    while !STATE.load(Ordering::Acquire).is_null() {
        if let Some(done) = with(&mut work) {
            return Some(done);
        }
        if FROZEN.load(Ordering::Relaxed) {
            return None;
        }
        hint::spin_loop();
    }
    None
}

/// The tables for a child that dumps, where nothing changes them any more.
pub(crate) fn frozen() -> Option<&'static Tracer> {
    FROZEN.store(true, Ordering::Relaxed);
    // SAFETY: never freed; hooks look at the flag, and this process has but the thread that is here. Where the fork came while another
    // Ractor's thread was at the tables they may be half written: then there is nothing to tell.
    let state = unsafe { STATE.load(Ordering::Acquire).as_ref() }?;
    (!BUSY.load(Ordering::Acquire) && state.tracer.live() > 0).then_some(&state.tracer)
}

type Hook = unsafe extern "C" fn(VALUE, *mut rb_sys::rb_trace_arg_t);

/// A hook as Ruby takes it: with the flag for raw arguments it calls it with these two.
fn hook(function: Hook) -> rb_sys::rb_event_hook_func_t {
    // SAFETY: Ruby calls it with what it was registered for (`RUBY_EVENT_HOOK_FLAG_RAW_ARG` in debug.h).
    unsafe { std::mem::transmute::<Hook, rb_sys::rb_event_hook_func_t>(function) }
}

/// A hook to put in, and its event. That makes room by Ruby's means, which may bring a collection: so nobody is at the tables meanwhile.
type Wanted = Option<(Hook, u32)>;

fn add(wanted: Wanted) {
    let Some((function, event)) = wanted else { return };
    type AddEventHook = unsafe extern "C" fn(Hook, u32, VALUE, c_uint);
    let flags = rb_sys::rb_event_hook_flag_t::RUBY_EVENT_HOOK_FLAG_SAFE as c_uint
        | rb_sys::rb_event_hook_flag_t::RUBY_EVENT_HOOK_FLAG_RAW_ARG as c_uint;
    // SAFETY: of a set of flags in C bindgen makes an enum, which cannot hold two; and with the second Ruby calls a function with other
    // arguments than the type says (debug.h). Both types have the form of the function's.
    unsafe {
        let add = std::mem::transmute::<*const (), AddEventHook>(rb_sys::rb_add_event_hook2 as *const ());
        add(function, event, Qnil as VALUE, flags);
    }
}

/// The same in a collection. The hook is made by `xmalloc`, which begins a collection where more was allocated than a limit allows, and
/// dies where one is under way. So nothing is allocated, for the moment.
fn add_while_marking(wanted: Wanted) {
    let Some((_, _)) = wanted else { return };
    let Some(key) = with_certainly(|state| state.api.malloc_increase) else { return };
    // SAFETY: the first makes no object; the second changes a counter and begins no collection.
    unsafe {
        let increase = rb_sys::rb_gc_stat(key) as rb_sys::ssize_t;
        rb_sys::rb_gc_adjust_memory_usage(-increase);
        add(wanted);
        rb_sys::rb_gc_adjust_memory_usage(increase);
    }
}

fn remove_hook(function: Hook) {
    // SAFETY: takes out what is in, or nothing.
    unsafe { rb_sys::rb_remove_event_hook(hook(function)) };
}

/// An allocation, of which one of many is looked at.
///
/// SAFETY: Ruby calls it at an allocation.
unsafe extern "C" fn on_allocation(_data: VALUE, argument: *mut rb_sys::rb_trace_arg_t) {
    let left = LEFT.load(Ordering::Relaxed).wrapping_sub(1);
    LEFT.store(left, Ordering::Relaxed);
    if left == 0 {
        with(|state| state.sample(argument)).unwrap_or_else(|| LEFT.store(1, Ordering::Relaxed));
    }
}

/// An allocation, of which each is noted.
///
/// SAFETY: Ruby calls it at an allocation.
unsafe extern "C" fn on_each_allocation(_data: VALUE, argument: *mut rb_sys::rb_trace_arg_t) {
    let left = LEFT.load(Ordering::Relaxed).wrapping_sub(1);
    LEFT.store(left, Ordering::Relaxed);
    with(|state| if left == 0 { state.sample(argument) } else { state.note(argument) });
}

/// Marking has ended.
///
/// SAFETY: Ruby calls it in a collection.
unsafe extern "C" fn on_marked(_data: VALUE, _argument: *mut rb_sys::rb_trace_arg_t) {
    with_certainly(|state| {
        state.sweep();
        if (state.api.hides_hooks && !state.is_stressed) || !state.has_work() {
            remove_hook(on_marked);
            state.awaits_marks = false;
        }
    });
}

/// SAFETY: Ruby calls it while it marks.
unsafe extern "C" fn mark(_data: *mut c_void) {
    let awaits = with_certainly(|state| {
        for address in state.tracer.frames.pending() {
            // SAFETY: Ruby marks; it was kept alive until now.
            unsafe { rb_sys::rb_gc_mark(address as VALUE) };
        }
        state.await_marks()
    });
    add_while_marking(awaits.flatten());
}

/// SAFETY: Ruby calls it when it has moved objects.
unsafe extern "C" fn relocate(_data: *mut c_void) {
    // SAFETY: what the tables know lives, so the slot is one of Ruby's, and holds the object or where it went.
    with_certainly(|state| state.tracer.relocate(|address| unsafe { rb_sys::rb_gc_location(address as VALUE) } as u64));
}

/// SAFETY: Ruby calls it at any time.
unsafe extern "C" fn memory(_data: *const c_void) -> rb_sys::size_t {
    with(|state| state.tracer.memory() as rb_sys::size_t).unwrap_or(0)
}

/// SAFETY: the system calls it in a forked child, whose only thread this is.
unsafe extern "C" fn after_fork() {
    BUSY.store(false, Ordering::Release);
}

/// The object with whose marking ours comes by. It is not protected by write barriers, so minor collections pass by as well.
struct Passenger(rb_sys::rb_data_type_t);

// SAFETY: nothing writes to it.
unsafe impl Sync for Passenger {}

static PASSENGER: Passenger = Passenger(rb_sys::rb_data_type_t {
    wrap_struct_name: c"heap_inspector/tracer".as_ptr(),
    function: rb_sys::rb_data_type_struct__bindgen_ty_1 {
        dmark: Some(mark),
        dfree: None,
        dsize: Some(memory),
        dcompact: Some(relocate),
        reserved: [ptr::null_mut(); 1],
    },
    parent: ptr::null(),
    data: ptr::null_mut(),
    flags: 0,
});

impl State {
    fn new(api: Api) -> State {
        State {
            api,
            tracer: Tracer::default(),
            mode: Mode::Sampled,
            distances: Distances::new(1, 1),
            is_on: false,
            is_hooked: false,
            awaits_marks: false,
            is_stressed: false,
            majors: 0,
            seen: 0,
            hooked_at: 0,
            cost: 0.0,
            began: Instant::now(),
            began_processor: processor_time(),
            budget: 0.01,
            duty: 0.05,
            window: Window::default(),
            frames: Box::new([0; DEPTH]),
            lines: Box::new([0; DEPTH]),
        }
    }

    /// Notes where a new object comes from.
    #[inline]
    fn note(&mut self, argument: *mut rb_sys::rb_trace_arg_t) {
        if FROZEN.load(Ordering::Relaxed) {
            return;
        }
        // SAFETY: the argument is the one of this event.
        let object = unsafe { rb_sys::rb_tracearg_object(argument) };
        let Some(site) = self.site(argument, object) else {
            self.tracer.lost += 1;
            return;
        };
        let allocation = Allocation { site, generation: generation() };
        self.tracer.record(object as u64, self.api.slot(object), allocation);
    }

    /// Notes a sample: its stack as well.
    #[cold]
    fn sample(&mut self, argument: *mut rb_sys::rb_trace_arg_t) {
        if FROZEN.load(Ordering::Relaxed) {
            LEFT.store(u32::MAX, Ordering::Relaxed);
            return;
        }
        LEFT.store(self.distances.draw(), Ordering::Relaxed);
        let start = Instant::now();
        // SAFETY: as in `note`.
        let object = unsafe { rb_sys::rb_tracearg_object(argument) };
        let site = self.site(argument, object);
        let slot = self.api.slot(object);
        let generation = generation();
        if self.mode == Mode::Full {
            match site {
                Some(site) => self.tracer.record(object as u64, slot, Allocation { site, generation }),
                None => self.tracer.lost += 1,
            }
            // Nobody but the sample is measured; the others do the same but for the stack.
            self.cost += start.elapsed().as_nanos() as f64 * f64::from(self.distances.mean() - 1);
        }
        let stack = self.stack();
        let weight = self.distances.mean() as f32;
        let site = site.unwrap_or(u32::MAX);
        self.tracer.sample(object as u64, slot, Sample { site, stack, generation, weight, serial: 0 });
        let window = &mut self.window;
        if self.mode == Mode::Continuous {
            window.count += 1;
            if window.samples.try_reserve(1).is_ok() {
                window.samples.push(object as u64);
            }
            if window.samples.len() >= WINDOW_SAMPLES {
                // The thread that would close it waits for its turn.
                self.unhook();
            }
        }
        self.cost += start.elapsed().as_nanos() as f64;
    }

    #[inline]
    fn site(&mut self, argument: *mut rb_sys::rb_trace_arg_t, object: VALUE) -> Option<u32> {
        // SAFETY: as in `note`. None of them makes an object: the path is that of the code, the line a Fixnum, the name a Symbol that is
        // there already.
        let (path, line, method, class) = unsafe {
            (
                rb_sys::rb_tracearg_path(argument),
                rb_sys::rb_tracearg_lineno(argument),
                rb_sys::rb_tracearg_method_id(argument),
                class_of(object),
            )
        };
        let is_nil = |value: VALUE| value == Qnil as VALUE || value == Qfalse as VALUE;
        let line = if is_nil(line) { 0 } else { (line >> 1) as u32 };
        let key = Key {
            path: if is_nil(path) { 0 } else { path },
            line,
            method: if is_nil(method) { 0 } else { method },
            class,
        };
        match self.tracer.sites.find(&key) {
            Some(site) => Some(site),
            None => self.learn_site(key, method),
        }
    }

    #[cold]
    fn learn_site(&mut self, key: Key, method: VALUE) -> Option<u32> {
        let method = if key.method == 0 { &b""[..] } else { name_of(method) };
        let class = key.class;
        self.tracer.learn_site(key, method, |texts, address| {
            let text = match address == class {
                // SAFETY: a class that lives: an object of it was made just now. It says the name that it has, and makes none.
                true => unsafe { rb_sys::rb_mod_name(address as VALUE) },
                false => address as VALUE,
            };
            intern(texts, text)
        })
    }

    /// The stack of the running thread.
    fn stack(&mut self) -> NodeId {
        // SAFETY: both have room for so many.
        let count =
            unsafe { rb_sys::rb_profile_frames(0, DEPTH as c_int, self.frames.as_mut_ptr(), self.lines.as_mut_ptr()) };
        let count = usize::try_from(count).unwrap_or(0).min(DEPTH);
        let Tracer { texts, frames, stacks, .. } = &mut self.tracer;
        let (addresses, lines) = (&self.frames[..count], &self.lines[..count]);
        let found = addresses.iter().zip(lines).rev().map_while(|(address, line)| {
            let address = *address;
            let frame = match frames.find(address) {
                Some(frame) => Some(frame),
                None => frames.learn(address, described(texts, address)),
            };
            frame.map(|frame| (frame, u32::try_from(*line).unwrap_or(0)))
        });
        // Beneath the program Ruby has a frame without a line, in which nothing happens.
        let bottom = addresses.last().zip(lines.last()).is_some_and(|(_, line)| *line == 0);
        stacks.intern(found.skip(usize::from(bottom && count > 1)))
    }

    fn sweep(&mut self) {
        // SAFETY: asks for one number, which makes no object.
        let majors = unsafe { rb_sys::rb_gc_stat(self.api.major_count) } as u64;
        let is_major = majors != self.majors;
        self.majors = majors;
        let State { api, tracer, .. } = self;
        tracer.sweep(is_major, |address| api.mark(address));
    }

    /// The hook for the end of marking, where something is to be kept true.
    fn await_marks(&mut self) -> Wanted {
        if self.awaits_marks || !self.has_work() {
            return None;
        }
        self.awaits_marks = true;
        Some((on_marked, rb_sys::RUBY_INTERNAL_EVENT_GC_END_MARK))
    }

    /// Whether there is something to be kept true.
    fn has_work(&self) -> bool {
        self.is_on || self.tracer.live() > 0
    }

    fn hook(&mut self) -> Wanted {
        if self.is_hooked {
            return None;
        }
        self.is_hooked = true;
        self.hooked_at = self.total_allocated();
        LEFT.store(self.distances.draw(), Ordering::Relaxed);
        let function: Hook = if self.mode == Mode::Full { on_each_allocation } else { on_allocation };
        Some((function, rb_sys::RUBY_INTERNAL_EVENT_NEWOBJ))
    }

    fn unhook(&mut self) {
        if !self.is_hooked {
            return;
        }
        self.is_hooked = false;
        remove_hook(if self.mode == Mode::Full { on_each_allocation } else { on_allocation });
        self.seen += self.total_allocated().saturating_sub(self.hooked_at);
    }

    fn total_allocated(&self) -> u64 {
        // SAFETY: as in `sweep`.
        unsafe { rb_sys::rb_gc_stat(self.api.total_allocated) as u64 }
    }

    fn seen(&self) -> u64 {
        let now = if self.is_hooked { self.total_allocated().saturating_sub(self.hooked_at) } else { 0 };
        self.seen + now
    }

    /// Nanoseconds that tracing took, those of Ruby among them.
    fn whole_cost(&self) -> f64 {
        self.cost + self.seen() as f64 * FLOOR
    }

    fn begin(&mut self, mode: Mode, every: u32, budget: f64) -> [Wanted; 2] {
        self.mode = mode;
        self.distances = Distances::new(every, seed());
        (self.seen, self.cost) = (0, 0.0);
        (self.began, self.began_processor) = (Instant::now(), processor_time());
        self.budget = budget;
        self.is_on = true;
        let marks = if self.api.hides_hooks && !self.is_stressed { None } else { self.await_marks() };
        if mode == Mode::Continuous {
            let total = self.total_allocated();
            self.window = Window { last_closed: total, processor: processor_time(), ..Window::default() };
            return [marks, None];
        }
        [marks, self.hook()]
    }

    fn end(&mut self) {
        self.close_window();
        self.unhook();
        self.is_on = false;
    }

    fn open_window(&mut self) -> Wanted {
        if !self.is_on || self.mode != Mode::Continuous || self.is_hooked {
            return None;
        }
        self.window.samples.clear();
        self.window.count = 0;
        self.hook()
    }

    /// Closes a window: what was sampled in it stands for all that was allocated since the one before, and the next ones come as often as
    /// the budget allows.
    fn close_window(&mut self) {
        if self.mode != Mode::Continuous || !self.is_on {
            return;
        }
        self.unhook();
        let (total, processor, cost) = (self.total_allocated(), processor_time(), self.whole_cost());
        let samples = std::mem::take(&mut self.window.samples);
        if self.window.count > 0 {
            let weight = total.saturating_sub(self.window.last_closed) as f32 / self.window.count as f32;
            let api = &self.api;
            self.tracer.reweigh(&samples, |address| api.slot(address as VALUE), weight.max(1.0));
            self.window.last_closed = total;
        }
        let spent = processor.saturating_sub(self.window.processor).as_nanos() as f64;
        if spent > 0.0 {
            let share = (cost - self.window.cost) / spent;
            // Halfway to what would have met the budget.
            let wanted = (self.duty * self.budget / share.max(1e-6)).clamp(DUTY.0, DUTY.1);
            self.duty = f64::midpoint(self.duty, wanted);
        }
        (self.window.processor, self.window.cost, self.window.samples) = (processor, cost, samples);
    }

    fn clear(&mut self) {
        self.tracer = Tracer::default();
        self.window.samples.clear();
    }
}

fn generation() -> u32 {
    // SAFETY: takes nothing.
    unsafe { rb_sys::rb_gc_count() as u32 }
}

/// The class of a new object, 0 where what stands in its place is none.
///
/// # Safety
/// The object must be one of the heap.
unsafe fn class_of(object: VALUE) -> VALUE {
    // SAFETY: every object begins so.
    let basic = unsafe { &*(object as *const rb_sys::RBasic) };
    let kind = basic.flags as u32 & rb_sys::ruby_value_type::RUBY_T_MASK as u32;
    // Behind the last of Ruby's types come internal ones, which keep other things there.
    if kind == 0 || kind >= rb_sys::ruby_value_type::RUBY_T_IMEMO as u32 { 0 } else { basic.klass }
}

/// The number of a text that Ruby has as a String; of none for what is not.
fn intern(texts: &mut Texts, string: VALUE) -> TextId {
    string_bytes(string).map_or(TextId::NONE, |bytes| texts.intern(bytes))
}

/// The bytes of a String, as long as nothing else runs.
fn string_bytes<'a>(string: VALUE) -> Option<&'a [u8]> {
    // SAFETY: where it is a String its pointer and length are so.
    unsafe {
        if rb_sys::SPECIAL_CONST_P(string) || rb_sys::RB_BUILTIN_TYPE(string) != rb_sys::ruby_value_type::RUBY_T_STRING
        {
            return None;
        }
        let length = usize::try_from(rb_sys::RSTRING_LEN(string)).ok()?;
        Some(std::slice::from_raw_parts(rb_sys::RSTRING_PTR(string).cast::<u8>(), length))
    }
}

/// The name of a Symbol.
fn name_of<'a>(symbol: VALUE) -> &'a [u8] {
    // SAFETY: a Symbol that has an ID, being a method's name; the text is Ruby's and stays.
    unsafe {
        let name: *const c_char = rb_sys::rb_id2name(rb_sys::rb_sym2id(symbol));
        if name.is_null() { b"" } else { CStr::from_ptr(name).to_bytes() }
    }
}

/// What a frame says of itself without making an object.
fn described(texts: &mut Texts, frame: u64) -> Frame {
    let frame = frame as VALUE;
    // SAFETY: a frame that runs just now.
    let (path, label, line) = unsafe {
        (
            rb_sys::rb_profile_frame_path(frame),
            rb_sys::rb_profile_frame_label(frame),
            rb_sys::rb_profile_frame_first_lineno(frame),
        )
    };
    // A Fixnum, or nil for what is written in C. Of that many have one name, as `Array#each` and `Hash#each`, and no file tells them apart.
    let first_line = if line & 1 == 1 { (line >> 1) as u32 } else { (frame >> 3) as u32 };
    Frame { path: intern(texts, path), label: intern(texts, label), first_line }
}

fn processor_time() -> Duration {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: a place to write to.
    unsafe { libc::clock_gettime(libc::CLOCK_PROCESS_CPUTIME_ID, &raw mut time) };
    Duration::new(time.tv_sec.unsigned_abs(), u32::try_from(time.tv_nsec).unwrap_or(0))
}

fn seed() -> u64 {
    use std::hash::{BuildHasher, RandomState};
    RandomState::new().hash_one(std::process::id())
}

/// # Safety
/// The caller must know the symbol's type.
unsafe fn symbol(name: &CStr) -> Option<*mut c_void> {
    // SAFETY: the name is a C string.
    let found = unsafe { libc::dlsym(libc::RTLD_DEFAULT, name.as_ptr()) };
    (!found.is_null()).then_some(found)
}

/// Why this Ruby cannot be traced, if so: nil or words.
fn missing(_ruby: &Ruby) -> Option<&'static str> {
    // SAFETY: only asked for.
    let flags = unsafe { symbol(c"rb_obj_gc_flags") };
    flags.is_none().then_some("it does not export rb_obj_gc_flags, by which is known what lives (Ruby 4.0 and later)")
}

/// Makes the state, once.
fn state(ruby: &Ruby) -> Result<(), Error> {
    if !STATE.load(Ordering::Acquire).is_null() {
        return Ok(());
    }
    // SAFETY: their types are those of gc.c.
    let (gc_flags, slot_size) = unsafe {
        let flags = symbol(c"rb_obj_gc_flags").map(|found| std::mem::transmute::<*mut c_void, GcFlags>(found));
        let size = symbol(c"rb_gc_obj_slot_size").map(|found| std::mem::transmute::<*mut c_void, SlotSize>(found));
        (flags, size)
    };
    let Some(gc_flags) = gc_flags else {
        return Err(errors::named(ruby, "Error", "this Ruby cannot be traced".to_owned()));
    };
    let mut flags: [ID; 16] = [0; 16];
    // SAFETY: a living object. The first call makes the names, which must not be in a collection.
    unsafe { gc_flags(rb_sys::rb_cObject, flags.as_mut_ptr(), flags.len()) };
    // SAFETY: C strings.
    let (marked, old) = unsafe { (rb_sys::rb_intern(c"marked".as_ptr()), rb_sys::rb_intern(c"old".as_ptr())) };
    // SAFETY: names that were interned.
    let key = |name: &CStr| unsafe { rb_sys::rb_id2sym(rb_sys::rb_intern(name.as_ptr())) };
    // The flag that tells hooks of allocations from others came with 3.3, and this function as well.
    let hides_hooks = slot_size.is_none();
    let api = Api {
        gc_flags,
        marked,
        old,
        slot_size,
        hides_hooks,
        major_count: key(c"major_gc_count"),
        total_allocated: key(c"total_allocated_objects"),
        malloc_increase: key(c"malloc_increase_bytes"),
    };
    STATE.store(Box::into_raw(Box::new(State::new(api))), Ordering::Release);
    // SAFETY: a handler that only lowers a flag.
    unsafe { libc::pthread_atfork(None, None, Some(after_fork)) };
    magnus::rb_sys::protect(|| {
        // SAFETY: the type is static, and the pointer not null: of such Ruby marks nothing. It is never looked at.
        unsafe {
            let pointer = ptr::from_ref(&PASSENGER).cast_mut().cast::<c_void>();
            let passenger = rb_sys::rb_data_typed_object_wrap(0, pointer, &raw const PASSENGER.0);
            rb_sys::rb_gc_register_mark_object(passenger);
            Qnil as VALUE
        }
    })?;
    Ok(())
}

/// Begins to trace: `full`, `sampled` or `continuous`; one stack for so many allocations; the share of the processor that continuous
/// tracing may take.
fn start(ruby: &Ruby, mode: String, every: u32, budget: f64) -> Result<(), Error> {
    let Some((mode, _)) = Mode::NAMED.iter().find(|(_, name)| *name == mode) else {
        return Err(Error::new(ruby.exception_arg_error(), format!("there is no mode {mode:?}")));
    };
    state(ruby)?;
    let wanted = with_certainly(|state| {
        state.end();
        state.begin(*mode, every, budget)
    });
    wanted.into_iter().flatten().for_each(add);
    Ok(())
}

/// Whether `GC.stress` is or will be on.
fn stress(_ruby: &Ruby, is_stressed: bool) {
    let wanted = with_certainly(|state| {
        state.is_stressed = is_stressed;
        if is_stressed { state.await_marks() } else { None }
    });
    add(wanted.flatten());
}

/// Ends it; what is known stays.
fn stop(_ruby: &Ruby) {
    with_certainly(State::end);
}

/// Forgets what is known.
fn clear(_ruby: &Ruby) {
    with_certainly(State::clear);
}

/// Opens a window of continuous tracing. Returns how many seconds of a second windows should be open.
fn open_window(_ruby: &Ruby) -> Option<f64> {
    let (wanted, duty) = with_certainly(|state| (state.open_window(), state.duty))?;
    add(wanted);
    Some(duty)
}

/// Closes it.
fn close_window(_ruby: &Ruby) {
    with_certainly(State::close_window);
}

/// How it stands, nil where nothing was ever traced: what is on, and what it cost.
fn status(ruby: &Ruby) -> Result<Option<RHash>, Error> {
    let Some(values) = with_certainly(|state| {
        let processor = processor_time().saturating_sub(state.began_processor).as_nanos() as f64;
        let cost = state.whole_cost();
        let share = if processor > 0.0 { (cost / processor).min(1.0) } else { 0.0 };
        let tracer = &state.tracer;
        let numbers = [
            ("every", u64::from(state.distances.mean())),
            ("seen", state.seen()),
            ("samples", tracer.sampled),
            ("live", tracer.live() as u64),
            ("sites", tracer.sites.len() as u64),
            ("stacks", tracer.stacks.nodes().len() as u64),
            ("memory", tracer.memory() as u64),
            ("lost", tracer.lost),
        ];
        (state.is_on, state.mode, state.began.elapsed().as_secs_f64(), share, state.duty, state.budget, numbers)
    }) else {
        return Ok(None);
    };
    let (is_on, mode, seconds, share, duty, budget, numbers) = values;
    let hash = ruby.hash_new();
    hash.aset(ruby.to_symbol("on"), is_on)?;
    hash.aset(ruby.to_symbol("mode"), ruby.to_symbol(mode.name()))?;
    hash.aset(ruby.to_symbol("seconds"), seconds)?;
    hash.aset(ruby.to_symbol("cpu"), share)?;
    if mode == Mode::Continuous {
        hash.aset(ruby.to_symbol("budget"), budget)?;
        hash.aset(ruby.to_symbol("duty"), duty)?;
    }
    for (name, number) in numbers {
        hash.aset(ruby.to_symbol(name), number)?;
    }
    Ok(Some(hash))
}

/// Asks the frames that wait for their class. It makes Ruby objects, so nobody is at the tables meanwhile.
pub(crate) fn name_frames(ruby: &Ruby) {
    let Some(pending) = with_certainly(|state| state.tracer.frames.take_pending()) else { return };
    if pending.is_empty() {
        return;
    }
    // Nothing else holds them now, and the names that are made may bring a collection.
    let was_disabled = ruby.gc_disable();
    for (address, number) in pending {
        // SAFETY: a frame's code or method, which was kept alive.
        let label = magnus::rb_sys::protect(|| unsafe { rb_sys::rb_profile_frame_full_label(address as VALUE) });
        if let Ok(label) = label {
            with_certainly(|state| {
                let label = intern(&mut state.tracer.texts, label);
                state.tracer.frames.name(number, label);
            });
        }
    }
    if !was_disabled {
        ruby.gc_enable();
    }
}

/// The bytes of a living object, as far as its header tells them: the slot, and the content of Strings, Arrays and Hashes beside it.
/// `ObjectSpace.memsize_of` asks more, and crashes for some classes of Ruby 4.0.
fn size(api: &Api, address: u64) -> u64 {
    use rb_sys::ruby_value_type::{RUBY_T_ARRAY, RUBY_T_HASH, RUBY_T_STRING};
    /// `RSTRING_NOEMBED`, and of Arrays `RARRAY_EMBED_FLAG`.
    const EMBEDDING: u64 = rb_sys::ruby_fl_type::RUBY_FL_USER1 as u64;
    /// Bytes of a Hash's entry, about.
    const ENTRY: u64 = 24;
    let object = address as VALUE;
    let slot = u64::from(api.slot(object));
    // SAFETY: a living object, of the type that is asked for.
    let content = unsafe {
        let has_flag = (*(object as *const rb_sys::RBasic)).flags & EMBEDDING != 0;
        match rb_sys::RB_BUILTIN_TYPE(object) {
            RUBY_T_STRING if has_flag => rb_sys::RSTRING_LEN(object) as u64,
            RUBY_T_ARRAY if !has_flag => rb_sys::RARRAY_LEN(object) as u64 * 8,
            RUBY_T_HASH => rb_sys::rb_hash_size_num(object) as u64 * ENTRY,
            _ => 0,
        }
    };
    slot + content
}

/// What is alive by stack, as it was at a moment.
#[magnus::wrap(class = "HeapInspector::TakenProfile", free_immediately)]
struct TakenProfile {
    profile: Profile,
    time: SystemTime,
    duration: Duration,
}

impl TakenProfile {
    /// As `pprof`, `folded`, `flamegraph` or `json`.
    fn render(ruby: &Ruby, taken: &TakenProfile, format: String) -> Result<RString, Error> {
        let profile = &taken.profile;
        let bytes = gvl::without(ruby, &AtomicBool::new(false), || match format.as_str() {
            "pprof" => profile.pprof(taken.time, taken.duration),
            "folded" => Ok(profile.folded().into_bytes()),
            "flamegraph" => profile.flamegraph().map(String::into_bytes),
            _ => Ok(profile.json().into_bytes()),
        })?;
        let bytes = bytes.map_err(|error| errors::named(ruby, "Error", error.to_string()))?;
        Ok(if format == "pprof" { ruby.str_from_slice(&bytes) } else { ruby.enc_str_new(&bytes, ruby.utf8_encoding()) })
    }

    /// The number of the last sample.
    fn serial(_ruby: &Ruby, taken: &TakenProfile) -> u32 {
        taken.profile.serial
    }
}

/// Takes a profile; only of what came after a sample, where its number is given. Nil where nothing was traced.
fn profile(ruby: &Ruby, since: Option<u32>) -> Option<TakenProfile> {
    name_frames(ruby);
    with_certainly(|state| {
        let State { api, tracer, .. } = state;
        let profile =
            Profile::new(tracer, state.distances.mean(), generation(), since, |_| true, |address| size(api, address));
        TakenProfile { profile, time: SystemTime::now(), duration: state.began.elapsed() }
    })
}

/// Bytes of a text that are shown.
const SHOWN: usize = 80;

/// What lives and what was allocated since the tables were last cleared, as a report with at most `limit` rows a table, and the profile
/// itself. For a block that was traced alone, each allocation with its stack. What is Ruby's own, as inline caches, is left out.
fn report(ruby: &Ruby, limit: usize) -> Result<Option<RArray>, Error> {
    name_frames(ruby);
    let Some((taken, strings)) = with_certainly(|state| {
        let State { api, tracer, .. } = state;
        let profile =
            Profile::new(tracer, 1, generation(), None, |site| !site.is_internal, |address| size(api, address));
        let mut strings = Vec::new();
        for (address, sample) in tracer.samples.iter() {
            let is_internal = tracer.sites.get(sample.site).is_some_and(|site| site.is_internal);
            let Some(bytes) = string_bytes(address as VALUE).filter(|_| !is_internal) else { continue };
            let mut shown = bytes.get(..SHOWN).unwrap_or(bytes);
            let is_cut = shown.len() < bytes.len();
            // A letter is not cut in the middle, where it is UTF-8.
            while is_cut
                && shown.last().is_some_and(|last| *last >= 0x80)
                && std::str::from_utf8(shown).is_err()
                && shown.len() > SHOWN - 4
            {
                shown = &shown[..shown.len() - 1];
            }
            let mut frames = tracer.stacks.walk(sample.stack).map(|node| (tracer.frames.get(node.frame), node.line));
            let site = frames.find(|(frame, _)| frame.path != TextId::NONE);
            let location =
                site.map(|(frame, line)| format!("{}:{line}", String::from_utf8_lossy(tracer.texts.get(frame.path))));
            let (value, memsize) = (String::from_utf8_lossy(shown).into_owned(), size(api, address));
            strings.push(KeptString { value, is_cut, memsize, location });
        }
        let taken = TakenProfile { profile, time: SystemTime::now(), duration: state.began.elapsed() };
        (taken, strings)
    }) else {
        return Ok(None);
    };
    let row = ruby.ary_new();
    row.push(ruby.obj_wrap(Document(block_profile::report(&taken.profile, strings, limit))))?;
    row.push(ruby.obj_wrap(taken))?;
    Ok(Some(row))
}

/// What is known of an object: `[path, line, method, class, generation, [[path, line, label], …]]`, innermost frame first; nil for none.
fn lookup(ruby: &Ruby, object: Value) -> Result<Option<RArray>, Error> {
    use magnus::rb_sys::AsRawValue;
    name_frames(ruby);
    let address = object.as_raw();
    let found = with_certainly(|state| {
        let tracer = &state.tracer;
        let traced = tracer.get(address)?;
        let text = |id: TextId| tracer.texts.get(id).to_vec();
        let site = traced.site.map(|site| (text(site.path), site.line, text(site.method), text(site.class)));
        let frames = tracer.stacks.walk(traced.stack.unwrap_or(NO_NODE)).map(|node| {
            let frame = tracer.frames.get(node.frame);
            (text(frame.path), node.line, text(frame.label))
        });
        Some((site, traced.generation, frames.collect::<Vec<_>>()))
    });
    let Some(Some((site, generation, frames))) = found else { return Ok(None) };
    let text = |bytes: &[u8]| (!bytes.is_empty()).then(|| ruby.enc_str_new(bytes, ruby.utf8_encoding()));
    let line = |line: u32| (line > 0).then_some(line);
    let stack = ruby.ary_new();
    for (path, at, label) in frames {
        stack.push((text(&path), line(at), text(&label)))?;
    }
    let row = ruby.ary_new();
    let (path, at, method, class) = site.unwrap_or_default();
    row.push(text(&path))?;
    row.push(line(at))?;
    row.push(text(&method))?;
    row.push(text(&class))?;
    row.push(generation)?;
    row.push(stack)?;
    Ok(Some(row))
}

pub(crate) fn define(ruby: &Ruby, module: RModule, native: RModule) -> Result<(), Error> {
    let class = module.define_class("TakenProfile", ruby.class_object())?;
    class.undef_default_alloc_func();
    module.funcall::<_, _, Value>("private_constant", (ruby.to_symbol("TakenProfile"),))?;
    class.define_method("render", method!(TakenProfile::render, 1))?;
    class.define_method("serial", method!(TakenProfile::serial, 0))?;
    native.define_singleton_method("tracer_missing", function!(missing, 0))?;
    native.define_singleton_method("tracer_start", function!(start, 3))?;
    native.define_singleton_method("tracer_stress", function!(stress, 1))?;
    native.define_singleton_method("tracer_stop", function!(stop, 0))?;
    native.define_singleton_method("tracer_clear", function!(clear, 0))?;
    native.define_singleton_method("tracer_open_window", function!(open_window, 0))?;
    native.define_singleton_method("tracer_close_window", function!(close_window, 0))?;
    native.define_singleton_method("tracer_status", function!(status, 0))?;
    native.define_singleton_method("tracer_profile", function!(profile, 1))?;
    native.define_singleton_method("tracer_report", function!(report, 1))?;
    native.define_singleton_method("tracer_lookup", function!(lookup, 1))
}
