//! Many dumps at once: summaries of a fleet's processes as one table, and the inbox of what leaks in it.
//!
//! Names of files go in; those that are no summaries are left out and told. What is asked of the rest is SQL, in words that DuckDB and Spark
//! understand alike, so that nothing here holds more than an answer: engines group what thousands of processes wrote. The answer, rows of
//! JSON, comes back and becomes a report.

pub mod files;
mod inbox;
pub mod sql;

pub use inbox::{Inbox, report};
