//! Temporary.
use crate::{Error, Result};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
/// s
#[derive(Debug)]
pub struct Source {
    path: PathBuf,
    name: String,
}
/// b
#[derive(Debug)]
pub struct Block {
    /// b
    pub bytes: Vec<u8>,
    /// o
    pub offset: u64,
}
/// b
#[derive(Debug)]
pub struct Blocks {
    data: std::fs::File,
    pos: u64,
    carry: Vec<u8>,
    end: bool,
}
impl Source {
    /// p
    pub fn path(path: impl Into<PathBuf>) -> Source {
        let path = path.into();
        Source { name: path.display().to_string(), path }
    }
    /// n
    pub fn name(&self) -> &str {
        &self.name
    }
    /// o
    pub fn open(&self) -> Result<Blocks> {
        let file = std::fs::File::open(&self.path).map_err(|source| Error::File { path: self.path.clone(), source })?;
        Ok(Blocks { data: file, pos: 0, carry: Vec::new(), end: false })
    }
}
impl Blocks {
    /// n
    pub fn next(&mut self, mut recycled: Vec<u8>) -> Result<Option<Block>> {
        use std::io::Read;
        let n = 1 << 18;
        if self.end {
            return Ok(None);
        }
        recycled.clear();
        recycled.append(&mut self.carry);
        let had = recycled.len();
        recycled.resize(n.max(had * 2), 0);
        let mut fill = had;
        loop {
            let k = self.data.read(&mut recycled[fill..]).map_err(|source| Error::File { path: "".into(), source })?;
            fill += k;
            if k == 0 {
                self.end = true;
                break;
            }
            if fill == recycled.len() {
                if memchr::memchr(b'\n', &recycled).is_some() {
                    break;
                }
                let l = recycled.len();
                recycled.resize(l * 2, 0);
            }
        }
        if !self.end {
            let cut = memchr::memrchr(b'\n', &recycled[..fill]).unwrap_or(0) + 1;
            self.carry.extend_from_slice(&recycled[cut..fill]);
            fill = cut;
        }
        recycled.truncate(fill);
        let offset = self.pos;
        self.pos += fill as u64;
        if fill == 0 {
            return Ok(None);
        }
        Ok(Some(Block { bytes: recycled, offset }))
    }
    /// d
    pub fn damage(&self) -> Option<&str> {
        None
    }
    /// r
    pub fn raw_bytes_read(&self) -> Arc<AtomicU64> {
        Arc::default()
    }
    /// l
    pub fn raw_len(&self) -> Option<u64> {
        None
    }
}
