//! What is known of each Ruby: which one wrote a dump, and how it lays out its heap's pages.
//!
//! Both come from the records alone. Facts about Ruby itself that are more than the dump's format stand here, once for all questions.

pub mod pages;
mod version;

pub use version::RubyVersion;
