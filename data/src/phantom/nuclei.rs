//! Nuclei: one in each cell of a specimen, in a channel of their own.

use nalgebra::{Matrix3, Point3, Vector3};
use ndarray::Array3;

use super::random::{Purpose, Waves, normal, stream};
use super::{Optics, Phantom};
use crate::error::Result;
use crate::{Labels, Volume};

/// The nuclei of a specimen.
#[derive(Clone, Debug)]
pub struct Nuclei {
    /// Their image.
    pub image: Volume<u16>,
    /// Where they are, each with the number of its cell.
    pub truth: Labels,
}

/// The image of the nuclei of `phantom` under `optics`, in which a usual nucleus is as bright as a membrane
/// (`peak_counts`): the same voxels on any number of threads.
///
/// A nucleus is an ellipsoid as elongated as its cell, near the cell's middle, of 0.3 of its volume or less: it
/// fills at most 0.7 of the largest such ellipsoid in the cell. Brightness differs between nuclei by a quarter
/// (standard deviation of its logarithm), and by a quarter within them.
///
/// # Errors
/// [`crate::DataError::Parameter`] if `optics` make no sense.
pub fn nuclei(phantom: &Phantom, optics: &Optics, seed: u64) -> Result<Nuclei> {
    optics.check()?;
    let cells = &phantom.truth;
    let grain = Waves::new(12, [1.5, 4.0], &mut stream(seed, Purpose::Nuclei, 0));
    let mut labels = cells.volume().map(|_| 0);
    let mut scene = Array3::zeros(labels.voxels().dim());
    for (&cell, room) in cells.cells().iter().zip(rooms(cells)) {
        let mut rng = stream(seed, Purpose::Nuclei, cell as usize);
        let Some(nucleus) = Nucleus::inside(cell, &room, cells.volume(), &mut rng) else {
            continue;
        };
        let brightness = libm::exp(BETWEEN * normal(&mut rng));
        room.for_each_voxel(|[z, y, x]| {
            let point = cells.volume().point_um([z, y, x]);
            if nucleus.square(&point) < nucleus.radius_square {
                labels.voxels_mut()[[z, y, x]] = cell;
                scene[[z, y, x]] = (brightness * (1.0 + WITHIN * grain.at(&point)).max(0.0)) as f32;
            }
        });
    }
    let image = optics.image(scene, optics.peak_counts, Purpose::NucleiNoise, seed)?;
    Ok(Nuclei { image: Volume::new(image, labels.voxel_size())?, truth: Labels::new(labels) })
}

/// How much brightness differs between nuclei (its logarithm) and within them.
const BETWEEN: f64 = 0.25;
const WITHIN: f64 = 0.25;

/// Where a cell is: its box of voxels, its centroid and the covariance of its points.
struct Room {
    from: [usize; 3],
    to: [usize; 3], // exclusive
    n: f64,
    centroid: Point3<f64>,
    covariance: Matrix3<f64>,
}

impl Room {
    const NONE: Self = Self {
        from: [usize::MAX; 3],
        to: [0; 3],
        n: 0.0,
        centroid: Point3::new(0.0, 0.0, 0.0),
        covariance: Matrix3::new(0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0),
    };

    fn for_each_voxel(&self, mut visit: impl FnMut([usize; 3])) {
        for z in self.from[0]..self.to[0] {
            for y in self.from[1]..self.to[1] {
                (self.from[2]..self.to[2]).for_each(|x| visit([z, y, x]));
            }
        }
    }
}

/// The rooms of all cells, in their order.
fn rooms(cells: &Labels) -> Vec<Room> {
    let (volume, rows) = (cells.volume(), cells.rows());
    let mut rooms: Vec<Room> = cells.cells().iter().map(|_| Room::NONE).collect();
    let own = || {
        let voxels = volume.voxels().indexed_iter();
        voxels.filter_map(|((z, y, x), &label)| Some((rows.row(label)?, [z, y, x])))
    };
    for (row, at) in own() {
        let room = &mut rooms[row];
        room.n += 1.0;
        room.centroid += volume.point_um(at).coords;
        room.from = [0, 1, 2].map(|axis| room.from[axis].min(at[axis]));
        room.to = [0, 1, 2].map(|axis| room.to[axis].max(at[axis] + 1));
    }
    rooms.iter_mut().for_each(|room| room.centroid /= room.n);
    for (row, at) in own() {
        let room = &mut rooms[row];
        let away = volume.point_um(at) - room.centroid;
        room.covariance += away * away.transpose() / room.n;
    }
    rooms
}

/// An ellipsoid: points whose [`Nucleus::square`] is less than that of its radius.
struct Nucleus {
    centre: Point3<f64>,
    inverse: Matrix3<f64>,
    radius_square: f64,
}

impl Nucleus {
    /// The nucleus of a cell; none if the cell is flat.
    fn inside(
        cell: u32,
        room: &Room,
        cells: &Volume<u32>,
        rng: &mut impl rand::Rng,
    ) -> Option<Self> {
        /// A full ellipsoid reaches √5 standard deviations; this one has 0.3 of its volume.
        const MOST: f64 = 5.0 * 0.448;
        /// Of the squared radius at which the first voxel of another cell is met.
        const INSIDE: f64 = 0.79;
        /// Of the cell's standard deviation along each axis.
        const OFF_CENTRE: f64 = 0.2;
        let spread = room.covariance.cholesky()?;
        let off = spread.l() * Vector3::from_fn(|_, _| OFF_CENTRE * normal(rng));
        let centre = room.centroid + off;
        let mut nucleus = Self { centre, inverse: spread.inverse(), radius_square: MOST };
        let mut first_met = f64::INFINITY;
        // A voxel more on each side: the box of the cell ends where the cell does.
        let around = Room {
            from: room.from.map(|at| at.saturating_sub(1)),
            to: [0, 1, 2].map(|axis| (room.to[axis] + 1).min(cells.shape()[axis])),
            ..Room::NONE
        };
        around.for_each_voxel(|at| {
            if cells.voxels()[at] != cell {
                first_met = first_met.min(nucleus.square(&cells.point_um(at)));
            }
        });
        nucleus.radius_square = MOST.min(INSIDE * first_met);
        Some(nucleus)
    }

    /// The squared distance of a point from the centre, in standard deviations of the cell.
    fn square(&self, point: &Point3<f64>) -> f64 {
        let away = point - self.centre;
        away.dot(&(self.inverse * away))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::VoxelSize;
    use crate::phantom::{PhantomParams, TissueParams, specimen};

    fn drawn(optics: &Optics) -> (Phantom, Nuclei) {
        let tissue = TissueParams { n_cells: 20, ..TissueParams::default() };
        let params = PhantomParams { tissue, optics: optics.clone(), ..PhantomParams::default() };
        let phantom = specimen(&params, 4).unwrap();
        let nuclei = nuclei(&phantom, optics, 4).unwrap();
        (phantom, nuclei)
    }

    #[test]
    fn every_cell_has_one_nucleus_inside_it() {
        let (phantom, nuclei) = drawn(&Optics::default());
        assert_eq!(nuclei.truth.cells(), phantom.truth.cells());
        let pairs = nuclei.truth.volume().as_slice().iter().zip(phantom.truth.volume().as_slice());
        let (mut of_nuclei, mut of_cells) = (0, 0);
        for (&nucleus, &cell) in pairs {
            assert!(nucleus == 0 || nucleus == cell);
            of_nuclei += usize::from(nucleus > 0);
            of_cells += usize::from(cell > 0);
        }
        let share = of_nuclei as f64 / of_cells as f64;
        assert!((0.1..0.31).contains(&share), "{share}");
    }

    #[test]
    fn nuclei_are_as_bright_as_membranes_and_the_rest_is_background() {
        /// Means over thousands of voxels; blur dims nuclei towards their surface.
        const BACKGROUND: f64 = 0.6;
        let voxel_size = VoxelSize::from_um([0.5, 0.25, 0.25]).unwrap();
        let optics = Optics { psf_sigma_um: [0.05, 0.05], ..Optics::clean(voxel_size) };
        let (phantom, nuclei) = drawn(&optics);
        let mut sums = [(0.0, 0.0); 2];
        for ((&nucleus, &cell), &counts) in (nuclei.truth.volume().as_slice().iter())
            .zip(phantom.truth.volume().as_slice())
            .zip(nuclei.image.as_slice())
        {
            if nucleus > 0 || cell == 0 {
                let sum = &mut sums[usize::from(nucleus > 0)];
                *sum = (sum.0 + f64::from(counts), sum.1 + 1.0);
            }
        }
        let [outside, inside] = sums.map(|(sum, n)| sum / n);
        assert!((outside - 4.0).abs() < BACKGROUND, "{outside}");
        // The mean of exp of a normal deviate of 0.25 is 1.03; twenty nuclei err by a twentieth.
        assert!((inside / 76.0 - 1.0).abs() < 0.15, "{inside}");
    }

    #[test]
    fn chance_of_nuclei_is_their_own() {
        let (phantom, one) = drawn(&Optics::default());
        let again = nuclei(&phantom, &Optics::default(), 4).unwrap();
        let other = nuclei(&phantom, &Optics::default(), 5).unwrap();
        assert_eq!(one.image, again.image);
        assert_ne!(one.truth, other.truth);
    }
}
