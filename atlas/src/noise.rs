//! How much of a feature is noise, as a table.

use polars::prelude::DataFrame;
use primordia_data::{Labels, Rigid};
use primordia_features::{
    FeatureNoise, NoiseOf, NoiseParams, Placement, registry, resampling_noise,
};

use crate::error::{AtlasError, Result};
use crate::query::tables::{numbers, text};

/// The noise of every feature of the cells of `labels`, by sampling them again `n_repeats` times
/// in each of three ways.
///
/// Columns: `feature`, `unit`, `made_from` (`mask`, `random landmarks` or `even landmarks`),
/// `between_cells` (the standard deviation between cells), `noise_shifted`, `noise_turned` and
/// `noise_resampled` (that between samplings of one cell on shifted grids, turned, and in voxels of
/// other sizes), `noise` (the largest of these), `limit` (by how much two images of one cell differ at most, 19 times in 20)
/// and `noise_share` (the ratio of `noise` to `between_cells`).
/// What cannot be told is NULL.
///
/// # Errors
/// [`AtlasError::Feature`] as of [`resampling_noise`].
pub fn noise_table(labels: &Labels, n_repeats: usize) -> Result<DataFrame> {
    let params = NoiseParams { n_repeats, ..NoiseParams::default() };
    let found = resampling_noise(labels, &Rigid::identity(), &params)?;
    let of = |feature: &FeatureNoise| match feature.of {
        NoiseOf::Mask => "mask",
        NoiseOf::Landmarks(Placement::Random) => "random landmarks",
        NoiseOf::Landmarks(Placement::Even) => "even landmarks",
    };
    let columns = vec![
        text("feature", found.iter().map(|feature| Some(feature.name.as_str()))),
        text("unit", found.iter().map(|feature| Some(unit_of(&feature.name)))),
        text("made_from", found.iter().map(|feature| Some(of(feature)))),
        numbers("between_cells", found.iter().map(|feature| feature.between_cells)),
        numbers("noise_shifted", found.iter().map(|feature| feature.shifted)),
        numbers("noise_turned", found.iter().map(|feature| feature.turned)),
        numbers("noise_resampled", found.iter().map(|feature| feature.resampled)),
        numbers("noise", found.iter().map(FeatureNoise::noise)),
        numbers("limit", found.iter().map(FeatureNoise::limit)),
        numbers("noise_share", found.iter().map(FeatureNoise::share)),
    ];
    DataFrame::new(found.len(), columns)
        .map_err(|source| AtlasError::Table { table: "noise".to_owned(), source })
}

/// The unit of a feature: of the registry, or of an embedding.
fn unit_of(name: &str) -> &'static str {
    let listed = registry::all().find(|feature| feature.name == name);
    listed.map_or_else(|| unit_of_embedding(name), |feature| feature.unit)
}

fn unit_of_embedding(name: &str) -> &'static str {
    if name.ends_with("_um2") {
        "µm²"
    } else if name.ends_with("_um") || name.contains("_centre") {
        "µm"
    } else {
        "1"
    }
}

#[cfg(test)]
mod tests {
    use ndarray::Array3;
    use primordia_data::VoxelSize;

    use super::*;

    #[test]
    fn a_row_is_a_feature_with_its_unit_and_noise() {
        // Three blocks of different length in background.
        let voxels = Array3::from_shape_fn((12, 16, 60), |(z, y, x)| {
            let is_in = (2..10).contains(&z) && (3..13).contains(&y);
            let cell = x / 20;
            if is_in && (2..10 + 3 * cell).contains(&(x % 20)) { cell as u32 + 1 } else { 0 }
        });
        let labels = Labels::from_voxels(voxels, VoxelSize::from_um([0.5; 3]).unwrap()).unwrap();
        let table = noise_table(&labels, 3).unwrap();
        let text = |name: &str, row| table.column(name).unwrap().str().unwrap().get(row);
        let number = |name: &str, row| table.column(name).unwrap().f64().unwrap().get(row);
        assert_eq!((text("feature", 0), text("unit", 0)), (Some("volume_um3"), Some("µm³")));
        assert_eq!(text("made_from", 0), Some("mask"));
        assert!(number("noise_share", 0).unwrap() < 0.2, "{:?}", number("noise_share", 0));
        let n_mask = registry::SHAPE.len() + registry::CONTEXT.len();
        assert_eq!(table.height(), n_mask + 2 * (19 + 60));
        assert!(noise_table(&labels, 1).is_err());
    }
}
