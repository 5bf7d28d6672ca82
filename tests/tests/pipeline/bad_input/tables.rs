//! Tables of cells with one fault each.

use std::fmt::Write as _;
use std::path::Path;
use std::sync::OnceLock;

use super::experiments::{BUILD, FILE};
use super::{Case, atlases, case, put, run, sandbox};

const SPECIMENS: [&str; 3] = ["2902E38204", "8713481504", "056F63395C"];
const CELLS: usize = 12;

const EXPERIMENT: &str = "[tables]\nspecimen = \"specimen\"\ncell = \"cell\"\n\
    position_um = { file = \"cells.csv\", columns = [\"x\", \"y\", \"z\"] }\n\
    features = \"cells.csv\"\nshape.tissue = \"shape.csv\"\nprotein.actin.tissue = \"actin.csv\"\n";

/// An experiment of three tables that belong together.
pub(super) fn sound(folder: &Path) {
    put(folder, FILE, EXPERIMENT.as_bytes());
    put(folder, "cells.csv", table(["x", "y", "z", "volume_um3"], 1.0).as_bytes());
    put(folder, "shape.csv", table(["s1", "s2", "s3", "s4"], 2.0).as_bytes());
    put(folder, "actin.csv", table(["p1", "p2", "p3", "p4"], 3.0).as_bytes());
}

/// A row for each cell, its numbers made from a wave.
fn table(columns: [&str; 4], frequency: f64) -> String {
    let mut text = format!("specimen,cell,{}\n", columns.join(","));
    for (i, specimen) in SPECIMENS.iter().enumerate() {
        for cell in 1..=CELLS {
            let number = |column: usize| {
                50.0 + 40.0 * (frequency * (i * 97 + cell * 7 + column) as f64).sin()
            };
            let numbers: Vec<String> = (0..4).map(|c| format!("{:.3}", number(c))).collect();
            writeln!(text, "{specimen},{cell},{}", numbers.join(",")).unwrap();
        }
    }
    text
}

/// The sound experiment with one of its tables changed.
fn edited(
    kind: &'static str,
    file: &'static str,
    says: &'static str,
    edit: impl Fn(String) -> String + 'static,
) -> Case {
    case(kind, BUILD, &[file, says], move |folder| {
        sound(folder);
        let text = std::fs::read_to_string(folder.join(file)).unwrap();
        put(folder, file, edit(text).as_bytes());
    })
}

/// The table with `field` in place of the last field of its fourth line.
fn with_field(text: &str, field: &str) -> String {
    let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
    let start = lines[3].rfind(',').unwrap();
    lines[3].replace_range(start + 1.., field);
    lines.join("\n")
}

fn first_line(text: &str) -> String {
    text.lines().take(1).collect()
}

pub(super) fn cases() -> Vec<Case> {
    [texts(), tables_that_do_not_fit(), packed()].into_iter().flatten().collect()
}

fn texts() -> Vec<Case> {
    vec![
        edited("a table without a column that is named", "cells.csv", "\"y\"", |text| {
            text.replace("x,y,z", "x,why,z")
        }),
        edited("a table with a cell twice", "shape.csv", "twice", |text| {
            let last = text.lines().last().unwrap().to_owned();
            text + &last + "\n"
        }),
        edited("a table with two columns of one name", "shape.csv", "\"s1\"", |text| {
            text.replace("s1,s2", "s1,s1")
        }),
        edited("a table with text among numbers", "actin.csv", "bright", |text| {
            with_field(&text, "bright")
        }),
        edited("a table with an infinite number", "actin.csv", "finite", |text| {
            with_field(&text, "inf")
        }),
        edited("a table with a number out of range", "actin.csv", "finite", |text| {
            with_field(&text, "1e999")
        }),
        edited("a table with a row too short", "shape.csv", "line 4", |text| {
            text.replacen(&format!("{},3,", SPECIMENS[0]), &format!("{},", SPECIMENS[0]), 1)
        }),
        edited("a table with a row too long", "shape.csv", "line 4", |text| {
            with_field(&text, "1,2")
        }),
        edited("a table with a cell that has no name", "shape.csv", "no value", |text| {
            text.replacen(&format!("{},3,", SPECIMENS[0]), &format!("{},,", SPECIMENS[0]), 1)
        }),
        edited("a table with an open quotation mark", "cells.csv", "quotation mark", |text| {
            with_field(&text, "\"12")
        }),
        edited("a table that is empty", "cells.csv", "empty", |_| String::new()),
        case(
            "a table of shapes that is but a header",
            BUILD,
            &["shape.csv", "no rows", "name another"],
            |folder| {
                sound(folder);
                let text = std::fs::read_to_string(folder.join("shape.csv")).unwrap();
                put(folder, "shape.csv", first_line(&text).as_bytes());
            },
        ),
        case("a table that is not UTF-8", BUILD, &["cells.csv", "UTF-8"], |folder| {
            sound(folder);
            put(folder, "cells.csv", b"specimen,cell,x,y,z\nA,1,1 \xb5m,2,3\n");
        }),
    ]
}

fn tables_that_do_not_fit() -> Vec<Case> {
    let all_but_headers = |folder: &Path| {
        sound(folder);
        for name in ["cells.csv", "shape.csv", "actin.csv"] {
            let text = std::fs::read_to_string(folder.join(name)).unwrap();
            put(folder, name, first_line(&text).as_bytes());
        }
    };
    vec![
        case("tables that are all but headers", BUILD, &["shape.csv", "no rows"], all_but_headers),
        edited("a table without numbers", "shape.csv", "no column of numbers", |text| {
            text.lines()
                .map(|line| line.split(',').take(2).collect::<Vec<_>>().join(",") + "\n")
                .collect()
        }),
        edited("a table of other cells", "actin.csv", "no cell", |text| {
            SPECIMENS.iter().fold(text, |text, id| text.replace(id, &format!("embryo {id}")))
        }),
        edited("a table that is not there", FILE, "cells.xlsx", |text| {
            text.replacen("cells.csv", "cells.xlsx", 1)
        }),
        case("a table in a format that is not read", BUILD, &["cells.xlsx", ".csv"], |folder| {
            sound(folder);
            put(folder, "cells.xlsx", b"PK\x03\x04");
            put(folder, FILE, EXPERIMENT.replace("cells.csv", "cells.xlsx").as_bytes());
        }),
    ]
}

/// A Parquet file of an atlas's cells.
fn parquet() -> &'static [u8] {
    static PARQUET: OnceLock<Vec<u8>> = OnceLock::new();
    PARQUET.get_or_init(|| {
        let folder = sandbox(|folder| put(folder, "atlas.h5", atlases::sound()));
        let output = run("export atlas.h5 -o out --format parquet", None, folder.path());
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        std::fs::read(folder.path().join("out/cells.parquet")).unwrap()
    })
}

/// An experiment whose features are in `name`, made of `bytes`.
fn features(kind: &'static str, name: &'static str, bytes: fn() -> Vec<u8>) -> Case {
    case(kind, BUILD, &[name], move |folder| {
        sound(folder);
        put(folder, name, &bytes());
        let features = format!("features = \"{name}\"");
        put(folder, FILE, EXPERIMENT.replace("features = \"cells.csv\"", &features).as_bytes());
    })
}

/// An experiment of one deposit, of which `path` holds `bytes`.
fn deposit(
    kind: &'static str,
    says: &'static [&'static str],
    path: &'static str,
    bytes: &'static [u8],
) -> Case {
    case(kind, BUILD, says, move |folder| {
        put(folder, path, bytes);
        let top = path.split('/').next().unwrap();
        put(folder, FILE, format!("[[deposit]]\npath = \"{top}\"\n").as_bytes());
    })
}

fn packed() -> Vec<Case> {
    vec![
        features("a Parquet file cut in the middle", "cells.parquet", || {
            parquet()[..parquet().len() / 2].to_vec()
        }),
        features("a Parquet file with damaged pages", "cells.parquet", || {
            let mut bytes = parquet().to_vec();
            let middle = 4..bytes.len() / 2;
            bytes[middle].fill(0xff);
            bytes
        }),
        features("a Parquet file with a damaged footer", "cells.parquet", || {
            let mut bytes = parquet().to_vec();
            let n = bytes.len();
            bytes[n - 64..n - 8].fill(0xff);
            bytes
        }),
        features("a text called .parquet", "cells.parquet", || b"specimen,cell\n".to_vec()),
        features("a gzip file that is none", "cells.csv.gz", || b"specimen,cell\n".to_vec()),
        deposit("a zip file that is none", &["A.zip", "zip"], "A.zip", b"not a zip file"),
        deposit("a zip file cut behind its start", &["A.zip", "zip"], "A.zip", b"PK\x03\x04\x14\0"),
        deposit("a deposit without tables", &["A"], "A/notes.txt", b"nothing here"),
        deposit(
            "a deposit with the cells of another specimen",
            &["A_other_measurements.tsv", "\"B\""],
            "A/A_other_measurements.tsv",
            b"Source Name\tCell ID\tVolume\nB\t1\t250.0\n",
        ),
        deposit(
            "a deposited table with a row too short",
            &["A_shape_TFOR_raw_measured.tsv", "line 2"],
            "A/A_shape_TFOR_raw_measured.tsv",
            b"Source Name\tCell ID\tPC 1\nA\t1\n",
        ),
    ]
}
