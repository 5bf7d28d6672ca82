//! Finds boundaries between cells by a network that learned them from phantoms.
//!
//! [`Boundary`] is the trained network: its answer is evidence in place of that of [`crate::sheet`]. [`Training`] makes one,
//! by a [`Recipe`], from phantoms and from [`Labelled`] images.
//!
//! `light` evens out what the network sees; `unet` is the network, of the operations in `conv3d` and `pool`; `predict` runs
//! it over an image, `evidence` says what is usual nearby. `phantoms` makes what is learned from, `target` what is learned, `samples` the crops, `crops` gives them to other trainers,
//! `weights` is the file.

mod chance;
mod conv3d;
mod crops;
mod evidence;
mod light;
mod phantoms;
mod pool;
mod predict;
#[cfg(test)]
mod reference;
mod samples;
mod target;
mod training;
mod unet;
mod weights;

pub use crops::Crops;
pub use samples::Labelled;
pub use training::{Recipe, Training, Validation, ValidationCrops, n_weights};

use ndarray::{Array3, Zip, s};
use primordia_data::{Volume, VoxelSize};

use crate::block::Block;
use crate::error::Result;
use crate::resample::factors_up_to;
pub(crate) use chance::log_uniform;
pub(crate) use evidence::{evened, factors as usual_factors, usual};
pub(crate) use light::Light;
pub(crate) use phantoms::Scene;
#[cfg(test)]
pub(crate) use target::boundaries;
use unet::UNet;
use weights::Tensors;

/// Voxels are merged for the network up to this length.
const WORKING_UM: f64 = 0.42;

/// A network that tells how probable a boundary between cells, or between a cell and the outside, is at every voxel.
#[derive(Clone, Debug)]
pub struct Boundary {
    net: UNet,
    recipe: Option<Recipe>,
}

/// The weights that come with Primordia; docs/boundaries.md has their recipe.
const SHIPPED: &[u8] = include_bytes!("../../weights/boundary.safetensors");

impl Boundary {
    /// The network that comes with Primordia.
    ///
    /// # Errors
    /// None, unless the program was built with other weights.
    pub fn shipped() -> Result<Self> {
        Self::from_bytes(SHIPPED)
    }

    /// The network that was trained with weights kept as safetensors.
    ///
    /// # Errors
    /// [`crate::SegmentError::NotWeights`] if `bytes` are no safetensors,
    /// [`crate::SegmentError::MissingWeights`] or [`crate::SegmentError::WrongWeights`] if they are those of another network.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self> {
        let tensors = Tensors::read(bytes)?;
        Ok(Self { net: weights::network(&tensors.layers("")?)?, recipe: tensors.note().ok() })
    }

    /// The weights as safetensors, with the recipe that made them.
    ///
    /// # Errors
    /// [`crate::SegmentError::NotWeights`] if they cannot be written.
    pub fn to_bytes(&self) -> Result<Vec<u8>> {
        weights::write(&[("", &weights::flat(&self.net)?)], &self.recipe)
    }

    /// How the network was trained, if it says.
    pub fn recipe(&self) -> Option<&Recipe> {
        self.recipe.as_ref()
    }

    /// The probability of a boundary at every voxel of a membrane channel (bright membranes), 0 to 1. Voxels should be those of
    /// [`working_grid`]: 0.28 to 0.5 µm in the plane, up to 1.1 µm along z.
    ///
    /// # Errors
    /// [`crate::SegmentError::Network`] if memory runs out.
    pub fn probability(&self, image: &Volume<f32>) -> Result<Volume<f32>> {
        let light = Light::new(image)?;
        let mut sum = image.map(|_| 0.0);
        self.add_probability(
            (image.shape(), image.voxel_size()),
            &light,
            |[z, y, x]| {
                let part = image.voxels().slice(s![z.clone(), y.clone(), x.clone()]);
                Ok(part.as_standard_layout().into_owned())
            },
            |block, answer| {
                add_to(&mut sum, block, &answer);
                Ok(())
            },
        )?;
        Ok(sum)
    }

    /// As [`Boundary::probability`], in bounded memory: `read` gives blocks of the image, `add` takes what a block adds to
    /// the probabilities.
    pub(crate) fn add_probability(
        &self,
        grid: ([usize; 3], VoxelSize),
        light: &Light,
        read: impl Fn(&Block) -> Result<Array3<f32>>,
        add: impl FnMut(&Block, Array3<f32>) -> Result<()>,
    ) -> Result<()> {
        let standardised = |block: &Block| {
            let mut part = read(block)?;
            light.standardise(&mut part, block.clone().map(|range| range.start));
            Ok(part)
        };
        predict::probabilities(&self.net, grid, standardised, add)
    }

    /// The [`Boundary::probability`] as a share of what is usual nearby, as that of sheets: 1 is a usual boundary, where
    /// the image is clear and where it is not.
    ///
    /// # Errors
    /// As [`Boundary::probability`].
    pub fn evidence(&self, image: &Volume<f32>) -> Result<Volume<f32>> {
        evidence::evened(self.probability(image)?)
    }
}

/// Adds to the voxels in a block.
pub(crate) fn add_to(sum: &mut Volume<f32>, [z, y, x]: &Block, more: &Array3<f32>) {
    let mut sum = sum.voxels_mut();
    let part = sum.slice_mut(s![z.clone(), y.clone(), x.clone()]);
    Zip::from(part).and(more).par_for_each(|sum, value| *sum += value);
}

/// How many voxels along z, y and x the network wants merged into one.
pub fn working_grid<T>(image: &Volume<T>) -> [usize; 3] {
    factors_up_to(image, WORKING_UM)
}
