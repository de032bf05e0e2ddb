//! The index file beside a dump, `heap.json.hidx`: a loaded heap and its dominator tree, so that the next question needs no parsing.
//!
//! It is a cache and never believed: it names the dump's size, time of change and a hash of its ends, and this library's version, and
//! each part has a checksum; what does not fit is as good as none. It is written to a temporary file (0600) and renamed, so a reader
//! finds a whole one or none. It holds names and addresses of the dump but no string's text, and may be deleted at any time.
//! It takes about a tenth of the dump. Names are read at once; columns of objects stay in the file until they are asked for, and of those of
//! which few numbers are asked for, only their pieces are read ([`crate::heap::Heap::whole`]). The plain answer of `retained` stands in it too, so that this one
//! reads a few megabytes of whatever dump.
//!
//! Numbers are in the byte order of the machine; on another the magic number differs, and the file is as good as none.

use crate::Result;
use crate::analysis::retained::Known;
use crate::arrays::{Group, Groups, Parts};
use crate::control::Control;
use crate::graph::dominators::Tree;
use crate::heap::{Heap, Origin};
use crate::scan::Options;
use crate::source::Source;
use crate::threads;
use std::fs::{File, Metadata};
use std::io;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;
use twox_hash::XxHash3_64;

/// Raised with every change of what the file holds.
const FORMAT: u64 = 6;
/// `HEAPIDX` and a newline, which a transfer as text would change.
const MAGIC: u64 = u64::from_le_bytes(*b"HEAPIDX\n");
/// So many bytes of each end of the dump are hashed.
const END: u64 = 64 << 10;

/// The index file of a dump: its name with `.hidx` behind.
#[must_use]
pub fn path(dump: &Path) -> PathBuf {
    let mut name = dump.as_os_str().to_owned();
    name.push(".hidx");
    name.into()
}

/// What tells a dump from another, and from itself before it was changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Identity {
    size: u64,
    changed: (i64, i64),
    ends: u64,
}

impl Identity {
    fn of(dump: &Path) -> io::Result<Identity> {
        // To open a pipe would take it from the one who reads it.
        if !std::fs::metadata(dump)?.is_file() {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        let file = File::open(dump)?;
        let metadata = file.metadata()?;
        let size = metadata.len();
        let mut ends = vec![0; size.min(2 * END) as usize];
        let (head, tail) = ends.split_at_mut(size.min(END) as usize);
        file.read_exact_at(head, 0)?;
        file.read_exact_at(tail, size - tail.len() as u64)?;
        let ends = XxHash3_64::oneshot(&ends);
        Ok(Identity { size, changed: (metadata.mtime(), metadata.mtime_nsec()), ends })
    }

    fn words(self) -> [u64; 6] {
        let version = XxHash3_64::oneshot(env!("CARGO_PKG_VERSION").as_bytes());
        let (seconds, nanoseconds) = self.changed;
        [FORMAT, version, self.size, seconds as u64, nanoseconds as u64, self.ends]
    }
}

/// A heap with its dominator tree, from the index file where that is whole and of this very dump, else from the dump; then the index
/// file is written, where the folder allows it. Nothing is written or read where `source` is no file with a name.
///
/// # Errors
/// Those of [`Heap::load`] and [`Tree::new`]; never one of the index file.
pub fn load(source: &Source, options: &Options<'_>) -> Result<(Heap, Tree)> {
    match open(source, options)? {
        (heap, Opened::Whole(tree, _)) => Ok((heap, tree)),
        (heap, Opened::Unsaved(unsaved)) => {
            let tree = Tree::new(&heap, &options.control)?;
            unsaved.save(&heap, &tree, &options.control);
            Ok((heap, tree))
        }
    }
}

/// What came with a heap that [`open`] gave.
#[derive(Debug)]
#[allow(clippy::large_enum_variant, reason = "a dump has one")]
pub enum Opened {
    /// The dominator tree and the plain answer of what it retains, from the index file.
    Whole(Tree, Plain),
    /// Nothing: there was no index file to believe.
    Unsaved(Unsaved),
}

impl Default for Opened {
    /// Nothing, and nothing to save.
    fn default() -> Opened {
        Opened::Unsaved(Unsaved(None))
    }
}

/// The plain answer of what objects retain; or none.
#[derive(Debug, Default)]
pub struct Plain(pub(crate) Option<Known>);

/// The right to write the index file of a dump that was read.
#[derive(Debug)]
pub struct Unsaved(Option<(PathBuf, Identity)>);

impl Unsaved {
    /// Writes the index file, where the dump still is what it was before it was read. The plain answer is worked out for it.
    pub fn save(self, heap: &Heap, tree: &Tree, control: &Control<'_>) -> Plain {
        let Some((dump, identity)) = self.0 else { return Plain::default() };
        if Identity::of(&dump).ok() != Some(identity) {
            return Plain::default();
        }
        // A folder that may not be written to, a full disk: the answer does not depend on it.
        Plain(write(&dump, identity, heap, tree, control).ok().flatten())
    }
}

/// [`load`] for those who may never need the tree: it is not made, and no file is written until it is saved.
///
/// # Errors
/// Those of [`Heap::load`]; never one of the index file.
pub fn open(source: &Source, options: &Options<'_>) -> Result<(Heap, Opened)> {
    let dump = source.file_path();
    if let Some((heap, tree, plain)) = dump.and_then(|dump| read_all(dump, options)) {
        return Ok((heap, Opened::Whole(tree, plain)));
    }
    let before = dump.and_then(|dump| Some((dump.to_owned(), Identity::of(dump).ok()?)));
    Ok((Heap::load(source, options)?, Opened::Unsaved(Unsaved(before))))
}

/// What the index file of a dump holds; none where there is no index file, or one that cannot be believed, or that the caller's
/// options would not have made.
#[must_use]
pub fn read(dump: &Path, options: &Options<'_>) -> Option<(Heap, Tree)> {
    read_all(dump, options).map(|(heap, tree, _)| (heap, tree))
}

/// The same with the plain answer.
fn read_all(dump: &Path, options: &Options<'_>) -> Option<(Heap, Tree, Plain)> {
    let file = trusted(&path(dump)).ok()?;
    let identity = Identity::of(dump).ok()?;
    let mut groups = Groups::of(file, MAGIC, &identity.words())?;
    let first = groups.group()?;
    let origin = Arc::new(origin(dump, identity, first.clone()));
    let mut heap = Heap::from_parts(&first, &mut groups, &origin)?;
    heap.set_app(options.app);
    let (behind, last) = (groups.group()?, groups.group()?);
    let known: Vec<u8> = last.array(1)?;
    let tree = Tree::from_parts([behind, last], heap.object_count(), options.control.thread_count(), &origin)?;
    if tree.reachable().memsize > heap.memsize() || !groups.is_empty() {
        return None;
    }
    // Warnings are errors to this caller: let the dump itself tell them.
    if options.strict && !heap.diagnostics().warnings.is_empty() {
        return None;
    }
    let known = Known::from_bytes(&known, &heap, &tree);
    Some((heap, tree, Plain(known)))
}

/// Where a heap comes from whose dump is this one, and the first group of whose index file has these numbers for names.
fn origin(dump: &Path, identity: Identity, first: Group) -> Origin {
    let (index, dump) = (path(dump), dump.to_owned());
    let damaged = index.clone();
    let load = move || {
        // The next one who asks makes it anew.
        let _ = std::fs::remove_file(&damaged);
        let is_same = || Identity::of(&dump).ok() == Some(identity);
        let heap = Heap::load(&Source::path(&dump), &Options::default()).ok().filter(|_| is_same())?;
        heap.renumbered(&first)
    };
    Origin { path: index, load: Box::new(load), lost: AtomicBool::new(false) }
}

/// Opens an index file: no link, and of the one who reads it or of the administrator. Another's could say anything.
fn trusted(path: &Path) -> io::Result<File> {
    use rustix::fs::{Mode, OFlags};
    let file = File::from(rustix::fs::open(
        path,
        OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::NONBLOCK,
        Mode::empty(),
    )?);
    let metadata: Metadata = file.metadata()?;
    let ours = [0, rustix::process::geteuid().as_raw()].contains(&metadata.uid());
    if metadata.is_file() && ours { Ok(file) } else { Err(io::ErrorKind::PermissionDenied.into()) }
}

/// Writes the file; the plain answer is worked out on another thread meanwhile.
fn write(
    dump: &Path,
    identity: Identity,
    heap: &Heap,
    tree: &Tree,
    control: &Control<'_>,
) -> io::Result<Option<Known>> {
    let path = path(dump);
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let mut parts = Parts::default();
    heap.parts(&mut parts);
    tree.parts(&mut parts);
    // A byte beyond it would end the process (SIGXFSZ).
    let most = rustix::process::getrlimit(rustix::process::Resource::Fsize).current;
    if most.is_some_and(|most| parts.bytes() + parts.bytes() / ROOM + LAST > most) {
        return Err(io::ErrorKind::FileTooLarge.into());
    }
    sweep(folder);
    let mut file = tempfile::Builder::new().prefix(UNFINISHED).tempfile_in(folder)?;
    let writing = parts.begin(file.as_file_mut(), identity.words().len());
    let (known, written) = threads::both(
        control.thread_count() > 1,
        || Known::new(heap, tree, control).ok(),
        || writing.and_then(|mut writing| writing.put_all().map(|()| writing)),
    );
    let last = known.as_ref().map(Known::to_bytes).unwrap_or_default();
    written?.end(last, MAGIC, &identity.words())?;
    file.persist(&path).map(drop).map_err(|error| error.error)?;
    Ok(known)
}

/// What stands in the file beside the arrays at most: a part of their bytes, and the plain answer with the file's head.
const ROOM: u64 = 256;
const LAST: u64 = 1 << 20;

/// What an unfinished index file's name begins with.
const UNFINISHED: &str = ".hidx-";
/// No index file takes so long to write.
const ABANDONED: Duration = Duration::from_secs(3600);
/// So many names of a folder are looked at.
const LOOKED_AT: usize = 10_000;

/// Removes what writers of ours that were killed have left in the folder.
fn sweep(folder: &Path) {
    let ours = |metadata: &Metadata| metadata.is_file() && metadata.uid() == rustix::process::geteuid().as_raw();
    let is_old = |metadata: &Metadata| metadata.modified().ok().and_then(|at| at.elapsed().ok()) > Some(ABANDONED);
    for entry in std::fs::read_dir(folder).into_iter().flatten().take(LOOKED_AT).flatten() {
        let is_named = entry.file_name().to_string_lossy().starts_with(UNFINISHED);
        // The entry's own metadata: of a link those of the link.
        if is_named && entry.metadata().is_ok_and(|metadata| ours(&metadata) && is_old(&metadata)) {
            // Another may have removed it.
            let _ = std::fs::remove_file(entry.path());
        }
    }
}

#[cfg(test)]
mod tests;
