//! What a Ruby user gives to be read, as a source.

use crate::work::{Channel, Reader};
use heap_inspector::source::Source;
use magnus::{Error, RString, Ruby, Value};
use std::ffi::OsStr;
use std::fs::File;
use std::os::fd::BorrowedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;
use std::sync::Arc;

/// What `HeapInspector::Input` makes of its argument.
pub(crate) enum Input {
    Path(PathBuf),
    /// A descriptor, and what Ruby has read of it already.
    Descriptor(File, Vec<u8>, String),
    /// An object with `read`.
    Reader(Value, String),
}

impl Input {
    /// `what` is a path, a descriptor's number or an object with `read`; `head` is nil but for descriptors.
    pub(crate) fn new(ruby: &Ruby, what: Value, head: Option<RString>, name: RString) -> Result<Input, Error> {
        if let Some(path) = RString::from_value(what) {
            return Ok(Input::Path(PathBuf::from(OsStr::from_bytes(&bytes(path)))));
        }
        let name = String::from_utf8_lossy(&bytes(name)).into_owned();
        let Some(head) = head else { return Ok(Input::Reader(what, name)) };
        let number: i32 = magnus::TryConvert::try_convert(what)?;
        if number < 0 {
            return Err(Error::new(ruby.exception_arg_error(), "no descriptor"));
        }
        // SAFETY: the caller took the number from an open IO object which it holds, and no other Ruby thread has run since.
        let owned = unsafe { BorrowedFd::borrow_raw(number) }.try_clone_to_owned().map_err(|source| {
            crate::errors::raised(ruby, &heap_inspector::Error::File { path: name.clone().into(), source })
        })?;
        Ok(Input::Descriptor(File::from(owned), bytes(head), name))
    }

    /// The source, which can be read more than once, and the object that must be read for it.
    pub(crate) fn source(self, channel: &Arc<Channel>) -> (Source, Option<Value>) {
        let (source, object) = match self {
            Input::Path(path) => (Source::path(path), None),
            Input::Descriptor(file, head, name) => (Source::file_behind(head, file, name), None),
            Input::Reader(object, name) => (Source::reader(Reader::new(Arc::clone(channel)), name), Some(object)),
        };
        (source.spooled().cancelled_by(Arc::clone(&channel.cancel)), object)
    }
}

/// A copy of the string's bytes.
pub(crate) fn bytes(text: RString) -> Vec<u8> {
    // SAFETY: the bytes are copied before anything of Ruby's runs again.
    unsafe { text.as_slice() }.to_vec()
}
