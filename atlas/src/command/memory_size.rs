//! Amounts of memory as they are typed: `4G`, `500M`, `4GiB`.

/// Bytes: k, M, G and T count in thousands, Ki, Mi, Gi and Ti in 1024s; a B may follow.
pub(super) fn parse_memory(text: &str) -> Result<u64, String> {
    let wrong = || format!("{text:?} is no amount of memory, such as 4G, 500M or 4GiB");
    let trimmed = text.trim();
    let digits = trimmed.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(trimmed.len());
    let (number, unit) = trimmed.split_at(digits);
    let number: f64 = number.parse().map_err(|_| wrong())?;
    let unit = unit.trim().to_lowercase();
    let factor = match unit.strip_suffix('b').unwrap_or(&unit) {
        "" => 1.0,
        "k" => 1e3,
        "m" => 1e6,
        "g" => 1e9,
        "t" => 1e12,
        "ki" => 1024.0,
        "mi" => 1_048_576.0,
        "gi" => 1_073_741_824.0,
        "ti" => 1_099_511_627_776.0,
        _ => return Err(wrong()),
    };
    Ok((number * factor) as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_have_units() {
        for (text, bytes) in [
            ("4G", 4_000_000_000),
            ("500M", 500_000_000),
            ("500 MB", 500_000_000),
            ("4GiB", 4_294_967_296),
            ("1.5gi", 1_610_612_736),
            ("12345", 12_345),
        ] {
            assert_eq!(parse_memory(text), Ok(bytes), "{text}");
        }
        for wrong in ["", "G", "4X", "-4G", "four"] {
            assert!(parse_memory(wrong).unwrap_err().contains("500M"), "{wrong}");
        }
    }
}
