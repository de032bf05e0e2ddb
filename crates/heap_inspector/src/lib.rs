//! Reads and explains Ruby heap dumps.
#![forbid(unsafe_code)]

pub mod analysis;
mod error;
pub mod gems;
pub mod heap;
pub mod keys;
pub mod names;
pub mod record;
pub mod redact;
pub mod report;
pub mod scan;
pub mod select;
pub mod sink;
pub mod source;
pub mod survey;
pub mod symbols;
pub mod view;

pub use error::{Error, ErrorKind, Position, Result};
