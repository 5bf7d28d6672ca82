//! What the network is to learn: how close each voxel is to a boundary.

use primordia_data::Volume;
use rayon::prelude::*;

/// The standard deviation of the profile of a boundary: this, or this share of a voxel where voxels are longer.
const WIDTH_UM: f64 = 0.3;
const WIDTH_VOXELS: f64 = 0.6;
/// Profiles end at this many standard deviations.
const END: f64 = 2.5;

/// `exp(−½ d²)` of the distance `d` from each voxel's centre to the nearest face between two voxels of different
/// labels, the outside (0) being one; `d` is in widths of a boundary, which along an axis are 0.3 µm or 0.6 voxels.
pub(crate) fn boundaries(labels: &Volume<u32>) -> Volume<f32> {
    let faces = faces_around(labels.voxel_size().um());
    let [n_z, n_y, n_x] = labels.shape();
    let of = labels.as_slice();
    let mut out = labels.map(|_| 0.0);
    if let Some(out) = out.voxels_mut().as_slice_mut() {
        out.par_chunks_mut(n_x).enumerate().for_each(|(row, out)| {
            let (z, y) = ((row / n_y) as isize, (row % n_y) as isize);
            let at = |[dz, dy, dx]: [isize; 3], x: usize| {
                let (z, y, x) = (z + dz, y + dy, x as isize + dx);
                let is_inside = (0..n_z as isize).contains(&z)
                    && (0..n_y as isize).contains(&y)
                    && (0..n_x as isize).contains(&x);
                is_inside.then(|| of[(z as usize * n_y + y as usize) * n_x + x as usize])
            };
            for (x, out) in out.iter_mut().enumerate() {
                let parts = |face: &&Face| match (at(face.sides[0], x), at(face.sides[1], x)) {
                    (Some(a), Some(b)) => a != b,
                    _ => false,
                };
                *out = faces.iter().find(parts).map_or(0.0, |face| face.value);
            }
        });
    }
    out
}

/// A face near a voxel: the two voxels that it parts, from that voxel, and the value that it gives.
struct Face {
    sides: [[isize; 3]; 2],
    value: f32,
}

/// The faces within the profile of a boundary, the nearest first.
fn faces_around(um: [f64; 3]) -> Vec<Face> {
    let widths = um.map(|um| WIDTH_VOXELS.max(WIDTH_UM / um)); // in voxels: 0.6 is 0.6, without rounding
    let reach = widths.map(|width| (END * width).ceil() as isize);
    let mut faces = Vec::new();
    for z in -reach[0]..=reach[0] {
        for y in -reach[1]..=reach[1] {
            for x in -reach[2]..=reach[2] {
                for axis in 0..3 {
                    let near = [z, y, x];
                    let mut far = near;
                    far[axis] += 1;
                    let square: f64 =
                        (0..3).map(|a| (0.5 * (near[a] + far[a]) as f64 / widths[a]).powi(2)).sum();
                    if square <= END * END {
                        faces
                            .push(Face { sides: [near, far], value: (-0.5 * square).exp() as f32 });
                    }
                }
            }
        }
    }
    faces.sort_by(|a, b| b.value.total_cmp(&a.value));
    faces
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::testing::sized_volume;

    #[test]
    fn values_fall_with_the_distance_from_the_face() {
        let labels = sized_volume([1, 1, 8], vec![3, 3, 3, 3, 0, 0, 0, 0], [1.0, 0.2, 0.2]);
        let found = boundaries(&labels);
        for (x, value) in found.as_slice().iter().enumerate() {
            let distance_um = (x as f64 - 3.5).abs() * 0.2;
            let wanted = (-0.5 * (distance_um / 0.3).powi(2)).exp() as f32;
            assert!((value - wanted).abs() < 1e-6, "{x}: {value}, wanted {wanted}");
        }
    }

    #[test]
    fn long_voxels_have_wide_boundaries() {
        let labels = sized_volume([4, 1, 1], vec![1, 1, 2, 2], [1.0, 0.2, 0.2]);
        let near = (-0.5 * (0.5_f64 / 0.6).powi(2)).exp() as f32;
        let far = (-0.5 * (1.5_f64 / 0.6).powi(2)).exp() as f32;
        let found = boundaries(&labels);
        for (value, wanted) in found.as_slice().iter().zip([far, near, near, far]) {
            assert!((value - wanted).abs() < 1e-6, "{value}, wanted {wanted}");
        }
    }

    proptest! {
        #[test]
        fn the_nearest_face_is_the_nearest_of_all(
            labels in prop::collection::vec(0..3_u32, 60), um in (0.2..1.2_f64, 0.2..0.6_f64),
        ) {
            let (shape, um) = ([3, 4, 5], [um.0, um.1, um.1]);
            let labels = sized_volume(shape, labels, um);
            let of = labels.voxels();
            let widths = um.map(|um| 0.6_f64.max(0.3 / um)); // in voxels
            let found = boundaries(&labels);
            for (here, &value) in found.voxels().indexed_iter() {
                let mut least = f64::INFINITY;
                for (near, _) in of.indexed_iter() {
                    for axis in 0..3 {
                        let near = [near.0, near.1, near.2];
                        let mut far = near;
                        far[axis] += 1;
                        if far[axis] >= shape[axis] || of[near] == of[far] {
                            continue;
                        }
                        let here = [here.0, here.1, here.2];
                        let square = (0..3).map(|a| {
                            let away = 0.5 * (near[a] + far[a]) as f64 - here[a] as f64;
                            (away / widths[a]).powi(2)
                        });
                        least = least.min(square.sum());
                    }
                }
                let wanted = if least <= END * END { (-0.5 * least).exp() } else { 0.0 };
                prop_assert!((f64::from(value) - wanted).abs() < 1e-6, "{} {}", value, wanted);
            }
        }
    }
}
