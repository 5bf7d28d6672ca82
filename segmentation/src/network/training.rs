//! Learns the weights: crops, loss, Adam, and checkpoints to go on from.

use candle_core::{Device, Tensor, Var};
use serde::{Deserialize, Serialize};

use super::Boundary;
use super::chance::{Purpose, stream};
use super::conv3d::with_values;
use super::samples::{Crop, Labelled, Samples};
use super::unet::{LAYERS, UNet};
use super::weights::{self, Tensors};
use crate::adam::Adam;
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
    /// How the weights to begin with came about; none if they were random, or if nobody knows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub start: Option<Box<Recipe>>,
}

impl Default for Recipe {
    fn default() -> Self {
        Self {
            seed: 1,
            steps: 6000,
            crops: 4,
            crop: [16, 48, 48],
            learning_rate: 1e-3,
            start: None,
        }
    }
}

impl Recipe {
    pub(crate) fn check(&self) -> Result<()> {
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

impl Training {
    /// Begins with random weights, or with those of `start`. Crops are of phantoms; every other one is of `labelled` images, if there are any.
    ///
    /// # Errors
    /// [`SegmentError::Parameter`] if the recipe makes no sense.
    pub fn new(
        mut recipe: Recipe,
        labelled: Vec<Labelled>,
        start: Option<&Boundary>,
    ) -> Result<Self> {
        recipe.check()?;
        recipe.start = start.and_then(Boundary::recipe).cloned().map(Box::new);
        let net = match start {
            Some(boundary) => boundary.net.clone(),
            None => UNet::random(&mut stream(recipe.seed, Purpose::Weights, 0))?,
        };
        let weights = weights::flat(&net)?;
        let adam = Adam::new(&weights);
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
        let parts =
            [("", &self.weights), ("mean.", &self.adam.mean), ("square.", &self.adam.square)];
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
        let net = UNet::new(
            vars.iter().map(|pair| pair.each_ref().map(|var| var.as_tensor().clone())).collect(),
        );
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
        let slopes =
            vars.iter().flatten().map(gradient).collect::<candle_core::Result<Vec<_>>>()?;
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
    pub fn validation(&self, crops: &ValidationCrops) -> Result<Validation> {
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
    pub fn validation_crops(&self, n_crops: usize) -> Result<ValidationCrops> {
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

/// The mean cross-entropy over all voxels of all crops, each by its weight.
fn loss_of(net: &UNet, crops: &[Crop]) -> Result<Tensor> {
    let mut kinds: Vec<_> = crops.iter().map(|crop| crop.steps).collect();
    kinds.sort_unstable();
    kinds.dedup();
    let mut total = Tensor::zeros((), candle_core::DType::F32, &Device::Cpu)?;
    let mut n_voxels = 0;
    for steps in kinds {
        let together = |part: fn(&Crop) -> &Tensor| {
            let of_kind = crops.iter().filter(|crop| crop.steps == steps);
            Tensor::cat(&of_kind.map(part).collect::<Vec<_>>(), 0)
        };
        let target = together(|crop| &crop.target)?;
        let logits = net.logits(&together(|crop| &crop.input)?, steps)?;
        total = (total + cross_entropy(&logits, &target, &together(|crop| &crop.weight)?)?)?;
        n_voxels += target.elem_count();
    }
    Ok((total / n_voxels.max(1) as f64)?)
}

/// The cross-entropy of targets and logits, summed over voxels by their weights.
fn cross_entropy(logits: &Tensor, target: &Tensor, weight: &Tensor) -> Result<Tensor> {
    // −t ln p − (1 − t) ln (1 − p) of p = 1 / (1 + e^−l) is max(l, 0) − l t + ln(1 + e^−|l|).
    let rest = (logits.abs()?.neg()?.exp()? + 1.0)?.log()?;
    let loss = ((logits.relu()? - (logits * target)?)? + rest)?;
    Ok((loss * weight)?.sum_all()?)
}

/// What the loss of a perfect answer would be.
fn entropy(crops: &[Crop]) -> Result<f64> {
    let (mut sum, mut n) = (0.0, 0);
    for crop in crops {
        let mut of_voxels = |target: &[f32], weight: &[f32]| {
            let between = target.iter().zip(weight).filter(|(t, _)| **t > 0.0 && **t < 1.0);
            for (&t, &weight) in between {
                let t = f64::from(t);
                sum -= f64::from(weight) * (t * t.ln() + (1.0 - t) * (1.0 - t).ln());
            }
            n += target.len();
        };
        with_values(&crop.weight, |weight| {
            with_values(&crop.target, |target| of_voxels(target, weight))
        })??;
    }
    Ok(sum / f64::from(n.max(1) as u32))
}

/// How many numbers a network learns.
pub fn n_weights() -> usize {
    LAYERS
        .iter()
        .flat_map(super::unet::Layer::shapes)
        .map(|shape| shape.iter().product::<usize>())
        .sum()
}

#[cfg(test)]
mod tests {
    use primordia_data::phantom::{self, Optics, PhantomParams};
    use primordia_data::{Labels, Volume, VoxelSize};

    use super::*;
    use crate::testing::on_threads;

    fn tiny(steps: u64) -> Recipe {
        let crop = [8, 24, 24];
        Recipe { seed: 5, steps, crops: 2, crop, learning_rate: 3e-3, ..Recipe::default() }
    }

    /// A small labelled image, so that tests need not draw a phantom per picture.
    fn labelled() -> Labelled {
        let coarse = VoxelSize::from_um([1.0, 0.5, 0.5]).unwrap();
        let mut params =
            PhantomParams { optics: Optics::clean(coarse), ..PhantomParams::default() };
        params.tissue.n_cells = 12;
        let phantom = phantom::specimen(&params, 3).unwrap();
        Labelled::new(&phantom.membrane.map(|&value| f32::from(value)), &phantom.truth).unwrap()
    }

    fn weights_after(mut training: Training) -> Vec<u8> {
        while !training.is_done() {
            training.advance().unwrap();
        }
        training.boundary().unwrap().to_bytes().unwrap()
    }

    #[test]
    fn the_loss_falls() {
        let mut training = Training::new(tiny(24), vec![labelled()], None).unwrap();
        let losses: Vec<f64> = (0..24).map(|_| training.advance().unwrap()).collect();
        let mean = |losses: &[f64]| losses.iter().sum::<f64>() / losses.len() as f64;
        assert!(mean(&losses[18..]) < 0.8 * mean(&losses[..6]), "{losses:?}");
        assert!(training.is_done());
    }

    #[test]
    fn threads_and_a_stop_on_the_way_do_not_matter() {
        let on = |threads| {
            on_threads(threads, || {
                weights_after(Training::new(tiny(4), vec![labelled()], None).unwrap())
            })
        };
        let one = on(1);
        assert!(one == on(4), "threads");
        let mut training = Training::new(tiny(4), vec![labelled()], None).unwrap();
        training.advance().unwrap();
        training.advance().unwrap();
        let checkpoint = training.checkpoint().unwrap();
        let resumed = Training::resume(&checkpoint, vec![labelled()]).unwrap();
        assert_eq!((resumed.step(), resumed.recipe()), (2, &tiny(4)));
        assert!(one == weights_after(resumed), "a stop");
    }

    /// Central differences of a loss in single precision.
    const DIFFERENCE: f64 = 0.03;

    #[test]
    fn the_gradient_of_the_whole_network_is_that_of_small_steps() {
        let mut training = Training::new(tiny(1), vec![labelled()], None).unwrap();
        let crops = training.samples.batch(0, 2).unwrap();
        let loss = |weights: &[Vec<f32>]| {
            let net = weights::network(weights).unwrap();
            f64::from(loss_of(&net, &crops).unwrap().to_scalar::<f32>().unwrap())
        };
        let vars = weights::variables(&training.weights).unwrap();
        let net = UNet::new(
            vars.iter().map(|pair| pair.each_ref().map(|var| var.as_tensor().clone())).collect(),
        );
        let gradients = loss_of(&net, &crops).unwrap().backward().unwrap();
        for (index, var) in vars.iter().flatten().enumerate() {
            let slope = with_values(gradients.get(var).unwrap(), <[f32]>::to_vec).unwrap();
            let square: f64 = slope.iter().map(|&slope| f64::from(slope).powi(2)).sum();
            // Along the gradient itself, by a step that changes the loss by about 0.002.
            let step = 1e-3 / square.max(1e-12);
            let moved = |sign: f64| {
                let mut weights = training.weights.clone();
                for (weight, slope) in weights[index].iter_mut().zip(&slope) {
                    *weight += (sign * step * f64::from(*slope)) as f32;
                }
                loss(&weights)
            };
            let found = (moved(1.0) - moved(-1.0)) / (2.0 * step);
            assert!((found / square - 1.0).abs() < DIFFERENCE, "layer {index}: {found}, {square}");
        }
    }

    #[test]
    fn what_is_unknown_has_no_gradient() {
        let values = |of: fn(usize) -> f32| {
            Tensor::from_vec((0..24).map(of).collect::<Vec<_>>(), (1, 2, 1, 3, 4), &Device::Cpu)
        };
        let logits = Var::from_tensor(&values(|at| 0.3 * at as f32 - 4.0).unwrap()).unwrap();
        let target = values(|at| (at % 3) as f32 / 2.0).unwrap();
        let weight = values(|at| if at % 4 == 1 { 2.0 } else { 0.0 }).unwrap();
        let loss = cross_entropy(logits.as_tensor(), &target, &weight).unwrap();
        let gradients = loss.backward().unwrap();
        let slopes = with_values(gradients.get(&logits).unwrap(), <[f32]>::to_vec).unwrap();
        for (at, slope) in slopes.into_iter().enumerate() {
            let (p, t) = (probability(0.3 * at as f32 - 4.0), (at % 3) as f32 / 2.0);
            let wanted = if at % 4 == 1 { 2.0 * (p - t) } else { 0.0 };
            // Single precision.
            assert!((slope - wanted).abs() < 1e-5, "{at}: {slope}, wanted {wanted}");
        }
    }

    /// A few strokes as a user draws them: along three rows of a plane, where labels change and far from it.
    fn strokes(labels: &Volume<u32>) -> Volume<u32> {
        let [n_z, n_y, n_x] = labels.shape();
        let mut strokes = labels.map(|_| 0);
        for z in (2..n_z).step_by(6) {
            for y in (4..n_y).step_by(9) {
                let row: Vec<u32> = (0..n_x).map(|x| labels.voxels()[[z, y, x]]).collect();
                for x in 3..n_x - 3 {
                    let is_boundary = row[x] != row[x + 1] || row[x] != row[x - 1];
                    let is_inside = row[x - 3..=x + 3].iter().all(|&label| label == row[x]);
                    strokes.voxels_mut()[[z, y, x]] =
                        if is_boundary { 1 } else { 2 * u32::from(is_inside) };
                }
            }
        }
        strokes
    }

    /// A phantom whose membranes are darker than its cells.
    fn inverted(seed: u64) -> (Volume<f32>, Labels) {
        let size = VoxelSize::from_um([0.8, 0.4, 0.4]).unwrap();
        let mut params = PhantomParams { optics: Optics::clean(size), ..PhantomParams::default() };
        params.tissue.n_cells = 16;
        let phantom = phantom::specimen(&params, seed).unwrap();
        (phantom.membrane.map(|&value| 200.0 - f32::from(value)), phantom.truth)
    }

    /// The overlap of answer and truth (Milletari et al. 2016) inside the tissue.
    fn overlap(network: &Boundary, (image, truth): &(Volume<f32>, Labels)) -> f64 {
        let answer = network.probability(image).unwrap();
        let target = super::super::target::boundaries(truth.volume());
        let pairs = answer.as_slice().iter().zip(target.as_slice()).zip(truth.volume().as_slice());
        let (mut both, mut each) = (0.0, 0.0);
        for ((&p, &t), _) in pairs.filter(|(_, label)| **label > 0) {
            both += f64::from(2.0 * p * t);
            each += f64::from(p * p + t * t);
        }
        both / each
    }

    #[test]
    fn a_few_strokes_teach_membranes_of_another_kind() {
        let start = Boundary::shipped().unwrap();
        let (image, truth) = inverted(11);
        let taught = Labelled::scribbled(&image, &strokes(truth.volume())).unwrap();
        let recipe = Recipe { crop: [8, 32, 32], ..tiny(60) };
        let mut training = Training::new(recipe, vec![taught], Some(&start)).unwrap();
        while !training.is_done() {
            training.advance().unwrap();
        }
        let other = inverted(12);
        let [before, after] =
            [start, training.boundary().unwrap()].map(|net| overlap(&net, &other));
        println!("overlap {before:.3} before, {after:.3} after");
        assert!(after > before + 0.1, "{before} {after}");
    }

    #[test]
    fn nonsense_is_refused() {
        let refused = |change: fn(&mut Recipe)| {
            let mut recipe = tiny(1);
            change(&mut recipe);
            let training = Training::new(recipe, Vec::new(), None);
            assert!(matches!(training, Err(SegmentError::Parameter { .. })));
        };
        refused(|recipe| recipe.steps = 0);
        refused(|recipe| recipe.crops = 0);
        refused(|recipe| recipe.crop[1] = 2);
        refused(|recipe| recipe.learning_rate = f64::NAN);
    }

    #[test]
    fn labels_without_cells_teach_nothing() {
        let image = crate::testing::volume([2, 3, 4], (0..24).map(|n| n as f32).collect());
        let none = Labels::new(image.map(|_| 0));
        assert!(matches!(Labelled::new(&image, &none), Err(SegmentError::NoTruth)));
    }
}
