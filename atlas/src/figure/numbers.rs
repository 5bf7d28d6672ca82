//! The few numbers that figures compute for themselves.

/// The `share` quantile (0 to 1) of the finite values: the nearest one below. `None` without any.
pub(super) fn quantiles<const N: usize>(
    values: impl Iterator<Item = f64>,
    shares: [f64; N],
) -> Option<[f64; N]> {
    let mut sorted: Vec<f64> = values.filter(|value| value.is_finite()).collect();
    sorted.sort_by(f64::total_cmp);
    let last = sorted.len().checked_sub(1)?;
    Some(shares.map(|share| sorted[(share * last as f64) as usize]))
}

/// `R² = 1 − Σ(y − ŷ)² / Σ(y − ȳ)²` over the (measured, predicted) pairs; `None` where the measured
/// do not vary.
pub(super) fn r2(pairs: &[(f64, f64)]) -> Option<f64> {
    let mean = pairs.iter().map(|pair| pair.0).sum::<f64>() / pairs.len() as f64;
    let total: f64 = pairs.iter().map(|(measured, _)| (measured - mean).powi(2)).sum();
    let left: f64 = pairs.iter().map(|(measured, predicted)| (measured - predicted).powi(2)).sum();
    (total > 0.0).then(|| 1.0 - left / total)
}

/// A range with some width that holds the finite values; `[0, 1]` without any.
pub(super) fn range(values: impl Iterator<Item = f64>) -> [f64; 2] {
    widened(quantiles(values, [0.0, 1.0]).unwrap_or([0.0, 1.0]))
}

/// The range of colours: nearly all finite values, so that one outlier does not take them all.
pub(super) fn colour_range(values: impl Iterator<Item = f64>) -> [f64; 2] {
    widened(quantiles(values, [0.02, 0.98]).unwrap_or([0.0, 1.0]))
}

/// The same range, or one of some width about its only value.
fn widened([low, high]: [f64; 2]) -> [f64; 2] {
    if high > low {
        return [low, high];
    }
    let half = if low == 0.0 { 0.5 } else { low.abs() * 0.05 };
    [low - half, high + half]
}

/// `12,345`.
pub(super) fn with_commas(count: usize) -> String {
    let digits = count.to_string();
    let mut text = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// A number with a proper minus sign; never `−0.00`.
pub(super) fn decimal(value: f64, decimals: usize) -> String {
    let text = format!("{value:.decimals$}");
    match text.strip_prefix('-') {
        Some(digits) if digits.chars().all(|digit| matches!(digit, '0' | '.')) => digits.to_owned(),
        Some(digits) => format!("\u{2212}{digits}"),
        None => text,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::float_cmp)] // these answers are exact

    use super::*;

    #[test]
    fn r2_is_one_for_the_truth_and_zero_for_the_mean() {
        assert_eq!(r2(&[(1.0, 1.0), (2.0, 2.0), (4.0, 4.0)]), Some(1.0));
        assert_eq!(r2(&[(1.0, 2.0), (3.0, 2.0)]), Some(0.0));
        assert_eq!(r2(&[(1.0, 2.0), (1.0, 3.0)]), None);
        assert_eq!(r2(&[]), None);
    }

    #[test]
    fn quantiles_are_those_of_the_sorted_values() {
        let values = (0..=100).rev().map(f64::from).chain([f64::NAN, f64::INFINITY]);
        assert_eq!(quantiles(values, [0.0, 0.02, 0.5, 1.0]), Some([0.0, 2.0, 50.0, 100.0]));
        assert_eq!(quantiles(std::iter::empty(), [0.5]), None);
    }

    #[test]
    fn a_range_has_a_width() {
        assert_eq!(range([3.0, f64::NAN, 1.0].into_iter()), [1.0, 3.0]);
        assert_eq!(range(std::iter::once(0.0)), [-0.5, 0.5]);
        assert_eq!(range(std::iter::empty()), [0.0, 1.0]);
    }

    #[test]
    fn numbers_read_well() {
        assert_eq!(with_commas(7), "7");
        assert_eq!(with_commas(15347), "15,347");
        assert_eq!(decimal(-0.001, 2), "0.00");
        assert_eq!(decimal(-0.25, 2), "\u{2212}0.25");
    }
}
