//! Files that are no atlas, and questions that an atlas cannot answer.

use std::sync::OnceLock;

use super::{Case, case, hdf5, outputs, put, run, sandbox, tables};

const FILE: &str = "atlas.h5";

/// The bytes of an atlas of tables.
pub(super) fn sound() -> &'static [u8] {
    static ATLAS: OnceLock<Vec<u8>> = OnceLock::new();
    ATLAS.get_or_init(|| {
        let folder = sandbox(tables::sound);
        let output = run("build experiment.toml -o out/atlas.h5", None, folder.path());
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        std::fs::read(folder.path().join("out/atlas.h5")).unwrap()
    })
}

/// The bytes of an atlas of one imaged specimen, whose cells can be drawn.
pub(super) fn imaged() -> &'static [u8] {
    static ATLAS: OnceLock<Vec<u8>> = OnceLock::new();
    ATLAS.get_or_init(|| {
        let folder = sandbox(outputs::images);
        let output = run("build experiment.toml -o out/atlas.h5", None, folder.path());
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        std::fs::read(folder.path().join("out/atlas.h5")).unwrap()
    })
}

/// A command on a file of the name of an atlas.
fn given(
    kind: &'static str,
    command: &'static str,
    says: &'static [&'static str],
    bytes: fn() -> Vec<u8>,
) -> Case {
    case(kind, command, says, move |folder| put(folder, FILE, &bytes()))
}

fn cut() -> Vec<u8> {
    sound()[..sound().len() / 2].to_vec()
}

fn text() -> Vec<u8> {
    b"specimen,cell\nA,1\n".to_vec()
}

fn image() -> Vec<u8> {
    let folder = tempfile::tempdir().unwrap();
    hdf5::sound(folder.path());
    std::fs::read(folder.path().join("broken.h5")).unwrap()
}

/// Walks that cannot be gone.
fn walks() -> Vec<Case> {
    const WALK: &str = "walk atlas.h5 -o out/walk";
    let (of_tables, of_images) = (|| sound().to_vec(), || imaged().to_vec());
    vec![
        given("a cut atlas to walk", WALK, &[FILE], cut),
        given("a text to walk", WALK, &[FILE, "not an HDF5 file"], text),
        case("an atlas to walk that is not there", WALK, &[FILE], |_| ()),
        given(
            "an atlas to walk that has no surfaces",
            WALK,
            &[FILE, "tissue", "images"],
            of_tables,
        ),
        given(
            "an axis that no atlas has",
            "walk atlas.h5 --axis 1000 -o out/walk",
            &[FILE, "axis 1000", "from 1 to"],
            of_images,
        ),
        given(
            "a protein to paint that no atlas has",
            "walk atlas.h5 --channel myosin -o out/walk",
            &[FILE, "myosin", "actin"],
            of_images,
        ),
    ]
}

pub(super) fn cases() -> Vec<Case> {
    const QUERY: &str = "query atlas.h5 'SELECT * FROM cells'";
    const EXPORT: &str = "export atlas.h5 -o out/tables";
    let whole = || sound().to_vec();
    let mut cases = vec![
        given("a cut atlas to validate", "validate atlas.h5", &[FILE], cut),
        given("a cut atlas to validate for a program", "validate atlas.h5 --json", &[FILE], cut),
        given("a cut atlas to query", QUERY, &[FILE], cut),
        given("a cut atlas to export", EXPORT, &[FILE], cut),
        given("a text to validate", "validate atlas.h5", &[FILE, "not an HDF5 file"], text),
        given("a text to query", QUERY, &[FILE, "not an HDF5 file"], text),
        given("an image to validate", "validate atlas.h5", &[FILE], image),
        given("an image to query", QUERY, &[FILE, "not an atlas"], image),
        given("an image to export", EXPORT, &[FILE, "not an atlas"], image),
        case("an atlas to query that is not there", QUERY, &[FILE], |_| ()),
        case("an atlas to validate that is not there", "validate atlas.h5", &[FILE], |_| ()),
    ];
    cases.extend([
        given(
            "a table that no atlas has",
            "query atlas.h5 'SELECT * FROM embryos'",
            &["embryos", "cells", "actin"],
            whole,
        ),
        given(
            "a column that no table has",
            "query atlas.h5 'SELECT colour FROM cells'",
            &["colour", "volume_um3"],
            whole,
        ),
        given("a question that is not SQL", "query atlas.h5 'which cells?'", &["SELECT"], whole),
        given("an empty question", "query atlas.h5 ''", &["SELECT"], whole),
        given(
            "a number where SQL wants a text",
            "query atlas.h5 'SELECT volume_um3 + specimen FROM cells'",
            &["cannot answer"],
            whole,
        ),
        given(
            "a format that answers are not written in",
            "export atlas.h5 -o out/answer.xlsx --sql 'SELECT * FROM cells'",
            &["answer.xlsx", ".parquet"],
            whole,
        ),
        given(
            "a question to export that has no answer",
            "export atlas.h5 -o out/answer.csv --sql 'SELECT * FROM embryos'",
            &["embryos"],
            whole,
        ),
    ]);
    cases.extend(walks());
    cases
}
