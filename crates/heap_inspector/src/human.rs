//! Numbers as a person reads them.

/// Bytes in the unit that fits: `512 B`, `1.5 MiB`.
///
/// ```
/// use heap_inspector::human::bytes;
/// assert_eq!(bytes(1_572_864), "1.5 MiB");
/// ```
#[must_use]
pub fn bytes(bytes: u64) -> String {
    if bytes < 1024 {
        return format!("{bytes} B");
    }
    let mut value = bytes as f64;
    let mut unit = "B";
    for next in ["KiB", "MiB", "GiB", "TiB", "PiB", "EiB"] {
        value /= 1024.0;
        unit = next;
        if value < 1023.95 {
            break; // from there on it would read 1024.0
        }
    }
    format!("{value:.1} {unit}")
}

/// A count with its thousands apart: `12,345`.
#[must_use]
pub fn count(count: u64) -> String {
    let digits = count.to_string();
    let mut grouped = String::with_capacity(digits.len() + digits.len() / 3);
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped
}

/// How much is more or less for each unit of something: `+1.00`, `-0.25`, `+0.0031`.
#[must_use]
pub fn rate(each: f64) -> String {
    match each.abs() {
        amount if amount >= 1000.0 => format!("{}{}", if each < 0.0 { "-" } else { "+" }, count(amount.round() as u64)),
        amount if amount == 0.0 || amount >= 0.01 => format!("{each:+.2}"),
        amount if amount >= 0.00005 => format!("{each:+.4}"),
        amount if amount.is_nan() => "-".into(),
        _ => format!("{each:+.0e}"),
    }
}

/// Bytes for each unit of something, which may be parts of one: `913 B`, `0.4 B`.
#[must_use]
pub fn bytes_each(each: f64) -> String {
    let sign = if each < 0.0 { "-" } else { "" };
    match each.abs() {
        amount if amount > 0.0 && amount < 9.95 => format!("{sign}{amount:.1} B"),
        amount => format!("{sign}{}", bytes(amount.round() as u64)),
    }
}

/// A part of a whole in percent: `34.5 %`. What is not nothing never reads `0.0 %`, what is not all never `100.0 %`.
#[must_use]
pub fn percent(share: f64) -> String {
    let percent = share * 100.0;
    if percent.is_nan() {
        "-".into()
    } else if percent > 0.0 && percent < 0.05 {
        "< 0.1 %".into()
    } else if (99.95..100.0).contains(&percent) {
        "> 99.9 %".into()
    } else {
        format!("{percent:.1} %")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_take_the_unit_that_fits() {
        let pairs = [
            (0, "0 B"),
            (1023, "1023 B"),
            (1024, "1.0 KiB"),
            (1_048_524, "1023.9 KiB"),
            (1_048_575, "1.0 MiB"),
            (33_700_000, "32.1 MiB"),
            (1 << 30, "1.0 GiB"),
            (u64::MAX, "16.0 EiB"),
        ];
        for (number, text) in pairs {
            assert_eq!(bytes(number), text);
        }
    }

    #[test]
    fn counts_keep_thousands_apart() {
        for (number, text) in [(0, "0"), (999, "999"), (1000, "1,000"), (12_345, "12,345"), (1_234_567, "1,234,567")] {
            assert_eq!(count(number), text);
        }
        assert_eq!(count(u64::MAX), "18,446,744,073,709,551,615");
    }

    #[test]
    fn rates_have_a_sign_and_bytes_of_them_may_be_parts() {
        let pairs = [
            (1.0, "+1.00"),
            (-0.25, "-0.25"),
            (0.0031, "+0.0031"),
            (0.0, "+0.00"),
            (12_345.6, "+12,346"),
            (f64::NAN, "-"),
        ];
        for (number, text) in pairs {
            assert_eq!(rate(number), text);
        }
        let pairs = [(913.2, "913 B"), (0.41, "0.4 B"), (0.0, "0 B"), (-2048.0, "-2.0 KiB"), (f64::NAN, "0 B")];
        for (number, text) in pairs {
            assert_eq!(bytes_each(number), text);
        }
    }

    #[test]
    fn percents_do_not_round_to_nothing_or_all() {
        let pairs = [
            (0.0, "0.0 %"),
            (0.000_001, "< 0.1 %"),
            (0.0005, "0.1 %"),
            (0.345, "34.5 %"),
            (0.9994, "99.9 %"),
            (0.999_9, "> 99.9 %"),
            (1.0, "100.0 %"),
            (f64::NAN, "-"),
        ];
        for (share, text) in pairs {
            assert_eq!(percent(share), text);
        }
    }
}
