//! Images whose cells are known, and variations of them.

use std::collections::{BTreeMap, BTreeSet};

use primordia_data::{Labels, Volume};
use rand::Rng;
use rand::seq::IndexedRandom;
use rand_chacha::ChaCha8Rng;

use super::groups::Image;
use super::phantoms;
use crate::auto::{Auto, over_segmented};
use crate::cells::usual_um3;
use crate::error::Result;
use crate::guide::Guide;
use crate::merge::{RegionGraph, merge_by_average};
use crate::network::Boundary;
use crate::pieces::Piece;
use crate::resample::middles;

/// An over-segmented image whose cells are known.
#[derive(Clone, Debug)]
pub struct Lesson {
    pub(crate) image: Image,
    /// The usual volume of groups of regions joined by evidence alone.
    pub(crate) usual_um3: f64,
    /// The cell (0 is outside) that most of each region is.
    pub(crate) truth: Vec<u32>,
}

impl Lesson {
    /// Of phantom `index` of all to learn from: as sheets show it, and as the `network` shows it as well.
    ///
    /// # Errors
    /// Those of [`auto_with`](crate::auto_with).
    pub fn of_phantom(index: u64, network: &Boundary) -> Result<[Self; 2]> {
        let (membrane, labels) = phantoms::known(index)?;
        Ok([Self::new(&membrane, &labels, None)?, Self::new(&membrane, &labels, Some(network))?])
    }

    /// From a membrane channel and the labels of its cells (0 is outside), by sheets alone or also by a network.
    ///
    /// # Errors
    /// Those of [`auto`](fn@crate::auto); [`SegmentError::Data`](crate::SegmentError::Data) if the two do not share a grid.
    pub fn new<T>(membrane: &Volume<T>, labels: &Labels, network: Option<&Boundary>) -> Result<Self>
    where
        T: Copy + Into<f32> + Send + Sync,
    {
        membrane.check_same_grid(labels.volume())?;
        let params = Auto::default();
        let (image, regions, factors) = over_segmented(membrane, &params, network)?;
        let mut cells = vec![BTreeMap::<u32, f64>::new(); image.pieces.len()];
        let known = middles(labels.volume(), &regions, factors);
        for (&region, &cell) in regions.as_slice().iter().zip(known.as_slice()) {
            *cells[region as usize - 1].entry(cell).or_default() += 1.0;
        }
        let usual_um3 = usual_by_evidence_um3(&image);
        Ok(Self { image, usual_um3, truth: cells.iter().map(most_of).collect() })
    }
}

impl Lesson {
    /// Another lesson from this one, so that none is learned by heart: only a part of the image, some without outside, or
    /// fewer and larger regions, as images without noise have them.
    pub(crate) fn varied(&self, rng: &mut ChaCha8Rng) -> Self {
        const FEWEST_CELLS: usize = 8;
        let mut lesson = self.clone();
        if rng.random_bool(0.4) {
            let without_outside = rng.random_bool(0.5);
            let within = self.within_a_box(rng);
            let kept: Vec<bool> = (within.iter().zip(&self.truth))
                .map(|(&within, &cell)| within && !(without_outside && cell == 0))
                .collect();
            let cells: BTreeSet<u32> = (kept.iter().zip(&self.truth))
                .filter(|(kept, _)| **kept)
                .map(|(_, &c)| c)
                .collect();
            if cells.len() > FEWEST_CELLS {
                lesson = self.part(&kept);
            }
        }
        if rng.random_bool(0.5) {
            lesson = lesson.coarser(rng.random_range(0.02..0.25));
        }
        lesson.usual_um3 = usual_by_evidence_um3(&lesson.image);
        lesson
    }

    /// Which regions lie in a box around a region of a cell, of some cells along each axis.
    fn within_a_box(&self, rng: &mut ChaCha8Rng) -> Vec<bool> {
        let cell_um = self.usual_um3.cbrt();
        let inside: Vec<usize> = (0..self.truth.len()).filter(|&at| self.truth[at] > 0).collect();
        let Some(&middle) = inside.choose(rng) else { return vec![true; self.truth.len()] };
        let middle_um = self.image.pieces[middle].centre_um;
        let half_um = [0.7..2.0, 1.0..3.5, 1.0..5.0].map(|cells| cell_um * rng.random_range(cells));
        let within = |piece: &Piece| {
            let away_um = piece.centre_um - middle_um;
            (0..3).all(|axis| f64::from(away_um[axis].abs()) < half_um[axis])
        };
        self.image.pieces.iter().map(within).collect()
    }

    /// Some of the regions, as if the image ended where they do.
    fn part(&self, kept: &[bool]) -> Self {
        let mut pieces = self.image.pieces.clone();
        let mut numbers = vec![0; kept.len()];
        let mut n_kept = 0;
        for (number, _) in numbers.iter_mut().zip(kept).filter(|(_, kept)| **kept) {
            *number = n_kept;
            n_kept += 1;
        }
        let mut faces = Vec::new();
        for (a, b, face) in self.image.graph.faces() {
            let [of_a, of_b] = [a, b].map(|side| kept[side as usize]);
            if of_a && of_b {
                faces.push(((numbers[a as usize], numbers[b as usize]), face));
            } else {
                pieces[(if of_a { a } else { b }) as usize].border_um2 += face.area_um2() as f32;
            }
        }
        let of_kept = |at: &usize| kept[*at];
        let all = || (0..kept.len()).filter(of_kept);
        Self {
            image: Image {
                graph: RegionGraph::of_faces(n_kept as usize, faces.into_iter()),
                pieces: all().map(|at| pieces[at]).collect(),
                width_um: self.image.width_um,
            },
            truth: all().map(|at| self.truth[at]).collect(),
            ..self.clone()
        }
    }

    /// The regions after those between which least evidence lies were joined.
    fn coarser(&self, most: f64) -> Self {
        let (image, merged) = self.image.coarser(most, &Guide::default());
        let mut cells = vec![BTreeMap::<u32, f64>::new(); image.pieces.len()];
        let regions = merged.groups.iter().zip(&self.image.pieces).zip(&self.truth);
        for ((&group, piece), &cell) in regions {
            *cells[group as usize].entry(cell).or_default() += piece.volume_um3;
        }
        Self { image, truth: cells.iter().map(most_of).collect(), ..self.clone() }
    }
}

/// The cell of which there is most.
pub(crate) fn most_of(cells: &BTreeMap<u32, f64>) -> u32 {
    cells.iter().max_by(|a, b| a.1.total_cmp(b.1)).map_or(0, |cell| *cell.0)
}

/// The usual volume of groups of regions joined by evidence alone.
fn usual_by_evidence_um3(image: &Image) -> f64 {
    const LEAST_UM3: f64 = 10.0;
    let params = Auto::default();
    let merged = merge_by_average(&image.graph, params.parting, image.assumed());
    usual_um3(&merged, image, &Guide::default(), LEAST_UM3)
}

#[cfg(test)]
mod tests {
    use primordia_data::VoxelSize;
    use primordia_data::phantom::{self, Optics, PhantomParams, TissueParams};
    use rand::SeedableRng;

    use super::*;

    impl Lesson {
        /// A few cells, dim and coarse.
        pub(crate) fn small(seed: u64) -> Self {
            let optics = Optics::very_dim(VoxelSize::from_um([0.8, 0.4, 0.4]).unwrap());
            let tissue = TissueParams { n_cells: 16, ..TissueParams::default() };
            let params = PhantomParams { tissue, optics, ..PhantomParams::default() };
            let phantom = phantom::specimen(&params, seed).unwrap();
            Self::new(&phantom.membrane, &phantom.truth, None).unwrap()
        }

        fn volume_um3(&self) -> f64 {
            self.image.pieces.iter().map(|piece| piece.volume_um3).sum()
        }

        fn face_um2(&self) -> f64 {
            self.image.graph.faces().map(|(_, _, face)| face.area_um2()).sum()
        }
    }

    #[test]
    fn a_part_of_an_image_ends_where_it_was_cut() {
        let whole = Lesson::small(1);
        let mut rng = ChaCha8Rng::seed_from_u64(1);
        let kept = whole.within_a_box(&mut rng);
        let part = whole.part(&kept);
        assert!(part.truth.len() < whole.truth.len());
        assert_eq!(part.truth.len(), part.image.graph.n_regions());
        let border_um2 = |lesson: &Lesson| -> f64 {
            lesson.image.pieces.iter().map(|piece| f64::from(piece.border_um2)).sum()
        };
        let rest = whole.part(&kept.iter().map(|kept| !kept).collect::<Vec<_>>());
        let cut_um2 = whole.face_um2() - part.face_um2() - rest.face_um2();
        let more_um2 = border_um2(&part) + border_um2(&rest) - border_um2(&whole);
        assert!((more_um2 / (2.0 * cut_um2) - 1.0).abs() < 1e-5, "{more_um2}, cut {cut_um2}");
    }

    #[test]
    fn coarser_regions_fill_the_same_image() {
        let lesson = Lesson::small(1);
        let coarser = lesson.coarser(0.2);
        assert!(coarser.truth.len() < lesson.truth.len());
        assert!((coarser.volume_um3() / lesson.volume_um3() - 1.0).abs() < 1e-9);
        assert!(coarser.face_um2() < lesson.face_um2());
    }
}
