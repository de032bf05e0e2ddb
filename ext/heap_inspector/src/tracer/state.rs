//! What is traced, how, and at what cost.

use super::hooks::{FROZEN, Hook, LEFT, Wanted, on_allocation, on_each_allocation, on_marked, remove_hook};
use super::ruby::{Api, class_of, described, generation, intern, name_of};
use heap_inspector_tracer::distance::Distances;
use heap_inspector_tracer::pages::Allocation;
use heap_inspector_tracer::rhythm::Rhythm;
use heap_inspector_tracer::sites::Key;
use heap_inspector_tracer::stacks::NodeId;
use heap_inspector_tracer::tracer::{Sample, Tracer};
use rb_sys::{Qfalse, Qnil, VALUE};
use std::ffi::c_int;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

/// Frames of a stack at most; of a deeper one the innermost.
pub(super) const DEPTH: usize = 256;

/// What Ruby takes for any hook of allocations, in nanoseconds: measured on 3.1 to 3.4, 25 frames deep.
pub(super) const FLOOR: f64 = 20.0;

/// Samples of a window of continuous tracing at most.
pub(super) const WINDOW_SAMPLES: usize = 256;

/// What is traced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mode {
    /// Every allocation's site, and stacks of samples.
    Full,
    /// Sites and stacks of samples.
    Sampled,
    /// The same in windows.
    Continuous,
}

impl Mode {
    pub(super) const NAMED: [(Mode, &'static str); 3] =
        [(Mode::Full, "full"), (Mode::Sampled, "sampled"), (Mode::Continuous, "continuous")];

    pub(super) fn name(self) -> &'static str {
        Mode::NAMED.iter().find(|(mode, _)| *mode == self).map_or("", |(_, name)| name)
    }
}

/// A window of continuous tracing.
#[derive(Default)]
pub(super) struct Window {
    /// The addresses of what was sampled in it.
    pub(super) samples: Vec<u64>,
    /// How many were sampled, those that died among them.
    pub(super) count: u32,
    /// All objects ever allocated, when the last window with samples was closed.
    pub(super) last_closed: u64,
    /// When the last window was closed: the time, the processor time of the process, and the cost.
    pub(super) closed: Option<Instant>,
    pub(super) processor: Duration,
    pub(super) cost: f64,
}

pub(super) struct State {
    pub(super) api: Api,
    pub(super) tracer: Tracer,
    pub(super) mode: Mode,
    pub(super) distances: Distances,
    /// The thread that is looked at, where it is one alone.
    pub(super) thread: Option<VALUE>,
    /// Whether it is noted where samples come from, not what class they are of alone: their stacks take ten times as long as the rest.
    pub(super) takes_places: bool,
    /// Whether allocations are traced: the hook is in, or in continuous mode goes in and out.
    pub(super) is_on: bool,
    /// Whether the hook of allocations is in.
    pub(super) is_hooked: bool,
    /// Whether the hook for the end of marking is in.
    pub(super) awaits_marks: bool,
    /// Whether it has to stay, since it cannot be put in under `GC.stress`.
    pub(super) is_stressed: bool,
    /// The collection that began to mark, as long as the end of that was not seen. Hooks are a Ractor's own, and none is called within
    /// another: of what such a collection frees nothing is known.
    pub(super) marking: Option<u32>,
    /// The count of major collections at the last end of marking.
    pub(super) majors: u64,
    /// How many were allocated while the hook was in; up to the last stop.
    pub(super) seen: u64,
    /// All objects ever allocated, when the hook went in.
    pub(super) hooked_at: u64,
    /// Nanoseconds in the hook, as measured at samples, without [`FLOOR`].
    pub(super) cost: f64,
    /// How many samples there were, and how many objects ever allocated, when tracing began or all was forgotten.
    pub(super) first: (u64, u64),
    pub(super) began: Instant,
    pub(super) began_processor: Duration,
    /// The share of the processor that continuous tracing may take.
    pub(super) budget: f64,
    pub(super) rhythm: Rhythm,
    pub(super) window: Window,
    pub(super) frames: Box<[VALUE; DEPTH]>,
    pub(super) lines: Box<[c_int; DEPTH]>,
}

impl State {
    pub(super) fn new(api: Api) -> State {
        State {
            api,
            tracer: Tracer::default(),
            mode: Mode::Sampled,
            distances: Distances::new(1, 1),
            thread: None,
            takes_places: true,
            is_on: false,
            is_hooked: false,
            awaits_marks: false,
            is_stressed: false,
            marking: None,
            majors: 0,
            seen: 0,
            hooked_at: 0,
            cost: 0.0,
            first: (0, 0),
            began: Instant::now(),
            began_processor: processor_time(),
            budget: 0.01,
            rhythm: Rhythm::default(),
            window: Window::default(),
            frames: Box::new([0; DEPTH]),
            lines: Box::new([0; DEPTH]),
        }
    }

    /// Notes where a new object comes from.
    #[inline]
    pub(super) fn note(&mut self, argument: *mut rb_sys::rb_trace_arg_t) {
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
    pub(super) fn sample(&mut self, argument: *mut rb_sys::rb_trace_arg_t) {
        if FROZEN.load(Ordering::Relaxed) {
            LEFT.store(u32::MAX, Ordering::Relaxed);
            return;
        }
        LEFT.store(self.distances.draw(), Ordering::Relaxed);
        // SAFETY: tells a pointer of the running thread.
        if self.thread.is_some_and(|thread| thread != unsafe { rb_sys::rb_thread_current() }) {
            return;
        }
        // What one thread's blocks cost is nobody's question, and two looks at a clock take as long as the rest.
        let start = self.thread.is_none().then(Instant::now);
        let nanoseconds = || start.map_or(0.0, |start| start.elapsed().as_nanos() as f64);
        // SAFETY: as in `note`.
        let object = unsafe { rb_sys::rb_tracearg_object(argument) };
        let slot = self.api.slot(object);
        if self.thread.is_some() && !self.takes_places {
            match self.class_alone(object) {
                Some(site) => self.tracer.count(object as u64, slot, site),
                None => self.tracer.lost += 1,
            }
            return;
        }
        let site = self.site(argument, object);
        let generation = generation();
        if self.mode == Mode::Full {
            match site {
                Some(site) => self.tracer.record(object as u64, slot, Allocation { site, generation }),
                None => self.tracer.lost += 1,
            }
            // Nobody but the sample is measured; the others do the same but for the stack.
            self.cost += nanoseconds() * f64::from(self.distances.mean() - 1);
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
        self.cost += nanoseconds();
    }

    #[inline]
    pub(super) fn site(&mut self, argument: *mut rb_sys::rb_trace_arg_t, object: VALUE) -> Option<u32> {
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

    fn class_alone(&mut self, object: VALUE) -> Option<u32> {
        // SAFETY: as in `note`.
        let key = Key { class: unsafe { class_of(object) }, ..Key::default() };
        self.tracer.sites.find(&key).or_else(|| self.learn_site(key, 0))
    }

    #[cold]
    pub(super) fn learn_site(&mut self, key: Key, method: VALUE) -> Option<u32> {
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
    pub(super) fn stack(&mut self) -> NodeId {
        // SAFETY: both have room for so many.
        let count =
            unsafe { rb_sys::rb_profile_frames(0, DEPTH as c_int, self.frames.as_mut_ptr(), self.lines.as_mut_ptr()) };
        let count = usize::try_from(count).unwrap_or(0).min(DEPTH);
        let Tracer { texts, frames, stacks, .. } = &mut self.tracer;
        let (addresses, lines) = (&self.frames[..count], &self.lines[..count]);
        let found = addresses.iter().zip(lines).rev().map_while(|(&address, line)| {
            let frame = match frames.find(address) {
                Some(frame) => Some(frame),
                None => frames.learn(address, described(texts, address)),
            };
            frame.map(|frame| (frame, u32::try_from(*line).unwrap_or(0)))
        });
        // Beneath the program Ruby has a frame without a line, in which nothing happens.
        let has_bottom = count > 1 && lines.last() == Some(&0);
        stacks.intern(found.skip(usize::from(has_bottom)))
    }

    /// Ruby marks: in a collection, of which this may be one of several steps, or since somebody asks what objects refer to.
    pub(super) fn begin_marking(&mut self) {
        if !self.api.is_marking() {
            return;
        }
        let now = generation();
        if self.marking.is_some_and(|begun| begun != now) {
            self.forget();
        }
        self.marking = self.has_work().then_some(now);
    }

    /// Whether a collection has freed objects that are not known to be dead.
    pub(super) fn is_outdated(&self) -> bool {
        self.marking.is_some() && !self.api.is_marking()
    }

    /// Makes the tables true before they are read: what may be dead is unknown.
    pub(super) fn settle(&mut self) {
        if self.is_outdated() {
            self.forget();
        }
    }

    fn forget(&mut self) {
        let lost = self.tracer.lost + self.tracer.live() as u64;
        self.clear();
        self.tracer.lost = lost;
        self.marking = None;
    }

    pub(super) fn sweep(&mut self) {
        self.marking = None;
        // SAFETY: asks for one number, which makes no object.
        let majors = unsafe { rb_sys::rb_gc_stat(self.api.major_count) } as u64;
        let is_major = majors != self.majors;
        self.majors = majors;
        let State { api, tracer, .. } = self;
        tracer.sweep(is_major, |address| api.mark(address));
    }

    /// The hook for the end of marking, where something is to be kept true.
    pub(super) fn await_marks(&mut self) -> Wanted {
        if self.awaits_marks || !self.has_work() {
            return None;
        }
        self.awaits_marks = true;
        Some((on_marked, rb_sys::RUBY_INTERNAL_EVENT_GC_END_MARK))
    }

    /// Whether there is something to be kept true.
    pub(super) fn has_work(&self) -> bool {
        self.is_on || !self.tracer.is_empty()
    }

    pub(super) fn hook(&mut self) -> Wanted {
        if self.is_hooked {
            return None;
        }
        self.is_hooked = true;
        self.hooked_at = self.total_allocated();
        LEFT.store(self.distances.draw(), Ordering::Relaxed);
        let function: Hook = if self.mode == Mode::Full { on_each_allocation } else { on_allocation };
        Some((function, rb_sys::RUBY_INTERNAL_EVENT_NEWOBJ))
    }

    pub(super) fn unhook(&mut self) {
        if !self.is_hooked {
            return;
        }
        self.is_hooked = false;
        remove_hook(if self.mode == Mode::Full { on_each_allocation } else { on_allocation });
        self.seen += self.total_allocated().saturating_sub(self.hooked_at);
    }

    pub(super) fn total_allocated(&self) -> u64 {
        // SAFETY: as in `sweep`.
        unsafe { rb_sys::rb_gc_stat(self.api.total_allocated) as u64 }
    }

    pub(super) fn seen(&self) -> u64 {
        let now = if self.is_hooked { self.total_allocated().saturating_sub(self.hooked_at) } else { 0 };
        self.seen + now
    }

    /// Nanoseconds that tracing took, those of Ruby among them.
    pub(super) fn whole_cost(&self) -> f64 {
        self.cost + self.seen() as f64 * FLOOR
    }

    /// For how many allocations a sample stands on average; of continuous tracing those between the windows, too.
    pub(super) fn weight(&self) -> f64 {
        let (samples, allocated) = (self.tracer.sampled - self.first.0, self.total_allocated() - self.first.1);
        match self.mode {
            Mode::Continuous if samples > 0 => allocated as f64 / samples as f64,
            _ => f64::from(self.distances.mean()),
        }
    }

    pub(super) fn begin(&mut self, mode: Mode, every: u32, budget: f64, thread: Option<VALUE>) -> [Wanted; 2] {
        self.mode = mode;
        (self.thread, self.takes_places) = (thread, true);
        self.distances = Distances::new(every, seed());
        (self.seen, self.cost) = (0, 0.0);
        (self.began, self.began_processor) = (Instant::now(), processor_time());
        self.first = (self.tracer.sampled, self.total_allocated());
        self.budget = budget;
        self.is_on = true;
        let marks = if self.api.hides_hooks && !self.is_stressed { None } else { self.await_marks() };
        if mode == Mode::Continuous {
            let total = self.total_allocated();
            self.window = Window { last_closed: total, processor: processor_time(), ..Window::default() };
            self.rhythm = Rhythm::default();
            return [marks, None];
        }
        [marks, self.hook()]
    }

    pub(super) fn end(&mut self) {
        self.close_window();
        self.unhook();
        self.is_on = false;
    }

    pub(super) fn open_window(&mut self) -> Wanted {
        if !self.is_on || self.mode != Mode::Continuous || self.is_hooked {
            return None;
        }
        self.hook()
    }

    /// Closes a window: what was sampled in it stands for all that was allocated since the one before, and the next ones come as often as
    /// the budget allows.
    pub(super) fn close_window(&mut self) {
        let is_closed = !self.is_hooked && self.window.count == 0;
        if self.mode != Mode::Continuous || !self.is_on || is_closed {
            return;
        }
        self.unhook();
        let (total, processor, cost) = (self.total_allocated(), processor_time(), self.whole_cost());
        let mut samples = std::mem::take(&mut self.window.samples);
        if self.window.count > 0 {
            let weight = total.saturating_sub(self.window.last_closed) as f32 / self.window.count as f32;
            let api = &self.api;
            self.tracer.reweigh(&samples, |address| api.slot(address as VALUE), weight.max(1.0));
            self.window.last_closed = total;
        }
        let now = Instant::now();
        let before = &self.window;
        let (spent, time) = (processor.saturating_sub(before.processor), before.closed.map(|closed| now - closed));
        self.rhythm.take(cost - before.cost, spent, time.unwrap_or(now - self.began));
        samples.clear();
        self.window =
            Window { closed: Some(now), processor, cost, samples, count: 0, last_closed: self.window.last_closed };
    }

    pub(super) fn clear(&mut self) {
        self.tracer = Tracer::default();
        self.first = (0, self.total_allocated());
        self.window.samples.clear();
    }
}

pub(super) fn processor_time() -> Duration {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: a place to write to.
    unsafe { libc::clock_gettime(libc::CLOCK_PROCESS_CPUTIME_ID, &raw mut time) };
    Duration::new(time.tv_sec.unsigned_abs(), u32::try_from(time.tv_nsec).unwrap_or(0))
}

pub(super) fn seed() -> u64 {
    use std::hash::{BuildHasher, RandomState};
    RandomState::new().hash_one(std::process::id())
}
