//! The one list of features: names with units, definitions, citations, and how each is computed.
//!
//! Tables, docs and `primordia features --list` all read it from here.

use std::f64::consts::PI;

use crate::intensity::{Intensities, Region};
use crate::shape::CellShape;

/// One feature of a cell. `T` is what it is computed from.
#[derive(Clone, Copy, Debug)]
pub struct Feature<T: 'static> {
    /// The column's name; it ends with the unit where there is one.
    pub name: &'static str,
    /// The unit: `µm`, `µm²`, `µm³`, `1` for pure numbers, `count`, or `intensity`.
    pub unit: &'static str,
    /// What it is, in one line.
    pub definition: &'static str,
    /// Where it comes from.
    pub citation: &'static str,
    value: fn(&T) -> f64,
}

impl<T> Feature<T> {
    /// The feature's value.
    pub fn value(&self, of: &T) -> f64 {
        (self.value)(of)
    }

    /// What the feature is, without how it is computed.
    pub fn description(&self) -> Description {
        let Self { name, unit, definition, citation, .. } = *self;
        Description { name, unit, definition, citation }
    }
}

/// What a feature is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Description {
    /// The column's name; features of channels have the channel's name and `_` before it.
    pub name: &'static str,
    /// The unit.
    pub unit: &'static str,
    /// What it is, in one line.
    pub definition: &'static str,
    /// Where it comes from.
    pub citation: &'static str,
}

/// All features, shape first, then those of every channel.
pub fn all() -> impl Iterator<Item = Description> {
    SHAPE.iter().map(Feature::description).chain(INTENSITY.iter().map(Feature::description))
}

const ATLAS: &str = "Hartmann et al. 2020, doi:10.7554/eLife.55913";
const WADELL: &str = "Wadell 1935, doi:10.1086/624298";
const MARCHING_CUBES: &str = "Lorensen & Cline 1987, doi:10.1145/37402.37422";
const POLARITY: &str = "mean of the landmarks of Hartmann et al. 2020, doi:10.7554/eLife.55913";
const FORMULA: &str = "closed form";

macro_rules! features {
    ($($name:literal, $unit:literal, $citation:expr, $definition:literal, $value:expr;)*) => {
        &[$(Feature {
            name: $name, unit: $unit, definition: $definition, citation: $citation, value: $value,
        }),*]
    };
}

/// The features of shape, in the order of their columns.
pub const SHAPE: &[Feature<CellShape>] = features![
    "volume_um3", "µm³", FORMULA, "Number of voxels times the volume of a voxel",
        |cell| cell.volume_um3;
    "surface_um2", "µm²", MARCHING_CUBES,
        "Area of the mesh of the smoothed cell, which encloses the cell's volume",
        |cell| cell.surface_um2;
    "surface_marching_cubes_um2", "µm²", ATLAS,
        "Area of marching cubes on the bare voxels, as published: too large by 8 % or more",
        |cell| cell.mask_surface_um2;
    "sphericity_surface_ratio", "1", WADELL,
        "Area of the ball with the cell's volume over the cell's area; 1 for balls",
        |cell| (36.0 * PI * cell.volume_um3.powi(2)).cbrt() / cell.surface_um2;
    "roundness_extent_ratio", "1", ATLAS,
        "Volume over area times the geometric mean of the three principal lengths; 1/6 for balls",
        |cell| cell.volume_um3 / (cell.surface_um2 * cell.extents_principal_um.product().cbrt());
    "sphericity_deviation", "1", ATLAS,
        "1 - mean |r / mean(r) - 1| over the surface, r the distance to the centroid; 1 for balls",
        |cell| cell.sphericity_deviation;
    "roundness_deviation", "1", ATLAS,
        "1 - mean |D - r| / D over the surface, D the distance to the ellipsoid of the principal lengths",
        |cell| cell.roundness_deviation;
    "extent_x_um", "µm", ATLAS, "Length along the tissue's x", |cell| cell.extents_tissue_um.x;
    "extent_y_um", "µm", ATLAS, "Length along the tissue's y", |cell| cell.extents_tissue_um.y;
    "extent_z_um", "µm", ATLAS, "Length along the tissue's z", |cell| cell.extents_tissue_um.z;
    "aspect_yx", "1", ATLAS, "extent_y_um over extent_x_um",
        |cell| cell.extents_tissue_um.y / cell.extents_tissue_um.x;
    "aspect_zx", "1", ATLAS, "extent_z_um over extent_x_um",
        |cell| cell.extents_tissue_um.z / cell.extents_tissue_um.x;
    "aspect_zy", "1", ATLAS, "extent_z_um over extent_y_um",
        |cell| cell.extents_tissue_um.z / cell.extents_tissue_um.y;
    "axis_major_um", "µm", ATLAS, "Longest of the lengths along the surface's principal axes",
        |cell| cell.extents_principal_um[0];
    "axis_medium_um", "µm", ATLAS, "Second of the lengths along the surface's principal axes",
        |cell| cell.extents_principal_um[1];
    "axis_minor_um", "µm", ATLAS, "Shortest of the lengths along the surface's principal axes",
        |cell| cell.extents_principal_um[2];
    "eccentricity_major_medium", "1", ATLAS, "sqrt(1 - b²/a²) of axis_medium_um and axis_major_um",
        |cell| eccentricity(cell, 0, 1);
    "eccentricity_major_minor", "1", ATLAS, "sqrt(1 - b²/a²) of axis_minor_um and axis_major_um",
        |cell| eccentricity(cell, 0, 2);
    "eccentricity_medium_minor", "1", ATLAS, "sqrt(1 - b²/a²) of axis_minor_um and axis_medium_um",
        |cell| eccentricity(cell, 1, 2);
    "inertia_axis_major_um", "µm", FORMULA,
        "Longest semi-axis of the ellipsoid with the cell's second moments",
        |cell| cell.semi_axes_um[0];
    "inertia_axis_medium_um", "µm", FORMULA,
        "Second semi-axis of the ellipsoid with the cell's second moments",
        |cell| cell.semi_axes_um[1];
    "inertia_axis_minor_um", "µm", FORMULA,
        "Shortest semi-axis of the ellipsoid with the cell's second moments",
        |cell| cell.semi_axes_um[2];
    "longest_extension_um", "µm", ATLAS, "Distance from the centroid to the farthest surface point",
        |cell| cell.distal_um.norm();
    "orientation_x", "1", ATLAS, "Direction to the farthest surface point along the tissue's x",
        |cell| cell.distal_um.normalize().x;
    "orientation_y", "1", ATLAS, "Direction to the farthest surface point along the tissue's y",
        |cell| cell.distal_um.normalize().y;
    "orientation_z", "1", ATLAS, "Direction to the farthest surface point along the tissue's z",
        |cell| cell.distal_um.normalize().z;
    "n_neighbours", "count", ATLAS, "Number of cells that share a voxel face with the cell",
        |cell| cell.n_neighbours as f64;
    "contact_cells_um2", "µm²", ATLAS, "Area that touches other cells, by vector sums of voxel faces in small blocks",
        |cell| cell.contact_cells_um2;
    "contact_outside_um2", "µm²", ATLAS, "Area that touches background",
        |cell| cell.contact_outside_um2;
    "contact_border_um2", "µm²", FORMULA, "Area where the image ends and the cell may go on",
        |cell| cell.contact_border_um2;
];

/// The features of every channel, in the order of their columns, named after the channel and `_`.
pub const INTENSITY: &[Feature<Intensities>] = features![
    "mean_whole", "intensity", ATLAS, "Mean over the cell's voxels",
        |channel| channel.mean(Region::Whole);
    "mean_membrane", "intensity", ATLAS, "Mean over voxels within membrane_um of the cell's border",
        |channel| channel.mean(Region::Membrane);
    "mean_inside", "intensity", ATLAS, "Mean over voxels farther than membrane_um from the border",
        |channel| channel.mean(Region::Inside);
    "mean_apical", "intensity", ATLAS, "Mean above the centroid along the tissue's z",
        |channel| channel.mean(Region::Apical);
    "mean_basal", "intensity", ATLAS, "Mean below the centroid along the tissue's z",
        |channel| channel.mean(Region::Basal);
    "sum_whole", "intensity", ATLAS, "Sum over the cell's voxels",
        |channel| channel.sum(Region::Whole);
    "sum_membrane", "intensity", ATLAS, "Sum over voxels within membrane_um of the cell's border",
        |channel| channel.sum(Region::Membrane);
    "sum_inside", "intensity", ATLAS, "Sum over voxels farther than membrane_um from the border",
        |channel| channel.sum(Region::Inside);
    "sum_apical", "intensity", ATLAS, "Sum above the centroid along the tissue's z",
        |channel| channel.sum(Region::Apical);
    "sum_basal", "intensity", ATLAS, "Sum below the centroid along the tissue's z",
        |channel| channel.sum(Region::Basal);
    "polarity_x_um", "µm", POLARITY,
        "From the centroid to the mean place of what is above the cell's mean, along the tissue's x",
        |channel| channel.polarity_um().x;
    "polarity_y_um", "µm", POLARITY,
        "From the centroid to the mean place of what is above the cell's mean, along the tissue's y",
        |channel| channel.polarity_um().y;
    "polarity_z_um", "µm", POLARITY,
        "From the centroid to the mean place of what is above the cell's mean, along the tissue's z",
        |channel| channel.polarity_um().z;
    "polarity_um", "µm", POLARITY,
        "Distance from the centroid to the mean place of what is above the cell's mean",
        |channel| channel.polarity_um().norm();
];

/// √(1 − b²/a²) of two of the principal lengths.
fn eccentricity(cell: &CellShape, longer: usize, shorter: usize) -> f64 {
    let ratio = cell.extents_principal_um[shorter] / cell.extents_principal_um[longer];
    (1.0 - ratio * ratio).max(0.0).sqrt()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn names_are_unique_and_end_with_their_unit() {
        let mut seen = HashSet::new();
        for feature in all() {
            assert!(seen.insert(feature.name), "{} twice", feature.name);
            let ending = match feature.unit {
                "µm" => "_um",
                "µm²" => "_um2",
                "µm³" => "_um3",
                _ => "",
            };
            assert!(feature.name.ends_with(ending), "{}", feature.name);
            assert!(!feature.definition.is_empty() && !feature.citation.is_empty());
        }
    }
}
