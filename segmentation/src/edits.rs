//! Corrections of a segmentation: what the [`Edit`]s of a log do to labels.
//!
//! Edits are made one after another, each on what the ones before it left. Cells that no edit names
//! keep their voxels and their numbers; a number that was taken away is not given again.

use std::collections::BTreeSet;
use std::ops::Range;

use nalgebra::Point3;
use ndarray::{Axis, Ix3, SliceInfo, SliceInfoElem, Zip, s};
use primordia_data::{CellName, Edit, Labels, Volume};
use rayon::prelude::*;
use thiserror::Error;

use crate::error::{Result, SegmentError};
use crate::share::{MARGIN_UM, share_out};

/// Labels after all edits.
#[derive(Clone, Debug, PartialEq)]
pub struct Edited {
    /// The cells.
    pub labels: Labels,
    /// The cells that are not what they were, ascending: their voxels or their number changed.
    pub changed: Vec<u32>,
}

/// What is wrong with one edit: what was found, what was wanted, what to do.
#[derive(Debug, Error)]
#[non_exhaustive]
#[allow(missing_docs)] // the messages are the documentation
pub enum EditProblem {
    #[error(
        "there is no cell {label} (any more); name a cell that is there, by its number or by a point inside it"
    )]
    NoSuchCell { label: u32 },
    #[error("there is no cell at {}, only background; name a point inside a cell", point(.at_um))]
    Background { at_um: [f64; 3] },
    #[error(
        "{} lies outside of the image, which ends at {}; points are x, y, z in µm from the centre of the first voxel",
        point(.at_um), point(.end_um)
    )]
    Outside { at_um: [f64; 3], end_um: [f64; 3] },
    #[error("{first} and {second} are one cell, {label}; name each cell once")]
    SameCell { first: String, second: String, label: u32 },
    #[error("the seed at {} lies {}, not in {}; move it inside", point(.at_um), place(*.found), cells(.wanted))]
    SeedElsewhere { at_um: [f64; 3], found: u32, wanted: Vec<u32> },
    #[error("the seeds at {} and {} lie in one voxel; each part needs a seed of its own", point(.first_um), point(.second_um))]
    SeedsMeet { first_um: [f64; 3], second_um: [f64; 3] },
    #[error("{wanted} {of} or more wanted, got {found}")]
    TooFew { of: &'static str, found: usize, wanted: usize },
    #[error("there is a cell {label} already; choose another number, or merge the two")]
    Taken { label: u32 },
    #[error("no number is left for a new cell: {} is taken; give small numbers", u32::MAX)]
    NoNumberLeft,
    #[error(transparent)]
    Sharing(Box<SegmentError>),
}

impl From<SegmentError> for EditProblem {
    fn from(error: SegmentError) -> Self {
        Self::Sharing(Box::new(error))
    }
}

fn point([x, y, z]: &[f64; 3]) -> String {
    format!("x, y, z = {x:.2}, {y:.2}, {z:.2} µm")
}

fn place(label: u32) -> String {
    if label == 0 { "in the background".to_owned() } else { format!("in cell {label}") }
}

fn cells(labels: &[u32]) -> String {
    match labels {
        [label] => format!("cell {label}"),
        labels => {
            let labels: Vec<String> = labels.iter().map(ToString::to_string).collect();
            format!("any of the cells {}", labels.join(", "))
        }
    }
}

/// Makes `edits` in their order, each on what the ones before it left.
///
/// A split cell, and the room of redrawn ones, is shared out among the seeds: each voxel goes to the
/// seed with the shortest way to it inside the room. With `membrane` (bright on membranes, on the grid
/// of `labels`) a way through a membrane counts as up to 31 times longer, so that parts meet there.
///
/// - split: the first seed's part keeps the cell's number, the others get new ones;
/// - merge: the whole has the number of the first cell;
/// - delete: the cells become background;
/// - relabel: the cell gets a number that no other cell has;
/// - redraw: of the seeds that lie in one of the cells, the first keeps its number, all others get
///   new ones.
///
/// New numbers follow the largest that there ever was, in the order of the seeds.
///
/// # Errors
/// [`SegmentError::Edit`] with the number of the edit, from 1, and the [`EditProblem`];
/// [`SegmentError::Data`] if `membrane` lies on another grid, [`SegmentError::NotFinite`] if it does
/// not hold finite numbers.
///
/// # Example
/// ```
/// # use {ndarray::Array3, primordia_data::*, primordia_segmentation::edits::apply_edits};
/// let voxel_size = VoxelSize::from_um([0.5; 3])?;
/// let labels = Labels::from_voxels(Array3::from_elem((1, 2, 8), 3), voxel_size)?;
/// let log = EditLog::from_text("action,cells,seeds_um\nsplit,3,0 0 0; 3.5 0 0", "edits.csv")?;
/// let edited = apply_edits(labels, &log.edits, None)?;
/// assert_eq!(edited.labels.volume().as_slice()[..8], [3, 3, 3, 3, 4, 4, 4, 4]);
/// assert_eq!(edited.changed, [3, 4]);
/// # Ok::<_, Box<dyn std::error::Error>>(())
/// ```
pub fn apply_edits(
    labels: Labels,
    edits: &[Edit],
    membrane: Option<&Volume<f32>>,
) -> Result<Edited> {
    if let Some(membrane) = membrane {
        labels.volume().check_same_grid(membrane)?;
        let count = membrane.as_slice().par_iter().filter(|value| !value.is_finite()).count();
        if count > 0 {
            return Err(SegmentError::NotFinite { count, voxels: membrane.n_voxels() });
        }
    }
    let cells: BTreeSet<u32> = labels.cells().iter().copied().collect();
    let largest = cells.last().copied().unwrap_or(0);
    let mut desk =
        Desk { volume: labels.into_volume(), cells, largest, changed: BTreeSet::new(), membrane };
    for (index, edit) in edits.iter().enumerate() {
        let (number, action) = (index + 1, edit.action());
        desk.make(edit).map_err(|problem| SegmentError::Edit {
            number,
            action,
            problem: Box::new(problem),
        })?;
    }
    let changed = desk.changed.intersection(&desk.cells).copied().collect();
    Ok(Edited { labels: Labels::new(desk.volume), changed })
}

/// Labels that are being edited.
struct Desk<'m> {
    volume: Volume<u32>,
    cells: BTreeSet<u32>,
    largest: u32, // number that there ever was
    changed: BTreeSet<u32>,
    membrane: Option<&'m Volume<f32>>,
}

impl Desk<'_> {
    fn make(&mut self, edit: &Edit) -> Result<(), EditProblem> {
        let cells = self.named(edit.cells())?;
        match edit {
            Edit::Split { seeds_um, .. } => {
                at_least(2, "seeds", seeds_um.len())?;
                self.redraw(&cells, seeds_um)
            }
            Edit::Redraw { seeds_um, .. } => {
                at_least(1, "cells", cells.len())?;
                at_least(1, "seeds", seeds_um.len())?;
                self.redraw(&cells, seeds_um)
            }
            Edit::Merge { .. } => {
                at_least(2, "cells", cells.len())?;
                self.rename(&cells[1..], cells[0]);
                self.changed.insert(cells[0]);
                Ok(())
            }
            Edit::Delete { .. } => {
                at_least(1, "cells", cells.len())?;
                self.rename(&cells, 0);
                Ok(())
            }
            Edit::Relabel { label, .. } if self.cells.contains(label) => {
                Err(EditProblem::Taken { label: *label })
            }
            Edit::Relabel { label, .. } => {
                self.rename(&cells, *label);
                self.add(*label);
                Ok(())
            }
        }
    }

    /// The labels of the cells that are meant, each once.
    fn named(&self, names: &[CellName]) -> Result<Vec<u32>, EditProblem> {
        let mut labels = Vec::new();
        for name in names {
            let label = self.label_of(name)?;
            if let Some(first) = labels.iter().position(|&other| other == label) {
                let (first, second) = (names[first].to_string(), name.to_string());
                return Err(EditProblem::SameCell { first, second, label });
            }
            labels.push(label);
        }
        Ok(labels)
    }

    fn label_of(&self, name: &CellName) -> Result<u32, EditProblem> {
        match name {
            &CellName::Label(label) if self.cells.contains(&label) => Ok(label),
            &CellName::Label(label) => Err(EditProblem::NoSuchCell { label }),
            CellName::Inside(point) => match self.label_at(self.voxel_at(point)?) {
                0 => Err(EditProblem::Background { at_um: [point.x, point.y, point.z] }),
                label => Ok(label),
            },
        }
    }

    /// The voxel `[z, y, x]` that holds a point.
    fn voxel_at(&self, point: &Point3<f64>) -> Result<[usize; 3], EditProblem> {
        let shape = self.volume.shape();
        let nearest = self.volume.position_voxels(point).map(f64::round);
        if (0..3).all(|axis| nearest[axis] >= 0.0 && nearest[axis] < shape[axis] as f64) {
            return Ok(nearest.map(|at| at as usize));
        }
        let end = self.volume.point_um(shape.map(|n| n - 1));
        let (at_um, end_um) = ([point.x, point.y, point.z], [end.x, end.y, end.z]);
        Err(EditProblem::Outside { at_um, end_um })
    }

    fn label_at(&self, voxel: [usize; 3]) -> u32 {
        self.volume.voxels()[voxel]
    }

    /// Gives all voxels of some cells the label `to`.
    fn rename(&mut self, cells: &[u32], to: u32) {
        let rename = |label: &mut u32| {
            if cells.contains(label) {
                *label = to;
            }
        };
        if let Some(voxels) = self.volume.voxels_mut().as_slice_mut() {
            voxels.par_iter_mut().for_each(rename);
        }
        self.cells.retain(|cell| !cells.contains(cell));
    }

    fn add(&mut self, label: u32) {
        self.cells.insert(label);
        self.changed.insert(label);
        self.largest = self.largest.max(label);
    }

    /// Shares out the room of `cells` among seeds.
    fn redraw(&mut self, cells: &[u32], seeds_um: &[Point3<f64>]) -> Result<(), EditProblem> {
        let seeds = self.seeds_in(cells, seeds_um)?;
        let numbers = self.numbers_for(cells, &seeds)?;
        let room = self.room_of(cells);
        let seeds: Vec<_> = seeds.into_iter().map(|seed| room.here(seed)).collect();
        let inside = room.cut(&self.volume, |label| cells.contains(label))?;
        let membrane = self.membrane.map(|membrane| room.cut(membrane, |&value| value));
        let parts = share_out(&inside, &seeds, membrane.transpose()?.as_ref())?;
        let mut voxels = self.volume.voxels_mut();
        let mut voxels = voxels.slice_mut(room.slices());
        Zip::from(&mut voxels).and(parts.voxels()).for_each(|label, &part| {
            if part > 0 {
                *label = numbers[part as usize - 1];
            }
        });
        self.cells.retain(|cell| !cells.contains(cell));
        numbers.into_iter().for_each(|number| self.add(number));
        Ok(())
    }

    /// The voxel of each seed: in one of `cells`, and its own.
    fn seeds_in(
        &self,
        cells: &[u32],
        seeds_um: &[Point3<f64>],
    ) -> Result<Vec<[usize; 3]>, EditProblem> {
        let um = |point: &Point3<f64>| [point.x, point.y, point.z];
        let mut seeds = Vec::new();
        for point in seeds_um {
            let seed = self.voxel_at(point)?;
            let found = self.label_at(seed);
            if !cells.contains(&found) {
                let (at_um, wanted) = (um(point), cells.to_vec());
                return Err(EditProblem::SeedElsewhere { at_um, found, wanted });
            }
            if let Some(first) = seeds.iter().position(|&other| other == seed) {
                let (first_um, second_um) = (um(&seeds_um[first]), um(point));
                return Err(EditProblem::SeedsMeet { first_um, second_um });
            }
            seeds.push(seed);
        }
        Ok(seeds)
    }

    /// The number of each seed's part: that of the cell that it is the first to lie in, or a new one.
    fn numbers_for(&self, cells: &[u32], seeds: &[[usize; 3]]) -> Result<Vec<u32>, EditProblem> {
        let mut free: BTreeSet<u32> = cells.iter().copied().collect();
        let mut largest = self.largest;
        let mut number = |seed: &[usize; 3]| {
            let cell = self.label_at(*seed);
            if free.remove(&cell) {
                return Ok(cell);
            }
            largest = largest.checked_add(1).ok_or(EditProblem::NoNumberLeft)?;
            Ok(largest)
        };
        seeds.iter().map(&mut number).collect()
    }

    /// The box around some cells, with a margin in which their membranes are seen whole.
    fn room_of(&self, cells: &[u32]) -> Room {
        let voxels = self.volume.voxels();
        let planes = voxels.axis_iter(Axis(0)).into_par_iter().enumerate();
        let extents = planes.filter_map(|(z, plane)| {
            let named = plane.indexed_iter().filter(|(_, label)| cells.contains(label));
            named.map(|((y, x), _)| ([z, y, x], [z, y, x])).reduce(around)
        });
        let (first, last) = extents.reduce_with(around).unwrap_or_default();
        let (shape, sides_um) = (self.volume.shape(), self.volume.voxel_size().um());
        let margin = sides_um.map(|side_um| (MARGIN_UM / side_um).ceil() as usize);
        Room(std::array::from_fn(|axis| {
            let end = last[axis].saturating_add(margin[axis]).saturating_add(1);
            first[axis].saturating_sub(margin[axis])..end.min(shape[axis])
        }))
    }
}

/// The box around two boxes, each from its first to its last voxel.
fn around(a: Extent, b: Extent) -> Extent {
    let axes = |f: fn(usize, usize) -> usize, a: [usize; 3], b: [usize; 3]| {
        std::array::from_fn(|axis| f(a[axis], b[axis]))
    };
    (axes(usize::min, a.0, b.0), axes(usize::max, a.1, b.1))
}

type Extent = ([usize; 3], [usize; 3]);

/// A box of voxels.
struct Room([Range<usize>; 3]);

impl Room {
    fn slices(&self) -> SliceInfo<[SliceInfoElem; 3], Ix3, Ix3> {
        let [z, y, x] = self.0.clone();
        s![z, y, x]
    }

    fn cut<T, U: Clone>(&self, volume: &Volume<T>, f: impl FnMut(&T) -> U) -> Result<Volume<U>> {
        let voxels = volume.voxels().slice(self.slices()).map(f);
        Ok(Volume::new(voxels, volume.voxel_size())?)
    }

    /// A voxel of the image as one of the box.
    fn here(&self, voxel: [usize; 3]) -> [usize; 3] {
        std::array::from_fn(|axis| voxel[axis] - self.0[axis].start)
    }
}

fn at_least(wanted: usize, of: &'static str, found: usize) -> Result<(), EditProblem> {
    if found >= wanted { Ok(()) } else { Err(EditProblem::TooFew { of, found, wanted }) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::score::best_ious;
    use crate::testing::{centres, on_threads, sized_volume};
    use ndarray::Array3;
    use primordia_data::phantom::{self, Optics, Phantom, PhantomParams, TissueParams};
    use primordia_data::{EditLog, VoxelSize};

    /// Where two cells meet lies within their membrane, which is a few voxels wide.
    const SAME_CELL: f64 = 0.95;

    /// Cells 2, 5 and 9 side by side, each 4 µm long, 8 voxels; then background.
    fn row_of_cells() -> Labels {
        let voxels = Array3::from_shape_fn((2, 4, 32), |(_, _, x)| [2, 5, 9, 0][x / 8]);
        Labels::from_voxels(voxels, VoxelSize::from_um([0.5; 3]).unwrap()).unwrap()
    }

    /// Edits as the lines of a CSV log.
    fn log(lines: &str) -> Vec<Edit> {
        let text = format!("action,cells,seeds_um,label\n{lines}");
        EditLog::from_text(&text, "edits.csv").unwrap_or_else(|error| panic!("{error}")).edits
    }

    fn edited(lines: &str) -> Edited {
        apply_edits(row_of_cells(), &log(lines), None).unwrap()
    }

    /// The labels of the first voxels of each micrometre.
    fn along_x(edited: &Edited) -> Vec<u32> {
        edited.labels.volume().as_slice()[..32].iter().copied().step_by(2).collect()
    }

    #[test]
    fn each_edit_does_what_it_says() {
        let split = edited("split,5,4.5 0 0; 7 0 0,");
        assert_eq!(along_x(&split), [2, 2, 2, 2, 5, 5, 10, 10, 9, 9, 9, 9, 0, 0, 0, 0]);
        assert_eq!((split.labels.cells(), &*split.changed), (&[2, 5, 9, 10][..], &[5, 10][..]));

        let merged = edited("merge,9; 5 1 0.5,,");
        assert_eq!(along_x(&merged), [2, 2, 2, 2, 9, 9, 9, 9, 9, 9, 9, 9, 0, 0, 0, 0]);
        assert_eq!(merged.changed, [9]);

        let deleted = edited("delete,2; 9,,");
        assert_eq!((deleted.labels.cells(), deleted.changed), (&[5][..], vec![]));

        let relabelled = edited("relabel,5,,70");
        assert_eq!((relabelled.labels.cells(), &*relabelled.changed), (&[2, 9, 70][..], &[70][..]));

        // One seed in cell 5, two in cell 9: of these the first keeps the number. Half-way is x = 7, which
        // goes to the seed named first, and x = 10.25.
        let redrawn = edited("redraw,5; 9,11.5 0 0; 9 0 0; 5 0 0,");
        assert_eq!(along_x(&redrawn), [2, 2, 2, 2, 5, 5, 5, 10, 10, 10, 10, 9, 0, 0, 0, 0]);
        assert_eq!(redrawn.changed, [5, 9, 10]);
    }

    #[test]
    fn edits_are_made_in_their_order() {
        let one = edited("merge,2; 5,,\nsplit,2,0 0 0; 7 0 0,\nrelabel,10,,3");
        assert_eq!(along_x(&one)[..9], [2, 2, 2, 2, 3, 3, 3, 3, 9]);
        // The number 10 was given by the split, so it is not there before.
        let early = log("relabel,10,,3\nsplit,2,0 0 0; 3 0 0,");
        let message = apply_edits(row_of_cells(), &early, None).unwrap_err().to_string();
        assert!(message.starts_with("edit 1 (relabel): there is no cell 10"), "{message}");
    }

    #[test]
    fn a_number_that_was_taken_away_is_not_given_again() {
        let edited = edited("delete,9,,\nsplit,2,0 0 0; 3 0 0,");
        assert_eq!(edited.labels.cells(), [2, 5, 10]);
    }

    #[test]
    fn no_edits_change_nothing() {
        let edited = edited("");
        assert_eq!((edited.labels, edited.changed), (row_of_cells(), vec![]));
    }

    #[test]
    fn cells_that_no_edit_names_keep_their_voxels() {
        let edited = edited("split,2,0 0 0; 3 0 0,\nmerge,2; 10,,\ndelete,2,,");
        let before = row_of_cells();
        for (&old, &new) in before.volume().as_slice().iter().zip(edited.labels.volume().as_slice())
        {
            assert_eq!(new, if old == 2 { 0 } else { old });
        }
    }

    #[test]
    fn every_mistake_says_which_edit_what_was_found_and_what_to_do() {
        for (lines, says) in [
            ("delete,2,,\ndelete,2,,", &["edit 2 (delete)", "no cell 2"][..]),
            ("delete,14 0 0,,", &["no cell at x, y, z = 14.00", "background"]),
            ("delete,0 0 1.5,,", &["outside", "15.50, 1.50, 0.50"]),
            ("delete,-1 0 0,,", &["outside"]),
            ("merge,5; 2; 4.5 1 0,,", &["5 and 4.5,1,0 are one cell, 5", "once"]),
            ("merge,5,,", &["2 cells or more wanted, got 1"]),
            ("split,5,4.5 0 0,", &["2 seeds or more wanted, got 1"]),
            (
                "split,5,4.5 0 0; 1 0 0,",
                &["seed at x, y, z = 1.00", "in cell 2, not in cell 5", "move"],
            ),
            ("redraw,5; 9,14 0 0,", &["in the background, not in any of the cells 5, 9"]),
            ("split,5,4.5 0 0; 4.6 0 0,", &["one voxel"]),
            ("relabel,5,,9", &["already", "merge"]),
            ("relabel,5,,4294967295\nsplit,9,9 0 0; 11 0 0,", &["edit 2", "no number is left"]),
        ] {
            let message = apply_edits(row_of_cells(), &log(lines), None).unwrap_err().to_string();
            for part in says {
                assert!(message.contains(part), "{lines}: {message}");
            }
        }
        let elsewhere = sized_volume([1, 1, 2], vec![0.0; 2], [1.0; 3]);
        assert!(matches!(
            apply_edits(row_of_cells(), &[], Some(&elsewhere)),
            Err(SegmentError::Data(_))
        ));
        let nan = row_of_cells().volume().map(|_| f32::NAN);
        let result = apply_edits(row_of_cells(), &[], Some(&nan));
        assert!(matches!(result, Err(SegmentError::NotFinite { count: 256, .. })));
    }

    fn tissue(optics: fn(VoxelSize) -> Optics) -> Phantom {
        let voxel_size = VoxelSize::from_um([0.6, 0.3, 0.3]).unwrap();
        let tissue = TissueParams { n_cells: 20, ..TissueParams::default() };
        let params =
            PhantomParams { tissue, optics: optics(voxel_size), ..PhantomParams::default() };
        phantom::specimen(&params, 3).unwrap()
    }

    /// Merges two cells and splits them at their true centres.
    fn merged_and_split(a: u32, b: u32, centres: &[Point3<f64>]) -> Vec<Edit> {
        let names = [CellName::Label(a), CellName::Label(b)];
        let seeds_um = [a, b].map(|label| centres[label as usize - 1]).to_vec();
        vec![Edit::Merge { cells: names.to_vec() }, Edit::Split { cell: names[0], seeds_um }]
    }

    #[test]
    fn two_cells_that_were_one_come_back_when_split_at_their_centres() {
        for optics in [Optics::clean, Optics::dim] {
            let phantom = tissue(optics);
            let membrane = phantom.membrane.map(|&value| f32::from(value));
            let centres = centres(&phantom.truth);
            let pairs = crate::segmentation::touching(phantom.truth.volume());
            for (a, b) in pairs.into_iter().filter(|pair| pair.0 > 0) {
                let edits = merged_and_split(a, b, &centres);
                let edited = apply_edits(phantom.truth.clone(), &edits, Some(&membrane)).unwrap();
                assert_eq!(edited.labels.n_cells(), phantom.truth.n_cells());
                assert_eq!(edited.changed, [a, 21]);
                let ious = best_ious(&edited.labels, &phantom.truth).unwrap();
                let worst = ious.iter().copied().fold(1.0, f64::min);
                assert!(worst >= SAME_CELL, "cells {a} and {b}: IoU {worst:.3}");
            }
        }
    }

    #[test]
    fn one_thread_and_four_edit_alike() {
        let phantom = tissue(Optics::dim);
        let membrane = phantom.membrane.map(|&value| f32::from(value));
        let edits = merged_and_split(3, 4, &centres(&phantom.truth));
        let make = || apply_edits(phantom.truth.clone(), &edits, Some(&membrane)).unwrap();
        assert_eq!(on_threads(1, make), on_threads(4, make));
    }
}
