//! From the fields of a tissue to its cells and the bare, unblurred membranes.

use nalgebra::{Point3, Vector3};
use ndarray::Array3;
use rayon::prelude::*;

use super::body::Body;
use super::lattice::{Lattice, Line, Node, Place, SKIN, STRENGTH, SURFACE, square};
use super::optics::Optics;
use super::random::{Purpose, Waves, normal, stream};
use crate::{ImageFrame, Rigid, TissueFrame, VoxelSize};

/// Membranes are sheets with a Gaussian profile of this σ: far below what light resolves.
const SHEET_SIGMA_UM: f64 = 0.05;

/// A free surface has one membrane where a border has two; it is brighter than half all the same.
const SURFACE_BRIGHTNESS: f32 = 0.7;

/// Of the variance of the label, the share that differs between faces; the rest is smooth.
const FACE_SHARE: f32 = 0.4;

/// Where an image is and how large.
#[derive(Clone, Copy, Debug)]
pub(super) struct Grid {
    pub(super) shape: [usize; 3],
    pub(super) voxel_size: VoxelSize,
    pub(super) to_tissue: Rigid<ImageFrame, TissueFrame>,
}

impl Grid {
    /// Where voxel `z`, (`y`, `x`) lies in the tissue.
    pub(super) fn tissue_point(&self, z: usize, (y, x): (usize, usize)) -> Point3<f64> {
        let [dz, dy, dx] = self.voxel_size.um();
        self.to_tissue.point(&Point3::new(x as f64 * dx, y as f64 * dy, z as f64 * dz))
    }
}

/// What a perfect microscope would see.
pub(super) struct Rendered {
    /// 0 is background, cell `i + 1` belongs to seed `i`.
    pub(super) labels: Array3<u32>,
    /// Sheets that, blurred in x and y, are 1 in the middle of a flat, upright, labelled border.
    pub(super) membrane: Array3<f32>,
}

/// Draws the Voronoi cells of `seeds` (at rest) in `body`.
pub(super) fn render(
    body: &Body,
    seeds: &[Point3<f64>],
    grid: Grid,
    optics: &Optics,
    seed: u64,
) -> Rendered {
    let seeds: Vec<[f32; 3]> =
        seeds.iter().map(|seed| [seed.x as f32, seed.y as f32, seed.z as f32]).collect();
    let sheet = Sheet::new(grid.voxel_size, optics);
    let size_um = grid.voxel_size.um();
    let extent_um = std::array::from_fn(|axis| grid.shape[axis] as f64 * size_um[axis]);
    let fields = fields_of(body, &grid.to_tissue, optics, seed);
    let lattice = Lattice::new(extent_um, &seeds, sheet.reach_um, fields);
    let skin_normal = grid.to_tissue.inverse().vector(&Vector3::z());
    let scene = Scene {
        label: Label::new(optics.patchiness, seeds.len(), seed),
        skin_normal: [skin_normal.x as f32, skin_normal.y as f32, skin_normal.z as f32],
        skin_brightness: optics.skin.map_or(0.0, |skin| skin.brightness as f32),
        seeds,
        sheet,
    };
    let mut labels = Array3::zeros(grid.shape);
    let mut membrane = Array3::zeros(grid.shape);
    let [_, ny, nx] = grid.shape;
    let [dz, dy, dx] = size_um;
    if let (Some(labels), Some(membrane)) = (labels.as_slice_mut(), membrane.as_slice_mut()) {
        let rows = labels.par_chunks_mut(nx).zip(membrane.par_chunks_mut(nx));
        rows.enumerate().for_each(|(row, (labels, membrane))| {
            let (z_um, y_um) = ((row / ny) as f64 * dz, (row % ny) as f64 * dy);
            let line = lattice.line(z_um as f32, y_um as f32);
            for (x, (label, membrane)) in labels.iter_mut().zip(membrane).enumerate() {
                (*label, *membrane) = scene.at(&line, (x as f64 * dx) as f32);
            }
        });
    }
    Rendered { labels, membrane }
}

/// The fields of `body` at points of the image.
fn fields_of(
    body: &Body,
    to_tissue: &Rigid<ImageFrame, TissueFrame>,
    optics: &Optics,
    seed: u64,
) -> impl Fn(&Point3<f64>) -> Node + Sync {
    /// A level that is farther from the surface than any membrane reaches.
    const FAR: f64 = 3.0;
    const FAR_UM: f32 = 1e3;
    let patches = Waves::new(12, [8.0, 24.0], &mut stream(seed, Purpose::Patches, 0));
    let waves = Waves::new(4, [25.0, 60.0], &mut stream(seed, Purpose::Skin, 0));
    let top_um = body.surface().iter().map(|point| point.z).fold(f64::MIN, f64::max);
    let (patchy, skin) = (optics.patchiness > 0.0, optics.skin);
    move |point| {
        let mut node = [0.0, 0.0, 0.0, FAR_UM, 0.0, FAR_UM];
        let in_tissue = to_tissue.point(point);
        if let Some(skin) = skin {
            let below = Point3::new(in_tissue.x, in_tissue.y, 0.0);
            let sheet_um = top_um + skin.gap_um + SKIN_WAVES_UM * waves.at(&below);
            node[SKIN] = (in_tissue.z - sheet_um) as f32;
        }
        let in_body = body.body_point(&in_tissue);
        if body.level(&in_body) < FAR {
            let rest = body.at_rest(&in_body);
            [node[0], node[1], node[2]] = [rest.x as f32, rest.y as f32, rest.z as f32];
            node[SURFACE] = body.surface_distance_um(&in_body) as f32;
            if patchy {
                node[STRENGTH] = patches.at(&in_tissue) as f32;
            }
        }
        node
    }
}

/// How far the skin departs from a plane (standard deviation).
const SKIN_WAVES_UM: f64 = 0.3;

struct Scene {
    seeds: Vec<[f32; 3]>,
    sheet: Sheet,
    label: Label,
    skin_normal: [f32; 3],
    skin_brightness: f32,
}

impl Scene {
    /// The label and the membranes of one voxel.
    fn at(&self, line: &Line<'_>, x_um: f32) -> (u32, f32) {
        let candidates = line.candidates(x_um);
        if candidates.is_empty() && self.skin_brightness == 0.0 {
            return (0, 0.0);
        }
        let place = line.at(x_um);
        let skin = if self.skin_brightness == 0.0 {
            0.0
        } else {
            self.skin_brightness * self.sheet.at(place.fields[SKIN], self.skin_normal)
        };
        if candidates.is_empty() || place.fields[SURFACE] > self.sheet.reach_um {
            return (0, skin);
        }
        let (own, own_square) = self.nearest(&place, candidates);
        let outer = self.surface(&place, own).max(skin);
        if place.fields[SURFACE] > 0.0 {
            return (0, outer);
        }
        (own as u32 + 1, self.borders(&place, candidates, own, own_square).max(outer))
    }

    fn nearest(&self, place: &Place, candidates: &[u32]) -> (usize, f32) {
        let mut best = (0, f32::INFINITY);
        for &cell in candidates {
            let square = square(place.at_rest(), self.seeds[cell as usize]);
            if square < best.1 {
                best = (cell as usize, square);
            }
        }
        best
    }

    /// The brightest border between cell `own` and another.
    ///
    /// The border lies where the squared distances to the two seeds are equal; their difference
    /// over its slope in the image is the distance to it, to first order.
    fn borders(&self, place: &Place, candidates: &[u32], own: usize, own_square: f32) -> f32 {
        /// No slope at rest is steeper.
        const STEEPEST: f32 = 4.0;
        let (at_rest, seed) = (place.at_rest(), self.seeds[own]);
        let mut brightest = 0.0_f32;
        for other in candidates.iter().map(|&other| other as usize) {
            let between = std::array::from_fn(|axis| seed[axis] - self.seeds[other][axis]);
            let difference = square(at_rest, self.seeds[other]) - own_square;
            let limit = 2.0 * STEEPEST * self.sheet.reach_um;
            if other == own || difference * difference > limit * limit * square(between, [0.0; 3]) {
                continue;
            }
            let slope = place.slopes.map(|slope| {
                2.0 * (slope[0] * between[0] + slope[1] * between[1] + slope[2] * between[2])
            });
            let (normal, steepness) = unit(slope);
            let sheet = self.sheet.at(difference / steepness, normal);
            if sheet > brightest {
                let label = self.label.at(place.fields[STRENGTH], own + 1, other + 1);
                brightest = brightest.max(sheet * label);
            }
        }
        brightest
    }

    /// The free surface of cell `own`.
    fn surface(&self, place: &Place, own: usize) -> f32 {
        let (normal, steepness) = unit(place.slopes.map(|slope| slope[SURFACE]));
        let sheet = self.sheet.at(place.fields[SURFACE] / steepness, normal);
        if sheet == 0.0 {
            return 0.0;
        }
        SURFACE_BRIGHTNESS * sheet * self.label.at(place.fields[STRENGTH], own + 1, 0)
    }
}

impl Place {
    fn at_rest(&self) -> [f32; 3] {
        [self.fields[0], self.fields[1], self.fields[2]]
    }
}

fn unit(vector: [f32; 3]) -> ([f32; 3], f32) {
    let length = square(vector, [0.0; 3]).sqrt().max(1e-6);
    (vector.map(|part| part / length), length)
}

/// A thin sheet, averaged over voxels, before the blur of the microscope.
struct Sheet {
    variance_um2: f32,
    voxel_variance_um2: [f32; 3], // x, y, z: of a uniform distribution over a voxel
    amplitude_um: f32,
    reach_um: f32,
}

impl Sheet {
    fn new(voxel_size: VoxelSize, optics: &Optics) -> Self {
        const SIGMAS: f64 = 3.5;
        let [z, y, x] = voxel_size.um().map(|side_um| side_um * side_um / 12.0);
        let variance = SHEET_SIGMA_UM * SHEET_SIGMA_UM;
        let psf_um = optics.psf_sigma_um[1];
        Self {
            variance_um2: variance as f32,
            voxel_variance_um2: [x as f32, y as f32, z as f32],
            amplitude_um: (variance + 0.5 * (x + y) + psf_um * psf_um).sqrt() as f32,
            reach_um: (SIGMAS * (variance + x.max(y).max(z)).sqrt()) as f32,
        }
    }

    /// The brightness of a voxel at `distance_um` from the sheet with this `normal` (x, y, z).
    fn at(&self, distance_um: f32, normal: [f32; 3]) -> f32 {
        if distance_um.abs() > self.reach_um {
            return 0.0;
        }
        let voxel = (0..3).map(|axis| normal[axis] * normal[axis] * self.voxel_variance_um2[axis]);
        let variance = self.variance_um2 + voxel.sum::<f32>();
        let square = distance_um * distance_um / variance;
        self.amplitude_um / variance.sqrt() * libm::expf(-0.5 * square)
    }
}

/// How much label each place of each face has: 1 everywhere, or patchy.
struct Label {
    patchiness: f32,
    faces: Vec<f32>, // normal deviates, (cells + 1)²
    n: usize,
}

impl Label {
    fn new(patchiness: f64, n_cells: usize, seed: u64) -> Self {
        let n = n_cells + 1;
        let mut rng = stream(seed, Purpose::Faces, 0);
        let faces = (0..n * n).map(|_| normal(&mut rng) as f32).collect();
        Self { patchiness: patchiness as f32, faces, n }
    }

    /// The label on the face between cells `a` and `b` (0 is outside), at `smooth` deviation.
    ///
    /// Evenly distributed between 1 − patchiness and 1.
    fn at(&self, smooth: f32, a: usize, b: usize) -> f32 {
        if self.patchiness == 0.0 {
            return 1.0;
        }
        let face = self.faces[a.min(b) * self.n + a.max(b)];
        let deviation = (1.0 - FACE_SHARE).sqrt() * smooth + FACE_SHARE.sqrt() * face;
        // The logistic function, so scaled, is the normal distribution function to 1 %.
        let share = 1.0 / (1.0 + libm::expf(-1.702 * deviation));
        1.0 - self.patchiness * (1.0 - share)
    }
}
