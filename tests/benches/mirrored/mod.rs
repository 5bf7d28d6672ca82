//! Images of any size: a phantom and its mirror images side by side.

use ndarray::{Array3, Axis};
use primordia_data::phantom::{self, Optics, PhantomParams, Pose, TissueParams};
use primordia_data::{Volume, VoxelSize};

/// A clean image of some 0.7 to 1.5 times `n_voxels` voxels, each as large as told (z, y, x); one phantom if that has more.
pub(crate) fn mirrored(voxel_um: [f64; 3], n_voxels: usize) -> Volume<u8> {
    let voxel_size = VoxelSize::from_um(voxel_um).expect("positive");
    let params = PhantomParams {
        tissue: TissueParams { curvature_per_um: 0.0, ..TissueParams::default() },
        pose: Pose { margin_um: 1.5, ..Pose::default() },
        optics: Optics::clean(voxel_size),
        ..PhantomParams::default()
    };
    let phantom = phantom::specimen(&params, 1).expect("sensible parameters");
    let mut voxels = phantom.membrane.voxels().mapv(|counts| counts.min(255) as u8);
    for turn in 0.. {
        if 2 * voxels.len() > n_voxels * 3 / 2 {
            break;
        }
        voxels = doubled(&voxels, Axis(1 + turn % 2));
    }
    Volume::new(voxels, voxel_size).expect("not empty")
}

/// The image and its mirror image side by side along an axis.
fn doubled(voxels: &Array3<u8>, axis: Axis) -> Array3<u8> {
    let mut mirror = voxels.view();
    mirror.invert_axis(axis);
    ndarray::concatenate(axis, &[voxels.view(), mirror]).expect("one shape")
}
