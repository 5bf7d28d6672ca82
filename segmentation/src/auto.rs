//! Segmentation without anything to tune.
//!
//! Sheets are enhanced ([`crate::sheet`]) and evened out by the strength of the sheets around; a
//! watershed cuts the image into far more regions than cells; those are joined that most probably are
//! one cell ([`Partition`]); what is far larger than a cell is background.

use primordia_data::{Labels, Volume, VoxelSize};
use rayon::prelude::*;

use crate::block::whole;
use crate::cells::Cells;
use crate::error::{Result, SegmentError};
use crate::evidence::Evidence;
use crate::finer::finer;
use crate::gaussian::{gaussian, gaussian_reach};
use crate::guide::Guide;
use crate::joining::Image;
use crate::network::Boundary;
use crate::nuclei::{Nuclei, Rooms};
use crate::pieces::Counts;
use crate::refine::{FullGrid, SmallSheets, mark_cores};
use crate::regions::{Part, Seams, minima};
use crate::resample::shrink;
use crate::segmentation::{Segmentation, Threshold, rename};
use crate::sheet::Sheets;
use crate::tiles::Cut;
use crate::watershed::flood;
use crate::witnesses::{Found, found};

/// What membranes and cells are, in µm; the defaults fit animal and plant tissues.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Auto {
    /// The width at which membranes are looked for, at least: the standard deviation of their profile, in µm.
    /// Voxels are merged up to this size. Wider than most microscopes show them, so that noise is
    /// averaged; the borders of cells are found in the full image. Where voxels are too coarse for it, 1.1 voxels; where cells turn out
    /// to be less than 14 times as wide, a 14th of their width.
    pub membrane_um: f64,
    /// Smaller pieces are no cells, in µm³, unless the border of the image cuts them; where voxels are too coarse for it, 100 voxels. Where
    /// membranes are looked for at a smaller width, this is smaller by the cube of that.
    pub min_volume_um3: f64,
    /// How much of the usual strength of membranes nearby parts two cells, 0 to 1, where nothing else is known of them:
    /// by [`Partition::Average`] and [`Partition::Multicut`], and of crumbs.
    pub parting: f64,
    /// How regions become cells.
    pub partition: Partition,
}

/// How regions of the over-segmentation become cells.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Partition {
    /// The two first that most probably are one cell, as was learned from phantoms ([`crate::joining`]): the best one.
    #[default]
    Learned,
    /// The two with the least mean evidence on their common face first ([`merge_by_average`](crate::merge_by_average)).
    Average,
    /// All faces at once ([`multicut`](fn@crate::multicut)).
    Multicut,
}

/// Below this share of the usual volume, the smaller a piece, the stronger the sheets that make it a cell.
const SMALL: f64 = 0.5;
/// Seeds are the minima of the evidence smoothed by this many widths of a sheet: several in each cell.
const SEED_WIDTHS: f64 = 1.5;
impl Default for Auto {
    fn default() -> Self {
        Self {
            membrane_um: 0.44,
            min_volume_um3: 10.0,
            parting: 0.26,
            partition: Partition::Learned,
        }
    }
}

impl Auto {
    pub(crate) fn check(&self) -> Result<()> {
        let all = [
            ("membrane_um", self.membrane_um),
            ("min_volume_um3", self.min_volume_um3),
            ("parting", self.parting),
        ];
        for (name, value) in all {
            if !(value > 0.0 && value.is_finite()) {
                return Err(SegmentError::Parameter { name, value, wanted: "positive and finite" });
            }
        }
        Ok(())
    }

    /// The least width at which sheets are looked for where merged voxels have some sides, in µm.
    pub(crate) fn narrowest_um(&self, sides_um: [f64; 3]) -> f64 {
        self.membrane_um.max(1.1 * sides_um.into_iter().fold(f64::INFINITY, f64::min))
    }

    /// The evidence in its weakest face that makes a piece of this share of the usual volume a cell: small pieces are
    /// seldom cells, so that they need more of it.
    pub(crate) fn needed(&self, relative_volume: f64) -> f64 {
        const GROWTH: f64 = 0.3;
        if relative_volume < SMALL {
            self.parting * (SMALL / relative_volume).powf(GROWTH)
        } else {
            0.0
        }
    }
}

/// Segments a membrane channel (bright membranes) of any voxel size and type.
///
/// # Errors
/// [`SegmentError::NotFinite`], [`SegmentError::Constant`], [`SegmentError::NoCells`] for images without finite values,
/// contrast or cells; [`SegmentError::Parameter`] for impossible `params`.
pub fn auto<T>(membrane: &Volume<T>, params: &Auto) -> Result<Segmentation>
where
    T: Copy + Into<f32> + Send + Sync,
{
    auto_with(membrane, params, &Guides::default())
}

/// What [`auto_with`] asks besides the sheets of the membrane channel.
#[derive(Clone, Copy, Debug, Default)]
pub struct Guides<'g> {
    /// A network that learned what boundaries look like: a second witness for each membrane. Slower; finds more cells
    /// where light is dim and voxels are coarse.
    pub network: Option<&'g Boundary>,
    /// The nuclei of the same cells, from a channel on the grid of the membranes, merged up to
    /// [`Auto::membrane_um`]: regions that hold different ones are not joined. Cells without a nucleus stay.
    pub nuclei: Option<&'g Nuclei>,
}

/// [`auto`](fn@auto) with further guides.
///
/// # Errors
/// Those of [`auto`](fn@auto), [`SegmentError::Network`] if memory runs out, [`SegmentError::Data`] if the nuclei are not
/// on the membranes' grid.
pub fn auto_with<T>(
    membrane: &Volume<T>,
    params: &Auto,
    guides: &Guides<'_>,
) -> Result<Segmentation>
where
    T: Copy + Into<f32> + Send + Sync,
{
    let joined = joined(membrane, params, guides)?;
    match joined.finer(params, guides) {
        None => joined.segmentation(params),
        Some(finer) => {
            drop(joined); // memory is needed
            self::joined(membrane, &finer, guides)?.segmentation(&finer)
        }
    }
}

/// An over-segmented image, and the region (`1..`) of each voxel of the shrunken image.
pub(crate) fn over_segmented<T>(
    membrane: &Volume<T>,
    params: &Auto,
    network: Option<&Boundary>,
) -> Result<(Image, Volume<u32>, [usize; 3])>
where
    T: Copy + Into<f32> + Send + Sync,
{
    let found = found(membrane, params, &Guides { network, nuclei: None })?;
    let (labels, n_regions) = over_segment(&found.sheets, found.grid.width.um, None)?;
    Ok((image_of(&labels, n_regions, &found), labels, found.grid.factors))
}

/// The cells of an image of merged voxels.
struct Joined<'a, T> {
    grid: FullGrid<'a, T>,
    /// The region of each voxel.
    labels: Volume<u32>,
    /// Where borders follow them.
    sheets: SmallSheets,
    cells: Cells,
}

/// The cells that sheets in the shrunken image enclose.
fn joined<'a, T>(
    membrane: &'a Volume<T>,
    params: &Auto,
    guides: &Guides<'_>,
) -> Result<Joined<'a, T>>
where
    T: Copy + Into<f32> + Send + Sync,
{
    let mut found = found(membrane, params, guides)?;
    let rooms = with_walls(&found.grid, &mut found.sheets, guides.nuclei)?;
    let (labels, n_regions) = over_segment(&found.sheets, found.grid.width.um, rooms.as_ref())?;
    let image = image_of(&labels, n_regions, &found);
    let guide = rooms.map_or_else(Guide::default, |rooms| rooms.guide(&labels, n_regions));
    let Found { grid, sheets, .. } = found;
    let sheets = grid.borders().needed(|| Ok(sheets))?; // the rest is forgotten: memory is needed
    let cells = Cells::new(image, &guide, (membrane.shape(), labels.voxel_size()), params)?;
    Ok(Joined { grid, labels, sheets, cells })
}

impl<T: Copy + Into<f32> + Send + Sync> Joined<'_, T> {
    /// What to look for instead, where cells are small. Nuclei were found in merged voxels of the first look.
    fn finer(&self, params: &Auto, guides: &Guides<'_>) -> Option<Auto> {
        let image = (self.grid.image.shape(), self.grid.image.voxel_size());
        let finer = finer(params, image, self.grid.width.um, self.cells.usual_um3);
        finer.filter(|_| guides.nuclei.is_none())
    }

    /// The cells in the full image.
    fn segmentation(self, params: &Auto) -> Result<Segmentation> {
        let Self { grid, mut labels, sheets, cells } = self;
        let shape = labels.shape();
        rename(&mut labels, &cells.names);
        let mut has_core = vec![false; cells.evidence.len() + 1];
        mark_cores(&labels, &whole(shape), &mut has_core);
        let labels = grid.enlarge(labels, sheets, &has_core)?;
        let threshold = Threshold { level: params.parting, tried: Vec::new() };
        Ok(Segmentation {
            labels: Labels::new(labels),
            evidence: Some(cells.evidence),
            unfound: cells.unfound,
            threshold,
        })
    }
}

/// What its regions and their faces are.
fn image_of<T>(labels: &Volume<u32>, n_regions: usize, found: &Found<'_, T>) -> Image {
    let Found { grid, sheets, bright } = found;
    let all = Part::whole(labels.shape());
    let mut seams = Seams::default();
    seams.add(labels, sheets, &all.core);
    let mut counts = Counts::new(n_regions, labels.voxel_size());
    counts.add(labels, &sheets.evidence, &all, labels.shape());
    counts.add_bright(labels, &all, bright);
    Image { graph: seams.graph(n_regions), pieces: counts.pieces(), width_um: grid.width.um }
}

/// The rooms of nuclei, if there are any, whose walls become weak sheets.
fn with_walls<'n, T>(
    grid: &FullGrid<'_, T>,
    sheets: &mut Sheets,
    nuclei: Option<&'n Nuclei>,
) -> Result<Option<Rooms<'n>>>
where
    T: Copy + Into<f32> + Send + Sync,
{
    let Some(nuclei) = nuclei.filter(|nuclei| !nuclei.all().is_empty()) else { return Ok(None) };
    let membranes = shrink(grid.image, grid.factors, Into::into)?;
    let rooms = Rooms::new(nuclei, &membranes, &sheets.evidence)?;
    rooms.draw_walls(sheets);
    Ok(Some(rooms))
}

/// Far more regions than cells, but one for each nucleus, and their number.
fn over_segment(
    sheets: &Sheets,
    width_um: f64,
    rooms: Option<&Rooms<'_>>,
) -> Result<(Volume<u32>, usize)> {
    let shape = sheets.evidence.shape();
    let cut = Cut { reach: seed_reach(sheets.evidence.voxel_size(), width_um), step: [1; 3] };
    let mut all = Vec::new();
    for tile in cut.small_tiles(shape) {
        let part = tile.part();
        let found = tile.with(&sheets.evidence, |evidence| seeds(evidence, &part, width_um))?;
        all.extend(found.into_iter().map(|at| part.in_whole(at)));
    }
    all.sort_unstable(); // in the order of memory
    let mut labels = sheets.evidence.blank::<u32>();
    for (number, &at) in (1..).zip(&all) {
        labels.voxels_mut()[at] = number;
    }
    let mut n_regions = all.len();
    drop(all);
    if let Some(rooms) = rooms {
        rooms.plant(&mut labels, &sheets.evidence);
        n_regions = labels.as_slice().par_iter().copied().max().unwrap_or(0) as usize;
    }
    Ok((flood(&sheets.evidence, labels)?, n_regions))
}

/// Where the flood begins: at the minima of the smoothed evidence, among the voxels asked for.
pub(crate) fn seeds(
    evidence: &Volume<Evidence>,
    part: &Part,
    width_um: f64,
) -> Result<Vec<[usize; 3]>> {
    let values = evidence.voxels().mapv(Evidence::value);
    let values = Volume::new(values, evidence.voxel_size())?;
    Ok(minima(&gaussian(&values, [SEED_WIDTHS * width_um; 3])?, part))
}

/// How many voxels (z, y, x) away the furthest voxels are that decide whether a voxel is a seed.
pub(crate) fn seed_reach(voxel_size: VoxelSize, width_um: f64) -> [usize; 3] {
    gaussian_reach(voxel_size, SEED_WIDTHS * width_um).map(|reach| reach + 1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::confidence::Grade;
    use crate::testing::{sized_volume, tissue_of, volume};
    use primordia_data::VoxelSize;
    use primordia_data::phantom::{self, Optics, PhantomParams, TissueParams};
    use rand::{Rng, SeedableRng};
    use rand_chacha::ChaCha8Rng;
    use rand_distr::{Distribution, Poisson};

    /// A small specimen as `optics` shows it at voxels of 0.4 × 0.2 × 0.2 µm, and the score of its cells.
    fn scores(optics: impl Fn(VoxelSize) -> Optics, seed: u64) -> crate::Scores {
        scores_of(&Auto::default(), optics, seed)
    }

    fn scores_of(
        auto_params: &Auto,
        optics: impl Fn(VoxelSize) -> Optics,
        seed: u64,
    ) -> crate::Scores {
        let optics = optics(VoxelSize::from_um([0.4, 0.2, 0.2]).unwrap());
        let tissue = TissueParams { n_cells: 16, ..TissueParams::default() };
        let params = PhantomParams { tissue, optics, ..PhantomParams::default() };
        let phantom = phantom::specimen(&params, seed).unwrap();
        let found = auto(&phantom.membrane.map(|&value| f32::from(value)), auto_params).unwrap();
        assert_eq!(found.evidence.as_ref().map(Vec::len), Some(found.labels.n_cells()));
        crate::score(&found.labels, &phantom.truth).unwrap()
    }

    #[test]
    fn every_cell_of_a_clean_tissue_is_found() {
        let scores = scores(Optics::clean, 1);
        assert_eq!(scores.f1_iou_50, 1.0, "{scores:?}");
        assert!(scores.mean_matched_iou > 0.9, "{scores:?}");
    }

    #[test]
    fn small_cells_are_found_in_voxels_that_show_their_walls() {
        let size = VoxelSize::from_um([0.4, 0.2, 0.2]).unwrap();
        let optics = Optics::dim(size);
        let params =
            PhantomParams { tissue: tissue_of(40, 0.5), optics, ..PhantomParams::default() };
        let phantom = phantom::specimen(&params, 1).unwrap();
        let found = auto(&phantom.membrane, &Auto::default()).unwrap();
        let scores = crate::score(&found.labels, &phantom.truth).unwrap();
        assert!(scores.f1_iou_50 > 0.97, "{scores:?}");
    }

    #[test]
    fn cells_that_the_border_of_the_image_cuts_are_found() {
        const LEAST_SHOWN_UM3: f64 = 10.0;
        let size = VoxelSize::from_um([0.4, 0.2, 0.2]).unwrap();
        let params = PhantomParams { optics: Optics::clean(size), ..PhantomParams::default() };
        let (membrane, truth) = phantom::membranes(&params, 1).unwrap();
        let [n_z, n_y, n_x] = membrane.shape();
        let middle = ndarray::s![n_z / 4..3 * n_z / 4, n_y / 3..2 * n_y / 3, n_x / 3..2 * n_x / 3];
        let membrane = Volume::new(membrane.voxels().slice(middle).to_owned(), size).unwrap();
        let truth = truth.volume().voxels().slice(middle).to_owned();
        let truth = Labels::new(Volume::new(truth, size).unwrap());
        let found = auto(&membrane, &Auto::default()).unwrap();
        let ious = crate::best_ious(&truth, &found.labels).unwrap();
        let sizes = crate::segmentation::label_sizes(truth.volume(), 200);
        let missed = truth.cells().iter().zip(ious).filter(|&(&cell, iou)| {
            sizes[cell as usize] as f64 * size.volume_um3() > LEAST_SHOWN_UM3 && iou < 0.5
        });
        assert_eq!(missed.count(), 0);
    }

    #[test]
    fn flat_borders_between_planes_far_apart_lie_where_they_are() {
        let optics = Optics::clean(VoxelSize::from_um([1.0, 0.5, 0.5]).unwrap());
        let tissue = TissueParams { n_cells: 40, ..TissueParams::default() };
        let params = PhantomParams { tissue, optics, ..PhantomParams::default() };
        let phantom = phantom::specimen(&params, 1).unwrap();
        let found = auto(&phantom.membrane, &Auto::default()).unwrap();
        let scores = crate::score(&found.labels, &phantom.truth).unwrap();
        assert!(scores.mean_matched_iou > 0.91, "{scores:?}");
    }

    #[test]
    fn the_multicut_finds_nearly_every_cell_of_a_clean_tissue() {
        let multicut = Auto { partition: Partition::Multicut, ..Auto::default() };
        let scores = scores_of(&multicut, Optics::clean, 1);
        assert!(scores.f1_iou_50 > 0.95, "{scores:?}");
    }

    #[test]
    fn noise_is_not_taken_for_whole_cells_even_if_there_is_little_of_it() {
        for seed in 1..=4 {
            let mut rng = ChaCha8Rng::seed_from_u64(seed);
            let counts = Poisson::new(4.0_f32).unwrap();
            let voxels = (0..16 * 64 * 64).map(|_| counts.sample(&mut rng)).collect();
            let noise = sized_volume([16, 64, 64], voxels, [1.0, 0.4, 0.4]);
            let found = auto(&noise, &Auto::default());
            let verdict = found.map(|found| found.verdict().map(|verdict| verdict.grade));
            let is_told =
                matches!(verdict, Err(SegmentError::NoCells { .. }) | Ok(Some(Grade::Fail)));
            assert!(is_told, "seed {seed}: {verdict:?}");
        }
    }

    #[test]
    fn dim_and_patchy_membranes_are_found_with_the_same_parameters() {
        let dim = scores(Optics::dim, 2);
        assert_eq!(dim.f1_iou_50, 1.0, "{dim:?}");
        let very_dim = scores(Optics::very_dim, 2);
        assert!(very_dim.f1_iou_50 > 0.9, "{very_dim:?}");
    }

    #[test]
    fn a_lump_far_brighter_than_membranes_hides_no_cell() {
        let optics = Optics::dim(VoxelSize::from_um([0.6, 0.3, 0.3]).unwrap());
        let tissue = TissueParams { n_cells: 16, ..TissueParams::default() };
        let params = PhantomParams { tissue, optics, ..PhantomParams::default() };
        let phantom = phantom::specimen(&params, 1).unwrap();
        let mut image = phantom.membrane.map(|&counts| f32::from(counts));
        image.voxels_mut().slice_mut(ndarray::s![1..5, 2..10, 2..10]).fill(2000.0);
        let found = auto(&image, &Auto::default()).unwrap();
        let scores = crate::score(&found.labels, &phantom.truth).unwrap();
        assert_eq!(scores.f1_iou_50, 1.0, "{scores:?}");
    }

    /// Adds balls of 2 to 5 µm in radius, 3 to 8 times as bright as membranes; returns which voxels lie in one.
    fn add_debris(image: &mut Volume<u16>, n_balls: usize, peak_counts: f64) -> Volume<bool> {
        let mut rng = ChaCha8Rng::seed_from_u64(1);
        let (shape, um) = (image.shape(), image.voxel_size().um());
        let mut is_debris = image.map(|_| false);
        for _ in 0..n_balls {
            let middle = shape.map(|n| rng.random_range(0.0..n as f64));
            let radius_um = rng.random_range(2.0..5.0_f64);
            let glow = Poisson::new(rng.random_range(3.0..8.0) * peak_counts).unwrap();
            for ((z, y, x), is_debris) in is_debris.voxels_mut().indexed_iter_mut() {
                let at = [z, y, x];
                let squared = |axis: usize| ((at[axis] as f64 - middle[axis]) * um[axis]).powi(2);
                if (0..3).map(squared).sum::<f64>() < radius_um.powi(2) {
                    *is_debris = true;
                    image.voxels_mut()[at] += glow.sample(&mut rng) as u16;
                }
            }
        }
        is_debris
    }

    #[test]
    fn debris_is_no_cell_and_hides_only_cells_that_lie_in_it() {
        const N_BALLS: usize = 12;
        let optics = Optics::dim(VoxelSize::from_um([0.6, 0.3, 0.3]).unwrap());
        let params =
            PhantomParams { tissue: tissue_of(40, 1.0), optics, ..PhantomParams::default() };
        let mut phantom = phantom::specimen(&params, 1).unwrap();
        let is_debris = add_debris(&mut phantom.membrane, N_BALLS, params.optics.peak_counts);
        let found = auto(&phantom.membrane, &Auto::default()).unwrap();
        let in_debris = |labels: &Labels| {
            let mut shares = vec![(0.0, 0.0); labels.n_cells() + 1];
            for (&label, &is_debris) in labels.volume().as_slice().iter().zip(is_debris.as_slice())
            {
                let (all, debris) = &mut shares[label as usize];
                *all += 1.0;
                *debris += f64::from(u8::from(is_debris));
            }
            shares.into_iter().skip(1).map(|(all, debris)| debris / all).collect::<Vec<f64>>()
        };
        assert!(in_debris(&found.labels).iter().all(|share| *share < 0.5));
        let ious = crate::best_ious(&phantom.truth, &found.labels).unwrap();
        let visible =
            in_debris(&phantom.truth).into_iter().zip(ious).filter(|(share, _)| *share < 0.1);
        let (lost, seen): (Vec<_>, Vec<_>) = visible.partition(|(_, iou)| *iou < 0.5);
        assert!(lost.len() * 20 <= seen.len(), "lost {lost:?}, seen {}", seen.len());
    }

    #[test]
    fn nuclei_guide_where_membranes_are_so_wide_that_larger_voxels_would_show_them() {
        const WIDE_UM: f64 = 0.9;
        let optics = Optics {
            psf_sigma_um: [WIDE_UM; 2],
            ..Optics::clean(VoxelSize::from_um([0.5, 0.3, 0.3]).unwrap())
        };
        let tissue = TissueParams { n_cells: 16, ..TissueParams::default() };
        let params = PhantomParams { tissue, optics, ..PhantomParams::default() };
        let phantom = phantom::specimen(&params, 1).unwrap();
        let channel = phantom::nuclei(&phantom, &params.optics, 1).unwrap().image;
        let auto_params = Auto::default();
        let nuclei = Nuclei::find(&channel, auto_params.membrane_um).unwrap();
        let guides = Guides { nuclei: Some(&nuclei), ..Guides::default() };
        let found = auto_with(&phantom.membrane, &auto_params, &guides).unwrap();
        let scores = crate::score(&found.labels, &phantom.truth).unwrap();
        assert!(scores.f1_iou_50 > 0.9, "{scores:?}");
    }

    #[test]
    fn what_cannot_be_segmented_says_why() {
        let with = |value: f32| auto(&volume([1, 1, 3], vec![value, 0.0, 0.0]), &Auto::default());
        assert!(matches!(with(0.0), Err(SegmentError::Constant { .. })));
        assert!(matches!(with(f32::NAN), Err(SegmentError::NotFinite { .. })));
        assert!(matches!(with(1.0), Err(SegmentError::NoCells { .. })));
    }
}
