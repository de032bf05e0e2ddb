//! What is alive as a profile: by the stack or line that allocated it, or by the classes of what dominates it.

use super::{Contents, FileFormat, Frames, Options, failed, speedscope};
use crate::analysis::dominator_tree::Shown;
use crate::analysis::dominators_by_key;
use crate::control::Control;
use crate::graph::dominators::Dominator;
use crate::heap::Heap;
use crate::human;
use crate::keys::{Key, Values};
use crate::sampling::Sampling;
use crate::snapshot::Named;
use crate::stacks::FrameId;
use crate::symbols::SiteId;
use crate::{Result, sort};
use hashbrown::HashMap;
use heap_inspector_tracer::profile::{Profile, ProfileFrame, Row};
use std::io::Write;
use std::path::Path;
use std::time::{Duration, UNIX_EPOCH};

/// Levels of dominators: what stands deeper is counted to the last one. A list of a million nodes is no million frames deep.
const LEVELS: usize = 64;
/// What retains less than such a part of all is put together, where nothing else is asked for.
const PART: u64 = 100_000;

/// Writes it.
pub(super) fn write(
    dump: &Named<'_>,
    options: &Options,
    path: &Path,
    out: &mut dyn Write,
    control: &Control<'_>,
) -> Result<Contents> {
    let heap = dump.snapshot.heap();
    let by = options.frames.unwrap_or(match heap.names().tables.stacks.is_empty() {
        true => Frames::Site,
        false => Frames::Stack,
    });
    let (profile, notes) = match by {
        Frames::Stack | Frames::Site => by_allocation(heap, by, options, control)?,
        Frames::Dominators => by_dominators(dump, options.min, control)?,
    };
    let failed = failed(path);
    match options.format {
        FileFormat::Folded => out.write_all(profile.folded().as_bytes()).map_err(failed)?,
        FileFormat::Speedscope => speedscope::write(&profile, dump.name, out).map_err(failed)?,
        _ => {
            let packed = profile.pprof(UNIX_EPOCH, Duration::ZERO).map_err(failed)?;
            out.write_all(&packed).map_err(failed)?;
        }
    }
    out.flush().map_err(failed)?;
    let objects = profile.rows.iter().map(|row| row.inuse_objects).sum::<f64>() as u64;
    Ok(Contents { objects, links: profile.rows.len() as u64, notes })
}

fn empty() -> Profile {
    Profile { every: 1, is_of_living: true, ..Profile::default() }
}

fn row(frame: Option<u32>, class: String, count: u64, bytes: u64) -> Row {
    Row {
        frame,
        class,
        age: None,
        inuse_objects: count as f64,
        inuse_space: bytes as f64,
        alloc_objects: 0.0,
        alloc_space: 0.0,
        samples: count,
    }
}

/// Numbers of the profile's frames, made when they are first asked for.
struct Numbers<'a> {
    heap: &'a Heap,
    frames: HashMap<FrameId, u32>,
    sites: HashMap<SiteId, u32>,
    untraced: Option<u32>,
}

impl Numbers<'_> {
    fn frame(&mut self, profile: &mut Profile, frame: FrameId) -> u32 {
        let stacks = &self.heap.names().tables.stacks;
        let mut missing: Vec<FrameId> = Vec::new();
        let mut parent = None;
        for frame in stacks.frames(frame) {
            parent = self.frames.get(&frame).copied();
            if parent.is_some() {
                break;
            }
            missing.push(frame);
        }
        for frame in missing.into_iter().rev() {
            let number = push(profile, self.heap, stacks.site(frame), parent);
            self.frames.insert(frame, number);
            parent = Some(number);
        }
        parent.unwrap_or_default()
    }

    fn site(&mut self, profile: &mut Profile, site: SiteId) -> u32 {
        match self.sites.get(&site) {
            Some(number) => *number,
            None => {
                let number = push(profile, self.heap, site, None);
                self.sites.insert(site, number);
                number
            }
        }
    }

    fn untraced(&mut self, profile: &mut Profile) -> u32 {
        *self.untraced.get_or_insert_with(|| named(profile, "(untraced)".to_owned(), None))
    }
}

fn named(profile: &mut Profile, label: String, parent: Option<u32>) -> u32 {
    profile.frames.push(ProfileFrame { parent, file: String::new(), line: 0, label });
    profile.frames.len() as u32 - 1
}

fn push(profile: &mut Profile, heap: &Heap, site: SiteId, parent: Option<u32>) -> u32 {
    let tables = &heap.names().tables;
    let site = tables.sites.get(site);
    let file = tables.symbols.text(site.file).into_owned();
    let label = match tables.symbols.text(site.method) {
        method if method.is_empty() && file.is_empty() => "(no file)".to_owned(),
        method if method.is_empty() => file.clone(),
        method => method.into_owned(),
    };
    profile.frames.push(ProfileFrame { parent, file, line: site.line, label });
    profile.frames.len() as u32 - 1
}

fn by_allocation(heap: &Heap, by: Frames, options: &Options, control: &Control<'_>) -> Result<(Profile, Vec<String>)> {
    let names = heap.names();
    let keys = [Key::Class, Key::Location, Key::Method, Key::Stack, Key::Traced];
    let parts = keys.iter().fold(options.filter.parts(), |parts, key| parts.union(key.parts()));
    let sums = heap.sums(parts, options.filter.memsize(), control)?;
    let sampling = names.sampling;
    let is_sampled = match by {
        Frames::Stack => sampling.is_some(),
        _ => sampling.is_some_and(Sampling::is_of_lines),
    };
    let every = if is_sampled { sampling.map_or(1, |sampling| sampling.every) } else { 1 };
    let mut values = Values::new(names);
    let mut profile = empty();
    profile.every = u32::try_from(every).unwrap_or(u32::MAX);
    let mut numbers = Numbers { heap, frames: HashMap::new(), sites: HashMap::new(), untraced: None };
    // Of one frame and class there may be many: they differ in what the filter asks for.
    let mut rows: HashMap<(u32, String), (u64, u64)> = HashMap::new();
    let mut untold = 0u64;
    // Frames are numbered as they come: in the same order each time.
    let mut sums: Vec<_> = sums.iter().collect();
    sort::by_key(&mut sums, |(properties, _)| (properties.stack.0, properties.names.site.0));
    for (step, (properties, sum)) in sums.into_iter().enumerate() {
        control.check_at(step)?;
        if !options.filter.holds(&mut values, properties) {
            continue;
        }
        let (stack, site) = (properties.stack, properties.names.site);
        let frame = match by {
            Frames::Stack if stack.is_some() => numbers.frame(&mut profile, stack),
            Frames::Site if site != SiteId::NONE => numbers.site(&mut profile, site),
            // Samples stand for all.
            _ if is_sampled => {
                untold += sum.count;
                continue;
            }
            Frames::Stack if site != SiteId::NONE => numbers.site(&mut profile, site),
            _ => numbers.untraced(&mut profile),
        };
        let class = values.value(Key::Class, properties);
        let class = values.outside(class).words().unwrap_or_default().to_owned();
        let known = rows.entry((frame, class)).or_default();
        known.0 = known.0.saturating_add(sum.count.saturating_mul(every));
        known.1 = known.1.saturating_add(sum.memsize.saturating_mul(every));
    }
    profile.rows =
        rows.into_iter().map(|((frame, class), (count, bytes))| row(Some(frame), class, count, bytes)).collect();
    let key = |row: &Row| (row.frame, row.class.clone());
    sort::by(&mut profile.rows, |a, b| b.inuse_space.total_cmp(&a.inuse_space).then_with(|| key(a).cmp(&key(b))));
    let mut notes = Vec::new();
    if is_sampled {
        notes.push(format!(
            "an estimate: one allocation of {} was sampled and stands for as many; {} objects were not",
            human::count(every),
            human::count(untold)
        ));
    }
    Ok((profile, notes))
}

fn by_dominators(dump: &Named<'_>, min: u64, control: &Control<'_>) -> Result<(Profile, Vec<String>)> {
    let (heap, tree) = (dump.snapshot.heap(), dump.snapshot.tree(control)?);
    let all = tree.reachable();
    let min = if min > 0 { min } else { all.memsize / PART };
    let shown = Shown { depth: LEVELS, min, width: usize::MAX };
    let found = dominators_by_key::dominators_by_key(heap, tree, Key::Class, Dominator::Root, shown, control)?;
    let mut profile = empty();
    // The rows that stand above the one at hand: their frames and what of them is their own.
    let mut open: Vec<usize> = Vec::new();
    let mut own: Vec<(u64, u64)> = Vec::new();
    for (step, row) in found.rows.iter().enumerate() {
        control.check_at(step)?;
        open.truncate(row.depth);
        if let Some(above) = open.last() {
            own[*above].0 = own[*above].0.saturating_sub(row.retained_count);
            own[*above].1 = own[*above].1.saturating_sub(row.retained_memsize);
        }
        let label = match &row.key {
            Some(class) => class.words().unwrap_or_default().to_owned(),
            None => "(smaller)".to_owned(),
        };
        named(&mut profile, label, open.last().map(|above| *above as u32));
        own.push((row.retained_count, row.retained_memsize));
        open.push(step);
    }
    let rows = own.into_iter().enumerate().filter(|(_, (count, bytes))| *count > 0 || *bytes > 0);
    profile.rows = rows.map(|(at, (count, bytes))| row(Some(at as u32), String::new(), count, bytes)).collect();
    let notes = vec![format!(
        "what retains less than {} is put together, what stands deeper than {LEVELS} levels counts to the last; {} objects that no \
         root leads to are left out",
        human::bytes(min),
        human::count((heap.object_count() as u64).saturating_sub(all.count))
    )];
    Ok((profile, notes))
}
