//! Numbers, addresses and texts as `ObjectSpace.dump_all` prints them.

pub(super) use heap_inspector::heap_file::lines::escape;
use rb_sys::VALUE;

/// `"0x7f…"`
pub(super) fn address(out: &mut Vec<u8>, address: VALUE) {
    let mut text = [0; 20];
    let mut at = text.len() - 1;
    text[at] = b'"';
    let mut rest = address;
    while rest > 0 {
        at -= 1;
        text[at] = b"0123456789abcdef"[(rest & 15) as usize];
        rest >>= 4;
    }
    at -= 3;
    text[at..at + 3].copy_from_slice(b"\"0x");
    out.extend_from_slice(&text[at..]);
}

pub(super) fn number(out: &mut Vec<u8>, number: u64) {
    let mut text = [0; 20];
    let mut at = text.len();
    let mut rest = number;
    loop {
        at -= 1;
        text[at] = b'0' + (rest % 10) as u8;
        rest /= 10;
        if rest == 0 {
            break;
        }
    }
    out.extend_from_slice(&text[at..]);
}

pub(super) fn signed(out: &mut Vec<u8>, signed: i64) {
    if signed < 0 {
        out.push(b'-');
    }
    number(out, signed.unsigned_abs());
}

/// As `%#g` of Ruby's own printf has it.
pub(super) fn float(out: &mut Vec<u8>, float: f64) {
    if !float.is_finite() {
        let sign = if float < 0.0 { "-" } else { "" };
        out.extend_from_slice(format!("{sign}{}", if float.is_nan() { "NaN" } else { "Inf" }).as_bytes());
        return;
    }
    let mut text = [0u8; 64];
    // SAFETY: so much room is there, and the format takes one double.
    let length = unsafe { libc::snprintf(text.as_mut_ptr().cast(), text.len(), c"%#g".as_ptr(), float) };
    out.extend_from_slice(&text[..usize::try_from(length).unwrap_or(0).min(text.len() - 1)]);
}
