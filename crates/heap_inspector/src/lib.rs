//! Reads and explains Ruby heap dumps: what `ObjectSpace.dump_all` of Ruby 2.1 to 4.1 writes, plain or compressed by gzip, zstd or lz4.
//!
//! ```
//! use heap_inspector::analysis::groups::{self, Options};
//! use heap_inspector::keys::{Key, KeyValue};
//! use heap_inspector::scan;
//! use heap_inspector::source::Source;
//! use heap_inspector::view::{Format, TextStyle, render};
//!
//! # fn main() -> heap_inspector::Result<()> {
//! // What do the app's own files allocate, strings and arrays aside?
//! let source = Source::path("tests/dumps/ruby-3.4-x86_64.json.zst");
//! let options = Options {
//!     by: vec![Key::Class, Key::Location],
//!     filter: "gem=app,class!=String|Array".parse()?,
//!     limit: Some(3),
//!     ..Options::default()
//! };
//! let (groups, context) = groups::read(&source, &options, &scan::Options::default())?;
//!
//! // Values for programs ...
//! let first = &groups.groups[0];
//! assert_eq!(first.key[0], KeyValue::Text("Shop::Item".into()));
//! assert_eq!((first.sum.count, first.sum.memsize), (897, 35_880));
//!
//! // ... and a report for people, as text, JSON, Markdown or CSV.
//! let report = groups.report(source.name(), &options.filter, options.sort, &context);
//! print!("{}", render(&report, Format::Text, &TextStyle::default()));
//! # assert!(context.diagnostics.warnings.is_empty());
//! # Ok(())
//! # }
//! ```
//!
//! What may be asked at all stands in one list, [`questions`], of which the command line and other doors are made.
//!
//! Data goes one way: a [`source`] gives blocks of whole lines, a [`scan`] makes [`record`]s of them on several threads, and these end
//! in sums (the streaming functions `read` of each [`analysis`], in memory for the groups) or in a [`heap`], which keeps every object
//! and reference. A [`select::Filter`] says which objects count, [`keys`] what they are grouped by. An analysis gives a finished
//! value; its [`report`] is complete in itself, and a [`view`] writes it.
//!
//! Bad input is an [`Error`] or a counted warning ([`diagnostics::Diagnostics`]), never a panic. Nothing here prints.
#![forbid(unsafe_code)]

pub mod aggregate;
pub mod analysis;
mod arrays;
pub mod control;
pub mod diagnostics;
mod error;
pub mod export;
pub mod fleet;
pub mod gems;
pub mod graph;
pub mod heap;
pub mod heap_file;
pub mod human;
pub mod keys;
pub mod labels;
mod memory;
pub mod names;
pub mod page;
mod patterns;
pub mod properties;
pub mod questions;
pub mod record;
pub mod redact;
pub mod report;
pub mod ruby;
pub mod sampling;
pub mod scan;
pub mod select;
pub mod sink;
pub mod snapshot;
pub mod sort;
pub mod source;
pub mod stacks;
pub mod stored;
pub mod sums;
pub mod symbols;
pub mod threads;
pub mod view;

pub use error::{Error, ErrorKind, Position, Result};
