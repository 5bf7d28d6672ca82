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
/// answer counts if it leaves no more doubts. Otherwise sheets are asked once more: to keep their answer
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
    let Some(doubts) = doubts(&sheets, Segmentation::verdict) else {
        return Ok((sheets?, Witness::Sheets));
    };
    drop(sheets);
    let by_network = or_shipped(network, |network| find(Some(network)));
    if mends(&by_network, Segmentation::verdict, doubts) {
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

/// The share of cells that sheets leave in doubt, where the network may mend that; none if nearly
/// every cell looks whole, or if the image itself is at fault.
pub fn doubts<S>(sheets: &Result<S>, verdict: impl Fn(&S) -> Option<Verdict>) -> Option<f64> {
    match sheets {
        Ok(found) => {
            let verdict = verdict(found).filter(Verdict::leaves_doubts);
            verdict.map(|verdict| verdict.share_wrong())
        }
        Err(SegmentError::NoCells { .. }) => Some(f64::INFINITY),
        Err(_) => None,
    }
}

/// Whether the network found cells, and left no more doubts than there were.
pub fn mends<S>(
    by_network: &Result<S>,
    verdict: impl Fn(&S) -> Option<Verdict>,
    doubts: f64,
) -> bool {
    let verdict = by_network.as_ref().ok().and_then(verdict);
    verdict.is_some_and(|verdict| verdict.share_wrong() <= doubts)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Of a hundred cells, of which this share is wrong.
    fn of_hundred(wrong: f32) -> Verdict {
        Verdict::new(&(1..=100).collect::<Vec<u32>>(), &[1.0 - wrong; 100])
    }

    fn no_cells() -> Result<Verdict> {
        Err(SegmentError::NoCells { shape: [1; 3], min_volume_um3: 0.0 })
    }

    #[test]
    fn the_network_is_asked_where_cells_are_in_doubt_or_none_was_found() {
        let doubts = |sheets| doubts(&sheets, |found: &Verdict| Some(found.clone()));
        assert_eq!(doubts(Ok(of_hundred(0.001))), None);
        assert!((doubts(Ok(of_hundred(0.2))).unwrap() - 0.2).abs() < 1e-6);
        assert_eq!(doubts(no_cells()), Some(f64::INFINITY));
        assert_eq!(doubts(Err(SegmentError::Constant { value: 0.0 })), None);
    }

    #[test]
    fn the_network_is_believed_where_it_has_no_more_doubts() {
        let mends = |found, doubts| mends(&found, |found: &Verdict| Some(found.clone()), doubts);
        assert!(mends(Ok(of_hundred(0.1)), 0.2) && mends(Ok(of_hundred(0.3)), f64::INFINITY));
        assert!(!mends(Ok(of_hundred(0.3)), 0.2) && !mends(no_cells(), f64::INFINITY));
    }
}
