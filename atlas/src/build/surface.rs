//! What cells are drawn from: their surfaces as spherical harmonics, and where proteins lie inside.

use primordia_features::{CellHarmonics, Harmonics, HarmonicsParams, Layout, LayoutParams};

use super::specimen::Columns;

/// The name of the shape space of surfaces.
pub const HARMONICS: &str = "harmonics";

/// Where an atlas keeps the standard deviation in µm of surfaces along each axis of that space.
pub const DEVIATIONS: &str = "embeddings/shape/harmonics/standard_deviations_um";

/// The target of a protein that says where in the cell it lies.
pub const LAYOUT: &str = "layout";

/// How surfaces are expanded in an atlas: `docs/shape_modes.md` says why to degree 8.
pub fn harmonics_params() -> HarmonicsParams {
    HarmonicsParams { l_max: 8, ..HarmonicsParams::default() }
}

/// How layouts are fitted in an atlas: coarsely, in 49 numbers, since each is kept four times
/// (measured, predicted, and both ends of its interval); and from blocks that are still finer than that.
pub fn layout_params() -> LayoutParams {
    LayoutParams { n_shells: 4, l_max: 3, block_um: 0.75 }
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

/// The layout of a protein in each cell, in units of the cell's mean; NaN where the cell is dark.
pub fn layout_columns(layouts: &[Option<Layout>]) -> Columns {
    let LayoutParams { n_shells, l_max, .. } = layout_params();
    let names = Layout::names(n_shells, l_max);
    let dark = || vec![f64::NAN; names.len()];
    let coefficients = layouts.iter().flat_map(|layout| {
        layout.as_ref().map_or_else(dark, |layout| layout.coefficients().to_vec())
    });
    Columns { values: coefficients.collect(), names }
}
