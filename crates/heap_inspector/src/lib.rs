//! Reads and explains Ruby heap dumps.
#![forbid(unsafe_code)]

mod error;
pub mod report;

pub use error::{Error, ErrorKind, Position, Result};
