use super::*;
use crate::tables::read_tables;
use crate::tables::tests::real_data;

fn folder(files: &[&str]) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for file in files {
        let path = folder.path().join(file);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, "").unwrap();
    }
    folder
}

/// Images with these channels and a voxel size.
fn channels(names: &[&str]) -> impl Fn(&Path) -> Result<ImageFacts, String> {
    let channels: Vec<_> = names.iter().map(|name| Some((*name).to_owned())).collect();
    let voxel_size = VoxelSize::from_um([0.225, 0.1, 0.1]).ok();
    move |_: &Path| Ok(ImageFacts { channels: channels.clone(), voxel_size })
}

/// Images that say nothing but how many channels they have.
fn silent(n_channels: usize) -> impl Fn(&Path) -> Result<ImageFacts, String> {
    move |_: &Path| Ok(ImageFacts { channels: vec![None; n_channels], voxel_size: None })
}

fn experiment(folder: &tempfile::TempDir, text: &str) -> Experiment {
    Experiment::from_toml(text, folder.path().join(FILE_NAME)).unwrap()
}

#[test]
fn images_that_say_everything_need_nothing_from_the_scientist() {
    let folder = folder(&["raw/b.ome.tif", "raw/a.ome.tif", "curated/a.tif", "curated/b.tif"]);
    let path = init(folder.path(), Existing::Keep, &channels(&["actin", "lynEGFP"])).unwrap();
    let experiment = Experiment::read(&path).unwrap();
    assert_eq!(experiment.reference.as_deref(), Some("lynEGFP"));
    let ids: Vec<_> = experiment.specimens.iter().map(|specimen| &*specimen.id).collect();
    assert_eq!(ids, ["a", "b"]);
    assert_eq!(experiment.specimens[1].labels, Some(folder.path().join("curated/b.tif")));
    assert_eq!(experiment.specimens[0].channels, None, "the file's own");
    assert_eq!(experiment.specimens[0].voxel_size, None, "the file's own");
}

#[test]
fn what_no_file_says_is_asked_for() {
    let folder = folder(&["a.tif", "b.tif"]);
    let text = draft(folder.path(), &silent(2)).unwrap();
    assert!(text.contains("# reference = \"NAME\"  # which channel outlines the cells?"), "{text}");
    assert!(text.contains("channels = [\"channel 1\", \"channel 2\"]"), "{text}");
    assert!(text.contains("# voxel_size_um = [Z, Y, X]"), "{text}");

    let text = draft(folder.path(), &silent(1)).unwrap();
    let found = experiment(&folder, &text);
    assert_eq!(found.reference.as_deref(), Some("membrane"), "the only channel is the reference");
    assert_eq!(found.specimens[0].channels, Some(vec!["membrane".into()]));
}

#[test]
fn an_experiment_file_is_never_overwritten_unless_told() {
    let folder = folder(&["a.tif", FILE_NAME]);
    let refused = init(folder.path(), Existing::Keep, &silent(1));
    assert!(matches!(refused, Err(InitError::Exists { .. })));
    let path = init(folder.path(), Existing::Replace, &silent(1)).unwrap();
    assert_eq!(Experiment::read(path).unwrap().specimens.len(), 1);
}

#[test]
fn files_that_a_pattern_cannot_tell_apart_are_listed() {
    // *.tif would match the OME-TIFF, and two images are called a
    let folder = folder(&["x/a.tif", "x/b.tif", "x/c.ome.tif", "y/a.tif", "x/d_seg.tif"]);
    let text = draft(folder.path(), &channels(&["membrane"])).unwrap();
    let found = experiment(&folder, &text);
    let ids: Vec<_> = found.specimens.iter().map(|specimen| &*specimen.id).collect();
    assert_eq!(ids, ["c", "x_a", "b", "y_a"], "{text}");
}

#[test]
fn labels_belong_to_the_image_of_their_name() {
    let folder = folder(&["a.tif", "a_b.tif", "1.h5", "a_b_seg.tif", "masks/fish1.tif"]);
    let found = experiment(&folder, &draft(folder.path(), &silent(1)).unwrap());
    let labelled = found.specimens.iter().filter(|specimen| specimen.labels.is_some());
    let labelled: Vec<_> = labelled.map(|specimen| &*specimen.id).collect();
    assert_eq!(labelled, ["a_b"]);
}

#[test]
fn channels_of_other_names_are_renamed_to_the_reference() {
    let folder = folder(&["a.tif", "b.tif"]);
    let inspect = |path: &Path| match path.file_name().and_then(|name| name.to_str()) {
        Some("a.tif") => channels(&["membrane", "actin"])(path),
        _ => channels(&["rab5", "lynEGFP"])(path),
    };
    let found = experiment(&folder, &draft(folder.path(), &inspect).unwrap());
    assert_eq!(found.reference.as_deref(), Some("membrane"));
    assert_eq!(found.specimens[1].channels, Some(vec!["rab5".into(), "membrane".into()]));
}

#[test]
fn unreadable_images_are_named_and_left_out() {
    let folder = folder(&["a.tif", "atlas.h5"]);
    let inspect = |path: &Path| match path.extension() {
        Some(ending) if ending == "h5" => Err("no image\nin it".into()),
        _ => silent(1)(path),
    };
    let text = draft(folder.path(), &inspect).unwrap();
    assert!(text.contains("# left out: atlas.h5: no image in it"), "{text}");
    assert_eq!(experiment(&folder, &text).specimens.len(), 1);

    std::fs::remove_file(folder.path().join("a.tif")).unwrap();
    let nothing = draft(folder.path(), &inspect);
    assert!(matches!(nothing, Err(InitError::Nothing { .. })));
    let nowhere = draft(&folder.path().join("nowhere"), &inspect);
    assert!(matches!(nowhere, Err(InitError::NotAFolder { .. })));
}

#[test]
fn published_tables_are_known_by_their_names() {
    let folder = folder(&[
        "pooled/shape_TFOR_raw_measured.parquet",
        "pooled/shape_TFOR_pca_measured.parquet",
        "pooled/other_measurements.tsv.gz",
        "pooled/tagRFPtUtrCH_CFOR_raw_measured.tsv",
        "pooled/archetype_manual_annotations.parquet",
        "pooled/pea3smFISH_RNAcounts_measured.parquet",
        "deposit/00E41C184C/00E41C184C_shape_TFOR_raw_measured.tsv",
        "deposit/00E41C184C/00E41C184C_shape_TFOR_pca_measured.tsv",
    ]);
    let text = draft(folder.path(), &silent(1)).unwrap();
    let found = experiment(&folder, &text);
    let [tables] = &found.tables[..] else { panic!("{text}") };
    assert_eq!(tables.shape.len(), 1);
    assert_eq!(tables.proteins[0].name, "tagRFPtUtrCH");
    assert_eq!(tables.classes[0].name, "archetype");
    assert_eq!(tables.counts[0].name, "pea3");
    assert_eq!(tables.position_um.as_ref().unwrap().columns[0], "Centroids TFOR X");
    assert_eq!(found.deposits[0].paths, [folder.path().join("deposit")]);
    assert!(text.contains("# features = \"pooled/shape_TFOR_pca_measured.parquet\""), "{text}");
}

#[test]
fn the_published_folder_is_an_experiment_as_it_is() {
    let Some(folder) = real_data("idr0079") else { return };
    let text = draft(&folder, &ImageFacts::of).unwrap();
    let cells =
        read_tables(&Experiment::from_toml(&text, folder.join(FILE_NAME)).unwrap()).unwrap();
    assert_eq!(cells.cells.len(), 15_395);
    assert_eq!(cells.proteins.len(), 8);
    assert_eq!(cells.classes["archetype"].iter().flatten().count(), 507);
    assert!(text.contains("# features = \"pea3smFISH_RNAspot_coordinates.parquet\""), "{text}");
}

#[test]
fn microscope_images_say_their_voxel_size() {
    let Some(folder) = real_data("zfish_pllp_dystrack") else { return };
    let text = draft(&folder, &ImageFacts::of).unwrap();
    let found = Experiment::from_toml(&text, folder.join(FILE_NAME)).unwrap();
    assert_eq!(found.specimens.len(), 4, "{text}");
    assert_eq!(text.matches("# voxel_size_um = [Z, Y, X]").count(), 1, "the AXR has none: {text}");
}
