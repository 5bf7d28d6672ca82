//! An over-segmentation of a volume, and the graph of its regions.

use std::collections::{BTreeMap, HashMap};
use std::ops::Range;

use nalgebra::{Matrix3, Vector3};
use primordia_data::Volume;
use rayon::prelude::*;

use crate::merge::{Face, RegionGraph};
use crate::sheet::Sheets;

/// The local minima of an image: voxels that none of their 26 neighbours undercuts, of equal
/// neighbours the first in memory, numbered 1.. in the order of memory.
pub(crate) fn local_minima(volume: &Volume<f32>) -> Volume<u32> {
    let [n_z, n_y, n_x] = volume.shape();
    let voxels = volume.as_slice();
    let around = |at: usize, n: usize| at.saturating_sub(1)..(at + 2).min(n);
    let rows: Vec<Vec<usize>> = (0..n_z * n_y)
        .into_par_iter()
        .map(|row| {
            let (z, y) = (row / n_y, row % n_y);
            let is_minimum = |x: usize| {
                let here = row * n_x + x;
                around(z, n_z).all(|z| {
                    around(y, n_y).all(|y| {
                        around(x, n_x).map(|x| (z * n_y + y) * n_x + x).all(|near| {
                            voxels[near] > voxels[here]
                                || (voxels[near] == voxels[here] && near >= here)
                        })
                    })
                })
            };
            (0..n_x).filter(|&x| is_minimum(x)).map(|x| row * n_x + x).collect()
        })
        .collect();
    let mut seeds = volume.map(|_| 0);
    if let Some(seeds) = seeds.voxels_mut().as_slice_mut() {
        for (number, at) in (1..).zip(rows.into_iter().flatten()) {
            seeds[at] = number;
        }
    }
    seeds
}

/// The graph of the regions `1..=n_regions` of `labels` (as `0..n_regions`).
///
/// What counts for a face is the evidence of sheets that lie in it: a sheet that crosses the face,
/// as the membrane around a cell crosses every cut through the cell, says nothing about it. So of a
/// sheet of evidence `e` (at most 1) whose normal is at an angle `φ` to that of the face,
/// `e cos² φ` is for the face, and `e sin² φ` of the area is not asked.
pub(crate) fn region_graph(labels: &Volume<u32>, sheets: &Sheets, n_regions: usize) -> RegionGraph {
    const SLAB: usize = 4;
    let n_z = labels.shape()[0];
    let slabs: Vec<HashMap<(u32, u32), Seam>> = (0..n_z.div_ceil(SLAB))
        .into_par_iter()
        .map(|slab| {
            let planes = slab * SLAB..((slab + 1) * SLAB).min(n_z);
            seams(labels, sheets, planes)
        })
        .collect();
    let mut seams: BTreeMap<(u32, u32), Seam> = BTreeMap::new();
    // One entry per pair and slab: the order within a slab does not matter.
    for (pair, seam) in slabs.into_iter().flatten() {
        seams.entry(pair).or_default().join(&seam);
    }
    let mut graph = RegionGraph::new(n_regions);
    for ((a, b), seam) in seams {
        graph.add(a - 1, b - 1, seam.face());
    }
    graph
}

/// The seams that begin in some planes, by their regions, the lower first.
fn seams(labels: &Volume<u32>, sheets: &Sheets, planes: Range<usize>) -> HashMap<(u32, u32), Seam> {
    let [n_z, n_y, n_x] = labels.shape();
    let (labels_of, evidence_of) = (labels.as_slice(), sheets.evidence.as_slice());
    let strides = [n_y * n_x, n_x, 1];
    let areas = [0, 1, 2].map(|axis| labels.voxel_size().face_area_um2(axis));
    let mut seams: HashMap<(u32, u32), Seam> = HashMap::new();
    for z in planes {
        for (y, x) in (0..n_y).flat_map(|y| (0..n_x).map(move |x| (y, x))) {
            let here = z * strides[0] + y * n_x + x;
            let inside = [z + 1 < n_z, y + 1 < n_y, x + 1 < n_x];
            for axis in (0..3).filter(|&axis| inside[axis]) {
                let near = here + strides[axis];
                let (a, b) = (labels_of[here], labels_of[near]);
                if a == b || a == 0 || b == 0 {
                    continue;
                }
                let mut step = Vector3::zeros();
                step[axis] = if a < b { areas[axis] } else { -areas[axis] };
                let stronger = if evidence_of[near] > evidence_of[here] { near } else { here };
                let strength = f64::from(evidence_of[stronger].min(1.0));
                let normal = sheets.directions.as_slice()[stronger].unit();
                let seam = seams.entry((a.min(b), a.max(b))).or_default();
                seam.add(step, strength, Vector3::from(normal));
            }
        }
    }
    seams
}

/// What is gathered along the face between two regions; vectors are z, y, x.
#[derive(Clone, Copy, Default)]
struct Seam {
    /// The sum of all steps across the face: its normal, as long as its area in µm².
    across_um2: Vector3<f64>,
    /// The area of all steps.
    area_um2: f64,
    /// The sum over all steps of area × evidence × the outer product of the sheet's normal with itself.
    sheets: Matrix3<f64>,
}

impl Seam {
    /// Adds a step of an area across the face, at a sheet.
    fn add(&mut self, step_um2: Vector3<f64>, evidence: f64, normal: Vector3<f64>) {
        let area_um2 = step_um2.norm();
        self.across_um2 += step_um2;
        self.area_um2 += area_um2;
        self.sheets += area_um2 * evidence * normal * normal.transpose();
    }

    fn join(&mut self, other: &Self) {
        self.across_um2 += other.across_um2;
        self.area_um2 += other.area_um2;
        self.sheets += other.sheets;
    }

    fn face(&self) -> Face {
        let normal = self.across_um2.try_normalize(0.0).unwrap_or_else(Vector3::zeros);
        let in_face = normal.dot(&(self.sheets * normal));
        let crossing = self.sheets.trace() - in_face;
        Face { evidence: in_face, area_um2: self.area_um2 - crossing }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sheet::{SheetFilter, SheetScale};
    use crate::testing::sized_volume;

    /// Two halves of an image with one bright sheet in the middle, cut along the sheet or across it.
    fn face_when_cut(axis: usize, um: [f64; 3]) -> Face {
        const SIDE: usize = 24;
        let half = |at: usize| u32::from(at >= SIDE / 2) + 1;
        let mut image = sized_volume([SIDE; 3], vec![0.0; SIDE.pow(3)], um);
        let mut labels = image.map(|_| 0);
        for (at, value) in image.voxels_mut().indexed_iter_mut() {
            *value = if at.2 == SIDE / 2 { 1.0 } else { 0.0 };
        }
        for (at, label) in labels.voxels_mut().indexed_iter_mut() {
            *label = half([at.0, at.1, at.2][axis]);
        }
        let filter = SheetFilter::new(&image, SheetScale::for_width(0.3)).unwrap();
        let mut sheets = filter.everywhere();
        let strongest = sheets.evidence.as_slice().iter().copied().fold(0.0, f32::max);
        sheets.evidence = sheets.evidence.map(|value| value / strongest);
        let graph = region_graph(&labels, &sheets, 2);
        let faces: Vec<_> = graph.faces().collect();
        assert_eq!(faces.len(), 1);
        faces[0].2
    }

    #[test]
    fn a_sheet_counts_where_it_lies_in_the_face_and_not_where_it_crosses() {
        for um in [[0.3; 3], [0.6, 0.3, 0.25]] {
            let along = face_when_cut(2, um);
            assert!(along.mean() > 0.95, "{along:?}");
            assert!((along.area_um2 / (24.0 * um[0] * 24.0 * um[1]) - 1.0).abs() < 0.02);
            for axis in [0, 1] {
                let across = face_when_cut(axis, um);
                assert!(across.mean() < 0.02, "{axis} {across:?}");
                let whole = 24.0 * um[2] * 24.0 * um[1 - axis];
                assert!(across.area_um2 < 0.97 * whole, "the sheet's own part is not asked");
            }
        }
    }
}
