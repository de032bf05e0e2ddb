//! Numbers, addresses and texts as `ObjectSpace.dump_all` prints them.

pub(super) use heap_inspector::heap_file::lines::{escape, put_address, put_number, put_signed};

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
