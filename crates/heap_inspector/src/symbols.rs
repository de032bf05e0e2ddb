//! Interned texts and allocation sites: each distinct byte string or `file:line in method` once, a `u32` for every later use.
//!
//! Costs the distinct texts' bytes and about 16 bytes for each. Every scanning thread has its own tables; when they are done the
//! tables are merged and the numbers of one are mapped to those of the other.

use crate::Result;
use crate::arrays::{Parts, Reader};
use crate::memory::{room, table};
use hashbrown::{DefaultHashBuilder, HashTable};
use std::borrow::Cow;
use std::hash::{BuildHasher, Hash, Hasher};
use twox_hash::XxHash3_64;

/// A text's number in its [`Symbols`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Symbol(pub u32);

impl Symbol {
    /// No text at all: number 0 of every table.
    pub const NONE: Symbol = Symbol(0);

    /// Whether there is a text.
    #[must_use]
    pub fn is_some(self) -> bool {
        self != Symbol::NONE
    }
}

/// The distinct texts. Number 0 is "no text" and reads as empty.
#[derive(Clone, Debug)]
pub struct Symbols {
    bytes: Vec<u8>,
    ends: Vec<usize>,
    table: HashTable<u32>,
    hasher: DefaultHashBuilder,
}

impl Default for Symbols {
    fn default() -> Self {
        Symbols { bytes: Vec::new(), ends: vec![0], table: HashTable::new(), hasher: DefaultHashBuilder::default() }
    }
}

impl Symbols {
    /// About how many bytes of memory the texts take.
    pub(crate) fn footprint(&self) -> usize {
        self.bytes.capacity() + self.ends.capacity() * size_of::<usize>() + self.table.allocation_size()
    }

    pub(crate) fn parts<'a>(&'a self, parts: &mut Parts<'a>) {
        parts.push(&self.bytes[..]);
        parts.push(self.ends.iter().map(|end| *end as u64).collect::<Vec<u64>>());
    }

    pub(crate) fn from_parts(reader: &mut Reader) -> Option<Symbols> {
        let bytes: Vec<u8> = reader.take()?;
        let ends: Vec<u64> = reader.take()?;
        if !ends.is_sorted() || ends.first() != Some(&0) || ends.last() != Some(&(bytes.len() as u64)) {
            return None;
        }
        let mut symbols = Symbols::default();
        symbols.room(ends.len(), bytes.len()).ok()?;
        for (at, pair) in ends.windows(2).enumerate() {
            // Each is met once, so it gets its place as its number.
            let sym = symbols.intern(&bytes[pair[0] as usize..pair[1] as usize]);
            if sym.0 as usize != at + 1 {
                return None;
            }
        }
        Some(symbols)
    }

    /// Room for so many more texts of so many bytes in all.
    pub(crate) fn room(&mut self, texts: usize, bytes: usize) -> Result<()> {
        room(&mut self.bytes, bytes)?;
        room(&mut self.ends, texts)?;
        let (bytes, ends, hasher) = (&self.bytes, &self.ends, &self.hasher);
        table(&mut self.table, texts, |id| hasher.hash_one(slice(bytes, ends, *id)))
    }

    /// Gives back the room that no text came for.
    pub(crate) fn fit(&mut self) {
        self.bytes.shrink_to_fit();
        self.ends.shrink_to_fit();
        let (bytes, ends, hasher) = (&self.bytes, &self.ends, &self.hasher);
        self.table.shrink_to_fit(|id| hasher.hash_one(slice(bytes, ends, *id)));
    }

    /// The number of `text`, a new one where it was not met before.
    pub fn intern(&mut self, text: &[u8]) -> Symbol {
        let hash = hash_of(&self.hasher, text);
        let (bytes, ends) = (&self.bytes, &self.ends);
        if let Some(found) = self.table.find(hash, |id| slice(bytes, ends, *id) == text) {
            return Symbol(*found);
        }
        self.insert(hash, text)
    }

    #[cold]
    fn insert(&mut self, hash: u64, text: &[u8]) -> Symbol {
        let id = u32::try_from(self.ends.len()).expect("fewer than 2^32 distinct texts fit in memory");
        self.bytes.extend_from_slice(text);
        self.ends.push(self.bytes.len());
        let (bytes, ends, hasher) = (&self.bytes, &self.ends, &self.hasher);
        self.table.insert_unique(hash, id, |id| hasher.hash_one(slice(bytes, ends, *id)));
        Symbol(id)
    }

    /// The number of `text`, where it was met.
    #[must_use]
    pub fn find(&self, text: &[u8]) -> Option<Symbol> {
        let hash = self.hasher.hash_one(text);
        self.table.find(hash, |id| slice(&self.bytes, &self.ends, *id) == text).map(|id| Symbol(*id))
    }

    /// The bytes of a symbol.
    #[must_use]
    #[inline(always)]
    pub fn bytes(&self, sym: Symbol) -> &[u8] {
        if sym.is_some() { slice(&self.bytes, &self.ends, sym.0) } else { &[] }
    }

    /// The text of a symbol, invalid UTF-8 replaced.
    #[must_use]
    pub fn text(&self, sym: Symbol) -> std::borrow::Cow<'_, str> {
        String::from_utf8_lossy(self.bytes(sym))
    }

    /// How many numbers there are, "no text" included.
    #[must_use]
    #[allow(clippy::len_without_is_empty, reason = "never empty: number 0 is always there")]
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// Takes in `other` up to a number; `map` tells what its numbers are here, of as many as it has already. `check` is called with each
    /// number, and may stop it.
    pub(crate) fn merge(
        &mut self,
        other: &Symbols,
        end: usize,
        map: &mut Vec<Symbol>,
        check: &impl Fn(usize) -> Result<()>,
    ) -> Result<()> {
        let begin = map.len();
        for id in begin..end {
            check(id)?;
            if (id - begin).is_multiple_of(STEP) {
                let last = other.ends[(id + STEP).min(end) - 1];
                self.room(STEP.min(end - id), last - other.ends[id - 1])?;
                room(map, STEP.min(end - id))?;
            }
            map.push(self.intern(other.bytes(Symbol(id as u32))));
        }
        Ok(())
    }
}

/// So many texts are made room for at a time.
const STEP: usize = 1 << 10;

/// As `hash_one`, in place.
#[inline(always)]
#[allow(clippy::manual_hash_one, reason = "hash_one is called where code is to be small")]
pub(crate) fn hash_of(hasher: &DefaultHashBuilder, value: &(impl Hash + ?Sized)) -> u64 {
    let mut state = hasher.build_hasher();
    value.hash(&mut state);
    state.finish()
}

#[inline(always)]
fn slice<'a>(bytes: &'a [u8], ends: &[usize], id: u32) -> &'a [u8] {
    &bytes[ends[id as usize - 1]..ends[id as usize]]
}

/// A longer name is cut: each row that shows it would hold it once more.
pub(crate) const LONGEST: usize = 4 << 10;

/// A name of at most [`LONGEST`] bytes and a few: the start of a longer one, how long it is, and its hash, which tells it from others.
pub(crate) fn bounded(name: Cow<'_, [u8]>) -> Cow<'_, [u8]> {
    if name.len() <= LONGEST {
        return name;
    }
    let told = format!("… ({} bytes, {:016x})", name.len(), XxHash3_64::oneshot(&name));
    Cow::Owned([&name[..LONGEST], told.as_bytes()].concat())
}

/// A site's number in its [`Sites`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SiteId(pub u32);

impl SiteId {
    /// Not traced: number 0 of every table.
    pub const NONE: SiteId = SiteId(0);
}

/// Where an object was allocated. All parts may be missing, since Ruby 3.1 even one by one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Site {
    /// The file's path as Ruby knew it.
    pub file: Symbol,
    /// The line, 0 for none.
    pub line: u32,
    /// The method.
    pub method: Symbol,
}

/// The distinct allocation sites.
#[derive(Clone, Debug)]
pub struct Sites {
    list: Vec<Site>,
    table: HashTable<u32>,
    hasher: DefaultHashBuilder,
    /// The last sites by a cheap hash: nine of ten lookups end here, in half the time.
    recent: Vec<SiteId>,
}

/// How many recent sites are at hand.
const RECENT: usize = 1 << 13;

impl Default for Sites {
    fn default() -> Self {
        Sites {
            list: vec![Site::default()],
            table: HashTable::new(),
            hasher: DefaultHashBuilder::default(),
            recent: vec![SiteId::NONE; RECENT],
        }
    }
}

impl Sites {
    /// About how many bytes of memory the sites take.
    pub(crate) fn footprint(&self) -> usize {
        (self.list.capacity() + self.recent.capacity()) * size_of::<Site>() + self.table.allocation_size()
    }

    /// Room for so many more sites.
    pub(crate) fn room(&mut self, symbols: &Symbols, sites: usize) -> Result<()> {
        room(&mut self.list, sites)?;
        table(&mut self.table, sites, Self::hash_of(&self.list, &self.hasher, symbols))
    }

    /// Gives back the room that no site came for.
    pub(crate) fn fit(&mut self, symbols: &Symbols) {
        self.list.shrink_to_fit();
        self.table.shrink_to_fit(Self::hash_of(&self.list, &self.hasher, symbols));
    }

    /// The number of the site with these parts, found without interning its texts first.
    #[inline]
    pub fn intern(&mut self, symbols: &mut Symbols, file: &[u8], line: u32, method: &[u8]) -> SiteId {
        let end = file.len().saturating_sub(11); // the name's end before `.rb` tells most files apart
        let tail = file[end..].first_chunk().map_or(0, |tail| u64::from_le_bytes(*tail));
        let parts = tail ^ u64::from(line) << 40 ^ (file.len() as u64) << 24 ^ (method.len() as u64) << 8;
        let at = (parts.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 51) as usize % RECENT;
        let id = self.recent[at];
        let site = self.list[id.0 as usize];
        if site.line == line && symbols.bytes(site.file) == file && symbols.bytes(site.method) == method {
            return id;
        }
        let id = self.look_up(symbols, file, line, method);
        self.recent[at] = id;
        id
    }

    fn look_up(&mut self, symbols: &mut Symbols, file: &[u8], line: u32, method: &[u8]) -> SiteId {
        if self.table.is_empty() {
            self.index(symbols);
        }
        let hash = Self::hash(&self.hasher, file, line, method);
        let list = &self.list;
        let found = self.table.find(hash, |id| {
            let site = &list[*id as usize];
            site.line == line && symbols.bytes(site.file) == file && symbols.bytes(site.method) == method
        });
        if let Some(id) = found {
            return SiteId(*id);
        }
        let optional =
            |symbols: &mut Symbols, text: &[u8]| if text.is_empty() { Symbol::NONE } else { symbols.intern(text) };
        let site = Site { file: optional(symbols, file), line, method: optional(symbols, method) };
        if site == Site::default() {
            return SiteId::NONE;
        }
        let id = u32::try_from(list.len()).expect("fewer than 2^32 distinct sites fit in memory");
        self.list.push(site);
        self.table.insert_unique(hash, id, Self::hash_of(&self.list, &self.hasher, symbols));
        SiteId(id)
    }

    /// Fills the table. Those of an index file have none: nobody looks for a site there.
    #[cold]
    fn index(&mut self, symbols: &Symbols) {
        let hash = Self::hash_of(&self.list, &self.hasher, symbols);
        for id in 1..self.list.len() as u32 {
            self.table.insert_unique(hash(&id), id, &hash);
        }
    }

    /// The hash of each of the sites, by its number.
    fn hash_of<'a>(
        list: &'a [Site],
        hasher: &'a DefaultHashBuilder,
        symbols: &'a Symbols,
    ) -> impl Fn(&u32) -> u64 + 'a {
        move |id| {
            let site = &list[*id as usize];
            Self::hash(hasher, symbols.bytes(site.file), site.line, symbols.bytes(site.method))
        }
    }

    fn hash(hasher: &DefaultHashBuilder, file: &[u8], line: u32, method: &[u8]) -> u64 {
        let parts = hash_of(hasher, file) ^ hash_of(hasher, method).rotate_left(32);
        parts ^ u64::from(line).wrapping_mul(0x9e37_79b9_7f4a_7c15)
    }

    pub(crate) fn parts(&self, parts: &mut Parts<'_>) {
        let numbers = self.list.iter().flat_map(|site| [site.file.0, site.line, site.method.0]);
        parts.push(numbers.collect::<Vec<u32>>());
    }

    /// The sites whose texts are among so many.
    pub(crate) fn from_parts(reader: &mut Reader, symbols: usize) -> Option<Sites> {
        let numbers: Vec<u32> = reader.take()?;
        let (numbers, []) = numbers.as_chunks() else { return None };
        let site = |[file, line, method]: &[u32; 3]| {
            let fits = (*file.max(method) as usize) < symbols;
            fits.then_some(Site { file: Symbol(*file), line: *line, method: Symbol(*method) })
        };
        let list = numbers.iter().map(site).collect::<Option<Vec<Site>>>()?;
        (list.first() == Some(&Site::default())).then(|| Sites { list, ..Sites::default() })
    }

    /// The parts of a site.
    #[must_use]
    pub fn get(&self, id: SiteId) -> Site {
        self.list[id.0 as usize]
    }

    /// How many numbers there are, "not traced" included.
    #[must_use]
    #[allow(clippy::len_without_is_empty, reason = "never empty: number 0 is always there")]
    pub fn len(&self) -> usize {
        self.list.len()
    }

    /// Takes in `other` up to a number, whose symbols `known` turns into ours; `map` tells what its numbers are here, of as many as it has
    /// already. `check` is called with each number, and may stop it.
    pub(crate) fn merge(
        &mut self,
        (other, end): (&Sites, usize),
        symbols: &mut Symbols,
        known: &[Symbol],
        map: &mut Vec<SiteId>,
        check: &impl Fn(usize) -> Result<()>,
    ) -> Result<()> {
        let begin = map.len();
        for (at, site) in other.list[begin..end.max(begin)].iter().enumerate() {
            check(at)?;
            if at.is_multiple_of(STEP) {
                self.room(symbols, STEP.min(end - begin - at))?;
                room(map, STEP.min(end - begin - at))?;
            }
            let file = symbols.bytes(known[site.file.0 as usize]).to_vec();
            let method = symbols.bytes(known[site.method.0 as usize]).to_vec();
            map.push(self.intern(symbols, &file, site.line, &method));
        }
        Ok(())
    }
}
