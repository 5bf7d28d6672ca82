//! Does a file keep what `FORMAT.md` promises?

use std::fmt;
use std::path::Path;

use crate::file::broken_promises;

/// What is wrong with a file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// Every promise of `FORMAT.md` that the file breaks, a sentence each, in alphabetical order.
    pub problems: Vec<String>,
}

impl Report {
    /// Whether the file keeps every promise.
    pub fn is_valid(&self) -> bool {
        self.problems.is_empty()
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        match self.problems.len() {
            0 => return writeln!(f, "valid: every promise is kept"),
            1 => writeln!(f, "1 problem:")?,
            n => writeln!(f, "{n} problems:")?,
        }
        self.problems.iter().try_for_each(|problem| writeln!(f, "- {problem}"))
    }
}

/// Checks everything that `FORMAT.md` promises: groups, encodings, types, shapes, names, readable
/// values, and what must agree. A file that is no atlas has that one problem.
///
/// ```
/// # use primordia::{Atlas, file::write, validate::validate};
/// # let folder = tempfile::tempdir().unwrap();
/// # let path = folder.path().join("atlas.h5");
/// write(&path, &Atlas::example())?;
/// assert!(validate(&path).is_valid());
/// # Ok::<_, primordia::AtlasError>(())
/// ```
pub fn validate(path: impl AsRef<Path>) -> Report {
    Report { problems: broken_promises(path.as_ref()) }
}

#[cfg(test)]
mod tests {
    use hdf5_metno::File;

    use super::*;
    use crate::file::{Atlas, write};

    fn problems_after(damage: impl FnOnce(&File)) -> Vec<String> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("atlas.h5");
        write(&path, &Atlas::example()).unwrap();
        let file = File::open_rw(&path).unwrap();
        damage(&file);
        file.close().unwrap();
        validate(&path).problems
    }

    #[track_caller]
    fn assert_says(problems: &[String], wanted: &str) {
        assert!(problems.iter().any(|problem| problem.contains(wanted)), "{problems:#?}");
    }

    #[test]
    fn an_atlas_keeps_every_promise() {
        assert_eq!(problems_after(|_| ()), Vec::<String>::new());
    }

    #[test]
    fn a_missing_part_is_named() {
        let problems = problems_after(|file| file.unlink("obsm/protein_actin_upper").unwrap());
        assert_says(&problems, "obsm/protein_actin_upper is missing");
        let problems = problems_after(|file| file.unlink("obs/archetype").unwrap());
        assert_says(&problems, "obs lists a column \"archetype\"");
    }

    #[test]
    fn a_wrong_type_or_encoding_is_named() {
        let problems = problems_after(|file| {
            file.unlink("X").unwrap();
            file.new_dataset_builder()
                .with_data(&ndarray::Array2::<i64>::ones((5, 2)))
                .create("X")
                .unwrap();
        });
        assert_says(&problems, "X is encoded as \"\"");
        let problems = problems_after(|file| {
            let group = file.group("uns/primordia/shape").unwrap();
            group.delete_attr("encoding-type").unwrap();
        });
        assert_says(&problems, "uns/primordia/shape is encoded as \"\"; dict wanted");
    }

    #[test]
    fn what_does_not_agree_is_named() {
        let problems = problems_after(|file| {
            let counts = file.dataset("uns/primordia/specimens/n_cells").unwrap();
            counts.write(&[3_i64, 7]).unwrap();
        });
        assert_says(&problems, "specimen \"2902E38204\" says it has 7 cells; 2 rows are its own");

        let problems = problems_after(|file| {
            let inverse = file.dataset("uns/primordia/tissue_to_image").unwrap();
            let values = inverse.read_raw::<f64>().unwrap();
            let doubled: Vec<f64> = values.iter().map(|value| value * 2.0).collect();
            inverse.write_raw(&doubled).unwrap();
        });
        assert_says(&problems, "tissue_to_image of specimen \"056F63395C\"");

        let problems = problems_after(|file| {
            let areas = file.dataset("obsp/contact_area_um2/data").unwrap();
            areas.write(&[1.0_f64, 2.0, 3.0, 4.0, 5.0, 6.0]).unwrap();
        });
        assert_says(&problems, "contacts: a contact differs between its two sides");

        let problems = problems_after(|file| {
            let codes = file.dataset("obs/specimen/codes").unwrap();
            codes.write(&[0_i8, 0, 0, 1, 0]).unwrap();
        });
        assert_says(&problems, "obs row 4 is named \"2902E38204/4000000000\"");
    }

    #[test]
    fn values_that_cannot_be_read_are_named() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("atlas.h5");
        let mut atlas = Atlas::example();
        let noise = ndarray::Array3::from_shape_fn((30, 30, 30), |(z, y, x)| {
            ((z * 900 + y * 30 + x) as f64).sin()
        });
        atlas.arrays.insert("density/actin".into(), noise.into_dyn());
        write(&path, &atlas).unwrap();
        let mut bytes = std::fs::read(&path).unwrap();
        let file = File::open(&path).unwrap();
        let chunk = file.dataset("uns/primordia/arrays/density/actin").unwrap().chunk_info(0);
        let at = chunk.unwrap().addr as usize + 5000;
        file.close().unwrap();
        bytes[at..at + 64].fill(0xa5);
        std::fs::write(&path, bytes).unwrap();
        assert_says(&validate(&path).problems, "uns/primordia/arrays/density/actin cannot be read");
    }

    #[test]
    fn what_is_no_atlas_has_one_problem() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("atlas.h5");
        assert_eq!(validate(&path).problems.len(), 1);
        std::fs::write(&path, "cells").unwrap();
        let report = validate(&path);
        assert!(report.to_string().starts_with("1 problem:\n- "), "{report}");
        assert!(!report.is_valid());
    }
}
