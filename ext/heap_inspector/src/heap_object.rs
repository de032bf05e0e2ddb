//! `HeapInspector::HeapObject`: a heap and a number, in the five words that Ruby takes for any object.
//!
//! Its data pointer says both. It leads into a [`Block`] of its heap, and how far in is the object's number; nothing is written there but
//! at the block's beginning. So making one takes no memory beside Ruby's and freeing one calls nothing, which is half the time of a
//! million of them. A block is 64 KiB of addresses of which one page is touched, so a byte of addresses for each object of the dump.

use crate::errors;
use crate::heap::Heap;
use crate::native::{function, method};
use magnus::rb_sys::{AsRawValue, FromRawValue};
use magnus::typed_data::Obj;
use magnus::value::ReprValue;
use magnus::{Class, Error, Module, Object, RArray, RClass, RModule, RString, Ruby, Value};
use rb_sys::{VALUE, rb_data_type_t, rbimpl_typeddata_flags as flag};
use std::ffi::c_void;
use std::ptr::NonNull;
use std::sync::atomic::{AtomicPtr, AtomicUsize, Ordering};

/// So many objects share a block.
const BLOCK: usize = 1 << 16;

/// What objects that stand beside each other in the dump have in common. As large as it is aligned: the places behind its fields stand for
/// objects.
#[repr(C, align(65536))]
struct Block {
    /// The heap as Ruby knows it, written anew whenever an object is made: it is not moved while one lives, but may be before.
    value: AtomicUsize,
    heap: *const Heap,
    /// The number of the first object.
    first: u32,
}

const _: () = assert!(size_of::<Block>() == BLOCK && align_of::<Block>() == BLOCK);

/// A heap's blocks, made when they are needed.
pub(crate) struct Blocks {
    list: Box<[AtomicPtr<Block>]>,
    count: usize,
}

// SAFETY: a block's fields do not change after it is put into the list, but for the value, which is atomic; its pointer to the heap is for
// those who hold that heap.
unsafe impl Send for Blocks {}
unsafe impl Sync for Blocks {}

impl Blocks {
    /// Those of a heap of so many objects.
    pub(crate) fn new(count: usize) -> Blocks {
        Blocks { list: (0..count.div_ceil(BLOCK)).map(|_| AtomicPtr::default()).collect(), count }
    }

    /// The block at a place of the list.
    #[inline]
    fn block(&self, place: usize, heap: &Heap) -> NonNull<Block> {
        NonNull::new(self.list[place].load(Ordering::Acquire)).unwrap_or_else(|| self.make(place, heap))
    }

    #[cold]
    fn make(&self, place: usize, heap: &Heap) -> NonNull<Block> {
        let made = Box::into_raw(Box::<Block>::new_uninit()).cast::<Block>();
        // SAFETY: `made` is this function's own until it is published; its fields are written, not moved into it, since to move a block is
        // to copy 64 KiB. What another thread published first is as good, then ours goes.
        unsafe {
            (&raw mut (*made).value).write(AtomicUsize::new(0));
            (&raw mut (*made).heap).write(heap);
            (&raw mut (*made).first).write((place * BLOCK) as u32);
            let published =
                self.list[place].compare_exchange(std::ptr::null_mut(), made, Ordering::AcqRel, Ordering::Acquire);
            match published {
                Ok(_) => NonNull::new_unchecked(made),
                Err(other) => {
                    drop(Box::from_raw(made));
                    NonNull::new_unchecked(other)
                }
            }
        }
    }
}

impl Drop for Blocks {
    fn drop(&mut self) {
        for block in &mut self.list {
            let block = *block.get_mut();
            if !block.is_null() {
                // SAFETY: it was made by Box, and published once. Objects hold their heap, so none is left, or none that is looked at again.
                drop(unsafe { Box::from_raw(block) });
            }
        }
    }
}

struct DataType(rb_data_type_t);

// SAFETY: never changes; its pointers lead to what lives as long as the process.
unsafe impl Sync for DataType {}

static DATA_TYPE: DataType = DataType({
    // SAFETY: for Ruby, zero says in each field, those of other versions too, that there is nothing.
    let mut data_type: rb_data_type_t = unsafe { std::mem::zeroed() };
    data_type.wrap_struct_name = c"HeapInspector::HeapObject".as_ptr();
    data_type.function.dmark = Some(mark);
    data_type.flags = flag::RUBY_TYPED_FREE_IMMEDIATELY as VALUE
        | flag::RUBY_TYPED_WB_PROTECTED as VALUE
        | flag::RUBY_TYPED_FROZEN_SHAREABLE as VALUE;
    data_type
});

/// Has the garbage collector keep the heap, and where it is.
///
/// SAFETY: Ruby calls it with the data pointer of an object made here, whose block lives as long as its heap, as it does.
unsafe extern "C" fn mark(data: *mut c_void) {
    unsafe { rb_sys::rb_gc_mark((*block_of(data)).value.load(Ordering::Relaxed) as VALUE) }
}

#[inline]
fn block_of(data: *const c_void) -> *const Block {
    data.map_addr(|address| address & !(BLOCK - 1)).cast()
}

/// What the data pointer of a HeapObject says.
#[derive(Clone, Copy)]
pub(crate) struct Place<'a> {
    pub(crate) heap: &'a Heap,
    pub(crate) index: u32,
    value: VALUE,
}

impl Place<'_> {
    /// The heap as Ruby knows it.
    fn value(self) -> Value {
        // SAFETY: the object whose place this is holds it.
        unsafe { Value::from_raw(self.value) }
    }
}

/// The data pointer of a HeapObject; none for anything else.
fn data(object: Value) -> Option<*const c_void> {
    // SAFETY: it is a Ruby value; its type is asked before it is looked into.
    unsafe {
        let is_one = rb_sys::rb_typeddata_is_kind_of(object.as_raw(), &DATA_TYPE.0) != 0;
        is_one.then(|| rb_sys::macros::RTYPEDDATA_GET_DATA(object.as_raw()).cast_const())
    }
}

/// Where a HeapObject is.
///
/// # Safety
/// `object` is the receiver of a method that HeapObject alone has, and the place is not used after the method returned. All instances of
/// that class, and of any below, are made by [`Maker`]: it has no allocator.
#[inline]
pub(crate) unsafe fn place<'a>(object: Value) -> Place<'a> {
    // SAFETY: the receiver lives while its method runs, so its heap does, and with that its blocks.
    unsafe {
        let data: *const c_void = rb_sys::macros::RTYPEDDATA_GET_DATA(object.as_raw());
        let block = block_of(data);
        let index = (*block).first + (data.addr() % BLOCK) as u32;
        Place { heap: &*(*block).heap, index, value: (*block).value.load(Ordering::Relaxed) as VALUE }
    }
}

/// Makes HeapObjects of numbers.
pub(crate) struct Maker {
    heap: Obj<Heap>,
    class: RClass,
}

impl Maker {
    pub(crate) fn new(ruby: &Ruby, heap: Obj<Heap>) -> Result<Maker, Error> {
        let module: RModule = ruby.class_object().const_get("HeapInspector")?;
        Ok(Maker { heap, class: module.const_get("HeapObject")? })
    }

    #[inline]
    pub(crate) fn object(&self, ruby: &Ruby, index: u32) -> Result<Value, Error> {
        let blocks = self.heap.blocks();
        if index as usize >= blocks.count {
            return Err(errors::internal(ruby, "a number of no object"));
        }
        let block = blocks.block(index as usize / BLOCK, &self.heap);
        // SAFETY: a block of the list lives as long as the heap, which is held here. The pointer stays inside of it. Ruby raises only where
        // it is out of memory, and nothing is lost then.
        unsafe {
            block.as_ref().value.store(self.heap.as_raw() as usize, Ordering::Relaxed);
            let data = block.as_ptr().cast::<u8>().add(index as usize % BLOCK);
            let object = rb_sys::rb_data_typed_object_wrap(self.class.as_raw(), data.cast(), &DATA_TYPE.0);
            Ok(Value::from_raw(rb_sys::rb_obj_freeze(object)))
        }
    }

    /// An Array of them.
    pub(crate) fn list(&self, ruby: &Ruby, indexes: impl ExactSizeIterator<Item = u32>) -> Result<RArray, Error> {
        list(ruby, indexes.map(|index| self.object(ruby, index)))
    }
}

/// An Array of values, which are put into it some at a time.
pub(crate) fn list(ruby: &Ruby, values: impl ExactSizeIterator<Item = Result<Value, Error>>) -> Result<RArray, Error> {
    let list = ruby.ary_new_capa(values.len());
    // On the stack, where the garbage collector sees them.
    let (mut some, mut filled) = ([ruby.qnil().as_value(); 128], 0);
    for value in values {
        some[filled] = value?;
        filled += 1;
        if filled == some.len() {
            list.cat(&some)?;
            filled = 0;
        }
    }
    list.cat(&some[..filled])?;
    Ok(list)
}

/// The heap of an object.
fn heap(object: Value) -> Value {
    // SAFETY: see `define`.
    unsafe { place(object) }.value()
}

fn index(object: Value) -> u32 {
    // SAFETY: see `define`.
    unsafe { place(object) }.index
}

/// Whether both are the same object of the same heap.
fn is_same(object: Value, other: Value) -> bool {
    data(other).is_some() && data(object) == data(other)
}

/// The same for equal objects, and as good as any number: the places of objects are near each other.
fn hash(object: Value) -> i64 {
    let place = data(object).map_or(0, |data| data.addr() as u64);
    let mixed = (place ^ (place >> 29)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    ((mixed ^ (mixed >> 32)) >> 2) as i64
}

/// An object by its number.
fn object(ruby: &Ruby, heap: Obj<Heap>, index: u32) -> Result<Value, Error> {
    Maker::new(ruby, heap)?.object(ruby, index)
}

/// HeapObjects of some objects, by their packed numbers.
fn objects(ruby: &Ruby, heap: Obj<Heap>, packed: RString) -> Result<RArray, Error> {
    let ids = crate::objects::unpack(ruby, packed, heap.snapshot(ruby)?.heap().object_count())?;
    Maker::new(ruby, heap)?.list(ruby, ids.iter().map(|id| id.0))
}

/// Makes the class, but for the methods that read the heap's columns (`objects`).
pub(crate) fn define(ruby: &Ruby, module: RModule, native: RModule) -> Result<RClass, Error> {
    native.define_singleton_method("object", function!(object, 2))?;
    native.define_singleton_method("objects", function!(objects, 2))?;
    let class = module.define_class("HeapObject", ruby.class_object())?;
    class.undef_default_alloc_func();
    class.define_method("heap", method!(|_: &Ruby, object: Value| heap(object), 0))?;
    class.define_method("index", method!(|_: &Ruby, object: Value| index(object), 0))?;
    class.define_method("==", method!(|_: &Ruby, object: Value, other: Value| is_same(object, other), 1))?;
    class.define_method("eql?", method!(|_: &Ruby, object: Value, other: Value| is_same(object, other), 1))?;
    class.define_method("hash", method!(|_: &Ruby, object: Value| hash(object), 0))?;
    Ok(class)
}
