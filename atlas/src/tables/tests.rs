use std::path::Path;

use polars::prelude::{Column, DataFrame, NamedFrom, Series};
use polars_io::prelude::ParquetWriter;
use primordia_data::experiment::Attribute;

use super::*;

/// Single precision, as the pooled Parquet tables are written.
const SINGLE_PRECISION: f64 = 1e-6;

/// A folder of small tables.
struct Folder(tempfile::TempDir);

impl Folder {
    fn with(files: &[(&str, &str)]) -> Self {
        let folder = Self(tempfile::tempdir().unwrap());
        for (name, text) in files {
            folder.write(name, text.as_bytes());
        }
        folder
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn write(&self, name: &str, bytes: &[u8]) {
        std::fs::create_dir_all(self.path(name).parent().unwrap()).unwrap();
        std::fs::write(self.path(name), bytes).unwrap();
    }

    /// The cells of an experiment whose tables have columns `fish` and `cell`.
    fn read(&self, tables: &str) -> Result<TableCells> {
        let text = format!("[tables]\nspecimen = \"fish\"\ncell = \"cell\"\n{tables}\n");
        self.read_text(&text)
    }

    fn read_text(&self, text: &str) -> Result<TableCells> {
        read_tables(&Experiment::from_toml(text, self.path("experiment.toml")).unwrap())
    }

    fn refused(&self, tables: &str) -> String {
        self.read(tables).unwrap_err().to_string()
    }
}

fn ids(cells: &TableCells) -> Vec<(&str, &str)> {
    cells.cells.iter().map(|cell| (&*cell.specimen, &*cell.cell)).collect()
}

const SHAPE: &str = "fish\tcell\tfeature 1\tstrain\n\
                     8713481504\t1\t0.5\twild\n\
                     2902E38204\t2\t-1e-3\tpea3\n\
                     2902E38204\t10\tnan\tpea3\n";

#[test]
fn ids_that_look_like_numbers_stay_text() {
    let folder = Folder::with(&[("shape.tsv", SHAPE)]);
    let cells = folder.read("shape.tissue = \"shape.tsv\"").unwrap();
    assert_eq!(ids(&cells), [("8713481504", "1"), ("2902E38204", "2"), ("2902E38204", "10")]);
    let block = &cells.shape["tissue"];
    assert_eq!(block.names, ["feature 1"]);
    assert_eq!(block.values.column(0).to_vec()[..2], [0.5, -1e-3]);
    assert!(block.values[[2, 0]].is_nan(), "a missing value is NaN");
    assert_eq!(block.complete_rows(), [0, 1]);
    assert_eq!(cells.specimens[1].n_cells, 2);
    let strain = ("strain".to_owned(), Attribute::Text("pea3".into()));
    assert_eq!(cells.specimens[1].attributes, [strain]);
}

#[test]
fn cells_are_joined_by_name_not_by_row() {
    let folder = Folder::with(&[
        ("a.csv", "fish,cell,f\nB,1,1\nA,2,2\nB,2,3\nA,1,4\n"),
        ("b.csv", "cell,g,fish\n1,40,A\n2,30,B\n3,50,B\n"),
        ("actin.csv", "fish,cell,p\nA,1,7\n"),
        ("kind.csv", "fish,cell,kind\nA,1,1.0\nB,2,NA\nB,1,tip\n"),
        ("count.csv", "fish,cell,spots\nB,2,12\nX,9,3\n"),
        ("more.csv", "fish,cell,Volume,x\nA,1,250,1\n"),
    ]);
    let cells = folder
        .read(
            "shape.tissue = \"a.csv\"\nshape.cell = \"b.csv\"\nprotein.actin.tissue = \"actin.csv\"
             class.kind = { file = \"kind.csv\", names = { 1 = \"leader\" } }
             count.pea3 = \"count.csv\"\nfeatures = \"more.csv\"
             position_um = { file = \"more.csv\", columns = [\"x\", \"Volume\", \"cell\"] }",
        )
        .unwrap();
    // specimens as they first appear, the cells of each as they first appear
    let wanted = [("B", "1"), ("B", "2"), ("B", "3"), ("A", "2"), ("A", "1")];
    assert_eq!(ids(&cells), wanted);
    let column = |block: &FeatureBlock| {
        let known = block.values.column(0).to_vec();
        known.iter().map(|value| (!value.is_nan()).then_some(*value)).collect::<Vec<_>>()
    };
    let values = [Some(1.0), Some(3.0), None, Some(2.0), Some(4.0)];
    assert_eq!(column(&cells.shape["tissue"]), values);
    assert_eq!(column(&cells.shape["cell"]), [None, Some(30.0), Some(50.0), None, Some(40.0)]);
    let actin = &cells.proteins["actin"][&Frame::Tissue];
    assert_eq!(column(actin), [None, None, None, None, Some(7.0)]);
    let kinds = &cells.classes["kind"];
    assert_eq!(kinds[0].as_deref(), Some("tip"));
    assert_eq!(kinds[1], None);
    assert_eq!(kinds[4].as_deref(), Some("leader"));
    assert_eq!(cells.counts["pea3"].iter().filter(|count| !count.is_nan()).count(), 1);
    assert_eq!(cells.positions_um.row(4).to_vec(), [1.0, 250.0, 1.0]);
    assert!(cells.features.names.is_empty(), "positions are no features");
    let unmatched = Unmatched { file: folder.path("count.csv"), n_cells: 1 };
    assert_eq!(cells.unmatched, [unmatched], "X, 9 is no cell of the shape tables");
}

#[test]
fn features_have_our_names_beside_the_published_ones() {
    let folder =
        Folder::with(&[("o.csv", "fish,cell,Volume,Z/Y Aspect Ratio,my own\nA,1,250,1.5,3\n")]);
    let cells = folder.read("features = \"o.csv\"").unwrap();
    assert_eq!(cells.features.names, ["volume_um3", "aspect_zy", "my own"]);
    assert_eq!(cells.features.published, ["Volume", "Z/Y Aspect Ratio", "my own"]);
}

#[test]
fn every_table_that_cannot_be_meant_is_an_error_with_its_place() {
    let folder = Folder::with(&[
        ("shape.csv", "fish,cell,f\nA,1,1\n"),
        ("word.csv", "fish,cell,f\nA,1,1\nA,2,one\n"),
        ("infinite.csv", "fish,cell,f\nA,1,2902E38204\n"),
        ("inf.csv", "fish,cell,f\nA,1,-inf\n"),
        ("twice.csv", "fish,cell,f\nA,1,1\nB,1,1\nA,1,1\n"),
        ("no_id.csv", "fish,cell,f\nA,1,1\nA,,2\n"),
        ("no_numbers.csv", "fish,cell,f\nA,1,one\n"),
        ("other.csv", "fish,cell,f\nA,01,1\n"),
        ("wrong.csv", "fish,label,f\nA,1,1\n"),
        ("kinds.csv", "fish,cell,one,two\nA,1,a,b\nA,2,c,d\n"),
        ("cut.csv", "fish,cell,f\nA,1"),
        ("table.xlsx", ""),
        ("no.parquet", "PAR1 is this? PAR1"),
        ("no.csv.gz", "fish,cell,f\nA,1,1\n"),
    ]);
    let shape = |file: &str| folder.refused(&format!("shape.tissue = \"{file}\""));
    for (file, wanted) in [
        ("word.csv", "row 2, column \"f\": a number wanted, got \"one\""),
        ("infinite.csv", "row 1, column \"f\": a finite number wanted, got 2902E38204"),
        ("inf.csv", "row 1, column \"f\": a finite number wanted, got -inf"),
        ("twice.csv", "row 3: cell \"1\" of specimen \"A\" is here twice"),
        ("no_id.csv", "row 2: no value in column \"cell\""),
        ("no_numbers.csv", "no column of numbers beside fish and cell"),
        ("wrong.csv", "no column \"cell\"; there are: fish, label, f"),
        ("cut.csv", "line 2: 2 fields, the header has 3"),
        ("table.xlsx", "is no table by its name"),
        ("no.parquet", "no Parquet file"),
        ("no.csv.gz", "cannot read"),
    ] {
        let error = shape(file);
        assert!(error.contains(wanted) && error.contains(file), "{error}");
    }
    for (tables, wanted) in [
        ("protein.actin.cell = \"other.csv\"", "no cell of"),
        ("class.kind = \"kinds.csv\"", "which column is \"kind\"? there are: one, two"),
        ("count.spots = { file = \"shape.csv\", column = \"n\" }", "no column \"n\""),
        ("features = [\"shape.csv\", \"twice.csv\"]", "twice"),
        ("features = [\"shape.csv\", \"other.csv\"]", "feature \"f\" is in another table"),
        ("position_um = { file = \"shape.csv\", columns = [\"x\", \"y\", \"z\"] }", "\"x\""),
        ("[[specimen]]\nid = \"B\"\nsex = \"f\"", "describes specimen \"B\""),
    ] {
        let error = folder.refused(&format!("shape.tissue = \"shape.csv\"\n{tables}"));
        assert!(error.contains(wanted), "{tables}: {error}");
    }
}

#[test]
fn a_table_without_rows_is_blamed_itself() {
    let folder =
        Folder::with(&[("shape.csv", "fish,cell,f\n"), ("actin.csv", "fish,cell,g\nA,1,2\n")]);
    let error = folder.refused("shape.tissue = \"shape.csv\"\nprotein.actin.cell = \"actin.csv\"");
    assert!(error.contains("shape.csv has no rows"), "{error}");
}

#[test]
fn sets_of_tables_stack_but_share_no_cell() {
    let folder = Folder::with(&[
        ("a.csv", "fish,cell,f,g\nA,1,1,2\n"),
        ("b.csv", "fish,cell,g,f\nB,1,3,4\n"),
        ("c.csv", "fish,cell,f\nC,1,5\n"),
    ]);
    let set = |file: &str| {
        format!("[[tables]]\nspecimen = \"fish\"\ncell = \"cell\"\nshape.tissue = \"{file}\"\n")
    };
    let cells = folder.read_text(&(set("a.csv") + &set("b.csv"))).unwrap();
    assert_eq!(ids(&cells), [("A", "1"), ("B", "1")]);
    assert_eq!(cells.shape["tissue"].values, ndarray::array![[1.0, 2.0], [4.0, 3.0]]);
    let error = folder.read_text(&(set("a.csv") + &set("a.csv"))).unwrap_err();
    assert!(matches!(error, TableError::CellInTwoSets { .. }));
    let error = folder.read_text(&(set("a.csv") + &set("c.csv"))).unwrap_err();
    assert!(matches!(error, TableError::ColumnsDiffer { .. }));
}

#[test]
fn typed_ids_are_whole_numbers_or_text() {
    let folder = Folder::with(&[]);
    let write = |name: &str, fish: Series| {
        let columns = [fish, Series::new("cell".into(), [1_i32, 2])];
        let f = Series::new("f".into(), [Some(0.25_f32), None]);
        let columns = columns.into_iter().chain([f]).map(Column::from).collect();
        let mut frame = DataFrame::new_infer_height(columns).unwrap();
        ParquetWriter::new(std::fs::File::create(folder.path(name)).unwrap())
            .finish(&mut frame)
            .unwrap();
    };
    write("text.parquet", Series::new("fish".into(), ["2902E38204", "8713481504"]));
    write("whole.parquet", Series::new("fish".into(), [8_713_481_504_i64, 7]));
    write("float.parquet", Series::new("fish".into(), [8_713_481_504.0_f64, f64::INFINITY]));

    let cells = folder.read("shape.tissue = \"text.parquet\"").unwrap();
    assert_eq!(ids(&cells), [("2902E38204", "1"), ("8713481504", "2")]);
    assert!(cells.shape["tissue"].values[[1, 0]].is_nan(), "null is NaN");
    let cells = folder.read("shape.tissue = \"whole.parquet\"").unwrap();
    assert_eq!(ids(&cells), [("8713481504", "1"), ("7", "2")]);
    let error = folder.refused("shape.tissue = \"float.parquet\"");
    assert!(error.contains("column \"fish\" is fractional numbers"), "{error}");

    // a damaged file is an error that names it, wherever the damage is
    let whole = std::fs::read(folder.path("text.parquet")).unwrap();
    for cut in (8..whole.len()).step_by(97) {
        folder.write("cut.parquet", &[&whole[..cut], b"PAR1"].concat());
        let error = folder.refused("shape.tissue = \"cut.parquet\"");
        assert!(error.contains("cut.parquet"), "{error}");
    }
}

/// The real data, if they are here.
pub(crate) fn real_data(what: &str) -> Option<PathBuf> {
    let beside = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/data/real");
    let root = std::env::var_os("PRIMORDIA_DATA").map_or(beside, PathBuf::from);
    let path = root.join(what);
    if !path.exists() {
        eprintln!("SKIPPED: {} is not here; set PRIMORDIA_DATA", path.display());
        return None;
    }
    path.canonicalize().ok()
}

fn deposit(path: &Path) -> TableCells {
    let path = path.to_str().unwrap();
    let text = format!("[[deposit]]\npath = '{path}'\norigin = \"IDR\"\n");
    read_tables(&Experiment::from_toml(&text, "experiment.toml").unwrap()).unwrap()
}

/// Values that are NaN in the same places and equal elsewhere.
fn assert_same(left: &Array2<f64>, right: &Array2<f64>, tolerance: f64) {
    assert_eq!(left.dim(), right.dim());
    for (a, b) in left.iter().zip(right) {
        let same = (a.is_nan() && b.is_nan()) || (a - b).abs() <= tolerance * (1.0 + b.abs());
        assert!(same, "{a} is not {b}");
    }
}

#[test]
fn a_deposit_is_the_same_zipped_and_unzipped() {
    let Some(sample) = real_data("idr0079_deposit_sample") else { return };
    let zipped = deposit(&sample.join("*.zip"));
    let whole_folder = deposit(&sample);
    let unzipped = tempfile::tempdir().unwrap();
    for entry in std::fs::read_dir(&sample).unwrap() {
        let zip = std::fs::File::open(entry.unwrap().path()).unwrap();
        zip::ZipArchive::new(zip).unwrap().extract(unzipped.path()).unwrap();
    }
    let one_by_one = deposit(&unzipped.path().join("*"));
    for other in [&whole_folder, &one_by_one] {
        assert_eq!(zipped.cells, other.cells);
        assert_eq!(zipped.specimens, other.specimens);
        assert_eq!(zipped.classes, other.classes);
        assert_eq!(zipped.features.names, other.features.names);
        assert_same(&zipped.features.values, &other.features.values, 0.0);
        assert_same(&zipped.positions_um, &other.positions_um, 0.0);
    }
    let specimens: Vec<_> = zipped.specimens.iter().map(|specimen| &*specimen.id).collect();
    let wanted = ["00E41C184C", "17A1DC6394", "2902E38204", "296696DB86", "8713481504"];
    assert_eq!(specimens, wanted);
    assert_eq!(zipped.specimens[0].n_cells, 109);
    assert_eq!(zipped.features.names.len(), 20);
    assert_eq!(zipped.shape["tissue"].names.len(), 60);
    assert_eq!(zipped.proteins.keys().collect::<Vec<_>>(), ["tagRFPtUtrCH"]);
    assert_eq!(zipped.counts.keys().collect::<Vec<_>>(), ["pea3"]);
    assert_eq!(zipped.classes["archetype"][0].as_deref(), Some("1"));
    assert_eq!(zipped.unmatched, []);
    let origin = ("origin".to_owned(), Attribute::Text("IDR".into()));
    assert_eq!(zipped.specimens[4].attributes, [origin]);
}

#[test]
fn a_deposit_whose_files_hold_another_specimen_is_refused() {
    let table = "Source Name\tCell ID\tfeature 1\nB\t1\t2\n";
    let folder = Folder::with(&[("A/A_shape_TFOR_raw_measured.tsv", table), ("empty/note", "")]);
    let error = folder.read_text("[[deposit]]\npath = \"A\"\n").unwrap_err();
    assert!(matches!(error, TableError::WrongSpecimen { .. }), "{error}");
    let error = folder.read_text("[[deposit]]\npath = \"empty\"\n").unwrap_err();
    assert!(matches!(error, TableError::NoDeposit { .. }), "{error}");
    folder.write("A.zip", b"PK is this?");
    let error = folder.read_text("[[deposit]]\npath = \"A.zip\"\n").unwrap_err();
    assert!(matches!(error, TableError::Zip { .. }), "{error}");
}

#[test]
fn the_pooled_tables_of_the_paper_are_what_it_deposited() {
    let (Some(folder), Some(sample)) = (real_data("idr0079"), real_data("idr0079_deposit_sample"))
    else {
        return;
    };
    let example = include_str!("../../../docs/examples/idr0079.toml");
    let root = folder.parent().unwrap().to_str().unwrap();
    let text = example.replace("${PRIMORDIA_DATA}", root);
    let pooled = read_tables(&Experiment::from_toml(&text, "idr0079.toml").unwrap()).unwrap();

    // counted with polars in Python, IDs read as text
    assert_eq!(pooled.cells.len(), 15_395);
    assert_eq!(pooled.specimens.len(), 163);
    let measured = |name: &str| pooled.proteins[name][&Frame::Cell].complete_rows().len();
    for (protein, n_cells) in [
        ("NLStdTomato", 1971),
        ("tagRFPtUtrCH", 1523),
        ("mKate2GM130", 699),
        ("mKate2rab5", 899),
        ("mKate2rab11", 1190),
        ("CDMPRtagRFPt", 692),
        ("b4galT1tagRFPt", 651),
        ("lysotrackerdeepred", 1518),
    ] {
        assert_eq!(measured(protein), n_cells, "{protein}");
    }
    let archetypes = pooled.classes["archetype"].iter().flatten();
    assert_eq!(archetypes.filter(|kind| *kind == "leader").count(), 76);
    assert_eq!(pooled.counts["pea3"].iter().filter(|count| !count.is_nan()).count(), 2517);
    assert_eq!(pooled.features.names.len(), 20);
    assert!(pooled.features.names.iter().all(|name| names::PUBLISHED.iter().any(|p| p.1 == name)));

    let deposited = deposit(&sample);
    let rows: Vec<_> = deposited
        .cells
        .iter()
        .map(|cell| pooled.cells.iter().position(|other| other == cell).unwrap())
        .collect();
    let here = |values: &Array2<f64>| values.select(ndarray::Axis(0), &rows);
    let same = |pooled: &Array2<f64>, deposited: &Array2<f64>| {
        assert_same(&here(pooled), deposited, SINGLE_PRECISION);
    };
    same(&pooled.features.values, &deposited.features.values);
    same(&pooled.positions_um, &deposited.positions_um);
    same(&pooled.shape["cell"].values, &deposited.shape["cell"].values);
    let actin = |cells: &TableCells| cells.proteins["tagRFPtUtrCH"][&Frame::Tissue].values.clone();
    same(&actin(&pooled), &actin(&deposited));
}
