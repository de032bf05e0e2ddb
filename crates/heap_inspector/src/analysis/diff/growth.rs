//! Groups in all dumps: how each went, and which grew.

use super::{Diff, at_once};
use crate::analysis::grouping::Grouping;
use crate::analysis::groups::{self, Groups};
use crate::analysis::work::{Rate, Work};
use crate::analysis::{Order, retained};
use crate::control::Control;
use crate::heap::{Heap, NodeId};
use crate::keys::{Key, KeyValue, StackText, Value, Values};
use crate::memory;
use crate::names::TRACER_STRUCT;
use crate::select::Filter;
use crate::sums::Sum;
use crate::symbols::{Symbol, Symbols};
use crate::{Result, sort};
use hashbrown::HashMap;

/// How a group went from dump to dump.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Trend {
    /// It grew in each step, the smallest at least half of the greatest.
    Steady,
    /// It grew in each step, unevenly.
    Growing,
    /// It grew, but not in each step.
    Step,
    /// It is as big as it was.
    Flat,
    /// It shrank.
    Shrinking,
}

impl Trend {
    /// The trend of sizes, oldest first. Of two there is no telling whether growth goes on.
    #[must_use]
    pub fn of(sizes: &[u64]) -> Trend {
        let (first, last) = (sizes.first().copied().unwrap_or(0), sizes.last().copied().unwrap_or(0));
        let steps: Vec<i128> = sizes.windows(2).map(|pair| i128::from(pair[1]) - i128::from(pair[0])).collect();
        let (least, most) = (steps.iter().min().copied().unwrap_or(0), steps.iter().max().copied().unwrap_or(0));
        match last.cmp(&first) {
            std::cmp::Ordering::Less => Trend::Shrinking,
            std::cmp::Ordering::Equal => Trend::Flat,
            std::cmp::Ordering::Greater if least > 0 && least * 2 >= most && steps.len() > 1 => Trend::Steady,
            std::cmp::Ordering::Greater if least > 0 => Trend::Growing,
            std::cmp::Ordering::Greater => Trend::Step,
        }
    }

    /// Its word.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Trend::Steady => "steady",
            Trend::Growing => "growing",
            Trend::Step => "step",
            Trend::Flat => "flat",
            Trend::Shrinking => "shrinking",
        }
    }
}

/// A group in all dumps.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Growth {
    /// A value for each key.
    pub key: Vec<KeyValue>,
    /// Its objects in each dump, oldest first.
    pub sums: Vec<Sum>,
    /// What they retain in each dump, where all dumps have their trees.
    pub retained_memsizes: Option<Vec<u64>>,
    /// How its bytes went, of what it retains where that is known; steps in which the process did nothing left out.
    pub trend: Trend,
    /// Growth for each request, or what else the process did most, where the dumps tell of any; of what it retains where that is known.
    pub rate: Option<Rate>,
}

impl Growth {
    fn sizes(&self) -> Vec<u64> {
        self.retained_memsizes.clone().unwrap_or_else(|| self.sums.iter().map(|sum| sum.memsize).collect())
    }

    /// The bytes by which it grew, from the first dump to the last.
    #[must_use]
    pub fn memsize_delta(&self) -> i64 {
        delta(self.sums.iter().map(|sum| sum.memsize))
    }

    /// The objects by which it grew.
    #[must_use]
    pub fn count_delta(&self) -> i64 {
        delta(self.sums.iter().map(|sum| sum.count))
    }

    /// The bytes by which what it retains grew, where that is known.
    #[must_use]
    pub fn retained_memsize_delta(&self) -> Option<i64> {
        self.retained_memsizes.as_ref().map(|memsizes| delta(memsizes.iter().copied()))
    }

    /// What it ranks by: the bytes by which it grew, of what it retains where that is known.
    fn rank(&self) -> i64 {
        self.retained_memsize_delta().unwrap_or_else(|| self.memsize_delta())
    }
}

/// What came since the first dump and is held by one object that was there then: the nearest such object above, in the last dump's
/// dominator tree.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct HolderGrowth {
    /// That object; none where it is a root itself.
    pub id: Option<NodeId>,
    /// Its address in the last dump.
    pub address: Option<u64>,
    /// Whom a programmer would ask: the class, module or thread that holds it, or the root where none does.
    pub holder: String,
    /// The object for people.
    pub label: String,
    /// How many objects came.
    pub count: u64,
    /// Their bytes, with those by which the object itself grew, by the dump in which they were first: so the first is 0, and the last is
    /// all that came and stayed.
    pub memsizes: Vec<u64>,
    /// What the object retains in each dump, where all dumps have their trees; none in a dump in which it lay elsewhere.
    pub retained_memsizes: Option<Vec<Option<u64>>>,
    /// How its bytes went: what it retains, where that is known of all dumps, else `memsizes`.
    pub trend: Trend,
}

/// The holders of what came, the one of the most bytes first.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct Holders {
    /// As many as the limit allowed.
    pub holders: Vec<HolderGrowth>,
    /// How many it cut off.
    pub rest_holders: u64,
    /// What came to those.
    pub rest: Sum,
}

impl HolderGrowth {
    /// The bytes that came and stayed.
    #[must_use]
    pub fn memsize_delta(&self) -> u64 {
        self.memsizes.last().copied().unwrap_or(0)
    }

    /// The bytes by which what the object retains grew, where that is known of all dumps.
    #[must_use]
    pub fn retained_memsize_delta(&self) -> Option<i64> {
        let memsizes: Vec<u64> = self.retained_memsizes.as_ref()?.iter().copied().collect::<Option<_>>()?;
        Some(delta(memsizes.into_iter()))
    }
}

fn delta(mut sizes: impl DoubleEndedIterator<Item = u64>) -> i64 {
    let first = sizes.next().unwrap_or(0);
    sizes.next_back().unwrap_or(first) as i64 - first as i64
}

/// All but the allocation tracer's own store, which grows with what it traces.
pub(super) fn without_tracer(filter: &Filter) -> Filter {
    let tracer = format!("struct!={}", String::from_utf8_lossy(TRACER_STRUCT));
    filter.clone().and(&Filter::parse(&[tracer]).expect("the name of a C type is a value"))
}

/// Count and bytes of a dump's groups, and what has the texts of their keys.
struct Grouped<'a> {
    keys: Vec<Vec<Value>>,
    values: Values<'a>,
    sums: Vec<Sum>,
}

fn grouped<'a>(heap: &'a Heap, by: &[Key], filter: &'a Filter, control: &Control<'_>) -> Result<Grouped<'a>> {
    let (mut grouping, mut sums) = (Grouping::new(heap, by, filter), Vec::<Sum>::new());
    for id in heap.nodes() {
        control.check_at(id.0 as usize)?;
        if let Some(group) = grouping.group(id) {
            memory::reach(&mut sums, group, Sum::default())?;
            sums[group].add(Sum { count: 1, memsize: heap.bytes(id), references: 0 });
        }
    }
    let (keys, values) = grouping.values(control)?;
    Ok(Grouped { keys, values, sums })
}

/// The texts of all dumps as numbers of one table, so that groups are matched without making texts of those that did not grow.
#[derive(Default)]
struct Texts(Symbols, HashMap<Symbol, StackText>);

impl Texts {
    fn value(&mut self, value: &KeyValue) -> Value {
        match value {
            KeyValue::None => Value::None,
            KeyValue::Number(number) => Value::Number(*number),
            KeyValue::Flag(flag) => Value::Flag(*flag),
            KeyValue::Text(text) => Value::Text(self.0.intern(text.as_bytes())),
            KeyValue::NoClass(words) => Value::NoClass(self.0.intern(words.as_bytes())),
            KeyValue::Absent(absent) => Value::Absent(*absent),
            KeyValue::Stack(stack) => {
                let sym = self.0.intern(stack.text.as_bytes());
                self.1.entry(sym).or_insert_with(|| stack.clone());
                Value::Text(sym)
            }
        }
    }

    fn outside(&self, value: Value) -> KeyValue {
        match value {
            Value::None => KeyValue::None,
            Value::Number(number) => KeyValue::Number(number),
            Value::Flag(flag) => KeyValue::Flag(flag),
            Value::Text(sym) => match self.1.get(&sym) {
                Some(stack) => KeyValue::Stack(stack.clone()),
                None => KeyValue::Text(self.0.text(sym).into_owned()),
            },
            Value::NoClass(sym) => KeyValue::NoClass(self.0.text(sym).into_owned()),
            Value::Stack(_) => KeyValue::None, // none is made here
            Value::Absent(absent) => KeyValue::Absent(absent),
        }
    }
}

/// The groups that grew, the one that grew the most bytes first, of what it retains where that is known; `retained` asks for what they
/// retain too, where there are trees. The allocation tracer is left out.
///
/// # Errors
/// [`crate::Error::Interrupted`] when cancelled.
pub fn growth(
    diff: &Diff<'_>,
    by: &[Key],
    filter: &Filter,
    retained: bool,
    control: &Control<'_>,
) -> Result<Vec<Growth>> {
    let dumps = diff.dumps();
    let filter = &without_tracer(filter);
    let mut texts = Texts::default();
    let mut found: HashMap<Vec<Value>, (Vec<Sum>, Vec<u64>)> = HashMap::new();
    let none = || (vec![Sum::default(); dumps.len()], vec![0; dumps.len()]);
    let with_trees = retained && dumps.iter().all(|dump| dump.tree.is_some());
    let all = at_once(dumps, |dump| grouped(dump.heap, by, filter, control))?;
    for (at, Grouped { keys, values, sums }) in all.into_iter().enumerate() {
        let mut known: HashMap<Value, Value> = HashMap::new();
        for (mut key, sum) in keys.into_iter().zip(sums) {
            for value in &mut key {
                *value = *known.entry(*value).or_insert_with_key(|value| texts.value(&values.outside(*value)));
            }
            found.entry(key).or_insert_with(none).0[at] = sum;
        }
    }
    for (at, dump) in dumps.iter().enumerate() {
        if let Some(tree) = dump.tree.filter(|_| with_trees) {
            for group in retained::groups(dump.heap, tree, by, filter, None, control)?.groups {
                let key = group.key.iter().map(|value| texts.value(value)).collect();
                found.entry(key).or_insert_with(none).1[at] = group.retained_memsize;
            }
        }
    }
    let work = diff.work();
    let mut growth: Vec<Growth> = found
        .into_iter()
        .filter_map(|(key, (sums, retained))| {
            let mut growth = Growth {
                key: Vec::new(),
                sums,
                retained_memsizes: with_trees.then_some(retained),
                trend: Trend::Flat,
                rate: None,
            };
            if growth.rank() <= 0 {
                return None;
            }
            let sizes = growth.sizes();
            growth.trend = Trend::of(&work.as_ref().map_or_else(|| sizes.clone(), |work| work.worked_sizes(&sizes)));
            let rate = |work: &Work| {
                Rate::of(&work.units.first()?.name, work.units.first()?.sum(), growth.count_delta(), growth.rank())
            };
            growth.rate = work.as_ref().and_then(rate);
            growth.key = key.into_iter().map(|value| texts.outside(value)).collect();
            Some(growth)
        })
        .collect();
    sort::by(&mut growth, |a, b| b.rank().cmp(&a.rank()).then_with(|| a.key.cmp(&b.key)));
    Ok(growth)
}

/// What came and stayed, in groups: the retained objects, of two dumps the new ones. The allocation tracer is left out.
///
/// # Errors
/// [`crate::Error::Interrupted`] when cancelled.
pub fn stayed(
    diff: &Diff<'_>,
    by: &[Key],
    filter: &Filter,
    limit: Option<usize>,
    control: &Control<'_>,
) -> Result<Groups> {
    let asked = groups::Options { by: by.to_vec(), filter: without_tracer(filter), sort: Order::Bytes, limit };
    diff.groups(diff.retained_objects(), &asked, control)
}
