//! t
pub mod human;
