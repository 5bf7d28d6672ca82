//! How a registered tissue runs and how thick it is along its length, and how unlike the others that is.

use nalgebra::{Matrix3, Vector3};
use primordia_data::{ImageFrame, Rigid, TissueFrame};

use crate::tissue::Tissue;

/// The middle and the half-width of a tissue in its frame, at places evenly spaced from rear to tip.
#[derive(Clone, Debug, PartialEq)]
pub struct Profile {
    /// Per place: the middle in y and z, and the standard deviations of the mass in y and z, in µm.
    pub stations_um: [[f64; 4]; N_STATIONS],
}

/// Places along the tissue.
pub const N_STATIONS: usize = 10;

impl Profile {
    /// The profile of `tissue`, between the ends `rear_um` and `tip_um` in x of its frame.
    ///
    /// Each cell counts at the two stations next to its centre, in proportion to its volume and its nearness. A station
    /// without cells is NaN.
    pub(crate) fn new(
        tissue: &Tissue,
        image_to_tissue: &Rigid<ImageFrame, TissueFrame>,
        (rear_um, tip_um): (f64, f64),
    ) -> Self {
        let rotation = image_to_tissue.rotation();
        let mut sums = [Sum::default(); N_STATIONS];
        for cell in tissue.cells() {
            let centre = image_to_tissue.point(&cell.centre()).coords;
            let covariance = rotation * cell.covariance() * rotation.transpose();
            let share = ((centre.x - rear_um) / (tip_um - rear_um)).clamp(0.0, 1.0);
            let position = share * (N_STATIONS - 1) as f64;
            let below = (position as usize).min(N_STATIONS - 2);
            let nearness = position - below as f64;
            sums[below].add(&centre, &covariance, cell.mass() * (1.0 - nearness));
            sums[below + 1].add(&centre, &covariance, cell.mass() * nearness);
        }
        Self { stations_um: sums.map(|sum| sum.station()) }
    }

    /// The root mean square of the differences between two profiles, in µm, where both are known.
    fn distance_um(&self, other: &Self) -> f64 {
        let pairs = self.stations_um.iter().flatten().zip(other.stations_um.iter().flatten());
        let squares = pairs.map(|(a, b)| (a - b).powi(2)).filter(|square| square.is_finite());
        let (n, sum) = squares.fold((0.0, 0.0), |(n, sum), square| (n + 1.0, sum + square));
        (sum / n).sqrt()
    }
}

#[derive(Clone, Copy, Default)]
struct Sum {
    mass: f64,
    first: [f64; 2],
    second: [f64; 2],
}

impl Sum {
    fn add(&mut self, centre: &Vector3<f64>, covariance: &Matrix3<f64>, mass: f64) {
        self.mass += mass;
        for (k, axis) in [1, 2].into_iter().enumerate() {
            self.first[k] += mass * centre[axis];
            self.second[k] += mass * (covariance[(axis, axis)] + centre[axis].powi(2));
        }
    }

    fn station(&self) -> [f64; 4] {
        let mean = self.first.map(|sum| sum / self.mass);
        let spread = [0, 1].map(|k| (self.second[k] / self.mass - mean[k].powi(2)).max(0.0).sqrt());
        let known = |value: f64| if self.mass > 0.0 { value } else { f64::NAN };
        [mean[0], mean[1], spread[0], spread[1]].map(known)
    }
}

/// The registration residual of each specimen: how far, in µm, its profile is from the mean profile of all others.
///
/// It is the root mean square over stations of the differences in the middle (y, z) and in the half-width and
/// half-height (standard deviations in y and z). A specimen that was turned, flipped, bent or cut stands out. NaN for a set of one.
pub fn residuals_um(profiles: &[&Profile]) -> Vec<f64> {
    let values = |profile: &Profile| profile.stations_um.into_iter().flatten();
    let mut sums = vec![(0.0, 0.0); 4 * N_STATIONS];
    for profile in profiles {
        for ((sum, n), value) in sums.iter_mut().zip(values(profile)).filter(|(_, v)| v.is_finite())
        {
            *sum += value;
            *n += 1.0;
        }
    }
    let residual = |profile: &&Profile| {
        let of_others = |((sum, n), own): (&(f64, f64), f64)| (sum - own) / (n - 1.0);
        let mut means = sums.iter().zip(values(profile)).map(of_others);
        let stations_um =
            std::array::from_fn(|_| std::array::from_fn(|_| means.next().unwrap_or(f64::NAN)));
        profile.distance_um(&Profile { stations_um })
    };
    profiles.iter().map(residual).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn straight(half_width_um: f64) -> Profile {
        Profile { stations_um: [[0.0, 0.0, half_width_um, 5.0]; N_STATIONS] }
    }

    #[test]
    fn the_residual_is_the_distance_from_the_mean_of_the_others() {
        let (a, b, c) = (straight(10.0), straight(12.0), straight(20.0));
        // One of four numbers per station differs: by 16 − 10, 15 − 12 and 20 − 11.
        let found = residuals_um(&[&a, &b, &c]);
        for (found, difference) in found.iter().zip([6.0, 3.0, 9.0]) {
            assert!((found - difference / 2.0).abs() < 1e-12);
        }
    }

    #[test]
    fn stations_without_cells_do_not_count_and_one_specimen_has_no_residual() {
        let (a, mut b) = (straight(10.0), straight(12.0));
        b.stations_um[3] = [f64::NAN; 4];
        assert!(residuals_um(&[&a, &b]).iter().all(|residual| (residual - 1.0).abs() < 1e-12));
        assert!(residuals_um(&[&a])[0].is_nan());
    }
}
