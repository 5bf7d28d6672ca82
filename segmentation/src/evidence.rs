//! Evidence for sheets, in half precision.

use half::f16;

/// Evidence at one voxel, not negative: eleven binary digits are more than noise leaves, and half the memory.
#[derive(Clone, Copy, Debug, Default, PartialEq, PartialOrd)]
pub(crate) struct Evidence(f16);

impl Evidence {
    /// How many whole steps evidence of 1 is.
    pub(crate) const STEPS: f64 = 512.0;

    #[inline]
    pub(crate) fn new(value: f32) -> Self {
        Self(f16::from_f32(value))
    }

    #[inline]
    pub(crate) fn value(self) -> f32 {
        self.0.to_f32()
    }

    pub(crate) fn bits(self) -> u16 {
        self.0.to_bits()
    }

    pub(crate) fn from_bits(bits: u16) -> Self {
        Self(f16::from_bits(bits))
    }
}

/// In whole steps, for the flood.
impl From<Evidence> for u32 {
    #[inline]
    fn from(evidence: Evidence) -> Self {
        (evidence.value() * Evidence::STEPS as f32).min(4095.0) as u32
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn three_digits_stay(value in 1e-4..8.0_f32) {
            prop_assert!((Evidence::new(value).value() / value - 1.0).abs() < 5e-4);
        }
    }

    #[test]
    fn strong_evidence_ends_at_the_highest_level() {
        let level = |value| u32::from(Evidence::new(value));
        assert_eq!([0.0, 0.5, 1.0, 8.0, 1e4].map(level), [0, 256, 512, 4095, 4095]);
    }
}
