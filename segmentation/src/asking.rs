//! When the network is asked: where sheets alone leave doubts.
//!
//! On images that show their membranes, sheets find every cell, an order of magnitude faster. Where
//! some cell does not look whole, the network is worth its time.

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

/// [`auto_with`] sheets alone if then every cell looks whole; otherwise also with the network, whose
/// answer counts if it leaves fewer doubts. The second answer takes the time of both.
///
/// # Errors
/// Those of [`auto_with`].
pub fn auto_asking<T>(
    membrane: &Volume<T>,
    params: &Auto,
    network: &Boundary,
    nuclei: Option<&Nuclei>,
) -> Result<(Segmentation, Witness)>
where
    T: Copy + Into<f32> + Send + Sync,
{
    let find = |network| auto_with(membrane, params, &Guides { network, nuclei });
    asking(network, find, Segmentation::verdict)
}

/// What `find` finds with or without the network, by the rule of [`auto_asking`]; `verdict` tells the
/// doubts about it.
///
/// # Errors
/// Those of `find`.
pub fn asking<'n, S>(
    network: &'n Boundary,
    find: impl Fn(Option<&'n Boundary>) -> Result<S>,
    verdict: impl Fn(&S) -> Option<Verdict>,
) -> Result<(S, Witness)> {
    let doubts = |found: &S| verdict(found).map_or(0.0, |verdict| verdict.share_wrong());
    let sheets = find(None);
    let doubts_of_sheets = match &sheets {
        Ok(found) if verdict(found).is_none_or(|verdict| verdict.every_cell_looks_whole()) => None,
        Ok(found) => Some(doubts(found)),
        Err(SegmentError::NoCells { .. }) => Some(f64::INFINITY),
        Err(_) => None,
    };
    let Some(doubts_of_sheets) = doubts_of_sheets else {
        return Ok((sheets?, Witness::Sheets));
    };
    drop(sheets); // both at once would take more memory than either
    match find(Some(network)) {
        Ok(found) if doubts(&found) <= doubts_of_sheets => Ok((found, Witness::Network)),
        _ => Ok((find(None)?, Witness::Sheets)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOTHING: [usize; 3] = [1; 3];

    fn no_cells() -> Result<f32> {
        Err(SegmentError::NoCells { shape: NOTHING, min_volume_um3: 0.0 })
    }

    /// What is answered if sheets and the network find what these functions say, as the share of
    /// wrong cells among a hundred.
    fn asked(sheets: fn() -> Result<f32>, network: fn() -> Result<f32>) -> Result<(f32, Witness)> {
        let find = |asked: Option<&Boundary>| if asked.is_some() { network() } else { sheets() };
        let labels: Vec<u32> = (1..=100).collect();
        let verdict = |wrong: &f32| Some(Verdict::new(&labels, &[1.0 - wrong; 100]));
        asking(&Boundary::shipped()?, find, verdict)
    }

    #[test]
    fn the_network_is_asked_where_there_are_doubts_and_believed_where_it_has_fewer() {
        assert_eq!(asked(|| Ok(0.001), || Ok(0.0)).unwrap(), (0.001, Witness::Sheets));
        assert_eq!(asked(|| Ok(0.2), || Ok(0.1)).unwrap(), (0.1, Witness::Network));
        assert_eq!(asked(|| Ok(0.2), || Ok(0.3)).unwrap(), (0.2, Witness::Sheets));
        assert_eq!(asked(|| Ok(0.2), no_cells).unwrap(), (0.2, Witness::Sheets));
        assert_eq!(asked(no_cells, || Ok(0.3)).unwrap(), (0.3, Witness::Network));
    }

    #[test]
    fn what_no_network_can_mend_is_an_error_at_once() {
        assert!(matches!(asked(no_cells, no_cells), Err(SegmentError::NoCells { .. })));
        let constant = asked(|| Err(SegmentError::Constant { value: 0.0 }), || Ok(0.0));
        assert!(matches!(constant, Err(SegmentError::Constant { .. })));
    }
}
