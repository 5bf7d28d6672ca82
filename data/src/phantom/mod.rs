//! Tissues and solids whose answers are known.
//!
//! [`specimen`] makes a tissue like the zebrafish's lateral line primordium: columnar cells in a
//! teardrop with three rosettes, in any pose, imaged by a microscope with a knob for each of its
//! faults. Its membranes, its cells, its pose and the rule that its protein follows are known, so
//! every step of an atlas can be held against the truth.
//!
//! ```
//! # use primordia_data::{VoxelSize, phantom::{self, Optics, PhantomParams}};
//! let coarse = Optics::clean(VoxelSize::from_um([1.0, 0.6, 0.6])?);
//! let params = PhantomParams { optics: coarse, ..PhantomParams::default() };
//! let phantom = phantom::specimen(&params, 7)?;
//! assert_eq!(phantom.truth.n_cells(), phantom.cells.len());
//! # Ok::<_, primordia_data::DataError>(())
//! ```
//!
//! [`ball`], [`ellipsoid`], [`torus`], [`cuboid`] and [`honeycomb`] are exact: their volumes, areas
//! and contacts follow from formulas.
//!
//! How a specimen comes about: its form and its folds are in `body`, its cells in `cells`;
//! `lattice` carries both into the image, `render` draws labels and membranes, `connect` keeps
//! cells in one piece, `protein` fills them, `nuclei` gives each a nucleus in a channel of its own,
//! `optics` takes the picture.

mod body;
mod cells;
mod connect;
mod lattice;
mod nuclei;
mod optics;
mod protein;
mod random;
mod render;
mod solids;

pub use nuclei::{Nuclei, nuclei};
pub use optics::{Optics, Skin};
pub use protein::{Feature, PhantomCell, ProteinRule, Term, best_r2};
pub use solids::{Honeycomb, ball, cuboid, ellipsoid, honeycomb, torus};

use nalgebra::{Isometry3, Point3, Translation3, UnitQuaternion, Vector3};
use ndarray::Array3;

use crate::error::{DataError, Result};
use crate::{ImageFrame, Labels, PointCloud, Rigid, TissueFrame, Volume};
use body::Body;
use random::{Purpose, normal, stream};
use render::Grid;

/// The number of voxels beyond which no phantom is made: 2³¹.
const MAX_VOXELS: f64 = 2_147_483_648.0;

/// The form of a tissue.
#[derive(Clone, Debug, PartialEq)]
pub struct TissueParams {
    /// The number of cells, 12 to 1000; in the living tissue 60 to 160.
    pub n_cells: usize,
    /// The length of a tissue of 113 cells, in µm. Length, width and height grow with the cube
    /// root of the number of cells.
    pub length_um: f64,
    /// The width of a straight tissue of 113 cells, in µm.
    pub width_um: f64,
    /// The height of a tissue of 113 cells, in µm.
    pub height_um: f64,
    /// The curvature of the middle line, in the xy plane of the tissue, per µm; 0 is straight.
    pub curvature_per_um: f64,
    /// How strongly cells constrict at the apices of rosettes, 0 (not at all) to 3: apices are
    /// narrower by up to 1 + this factor along x and along y.
    pub constriction: f64,
    /// The radius of a rosette's apex, in µm.
    pub rosette_radius_um: f64,
    /// The standard deviation of membranes from flat faces, in µm, up to 0.8.
    pub waviness_um: f64,
    /// How much more densely cells stand in some places than in others: the standard deviation of the logarithm of
    /// their number per volume, 0 (as good as even, as in the living primordium) to 1.
    pub crowding: f64,
    /// The share of the cells at the surface that are missing, 0 (none, as in the living primordium) to 0.9: the outside
    /// reaches into their places, so that the surface has notches and single cells stand out of it.
    pub notches: f64,
}

impl Default for TissueParams {
    fn default() -> Self {
        Self {
            n_cells: 113,
            length_um: 130.0,
            width_um: 37.0,
            height_um: 19.5,
            curvature_per_um: 0.004,
            constriction: 2.0,
            rosette_radius_um: 5.0,
            waviness_um: 0.3,
            crowding: 0.0,
            notches: 0.0,
        }
    }
}

impl TissueParams {
    fn scale(&self) -> f64 {
        libm::cbrt(self.n_cells as f64 / 113.0)
    }

    fn check(&self) -> Result<()> {
        within("n_cells", self.n_cells as f64, 12.0..=1000.0, "from 12 to 1000")?;
        let size = |name, value| within(name, value, 1.0..=1e4, "from 1 to 10000");
        size("length_um", self.length_um)?;
        size("width_um", self.width_um)?;
        size("height_um", self.height_um)?;
        size("rosette_radius_um", self.rosette_radius_um)?;
        within("constriction", self.constriction, 0.0..=3.0, "from 0 to 3")?;
        within("waviness_um", self.waviness_um, 0.0..=0.8, "from 0 to 0.8")?;
        within("crowding", self.crowding, 0.0..=1.0, "from 0 to 1")?;
        within("notches", self.notches, 0.0..=0.9, "from 0 to 0.9")?;
        // Beyond half a circle, or bent more sharply than it is wide, a tissue meets itself.
        let longest = self.scale() * self.length_um.max(2.0 * self.width_um);
        let most = std::f64::consts::PI / longest;
        let wanted = "less than π over the length of the tissue";
        within("curvature_per_um", self.curvature_per_um, -most..=most, wanted)?;
        Ok(())
    }
}

/// How a tissue lies in the image.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Pose {
    /// Turns directions of the tissue into directions of the image.
    pub rotation: UnitQuaternion<f64>,
    /// Empty space around the tissue, in µm.
    pub margin_um: f64,
}

impl Default for Pose {
    /// The axes of the tissue along those of the image.
    fn default() -> Self {
        Self { rotation: UnitQuaternion::identity(), margin_um: 2.5 }
    }
}

impl Pose {
    /// Any rotation, each as likely as any other.
    pub fn any(seed: u64) -> Self {
        let rotation = random::rotation(&mut stream(seed, Purpose::Pose, 0));
        Self { rotation, ..Self::default() }
    }

    /// As specimens are mounted: turned about z of the image, and tilted, by some
    /// `standard_deviation_rad` about each axis.
    pub fn mounted(standard_deviation_rad: f64, seed: u64) -> Self {
        let mut rng = stream(seed, Purpose::Pose, 1);
        let turn = Vector3::from_fn(|_, _| standard_deviation_rad * normal(&mut rng));
        Self { rotation: UnitQuaternion::from_scaled_axis(turn), ..Self::default() }
    }
}

/// Everything that decides a phantom, but for chance.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct PhantomParams {
    /// The form of the tissue.
    pub tissue: TissueParams,
    /// How it lies in the image.
    pub pose: Pose,
    /// What its protein follows.
    pub protein: ProteinRule,
    /// The microscope.
    pub optics: Optics,
}

impl PhantomParams {
    /// One of a population: another number of cells (60 to 160), other proportions, another bend,
    /// mounted at another angle. Rule and microscope stay, so what is learned on one specimen
    /// holds on another.
    #[must_use]
    pub fn varied(&self, seed: u64) -> Self {
        let mut rng = stream(seed, Purpose::Variation, 0);
        let mut deviation = |standard_deviation: f64| standard_deviation * normal(&mut rng);
        let mut varied = self.clone();
        let tissue = &mut varied.tissue;
        let n_cells = tissue.n_cells as f64 + deviation(18.0);
        tissue.n_cells = n_cells.round().clamp(60.0, 160.0) as usize;
        tissue.length_um *= 1.0 + deviation(0.05).clamp(-0.1, 0.1);
        tissue.width_um *= 1.0 + deviation(0.05).clamp(-0.1, 0.1);
        tissue.curvature_per_um = deviation(0.002).clamp(-0.005, 0.005);
        varied.pose = Pose { margin_um: self.pose.margin_um, ..Pose::mounted(0.12, seed) };
        varied
    }

    fn check(&self) -> Result<()> {
        self.tissue.check()?;
        within("margin_um", self.pose.margin_um, 0.0..=1e3, "from 0 to 1000")?;
        self.protein.check()?;
        self.optics.check()
    }
}

/// A specimen and all that is true of it.
#[derive(Clone, Debug)]
pub struct Phantom {
    /// The image of the membranes.
    pub membrane: Volume<u16>,
    /// The image of the protein that follows a rule.
    pub protein: Volume<u16>,
    /// The image of the protein that follows nothing.
    pub control: Volume<u16>,
    /// The cells, numbered from 1 from tip to tail; they fill the tissue without gaps, each in one
    /// piece.
    pub truth: Labels,
    /// What is true of each cell, in the order of its label.
    pub cells: Vec<PhantomCell>,
    /// From the image into the tissue frame: the leading tip at x = 0, the centre of mass at
    /// y = z = 0.
    pub image_to_tissue: Rigid<ImageFrame, TissueFrame>,
    /// The apices of the rosettes, from tip to tail.
    pub rosettes: PointCloud<TissueFrame>,
    /// The rule that the protein follows.
    pub rule: ProteinRule,
    /// What the best of all regressors reaches on this specimen: see [`best_r2`].
    pub best_r2: f64,
}

/// Makes the specimen of `params` and `seed`: the same voxels on any number of threads.
///
/// # Errors
/// [`DataError::Parameter`] if a parameter makes no sense, [`DataError::PhantomTooLarge`] if the
/// image is no volume for a computer.
pub fn specimen(params: &PhantomParams, seed: u64) -> Result<Phantom> {
    let Drawn { body, seeds, grid, labels, membrane } = drawn(params, seed)?;
    let optics = &params.optics;
    let volume = |voxels| Volume::new(voxels, optics.voxel_size);
    let mut cells = protein::measure(&labels, seeds.len(), &grid);
    let rosettes = body.rosette_centres();
    join_rosettes(&mut cells, &seeds, &body, &rosettes);

    let reaches_um = protein::reaches_um(&labels, &cells, &vec![Vector3::z(); cells.len()], &grid);
    let layouts = protein::express(&params.protein, &mut cells, &reaches_um, seed);
    let density = protein::paint(&labels, &cells, &layouts, &grid);
    let protein = optics.image(density, optics.protein_counts, Purpose::ProteinNoise, seed)?;

    let directions = protein::control_directions(&cells, seed);
    let reaches_um = protein::reaches_um(&labels, &cells, &directions, &grid);
    let spread = params.protein.spread;
    let layouts = protein::express_control(spread, &mut cells, &directions, &reaches_um, seed);
    let density = protein::paint(&labels, &cells, &layouts, &grid);
    let control = optics.image(density, optics.protein_counts, Purpose::ControlNoise, seed)?;

    Ok(Phantom {
        membrane: volume(membrane)?,
        protein: volume(protein)?,
        control: volume(control)?,
        truth: Labels::from_voxels(labels, optics.voxel_size)?,
        best_r2: best_r2(&cells),
        cells,
        image_to_tissue: grid.to_tissue,
        rosettes: PointCloud::new(rosettes),
        rule: params.protein.clone(),
    })
}

/// Only the membranes and the cells of [`specimen`], in less time.
///
/// # Errors
/// Those of [`specimen`].
pub fn membranes(params: &PhantomParams, seed: u64) -> Result<(Volume<u16>, Labels)> {
    let Drawn { labels, membrane, .. } = drawn(params, seed)?;
    let voxel_size = params.optics.voxel_size;
    Ok((Volume::new(membrane, voxel_size)?, Labels::from_voxels(labels, voxel_size)?))
}

/// A tissue whose membranes were pictured.
struct Drawn {
    body: Body,
    seeds: Vec<Point3<f64>>,
    grid: Grid,
    labels: Array3<u32>,
    membrane: Array3<u16>,
}

fn drawn(params: &PhantomParams, seed: u64) -> Result<Drawn> {
    params.check()?;
    let optics = &params.optics;
    let body = Body::new(&params.tissue, seed);
    let seeds = cells::seeds_at_rest(&body, &params.tissue, seed)?;
    let (mut seeds, n_cells) = cells::missing_last(seeds, &body, params.tissue.notches, seed);
    let grid = grid_around(&body, params)?;
    let drawn = render::render(&body, &seeds, n_cells, grid, optics, seed);
    seeds.truncate(n_cells);
    let mut labels = drawn.labels;
    connect::join_pieces(&mut labels);
    let membrane =
        optics.image(drawn.membrane, optics.peak_counts, Purpose::MembraneNoise, seed)?;
    Ok(Drawn { body, seeds, grid, labels, membrane })
}

/// Which cells constrict to which rosette: those near it at rest that reach its apex.
fn join_rosettes(
    cells: &mut [PhantomCell],
    seeds: &[Point3<f64>],
    body: &Body,
    rosettes: &[Point3<f64>],
) {
    for cell in cells {
        let near = body.rosette_of(&seeds[cell.label as usize - 1]);
        cell.rosette = near.filter(|&near| cell.top_um > rosettes[near].z - APEX_UM);
    }
}

/// A cell takes part in a rosette if it rises to within this of the rosette's apex.
const APEX_UM: f64 = 3.0;

/// The image that holds the posed tissue, its margin and its skin.
fn grid_around(body: &Body, params: &PhantomParams) -> Result<Grid> {
    let (pose, optics) = (params.pose, &params.optics);
    let mut points = body.surface();
    if let Some(skin) = optics.skin {
        let top = points.iter().map(|point| point.z).fold(f64::MIN, f64::max);
        let above = points.iter().map(|point| Point3::new(point.x, point.y, top + skin.gap_um));
        points.extend(above.collect::<Vec<_>>());
    }
    let turned: Vec<Point3<f64>> = points.iter().map(|point| pose.rotation * point).collect();
    let bound = |pick: fn(f64, f64) -> f64, start: f64| {
        let start = Vector3::repeat(start);
        turned.iter().fold(start, |bound, point| bound.zip_map(&point.coords, pick))
    };
    let margin = Vector3::repeat(pose.margin_um);
    let least = bound(f64::min, f64::INFINITY) - margin;
    let most = bound(f64::max, f64::NEG_INFINITY) + margin;
    let (extent, size_um) = (most - least, optics.voxel_size.um());
    let sides = [extent.z / size_um[0], extent.y / size_um[1], extent.x / size_um[2]];
    let shape = grid_of(sides.map(|side| side.ceil() + 1.0))?;
    let to_image = Isometry3::from_parts(Translation3::from(-least), pose.rotation);
    let to_tissue = Rigid::new(to_image.inverse());
    Ok(Grid { shape, voxel_size: optics.voxel_size, to_tissue })
}

/// `value`, if it is positive and finite.
fn positive(name: &'static str, value: f64) -> Result<f64> {
    within(name, value, f64::MIN_POSITIVE..=f64::MAX, "positive and finite")
}

/// `value`, if it lies in `range`, which `wanted` says in words.
fn within(
    name: &'static str,
    value: f64,
    range: std::ops::RangeInclusive<f64>,
    wanted: &'static str,
) -> Result<f64> {
    if range.contains(&value) {
        Ok(value)
    } else {
        Err(DataError::Parameter { name, value, wanted })
    }
}

/// The number of voxels of each side, if all of them fit in memory.
fn grid_of(sides_voxels: [f64; 3]) -> Result<[usize; 3]> {
    let n_voxels = sides_voxels.iter().product::<f64>();
    if n_voxels <= MAX_VOXELS {
        Ok(sides_voxels.map(|side| side as usize))
    } else {
        Err(DataError::PhantomTooLarge { n_voxels })
    }
}

#[cfg(test)]
mod tests;
