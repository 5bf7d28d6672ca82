//! Which cells are held out together: whole specimens, never a part of one.

use std::collections::BTreeMap;

use crate::error::{RegressionError, Result};

/// A division of cells into folds that keeps each specimen's cells together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Folds {
    fold_of_row: Vec<usize>,
    specimen_of_row: Vec<usize>,
    n_folds: usize,
    n_specimens: usize,
}

impl Folds {
    /// Divides cells into at most `n_folds` folds of whole specimens.
    ///
    /// `specimens` names the specimen of each cell. The specimens are ordered by the CRC-32 of their
    /// names (an order that no experimenter chose, and that adding a cell does not change) and dealt
    /// out in turn: the `i`-th belongs to fold `i mod n_folds`. With fewer specimens than folds, each is a fold.
    ///
    /// # Errors
    /// [`RegressionError::TooFewSpecimens`] below two specimens; [`RegressionError::Parameter`] if
    /// `n_folds` is below 2.
    pub fn whole_specimens<S: AsRef<str>>(specimens: &[S], n_folds: usize) -> Result<Self> {
        if n_folds < 2 {
            return Err(RegressionError::Parameter {
                name: "n_folds - 1",
                value: n_folds as f64 - 1.0,
            });
        }
        let mut order: BTreeMap<(u32, &str), usize> =
            specimens.iter().map(|name| (key(name.as_ref()), 0)).collect();
        let n_specimens = order.len();
        if n_specimens < 2 {
            return Err(RegressionError::TooFewSpecimens { found: n_specimens });
        }
        order.values_mut().enumerate().for_each(|(index, value)| *value = index);
        let specimen_of_row: Vec<usize> =
            specimens.iter().map(|name| order[&key(name.as_ref())]).collect();
        let n_folds = n_folds.min(n_specimens);
        let fold_of_row = specimen_of_row.iter().map(|specimen| specimen % n_folds).collect();
        Ok(Self { fold_of_row, specimen_of_row, n_folds, n_specimens })
    }

    /// The number of folds.
    pub fn n_folds(&self) -> usize {
        self.n_folds
    }

    /// The number of specimens.
    pub fn n_specimens(&self) -> usize {
        self.n_specimens
    }

    /// The number of cells.
    pub fn n_rows(&self) -> usize {
        self.fold_of_row.len()
    }

    /// The fold of each cell.
    pub fn fold_of_row(&self) -> &[usize] {
        &self.fold_of_row
    }

    /// The specimen of each cell, as a number below [`Folds::n_specimens`].
    pub fn specimen_of_row(&self) -> &[usize] {
        &self.specimen_of_row
    }

    /// The cells to learn from, and the cells held out, when `fold` is held out.
    pub fn split(&self, fold: usize) -> (Vec<usize>, Vec<usize>) {
        (0..self.n_rows()).partition(|&row| self.fold_of_row[row] != fold)
    }
}

fn key(name: &str) -> (u32, &str) {
    (crc32(name.as_bytes()), name)
}

/// The CRC-32 of ISO 3309, as zip and PNG use it.
fn crc32(bytes: &[u8]) -> u32 {
    const POLYNOMIAL: u32 = 0xEDB8_8320;
    let after_byte = |crc: u32, &byte: &u8| {
        (0..8).fold(crc ^ u32::from(byte), |crc, _| (crc >> 1) ^ (POLYNOMIAL * (crc & 1)))
    };
    !bytes.iter().fold(u32::MAX, after_byte)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_checksum_is_the_published_one() {
        assert_eq!(crc32(b"123456789"), 0xCBF4_3926); // the check value of the CRC catalogue
    }

    proptest! {
        #[test]
        fn a_specimen_is_never_in_two_folds(cells in proptest::collection::vec(0..12_u8, 20..60)) {
            let names: Vec<String> = cells.iter().map(|cell| format!("embryo {cell}")).collect();
            let Ok(folds) = Folds::whole_specimens(&names, 5) else { return Ok(()) };
            for fold in 0..folds.n_folds() {
                let (training, held_out) = folds.split(fold);
                prop_assert!(!training.is_empty() && !held_out.is_empty());
                prop_assert!(held_out.iter().all(|&a| training.iter().all(|&b| names[a] != names[b])));
            }
        }
    }

    #[test]
    fn few_specimens_are_left_out_one_by_one() {
        let folds = Folds::whole_specimens(&["a", "b", "a", "c"], 5).unwrap();
        assert_eq!((folds.n_folds(), folds.n_specimens()), (3, 3));
        assert_eq!(folds.fold_of_row()[0], folds.fold_of_row()[2]);
    }

    #[test]
    fn one_specimen_cannot_be_held_out() {
        let result = Folds::whole_specimens(&["a", "a"], 5);
        assert!(matches!(result, Err(RegressionError::TooFewSpecimens { found: 1 })));
        assert!(Folds::whole_specimens(&["a", "b"], 1).is_err());
    }
}
