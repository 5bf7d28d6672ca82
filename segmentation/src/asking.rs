//! When the network is asked: where sheets alone leave doubts.
//!
//! On images that show their membranes, sheets find every cell, in half the time. Where more than
//! one cell in 200 does not look whole, the network is worth its time.

use primordia_data::Volume;

use crate::auto::{Auto, Guides, auto_with};
use crate::confidence::Verdict;
use crate::error::{Result, SegmentError};
use crate::network::Boundary;
use crate::nuclei::Nuclei;
use crate::segmentation::Segmentation;

/// By what cells were found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Witness {
    /// By sheets alone.
    Sheets,
    /// By sheets and the network.
    Network,
}

/// [`auto_with`] sheets alone if then nearly every cell looks whole; otherwise also with the network, whose
/// answer counts if its verdict [is no worse](Verdict::is_no_worse_than). Otherwise sheets are asked once more: to keep their answer
/// meanwhile would take more memory than either search. Without a network of your own, it is the one that
/// comes with Primordia.
///
/// # Errors
/// Those of [`auto_with`] sheets alone.
pub fn auto_asking<T>(
    membrane: &Volume<T>,
    params: &Auto,
    network: Option<&Boundary>,
    nuclei: Option<&Nuclei>,
) -> Result<(Segmentation, Witness)>
where
    T: Copy + Into<f32> + Send + Sync,
{
    let find =
        |network: Option<&Boundary>| auto_with(membrane, params, &Guides { network, nuclei });
    let sheets = find(None);
    let Some(doubtful) = doubtful(&sheets, Segmentation::verdict) else {
        return Ok((sheets?, Witness::Sheets));
    };
    drop(sheets);
    let by_network = or_shipped(network, |network| find(Some(network)));
    if mends(&by_network, Segmentation::verdict, &doubtful) {
        return Ok((by_network?, Witness::Network));
    }
    Ok((find(None)?, Witness::Sheets))
}

/// Has the work done by a network of your own, or by the one that comes with Primordia.
///
/// # Errors
/// Those of the work; [`SegmentError::Network`] if the weights that come with Primordia are damaged.
pub fn or_shipped<S>(
    network: Option<&Boundary>,
    work: impl FnOnce(&Boundary) -> Result<S>,
) -> Result<S> {
    match network {
        Some(network) => work(network),
        None => work(&Boundary::shipped()?),
    }
}

/// The verdict on what sheets found, of no cells if they found none, where they leave doubts that the network may mend; none
/// if nearly every cell looks whole, or if the image itself is at fault.
pub fn doubtful<S>(sheets: &Result<S>, verdict: impl Fn(&S) -> Option<Verdict>) -> Option<Verdict> {
    match sheets {
        Ok(found) => verdict(found).filter(Verdict::leaves_doubts),
        Err(SegmentError::NoCells { .. }) => Some(Verdict::new(&[], &[])),
        Err(_) => None,
    }
}

/// Whether the network found cells, and the verdict on them is no worse than that on what sheets found.
pub fn mends<S>(
    by_network: &Result<S>,
    verdict: impl Fn(&S) -> Option<Verdict>,
    sheets: &Verdict,
) -> bool {
    let verdict = by_network.as_ref().ok().and_then(verdict);
    verdict.is_some_and(|verdict| verdict.is_no_worse_than(sheets))
}

#[cfg(test)]
mod tests {
    use ndarray::s;
    use primordia_data::VoxelSize;
    use primordia_data::phantom::{self, Optics, Phantom, PhantomParams};
    use rand::SeedableRng;
    use rand_chacha::ChaCha8Rng;
    use rand_distr::{Binomial, Distribution, Poisson};

    use super::*;
    use crate::testing::tissue_of;

    /// Of cells of which this share is wrong.
    fn of(n_cells: u32, wrong: f32) -> Verdict {
        Verdict::new(&(1..=n_cells).collect::<Vec<u32>>(), &vec![1.0 - wrong; n_cells as usize])
    }

    fn no_cells() -> Result<Verdict> {
        Err(SegmentError::NoCells { shape: [1; 3], min_volume_um3: 0.0 })
    }

    #[test]
    fn the_network_is_asked_where_cells_are_in_doubt_or_none_was_found() {
        let doubtful = |sheets| doubtful(&sheets, |found: &Verdict| Some(found.clone()));
        assert_eq!(doubtful(Ok(of(100, 0.001))), None);
        assert_eq!(doubtful(Ok(of(100, 0.2))), Some(of(100, 0.2)));
        assert_eq!(doubtful(no_cells()).map(|verdict| verdict.n_cells), Some(0));
        assert_eq!(doubtful(Err(SegmentError::Constant { value: 0.0 })), None);
    }

    #[test]
    fn cells_of_the_dim_half_of_a_tissue_are_looked_for_again() {
        const LEFT: f64 = 0.06;
        let optics = Optics::clean(VoxelSize::from_um([0.6, 0.3, 0.3]).unwrap());
        let background = Poisson::new((1.0 - LEFT) * optics.background_counts).unwrap();
        let params =
            PhantomParams { tissue: tissue_of(40, 1.0), optics, ..PhantomParams::default() };
        let Phantom { mut membrane, truth, .. } = phantom::specimen(&params, 1).unwrap();
        let middle = membrane.shape()[2] / 2;
        let mut rng = ChaCha8Rng::seed_from_u64(1);
        // Of its photons few are left.
        membrane.voxels_mut().slice_mut(s![.., .., middle..]).mapv_inplace(|counts| {
            let left = Binomial::new(u64::from(counts), LEFT).unwrap().sample(&mut rng);
            left as u16 + background.sample(&mut rng) as u16
        });
        let sheets = auto_with(&membrane, &Auto::default(), &Guides::default()).unwrap();
        let (found, witness) = auto_asking(&membrane, &Auto::default(), None, None).unwrap();
        assert_eq!(witness, Witness::Network);
        let f1 = |labels| crate::score(labels, &truth).unwrap().f1_iou_50;
        let (before, after) = (f1(&sheets.labels), f1(&found.labels));
        assert!(after > 0.9 && before < 0.8, "{before}, then {after}");
    }

    #[test]
    fn the_network_is_believed_where_it_leaves_no_more_doubts_and_finds_as_much() {
        let mends =
            |found, sheets: Verdict| mends(&found, |found: &Verdict| Some(found.clone()), &sheets);
        assert!(mends(Ok(of(100, 0.1)), of(100, 0.2)) && mends(Ok(of(90, 0.1)), of(100, 0.2)));
        assert!(mends(Ok(of(100, 0.3)), of(0, 0.0)), "better than nothing");
        assert!(!mends(Ok(of(100, 0.3)), of(100, 0.2)), "more are wrong");
        assert!(!mends(Ok(of(300, 0.3)), of(100, 0.2)), "a larger share is wrong");
        assert!(mends(Ok(of(120, 0.06)), of(100, 0.05)), "far more are whole");
        assert!(!mends(Ok(of(105, 0.06)), of(100, 0.05)), "hardly more are whole");
        assert!(
            !mends(Ok(of(120, 0.24)), of(100, 0.2)),
            "far more look whole where nothing is sure"
        );
        assert!(!mends(Ok(of(30, 0.1)), of(100, 0.2)), "most are lost");
        assert!(!mends(no_cells(), of(100, 0.2)));
    }
}
