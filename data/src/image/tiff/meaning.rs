//! What the pages of a TIFF are: which time, channel and slice, how large, how named.

use super::directory::{Directory, Reader, tag};
use crate::image::axes::{Axes, Axis};
use crate::image::calibration::Calibration;
use crate::image::problem::{ImageProblem, Result};
use crate::image::units::um_per;

/// How the pages of a file make an image.
#[derive(Clone, Debug)]
pub(super) struct Meaning {
    pub(super) format: &'static str,
    /// The axes as stored, slowest first.
    pub(super) axes: String,
    pub(super) grid: PlaneGrid,
    /// Which page each plane is; without a table, the grid's strides say it.
    pub(super) pages: Option<Vec<usize>>,
    /// As many as there are channels, or none.
    pub(super) channel_names: Vec<Option<String>>,
    pub(super) calibration: Calibration,
    pub(super) warnings: Vec<String>,
}

/// The planes of an image: how many along t, c, z, and how many planes lie between neighbours.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct PlaneGrid {
    pub(super) t: u64,
    pub(super) c: u64,
    pub(super) z: u64,
    strides: [u64; 3], // t, c, z
}

impl PlaneGrid {
    /// Planes in the order of `fastest_first`, a permutation of c, z and t with their lengths.
    pub(super) fn new(fastest_first: [(Axis, u64); 3]) -> Self {
        let mut grid = Self { t: 1, c: 1, z: 1, strides: [0; 3] };
        let mut stride = 1_u64;
        for (axis, length) in fastest_first {
            let (slot, of_grid) = match axis {
                Axis::Time => (0, &mut grid.t),
                Axis::Channel => (1, &mut grid.c),
                _ => (2, &mut grid.z),
            };
            *of_grid = length;
            grid.strides[slot] = stride;
            stride = stride.saturating_mul(length);
        }
        grid
    }

    pub(super) fn n_planes(&self) -> u128 {
        (u128::from(self.t) * u128::from(self.c)).saturating_mul(u128::from(self.z))
    }

    /// The place of a plane in the order of storage.
    pub(super) fn place(&self, t: usize, c: usize, z: usize) -> usize {
        let [st, sc, sz] = self.strides;
        t * st as usize + c * sc as usize + z * sz as usize
    }

    /// Checks that nothing is empty and that the file's `n_pages` suffice.
    pub(super) fn check(&self, n_pages: usize) -> Result<()> {
        let Self { t, c, z, .. } = *self;
        if t == 0 || c == 0 || z == 0 {
            return Err(ImageProblem::ZeroSize { shape: vec![t, c, z] });
        }
        let wanted = self.n_planes();
        if wanted > n_pages as u128 {
            return Err(ImageProblem::PlaneCount { wanted, t, c, z, found: n_pages });
        }
        Ok(())
    }
}

/// Pages that nothing describes: slices from bottom to top.
pub(super) fn plain(reader: &mut Reader<'_>, first: &Directory, n_pages: usize) -> Result<Meaning> {
    let (calibration, format) = match lsm_calibration(reader, first)? {
        Some(calibration) => (calibration, "Zeiss LSM"),
        None => (resolution_tags(reader, first)?, "TIFF"),
    };
    Ok(Meaning {
        format,
        axes: "ZYX".to_owned(),
        grid: PlaneGrid::new([(Axis::Z, n_pages as u64), (Axis::Channel, 1), (Axis::Time, 1)]),
        pages: None,
        channel_names: Vec::new(),
        calibration,
        warnings: Vec::new(),
    })
}

/// The pixel size that the resolution tags give, if they give one: printers' resolutions are none.
pub(super) fn resolution_tags(reader: &mut Reader<'_>, first: &Directory) -> Result<Calibration> {
    const PRINTERS: [f64; 9] = [1.0, 72.0, 96.0, 100.0, 150.0, 200.0, 300.0, 600.0, 1200.0];
    let mut calibration = Calibration::from_source("TIFF resolution tags");
    let um_per_unit = match reader.integer(first, tag::RESOLUTION_UNIT)?.unwrap_or(2) {
        2 => 25_400.0,
        3 => 10_000.0,
        _ => return Ok(calibration),
    };
    for (axis, tag) in [(1, tag::Y_RESOLUTION), (2, tag::X_RESOLUTION)] {
        calibration.um[axis] = reader
            .rational(first, tag)?
            .filter(|per_unit| *per_unit > 0.0 && !PRINTERS.contains(per_unit))
            .map(|per_unit| um_per_unit / per_unit);
    }
    Ok(calibration)
}

/// Sides from a step along z in `units[0]` and the resolution tags as pixels per `units[1]`, `units[2]`.
pub(super) fn stated_units(
    reader: &mut Reader<'_>,
    first: &Directory,
    spacing: Option<f64>,
    units: [&str; 3],
) -> Result<[Option<f64>; 3]> {
    let [z, y, x] = units.map(um_per);
    let side = |um_per_unit: Option<f64>, per_unit: Option<f64>| {
        Some(um_per_unit? / per_unit.filter(|per_unit| *per_unit > 0.0)?)
    };
    Ok([
        z.zip(spacing).map(|(um, spacing)| um * spacing.abs()),
        side(y, reader.rational(first, tag::Y_RESOLUTION)?),
        side(x, reader.rational(first, tag::X_RESOLUTION)?),
    ])
}

/// The voxel size in Zeiss's own tag: three doubles in metres (x, y, z) from byte 40 on.
fn lsm_calibration(reader: &mut Reader<'_>, first: &Directory) -> Result<Option<Calibration>> {
    let Some(raw) = reader.raw(first, tag::ZEISS_LSM)? else { return Ok(None) };
    let Some(sides) = raw.get(40..64) else { return Ok(None) };
    let order = reader.dialect.order;
    let mut calibration = Calibration::from_source("the Zeiss LSM tag");
    for (axis, bytes) in [2, 1, 0].into_iter().zip(sides.chunks_exact(8)) {
        let metres = f64::from_bits(order.number(bytes));
        calibration.um[axis] = (metres.is_finite() && metres > 0.0).then_some(metres * 1e6);
    }
    Ok(Some(calibration))
}

/// The grid of an array of pages whose axes are known; y and x (and samples) are the pages.
pub(super) fn grid_of(axes: &Axes, shape: &[u64]) -> PlaneGrid {
    let planes = [Axis::Time, Axis::Channel, Axis::Z];
    let mut slowest_first = planes
        .into_iter()
        .map(|axis| (axes.place(axis), axis, axes.length(axis, shape)))
        .collect::<Vec<_>>();
    slowest_first.sort_by_key(|&(place, ..)| place);
    let [a, b, c] = [2, 1, 0].map(|i| (slowest_first[i].1, slowest_first[i].2));
    PlaneGrid::new([a, b, c])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn imagej_planes_run_through_channels_first() {
        let grid = PlaneGrid::new([(Axis::Channel, 2), (Axis::Z, 3), (Axis::Time, 4)]);
        assert_eq!([grid.place(0, 1, 0), grid.place(0, 0, 1), grid.place(1, 0, 0)], [1, 2, 6]);
        assert_eq!(grid.n_planes(), 24);
    }

    #[test]
    fn named_axes_make_the_same_grid_in_their_own_order() {
        let axes = Axes::named("CZYX", &[2, 3, 8, 8]).unwrap();
        let grid = grid_of(&axes, &[2, 3, 8, 8]);
        assert_eq!([grid.place(0, 1, 0), grid.place(0, 0, 1)], [3, 1]);
    }

    #[test]
    fn huge_claims_are_counted_without_overflow() {
        let claim = [Axis::Channel, Axis::Z, Axis::Time].map(|axis| (axis, u64::MAX));
        assert!(matches!(
            PlaneGrid::new(claim).check(3),
            Err(ImageProblem::PlaneCount { found: 3, .. })
        ));
    }
}
