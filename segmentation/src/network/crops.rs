//! What the steps of a training see, as plain numbers: for trainers other than [`super::Training`].

use super::conv3d::with_values;
use super::samples::{Crop, Samples};
use super::training::Recipe;
use crate::error::Result;

/// The crops of phantoms that the steps of a recipe see, one step after another, in little-endian numbers.
///
/// Of each crop: how many voxels along z, y and x the network merges from its first level to the second, and from there
/// to the third, 6 numbers of type `u32`; then of type `f32` what the network sees, `[z, 3, y, x]`, and the probability of a
/// boundary that it is to answer, `[z, y, x]`. [`crate::SegmentError::Data`] if a phantom cannot be made.
pub struct Crops {
    samples: Samples,
    recipe: Recipe,
    step: u64,
}

impl Crops {
    /// Those of all steps of `recipe`.
    ///
    /// # Errors
    /// [`crate::SegmentError::Parameter`] if the recipe makes no sense.
    pub fn new(recipe: Recipe) -> Result<Self> {
        recipe.check()?;
        Ok(Self { samples: Samples::new(recipe.seed, recipe.crop, Vec::new()), recipe, step: 0 })
    }

    fn of_step(&mut self, step: u64) -> Result<Vec<u8>> {
        let crops = self.samples.batch(step, self.recipe.crops)?;
        Ok(crops.iter().map(bytes).collect::<Result<Vec<_>>>()?.concat())
    }
}

impl Iterator for Crops {
    type Item = Result<Vec<u8>>;

    fn next(&mut self) -> Option<Self::Item> {
        let step = self.step;
        self.step += 1;
        (step < self.recipe.steps).then(|| self.of_step(step))
    }
}

fn bytes(crop: &Crop) -> Result<Vec<u8>> {
    let mut bytes: Vec<u8> = crop
        .steps
        .factors()
        .as_flattened()
        .iter()
        .flat_map(|&n| (n as u32).to_le_bytes())
        .collect();
    for tensor in [&crop.input, &crop.target] {
        with_values(tensor, |values| {
            bytes.extend(values.iter().flat_map(|value| value.to_le_bytes()));
        })?;
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn crops_are_those_that_training_sees() {
        let recipe = Recipe { seed: 3, steps: 2, crops: 2, crop: [4, 8, 12], ..Recipe::default() };
        let steps: Vec<Vec<u8>> = Crops::new(recipe.clone()).unwrap().map(Result::unwrap).collect();
        assert_eq!(steps.len(), 2);
        let n_voxels: usize = recipe.crop.iter().product();
        let (head, image) = (6 * 4, 3 * n_voxels * 4);
        assert_eq!(steps[1].len(), 2 * (head + image + 4 * n_voxels));
        let seen = Samples::new(3, recipe.crop, Vec::new()).batch(1, 2).unwrap();
        let last = &steps[1][steps[1].len() / 2..];
        let values = |bytes: &[u8]| -> Vec<f32> {
            bytes.as_chunks().0.iter().map(|&value| f32::from_le_bytes(value)).collect()
        };
        let of = |tensor| with_values(tensor, <[f32]>::to_vec).unwrap();
        assert_eq!(values(&last[head..head + image]), of(&seen[1].input));
        assert_eq!(values(&last[head + image..]), of(&seen[1].target));
    }
}
