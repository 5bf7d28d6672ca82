//! A perceptron with one hidden layer that tells from some numbers how probable something is.

use serde::{Deserialize, Serialize};

use super::groups::N_FEATURES;

/// How many units are hidden; several perceptrons made one have that many times as many.
pub(crate) const N_HIDDEN: usize = 32;

/// Numbers that are further from their mean, in standard deviations, than this are taken as that far: of what is
/// further, nothing was learned.
const FAR: f32 = 4.0;

/// What it learned.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Perceptron {
    /// Of each feature, over all that was learned from.
    pub(crate) mean: Vec<f32>,
    pub(crate) deviation: Vec<f32>,
    /// For each feature, the weight that it has in each hidden unit.
    pub(crate) hidden: Vec<Vec<f32>>,
    pub(crate) hidden_bias: Vec<f32>,
    pub(crate) out: Vec<f32>,
    pub(crate) out_bias: f32,
}

impl Perceptron {
    /// The logarithm of the odds: hidden units are sums of weighted features, or 0 if those are negative.
    pub(crate) fn logit(&self, features: &[f32; N_FEATURES]) -> f32 {
        let values = self.standardised(features);
        let mut logit = self.out_bias;
        for from in (0..self.out.len()).step_by(N_HIDDEN) {
            let part = from..from + N_HIDDEN;
            let mut sums = [0.0; N_HIDDEN];
            sums.copy_from_slice(&self.hidden_bias[part.clone()]);
            for (value, weights) in values.into_iter().zip(&self.hidden) {
                let weights = &weights[part.clone()];
                sums.iter_mut().zip(weights).for_each(|(sum, weight)| *sum += value * weight);
            }
            let hidden =
                sums.iter().zip(&self.out[part]).map(|(sum, weight)| sum.max(0.0) * weight);
            logit += hidden.sum::<f32>();
        }
        logit
    }

    /// Features in standard deviations from their means.
    pub(crate) fn standardised(&self, features: &[f32; N_FEATURES]) -> [f32; N_FEATURES] {
        let mut values = *features;
        let scales = self.mean.iter().zip(&self.deviation);
        values.iter_mut().zip(scales).for_each(|(value, (mean, deviation))| {
            *value = ((*value - mean) / deviation).clamp(-FAR, FAR);
        });
        values
    }

    /// Whether it has the layers that it should.
    pub(crate) fn is_whole(&self) -> bool {
        let of_features = [self.mean.len(), self.deviation.len(), self.hidden.len()];
        let n_hidden = self.out.len();
        of_features == [N_FEATURES; 3]
            && n_hidden > 0
            && n_hidden.is_multiple_of(N_HIDDEN)
            && self.hidden_bias.len() == n_hidden
            && self.hidden.iter().all(|weights| weights.len() == n_hidden)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::joining::Joining;

    #[test]
    fn two_of_a_kind_made_one_say_what_each_of_them_says() {
        /// Sums in another order, of single precision.
        const SINGLE: f32 = 1e-3;
        let Joining(one) = Joining::shipped().unwrap();
        let mut two = one.clone();
        two.hidden.iter_mut().for_each(|weights| weights.extend_from_within(..));
        two.hidden_bias.extend_from_within(..);
        two.out.extend_from_within(..);
        two.out.iter_mut().for_each(|weight| *weight *= 0.5);
        assert!(one.is_whole() && two.is_whole());
        for step in 0..50 {
            let away = |k: usize| (step as f32 * (k as f32 + 0.7)).sin() * FAR;
            let features = std::array::from_fn(|k| one.mean[k] + one.deviation[k] * away(k));
            let [found, wanted] = [two.logit(&features), one.logit(&features)];
            assert!((found - wanted).abs() < SINGLE * wanted.abs().max(1.0), "{found}, {wanted}");
        }
    }
}
