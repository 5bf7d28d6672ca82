//! What a cell touches, and with how much of its surface.
//!
//! Cells are neighbours where their voxels share faces. Faces make stairs, so each face counts
//! with the part of it that is perpendicular to the smooth surface there, and all together make up
//! the area of the cell's mesh.

use primordia_data::Labels;

use crate::cell::CellMask;

/// Two cells that touch.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Contact {
    /// The row of the cell with the smaller label.
    pub a: usize,
    /// The row of the other.
    pub b: usize,
    /// The area they share in µm²: the mean of what either cell says.
    pub area_um2: f64,
}

/// How the surface of one cell is shared out.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct SurfaceShares {
    /// The area in µm² towards each touching cell, by label, ascending.
    pub(crate) cells: Vec<(u32, f64)>,
    /// Towards background.
    pub(crate) outside_um2: f64,
    /// Where the image ends.
    pub(crate) border_um2: f64,
}

impl SurfaceShares {
    /// Shares out `surface_um2` over the faces of the cell. `field` is the smoothed mask, whose
    /// gradient is perpendicular to the surface.
    pub(crate) fn of(cell: &CellMask, field: &[f32], labels: &Labels, surface_um2: f64) -> Self {
        let mut shares = Self::default();
        let mut total = 0.0;
        for (index, _) in cell.inside().iter().enumerate().filter(|(_, inside)| **inside) {
            for axis in 0..3 {
                for ahead in [false, true] {
                    let stride = cell.strides()[axis];
                    let beyond = if ahead { index + stride } else { index - stride };
                    if !cell.inside()[beyond] {
                        let area = flattened_area_um2(cell, field, index, beyond, axis);
                        total += area;
                        *shares.towards(label_at(labels, cell, beyond)) += area;
                    }
                }
            }
        }
        shares.cells.sort_by_key(|(label, _)| *label);
        let factor = if total > 0.0 { surface_um2 / total } else { 0.0 };
        shares.cells.iter_mut().for_each(|(_, area)| *area *= factor);
        shares.outside_um2 *= factor;
        shares.border_um2 *= factor;
        shares
    }

    /// The area towards all touching cells in µm².
    pub(crate) fn cells_um2(&self) -> f64 {
        self.cells.iter().map(|(_, area)| area).sum()
    }

    fn towards(&mut self, label: Option<u32>) -> &mut f64 {
        match label {
            None => &mut self.border_um2,
            Some(0) => &mut self.outside_um2,
            Some(label) => {
                let found = self.cells.iter().rposition(|(other, _)| *other == label);
                let at = found.unwrap_or_else(|| {
                    self.cells.push((label, 0.0));
                    self.cells.len() - 1
                });
                &mut self.cells[at].1
            }
        }
    }
}

/// The label of a voxel of the cell's box; `None` beyond the image.
fn label_at(labels: &Labels, cell: &CellMask, index: usize) -> Option<u32> {
    let [z, y, x] = cell.in_image(cell.position(index)).map(usize::try_from);
    labels.volume().voxels().get((z.ok()?, y.ok()?, x.ok()?)).copied()
}

/// The face between voxels `index` and `beyond` along `axis`, seen along the surface's normal.
fn flattened_area_um2(
    cell: &CellMask,
    field: &[f32],
    index: usize,
    beyond: usize,
    axis: usize,
) -> f64 {
    let um = cell.voxel_size().um();
    let gradient = [0, 1, 2].map(|other| {
        let stride = cell.strides()[other];
        let difference = if other == axis {
            field[beyond] - field[index]
        } else {
            let around = |at: usize| field[at + stride] - field[at - stride];
            (around(index) + around(beyond)) / 4.0
        };
        f64::from(difference) / um[other]
    });
    let steepness = gradient.iter().map(|slope| slope * slope).sum::<f64>().sqrt();
    let facing = if steepness > 0.0 { gradient[axis].abs() / steepness } else { 1.0 };
    cell.voxel_size().face_area_um2(axis) * facing
}
