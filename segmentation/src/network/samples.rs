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
use crate::block::whole;
use crate::error::{Result, SegmentError};
use crate::resample::{middles, shrink};
use crate::shrunken::Shrunken;
use crate::zoom::Zoom;

/// Pictures that are in use at a time, each of another scene.
const IN_USE: u64 = 8;
/// Steps after which one picture is replaced. Scenes cost time, but what comes back too often is learned by heart.
const STEPS_PER_PICTURE: u64 = 2;
/// Pictures that only validation sees begin at this number.
const VALIDATION: u64 = 1 << 40;

/// An image of which all or some is known, to learn from.
#[derive(Clone, Debug)]
pub struct Labelled {
    image: Volume<f32>,
    target: Volume<f32>,
    known: Option<Known>,
}

/// The part of an image that is known.
#[derive(Clone, Debug)]
struct Known {
    /// 1 where it is, 0 elsewhere.
    mask: Volume<f32>,
    places: Vec<[usize; 3]>,
}

/// What scribbles say.
const BOUNDARY: u32 = 1;
const INSIDE: u32 = 2;

impl Labelled {
    /// From a membrane channel and the labels of its cells (0 is outside); both are shrunken to the grid on which the network works.
    ///
    /// # Errors
    /// [`SegmentError::Data`] if they do not share a grid, [`SegmentError::NoTruth`] if there is no cell,
    /// [`SegmentError::NotFinite`] or [`SegmentError::Constant`] if the image cannot be learned from.
    pub fn new(membrane: &Volume<f32>, labels: &Labels) -> Result<Self> {
        let (image, factors) = seen(membrane, labels.volume())?;
        if labels.n_cells() == 0 {
            return Err(SegmentError::NoTruth);
        }
        let target = boundaries(&middles(labels.volume(), &image, factors));
        Ok(Self { image, target, known: None })
    }

    /// [`Labelled::new`] of labels that leave open what is where they are `unlabelled` (0, say): nothing is learned there.
    ///
    /// # Errors
    /// Those of [`Labelled::new`]; [`SegmentError::NoTruth`] too if no voxel has another label.
    pub fn partly(membrane: &Volume<f32>, labels: &Labels, unlabelled: u32) -> Result<Self> {
        let (image, factors) = seen(membrane, labels.volume())?;
        let labels = middles(labels.volume(), &image, factors);
        let known = Known::new(labels.map(|&label| f32::from(u8::from(label != unlabelled))));
        let known = known.ok_or(SegmentError::NoTruth)?;
        Ok(Self { image, target: boundaries(&labels), known: Some(known) })
    }

    /// From a membrane channel and scribbles on it: 1 is a boundary, 2 the inside of a cell (or the outside), and of what
    /// is 0 nothing is learned. Where voxels are merged, the mean of those that are known counts.
    ///
    /// # Errors
    /// [`SegmentError::Data`] if they do not share a grid, [`SegmentError::NotScribbles`] for other values,
    /// [`SegmentError::NoScribbles`] if all are 0, [`SegmentError::NotFinite`] or [`SegmentError::Constant`] if the image
    /// cannot be learned from.
    pub fn scribbled(membrane: &Volume<f32>, scribbles: &Volume<u32>) -> Result<Self> {
        let (image, factors) = seen(membrane, scribbles)?;
        if let Some(&value) = scribbles.as_slice().iter().find(|value| **value > INSIDE) {
            return Err(SegmentError::NotScribbles { value });
        }
        let share = |value: u32| {
            shrink(scribbles, factors, move |found| f32::from(u8::from(found == value)))
        };
        let (mut target, inside) = (share(BOUNDARY)?, share(INSIDE)?);
        let mut mask = inside.clone();
        let pairs = mask.voxels_mut().into_iter().zip(target.voxels_mut());
        for (known, boundary) in pairs {
            let both = *known + *boundary;
            *known = f32::from(u8::from(both > 0.0));
            *boundary /= both.max(f32::MIN_POSITIVE);
        }
        let known = Known::new(mask).ok_or(SegmentError::NoScribbles)?;
        Ok(Self { image, target, known: Some(known) })
    }

    /// A random part, in which something is known.
    fn crop(&self, sides: [usize; 3], rng: &mut ChaCha8Rng) -> Result<Crop> {
        let Some(known) = &self.known else { return crop(&self.image, &self.target, sides, rng) };
        let place = known.places[rng.random_range(0..known.places.len())];
        let shape = self.image.shape();
        let from = [0, 1, 2].map(|axis| {
            let last = shape[axis].saturating_sub(sides[axis]);
            let first = (place[axis] + 1).saturating_sub(sides[axis]);
            rng.random_range(first..=place[axis].min(last))
        });
        let turn = Turn::new(from, sides, rng);
        turn.crop(&self.image, &self.target, Some(&known.mask), rng)
    }
}

impl Known {
    /// None if nothing is.
    fn new(mask: Volume<f32>) -> Option<Self> {
        let known = mask.voxels().indexed_iter().filter(|(_, known)| **known > 0.0);
        let places: Vec<_> = known.map(|((z, y, x), _)| [z, y, x]).collect();
        (!places.is_empty()).then_some(Self { mask, places })
    }
}

/// What the network sees of an image on whose grid something else is, in voxels as large as they are shown to it, and how many
/// voxels (z, y, x) became one.
fn seen<T>(membrane: &Volume<f32>, on_its_grid: &Volume<T>) -> Result<(Volume<f32>, [usize; 3])> {
    crate::hartmann2020::finite_range(membrane)?;
    membrane.check_same_grid(on_its_grid)?;
    let factors = working_grid(membrane);
    let image = Shrunken::new(membrane, factors)?;
    let (shape, voxel_size) = image.grid();
    let shown = Zoom::near(voxel_size)?.voxel_size();
    Ok((standardised(&Volume::new(image.block(&whole(shape))?, shown)?)?, factors))
}

/// A picture and what is to be learned from it, on one grid.
struct Example {
    image: Volume<f32>,
    scene: Scene,
}

/// A part of a picture, as tensors `[1, z, channels, y, x]`.
pub(crate) struct Crop {
    pub(crate) input: Tensor,
    pub(crate) target: Tensor,
    /// How much each voxel counts: 0 where nothing is known, else so much that every crop counts alike.
    pub(crate) weight: Tensor,
    pub(crate) steps: Steps,
}

/// Makes crops for any step, with what the last steps used at hand.
pub(crate) struct Samples {
    seed: u64,
    sides: [usize; 3],
    labelled: Vec<Labelled>,
    examples: BTreeMap<u64, Arc<Example>>,
}

impl Samples {
    /// Crops of `sides` voxels (z, y, x) of phantoms, and as many of `labelled` images if there are any.
    pub(crate) fn new(seed: u64, sides: [usize; 3], labelled: Vec<Labelled>) -> Self {
        Self { seed, sides, labelled, examples: BTreeMap::new() }
    }

    /// The crops of a step.
    pub(crate) fn batch(&mut self, step: u64, n_crops: usize) -> Result<Vec<Crop>> {
        let first = step / STEPS_PER_PICTURE;
        self.examples.retain(|&picture, _| picture >= first);
        let mut rng = stream(self.seed, Purpose::Crops, step);
        (0..n_crops as u64)
            .map(|n| {
                if n % 2 == 1 && !self.labelled.is_empty() {
                    let labelled = &self.labelled[rng.random_range(0..self.labelled.len())];
                    return labelled.crop(self.sides, &mut rng);
                }
                let example = self.example(first + n % IN_USE)?;
                crop(&example.image, &example.scene.target, self.sides, &mut rng)
            })
            .collect()
    }

    /// Crops that no step sees, the same at any time: of phantoms, never of labelled images.
    pub(crate) fn validation(&self, n_crops: usize) -> Result<Vec<Crop>> {
        (0..n_crops as u64)
            .into_par_iter()
            .map(|n| {
                let index = VALIDATION + n;
                let scene = Scene::new(self.seed, SEEDS_FOR_VALIDATION + n)?;
                let image = standardised(&scene.picture(self.seed, index)?)?;
                let mut rng = stream(self.seed, Purpose::Crops, index);
                crop(&image, &scene.target, self.sides, &mut rng)
            })
            .collect()
    }

    fn example(&mut self, picture: u64) -> Result<Arc<Example>> {
        if let Some(example) = self.examples.get(&picture) {
            return Ok(Arc::clone(example));
        }
        let scene = Scene::new(self.seed, picture)?;
        let image = standardised(&scene.picture(self.seed, picture)?)?;
        let example = Arc::new(Example { image, scene });
        self.examples.insert(picture, Arc::clone(&example));
        Ok(example)
    }
}

/// Scenes that only validation sees begin at this number.
const SEEDS_FOR_VALIDATION: u64 = 500_000;

/// Of two random parts the one with more boundary, since around a tissue there is little to learn; beyond the image
/// both are 0.
fn crop(
    image: &Volume<f32>,
    target: &Volume<f32>,
    sides: [usize; 3],
    rng: &mut ChaCha8Rng,
) -> Result<Crop> {
    let last = [0, 1, 2].map(|axis| image.shape()[axis].saturating_sub(sides[axis]));
    let parts =
        [(); 2].map(|()| Turn::new(last.map(|last| rng.random_range(0..=last)), sides, rng));
    let boundary = |turn: &Turn| turn.read(target, |value| value).iter().sum::<f32>();
    let [one, other] = parts;
    let more = if boundary(&other) > boundary(&one) { other } else { one };
    more.crop(image, target, None, rng)
}

/// A part of an image, turned by quarters in the plane and mirrored along any axis.
struct Turn {
    from: [usize; 3],
    sides: [usize; 3],
    mirrored: [bool; 3],
    swapped: bool, // y and x
}

impl Turn {
    fn new(from: [usize; 3], sides: [usize; 3], rng: &mut ChaCha8Rng) -> Self {
        let mirrored = [(); 3].map(|()| rng.random());
        Self { from, sides, mirrored, swapped: rng.random::<bool>() && sides[1] == sides[2] }
    }

    /// The part, with another gain and offset; all of it is known, or what is 1 in `known`.
    fn crop(
        &self,
        image: &Volume<f32>,
        target: &Volume<f32>,
        known: Option<&Volume<f32>>,
        rng: &mut ChaCha8Rng,
    ) -> Result<Crop> {
        let gain = rng.random_range(0.8..1.2_f32);
        let offset = rng.random_range(-0.1..0.1_f32);
        let values = self.read(image, |value| gain * value + offset);
        let [n_z, n_y, n_x] = self.sides;
        let input = input(values.chunks_exact(n_y * n_x).map(<[f32]>::to_vec), image.voxel_size());
        let tensor =
            |values: Vec<f32>| Tensor::from_vec(values, (1, n_z, 1, n_y, n_x), &Device::Cpu);
        let weight = match known {
            Some(known) => weights(self.read(known, |value| value)),
            None => vec![1.0; n_z * n_y * n_x],
        };
        Ok(Crop {
            input: Tensor::from_vec(input, (1, n_z, INPUTS, n_y, n_x), &Device::Cpu)?,
            target: tensor(self.read(target, |value| value))?,
            weight: tensor(weight)?,
            steps: Steps::new(image.voxel_size()),
        })
    }

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

/// Weights of voxels that are `known` (1) or not (0), so that all together count as a whole crop does, but none more than
/// many.
fn weights(mut known: Vec<f32>) -> Vec<f32> {
    const MOST: f32 = 64.0;
    let n_known: f32 = known.iter().sum();
    let weight = (known.len() as f32 / n_known.max(1.0)).min(MOST);
    known.iter_mut().for_each(|known| *known *= weight);
    known
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;

    use super::*;
    use crate::network::conv3d::with_values;
    use crate::testing::sized_volume;

    const UM: [f64; 3] = [0.8, 0.2, 0.2]; // 2 × 2 voxels become one

    fn image() -> Volume<f32> {
        sized_volume([4, 24, 24], (0..2304).map(|n| (n % 17) as f32).collect(), UM)
    }

    fn refused(scribbles: &Volume<u32>) -> SegmentError {
        Labelled::scribbled(&image(), scribbles).unwrap_err()
    }

    #[test]
    fn how_bright_a_lump_is_does_not_matter() {
        let with_lump = |brightness: f32| {
            let mut voxels =
                sized_volume([8, 40, 40], (0..12_800).map(|n| (n % 17) as f32).collect(), UM);
            voxels.voxels_mut().slice_mut(ndarray::s![3..5, 20..24, 20..24]).fill(brightness);
            seen(&voxels, &voxels).unwrap()
        };
        assert_eq!(with_lump(1e3), with_lump(1e6));
    }

    #[test]
    fn scribbles_are_what_is_known_and_every_crop_has_some() {
        let mut scribbles = image().map(|_| 0_u32);
        let strokes = [([1, 10, 10], 1), ([1, 10, 11], 1), ([1, 10, 14], 2), ([3, 21, 2], 2)];
        for (at, value) in strokes {
            scribbles.voxels_mut()[at] = value;
        }
        scribbles.voxels_mut()[[3, 21, 3]] = 1;
        let labelled = Labelled::scribbled(&image(), &scribbles).unwrap();
        let known = labelled.known.as_ref().unwrap();
        assert_eq!(known.places, [[1, 5, 5], [1, 5, 7], [3, 10, 1]]);
        let targets = [[1, 5, 5], [1, 5, 7], [3, 10, 1]].map(|at| labelled.target.voxels()[at]);
        assert_eq!(targets, [1.0, 0.0, 0.5], "the mean of what is known");
        let mut rng = ChaCha8Rng::seed_from_u64(1);
        for _ in 0..40 {
            let crop = labelled.crop([2, 6, 6], &mut rng).unwrap();
            let (n, sum) = with_values(&crop.weight, |weights| {
                (
                    weights.iter().filter(|weight| **weight > 0.0).count(),
                    weights.iter().sum::<f32>(),
                )
            })
            .unwrap();
            assert!(n > 0, "something is known");
            let whole = (64.0 * n as f32).min(72.0); // one voxel counts at most 64 times
            assert!((sum - whole).abs() < 1e-3, "all together count as a whole crop: {sum}");
        }
    }

    #[test]
    fn few_voxels_do_not_count_without_bounds() {
        let mut known = vec![0.0; 1000];
        known[7] = 1.0;
        let weights = weights(known);
        assert_eq!((weights[7], weights.iter().sum::<f32>()), (64.0, 64.0));
    }

    #[test]
    fn where_nobody_labelled_nothing_is_learned() {
        let mut labels = image().map(|_| 0_u32);
        labels.voxels_mut().slice_mut(ndarray::s![.., 8..16, 8..16]).fill(3);
        let labels = Labels::new(labels);
        let partly = Labelled::partly(&image(), &labels, 0).unwrap();
        let whole = Labelled::new(&image(), &labels).unwrap();
        assert_eq!(partly.target, whole.target, "the boundary of a cell is known");
        let known = partly.known.unwrap();
        assert_eq!(known.places.len(), 4 * 4 * 4);
        assert!(known.places.iter().all(|at| (4..8).contains(&at[1]) && (4..8).contains(&at[2])));
        assert!(matches!(
            Labelled::partly(&image(), &Labels::new(image().map(|_| 2)), 2),
            Err(SegmentError::NoTruth)
        ));
    }

    #[test]
    fn what_are_no_scribbles_is_refused() {
        let none = image().map(|_| 0_u32);
        assert!(matches!(refused(&none), SegmentError::NoScribbles));
        let mut other = none.clone();
        other.voxels_mut()[[0, 0, 0]] = 7;
        assert!(matches!(refused(&other), SegmentError::NotScribbles { value: 7 }));
        let small = sized_volume([1, 2, 2], vec![1; 4], UM);
        assert!(matches!(refused(&small), SegmentError::Data(_)));
    }
}
