//! Chance that is the same everywhere: one stream of numbers per purpose and place.

use nalgebra::{Point3, UnitQuaternion, Vector3};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rand_distr::StandardNormal;

/// What a stream of random numbers decides; streams of different purposes never meet.
#[derive(Clone, Copy, Debug)]
pub(super) enum Purpose {
    Shape = 1,
    Seeds,
    Waves,
    Patches,
    Faces,
    Skin,
    Amounts,
    Control,
    MembraneNoise,
    ProteinNoise,
    ControlNoise,
    Pose,
    Variation,
    Nuclei,
    NucleiNoise,
    Crowding,
    Notches,
}

/// The stream of `purpose` at `place`, such as a plane of voxels.
pub(super) fn stream(seed: u64, purpose: Purpose, place: usize) -> ChaCha8Rng {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    rng.set_stream(((purpose as u64) << 40) | place as u64);
    rng
}

/// A number from the normal distribution of mean 0 and variance 1.
pub(super) fn normal(rng: &mut impl Rng) -> f64 {
    rng.sample(StandardNormal)
}

/// A direction, each as likely as any other.
pub(super) fn direction(rng: &mut impl Rng) -> Vector3<f64> {
    Vector3::from_fn(|_, _| normal(rng)).normalize()
}

/// A rotation, each as likely as any other.
pub(super) fn rotation(rng: &mut impl Rng) -> UnitQuaternion<f64> {
    let quaternion =
        nalgebra::Quaternion::from_vector(nalgebra::Vector4::from_fn(|_, _| normal(rng)));
    UnitQuaternion::from_quaternion(quaternion)
}

/// Draws numbers of photons from Poisson distributions.
///
/// Steps along the distribution function; means above 32 are sums of independent parts, and those above 1000 are drawn from
/// the normal distribution that is all but the same. Much of an image is background of one mean: its probability of no
/// photon is remembered.
#[derive(Clone, Debug)]
pub(super) struct Photons {
    part_dark: f64,
    last: f64,
    last_dark: f64,
}

impl Photons {
    const PART: f64 = 32.0;
    const MANY: f64 = 1000.0;

    pub(super) fn new() -> Self {
        Self { part_dark: libm::exp(-Self::PART), last: 0.0, last_dark: 1.0 }
    }

    /// A number of photons where `expected` are expected.
    pub(super) fn draw(&mut self, expected: f64, rng: &mut impl Rng) -> u32 {
        if expected > Self::MANY {
            return (expected + expected.sqrt() * normal(rng)).round() as u32;
        }
        let mut left = expected;
        let mut photons = 0;
        while left > Self::PART {
            photons += part(Self::PART, self.part_dark, rng);
            left -= Self::PART;
        }
        if left.to_bits() != self.last.to_bits() {
            (self.last, self.last_dark) = (left, libm::exp(-left));
        }
        photons + part(left, self.last_dark, rng)
    }
}

/// A number of photons of mean `expected`; `dark` is the probability of none.
fn part(expected: f64, dark: f64, rng: &mut impl Rng) -> u32 {
    /// Beyond it, no probability that a number of 53 bits can tell from 0 is left.
    const MOST: u32 = 160;
    let mut left = rng.random::<f64>();
    let mut probability = dark;
    let mut photons = 0;
    while left >= probability && photons < MOST {
        left -= probability;
        photons += 1;
        probability *= expected / f64::from(photons);
    }
    photons
}

/// A smooth random field: a sum of plane waves in random directions, of mean 0 and variance 1.
#[derive(Clone, Debug)]
pub(super) struct Waves {
    waves: Vec<(Vector3<f64>, f64)>, // wave vector per µm, phase
}

impl Waves {
    /// `n` waves whose lengths lie between the two `wavelengths_um`.
    pub(super) fn new(n: usize, wavelengths_um: [f64; 2], rng: &mut impl Rng) -> Self {
        use std::f64::consts::TAU;
        let waves = (0..n).map(|_| {
            let [shortest, longest] = wavelengths_um;
            let wavelength_um = shortest + (longest - shortest) * rng.random::<f64>();
            (direction(rng) * (TAU / wavelength_um), TAU * rng.random::<f64>())
        });
        Self { waves: waves.collect() }
    }

    /// The field at `point`.
    pub(super) fn at(&self, point: &Point3<f64>) -> f64 {
        let sum: f64 =
            self.waves.iter().map(|(wave, phase)| libm::cos(wave.dot(&point.coords) + phase)).sum();
        sum * (2.0 / self.waves.len() as f64).sqrt()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Five standard errors of a mean or variance over the draws below.
    const SIGMAS: f64 = 5.0;

    #[test]
    fn photons_have_a_variance_equal_to_their_mean() {
        const DRAWS: usize = 40_000;
        let mut rng = stream(3, Purpose::MembraneNoise, 0);
        let mut photons = Photons::new();
        for expected in [0.0, 0.3, 5.0, 31.0, 70.0, 500.0, 5000.0] {
            let draws: Vec<f64> =
                (0..DRAWS).map(|_| f64::from(photons.draw(expected, &mut rng))).collect();
            let mean = draws.iter().sum::<f64>() / DRAWS as f64;
            let variance =
                draws.iter().map(|draw| (draw - mean).powi(2)).sum::<f64>() / DRAWS as f64;
            let error = (expected / DRAWS as f64).sqrt();
            assert!((mean - expected).abs() <= SIGMAS * error, "{mean} of {expected}");
            // The variance of a sample variance is (2 λ² + λ)/n.
            let error = ((2.0 * expected * expected + expected) / DRAWS as f64).sqrt();
            assert!((variance - expected).abs() <= SIGMAS * error, "{variance} of {expected}");
        }
    }

    #[test]
    fn streams_differ_by_seed_purpose_and_place() {
        let first = |seed, purpose, place| stream(seed, purpose, place).random::<u64>();
        let here = first(1, Purpose::Seeds, 2);
        assert_eq!(here, first(1, Purpose::Seeds, 2));
        assert_ne!(here, first(2, Purpose::Seeds, 2));
        assert_ne!(here, first(1, Purpose::Faces, 2));
        assert_ne!(here, first(1, Purpose::Seeds, 3));
    }
}
