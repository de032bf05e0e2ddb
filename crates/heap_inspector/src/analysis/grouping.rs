//! Which group a node is in, and whether a filter lets it through; each distinct value is looked at once.

use crate::control::Control;
use crate::heap::{Domain, Heap, NodeId};
use crate::keys::{Key, KeyValue, Value, Values};
use crate::memory::{filled, list, map, room};
use crate::select::Filter;
use crate::{Error, Result, sort};
use hashbrown::HashMap;

/// The nodes that pass a filter, in order.
///
/// # Errors
/// [`crate::Error::Interrupted`] when cancelled.
pub fn nodes(heap: &Heap, filter: &Filter, control: &Control<'_>) -> Result<Vec<NodeId>> {
    let mut grouping = Grouping::new(heap, &[], filter);
    let mut nodes = Vec::new();
    for id in heap.nodes() {
        control.check_at(id.0 as usize)?;
        if grouping.group(id).is_some() {
            room(&mut nodes, 1)?;
            nodes.push(id);
        }
    }
    Ok(nodes)
}

/// The names of classes that have objects and are most like `name`, the likest first: what may have been meant where there are none of
/// that name. A name counts as like if it is the same but for case, if it ends in the one meant, or if few letters differ. Names of
/// classes that are longer than 256 bytes are like none.
///
/// # Errors
/// [`crate::Error::Interrupted`] when cancelled.
pub fn similar_classes(heap: &Heap, name: &str, limit: usize, control: &Control<'_>) -> Result<Vec<String>> {
    let by = [Key::Class];
    let filter = Filter::default();
    let mut grouping = Grouping::new(heap, &by, &filter);
    for id in heap.nodes() {
        control.check_at(id.0 as usize)?;
        grouping.group(id);
    }
    if name.len() > LONG {
        return Ok(Vec::new());
    }
    let wanted = name.to_lowercase();
    let rank = |known: &str| {
        let lower = known.to_lowercase();
        if lower == wanted {
            return Some(0);
        }
        if lower.ends_with(&format!("::{wanted}")) {
            return Some(1);
        }
        let ending = lower.rsplit("::").next().unwrap_or_default();
        let distance = strsim::osa_distance(&lower, &wanted).min(strsim::osa_distance(ending, &wanted) + 1);
        (distance <= 1 + wanted.chars().count() / 4).then_some(1 + distance)
    };
    let (keys, values) = grouping.values(control)?;
    let mut names: Vec<(usize, String)> = Vec::new();
    for (step, key) in keys.iter().enumerate() {
        control.check_at(step)?;
        let Some(value @ (Value::Text(_) | Value::NoClass(_))) = key.first() else { continue };
        if values.bytes(*value).is_some_and(|name| name.len() <= LONG)
            && let KeyValue::Text(known) | KeyValue::NoClass(known) = values.outside(*value)
        {
            names.extend(rank(&known).map(|rank| (rank, known)));
        }
    }
    sort::by(&mut names, Ord::cmp);
    Ok(names.into_iter().take(limit).map(|(_, name)| name).collect())
}

/// The distance of two names takes their lengths' product.
const LONG: usize = 256;

/// Codes up to this have a place in a table, others are hashed.
const DENSE: usize = 1 << 22;

/// Answers by code, made when they are first asked for.
#[derive(Default)]
struct Answers {
    /// The answer plus 1; 0 where there is none yet.
    dense: Vec<u32>,
    others: HashMap<usize, u32>,
    count: u32,
}

impl Answers {
    #[inline]
    fn get(&mut self, code: usize, make: impl FnOnce() -> u32) -> u32 {
        match self.dense.get(code) {
            Some(answer) if *answer > 0 => *answer - 1,
            _ => self.add(code, make),
        }
    }

    /// How many codes were met before this one, at first.
    #[inline]
    fn number(&mut self, code: usize) -> u32 {
        let next = self.count;
        self.get(code, || next)
    }

    #[cold]
    fn add(&mut self, code: usize, make: impl FnOnce() -> u32) -> u32 {
        let Answers { dense, others, count } = self;
        if code >= DENSE {
            // Where there is no room it is made anew each time.
            if others.get(&code).is_none() && map(others, 1).is_err() {
                *count += 1;
                return make();
            }
            return *others.entry(code).or_insert_with(|| {
                *count += 1;
                make()
            });
        }
        if code >= dense.len() {
            dense.resize((code + 1).next_power_of_two(), 0);
        }
        *count += 1;
        let answer = make();
        dense[code] = answer + 1;
        answer
    }
}

/// So many pairs that were met last are found without hashing.
const RECENT: usize = 1 << 12;

/// Numbers pairs of numbers.
struct Pairs {
    numbers: HashMap<(u32, u32), u32>,
    recent: Vec<((u32, u32), u32)>,
}

impl Pairs {
    fn new() -> Pairs {
        Pairs { numbers: HashMap::new(), recent: vec![((u32::MAX, u32::MAX), 0); RECENT] }
    }

    #[inline]
    fn number(&mut self, pair: (u32, u32), refused: &mut Option<Error>) -> u32 {
        let place = (pair.0.wrapping_mul(0x9e37_79b1) ^ pair.1.wrapping_mul(0x85eb_ca6b)) >> 20;
        let (known, number) = &mut self.recent[place as usize % RECENT];
        if *known != pair {
            if let Err(error) = map(&mut self.numbers, 1) {
                *refused = Some(error);
                return 0;
            }
            let next = self.numbers.len() as u32;
            (*known, *number) = (pair, *self.numbers.entry(pair).or_insert(next));
        }
        *number
    }
}

/// The values of one key, numbered in the order in which they were met.
struct By {
    key: Key,
    domain: Domain,
    answers: Answers,
    numbers: HashMap<Value, u32>,
    order: Vec<Value>,
    /// The groups of the keys before with each value of this one; not for the first.
    pairs: Option<Pairs>,
}

/// Numbers the groups that nodes are in.
pub(crate) struct Grouping<'a> {
    heap: &'a Heap,
    filter: &'a Filter,
    values: Values<'a>,
    /// The place of each in the filter, sites last: there are more of them than of anything else.
    terms: Vec<(usize, Domain, Answers)>,
    by: Vec<By>,
    codes: Vec<usize>,
    /// Room for a group that was not to be had.
    refused: Option<Error>,
}

impl<'a> Grouping<'a> {
    pub(crate) fn new(heap: &'a Heap, by: &[Key], filter: &'a Filter) -> Grouping<'a> {
        let by = by.iter().enumerate().map(|(at, key)| By {
            key: *key,
            domain: key.domain(),
            answers: Answers::default(),
            numbers: HashMap::new(),
            order: Vec::new(),
            pairs: (at > 0).then(Pairs::new),
        });
        let terms = filter.domains().enumerate();
        let mut terms: Vec<_> = terms.map(|(at, domain)| (at, domain, Answers::default())).collect();
        sort::by_key(&mut terms, |(_, domain, _)| *domain == Domain::Site);
        Grouping {
            heap,
            filter,
            values: Values::new(heap.names()),
            terms,
            by: by.collect(),
            codes: Vec::new(),
            refused: None,
        }
    }

    /// Keeps the nodes that the filter lets through: those that have a [group](Grouping::group). One term after the other decides on
    /// all that are left.
    pub(crate) fn retain(&mut self, ids: &mut Vec<NodeId>) {
        let (heap, filter, values) = (self.heap, self.filter, &mut self.values);
        if let Some(ranges) = filter.memsize() {
            ids.retain(|id| ranges.hold(heap.bytes(*id)));
        }
        for (at, domain, answers) in &mut self.terms {
            heap.codes(ids, *domain, &mut self.codes);
            let mut kept = 0;
            for (place, code) in self.codes.iter().enumerate() {
                let id = ids[place];
                let holds = answers.get(*code, || u32::from(filter.holds_term(*at, values, &heap.properties(id))));
                // Without a branch, which would be guessed wrong often.
                ids[kept] = id;
                kept += holds as usize;
            }
            ids.truncate(kept);
        }
    }

    /// The number of the node's group; none where the filter keeps it out. Where there is no room for a new one, too: then the groups
    /// are not to be had in the end.
    #[inline]
    pub(crate) fn group(&mut self, id: NodeId) -> Option<usize> {
        let (heap, filter, values, refused) = (self.heap, self.filter, &mut self.values, &mut self.refused);
        if filter.memsize().is_some_and(|ranges| !ranges.hold(heap.bytes(id))) {
            return None;
        }
        for (at, domain, answers) in &mut self.terms {
            let holds = || u32::from(filter.holds_term(*at, values, &heap.properties(id)));
            if answers.get(heap.code(id, *domain), holds) == 0 {
                return None;
            }
        }
        let mut group = 0;
        for By { key, domain, answers, numbers, order, pairs } in &mut self.by {
            let number = answers.get(heap.code(id, *domain), || {
                if let Err(error) = map(numbers, 1).and_then(|()| room(order, 1)) {
                    *refused = Some(error);
                    return 0;
                }
                let value = values.value(*key, &heap.properties(id));
                *numbers.entry(value).or_insert_with(|| {
                    order.push(value);
                    order.len() as u32 - 1
                })
            });
            group = match pairs {
                None => number,
                Some(pairs) => pairs.number((group, number), refused),
            };
        }
        Some(group as usize)
    }

    /// The keys of the groups, by number.
    ///
    /// # Errors
    /// [`Error::Memory`], also where there was none for a group; [`Error::Interrupted`] when cancelled.
    pub(crate) fn keys(self, control: &Control<'_>) -> Result<Vec<Vec<KeyValue>>> {
        let (keys, values) = self.values(control)?;
        let mut outside = list(keys.len())?;
        for (step, key) in keys.iter().enumerate() {
            control.check_at(step)?;
            outside.push(key.iter().map(|value| values.outside(*value)).collect());
        }
        Ok(outside)
    }

    /// The same, texts by number, and what has the texts.
    ///
    /// # Errors
    /// Those of [`Grouping::keys`].
    pub(crate) fn values(self, control: &Control<'_>) -> Result<(Vec<Vec<Value>>, Values<'a>)> {
        if let Some(refused) = self.refused {
            return Err(refused);
        }
        let mut keys: Vec<Vec<Value>> = vec![Vec::new()];
        for By { order, pairs, .. } in self.by {
            let mut together = filled(Vec::new(), pairs.as_ref().map_or(order.len(), |pairs| pairs.numbers.len()))?;
            match pairs {
                None => {
                    for (step, value) in order.into_iter().enumerate() {
                        control.check_at(step)?;
                        together[step].push(value);
                    }
                }
                Some(pairs) => {
                    for (step, ((group, number), at)) in pairs.numbers.into_iter().enumerate() {
                        control.check_at(step)?;
                        together[at as usize] = [&keys[group as usize][..], &[order[number as usize]]].concat();
                    }
                }
            }
            keys = together;
        }
        Ok((keys, self.values))
    }
}

/// Numbers the groups of nodes by their codes alone: finer than by the values of keys, and without any text. So threads may each number
/// theirs, and the values are worked out once, by one node of each group.
pub(crate) struct Coding<'a> {
    heap: &'a Heap,
    by: Vec<(Domain, Answers, Option<Pairs>)>,
    first: Vec<NodeId>,
    codes: Vec<usize>,
    refused: Option<Error>,
}

impl<'a> Coding<'a> {
    pub(crate) fn new(heap: &'a Heap, by: &[Key]) -> Coding<'a> {
        let mut domains: Vec<Domain> = Vec::new();
        by.iter().map(|key| key.domain()).for_each(|domain| {
            if !domains.contains(&domain) {
                domains.push(domain);
            }
        });
        let by = domains.into_iter().enumerate();
        let by = by.map(|(at, domain)| (domain, Answers::default(), (at > 0).then(Pairs::new))).collect();
        Coding { heap, by, first: Vec::new(), codes: Vec::new(), refused: None }
    }

    /// The group of each node, by its place. Returns how many groups there are so far.
    ///
    /// # Errors
    /// [`Error::Memory`].
    pub(crate) fn groups(&mut self, ids: &[NodeId], groups: &mut Vec<u32>) -> Result<usize> {
        groups.clear();
        groups.resize(ids.len(), 0);
        for (domain, answers, pairs) in &mut self.by {
            self.heap.codes(ids, *domain, &mut self.codes);
            for (group, code) in groups.iter_mut().zip(&self.codes) {
                let number = answers.number(*code);
                *group = match pairs {
                    None => number,
                    Some(pairs) => pairs.number((*group, number), &mut self.refused),
                };
            }
        }
        if let Some(refused) = self.refused.take() {
            return Err(refused);
        }
        room(&mut self.first, ids.len())?;
        // Numbers are given in the order in which groups are met.
        for (id, group) in ids.iter().zip(&*groups) {
            if *group as usize == self.first.len() {
                self.first.push(*id);
            }
        }
        Ok(self.first.len())
    }

    /// The first node of each group, by number.
    pub(crate) fn first(self) -> Vec<NodeId> {
        self.first
    }
}
