//! A dump as a heap file: one thread walks and fills blocks of columns, others pack them, and each is written in its turn.
//!
//! Memory: [`AHEAD`] blocks of about `heap_inspector::heap_file::write::FULL` bytes, of which each is as large as its longest object.

use super::{Order, Output, Packed, end, failed, name_process, system, traced, write_head};
use crate::{forked_thread, walk};
use heap_inspector::heap_file::frame;
use heap_inspector::heap_file::write::{Block, Packer};
use heap_inspector::redact::Values;
use std::fs::File;
use std::io::{self, Write};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::Ordering;
use std::sync::mpsc::{self, Receiver, Sender};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

/// Blocks that are under way at most.
const AHEAD: usize = 6;
/// Threads that pack: more would wait for the walk.
const PACKERS: usize = 3;

/// Blocks on their way to the packing threads, by number.
type Full = Arc<Mutex<Receiver<(u64, Block)>>>;

/// Where the packed blocks go, each when all before it are written.
struct Written {
    output: Output,
    /// The number of the block that is next.
    next: u64,
    records: u64,
}

type Turn = Arc<(Mutex<Written>, Condvar)>;

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Walks the heap into a heap file.
pub(super) fn dump(order: &Order, api: &walk::Api) -> Result<Packed, String> {
    name_process(order.parent);
    let traced = traced();
    let mut head = Vec::new();
    write_head(order, &traced, &mut head).map_err(|error| system(&error))?;
    let values = match order.redacts {
        true => Some(Values::random().map_err(|error| failed(0, &error.to_string()))?),
        false => None,
    };
    let mut output = Output::new(order);
    let bytes_in = Arc::clone(&output.bytes_in);
    output.write_all(&frame::header()).map_err(|error| system(&error))?;
    let turn: Turn = Arc::new((Mutex::new(Written { output, next: 0, records: 0 }), Condvar::new()));
    let ((full, taken), (given, empty)) = (mpsc::sync_channel(0), mpsc::channel());
    let taken: Full = Arc::new(Mutex::new(taken));
    (0..AHEAD).for_each(|_| {
        // It is held below.
        let _ = given.send(Block::default());
    });
    let count = std::thread::available_parallelism().map_or(1, |count| count.get().saturating_sub(1)).clamp(1, PACKERS);
    let packers: Result<Vec<_>, String> = (0..count)
        .map(|_| {
            let (taken, given, turn) = (Arc::clone(&taken), given.clone(), Arc::clone(&turn));
            let status = std::os::fd::AsRawFd::as_raw_fd(&order.status);
            let run = move || match catch_unwind(AssertUnwindSafe(|| pack(&taken, &given, &turn))) {
                Ok(Ok(())) => {}
                Ok(Err(error)) => end(status, &system(&error)),
                Err(_) => end(status, &failed(0, "a compressing thread panicked")),
            };
            forked_thread::spawn(c"hi_pack", run).map_err(|error| system(&error))
        })
        .collect();
    let packers = packers?;
    let wanted = walk::Wanted {
        names: true,
        texts: !order.redacts,
        traced: traced.as_ref().map(|(tracer, numbering)| (*tracer, &**numbering)),
        values: values.as_ref(),
    };
    let mut number = 0;
    let mut hand_over = |block: &mut Block| {
        let gone = || io::Error::from(io::ErrorKind::BrokenPipe);
        let next = empty.recv().map_err(|_| gone())?;
        full.send((number, std::mem::replace(block, next))).map_err(|_| gone())?;
        number += 1;
        Ok(())
    };
    // SAFETY: the thread that forked, with the GVL and collections disabled; those that run beside it know nothing of Ruby.
    let walked = unsafe { walk::walk(api, wanted, &head, walk::Out::Columns(&mut hand_over)) };
    drop(full);
    // Where one fails it says why, and ends the process.
    packers.into_iter().for_each(|packer| {
        packer.join();
    });
    walked.map_err(|error| system(&error))?;
    let mut written = lock(&turn.0);
    let records = written.records;
    let finished = written.output.write_all(&frame::end(records)).and_then(|()| written.output.sync());
    finished.map_err(|error| system(&error))?;
    Ok(Packed { bytes_in: bytes_in.load(Ordering::Relaxed), bytes_out: written.output.bytes, lost: 0 })
}

/// Packs blocks until there are no more.
fn pack(full: &Full, empty: &Sender<Block>, turn: &Turn) -> io::Result<()> {
    let mut packer = Packer::new()?;
    let (written, changed) = &**turn;
    loop {
        let Ok((number, mut block)) = lock(full).recv() else { return Ok(()) };
        let records = u64::from(block.records());
        let (packed, bytes) = packer.pack(&block)?;
        block.clear();
        // The walk may be at its end.
        let _ = empty.send(block);
        let mut written = lock(written);
        while written.next != number {
            written = changed.wait(written).unwrap_or_else(PoisonError::into_inner);
        }
        written.output.bytes_in.fetch_add(bytes, Ordering::Relaxed);
        written.output.write_all(packed)?;
        written.next += 1;
        written.records += records;
        drop(written);
        changed.notify_all();
    }
}

/// Packs and writes on the thread that walks.
pub(crate) struct Straight {
    file: File,
    packer: Packer,
    records: u64,
}

impl Straight {
    pub(crate) fn new(mut file: File) -> io::Result<Straight> {
        file.write_all(&frame::header())?;
        Ok(Straight { file, packer: Packer::new()?, records: 0 })
    }

    pub(crate) fn take(&mut self, block: &mut Block) -> io::Result<()> {
        self.records += u64::from(block.records());
        self.file.write_all(self.packer.pack(block)?.0)?;
        block.clear();
        Ok(())
    }

    pub(crate) fn finish(mut self) -> io::Result<()> {
        self.file.write_all(&frame::end(self.records))
    }
}
