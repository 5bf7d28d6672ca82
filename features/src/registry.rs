//! The one list of features: names with units, definitions, citations, and how each is computed.
//!
//! Tables, docs and `primordia features --list` all read it from here.

use crate::clouds::CloudShape;
use crate::context::CellContext;
use crate::groups::Group;
use crate::intensity::{Intensities, Region};
use crate::shape::CellShape;

/// One feature of a cell. `T` is what it is computed from.
#[derive(Clone, Copy, Debug)]
pub struct Feature<T: 'static> {
    /// The column's name; it ends with the unit where there is one.
    pub name: &'static str,
    /// The unit: a power of `µm`, `1` for pure numbers, `count`, or `intensity`.
    pub unit: &'static str,
    /// What it is, in one line.
    pub definition: &'static str,
    /// Where it comes from.
    pub citation: &'static str,
    /// With which others it is measured.
    pub group: Group,
    value: fn(&T) -> f64,
}

impl<T> Feature<T> {
    /// The feature's value.
    pub fn value(&self, of: &T) -> f64 {
        (self.value)(of)
    }

    /// What the feature is, without how it is computed.
    pub fn description(&self) -> Description {
        let Self { name, unit, definition, citation, group, .. } = *self;
        Description { name, unit, definition, citation, group }
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
    /// With which others it is measured.
    pub group: Group,
}

/// All features: shape, context, those of landmarks, then those of every channel.
pub fn all() -> impl Iterator<Item = Description> {
    let cell = SHAPE.iter().map(Feature::description);
    let context = CONTEXT.iter().map(Feature::description);
    let landmarks = LANDMARKS.iter().map(Feature::description);
    let channel = INTENSITY.iter().map(Feature::description);
    cell.chain(context).chain(landmarks).chain(channel)
}

const ATLAS: &str = "Hartmann et al. 2020, doi:10.7554/eLife.55913";
const WADELL: &str = "Wadell 1935, doi:10.1086/624298";
const MARCHING_CUBES: &str = "Lorensen & Cline 1987, doi:10.1145/37402.37422";
const POLARITY: &str = "mean of the landmarks of Hartmann et al. 2020, doi:10.7554/eLife.55913";
const FORMULA: &str = "closed form";
const LEVEL_SETS: &str = "Goldman 2005, doi:10.1016/j.cagd.2005.06.005";
const WILLMORE: &str = "Willmore 1965, An. Sti. Univ. Al. I. Cuza Iasi 11B:493";
const ROSETTES: &str = "Harding et al. 2014, doi:10.1242/dev.101444";
const HARALICK: &str = "Haralick et al. 1973, doi:10.1109/TSMC.1973.4309314";

macro_rules! features {
    ($($group:ident {
        $($name:literal, $unit:literal, $citation:expr, $definition:literal, $value:expr;)*
    })*) => {
        &[$($(Feature {
            name: $name, unit: $unit, definition: $definition, citation: $citation,
            group: Group::$group, value: $value,
        },)*)*]
    };
}

/// The features of shape, in the order of their columns.
pub const SHAPE: &[Feature<CellShape>] = features![
    Size {
        "volume_um3", "µm³", FORMULA, "Number of voxels times the volume of a voxel",
            |cell| cell.volume_um3;
    }
    Surface {
        "surface_um2", "µm²", MARCHING_CUBES,
            "Area of the mesh of the smoothed cell, which encloses the cell's volume",
            |cell| cell.surface.area_um2;
    }
    Size {
        "surface_marching_cubes_um2", "µm²", ATLAS,
            "Area of marching cubes on the bare voxels, as published: too large by 8 % or more",
            |cell| cell.mask_surface_um2;
    }
    Surface {
        "sphericity_surface_ratio", "1", WADELL,
            "Area of the ball with the cell's volume over the cell's area; 1 for balls",
            CellShape::sphericity;
        "roundness_extent_ratio", "1", ATLAS,
            "Volume over area times the geometric mean of the three principal lengths; 1/6 for balls",
            CellShape::roundness;
        "sphericity_deviation", "1", ATLAS,
            "1 - mean |r / mean(r) - 1| over the surface, r the distance to the centroid; 1 for balls",
            |cell| cell.surface.sphericity_deviation;
        "roundness_deviation", "1", ATLAS,
            "1 - mean |D - r| / D over the surface, D the distance to the ellipsoid of the principal lengths",
            |cell| cell.surface.roundness_deviation;
        "sphericity_inverse", "1", ATLAS,
            "1 / (1 + mean |r / mean(r) - 1|), the older form of sphericity_deviation; 1 for balls",
            |cell| 1.0 / (2.0 - cell.surface.sphericity_deviation);
        "symmetry", "1", ATLAS,
            "1 / (1 + d / mean(r)), d from the surface's mean place to the middle of its box along the tissue's axes",
            CellShape::symmetry;
        "radius_mean_um", "µm", ATLAS, "Mean distance from the centroid to the surface",
            |cell| cell.surface.radius_mean_um;
        "radius_deviation_um", "µm", ATLAS,
            "Standard deviation of the distance from the centroid to the surface; 0 for balls",
            |cell| cell.surface.radius_deviation_um;
        "extent_x_um", "µm", ATLAS, "Length along the tissue's x",
            |cell| cell.surface.extents_tissue_um.x;
        "extent_y_um", "µm", ATLAS, "Length along the tissue's y",
            |cell| cell.surface.extents_tissue_um.y;
        "extent_z_um", "µm", ATLAS, "Length along the tissue's z",
            |cell| cell.surface.extents_tissue_um.z;
        "aspect_yx", "1", ATLAS, "extent_y_um over extent_x_um",
            |cell| cell.surface.extents_tissue_um.y / cell.surface.extents_tissue_um.x;
        "aspect_zx", "1", ATLAS, "extent_z_um over extent_x_um",
            |cell| cell.surface.extents_tissue_um.z / cell.surface.extents_tissue_um.x;
        "aspect_zy", "1", ATLAS, "extent_z_um over extent_y_um",
            |cell| cell.surface.extents_tissue_um.z / cell.surface.extents_tissue_um.y;
        "axis_major_um", "µm", ATLAS, "Longest of the lengths along the surface's principal axes",
            |cell| cell.surface.extents_principal_um[0];
        "axis_medium_um", "µm", ATLAS, "Second of the lengths along the surface's principal axes",
            |cell| cell.surface.extents_principal_um[1];
        "axis_minor_um", "µm", ATLAS, "Shortest of the lengths along the surface's principal axes",
            |cell| cell.surface.extents_principal_um[2];
        "aspect_major_medium", "1", ATLAS, "axis_major_um over axis_medium_um",
            |cell| aspect(cell, 0, 1);
        "aspect_major_minor", "1", ATLAS, "axis_major_um over axis_minor_um",
            |cell| aspect(cell, 0, 2);
        "aspect_medium_minor", "1", ATLAS, "axis_medium_um over axis_minor_um",
            |cell| aspect(cell, 1, 2);
        "eccentricity_major_medium", "1", ATLAS, "sqrt(1 - b²/a²) of axis_medium_um and axis_major_um",
            |cell| eccentricity(cell, 0, 1);
        "eccentricity_major_minor", "1", ATLAS, "sqrt(1 - b²/a²) of axis_minor_um and axis_major_um",
            |cell| eccentricity(cell, 0, 2);
        "eccentricity_medium_minor", "1", ATLAS, "sqrt(1 - b²/a²) of axis_minor_um and axis_medium_um",
            |cell| eccentricity(cell, 1, 2);
    }
    Size {
        "inertia_axis_major_um", "µm", FORMULA,
            "Longest semi-axis of the ellipsoid with the cell's second moments",
            |cell| cell.semi_axes_um[0];
        "inertia_axis_medium_um", "µm", FORMULA,
            "Second semi-axis of the ellipsoid with the cell's second moments",
            |cell| cell.semi_axes_um[1];
        "inertia_axis_minor_um", "µm", FORMULA,
            "Shortest semi-axis of the ellipsoid with the cell's second moments",
            |cell| cell.semi_axes_um[2];
    }
    Surface {
        "longest_extension_um", "µm", ATLAS, "Distance from the centroid to the farthest surface point",
            |cell| cell.surface.distal_um.norm();
        "orientation_x", "1", ATLAS, "Direction to the farthest surface point along the tissue's x",
            |cell| cell.surface.distal_um.normalize().x;
        "orientation_y", "1", ATLAS, "Direction to the farthest surface point along the tissue's y",
            |cell| cell.surface.distal_um.normalize().y;
        "orientation_z", "1", ATLAS, "Direction to the farthest surface point along the tissue's z",
            |cell| cell.surface.distal_um.normalize().z;
        "orientation_zy_deg", "°", ATLAS,
            "Angle of the direction to the farthest surface point in the tissue's zy plane, from y towards z",
            |cell| cell.distal_angle(2, 1);
        "orientation_zx_deg", "°", ATLAS, "The same angle in the zx plane, from x towards z",
            |cell| cell.distal_angle(2, 0);
        "orientation_yx_deg", "°", ATLAS, "The same angle in the yx plane, from x towards y",
            |cell| cell.distal_angle(1, 0);
    }
    Curvature {
        "curvature_mean_per_um", "µm⁻¹", LEVEL_SETS,
            "Mean curvature, averaged over the surface of the smoothed cell; 1/r for balls of radius r",
            |cell| cell.curvature.mean_per_um;
        "curvature_deviation_per_um", "µm⁻¹", LEVEL_SETS,
            "Standard deviation of the mean curvature over the surface; 0 for balls",
            |cell| cell.curvature.deviation_per_um;
        "curvature_gauss_deviation_per_um2", "µm⁻²", LEVEL_SETS,
            "Standard deviation of the Gaussian curvature over the surface; 0 for balls",
            |cell| cell.curvature.gauss_deviation_per_um2;
        "curvature_concave_share", "1", LEVEL_SETS,
            "Share of the surface whose mean curvature is below 0: dents",
            |cell| cell.curvature.concave_share;
        "curvature_saddle_share", "1", LEVEL_SETS,
            "Share of the surface whose Gaussian curvature is below 0: saddles, where dents and bulges meet",
            |cell| cell.curvature.saddle_share;
        "bending_energy", "1", WILLMORE,
            "Integral of the squared mean curvature over the surface, over 4 pi; 1 for balls, more for all else",
            |cell| cell.curvature.bending_energy;
    }
    Contacts {
        "n_neighbours", "count", ATLAS, "Number of cells that share a voxel face with the cell",
            |cell| cell.n_neighbours as f64;
        "contact_cells_um2", "µm²", ATLAS, "Area that touches other cells, by vector sums of voxel faces in small blocks",
            |cell| cell.contact_cells_um2;
        "contact_outside_um2", "µm²", ATLAS, "Area that touches background",
            |cell| cell.contact_outside_um2;
        "contact_border_um2", "µm²", FORMULA, "Area where the image ends and the cell may go on",
            |cell| cell.contact_border_um2;
    }
];

/// The features of a cell's place among the others, in the order of their columns.
pub const CONTEXT: &[Feature<CellContext>] = features![
    Context {
        "distance_to_tip_um", "µm", FORMULA,
            "From the foremost point of all cells along the tissue's x back to the centroid",
            |cell| cell.distance_to_tip_um;
        "distance_to_axis_um", "µm", FORMULA,
            "From the line along the tissue's x through the mean of all centroids to the centroid",
            |cell| cell.distance_to_axis_um;
        "distance_to_surface_um", "µm", FORMULA,
            "From the centroid to the nearest point where a cell meets background",
            |cell| cell.distance_to_surface_um;
        "nearest_cell_um", "µm", FORMULA, "From the centroid to the nearest other one",
            |cell| cell.nearest_cell_um;
        "n_cells_nearby", "count", FORMULA, "Number of other cells whose centroids are within crowd_um",
            |cell| cell.n_cells_nearby as f64;
        "cells_per_1000um3", "10⁻³ µm⁻³", FORMULA,
            "Local density: number over volume of the cell and those that it touches",
            |cell| cell.cells_per_1000um3;
        "contact_fraction", "1", FORMULA, "The part of all that the cell touches that is other cells",
            |cell| cell.contact_fraction;
        "n_contact_steps_to_outside", "count", FORMULA,
            "Fewest contacts that lead to a cell that touches background; 0 for that one",
            |cell| cell.n_contact_steps_to_outside;
        "neighbours_volume_um3", "µm³", FORMULA,
            "Mean volume_um3 of the cells that the cell touches, weighted by the area of contact",
            |cell| cell.neighbours.volume_um3;
        "neighbours_surface_um2", "µm²", FORMULA, "The same mean of surface_um2",
            |cell| cell.neighbours.surface_um2;
        "neighbours_sphericity_surface_ratio", "1", FORMULA,
            "The same mean of sphericity_surface_ratio", |cell| cell.neighbours.sphericity;
        "neighbours_extent_x_um", "µm", FORMULA, "The same mean of extent_x_um",
            |cell| cell.neighbours.extents_tissue_um.x;
        "neighbours_extent_y_um", "µm", FORMULA, "The same mean of extent_y_um",
            |cell| cell.neighbours.extents_tissue_um.y;
        "neighbours_extent_z_um", "µm", FORMULA, "The same mean of extent_z_um",
            |cell| cell.neighbours.extents_tissue_um.z;
        "distance_to_rosette_um", "µm", ROSETTES,
            "From the centroid to the nearest centre of a rosette, where unusually many cells meet",
            |cell| cell.distance_to_rosette_um;
        "rosette_n_cells", "count", ROSETTES,
            "Number of cells of the rosette to which the cell belongs; 0 if to none",
            |cell| cell.rosette_n_cells as f64;
    }
];

/// The features of a cloud of landmarks, of the shape or of a channel, in the order of their columns;
/// after them follow its [moments](crate::moment_names).
pub const LANDMARKS: &[Feature<CloudShape>] = features![
    Landmarks {
        "landmarks_nearest_mean_um", "µm", ATLAS,
            "Mean distance from a landmark to the nearest other one, which may lie in the same voxel",
            |cloud| cloud.nearest_um.mean;
        "landmarks_nearest_deviation_um", "µm", ATLAS, "Standard deviation of that distance",
            |cloud| cloud.nearest_um.deviation;
        "landmarks_pairs_mean_um", "µm", ATLAS,
            "Mean distance of all ordered pairs of landmarks, each with itself included",
            |cloud| cloud.pairs_um.mean;
        "landmarks_pairs_deviation_um", "µm", ATLAS, "Standard deviation of that distance",
            |cloud| cloud.pairs_um.deviation;
        "landmarks_radius_mean_um", "µm", ATLAS, "Mean distance from the centroid to a landmark",
            |cloud| cloud.radius_um.mean;
        "landmarks_radius_deviation_um", "µm", ATLAS, "Standard deviation of that distance",
            |cloud| cloud.radius_um.deviation;
    }
];

/// The features of every channel, in the order of their columns, named after the channel and `_`.
pub const INTENSITY: &[Feature<Intensities>] = features![
    Brightness {
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
    }
    Texture {
        "texture_contrast", "1", HARALICK,
            "Mean squared difference between blocks of about texture_um and those beside them, in 16 levels over 5 standard deviations of the cell",
            |channel| channel.texture().contrast;
        "texture_dissimilarity", "1", HARALICK, "Mean difference between such blocks, in levels",
            |channel| channel.texture().dissimilarity;
        "texture_homogeneity", "1", HARALICK,
            "Mean of 1 / (1 + squared difference) of such blocks; 1 where all are alike",
            |channel| channel.texture().homogeneity;
        "texture_energy", "1", HARALICK,
            "Root of the sum of squares of the shares of all pairs of levels; large for few kinds of pairs",
            |channel| channel.texture().energy;
        "texture_entropy", "1", HARALICK,
            "Entropy, in nats, of the shares of all pairs of levels; large for many kinds of pairs",
            |channel| channel.texture().entropy;
        "texture_correlation", "1", HARALICK, "Correlation between the levels of such blocks",
            |channel| channel.texture().correlation;
    }
];

/// One of the principal lengths over a shorter one.
fn aspect(cell: &CellShape, longer: usize, shorter: usize) -> f64 {
    let lengths_um = &cell.surface.extents_principal_um;
    lengths_um[longer] / lengths_um[shorter]
}

/// √(1 − b²/a²) of two of the principal lengths.
fn eccentricity(cell: &CellShape, longer: usize, shorter: usize) -> f64 {
    let lengths_um = &cell.surface.extents_principal_um;
    let ratio = lengths_um[shorter] / lengths_um[longer];
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
                "µm⁻¹" => "_per_um",
                "µm⁻²" => "_per_um2",
                "10⁻³ µm⁻³" => "_per_1000um3",
                "°" => "_deg",
                _ => "",
            };
            assert!(feature.name.ends_with(ending), "{}", feature.name);
            assert!(!feature.definition.is_empty() && !feature.citation.is_empty());
        }
    }
}
