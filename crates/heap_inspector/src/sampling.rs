//! How allocations were sampled, where heap_inspector's own tracer saw a part of them: what the dump's first line claims of it.
//!
//! It says in its JSON `"tracing":{"mode":"sampled","every":512}`. In the modes `sampled` and `continuous` one allocation of about `every`
//! was traced at all; in the mode `full` all were, and one of `every` has a stack. So an object that was sampled stands for `every`; in the
//! mode `continuous` that counts what was allocated between two windows.

use serde::Deserialize;

/// Fewer samples than this tell little: their number may be off by a third and more.
pub const FEW: u64 = 30;

/// What was sampled.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Mode {
    /// The stacks; lines are known of all traced objects.
    Full,
    /// Allocations, with line and stack.
    Sampled,
    /// The same, in short windows at random.
    Continuous,
}

impl Mode {
    /// Its word.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Mode::Full => "full",
            Mode::Sampled => "sampled",
            Mode::Continuous => "continuous",
        }
    }
}

/// How allocations were sampled.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, Deserialize)]
pub struct Sampling {
    /// What was sampled.
    pub mode: Mode,
    /// One allocation of so many, 2 or more.
    pub every: u64,
}

/// No tracer takes one of more.
const MOST: u64 = 1 << 32;

impl Sampling {
    /// What the JSON text of a dump's first line claims; none where all was seen, or where it claims nothing that can be.
    #[must_use]
    pub fn of(meta: &str) -> Option<Sampling> {
        #[derive(Deserialize)]
        struct Meta {
            tracing: serde_json::Value,
        }
        let tracing = serde_json::from_str::<Meta>(meta).ok()?.tracing;
        let sampling: Sampling = serde_json::from_value(tracing).ok()?;
        (2..=MOST).contains(&sampling.every).then_some(sampling)
    }

    /// Whether lines are known of samples alone.
    #[must_use]
    pub fn is_of_lines(self) -> bool {
        self.mode != Mode::Full
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn believes_only_what_can_be() {
        let told = |tracing: &str| Sampling::of(&format!("{{\"pid\":1,\"tracing\":{tracing}}}"));
        let some = |mode: Mode, every: u64| Some(Sampling { mode, every });
        assert_eq!(told(r#"{"mode":"sampled","every":512}"#), some(Mode::Sampled, 512));
        assert_eq!(told(r#"{"mode":"continuous","every":4096,"budget":0.01}"#), some(Mode::Continuous, 4096));
        assert_eq!(told(r#"{"mode":"full","every":512}"#), some(Mode::Full, 512));
        for other in [
            "true",
            "false",
            "null",
            "[]",
            "{}",
            r#"{"mode":"sampled"}"#,
            r#"{"mode":"sampled","every":1}"#,
            r#"{"mode":"sampled","every":0}"#,
            r#"{"mode":"sampled","every":-5}"#,
            r#"{"mode":"sampled","every":1e99}"#,
            r#"{"mode":"other","every":512}"#,
            r#"{"every":512}"#,
        ] {
            assert_eq!(told(other), None, "{other}");
        }
        assert_eq!(Sampling::of("{}"), None);
        assert_eq!(Sampling::of("no JSON"), None);
    }
}
