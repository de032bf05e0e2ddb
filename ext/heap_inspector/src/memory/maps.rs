//! The mappings of this process, as `/proc/self/maps` lists them, and how much of each is resident: of memory without a file by
//! mincore(2), which looks at page tables alone (1 to 5 ms for a GiB), of files by `/proc/self/pagemap`. `smaps` would tell both, and takes
//! 50 to 120 ms for a GiB with a lock that mmap and brk wait for; it is read where there is no pagemap.

use std::fs::{self, File};
use std::io::{self, Read};
use std::os::unix::fs::FileExt;

pub(super) const PAGE: u64 = 4096;
/// Bytes of the list of mappings: some 600,000 of them.
const LONGEST: u64 = 64 << 20;
/// Pages that are looked at in one go.
const BATCH: usize = 1 << 15;

/// A mapping.
#[derive(Debug)]
pub(super) struct Area {
    pub(super) start: u64,
    pub(super) end: u64,
    /// As `rw-p`.
    pub(super) access: [u8; 4],
    pub(super) inode: u64,
    pub(super) name: Vec<u8>,
    /// Resident bytes.
    pub(super) resident: u64,
    /// Of memory without a file, where not all of it is resident: for each page whether it is.
    pub(super) present: Option<Vec<bool>>,
}

impl Area {
    pub(super) fn is_anonymous(&self) -> bool {
        self.inode == 0 && self.access[3] == b'p' && (self.name.is_empty() || self.name.starts_with(b"["))
    }

    pub(super) fn may(&self, letter: u8) -> bool {
        self.access.contains(&letter)
    }

    pub(super) fn is_closed(&self) -> bool {
        &self.access == b"---p"
    }

    /// What of `start..end` is resident, whole pages that must lie in it. Without a look at single pages as much as can be.
    pub(super) fn resident_in(&self, start: u64, end: u64) -> u64 {
        match &self.present {
            None => (end - start).min(self.resident),
            Some(present) => {
                let pages = present.iter().skip(page_number(start - self.start)).take(page_number(end - start));
                pages.filter(|is_there| **is_there).count() as u64 * PAGE
            }
        }
    }
}

pub(super) fn page_number(bytes: u64) -> usize {
    usize::try_from(bytes / PAGE).unwrap_or(usize::MAX)
}

/// All mappings, in the order of their addresses, but those the kernel has put there for itself and counts for nobody.
pub(super) fn areas() -> io::Result<Vec<Area>> {
    File::open("/proc/self/pagemap")
        .and_then(|pagemap| by_pages(&pagemap))
        .or_else(|_| Ok(parse(&text("/proc/self/smaps")?)))
}

fn by_pages(pagemap: &File) -> io::Result<Vec<Area>> {
    let mut areas = parse(&text("/proc/self/maps")?);
    areas.iter_mut().try_for_each(|area| look(area, pagemap))?;
    Ok(areas)
}

fn text(path: &str) -> io::Result<Vec<u8>> {
    let mut text = Vec::with_capacity(1 << 16);
    fs::File::open(path)?.take(LONGEST).read_to_end(&mut text)?;
    Ok(text)
}

/// Of `maps`, or of `smaps`, which has lines of sizes in between.
fn parse(text: &[u8]) -> Vec<Area> {
    let mut areas: Vec<Area> = Vec::new();
    for line in text.split(|byte| *byte == b'\n') {
        if let Some(size) = line.strip_prefix(b"Rss:") {
            let digits: Vec<u8> = size.iter().copied().filter(u8::is_ascii_digit).collect();
            let kibibytes = std::str::from_utf8(&digits).ok().and_then(|digits| digits.parse::<u64>().ok());
            if let (Some(area), Some(kibibytes)) = (areas.last_mut(), kibibytes) {
                area.resident = (kibibytes * 1024).min(area.end - area.start);
            }
        } else if let Some(area) = header(line) {
            areas.push(area);
        }
    }
    areas.retain(|area| !matches!(&area.name[..], b"[vdso]" | b"[vvar]" | b"[vvar_vclock]" | b"[vsyscall]"));
    areas
}

/// `start-end access offset device inode name`
fn header(line: &[u8]) -> Option<Area> {
    let mut rest = line;
    let mut word = || {
        let start = rest.iter().position(|byte| *byte != b' ')?;
        let end = rest[start..].iter().position(|byte| *byte == b' ').map_or(rest.len(), |at| start + at);
        let word = std::str::from_utf8(&rest[start..end]).ok()?;
        rest = &rest[end..];
        Some(word)
    };
    let (start, end) = word()?.split_once('-')?;
    let access = word()?.as_bytes().try_into().ok()?;
    word()?;
    word()?;
    let inode = word()?.parse().ok()?;
    let name = rest.trim_ascii_start().to_vec();
    let (start, end) = (u64::from_str_radix(start, 16).ok()?, u64::from_str_radix(end, 16).ok()?);
    (start < end).then_some(Area { start, end, access, inode, name, resident: 0, present: None })
}

fn look(area: &mut Area, pagemap: &File) -> io::Result<()> {
    let count = page_number(area.end - area.start);
    if area.is_anonymous() {
        // Nothing can be touched in what may not be: a reserve of terabytes costs no look.
        if area.is_closed() && count > 1 << 18 {
            return Ok(());
        }
        let mut present = Vec::new();
        let mut bytes = vec![0_u8; count.min(BATCH)];
        for first in (0..count).step_by(BATCH) {
            let pages = BATCH.min(count - first);
            let start = area.start + first as u64 * PAGE;
            // SAFETY: fills a byte for each page; it does not touch the memory, which may be gone meanwhile: then it says so.
            let failed = unsafe {
                libc::mincore(start as *mut libc::c_void, pages * PAGE as usize, bytes.as_mut_ptr().cast()) != 0
            };
            if failed {
                bytes[..pages].fill(0);
            }
            present.extend(bytes[..pages].iter().map(|byte| byte & 1 != 0));
        }
        area.resident = present.iter().filter(|is_there| **is_there).count() as u64 * PAGE;
        area.present = (area.resident < area.end - area.start).then_some(present);
    } else {
        let mut entries = vec![0_u8; count.min(BATCH) * 8];
        for first in (0..count).step_by(BATCH) {
            let pages = BATCH.min(count - first);
            let at = (area.start / PAGE + first as u64) * 8;
            let read = pagemap.read_at(&mut entries[..pages * 8], at)?;
            if read == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            let present = entries[..read].as_chunks::<8>().0.iter().filter(|entry| entry[7] & 0x80 != 0).count();
            area.resident += present as u64 * PAGE;
        }
    }
    Ok(())
}
