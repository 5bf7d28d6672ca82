//! Learns the weights: crops, loss, Adam, and checkpoints to go on from.

use candle_core::{Device, Tensor, Var};
use serde::{Deserialize, Serialize};

use super::Boundary;
use super::chance::{Purpose, stream};
use super::conv3d::with_values;
use super::samples::{Crop, Labelled, Samples};
use super::unet::{LAYERS, UNet};
use super::weights::{self, Tensors};
use crate::error::{Result, SegmentError};

/// How a network is trained.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Recipe {
    /// Decides the first weights, the phantoms and the crops.
    pub seed: u64,
    /// How often weights are changed.
    pub steps: u64,
    /// Crops per step.
    pub crops: usize,
    /// Voxels of a crop along z, y and x, on the grid on which the network works.
    pub crop: [usize; 3],
    /// The largest change of a weight per step; it rises over the first steps and falls towards the last.
    pub learning_rate: f64,
}

impl Default for Recipe {
    fn default() -> Self {
        Self { seed: 1, steps: 6000, crops: 8, crop: [16, 48, 48], learning_rate: 2e-3 }
    }
}

impl Recipe {
    fn check(&self) -> Result<()> {
        /// A crop has at least this many voxels along an axis.
        const LEAST: usize = 4;
        let positive = |name, value: f64| {
            if value > 0.0 && value.is_finite() {
                return Ok(());
            }
            Err(SegmentError::Parameter { name, value, wanted: "positive and finite" })
        };
        positive("steps", self.steps as f64)?;
        positive("crops", self.crops as f64)?;
        positive("learning_rate", self.learning_rate)?;
        for side in self.crop {
            if !(LEAST..=512).contains(&side) {
                let (value, wanted) = (side as f64, "from 4 to 512 voxels along each axis");
                return Err(SegmentError::Parameter { name: "crop", value, wanted });
            }
        }
        Ok(())
    }

    /// The learning rate at a step: rises over the first steps, then falls along a cosine
    /// (Loshchilov & Hutter 2017, arXiv:1608.03983).
    fn learning_rate_at(&self, step: u64) -> f64 {
        const WARM_UP: f64 = 100.0;
        const LAST: f64 = 0.02;
        let rise = ((step + 1) as f64 / WARM_UP.min(0.1 * self.steps as f64).max(1.0)).min(1.0);
        let fall = 0.5 + 0.5 * (std::f64::consts::PI * step as f64 / self.steps as f64).cos();
        self.learning_rate * rise * (LAST + (1.0 - LAST) * fall)
    }
}

/// How well a network does on crops that it does not learn from.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Validation {
    /// The loss, as in training.
    pub loss: f64,
    /// Overlap of answer and target, 2 Σ pt / Σ (p² + t²), 0 to 1 (Milletari et al. 2016, arXiv:1606.04797).
    pub dice: f64,
}

/// A training that has come some way.
pub struct Training {
    recipe: Recipe,
    samples: Samples,
    step: u64,
    weights: Vec<Vec<f32>>,
    adam: Adam,
}

/// Adam's memory (Kingma & Ba 2015, arXiv:1412.6980).
struct Adam {
    mean: Vec<Vec<f32>>,
    square: Vec<Vec<f32>>,
}

impl Training {
    /// Begins with random weights, or with those of `start`. Crops are of phantoms; every other one is of `labelled` images, if there are any.
    ///
    /// # Errors
    /// [`SegmentError::Parameter`] if the recipe makes no sense.
    pub fn new(recipe: Recipe, labelled: Vec<Labelled>, start: Option<&Boundary>) -> Result<Self> {
        recipe.check()?;
        let net = match start {
            Some(boundary) => boundary.net.clone(),
            None => UNet::random(&mut stream(recipe.seed, Purpose::Weights, 0))?,
        };
        let weights = weights::flat(&net)?;
        let zeros = || weights.iter().map(|values| vec![0.0; values.len()]).collect();
        let adam = Adam { mean: zeros(), square: zeros() };
        let samples = Samples::new(recipe.seed, recipe.crop, labelled);
        Ok(Self { recipe, samples, step: 0, weights, adam })
    }

    /// Goes on from a [`Training::checkpoint`]; `labelled` must be what it was.
    ///
    /// # Errors
    /// [`SegmentError::NotWeights`] and the like if `bytes` are no checkpoint.
    pub fn resume(bytes: &[u8], labelled: Vec<Labelled>) -> Result<Self> {
        let tensors = Tensors::read(bytes)?;
        let progress: Progress = tensors.note()?;
        progress.recipe.check()?;
        let read = |prefix: &str| tensors.layers(prefix);
        Ok(Self {
            samples: Samples::new(progress.recipe.seed, progress.recipe.crop, labelled),
            weights: read("")?,
            adam: Adam { mean: read("mean.")?, square: read("square.")? },
            step: progress.step,
            recipe: progress.recipe,
        })
    }

    /// All that is needed to go on, as safetensors.
    ///
    /// # Errors
    /// [`SegmentError::NotWeights`] if they cannot be written as such.
    pub fn checkpoint(&self) -> Result<Vec<u8>> {
        let progress = Progress { recipe: self.recipe.clone(), step: self.step };
        let parts = [("", &self.weights), ("mean.", &self.adam.mean), ("square.", &self.adam.square)];
        weights::write(&parts, &progress)
    }

    /// The network as it is now.
    ///
    /// # Errors
    /// [`SegmentError::Network`] if memory runs out.
    pub fn boundary(&self) -> Result<Boundary> {
        Ok(Boundary { net: weights::network(&self.weights)?, recipe: Some(self.recipe.clone()) })
    }

    /// The recipe.
    pub fn recipe(&self) -> &Recipe {
        &self.recipe
    }

    /// How many steps are done.
    pub fn step(&self) -> u64 {
        self.step
    }

    /// Whether all steps are done.
    pub fn is_done(&self) -> bool {
        self.step >= self.recipe.steps
    }

    /// Takes a step and gives the loss before it: the mean over all voxels of the cross-entropy of
    /// target and answer, less that of the target with itself.
    ///
    /// # Errors
    /// [`SegmentError::Diverged`] if the loss is no number any more.
    pub fn advance(&mut self) -> Result<f64> {
        let crops = self.samples.batch(self.step, self.recipe.crops)?;
        let vars = weights::variables(&self.weights)?;
        let net = UNet::new(vars.iter().map(|pair| pair.each_ref().map(|var| var.as_tensor().clone())).collect());
        let loss = loss_of(&net, &crops)?;
        let value = f64::from(loss.to_scalar::<f32>()?);
        if !value.is_finite() {
            return Err(SegmentError::Diverged { step: self.step });
        }
        let gradients = loss.backward()?;
        let gradient = |var: &Var| match gradients.get(var) {
            Some(gradient) => with_values(gradient, <[f32]>::to_vec),
            None => Ok(vec![0.0; var.elem_count()]),
        };
        let slopes = vars.iter().flatten().map(gradient).collect::<candle_core::Result<Vec<_>>>()?;
        self.step += 1;
        self.adam.change(
            &mut self.weights,
            slopes,
            self.step,
            self.recipe.learning_rate_at(self.step - 1),
        );
        Ok(value - entropy(&crops)?)
    }

    /// Asks the network about `n_crops` crops of phantoms that no step sees.
    ///
    /// # Errors
    /// [`SegmentError::Network`] if memory runs out.
    pub fn validation(&mut self, crops: &ValidationCrops) -> Result<Validation> {
        let net = weights::network(&self.weights)?;
        let loss = f64::from(loss_of(&net, &crops.0)?.to_scalar::<f32>()?) - entropy(&crops.0)?;
        let (mut both, mut each) = (0.0, 0.0);
        for crop in &crops.0 {
            let answer = net.logits(&crop.input, crop.steps)?;
            with_values(&answer, |answer| {
                with_values(&crop.target, |target| {
                    for (&logit, &target) in answer.iter().zip(target) {
                        let (p, t) = (f64::from(probability(logit)), f64::from(target));
                        both += 2.0 * p * t;
                        each += p * p + t * t;
                    }
                })
            })??;
        }
        Ok(Validation { loss, dice: both / f64::max(each, f64::MIN_POSITIVE) })
    }

    /// The crops for [`Training::validation`].
    ///
    /// # Errors
    /// [`SegmentError::Data`] if a phantom cannot be made.
    pub fn validation_crops(&mut self, n_crops: usize) -> Result<ValidationCrops> {
        Ok(ValidationCrops(self.samples.validation(n_crops)?))
    }
}

/// Crops of phantoms that no step sees.
pub struct ValidationCrops(Vec<Crop>);

/// What a checkpoint says besides its numbers.
#[derive(Serialize, Deserialize)]
struct Progress {
    recipe: Recipe,
    step: u64,
}

/// The probability of a logit.
pub(crate) fn probability(logit: f32) -> f32 {
    1.0 / (1.0 + (-logit).exp())
}

/// The mean cross-entropy over all voxels of all crops.
fn loss_of(net: &UNet, crops: &[Crop]) -> Result<Tensor> {
    let mut kinds: Vec<_> = crops.iter().map(|crop| crop.steps).collect();
    kinds.sort_unstable();
    kinds.dedup();
    let mut total = Tensor::zeros((), candle_core::DType::F32, &Device::Cpu)?;
    let mut n_voxels = 0;
    for steps in kinds {
        let of_kind: Vec<&Crop> = crops.iter().filter(|crop| crop.steps == steps).collect();
        let input = Tensor::cat(&of_kind.iter().map(|crop| &crop.input).collect::<Vec<_>>(), 0)?;
        let target = Tensor::cat(&of_kind.iter().map(|crop| &crop.target).collect::<Vec<_>>(), 0)?;
        let logits = net.logits(&input, steps)?;
        // −t ln p − (1 − t) ln (1 − p) of p = 1 / (1 + e^−l) is max(l, 0) − l t + ln(1 + e^−|l|).
        let rest = (logits.abs()?.neg()?.exp()? + 1.0)?.log()?;
        let loss = ((logits.relu()? - (&logits * &target)?)? + rest)?;
        total = (total + loss.sum_all()?)?;
        n_voxels += target.elem_count();
    }
    Ok((total / n_voxels.max(1) as f64)?)
}

/// What the loss of a perfect answer would be.
fn entropy(crops: &[Crop]) -> Result<f64> {
    let (mut sum, mut n) = (0.0, 0);
    for crop in crops {
        with_values(&crop.target, |target| {
            for &t in target.iter().filter(|&&t| t > 0.0 && t < 1.0) {
                let t = f64::from(t);
                sum -= t * t.ln() + (1.0 - t) * (1.0 - t).ln();
            }
            n += target.len();
        })?;
    }
    Ok(sum / f64::from(n.max(1) as u32))
}

impl Adam {
    /// Changes weights against their slopes; slopes longer than 1 altogether are shortened.
    fn change(&mut self, weights: &mut [Vec<f32>], slopes: Vec<Vec<f32>>, step: u64, rate: f64) {
        const KEEP: [f64; 2] = [0.9, 0.999];
        const LEAST: f64 = 1e-8;
        let square: f64 = slopes.iter().flatten().map(|&slope| f64::from(slope).powi(2)).sum();
        let shorten = 1.0 / square.sqrt().max(1.0);
        let [of_mean, of_square] = KEEP.map(|keep| 1.0 - keep.powi(step.min(100_000) as i32));
        for (((weights, slopes), mean), square) in
            weights.iter_mut().zip(slopes).zip(&mut self.mean).zip(&mut self.square)
        {
            for (((weight, slope), mean), square) in
                weights.iter_mut().zip(slopes).zip(mean).zip(square)
            {
                let slope = f64::from(slope) * shorten;
                let m = KEEP[0] * f64::from(*mean) + (1.0 - KEEP[0]) * slope;
                let s = KEEP[1] * f64::from(*square) + (1.0 - KEEP[1]) * slope * slope;
                let change = rate * (m / of_mean) / ((s / of_square).sqrt() + LEAST);
                (*mean, *square) = (m as f32, s as f32);
                *weight = (f64::from(*weight) - change) as f32;
            }
        }
    }
}

/// How many numbers a network learns.
pub fn n_weights() -> usize {
    LAYERS.iter().flat_map(super::unet::Layer::shapes).map(|shape| shape.iter().product::<usize>()).sum()
}
