//! From what a file says about its voxels to a [`VoxelSize`], or to why there is none.

use crate::volume::VoxelSize;

/// What a file says about the sides of its voxels, and where it says so.
#[derive(Clone, Debug, Default)]
pub(super) struct Calibration {
    /// µm along z, y, x; `None` where nothing usable is said.
    pub(super) um: [Option<f64>; 3],
    /// Where it is said, such as "OME-XML `PhysicalSize`".
    pub(super) source: String,
    /// What a user should know about it.
    pub(super) warnings: Vec<String>,
}

/// The verdict: a size with its source, or the reason for having none.
#[derive(Clone, Debug)]
pub(super) struct Verdict {
    pub(super) voxel_size: Option<VoxelSize>,
    pub(super) source: String,
    pub(super) warnings: Vec<String>,
}

/// Sides beyond these are placeholders or slips of a unit, not light microscopy (µm).
const PLAUSIBLE_UM: std::ops::Range<f64> = 1e-4..1e4;

impl Calibration {
    pub(super) fn from_source(source: impl Into<String>) -> Self {
        Self { source: source.into(), ..Self::default() }
    }

    /// Decides for an image of `n_slices`. A single slice has no step along z: it is given the side of its pixels.
    pub(super) fn verdict(mut self, n_slices: usize) -> Verdict {
        let said = self.um;
        self.um = said.map(|um| um.filter(|um| PLAUSIBLE_UM.contains(um)));
        if self.um[0].is_none() && n_slices == 1 && self.um[2].is_some() {
            self.um[0] = self.um[2];
            self.warnings.push(
                "a single slice has no z step: its thickness is taken as the side of a pixel"
                    .to_owned(),
            );
        }
        let voxel_size = match self.um {
            [Some(z), Some(y), Some(x)] => VoxelSize::from_um([z, y, x]).ok(),
            _ => None,
        };
        let source = if voxel_size.is_some() { self.source } else { self.evidence(said) };
        let mut warnings = self.warnings;
        warnings.extend(voxel_size.and_then(doubt));
        Verdict { voxel_size, source, warnings }
    }

    fn evidence(&self, said: [Option<f64>; 3]) -> String {
        if said.iter().all(Option::is_none) {
            return if self.source.is_empty() {
                "nothing in the file says it".to_owned()
            } else {
                format!("{}: no length", self.source)
            };
        }
        let side = |um: Option<f64>| um.map_or("nothing".to_owned(), |um| format!("{um} µm"));
        let [z, y, x] = said.map(side);
        format!("{}: z {z}, y {y}, x {x}", self.source)
    }
}

/// What speaks against a stated size.
fn doubt(voxel_size: VoxelSize) -> Option<String> {
    let [z, y, x] = voxel_size.um();
    if [z, y, x].iter().all(|side| (side - 1.0).abs() < f64::EPSILON) {
        return Some(
            "the file states voxels of 1 × 1 × 1 µm, which software also writes when it does not know; check it"
                .to_owned(),
        );
    }
    if (y / x).max(x / y) > 2.0 {
        return Some(format!(
            "pixels are far from square: y {y} µm, x {x} µm; check the voxel size"
        ));
    }
    if voxel_size.anisotropy() > 100.0 {
        return Some(format!(
            "the z step of {z} µm is far from the pixel's {x} µm; check the voxel size"
        ));
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn calibration(um: [Option<f64>; 3]) -> Calibration {
        Calibration { um, source: "tags".to_owned(), warnings: Vec::new() }
    }

    #[test]
    fn a_missing_or_zero_side_makes_no_size() {
        for um in [[None, Some(0.1), Some(0.1)], [Some(0.0), Some(0.1), Some(0.1)]] {
            let verdict = calibration(um).verdict(5);
            assert!(verdict.voxel_size.is_none());
            assert!(verdict.source.contains("y 0.1 µm"), "{}", verdict.source);
        }
    }

    #[test]
    fn one_slice_needs_no_step() {
        let verdict = calibration([None, Some(0.1), Some(0.2)]).verdict(1);
        assert_eq!(verdict.voxel_size, VoxelSize::from_um([0.2, 0.1, 0.2]).ok());
        assert_eq!(verdict.warnings.len(), 1);
    }

    #[test]
    fn doubtful_sizes_warn() {
        for um in [[1.0, 1.0, 1.0], [1.0, 0.1, 0.5], [50.0, 0.1, 0.1]] {
            assert_eq!(calibration(um.map(Some)).verdict(9).warnings.len(), 1, "{um:?}");
        }
    }
}
