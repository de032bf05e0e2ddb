//! When and of which process dumps were taken, and the order that follows.

use crate::analysis::note;
use crate::heap::Heap;
use crate::report::{Level, Section};
use crate::sort;

/// What a dump tells of when and of which process it was taken, where heap_inspector took it. A claim, like all of a dump.
#[derive(serde::Deserialize)]
pub(super) struct Taken {
    time: Option<String>,
    pub(super) pid: Option<u64>,
    host: Option<String>,
}

impl Taken {
    pub(super) fn of(heap: &Heap) -> Option<Taken> {
        heap.totals().taken()
    }

    /// Whether they are told to be of different processes.
    pub(super) fn is_other(&self, other: &Taken) -> bool {
        let differs = |pair: Option<(String, String)>| pair.is_some_and(|(one, other)| one != other);
        self.pid.zip(other.pid).is_some_and(|(one, other)| one != other)
            || differs(self.host.clone().zip(other.host.clone()))
    }

    /// The time, where it has the form that sorts as text.
    fn sortable(&self) -> Option<&str> {
        let time = self.time.as_deref()?;
        let digits = |byte: u8| if byte.is_ascii_digit() { b'0' } else { byte };
        let form: Vec<u8> = time.bytes().map(digits).collect();
        (form == b"0000-00-00T00:00:00.000Z").then_some(time)
    }
}

/// The order in which dumps were taken, where all tell their time, and of one process; none where they stand in it, or where it is not
/// known.
#[must_use]
pub fn order(heaps: &[&Heap]) -> Option<Vec<usize>> {
    let taken: Vec<Taken> = heaps.iter().map(|heap| Taken::of(heap)).collect::<Option<_>>()?;
    let times: Vec<&str> = taken.iter().map(Taken::sortable).collect::<Option<_>>()?;
    let is_told = taken.iter().all(|one| one.pid.is_some() && !one.is_other(&taken[0]));
    let mut order: Vec<usize> = (0..heaps.len()).collect();
    sort::by_key(&mut order, |at| times[*at]);
    (is_told && !order.is_sorted()).then_some(order)
}

/// The word on dumps that were put into the order in which they were taken.
#[must_use]
pub fn sorted_note(names: &[&str]) -> Section {
    let text = format!(
        "the dumps were not given in the order in which they were taken; they are read as {}",
        names.join(", ")
    );
    note(Level::Info, text)
}
