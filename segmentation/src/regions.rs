//! An over-segmentation of a volume, and the graph of its regions.

use std::collections::HashMap;

use nalgebra::{Matrix3, Vector3};
use primordia_data::Volume;
use rayon::prelude::*;

use crate::block::{Block, whole};
use crate::merge::{Face, RegionGraph};
use crate::sheet::Sheets;
use crate::stencil::Direction;

/// Where a part of an image lies in the whole.
pub(crate) struct Part {
    /// The voxels asked for, within the part.
    pub(crate) core: Block,
    /// The first voxel of the part in the whole.
    pub(crate) from: [usize; 3],
}

impl Part {
    /// All of an image.
    pub(crate) fn whole(shape: [usize; 3]) -> Self {
        Self { core: whole(shape), from: [0; 3] }
    }

    /// Where a voxel of the part lies in the whole.
    pub(crate) fn in_whole(&self, at: [usize; 3]) -> [usize; 3] {
        [0, 1, 2].map(|axis| self.from[axis] + at[axis])
    }
}

/// Where an image is flat, a seed stands at every so many µm, so that no region is endless.
const FLAT_UM: f64 = 5.0;

/// The minima among the voxels asked for (z, y, x within the part), in the order of memory: voxels that none of their 26
/// neighbours undercuts, of equal neighbours the first in memory; where all are equal, those on a lattice of the whole.
pub(crate) fn minima(volume: &Volume<f32>, part: &Part) -> Vec<[usize; 3]> {
    let shape = volume.shape();
    let voxels = volume.as_slice();
    let lattice = volume.voxel_size().um().map(|um| (FLAT_UM / um).ceil() as usize);
    let on_lattice = |at: [usize; 3]| {
        (0..3).all(|axis| (part.from[axis] + at[axis]).is_multiple_of(lattice[axis]))
    };
    let is_seed = |z: usize, y: usize, x: usize| {
        let at = (z * shape[1] + y) * shape[2] + x;
        let here = voxels[at];
        all_around([z, y, x], shape, |near| {
            voxels[near] > here || (voxels[near] == here && near >= at)
        }) || (on_lattice([z, y, x]) && all_around([z, y, x], shape, |near| voxels[near] == here))
    };
    let [zs, ys, xs] = &part.core;
    (0..zs.len() * ys.len())
        .into_par_iter()
        .flat_map_iter(|row| {
            let (z, y) = (zs.start + row / ys.len(), ys.start + row % ys.len());
            xs.clone().filter(|&x| is_seed(z, y, x)).map(|x| [z, y, x]).collect::<Vec<_>>()
        })
        .collect()
}

/// Whether something holds for a voxel and its 26 neighbours, told their places in memory.
#[inline]
fn all_around(at: [usize; 3], shape: [usize; 3], holds: impl Fn(usize) -> bool) -> bool {
    let [zs, ys, xs] =
        [0, 1, 2].map(|axis| at[axis].saturating_sub(1)..(at[axis] + 2).min(shape[axis]));
    zs.into_iter().all(|z| {
        ys.clone().all(|y| {
            let row = (z * shape[1] + y) * shape[2];
            xs.clone().all(|x| holds(row + x))
        })
    })
}

/// What is gathered along the faces between regions, by their numbers, the lower first, ascending: in one piece of
/// memory, because there are many.
///
/// What counts for a face is the evidence of sheets that lie in it: a sheet that crosses the face,
/// as the membrane around a cell crosses every cut through the cell, says nothing about it. So of a
/// sheet of evidence `e` (at most 1) whose normal is at an angle `φ` to that of the face,
/// `e cos² φ` is for the face, and `e sin² φ` of the area is not asked.
#[derive(Default)]
pub(crate) struct Seams(Vec<((u32, u32), Seam)>);

impl Seams {
    /// Adds the steps from the voxels in `core` to those that follow them along each axis.
    pub(crate) fn add(&mut self, labels: &Volume<u32>, sheets: &Sheets, core: &Block) {
        const SLAB: usize = 1 << 20; // voxels, about
        let [zs, ys, xs] = core;
        let n = (SLAB / (ys.len() * xs.len()).max(1)).clamp(1, 4);
        let starts: Vec<usize> = zs.clone().step_by(n).collect();
        // Some at a time, for the sake of memory; joined always in the same order.
        for starts in starts.chunks(rayon::current_num_threads()) {
            let slabs: Vec<Self> = starts
                .par_iter()
                .map(|&z| {
                    let slab = [z..(z + n).min(zs.end), ys.clone(), xs.clone()];
                    let mut seams: Vec<_> = seams(labels, sheets, &slab).into_iter().collect();
                    seams.sort_unstable_by_key(|(pair, _)| *pair);
                    Self(seams)
                })
                .collect();
            slabs.into_iter().for_each(|slab| self.join(slab));
        }
    }

    /// Adds seams that were gathered elsewhere.
    fn join(&mut self, other: Self) {
        let mut new = Vec::new();
        let mut at = 0;
        for (pair, seam) in other.0 {
            while self.0.get(at).is_some_and(|(known, _)| *known < pair) {
                at += 1;
            }
            match self.0.get_mut(at) {
                Some((known, sum)) if *known == pair => sum.join(&seam),
                _ => new.push((pair, seam)),
            }
        }
        self.insert(&new);
    }

    /// Puts others that are not yet there in their places, the last ones first, so that they need no second piece of memory.
    fn insert(&mut self, new: &[((u32, u32), Seam)]) {
        let mut old = self.0.len();
        self.0.reserve_exact(new.len());
        self.0.extend_from_slice(new);
        let mut place = self.0.len();
        for &entry in new.iter().rev() {
            while old > 0 && self.0[old - 1].0 > entry.0 {
                (old, place) = (old - 1, place - 1);
                self.0[place] = self.0[old];
            }
            place -= 1;
            self.0[place] = entry;
        }
    }

    /// The graph of the regions `1..=n_regions` (as `0..n_regions`).
    pub(crate) fn graph(self, n_regions: usize) -> RegionGraph {
        let faces = self.0.into_iter().map(|((a, b), seam)| ((a - 1, b - 1), seam.face()));
        RegionGraph::of_faces(n_regions, faces)
    }
}

/// The seams that begin in some voxels.
fn seams(labels: &Volume<u32>, sheets: &Sheets, core: &Block) -> HashMap<(u32, u32), Seam> {
    let [n_z, n_y, n_x] = labels.shape();
    let (labels_of, evidence_of) = (labels.as_slice(), sheets.evidence.as_slice());
    let strides = [n_y * n_x, n_x, 1];
    let areas = [0, 1, 2].map(|axis| labels.voxel_size().face_area_um2(axis) as f32);
    let normals = Direction::units();
    let mut seams: HashMap<(u32, u32), Seam> = HashMap::new();
    let [zs, ys, xs] = core;
    for z in zs.clone() {
        for (y, x) in ys.clone().flat_map(|y| xs.clone().map(move |x| (y, x))) {
            let here = z * strides[0] + y * n_x + x;
            let inside = [z + 1 < n_z, y + 1 < n_y, x + 1 < n_x];
            for axis in (0..3).filter(|&axis| inside[axis]) {
                let near = here + strides[axis];
                let (a, b) = (labels_of[here], labels_of[near]);
                if a == b || a == 0 || b == 0 {
                    continue;
                }
                let step_um2 = if a < b { areas[axis] } else { -areas[axis] };
                let stronger = if evidence_of[near] > evidence_of[here] { near } else { here };
                let strength = evidence_of[stronger].value().min(1.0);
                let normal = normals[usize::from(sheets.directions.as_slice()[stronger].bits())];
                let seam = seams.entry((a.min(b), a.max(b))).or_default();
                seam.add(axis, step_um2, strength, normal);
            }
        }
    }
    seams
}

/// What is gathered along the face between two regions, in z, y, x.
#[derive(Clone, Copy, Default)]
struct Seam {
    /// The sum of all steps across the face: its normal, as long as its area in µm².
    across_um2: [f32; 3],
    /// The area of all steps.
    area_um2: f32,
    /// The sum over all steps of area × evidence × the outer product of the sheet's normal with itself: zz, yy, xx, zy, zx, yx.
    sheets: [f32; 6],
}

impl Seam {
    /// Adds a step of an area along an axis across the face, at a sheet.
    fn add(&mut self, axis: usize, step_um2: f32, evidence: f32, [z, y, x]: [f32; 3]) {
        self.across_um2[axis] += step_um2;
        self.area_um2 += step_um2.abs();
        let weight = step_um2.abs() * evidence;
        let products = [z * z, y * y, x * x, z * y, z * x, y * x];
        self.sheets.iter_mut().zip(products).for_each(|(sum, product)| *sum += weight * product);
    }

    fn join(&mut self, other: &Self) {
        self.across_um2.iter_mut().zip(other.across_um2).for_each(|(sum, more)| *sum += more);
        self.area_um2 += other.area_um2;
        self.sheets.iter_mut().zip(other.sheets).for_each(|(sum, more)| *sum += more);
    }

    fn face(&self) -> Face {
        let across = Vector3::from(self.across_um2.map(f64::from));
        let normal = across.try_normalize(0.0).unwrap_or_else(Vector3::zeros);
        let [zz, yy, xx, zy, zx, yx] = self.sheets.map(f64::from);
        let sheets = Matrix3::new(zz, zy, zx, zy, yy, yx, zx, yx, xx);
        let in_face = normal.dot(&(sheets * normal));
        let crossing = sheets.trace() - in_face;
        Face::new(in_face, f64::from(self.area_um2) - crossing)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::evidence::Evidence;
    use crate::sheet::{SheetScale, directions, sheet_evidence};
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
        let scale = SheetScale::for_width(0.3);
        let evidence = sheet_evidence(&image, scale).unwrap();
        let strongest = evidence.as_slice().iter().copied().fold(0.0, f32::max);
        let sheets = Sheets {
            evidence: evidence.map(|value| Evidence::new(value / strongest)),
            directions: directions(&image, &whole(image.shape()), scale).unwrap(),
        };
        let mut seams = Seams::default();
        seams.add(&labels, &sheets, &whole(labels.shape()));
        let graph = seams.graph(2);
        let faces: Vec<_> = graph.faces().collect();
        assert_eq!(faces.len(), 1);
        faces[0].2
    }

    fn minima_of(values: Vec<f32>) -> Vec<usize> {
        let image = sized_volume([1, 1, values.len()], values, [1.0; 3]);
        let part = Part::whole(image.shape());
        minima(&image, &part).into_iter().map(|[_, _, x]| x).collect()
    }

    #[test]
    fn seeds_stand_at_minima_and_on_a_lattice_where_the_image_is_flat() {
        assert_eq!(minima_of(vec![3.0, 1.0, 2.0, 0.0, 0.0, 4.0, 3.0]), [1, 3, 6]);
        assert_eq!(minima_of(vec![1.0; 14]), [0, 5, 10]);
    }

    #[test]
    fn parts_have_the_seeds_of_the_whole() {
        let image = sized_volume(
            [9, 8, 7],
            (0..504_u64).map(|n| (n * 2_654_435_761 % 4096 / 512) as f32).collect(),
            [2.0, 1.0, 1.0],
        );
        let all = minima(&image, &Part::whole(image.shape()));
        let planes = image.voxels().slice(ndarray::s![2..8, .., ..]).to_owned();
        let planes = Volume::new(planes, image.voxel_size()).unwrap();
        let some = minima(&planes, &Part { core: [1..5, 0..8, 0..7], from: [2, 0, 0] });
        let wanted: Vec<_> = all.into_iter().filter(|[z, _, _]| (3..7).contains(z)).collect();
        assert_eq!(some.into_iter().map(|[z, y, x]| [z + 2, y, x]).collect::<Vec<_>>(), wanted);
        assert!(!wanted.is_empty());
    }

    #[test]
    fn a_sheet_counts_where_it_lies_in_the_face_and_not_where_it_crosses() {
        for um in [[0.3; 3], [0.6, 0.3, 0.25]] {
            let along = face_when_cut(2, um);
            assert!(along.mean() > 0.95, "{along:?}");
            assert!((along.area_um2() / (24.0 * um[0] * 24.0 * um[1]) - 1.0).abs() < 0.02);
            for axis in [0, 1] {
                let across = face_when_cut(axis, um);
                assert!(across.mean() < 0.02, "{axis} {across:?}");
                let whole = 24.0 * um[2] * 24.0 * um[1 - axis];
                assert!(across.area_um2() < 0.97 * whole, "the sheet's own part is not asked");
            }
        }
    }
}
