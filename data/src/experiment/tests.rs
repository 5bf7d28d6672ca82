use super::*;

/// A folder with an experiment file and empty files beside it.
struct Folder(tempfile::TempDir);

impl Folder {
    fn with(files: &[&str]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        for file in files {
            let path = folder.path().join(file);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, "").unwrap();
        }
        Self(folder)
    }

    fn path(&self, file: &str) -> PathBuf {
        self.0.path().join(file)
    }

    fn read(&self, text: impl AsRef<[u8]>) -> Result<Experiment> {
        let file = self.path("experiment.toml");
        std::fs::write(&file, text).unwrap();
        Experiment::read(file)
    }

    /// The line, column, key and problem of a file that must be refused.
    fn refused(&self, text: impl AsRef<[u8]>) -> (usize, usize, String, Problem) {
        match self.read(text).unwrap_err() {
            DataError::Experiment(error) => {
                assert_eq!(error.file, self.path("experiment.toml"));
                (error.line, error.column, error.key, error.problem)
            }
            other => panic!("{other}"),
        }
    }
}

const IMAGES: &str = r#"
[experiment]
name = "pLLP"
reference = "membrane"
proteins = ["actin"]
unmix = "actin"
migration = "+x"
seed = 7

[segmentation]
method = "hartmann2020"
max_offset = 40
step = 2

[[specimens]]
images = "raw/*.ome.tif"
labels = "curated/{id}.tif"
edits = "edits/{id}.toml"
dose_um = 2

[[specimen]]
id = "8713481504"
image = "8713481504.h5"
dataset = "/raw"
unmix = "nuclei"
nuclei = "dapi"
channels = ["membrane", "actin"]
voxel_size_um = [0.225, 0.099, 0.099]
apical = [0, 0, -2]
condition = "live"
mutant = false
"#;

const IMAGE_FILES: [&str; 7] = [
    "raw/b.ome.tif",
    "raw/a.ome.tif",
    "raw/.hidden.ome.tif",
    "curated/a.tif",
    "curated/b.tif",
    "edits/a.toml",
    "8713481504.h5",
];

#[test]
fn images_come_by_pattern_and_one_by_one_in_the_order_of_the_file() {
    let folder = Folder::with(&IMAGE_FILES);
    let experiment = folder.read(IMAGES).unwrap();
    let ids: Vec<_> = experiment.specimens.iter().map(|specimen| &*specimen.id).collect();
    assert_eq!(ids, ["a", "b", "8713481504"]);
    assert_eq!(experiment.segmentation, Segmentation::Hartmann2020 { max_offset: 40, step: 2 });
    assert_eq!(experiment.seed, 7);

    let [a, b, last] = &experiment.specimens[..] else { panic!() };
    assert_eq!(a.image, folder.path("raw/a.ome.tif"));
    assert_eq!(a.labels, Some(folder.path("curated/a.tif")));
    assert_eq!(a.edits, Some(folder.path("edits/a.toml")));
    assert_eq!(b.edits, None, "not every specimen needs to be corrected");
    assert_eq!(a.attributes, [("dose_um".into(), Attribute::Number(2.0))]);
    assert_eq!(a.migration, direction(1.0, 0.0, 0.0));
    assert_eq!((a.unmix.as_deref(), last.unmix.as_deref()), (Some("actin"), Some("nuclei")));
    assert_eq!((a.nuclei.as_deref(), last.nuclei.as_deref()), (None, Some("dapi")));
    assert_eq!(last.apical, direction(0.0, 0.0, -1.0));
    assert_eq!(last.voxel_size, VoxelSize::from_um([0.225, 0.099, 0.099]).ok());
    assert_eq!(last.dataset.as_deref(), Some("/raw"));
    let text = |text: &str| Attribute::Text(text.into());
    let wanted = [("condition".into(), text("live")), ("mutant".into(), text("false"))];
    assert_eq!(last.attributes, wanted);
}

const TABLES: &str = r#"
[tables]
specimen = "Source Name"
cell = "Cell ID"
position_um = { file = "o.tsv", columns = ["X", "Y", "Z"] }
shape.tissue = "t.tsv"
shape.cell = "c.tsv"
features = "o.tsv"
protein.actin.tissue = "t.tsv"
protein."Rab 5".cell = "c.tsv"
class.archetype = { file = "o.tsv", names = { 4 = "leader" } }
count.pea3 = "o.tsv"

[[specimen]]
id = "2902E38204"
condition = "fixed"

[[deposit]]
path = "deposit/[ab].zip"
experiment = "A"
"#;

const TABLE_FILES: [&str; 5] = ["o.tsv", "t.tsv", "c.tsv", "deposit/a.zip", "deposit/b.zip"];

#[test]
fn tables_keep_the_order_of_the_file() {
    let folder = Folder::with(&TABLE_FILES);
    let experiment = folder.read(TABLES).unwrap();
    let [tables] = &experiment.tables[..] else { panic!() };
    let shape: Vec<_> = tables.shape.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(shape, ["tissue", "cell"]);
    assert_eq!(tables.position_um.as_ref().unwrap().columns, ["X", "Y", "Z"]);
    assert_eq!(tables.proteins[1].name, "Rab 5");
    assert_eq!(tables.proteins[1].frame, Frame::Cell);
    assert_eq!(tables.classes[0].names, [("4".into(), "leader".into())]);
    assert_eq!(&*experiment.annotations[0].id, "2902E38204");
    let zips = [folder.path("deposit/a.zip"), folder.path("deposit/b.zip")];
    assert_eq!(experiment.deposits[0].paths, zips);
}

#[test]
fn an_experiment_survives_its_text() {
    let folder = Folder::with(&[&IMAGE_FILES[..], &TABLE_FILES[..]].concat());
    let once = folder.read(format!("{IMAGES}\n{TABLES}")).unwrap();
    let again = folder.read(once.to_toml()).unwrap();
    let thrice = folder.read(again.to_toml()).unwrap();
    assert_eq!(once.specimens, again.specimens);
    assert_eq!(once.tables, again.tables);
    assert_eq!(once.annotations, again.annotations);
    assert_eq!(again, thrice, "only a pattern of deposits is written out");
}

#[test]
fn paths_may_hold_environment_variables() {
    let folder = Folder::with(&["pl[l]p/a.tif", "pl[l]p/l.tif"]);
    let root = folder.path("pl[l]p").to_str().unwrap().to_owned();
    let variables = |name: &str| (name == "ROOT").then(|| root.clone());
    let text = "[experiment]\nreference = \"m\"\n[[specimens]]\nimages = \"${ROOT}/a*.tif\"\n";
    let file = folder.path("experiment.toml");
    let experiment = Experiment::from_bytes(text.as_bytes(), &file, &variables).unwrap();
    assert_eq!(experiment.specimens[0].image, folder.path("pl[l]p/a.tif"));

    let text = text.replace("ROOT", "NOWHERE_AT_ALL");
    let (line, column, key, problem) = folder.refused(&text);
    assert_eq!((line, column, key.as_str()), (4, 10, "specimens.images"));
    assert_eq!(problem, Problem::UnsetVariable { name: "NOWHERE_AT_ALL".into() });
    let (.., problem) = folder.refused(text.replace('}', ""));
    assert!(matches!(problem, Problem::OpenVariable { .. }));
}

#[test]
fn unknown_keys_are_errors_with_a_suggestion() {
    let folder = Folder::with(&["a.tif"]);
    let refused = folder.refused("[experiment]\nname = \"x\"\nreferense = \"membrane\"\n");
    let problem = Problem::Misspelled { suggestion: "reference".into() };
    assert_eq!(refused, (3, 1, "experiment.referense".into(), problem));

    let (.., problem) = folder.refused("[experiment]\nmicroscope = \"LSM880\"\n");
    assert!(matches!(problem, Problem::UnknownKey { known } if known.contains("reference")));

    let (.., problem) = folder.refused("[experimnt]\nname = \"x\"\n");
    assert_eq!(problem, Problem::Misspelled { suggestion: "experiment".into() });

    // any further key of a specimen is a column, unless it is one slip away from a known key
    let specimen = "[experiment]\nreference = \"m\"\n[[specimen]]\nid = \"a\"\nimage = \"a.tif\"\n";
    assert!(folder.read(format!("{specimen}stage = \"32 hpf\"\n")).is_ok());
    let (.., problem) = folder.refused(format!("{specimen}lables = \"l.tif\"\n"));
    assert_eq!(problem, Problem::Misspelled { suggestion: "labels".into() });
}

#[test]
fn an_id_is_text() {
    let folder = Folder::with(&["a.tif"]);
    let specimen = |id: &str| {
        format!("[experiment]\nreference = \"m\"\n[[specimen]]\nid = {id}\nimage = \"a.tif\"\n")
    };
    for id in ["8713481504", "2902E38204", "0017"] {
        let (line, .., problem) = folder.refused(specimen(id));
        assert_eq!(line, 4, "{id}");
        let unquoted = problem == Problem::UnquotedId { text: id.into() };
        assert!(unquoted || matches!(problem, Problem::Syntax { .. }), "{id}: {problem}");
        let quoted = format!("{id:?}");
        assert_eq!(&*folder.read(specimen(&quoted)).unwrap().specimens[0].id, id);
    }
    for id in ["", " a", "a/b", "a\\\\b", "..", "a\\tb"] {
        let (.., problem) = folder.refused(specimen(&format!("\"{id}\"")));
        assert!(matches!(problem, Problem::BadId { .. }), "{id}: {problem}");
    }
}

#[test]
fn a_specimen_is_there_once() {
    let folder = Folder::with(&["a.tif"]);
    let text = "[experiment]\nreference = \"m\"\n[[specimens]]\nimages = \"*.tif\"\n\
                [[specimen]]\nid = \"a\"\nimage = \"a.tif\"\n";
    let (line, .., problem) = folder.refused(text);
    assert_eq!((line, problem), (6, Problem::DuplicateId { id: "a".into(), first_line: 4 }));
}

#[test]
fn files_must_exist() {
    let folder = Folder::with(&["a.tif"]);
    let start = "[experiment]\nreference = \"m\"\n";
    let (line, column, key, problem) =
        folder.refused(format!("{start}[[specimen]]\nid = \"b\"\nimage = \"b.tif\"\n"));
    assert_eq!((line, column, key.as_str()), (5, 9, "specimen.image"));
    assert_eq!(problem, Problem::MissingFile { path: folder.path("b.tif") });

    let (.., problem) = folder.refused(format!("{start}[[specimens]]\nimages = \"*.tiff\"\n"));
    assert_eq!(problem, Problem::NoMatch { pattern: "*.tiff".into() });
    let (.., problem) = folder.refused(format!("{start}[[specimens]]\nimages = \"a***\"\n"));
    assert!(matches!(problem, Problem::BadPattern { .. }));

    let many = format!("{start}[[specimens]]\nimages = \"*.tif\"\n");
    let (.., problem) = folder.refused(format!("{many}labels = \"labels/{{id}}.tif\"\n"));
    assert_eq!(problem, Problem::MissingFile { path: folder.path("labels/a.tif") });
    let (.., problem) = folder.refused(format!("{many}unmix = \"m\"\n"));
    assert!(matches!(problem, Problem::Value { wanted, .. } if wanted.contains("reference")));
    let (.., problem) = folder.refused(format!("{many}edits = \"edits/{{id}}.toml\"\n"));
    assert_eq!(problem, Problem::NoMatch { pattern: "edits/{id}.toml".into() });
    let (.., problem) = folder.refused(format!("{many}labels = \"a.tif\"\n"));
    assert!(matches!(problem, Problem::Value { wanted: "a path that holds {id}", .. }));
    assert!(matches!(Experiment::read(folder.path("no.toml")), Err(DataError::Read { .. })));
}

#[test]
fn values_that_mean_nothing_are_errors() {
    let folder = Folder::with(&["a.tif"]);
    let specimen = "[experiment]\nreference = \"m\"\n[[specimen]]\nid = \"a\"\nimage = \"a.tif\"\n";
    for (line, wanted) in [
        ("voxel_size_um = [0.2, 0.1]", "three positive, finite numbers"),
        ("voxel_size_um = [0.2, 0.1, 0]", "three positive, finite numbers"),
        ("voxel_size_um = [0.2, 0.1, inf]", "a number wanted"),
        ("voxel_size_um = 0.2", "[z, y, x] in µm wanted, got a number"),
        ("channels = [\"m\", \"m\"]", "here twice"),
        ("channels = [\"actin\"]", "\"m\" is not among the channels: actin"),
        ("channels = \"m\"", "a list of names"),
        ("channels = [\"m\", \" \"]", "a name wanted"),
        ("migration = \"left\"", "a direction"),
        ("migration = [0, 0, 0]", "a direction"),
        ("apical = [1, 0]", "a direction"),
        ("condition = [1, 2]", "text, a number, true or false"),
        ("condition = 1979-05-27", "text in quotes wanted, got a date"),
        ("dose = nan", "a number wanted"),
        ("labels = 3", "text in quotes"),
    ] {
        let error = folder.read(format!("{specimen}{line}\n")).unwrap_err().to_string();
        assert!(error.contains(wanted) && error.contains("experiment.toml:6:"), "{line}: {error}");
    }
    for (line, wanted) in [
        ("seed = -1", "not negative"),
        ("seed = 1.5", "a whole number"),
        ("segmentation = \"cellpose\"", "\"auto\", \"network\" or \"hartmann2020\""),
        ("proteins = [\"actin\"]", "neither a channel nor a table; there are: m"),
    ] {
        let text = specimen.replace("[[", &format!("{line}\n[[")) + "channels = [\"m\"]\n";
        let error = folder.read(text).unwrap_err().to_string();
        assert!(error.contains(wanted) && error.contains("experiment.toml:3:"), "{line}: {error}");
    }
}

#[test]
fn tables_that_say_too_little_are_errors() {
    let folder = Folder::with(&["a.tsv"]);
    let start = "[tables]\nspecimen = \"s\"\ncell = \"c\"\n";
    for (line, wanted) in [
        ("", "`shape` is missing"),
        ("shape = \"a.tsv\"", "shape.NAME"),
        ("shape.tissue = \"b.tsv\"", "does not exist"),
        ("protein.actin = \"a.tsv\"", "protein.NAME.tissue"),
        ("protein.actin.tisue = \"a.tsv\"", "did you mean `tissue`"),
        ("position_um = \"a.tsv\"", "columns = [x, y, z]"),
        ("position_um = { file = \"a.tsv\", columns = [\"x\"] }", "three columns"),
        ("class.kind = { column = \"k\" }", "`file` is missing"),
        ("counts.pea3 = \"a.tsv\"", "did you mean `count`"),
    ] {
        let error = folder.read(format!("{start}{line}\n")).unwrap_err().to_string();
        assert!(error.contains(wanted), "{line}: {error}");
    }
    let error = folder.read("[tables]\ncell = \"c\"\n").unwrap_err().to_string();
    assert!(error.contains("`specimen` is missing"), "{error}");
}

#[test]
fn an_experiment_has_something_to_do() {
    let folder = Folder::with(&["a.tif", "l.tif"]);
    assert_eq!(folder.refused("").3, Problem::Empty);
    assert_eq!(folder.refused("[experiment]\nname = \"x\"\n").3, Problem::Empty);
    let (.., problem) = folder.refused("[[specimen]]\nid = \"a\"\n");
    assert!(matches!(problem, Problem::MissingKey { missing: "image", .. }));

    let image = "[[specimen]]\nid = \"a\"\nimage = \"a.tif\"\n";
    let (.., problem) = folder.refused(image);
    assert!(matches!(problem, Problem::MissingKey { missing: "reference", .. }));
    assert!(folder.read(format!("{image}labels = \"l.tif\"\n")).is_ok(), "nothing to segment");
}

#[test]
fn what_is_no_toml_is_named_with_its_place() {
    let folder = Folder::with(&[]);
    let (line, .., problem) = folder.refused("[experiment]\nname = \"x\n");
    assert_eq!(line, 2);
    assert!(matches!(problem, Problem::Syntax { .. }));
    let (line, column, _, problem) = folder.refused(b"[experiment]\nname = \"\xff\"\n");
    assert_eq!((line, column, problem), (2, 9, Problem::NotUtf8));
    let (line, ..) = folder.refused("[experiment]\nseed = 1\nseed = 2\n");
    assert_eq!(line, 3);
}

#[test]
fn proteins_are_every_channel_but_the_reference() {
    let folder = Folder::with(&["a.tif"]);
    let text = "[experiment]\nreference = \"m\"\n[[specimens]]\nimages = \"a.tif\"\n";
    let experiment = folder.read(text).unwrap();
    let channels = ["actin", "m", "nuclei"].map(String::from);
    assert_eq!(experiment.proteins_among(&channels), ["actin", "nuclei"]);
    let named = Experiment { proteins: Some(vec!["nuclei".into()]), ..experiment };
    assert_eq!(named.proteins_among(&channels), ["nuclei"]);
}
