//! Regions become cells: those that are one are joined, crumbs go where least parts them, and what is far larger than a
//! cell, a hollow or debris is background.

use primordia_data::VoxelSize;

use crate::auto::{Auto, Partition};
use crate::confidence::{CellEvidence, Unfound};
use crate::error::{Result, SegmentError};
use crate::guide::Guide;
use crate::hollows::open_hollows;
use crate::joining::{Image, Joining, OUTSIDE};
use crate::merge::{Face, Merged, RegionGraph, absorb, merge_guided};
use crate::multicut::multicut_guided;
use crate::pieces::Piece;

/// Cells are at least this share of the usual volume.
const SMALLEST: f64 = 0.1;
/// Of what the border of the image cuts there may be little to see: it counts as so many times larger.
const CUT: f64 = 4.0;
/// What is far brighter than membranes by more than this share of it is no cell, but debris.
const DEBRIS: f64 = 0.5;
/// Beside what is far brighter than membranes, more than this share of a piece is bright.
const BESIDE: f64 = 0.01;
/// Regions with at most so much evidence between them are one piece before anything else is asked: half of them, as a rule.
const NOTHING: f64 = 0.1;

/// The cells among the merged regions.
pub(crate) struct Cells {
    pub(crate) evidence: Vec<CellEvidence>,
    /// The cell `1..=n` of each region, or 0: first 0, then those of the regions `1..`.
    pub(crate) names: Vec<u32>,
    /// The usual volume of a cell.
    pub(crate) usual_um3: f64,
    /// What there is outside of them.
    pub(crate) unfound: Unfound,
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
                let volume_um3 = first.uncut(group) * volume_um3;
                volume_um3 < least_um3 || seen < params.needed(volume_um3 / usual_um3)
            },
        ));
        let joined = graph.grouped(&merged.groups, merged.n_groups());
        let extent = Extent::new(&merged, &image.pieces, &joined);
        let nuclei = guide.grouped(&merged.groups, merged.n_groups());
        let seen = evidence_of(&joined, &nuclei, assumed);
        let doubts = joining.doubts(&image, guide, usual_um3, &merged.groups, &joined);
        let mut is_cell: Vec<bool> = (0..merged.n_groups())
            .map(|group| {
                let volume_um3 = extent.uncut(group) * extent.volume_um3[group];
                volume_um3 >= least_um3 && !extent.is_background(group, usual_um3)
            })
            .collect();
        let around: Vec<f64> = seen.iter().map(|seen| seen.around).collect();
        open_hollows(
            &mut is_cell,
            &around,
            &joined,
            |group| nuclei.has_nucleus(group),
            |group| extent.is_beside_bright(group),
        );
        remove_debris(&mut is_cell, |group| extent.is_debris(group) && !nuclei.has_nucleus(group));
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
                    is_cut: extent.is_cut(group),
                    ..seen[group]
                });
                evidence.len() as u32
            })
            .collect();
        let is_outside: Vec<bool> =
            merged.groups.iter().map(|&group| !is_cell[group as usize]).collect();
        let unfound = Unfound {
            faint_walls: faint_walls(graph, &is_outside, usual_um3),
            glare: extent.glare(&is_cell),
        };
        if evidence.is_empty() {
            let min_volume_um3 = params.min_volume_um3;
            return Err(SegmentError::NoCells { shape: grid.0, min_volume_um3 });
        }
        let names = std::iter::once(0)
            .chain(sure.then(&merged).groups.iter().map(|&group| cell[group as usize]))
            .collect();
        Ok(Self { evidence, names, usual_um3, unfound })
    }
}

/// Takes debris from the cells, unless most of them look like it: what is bright there are cells.
fn remove_debris(is_cell: &mut [bool], is_debris: impl Fn(usize) -> bool) {
    let cells = || (0..is_cell.len()).filter(|&group| is_cell[group]);
    let debris: Vec<usize> = cells().filter(|&group| is_debris(group)).collect();
    if 2 * debris.len() <= cells().count() {
        debris.into_iter().for_each(|group| is_cell[group] = false);
    }
}

/// The area of faint walls between pieces that are outside of all cells, as a share of it and the area of all faces that pieces of
/// cells have: walls as large as those of cells that are stronger than noise, yet parted nothing. Those of skin are strong, and do
/// not count.
fn faint_walls(graph: &RegionGraph, is_outside: &[bool], usual_um3: f64) -> f64 {
    const FAINT: std::ops::Range<f64> = 0.3..0.6;
    const LARGE: f64 = 0.1; // of the side of a cube that is as large as a cell
    let large_um2 = LARGE * usual_um3.cbrt().powi(2);
    let (mut faint_um2, mut of_cells_um2) = (0.0, 0.0);
    for (a, b, face) in graph.faces() {
        if !is_outside[a as usize] || !is_outside[b as usize] {
            of_cells_um2 += face.area_um2();
        } else if FAINT.contains(&face.mean()) && face.area_um2() > large_um2 {
            faint_um2 += face.area_um2();
        }
    }
    faint_um2 / (faint_um2 + of_cells_um2).max(f64::MIN_POSITIVE)
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
    if params.partition != Partition::Learned {
        return (merged, usual_um3);
    }
    drop(merged); // memory is needed
    let usual_um3 = joining.usual_um3(image, guide, usual_um3, least_um3);
    (joining.merge(image, guide, usual_um3), usual_um3)
}

/// The usual volume of groups of regions.
pub(crate) fn usual_um3(merged: &Merged, image: &Image, guide: &Guide<'_>, least_um3: f64) -> f64 {
    let joined = image.graph.grouped(&merged.groups, merged.n_groups());
    let extent = Extent::new(merged, &image.pieces, &joined);
    let nuclei = guide.grouped(&merged.groups, merged.n_groups());
    nuclei.usual(&extent.volume_um3).unwrap_or_else(|| extent.usual_um3(least_um3))
}

/// What the faces of each group say; `joined` is the graph of the groups, `nuclei` which they hold.
fn evidence_of(joined: &RegionGraph, nuclei: &Guide<'_>, assumed: Face) -> Vec<CellEvidence> {
    let n_groups = joined.n_regions();
    let mut around = vec![Face::default(); n_groups];
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
            ..CellEvidence::default()
        })
        .collect()
}

/// How far groups of regions reach.
struct Extent {
    volume_um3: Vec<f64>,
    bright_um3: Vec<f64>,
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
        Self {
            volume_um3: sum(|piece| piece.volume_um3),
            bright_um3: sum(|piece| f64::from(piece.bright_um3)),
            border_um2,
            surface_um2,
        }
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

    /// How many times as large a group counts as it is.
    fn uncut(&self, group: usize) -> f64 {
        if self.is_cut(group) { CUT } else { 1.0 }
    }

    /// Whether the border of the image cuts it.
    fn is_cut(&self, group: usize) -> bool {
        self.border_um2[group] > 0.0
    }

    /// Whether something far brighter than membranes reaches into it, by more than walls that meet.
    fn is_beside_bright(&self, group: usize) -> bool {
        self.bright_um3[group] > BESIDE * self.volume_um3[group]
    }

    /// As [`Unfound::glare`].
    fn glare(&self, is_cell: &[bool]) -> f64 {
        let sum = |of: &[f64], cells: bool| -> f64 {
            let groups = of.iter().zip(is_cell).filter(|(_, is_cell)| **is_cell == cells);
            groups.map(|(um3, _)| um3).sum()
        };
        sum(&self.bright_um3, false) / sum(&self.volume_um3, true).max(f64::MIN_POSITIVE)
    }

    /// Whether most of it is far brighter than membranes.
    fn is_debris(&self, group: usize) -> bool {
        self.bright_um3[group] > DEBRIS * self.volume_um3[group]
    }

    fn border_share(&self, group: usize) -> f64 {
        self.border_um2[group] / self.surface_um2[group].max(f64::MIN_POSITIVE)
    }

    /// Background is much larger than a cell, or larger and mostly bounded by the image itself; or it is all of the image, in
    /// which nothing was seen then.
    fn is_background(&self, group: usize, usual_um3: f64) -> bool {
        let volume = self.volume_um3[group];
        self.volume_um3.len() == 1
            || volume > OUTSIDE * usual_um3
            || (volume > 4.0 * usual_um3 && self.border_share(group) > 0.35)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_bright_is_no_cell_unless_most_are() {
        let left = |n_bright: usize| {
            let mut is_cell = [true, true, true, true, false];
            remove_debris(&mut is_cell, |group| group < n_bright);
            is_cell
        };
        assert_eq!(left(1), [false, true, true, true, false]);
        assert_eq!(left(3), [true, true, true, true, false]);
    }

    #[test]
    fn walls_outside_of_cells_count_if_they_are_faint_and_large() {
        // A cell 0 beside pieces 1 to 4 of the outside; cells of 1000 µm³ have sides of 100 µm².
        let share = |mean: f64, area_um2: f64| {
            let mut graph = RegionGraph::new(5);
            graph.add(0, 1, Face::new(60.0, 60.0));
            graph.add(1, 2, Face::new(mean * area_um2, area_um2));
            graph.add(3, 4, Face::new(mean * area_um2, area_um2));
            faint_walls(&graph, &[false, true, true, true, true], 1000.0)
        };
        assert!((share(0.4, 20.0) - 40.0 / 100.0).abs() < 1e-6);
        assert_eq!(share(0.4, 5.0), 0.0, "too small");
        assert_eq!(share(0.2, 20.0), 0.0, "noise");
        assert_eq!(share(0.9, 20.0), 0.0, "skin");
    }
}
