//! Each cell in one piece: what voxels cut off goes to the neighbour it touches most.

use std::collections::{BTreeMap, BTreeSet};

use ndarray::Array3;

/// Gives every piece of a cell but its largest to the neighbour with which it shares most faces,
/// or to the background if it has none, until all cells of `labels` are 6-connected.
pub(super) fn join_pieces(labels: &mut Array3<u32>) {
    while move_pieces(labels) > 0 {}
}

/// One round; the number of pieces that changed.
fn move_pieces(labels: &mut Array3<u32>) -> usize {
    let shape = labels.dim();
    let Some(voxels) = labels.as_slice_mut() else { return 0 };
    let pieces = pieces(voxels, shape);
    let n_cells = pieces.iter().map(|piece| piece.label).max().unwrap_or(0) as usize;
    let mut largest = vec![None; n_cells + 1];
    for (at, piece) in pieces.iter().enumerate() {
        let best = &mut largest[piece.label as usize];
        if best.is_none_or(|best: usize| pieces[best].size < piece.size) {
            *best = Some(at);
        }
    }
    let apart =
        pieces.iter().enumerate().filter(|(at, piece)| largest[piece.label as usize] != Some(*at));
    // All are gathered before any changes hands, and so changes what hangs together.
    let apart: Vec<Vec<usize>> = apart.map(|(_, piece)| members(voxels, shape, piece)).collect();
    for members in &apart {
        hand_over(voxels, shape, members);
    }
    apart.len()
}

/// Voxels of one label that hang together.
struct Piece {
    label: u32,
    first: usize,
    size: usize,
}

fn pieces(voxels: &[u32], shape: (usize, usize, usize)) -> Vec<Piece> {
    let mut seen = vec![false; voxels.len()];
    let mut pieces = Vec::new();
    let mut stack = Vec::new();
    for first in 0..voxels.len() {
        let label = voxels[first];
        if label == 0 || seen[first] {
            continue;
        }
        let mut size = 0;
        seen[first] = true;
        stack.push(first);
        while let Some(voxel) = stack.pop() {
            size += 1;
            for next in neighbours(voxel, shape).into_iter().flatten() {
                if voxels[next] == label && !seen[next] {
                    seen[next] = true;
                    stack.push(next);
                }
            }
        }
        pieces.push(Piece { label, first, size });
    }
    pieces
}

/// The voxels of `piece`, ascending.
fn members(voxels: &[u32], shape: (usize, usize, usize), piece: &Piece) -> Vec<usize> {
    let mut seen = BTreeSet::from([piece.first]);
    let mut stack = vec![piece.first];
    while let Some(voxel) = stack.pop() {
        for next in neighbours(voxel, shape).into_iter().flatten() {
            if voxels[next] == piece.label && seen.insert(next) {
                stack.push(next);
            }
        }
    }
    seen.into_iter().collect()
}

fn hand_over(voxels: &mut [u32], shape: (usize, usize, usize), members: &[usize]) {
    let mut faces = BTreeMap::<u32, usize>::new();
    for &voxel in members {
        for next in neighbours(voxel, shape).into_iter().flatten() {
            if voxels[next] != 0 && members.binary_search(&next).is_err() {
                *faces.entry(voxels[next]).or_default() += 1;
            }
        }
    }
    // The last of equals: the same on every run.
    let heir = faces.into_iter().max_by_key(|&(_, faces)| faces).map_or(0, |(label, _)| label);
    for &voxel in members {
        voxels[voxel] = heir;
    }
}

/// The neighbours across the faces of a voxel, where there are any.
fn neighbours(voxel: usize, (nz, ny, nx): (usize, usize, usize)) -> [Option<usize>; 6] {
    let (x, y, z) = (voxel % nx, voxel / nx % ny, voxel / (nx * ny));
    [
        (x > 0).then(|| voxel - 1),
        (x + 1 < nx).then(|| voxel + 1),
        (y > 0).then(|| voxel - nx),
        (y + 1 < ny).then(|| voxel + nx),
        (z > 0).then(|| voxel - nx * ny),
        (z + 1 < nz).then(|| voxel + nx * ny),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cut_off_piece_joins_the_neighbour_it_touches_most() {
        let values = vec![1, 1, 1, 0, 2, 2, 1, 2, 2, 3, 3, 3];
        let mut labels = Array3::from_shape_vec((1, 3, 4), values).unwrap();
        join_pieces(&mut labels);
        // The last 2 touches one 1 and one 3, and goes to the last of equals.
        assert_eq!(labels.as_slice().unwrap(), [1, 1, 1, 0, 2, 2, 1, 3, 2, 3, 3, 3]);
    }

    #[test]
    fn a_cut_off_piece_without_neighbours_is_background() {
        let mut labels = Array3::from_shape_vec((1, 1, 5), vec![4, 4, 0, 4, 0]).unwrap();
        join_pieces(&mut labels);
        assert_eq!(labels.as_slice().unwrap(), [4, 4, 0, 0, 0]);
    }
}
