//! The network: a small U-Net in three dimensions (Çiçek et al. 2016, doi:10.1007/978-3-319-46723-8_49).
//!
//! It goes down two levels and up again. How many voxels a level merges along z follows from the voxels' size, so that
//! the deeper levels see nearly the same sizes in µm whatever the sampling: the same weights serve all microscopes.

use candle_core::{Device, Tensor};
use primordia_data::VoxelSize;
use rand::Rng;
use rand_distr::StandardNormal;

use super::conv3d::Conv3d;
use super::pool::{Enlarge, MaxPool};
use crate::error::Result;

/// Channels of the three levels.
const CHANNELS: [usize; 3] = [16, 48, 128];
/// Channels of the input: the image, and what [`conditions`] says of the voxels.
pub(crate) const INPUTS: usize = 3;
/// Negative values are multiplied by this.
const SLOPE: f32 = 0.1;
/// Grids merge 2 voxels along z where those are at most this many times as long as wide.
const FLAT: f64 = 1.5;

/// A layer: its name, channels in and out, the side of its kernel.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Layer {
    pub(crate) name: &'static str,
    from: usize,
    to: usize,
    side: usize,
}

const fn layer(name: &'static str, from: usize, to: usize, side: usize) -> Layer {
    Layer { name, from, to, side }
}

const A: usize = CHANNELS[0];
const B: usize = CHANNELS[1];
const C: usize = CHANNELS[2];
/// All layers, in the order in which they work.
pub(crate) const LAYERS: [Layer; 12] = [
    layer("down0", INPUTS, A, 3),
    layer("down1a", A, B, 3),
    layer("down1b", B, B, 3),
    layer("down2a", B, C, 3),
    layer("down2b", C, C, 3),
    layer("down2c", C, C, 3),
    layer("narrow2", C, B, 1),
    layer("up1a", 2 * B, B, 3),
    layer("up1b", B, B, 3),
    layer("narrow1", B, A, 1),
    layer("up0", 2 * A, A, 3),
    layer("answer", A, 1, 1),
];

impl Layer {
    /// The shapes of its kernel and of its bias.
    pub(crate) fn shapes(&self) -> [Vec<usize>; 2] {
        let Self { from, to, side, .. } = *self;
        [vec![to, from, side, side, side], vec![to]]
    }

    /// Kernel and bias before any training (He et al. 2015, doi:10.1109/ICCV.2015.123).
    fn random(&self, rng: &mut impl Rng) -> [Vec<f32>; 2] {
        let taps = self.from * self.side.pow(3);
        let deviation = (2.0 / taps as f32).sqrt();
        let kernel = (0..self.to * taps).map(|_| deviation * rng.sample::<f32, _>(StandardNormal));
        [kernel.collect(), vec![0.0; self.to]]
    }
}

/// Two numbers that tell the network how large voxels are: the logarithms of their sides along z
/// and in the plane, against 0.4 µm.
pub(crate) fn conditions(voxel_size: VoxelSize) -> [f32; 2] {
    const USUAL_UM: f64 = 0.4;
    let [z, y, x] = voxel_size.um();
    [z, (y * x).sqrt()].map(|um| (um / USUAL_UM).ln() as f32)
}

/// How many voxels along z, y and x become one from each level to the next.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Steps([[usize; 3]; 2]);

impl Steps {
    /// The steps for an image.
    pub(crate) fn new(voxel_size: VoxelSize) -> Self {
        let mut um = voxel_size.um();
        Self([(); 2].map(|()| {
            let wide = (um[1] * um[2]).sqrt();
            let factors = [if um[0] <= FLAT * wide { 2 } else { 1 }, 2, 2];
            um = [0, 1, 2].map(|axis| um[axis] * factors[axis] as f64);
            factors
        }))
    }

    /// From the first level to the second, and from there to the third.
    pub(crate) fn factors(self) -> [[usize; 3]; 2] {
        self.0
    }

    /// How many voxels along each axis become one of the deepest level.
    pub(crate) fn whole(self) -> [usize; 3] {
        [0, 1, 2].map(|axis| self.0[0][axis] * self.0[1][axis])
    }
}

/// The network's weights, and what it does with them.
#[derive(Clone, Debug)]
pub(crate) struct UNet {
    /// A kernel and a bias per layer of [`LAYERS`].
    weights: Vec<[Tensor; 2]>,
}

impl UNet {
    /// From a kernel and a bias per layer, whose shapes fit.
    pub(crate) fn new(weights: Vec<[Tensor; 2]>) -> Self {
        Self { weights }
    }

    /// Random weights.
    pub(crate) fn random(rng: &mut impl Rng) -> Result<Self> {
        let tensors = LAYERS.iter().map(|layer| {
            let [kernel, bias] = layer.random(rng);
            let [kernel_shape, bias_shape] = layer.shapes();
            Ok([
                Tensor::from_vec(kernel, kernel_shape, &Device::Cpu)?,
                Tensor::from_vec(bias, bias_shape, &Device::Cpu)?,
            ])
        });
        Ok(Self { weights: tensors.collect::<Result<_>>()? })
    }

    pub(crate) fn weights(&self) -> &[[Tensor; 2]] {
        &self.weights
    }

    /// The logit of the probability that a boundary is there, `[n, z, 1, y, x]`, for images `[n, z, 3, y, x]`.
    pub(crate) fn logits(&self, image: &Tensor, steps: Steps) -> Result<Tensor> {
        let mut layers = LAYERS.iter().zip(&self.weights);
        let mut next = |image: Tensor| -> Result<Tensor> {
            let Some((layer, [kernel, bias])) = layers.next() else { return Ok(image) };
            let is_first = layer.name == LAYERS[0].name;
            let is_last = layer.name == LAYERS[LAYERS.len() - 1].name;
            let negative_slope = if is_last { 1.0 } else { SLOPE };
            let conv = Conv3d { negative_slope, image_has_gradient: !is_first };
            Ok(image.apply_op3(kernel, bias, conv)?)
        };
        // What a layer has read is gone once it has: memory is that of the largest layer.
        let mut apply = |n: usize, image: Tensor| (0..n).try_fold(image, |image, _| next(image));
        let [step_0, step_1] = steps.0;
        let level_0 = apply(1, image.clone())?;
        let level_1 = apply(2, level_0.apply_op1(MaxPool { factors: step_0 })?)?;
        let narrow_2 = apply(4, level_1.apply_op1(MaxPool { factors: step_1 })?)?;
        let narrow_1 = apply(3, join(enlarge(&narrow_2, &level_1, step_1)?, level_1)?)?;
        apply(2, join(enlarge(&narrow_1, &level_0, step_0)?, level_0)?)
    }
}

/// The channels of both, which are gone then.
fn join(one: Tensor, other: Tensor) -> Result<Tensor> {
    Ok(Tensor::cat(&[one, other], 2)?)
}

fn enlarge(coarse: &Tensor, like: &Tensor, factors: [usize; 3]) -> Result<Tensor> {
    let (_, z, _, y, x) = like.dims5()?;
    Ok(coarse.apply_op1(Enlarge { factors, sides: [z, y, x] })?)
}
