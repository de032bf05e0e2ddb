//! The shapes of objects, from Ruby 3.2 on.

use super::value::word;
use super::{Format, Walk, each};
use heap_inspector::heap_file::{Field, Fields};
use rb_sys::VALUE;
use std::ffi::c_void;

/// SAFETY: Ruby calls it for each shape, with the walk.
pub(super) unsafe extern "C" fn shape(shape: *mut c_void, walk: *mut c_void) {
    const ROOT: u8 = 0;
    const IVAR: u8 = 1;
    let walk = unsafe { &mut *walk.cast::<Walk<'_, '_>>() };
    let Some(shapes) = &walk.api.shapes else { return };
    // SAFETY: `struct rb_shape` of shape.h of 3.3 and 3.4: edges, name, two counts of 4 bytes, sort, another byte, parent.
    let (name, kind, parent) = unsafe {
        let at = shape as VALUE;
        (word(at, 8), *((at as usize + 24) as *const u8), *((at as usize + 28) as *const u32))
    };
    // SAFETY: a shape.
    let (id, depth, edges, memsize) =
        unsafe { ((shapes.id)(shape), (shapes.depth)(shape), (shapes.edges)(shape), (shapes.memsize)(shape)) };
    walk.address(Field::Address, shape as VALUE);
    walk.word(Field::Type, b"SHAPE");
    walk.number(Field::Id, id.into());
    if kind != ROOT {
        walk.number(Field::ParentId, parent.into());
    }
    walk.number(Field::Depth, depth as u64);
    let sort: &[u8] = match kind {
        ROOT => b"ROOT",
        IVAR => b"IVAR",
        2 => b"FROZEN",
        3 => b"T_OBJECT",
        _ => b"OBJ_TOO_COMPLEX",
    };
    walk.word(Field::ShapeType, sort);
    if kind == IVAR {
        // SAFETY: the name of a variable.
        unsafe { walk.id(Field::EdgeName, name as rb_sys::ID) };
    }
    walk.number(Field::Edges, edges as u64);
    walk.number(Field::Memsize, memsize as u64);
    each!(&mut walk.format, to => to.end());
}
