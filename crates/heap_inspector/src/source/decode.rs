//! Bytes as compressed in, bytes as Ruby wrote them out.
//!
//! The format is told by the first four bytes. Streams of several members or frames are read as one. A decoder's error ends the
//! stream and is put in words here; what came before it has been handed over (for gzip up to the last [`GZIP_STEP`] bytes).

use std::io::{self, BufReader, Chain, Cursor, Read};

use flate2::bufread::MultiGzDecoder;
use lz4_flex::frame::FrameDecoder;

use super::raw::Raw;
use crate::{Error, Result};

/// The sniffed bytes, then the rest.
type Whole = Chain<Cursor<Vec<u8>>, Raw>;

/// What the decompressors read at a time.
const COMPRESSED_STEP: usize = 128 << 10;

/// flate2 loses what one call decoded before it met the damage, so a call is kept short.
const GZIP_STEP: usize = 32 << 10;

/// zstd's window may be 2 GiB by its format; we follow to 512 MiB (`zstd --long=29`; 128 MiB is the most it makes unasked).
const ZSTD_WINDOW_LOG: u32 = 29;

pub(super) enum Decoder {
    Plain(Whole),
    Gzip(MultiGzDecoder<BufReader<Whole>>),
    Zstd(zstd::Decoder<'static, BufReader<Whole>>),
    Lz4(Lz4),
}

impl Decoder {
    pub(super) fn new(mut raw: Raw) -> Result<Decoder> {
        let head = sniff(&mut raw).map_err(|error| refused(&raw, error))?;
        if let Some(format) = foreign(&head) {
            let message = format!("{format} is not read here; decompress it, or compress it with gzip, zstd or lz4");
            return Err(Error::Compression { message });
        }
        let magic = head.clone();
        let gauge = raw.gauge.clone();
        let whole = Cursor::new(head).chain(raw);
        Ok(match magic[..] {
            [0x1f, 0x8b, ..] => Decoder::Gzip(MultiGzDecoder::new(buffered(whole))),
            // The second is a skippable frame, which pzstd and others put first.
            [0x28, 0xb5, 0x2f, 0xfd] | [0x50..=0x5f, 0x2a, 0x4d, 0x18] => {
                let decoder = zstd::Decoder::with_buffer(buffered(whole)).and_then(|mut decoder| {
                    decoder.window_log_max(ZSTD_WINDOW_LOG)?;
                    Ok(decoder)
                });
                Decoder::Zstd(decoder.map_err(|error| {
                    gauge.failure().unwrap_or_else(|| Error::Compression { message: format!("zstd: {error}") })
                })?)
            }
            [0x04, 0x22, 0x4d, 0x18] => Decoder::Lz4(Lz4::new(buffered(whole))),
            _ => Decoder::Plain(whole),
        })
    }

    /// What became of a stream whose decoder said `error` after so many decoded bytes.
    pub(super) fn damage(&self, error: &io::Error, decoded: u64) -> String {
        let format = match self {
            Decoder::Plain(_) => "plain",
            Decoder::Gzip(_) => "gzip",
            Decoder::Zstd(_) => "zstd",
            Decoder::Lz4(_) => "lz4",
        };
        let reason = error.to_string().to_lowercase();
        if error.kind() == io::ErrorKind::UnexpectedEof {
            format!("{format} stream is cut off after {decoded} decoded bytes")
        } else if reason.contains("too much memory") {
            let window = 1u64 << (ZSTD_WINDOW_LOG - 20);
            format!("{format} stream needs a window of more than {window} MiB, decompress it with `zstd -d --long=31`")
        } else {
            format!("{format} stream is corrupt after {decoded} decoded bytes ({reason})")
        }
    }
}

impl Read for Decoder {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Decoder::Plain(reader) => reader.read(buffer),
            Decoder::Gzip(reader) => {
                let step = buffer.len().min(GZIP_STEP);
                reader.read(&mut buffer[..step])
            }
            Decoder::Zstd(reader) => reader.read(buffer),
            Decoder::Lz4(reader) => reader.read(buffer),
        }
    }
}

fn buffered(whole: Whole) -> BufReader<Whole> {
    BufReader::with_capacity(COMPRESSED_STEP, whole)
}

/// The first four bytes, fewer if there are no more.
fn sniff(raw: &mut Raw) -> io::Result<Vec<u8>> {
    let mut head = Vec::with_capacity(4);
    raw.take(4).read_to_end(&mut head)?;
    Ok(head)
}

fn refused(raw: &Raw, error: io::Error) -> Error {
    raw.gauge.failure().unwrap_or_else(|| Error::File { path: raw.name.clone().into(), source: error })
}

/// The compressed formats people have, that we do not read.
fn foreign(head: &[u8]) -> Option<&'static str> {
    match head {
        [0xfd, b'7', b'z', b'X'] => Some("xz"),
        [b'B', b'Z', b'h', _] => Some("bzip2"),
        [b'P', b'K', 3, 4] => Some("zip"),
        [0x02, 0x21, 0x4c, 0x18] => Some("lz4's legacy format"),
        _ => None,
    }
}

/// The frames of an lz4 stream, one after another.
///
/// lz4_flex 0.14 answers "no more" alike at the end of a frame and where the input is cut between two blocks. They differ in what
/// was asked of the input: a frame ends by its own mark, so nobody has met the input's end yet.
pub(super) struct Lz4 {
    /// `None` only between two lines of `read`.
    frame: Option<FrameDecoder<Watched>>,
    /// Bytes taken from the input when the frame began; at its end without one more, the stream is whole.
    began: u64,
}

/// Counts what is read and remembers that the end was met.
struct Watched {
    reader: BufReader<Whole>,
    taken: u64,
    ended: bool,
}

impl Read for Watched {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.reader.read(buffer)?;
        self.taken += count as u64;
        self.ended |= count == 0 && !buffer.is_empty();
        Ok(count)
    }
}

impl Lz4 {
    fn new(reader: BufReader<Whole>) -> Lz4 {
        Lz4 { frame: Some(FrameDecoder::new(Watched { reader, taken: 0, ended: false })), began: 0 }
    }

    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while let Some(frame) = &mut self.frame {
            let count = frame.read(buffer)?;
            if count > 0 || buffer.is_empty() {
                return Ok(count);
            }
            let Watched { taken, ended, .. } = *frame.get_ref();
            if ended {
                return if taken == self.began { Ok(0) } else { Err(io::ErrorKind::UnexpectedEof.into()) };
            }
            // A new decoder for each frame: a used one asserts that its buffers fit the next frame's block size.
            self.began = taken;
            self.frame = self.frame.take().map(|frame| FrameDecoder::new(frame.into_inner()));
        }
        Ok(0)
    }
}
