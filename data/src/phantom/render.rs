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

/// Draws the Voronoi cells of the first `n_cells` of `seeds` (at rest) in `body`; those of the others are background.
pub(super) fn render(
    body: &Body,
    seeds: &[Point3<f64>],
    n_cells: usize,
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
        label: Label::new(optics.patchiness, n_cells, seed),
        n_cells,
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
    const FAR: f64 = 2.5;
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
    /// First those of cells, then those of background.
    seeds: Vec<[f32; 3]>,
    n_cells: usize,
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
        (self.label_of(own) as u32, self.borders(&place, candidates, own, own_square).max(outer))
    }

    /// 0 is background.
    fn label_of(&self, seed: usize) -> usize {
        if seed < self.n_cells { seed + 1 } else { 0 }
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

    /// The brightest border between cell `own` and another; a border on background is a free surface.
    ///
    /// The border lies where the squared distances to the two seeds are equal; their difference
    /// over its slope in the image is the distance to it, to first order.
    fn borders(&self, place: &Place, candidates: &[u32], own: usize, own_square: f32) -> f32 {
        /// No slope at rest is steeper.
        const STEEPEST: f32 = 4.0;
        let (at_rest, seed) = (place.at_rest(), self.seeds[own]);
        let mut brightest = 0.0_f32;
        for other in candidates.iter().map(|&other| other as usize) {
            let sides = [own, other].map(|seed| self.label_of(seed));
            if sides == [0, 0] {
                continue;
            }
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
                let label = self.label.at(place.fields[STRENGTH], sides[0], sides[1]);
                let share = if sides.contains(&0) { SURFACE_BRIGHTNESS } else { 1.0 };
                brightest = brightest.max(share * sheet * label);
            }
        }
        brightest
    }

    /// The free surface of cell `own`; background has none.
    fn surface(&self, place: &Place, own: usize) -> f32 {
        let own = self.label_of(own);
        if own == 0 {
            return 0.0;
        }
        let (normal, steepness) = unit(place.slopes.map(|slope| slope[SURFACE]));
        let sheet = self.sheet.at(place.fields[SURFACE] / steepness, normal);
        if sheet == 0.0 {
            return 0.0;
        }
        SURFACE_BRIGHTNESS * sheet * self.label.at(place.fields[STRENGTH], own, 0)
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
///
/// Across the sheet a voxel is taken for a box with the voxel's variance: exact for sheets along
/// the grid, so that voxels share the whole of a sheet wherever it lies between them.
struct Sheet {
    steepness_per_um: f32,
    voxel_um2: [f32; 3], // squares of the sides along x, y, z
    amplitude_um: f32,
    reach_um: f32,
}

impl Sheet {
    fn new(voxel_size: VoxelSize, optics: &Optics) -> Self {
        const SIGMAS: f64 = 3.5;
        let [z, y, x] = voxel_size.um().map(|side_um| side_um * side_um);
        let psf_um = optics.psf_sigma_um[1];
        let blurred = SHEET_SIGMA_UM * SHEET_SIGMA_UM + (x + y) / 24.0 + psf_um * psf_um;
        Self {
            steepness_per_um: (std::f64::consts::FRAC_1_SQRT_2 / SHEET_SIGMA_UM) as f32,
            voxel_um2: [x as f32, y as f32, z as f32],
            // A Gaussian of this σ and height 1 holds √(2π) σ; a difference of erf is twice a share.
            amplitude_um: ((std::f64::consts::FRAC_PI_2 * blurred).sqrt()) as f32,
            reach_um: (0.5 * x.max(y).max(z).sqrt() + SIGMAS * SHEET_SIGMA_UM) as f32,
        }
    }

    /// The brightness of a voxel at `distance_um` from the sheet with this `normal` (x, y, z).
    fn at(&self, distance_um: f32, normal: [f32; 3]) -> f32 {
        if distance_um.abs() > self.reach_um {
            return 0.0;
        }
        let sides = (0..3).map(|axis| normal[axis] * normal[axis] * self.voxel_um2[axis]);
        let width_um = sides.sum::<f32>().sqrt();
        let up_to = |um: f32| libm::erff(um * self.steepness_per_um);
        let share = up_to(distance_um + 0.5 * width_um) - up_to(distance_um - 0.5 * width_um);
        self.amplitude_um * share / width_um
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

#[cfg(test)]
mod tests {
    use approx::assert_relative_eq;
    use rand::Rng;

    use super::*;

    #[test]
    fn a_blurred_upright_sheet_peaks_at_one_for_any_voxel() {
        /// By how a sheet lies between voxels as wide as the blur, its peak varies by so much.
        const BETWEEN_VOXELS: f64 = 0.06;
        for side_um in [0.1, 0.15, 0.2] {
            let voxel_size = VoxelSize::from_um([0.5, side_um, side_um]).unwrap();
            let optics = Optics { psf_sigma_um: [0.4, 0.2], ..Optics::clean(voxel_size) };
            let sheet = Sheet::new(voxel_size, &optics);
            let gaussian = |um: f64| (-0.5 * (um / 0.2).powi(2)).exp();
            let (mut blurred, mut all) = (0.0, 0.0);
            for at in -12..=12 {
                let um = f64::from(at) * side_um;
                blurred += gaussian(um) * f64::from(sheet.at(um as f32, [1.0, 0.0, 0.0]));
                all += gaussian(um);
            }
            assert_relative_eq!(blurred / all, 1.0, epsilon = BETWEEN_VOXELS);
        }
    }

    #[test]
    fn patchy_label_lies_evenly_between_what_is_left_and_all() {
        /// Of 20,000 draws, and of the logistic function for the normal one.
        const DRAWS: f32 = 0.02;
        let label = Label::new(0.6, 200, 1);
        let mut rng = stream(2, Purpose::Patches, 0);
        let mut shares: Vec<f32> = (0..20_000)
            .map(|_| {
                let (a, b) = (rng.random_range(1..=200), rng.random_range(0..=200));
                label.at(normal(&mut rng) as f32, a, b)
            })
            .collect();
        shares.sort_by(f32::total_cmp);
        assert!(shares[0] >= 0.4 && shares[19_999] <= 1.0);
        for (rank, share) in [(2_000, 0.46), (10_000, 0.7), (18_000, 0.94)] {
            assert_relative_eq!(shares[rank], share, epsilon = DRAWS);
        }
        assert_relative_eq!(Label::new(0.0, 4, 1).at(2.0, 1, 2), 1.0);
        // A face has two sides.
        assert_relative_eq!(label.at(0.3, 4, 9), label.at(0.3, 9, 4));
    }
}
