//! Which malloc this process has, and what jemalloc and tcmalloc say of themselves. Both keep such sums, so asking costs no walk.

use crate::dumper::symbol;
use std::ffi::{CStr, c_char, c_int, c_void};
use std::mem;

/// What an allocator says.
#[derive(Debug, Default)]
pub(super) struct Figures {
    /// `glibc`, `jemalloc`, `tcmalloc`; empty where it is none of them.
    pub(super) name: &'static str,
    /// Bytes handed out.
    pub(super) used: u64,
    /// Bytes it has from the system and has not given back.
    pub(super) held: u64,
}

/// The path of the library that an address of code is in.
fn library(address: *mut c_void) -> Option<Vec<u8>> {
    let mut info = mem::MaybeUninit::<libc::Dl_info>::zeroed();
    // SAFETY: fills it or says no; the name is a C string of the loader's.
    unsafe {
        if libc::dladdr(address, info.as_mut_ptr()) == 0 || (*info.as_ptr()).dli_fname.is_null() {
            return None;
        }
        Some(CStr::from_ptr((*info.as_ptr()).dli_fname).to_bytes().to_vec())
    }
}

/// Whether a function is there and in the same library as malloc: a library may bring an allocator of its own for itself.
fn beside(malloc: &[u8], name: &CStr) -> Option<*mut c_void> {
    // SAFETY: looks.
    let found = unsafe { symbol(name) }?;
    (library(found).as_deref() == Some(malloc)).then_some(found)
}

/// Asks whichever malloc is in use.
pub(super) fn figures() -> Figures {
    // SAFETY: looks.
    let Some(malloc) = (unsafe { symbol(c"malloc") }).and_then(library) else { return Figures::default() };
    if let Some(control) = beside(&malloc, c"mallctl") {
        return jemalloc(control);
    }
    if let Some(property) = beside(&malloc, c"MallocExtension_GetNumericProperty") {
        return tcmalloc(property);
    }
    let is_glibc = beside(&malloc, c"gnu_get_libc_version").is_some();
    Figures { name: if is_glibc { "glibc" } else { "" }, ..Figures::default() }
}

fn jemalloc(control: *mut c_void) -> Figures {
    type Control = unsafe extern "C" fn(*const c_char, *mut c_void, *mut usize, *mut c_void, usize) -> c_int;
    // SAFETY: its type in jemalloc.h.
    let control = unsafe { mem::transmute::<*mut c_void, Control>(control) };
    let mut epoch = 1_u64;
    // SAFETY: sets a number; from then on the sums are those of now.
    unsafe { control(c"epoch".as_ptr(), std::ptr::null_mut(), std::ptr::null_mut(), (&raw mut epoch).cast(), 8) };
    let sum = |name: &CStr| {
        let (mut value, mut bytes) = (0_usize, mem::size_of::<usize>());
        // SAFETY: a size_t, and how large it is.
        let failed =
            unsafe { control(name.as_ptr(), (&raw mut value).cast(), &raw mut bytes, std::ptr::null_mut(), 0) };
        if failed == 0 { value as u64 } else { 0 }
    };
    Figures { name: "jemalloc", used: sum(c"stats.allocated"), held: sum(c"stats.resident") }
}

fn tcmalloc(property: *mut c_void) -> Figures {
    type Property = unsafe extern "C" fn(*const c_char, *mut usize) -> c_int;
    // SAFETY: its type in malloc_extension_c.h.
    let property = unsafe { mem::transmute::<*mut c_void, Property>(property) };
    let sum = |name: &CStr| {
        let mut value = 0_usize;
        // SAFETY: a size_t.
        if unsafe { property(name.as_ptr(), &raw mut value) } == 1 { value as u64 } else { 0 }
    };
    let held = sum(c"generic.heap_size").saturating_sub(sum(c"tcmalloc.pageheap_unmapped_bytes"));
    Figures { name: "tcmalloc", used: sum(c"generic.current_allocated_bytes"), held }
}

/// Gives back what glibc's malloc has free. None where it is another malloc; whether something was given back.
pub(super) fn trim() -> Option<bool> {
    type Trim = unsafe extern "C" fn(usize) -> c_int;
    if figures().name != "glibc" {
        return None;
    }
    // SAFETY: its type in malloc.h.
    unsafe { symbol(c"malloc_trim").map(|found| mem::transmute::<*mut c_void, Trim>(found)(0) == 1) }
}

/// What of memory without a file belongs to libraries: their variables without a first value.
pub(super) fn bss() -> Vec<(u64, u64)> {
    unsafe extern "C" fn look(info: *mut libc::dl_phdr_info, _size: usize, found: *mut c_void) -> c_int {
        // SAFETY: the loader's list of what is loaded, and what was given to it.
        unsafe {
            let (info, found) = (&*info, &mut *found.cast::<Vec<(u64, u64)>>());
            if info.dlpi_phdr.is_null() {
                return 0;
            }
            for header in std::slice::from_raw_parts(info.dlpi_phdr, info.dlpi_phnum.into()) {
                if header.p_type == libc::PT_LOAD && header.p_memsz > header.p_filesz {
                    let start = info.dlpi_addr.wrapping_add(header.p_vaddr);
                    let page = super::maps::PAGE;
                    let from = start.wrapping_add(header.p_filesz).next_multiple_of(page);
                    found.push((from, start.wrapping_add(header.p_memsz).next_multiple_of(page)));
                }
            }
        }
        0
    }
    let mut found: Vec<(u64, u64)> = Vec::new();
    // SAFETY: the list outlives the call.
    unsafe { libc::dl_iterate_phdr(Some(look), (&raw mut found).cast()) };
    found.retain(|(start, end)| start < end);
    found.sort_unstable();
    found
}
