//! Solids with exact volumes, areas and contacts.
//!
//! A solid is centred on the central voxel of a grid with at least one voxel of background around
//! it, and is cell 1 of its [`Labels`]. Voxels belong to it if their centres do.

use ndarray::Array3;

use super::{grid_of, positive};
use crate::error::{DataError, Result};
use crate::{Labels, Volume, VoxelSize};

/// A ball: volume 4/3 π r³, area 4 π r².
///
/// # Errors
/// [`DataError::Parameter`] unless `radius_um` is positive and finite,
/// [`DataError::PhantomTooLarge`] if it is no volume for a computer.
///
/// # Example
/// ```
/// # use primordia_data::{VoxelSize, phantom};
/// let ball = phantom::ball(5.0, VoxelSize::from_um([1.0, 0.5, 0.5])?)?;
/// assert_eq!(ball.n_cells(), 1);
/// # Ok::<_, primordia_data::DataError>(())
/// ```
pub fn ball(radius_um: f64, voxel_size: VoxelSize) -> Result<Labels> {
    positive("radius_um", radius_um)?;
    ellipsoid([radius_um; 3], voxel_size)
}

/// An ellipsoid with semi-axes a, b, c along z, y, x: volume 4/3 π a b c.
///
/// # Errors
/// [`DataError::Parameter`] unless the semi-axes are positive and finite,
/// [`DataError::PhantomTooLarge`] if they are no volume for a computer.
pub fn ellipsoid(semi_axes_um: [f64; 3], voxel_size: VoxelSize) -> Result<Labels> {
    for semi_axis_um in semi_axes_um {
        positive("semi_axes_um", semi_axis_um)?;
    }
    solid(semi_axes_um, voxel_size, |point_um| {
        let squares = point_um.iter().zip(semi_axes_um).map(|(x, a)| (x / a) * (x / a));
        squares.sum::<f64>() <= 1.0
    })
}

/// A torus about the z axis, whose tube of `tube_radius_um` r follows a circle of `ring_radius_um`
/// R: volume 2 π² R r², area 4 π² R r.
///
/// # Errors
/// [`DataError::Parameter`] unless both radii are positive and finite and the tube is thinner than
/// the ring, [`DataError::PhantomTooLarge`] if they are no volume for a computer.
pub fn torus(ring_radius_um: f64, tube_radius_um: f64, voxel_size: VoxelSize) -> Result<Labels> {
    positive("ring_radius_um", ring_radius_um)?;
    positive("tube_radius_um", tube_radius_um)?;
    if tube_radius_um >= ring_radius_um {
        let wanted = "less than ring_radius_um";
        return Err(DataError::Parameter { name: "tube_radius_um", value: tube_radius_um, wanted });
    }
    let reach_um = ring_radius_um + tube_radius_um;
    solid([tube_radius_um, reach_um, reach_um], voxel_size, |[z, y, x]| {
        let from_ring_um = (x * x + y * y).sqrt() - ring_radius_um;
        from_ring_um * from_ring_um + z * z <= tube_radius_um * tube_radius_um
    })
}

/// A cuboid with `sides_um` along z, y, x. Sides that are whole numbers of voxels come out exactly.
///
/// # Errors
/// [`DataError::Parameter`] unless the sides are positive and finite,
/// [`DataError::PhantomTooLarge`] if they are no volume for a computer.
pub fn cuboid(sides_um: [f64; 3], voxel_size: VoxelSize) -> Result<Labels> {
    /// Half-open in voxels, moved by less than any rounding so that whole sides stay whole.
    const ROUNDING: f64 = 1e-9;
    for side_um in sides_um {
        positive("sides_um", side_um)?;
    }
    let halves_um = sides_um.map(|side_um| 0.5 * side_um);
    solid(halves_um, voxel_size, |point_um| {
        (0..3).all(|axis| {
            let size_um = voxel_size.um()[axis];
            let (at, half) = (point_um[axis] / size_um, halves_um[axis] / size_um);
            (-half - ROUNDING..half - ROUNDING).contains(&at)
        })
    })
}

/// The voxels whose centres (z, y, x in µm from the centre of the solid) are `inside`.
fn solid(
    reach_um: [f64; 3],
    voxel_size: VoxelSize,
    inside: impl Fn([f64; 3]) -> bool,
) -> Result<Labels> {
    let size_um = voxel_size.um();
    let half = std::array::from_fn::<_, 3, _>(|axis| (reach_um[axis] / size_um[axis]).ceil() + 1.0);
    let shape = grid_of(half.map(|half| 2.0 * half + 1.0))?;
    let voxels = Array3::from_shape_fn(shape, |(z, y, x)| {
        let at = [z, y, x];
        let point = std::array::from_fn(|axis| (at[axis] as f64 - half[axis]) * size_um[axis]);
        u32::from(inside(point))
    });
    Labels::from_voxels(voxels, voxel_size)
}

/// Upright prisms, cell beside cell, with the image of their membranes.
#[derive(Clone, Debug)]
pub struct Honeycomb {
    /// Bright on the borders between cells: 1 there, falling as a Gaussian of σ = 1 voxel.
    pub membrane: Volume<f32>,
    /// The cells, `1..=n`, filling the whole volume.
    pub labels: Labels,
}

/// `n_cells` prisms of hexagonal cross-section that fill `shape` (`[z, y, x]`) voxels of 1 µm.
///
/// The cells stand in staggered rows along x, are as nearly equal as their number allows, and
/// span all of z. Cells at the border of the volume are open to it.
///
/// # Errors
/// [`DataError::Parameter`] unless each cell has at least 16 pixels of the cross-section,
/// [`DataError::EmptyVolume`] if an axis has no voxel, [`DataError::PhantomTooLarge`] if there are
/// too many voxels for a computer.
///
/// # Example
/// ```
/// let tissue = primordia_data::phantom::honeycomb([8, 64, 64], 12)?;
/// assert_eq!(tissue.labels.n_cells(), 12);
/// # Ok::<_, primordia_data::DataError>(())
/// ```
pub fn honeycomb(shape: [usize; 3], n_cells: usize) -> Result<Honeycomb> {
    const MIN_PIXELS: usize = 16;
    if shape.contains(&0) {
        return Err(DataError::EmptyVolume { shape });
    }
    let [nz, ny, nx] = grid_of(shape.map(|side| side as f64))?;
    if n_cells == 0 || n_cells > ny * nx / MIN_PIXELS {
        let (value, wanted) = (n_cells as f64, "at least 1, and 1 per 16 pixels at most");
        return Err(DataError::Parameter { name: "n_cells", value, wanted });
    }
    let centres = staggered_rows(ny as f64, nx as f64, n_cells);
    let mut labels = Array3::zeros([1, ny, nx]);
    let mut membrane = Array3::zeros([1, ny, nx]);
    for ((_, y, x), label) in labels.indexed_iter_mut() {
        let (cell, border) = nearest_and_border([y as f64, x as f64], &centres);
        *label = cell as u32 + 1;
        membrane[[0, y, x]] = libm::exp(-0.5 * border * border) as f32;
    }
    let voxel_size = VoxelSize::from_um([1.0; 3])?;
    let all_z = |plane: Array3<f32>| plane.broadcast([nz, ny, nx]).map(|all| all.to_owned());
    let membrane = all_z(membrane).ok_or(DataError::EmptyVolume { shape })?;
    let labels = labels.broadcast([nz, ny, nx]).ok_or(DataError::EmptyVolume { shape })?;
    Ok(Honeycomb {
        membrane: Volume::new(membrane, voxel_size)?,
        labels: Labels::from_voxels(labels.to_owned(), voxel_size)?,
    })
}

/// `n` points (y, x) in rows across a rectangle of pixels, every other row shifted by half a step.
fn staggered_rows(height: f64, width: f64, n: usize) -> Vec<[f64; 2]> {
    // In a hexagonal packing rows lie √3/2 of a step apart.
    let n_rows = (n as f64 * height / width * 2.0 / 3.0_f64.sqrt()).sqrt().round() as usize;
    let n_rows = n_rows.clamp(1, n);
    let mut centres = Vec::with_capacity(n);
    for row in 0..n_rows {
        let in_row = (row + 1) * n / n_rows - row * n / n_rows;
        let step = width / in_row as f64;
        let shift = if row % 2 == 0 { 0.25 } else { 0.75 };
        let y = (row as f64 + 0.5) * height / n_rows as f64 - 0.5;
        centres.extend((0..in_row).map(|i| [y, (i as f64 + shift) * step - 0.5]));
    }
    centres
}

/// The nearest of `centres`, and the distance from `point` to the border of its Voronoi cell.
fn nearest_and_border(point: [f64; 2], centres: &[[f64; 2]]) -> (usize, f64) {
    let square = |a: [f64; 2], b: [f64; 2]| (a[0] - b[0]).powi(2) + (a[1] - b[1]).powi(2);
    let own = (0..centres.len())
        .min_by(|&a, &b| square(point, centres[a]).total_cmp(&square(point, centres[b])))
        .unwrap_or(0);
    let own_square = square(point, centres[own]);
    let border = (0..centres.len()).filter(|&other| other != own).map(|other| {
        let apart = square(centres[own], centres[other]).sqrt();
        (square(point, centres[other]) - own_square) / (2.0 * apart)
    });
    (own, border.fold(f64::INFINITY, f64::min))
}

#[cfg(test)]
mod tests {
    use std::f64::consts::PI;

    use approx::assert_relative_eq;

    use super::*;

    /// Counting voxel centres of 0.25 × 0.125 × 0.125 µm in bodies of several µm errs by less.
    const SAMPLING: f64 = 0.005;

    fn fine() -> VoxelSize {
        VoxelSize::from_um([0.25, 0.125, 0.125]).unwrap()
    }

    fn volume_um3(labels: &Labels) -> f64 {
        let inside = labels.volume().as_slice().iter().filter(|&&label| label == 1).count();
        inside as f64 * labels.volume().voxel_size().volume_um3()
    }

    #[test]
    fn solids_have_the_volumes_of_the_formulas() {
        let close = |solid: Result<Labels>, formula: f64| {
            assert_relative_eq!(volume_um3(&solid.unwrap()), formula, max_relative = SAMPLING);
        };
        close(ball(4.0, fine()), 4.0 / 3.0 * PI * 64.0);
        close(ellipsoid([2.0, 3.0, 5.0], fine()), 4.0 / 3.0 * PI * 30.0);
        // Planes that touch the tube at its top and bottom lose more: 0.25 µm apart, 1.6 %.
        let finer = VoxelSize::from_um([0.1; 3]).unwrap();
        close(torus(5.0, 2.0, finer), 2.0 * PI * PI * 5.0 * 4.0);
    }

    #[test]
    fn a_cuboid_of_whole_voxels_is_exact() {
        for sides_um in [[2.5, 1.25, 3.0], [0.25, 0.125, 0.125], [1.0, 0.375, 0.25]] {
            let volume: f64 = sides_um.iter().product();
            assert_relative_eq!(volume_um3(&cuboid(sides_um, fine()).unwrap()), volume);
        }
    }

    #[test]
    fn a_solid_does_not_touch_the_edge_of_its_volume() {
        let voxels = ball(3.1, fine()).unwrap().into_volume().into_voxels();
        for axis in 0..3 {
            let axis = ndarray::Axis(axis);
            assert!(voxels.index_axis(axis, 0).iter().all(|&label| label == 0));
            let last = voxels.len_of(axis) - 1;
            assert!(voxels.index_axis(axis, last).iter().all(|&label| label == 0));
        }
    }

    #[test]
    fn honeycomb_cells_are_as_many_as_asked_and_nearly_equal() {
        for n_cells in [1, 7, 12, 60] {
            let tissue = honeycomb([3, 64, 80], n_cells).unwrap();
            assert_eq!(tissue.labels.n_cells(), n_cells);
            let mean = 3 * 64 * 80 / n_cells;
            for &cell in tissue.labels.cells() {
                let voxels = tissue.labels.volume().as_slice();
                let size = voxels.iter().filter(|&&label| label == cell).count();
                assert!(size > mean / 2 && size < 2 * mean, "{n_cells} cells: {size} of {mean}");
            }
        }
    }

    #[test]
    fn honeycomb_membranes_lie_where_labels_change() {
        let tissue = honeycomb([2, 48, 48], 9).unwrap();
        let (labels, membrane) = (tissue.labels.volume().voxels(), tissue.membrane.voxels());
        for y in 0..48 {
            for x in 1..48 {
                if labels[[0, y, x]] != labels[[0, y, x - 1]] {
                    assert!(membrane[[0, y, x]].max(membrane[[0, y, x - 1]]) > 0.8);
                }
            }
        }
        let dark = membrane.iter().filter(|&&value| value < 0.1).count();
        assert!(dark > membrane.len() / 2, "cells are dark inside");
    }

    #[test]
    fn impossible_solids_are_refused() {
        assert!(ball(0.0, fine()).is_err());
        assert!(ball(f64::NAN, fine()).is_err());
        assert!(matches!(ball(1e9, fine()), Err(DataError::PhantomTooLarge { .. })));
        assert!(torus(1.0, 2.0, fine()).is_err());
        assert!(honeycomb([4, 16, 16], 0).is_err());
        assert!(honeycomb([0, 16, 16], 2).is_err());
        assert!(honeycomb([1, 8, 8], 5).is_err());
    }
}
