//! Finds nuclei in a channel of their own: where cells have their middle.
//!
//! Nuclei are bright blobs, and those of one image are about as large: the scale at which blobs stand out most is theirs
//! (Lindeberg 1998, doi:10.1023/A:1008045108935). At that scale every maximum of the blob filter is a nucleus, unless
//! noise may have made it, or hardly a dip parts it from a stronger one. `blobs` is that filter; `rooms` are what nuclei
//! say of the cells around them.

mod blobs;
mod rooms;

use std::collections::BTreeMap;

use nalgebra::Point3;
use primordia_data::Volume;

use crate::error::{Result, SegmentError};
use crate::hartmann2020::finite_range;
use crate::regions::{Part, minima};
use crate::resample::{factors_up_to, shrink};
use crate::watershed::flood;
use blobs::{Noise, blobs, evened, usual_scale};

pub(crate) use rooms::Rooms;

/// Maxima weaker than this share of what is usual nearby are no nuclei; those of this many times more are sure.
const LEAST: f32 = 0.45;
const SURE: f32 = 2.0;
/// Nor are maxima within so many standard deviations of the noise.
const ABOVE_NOISE: f32 = 5.0;
/// Two maxima are one nucleus if the dip between them is at most this share of the lower one, and surely two from the
/// other share on.
const DIP: [f32; 2] = [0.2, 0.5];
/// Nuclei are where the filter has at least this share of its nearest maximum.
const CORE: f32 = 0.5;

/// A nucleus.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Nucleus {
    /// Where it is brightest as a blob, x, y, z in µm.
    pub centre_um: Point3<f64>,
    /// How sure it is that there is one, 0 to 1.
    pub sureness: f64,
}

/// The nuclei of an image.
#[derive(Clone, Debug)]
pub struct Nuclei {
    /// Where nuclei surely are, on a grid of merged voxels, in parts numbered 1.., 0 elsewhere.
    cores: Volume<u32>,
    /// The nucleus, by its row, that each part is of.
    owners: Vec<u32>,
    found: Vec<Nucleus>,
    /// How sure it is that two that touch are two, lower row first; all others are.
    parted: BTreeMap<(u32, u32), f64>,
}

impl Nuclei {
    /// Finds the nuclei of a channel (bright nuclei) of any voxel size, with voxels merged up to `merged_um`; none where
    /// there is nothing but noise.
    ///
    /// # Errors
    /// [`SegmentError::NotFinite`], or [`SegmentError::ConstantNuclei`] if every voxel has one value.
    pub fn find<T>(channel: &Volume<T>, merged_um: f64) -> Result<Self>
    where
        T: Copy + Into<f32> + Send + Sync,
    {
        finite_range(channel).map_err(|error| match error {
            SegmentError::Constant { value } => SegmentError::ConstantNuclei { value },
            other => other,
        })?;
        let image = shrink(channel, factors_up_to(channel, merged_um), Into::into)?;
        let cores = image.map(|_| 0);
        let Some(sigma_um) = usual_scale(&image)? else {
            let (owners, found, parted) = Default::default();
            return Ok(Self { cores, owners, found, parted });
        };
        let least = ABOVE_NOISE * Noise::of(&image).of_blobs(sigma_um);
        Self::among(&evened(blobs(&image, sigma_um)?, sigma_um, [least, LEAST])?)
    }

    /// The nuclei, by their numbers less 1.
    pub fn all(&self) -> &[Nucleus] {
        &self.found
    }

    /// How sure it is that two nuclei (rows of [`Nuclei::all`]) are there, and are two, 0 to 1.
    pub(crate) fn apart(&self, a: u32, b: u32) -> f64 {
        if a == b {
            return 0.0;
        }
        let two = self.parted.get(&(a.min(b), a.max(b))).copied().unwrap_or(1.0);
        two * self.found[a as usize].sureness * self.found[b as usize].sureness
    }

    /// The nuclei among the maxima of `blobs`, in which 1 is usual.
    fn among(blobs: &Volume<f32>) -> Result<Self> {
        let (mut seeds, mut peaks) = (blobs.blank::<u32>(), Vec::new());
        for at in minima(&blobs.map(|value| -value), &Part::whole(blobs.shape())) {
            let height = blobs.voxels()[at];
            if height >= LEAST {
                peaks.push(Peak { at, height });
                seeds.voxels_mut()[at] = peaks.len() as u32;
            }
        }
        let basins = flood(depths(blobs), seeds)?;
        let saddles = saddles(blobs, &basins);
        let tops = tops(&peaks, &saddles);
        let mut rows = vec![0; peaks.len()];
        let mut found = Vec::new();
        for (row, peak) in peaks.iter().enumerate().filter(|(row, _)| tops[*row] == *row) {
            rows[row] = found.len() as u32;
            found.push(Nucleus { centre_um: blobs.point_um(peak.at), sureness: peak.sureness() });
        }
        tops.iter().enumerate().for_each(|(row, &top)| rows[row] = rows[top]);
        let mut cores = basins;
        for (core, &height) in cores.voxels_mut().iter_mut().zip(blobs.as_slice()) {
            let peak = (*core as usize).checked_sub(1).and_then(|peak| peaks.get(peak));
            *core = if peak.is_some_and(|peak| height >= CORE * peak.height) { *core } else { 0 };
        }
        let parted = parted(&peaks, &saddles, &tops, &rows);
        Ok(Self { cores, owners: rows, found, parted })
    }
}

/// A maximum of the blob filter.
#[derive(Clone, Copy, Debug)]
struct Peak {
    at: [usize; 3],
    height: f32, // 1 is usual
}

impl Peak {
    fn sureness(&self) -> f64 {
        f64::from((self.height / LEAST - 1.0) / (SURE - 1.0)).min(1.0)
    }
}

/// For each peak the highest one of its nucleus: peaks are joined over the highest saddles first, as long as the dip to a
/// saddle is small.
fn tops(peaks: &[Peak], saddles: &BTreeMap<(usize, usize), f32>) -> Vec<usize> {
    let mut tops: Vec<usize> = (0..peaks.len()).collect();
    let top_of = |tops: &[usize], mut row: usize| {
        while tops[row] != row {
            row = tops[row];
        }
        row
    };
    let mut order: Vec<_> = saddles.iter().collect();
    order.sort_by(|a, b| b.1.total_cmp(a.1)); // stable: of equals the first pair
    for (&(a, b), &saddle) in order {
        let (a, b) = (top_of(&tops, a), top_of(&tops, b));
        let (higher, lower) = if peaks[a].height >= peaks[b].height { (a, b) } else { (b, a) };
        if a != b && 1.0 - saddle / peaks[lower].height <= DIP[0] {
            tops[lower] = higher;
        }
    }
    (0..peaks.len()).map(|row| top_of(&tops, row)).collect()
}

/// How sure it is that nuclei that touch are two; by their rows, the lower first.
fn parted(
    peaks: &[Peak],
    saddles: &BTreeMap<(usize, usize), f32>,
    tops: &[usize],
    rows: &[u32],
) -> BTreeMap<(u32, u32), f64> {
    let mut parted = BTreeMap::new();
    for (&(a, b), &saddle) in saddles.iter().filter(|((a, b), _)| tops[*a] != tops[*b]) {
        let lower = peaks[tops[a]].height.min(peaks[tops[b]].height);
        let dip = f64::from((1.0 - saddle / lower - DIP[0]) / (DIP[1] - DIP[0])).clamp(0.0, 1.0);
        let pair = (rows[a].min(rows[b]), rows[a].max(rows[b]));
        let least = parted.entry(pair).or_insert(1.0_f64);
        *least = least.min(dip);
    }
    parted
}

/// The highest place at which two basins (numbered from 1) touch, by their peaks' rows, the lower first; only places above 0.
fn saddles(blobs: &Volume<f32>, basins: &Volume<u32>) -> BTreeMap<(usize, usize), f32> {
    let [n_z, n_y, n_x] = blobs.shape();
    let (heights, basins) = (blobs.as_slice(), basins.as_slice());
    let mut saddles = BTreeMap::new();
    for (here, &a) in basins.iter().enumerate() {
        let (z, y, x) = (here / n_x / n_y, here / n_x % n_y, here % n_x);
        let next = [(z + 1 < n_z, n_x * n_y), (y + 1 < n_y, n_x), (x + 1 < n_x, 1)];
        for (_, step) in next.into_iter().filter(|(is_inside, _)| *is_inside) {
            let b = basins[here + step];
            let height = heights[here].min(heights[here + step]);
            if a != b && a > 0 && b > 0 && height > 0.0 {
                let pair = (a.min(b) as usize - 1, a.max(b) as usize - 1);
                let saddle = saddles.entry(pair).or_insert(height);
                *saddle = saddle.max(height);
            }
        }
    }
    saddles
}

/// How far below the highest peak each place is, in steps for the flood.
fn depths(blobs: &Volume<f32>) -> Volume<u16> {
    const STEPS: f32 = 4095.0;
    let most = blobs.as_slice().iter().copied().fold(f32::MIN_POSITIVE, f32::max);
    blobs.map(|&height| (STEPS * (1.0 - height / most)).clamp(0.0, STEPS) as u16)
}

#[cfg(test)]
impl Nuclei {
    /// Nuclei of given sureness, a µm apart along x, one voxel each.
    pub(crate) fn known(sureness: &[f64]) -> Self {
        let shape = [1, 1, sureness.len().max(1)];
        let numbers = (1..).take(shape[2]).collect();
        let mut cores = crate::testing::volume(shape, numbers);
        if sureness.is_empty() {
            cores.voxels_mut().fill(0);
        }
        let nucleus = |(x, &sureness): (usize, &f64)| Nucleus {
            centre_um: Point3::new(x as f64, 0.0, 0.0),
            sureness,
        };
        let found: Vec<_> = sureness.iter().enumerate().map(nucleus).collect();
        Self { cores, owners: (0..found.len() as u32).collect(), found, parted: BTreeMap::new() }
    }
}

#[cfg(test)]
mod tests {
    use primordia_data::VoxelSize;
    use primordia_data::phantom::{self, Optics, PhantomParams, TissueParams};
    use rand::{Rng, SeedableRng};
    use rand_chacha::ChaCha8Rng;

    use super::*;
    use crate::gaussian::gaussian;
    use crate::testing::{on_threads, sized_volume, volume};

    const MERGED_UM: f64 = 0.44;

    /// Balls of a radius around centres (z, y, x in µm), 100 over a background of 10.
    fn balls(centres_um: &[[f64; 3]], radius_um: f64, um: [f64; 3]) -> Volume<f32> {
        let shape = um.map(|side_um| (24.0 / side_um) as usize);
        let mut image = sized_volume(shape, vec![10.0; shape.iter().product()], um);
        for (at, value) in image.voxels_mut().indexed_iter_mut() {
            let at = [at.0 as f64 * um[0], at.1 as f64 * um[1], at.2 as f64 * um[2]];
            let inside = |centre: &&[f64; 3]| {
                (0..3).map(|axis| (at[axis] - centre[axis]).powi(2)).sum::<f64>()
                    < radius_um.powi(2)
            };
            if centres_um.iter().any(|centre| inside(&centre)) {
                *value = 100.0;
            }
        }
        image
    }

    /// Balls are found in their middles, whatever their size and the voxels.
    #[test]
    fn balls_of_any_size_are_one_nucleus_each() {
        let centres = [[7.0, 7.0, 7.0], [7.0, 17.0, 8.0], [16.0, 8.0, 16.0], [17.0, 18.0, 17.0]];
        for um in [[0.4, 0.4, 0.4], [1.0, 0.25, 0.25], [0.3, 0.15, 0.15]] {
            for radius_um in [1.8, 2.5, 3.5] {
                let found = Nuclei::find(&balls(&centres, radius_um, um), MERGED_UM).unwrap();
                assert_eq!(found.all().len(), 4, "{um:?} {radius_um}");
                for nucleus in found.all() {
                    let away = |centre: &[f64; 3]| {
                        (nucleus.centre_um - Point3::new(centre[2], centre[1], centre[0])).norm()
                    };
                    let nearest = centres.iter().map(away).fold(f64::INFINITY, f64::min);
                    // Two merged voxels along the longest side.
                    assert!(nearest < 2.0 * um[0].max(MERGED_UM), "{um:?} {radius_um}: {nearest}");
                    assert!(nucleus.sureness > 0.9, "{nucleus:?}");
                }
            }
        }
    }

    #[test]
    fn the_less_two_balls_overlap_the_surer_they_are_two() {
        let apart = |distance_um: f64| {
            let (a, b) = (12.0 - 0.5 * distance_um, 12.0 + 0.5 * distance_um);
            let lone = [[4.0, 4.0, 4.0], [20.0, 20.0, 20.0], [4.0, 20.0, 20.0]];
            let centres = [&lone[..], &[[12.0, 12.0, a], [12.0, 12.0, b]]].concat();
            let found = Nuclei::find(&balls(&centres, 2.5, [0.4; 3]), MERGED_UM).unwrap();
            let mut middle = (0..found.all().len() as u32).filter(|&row| {
                let centre_um = found.all()[row as usize].centre_um;
                (centre_um.coords - nalgebra::Vector3::repeat(12.0)).norm() < 5.0
            });
            match (middle.next(), middle.next()) {
                (Some(a), Some(b)) => found.apart(a, b),
                (one, _) => one.map_or(f64::NAN, |_| 0.0),
            }
        };
        let found = [1.0, 3.0, 4.5, 7.0].map(apart);
        assert_eq!((found[0], found[3]), (0.0, 1.0), "{found:?}");
        assert!(found.windows(2).all(|pair| pair[0] <= pair[1]), "{found:?}");
    }

    /// Noise, fine or coarse, has as many bright blobs as dark ones.
    #[test]
    fn noise_has_no_nuclei() {
        let mut rng = ChaCha8Rng::seed_from_u64(3);
        let noise = (0..64_000).map(|_| (0..12).map(|_| rng.random::<f32>()).sum()).collect();
        let fine = sized_volume([20, 40, 80], noise, [0.8, 0.4, 0.4]);
        let coarse = gaussian(&fine, [1.2; 3]).unwrap();
        for noise in [fine, coarse] {
            assert_eq!(Nuclei::find(&noise, MERGED_UM).unwrap().all(), []);
        }
    }

    #[test]
    fn what_shows_nothing_is_refused() {
        let found = Nuclei::find(&volume([2, 3, 4], vec![7_u8; 24]), MERGED_UM);
        assert!(matches!(found, Err(SegmentError::ConstantNuclei { value }) if value == 7.0));
        let found = Nuclei::find(&volume([1, 1, 2], vec![f32::NAN, 1.0]), MERGED_UM);
        assert!(matches!(found, Err(SegmentError::NotFinite { .. })));
        let thin = Nuclei::find(&volume([1, 1, 3], vec![1.0_f32, 2.0, 1.0]), MERGED_UM);
        assert!(thin.is_ok());
    }

    /// The nuclei of a phantom: how many, how many cells have exactly one, and how many nuclei there are in all.
    fn of_phantom(optics: impl Fn(VoxelSize) -> Optics, um: [f64; 3]) -> [usize; 3] {
        let tissue = TissueParams { n_cells: 30, ..TissueParams::default() };
        let optics = optics(VoxelSize::from_um(um).unwrap());
        let params = PhantomParams { tissue, optics: optics.clone(), ..PhantomParams::default() };
        let phantom = phantom::specimen(&params, 6).unwrap();
        let nuclei = phantom::nuclei(&phantom, &optics, 6).unwrap();
        let found = on_threads(1, || Nuclei::find(&nuclei.image, MERGED_UM).unwrap());
        let again = on_threads(4, || Nuclei::find(&nuclei.image, MERGED_UM).unwrap());
        assert_eq!((found.all(), &found.cores), (again.all(), &again.cores));
        let mut n_of_cell = vec![0; phantom.truth.n_cells() + 1];
        for nucleus in found.all() {
            let at =
                [0, 1, 2].map(|axis| (nucleus.centre_um[2 - axis] / um[axis]).round() as usize);
            n_of_cell[phantom.truth.volume().voxels()[at] as usize] += 1;
        }
        let n_with_one = n_of_cell[1..].iter().filter(|n| **n == 1).count();
        [found.all().len(), n_with_one, phantom.truth.n_cells()]
    }

    /// One nucleus of thirty is found as two.
    const CLEAR: f64 = 0.96;
    /// Where noise hides as much as light shows.
    const DIM: f64 = 0.9;

    #[test]
    fn the_nuclei_of_a_phantom_are_found() {
        for (optics, um, least) in [
            (Optics::clean as fn(VoxelSize) -> Optics, [0.4, 0.2, 0.2], CLEAR),
            (Optics::clean, [1.0, 0.4, 0.4], CLEAR),
            (Optics::very_dim, [1.0, 0.4, 0.4], DIM),
        ] {
            let [found, with_one, all] = of_phantom(optics, um);
            let share = with_one as f64 / all as f64;
            assert!(share >= least, "{um:?}: {found} found, {with_one} of {all} cells have one");
        }
    }
}
