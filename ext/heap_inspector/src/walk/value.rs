//! How Ruby's objects begin, which is so on 3.1, 3.3 and 3.4.

use rb_sys::VALUE;

pub(super) const T_NONE: u64 = 0x00;
pub(super) const T_OBJECT: u64 = 0x01;
pub(crate) const T_CLASS: u64 = 0x02;
pub(crate) const T_MODULE: u64 = 0x03;
pub(super) const T_FLOAT: u64 = 0x04;
pub(crate) const T_STRING: u64 = 0x05;
pub(super) const T_ARRAY: u64 = 0x07;
pub(super) const T_HASH: u64 = 0x08;
pub(super) const T_STRUCT: u64 = 0x09;
pub(super) const T_FILE: u64 = 0x0b;
pub(crate) const T_DATA: u64 = 0x0c;
pub(crate) const T_SYMBOL: u64 = 0x14;
pub(crate) const T_IMEMO: u64 = 0x1a;
pub(super) const T_NODE: u64 = 0x1b;
pub(crate) const T_ICLASS: u64 = 0x1c;
pub(super) const T_ZOMBIE: u64 = 0x1d;

/// Sorts of IMEMO.
pub(super) const IMEMO_ENV: u64 = 0;
pub(crate) const IMEMO_MENT: u64 = 6;
pub(crate) const IMEMO_ISEQ: u64 = 7;
pub(crate) const IMEMO_CALLINFO: u64 = 11;
pub(crate) const IMEMO_CALLCACHE: u64 = 12;

/// The lowest of the flags that each type uses for itself.
pub(super) const USHIFT: u32 = 12;
pub(super) const FL_EXIVAR: u64 = 1 << 10;
pub(super) const FL_FREEZE: u64 = 1 << 11;
pub(super) const FL_USER1: u64 = 1 << (USHIFT + 1);
pub(super) const FL_USER2: u64 = 1 << (USHIFT + 2);
pub(super) const FL_USER3: u64 = 1 << (USHIFT + 3);
/// Of Strings and Arrays: the text or the elements belong to another.
pub(super) const ELTS_SHARED: u64 = rb_sys::ruby_fl_type::RUBY_ELTS_SHARED as u64;
/// `RSTRING_FSTR`
pub(super) const FL_USER17: u64 = 1 << (USHIFT + 17);

/// `ENC_CODERANGE_MASK` and its values.
pub(super) const CODERANGE: u64 = 3 << (USHIFT + 8);
pub(super) const CODERANGE_7BIT: u64 = 1 << (USHIFT + 8);
pub(super) const CODERANGE_VALID: u64 = 2 << (USHIFT + 8);

/// Words that are no address of an object: numbers, nil and the like, static symbols.
#[inline(always)]
pub(super) fn is_special(value: VALUE) -> bool {
    value & 7 != 0 || value & !8 == 0
}

/// # Safety
/// There must be a slot at the address.
#[inline(always)]
pub(super) unsafe fn flags(object: VALUE) -> u64 {
    // SAFETY: every slot begins so.
    unsafe { word(object, 0) }
}

/// # Safety
/// As for [`flags`].
#[inline(always)]
pub(crate) unsafe fn builtin_type(object: VALUE) -> u64 {
    unsafe { flags(object) & 0x1f }
}

/// The sort of an IMEMO.
///
/// # Safety
/// As for [`flags`].
#[inline(always)]
pub(crate) unsafe fn imemo_type(object: VALUE) -> u64 {
    unsafe { flags(object) >> USHIFT & 0xf }
}

/// The word at so many bytes behind an address.
///
/// # Safety
/// The place must be readable, and the address one of words.
#[inline(always)]
pub(super) unsafe fn word(address: VALUE, bytes: usize) -> u64 {
    unsafe { *((address as usize + bytes) as *const u64) }
}

/// Asks the memory for what an object keeps behind its slot (variables, elements, entries, text), which the walk comes to soon. Whatever
/// stands in the words, no address is read by it.
///
/// # Safety
/// As for [`flags`], in a slot of five words or more.
#[inline(always)]
pub(super) unsafe fn fetch_content(object: VALUE) {
    #[cfg(target_arch = "x86_64")]
    for at in [16, 24, 32] {
        use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        // SAFETY: a hint, which no address makes fail.
        unsafe { _mm_prefetch::<_MM_HINT_T0>(word(object, at) as usize as *const i8) };
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = object;
}

/// The data and the type of a typed DATA.
///
/// # Safety
/// It must be a DATA.
pub(super) unsafe fn typed_data(object: VALUE) -> Option<(VALUE, VALUE)> {
    // `struct RTypedData`: type, 1 (or 3 where the data stand in the slot), data. Of an untyped one the second is a function.
    unsafe {
        let flag = word(object, 24);
        if flag == 0 || flag > 3 {
            return None;
        }
        let data = if flag & 2 != 0 { object + 32 } else { word(object, 32) };
        Some((word(object, 16), data))
    }
}

/// The bytes of a String.
///
/// # Safety
/// It must be one, and stay as it is.
#[inline(always)]
pub(super) unsafe fn string<'a>(object: VALUE) -> &'a [u8] {
    // SAFETY: so many bytes stand there; an empty one may have none.
    unsafe {
        let length = usize::try_from(rb_sys::RSTRING_LEN(object)).unwrap_or(0);
        if length == 0 { b"" } else { std::slice::from_raw_parts(rb_sys::RSTRING_PTR(object).cast::<u8>(), length) }
    }
}

/// The bytes of what may be a String.
///
/// # Safety
/// It must be an object or a special value.
pub(super) unsafe fn string_or_none<'a>(value: VALUE) -> Option<&'a [u8]> {
    unsafe { (!is_special(value) && builtin_type(value) == T_STRING).then(|| string(value)) }
}

/// The name behind an ID; none of those that are Ruby's own.
///
/// # Safety
/// It must be an ID.
pub(super) unsafe fn id_name<'a>(id: rb_sys::ID) -> Option<&'a [u8]> {
    // SAFETY: makes nothing: the text of an ID is kept.
    unsafe { string_or_none(rb_sys::rb_id2str(id)) }
}
