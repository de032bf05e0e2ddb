//! What the walk asks of Ruby that no header has: found when the first dump is taken, never linked to.

use crate::dumper::symbol;
use rb_sys::{ID, VALUE};
use std::ffi::{CStr, c_char, c_int, c_void};
use std::sync::OnceLock;

type EachPage = unsafe extern "C" fn(*mut c_void, *mut c_void, usize, *mut c_void) -> c_int;
type Reference = unsafe extern "C" fn(VALUE, *mut c_void);
type RootReference = unsafe extern "C" fn(*const c_char, VALUE, *mut c_void);
type EachPair = unsafe extern "C" fn(VALUE, VALUE, *mut c_void) -> c_int;
type EachShape = unsafe extern "C" fn(*mut c_void, *mut c_void);

/// What `ObjectSpace.trace_object_allocations` keeps of an object (`objspace.h`).
#[repr(C)]
pub(super) struct AllocationInfo {
    living: c_int,
    flags: VALUE,
    klass: VALUE,
    pub(super) path: *const c_char,
    pub(super) line: std::ffi::c_ulong,
    class_path: *const c_char,
    pub(super) method: VALUE,
    pub(super) generation: usize,
}

/// What Rubies have that have shapes, and bytes of slots.
pub(super) struct Shapes {
    pub(super) each: unsafe extern "C" fn(EachShape, *mut c_void),
    pub(super) of: unsafe extern "C" fn(VALUE) -> u32,
    pub(super) id: unsafe extern "C" fn(*mut c_void) -> u32,
    pub(super) depth: unsafe extern "C" fn(*mut c_void) -> usize,
    pub(super) edges: unsafe extern "C" fn(*mut c_void) -> usize,
    pub(super) memsize: unsafe extern "C" fn(*mut c_void) -> usize,
    pub(super) is_complex: unsafe extern "C" fn(VALUE) -> c_int,
}

/// The functions, with the types of gc.c, hash.c, string.c, class.c, imemo and shape.c.
pub(crate) struct Api {
    pub(super) version: (c_int, c_int),
    pub(super) each: unsafe extern "C" fn(EachPage, *mut c_void),
    pub(super) from: unsafe extern "C" fn(VALUE, Reference, *mut c_void),
    pub(super) from_roots: unsafe extern "C" fn(RootReference, *mut c_void),
    pub(super) memsize: unsafe extern "C" fn(VALUE) -> usize,
    pub(super) gc_flags: unsafe extern "C" fn(VALUE, *mut ID, usize) -> usize,
    pub(super) superclass: unsafe extern "C" fn(VALUE) -> VALUE,
    pub(super) real_class: unsafe extern "C" fn(VALUE) -> VALUE,
    pub(super) imemo_name: unsafe extern "C" fn(c_int) -> *const c_char,
    pub(super) capacity: unsafe extern "C" fn(VALUE) -> usize,
    pub(super) each_pair: unsafe extern "C" fn(VALUE, EachPair, *mut c_void) -> c_int,
    pub(super) iseq_path: unsafe extern "C" fn(VALUE) -> VALUE,
    pub(super) iseq_line: unsafe extern "C" fn(VALUE) -> VALUE,
    /// Of an instruction, by its number.
    pub(super) line_at: Option<unsafe extern "C" fn(VALUE, usize) -> std::ffi::c_uint>,
    /// Of singleton classes; up to 3.1 it is a variable of theirs.
    pub(super) attached_object: Option<unsafe extern "C" fn(VALUE) -> VALUE>,
    /// Of slots that are not swept yet; up to 3.3 `rb_objspace_each_objects` sweeps first.
    garbage: Option<unsafe extern "C" fn(VALUE) -> bool>,
    pub(super) shapes: Option<Shapes>,
    pub(super) allocation: Option<unsafe extern "C" fn(VALUE) -> *mut AllocationInfo>,
}

/// The Rubies whose objects are known to lie in memory as the walk reads them: on each the lines were held against `dump_all`'s.
const KNOWN: [(c_int, c_int); 3] = [(3, 1), (3, 3), (3, 4)];

impl Api {
    /// All of it; in words what this Ruby lacks. It is looked for once.
    pub(crate) fn get() -> Result<&'static Api, &'static str> {
        static API: OnceLock<Result<Api, String>> = OnceLock::new();
        API.get_or_init(Api::find).as_ref().map_err(String::as_str)
    }

    fn find() -> Result<Api, String> {
        // SAFETY: numbers that do not change.
        let [major, minor, _] = unsafe { rb_sys::ruby_api_version };
        let version = (major, minor);
        if !KNOWN.contains(&version) || cfg!(not(target_pointer_width = "64")) {
            return Err(format!("how Ruby {major}.{minor} keeps its objects is not known to it"));
        }
        macro_rules! find {
            ($name:literal) => {
                // SAFETY: the types are those of the Rubies that are known.
                unsafe { symbol($name).map(|found| std::mem::transmute::<*mut c_void, _>(found)) }
            };
        }
        macro_rules! needed {
            ($name:literal) => {
                find!($name).ok_or_else(|| format!("this Ruby does not export {}", $name.to_string_lossy()))?
            };
        }
        let shapes = if version < (3, 2) {
            None
        } else {
            Some(Shapes {
                each: needed!(c"rb_shape_each_shape"),
                of: needed!(c"rb_shape_get_shape_id"),
                id: needed!(c"rb_shape_id"),
                depth: needed!(c"rb_shape_depth"),
                edges: needed!(c"rb_shape_edges_count"),
                memsize: needed!(c"rb_shape_memsize"),
                is_complex: needed!(c"rb_shape_obj_too_complex"),
            })
        };
        Ok(Api {
            version,
            each: needed!(c"rb_objspace_each_objects"),
            from: needed!(c"rb_objspace_reachable_objects_from"),
            from_roots: needed!(c"rb_objspace_reachable_objects_from_root"),
            memsize: needed!(c"rb_obj_memsize_of"),
            gc_flags: needed!(c"rb_obj_gc_flags"),
            superclass: needed!(c"rb_class_get_superclass"),
            real_class: needed!(c"rb_class_real"),
            imemo_name: needed!(c"rb_imemo_name"),
            capacity: needed!(c"rb_str_capacity"),
            each_pair: needed!(c"rb_hash_stlike_foreach"),
            iseq_path: needed!(c"rb_iseq_path"),
            iseq_line: needed!(c"rb_iseq_first_lineno"),
            line_at: find!(c"rb_iseq_line_no"),
            attached_object: find!(c"rb_class_attached_object"),
            garbage: find!(c"rb_objspace_garbage_object_p"),
            shapes,
            allocation: loaded(c"/objspace.so", c"objspace_lookup_allocation_info")
                // SAFETY: its type from 2.1 on.
                .map(|found| unsafe { std::mem::transmute::<*mut c_void, _>(found) }),
        })
    }

    /// How many sorts of instances a class has made, where that is known to stand.
    ///
    /// # Safety
    /// It must be a class.
    pub(super) unsafe fn variations(&self, class: VALUE) -> Option<u8> {
        // `variation_count` of `rb_classext_t` behind the `struct RClass` of class.h.
        let at = match self.version {
            (3, 3 | 4) => 148,
            _ => return None,
        };
        // SAFETY: within the slot.
        Some(unsafe { *((class as usize + at) as *const u8) })
    }

    /// Whether what is in a slot is dead and waits to be swept.
    ///
    /// # Safety
    /// It must be a slot that is not free.
    pub(super) unsafe fn is_garbage(&self, object: VALUE) -> bool {
        // SAFETY: asks for bits.
        self.garbage.is_some_and(|garbage| unsafe { garbage(object) })
    }
}

/// What a library whose path ends so exports: Ruby loads extensions apart, so that a plain search does not find it.
fn loaded(ending: &CStr, name: &CStr) -> Option<*mut c_void> {
    struct Search<'a> {
        ending: &'a CStr,
        path: Option<std::ffi::CString>,
    }
    unsafe extern "C" fn look(info: *mut libc::dl_phdr_info, _size: usize, search: *mut c_void) -> c_int {
        // SAFETY: the loader's list of what is loaded, and what was given to it.
        let (path, search) = unsafe { ((*info).dlpi_name, &mut *search.cast::<Search<'_>>()) };
        if path.is_null() {
            return 0;
        }
        // SAFETY: a C string.
        let path = unsafe { CStr::from_ptr(path) };
        if !path.to_bytes().ends_with(search.ending.to_bytes()) {
            return 0;
        }
        search.path = Some(path.to_owned());
        1
    }
    let mut search = Search { ending, path: None };
    // SAFETY: the search outlives the call; the handle of what is loaded already is kept for good.
    unsafe {
        libc::dl_iterate_phdr(Some(look), (&raw mut search).cast());
        let handle = libc::dlopen(search.path?.as_ptr(), libc::RTLD_LAZY | libc::RTLD_NOLOAD);
        if handle.is_null() {
            return None;
        }
        let found = libc::dlsym(handle, name.as_ptr());
        (!found.is_null()).then_some(found)
    }
}
