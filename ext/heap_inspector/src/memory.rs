//! Where the resident memory of this process is: every mapping's, split by who owns it. What a row is called and what it says of the
//! process is `lib/heap_inspector/memory.rb`'s.
//!
//! The GVL is kept for a few milliseconds, in which Ruby's pages are listed and some of them looked at; all else is read without it, by
//! no lock that malloc or the kernel's mapping calls would wait for long. A process of 1 GiB takes 10 to 50 ms.

mod claims;
mod glibc;
mod maps;
mod others;
mod own;
mod slots;
mod threads;
mod transient;

use crate::errors;
use crate::gvl;
use crate::native::function;
use claims::Claims;
use heap_inspector::Error as Failure;
use magnus::{Error, Object, RHash, RModule, Ruby};
use maps::Area;
use others::Figures;
use own::Own;
use slots::Slots;
use std::collections::BTreeMap;
use std::io;
use std::path::PathBuf;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

/// Bytes of a guard below a stack, at most, and of a stack.
const GUARD: u64 = 1 << 16;
const STACK: u64 = 8 << 20;

/// What is to be known with the GVL before the rest is read.
pub(crate) struct Question {
    slots: Slots,
}

/// Bytes of resident memory by owner. They add up to `resident`.
#[derive(Default)]
pub(crate) struct Answer {
    slots: Slots,
    figures: Figures,
    resident: u64,
    /// Ruby's heap pages.
    heap: u64,
    /// glibc's arenas and what of them is free: the main one, the others.
    arenas: [(u64, u64); 2],
    /// How many arenas there are beside the main one.
    others: u64,
    /// Blocks of malloc that have a mapping of their own.
    blocks: u64,
    stacks: u64,
    /// Short-lived parts of objects, up to Ruby 3.2.
    transient: u64,
    /// Machine code made while the process runs.
    code: u64,
    /// Libraries' variables without a first value.
    bss: u64,
    /// Mappings that were given a name.
    named: BTreeMap<Vec<u8>, u64>,
    files: BTreeMap<Vec<u8>, u64>,
    /// Memory that several processes may write to.
    shared: u64,
    /// Nobody's.
    rest: u64,
    threads: u64,
}

impl Question {
    /// `state` is Ruby's word for what its collector does. No more than `millis` are spent on slots.
    pub(crate) fn new(page_bytes: u64, state: &str, is_alone: bool, millis: u64) -> Question {
        // SAFETY: numbers that do not change.
        let [major, _, _] = unsafe { rb_sys::ruby_api_version };
        let mut slots = Slots::default();
        if major == 3 && is_alone {
            // Collections stay as they are: switching them off would end one that is under way. Nothing here makes an object.
            // SAFETY: a Ruby thread with the GVL and no other Ractor.
            slots =
                unsafe { slots::look(page_bytes, state == "none", state == "sweeping", Duration::from_millis(millis)) };
        }
        Question { slots }
    }

    /// Reads the rest. To be called without the GVL.
    pub(crate) fn answer(self) -> io::Result<Answer> {
        let areas = maps::areas()?;
        let own = Own::open();
        let mut figures = others::figures();
        if figures.name == "glibc" && own.is_closed() {
            // What of its arenas is free stands in its chunks alone: nothing is said of them.
            figures = Figures::default();
        }
        let mut claims = Claims::new(&areas);
        let heap = claims.take(&areas, &self.slots.pages);
        let mut answer = Answer { slots: self.slots, heap, ..Answer::default() };
        answer.resident = areas.iter().map(|area| area.resident).sum();
        let parts = if figures.name == "glibc" { glibc::parts(&own, &areas) } else { Vec::new() };
        for (seen, part) in glibc::sample(&own, &areas, &parts).iter().zip(&parts) {
            let all = areas[part.area].resident_in(part.start, part.end);
            let taken = claims.take(&areas, &[(part.start, part.end)]);
            let told = seen.free + seen.used;
            // The bytes of 2^48 times those of 2^26 fit into this.
            let free = if told == 0 { 0 } else { u128::from(all) * u128::from(seen.free) / u128::from(told) };
            let arena = &mut answer.arenas[usize::from(!part.is_main)];
            arena.0 += taken;
            arena.1 += u64::try_from(free).unwrap_or(0).min(taken);
        }
        let mut arenas: Vec<u64> = parts.iter().filter(|part| !part.is_main).map(|part| part.arena).collect();
        arenas.sort_unstable();
        arenas.dedup();
        answer.others = arenas.len() as u64;
        let threads = threads::all();
        answer.stacks = claims.take(&areas, &stacks(&areas, &parts, &claims));
        answer.stacks += claims.take(&areas, &merged_stacks(&areas, &claims, &threads::ends(&threads)));
        answer.threads = threads.len() as u64;
        answer.bss = claims.take(&areas, &others::bss());
        if let Some(range) = transient::find(&own, &areas, claims.left()) {
            answer.transient = claims.take(&areas, &[range]);
        }
        if figures.name == "glibc" {
            let blocks = glibc::blocks(&own, &areas, claims.left());
            answer.blocks = claims.take(&areas, &blocks);
        }
        for area in &areas {
            let range = [(area.start, area.end)];
            if !area.is_anonymous() {
                answer.file(area);
            } else if area.may(b'x') {
                answer.code += claims.take(&areas, &range);
            } else if area.name.starts_with(b"[anon:") {
                *answer.named.entry(area.name.clone()).or_default() += claims.take(&areas, &range);
            }
        }
        answer.rest = claims.resident();
        answer.figures = figures;
        Ok(answer)
    }
}

/// Stacks of threads and fibers: memory right behind a small mapping that may not be touched. The main thread's has a name.
fn stacks(areas: &[Area], parts: &[glibc::Part], claims: &Claims) -> Vec<(u64, u64)> {
    let is_heap = |at: u64| parts.iter().any(|part| !part.is_main && at / (64 << 20) == part.start / (64 << 20));
    let mut stacks = Vec::new();
    for pair in areas.windows(2) {
        let [guard, stack] = pair else { continue };
        let is_guarded = guard.is_closed()
            && guard.is_anonymous()
            && guard.end - guard.start <= GUARD
            && guard.end == stack.start
            && !is_heap(guard.start);
        if stack.is_anonymous() && stack.may(b'w') && (is_guarded || stack.name == b"[stack]") {
            // As far as it is nobody's: another mapping may go on where the stack ends.
            let end = claims.left().iter().find(|free| free.start == stack.start).map_or(stack.start, |free| free.end);
            let most = if stack.name == b"[stack]" { stack.end } else { stack.start + STACK };
            if end > stack.start {
                stacks.push((stack.start, end.min(most)));
            }
        }
    }
    stacks
}

/// Stacks of threads in what is nobody's: from glibc 2.42 and Linux 6.13 on the guard is no mapping of its own, so that neighbours are one
/// mapping. They are told apart by where each of them ends.
fn merged_stacks(areas: &[Area], claims: &Claims, ends: &[u64]) -> Vec<(u64, u64)> {
    let mut stacks = Vec::new();
    for free in claims.left().iter().filter(|free| areas[free.area].may(b'w')) {
        let mut start = free.start;
        let first = ends.partition_point(|end| *end <= free.start);
        for end in ends[first..].iter().copied().take_while(|end| *end <= free.end) {
            stacks.push((start.max(end.saturating_sub(STACK)), end));
            start = end;
        }
    }
    stacks
}

impl Answer {
    fn file(&mut self, area: &Area) {
        let is_shared = area.access[3] == b's';
        let is_memory = area.name.is_empty()
            || [&b"/memfd:"[..], b"/dev/shm/", b"/SYSV", b"/dev/zero", b"[anon_shmem:"]
                .iter()
                .any(|start| area.name.starts_with(start));
        if is_shared && is_memory {
            self.shared += area.resident;
        } else {
            *self.files.entry(area.name.clone()).or_default() += area.resident;
        }
    }

    /// A Hash by the names of the fields.
    pub(crate) fn to_hash(&self, ruby: &Ruby) -> Result<RHash, Error> {
        let hash = ruby.hash_new();
        let numbers = [
            ("resident", self.resident),
            ("heap", self.heap),
            ("main", self.arenas[0].0),
            ("main_free", self.arenas[0].1),
            ("arenas", self.arenas[1].0),
            ("arenas_free", self.arenas[1].1),
            ("arena_count", self.others),
            ("blocks", self.blocks),
            ("stacks", self.stacks),
            ("transient", self.transient),
            ("code", self.code),
            ("bss", self.bss),
            ("shared", self.shared),
            ("rest", self.rest),
            ("threads", self.threads),
            ("used", self.figures.used),
            ("held", self.figures.held),
            ("pages", self.slots.pages.len() as u64),
            ("looked", self.slots.looked),
            ("symbols", self.slots.symbols),
        ];
        for (name, number) in numbers {
            hash.aset(ruby.to_symbol(name), number)?;
        }
        hash.aset(ruby.to_symbol("allocator"), self.figures.name)?;
        let kinds = ruby.hash_new();
        for (name, kind) in slots::KINDS.iter().zip(&self.slots.kinds) {
            kinds.aset(ruby.to_symbol(*name), ruby.ary_from_iter(kind.iter().copied()))?;
        }
        hash.aset(ruby.to_symbol("kinds"), kinds)?;
        for (name, sums) in [("files", &self.files), ("named", &self.named)] {
            let found = ruby.hash_new();
            for (path, bytes) in sums.iter().filter(|(_, bytes)| **bytes > 0) {
                found.aset(ruby.enc_str_new(path, ruby.utf8_encoding()), *bytes)?;
            }
            hash.aset(ruby.to_symbol(name), found)?;
        }
        Ok(hash)
    }
}

/// Where the memory of this process is, as numbers; see [`Question::new`] for the arguments.
fn memory(ruby: &Ruby, page_bytes: u64, state: String, is_alone: bool, millis: u64) -> Result<RHash, Error> {
    let mut question = Some(Question::new(page_bytes, &state, is_alone, millis));
    let answered = gvl::without(ruby, &AtomicBool::new(false), || question.take().map(Question::answer))?;
    match answered {
        Some(Ok(answer)) => answer.to_hash(ruby),
        Some(Err(source)) => {
            Err(errors::raised(ruby, &Failure::File { path: PathBuf::from("/proc/self/maps"), source }))
        }
        None => Ok(ruby.hash_new()),
    }
}

/// Gives back what malloc has free: nil where it is not glibc's, else whether there was something.
fn trim(ruby: &Ruby) -> Result<Option<bool>, Error> {
    gvl::without(ruby, &AtomicBool::new(false), others::trim)
}

pub(crate) fn define(native: RModule) -> Result<(), Error> {
    native.define_singleton_method("memory", function!(memory, 4))?;
    native.define_singleton_method("trim", function!(trim, 0))
}
