//! Experiment files with one fault each.

use std::path::Path;

use primordia_data::image::write_ome_tiff;

use super::{Case, case, put, specimen, voxel_size};

pub(super) const BUILD: &str = "build experiment.toml -o out/atlas.h5";
pub(super) const FILE: &str = "experiment.toml";

/// Writes an image with the channels `membrane` and `actin`.
pub(super) fn image(folder: &Path, name: &str) {
    let phantom = specimen();
    let channels = [("membrane", (&phantom.membrane).into()), ("actin", (&phantom.protein).into())];
    std::fs::create_dir_all(folder.join(name).parent().unwrap()).unwrap();
    write_ome_tiff(folder.join(name), &channels, voxel_size()).unwrap();
}

/// An experiment file of `text` beside the images `raw/a.ome.tif` and `raw/b.ome.tif`.
fn experiment(kind: &'static str, says: &[&'static str], text: &'static str) -> Case {
    let says = [&[FILE], says].concat();
    case(kind, BUILD, &says, move |folder| {
        image(folder, "raw/a.ome.tif");
        image(folder, "raw/b.ome.tif");
        put(folder, FILE, text.as_bytes());
    })
}

/// An experiment of one specimen, `raw/a.ome.tif`, of which `lines` say more.
fn one(kind: &'static str, says: &[&'static str], lines: &str) -> Case {
    let says = [&[FILE], says].concat();
    let text = format!(
        "experiment.reference = \"membrane\"\n[[specimen]]\nid = \"A\"\nimage = \"raw/a.ome.tif\"\n{lines}\n"
    );
    case(kind, BUILD, &says, move |folder| {
        image(folder, "raw/a.ome.tif");
        put(folder, FILE, text.as_bytes());
    })
}

pub(super) fn cases() -> Vec<Case> {
    [unreadable(), wrong_ids(), wrong_values(), missing()].into_iter().flatten().collect()
}

fn unreadable() -> Vec<Case> {
    vec![
        experiment("TOML that is not TOML", &["not TOML"], "[experiment\nname = \"pLLP\"\n"),
        case("TOML that is not UTF-8", BUILD, &[FILE, "UTF-8"], |folder| {
            put(folder, FILE, b"experiment.name = \"\xb5m\"\n");
        }),
        experiment("an experiment file that is empty", &["neither specimens nor tables"], ""),
        case("an experiment file that is not there", BUILD, &[FILE], |_| ()),
        case(
            "a folder in place of an experiment file",
            "build raw -o out/atlas.h5",
            &["raw"],
            |f| {
                std::fs::create_dir(f.join("raw")).unwrap();
            },
        ),
        case(
            "an image in place of an experiment file",
            "build raw/a.ome.tif -o out/atlas.h5",
            &["a.ome.tif"],
            |folder| image(folder, "raw/a.ome.tif"),
        ),
    ]
}

fn wrong_ids() -> Vec<Case> {
    let many = "experiment.reference = \"membrane\"\n[[specimens]]\nimages = \"raw/*.ome.tif\"\n\
                [[specimen]]\nid = \"b\"\nimage = \"raw/a.ome.tif\"\n";
    vec![
        experiment("two specimens of one ID", &["\"b\"", "twice"], many),
        experiment(
            "an ID that is an integer",
            &["8713481504", "quotes"],
            "[[specimen]]\nid = 8713481504\nimage = \"raw/a.ome.tif\"\n",
        ),
        experiment(
            "an ID that TOML takes for a float",
            &["2902E38", "quotes"],
            "[[specimen]]\nid = 2902E38\nimage = \"raw/a.ome.tif\"\n",
        ),
        experiment(
            "an ID that is a path",
            &["../A"],
            "[[specimen]]\nid = \"../A\"\nimage = \"raw/a.ome.tif\"\n",
        ),
    ]
}

fn wrong_values() -> Vec<Case> {
    let size = "voxel_size_um";
    vec![
        one("an unknown key", &["unknown key"], "chanels = [\"membrane\", \"actin\"]"),
        experiment("an unknown table", &["unknown key"], "[images]\nfolder = \"raw\"\n"),
        one("a negative voxel size", &[size, "positive"], "voxel_size_um = [1.0, -0.5, 0.5]"),
        one("a voxel size of zero", &[size, "positive"], "voxel_size_um = [0, 0.5, 0.5]"),
        one("a voxel size of two numbers", &[size, "three"], "voxel_size_um = [1.0, 0.5]"),
        one("a voxel size of text", &[size], "voxel_size_um = \"0.5 µm\""),
        one(
            "a reference not among the channels",
            &["membrane"],
            "channels = [\"ecad\", \"actin\"]",
        ),
        one("a reference that bleeds into itself", &["unmix", "reference"], "unmix = \"membrane\""),
        one("a direction that is none", &["migration"], "migration = \"forward\""),
        experiment(
            "an unknown segmentation",
            &["segmentation"],
            "[experiment]\nreference = \"membrane\"\nsegmentation = \"best\"\n\
             [[specimens]]\nimages = \"raw/*.ome.tif\"\n",
        ),
        experiment(
            "a protein that no specimen has",
            &["myosin"],
            "[experiment]\nreference = \"membrane\"\nproteins = [\"myosin\"]\n\
             [[specimen]]\nid = \"A\"\nimage = \"raw/a.ome.tif\"\n\
             channels = [\"membrane\", \"actin\"]\n",
        ),
        case("more channel names than channels", BUILD, &["a.ome.tif", "names"], |folder| {
            image(folder, "raw/a.ome.tif");
            let text = "experiment.reference = \"membrane\"\n[[specimen]]\nid = \"A\"\n\
                        image = \"raw/a.ome.tif\"\nchannels = [\"membrane\", \"actin\", \"myosin\"]\n";
            put(folder, FILE, text.as_bytes());
        }),
        case("a reference that no image has", BUILD, &["a.ome.tif", "ecad"], |folder| {
            image(folder, "raw/a.ome.tif");
            let text = "experiment.reference = \"ecad\"\n[[specimens]]\nimages = \"raw/*.tif\"\n";
            put(folder, FILE, text.as_bytes());
        }),
    ]
}

fn missing() -> Vec<Case> {
    vec![
        experiment(
            "an image that does not exist",
            &["raw/c.ome.tif"],
            "experiment.reference = \"membrane\"\n\
             [[specimen]]\nid = \"C\"\nimage = \"raw/c.ome.tif\"\n",
        ),
        experiment(
            "a pattern that matches nothing",
            &["raw/*.czi"],
            "experiment.reference = \"membrane\"\n[[specimens]]\nimages = \"raw/*.czi\"\n",
        ),
        experiment(
            "no reference channel",
            &["reference"],
            "[[specimen]]\nid = \"A\"\nimage = \"raw/a.ome.tif\"\n",
        ),
        experiment(
            "a specimen without an image",
            &["image"],
            "experiment.reference = \"membrane\"\n[[specimen]]\nid = \"A\"\ncondition = \"live\"\n",
        ),
        experiment(
            "an environment variable that is not set",
            &["PRIMORDIA_NO_SUCH_FOLDER"],
            "experiment.reference = \"membrane\"\n\
             [[specimens]]\nimages = \"${PRIMORDIA_NO_SUCH_FOLDER}/*.tif\"\n",
        ),
        case("a folder without images, to init", "init raw", &["raw", "no image"], |folder| {
            put(folder, "raw/notes.txt", b"nothing here");
        }),
        case("a folder that is not there, to init", "init raw", &["raw", "folder"], |_| ()),
        case("an experiment file that init would replace", "init raw", &["experiment.toml"], |f| {
            image(f, "raw/a.ome.tif");
            put(f, "raw/experiment.toml", b"# edited by hand\n");
        }),
    ]
}
