//! Values counted, of any number of parts of an image in any order.

use rayon::prelude::*;

/// Values are counted by their upper bits, which are right to a hundredth.
const BITS: u32 = 16;

/// Counts values (not NaN), of any number of parts in any order.
#[derive(Clone, Debug)]
pub(crate) struct Histogram(Vec<u64>);

impl Histogram {
    pub(crate) fn new() -> Self {
        Self(vec![0; 1 << BITS])
    }

    pub(crate) fn add<T: Copy + Into<f32> + Sync>(&mut self, values: &[T]) {
        const CHUNK: usize = 1 << 18;
        let counted = values.par_chunks(CHUNK).fold(Self::new, |mut counts, chunk| {
            for &value in chunk {
                counts.0[(ordered(value.into()) >> BITS) as usize] += 1;
            }
            counts
        });
        let counted = counted.reduce(Self::new, |mut sum, counts| {
            sum.0.iter_mut().zip(counts.0).for_each(|(sum, count)| *sum += count);
            sum
        });
        self.0.iter_mut().zip(counted.0).for_each(|(sum, count)| *sum += count);
    }

    pub(super) fn count(&self) -> u64 {
        self.0.iter().sum()
    }

    pub(super) fn add_weighted(&mut self, value: f32, weight: u64) {
        self.0[(ordered(value) >> BITS) as usize] += weight;
    }

    /// The value, rounded down, that a share of all does not exceed.
    pub(super) fn quantile(&self, share: f64) -> f32 {
        let rank = (self.count() as f64 * share) as u64;
        let mut up_to = 0;
        let above = self.0.iter().position(|&count| {
            up_to += count;
            up_to > rank
        });
        from_ordered((above.unwrap_or(0) as u32) << BITS)
    }
}

/// Bits that are in the order of the values.
fn ordered(value: f32) -> u32 {
    let bits = value.to_bits();
    if bits >> 31 > 0 { !bits } else { bits | 1 << 31 }
}

fn from_ordered(bits: u32) -> f32 {
    f32::from_bits(if bits >> 31 > 0 { bits & !(1 << 31) } else { !bits })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn of(parts: &[&[f32]]) -> Histogram {
        let mut histogram = Histogram::new();
        parts.iter().for_each(|part| histogram.add(part));
        histogram
    }

    proptest! {
        #[test]
        fn a_quantile_is_the_value_of_its_rank_to_a_hundredth(
            values in prop::collection::vec(prop_oneof![-1e9..1e9_f32, -3.0..3.0_f32, Just(2.5)], 1..900),
            share in 0.0..1.0_f64,
            cut in 0..900_usize,
        ) {
            let mut sorted = values.clone();
            sorted.sort_unstable_by(f32::total_cmp);
            let wanted = sorted[(values.len() as f64 * share) as usize];
            let found = of(&[&values]).quantile(share);
            prop_assert!((found - wanted).abs() <= 0.01 * wanted.abs(), "{found}, wanted {wanted}");
            let (some, others) = values.split_at(cut.min(values.len()));
            prop_assert_eq!(of(&[others, some]).quantile(share), found);
        }
    }

    #[test]
    fn a_weight_counts_as_so_many_values() {
        let mut weighted = Histogram::new();
        weighted.add_weighted(2.0, 3);
        weighted.add_weighted(1.0, 2);
        assert_eq!(weighted.count(), 5);
        for share in [0.1, 0.3, 0.5, 0.9] {
            assert_eq!(weighted.quantile(share), of(&[&[1.0, 1.0, 2.0, 2.0, 2.0]]).quantile(share));
        }
    }
}
