//! How large a specimen's tissue is: all its cells together, as columns of specimens
//! (the sample's features of Hartmann et al. 2020, doi:10.7554/eLife.55913).

use super::specimen::{SHAPE, SpecimenCells};

/// The volume of all cells, the lengths of the tissue along its own axes, and their ratios.
pub(super) const TISSUE_SIZE: [&str; 7] = [
    "tissue_volume_um3",
    "tissue_extent_x_um",
    "tissue_extent_y_um",
    "tissue_extent_z_um",
    "tissue_aspect_yx",
    "tissue_aspect_zx",
    "tissue_aspect_zy",
];

/// Names and values, lengths from the landmarks of all cells; without what cannot be told.
pub(super) fn tissue_attributes(cells: &SpecimenCells) -> impl Iterator<Item = (String, String)> {
    let volume_um3 = cells.features.column("volume_um3").map_or(f64::NAN, Iterator::sum);
    let clouds = cells.landmarks.get(SHAPE).map_or(&[][..], Vec::as_slice);
    let [x, y, z] = extents_um(&cells.tissue_um, clouds);
    let values = [volume_um3, x, y, z, y / x, z / x, z / y];
    let known = TISSUE_SIZE.into_iter().zip(values).filter(|(_, value)| value.is_finite());
    known.map(|(name, value)| (name.to_owned(), format!("{value:.4}")))
}

/// Along x, y and z, of clouds about centroids; not finite without clouds.
fn extents_um(centroids_um: &[[f64; 3]], clouds: &[Vec<[f32; 3]>]) -> [f64; 3] {
    [0, 1, 2].map(|axis| {
        let cells = centroids_um.iter().zip(clouds);
        let places = cells.flat_map(|(centroid, cloud)| {
            cloud.iter().map(move |point| centroid[axis] + f64::from(point[axis]))
        });
        let range = places.fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), place| {
            (low.min(place), high.max(place))
        });
        range.1 - range.0
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tissue_is_as_long_as_its_farthest_landmarks_are_apart() {
        let clouds = [vec![[-1.0, 0.0, 2.0], [1.0, 0.5, 0.0]], vec![[3.0, 0.0, 0.0]]];
        let extents_um = extents_um(&[[0.0; 3], [10.0, -4.0, 0.0]], &clouds);
        assert_eq!(extents_um, [14.0, 4.5, 2.0]);
    }
}
