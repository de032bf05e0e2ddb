//! Names a person can read: of the classes of objects, and of classes themselves.
//!
//! A record names its class by address; the CLASS line with the name may stand anywhere, so each scanning thread numbers the class
//! addresses it meets ([`Tables`]) and the names are worked out when all lines are read ([`Names`]). Costs a few dozen bytes for each
//! class, site and distinct text; nothing for an object.

use crate::arrays::{Parts, Reader};
use crate::gems::App;
use crate::memory::{filled, list, map, room};
use crate::record::{Flags, Record, Type};
use crate::sampling::Sampling;
use crate::stacks::{self, FrameId, Numbered, Stacks};
use crate::symbols::{LONGEST, Site, SiteId, Sites, Symbol, Symbols, bounded};
use crate::{Result, sort};
use hashbrown::HashMap;
use std::sync::{Arc, OnceLock};

/// A class's number: the place of its address in the table. Number 0 is "no class".
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ClassId(pub u32);

impl ClassId {
    /// No class: hidden objects, and IMEMO whatever it says.
    pub const NONE: ClassId = ClassId(0);
}

/// What the line of a CLASS, MODULE or ICLASS says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct ClassRecord {
    ty: Type,
    name: Symbol,
    real_class_name: Symbol,
    class: ClassId,
    superclass: ClassId,
    singleton: bool,
    site: SiteId,
}

/// The class addresses met and what is known of each.
#[derive(Clone, Debug)]
struct Classes {
    numbers: HashMap<u64, ClassId>,
    addresses: Vec<u64>,
    records: Vec<Option<ClassRecord>>,
    /// Those of which something is known, in the order in which it was told.
    told: Vec<ClassId>,
    /// The last numbers by the low bits of their addresses: most objects are of few classes.
    recent: Vec<(u64, ClassId)>,
}

impl Default for Classes {
    fn default() -> Self {
        Classes {
            numbers: HashMap::new(),
            addresses: vec![0],
            records: vec![None],
            told: Vec::new(),
            recent: vec![(0, ClassId::NONE); 1 << 10],
        }
    }
}

impl Classes {
    /// Room for so many more.
    fn room(&mut self, more: usize) -> Result<()> {
        room(&mut self.addresses, more)?;
        room(&mut self.records, more)?;
        room(&mut self.told, more)?;
        map(&mut self.numbers, more)
    }

    /// Keeps what is known of a class. Of two lines with one address the first counts, as everywhere.
    fn tell(&mut self, id: ClassId, known: ClassRecord) {
        let record = &mut self.records[id.0 as usize];
        if record.is_none() {
            *record = Some(known);
            self.told.push(id);
        }
    }

    #[inline(always)]
    fn number(&mut self, address: u64) -> ClassId {
        let at = (address >> 3) as usize & (self.recent.len() - 1);
        let (known, id) = self.recent[at];
        if known == address {
            return id;
        }
        let next = ClassId(self.addresses.len() as u32);
        let id = *self.numbers.entry(address).or_insert(next);
        if id == next {
            self.addresses.push(address);
            self.records.push(None);
        }
        self.recent[at] = (address, id);
        id
    }
}

/// What one scanning thread knows of names: texts, sites and classes, each numbered.
#[derive(Clone, Debug, Default)]
pub struct Tables {
    /// The texts.
    pub symbols: Symbols,
    /// The allocation sites, and those of the frames of stacks.
    pub sites: Sites,
    /// The stacks in which objects were allocated, when all lines are read.
    pub stacks: Stacks,
    frames: stacks::Lines,
    classes: Classes,
    /// What was known when each block was at its end.
    blocks: Vec<(u64, Ends)>,
    /// The encoding of the string before: most have the same.
    encoding: Symbol,
}

/// How many of each sort there are.
#[derive(Clone, Copy, Debug, Default)]
struct Ends {
    symbols: usize,
    sites: usize,
    classes: usize,
    told: usize,
}

/// The numbers that a record's names have in a [`Tables`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Numbers {
    /// Its class.
    pub class: ClassId,
    /// Its allocation site.
    pub site: SiteId,
    /// IMEMO: the sort; DATA: the C type; an unknown type: its name; STRING: the encoding.
    pub label: Symbol,
}

/// Which names are wanted; those of classes themselves and of DATA always are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NameParts {
    /// Classes.
    pub class: bool,
    /// Allocation sites.
    pub site: bool,
    /// Labels.
    pub label: bool,
}

impl NameParts {
    /// Every name.
    pub const ALL: NameParts = NameParts { class: true, site: true, label: true };
}

/// Bytes of a block, and how many records, texts and classes' addresses may stand in it.
const BLOCK: usize = 1 << 20;
const RECORDS: usize = BLOCK / 32;
const TEXTS: usize = BLOCK / 16;
const CLASSES: usize = BLOCK / 16;

impl Tables {
    /// Room for what the records of a block may bring: a block has a mebibyte, or one record. Called between blocks, so that what is new
    /// in one finds its room, however much is there already.
    pub(crate) fn room(&mut self) -> Result<()> {
        self.frames.check()?;
        self.symbols.room(TEXTS, BLOCK)?;
        self.sites.room(&self.symbols, RECORDS)?;
        self.classes.room(CLASSES)
    }

    /// Notes that all records of a block are taken, for [`Tables::in_order`].
    pub(crate) fn end_of_block(&mut self, number: u64) -> Result<()> {
        room(&mut self.blocks, 1)?;
        self.blocks.push((number, self.ends()));
        self.room()
    }

    fn ends(&self) -> Ends {
        let (classes, told) = (self.class_count(), self.classes.told.len());
        Ends { symbols: self.symbols.len(), sites: self.sites.len(), classes, told }
    }

    /// Gives back the room that nothing came for, when all records are read: for those who keep the tables.
    pub(crate) fn fit(&mut self) {
        self.symbols.fit();
        self.sites.fit(&self.symbols);
        self.classes.addresses.shrink_to_fit();
        self.classes.records.shrink_to_fit();
        self.classes.told = Vec::new();
        self.classes.numbers.shrink_to_fit();
    }

    /// Numbers the names of a record that `parts` asks for, and keeps what a class says of itself.
    #[inline]
    pub fn take(&mut self, record: &Record<'_>, parts: NameParts) -> Numbers {
        let is_class = matches!(record.ty, Type::Class | Type::Module | Type::Iclass);
        let class = match record.class {
            Some(address) if (parts.class || is_class) && record.ty != Type::Imemo && address != 0 => {
                self.classes.number(address)
            }
            _ => ClassId::NONE,
        };
        let site = match (record.file, record.method) {
            (None, None) => SiteId::NONE,
            _ if !parts.site && !is_class => SiteId::NONE,
            (file, method) => {
                let (file, method) = (file.unwrap_or_default(), method.unwrap_or_default());
                let line = record.line.unwrap_or(0);
                let is_plain = !file.escaped && !method.escaped && file.raw.len().max(method.raw.len()) <= LONGEST;
                if !is_plain {
                    self.sites.intern(&mut self.symbols, &bounded(file.decode()), line, &bounded(method.decode()))
                } else {
                    self.sites.intern(&mut self.symbols, file.raw, line, method.raw)
                }
            }
        };
        let label = match record.ty {
            Type::String => return Numbers { class, site, label: self.encoding(record, parts) },
            Type::Imemo => record.imemo_type,
            Type::Data => record.struct_name,
            Type::Class | Type::Module | Type::Iclass => {
                self.class_record(record, class, site);
                None
            }
            Type::Other => {
                return Numbers { class, site, label: self.symbols.intern(&bounded(record.type_name.decode())) };
            }
            _ => None,
        };
        let label = label.map_or(Symbol::NONE, |text| self.symbols.intern(&bounded(text.decode())));
        Numbers { class, site, label }
    }

    /// Takes the frames of a line that has such, which begins at `offset`.
    #[cold]
    pub(crate) fn take_stacks(&mut self, record: &Record<'_>, offset: u64) {
        let text = record.value.unwrap_or_default().decode();
        self.frames.take(&text, offset, &mut self.symbols, &mut self.sites);
    }

    #[inline]
    fn encoding(&mut self, record: &Record<'_>, parts: NameParts) -> Symbol {
        let Some(text) = record.encoding.filter(|text| parts.label && text.raw.len() <= LONGEST) else {
            return Symbol::NONE;
        };
        if self.symbols.bytes(self.encoding) != text.raw {
            self.encoding = self.symbols.intern(text.raw);
        }
        self.encoding
    }

    fn class_record(&mut self, record: &Record<'_>, class: ClassId, site: SiteId) {
        let Some(address) = record.address else { return };
        let id = self.classes.number(address);
        let superclass = record.superclass.map_or(ClassId::NONE, |address| self.classes.number(address));
        let mut text = |text: Option<crate::record::Text<'_>>| {
            text.map_or(Symbol::NONE, |text| self.symbols.intern(&bounded(text.decode())))
        };
        let known = ClassRecord {
            ty: record.ty,
            name: text(record.name),
            real_class_name: text(record.real_class_name),
            class,
            superclass,
            singleton: record.flags.has(Flags::SINGLETON),
            site,
        };
        self.classes.tell(id, known);
    }

    pub(crate) fn parts<'a>(&'a self, parts: &mut Parts<'a>) {
        self.symbols.parts(parts);
        self.sites.parts(parts);
        self.stacks.parts(parts);
        parts.push(&self.classes.addresses[..]);
        let records = self.classes.records.iter().flat_map(|known| {
            let record = known.unwrap_or_default();
            let texts = [record.name.0, record.real_class_name.0];
            let classes = [record.class.0, record.superclass.0];
            let flags = [u32::from(known.is_some()), record.ty as u32, u32::from(record.singleton)];
            flags.into_iter().chain(texts).chain(classes).chain([record.site.0])
        });
        parts.push(records.collect::<Vec<u32>>());
    }

    pub(crate) fn from_parts(reader: &mut Reader) -> Option<Tables> {
        let symbols = Symbols::from_parts(reader)?;
        let sites = Sites::from_parts(reader, symbols.len())?;
        let stacks = Stacks::from_parts(reader, sites.len())?;
        let addresses: Vec<u64> = reader.take()?;
        let records: Vec<u32> = reader.take()?;
        let (records, []) = records.as_chunks() else { return None };
        if addresses.first() != Some(&0) || records.len() != addresses.len() {
            return None;
        }
        let mut tables = Tables { symbols, sites, stacks, ..Tables::default() };
        for address in &addresses[1..] {
            tables.classes.number(*address);
        }
        if tables.classes.addresses != addresses {
            return None;
        }
        for (at, [known, ty, singleton, name, real_class_name, class, superclass, site]) in records.iter().enumerate() {
            let is_text = |text: &u32| (*text as usize) < tables.symbols.len();
            let is_class = |class: &u32| (*class as usize) < addresses.len();
            let fits = [name, real_class_name].into_iter().all(is_text)
                && [class, superclass].into_iter().all(is_class)
                && (*site as usize) < tables.sites.len();
            if !fits {
                return None;
            }
            let record = ClassRecord {
                ty: Type::from_number(u8::try_from(*ty).ok()?)?,
                name: Symbol(*name),
                real_class_name: Symbol(*real_class_name),
                class: ClassId(*class),
                superclass: ClassId(*superclass),
                singleton: *singleton != 0,
                site: SiteId(*site),
            };
            tables.classes.records[at] = (*known != 0).then_some(record);
        }
        Some(tables)
    }

    /// All of several tables in the first of them, and how the numbers of each map to the whole's. `check` is called with a number at
    /// each step, and may stop it.
    pub(crate) fn joined(
        several: Vec<Tables>,
        check: &impl Fn(usize) -> Result<()>,
    ) -> Result<(Tables, Vec<Renumbering>)> {
        let mut several = several.into_iter();
        let mut joined = several.next().unwrap_or_default();
        let mut renumberings = vec![Renumbering::none(&joined)];
        for other in several {
            renumberings.push(joined.merge(&other, check)?);
        }
        joined.settle(&mut renumberings, check)?;
        Ok((joined, renumberings))
    }

    /// The same, with all numbers as one thread would have given them, however many there were. Each block's new names come in the order in
    /// which they stood in it, and the blocks in the order of the file; so what was not there before comes as if that were one text.
    pub(crate) fn in_order(
        several: Vec<Tables>,
        check: &impl Fn(usize) -> Result<()>,
    ) -> Result<(Tables, Vec<Renumbering>)> {
        if several.len() < 2 {
            return Tables::joined(several, check);
        }
        let mut blocks: Vec<(u64, usize, Ends)> = Vec::new();
        for (worker, tables) in several.iter().enumerate() {
            room(&mut blocks, tables.blocks.len())?;
            blocks.extend(tables.blocks.iter().map(|(number, ends)| (*number, worker, *ends)));
        }
        sort::by_key(&mut blocks, |(number, ..)| *number);
        let mut whole = Tables::default();
        let mut taken: Vec<(Renumbering, usize)> = several.iter().map(|_| (Renumbering::empty(), 0)).collect();
        for (_, worker, ends) in blocks {
            let (renumbering, told) = &mut taken[worker];
            whole.take_in(&several[worker], ends, renumbering, told, check)?;
        }
        let mut renumberings: Vec<Renumbering> = taken.into_iter().map(|(renumbering, _)| renumbering).collect();
        for (tables, renumbering) in several.iter().zip(&renumberings) {
            whole.frames.append(&tables.frames, &renumbering.sites)?;
        }
        whole.settle(&mut renumberings, check)?;
        Ok((whole, renumberings))
    }

    fn settle(&mut self, renumberings: &mut [Renumbering], check: &impl Fn(usize) -> Result<()>) -> Result<()> {
        let (stacks, numbered) = std::mem::take(&mut self.frames).settled(check)?;
        self.stacks = stacks;
        let numbered = Arc::new(numbered);
        renumberings.iter_mut().for_each(|renumbering| renumbering.stacks = Arc::clone(&numbered));
        Ok(())
    }

    /// Takes in all of `other` and tells how its numbers map to ours.
    fn merge(&mut self, other: &Tables, check: &impl Fn(usize) -> Result<()>) -> Result<Renumbering> {
        let mut renumbering = Renumbering::empty();
        self.take_in(other, other.ends(), &mut renumbering, &mut 0, check)?;
        self.frames.append(&other.frames, &renumbering.sites)?;
        Ok(renumbering)
    }

    /// Takes in `other` up to so many of each sort, but for its stacks. What it has of it already, the renumbering says, and `told`.
    fn take_in(
        &mut self,
        other: &Tables,
        ends: Ends,
        Renumbering { symbols, sites, classes, .. }: &mut Renumbering,
        told: &mut usize,
        check: &impl Fn(usize) -> Result<()>,
    ) -> Result<()> {
        self.symbols.merge(&other.symbols, ends.symbols, symbols, check)?;
        self.sites.merge((&other.sites, ends.sites), &mut self.symbols, symbols, sites, check)?;
        let begin = classes.len();
        for (at, address) in other.classes.addresses[begin..ends.classes].iter().enumerate() {
            check(at)?;
            if at.is_multiple_of(RECORDS) {
                let more = RECORDS.min(ends.classes - begin - at);
                self.classes.room(more)?;
                room(classes, more)?;
            }
            classes.push(self.classes.number(*address));
        }
        for id in &other.classes.told[*told..ends.told] {
            let Some(known) = other.classes.records[id.0 as usize] else { continue };
            let known = ClassRecord {
                name: symbols[known.name.0 as usize],
                real_class_name: symbols[known.real_class_name.0 as usize],
                class: classes[known.class.0 as usize],
                superclass: classes[known.superclass.0 as usize],
                site: sites[known.site.0 as usize],
                ..known
            };
            self.classes.tell(classes[id.0 as usize], known);
        }
        *told = ends.told;
        Ok(())
    }

    /// How the numbers of other tables of the same dump map to ours; none where they have more names.
    pub(crate) fn renumbering(&mut self, other: &Tables) -> Option<Renumbering> {
        let counts = |tables: &Tables| (tables.symbols.len(), tables.sites.len(), tables.class_count());
        let before = counts(self);
        let renumbering = self.merge(other, &|_| Ok(())).ok()?;
        let is_same = counts(self) == before && self.stacks.is_same(&other.stacks, &renumbering.sites);
        is_same.then_some(renumbering)
    }

    /// The address of a class's number.
    #[must_use]
    pub fn class_address(&self, id: ClassId) -> u64 {
        self.classes.addresses[id.0 as usize]
    }

    /// How many class numbers there are, "no class" included.
    #[must_use]
    pub fn class_count(&self) -> usize {
        self.classes.addresses.len()
    }
}

/// How one table's numbers map to another's, by place.
#[derive(Clone, Debug)]
pub struct Renumbering {
    /// Texts.
    pub symbols: Vec<Symbol>,
    /// Allocation sites.
    pub sites: Vec<SiteId>,
    /// Classes.
    pub classes: Vec<ClassId>,
    /// Frames of stacks, whose numbers are the dump's own.
    stacks: Arc<Numbered>,
}

impl Renumbering {
    /// Of no number yet but 0.
    fn empty() -> Renumbering {
        Renumbering {
            symbols: vec![Symbol::NONE],
            sites: vec![SiteId::NONE],
            classes: vec![ClassId::NONE],
            stacks: Arc::default(),
        }
    }

    /// All numbers as they are.
    fn none(tables: &Tables) -> Renumbering {
        Renumbering {
            symbols: (0..tables.symbols.len()).map(|id| Symbol(id as u32)).collect(),
            sites: (0..tables.sites.len()).map(|id| SiteId(id as u32)).collect(),
            classes: (0..tables.class_count()).map(|id| ClassId(id as u32)).collect(),
            stacks: Arc::default(),
        }
    }

    /// The frame of an object's stack, whose number in the dump plus 1 this is.
    #[must_use]
    pub fn frame(&self, stack: u32) -> FrameId {
        self.stacks.frame(stack)
    }

    /// The frames' numbers.
    pub(crate) fn stacks(&self) -> Arc<Numbered> {
        Arc::clone(&self.stacks)
    }

    /// The same names in the other table's numbers.
    #[must_use]
    pub fn apply(&self, numbers: Numbers) -> Numbers {
        Numbers {
            class: self.classes[numbers.class.0 as usize],
            site: self.sites[numbers.site.0 as usize],
            label: self.symbols[numbers.label.0 as usize],
        }
    }
}

/// A name of the dump, or one made of several.
enum Named {
    Given(Symbol),
    Made(Vec<u8>),
    /// What stands for the name of a class that the dump does not tell of.
    Missing(Vec<u8>),
}

/// Of the name of a file so much of its end stands in the names of classes without one, each of which is another.
const SHOWN_OF_FILE: usize = 512;

/// The C type of the object in which Ruby keeps what allocation tracing records.
pub const TRACER_STRUCT: &[u8] = b"ObjectTracing/allocation_info_tracer";

/// Superclass chains are a few dozen long; a hostile dump may close one to a cycle.
const CHAIN: usize = 1000;

/// All names of a dump, worked out.
#[derive(Clone, Debug, Default)]
pub struct Names {
    /// The numbered names.
    pub tables: Tables,
    /// Which files are the app's.
    app: App,
    /// By frame, the nearest one of the app, and how deep it stands; worked out when first asked for.
    in_app: OnceLock<Vec<FrameId>>,
    depths: OnceLock<Vec<u32>>,
    /// How allocations were sampled, where they were.
    pub sampling: Option<Sampling>,
    /// For each class number the name its instances go by.
    instances: Vec<Symbol>,
    /// For each class number whether the dump tells of the class: else that name is made of its address.
    is_told: Vec<bool>,
    /// For each class number the one class or module whose own class it is: what it is the singleton class of.
    attached: Vec<Attached>,
    tracer: Symbol,
    metaclass: Symbol,
}

/// A frame of the stack in which an object was allocated.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct StackFrame {
    /// The file's path as Ruby knew it.
    pub file: Option<String>,
    /// The line that was run.
    pub line: Option<u32>,
    /// What was run, as backtraces have it: `block in FeedsController#index`.
    pub label: Option<String>,
    /// Whether the file is the app's.
    pub is_app: bool,
}

impl StackFrame {
    /// `app/models/feed.rb:31`, as far as it is known.
    #[must_use]
    pub fn location(&self) -> Option<String> {
        let file = self.file.as_ref()?;
        Some(self.line.map_or_else(|| file.clone(), |line| format!("{file}:{line}")))
    }
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Attached {
    #[default]
    None,
    One(ClassId),
    Many,
}

impl Names {
    /// Works out the names of all classes. `check` is called with the number of each, and may stop it.
    pub(crate) fn new(tables: Tables, check: impl Fn(usize) -> Result<()>) -> Result<Names> {
        let mut attached = filled(Attached::None, tables.class_count())?;
        for (id, known) in tables.classes.records.iter().enumerate() {
            check(id)?;
            let Some(known) = known.filter(|known| known.ty != Type::Iclass) else { continue };
            let place = &mut attached[known.class.0 as usize];
            *place = if *place == Attached::None { Attached::One(ClassId(id as u32)) } else { Attached::Many };
        }
        let mut instances = list(attached.len())?;
        instances.push(Symbol::NONE);
        let is_told = filled(true, attached.len())?;
        let (tracer, metaclass) = (Symbol::NONE, Symbol::NONE);
        let (app, sampling) = (App::default(), None);
        let (in_app, depths) = (OnceLock::new(), OnceLock::new());
        let mut names =
            Names { tables, app, in_app, depths, sampling, instances, is_told, attached, tracer, metaclass };
        for id in 1..names.tables.class_count() {
            check(id)?;
            if id % RECORDS == 1 {
                names.tables.symbols.room(RECORDS, BLOCK)?;
            }
            let sym = match names.name_of_instances(ClassId(id as u32)) {
                Named::Given(sym) => sym,
                Named::Made(name) => names.tables.symbols.intern(&name),
                Named::Missing(words) => {
                    names.is_told[id] = false;
                    names.tables.symbols.intern(&words)
                }
            };
            names.instances.push(sym);
        }
        names.tracer = names.tables.symbols.intern(TRACER_STRUCT);
        names.metaclass = names.tables.symbols.intern(b"(metaclass)");
        Ok(names)
    }

    /// Which files are the app's.
    #[must_use]
    pub fn app(&self) -> &App {
        &self.app
    }

    /// Says which they are; by default those that are no gem's and not Ruby's own.
    pub fn set_app(&mut self, app: Option<&App>) {
        self.app = app.cloned().unwrap_or_default();
        self.in_app = OnceLock::new();
    }

    /// The nearest frame of the app, from this one on outwards.
    #[must_use]
    pub fn in_app(&self, frame: FrameId) -> FrameId {
        self.in_app.get_or_init(|| self.tables.stacks.nearest(|site| self.is_app(site)))[frame.0 as usize]
    }

    /// How many frames a stack has.
    pub(crate) fn depth(&self, innermost: FrameId) -> u32 {
        self.depths.get_or_init(|| self.tables.stacks.depths())[innermost.0 as usize]
    }

    /// The frames of a stack, the innermost first.
    pub fn frames(&self, innermost: FrameId) -> impl Iterator<Item = StackFrame> + '_ {
        let text = |sym: Symbol| sym.is_some().then(|| self.tables.symbols.text(sym).into_owned());
        self.tables.stacks.frames(innermost).map(move |frame| {
            let site = self.tables.stacks.site(frame);
            let Site { file, line, method } = self.tables.sites.get(site);
            let line = Some(line).filter(|line| *line > 0);
            StackFrame { file: text(file), line, label: text(method), is_app: self.is_app(site) }
        })
    }

    /// Whether a frame or an allocation is in a file of the app.
    #[must_use]
    pub fn is_app(&self, site: SiteId) -> bool {
        self.app.is_app(&self.tables.symbols.text(self.tables.sites.get(site).file))
    }

    /// Whether an object of this type and label is the allocation tracer's own store.
    #[must_use]
    pub fn is_tracer(&self, ty: Type, label: Symbol) -> bool {
        ty == Type::Data && label == self.tracer
    }

    /// The name that instances of a class go by: the class behind singleton and included classes.
    #[must_use]
    pub fn instance_class(&self, id: ClassId) -> Symbol {
        self.instances[id.0 as usize]
    }

    /// Whether there is a class, and the dump tells of it: else what its instances go by is no class's name.
    #[must_use]
    pub fn is_told(&self, id: ClassId) -> bool {
        id != ClassId::NONE && self.is_told[id.0 as usize]
    }

    /// The name of a class, module, included or singleton class itself (`Foo`, `#<Class:Foo>`), by its address.
    #[must_use]
    pub fn class_name(&self, address: u64) -> Option<String> {
        let id = *self.tables.classes.numbers.get(&address)?;
        self.record(id)?;
        Some(String::from_utf8_lossy(&self.own_name(id, 0)).into_owned())
    }

    /// The number of the class at an address, where an object is of it or it is in the dump itself.
    #[must_use]
    pub fn class_at(&self, address: u64) -> Option<ClassId> {
        self.tables.classes.numbers.get(&address).copied()
    }

    /// The address of the superclass of the class at an address, where the dump says it (from Ruby 3.1).
    #[must_use]
    pub fn superclass(&self, address: u64) -> Option<u64> {
        let id = *self.tables.classes.numbers.get(&address)?;
        let superclass = self.record(id)?.superclass;
        (superclass != ClassId::NONE).then(|| self.tables.class_address(superclass))
    }

    /// Whether the class at an address is the singleton class of a class or module, which each one made at run time has.
    #[must_use]
    pub fn is_metaclass(&self, address: u64) -> bool {
        let known = self.class_at(address).and_then(|id| Some((id, self.record(id)?)));
        known.is_some_and(|(id, known)| {
            self.is_singleton(id, known) && matches!(self.attached[id.0 as usize], Attached::One(_))
        })
    }

    /// What stands for the name of the class of metaclasses, so that they are not taken for classes.
    pub(crate) fn metaclass(&self) -> Symbol {
        self.metaclass
    }

    fn record(&self, id: ClassId) -> Option<&ClassRecord> {
        self.tables.classes.records[id.0 as usize].as_ref()
    }

    /// Past singleton and included classes, as rb_class_real goes.
    fn name_of_instances(&self, id: ClassId) -> Named {
        let mut at = id;
        for _ in 0..CHAIN {
            let Some(known) = self.record(at) else { break };
            if !self.is_singleton(at, known) && known.ty != Type::Iclass {
                return self.named(at, known);
            }
            if known.superclass == ClassId::NONE {
                break;
            }
            at = known.superclass;
        }
        // The chain leaves the dump, or the Ruby is older than 3.1 and prints none.
        let Some(known) = self.record(id) else {
            let words = format!("(class 0x{:x}, not in the dump)", self.tables.class_address(id));
            return Named::Missing(words.into_bytes());
        };
        for given in [known.name, known.real_class_name] {
            if given.is_some() {
                return Named::Given(given);
            }
        }
        Named::Made(match self.attached[id.0 as usize] {
            Attached::One(of) if self.record(of).is_some_and(|of| of.ty == Type::Module) => b"Module".to_vec(),
            Attached::One(_) => b"Class".to_vec(),
            _ => format!("#<Class:0x{:x}>", self.tables.class_address(id)).into_bytes(),
        })
    }

    /// Before Ruby 3.1 a line does not say that its class is a singleton class. It has no superclass then either, no name of its own
    /// (up to 2.7 that of its real class) and exactly one class or module is of it.
    fn is_singleton(&self, id: ClassId, known: &ClassRecord) -> bool {
        known.singleton
            || known.ty == Type::Class
                && known.superclass == ClassId::NONE
                && matches!(self.attached[id.0 as usize], Attached::One(_))
                && matches!(self.tables.symbols.bytes(known.name), b"" | b"Class" | b"Module")
    }

    /// `Foo`, or `#<Class:0x7f… at app/models/foo.rb:3>` for one without a name.
    fn named_or_anonymous(&self, id: ClassId, known: &ClassRecord) -> Vec<u8> {
        match self.named(id, known) {
            Named::Given(sym) => self.tables.symbols.bytes(sym).to_vec(),
            Named::Made(name) | Named::Missing(name) => name,
        }
    }

    fn named(&self, id: ClassId, known: &ClassRecord) -> Named {
        let symbols = &self.tables.symbols;
        let sym = if known.name.is_some() { known.name } else { known.real_class_name };
        let given = symbols.bytes(sym);
        if !given.is_empty() && !given.starts_with(b"#<Class:0x") && !given.starts_with(b"#<Module:0x") {
            return Named::Given(sym);
        }
        let kind = if known.ty == Type::Module { "Module" } else { "Class" };
        let mut name = format!("#<{kind}:0x{:x}", self.tables.class_address(id)).into_bytes();
        let site = self.tables.sites.get(known.site);
        if site.file.is_some() {
            name.extend_from_slice(b" at ");
            let file = symbols.bytes(site.file);
            name.extend_from_slice(&file[file.len().saturating_sub(SHOWN_OF_FILE)..]);
            if site.line > 0 {
                name.extend_from_slice(format!(":{}", site.line).as_bytes());
            }
        }
        name.push(b'>');
        Named::Made(name)
    }

    /// The name of the class object itself. The singleton class of an object that is no class is named by the object's class and its
    /// own address.
    fn own_name(&self, id: ClassId, depth: usize) -> Vec<u8> {
        let address = self.tables.class_address(id);
        let Some(known) = self.record(id) else { return format!("0x{address:x}").into_bytes() };
        if known.ty == Type::Iclass {
            let module = self.record(known.class).map(|module| self.named_or_anonymous(known.class, module));
            return [b"#<included ", &module.unwrap_or_default()[..], b">"].concat();
        }
        if !self.is_singleton(id, known) {
            return self.named_or_anonymous(id, known);
        }
        match self.attached[id.0 as usize] {
            Attached::One(of) if depth < 3 => [b"#<Class:", &self.own_name(of, depth + 1)[..], b">"].concat(),
            _ => {
                let real = self.tables.symbols.bytes(self.instance_class(id));
                [b"#<Class:", real, format!(":0x{address:x}>").as_bytes()].concat()
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::control::Control;
    use crate::heap::Heap;
    use crate::keys::{Key, KeyValue, Values};
    use crate::properties::PropertyMask;
    use crate::source::Source;

    fn heap(lines: &[&str]) -> Heap {
        let source = Source::reader(std::io::Cursor::new(lines.join("\n")), "memory");
        Heap::load(&source, &Control { threads: 1, ..Control::default() }.into()).expect("the lines are right")
    }

    /// The distinct classes of the objects of a type.
    fn classes(heap: &Heap, ty: &str) -> Vec<String> {
        let parts: PropertyMask = Key::Class.parts().union(Key::Type.parts());
        let mut values = Values::new(heap.names());
        let mut classes = Vec::new();
        for (properties, _) in &heap.sums(parts, None, &Default::default()).expect("nobody cancels") {
            let mut text = |key| {
                let value = values.value(key, properties);
                match values.outside(value) {
                    KeyValue::Text(text) | KeyValue::NoClass(text) => text,
                    other => panic!("{other:?}"),
                }
            };
            if text(Key::Type) == ty {
                classes.push(text(Key::Class));
            }
        }
        classes.sort_unstable();
        classes
    }

    /// As Ruby 3.1 and later write them.
    const MODERN: [&str; 9] = [
        r#"{"address":"0x100", "type":"CLASS", "class":"0x128", "superclass":"0x400", "name":"Foo"}"#,
        r#"{"address":"0x128", "type":"CLASS", "class":"0x500", "superclass":"0x500", "singleton":true}"#,
        r#"{"address":"0x150", "type":"CLASS", "class":"0x500", "superclass":"0x100", "file":"app/x.rb", "line":12}"#,
        r#"{"address":"0x178", "type":"CLASS", "class":"0x500", "superclass":"0x1a0", "singleton":true}"#,
        r#"{"address":"0x1a0", "type":"ICLASS", "class":"0x1c8", "superclass":"0x100"}"#,
        r#"{"address":"0x1c8", "type":"MODULE", "class":"0x528", "name":"Mixin"}"#,
        r#"{"address":"0x500", "type":"CLASS", "class":"0x500", "superclass":"0x528", "name":"Class"}"#,
        r#"{"address":"0x528", "type":"CLASS", "class":"0x500", "name":"Module"}"#,
        r#"{"address":"0x1f0", "type":"CLASS", "class":"0x500", "superclass":"0x400", "real_class_name":"Real"}"#,
    ];

    #[test]
    fn classes_are_named_as_ruby_inspects_them() {
        let heap = heap(&MODERN);
        let pairs = [
            (0x100, "Foo"),
            (0x128, "#<Class:Foo>"),
            (0x150, "#<Class:0x150 at app/x.rb:12>"),
            (0x178, "#<Class:Foo:0x178>"),
            (0x1a0, "#<included Mixin>"),
            (0x1c8, "Mixin"),
            (0x1f0, "Real"),
        ];
        for (address, name) in pairs {
            assert_eq!(heap.names().class_name(address).as_deref(), Some(name));
        }
        assert_eq!(heap.names().class_name(0x999), None);
    }

    #[test]
    fn instances_go_by_the_class_behind_singleton_and_included_ones() {
        let object = r#"{"address":"0x1000", "type":"OBJECT", "class":"0x178"}"#;
        let other = r#"{"address":"0x1028", "type":"HASH", "class":"0x150"}"#;
        let heap = heap(&[&MODERN[..], &[object, other]].concat());
        assert_eq!(classes(&heap, "OBJECT"), ["Foo"]);
        assert_eq!(classes(&heap, "HASH"), ["#<Class:0x150 at app/x.rb:12>"]);
        assert_eq!(classes(&heap, "MODULE"), ["Module"]);
        assert_eq!(classes(&heap, "ICLASS"), ["Mixin"]);
    }

    /// Up to 2.7 a singleton class is not marked, has no superclass and bears the name of its real class.
    #[test]
    fn singleton_classes_of_old_rubies_are_told_by_who_is_of_them() {
        let heap = heap(&[
            r##"{"address":"0x100", "type":"CLASS", "class":"0x128", "name":"Foo"}"##,
            r##"{"address":"0x128", "type":"CLASS", "class":"0x500", "name":"Class"}"##,
            r##"{"address":"0x150", "type":"CLASS", "class":"0x500", "name":"#<Class:0x0000000000000150>", "file":"a.rb"}"##,
            r##"{"address":"0x500", "type":"CLASS", "class":"0x500", "name":"Class"}"##,
            r##"{"address":"0x1000", "type":"OBJECT", "class":"0x150"}"##,
        ]);
        assert_eq!(heap.names().class_name(0x100).as_deref(), Some("Foo"));
        assert_eq!(heap.names().class_name(0x128).as_deref(), Some("#<Class:Foo>"));
        assert_eq!(heap.names().class_name(0x500).as_deref(), Some("Class"));
        assert_eq!(classes(&heap, "OBJECT"), ["#<Class:0x150 at a.rb>"]);
    }

    #[test]
    fn internal_objects_are_named_by_what_they_are() {
        let heap = heap(&[
            r#"{"address":"0x1000", "type":"IMEMO", "class":"0x8", "imemo_type":"iseq"}"#,
            r#"{"address":"0x1028", "type":"IMEMO"}"#,
            r#"{"address":"0x1050", "type":"DATA", "struct":"VM/thread"}"#,
            r#"{"address":"0x1078", "type":"ARRAY", "length":0}"#,
            r#"{"address":"0x10a0", "type":"STRING", "class":"0x999"}"#,
        ]);
        assert_eq!(classes(&heap, "IMEMO"), ["(IMEMO iseq)", "(IMEMO)"]);
        assert_eq!(classes(&heap, "DATA"), ["(DATA VM/thread)"]);
        assert_eq!(classes(&heap, "ARRAY"), ["(ARRAY)"]);
        assert_eq!(classes(&heap, "STRING"), ["(class 0x999, not in the dump)"]);
    }

    /// A hostile dump may close superclasses, or classes, to a cycle.
    #[test]
    fn rings_of_classes_end() {
        let heap = heap(&[
            r#"{"address":"0x100", "type":"CLASS", "class":"0x128", "superclass":"0x128", "singleton":true}"#,
            r#"{"address":"0x128", "type":"CLASS", "class":"0x100", "superclass":"0x100", "singleton":true}"#,
            r#"{"address":"0x150", "type":"ICLASS", "class":"0x150", "superclass":"0x150"}"#,
            r#"{"address":"0x1000", "type":"OBJECT", "class":"0x150"}"#,
        ]);
        for address in [0x100, 0x128, 0x150] {
            assert!(heap.names().class_name(address).is_some_and(|name| name.len() < 100));
        }
        assert_eq!(classes(&heap, "OBJECT").len(), 1);
    }
}
