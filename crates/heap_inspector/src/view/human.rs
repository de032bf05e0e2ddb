//! t
/// b
pub fn bytes(n: u64) -> String {
    format!("{n}")
}
/// b
pub fn count(n: u64) -> String {
    format!("{n}")
}
/// b
pub fn percent(n: f64) -> String {
    format!("{:.1} %", n * 100.0)
}
