//! Segmentation without anything to tune.
//!
//! Sheets are enhanced ([`crate::sheet`]) and evened out by the strength of the sheets around; a
//! watershed cuts the image into far more regions than cells; regions part only where a sheet lies in
//! the face between them ([`Partition`]); what is far larger than a cell is background.

use primordia_data::{Labels, Volume};
use rayon::prelude::*;

use crate::confidence::CellEvidence;
use crate::error::{Result, SegmentError};
use crate::gaussian::gaussian;
use crate::guide::Guide;
use crate::hartmann2020::finite_range;
use crate::merge::{Face, Merged, RegionGraph, absorb, merge_guided};
use crate::multicut::multicut_guided;
use crate::network::Boundary;
use crate::nuclei::{Nuclei, Rooms};
use crate::refine::FullGrid;
use crate::regions::{local_minima, region_graph};
use crate::resample::{factors_up_to, shrink};
use crate::segmentation::{Segmentation, Threshold, label_sizes, rename};
use crate::sheet::{SheetFilter, SheetScale, Sheets};
use crate::strength::{NoiseMap, choose_width, even_out};
use crate::volumes::Volumes;
use crate::watershed::flood;

/// What membranes and cells are, in µm; the defaults fit animal and plant tissues.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Auto {
    /// The width at which membranes are looked for, at least: the standard deviation of their profile, in µm.
    /// Voxels are merged up to this size. Wider than most microscopes show them, so that noise is
    /// averaged; the borders of cells are found in the full image. Where voxels are too coarse for it, 1.1 voxels.
    pub membrane_um: f64,
    /// Smaller pieces are no cells, in µm³; where voxels are too coarse for it, 100 voxels.
    pub min_volume_um3: f64,
    /// How much of the usual strength of membranes nearby parts two cells, 0 to 1.
    pub parting: f64,
    /// How regions become cells.
    pub partition: Partition,
}

/// How regions of the over-segmentation become cells.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Partition {
    /// The two with the least mean evidence on their common face first ([`crate::merge_by_average`]): on phantoms the
    /// better one.
    #[default]
    Average,
    /// All faces at once ([`crate::multicut()`]).
    Multicut,
}

impl Partition {
    fn of(
        self,
        graph: &RegionGraph,
        (most, assumed): (f64, Face),
        guide: &Guide<'_>,
        volumes: &Volumes,
    ) -> Merged {
        match self {
            Self::Average => merge_guided(graph, most, assumed, guide, volumes),
            Self::Multicut => multicut_guided(graph, most, assumed, guide),
        }
    }
}

/// Cells are at least this share of the usual volume.
const SMALLEST: f64 = 0.1;
/// Below this share of the usual volume, the smaller a piece, the stronger the sheets that make it a cell.
const SMALL: f64 = 0.5;
/// Seeds are the minima of the evidence smoothed by this many widths of a sheet: several in each cell.
const SEED_WIDTHS: f64 = 1.5;
/// Two witnesses seldom see a membrane at its strongest at the same voxel, and the network is unsure of dim ones: this
/// much of both is as usual.
const AGREED: f32 = 0.8;

impl Default for Auto {
    fn default() -> Self {
        Self {
            membrane_um: 0.44,
            min_volume_um3: 10.0,
            parting: 0.26,
            partition: Partition::Average,
        }
    }
}

impl Auto {
    fn check(&self) -> Result<()> {
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

    /// The evidence in its weakest face that makes a piece of this share of the usual volume a cell: small pieces are
    /// seldom cells, so that they need more of it.
    fn needed(&self, relative_volume: f64) -> f64 {
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
    match guides.network {
        Some(network) => by_network(membrane, params, network, guides.nuclei),
        None => by_sheets(membrane, params, guides.nuclei),
    }
}

fn by_sheets<T>(
    membrane: &Volume<T>,
    params: &Auto,
    nuclei: Option<&Nuclei>,
) -> Result<Segmentation>
where
    T: Copy + Into<f32> + Send + Sync,
{
    let width_um = sheet_width(membrane, params)?;
    let factors = factors_up_to(membrane, width_um);
    let image = shrink(membrane, factors, Into::into)?;
    let range = finite_range(&image)?;
    let mut sheets = sheets(image, SheetScale::for_width(width_um))?;
    cells(&FullGrid { image: membrane, factors, range, width_um }, &mut sheets, params, nuclei)
}

fn by_network<T>(
    membrane: &Volume<T>,
    params: &Auto,
    network: &Boundary,
    nuclei: Option<&Nuclei>,
) -> Result<Segmentation>
where
    T: Copy + Into<f32> + Send + Sync,
{
    let width_um = sheet_width(membrane, params)?;
    let factors = factors_up_to(membrane, params.membrane_um);
    let image = shrink(membrane, factors, Into::into)?;
    let range = finite_range(&image)?;
    let learned = network.evidence(&image)?;
    let scale = SheetScale::for_width(width_um);
    let mut sheets = sheets(image, scale)?;
    sheets.directions = SheetFilter::new(&learned, scale)?.everywhere().directions;
    if let Some(evidence) = sheets.evidence.voxels_mut().as_slice_mut() {
        let both = evidence.par_iter_mut().zip(learned.as_slice());
        both.for_each(|(sheet, learned)| *sheet = 0.5 * (sheet.min(1.5) + learned) / AGREED);
    }
    drop(learned);
    cells(&FullGrid { image: membrane, factors, range, width_um }, &mut sheets, params, nuclei)
}

/// The cells that sheets in the shrunken image enclose.
fn cells<T>(
    grid: &FullGrid<'_, T>,
    sheets: &mut Sheets,
    params: &Auto,
    nuclei: Option<&Nuclei>,
) -> Result<Segmentation>
where
    T: Copy + Into<f32> + Send + Sync,
{
    let rooms = match nuclei.filter(|nuclei| !nuclei.all().is_empty()) {
        Some(nuclei) => {
            let membranes = shrink(grid.image, grid.factors, Into::into)?;
            let rooms = Rooms::new(nuclei, &membranes, &sheets.evidence)?;
            rooms.draw_walls(sheets);
            Some(rooms)
        }
        None => None,
    };
    let (mut labels, graph) = over_segment(sheets, grid.width_um, rooms.as_ref())?;
    let guide = rooms.map_or_else(Guide::default, |rooms| rooms.guide(&labels, graph.n_regions()));
    tracing::debug!(n_regions = graph.n_regions(), grid.width_um, ?grid.factors, "over-segmented");
    let assumed = assumed(grid.width_um);
    let cells = Cells::new(&mut labels, &graph, &guide, assumed, params);
    if cells.evidence.is_empty() {
        return Err(SegmentError::NoCells {
            shape: grid.image.shape(),
            min_volume_um3: params.min_volume_um3,
        });
    }
    let labels = grid.enlarge(&labels, sheets)?;
    let threshold = Threshold { level: params.parting, tried: Vec::new() };
    Ok(Segmentation { labels: Labels::new(labels), evidence: Some(cells.evidence), threshold })
}

/// Far more regions than cells, but one for each nucleus, and their graph.
fn over_segment(
    sheets: &Sheets,
    width_um: f64,
    rooms: Option<&Rooms<'_>>,
) -> Result<(Volume<u32>, RegionGraph)> {
    let mut seeds = local_minima(&gaussian(&sheets.evidence, [SEED_WIDTHS * width_um; 3])?);
    if let Some(rooms) = rooms {
        rooms.plant(&mut seeds, &sheets.evidence);
    }
    let n_regions = seeds.as_slice().par_iter().copied().max().unwrap_or(0) as usize;
    let labels = flood(levels(&sheets.evidence), seeds)?;
    let graph = region_graph(&labels, sheets, n_regions);
    Ok((labels, graph))
}

/// What is assumed of a face before it is looked at: a piece of weak sheet, some three widths wide.
fn assumed(width_um: f64) -> Face {
    const EVIDENCE: f64 = 0.5;
    let area_um2 = 10.0 * width_um * width_um;
    Face { evidence: EVIDENCE * area_um2, area_um2 }
}

/// How wide the image shows its sheets, after a look at parameters and values.
fn sheet_width<T>(membrane: &Volume<T>, params: &Auto) -> Result<f64>
where
    T: Copy + Into<f32> + Send + Sync,
{
    params.check()?;
    finite_range(membrane)?;
    let membrane_um = params.membrane_um;
    let factors = factors_up_to(membrane, membrane_um);
    let image = shrink(membrane, factors, Into::into)?;
    let side_um = image.voxel_size().um().into_iter().fold(f64::INFINITY, f64::min);
    let least_um = membrane_um.max(1.1 * side_um);
    choose_width(&image, &[1.0, 1.5, 2.2, 3.2].map(|factor| factor * least_um))
}

/// The evidence for sheets, as a share of what is usual nearby.
fn sheets(image: Volume<f32>, scale: SheetScale) -> Result<Sheets> {
    let filter = SheetFilter::new(&image, scale)?;
    let mut sheets = filter.everywhere();
    let noise = NoiseMap::new(&image, &filter, scale)?;
    drop((image, filter));
    even_out(&mut sheets.evidence, &noise, 20.0 * scale.fine_um)?;
    Ok(sheets)
}

/// Evidence in whole steps, for the flood.
fn levels(evidence: &Volume<f32>) -> Volume<u16> {
    const PER_UNIT: f32 = 512.0;
    evidence.map(|&value| (value * PER_UNIT).min(4095.0) as u16)
}

/// The cells among the merged regions.
struct Cells {
    evidence: Vec<CellEvidence>,
}

impl Cells {
    /// Joins crumbs, clears background, and numbers the cells `1..=n` in `labels`.
    fn new(
        labels: &mut Volume<u32>,
        graph: &RegionGraph,
        guide: &Guide<'_>,
        assumed: Face,
        params: &Auto,
    ) -> Self {
        let n_regions = graph.n_regions();
        let voxel_um3 = labels.voxel_size().volume_um3();
        let sizes = label_sizes(labels, n_regions as u32);
        let region_um3: Vec<f64> = sizes[1..].iter().map(|&n| n as f64 * voxel_um3).collect();
        let border = border_areas(labels, n_regions);
        let joining = |volumes: &Volumes| {
            let partition = params.partition;
            let merged = partition.of(graph, (params.parting, assumed), guide, volumes);
            let joined = graph.grouped(&merged.groups, merged.n_groups());
            let extent = Extent::new(&merged, &region_um3, &border, &joined);
            let nuclei = guide.grouped(&merged.groups, merged.n_groups());
            let usual_um3 = nuclei
                .usual(&extent.volume_um3)
                .unwrap_or_else(|| extent.usual_um3(params.min_volume_um3.max(100.0 * voxel_um3)));
            (merged, joined, extent, nuclei, usual_um3)
        };
        let once = joining(&Volumes::default());
        let (merged, joined, first, nuclei, usual_um3) =
            if params.partition == Partition::Average && !guide.has_any() {
                // How large cells are is known once regions have been joined: then they are joined again, by that.
                joining(&Volumes::new(region_um3.clone(), once.4))
            } else {
                once // nuclei tell that better, and the multicut has no order of joining
            };
        let least_um3 = params.min_volume_um3.max(SMALLEST * usual_um3);
        let merged = merged.then(&absorb(
            &joined,
            &first.volume_um3,
            |group, volume_um3, around, weakest| {
                if nuclei.has_nucleus(group) {
                    return false;
                }
                let seen = around.mean().min(weakest.with(assumed).mean());
                volume_um3 < least_um3 || seen < params.needed(volume_um3 / usual_um3)
            },
        ));
        let joined = graph.grouped(&merged.groups, merged.n_groups());
        let extent = Extent::new(&merged, &region_um3, &border, &joined);
        let nuclei = guide.grouped(&merged.groups, merged.n_groups());
        let seen = evidence_of(graph, &merged, &joined, &nuclei, assumed);
        let mut evidence = Vec::new();
        let cell: Vec<u32> = (0..merged.n_groups())
            .map(|group| {
                if extent.volume_um3[group] < least_um3 || extent.is_background(group, usual_um3) {
                    return 0;
                }
                evidence.push(CellEvidence {
                    relative_volume: extent.volume_um3[group] / usual_um3,
                    border_share: extent.border_share(group),
                    ..seen[group]
                });
                evidence.len() as u32
            })
            .collect();
        let names: Vec<u32> = std::iter::once(0)
            .chain(merged.groups.iter().map(|&group| cell[group as usize]))
            .collect();
        rename(labels, &names);
        Self { evidence }
    }
}

/// What the faces of each group say; `joined` is the graph of the groups, `nuclei` which they hold.
fn evidence_of(
    graph: &RegionGraph,
    merged: &Merged,
    joined: &RegionGraph,
    nuclei: &Guide<'_>,
    assumed: Face,
) -> Vec<CellEvidence> {
    let n_groups = merged.n_groups();
    let (mut around, mut inside) =
        (vec![Face::default(); n_groups], vec![Face::default(); n_groups]);
    for (a, b, face) in graph.faces() {
        let (a, b) = (merged.groups[a as usize] as usize, merged.groups[b as usize] as usize);
        if a == b {
            inside[a] = inside[a].with(face);
        }
    }
    let mut weakest = vec![f64::INFINITY; n_groups];
    for (a, b, face) in joined.faces() {
        let face = nuclei.seen((a, b, face));
        for side in [a as usize, b as usize] {
            around[side] = around[side].with(face);
            weakest[side] = weakest[side].min(face.with(assumed).mean());
        }
    }
    (0..n_groups)
        .map(|group| CellEvidence {
            around: around[group].with(assumed).mean(),
            weakest: weakest[group].min(1.0),
            strongest_joined: merged.strongest_joined[group],
            inside: inside[group].evidence / inside[group].area_um2.max(assumed.area_um2),
            ..CellEvidence::default()
        })
        .collect()
}

/// How far groups of regions reach.
struct Extent {
    volume_um3: Vec<f64>,
    border_um2: Vec<f64>,
    surface_um2: Vec<f64>,
}

impl Extent {
    /// From what regions have, and the graph of the groups.
    fn new(merged: &Merged, region_um3: &[f64], border_um2: &[f64], joined: &RegionGraph) -> Self {
        let sum = |of: &[f64]| {
            let mut sums = vec![0.0; merged.n_groups()];
            merged.groups.iter().zip(of).for_each(|(&group, value)| sums[group as usize] += value);
            sums
        };
        let border_um2 = sum(border_um2);
        let mut surface_um2 = border_um2.clone();
        for (a, b, face) in joined.faces() {
            surface_um2[a as usize] += face.area_um2;
            surface_um2[b as usize] += face.area_um2;
        }
        Self { volume_um3: sum(region_um3), border_um2, surface_um2 }
    }

    /// The usual volume of a cell: half of the volume of all cells lies in larger ones. Cells are groups of at least
    /// `least_um3` and at most ten times the usual volume, so it is sought step by step from the median.
    fn usual_um3(&self, least_um3: f64) -> f64 {
        const STEPS: usize = 20;
        let mut volumes: Vec<f64> =
            self.volume_um3.iter().copied().filter(|&volume| volume >= least_um3).collect();
        volumes.sort_by(f64::total_cmp);
        let mut usual = volumes.get(volumes.len() / 2).copied().unwrap_or(0.0);
        for _ in 0..STEPS {
            let cells = &volumes[..volumes.partition_point(|&volume| volume <= 10.0 * usual)];
            let total: f64 = cells.iter().sum();
            let mut below = 0.0;
            let half = cells.iter().find(|&&volume| {
                below += volume;
                below >= 0.5 * total
            });
            usual = half.copied().unwrap_or(usual);
        }
        usual
    }

    fn border_share(&self, group: usize) -> f64 {
        self.border_um2[group] / self.surface_um2[group].max(f64::MIN_POSITIVE)
    }

    /// Background is much larger than a cell, or larger and mostly bounded by the image itself.
    fn is_background(&self, group: usize, usual_um3: f64) -> bool {
        let volume = self.volume_um3[group];
        volume > 10.0 * usual_um3 || (volume > 4.0 * usual_um3 && self.border_share(group) > 0.35)
    }
}

/// The area in µm² that each of the regions `1..=n_regions` has on the border of the image.
fn border_areas(labels: &Volume<u32>, n_regions: usize) -> Vec<f64> {
    let mut areas = vec![0.0; n_regions];
    for axis in 0..3 {
        let voxels = labels.voxels();
        let last = labels.shape()[axis] - 1;
        for at in [0, last] {
            for &label in
                voxels.index_axis(ndarray::Axis(axis), at).iter().filter(|label| **label > 0)
            {
                areas[label as usize - 1] += labels.voxel_size().face_area_um2(axis);
            }
        }
    }
    areas
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::volume;
    use primordia_data::VoxelSize;
    use primordia_data::phantom::{self, Optics, PhantomParams, TissueParams};

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
    fn the_multicut_finds_nearly_every_cell_of_a_clean_tissue() {
        let multicut = Auto { partition: Partition::Multicut, ..Auto::default() };
        let scores = scores_of(&multicut, Optics::clean, 1);
        assert!(scores.f1_iou_50 > 0.95, "{scores:?}");
    }

    #[test]
    fn dim_and_patchy_membranes_are_found_with_the_same_parameters() {
        let dim = scores(Optics::dim, 2);
        assert_eq!(dim.f1_iou_50, 1.0, "{dim:?}");
        let very_dim = scores(Optics::very_dim, 2);
        assert!(very_dim.f1_iou_50 > 0.9, "{very_dim:?}");
    }

    #[test]
    fn what_cannot_be_segmented_says_why() {
        let with = |value: f32| auto(&volume([1, 1, 3], vec![value, 0.0, 0.0]), &Auto::default());
        assert!(matches!(with(0.0), Err(SegmentError::Constant { .. })));
        assert!(matches!(with(f32::NAN), Err(SegmentError::NotFinite { .. })));
        assert!(matches!(with(1.0), Err(SegmentError::NoCells { .. })));
    }
}
