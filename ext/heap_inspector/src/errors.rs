//! The library's errors as Ruby's exceptions.

use heap_inspector::{Error, ErrorKind};
use magnus::value::ReprValue;
use magnus::{Class, Error as Raised, Exception, ExceptionClass, Module, RModule, Ruby, kwargs};
use std::io;
use std::os::unix::ffi::OsStrExt;

/// The exception that Ruby users expect for `error`.
pub(crate) fn raised(ruby: &Ruby, error: &Error) -> Raised {
    exception(ruby, error).map_or_else(|failure| failure, Raised::from)
}

/// The table: which kind is which class. What the operating system says comes as its `Errno` class, as from `File.open`.
fn exception(ruby: &Ruby, error: &Error) -> Result<Exception, Raised> {
    let message = error.to_string();
    match error.kind() {
        ErrorKind::NotFound | ErrorKind::PermissionDenied | ErrorKind::Io => system(ruby, error),
        ErrorKind::Usage => ruby.exception_arg_error().new_instance((message,)),
        ErrorKind::Memory => ruby.exception_no_mem_error().new_instance((message,)),
        ErrorKind::Compression => class(ruby, "CompressionError")?.new_instance((message,)),
        ErrorKind::Format => {
            let (line, byte) = error.position().map(|place| (place.line, place.byte)).unzip();
            // The message has the position in front, where there is one.
            class(ruby, "FormatError")?.new_instance((message, kwargs!("line" => line, "byte" => byte)))
        }
        _ => class(ruby, "Error")?.new_instance((message,)),
    }
}

/// The exception for a failure of the system: `Errno::ENOENT` and the like.
fn system(ruby: &Ruby, error: &Error) -> Result<Exception, Raised> {
    let Error::File { path, source } = error else {
        return class(ruby, "Error")?.new_instance((error.to_string(),));
    };
    let number = source.raw_os_error().or(match source.kind() {
        io::ErrorKind::NotFound => Some(errno("ENOENT", ruby)?),
        io::ErrorKind::PermissionDenied => Some(errno("EACCES", ruby)?),
        io::ErrorKind::IsADirectory => Some(errno("EISDIR", ruby)?),
        _ => None,
    });
    match number {
        Some(number) => {
            let path = ruby.enc_str_new(path.as_os_str().as_bytes(), ruby.utf8_encoding());
            ruby.exception_system_call_error().new_instance((path, number))
        }
        None => ruby.exception_io_error().new_instance((error.to_string(),)),
    }
}

fn errno(name: &str, ruby: &Ruby) -> Result<i32, Raised> {
    let module: RModule = ruby.class_object().const_get("Errno")?;
    module.const_get::<_, ExceptionClass>(name)?.const_get("Errno")
}

/// The heap was closed.
pub(crate) fn closed(ruby: &Ruby) -> Raised {
    match class(ruby, "ClosedError") {
        Ok(class) => Raised::new(class, "the heap was closed"),
        Err(failure) => failure,
    }
}

/// A failure that is nobody's fault but ours.
pub(crate) fn internal(ruby: &Ruby, reason: &str) -> Raised {
    match class(ruby, "Error") {
        Ok(class) => Raised::new(class, format!("internal error, please report it: {reason}")),
        Err(failure) => failure,
    }
}

/// A class of `errors.rb`.
fn class(ruby: &Ruby, name: &str) -> Result<ExceptionClass, Raised> {
    let module: RModule = ruby.class_object().const_get("HeapInspector")?;
    let class: magnus::Value = module.const_get(name)?;
    ExceptionClass::from_value(class).ok_or_else(|| {
        Raised::new(ruby.exception_type_error(), format!("HeapInspector::{name} is {} now", class.inspect()))
    })
}

/// The exception of `errors.rb` that is called so.
pub(crate) fn named(ruby: &Ruby, name: &str, message: String) -> Raised {
    class(ruby, name).map_or_else(|failure| failure, |class| Raised::new(class, message))
}
