//! Files of the documentation that are made from the code: `PRIMORDIA_GOLDEN=write` (`make golden`)
//! rewrites them, otherwise they must be as they would be written.

use std::fmt::Write as _;

use primordia_features::registry::{CONTEXT, Feature, INTENSITY, LANDMARKS, SHAPE};
use primordia_features::{Group, MeasureParams};
use primordia_tests::repository;

/// Checks that the file `name` of the repository holds `wanted`, or writes it.
fn check_golden(name: &str, wanted: &str) {
    let path = repository().join(name);
    if std::env::var_os("PRIMORDIA_GOLDEN").is_some_and(|value| value == "write") {
        std::fs::write(&path, wanted).expect("room on the disk");
    }
    let found = std::fs::read_to_string(&path).unwrap_or_default().replace("\r\n", "\n");
    let differing = found.lines().zip(wanted.lines()).position(|(found, wanted)| found != wanted);
    let line = differing.unwrap_or_else(|| found.lines().count().min(wanted.lines().count())) + 1;
    assert!(found == wanted, "{name} is out of date from line {line} on: run `make golden`");
}

#[test]
fn golden_page_of_features() {
    check_golden("docs/features.md", &page_of_features());
}

fn page_of_features() -> String {
    let MeasureParams { membrane_um, texture_um, crowd_um, .. } = MeasureParams::default();
    let groups = Group::ALL.map(|group| format!("`{}`", group.name())).join(", ");
    format!(
        "# Features\n\
         What Primordia measures of a cell. `primordia build` measures it of every cell of an atlas, along the axes of \
         the tissue; `primordia features` measures the cells of one label image, along the axes of the image. `make \
         golden` makes this page from the registry, `features/src/registry.rs`.\n\n\
         ```sh\n\
         primordia features --list\n\
         primordia features labels.ome.tif --image demo/raw/phantom01.ome.tif -o cells.csv\n\
         primordia features labels.ome.tif --only size,contacts -o cells.csv\n\
         ```\n\n\
         Names end with the unit; the unit 1 is that of pure numbers. Sides of voxels may differ: all lengths are \
         physical. What cannot be measured is empty, never a guess.\n\n\
         Features are measured in groups ({groups}): with `--only`, the others are neither computed nor in the table. Without it, all but `landmarks` are; `--landmarks` adds those.\n\n\
         ## Shape\n{}\n\
         Curvatures are those of the smoothed cell, evened out over about two voxels: a bend that is sharper than that \
         is not seen.\n\n\
         ## Place among the other cells\n\
         The tip and the axis are those of the tissue in an atlas, and of the image's x in `primordia features`. Cells \
         within {crowd_um} µm crowd a cell (`crowd_um`). `primordia features --neighbours` adds the mean over neighbours of \
         every other feature, as `neighbours_FEATURE`; in an atlas, a query of the table `contacts` gives it.\n\n{}\n\
         A rosette is found where more cells come near a point, for the size of the cells, than packed cells do: no \
         axis, no marker and no threshold is asked for. In 30 phantoms of the zebrafish's lateral line primordium that \
         had no part in its making it finds 90 of 90 and nothing else, in 30 phantoms without constriction one. Where \
         cells of very different sizes lie side by side (as in a plant ovule) it finds what are no rosettes. The column \
         `rosette` numbers them (1, 2, …), and is empty for cells that belong to none.\n\n\
         ## Landmarks\n\
         `primordia features --landmarks` sets 2,000 landmarks in every cell as Hartmann et al. 2020 did, on the voxels \
         of its surface and, for every channel, where it is bright, and adds what they tell; columns of a channel begin \
         with its name. After them follow the moments of the cloud up to the order `--moments` (5: 55 numbers), such as \
         `moment_z0_y1_x2`: the mean of the product of these powers of z, y and x; of order 1 from the centroid (`_um`), \
         of order 2 about the mean (`_um2`), of higher orders also in standard deviations. Draws are chance: features of \
         surfaces, above, are the same lengths without it.\n\n{}\n\
         ## Brightness\n\
         For every channel of the image; the name of the column begins with that of the channel, as in \
         `actin_mean_whole`. The membrane of a cell is its outermost {membrane_um} µm (`membrane_um`).\n\n\
         Texture has a scale: a channel is first averaged over blocks of voxels that are as near to cubes of \
         {texture_um} µm as whole voxels allow (`texture_um`), so that neither longer nor finer voxels make another \
         texture. Pairs of blocks one step apart in all 13 directions of a grid in 3D are counted together.\n\n{}\n\
         ## Place and quality\n\
         The table of `primordia features` begins with `cell` (the label) and the centroid `image_x_um`, `image_y_um`, \
         `image_z_um`, and ends with `rosette`, the voxels of the image \
         between which the cell lies (`box_first_z_voxel` up to, but without, `box_end_z_voxel`, and the same of y and x), `n_voxels`, `n_pieces` (1 for a sound cell), `touches_border` (part of the cell may \
         be missing) and `quality`: `sound`, or what is wrong.\n",
        table_of(SHAPE, ""),
        table_of(CONTEXT, ""),
        table_of(LANDMARKS, ""),
        table_of(INTENSITY, "CHANNEL_"),
    )
}

/// A row per feature.
fn table_of<T>(features: &[Feature<T>], prefix: &str) -> String {
    let mut table =
        "| name | unit | definition | group | source |\n| --- | --- | --- | --- | --- |\n"
            .to_owned();
    for feature in features {
        let Feature { name, unit, definition, citation, group, .. } = feature;
        let definition = definition.replace('|', "\\|");
        let source = linked(citation);
        let group = group.name();
        writeln!(table, "| `{prefix}{name}` | {unit} | {definition} | {group} | {source} |")
            .expect("memory");
    }
    table
}

/// A citation that ends with a DOI, as a link to it.
fn linked(citation: &str) -> String {
    match citation.split_once(", doi:") {
        Some((text, doi)) => format!("[{text}](https://doi.org/{doi})"),
        None => citation.to_owned(),
    }
}
