//! The table of distinct texts at the end of a heap snapshot.
//!
//! Texts are told apart by a 128-bit hash with a random key, so that 20 bytes are kept of each, however long; the texts themselves go, as
//! they will stand in the file, into an anonymous temporary file until their turn comes.

use crate::memory::{STRIDE, room, table};
use crate::symbols::bounded;
use crate::{Error, Result};
use hashbrown::HashTable;
use siphasher::sip128::{Hasher128, SipHasher24};
use std::borrow::Cow;
use std::hash::Hasher;
use std::io::{self, BufWriter, Seek, Write};
use tempfile::SpooledTempFile;

/// So many bytes need no file.
const IN_MEMORY: usize = 4 << 20;

pub(super) struct Strings {
    key: [u8; 16],
    table: HashTable<u32>,
    hashes: Vec<[u64; 2]>,
    texts: BufWriter<SpooledTempFile>,
}

fn failed(source: io::Error) -> Error {
    Error::File { path: std::env::temp_dir(), source }
}

impl Strings {
    pub(super) fn new() -> Result<Strings> {
        let mut key = [0; 16];
        getrandom::fill(&mut key).map_err(|error| failed(error.into()))?;
        let texts = BufWriter::with_capacity(1 << 16, SpooledTempFile::new(IN_MEMORY));
        Ok(Strings { key, table: HashTable::new(), hashes: Vec::new(), texts })
    }

    pub(super) fn len(&self) -> usize {
        self.hashes.len()
    }

    /// The place of a text; of a long one its start is kept and what tells it from others.
    pub(super) fn intern(&mut self, text: &[u8]) -> Result<u32> {
        let mut hasher = SipHasher24::new_with_key(&self.key);
        hasher.write(text);
        let hash = hasher.finish128();
        let (hash, hashes) = ([hash.h1, hash.h2], &self.hashes);
        if let Some(known) = self.table.find(hash[0], |at| hashes[*at as usize] == hash) {
            return Ok(*known);
        }
        let number = u32::try_from(hashes.len()).unwrap_or(u32::MAX);
        if hashes.len().is_multiple_of(STRIDE) {
            table(&mut self.table, STRIDE, |at| hashes[*at as usize][0])?;
            room(&mut self.hashes, STRIDE)?;
        }
        self.hashes.push(hash);
        let hashes = &self.hashes;
        self.table.insert_unique(hash[0], number, |at| hashes[*at as usize][0]);
        let text = bounded(Cow::Borrowed(text));
        let text = String::from_utf8_lossy(&text);
        let before: &[u8] = if number == 0 { b"" } else { b",\n" };
        self.texts.write_all(before).map_err(failed)?;
        serde_json::to_writer(&mut self.texts, &text).map_err(|error| failed(error.into()))?;
        Ok(number)
    }

    /// Writes them all, with commas between.
    pub(super) fn write(self, out: &mut dyn Write, out_failed: impl Fn(io::Error) -> Error) -> Result<()> {
        let mut texts = self.texts.into_inner().map_err(|error| failed(error.into_error()))?;
        texts.rewind().map_err(failed)?;
        io::copy(&mut texts, out).map(drop).map_err(out_failed)
    }
}
