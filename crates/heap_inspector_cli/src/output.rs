//! Where dumps and answers are written to: what a name stands for, and files that have their name only when they are whole.
//!
//! A name that is free, or a file's, gets a new file: until it is whole it is `NAME.PID-RANDOM.heap.tmp` beside it, for the owner
//! alone. What exists and is no file is never replaced: terminals, other character devices and pipes are written to, and the rest is
//! refused. A descriptor's name (`/dev/stdout`, `/proc/self/fd/3`) is that descriptor.
//!
//! Who writes an unfinished file holds a lock on it, and so does what the writer forks or hands it to. Where all of them were killed
//! together the file stays, but not the lock: the next one into the same folder removes it. The lock and not the pid decides, since
//! a folder may be shared by containers, which number their processes apart.

use heap_inspector::questions::Existing;
use heap_inspector::{Error, Result};
use rustix::fs::{FlockOperation, Mode, OFlags, flock};
use std::fs::{self, File, FileType, Metadata, OpenOptions};
use std::hash::{BuildHasher, RandomState};
use std::io::{self, BufWriter, Write};
use std::os::fd::AsFd;
use std::os::unix::fs::{FileTypeExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime};

/// What a name stands for, opened.
#[derive(Debug)]
pub enum Output {
    /// A file that gets its name by `finish`.
    Whole(Whole),
    /// What exists and is no file: written to as it is.
    Stream(File),
}

/// How many links lead on at most, as for the system itself.
const LINKS: usize = 40;

impl Output {
    /// Opens what `path` stands for. A pipe is waited for until it has a reader, or `cancel` is raised.
    ///
    /// # Errors
    /// [`Error::File`] where the system refuses; [`Error::Usage`] for what cannot be written to: a socket, a disk.
    pub fn open(path: &Path, cancel: Option<&AtomicBool>) -> Result<Output> {
        let failed = |source: io::Error| Error::File { path: path.to_owned(), source };
        match place(path).map_err(failed)? {
            Place::Name => Whole::create(path).map(Output::Whole).map_err(failed),
            Place::Descriptor(stream) => Ok(Output::Stream(stream)),
            Place::Other(real, kind) => {
                stream(&real, kind, cancel).map_err(failed)?.map(Output::Stream).ok_or_else(|| {
                    let what = if kind.is_socket() { "a socket" } else { "a device that holds data" };
                    let message = format!("{} is {what}, which is not replaced; give a file", path.display());
                    Error::Usage { message }
                })
            }
            Place::Device => {
                let message =
                    format!("{} is a link of the system's, which is not replaced; give a file", path.display());
                Err(Error::Usage { message })
            }
        }
    }

    /// What is written to.
    #[must_use]
    pub fn file(&self) -> &File {
        match self {
            Output::Whole(whole) => &whole.file,
            Output::Stream(file) => file,
        }
    }

    /// The name that the file has for now, where it is one.
    #[must_use]
    pub fn unfinished(&self) -> Option<&Path> {
        match self {
            Output::Whole(whole) => Some(&whole.unfinished),
            Output::Stream(_) => None,
        }
    }

    /// Gives the file its name.
    ///
    /// # Errors
    /// If the system refuses; then the file is removed.
    pub fn finish(self) -> io::Result<()> {
        match self {
            Output::Whole(whole) => whole.finish(),
            Output::Stream(_) => Ok(()),
        }
    }
}

impl Write for Output {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.file().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file().flush()
    }
}

/// Writes a file that only its owner may read; one that is there is replaced or left as it is.
///
/// # Errors
/// Those of [`Output::open`] and of `fill`; [`Error::File`] where something is there already.
pub fn save(
    path: &Path,
    existing: Existing,
    cancel: &AtomicBool,
    fill: &mut dyn FnMut(&mut dyn Write) -> Result<()>,
) -> Result<()> {
    let failed = |source: io::Error| Error::File { path: PathBuf::from(path), source };
    let output = Output::open(path, Some(cancel))?;
    if existing == Existing::Kept && output.unfinished().is_some() && path.symlink_metadata().is_ok() {
        return Err(failed(rustix::io::Errno::EXIST.into()));
    }
    let mut out = BufWriter::new(output);
    fill(&mut out)?;
    let output = out.into_inner().map_err(|error| failed(error.into_error()))?;
    output.finish().map_err(failed)
}

/// What is at a path.
enum Place {
    /// A free name, a file, or a link to one of these, which is replaced as a file is.
    Name,
    /// An open descriptor of a process.
    Descriptor(File),
    /// What is neither file nor folder, by its real name.
    Other(PathBuf, FileType),
    /// A link among the devices that leads to a file.
    Device,
}

/// Follows the links one by one: one may be a descriptor's, which has no name that could be opened anew.
fn place(path: &Path) -> io::Result<Place> {
    let mut at = path.to_owned();
    let mut is_device = false;
    for _ in 0..LINKS {
        let parent = at.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let Some(name) = at.file_name() else { return Err(io::ErrorKind::IsADirectory.into()) };
        let folder = fs::canonicalize(parent)?;
        if let Some(file) = descriptor(&folder, name.to_str().unwrap_or_default())? {
            return Ok(Place::Descriptor(file));
        }
        let of_system = (folder.starts_with("/dev") && !folder.starts_with("/dev/shm")) || folder.starts_with("/proc");
        let real = folder.join(name);
        let meta = match fs::symlink_metadata(&real) {
            Ok(meta) => meta,
            Err(error) if error.kind() == io::ErrorKind::NotFound && !is_device => return Ok(Place::Name),
            Err(error) => return Err(error),
        };
        let kind = meta.file_type();
        if kind.is_dir() {
            return Err(io::ErrorKind::IsADirectory.into());
        }
        if kind.is_file() {
            return Ok(if is_device { Place::Device } else { Place::Name });
        }
        if !kind.is_symlink() {
            return Ok(Place::Other(real, kind));
        }
        // A link that somebody else has put there leads nowhere we want to go. It is replaced.
        if !of_system && !is_own(&meta) {
            return Ok(Place::Name);
        }
        is_device |= of_system;
        at = folder.join(fs::read_link(&real)?);
    }
    Err(rustix::io::Errno::LOOP.into())
}

fn is_own(meta: &Metadata) -> bool {
    [0, rustix::process::geteuid().as_raw()].contains(&meta.uid())
}

/// The descriptor that a name in `/proc/PID/fd` is. Our standard streams are duplicated; others are opened once more, and written to at
/// their end.
fn descriptor(folder: &Path, name: &str) -> io::Result<Option<File>> {
    let parts: Vec<&str> = folder.iter().map(|part| part.to_str().unwrap_or_default()).collect();
    let is_number = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let pid = match parts[..] {
        ["/", "proc", pid, "fd"] | ["/", "proc", pid, "task", _, "fd"] if is_number(pid) && is_number(name) => pid,
        _ => return Ok(None),
    };
    let own = |stream: &dyn AsFd| stream.as_fd().try_clone_to_owned().map(|owned| Some(File::from(owned)));
    if pid == std::process::id().to_string() {
        match name {
            "0" => return own(&io::stdin()),
            "1" => return own(&io::stdout()),
            "2" => return own(&io::stderr()),
            _ => {}
        }
    }
    OpenOptions::new().append(true).open(folder.join(name)).map(Some)
}

/// Opens what can be written to like a stream; nothing for what cannot.
fn stream(path: &Path, kind: FileType, cancel: Option<&AtomicBool>) -> io::Result<Option<File>> {
    if kind.is_char_device() {
        let flags = OFlags::NOCTTY.bits();
        return OpenOptions::new().write(true).custom_flags(flags.cast_signed()).open(path).map(Some);
    }
    if !kind.is_fifo() {
        return Ok(None);
    }
    loop {
        // Without that flag it would wait for a reader deaf to Ctrl-C.
        match OpenOptions::new().write(true).custom_flags(OFlags::NONBLOCK.bits().cast_signed()).open(path) {
            Ok(file) => {
                rustix::fs::fcntl_setfl(&file, rustix::fs::fcntl_getfl(&file)? - OFlags::NONBLOCK)?;
                return Ok(Some(file));
            }
            Err(error) if error.raw_os_error() == Some(rustix::io::Errno::NXIO.raw_os_error()) => {
                if cancel.is_some_and(|cancel| cancel.load(Ordering::Relaxed)) {
                    return Err(io::ErrorKind::Interrupted.into());
                }
                std::thread::sleep(LOOK);
            }
            Err(error) => return Err(error),
        }
    }
}

/// Between two looks whether a pipe has a reader.
const LOOK: Duration = Duration::from_millis(20);

/// What the names of unfinished files end with.
const ENDING: &str = ".heap.tmp";
/// For how long a file may be without its lock: between its making and the locking.
const FRESH: Duration = Duration::from_secs(60);

/// A file that is not yet whole. Dropped before `finish` it is removed.
#[derive(Debug)]
pub struct Whole {
    path: PathBuf,
    unfinished: PathBuf,
    file: File,
    is_named: bool,
    /// The process that made it. What that forks has a copy, which is not to remove the file.
    maker: u32,
}

impl Whole {
    fn create(path: &Path) -> io::Result<Whole> {
        sweep(folder_of(path));
        let random = RandomState::new();
        for attempt in 0..100_u32 {
            let mut name = path.as_os_str().to_owned();
            #[allow(clippy::cast_possible_truncation, reason = "half of it is random enough")]
            let word = random.hash_one(attempt) as u32;
            name.push(format!(".{}-{word:08x}{ENDING}", std::process::id()));
            let unfinished = PathBuf::from(name);
            let mode = Mode::RUSR | Mode::WUSR;
            let mut options = OpenOptions::new();
            options.write(true).create_new(true).mode(mode.bits()).custom_flags(OFlags::NOFOLLOW.bits().cast_signed());
            match options.open(&unfinished) {
                Ok(file) => {
                    // A file system may be without locks; there nothing is removed either.
                    let _ = flock(&file, FlockOperation::NonBlockingLockExclusive);
                    return Ok(Whole {
                        path: path.to_owned(),
                        unfinished,
                        file,
                        is_named: false,
                        maker: std::process::id(),
                    });
                }
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                Err(error) => return Err(error),
            }
        }
        Err(io::ErrorKind::AlreadyExists.into())
    }

    fn finish(mut self) -> io::Result<()> {
        // Something else may have come to the name meanwhile.
        if let Ok(meta) = fs::symlink_metadata(&self.path)
            && !meta.is_file()
            && !meta.is_symlink()
        {
            return Err(io::Error::new(io::ErrorKind::AlreadyExists, "it is not a file any more"));
        }
        self.file.sync_all()?;
        fs::rename(&self.unfinished, &self.path)?;
        self.is_named = true;
        // Has the name on the disk as well, where the folder can be read and the file system knows that.
        let _ = File::open(folder_of(&self.path)).and_then(|folder| folder.sync_all());
        Ok(())
    }
}

impl Drop for Whole {
    fn drop(&mut self) {
        if !self.is_named && self.maker == std::process::id() {
            let _ = fs::remove_file(&self.unfinished); // the writer may have removed it already
        }
    }
}

fn folder_of(path: &Path) -> &Path {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// Removes what killed processes of this user left in the folder, where it can be listed.
fn sweep(folder: &Path) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        if is_unfinished(&entry.file_name().to_string_lossy()) {
            let _ = remove_stale(&entry.path()); // another one was quicker, or it is no such file
        }
    }
}

/// Whether a name ends as [`Whole::create`] has it.
fn is_unfinished(name: &str) -> bool {
    let Some((before, random)) = name.strip_suffix(ENDING).and_then(|name| name.rsplit_once('-')) else { return false };
    let Some((_, pid)) = before.rsplit_once('.') else { return false };
    let is_hex = random.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    random.len() == 8 && is_hex && !pid.is_empty() && pid.bytes().all(|byte| byte.is_ascii_digit())
}

fn remove_stale(path: &Path) -> io::Result<()> {
    let flags = OFlags::NOFOLLOW | OFlags::NONBLOCK;
    let file = OpenOptions::new().read(true).custom_flags(flags.bits().cast_signed()).open(path)?;
    let meta = file.metadata()?;
    let age = SystemTime::now().duration_since(meta.modified()?).unwrap_or_default();
    if meta.is_file() && meta.uid() == rustix::process::geteuid().as_raw() && age > FRESH {
        flock(&file, FlockOperation::NonBlockingLockExclusive)?;
        fs::remove_file(path)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test may panic")]

    use super::*;
    use std::io::Read;
    use std::os::unix::fs::{PermissionsExt, symlink};
    use std::os::unix::net::UnixListener;

    fn names(folder: &Path) -> Vec<String> {
        let mut names: Vec<String> =
            fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    fn open(path: &Path) -> Result<Output> {
        Output::open(path, None)
    }

    #[test]
    fn a_file_has_its_name_when_it_is_whole() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a");
        fs::write(&path, "old").unwrap();
        let mut output = open(&path).unwrap();
        output.write_all(b"new").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"old");
        assert!(is_unfinished(&names(folder.path())[1]));
        output.finish().unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"new");
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        drop(open(&path).unwrap());
        assert_eq!(names(folder.path()), ["a"]);
    }

    #[test]
    fn a_link_to_a_file_is_replaced_and_not_what_it_leads_to() {
        let folder = tempfile::tempdir().unwrap();
        let (path, victim) = (folder.path().join("a"), folder.path().join("victim"));
        fs::write(&victim, "precious").unwrap();
        symlink(&victim, &path).unwrap();
        open(&path).unwrap().finish().unwrap();
        assert_eq!(fs::read(&victim).unwrap(), b"precious");
        assert!(fs::symlink_metadata(&path).unwrap().is_file());
    }

    #[test]
    fn a_pipe_is_written_to_also_through_a_link() {
        let folder = tempfile::tempdir().unwrap();
        let (pipe, link) = (folder.path().join("pipe"), folder.path().join("link"));
        rustix::fs::mkfifoat(rustix::fs::CWD, &pipe, Mode::RUSR | Mode::WUSR).unwrap();
        symlink("pipe", &link).unwrap();
        for path in [&pipe, &link] {
            std::thread::scope(|scope| {
                let reader = scope.spawn(|| {
                    let mut text = String::new();
                    File::open(&pipe).unwrap().read_to_string(&mut text).unwrap();
                    text
                });
                let mut output = open(path).unwrap();
                output.write_all(b"bytes").unwrap();
                assert!(output.unfinished().is_none());
                output.finish().unwrap();
                assert_eq!(reader.join().unwrap(), "bytes");
            });
        }
        let cancelled = Output::open(&pipe, Some(&AtomicBool::new(true))).unwrap_err();
        assert!(cancelled.to_string().contains("interrupted"), "{cancelled}");
        assert!(fs::symlink_metadata(&pipe).unwrap().file_type().is_fifo());
        assert_eq!(names(folder.path()), ["link", "pipe"]);
    }

    #[test]
    fn sockets_and_folders_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        let (socket, link) = (folder.path().join("socket"), folder.path().join("link"));
        let _listener = UnixListener::bind(&socket).unwrap();
        symlink(&socket, &link).unwrap();
        for path in [&socket, &link] {
            let message = open(path).unwrap_err().to_string();
            assert!(message.ends_with(" is a socket, which is not replaced; give a file"), "{message}");
        }
        assert!(fs::symlink_metadata(&socket).unwrap().file_type().is_socket());
        assert!(open(folder.path()).unwrap_err().to_string().contains("directory"));
    }

    #[test]
    fn a_descriptor_is_written_to_and_its_file_not_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a");
        let file = File::create(&path).unwrap();
        let number = std::os::fd::AsRawFd::as_raw_fd(&file);
        let before = fs::metadata(&path).unwrap().ino();
        let link = folder.path().join("link");
        symlink(format!("/proc/self/fd/{number}"), &link).unwrap();
        for path in [PathBuf::from(format!("/dev/fd/{number}")), link.clone()] {
            let mut output = open(&path).unwrap();
            output.write_all(b"x").unwrap();
            output.finish().unwrap();
        }
        assert_eq!(fs::read(&path).unwrap(), b"xx");
        assert_eq!(fs::metadata(&path).unwrap().ino(), before);
        assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
    }

    #[test]
    fn what_came_to_the_name_meanwhile_is_not_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a");
        let output = open(&path).unwrap();
        let _listener = UnixListener::bind(&path).unwrap();
        assert!(output.finish().is_err());
        assert_eq!(names(folder.path()), ["a"]);
    }

    #[test]
    fn old_unfinished_files_that_nobody_holds_are_removed() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        let old = SystemTime::now() - Duration::from_secs(3600);
        for name in ["a.1-0123abcd.heap.tmp", "a.2-0123abcd.heap.tmp", "a.1-0123abcd.tmp", "b.heap.tmp"] {
            File::create(at(name)).unwrap().set_modified(old).unwrap();
        }
        let held = File::open(at("a.2-0123abcd.heap.tmp")).unwrap();
        flock(&held, FlockOperation::NonBlockingLockExclusive).unwrap();
        File::create(at("a.3-0123abcd.heap.tmp")).unwrap();
        symlink(at("b.heap.tmp"), at("a.4-0123abcd.heap.tmp")).unwrap();
        drop(open(&at("x")).unwrap());
        assert_eq!(
            names(folder.path()),
            [
                "a.1-0123abcd.tmp",
                "a.2-0123abcd.heap.tmp",
                "a.3-0123abcd.heap.tmp",
                "a.4-0123abcd.heap.tmp",
                "b.heap.tmp"
            ]
        );
    }
}
