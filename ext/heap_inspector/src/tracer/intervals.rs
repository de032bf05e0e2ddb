//! What one thread allocates between moments, and what of it lives: for blocks of code that are measured one after the other.

use super::hooks::{add, with_certainly};
use super::ruby::size;
use super::state::{Mode, State};
use crate::block_profile::location;
use heap_inspector::gems::gem;
use heap_inspector_tracer::profile::ProfileFrame;
use heap_inspector_tracer::stacks::NodeId;
use heap_inspector_tracer::texts::TextId;
use heap_inspector_tracer::tracer::{Allocated, Tracer};
use magnus::{Error, RArray, Ruby};
use std::collections::HashMap;

/// Begins to note each allocation of the calling thread, with its stack, beside what is known.
pub(super) fn start(ruby: &Ruby) -> Result<(), Error> {
    super::state(ruby)?;
    // SAFETY: a living thread, which Ruby never moves.
    let thread = unsafe { rb_sys::rb_thread_current() };
    let wanted = with_certainly(|state| {
        state.end();
        state.begin(Mode::Sampled, 1, 1.0, Some(thread))
    });
    wanted.into_iter().flatten().for_each(add);
    Ok(())
}

/// A moment: how many allocations were noted before it.
pub(super) fn moment(_ruby: &Ruby) -> u32 {
    with_certainly(|state| state.tracer.sampled as u32).unwrap_or(0)
}

/// Objects allocated so far, those that are Ruby's own left out.
pub(super) fn allocated_objects(_ruby: &Ruby) -> u64 {
    allocated(|more| more.objects)
}

/// Bytes of their slots.
pub(super) fn allocated_memsize(_ruby: &Ruby) -> u64 {
    allocated(|more| more.bytes)
}

fn allocated(number: impl Fn(Allocated) -> f64) -> u64 {
    let sum = with_certainly(|state| {
        let tracer = &state.tracer;
        let is_own = |site: u32| tracer.sites.get(site).is_some_and(|site| site.is_internal);
        tracer.allocated().filter(|(_, site, _)| !is_own(*site)).map(|(.., more)| number(more)).sum::<f64>()
    });
    sum.unwrap_or(0.0).round() as u64
}

/// Objects of one interval, class and place.
#[derive(Default)]
struct Survivors {
    count: u64,
    bytes: u64,
    /// The address of one of them.
    sample: u64,
}

/// What lives of what was allocated between each two neighbouring moments: rows of the interval's number, class, the app's line, the line,
/// count, bytes, and the address of one of them.
pub(super) fn survivors(ruby: &Ruby, moments: Vec<u32>) -> Result<RArray, Error> {
    let found = with_certainly(|state| {
        let State { api, tracer, .. } = state;
        let mut found: HashMap<(usize, TextId, NodeId), Survivors> = HashMap::new();
        for (address, sample) in tracer.samples.iter() {
            let site = tracer.sites.get(sample.site);
            if site.is_some_and(|site| site.is_internal) {
                continue;
            }
            // A moment stands behind the allocations before it.
            let behind = moments.partition_point(|moment| *moment < sample.serial);
            if behind == 0 || behind == moments.len() {
                continue;
            }
            let class = site.map_or(TextId::NONE, |site| site.class);
            let survivors = found.entry((behind - 1, class, sample.stack)).or_default();
            survivors.count += 1;
            survivors.bytes += size(api, address);
            survivors.sample = address;
        }
        let row = |((interval, class, stack), survivors): ((usize, TextId, NodeId), Survivors)| {
            let class = tracer.texts.get(class).to_vec();
            let (app, place) = places(tracer, stack);
            (interval, class, app, place, survivors)
        };
        found.into_iter().map(row).collect::<Vec<_>>()
    });
    let rows = ruby.ary_new();
    for (interval, class, app, place, survivors) in found.unwrap_or_default() {
        let row = ruby.ary_new();
        row.push(interval)?;
        row.push((!class.is_empty()).then(|| ruby.enc_str_new(&class, ruby.utf8_encoding())))?;
        row.push(app)?;
        row.push(place)?;
        row.push(survivors.count)?;
        row.push(survivors.bytes)?;
        row.push(survivors.sample)?;
        rows.push(row)?;
    }
    Ok(rows)
}

/// The innermost line of the app in a stack, and the innermost line.
fn places(tracer: &Tracer, stack: NodeId) -> (Option<String>, Option<String>) {
    let mut innermost = None;
    for node in tracer.stacks.walk(stack) {
        let frame = tracer.frames.get(node.frame);
        let file = String::from_utf8_lossy(tracer.texts.get(frame.path)).into_owned();
        let frame = ProfileFrame { parent: None, file, line: node.line, label: String::new() };
        let Some(place) = location(&frame) else { continue };
        if gem(&frame.file) == "app" {
            return (Some(place.clone()), innermost.or(Some(place)));
        }
        innermost.get_or_insert(place);
    }
    (None, innermost)
}
