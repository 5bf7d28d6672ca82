//! Streams of random numbers: each belongs to a purpose and a number, so that no order of work changes them.

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// What random numbers are for.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Purpose {
    /// The first weights.
    Weights,
    /// A tissue.
    Scene,
    /// A picture of a tissue.
    Picture,
    /// A plane of a picture.
    Noise(u64),
    /// Which parts of pictures a step sees.
    Crops,
}

/// The stream of a `seed` for one purpose and its `index`.
pub(crate) fn stream(seed: u64, purpose: Purpose, index: u64) -> ChaCha8Rng {
    let (number, picture) = match purpose {
        Purpose::Weights => (0, 0),
        Purpose::Scene => (1, 0),
        Purpose::Picture => (2, 0),
        Purpose::Crops => (3, 0),
        Purpose::Noise(picture) => (4, picture),
    };
    let mut key = [0; 32];
    let words = [seed, number, picture, index];
    key.chunks_exact_mut(8)
        .zip(words)
        .for_each(|(key, word)| key.copy_from_slice(&word.to_le_bytes()));
    ChaCha8Rng::from_seed(key)
}

/// From one value to another, each factor as likely.
pub(crate) fn log_uniform(from: f64, to: f64, rng: &mut ChaCha8Rng) -> f64 {
    from * (to / from).powf(rng.random::<f64>())
}
