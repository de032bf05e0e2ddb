//! What an allocation tracer for Ruby knows, without Ruby: where living objects were allocated, by which stack, and when.
//!
//! The extension calls it from Ruby's hooks, in the middle of an allocation or a collection. So it takes no lock, makes no Ruby object,
//! and does not panic; what has no room is not kept, and counted.

pub mod annotate;
pub mod distance;
pub mod numbered;
pub mod pages;
pub mod profile;
pub mod rhythm;
pub mod sites;
pub mod stacks;
pub mod texts;
pub mod tracer;
pub mod weak;
