//! What a walk leaves in a folder.

use std::path::{Path, PathBuf};

use primordia_data::image::write_ome_tiff;
use primordia_data::new_folder;

use super::{Step, Walk, mesh_of, ply};
use crate::error::{AtlasError, Result};
use crate::figure::walk_figure;

/// Writes the mesh of each step and one picture of them all into `folder`, which is made: all of it or
/// none. Returns the files.
///
/// Meshes are `axis1_step1_-2.00sd.ply`, …, x, y, z in µm along the axes of the tissue, with their origin
/// in the middle of the cell; densities, where a protein is painted, `axis1_step1_-2.00sd.ome.tif`, …;
/// the picture is `axis1.svg`.
///
/// # Errors
/// [`AtlasError::Write`] and [`AtlasError::Data`] if there is something of that name already, or the disk
/// refuses.
pub fn write_walk(folder: impl AsRef<Path>, walk: &Walk) -> Result<Vec<PathBuf>> {
    let folder = folder.as_ref();
    let mut files = vec![(format!("axis{}.svg", walk.axis), walk_figure(walk).into_bytes())];
    for (at, step) in walk.steps.iter().enumerate() {
        let mesh = ply(&mesh_of(&step.radius_um), &comments(walk, step));
        files.push((format!("{}.ply", file_stem(walk, at)), mesh));
    }
    let failed = |source| AtlasError::Write { path: folder.to_owned(), source };
    let densities = new_folder(folder, failed, |partial| {
        for (name, bytes) in &files {
            std::fs::write(partial.join(name), bytes)
                .map_err(|source| AtlasError::Write { path: folder.join(name), source })?;
        }
        write_densities(partial, walk)
    })?;
    let names = files.into_iter().map(|(name, _)| name).chain(densities);
    Ok(names.map(|name| folder.join(name)).collect())
}

/// Writes the density of each step that has one; returns the names of the files.
fn write_densities(folder: &Path, walk: &Walk) -> Result<Vec<String>> {
    let mut names = Vec::new();
    for (at, step) in walk.steps.iter().enumerate() {
        if let (Some(protein), Some(density)) = (&walk.protein, &step.density) {
            let name = format!("{}.ome.tif", file_stem(walk, at));
            let channel = [(protein.protein.as_str(), density.into())];
            write_ome_tiff(folder.join(&name), &channel, density.voxel_size())?;
            names.push(name);
        }
    }
    Ok(names)
}

fn file_stem(walk: &Walk, at: usize) -> String {
    format!("axis{}_step{}_{:.2}sd", walk.axis, at + 1, walk.steps[at].sd)
}

fn comments(walk: &Walk, step: &Step) -> Vec<String> {
    vec![
        format!("primordia {} walk", env!("CARGO_PKG_VERSION")),
        format!("atlas: {}", walk.name),
        format!(
            "{:.2} standard deviations ({:.4} um each) along shape axis {} of {}, which explains {:.4} of the variance",
            step.sd, walk.deviation_um, walk.axis, walk.n_axes, walk.explained
        ),
        "lengths in um; x along the tissue to its leading tip, z from basal to apical".to_owned(),
    ]
}
