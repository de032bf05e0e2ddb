//! Arrays and hashes: how many, how full, what the room for elements that are not there costs, and where it was allocated.
//!
//! A dump tells how many elements an array or hash has and how many bytes it takes, not how many it has room for. [`room`] works that
//! out. An array has a word for each element it has room for. A hash of up to 8 entries has a list of pairs, a bigger one a table of
//! 2ⁿ entries of three words, and from 32 entries on bins of 1, 2, 4 or 8 bytes for each half entry (array.c, hash.c, st.c). The list
//! is of its own memory from Ruby 2.6 on; from 3.3 on it is in the slot, as is the head of a table. So the bytes name the form, and the
//! result is exact, but where instance variables of the array or hash itself add to its bytes, which the dump does not tell. Where the
//! bytes fit no form the biggest that they hold is taken. Elements in the slot of an array cost nothing. Costs time for each array and
//! hash.

use super::grouping::Grouping;
use super::{Context, address_cell, column, fact, key_cell, note, of_all, share, titled};
use crate::control::Control;
use crate::graph::dominators::Tree;
use crate::heap::{Heap, NodeId, Target};
use crate::human;
use crate::keys::{Key, KeyValue};
use crate::labels::Labels;
use crate::memory::gathered;
use crate::properties::ObjectProperties;
use crate::record::{Flags, Type};
use crate::report::{Cell, Column, Facts, Level, Report, Rest, Section, Table};
use crate::ruby::RubyVersion;
use crate::select::Filter;
use crate::{Result, sort};

/// How an array or hash keeps its elements.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Form {
    /// An array whose elements are in its slot.
    ArrayInSlot,
    /// An array with memory of its own.
    Array,
    /// An array that shows a part of another's elements.
    ArrayShared,
    /// A hash that has no room for entries yet.
    HashWithoutTable,
    /// A hash with a list of pairs.
    HashList,
    /// A hash with a list of pairs in its slot (from Ruby 3.3).
    HashListInSlot,
    /// A hash with a table.
    HashTable,
    /// A hash whose form cannot be told.
    HashUnknown,
}

impl Form {
    /// Every form with its name.
    pub const NAMED: [(Form, &'static str); 8] = [
        (Form::ArrayInSlot, "arrays in their slots"),
        (Form::Array, "arrays with memory of their own"),
        (Form::ArrayShared, "arrays that share another's elements"),
        (Form::HashWithoutTable, "hashes without a table"),
        (Form::HashList, "hashes with a short list of pairs"),
        (Form::HashListInSlot, "hashes with a short list of pairs in their slots"),
        (Form::HashTable, "hashes with a table"),
        (Form::HashUnknown, "hashes whose room is not known"),
    ];

    fn is_array(self) -> bool {
        self <= Form::ArrayShared
    }
}

/// What an array or hash has room for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Room {
    /// How it keeps its elements.
    #[serde(skip)]
    pub form: Form,
    /// For how many elements it has room; none where it has no room of its own, or that is not known.
    pub capacity: Option<u64>,
    /// The bytes of the room for elements that are not there.
    pub wasted: u64,
    /// Whether the bytes fit the form to the byte.
    pub is_exact: bool,
}

/// The room of an array or hash of `length` elements that takes `bytes`, its slot included.
#[must_use]
pub fn room(properties: &ObjectProperties, length: u64, bytes: u64, ruby_version: RubyVersion) -> Room {
    let word = ruby_version.word();
    let slot_size = u64::from(if properties.slot_size == 0 { ruby_version.base_slot() } else { properties.slot_size });
    let beyond = bytes.saturating_sub(slot_size);
    if properties.ty == Type::Hash {
        hash(properties.slot_size, length, beyond, ruby_version)
    } else {
        array(properties, length, beyond, word)
    }
}

fn array(properties: &ObjectProperties, length: u64, beyond: u64, word: u64) -> Room {
    // Of an empty array no Ruby says that it is embedded.
    if properties.flags.has(Flags::EMBEDDED) || length == 0 && beyond == 0 {
        return Room { form: Form::ArrayInSlot, capacity: None, wasted: 0, is_exact: true };
    }
    if properties.flags.has(Flags::SHARED) {
        return Room { form: Form::ArrayShared, capacity: None, wasted: 0, is_exact: true };
    }
    // Of an array that was printed as longer than its memory the length is right: it shares, and the Ruby does not say so.
    let capacity = beyond / word;
    if capacity < length {
        return Room { form: Form::ArrayShared, capacity: None, wasted: 0, is_exact: false };
    }
    let wasted = (capacity - length) * word;
    Room { form: Form::Array, capacity: Some(capacity), wasted, is_exact: beyond.is_multiple_of(word) }
}

fn hash(slot_size: u32, length: u64, beyond: u64, ruby_version: RubyVersion) -> Room {
    let word = ruby_version.word();
    let unknown = Room { form: Form::HashUnknown, capacity: None, wasted: 0, is_exact: false };
    if !ruby_version.has_entry_tables() {
        return unknown;
    }
    let head = 6 * word + 8; // of a table (struct st_table)
    let in_slot = u64::from(slot_size) >= 3 * word + head;
    // A list is of 8 pairs, on 32 bits of 4 up to Ruby 3.3. In Ruby 2.6 its entries are of three words.
    let list = |capacity: u64, entry: u64, is_exact: bool| Room {
        form: if in_slot { Form::HashListInSlot } else { Form::HashList },
        capacity: Some(capacity),
        wasted: capacity.saturating_sub(length) * entry,
        is_exact,
    };
    let pair = 2 * word;
    let short = word.min(8);
    // Since Ruby 4.1 a list has as many pairs as its slot has room for, up to 8.
    let sized = (u64::from(slot_size).saturating_sub(4 * word) / pair).min(8);
    if ruby_version.has_sized_lists() && beyond == 0 && (1..=sized).contains(&length.max(1)) {
        return Room { form: Form::HashListInSlot, ..list(sized, pair, true) };
    }
    let embedded = if u64::from(slot_size) >= 3 * word + 8 + 8 * pair { 8 } else { short };
    if in_slot && beyond == 0 {
        return if length <= embedded { list(embedded, pair, true) } else { unknown };
    }
    if !in_slot && beyond == 0 {
        let form = if length == 0 { Form::HashWithoutTable } else { Form::HashUnknown };
        return Room { form, is_exact: length == 0, ..unknown };
    }
    if !in_slot && beyond == short * pair && length <= short {
        return list(short, pair, true);
    }
    if !in_slot && beyond == 8 * 3 * word && length <= 8 {
        return list(8, 3 * word, true);
    }
    let bytes = if in_slot { beyond } else { beyond.saturating_sub(head) };
    let fits = (2..48).take_while(|power| table_bytes(*power, word) <= bytes).last();
    match fits.filter(|power| 1 << power >= length) {
        Some(power) => Room {
            form: Form::HashTable,
            capacity: Some(1 << power),
            wasted: ((1 << power) - length) * 3 * word,
            is_exact: table_bytes(power, word) == bytes && (in_slot || beyond > head),
        },
        // Less than the smallest table beside a list: the list's own instance variables.
        None if in_slot && beyond < table_bytes(2, word) && length <= embedded => list(embedded, pair, false),
        // A list, or none, and instance variables.
        None if !in_slot && beyond > short * pair && length <= short => list(short, pair, false),
        None if !in_slot && length == 0 => Room { form: Form::HashWithoutTable, ..unknown },
        None => unknown,
    }
}

/// The bytes of a table of 2ⁿ entries without its head: the entries, and from 2⁵ on twice as many bins.
fn table_bytes(power: u32, word: u64) -> u64 {
    let bin = match power {
        0..=4 => 0,
        5..=7 => 1,
        8..=15 => 2,
        16..=31 => 4,
        _ => 8,
    };
    (1 << power) * 3 * word + (2 << power) * bin
}

/// What is summed up over arrays and hashes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct Fill {
    /// How many.
    pub count: u64,
    /// Their bytes, slots included.
    pub memsize: u64,
    /// How many elements they have.
    pub elements: u64,
    /// How many they have room for, where that is known and the room is their own.
    pub capacity: u64,
    /// How many elements are in that room.
    pub filled: u64,
    /// The bytes of the room for elements that are not there.
    pub wasted: u64,
    /// How many are empty.
    pub empty: u64,
}

impl Fill {
    fn add(&mut self, other: Fill) {
        self.count += other.count;
        self.memsize = self.memsize.saturating_add(other.memsize);
        self.elements += other.elements;
        self.capacity = self.capacity.saturating_add(other.capacity);
        self.filled += other.filled;
        self.wasted = self.wasted.saturating_add(other.wasted);
        self.empty += other.empty;
    }

    fn fill_cell(&self) -> Cell {
        if self.capacity == 0 { Cell::Missing } else { Cell::Share(share(self.filled, self.capacity)) }
    }
}

/// One array or hash.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Collection {
    /// The object.
    pub id: NodeId,
    /// Its address.
    pub address: u64,
    /// The object for people.
    pub label: String,
    /// How many elements it has.
    pub length: u64,
    /// Its room.
    pub room: Room,
    /// Its bytes, slot included.
    pub memsize: u64,
    /// The bytes it retains, where a tree was given.
    pub retained_memsize: Option<u64>,
    /// Where it was allocated.
    #[serde(serialize_with = "crate::keys::if_present")]
    pub location: KeyValue,
}

/// Arrays and hashes with the same values of the keys.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Group {
    /// A value for each key, in the order asked for.
    pub key: Vec<KeyValue>,
    /// What they come to.
    pub fill: Fill,
}

/// Lengths that stand in one row: from the first to the second, both included.
pub const LENGTHS: [(u64, u64); 8] =
    [(0, 0), (1, 8), (9, 64), (65, 512), (513, 4096), (4097, 32_768), (32_769, 262_144), (262_145, u64::MAX)];

/// The arrays and hashes of a heap.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct Collections {
    /// All arrays that pass the filter.
    pub arrays: Fill,
    /// All hashes that pass it.
    pub hashes: Fill,
    /// By form, in the order of [`Form::NAMED`].
    pub forms: [Fill; 8],
    /// By length, in the order of [`LENGTHS`]: arrays and hashes.
    pub lengths: [(Fill, Fill); 8],
    /// Those that are empty and yet have room for elements.
    pub empty: Fill,
    /// Those with room for more than 8 elements, less than a quarter of it taken, the empty ones not among them.
    pub sparse: Fill,
    /// How many of those whose room is known were not to the byte of the form they were taken for.
    pub estimated: u64,
    /// The keys of `groups`.
    pub by: Vec<Key>,
    /// Groups by what they waste, as many as the limit allows.
    pub groups: Vec<Group>,
    /// How many groups the limit cut off, and what they come to.
    pub rest: (u64, Fill),
    /// Those that take most memory, as many as the limit allows.
    pub biggest: Vec<Collection>,
    /// Those that waste most, as many as the limit allows.
    pub emptiest: Vec<Collection>,
    /// How many `Set`s that are no hashes (from Ruby 4.0) pass it; the dump does not say how long they are. Those that take most memory
    /// are among `biggest`, by what they refer to.
    pub sets: u64,
    /// Their bytes.
    pub sets_memsize: u64,
    /// How many objects they hold; numbers and symbols are not among them.
    pub set_elements: u64,
}

/// The arrays and hashes that pass the filter, grouped by `by`, with `limit` rows of each list. With a `tree` the biggest ones are told
/// what they retain.
///
/// # Errors
/// [`crate::Error::Interrupted`] when cancelled.
pub fn collections(
    heap: &Heap,
    tree: Option<&Tree>,
    by: &[Key],
    filter: &Filter,
    limit: usize,
    control: &Control<'_>,
) -> Result<Collections> {
    let mut found = Collections { by: by.to_vec(), ..Collections::default() };
    let ruby_version = heap.totals().ruby_version;
    let mut grouping = Grouping::new(heap, by, filter);
    let mut by_group: Vec<Fill> = Vec::new();
    let (mut biggest, mut emptiest) = (Top::new(limit), Top::new(limit));
    for id in heap.nodes() {
        control.check_at(id.0 as usize)?;
        let properties = heap.properties(id);
        if !matches!(properties.ty, Type::Array | Type::Hash) {
            if is_set(heap, id) && grouping.group(id).is_some() {
                let (memsize, elements) = (heap.bytes(id), set_elements(heap, id));
                found.sets += 1;
                found.sets_memsize += memsize;
                found.set_elements += elements;
                biggest.add(memsize, id);
            }
            continue;
        }
        let Some(group) = grouping.group(id) else { continue };
        let (length, memsize) = (u64::from(heap.length(id).unwrap_or(0)), heap.bytes(id));
        let room = room(&properties, length, memsize, ruby_version);
        let fill = Fill {
            count: 1,
            memsize,
            elements: length,
            capacity: room.capacity.unwrap_or(0),
            filled: room.capacity.map_or(0, |_| length),
            wasted: room.wasted,
            empty: u64::from(length == 0),
        };
        let row = LENGTHS.iter().position(|(_, last)| length <= *last).unwrap_or(LENGTHS.len() - 1);
        if room.form.is_array() {
            found.arrays.add(fill);
            found.lengths[row].0.add(fill);
        } else {
            found.hashes.add(fill);
            found.lengths[row].1.add(fill);
        }
        found.forms[room.form as usize].add(fill);
        found.estimated += u64::from(!room.is_exact && room.form != Form::HashUnknown);
        if length == 0 && room.capacity.is_some_and(|capacity| capacity > 0) {
            found.empty.add(fill);
        } else if room.capacity.is_some_and(|capacity| capacity > 8 && length.saturating_mul(4) < capacity) {
            found.sparse.add(fill);
        }
        crate::memory::reach(&mut by_group, group, Fill::default())?;
        by_group[group].add(fill);
        biggest.add(memsize, id);
        if room.wasted > 0 {
            emptiest.add(room.wasted, id);
        }
    }
    let groups = by_group.into_iter().zip(grouping.keys(control)?).map(|(fill, key)| Group { key, fill });
    found.groups = gathered(groups, control)?;
    let rank = |fill: &Fill| (fill.wasted, fill.memsize);
    sort::by(&mut found.groups, |a, b| rank(&b.fill).cmp(&rank(&a.fill)).then_with(|| a.key.cmp(&b.key)));
    for rest in &found.groups[limit.min(found.groups.len())..] {
        found.rest.0 += 1;
        found.rest.1.add(rest.fill);
    }
    found.groups.truncate(limit);
    let labels = Labels::new(heap);
    let collection = |id: NodeId| {
        let memsize = heap.bytes(id);
        let (length, room) = if is_set(heap, id) {
            let unknown = Room { form: Form::HashUnknown, capacity: None, wasted: 0, is_exact: false };
            (set_elements(heap, id), unknown)
        } else {
            let length = u64::from(heap.length(id).unwrap_or(0));
            (length, room(&heap.properties(id), length, memsize, ruby_version))
        };
        Collection {
            id,
            address: heap.address(id),
            label: labels.node(id),
            length,
            room,
            memsize,
            retained_memsize: tree.map(|tree| tree.retained(id)),
            location: labels.value(Key::Location, id),
        }
    };
    found.biggest = gathered(biggest.sorted().into_iter().map(collection), control)?;
    found.emptiest = gathered(emptiest.sorted().into_iter().map(collection), control)?;
    Ok(found)
}

/// Whether it is a `Set` of Ruby 4.0 or later, which is no hash.
fn is_set(heap: &Heap, id: NodeId) -> bool {
    let properties = heap.properties(id);
    properties.ty == Type::Data && heap.names().tables.symbols.bytes(properties.names.label) == b"set"
}

/// How many objects such a set refers to: its elements, without numbers and symbols. An object with its instance variables is none.
fn set_elements(heap: &Heap, id: NodeId) -> u64 {
    let is_element = |target: &Target| match target {
        Target::Node(target) => heap.properties(*target).ty != Type::Imemo,
        Target::Dangling(_) => true,
    };
    heap.references(id).filter(is_element).count() as u64
}

/// The nodes of the greatest numbers. Twice as many as asked for are kept, so that sorting them out is rare.
struct Top {
    limit: usize,
    nodes: Vec<(u64, NodeId)>,
}

impl Top {
    fn new(limit: usize) -> Top {
        Top { limit, nodes: Vec::new() }
    }

    fn add(&mut self, number: u64, id: NodeId) {
        self.nodes.push((number, id));
        if self.nodes.len() >= self.limit.saturating_mul(2).max(1 << 12) {
            self.sort();
        }
    }

    fn sort(&mut self) {
        sort::by(&mut self.nodes, |(one, a), (other, b)| other.cmp(one).then(a.cmp(b)));
        self.nodes.truncate(self.limit);
    }

    fn sorted(mut self) -> Vec<NodeId> {
        self.sort();
        self.nodes.into_iter().map(|(_, id)| id).collect()
    }
}

impl Collections {
    /// The answer of `collections`.
    #[must_use]
    pub fn report(&self, filter: &Filter, dump: &str, context: &Context) -> Report {
        let names: Vec<&str> = self.by.iter().map(|key| key.name()).collect();
        let mut sections = vec![context.facts(), self.facts(context)];
        let title = titled("Arrays and hashes by how they keep their elements", filter);
        sections.push(Section::Table(self.form_table(title)));
        sections.push(Section::Table(self.length_table(titled("Arrays and hashes by length", filter))));
        if self.arrays.count + self.hashes.count > 0 {
            let title = titled(&format!("Wasted by {}", names.join(", ")), filter);
            sections.push(Section::Table(self.group_table(title)));
            let title = titled("Biggest arrays and hashes", filter);
            sections.push(Section::Table(table("biggest", title, &self.biggest)));
        }
        if !self.emptiest.is_empty() {
            let title = titled("Arrays and hashes that waste most", filter);
            sections.push(Section::Table(table("emptiest", title, &self.emptiest)));
        }
        sections.extend(self.explain());
        sections.extend(context.notes());
        Report { verb: "collections", dump: dump.to_owned(), sections }
    }

    fn facts(&self, context: &Context) -> Section {
        let wasted = self.arrays.wasted + self.hashes.wasted;
        let of = |fill: Fill| {
            let (wasted, memsize) = (human::bytes(fill.wasted), human::bytes(fill.memsize));
            format!("{memsize}, {wasted} of it wasted")
        };
        let facts = vec![
            fact("arrays", "Arrays", Cell::Count(self.arrays.count), of(self.arrays)),
            fact("hashes", "Hashes", Cell::Count(self.hashes.count), of(self.hashes)),
            fact(
                "wasted",
                "Wasted",
                Cell::Bytes(wasted),
                of_all(wasted, context.totals.objects.memsize, "of all memory: room for elements that are not there"),
            ),
            fact("empty", "Empty with room", Cell::Count(self.empty.count), of(self.empty)),
            fact(
                "sparse",
                "Sparse",
                Cell::Count(self.sparse.count),
                format!("{}; under a quarter full", of(self.sparse)),
            ),
        ];
        Section::Facts(Facts { name: "collections", title: "Arrays and hashes".into(), facts })
    }

    fn form_table(&self, title: String) -> Table {
        let cells = |fill: &Fill, name: Cell| -> Vec<Cell> {
            let numbers = [
                Cell::Count(fill.count),
                Cell::Bytes(fill.memsize),
                Cell::Count(fill.elements),
                Cell::Count(fill.empty),
                fill.fill_cell(),
                Cell::Bytes(fill.wasted),
            ];
            numbers.into_iter().chain([name]).collect()
        };
        let mut total = self.arrays;
        total.add(self.hashes);
        let forms = Form::NAMED.iter().zip(&self.forms).filter(|(_, fill)| fill.count > 0);
        Table {
            name: "forms",
            title,
            columns: vec![
                column("count", "Objects"),
                column("memsize", "Memory"),
                column("elements", "Elements"),
                column("empty", "Empty"),
                column("fill_share", "Full"),
                column("wasted", "Wasted"),
                Column { name: "form", title: "Form", shrinks: true },
            ],
            rows: forms.map(|((_, name), fill)| cells(fill, Cell::Text((*name).to_owned()))).collect(),
            rest: None,
            total: Some(cells(&total, Cell::Missing)),
            bar: None,
        }
    }

    fn length_table(&self, title: String) -> Table {
        let cells = |arrays: &Fill, hashes: &Fill, first: Cell, last: Cell| {
            vec![
                first,
                last,
                Cell::Count(arrays.count),
                Cell::Bytes(arrays.memsize),
                Cell::Bytes(arrays.wasted),
                Cell::Count(hashes.count),
                Cell::Bytes(hashes.memsize),
                Cell::Bytes(hashes.wasted),
            ]
        };
        let rows = LENGTHS.iter().zip(&self.lengths).filter(|(_, (arrays, hashes))| arrays.count + hashes.count > 0);
        Table {
            name: "lengths",
            title,
            columns: vec![
                column("length_from", "Length"),
                column("length_to", "to"),
                column("arrays", "Arrays"),
                column("arrays_memsize", "Memory"),
                column("arrays_wasted", "Wasted"),
                column("hashes", "Hashes"),
                column("hashes_memsize", "Memory"),
                column("hashes_wasted", "Wasted"),
            ],
            rows: rows
                .map(|((first, last), (arrays, hashes))| {
                    let last = if *last == u64::MAX { Cell::Missing } else { Cell::Count(*last) };
                    cells(arrays, hashes, Cell::Count(*first), last)
                })
                .collect(),
            rest: None,
            total: Some(cells(&self.arrays, &self.hashes, Cell::Missing, Cell::Missing)),
            bar: None,
        }
    }

    fn group_table(&self, title: String) -> Table {
        let mut columns = vec![
            column("wasted", "Wasted"),
            column("wasted_share", ""),
            column("memsize", "Memory"),
            column("count", "Objects"),
            column("empty", "Empty"),
            column("fill_share", "Full"),
        ];
        columns.extend(self.by.iter().map(|key| Column { name: key.name(), title: key.title(), shrinks: true }));
        let mut total = self.arrays;
        total.add(self.hashes);
        let numbers = |fill: &Fill| {
            [
                Cell::Bytes(fill.wasted),
                Cell::Share(share(fill.wasted, total.wasted)),
                Cell::Bytes(fill.memsize),
                Cell::Count(fill.count),
                Cell::Count(fill.empty),
                fill.fill_cell(),
            ]
        };
        let unlabelled = |fill: &Fill| numbers(fill).into_iter().chain(self.by.iter().map(|_| Cell::Missing)).collect();
        Table {
            name: "groups",
            title,
            columns,
            rows: self
                .groups
                .iter()
                .map(|group| {
                    let keys = self.by.iter().zip(&group.key).map(|(key, value)| key_cell(*key, value));
                    numbers(&group.fill).into_iter().chain(keys).collect()
                })
                .collect(),
            rest: (self.rest.0 > 0).then(|| Rest { rows: self.rest.0, cells: unlabelled(&self.rest.1) }),
            total: Some(unlabelled(&total)),
            bar: None,
        }
    }

    fn explain(&self) -> Vec<Section> {
        let mut text = "what is wasted is room for elements that are not there, worked out from the bytes and Ruby's ways to grow: exact, but \
                        for arrays and hashes that have instance variables"
            .to_owned();
        if self.estimated > 0 {
            text += &format!("; the bytes of {} fit no form, the nearest is taken", human::count(self.estimated));
        }
        let mut notes = vec![note(Level::Info, text)];
        if [Form::HashList, Form::HashListInSlot].iter().any(|form| self.forms[*form as usize].count > 0) {
            let text = "a hash has room for 8 entries from its first one on, since Ruby 3.3 even before, in its slot; that room is among \
                        the wasted, and only fewer hashes, or structs in their place, save it";
            notes.push(note(Level::Info, text));
        }
        let unknown = self.forms[Form::HashUnknown as usize].count;
        if unknown > 0 {
            let text = format!(
                "of {} hashes the room is not known; they count as if they wasted nothing",
                human::count(unknown)
            );
            notes.push(note(Level::Info, text));
        }
        if self.sets > 0 {
            let text = format!(
                "from Ruby 4.0 on a Set is not a hash; there are {}, of {}, which hold {} objects; how many numbers and symbols they hold and \
                 have room for the dump does not say, so they stand among the biggest, and are counted nowhere else",
                human::count(self.sets),
                human::bytes(self.sets_memsize),
                human::count(self.set_elements)
            );
            notes.push(note(Level::Info, text));
        }
        notes
    }
}

fn table(name: &'static str, title: String, collections: &[Collection]) -> Table {
    let has_tree = collections.iter().any(|collection| collection.retained_memsize.is_some());
    let mut columns = vec![column("memsize", "Memory"), column("wasted", "Wasted")];
    if has_tree {
        columns.push(column("retained_memsize", "Retained"));
    }
    columns.extend([
        column("length", "Length"),
        column("capacity", "Room for"),
        column("address", "Address"),
        Column { name: "object", title: "Object", shrinks: true },
        Column { name: "location", title: "Allocated at", shrinks: true },
    ]);
    let cells = |collection: &Collection| {
        let mut cells = vec![Cell::Bytes(collection.memsize), Cell::Bytes(collection.room.wasted)];
        if has_tree {
            cells.push(collection.retained_memsize.map_or(Cell::Missing, Cell::Bytes));
        }
        cells.extend([
            Cell::Count(collection.length),
            collection.room.capacity.map_or(Cell::Missing, Cell::Count),
            address_cell(collection.address),
            Cell::Text(collection.label.clone()),
            key_cell(Key::Location, &collection.location),
        ]);
        cells
    };
    let rows = collections.iter().map(cells).collect();
    Table { name, title, columns, rows, rest: None, total: None, bar: None }
}

#[cfg(test)]
mod tests;
