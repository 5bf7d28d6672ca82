//! Small cells are looked at more finely.
//!
//! Merged voxels average noise, but hide walls that lie only a few of them apart. How large cells are is known once they have been
//! found somehow; where they turn out to be small, they are sought again in smaller voxels.

use primordia_data::VoxelSize;

use crate::auto::Auto;
use crate::resample::factors_on;

/// The shape and the voxel size of an image.
type Grid = ([usize; 3], VoxelSize);

/// Cells are so many times as wide as the membranes that are looked for, at least.
const CELL_WIDTHS: f64 = 14.0;

/// What to look for instead of `params` in an image whose cells turned out to have some volume and whose sheets were sought at
/// some width; none where cells are large enough, where wider sheets than the narrowest were the clearest, and where
/// voxels are too coarse.
pub(crate) fn finer(params: &Auto, image: Grid, width_um: f64, usual_um3: f64) -> Option<Auto> {
    /// Less is not worth another look.
    const NARROWER: f64 = 0.9;
    let membrane_um = usual_um3.cbrt() / CELL_WIDTHS;
    if membrane_um.is_nan()
        || membrane_um >= params.membrane_um
        || width_um > narrowest_um(params, image)
    {
        return None;
    }
    let times = membrane_um / params.membrane_um;
    let finer =
        Auto { membrane_um, min_volume_um3: params.min_volume_um3 * times.powi(3), ..*params };
    (narrowest_um(&finer, image) < NARROWER * width_um).then_some(finer)
}

/// The least width at which sheets are looked for.
fn narrowest_um(params: &Auto, image: Grid) -> f64 {
    let factors = factors_on(image, params.membrane_um);
    let um = image.1.um();
    params.narrowest_um([0, 1, 2].map(|axis| um[axis] * factors[axis] as f64))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The least width at which sheets are looked for once cells were found to be so wide, in voxels of some size.
    fn looked_for_um(cell_um: f64, voxel_um: f64) -> Option<f64> {
        let image = ([100; 3], VoxelSize::from_um([voxel_um; 3]).unwrap());
        let params = Auto::default();
        let finer = finer(&params, image, narrowest_um(&params, image), cell_um.powi(3))?;
        Some(narrowest_um(&finer, image))
    }

    #[test]
    fn membranes_of_small_cells_are_sought_as_narrow_as_voxels_show_them() {
        assert_eq!(looked_for_um(8.0, 0.1), None);
        let small = looked_for_um(4.2, 0.1).unwrap();
        assert!((small - 0.33).abs() < 0.01, "{small} µm");
        let in_coarse_voxels = looked_for_um(4.2, 0.3).unwrap();
        assert!((in_coarse_voxels - 0.33).abs() < 0.01, "{in_coarse_voxels} µm");
        assert_eq!(looked_for_um(4.2, 0.4), None);
    }

    #[test]
    fn where_wide_sheets_are_the_clearest_nothing_is_gained() {
        let image = ([100; 3], VoxelSize::from_um([0.1; 3]).unwrap());
        assert_eq!(finer(&Auto::default(), image, 1.0, 50.0), None);
    }
}
