//! The smooth fields of a tissue, sampled on a coarse lattice in the image and interpolated.
//!
//! All that decides a voxel (place at rest, distance to the surface, strength of the label,
//! distance to the skin) varies over µm: it is computed exactly every 0.75 µm and linearly
//! between. The bent, folded tissue so costs a voxel no more than a straight one.

use nalgebra::Point3;
use rayon::prelude::*;

/// Between nodes, in µm.
pub(super) const SPACING_UM: f32 = 0.75;

/// Nodes along the side of a block that shares a list of candidate cells.
const BLOCK: usize = 4;

/// Fields at a node: place at rest (x, y, z), distance to the surface, strength of the label,
/// distance to the skin; in µm but the strength.
pub(super) type Node = [f32; 6];
pub(super) const SURFACE: usize = 3;
pub(super) const STRENGTH: usize = 4;
pub(super) const SKIN: usize = 5;

/// The fields on nodes that cover an image, and which cells may be near each block of them.
pub(super) struct Lattice {
    nodes: Vec<Node>, // z, y, x
    shape: [usize; 3],
    candidates: Vec<Vec<u32>>, // per block
    blocks: [usize; 3],
}

impl Lattice {
    /// The lattice of an image of `extent_um` (z, y, x); `fields` says what is at a point
    /// (x, y, z in µm) of the image, `reach_um` how far outside the surface cells matter.
    pub(super) fn new(
        extent_um: [f64; 3],
        seeds: &[[f32; 3]],
        reach_um: f32,
        fields: impl Fn(&Point3<f64>) -> Node + Sync,
    ) -> Self {
        let blocks = extent_um.map(|extent_um| {
            (extent_um / f64::from(SPACING_UM * BLOCK as f32)).floor() as usize + 1
        });
        let shape = blocks.map(|blocks| blocks * BLOCK + 1);
        let [_, ny, nx] = shape;
        let mut nodes = vec![[0.0; 6]; shape.iter().product()];
        nodes.par_chunks_mut(nx).enumerate().for_each(|(row, nodes)| {
            let (z, y) = (row / ny, row % ny);
            for (x, node) in nodes.iter_mut().enumerate() {
                let at = [x, y, z].map(|at| at as f64 * f64::from(SPACING_UM));
                *node = fields(&Point3::from(at));
            }
        });
        let mut lattice = Self { nodes, shape, candidates: Vec::new(), blocks };
        lattice.candidates = (0..blocks.iter().product())
            .into_par_iter()
            .map(|block| lattice.candidates_of(block, seeds, reach_um))
            .collect();
        lattice
    }

    /// The cells that can be nearest or second nearest to any place in a block.
    ///
    /// Interpolated places lie in the ball about the block's nodes. In a ball of radius ρ whose
    /// centre is d from its second seed, no place is farther than d + ρ from its second seed, and
    /// that seed no farther than d + 2 ρ from the centre.
    fn candidates_of(&self, block: usize, seeds: &[[f32; 3]], reach_um: f32) -> Vec<u32> {
        let nodes = self.nodes_of(block);
        if nodes.iter().all(|node| node[SURFACE] > reach_um) {
            return Vec::new();
        }
        let at_rest = |node: &Node| [node[0], node[1], node[2]];
        let sum = nodes.iter().fold([0.0; 3], |sum, node| {
            std::array::from_fn::<f32, 3, _>(|axis| sum[axis] + node[axis])
        });
        let centre = sum.map(|sum| sum / nodes.len() as f32);
        let radius = nodes.iter().map(|node| square(at_rest(node), centre)).fold(0.0, f32::max);
        let mut near: Vec<(f32, u32)> =
            (0_u32..).zip(seeds).map(|(cell, seed)| (square(*seed, centre).sqrt(), cell)).collect();
        near.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
        let second = near.get(1).or(near.first()).map_or(0.0, |near| near.0);
        let limit = (second + 2.0 * radius.sqrt()) * 1.001;
        near.iter().take_while(|near| near.0 <= limit).map(|near| near.1).collect()
    }

    fn nodes_of(&self, block: usize) -> Vec<&Node> {
        let [_, by, bx] = self.blocks;
        let first = [block / (by * bx), block / bx % by, block % bx].map(|block| block * BLOCK);
        let [_, ny, nx] = self.shape;
        let mut nodes = Vec::with_capacity((BLOCK + 1).pow(3));
        for z in first[0]..=first[0] + BLOCK {
            for y in first[1]..=first[1] + BLOCK {
                let row = (z * ny + y) * nx;
                nodes.extend(&self.nodes[row + first[2]..=row + first[2] + BLOCK]);
            }
        }
        nodes
    }

    /// The fields along the line at `z_um`, `y_um`.
    pub(super) fn line(&self, z_um: f32, y_um: f32) -> Line<'_> {
        let [_, ny, nx] = self.shape;
        let (z, fz) = cell(z_um, self.shape[0]);
        let (y, fy) = cell(y_um, ny);
        let row = |z: usize, y: usize| &self.nodes[(z * ny + y) * nx..][..nx];
        let corners = [row(z, y), row(z, y + 1), row(z + 1, y), row(z + 1, y + 1)];
        let nodes = (0..nx).map(|x| {
            let corners = corners.map(|row| row[x]);
            LineNode {
                fields: std::array::from_fn(|i| {
                    let [a, b, c, d] = corners.map(|corner| corner[i]);
                    mix(mix(a, b, fy), mix(c, d, fy), fz)
                }),
                along_y: std::array::from_fn(|i| {
                    let [a, b, c, d] = corners.map(|corner| corner[i]);
                    mix(b - a, d - c, fz) / SPACING_UM
                }),
                along_z: std::array::from_fn(|i| {
                    let [a, b, c, d] = corners.map(|corner| corner[i]);
                    mix(c - a, d - b, fy) / SPACING_UM
                }),
            }
        });
        let [_, by, bx] = self.blocks;
        let blocks = (z / BLOCK * by + y / BLOCK) * bx;
        Line { nodes: nodes.collect(), candidates: &self.candidates[blocks..][..bx] }
    }
}

/// Fields at a node of a line, and how the first four change across it, per µm.
struct LineNode {
    fields: Node,
    along_y: [f32; 4],
    along_z: [f32; 4],
}

/// The fields along x.
pub(super) struct Line<'a> {
    nodes: Vec<LineNode>,
    candidates: &'a [Vec<u32>],
}

/// The fields at one place, with the derivatives of the first four along x, y, z.
pub(super) struct Place {
    pub(super) fields: Node,
    pub(super) slopes: [[f32; 4]; 3],
}

impl Line<'_> {
    /// What is at `x_um`.
    pub(super) fn at(&self, x_um: f32) -> Place {
        let (x, fx) = cell(x_um, self.nodes.len());
        let (from, to) = (&self.nodes[x], &self.nodes[x + 1]);
        let fields = std::array::from_fn(|i| mix(from.fields[i], to.fields[i], fx));
        let slopes = [
            std::array::from_fn(|i| (to.fields[i] - from.fields[i]) / SPACING_UM),
            std::array::from_fn(|i| mix(from.along_y[i], to.along_y[i], fx)),
            std::array::from_fn(|i| mix(from.along_z[i], to.along_z[i], fx)),
        ];
        Place { fields, slopes }
    }

    /// The cells that may be near `x_um`; none far outside the tissue.
    pub(super) fn candidates(&self, x_um: f32) -> &[u32] {
        &self.candidates[cell(x_um, self.nodes.len()).0 / BLOCK]
    }
}

/// The node below `um` of `n` nodes, and the share of the way to the next.
fn cell(um: f32, n: usize) -> (usize, f32) {
    let position = um / SPACING_UM;
    let below = (position as usize).min(n - 2);
    (below, position - below as f32)
}

fn mix(a: f32, b: f32, share: f32) -> f32 {
    a + (b - a) * share
}

/// The square of the distance between two places.
pub(super) fn square(a: [f32; 3], b: [f32; 3]) -> f32 {
    let [x, y, z] = [a[0] - b[0], a[1] - b[1], a[2] - b[2]];
    x * x + y * y + z * z
}
