//! An over-segmentation of a volume, and the graph of its regions.

use std::collections::HashMap;

use primordia_data::Volume;
use rayon::prelude::*;

use crate::merge::{Face, RegionGraph};

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

/// The graph of the regions `1..=n_regions` of `labels` (as `0..n_regions`): on each face the
/// evidence of a pair of voxels is that of the stronger one.
pub(crate) fn region_graph(
    labels: &Volume<u32>,
    evidence: &Volume<f32>,
    n_regions: usize,
) -> RegionGraph {
    const SLAB: usize = 4;
    let [n_z, n_y, n_x] = labels.shape();
    let (labels_of, evidence_of) = (labels.as_slice(), evidence.as_slice());
    let strides = [n_y * n_x, n_x, 1];
    let areas = [0, 1, 2].map(|axis| labels.voxel_size().face_area_um2(axis));
    let slabs: Vec<HashMap<(u32, u32), Face>> = (0..n_z.div_ceil(SLAB))
        .into_par_iter()
        .map(|slab| {
            let mut faces: HashMap<(u32, u32), Face> = HashMap::new();
            for z in slab * SLAB..((slab + 1) * SLAB).min(n_z) {
                for (y, x) in (0..n_y).flat_map(|y| (0..n_x).map(move |x| (y, x))) {
                    let here = z * strides[0] + y * n_x + x;
                    let inside = [z + 1 < n_z, y + 1 < n_y, x + 1 < n_x];
                    for axis in (0..3).filter(|&axis| inside[axis]) {
                        let near = here + strides[axis];
                        let (a, b) = (labels_of[here], labels_of[near]);
                        if a != b && a > 0 && b > 0 {
                            let face = faces.entry((a.min(b), a.max(b))).or_default();
                            let strength = evidence_of[here].max(evidence_of[near]);
                            face.evidence += f64::from(strength) * areas[axis];
                            face.area_um2 += areas[axis];
                        }
                    }
                }
            }
            faces
        })
        .collect();
    let mut graph = RegionGraph::new(n_regions);
    for slab in slabs {
        for ((a, b), face) in slab {
            graph.add(a - 1, b - 1, face); // one entry per pair and slab: the order does not matter
        }
    }
    graph
}
