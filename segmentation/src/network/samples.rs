//! What a step of training sees: parts of pictures, turned and mirrored.

use std::collections::BTreeMap;
use std::sync::Arc;

use candle_core::{Device, Tensor};
use primordia_data::{Labels, Volume};
use rand::Rng;
use rand_chacha::ChaCha8Rng;
use rayon::prelude::*;

use super::chance::{Purpose, stream};
use super::light::standardised;
use super::phantoms::Scene;
use super::predict::input;
use super::target::boundaries;
use super::unet::{INPUTS, Steps};
use super::working_grid;
use crate::error::{Result, SegmentError};
use crate::resample::shrink;

/// Pictures that are in use at a time, each of another scene.
const IN_USE: u64 = 8;
/// Steps after which one picture is replaced.
const STEPS_PER_PICTURE: u64 = 3;
/// Pictures of a scene.
const PICTURES_PER_SCENE: u64 = 8;
/// Pictures that only validation sees begin at this number.
const VALIDATION: u64 = 1 << 40;

/// An image with its cells, as curated by hand, to learn from.
#[derive(Clone, Debug)]
pub struct Labelled {
    image: Volume<f32>,
    target: Volume<f32>,
}

impl Labelled {
    /// From a membrane channel and the labels of its cells (0 is outside); both are shrunken to the grid on which the network works.
    ///
    /// # Errors
    /// [`SegmentError::Data`] if they do not share a grid, [`SegmentError::NoTruth`] if there is no cell,
    /// [`SegmentError::NotFinite`] or [`SegmentError::Constant`] if the image cannot be learned from.
    pub fn new(membrane: &Volume<f32>, labels: &Labels) -> Result<Self> {
        crate::hartmann2020::finite_range(membrane)?;
        membrane.check_same_grid(labels.volume())?;
        if labels.n_cells() == 0 {
            return Err(SegmentError::NoTruth);
        }
        let factors = working_grid(membrane);
        let image = shrink(membrane, factors, |value| value)?;
        let full = labels.volume();
        let mut small = image.map(|_| 0);
        for ((z, y, x), label) in small.voxels_mut().indexed_iter_mut() {
            let middle = |at: usize, axis: usize| {
                (at * factors[axis] + factors[axis] / 2).min(full.shape()[axis] - 1)
            };
            *label = full.voxels()[[middle(z, 0), middle(y, 1), middle(x, 2)]];
        }
        Ok(Self { image: standardised(&image)?, target: boundaries(&small) })
    }
}

/// A picture and what is to be learned from it, on one grid.
struct Example {
    image: Volume<f32>,
    scene: Arc<Scene>,
}

/// A part of a picture, as tensors `[1, z, channels, y, x]`.
pub(crate) struct Crop {
    pub(crate) input: Tensor,
    pub(crate) target: Tensor,
    pub(crate) steps: Steps,
}

/// Makes crops for any step, with what the last steps used at hand.
pub(crate) struct Samples {
    seed: u64,
    sides: [usize; 3],
    labelled: Vec<Labelled>,
    scenes: BTreeMap<u64, Arc<Scene>>,
    examples: BTreeMap<u64, Arc<Example>>,
}

impl Samples {
    /// Crops of `sides` voxels (z, y, x) of phantoms, and as many of `labelled` images if there are any.
    pub(crate) fn new(seed: u64, sides: [usize; 3], labelled: Vec<Labelled>) -> Self {
        Self { seed, sides, labelled, scenes: BTreeMap::new(), examples: BTreeMap::new() }
    }

    /// The crops of a step.
    pub(crate) fn batch(&mut self, step: u64, n_crops: usize) -> Result<Vec<Crop>> {
        let first = step / STEPS_PER_PICTURE;
        self.forget_before(first);
        let mut rng = stream(self.seed, Purpose::Crops, step);
        (0..n_crops as u64)
            .map(|n| {
                if n % 2 == 1 && !self.labelled.is_empty() {
                    let labelled = &self.labelled[rng.random_range(0..self.labelled.len())];
                    return crop(&labelled.image, &labelled.target, self.sides, &mut rng);
                }
                let example = self.example(first + n % IN_USE)?;
                crop(&example.image, &example.scene.target, self.sides, &mut rng)
            })
            .collect()
    }

    /// Crops that no step sees, the same at any time: of phantoms, never of labelled images.
    pub(crate) fn validation(&mut self, n_crops: usize) -> Result<Vec<Crop>> {
        let mut crops = Vec::new();
        for n in 0..n_crops as u64 {
            let index = VALIDATION + n;
            let scene = Scene::new(self.seed, SEEDS_FOR_VALIDATION + n)?;
            let image = standardised(&scene.picture(self.seed, index)?)?;
            let mut rng = stream(self.seed, Purpose::Crops, index);
            crops.push(crop(&image, &scene.target, self.sides, &mut rng)?);
        }
        Ok(crops)
    }

    /// Forgets pictures and scenes that no step from `first` on needs soon.
    fn forget_before(&mut self, first: u64) {
        self.examples.retain(|&picture, _| picture >= first);
        let soon: Vec<u64> = (first..first + IN_USE).map(scene_of).collect();
        self.scenes.retain(|scene, _| soon.contains(scene));
    }

    fn example(&mut self, picture: u64) -> Result<Arc<Example>> {
        if let Some(example) = self.examples.get(&picture) {
            return Ok(Arc::clone(example));
        }
        let scene = self.scene(scene_of(picture))?;
        let image = standardised(&scene.picture(self.seed, picture)?)?;
        let example = Arc::new(Example { image, scene });
        self.examples.insert(picture, Arc::clone(&example));
        Ok(example)
    }

    fn scene(&mut self, scene: u64) -> Result<Arc<Scene>> {
        if let Some(scene) = self.scenes.get(&scene) {
            return Ok(Arc::clone(scene));
        }
        let new = Arc::new(Scene::new(self.seed, scene)?);
        self.scenes.insert(scene, Arc::clone(&new));
        Ok(new)
    }
}

/// Scenes that only validation sees begin at this number.
const SEEDS_FOR_VALIDATION: u64 = 500_000;

/// The scene of a picture: those in use at a time are all different, and each comes back a few times.
fn scene_of(picture: u64) -> u64 {
    picture / (IN_USE * PICTURES_PER_SCENE) * IN_USE + picture % IN_USE
}

/// A random part, turned by quarters in the plane and mirrored along any axis; beyond the image both are 0.
fn crop(
    image: &Volume<f32>,
    target: &Volume<f32>,
    sides: [usize; 3],
    rng: &mut ChaCha8Rng,
) -> Result<Crop> {
    let shape = image.shape();
    let turn = Turn {
        from: [0, 1, 2].map(|axis| rng.random_range(0..=shape[axis].saturating_sub(sides[axis]))),
        sides,
        mirrored: [(); 3].map(|()| rng.random()),
        swapped: rng.random::<bool>() && sides[1] == sides[2],
    };
    let gain = rng.random_range(0.8..1.2_f32);
    let offset = rng.random_range(-0.1..0.1_f32);
    let values = turn.read(image, |value| gain * value + offset);
    let [n_z, n_y, n_x] = sides;
    let input = input(values.chunks_exact(n_y * n_x).map(<[f32]>::to_vec), image.voxel_size());
    Ok(Crop {
        input: Tensor::from_vec(input, (1, n_z, INPUTS, n_y, n_x), &Device::Cpu)?,
        target: Tensor::from_vec(
            turn.read(target, |value| value),
            (1, n_z, 1, n_y, n_x),
            &Device::Cpu,
        )?,
        steps: Steps::new(image.voxel_size()),
    })
}

/// A part of an image and how it is turned.
struct Turn {
    from: [usize; 3],
    sides: [usize; 3],
    mirrored: [bool; 3],
    swapped: bool, // y and x
}

impl Turn {
    fn read(&self, volume: &Volume<f32>, of: impl Fn(f32) -> f32 + Sync) -> Vec<f32> {
        let [n_z, n_y, n_x] = self.sides;
        let mut out = vec![0.0; n_z * n_y * n_x];
        out.par_chunks_mut(n_x).enumerate().for_each(|(row, out)| {
            for (x, out) in out.iter_mut().enumerate() {
                let mut at = [row / n_y, row % n_y, x];
                if self.swapped {
                    at.swap(1, 2);
                }
                let turned = at.iter_mut().zip(self.mirrored).zip(self.sides.iter().zip(self.from));
                for ((at, mirrored), (side, from)) in turned {
                    *at = from + if mirrored { side - 1 - *at } else { *at };
                }
                *out = volume.voxels().get(at).map_or(0.0, |&value| of(value));
            }
        });
        out
    }
}
