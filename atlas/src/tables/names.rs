//! Our names, with units, for the published columns of Hartmann et al. 2020 (IDR idr0079,
//! `other_measurements`).

/// Published name and ours. Measurements that Primordia makes too have the name it gives them.
///
/// The published "Sphericity" is the deviation of landmark distances from their mean, not the
/// surface ratio, and the published surface is that of marching cubes on bare voxels.
pub const PUBLISHED: [(&str, &str); 26] = [
    ("Centroids RAW X", "image_x_um"),
    ("Centroids RAW Y", "image_y_um"),
    ("Centroids RAW Z", "image_z_um"),
    ("Centroids TFOR X", "tissue_x_um"),
    ("Centroids TFOR Y", "tissue_y_um"),
    ("Centroids TFOR Z", "tissue_z_um"),
    ("Longest Extension", "longest_extension_um"),
    ("Major Axis Length", "axis_major_um"),
    ("Major/Medium Axis Eccentricity", "eccentricity_major_medium"),
    ("Major/Minor Axis Eccentricity", "eccentricity_major_minor"),
    ("Medium Axis Length", "axis_medium_um"),
    ("Medium/Minor Axis Eccentricity", "eccentricity_medium_minor"),
    ("Minor Axis Length", "axis_minor_um"),
    ("Orientation along X", "orientation_x"),
    ("Orientation along Y", "orientation_y"),
    ("Orientation along Z", "orientation_z"),
    ("Roundness (Smoothness)", "roundness_deviation"),
    ("Sphericity", "sphericity_deviation"),
    ("Surface Area", "surface_marching_cubes_um2"),
    ("Volume", "volume_um3"),
    ("X Axis Length", "extent_x_um"),
    ("Y Axis Length", "extent_y_um"),
    ("Y/X Aspect Ratio", "aspect_yx"),
    ("Z Axis Length", "extent_z_um"),
    ("Z/X Aspect Ratio", "aspect_zx"),
    ("Z/Y Aspect Ratio", "aspect_zy"),
];

/// Our name of a published column, or the column's own.
pub fn canonical(published: &str) -> &str {
    let known = PUBLISHED.iter().find(|(name, _)| *name == published);
    known.map_or(published, |(_, ours)| ours)
}
