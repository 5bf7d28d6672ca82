//! What a phantom promises.

use std::collections::BTreeMap;

use approx::assert_relative_eq;

use super::*;
use crate::VoxelSize;

/// Coarse enough to be quick: a cell has some 1300 voxels.
fn quick() -> PhantomParams {
    let voxel_size = VoxelSize::from_um([1.0, 0.5, 0.5]).unwrap();
    PhantomParams { optics: Optics::clean(voxel_size), ..PhantomParams::default() }
}

/// Every voxel of a cell: its label and its place in the tissue.
fn tissue_voxels(phantom: &Phantom) -> Vec<(u32, Point3<f64>)> {
    let volume = phantom.truth.volume();
    let cells = volume.voxels().indexed_iter().filter(|(_, label)| **label > 0);
    cells
        .map(|((z, y, x), &label)| {
            (label, phantom.image_to_tissue.point(&volume.point_um([z, y, x])))
        })
        .collect()
}

/// The least and the most of x, y, z.
fn bounds(voxels: &[(u32, Point3<f64>)]) -> [Vector3<f64>; 2] {
    let start = [Vector3::repeat(f64::MAX), Vector3::repeat(f64::MIN)];
    voxels.iter().fold(start, |[least, most], (_, point)| {
        [least.inf(&point.coords), most.sup(&point.coords)]
    })
}

fn mean(values: impl Iterator<Item = f64> + Clone) -> f64 {
    values.clone().sum::<f64>() / values.count() as f64
}

/// Pearson's r.
fn correlation(a: &[f64], b: &[f64]) -> f64 {
    let (mean_a, mean_b) = (mean(a.iter().copied()), mean(b.iter().copied()));
    let sum = |f: &dyn Fn(f64, f64) -> f64| -> f64 {
        a.iter().zip(b).map(|(a, b)| f(a - mean_a, b - mean_b)).sum()
    };
    sum(&|a, b| a * b) / (sum(&|a, _| a * a) * sum(&|_, b| b * b)).sqrt()
}

fn column(cells: &[PhantomCell], value: impl Fn(&PhantomCell) -> f64) -> Vec<f64> {
    cells.iter().map(value).collect()
}

#[test]
fn a_specimen_is_as_large_as_a_primordium() {
    let phantom = specimen(&quick(), 7).unwrap();
    assert_eq!(phantom.cells.len(), 113);
    let voxels = tissue_voxels(&phantom);
    let [least, most] = bounds(&voxels);
    let extent = most - least;
    assert!((extent.x - 130.0).abs() < 5.0, "130 µm long: {extent}");
    assert!((extent.y - 40.0).abs() < 6.0, "some 40 µm wide: {extent}");
    assert!((extent.z - 20.0).abs() < 2.0, "20 µm high: {extent}");
    // Published cells have 271 ± 96 µm³ (Hartmann et al. 2020, deposit idr0079).
    let volumes = column(&phantom.cells, |cell| cell.volume_um3);
    let mean_um3 = mean(volumes.iter().copied());
    assert!((mean_um3 - 271.0).abs() < 96.0, "{mean_um3} µm³");
    assert!(volumes.iter().all(|volume| (40.0..900.0).contains(volume)), "{volumes:?}");
    let height_um = mean(phantom.cells.iter().map(|cell| cell.height_um));
    assert!((height_um - 10.6).abs() < 4.0, "published cells are 10.6 µm high: {height_um}");
}

#[test]
fn the_tip_is_at_0_and_the_mass_about_the_axis_in_any_pose() {
    /// The tip is an edge that thins to nothing: voxels of 0.9 µm miss its last 2 µm.
    const EDGE_UM: f64 = 2.0;
    for seed in 0..3 {
        let mut params = quick();
        params.optics.voxel_size = VoxelSize::from_um([0.9, 0.9, 0.9]).unwrap();
        params.pose = Pose::any(seed);
        let phantom = specimen(&params, 7).unwrap();
        let voxels = tissue_voxels(&phantom);
        let [least, most] = bounds(&voxels);
        assert_relative_eq!(most.x, 0.0, epsilon = EDGE_UM);
        assert_relative_eq!(least.x, -128.5, epsilon = 3.0);
        let middle = voxels.iter().fold(Vector3::zeros(), |sum, (_, point)| sum + point.coords);
        let middle = middle / voxels.len() as f64;
        assert_relative_eq!(middle.y, 0.0, epsilon = 0.3);
        assert_relative_eq!(middle.z, 0.0, epsilon = 0.3);
        assert!(phantom.rosettes.points().iter().all(|apex| apex.z > 5.0), "apical is up");
        assert_relative_eq!(most.z - least.z, 20.0, epsilon = 2.0);
    }
}

#[test]
fn the_leading_end_is_the_thinner_one() {
    let voxels = tissue_voxels(&specimen(&quick(), 3).unwrap());
    let within = |from: f64, to: f64| {
        voxels.iter().filter(|(_, point)| point.x < from && point.x > to).count()
    };
    assert!(within(0.0, -30.0) * 10 < within(-100.0, -130.0) * 9);
    assert!(within(-30.0, -65.0) > within(-65.0, -100.0), "widest before its middle");
}

#[test]
fn cells_are_in_one_piece_and_leave_no_gap() {
    for seed in [1, 2] {
        let phantom = specimen(&quick().varied(seed), seed).unwrap();
        let mut labels = phantom.truth.volume().voxels().clone();
        connect::join_pieces(&mut labels);
        assert_eq!(&labels, phantom.truth.volume().voxels(), "no piece is apart");
        // Background in one piece: none of it is enclosed by cells.
        let mut background = labels.mapv(|label| u32::from(label == 0));
        let before = background.sum();
        connect::join_pieces(&mut background);
        assert_eq!(background.sum(), before);
    }
}

#[test]
fn what_is_said_of_cells_is_true_of_their_voxels() {
    let phantom = specimen(&quick(), 4).unwrap();
    assert_eq!(phantom.truth.n_cells(), phantom.cells.len());
    let voxel_um3 = phantom.truth.volume().voxel_size().volume_um3();
    let mut places: BTreeMap<u32, Vec<Point3<f64>>> = BTreeMap::new();
    for (label, point) in tissue_voxels(&phantom) {
        places.entry(label).or_default().push(point);
    }
    for cell in &phantom.cells {
        let places = &places[&cell.label];
        assert_relative_eq!(cell.volume_um3, places.len() as f64 * voxel_um3, epsilon = 1e-9);
        let x = mean(places.iter().map(|place| place.x));
        assert_relative_eq!(cell.centroid_um.x, x, epsilon = 1e-9);
        let top = places.iter().map(|place| place.z).fold(f64::MIN, f64::max);
        assert_relative_eq!(cell.top_um, top, epsilon = 1e-9);
        assert_relative_eq!(cell.apical.norm(), 1.0, epsilon = 1e-9);
        assert!(cell.apical.z > 0.0);
    }
}

/// For each rosette, the cross-section of its cells near the apex over that at mid-height.
fn apical_over_basal(params: &PhantomParams) -> Vec<f64> {
    let phantom = specimen(params, 7).unwrap();
    let voxels = tissue_voxels(&phantom);
    let of_rosette = |(rosette, apex): (usize, &Point3<f64>)| {
        let members = phantom.cells.iter().filter(|cell| cell.rosette == Some(rosette));
        let members: Vec<u32> = members.map(|cell| cell.label).collect();
        assert!((4..=25).contains(&members.len()), "a rosette of {} cells", members.len());
        let section = |z: f64| {
            let at_z = voxels.iter().filter(|(_, point)| (point.z - z).abs() < 0.8);
            at_z.filter(|(label, _)| members.contains(label)).count() as f64
        };
        section(apex.z - 2.5) / section(0.0)
    };
    phantom.rosettes.points().iter().enumerate().map(of_rosette).collect()
}

#[test]
fn cells_of_rosettes_are_narrow_at_their_apices() {
    let ratios = apical_over_basal(&quick());
    assert_eq!(ratios.len(), 3);
    assert!(ratios.iter().all(|&ratio| ratio < 0.7), "{ratios:?}");
    let mut straight = quick();
    straight.tissue.constriction = 0.0;
    let unconstricted = apical_over_basal(&straight);
    assert!(
        mean(unconstricted.iter().copied()) > 1.4 * mean(ratios.iter().copied()),
        "{unconstricted:?} {ratios:?}"
    );
}

#[test]
fn the_best_r2_is_that_of_the_rule_and_near_the_share_of_signal() {
    let cells: Vec<PhantomCell> =
        (0..4).flat_map(|seed| specimen(&quick().varied(seed), seed).unwrap().cells).collect();
    let amount = column(&cells, |cell| cell.amount);
    let rule = ProteinRule::default();
    let all = mean(amount.iter().copied());
    let residual: f64 = cells.iter().map(|cell| (cell.amount - rule.expected(cell)).powi(2)).sum();
    let total: f64 = amount.iter().map(|amount| (amount - all).powi(2)).sum();
    assert_relative_eq!(best_r2(&cells), 1.0 - residual / total, epsilon = 1e-12);
    // 400 cells; features of the population are correlated.
    assert_relative_eq!(best_r2(&cells), 1.0 - rule.noise_share, epsilon = 0.1);
    assert_relative_eq!(all, 1.0, epsilon = 0.1);
}

#[test]
fn without_noise_the_rule_explains_everything() {
    let mut params = quick();
    params.protein.noise_share = 0.0;
    assert_relative_eq!(specimen(&params, 9).unwrap().best_r2, 1.0, epsilon = 1e-12);
}

/// The mean over each cell's voxels of `image`.
fn means_in_cells(phantom: &Phantom, image: &Volume<u16>) -> Vec<f64> {
    let mut sums = vec![(0.0, 0.0); phantom.cells.len() + 1];
    for (label, count) in phantom.truth.volume().as_slice().iter().zip(image.as_slice()) {
        let sum = &mut sums[*label as usize];
        *sum = (sum.0 + f64::from(*count), sum.1 + 1.0);
    }
    phantom.cells.iter().map(|cell| sums[cell.label as usize]).map(|(sum, n)| sum / n).collect()
}

#[test]
fn images_measured_in_the_true_cells_follow_the_amounts() {
    /// Blur across borders and photons cost a few percent of the variance.
    const MEASURED_R2: f64 = 0.95;
    let phantom = specimen(&quick(), 7).unwrap();
    let amount = column(&phantom.cells, |cell| cell.amount);
    let control = column(&phantom.cells, |cell| cell.control);
    let protein = means_in_cells(&phantom, &phantom.protein);
    assert!(correlation(&protein, &amount).powi(2) > MEASURED_R2);
    let measured = means_in_cells(&phantom, &phantom.control);
    assert!(correlation(&measured, &control).powi(2) > MEASURED_R2);
}

#[test]
fn the_control_follows_nothing() {
    let cells: Vec<PhantomCell> =
        (0..5).flat_map(|seed| specimen(&quick().varied(seed), seed).unwrap().cells).collect();
    let control = column(&cells, |cell| cell.control);
    // Four standard errors of a correlation of independent values.
    let chance = 4.0 / (cells.len() as f64).sqrt();
    for feature in [Feature::LogVolume, Feature::Height, Feature::Position] {
        let r = correlation(&control, &column(&cells, |cell| feature.of(cell)));
        assert!(r.abs() < chance, "{feature:?}: {r}");
    }
    assert!(correlation(&control, &column(&cells, |cell| cell.amount)).abs() < chance);
}

/// FNV-1a of all voxels.
fn fingerprint(phantom: &Phantom) -> u64 {
    let images = [&phantom.membrane, &phantom.protein, &phantom.control];
    let counts = images.into_iter().flat_map(Volume::as_slice).map(|&count| count.into());
    let values = phantom.truth.volume().as_slice().iter().copied().chain(counts);
    values.flat_map(u32::to_le_bytes).fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    })
}

fn small() -> PhantomParams {
    let mut params = PhantomParams::default();
    params.tissue.n_cells = 20;
    params.optics = Optics::very_dim(VoxelSize::from_um([1.0, 0.5, 0.5]).unwrap());
    params.optics.skin = Some(Skin::default());
    params.pose = Pose::mounted(0.3, 4);
    params
}

#[test]
fn the_same_seed_gives_the_same_voxels_everywhere() {
    /// Changes only with a change that users are told of: their phantoms change with it.
    const GOLDEN: u64 = 0x7521_4228_62c9_c4b3;
    let phantom = specimen(&small(), 11).unwrap();
    assert_eq!(fingerprint(&phantom), GOLDEN, "{:#x}", fingerprint(&phantom));
    assert_ne!(fingerprint(&specimen(&small(), 12).unwrap()), GOLDEN);
}

#[test]
fn threads_do_not_matter() {
    let on = |threads: usize| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        let phantom = pool.install(|| specimen(&small(), 11)).unwrap();
        (fingerprint(&phantom), phantom.cells)
    };
    assert_eq!(on(1), on(5));
}

#[test]
fn dimmer_images_have_darker_membranes_of_the_same_cells() {
    let mut params = quick();
    let clean = specimen(&params, 2).unwrap();
    params.optics = Optics::very_dim(params.optics.voxel_size);
    let dim = specimen(&params, 2).unwrap();
    assert_eq!(clean.truth, dim.truth);
    let brightest = |phantom: &Phantom| phantom.membrane.as_slice().iter().copied().max().unwrap();
    assert!(brightest(&clean) > 60);
    assert!(brightest(&dim) < 35);
}

#[test]
fn depth_below_the_surface_is_continuous_at_mid_height() {
    let body = body::Body::new(&TissueParams::default(), 1);
    let depth_um = |x, y, z| -body.surface_distance_um(&Point3::new(x, y, z));
    for x in [-20.0, -50.0, -80.0, -110.0] {
        for y in [-6.0, -1.0, 0.0, 3.0] {
            let at_middle = depth_um(x, y, 0.0);
            for z in [-0.2, -0.02, 0.02, 0.2] {
                let nearby = depth_um(x, y, z);
                assert!((nearby - at_middle).abs() < 0.3, "{nearby} and {at_middle} at {x}, {y}");
            }
        }
    }
}

#[test]
fn skin_lies_over_the_tissue() {
    let mut params = quick();
    let skin = Skin { gap_um: 3.0, brightness: 2.0 };
    let bare = specimen(&params, 2).unwrap();
    params.optics.skin = Some(skin);
    let covered = specimen(&params, 2).unwrap();
    let profile = |phantom: &Phantom| -> Vec<f64> {
        let planes = phantom.membrane.voxels().outer_iter();
        planes.map(|plane| mean(plane.iter().map(|&count| f64::from(count)))).collect()
    };
    let (bare, covered_by_plane) = (profile(&bare), profile(&covered));
    let brightest = (0..covered_by_plane.len())
        .max_by(|&a, &b| covered_by_plane[a].total_cmp(&covered_by_plane[b]))
        .unwrap();
    let z = covered.image_to_tissue.point(&Point3::new(0.0, 0.0, brightest as f64)).z;
    let top = covered.rosettes.points().iter().map(|apex| apex.z).fold(f64::MIN, f64::max);
    assert!(z > top + 1.5 && z < top + 5.0, "skin at {z}, top at {top}");
    assert!(covered_by_plane[brightest] > 2.0 * bare.iter().copied().fold(0.0, f64::max));
}

#[test]
fn a_bend_moves_the_middle_and_keeps_the_volume() {
    let volume = |curvature_per_um: f64| {
        let mut params = quick();
        params.tissue.curvature_per_um = curvature_per_um;
        let phantom = specimen(&params, 2).unwrap();
        let y = |from: f64, to: f64| {
            let part = phantom.cells.iter().filter(|cell| cell.centroid_um.x < from);
            let part = part.filter(|cell| cell.centroid_um.x > to);
            mean(part.map(|cell| cell.centroid_um.y))
        };
        let bend_um = y(-45.0, -85.0) - 0.5 * (y(0.0, -25.0) + y(-105.0, -130.0));
        (phantom.cells.iter().map(|cell| cell.volume_um3).sum::<f64>(), bend_um)
    };
    let (straight, left, right) = (volume(0.0), volume(0.005), volume(-0.005));
    assert_relative_eq!(straight.0, left.0, max_relative = 0.02);
    assert_relative_eq!(straight.0, right.0, max_relative = 0.02);
    assert!(straight.1.abs() < 2.0 && left.1 < -4.0 && right.1 > 4.0, "{straight:?} {left:?}");
}

#[test]
fn nonsense_is_refused() {
    let refused = |change: fn(&mut PhantomParams)| {
        let mut params = quick();
        change(&mut params);
        assert!(matches!(specimen(&params, 1), Err(DataError::Parameter { .. })), "{params:?}");
    };
    refused(|params| params.tissue.n_cells = 0);
    refused(|params| params.tissue.length_um = f64::NAN);
    refused(|params| params.tissue.constriction = 9.0);
    refused(|params| params.tissue.curvature_per_um = 1.0);
    refused(|params| params.optics.patchiness = 1.5);
    refused(|params| params.optics.psf_sigma_um = [-1.0, 0.1]);
    refused(|params| params.optics.attenuation_um = Some(0.0));
    refused(|params| params.optics.background_counts = f64::INFINITY);
    refused(|params| params.protein.noise_share = 2.0);
    refused(|params| params.pose.margin_um = -1.0);
    refused(|params| {
        (params.tissue.length_um, params.tissue.width_um, params.tissue.height_um) =
            (5.0, 2.0, 1.0);
    });
    let mut params = quick();
    params.optics.voxel_size = VoxelSize::from_um([1e-4; 3]).unwrap();
    assert!(matches!(specimen(&params, 1), Err(DataError::PhantomTooLarge { .. })));
}

/// Mean over eight phantoms; published primordia have 0.22 ± 0.14.
const VOLUME_TREND: std::ops::Range<f64> = 0.12..0.40;

#[test]
fn leading_cells_are_larger_as_in_published_primordia() {
    let coarse = VoxelSize::from_um([1.5, 1.0, 1.0]).unwrap();
    let trend = |seed| {
        let params = PhantomParams { optics: Optics::clean(coarse), ..PhantomParams::default() };
        let cells = specimen(&params.varied(seed), seed).unwrap().cells;
        let x = |cell: &PhantomCell| cell.centroid_um.x;
        let (low, high) =
            cells.iter().fold((f64::MAX, f64::MIN), |(l, h), c| (l.min(x(c)), h.max(x(c))));
        let cubes: Vec<f64> =
            cells.iter().map(|c| ((2.0 * x(c) - low - high) / (high - low)).powi(3)).collect();
        let volumes: Vec<f64> = cells.iter().map(|c| c.volume_um3.ln()).collect();
        correlation(&cubes, &volumes)
    };
    let trends: Vec<f64> = (0..8).map(trend).collect();
    let mean = trends.iter().sum::<f64>() / 8.0;
    assert!(VOLUME_TREND.contains(&mean), "{mean}: {trends:?}");
}

#[test]
fn cells_of_crowded_tissues_differ_more_in_volume() {
    let spread = |crowding: f64| {
        let mut params = quick();
        params.tissue.crowding = crowding;
        let (_, labels) = membranes(&params, 1).unwrap();
        let mut logs = vec![0.0_f64; labels.n_cells()];
        labels.volume().as_slice().iter().filter(|label| **label > 0).for_each(|&label| {
            logs[label as usize - 1] += 1.0;
        });
        logs.iter_mut().for_each(|count| *count = count.ln());
        let middle = mean(logs.iter().copied());
        mean(logs.iter().map(|log| (log - middle).powi(2))).sqrt()
    };
    let [even, crowded] = [0.0, 0.7].map(spread);
    // The living tissue: a quarter to a third.
    assert!((0.2..0.4).contains(&even), "{even}");
    assert!(crowded > 1.5 * even, "{crowded}, even {even}");
}

/// A tissue with evenly labelled membranes, first whole, then with notches: membranes and labels.
fn whole_and_notched() -> [(Volume<u16>, Volume<u32>); 2] {
    [0.0, 0.5].map(|notches| {
        let mut params = quick();
        params.tissue.notches = notches;
        params.optics.patchiness = 0.0;
        let (membrane, labels) = membranes(&params, 1).unwrap();
        (membrane, labels.into_volume())
    })
}

#[test]
fn notches_are_whole_cells_of_the_surface_and_the_other_cells_stay() {
    /// Slivers that hung on a missing cell go to another.
    const WHOLE: f64 = 0.95;
    let [(_, whole), (_, notched)] = whole_and_notched();
    let mut counts = BTreeMap::<u32, BTreeMap<u32, f64>>::new();
    for (&before, &after) in whole.as_slice().iter().zip(notched.as_slice()) {
        *counts.entry(before).or_default().entry(after).or_default() += 1.0;
    }
    let mut n_missing = 0;
    for (cell, after) in counts.iter().filter(|(cell, _)| **cell > 0) {
        let (most, count) = after.iter().max_by(|a, b| a.1.total_cmp(b.1)).unwrap();
        let share = count / after.values().sum::<f64>();
        assert!(share > WHOLE, "{share} of cell {cell} is {most}");
        n_missing += usize::from(*most == 0);
    }
    let n_cells = |labels: &Volume<u32>| labels.as_slice().iter().max().map_or(0, |&n| n as usize);
    // All but a few cells of so thin a tissue are at its surface; half of these are missing.
    assert!((40..=56).contains(&n_missing), "{n_missing}");
    assert_eq!(n_cells(&notched) + n_missing, n_cells(&whole));
}

#[test]
fn in_notches_there_is_no_membrane_but_the_free_surface_of_cells() {
    /// How far around a voxel (z, y, x) is looked: farther than membranes are blurred.
    const AROUND: [usize; 3] = [1, 3, 3];
    let [(before, whole), (after, notched)] = whole_and_notched();
    let shape = whole.shape();
    let around = |at: [usize; 3]| {
        let ranges = [0, 1, 2].map(|axis| {
            at[axis].saturating_sub(AROUND[axis])..(at[axis] + AROUND[axis] + 1).min(shape[axis])
        });
        let [z, y, x] = ranges;
        z.flat_map(move |z| {
            let x = x.clone();
            y.clone().flat_map(move |y| x.clone().map(move |x| [z, y, x]))
        })
    };
    let (mut empty, mut faces) = (Vec::new(), Vec::new());
    for ((z, y, x), &kept) in notched.voxels().indexed_iter() {
        let inside = whole.voxels()[[z, y, x]] > 0;
        let is_empty = |at: [usize; 3]| notched.voxels()[at] == 0;
        if inside && kept == 0 && around([z, y, x]).all(is_empty) {
            empty.push(f64::from(after.voxels()[[z, y, x]]));
        }
        // A face upright in the image between a cell that is left and one that is missing, far from other cells.
        let next = [z, y, (x + 1).min(shape[2] - 1)];
        let of_face = |at: [usize; 3]| {
            let cells = [whole.voxels()[[z, y, x]], whole.voxels()[next]];
            cells.contains(&whole.voxels()[at])
        };
        if kept > 0 && is_empty(next) && whole.voxels()[next] > 0 && around([z, y, x]).all(of_face)
        {
            let counts = |image: &Volume<u16>| f64::from(image.voxels()[[z, y, x]]);
            faces.push([counts(&before), counts(&after)]);
        }
    }
    let background = Optics::clean(before.voxel_size()).background_counts;
    assert!(empty.len() > 100 && faces.len() > 100, "{} and {}", empty.len(), faces.len());
    assert_relative_eq!(mean(empty.iter().copied()), background, epsilon = 0.5);
    let [border, surface] =
        [0, 1].map(|image| mean(faces.iter().map(|face| face[image])) - background);
    // One membrane where there were two, and brighter than half all the same.
    assert_relative_eq!(surface / border, 0.7, epsilon = 0.03);
}
