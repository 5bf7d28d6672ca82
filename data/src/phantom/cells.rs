//! Where the cells of a tissue are at rest: a relaxed Voronoi tessellation.

use std::collections::BTreeSet;

use nalgebra::{Point3, Vector3};
use rand::Rng;
use rand::seq::IteratorRandom;

use super::TissueParams;
use super::body::Body;
use super::random::{Purpose, Waves, stream};
use crate::error::{DataError, Result};

/// Rounds of relaxation: enough for compact cells, too few for equal ones. Volumes then differ by
/// a quarter to a third, as in the living tissue.
const ROUNDS: usize = 2;

/// The seeds of the Voronoi cells of a tissue at rest.
///
/// Random seeds move to the centres of mass of their cells (Lloyd 1982,
/// doi:10.1109/TIT.1982.1056489); mass is volume in the body, not at rest.
pub(super) fn seeds_at_rest(
    body: &Body,
    tissue: &TissueParams,
    seed: u64,
) -> Result<Vec<Point3<f64>>> {
    const STEP_UM: f64 = 0.9;
    /// A cell of 15 µm³ holds as many.
    const LEAST_PLACES: usize = 20;
    let n_cells = tissue.n_cells;
    let mut rng = stream(seed, Purpose::Seeds, 0);
    let places = body.random_places(STEP_UM, &mut rng);
    if places.len() < LEAST_PLACES * n_cells {
        let (value, wanted) = (n_cells as f64, "few enough to leave each cell 15 µm³");
        return Err(DataError::Parameter { name: "n_cells", value, wanted });
    }
    let places = thinned_towards_tip(places, &mut rng);
    let places = crowded(places, tissue.crowding, seed);
    let mut seeds = spread(&places, n_cells, &mut rng);
    for _ in 0..ROUNDS {
        let mut sums = vec![(Vector3::zeros(), 0.0); seeds.len()];
        for place in &places {
            let (sum, mass) = &mut sums[nearest(place, &seeds)];
            *sum += place.coords;
            *mass += 1.0;
        }
        for (seed, (sum, mass)) in seeds.iter_mut().zip(sums) {
            if mass > 0.0 {
                *seed = Point3::from(sum / mass);
            }
        }
    }
    // Cells are numbered from the tip to the tail.
    seeds.sort_by(|a, b| b.x.total_cmp(&a.x));
    Ok(seeds)
}

/// The seeds of cells, in their order, and how many they are; after them those of a `share` of the cells at the surface, which are
/// missing.
pub(super) fn missing_last(
    seeds: Vec<Point3<f64>>,
    body: &Body,
    share: f64,
    seed: u64,
) -> (Vec<Point3<f64>>, usize) {
    let surface: BTreeSet<usize> =
        body.surface_at_rest().iter().map(|place| nearest(place, &seeds)).collect();
    let n_missing = (share * surface.len() as f64) as usize;
    let mut rng = stream(seed, Purpose::Notches, 0);
    let missing = surface.into_iter().choose_multiple(&mut rng, n_missing);
    let seeds = seeds.into_iter().enumerate();
    let (cells, others): (Vec<_>, Vec<_>) = seeds.partition(|(at, _)| !missing.contains(at));
    let n_cells = cells.len();
    (cells.into_iter().chain(others).map(|(_, seed)| seed).collect(), n_cells)
}

/// Fewer of `places` towards the tip, so that fewer, larger cells stand there.
///
/// In 163 published primordia (idr0079) the logarithm of the volume correlates with the cube of the
/// position along the tissue (−1 to 1) by 0.22 ± 0.14, positive in 154; the mean volume rises by
/// about a fifth from the tail to the front.
fn thinned_towards_tip(places: Vec<Point3<f64>>, rng: &mut impl Rng) -> Vec<Point3<f64>> {
    /// From the tail to the tip, the share of places that stay falls by e to this power.
    const FALL: f64 = 1.2;
    let (tail, tip) =
        places.iter().fold((f64::MAX, f64::MIN), |(l, h), place| (l.min(place.x), h.max(place.x)));
    let stays =
        |place: &Point3<f64>, draw: f64| draw < libm::exp(-FALL * (place.x - tail) / (tip - tail));
    places.into_iter().filter(|place| stays(place, rng.random())).collect()
}

/// Fewer of `places` where a smooth random field says so, in regions of a few cells: there, cells are larger.
fn crowded(places: Vec<Point3<f64>>, crowding: f64, seed: u64) -> Vec<Point3<f64>> {
    const N_WAVES: usize = 8;
    /// Of a tissue of 113 cells of 7 µm.
    const WAVELENGTHS_UM: [f64; 2] = [12.0, 45.0];
    if crowding == 0.0 {
        return places;
    }
    let mut rng = stream(seed, Purpose::Crowding, 0);
    let waves = Waves::new(N_WAVES, WAVELENGTHS_UM, &mut rng);
    let densities: Vec<f64> =
        places.iter().map(|place| libm::exp(crowding * waves.at(place))).collect();
    let densest = densities.iter().copied().fold(0.0, f64::max);
    let places = places.into_iter().zip(densities);
    places
        .filter(|(_, density)| rng.random::<f64>() * densest < *density)
        .map(|(at, _)| at)
        .collect()
}

/// `n` of `places`, each the farthest from all before among a few drawn at random.
fn spread(places: &[Point3<f64>], n: usize, rng: &mut impl Rng) -> Vec<Point3<f64>> {
    const DRAWN: usize = 3;
    let mut chosen: Vec<Point3<f64>> = Vec::with_capacity(n);
    while chosen.len() < n {
        let mut best = (f64::NEG_INFINITY, places[0]);
        for _ in 0..DRAWN {
            let place = places[rng.random_range(0..places.len())];
            let squares = chosen.iter().map(|other| (place - other).norm_squared());
            let apart = squares.fold(f64::INFINITY, f64::min);
            if apart > best.0 {
                best = (apart, place);
            }
        }
        chosen.push(best.1);
    }
    chosen
}

fn nearest(place: &Point3<f64>, seeds: &[Point3<f64>]) -> usize {
    let mut best = (f64::INFINITY, 0);
    for (at, seed) in seeds.iter().enumerate() {
        let square = (place - seed).norm_squared();
        if square < best.0 {
            best = (square, at);
        }
    }
    best.1
}
