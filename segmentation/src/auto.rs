//! Segmentation without anything to tune.

use primordia_data::Volume;

use crate::error::{Result, SegmentError};
use crate::gaussian::gaussian;
use crate::hartmann2020::{Hartmann2020, finite_range, flood_bodies, to_bytes};
use crate::segmentation::Segmentation;

/// What a cell is, in µm; the defaults fit animal and plant tissues.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Auto {
    /// Membranes are smoothed with this standard deviation (but at least 0.8 voxels), in µm.
    pub smoothing_um: f64,
    /// Smaller pieces are no cells, in µm³.
    pub min_volume_um3: f64,
    /// Larger pieces are background, in µm³.
    pub max_volume_um3: f64,
}

impl Default for Auto {
    fn default() -> Self {
        Self { smoothing_um: 0.3, min_volume_um3: 15.0, max_volume_um3: 5_000.0 }
    }
}

impl Auto {
    fn check(&self) -> Result<()> {
        let all = [
            ("smoothing_um", self.smoothing_um),
            ("min_volume_um3", self.min_volume_um3),
            ("max_volume_um3", self.max_volume_um3 - self.min_volume_um3),
        ];
        for (name, value) in all {
            if !(value > 0.0 && value.is_finite()) {
                return Err(SegmentError::Parameter { name, value, wanted: "positive, largest above least" });
            }
        }
        Ok(())
    }
}

/// Segments a membrane channel (bright membranes) of any voxel size and type.
///
/// # Errors
/// [`SegmentError::NotFinite`], [`SegmentError::Constant`], [`SegmentError::NoCells`] for images without finite values,
/// contrast or cells; [`SegmentError::Parameter`] for impossible `params`.
pub fn auto(membrane: &Volume<f32>, params: &Auto) -> Result<Segmentation> {
    params.check()?;
    finite_range(membrane)?;
    let sides_um = membrane.voxel_size().um();
    let smooth = to_bytes(&gaussian(membrane, sides_um.map(|side| params.smoothing_um.max(0.8 * side)))?)?;
    let voxel_um3 = membrane.voxel_size().volume_um3();
    let in_voxels = |um3: f64| (um3 / voxel_um3).ceil() as u64;
    let recipe = Hartmann2020 {
        max_offset: 64,
        min_voxels: in_voxels(params.min_volume_um3),
        max_voxels: in_voxels(params.max_volume_um3),
        ..Hartmann2020::MEMBRANES
    };
    flood_bodies(&smooth, &recipe)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{reference_tissue, volume};

    #[test]
    fn cells_are_found_without_a_parameter() {
        let (image, _, _) = reference_tissue(); // drawn from 18 cells
        let found = auto(&image.map(|&value| f32::from(value)), &Auto::default()).unwrap();
        assert!((17..=19).contains(&found.labels.n_cells()), "{:?}", found.threshold);
    }

    #[test]
    fn what_cannot_be_segmented_says_why() {
        let with = |value: f32| auto(&volume([1, 1, 3], vec![value, 0.0, 0.0]), &Auto::default());
        assert!(matches!(with(0.0), Err(SegmentError::Constant { .. })));
        assert!(matches!(with(f32::NAN), Err(SegmentError::NotFinite { .. })));
        assert!(matches!(with(1.0), Err(SegmentError::NoCells { .. })));
    }
}
