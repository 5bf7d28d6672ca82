//! The file as a whole: what is written is read, and nothing that is damaged makes a panic.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use ndarray::Array2;
use primordia_data::CellId;
use tempfile::TempDir;

use super::{Atlas, Column, ColumnValues, Protein, Specimen, read, read_header, write};
use crate::error::AtlasError;
use crate::validate::validate;

/// The Python that has anndata: `$PRIMORDIA_PYTHON`, or the one in the repository's `.venv`.
fn python() -> Option<PathBuf> {
    let repository = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let python = std::env::var_os("PRIMORDIA_PYTHON")
        .map_or_else(|| repository.join(".venv/bin/python"), PathBuf::from);
    if python.is_file() {
        return Some(python);
    }
    eprintln!("SKIPPED: no Python at {} (set PRIMORDIA_PYTHON)", python.display());
    None
}

#[test]
fn anndata_opens_an_atlas_and_what_it_writes_is_an_atlas() {
    let Some(python) = python() else { return };
    let folder = Folder::new();
    let (path, rewritten) = (folder.example("atlas.h5"), folder.path("rewritten.h5ad"));
    let subset = folder.path("subset.h5ad");
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/reference/anndata_roundtrip.py");
    let done =
        Command::new(python).arg(script).args([&path, &rewritten, &subset]).output().unwrap();
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));

    let mut again = read(&rewritten).unwrap();
    let added = again.columns.split_off(3);
    assert_eq!(told(&again), told(&Atlas::example()));
    assert_eq!(added.len(), 2);
    let told_column = format!("{:?}", added[0].values);
    assert_eq!(told_column, r#"Text([Some("a"), Some("b"), Some("a"), None, Some("b")])"#);
    assert!(
        matches!(&added[1].values, ColumnValues::Number(counts) if counts == &[1.0, 2.0, 3.0, 4.0, 5.0])
    );

    assert_eq!(validate(&rewritten).problems, Vec::<String>::new());

    let first_two = read(&subset).unwrap();
    assert_eq!(first_two.n_cells(), 2);
    assert_eq!(first_two.specimens[0].n_cells, 2);
    assert_eq!(first_two.contacts.unwrap().pairs().collect::<Vec<_>>(), [(0, 1, 12.5)]);
}

struct Folder(TempDir);

impl Folder {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn example(&self, name: &str) -> PathBuf {
        let path = self.path(name);
        write(&path, &Atlas::example()).unwrap();
        path
    }
}

/// Everything in an atlas as text, where NaN is NaN.
fn told(atlas: &Atlas) -> String {
    format!("{atlas:#?}")
}

#[test]
fn what_is_written_is_read() {
    let folder = Folder::new();
    let atlas = read(folder.example("atlas.h5")).unwrap();
    pretty_assert(&told(&atlas), &told(&Atlas::example()));
}

fn pretty_assert(found: &str, wanted: &str) {
    for (line, (found, wanted)) in found.lines().zip(wanted.lines()).enumerate() {
        assert_eq!(found, wanted, "line {line}");
    }
    assert_eq!(found.len(), wanted.len());
}

#[test]
fn an_atlas_without_cells_is_an_atlas() {
    let folder = Folder::new();
    let path = folder.path("empty.h5");
    let empty = Atlas::new("nothing yet", vec![], Array2::zeros((0, 3)));
    write(&path, &empty).unwrap();
    assert_eq!(told(&read(&path).unwrap()), told(&empty));
}

#[test]
fn the_same_atlas_is_the_same_bytes() {
    let folder = Folder::new();
    let first = folder.example("first.h5");
    std::thread::sleep(std::time::Duration::from_millis(1100)); // HDF5 would note seconds
    let second = folder.example("second.h5");
    assert_eq!(fs::read(first).unwrap(), fs::read(second).unwrap());
}

/// 300 specimens with 10 cells each: categories beyond a byte, arrays beyond a chunk.
fn large() -> Atlas {
    let cells: Vec<_> = (0..300)
        .flat_map(|specimen| {
            (0..10).map(move |cell| CellId::new(format!("s{specimen}"), format!("{cell}")))
        })
        .collect();
    let n = cells.len();
    let number = |row: usize, column: usize| ((row * 31 + column * 7) % 1009) as f32;
    let mut atlas =
        Atlas::new("large", cells, Array2::from_shape_fn((n, 3), |(r, c)| number(r, c)));
    let names = (0..50).map(|feature| format!("feature {feature}")).collect();
    let measured = Array2::from_shape_fn((n, 50), |(r, c)| number(r, c));
    let transposed = Array2::from_shape_fn((50, n), |(c, r)| number(r, c)).reversed_axes();
    atlas.proteins =
        vec![Protein { predicted: transposed, ..Protein::measured("p", names, measured) }];
    atlas.columns = vec![Column::number("row", (0..n).map(|row| row as f64 + 0.1).collect())];
    atlas.specimens = (0..300)
        .map(|at| Specimen { id: format!("s{at}"), n_cells: 10, ..Specimen::default() })
        .collect();
    atlas
}

#[test]
fn a_larger_atlas_is_compressed_and_comes_back() {
    let (folder, atlas) = (Folder::new(), large());
    let path = folder.path("large.h5");
    write(&path, &atlas).unwrap();
    let found = read(&path).unwrap();
    assert_eq!(found.cells, atlas.cells);
    assert_eq!(found.proteins[0].measured, atlas.proteins[0].measured);
    assert_eq!(found.proteins[0].predicted, atlas.proteins[0].predicted);
    assert_eq!(found.spatial_um, atlas.spatial_um);
    let plain = 4 * 4 * atlas.proteins[0].measured.len() as u64;
    assert!(fs::metadata(&path).unwrap().len() < plain / 2);
}

#[test]
fn a_header_says_what_is_in_the_file() {
    let folder = Folder::new();
    let header = read_header(folder.example("atlas.h5")).unwrap();
    assert_eq!((header.n_cells, header.n_specimens, header.format_version), (5, 2, 1));
    assert_eq!(header.proteins, ["actin", "NLS-tdTomato"]);
    assert_eq!(header.columns, ["archetype", "count_pea3", "touches_border"]);
    assert_eq!(header.features, ["volume_um3", "sphericity"]);
}

#[test]
fn an_atlas_that_does_not_hold_together_is_not_written() {
    let folder = Folder::new();
    let path = folder.example("atlas.h5");
    let before = fs::read(&path).unwrap();
    let mut spoiled = Atlas::example();
    spoiled.cells.pop();
    assert!(matches!(write(&path, &spoiled), Err(AtlasError::Inconsistent { .. })));
    assert_eq!(fs::read(&path).unwrap(), before);
}

#[test]
fn other_files_are_told_from_atlases() {
    let folder = Folder::new();
    let missing = read(folder.path("missing.h5")).unwrap_err();
    assert!(matches!(missing, AtlasError::Read { .. }), "{missing}");

    fs::write(folder.path("text.h5"), "cells").unwrap();
    let text = read(folder.path("text.h5")).unwrap_err();
    assert!(matches!(text, AtlasError::NotHdf5 { .. }), "{text}");

    hdf5_metno::File::create(folder.path("plain.h5")).unwrap().close().unwrap();
    let plain = read(folder.path("plain.h5")).unwrap_err();
    assert!(matches!(plain, AtlasError::NotAtlas { .. }), "{plain}");

    let path = folder.example("atlas.h5");
    change(&path, |file| file.unlink("uns/primordia").unwrap());
    let anndata = read(&path).unwrap_err();
    assert!(anndata.to_string().contains("an AnnData file that Primordia did not write"));
}

fn change(path: &Path, change: impl FnOnce(&hdf5_metno::File)) {
    let file = hdf5_metno::File::open_rw(path).unwrap();
    change(&file);
    file.close().unwrap();
}

#[test]
fn a_newer_file_says_that_a_newer_program_is_wanted() {
    let folder = Folder::new();
    let path = folder.example("atlas.h5");
    change(&path, |file| {
        file.dataset("uns/primordia/versions/scores").unwrap().write_scalar(&9_u64).unwrap();
    });
    let error = read(&path).unwrap_err();
    assert!(matches!(error, AtlasError::NewerFormat { found: 9, wanted: 1, .. }), "{error}");
}

#[test]
fn what_is_missing_is_named() {
    let folder = Folder::new();
    for object in ["X", "obs/label", "obsm/protein_actin_lower", "uns/primordia/scores/r2_sd"] {
        let path = folder.example("atlas.h5");
        change(&path, |file| file.unlink(object).unwrap());
        let error = read(&path).unwrap_err();
        assert!(matches!(&error, AtlasError::Missing { object: o, .. } if o == object), "{error}");
        assert!(error.to_string().contains("atlas.h5"), "{error}");
    }
}

#[test]
fn an_array_that_claims_more_than_the_file_holds_is_refused() {
    let folder = Folder::new();
    let path = folder.example("atlas.h5");
    change(&path, |file| {
        file.unlink("X").unwrap();
        let builder = file.new_dataset::<f32>().chunk((1024, 1024));
        builder.shape((1_000_000_000_000_usize, 100_000_usize)).create("X").unwrap();
    });
    let error = read(&path).unwrap_err();
    assert!(matches!(&error, AtlasError::Malformed { object, .. } if object == "X"), "{error}");
}

#[test]
fn a_group_in_itself_is_refused() {
    let folder = Folder::new();
    let path = folder.example("atlas.h5");
    change(&path, |file| {
        let arrays = file.group("uns/primordia/arrays").unwrap();
        arrays.link_hard("/uns/primordia/arrays", "again").unwrap();
    });
    let error = read(&path).unwrap_err();
    assert!(error.to_string().contains("groups without end"), "{error}");
    assert!(!validate(&path).is_valid());
}

/// The library that reads HDF5 would walk such a heap for ever.
#[test]
fn a_heap_of_texts_that_never_ends_is_refused() {
    const HEADER: usize = 16;
    let folder = Folder::new();
    let path = folder.example("atlas.h5");
    let mut bytes = fs::read(&path).unwrap();
    let first = bytes.windows(4).position(|four| four == b"GCOL").unwrap() + HEADER;
    bytes[first..first + HEADER].fill(0); // free space of no size
    fs::write(&path, &bytes).unwrap();
    assert!(read(&path).unwrap_err().to_string().contains("heap of texts"));
}

#[test]
fn a_cut_file_is_an_error() {
    let folder = Folder::new();
    let bytes = fs::read(folder.example("atlas.h5")).unwrap();
    let path = folder.path("cut.h5");
    for end in (0..bytes.len()).step_by(bytes.len() / 200) {
        fs::write(&path, &bytes[..end]).unwrap();
        assert!(read(&path).is_err(), "cut at {end} of {}", bytes.len());
    }
}

#[test]
fn a_damaged_file_is_an_error_or_an_atlas_but_no_panic() {
    let folder = Folder::new();
    let bytes = fs::read(folder.example("atlas.h5")).unwrap();
    let path = folder.path("damaged.h5");
    let (mut refused, mut tried) = (0, 0);
    for at in (0..bytes.len()).step_by(bytes.len() / 150) {
        for pattern in [0xff, 0x01] {
            let mut damaged = bytes.clone();
            damaged[at] ^= pattern;
            fs::write(&path, &damaged).unwrap();
            refused += u32::from(read(&path).is_err());
            validate(&path);
            tried += 1;
        }
    }
    assert!(refused > tried / 10, "{refused} of {tried} refused");
}
