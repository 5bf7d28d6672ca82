//! The exact distance of each voxel to the nearest voxel outside a mask.

use ndarray::Axis;
use ndarray::parallel::prelude::*;
use primordia_data::Volume;

/// The distance in µm from the centre of each voxel to the centre of the nearest voxel that is not
/// in `mask`: 0 outside, infinite everywhere if the mask has no outside.
///
/// Exact for voxels of any shape: squared distances along x, then lower envelopes of parabolas
/// along y and z (Felzenszwalb & Huttenlocher 2012, doi:10.4086/toc.2012.v008a019).
pub fn distance_um(mask: &Volume<bool>) -> Volume<f32> {
    let [um_z, um_y, um_x] = mask.voxel_size().um();
    let mut squared = mask.map(|&inside| if inside { f32::INFINITY } else { 0.0 });
    let mut voxels = squared.voxels_mut();
    voxels.axis_iter_mut(Axis(0)).into_par_iter().for_each(|mut plane| {
        plane.rows_mut().into_iter().for_each(|mut row| {
            if let Some(row) = row.as_slice_mut() {
                along_row(row, um_x);
            }
        });
        let mut envelope = Envelope::default();
        plane.columns_mut().into_iter().for_each(|line| envelope.lower(line, um_y));
    });
    voxels.axis_iter_mut(Axis(1)).into_par_iter().for_each(|mut plane| {
        let mut envelope = Envelope::default();
        plane.columns_mut().into_iter().for_each(|mut line| {
            envelope.lower(line.view_mut(), um_z);
            line.mapv_inplace(f32::sqrt);
        });
    });
    squared
}

/// Squared distances along one row to its nearest 0.
fn along_row(row: &mut [f32], side_um: f64) {
    let mut steps = f64::INFINITY;
    let mut sweep = |value: &mut f32| {
        steps = if *value == 0.0 { 0.0 } else { steps + 1.0 };
        *value = value.min((steps * side_um).powi(2) as f32);
    };
    row.iter_mut().for_each(&mut sweep);
    row.iter_mut().rev().for_each(sweep);
}

/// The lower envelope of the parabolas `height + (side · (x − vertex))²`, with its buffers.
#[derive(Default)]
struct Envelope {
    heights: Vec<f64>,
    parabolas: Vec<(usize, f64)>, // vertex, and where the parabola becomes the lowest
}

impl Envelope {
    /// Replaces each value by the lowest parabola above it.
    fn lower(&mut self, mut line: ndarray::ArrayViewMut1<'_, f32>, side_um: f64) {
        self.heights.clear();
        self.heights.extend(line.iter().map(|&value| f64::from(value)));
        self.parabolas.clear();
        for (vertex, &height) in self.heights.iter().enumerate() {
            if height.is_finite() {
                push_parabola(&mut self.parabolas, &self.heights, vertex, side_um);
            }
        }
        let mut lowest = 0;
        for (at, value) in line.iter_mut().enumerate() {
            while self.parabolas.get(lowest + 1).is_some_and(|next| next.1 < at as f64) {
                lowest += 1;
            }
            if let Some(&(vertex, _)) = self.parabolas.get(lowest) {
                let away_um = (at as f64 - vertex as f64) * side_um;
                *value = (self.heights[vertex] + away_um * away_um) as f32;
            }
        }
    }
}

fn push_parabola(parabolas: &mut Vec<(usize, f64)>, heights: &[f64], vertex: usize, side_um: f64) {
    let lift = |vertex: usize| heights[vertex] / (side_um * side_um) + (vertex as f64).powi(2);
    while let Some(&(before, from)) = parabolas.last() {
        let crossing = (lift(vertex) - lift(before)) / (2.0 * (vertex as f64 - before as f64));
        if crossing > from {
            parabolas.push((vertex, crossing));
            return;
        }
        parabolas.pop();
    }
    parabolas.push((vertex, f64::NEG_INFINITY));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{any_bytes, on_threads, reference, sized_volume};
    use primordia_data::VoxelSize;
    use proptest::prelude::*;

    /// Squared distances pass through f32 three times.
    const SINGLE_PRECISION: f32 = 3e-6;

    fn distance_by_definition(mask: &Volume<bool>) -> Volume<f32> {
        let outside: Vec<_> = mask
            .voxels()
            .indexed_iter()
            .filter(|(_, inside)| !**inside)
            .map(|(at, _)| at)
            .collect();
        let mut out = mask.map(|_| 0.0);
        for ((z, y, x), value) in out.voxels_mut().indexed_iter_mut() {
            let here = mask.point_um([z, y, x]);
            let nearest = outside.iter().map(|&(z, y, x)| (mask.point_um([z, y, x]) - here).norm());
            *value = nearest.fold(f64::INFINITY, f64::min) as f32;
        }
        out
    }

    fn assert_close(found: &[f32], wanted: &[f32]) {
        for (found, wanted) in found.iter().zip(wanted) {
            let close = (found - wanted).abs() <= SINGLE_PRECISION * wanted || found == wanted;
            assert!(close, "{found} {wanted}");
        }
    }

    proptest! {
        #[test]
        fn the_fast_distance_is_the_slow_distance(
            image in any_bytes(7), um in prop::array::uniform3(0.05..3.0_f64)
        ) {
            let mask = Volume::new(image.voxels().mapv(|value| value > 0), VoxelSize::from_um(um).unwrap()).unwrap();
            assert_close(distance_um(&mask).as_slice(), distance_by_definition(&mask).as_slice());
        }
    }

    #[test]
    fn distances_are_those_of_scipy() {
        let mask = reference().mask.iter().map(|&value| value > 0).collect();
        let mask = sized_volume(reference().shape, mask, reference().voxel_size_um);
        assert_close(distance_um(&mask).as_slice(), &reference().distance_um);
        assert_eq!(on_threads(1, || distance_um(&mask)), on_threads(4, || distance_um(&mask)));
    }
}
