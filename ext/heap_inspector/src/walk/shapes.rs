//! The shapes of objects, from Ruby 3.2 on.

use super::Walk;
use super::text;
use super::value::word;
use rb_sys::VALUE;
use std::ffi::c_void;

/// SAFETY: Ruby calls it for each shape, with the walk.
pub(super) unsafe extern "C" fn shape(shape: *mut c_void, walk: *mut c_void) {
    const ROOT: u8 = 0;
    const IVAR: u8 = 1;
    let walk = unsafe { &mut *walk.cast::<Walk<'_>>() };
    let Some(shapes) = &walk.api.shapes else { return };
    // SAFETY: `struct rb_shape` of shape.h of 3.3 and 3.4: edges, name, two counts of 4 bytes, sort, another byte, parent.
    let (name, kind, parent) = unsafe {
        let at = shape as VALUE;
        (word(at, 8), *((at as usize + 24) as *const u8), *((at as usize + 28) as *const u32))
    };
    // SAFETY: a shape.
    let (id, depth, edges, memsize) =
        unsafe { ((shapes.id)(shape), (shapes.depth)(shape), (shapes.edges)(shape), (shapes.memsize)(shape)) };
    walk.address("{\"address\":", shape as VALUE);
    let put = |walk: &mut Walk<'_>, key: &str, number: u64| {
        walk.text(key);
        text::number(&mut walk.buffer, number);
    };
    put(walk, ", \"type\":\"SHAPE\", \"id\":", id.into());
    if kind != ROOT {
        put(walk, ", \"parent_id\":", parent.into());
    }
    put(walk, ", \"depth\":", depth as u64);
    walk.text(", \"shape_type\":\"");
    walk.text(match kind {
        ROOT => "ROOT",
        IVAR => "IVAR",
        2 => "FROZEN",
        3 => "T_OBJECT",
        _ => "OBJ_TOO_COMPLEX",
    });
    walk.text("\"");
    if kind == IVAR {
        // SAFETY: the name of a variable.
        unsafe { walk.id(",\"edge_name\":", name as rb_sys::ID) };
    }
    put(walk, ", \"edges\":", edges as u64);
    put(walk, ", \"memsize\":", memsize as u64);
    walk.text("}\n");
    walk.make_room();
}
