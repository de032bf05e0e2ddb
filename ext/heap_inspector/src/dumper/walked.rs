//! A dump by our own walk, in one process or several: in each a thread walks and fills pieces, columns or lines, and another packs and writes
//! them, those of each part of the heap when the parts before it are written.
//!
//! Memory of each process: [`Form::AHEAD`] pieces, of about `heap_inspector::heap_file::write::FULL` or [`walk::CHUNK`] bytes, each of which
//! may be as large as its longest object.

use super::crew::{Member, Shared};
use super::{Order, Output, Packed, end, failed, name_process, system, traced, write_head};
use crate::forked_thread::{self, Handle};
use crate::walk;
use heap_inspector::heap_file::frame;
use heap_inspector::heap_file::write::{Block, Packer};
use heap_inspector::redact::Values;
use rb_sys::VALUE;
use std::fs::File;
use std::io::{self, Write};
use std::os::fd::AsRawFd;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::Ordering;
use std::sync::mpsc::{self, Receiver, Sender};
use std::time::{Duration, Instant};

/// What is walked, a piece at a time, and what is written of it.
trait Form: Send + Sized + 'static {
    /// What is handed over.
    type Piece: Default + Send + 'static;

    /// Pieces that are under way at most: those of two parts and more, or the processes would wait for each other.
    const AHEAD: usize;
    /// Slots of a part at most.
    const PART: usize;

    fn new() -> io::Result<Self>;

    /// What stands before all pieces, and behind those of so many records.
    fn header() -> Vec<u8>;
    fn ending(records: u64) -> Vec<u8>;

    fn out<'a>(take: Take<'a, Self>) -> walk::Out<'a>;

    /// The bytes of a piece, how many they were before they were packed, and its records, where these are counted.
    fn pack<'a>(&'a mut self, piece: &'a Self::Piece) -> io::Result<(&'a [u8], u64, u64)>;

    /// Makes a piece empty.
    fn clear(piece: &mut Self::Piece);
}

/// Takes a piece of the walk's and leaves an empty one.
type Take<'a, F> = &'a mut dyn FnMut(&mut <F as Form>::Piece) -> io::Result<()>;

struct Columns(Packer);

impl Form for Columns {
    type Piece = Block;
    const AHEAD: usize = 6;
    const PART: usize = heap_inspector::heap_file::write::MOST as usize;

    fn new() -> io::Result<Columns> {
        Packer::new().map(Columns)
    }

    fn header() -> Vec<u8> {
        frame::header().to_vec()
    }

    fn ending(records: u64) -> Vec<u8> {
        frame::end(records).to_vec()
    }

    fn out<'a>(take: Take<'a, Self>) -> walk::Out<'a> {
        walk::Out::Columns(take)
    }

    fn pack<'a>(&'a mut self, block: &'a Block) -> io::Result<(&'a [u8], u64, u64)> {
        let (bytes, unpacked) = self.0.pack(block)?;
        Ok((bytes, unpacked, block.records().into()))
    }

    fn clear(block: &mut Block) {
        block.clear();
    }
}

struct Lines;

impl Form for Lines {
    type Piece = Vec<u8>;
    const AHEAD: usize = 16;
    const PART: usize = 1 << 12;

    fn new() -> io::Result<Lines> {
        Ok(Lines)
    }

    fn header() -> Vec<u8> {
        Vec::new()
    }

    fn ending(_records: u64) -> Vec<u8> {
        Vec::new()
    }

    fn out<'a>(take: Take<'a, Self>) -> walk::Out<'a> {
        walk::Out::Lines(take)
    }

    fn pack<'a>(&'a mut self, lines: &'a Vec<u8>) -> io::Result<(&'a [u8], u64, u64)> {
        Ok((lines, lines.len() as u64, 0))
    }

    fn clear(lines: &mut Vec<u8>) {
        lines.clear();
    }
}

/// What the walking thread tells the other.
enum Told<P> {
    Begin(u64),
    Piece(P),
    End,
}

/// Walks the heap into a heap file.
pub(super) fn columns(order: &Order, api: &walk::Api) -> Result<Packed, String> {
    dump::<Columns>(order, api)
}

/// Walks the heap into lines, which are written as they are.
pub(super) fn lines(order: &Order, api: &walk::Api) -> Result<Packed, String> {
    dump::<Lines>(order, api)
}

fn dump<F: Form>(order: &Order, api: &walk::Api) -> Result<Packed, String> {
    name_process(order.parent);
    let traced = traced();
    let mut head = Vec::new();
    write_head(order, &traced, &mut head).map_err(|error| system(&error))?;
    // The same in all processes.
    let values = match order.redacts {
        true => Some(Values::random().map_err(|error| failed(0, &error.to_string()))?),
        false => None,
    };
    let shared = Shared::new().map_err(|error| system(&error))?;
    let mut output = Output::new(order, &shared.bytes_in);
    output.write_all(&F::header()).map_err(|error| system(&error))?;
    // SAFETY: the thread that forked, with the GVL and collections disabled.
    let slots = unsafe { walk::slots(api) };
    let last = Instant::now() + Duration::from_secs(order.seconds.into());
    let mut compressing = CompressingThread::<F>::start(order, output, shared).map_err(|error| system(&error))?;
    let member = Member::gather(shared, slots, order.status.as_raw_fd(), last);
    if !member.leads() {
        match CompressingThread::start(order, Output::new(order, &shared.bytes_in), shared) {
            // The leader's thread may have locked its channels.
            Ok(own) => std::mem::forget(std::mem::replace(&mut compressing, own)),
            Err(_) => member.end_helper(),
        }
    }
    let CompressingThread { told, empty, packer } = compressing;
    let wanted = walk::Wanted {
        names: true,
        texts: !order.redacts,
        traced: traced.as_ref().map(|(tracer, numbering)| (*tracer, &**numbering)),
        values: values.as_ref(),
    };
    let gone = || io::Error::from(io::ErrorKind::BrokenPipe);
    let pieces = told.clone();
    let mut hand_over = |piece: &mut F::Piece| {
        let next = empty.recv().map_err(|_| gone())?;
        pieces.send(Told::Piece(std::mem::replace(piece, next))).map_err(|_| gone())
    };
    let mut team = Team { member, told, slots: F::PART };
    if team.member.leads() {
        team.tell(Told::Begin(0));
    }
    // SAFETY: as above; the threads that run beside it know nothing of Ruby.
    let walked = unsafe { walk::walk(api, wanted, &head, F::out(&mut hand_over), Some(&mut team)) };
    let Team { member, told, .. } = team;
    drop((told, pieces));
    // Where it fails it says why, and ends the process.
    let output = packer.join().ok_or_else(|| failed(0, "a compressing thread panicked"))?;
    walked.map_err(|error| system(&error))?;
    shared.bytes_out.fetch_add(output.bytes, Ordering::Relaxed);
    member.end_helper();
    finish::<F>(output, shared).map_err(|error| system(&error))
}

fn finish<F: Form>(mut output: Output, shared: &Shared) -> io::Result<Packed> {
    let ending = F::ending(shared.records.load(Ordering::Relaxed));
    output.write_all(&ending)?;
    output.sync()?;
    let bytes_out = shared.bytes_out.load(Ordering::Relaxed) + ending.len() as u64;
    Ok(Packed { bytes_in: shared.bytes_in.load(Ordering::Relaxed), bytes_out, lost: 0 })
}

/// The thread that compresses, and what leads to it and back.
struct CompressingThread<F: Form> {
    told: Sender<Told<F::Piece>>,
    empty: Receiver<F::Piece>,
    packer: Handle<Output>,
}

impl<F: Form> CompressingThread<F> {
    fn start(order: &Order, output: Output, shared: &'static Shared) -> io::Result<CompressingThread<F>> {
        let form = F::new()?;
        let ((told, heard), (given, empty)) = (mpsc::channel(), mpsc::channel());
        (0..F::AHEAD).for_each(|_| {
            // It is held below.
            let _ = given.send(F::Piece::default());
        });
        let status = order.status.as_raw_fd();
        let run = move || match catch_unwind(AssertUnwindSafe(|| pack(form, &heard, &given, output, shared))) {
            Ok(Ok(output)) => output,
            Ok(Err(error)) => end(status, &system(&error)),
            Err(_) => end(status, &failed(0, "a compressing thread panicked")),
        };
        let packer = forked_thread::spawn(c"hi_compress", run)?;
        Ok(CompressingThread { told, empty, packer })
    }
}

/// Compresses and writes what is told until nothing more is.
fn pack<F: Form>(
    mut form: F,
    heard: &Receiver<Told<F::Piece>>,
    empty: &Sender<F::Piece>,
    mut output: Output,
    shared: &Shared,
) -> io::Result<Output> {
    let mut part = 0;
    while let Ok(told) = heard.recv() {
        match told {
            Told::Begin(next) => part = next,
            Told::Piece(mut piece) => {
                let (bytes, unpacked, records) = form.pack(&piece)?;
                shared.wait_for(part);
                shared.bytes_in.fetch_add(unpacked, Ordering::Relaxed);
                shared.records.fetch_add(records, Ordering::Relaxed);
                output.write_all(bytes)?;
                F::clear(&mut piece);
                // The walk may be at its end.
                let _ = empty.send(piece);
            }
            Told::End => shared.pass(part),
        }
    }
    Ok(output)
}

/// The walk's view of the processes.
struct Team<P> {
    member: Member,
    told: Sender<Told<P>>,
    slots: usize,
}

impl<P> Team<P> {
    fn tell(&self, told: Told<P>) {
        // Who heard it may have failed, and ended the process.
        let _ = self.told.send(told);
    }
}

impl<P> walk::Team for Team<P> {
    fn leads(&self) -> bool {
        self.member.leads()
    }

    fn slots(&self) -> usize {
        self.slots
    }

    fn next(&mut self) -> u64 {
        let part = self.member.shared.begin();
        self.tell(Told::Begin(part));
        part
    }

    fn end(&mut self) {
        self.tell(Told::End);
    }

    fn gather(&mut self, parts: u64, threads: &mut Vec<VALUE>) {
        self.member.shared.keep_threads(threads);
        if !self.member.leads() {
            return;
        }
        self.member.wait();
        self.tell(Told::Begin(parts + 1));
        *threads = self.member.shared.threads().collect();
        threads.sort_unstable();
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
