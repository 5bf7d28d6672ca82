//! A perceptron with one hidden layer that tells from some numbers how probable something is.

use serde::{Deserialize, Serialize};

use super::groups::N_FEATURES;

/// How many units are hidden.
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
        let mut sums = [0.0; N_HIDDEN];
        sums.copy_from_slice(&self.hidden_bias);
        for (value, weights) in self.standardised(features).into_iter().zip(&self.hidden) {
            sums.iter_mut().zip(weights).for_each(|(sum, weight)| *sum += value * weight);
        }
        let hidden = sums.iter().zip(&self.out).map(|(sum, weight)| sum.max(0.0) * weight);
        hidden.sum::<f32>() + self.out_bias
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
        let of_hidden = [self.hidden_bias.len(), self.out.len()];
        of_features == [N_FEATURES; 3]
            && of_hidden == [N_HIDDEN; 2]
            && self.hidden.iter().all(|weights| weights.len() == N_HIDDEN)
    }
}
