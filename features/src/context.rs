//! Where a cell stands among the others: distances, crowding, and what its neighbours are like.

use nalgebra::Point3;
use ndarray::{Array2, ArrayView1};
use primordia_data::CellTable;
use rayon::prelude::*;

use crate::contacts::Contact;
use crate::error::{Result, positive};
use crate::measure::Measured;

/// What counts as near.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ContextParams {
    /// Cells whose centroids are within this distance, in µm, crowd a cell.
    pub crowd_um: f64,
}

impl Default for ContextParams {
    fn default() -> Self {
        Self { crowd_um: 15.0 }
    }
}

/// The columns of [`context`].
const COLUMNS: [&str; 6] = [
    "distance_to_tip_um",
    "distance_to_axis_um",
    "nearest_cell_um",
    "n_cells_nearby",
    "contact_fraction",
    "n_contact_steps_to_outside",
];

/// One row per cell, in the order of `measured`:
/// - `distance_to_tip_um`: from the leading tip of the tissue, where its x is 0, backwards;
/// - `distance_to_axis_um`: from the tissue's long axis, through the mean of all cells' y and z;
/// - `nearest_cell_um`: to the centroid of the nearest other cell, NaN for a lone one;
/// - `n_cells_nearby`: other cells whose centroids lie within `crowd_um`;
/// - `contact_fraction`: the part of what the cell touches that is other cells;
/// - `n_contact_steps_to_outside`: 0 for cells that touch background, 1 for neighbours of those,
///   and so on; NaN where no chain of contacts leads outside.
///
/// # Errors
/// [`crate::FeatureError::Parameter`] if `crowd_um` is not positive.
pub fn context(measured: &Measured, params: &ContextParams) -> Result<CellTable> {
    let crowd_um = positive("crowd_um", params.crowd_um)?;
    let centres = &measured.centroids_tissue_um;
    let n = centres.len() as f64;
    let sum = |of: fn(&Point3<f64>) -> f64| centres.iter().map(of).sum::<f64>();
    let (axis_y, axis_z) = (sum(|c| c.y) / n, sum(|c| c.z) / n);
    let [cells, outside] = ["contact_cells_um2", "contact_outside_um2"]
        .map(|name| measured.table.column(name).map(|column| column.to_vec()));
    let (cells, outside) = (cells?, outside?);
    let steps = steps_to_outside(&outside, &measured.contacts);
    let rows: Vec<[f64; 6]> = (0..centres.len())
        .into_par_iter()
        .map(|row| {
            let centre = centres[row];
            let others = centres.iter().enumerate().filter(|(other, _)| *other != row);
            let distances: Vec<f64> = others.map(|(_, other)| (other - centre).norm()).collect();
            let nearest = distances.iter().copied().fold(f64::NAN, f64::min);
            [
                -centre.x,
                (centre.y - axis_y).hypot(centre.z - axis_z),
                nearest,
                distances.iter().filter(|distance| **distance <= crowd_um).count() as f64,
                cells[row] / (cells[row] + outside[row]),
                steps[row],
            ]
        })
        .collect();
    let values = Array2::from_shape_fn((rows.len(), COLUMNS.len()), |(row, k)| rows[row][k]);
    let columns = COLUMNS.map(str::to_owned).to_vec();
    Ok(CellTable::new(measured.table.cells().to_vec(), columns, values)?)
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

/// How many contacts lead from each cell to one that touches background.
fn steps_to_outside(outside_um2: &[f64], contacts: &[Contact]) -> Vec<f64> {
    let mut neighbours = vec![Vec::new(); outside_um2.len()];
    for contact in contacts {
        neighbours[contact.a].push(contact.b);
        neighbours[contact.b].push(contact.a);
    }
    let mut steps = vec![f64::NAN; outside_um2.len()];
    let mut front: Vec<usize> = (0..steps.len()).filter(|row| outside_um2[*row] > 0.0).collect();
    let mut step = 0.0;
    while !front.is_empty() {
        front.retain(|row| steps[*row].is_nan());
        for row in &front {
            steps[*row] = step;
        }
        front = front.iter().flat_map(|row| neighbours[*row].iter().copied()).collect();
        front.sort_unstable();
        front.dedup();
        front.retain(|row| steps[*row].is_nan());
        step += 1.0;
    }
    steps
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{MeasureParams, measure};
    use approx::assert_relative_eq;
    use ndarray::{Array3, array, s};
    use primordia_data::{Labels, Rigid, VoxelSize};

    /// A cube in the middle of a larger one that is cut into halves along x, in background.
    fn nested() -> Measured {
        let mut voxels = Array3::zeros((22, 22, 22));
        voxels.slice_mut(s![1..21, 1..21, 1..11]).fill(1);
        voxels.slice_mut(s![1..21, 1..21, 11..21]).fill(2);
        voxels.slice_mut(s![8..14, 8..14, 8..14]).fill(3);
        let labels = Labels::from_voxels(voxels, VoxelSize::from_um([1.0; 3]).unwrap()).unwrap();
        let params = MeasureParams::default();
        measure(&labels, &[], "A", &Rigid::identity(), &params).unwrap()
    }

    #[test]
    fn cells_know_their_place() {
        let measured = nested();
        let table = context(&measured, &ContextParams { crowd_um: 5.0 }).unwrap();
        let column = |name: &str| table.column(name).unwrap().to_vec();
        assert_eq!(column("n_contact_steps_to_outside"), [0.0, 0.0, 1.0]);
        assert_relative_eq!(column("contact_fraction")[2], 1.0);
        assert_relative_eq!(column("distance_to_axis_um")[2], 0.0, epsilon = 1e-12);
        assert_relative_eq!(column("distance_to_tip_um")[2], -10.5, epsilon = 1e-12);
        // 4,000 voxels centred at −5 (from the middle) less 108 at −1.5.
        let half = (4000.0 * 5.0 - 108.0 * 1.5) / 3892.0;
        assert_relative_eq!(column("nearest_cell_um")[0], half, epsilon = 1e-12);
        assert_eq!(column("n_cells_nearby"), [0.0, 0.0, 0.0]);
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
