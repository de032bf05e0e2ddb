use std::io::{Seek, SeekFrom, Write};
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use proptest::prelude::*;

use super::blocks::TOLD;
use super::*;
use crate::ErrorKind;

/// What a pass gives: the blocks, or the error; and the damage.
#[derive(Debug)]
struct Pass {
    blocks: Vec<Block>,
    damage: Option<String>,
}

impl Pass {
    fn bytes(&self) -> Vec<u8> {
        self.blocks.iter().flat_map(|block| block.bytes.clone()).collect()
    }
}

fn read(source: &Source) -> Result<Pass> {
    let mut blocks = source.open()?;
    let (mut out, mut recycled) = (Vec::new(), Vec::new());
    while let Some(block) = blocks.next(recycled)? {
        recycled = block.bytes.clone();
        out.push(block);
    }
    assert_eq!(blocks.next(Vec::new())?, None, "the end stays the end");
    Ok(Pass { blocks: out, damage: blocks.damage().map(str::to_owned) })
}

fn pass(source: &Source) -> Pass {
    read(source).expect("the source reads")
}

fn failure(source: &Source) -> Error {
    read(source).expect_err("the source fails")
}

fn memory(bytes: impl Into<Vec<u8>>) -> Source {
    Source::reader(io::Cursor::new(bytes.into()), "memory")
}

/// A named file of these bytes; it lives as long as the first part.
fn stored(bytes: &[u8]) -> (tempfile::TempDir, PathBuf) {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("heap.json");
    std::fs::write(&path, bytes).expect("the file is written");
    (directory, path)
}

fn dump(records: usize) -> Vec<u8> {
    let mut out = Vec::new();
    for number in 0..records {
        writeln!(out, r#"{{"address":"0x{:x}", "type":"STRING", "value":"text {number}", "memsize":40}}"#, number * 40)
            .expect("a vector takes all");
    }
    out
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).expect("a vector takes all");
    encoder.finish().expect("a vector takes all")
}

fn zst(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = zstd::Encoder::new(Vec::new(), 1).expect("an encoder");
    encoder.include_checksum(true).expect("an option");
    encoder.write_all(bytes).expect("a vector takes all");
    encoder.finish().expect("a vector takes all")
}

fn lz4(bytes: &[u8]) -> Vec<u8> {
    lz4_as(bytes, lz4_flex::frame::BlockSize::Max64KB)
}

fn lz4_as(bytes: &[u8], size: lz4_flex::frame::BlockSize) -> Vec<u8> {
    let info = lz4_flex::frame::FrameInfo::new()
        .block_size(size)
        .block_mode(lz4_flex::frame::BlockMode::Linked)
        .content_checksum(true);
    let mut encoder = lz4_flex::frame::FrameEncoder::with_frame_info(info, Vec::new());
    encoder.write_all(bytes).expect("a vector takes all");
    encoder.finish().expect("a vector takes all")
}

type Pack = fn(&[u8]) -> Vec<u8>;
const PACKS: [(&str, Pack); 3] = [("gzip", gzip), ("zstd", zst), ("lz4", lz4)];

/// Gives one byte at a time, and says it was interrupted before each.
struct Trickle {
    bytes: io::Cursor<Vec<u8>>,
    interrupted: bool,
}

impl Read for Trickle {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.interrupted = !self.interrupted;
        if self.interrupted {
            return Err(io::ErrorKind::Interrupted.into());
        }
        let end = buffer.len().min(1);
        self.bytes.read(&mut buffer[..end])
    }
}

/// Gives its bytes, then fails.
struct Failing(io::Cursor<Vec<u8>>);

impl Read for Failing {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self.0.read(buffer)? {
            0 => Err(io::Error::from_raw_os_error(5)),
            count => Ok(count),
        }
    }
}

#[test]
fn reads_every_format_by_its_first_bytes() {
    let plain = dump(20_000);
    let (_directory, path) = stored(&plain);
    assert_eq!(pass(&Source::path(path)).bytes(), plain);
    for (name, pack) in PACKS {
        let (_directory, path) = stored(&pack(&plain));
        let found = pass(&Source::path(path));
        assert!(found.bytes() == plain, "{name}");
        assert_eq!(found.damage, None, "{name}");
        assert!(found.blocks.len() > 1, "{name}");
    }
}

#[test]
fn reads_members_and_frames_one_after_another() {
    let (first, second) = (dump(3_000), dump(5_000));
    let whole = [&first[..], &second].concat();
    for (name, pack) in PACKS {
        let found = pass(&memory([pack(&first), pack(b""), pack(&second)].concat()));
        assert!(found.bytes() == whole, "{name}");
        assert_eq!(found.damage, None, "{name}");
    }
}

#[test]
fn reads_lz4_frames_of_different_block_sizes() {
    use lz4_flex::frame::BlockSize;
    let plain = dump(9_000);
    let sizes = [BlockSize::Max4MB, BlockSize::Max64KB, BlockSize::Max1MB];
    let found = pass(&memory(sizes.iter().flat_map(|size| lz4_as(&plain, *size)).collect::<Vec<_>>()));
    assert!(found.bytes() == plain.repeat(3));
    assert_eq!(found.damage, None);
}

#[test]
fn reads_zstd_behind_a_skippable_frame() {
    let plain = dump(10);
    let found = pass(&memory([&b"\x50\x2a\x4d\x18\x03\0\0\0abc"[..], &zst(&plain)].concat()));
    assert_eq!((found.bytes(), found.damage), (plain, None));
}

#[test]
fn delivers_what_comes_before_a_cut() {
    let plain = dump(20_000);
    for (name, pack) in PACKS {
        let packed = pack(&plain);
        let inner = [packed.len() / 10, packed.len() / 2, packed.len() - 9, packed.len() - 3, packed.len() - 1];
        for cut in (5..40).chain(inner) {
            let found = pass(&memory(&packed[..cut]));
            assert!(plain.starts_with(&found.bytes()), "{name} cut at {cut}");
            let expected = format!("{name} stream is cut off after {} decoded bytes", found.bytes().len());
            assert_eq!(found.damage, Some(expected), "{name} cut at {cut}");
        }
        let half = pass(&memory(&packed[..packed.len() / 2])).bytes().len();
        assert!(half > plain.len() / 4, "{name}: {half} of {} from half the input", plain.len());
    }
}

#[test]
fn notices_lz4_cut_between_two_blocks() {
    let plain = dump(20_000);
    let packed = lz4(&plain);
    let head = 7;
    let first = u32::from_le_bytes(packed[head..head + 4].try_into().expect("four bytes")) as usize;
    for extra in 0..4 {
        let found = pass(&memory(&packed[..head + 4 + first + extra]));
        assert_eq!(found.bytes(), plain[..64 << 10]);
        assert_eq!(found.damage.as_deref(), Some("lz4 stream is cut off after 65536 decoded bytes"));
    }
}

#[test]
fn notices_a_cut_in_a_later_member() {
    let plain = dump(100);
    for (name, pack) in PACKS {
        let packed = pack(&plain);
        for extra in 1..packed.len() {
            let found = pass(&memory([&packed[..], &packed[..extra]].concat()));
            assert!(found.bytes().starts_with(&plain), "{name} + {extra}");
            assert!(found.damage.is_some(), "{name} + {extra}");
        }
    }
}

#[test]
fn delivers_what_comes_before_corruption() {
    let plain = dump(40_000);
    for (name, pack) in PACKS {
        let mut packed = pack(&plain);
        let middle = packed.len() / 2;
        packed[middle..middle + 16].copy_from_slice(&[0xff; 16]);
        let found = pass(&memory(packed));
        let damage = found.damage.as_deref().expect("damage is told");
        assert!(damage.starts_with(&format!("{name} stream is ")), "{damage}");
        let same = found.bytes().iter().zip(&plain).take_while(|(ours, theirs)| ours == theirs).count();
        assert!(same > plain.len() / 4, "{name}: {same} of {}", plain.len());
    }
}

#[test]
fn tells_a_wrong_checksum_after_all_bytes() {
    let plain = dump(1_000);
    let mut packed = gzip(&plain);
    let crc = packed.len() - 8;
    packed[crc] ^= 1;
    let found = pass(&memory(packed));
    assert!(found.bytes() == plain);
    assert!(
        found.damage.expect("damage").starts_with(&format!("gzip stream is corrupt after {} decoded", plain.len()))
    );
}

#[test]
fn tells_trailing_garbage_after_all_bytes() {
    let plain = dump(1_000);
    for (name, pack) in PACKS {
        let found = pass(&memory([&pack(&plain)[..], b"garbage behind the stream"].concat()));
        assert!(found.bytes() == plain, "{name}");
        assert!(found.damage.is_some(), "{name}");
    }
}

#[test]
fn refuses_a_bomb() {
    let mut source = memory(zst(&vec![b' '; 8 << 20]));
    source.limits.decoded = 1 << 20;
    source.limits.ratio = 500;
    let error = failure(&source);
    assert_eq!(error.kind(), ErrorKind::Compression);
    assert!(error.to_string().contains("more than 500 times as many"), "{error}");
}

#[test]
fn takes_what_shrinks_well_below_the_bound() {
    let plain = dump(1).repeat(100_000);
    let source = memory(zst(&plain));
    assert!(pass(&source).bytes() == plain);
}

#[test]
fn names_a_window_that_is_too_large() {
    let mut encoder = zstd::Encoder::new(Vec::new(), 1).expect("an encoder");
    encoder.window_log(30).expect("a window");
    encoder.include_contentsize(false).expect("an option");
    encoder.write_all(&dump(10)).expect("a vector takes all");
    let found = pass(&memory(encoder.finish().expect("a vector takes all")));
    assert_eq!(found.bytes(), b"");
    let expected = "zstd stream needs a window of more than 512 MiB, decompress it with `zstd -d --long=31`";
    assert_eq!(found.damage.as_deref(), Some(expected));
}

#[test]
fn names_the_formats_it_does_not_read() {
    for (head, name) in [
        (&b"\xfd7zXZ\0"[..], "xz"),
        (b"BZh91AY", "bzip2"),
        (b"PK\x03\x04", "zip"),
        (b"\x02\x21\x4c\x18", "lz4's legacy format"),
    ] {
        let error = failure(&memory(head));
        assert_eq!(error.kind(), ErrorKind::Compression);
        assert!(error.to_string().starts_with(&format!("{name} is not read here")), "{error}");
    }
}

#[test]
fn skips_a_byte_order_mark() {
    let plain = dump(3);
    let marked = [BYTE_ORDER_MARK, &plain].concat();
    for source in [memory(&marked[..]), memory(gzip(&marked))] {
        let found = pass(&source);
        assert_eq!(found.blocks, [Block { bytes: plain.clone(), offset: 3, skipped: 0 }]);
    }
    assert_eq!(pass(&memory(BYTE_ORDER_MARK)).blocks, []);
}

const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

#[test]
fn gives_nothing_for_an_empty_input() {
    assert_eq!(pass(&memory("")).blocks, []);
    for (name, pack) in PACKS {
        let found = pass(&memory(pack(b"")));
        assert_eq!((found.blocks, found.damage), (vec![], None), "{name}");
    }
}

#[test]
fn delivers_fewer_bytes_than_a_magic_number() {
    for text in ["{", "{}", "{}\n", "\x1f"] {
        assert_eq!(pass(&memory(text)).bytes(), text.as_bytes());
    }
}

#[test]
fn cuts_crlf_behind_the_newline() {
    let plain = String::from_utf8(dump(500)).expect("text").replace('\n', "\r\n").into_bytes();
    let mut source = memory(&plain[..]);
    source.limits.block = 1000;
    let found = pass(&source);
    assert_eq!(found.bytes(), plain);
    assert!(found.blocks.len() > 20);
    assert!(found.blocks.iter().all(|block| block.bytes.ends_with(b"}\r\n")));
}

#[test]
fn delivers_a_last_line_without_newline() {
    let mut plain = dump(30);
    plain.pop();
    let mut source = memory(&plain[..]);
    source.limits.block = 100;
    let found = pass(&source);
    assert_eq!(found.bytes(), plain);
    assert!(found.blocks.last().expect("a block").bytes.ends_with(b"}"));
}

#[test]
fn does_not_cut_at_a_newline_in_a_file_name() {
    let record = b"{\"address\":\"0x28\", \"file\":\"/a\n}\nb.rb\", \"line\":1}\n";
    let plain = record.repeat(300);
    for block in 1..200 {
        let mut source = memory(&plain[..]);
        source.limits.block = block;
        let found = pass(&source);
        assert_eq!(found.bytes(), plain);
        assert!(found.blocks.iter().all(|block| block.bytes.len() % record.len() == 0), "{block}");
    }
}

#[test]
fn reads_lines_of_fifty_megabytes_in_linear_time() {
    let long = [&b"{\"value\":\""[..], &b"x".repeat(50 << 20), b"\"}\n"].concat();
    let plain = [dump(10), long.clone(), dump(10), long, dump(30_000)].concat();
    let source = memory(plain.clone());
    let started = Instant::now();
    let found = pass(&source);
    let took = started.elapsed();
    assert!(found.bytes() == plain);
    assert!(took < Duration::from_secs(20), "{took:?}"); // 0.2 s; quadratic search or copying takes minutes
}

#[test]
fn gives_back_the_memory_of_a_long_line() {
    let long = [&b"{\"value\":\""[..], &b"x".repeat(20 << 20), b"\"}\n"].concat();
    let source = memory([long, dump(300_000)].concat());
    let mut blocks = source.open().expect("it opens");
    let first = blocks.next(Vec::new()).expect("it reads").expect("a block");
    assert!(first.bytes.capacity() >= 20 << 20);
    let second = blocks.next(first.bytes).expect("it reads").expect("a block");
    let third = blocks.next(second.bytes).expect("it reads").expect("a block");
    assert!(third.bytes.capacity() <= 2 << 20, "{}", third.bytes.capacity());
}

#[test]
fn keeps_the_buffer_it_is_given() {
    let source = memory(dump(100_000));
    let mut blocks = source.open().expect("it opens");
    let first = blocks.next(Vec::new()).expect("it reads").expect("a block");
    let (place, capacity) = (first.bytes.as_ptr(), first.bytes.capacity());
    let second = blocks.next(first.bytes).expect("it reads").expect("a block");
    assert_eq!((second.bytes.as_ptr(), second.bytes.capacity()), (place, capacity));
    assert_eq!(capacity, 1 << 20);
}

#[test]
fn refuses_a_long_start_without_a_record() {
    let mut source = memory("nonsense ".repeat(1000));
    source.limits.block = 64;
    source.limits.search = 1000;
    let error = failure(&source);
    assert_eq!(error.kind(), ErrorKind::Format);
    assert!(error.to_string().starts_with("not a heap dump: its first "), "{error}");
}

#[test]
fn cuts_at_any_line_when_records_do_not_end_in_sight() {
    let plain = [dump(5), b"just text\n".repeat(1000), dump(5)].concat();
    let mut source = memory(&plain[..]);
    source.limits.block = 64;
    source.limits.search = 1000;
    let found = pass(&source);
    assert_eq!(found.bytes(), plain);
    assert!(found.blocks.iter().all(|block| block.bytes.len() <= 2048 && block.bytes.ends_with(b"\n")));
}

#[test]
fn refuses_a_record_without_end() {
    let mut source = memory(format!("{{{}", " ".repeat(10_000)));
    source.limits.block = 64;
    source.limits.record = 5000;
    let error = failure(&source);
    assert_eq!(error.to_string(), "byte 0: a record longer than 5000 bytes");
}

/// What stands behind a record that a crash cut: zeros, or anything that is no text of a record.
#[test]
fn skips_what_is_no_record_in_little_memory() {
    let cut = &b"{\"address\":\"0x7f0000000028\", \"ty"[..];
    let opened = &b"{\"address\":\"0x7f0000000028\", \"type\":\"STRING\", \"value\":\""[..];
    for (start, junk, longest) in
        [(cut, 0, 1000), (opened, 0, 1000), (cut, b'x', 1000), (&b""[..], b'x', 1000), (opened, b'x', 10_000)]
    {
        for end in [&b""[..], b"\n", b"\nmore\n"] {
            let rest = if end.is_empty() { Vec::new() } else { dump(7) };
            let plain = [&dump(50), start, &vec![junk; 1 << 20], end, &rest].concat();
            let mut source = memory(&plain[..]);
            source.limits = Limits { block: 256, search: 64 << 9, text: 4_000, ..source.limits };
            let found = pass(&source);
            assert_eq!(
                found.blocks.iter().map(|block| block.bytes.len() as u64 + block.skipped).sum::<u64>(),
                plain.len() as u64
            );
            let (all, whole) = (found.bytes(), [dump(50), rest].concat());
            assert!(all.starts_with(&dump(50)) && all.len() < whole.len() + 2 * TOLD, "{junk} {}", all.len());
            assert!(end.is_empty() || all.ends_with(&dump(7)));
            let longest_block = found.blocks.iter().map(|block| block.bytes.len()).max().unwrap_or(0);
            assert!(longest_block <= 2 * longest + TOLD, "{longest_block}");
        }
    }
}

#[test]
fn keeps_long_texts_and_lists() {
    let text = |quotes: usize| "x".repeat(3000) + &"\\\"".repeat(quotes) + &"x".repeat(3000);
    for line in [
        format!("{{\"address\":\"0x28\", \"name\":\"{}\"}}\n", text(0)),
        format!("{{\"address\":\"0x28\", \"value\":\"{}\"}}\n", text(1)),
        format!("{{\"address\":\"0x28\", \"references\":[{}\"0x28\"]}}\n", "\"0x28\", ".repeat(5000)),
    ] {
        let plain = [dump(9), line.into_bytes(), dump(9)].concat();
        let mut source = memory(&plain[..]);
        source.limits = Limits { block: 256, search: 64 << 9, text: 8_000, ..source.limits };
        assert_eq!(pass(&source).bytes(), plain);
    }
}

#[test]
fn takes_one_byte_at_a_time_and_interruptions() {
    let plain = dump(400);
    let packs: [(&str, Pack); 4] = [("plain", <[u8]>::to_vec), PACKS[0], PACKS[1], PACKS[2]];
    for (name, pack) in packs {
        let bytes = io::Cursor::new(pack(&plain));
        let found = pass(&Source::reader(Trickle { bytes, interrupted: false }, "trickle"));
        assert!(found.bytes() == plain, "{name}");
        assert_eq!(found.damage, None, "{name}");
    }
}

#[test]
fn tells_a_failing_disk_from_a_damaged_stream() {
    for (name, pack) in PACKS {
        let packed = pack(&dump(10_000));
        for cut in [2, packed.len() / 2] {
            let error = failure(&Source::reader(Failing(io::Cursor::new(packed[..cut].to_vec())), "disk"));
            assert_eq!(error.kind(), ErrorKind::Io, "{name} {cut}");
            assert_eq!(error.to_string(), "disk: input/output error", "{name} {cut}");
        }
    }
}

#[test]
fn reads_a_file_twice_even_when_renamed_and_at_the_same_time() {
    let plain = dump(40_000);
    let (directory, path) = stored(&plain);
    let source = Source::path(&path);
    let mut first = source.open().expect("it opens");
    let block = first.next(Vec::new()).expect("it reads").expect("a block");
    std::fs::rename(&path, directory.path().join("elsewhere")).expect("it moves");
    std::fs::write(&path, "something else").expect("it is written");
    assert!(pass(&source).bytes() == plain);
    let next = first.next(Vec::new()).expect("it reads").expect("a block");
    assert_eq!(next.offset, block.bytes.len() as u64);
    assert_eq!(first.raw_len(), Some(plain.len() as u64));
}

#[test]
fn reads_an_open_file_from_its_position_and_leaves_it_there() {
    let plain = dump(100);
    let (_directory, path) = stored(&[b"a header", &plain[..]].concat());
    let mut file = File::open(path).expect("it opens");
    file.seek(SeekFrom::Start(8)).expect("it seeks");
    let source = Source::file(file.try_clone().expect("a descriptor"), "file");
    assert_eq!(pass(&source).bytes(), plain);
    assert_eq!(file.stream_position().expect("a position"), 8);
    assert_eq!(pass(&source).bytes(), plain);
}

#[test]
fn reads_a_stream_once_unless_spooled() {
    let plain = dump(30_000);
    let source = memory(gzip(&plain));
    assert!(pass(&source).bytes() == plain);
    let error = failure(&source);
    assert_eq!(error.to_string(), "memory can be read only once: it is not a regular file");

    let packed = gzip(&plain);
    let source = memory(&packed[..]).spooled();
    for _ in 0..3 {
        assert!(pass(&source).bytes() == plain);
    }
    assert_eq!(source.open().expect("it opens").raw_len(), Some(packed.len() as u64), "the copy is as compressed");
}

#[test]
fn reads_a_spooled_copy_only_when_it_is_whole() {
    let source = memory(dump(40_000)).spooled();
    let mut first = source.open().expect("it opens");
    first.next(Vec::new()).expect("it reads");
    assert_eq!(failure(&source).to_string(), "memory: the first pass did not reach the end of the input");
    while first.next(Vec::new()).expect("it reads").is_some() {}
    assert!(pass(&source).bytes() == dump(40_000));
}

#[test]
fn spools_what_could_be_decoded_of_a_damaged_stream() {
    let packed = gzip(&dump(30_000));
    let source = memory(&packed[..packed.len() / 2]).spooled();
    let (first, second) = (pass(&source), pass(&source));
    assert!(first.bytes() == second.bytes());
    assert_eq!(first.damage, second.damage);
    assert!(first.damage.is_some());
}

#[test]
fn reads_a_pipe_and_waits_where_it_does_not_block() {
    let plain = dump(20_000);
    let (reader, mut writer) = io::pipe().expect("a pipe");
    let reader = File::from(std::os::fd::OwnedFd::from(reader));
    rustix::io::ioctl_fionbio(&reader, true).expect("the pipe stops blocking");
    let sent = plain.clone();
    let thread = std::thread::spawn(move || writer.write_all(&sent));
    let source = Source::file(reader, "pipe").spooled();
    assert!(pass(&source).bytes() == plain);
    thread.join().expect("the thread ends").expect("the pipe takes all");
    assert!(pass(&source).bytes() == plain);
    assert_eq!(source.open().expect("it opens").raw_len(), Some(plain.len() as u64));
}

#[test]
fn stops_waiting_for_a_silent_pipe_when_cancelled() {
    let (reader, writer) = io::pipe().expect("a pipe");
    let cancel = Arc::new(AtomicBool::new(false));
    let source = Source::file(File::from(std::os::fd::OwnedFd::from(reader)), "pipe").cancelled_by(Arc::clone(&cancel));
    let thread = std::thread::spawn(move || read(&source));
    cancel.store(true, Ordering::Relaxed);
    let error = thread.join().expect("the thread ends").expect_err("nothing came");
    assert_eq!(error.kind(), ErrorKind::Interrupted);
    drop(writer); // until here open: the end of the input is not what ended the wait
}

#[test]
fn puts_what_was_read_already_before_the_rest() {
    let plain = dump(300);
    let (reader, mut writer) = io::pipe().expect("a pipe");
    writer.write_all(&plain[100..]).expect("it fits into the pipe");
    drop(writer);
    let reader = File::from(std::os::fd::OwnedFd::from(reader));
    let source = Source::file_behind(plain[..100].to_vec(), reader, "pipe").spooled();
    assert!(pass(&source).bytes() == plain);
    assert!(pass(&source).bytes() == plain);
}

#[test]
fn waits_for_the_writer_of_a_named_pipe() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("fifo");
    rustix::fs::mkfifoat(rustix::fs::CWD, &path, rustix::fs::Mode::from_raw_mode(0o600)).expect("a named pipe");
    let source = Source::path(&path).cancelled_by(Arc::default());
    let thread = std::thread::spawn(move || pass(&source).bytes());
    std::fs::write(&path, dump(3)).expect("the reader is there"); // opening it waits for the reader
    assert_eq!(thread.join().expect("the thread ends"), dump(3));
}

#[test]
fn names_a_directory() {
    let directory = tempfile::tempdir().expect("a directory");
    let error = failure(&Source::path(directory.path()));
    let path = directory.path().display();
    assert_eq!(error.to_string(), format!("{path}: is a directory; give the dump file in it"));
}

#[test]
fn names_a_missing_file_and_finds_it_later() {
    let (_directory, path) = stored(b"");
    std::fs::remove_file(&path).expect("it goes");
    let source = Source::path(&path);
    assert_eq!(failure(&source).kind(), ErrorKind::NotFound);
    std::fs::write(&path, dump(1)).expect("it is written");
    assert_eq!(pass(&source).bytes(), dump(1));
}

/// A reader that refuses stands for a file that does: root may read every file.
#[test]
fn names_a_refused_file() {
    struct Refused;
    impl Read for Refused {
        fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
            Err(io::Error::from_raw_os_error(13))
        }
    }
    let error = failure(&Source::reader(Refused, "secret.json"));
    assert_eq!(error.kind(), ErrorKind::PermissionDenied);
    assert_eq!(error.to_string(), "secret.json: permission denied");
}

#[test]
fn follows_a_file_that_shrinks_or_grows() {
    let plain = dump(40_000);
    let (_directory, path) = stored(&plain);
    let source = Source::path(&path);
    let mut blocks = source.open().expect("it opens");
    let first = blocks.next(Vec::new()).expect("it reads").expect("a block");
    File::options().write(true).open(&path).expect("it opens").set_len(1 << 20).expect("it shrinks");
    let rest = blocks.next(Vec::new()).expect("it reads").expect("what was carried over");
    assert!([first.bytes, rest.bytes].concat() == plain[..1 << 20]);
    assert_eq!(blocks.next(Vec::new()).expect("it reads"), None);

    let mut blocks = source.open().expect("it opens");
    std::fs::write(&path, &plain).expect("it grows");
    let mut sum = 0;
    while let Some(block) = blocks.next(Vec::new()).expect("it reads") {
        sum += block.bytes.len();
    }
    assert_eq!(sum, plain.len());
}

#[test]
fn counts_the_bytes_of_the_input() {
    let packed = gzip(&dump(30_000));
    let (_directory, path) = stored(&packed);
    let mut blocks = Source::path(path).open().expect("it opens");
    while blocks.next(Vec::new()).expect("it reads").is_some() {}
    assert_eq!(blocks.raw_bytes_read().load(Ordering::Relaxed), packed.len() as u64);
    assert_eq!(blocks.raw_len(), Some(packed.len() as u64));
}

#[test]
fn shows_the_name_as_given() {
    assert_eq!(Source::stdin().name(), "-");
    assert_eq!(Source::path("some/heap.json").name(), "some/heap.json");
    assert_eq!(format!("{:?}", memory("")), r#"Source { name: "memory", spooled: false, .. }"#);
}

/// The obviously right way: every place where a block may end.
fn boundaries(bytes: &[u8]) -> Vec<usize> {
    let closes = |mut at: usize| {
        while at > 0 && bytes[at - 1] == b'\r' {
            at -= 1;
        }
        at > 0 && bytes[at - 1] == b'}'
    };
    (1..bytes.len()).filter(|at| bytes[at - 1] == b'\n' && bytes[*at] == b'{' && closes(at - 1)).collect()
}

fn text() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![
        Just(&b"}\n{"[..]),
        Just(&b"}\r\n{"[..]),
        Just(&b"{\"a\":1}\n"[..]),
        Just(&b"{\"file\":\"a\nb\"}\n"[..]),
        Just(&b"\n"[..]),
        Just(&b"\r"[..]),
        Just(&b"}"[..]),
        Just(&b"{"[..]),
        Just(&b"xxxxxxxxxxxxxxx"[..]),
        Just(&b"\xff"[..]),
    ];
    proptest::collection::vec(piece, 0..200).prop_map(|pieces| pieces.concat())
}

proptest! {
    #[test]
    fn cuts_only_between_records_and_loses_nothing(bytes in text(), block in 1usize..300, pack in 0usize..4) {
        let packed = if pack == 3 { bytes.clone() } else { PACKS[pack].1(&bytes) };
        let mut source = memory(packed);
        source.limits.block = block;
        let found = pass(&source);
        prop_assert_eq!(&found.bytes(), &bytes);
        prop_assert_eq!(&found.damage, &None);
        let allowed = boundaries(&bytes);
        let mut offset = 0;
        for block in &found.blocks {
            prop_assert!(offset == 0 || allowed.contains(&offset), "cut at {}", offset);
            prop_assert_eq!(block.offset, offset as u64);
            offset += block.bytes.len();
        }
        prop_assert!(found.blocks.iter().all(|block| !block.bytes.is_empty()));
    }

    #[test]
    fn survives_any_damage(records in 1usize..400, pack in 0usize..3, flips in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..4), cut in any::<prop::sample::Index>()) {
        let mut packed = PACKS[pack].1(&dump(records));
        for (place, byte) in flips {
            let place = place.index(packed.len());
            packed[place] ^= byte;
        }
        packed.truncate(cut.index(packed.len()) + 1);
        let _ = read(&memory(packed)); // whatever it says: no panic
    }
}
