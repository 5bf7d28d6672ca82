//! Segmentation without anything to tune.
//!
//! Sheets are enhanced ([`crate::sheet`]) and evened out by the strength of the sheets around; a
//! watershed cuts the image into far more regions than cells; those are joined that most probably are
//! one cell ([`Partition`]); what is far larger than a cell is background.

use ndarray::Array3;
use primordia_data::{Labels, Volume, VoxelSize};
use rayon::prelude::*;

use crate::block::{Block, whole};
use crate::confidence::CellEvidence;
use crate::error::{Result, SegmentError};
use crate::evidence::Evidence;
use crate::gaussian::{gaussian, gaussian_reach};
use crate::guide::Guide;
use crate::hartmann2020::finite_range;
use crate::hollows::open_hollows;
use crate::joining::{Image, Joining, OUTSIDE};
use crate::merge::{Face, Merged, RegionGraph, absorb, merge_guided};
use crate::multicut::multicut_guided;
use crate::network::{Boundary, Light, add_to, evened};
use crate::nuclei::{Nuclei, Rooms};
use crate::pieces::{Counts, Piece};
use crate::refine::{FullGrid, SmallSheets, mark_cores};
use crate::regions::{Part, Seams, minima};
use crate::resample::{Enlarged, coarse_size, divide, factors_up_to, over, put, shrink};
use crate::segmentation::{Segmentation, Threshold, rename};
use crate::sheet::{SheetFilter, SheetScale, Sheets, direction_reach, directions};
use crate::shrunken::Shrunken;
use crate::strength::{
    CoarseSums, RawSheets, Strength, WIDTH_STEP, choose_width, coarse_factors, noise_gain, usual,
};
use crate::tiles::Cut;
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
    /// How much of the usual strength of membranes nearby parts two cells, 0 to 1, where nothing else is known of them:
    /// by [`Partition::Average`] and [`Partition::Multicut`], and of crumbs.
    pub parting: f64,
    /// How regions become cells.
    pub partition: Partition,
}

/// How regions of the over-segmentation become cells.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Partition {
    /// The two first that most probably are one cell, as was learned from phantoms ([`crate::joining`]): the best one. Where
    /// nuclei guide, which it knows nothing of, [`Partition::Average`].
    #[default]
    Learned,
    /// The two with the least mean evidence on their common face first ([`merge_by_average`](crate::merge_by_average)).
    Average,
    /// All faces at once ([`multicut`](fn@crate::multicut)).
    Multicut,
}

/// Cells are at least this share of the usual volume.
const SMALLEST: f64 = 0.1;
/// Regions with at most so much evidence between them are one piece before anything else is asked: half of them, as a rule.
const NOTHING: f64 = 0.1;
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
    let (grid, sheets) = found(membrane, params, guides.network)?;
    cells(&grid, sheets, params, guides.nuclei)
}

/// The sheets of the shrunken image, by the filter or by both witnesses.
fn found<'a, T>(
    membrane: &'a Volume<T>,
    params: &Auto,
    network: Option<&Boundary>,
) -> Result<(FullGrid<'a, T>, Sheets)>
where
    T: Copy + Into<f32> + Send + Sync,
{
    match network {
        Some(network) => by_network(membrane, params, network),
        None => by_sheets(membrane, params),
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
    let (grid, sheets) = found(membrane, params, network)?;
    let (labels, n_regions) = over_segment(&sheets, grid.width_um, None)?;
    Ok((image_of(&labels, n_regions, &sheets, grid.width_um), labels, grid.factors))
}

fn by_sheets<'a, T>(membrane: &'a Volume<T>, params: &Auto) -> Result<(FullGrid<'a, T>, Sheets)>
where
    T: Copy + Into<f32> + Send + Sync,
{
    let grid = Grid::of(membrane, params)?;
    let (factors, width_um) = (factors_up_to(membrane, grid.width_um), grid.width_um);
    let image = grid.image_with(membrane, factors)?;
    let range = image.range()?;
    let sheets = sheets(&image, SheetScale::for_width(width_um), range)?;
    drop(image);
    Ok((FullGrid { image: membrane, factors, range, width_um }, sheets))
}

fn by_network<'a, T>(
    membrane: &'a Volume<T>,
    params: &Auto,
    network: &Boundary,
) -> Result<(FullGrid<'a, T>, Sheets)>
where
    T: Copy + Into<f32> + Send + Sync,
{
    let Grid { image, width_um } = Grid::of(membrane, params)?;
    let (factors, grid, range) = (image.factors(), image.grid(), image.range()?);
    let scale = SheetScale::for_width(width_um);
    let mut evidence = sheets(&image, scale, range)?.evidence;
    let light = Light::new(&Volume::new(image.block(&whole(grid.0))?, grid.1)?)?;
    let mut learned = Volume::new(Array3::zeros(grid.0), grid.1)?;
    let read = |block: &Block| image.block(block);
    network.add_probability(grid, &light, read, |block, answer| {
        add_to(&mut learned, block, &answer);
        Ok(())
    })?;
    drop(image);
    let learned = evened(learned)?;
    agree(&mut evidence, learned.as_slice());
    let mut sheets = Sheets { evidence, directions: Volume::new(Array3::default(grid.0), grid.1)? };
    let cut = Cut { reach: direction_reach(scale, grid.1), step: [1; 3] };
    for tile in cut.small_tiles(grid.0) {
        let found = tile.with(&learned, |part| directions(part, &tile.part().core, scale))?;
        put(&mut sheets.directions, tile.from(), &found);
    }
    drop(learned);
    Ok((FullGrid { image: membrane, factors, range, width_um }, sheets))
}

/// What both witnesses say together, as a share of what is usual.
pub(crate) fn agree(sheets: &mut Volume<Evidence>, learned: &[f32]) {
    if let Some(sheets) = sheets.voxels_mut().as_slice_mut() {
        sheets.par_iter_mut().zip(learned).for_each(|(sheet, learned)| {
            *sheet = Evidence::new(0.5 * (sheet.value().min(1.5) + learned) / AGREED);
        });
    }
}

/// The cells that sheets in the shrunken image enclose.
fn cells<T>(
    grid: &FullGrid<'_, T>,
    mut sheets: Sheets,
    params: &Auto,
    nuclei: Option<&Nuclei>,
) -> Result<Segmentation>
where
    T: Copy + Into<f32> + Send + Sync,
{
    let rooms = with_walls(grid, &mut sheets, nuclei)?;
    let (mut labels, n_regions) = over_segment(&sheets, grid.width_um, rooms.as_ref())?;
    let image = image_of(&labels, n_regions, &sheets, grid.width_um);
    let guide = rooms.map_or_else(Guide::default, |rooms| rooms.guide(&labels, n_regions));
    let mut sheets = SmallSheets::from(sheets);
    if grid.factors == [1; 3] {
        sheets.evidence = None; // nobody asks, and memory is needed
    }
    let (shape, voxel_size) = (labels.shape(), labels.voxel_size());
    let cells = Cells::new(image, &guide, (grid.image.shape(), voxel_size), params)?;
    drop(guide);
    rename(&mut labels, &cells.names);
    let mut has_core = vec![false; cells.evidence.len() + 1];
    mark_cores(&labels, &whole(shape), &mut has_core);
    let labels = grid.enlarge(labels, sheets, &has_core)?;
    let threshold = Threshold { level: params.parting, tried: Vec::new() };
    Ok(Segmentation { labels: Labels::new(labels), evidence: Some(cells.evidence), threshold })
}

/// What its regions and their faces are.
fn image_of(labels: &Volume<u32>, n_regions: usize, sheets: &Sheets, width_um: f64) -> Image {
    let all = Part::whole(labels.shape());
    let mut seams = Seams::default();
    seams.add(labels, sheets, &all.core);
    let mut counts = Counts::new(n_regions, labels.voxel_size());
    counts.add(labels, &sheets.evidence, &all, labels.shape());
    Image { graph: seams.graph(n_regions), pieces: counts.pieces(), width_um }
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

/// The widths at which sheets may be looked for, narrowest first, in an image of merged voxels.
pub(crate) fn widths_um(params: &Auto, voxel_size: VoxelSize) -> [f64; 4] {
    let side_um = voxel_size.um().into_iter().fold(f64::INFINITY, f64::min);
    let least_um = params.membrane_um.max(1.1 * side_um);
    [1.0, 1.5, 2.2, 3.2].map(|factor| factor * least_um)
}

/// Tiles in which the strength of sheets is looked at.
pub(crate) fn width_cut(scale: SheetScale, voxel_size: VoxelSize) -> Cut {
    Cut { reach: SheetFilter::reach(scale, voxel_size), step: [WIDTH_STEP; 3] }
}

/// The image in which sheets are looked for.
struct Grid<'a, T> {
    image: Shrunken<'a, T>,
    /// How wide the image shows its sheets.
    width_um: f64,
}

impl<'a, T: Copy + Into<f32> + Send + Sync> Grid<'a, T> {
    /// After a look at parameters and values.
    fn of(membrane: &'a Volume<T>, params: &Auto) -> Result<Self> {
        params.check()?;
        finite_range(membrane)?;
        let image = Shrunken::new(membrane, factors_up_to(membrane, params.membrane_um))?;
        let (shape, voxel_size) = image.grid();
        let n_voxels = shape.iter().product();
        let widths_um = widths_um(params, voxel_size);
        let over_noise = widths_um.map(|width_um| {
            let scale = SheetScale::for_width(width_um);
            let mut strength = Strength::default();
            for tile in width_cut(scale, voxel_size).small_tiles(shape) {
                let core = tile.part().core;
                image.with(&tile, |part| strength.add(part, &core, scale, WIDTH_STEP))?;
            }
            Ok(strength.over_noise(n_voxels, noise_gain(voxel_size, scale)?))
        });
        let over_noise = over_noise.into_iter().collect::<Result<Vec<_>>>()?;
        Ok(Self { width_um: choose_width(&widths_um, &over_noise), image })
    }

    /// The image of other merged voxels.
    fn image_with(self, membrane: &'a Volume<T>, factors: [usize; 3]) -> Result<Shrunken<'a, T>> {
        if self.image.factors() == factors {
            return Ok(self.image);
        }
        drop(self.image);
        Shrunken::new(membrane, factors)
    }
}

/// The evidence for sheets, as a share of what is usual nearby; `range` is that of the image.
fn sheets<T>(image: &Shrunken<'_, T>, scale: SheetScale, range: (f32, f32)) -> Result<Sheets>
where
    T: Copy + Into<f32> + Sync,
{
    let (shape, voxel_size) = image.grid();
    let factors = usual_factors((shape, voxel_size), scale);
    let unit = range.1 - range.0;
    let coarse = [0, 1, 2].map(|axis| shape[axis].div_ceil(factors[axis]));
    let mut sheets = Sheets {
        evidence: Volume::new(Array3::default(shape), voxel_size)?,
        directions: Volume::new(Array3::default(shape), voxel_size)?,
    };
    let mut roughness = Volume::new(Array3::zeros(coarse), coarse_size(voxel_size, factors)?)?;
    let cut = Cut { reach: SheetFilter::reach(scale, voxel_size), step: factors };
    for tile in cut.small_tiles(shape) {
        let core = tile.part().core;
        let raw = image.with(&tile, |part| RawSheets::new(part, &core, scale, unit, factors))?;
        put(&mut sheets.evidence, tile.from(), &raw.sheets.evidence);
        put(&mut sheets.directions, tile.from(), &raw.sheets.directions);
        put(&mut roughness, over(tile.from(), factors), &raw.roughness);
    }
    let sums = CoarseSums::new(&sheets.evidence, factors, Evidence::value)?;
    let usual = usual_evidence(&sums, &roughness, voxel_size, scale)?;
    even_out(&mut sheets.evidence, [0; 3], &Enlarged::new(&usual, factors));
    Ok(sheets)
}

/// How many voxels become one of the grid on which it is found out what evidence is usual.
pub(crate) fn usual_factors(grid: ([usize; 3], VoxelSize), scale: SheetScale) -> [usize; 3] {
    coarse_factors(grid, usual_um(scale))
}

fn usual_um(scale: SheetScale) -> f64 {
    20.0 * scale.fine_um
}

/// What evidence is divided by.
pub(crate) fn usual_evidence(
    sums: &CoarseSums,
    roughness: &Volume<f32>,
    voxel_size: VoxelSize,
    scale: SheetScale,
) -> Result<Volume<f32>> {
    usual(sums, roughness, noise_gain(voxel_size, scale)?, usual_um(scale))
}

/// Divides the evidence in a part of an image, which begins at voxel `from`, by what is usual.
pub(crate) fn even_out(evidence: &mut Volume<Evidence>, from: [usize; 3], usual: &Enlarged<'_>) {
    divide(evidence, from, usual, |value, usual| Evidence::new(value.value() / usual));
}

/// The cells among the merged regions.
pub(crate) struct Cells {
    pub(crate) evidence: Vec<CellEvidence>,
    /// The cell `1..=n` of each region, or 0: first 0, then those of the regions `1..`.
    pub(crate) names: Vec<u32>,
}

impl Cells {
    /// Joins regions, then crumbs; what is left is a cell or background.
    ///
    /// # Errors
    /// [`SegmentError::NoCells`] in an image of some shape.
    pub(crate) fn new(
        regions: Image,
        guide: &Guide<'_>,
        grid: ([usize; 3], VoxelSize),
        params: &Auto,
    ) -> Result<Self> {
        let joining = Joining::shipped()?;
        let (image, sure) = regions.coarser(NOTHING, guide);
        let (n_regions, width_um) = (regions.graph.n_regions(), image.width_um);
        drop(regions); // memory is needed
        tracing::debug!(n_regions, n_pieces = sure.n_groups(), width_um, "over-segmented");
        let guide = &guide.grouped(&sure.groups, sure.n_groups());
        let graph = &image.graph;
        let assumed = image.assumed();
        let least_um3 = params.min_volume_um3.max(100.0 * grid.1.volume_um3());
        let (merged, usual_um3) = partition(&joining, &image, guide, least_um3, params);
        let joined = graph.grouped(&merged.groups, merged.n_groups());
        let first = Extent::new(&merged, &image.pieces, &joined);
        let nuclei = guide.grouped(&merged.groups, merged.n_groups());
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
        let extent = Extent::new(&merged, &image.pieces, &joined);
        let nuclei = guide.grouped(&merged.groups, merged.n_groups());
        let seen = evidence_of(graph, &merged, &joined, &nuclei, assumed);
        let doubts = joining.doubts(&image, usual_um3, &merged.groups, &joined);
        let mut is_cell: Vec<bool> = (0..merged.n_groups())
            .map(|group| {
                extent.volume_um3[group] >= least_um3 && !extent.is_background(group, usual_um3)
            })
            .collect();
        let around: Vec<f64> = seen.iter().map(|seen| seen.around).collect();
        open_hollows(&mut is_cell, &around, &joined, |group| nuclei.has_nucleus(group));
        let mut evidence = Vec::new();
        let cell: Vec<u32> = (0..merged.n_groups())
            .map(|group| {
                if !is_cell[group] {
                    return 0;
                }
                evidence.push(CellEvidence {
                    most_joined: doubts[group].most_joined,
                    least_parted: doubts[group].least_parted,
                    relative_volume: extent.volume_um3[group] / usual_um3,
                    border_share: extent.border_share(group),
                    ..seen[group]
                });
                evidence.len() as u32
            })
            .collect();
        if evidence.is_empty() {
            let min_volume_um3 = params.min_volume_um3;
            return Err(SegmentError::NoCells { shape: grid.0, min_volume_um3 });
        }
        let names = std::iter::once(0)
            .chain(sure.then(&merged).groups.iter().map(|&group| cell[group as usize]))
            .collect();
        Ok(Self { evidence, names })
    }
}

/// Which regions are one, and the usual volume of a cell, which is at least `least_um3`.
fn partition(
    joining: &Joining,
    image: &Image,
    guide: &Guide<'_>,
    least_um3: f64,
    params: &Auto,
) -> (Merged, f64) {
    let (graph, assumed) = (&image.graph, image.assumed());
    let merged = match params.partition {
        // How large cells are is known once regions have been joined somehow.
        Partition::Learned | Partition::Average => {
            merge_guided(graph, params.parting, assumed, guide)
        }
        Partition::Multicut => multicut_guided(graph, params.parting, assumed, guide),
    };
    let usual_um3 = usual_um3(&merged, image, guide, least_um3);
    if params.partition != Partition::Learned || guide.has_any() {
        return (merged, usual_um3);
    }
    drop(merged); // memory is needed
    let usual_um3 = joining.usual_um3(image, usual_um3, least_um3);
    (joining.merge(image, usual_um3), usual_um3)
}

/// The usual volume of groups of regions.
pub(crate) fn usual_um3(merged: &Merged, image: &Image, guide: &Guide<'_>, least_um3: f64) -> f64 {
    let joined = image.graph.grouped(&merged.groups, merged.n_groups());
    let extent = Extent::new(merged, &image.pieces, &joined);
    let nuclei = guide.grouped(&merged.groups, merged.n_groups());
    nuclei.usual(&extent.volume_um3).unwrap_or_else(|| extent.usual_um3(least_um3))
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
            inside: inside[group].evidence() / inside[group].area_um2().max(assumed.area_um2()),
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
    /// From regions, and the graph of the groups.
    fn new(merged: &Merged, pieces: &[Piece], joined: &RegionGraph) -> Self {
        let sum = |of: fn(&Piece) -> f64| {
            let mut sums = vec![0.0; merged.n_groups()];
            let regions = merged.groups.iter().zip(pieces);
            regions.for_each(|(&group, piece)| sums[group as usize] += of(piece));
            sums
        };
        let border_um2 = sum(|piece| f64::from(piece.border_um2));
        let mut surface_um2 = border_um2.clone();
        for (a, b, face) in joined.faces() {
            surface_um2[a as usize] += face.area_um2();
            surface_um2[b as usize] += face.area_um2();
        }
        Self { volume_um3: sum(|piece| piece.volume_um3), border_um2, surface_um2 }
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
        volume > OUTSIDE * usual_um3
            || (volume > 4.0 * usual_um3 && self.border_share(group) > 0.35)
    }
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
