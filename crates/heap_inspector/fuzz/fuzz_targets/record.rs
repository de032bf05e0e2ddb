//! Any bytes as a line: the scanner must not fail, and where serde_json reads the line too, both must read the same.
#![no_main]

#[path = "../../tests/twin/mod.rs"]
mod twin;

use heap_inspector::record::Record;
use heap_inspector::record::repair::{Repair, repair};
use heap_inspector::record::scan::Scanner;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let (mut record, mut references) = (Record::default(), Vec::new());
    let scanned = Scanner::default().scan(bytes, &mut record, &mut references);
    match scanned {
        Some(scanned) if scanned.bytes == bytes.len() => {
            if let Some(expected) = twin::twin(bytes)
                && !repeats_a_key(bytes)
            {
                assert_eq!(twin::plain(&record, &references), expected);
            }
        }
        _ => match repair(bytes) {
            Repair::Normalized(line) | Repair::Repaired(line) => {
                let (mut record, mut references) = (Record::default(), Vec::new());
                if Scanner::default().scan(&line, &mut record, &mut references).is_some()
                    && let Some(expected) = twin::twin(bytes)
                    && !repeats_a_key(bytes)
                {
                    assert_eq!(twin::plain(&record, &references), expected);
                }
            }
            Repair::Lost(_) => {}
        },
    }
});

/// JSON leaves open what a repeated key means; a quote and a colon more often than there are keys in the tree tell one.
fn repeats_a_key(bytes: &[u8]) -> bool {
    let keys = serde_json::from_slice::<serde_json::Map<String, serde_json::Value>>(bytes);
    let Ok(keys) = keys else { return false };
    let both = |one: &str, other: &str| keys.contains_key(one) && keys.contains_key(other);
    let marks = bytes.windows(2).filter(|pair| pair == b"\":").count();
    let nested = keys.get("flags").and_then(|flags| flags.as_object()).map_or(0, |flags| flags.len());
    both("size", "length") || both("complex_shape", "too_complex_shape") || marks > keys.len() + nested
}
