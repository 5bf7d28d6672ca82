//! The surface of every cell as spherical harmonics: the shape space from which cells are drawn.

use primordia_features::{CellHarmonics, Harmonics, HarmonicsParams};

use super::specimen::Columns;

/// The name of the shape space of surfaces.
pub const HARMONICS: &str = "harmonics";

/// Where an atlas keeps the standard deviation in µm of surfaces along each axis of that space.
pub const DEVIATIONS: &str = "embeddings/shape/harmonics/standard_deviations_um";

/// How surfaces are expanded in an atlas: `docs/shape_modes.md` says why to degree 8.
pub fn harmonics_params() -> HarmonicsParams {
    HarmonicsParams { l_max: 8, ..HarmonicsParams::default() }
}

/// The coefficients of each cell's surface in µm, along the axes of the tissue; NaN where a cell is
/// not star-shaped, since it could not be drawn from them.
pub fn harmonics_columns(surfaces: &[CellHarmonics]) -> Columns {
    let coefficients = surfaces.iter().flat_map(|surface| {
        let known = surface.is_star_shaped();
        let shown = move |value: &f64| if known { *value } else { f64::NAN };
        surface.radius_um.coefficients().iter().map(shown)
    });
    Columns { values: coefficients.collect(), names: Harmonics::names(harmonics_params().l_max) }
}
