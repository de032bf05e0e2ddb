//! Reads and explains Ruby heap dumps.
#![forbid(unsafe_code)]

mod error;
pub mod record;
pub mod report;
pub mod source;
pub mod symbols;

pub use error::{Error, ErrorKind, Position, Result};
