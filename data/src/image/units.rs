//! Lengths as image files write them.

/// How many µm one `unit` is; `None` for what is no length (`pixel`, `reference frame`, nothing).
///
/// Knows the length units of OME (2016-06 schema), the words `ImageJ` writes, escaped (`\u00B5m`)
/// and wrongly decoded (`Âµm`) micro signs.
pub(super) fn um_per(unit: &str) -> Option<f64> {
    let unit = unit.trim().trim_end_matches('\0').replace("\\u00B5", "µ").replace("\\u00b5", "µ");
    let unit = unit.replace('\u{3bc}', "µ").replace("Âµ", "µ");
    let um = match unit.as_str() {
        "Ym" => 1e30,
        "Zm" => 1e27,
        "Em" => 1e24,
        "Pm" => 1e21,
        "Tm" => 1e18,
        "Gm" => 1e15,
        "Mm" => 1e12,
        "km" => 1e9,
        "hm" => 1e8,
        "dam" => 1e7,
        "m" => 1e6,
        "dm" => 1e5,
        "cm" => 1e4,
        "mm" => 1e3,
        "µm" | "um" | "µ" | "\u{fffd}m" => 1.0,
        "nm" => 1e-3,
        "pm" => 1e-6,
        "fm" => 1e-9,
        "am" => 1e-12,
        "zm" => 1e-15,
        "ym" => 1e-18,
        "Å" | "\u{212b}" => 1e-4,
        "thou" | "mil" => 25.4,
        "li" => 25_400.0 / 12.0,
        "in" | "\"" => 25_400.0,
        "ft" => 304_800.0,
        "yd" => 914_400.0,
        "mi" => 1_609_344_000.0,
        "pt" => 25_400.0 / 72.0,
        _ => return um_per_word(&unit.to_lowercase()),
    };
    Some(um)
}

fn um_per_word(word: &str) -> Option<f64> {
    let singular = word.strip_suffix('s').unwrap_or(word);
    match singular {
        "meter" | "metre" => Some(1e6),
        "centimeter" | "centimetre" => Some(1e4),
        "millimeter" | "millimetre" => Some(1e3),
        "micron" | "micrometer" | "micrometre" | "µm" | "um" => Some(1.0),
        "nanometer" | "nanometre" => Some(1e-3),
        "picometer" | "picometre" => Some(1e-6),
        "angstrom" | "ångström" => Some(1e-4),
        "inch" | "inche" => Some(25_400.0),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_micrometre_has_many_spellings() {
        for unit in ["µm", "\u{3bc}m", "um", "micron", "microns", "\\u00B5m", "Âµm", "Micrometer"]
        {
            assert_eq!(um_per(unit), Some(1.0), "{unit}");
        }
    }

    #[test]
    fn si_prefixes_keep_their_case() {
        assert_eq!(um_per("mm"), Some(1e3));
        assert_eq!(um_per("Mm"), Some(1e12));
        assert_eq!(um_per("inch"), um_per("in"));
    }

    #[test]
    fn pixels_are_no_length() {
        for unit in ["pixel", "pixels", "", "reference frame", "sec"] {
            assert_eq!(um_per(unit), None, "{unit}");
        }
    }
}
