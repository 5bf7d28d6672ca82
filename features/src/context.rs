//! Where a cell stands among the others: distances, crowding, and what its neighbours are like.

use nalgebra::{Point3, Vector3};
use ndarray::ArrayView1;
use primordia_data::{Labels, Volume};
use rayon::prelude::*;

use crate::contacts::{Contact, Touching};
use crate::mesh::Mesh;
use crate::points::{Points, Tree};
use crate::rosettes::Rosette;
use crate::shape::CellShape;

/// Everything from which the context features of one cell follow.
#[derive(Clone, Debug, PartialEq)]
pub struct CellContext {
    pub(crate) distance_to_tip_um: f64,
    pub(crate) distance_to_axis_um: f64,
    pub(crate) distance_to_surface_um: f64,
    pub(crate) nearest_cell_um: f64,
    pub(crate) n_cells_nearby: usize,
    pub(crate) cells_per_1000um3: f64,
    pub(crate) contact_fraction: f64,
    pub(crate) n_contact_steps_to_outside: f64,
    pub(crate) neighbours: NeighbourMeans,
    pub(crate) distance_to_rosette_um: f64,
    pub(crate) rosette_n_cells: usize,
}

/// Means of shape over the cells that a cell touches, weighted by the area of contact.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct NeighbourMeans {
    pub(crate) volume_um3: f64,
    pub(crate) surface_um2: f64,
    pub(crate) sphericity: f64,
    pub(crate) extents_tissue_um: Vector3<f64>,
}

impl CellContext {
    /// Of a cell about whose place nobody asked.
    pub(crate) const NONE: Self = Self {
        distance_to_tip_um: f64::NAN,
        distance_to_axis_um: f64::NAN,
        distance_to_surface_um: f64::NAN,
        nearest_cell_um: f64::NAN,
        n_cells_nearby: 0,
        cells_per_1000um3: f64::NAN,
        contact_fraction: f64::NAN,
        n_contact_steps_to_outside: f64::NAN,
        neighbours: NeighbourMeans {
            volume_um3: f64::NAN,
            surface_um2: f64::NAN,
            sphericity: f64::NAN,
            extents_tissue_um: Vector3::new(f64::NAN, f64::NAN, f64::NAN),
        },
        distance_to_rosette_um: f64::NAN,
        rosette_n_cells: 0,
    };
}

/// What is known of the cells of a tissue, by row.
pub(crate) struct Tissue<'a> {
    pub(crate) shapes: &'a [&'a CellShape],
    pub(crate) centroids_image_um: &'a [Point3<f64>],
    pub(crate) centroids_tissue_um: &'a [Point3<f64>],
    pub(crate) touching: &'a [Touching],
    pub(crate) rosettes: &'a [Rosette],
    /// Points of the tissue's surface, in the image.
    pub(crate) surface: &'a Points,
    /// Cells whose centroids are this near crowd a cell.
    pub(crate) crowd_um: f64,
}

impl Tissue<'_> {
    /// The context of every cell.
    pub(crate) fn contexts(&self) -> Vec<CellContext> {
        let centres = self.centroids_tissue_um;
        let fronts =
            centres.iter().zip(self.shapes).map(|(centre, cell)| centre.x + cell.surface.front_um);
        let tip_um = fronts.fold(f64::NEG_INFINITY, f64::max);
        let sum = centres.iter().fold(Vector3::zeros(), |sum, centre| sum + centre.coords);
        let middle = sum / centres.len() as f64;
        let surface = Tree::new(self.surface);
        let steps = steps_to_outside(self.touching);
        let context = |row: usize| {
            let (centre, cell) = (centres[row], self.shapes[row]);
            let touched = cell.contact_cells_um2 + cell.contact_outside_um2;
            let (nearest_cell_um, n_cells_nearby) = self.crowd(row);
            let place = self.centroids_image_um[row];
            CellContext {
                distance_to_tip_um: tip_um - centre.x,
                distance_to_axis_um: (centre.y - middle.y).hypot(centre.z - middle.z),
                distance_to_surface_um: surface
                    .nearest(place.coords.map(|at| at as f32).into())
                    .map_or(f64::NAN, f64::from),
                nearest_cell_um,
                n_cells_nearby,
                cells_per_1000um3: self.density(row),
                contact_fraction: cell.contact_cells_um2 / touched,
                n_contact_steps_to_outside: steps[row],
                neighbours: self.neighbours(row),
                distance_to_rosette_um: self
                    .rosettes
                    .iter()
                    .map(|rosette| (rosette.centre_um - place).norm())
                    .fold(f64::NAN, f64::min),
                rosette_n_cells: self
                    .rosettes
                    .iter()
                    .find(|rosette| rosette.rows.binary_search(&row).is_ok())
                    .map_or(0, |rosette| rosette.rows.len()),
            }
        };
        (0..centres.len()).into_par_iter().map(context).collect()
    }

    /// The distance to the nearest other centroid, NaN for a lone cell; and how many are near.
    fn crowd(&self, row: usize) -> (f64, usize) {
        let centre = self.centroids_tissue_um[row];
        let others = self.centroids_tissue_um.iter().enumerate().filter(|(other, _)| *other != row);
        others.fold((f64::NAN, 0), |(nearest, n_near), (_, other)| {
            let distance = (other - centre).norm();
            (nearest.min(distance), n_near + usize::from(distance <= self.crowd_um))
        })
    }

    /// Cells per 1000 µm³, over the cell and those that it touches.
    fn density(&self, row: usize) -> f64 {
        let neighbours = &self.touching[row].cells;
        let around: f64 = neighbours.iter().map(|(other, _)| self.shapes[*other].volume_um3).sum();
        1000.0 * (neighbours.len() + 1) as f64 / (around + self.shapes[row].volume_um3)
    }

    fn neighbours(&self, row: usize) -> NeighbourMeans {
        let cells = &self.touching[row].cells;
        let mean = |of: &dyn Fn(&CellShape) -> f64| {
            let sum: f64 = cells.iter().map(|(other, area)| area * of(self.shapes[*other])).sum();
            sum / self.touching[row].cells_um2()
        };
        NeighbourMeans {
            volume_um3: mean(&|cell| cell.volume_um3),
            surface_um2: mean(&|cell| cell.surface.area_um2),
            sphericity: mean(&CellShape::sphericity),
            extents_tissue_um: Vector3::from_fn(|axis, _| {
                mean(&|cell| cell.surface.extents_tissue_um[axis])
            }),
        }
    }
}

/// For each cell, the mean of a feature over the cells it touches, weighted by the area of contact;
/// NaN for cells that touch none. Neighbours without the feature (NaN) do not count.
pub fn mean_of_neighbours(feature: &ArrayView1<f64>, contacts: &[Contact]) -> Vec<f64> {
    let mut sums = vec![(0.0, 0.0); feature.len()];
    for contact in contacts {
        for (cell, other) in [(contact.a, contact.b), (contact.b, contact.a)] {
            if feature[other].is_finite() {
                sums[cell].0 += contact.area_um2 * feature[other];
                sums[cell].1 += contact.area_um2;
            }
        }
    }
    sums.into_iter().map(|(sum, area)| sum / area).collect()
}

/// Points of a cell's surface beyond which no cell is; every eighth triangle of the mesh has one.
pub(crate) fn outer_points(mesh: &Mesh, labels: &Labels) -> Vec<[f32; 3]> {
    const EVERY: usize = 8;
    let image = labels.volume();
    let beyond_um = 0.75 * image.voxel_size().um().into_iter().fold(0.0, f64::max);
    let middle_and_beyond = |[a, b, c]: [Point3<f64>; 3]| {
        let middle = Point3::from((a.coords + b.coords + c.coords) / 3.0);
        let normal = (b - a).cross(&(c - a)).try_normalize(0.0)?;
        Some((middle, voxel_at(image, &(middle + beyond_um * normal))?))
    };
    // All voxels are found before the first is read: they are far apart, so that the memory has
    // many to fetch at once.
    let places: Vec<(Point3<f64>, usize)> =
        mesh.corners_of_every(EVERY).filter_map(middle_and_beyond).collect();
    let voxels = image.as_slice();
    let outer = places.into_iter().filter(|(_, beyond)| voxels[*beyond] == 0);
    outer.map(|(middle, _)| middle.coords.map(|at| at as f32).into()).collect()
}

/// The voxel at a point, counted through the image; none outside it.
fn voxel_at(image: &Volume<u32>, point_um: &Point3<f64>) -> Option<usize> {
    let at = image.position_voxels(point_um).map(f64::round);
    let shape = image.shape();
    let is_inside = (0..3).all(|axis| at[axis] >= 0.0 && at[axis] < shape[axis] as f64);
    let [z, y, x] = at.map(|at| at as usize);
    is_inside.then_some((z * shape[1] + y) * shape[2] + x)
}

/// How many contacts lead from each cell to one that touches background; NaN where none does.
fn steps_to_outside(touching: &[Touching]) -> Vec<f64> {
    let mut steps = vec![f64::NAN; touching.len()];
    let is_outer = |row: &usize| touching[*row].outside_um2 > 0.0;
    let mut front: Vec<usize> = (0..touching.len()).filter(is_outer).collect();
    let mut step = 0.0;
    while !front.is_empty() {
        for row in &front {
            steps[*row] = step;
        }
        let beyond = front.iter().flat_map(|row| touching[*row].cells.iter().map(|(row, _)| *row));
        let mut beyond: Vec<usize> = beyond.filter(|row| steps[*row].is_nan()).collect();
        beyond.sort_unstable();
        beyond.dedup();
        front = beyond;
        step += 1.0;
    }
    steps
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{MeasureParams, Measured, measure};
    use approx::assert_relative_eq;
    use ndarray::{Array3, array, s};
    use primordia_data::{Rigid, VoxelSize};

    /// Corners of the mesh are round, by up to half the smoothing, also where cells meet outside.
    const MESH_UM: f64 = 0.5;

    fn measured(voxels: Array3<u32>, um: [f64; 3]) -> Measured {
        let labels = Labels::from_voxels(voxels, VoxelSize::from_um(um).unwrap()).unwrap();
        let params = MeasureParams { crowd_um: 5.0, ..MeasureParams::default() };
        measure(&labels, &[], "A", &Rigid::identity(), &params).unwrap()
    }

    /// A cube in the middle of a larger one that is cut into halves along x, in background.
    fn nested() -> Measured {
        let mut voxels = Array3::zeros((22, 22, 22));
        voxels.slice_mut(s![1..21, 1..21, 1..11]).fill(1);
        voxels.slice_mut(s![1..21, 1..21, 11..21]).fill(2);
        voxels.slice_mut(s![8..14, 8..14, 8..14]).fill(3);
        measured(voxels, [1.0; 3])
    }

    fn column(measured: &Measured, name: &str) -> Vec<f64> {
        measured.context.column(name).unwrap().to_vec()
    }

    #[test]
    fn cells_know_their_place() {
        let found = nested();
        assert_eq!(column(&found, "n_contact_steps_to_outside"), [0.0, 0.0, 1.0]);
        assert_relative_eq!(column(&found, "contact_fraction")[2], 1.0);
        assert_relative_eq!(column(&found, "distance_to_axis_um")[2], 0.0, epsilon = 1e-12);
        // The large cube ends at 20.5, its middle is at 10.5.
        assert_relative_eq!(column(&found, "distance_to_tip_um")[2], 10.0, epsilon = MESH_UM);
        assert_relative_eq!(column(&found, "distance_to_surface_um")[2], 10.0, epsilon = MESH_UM);
        // 4,000 voxels centred at −5 (from the middle) less 108 at −1.5.
        let half = (4000.0 * 5.0 - 108.0 * 1.5) / 3892.0;
        assert_relative_eq!(column(&found, "nearest_cell_um")[0], half, epsilon = 1e-12);
        assert_eq!(column(&found, "n_cells_nearby"), [0.0, 0.0, 0.0]);
        assert_relative_eq!(column(&found, "cells_per_1000um3")[0], 3000.0 / 8000.0);
        assert_relative_eq!(column(&found, "neighbours_volume_um3")[2], 3892.0);
        assert_relative_eq!(column(&found, "neighbours_extent_z_um")[2], 20.0, epsilon = MESH_UM);
        assert_eq!(column(&found, "rosette_n_cells"), [0.0; 3]);
        assert!(column(&found, "distance_to_rosette_um")[0].is_nan(), "there is none");
    }

    #[test]
    fn a_row_of_balls_is_as_far_from_the_surface_and_from_one_another_as_drawn() {
        // Balls of 4 µm, 12 µm apart along x, in voxels three times longer in z.
        let um = [0.6, 0.2, 0.2];
        let voxels = Array3::from_shape_fn((18, 50, 170), |(z, y, x)| {
            let p = Vector3::new(x as f64 * um[2], y as f64 * um[1], z as f64 * um[0]);
            let ball = |k: u32| (p - Vector3::new(5.0 + 12.0 * f64::from(k), 5.0, 5.1)).norm();
            (0..3).find(|k| ball(*k) <= 4.0).map_or(0, |k| k + 1)
        });
        let found = measured(voxels, um);
        for (row, tip) in [28.0, 16.0, 4.0].into_iter().enumerate() {
            let at = |name: &str| column(&found, name)[row];
            assert_relative_eq!(at("distance_to_surface_um"), 4.0, epsilon = MESH_UM);
            assert_relative_eq!(at("distance_to_tip_um"), tip, epsilon = MESH_UM);
            assert_relative_eq!(at("distance_to_axis_um"), 0.0, epsilon = 1e-9);
            assert_relative_eq!(at("nearest_cell_um"), 12.0, epsilon = 1e-9);
            assert!(at("neighbours_volume_um3").is_nan(), "it touches none");
        }
    }

    #[test]
    fn a_lone_cell_that_fills_its_image_has_no_context_and_crashes_nothing() {
        let found = measured(Array3::ones((4, 5, 6)), [1.0; 3]);
        assert!(column(&found, "distance_to_surface_um")[0].is_nan());
        assert!(column(&found, "n_contact_steps_to_outside")[0].is_nan());
        assert!(column(&found, "contact_fraction")[0].is_nan());
        assert!(column(&found, "nearest_cell_um")[0].is_nan());
    }

    #[test]
    fn neighbours_count_by_their_contact() {
        let contacts = [
            Contact { a: 0, b: 1, area_um2: 1.0 },
            Contact { a: 0, b: 2, area_um2: 3.0 },
            Contact { a: 2, b: 3, area_um2: 9.0 },
        ];
        let means = mean_of_neighbours(&array![5.0, 10.0, 20.0, f64::NAN, 1.0].view(), &contacts);
        assert_relative_eq!(means[0], 17.5);
        assert_relative_eq!(means[2], 5.0);
        assert!(means[4].is_nan(), "a lone cell");
    }
}
