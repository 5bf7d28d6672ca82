//! Cells drawn from the shape space of an atlas.
//!
//! [`SurfaceSpace`] turns points of the space into surfaces, and surfaces into points. [`walk()`] goes
//! along one axis of it through the mean cell, and paints a protein's mean layout ([`mean_layout`])
//! into each cell; [`write_walk`] leaves a mesh ([`ply()`]) of each step, the densities, and the picture
//! of [`crate::figure::walk_figure`].

mod layout;
mod ply;
mod space;
mod write;

use std::path::Path;

use nalgebra::Point3;
use primordia_data::{Volume, VoxelSize};
use primordia_features::{Harmonics, Mesh};

pub use self::layout::{MeanLayout, mean_layout};
pub use self::ply::{ply, ply_of_cells};
pub use self::space::SurfaceSpace;
pub use self::write::write_walk;
use crate::error::{AtlasError, Result};
use crate::file::{Atlas, Selection, read_selected};

/// Which way to go, and how far.
#[derive(Clone, Debug, PartialEq)]
pub struct WalkParams {
    /// The axis, from 1 on.
    pub axis: usize,
    /// How many shapes; an odd number has the mean cell in its middle.
    pub n_steps: usize,
    /// How far to go from the mean cell either way, in standard deviations.
    pub extent_sd: f64,
    /// A protein to paint into the cells.
    pub protein: Option<String>,
}

impl Default for WalkParams {
    fn default() -> Self {
        Self { axis: 1, n_steps: 7, extent_sd: 2.0, protein: None }
    }
}

/// Shapes along one axis of the space of surfaces.
#[derive(Clone, Debug)]
pub struct Walk {
    /// The name of the atlas.
    pub name: String,
    /// The axis, from 1 on.
    pub axis: usize,
    /// How many axes there are.
    pub n_axes: usize,
    /// How many cells of the atlas have a place in the space.
    pub n_cells: usize,
    /// The share of the variance of surfaces along this axis.
    pub explained: f64,
    /// The standard deviation along this axis in µm, see [`SurfaceSpace::deviation_um`].
    pub deviation_um: f64,
    /// The surface of the mean cell.
    pub mean: Harmonics,
    /// The protein that is painted into the shapes.
    pub protein: Option<MeanLayout>,
    /// The shapes, in the order of the walk.
    pub steps: Vec<Step>,
}

/// One shape of a walk.
#[derive(Clone, Debug)]
pub struct Step {
    /// Where it lies along the axis, in standard deviations from the mean.
    pub sd: f64,
    /// Its surface: the radius in µm, along the axes of the tissue.
    pub radius_um: Harmonics,
    /// The protein's density, in units of its mean in the cell; 0 outside. The image's middle voxel lies
    /// in the middle of the cell, and its axes are those of the tissue.
    pub density: Option<Volume<f32>>,
}

/// The side in µm of the voxels of densities.
const DENSITY_UM: f64 = 0.25;

/// Rings of triangles of a mesh: at 8 degrees of harmonics, sides of about a tenth of the radius.
const N_RINGS: usize = 48;

/// The mesh of a surface about the origin, x, y, z in µm along the axes of the tissue.
pub fn mesh_of(radius_um: &Harmonics) -> Mesh {
    radius_um.mesh(Point3::origin(), N_RINGS)
}

/// Walks through the space of surfaces of `atlas`.
///
/// # Errors
/// [`AtlasError::NoSurfaces`] if the atlas has none, [`AtlasError::NoSuchAxis`] for an axis and
/// [`AtlasError::NoLayout`] for a protein that it does not have.
pub fn walk(atlas: &Atlas, params: &WalkParams) -> Result<Walk> {
    let space = SurfaceSpace::of(atlas)?;
    let n_axes = space.n_axes();
    let at = params.axis.checked_sub(1).filter(|at| *at < n_axes);
    let at = at.ok_or(AtlasError::NoSuchAxis { found: params.axis, n_axes })?;
    let protein = params.protein.as_ref().map(|name| mean_layout(atlas, name)).transpose()?;
    let step = |sd: f64| {
        let mut scores = vec![0.0; n_axes];
        scores[at] = sd * space.deviation_um(at);
        let radius_um = space.surface(&scores)?;
        let density =
            protein.as_ref().map(|protein| density_in(&radius_um, protein)).transpose()?;
        Ok(Step { sd, radius_um, density })
    };
    let steps = stations(params).map(step).collect::<Result<_>>()?;
    Ok(Walk {
        name: atlas.name.clone(),
        axis: params.axis,
        n_axes,
        n_cells: space.n_cells(),
        explained: space.explained(at),
        deviation_um: space.deviation_um(at),
        mean: space.surface(&[])?,
        protein,
        steps,
    })
}

fn density_in(radius_um: &Harmonics, protein: &MeanLayout) -> Result<Volume<f32>> {
    let voxel_size = VoxelSize::from_um([DENSITY_UM; 3])?;
    Ok(protein.layout.paint(radius_um, Point3::origin(), voxel_size)?.0)
}

/// [`walk()`] through the atlas in a file, of which no more is read than that takes.
///
/// # Errors
/// As [`walk()`], and those of [`crate::file::read`].
pub fn walk_file(path: &Path, params: &WalkParams) -> Result<Walk> {
    let protein = |_: &str| params.protein.is_some();
    let selection =
        Selection { measurements: true, protein: &protein, contacts: false, arrays: true };
    walk(&read_selected(path, &selection)?, params)
}

/// Evenly from one end to the other; a single step is the mean cell.
fn stations(params: &WalkParams) -> impl Iterator<Item = f64> + use<> {
    let (n_steps, extent_sd) = (params.n_steps, params.extent_sd);
    let last = n_steps.saturating_sub(1);
    (0..n_steps).map(move |step| match last {
        0 => 0.0,
        last => extent_sd * (2.0 * step as f64 / last as f64 - 1.0),
    })
}

#[cfg(test)]
mod tests;
