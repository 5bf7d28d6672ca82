//! The whole way on a phantom experiment whose answers are known.
//!
//! [`demo`] makes specimens, writes their images, builds their atlas and says how close each answer
//! came to the truth.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use ndarray::Axis;
use primordia_data::experiment::{Experiment, Specimen};
use primordia_data::image::{ImageFile, write_labels, write_ome_tiff};
use primordia_data::phantom::{self, Optics, Phantom, PhantomCell, PhantomParams};
use primordia_data::{Labels, VoxelSize};
use primordia_segmentation::{Scores, score};
use serde::Serialize;

use crate::build::specimen::labels_of;
use crate::build::{Progress, WorkFolder, build};
use crate::error::{AtlasError, Result};
use crate::figure::{Answer, Command, Comparison, Overview, Page, Plane, overview, page};
use crate::file::{Atlas, write};

/// What a demo is made of.
#[derive(Clone, Copy, Debug)]
pub struct DemoParams {
    /// How many embryos.
    pub n_specimens: usize,
    /// The seed of all of them.
    pub seed: u64,
}

impl Default for DemoParams {
    fn default() -> Self {
        Self { n_specimens: 8, seed: 1 }
    }
}

/// How close the answers came.
#[derive(Clone, Debug, Serialize)]
pub struct DemoAnswers {
    /// Cells that there are.
    pub n_true_cells: usize,
    /// Cells that were found.
    pub n_found_cells: usize,
    /// F1 of cells matched at an overlap (IoU) of 0.5; the least of all specimens.
    pub least_f1_iou_50: f64,
    /// Mean overlap (IoU) of matched cells, over all specimens.
    pub mean_iou: f64,
    /// R² of the protein that follows shape, in embryos that the model never saw.
    pub protein_r2: f64,
    /// The R² that a perfect model would reach.
    pub best_reachable_r2: f64,
    /// R² of the protein that follows nothing.
    pub control_r2: f64,
    /// The largest angle between a tissue's true axes and those found, in degrees.
    pub worst_angle_deg: f64,
    /// The share of measured values within their 90 % intervals.
    pub interval_coverage: f64,
}

/// The sides of a voxel, z, y, x in µm.
const VOXEL_UM: [f64; 3] = [0.6, 0.3, 0.3];
const PROTEIN: &str = "actin";
const CONTROL: &str = "control";
/// The feature that the phantom's rule speaks of.
const AMOUNT: &str = "intensity.mean_whole";

/// Makes a phantom experiment in `folder`, builds its atlas and says how close it came.
///
/// Leaves `experiment.toml`, `raw/`, `truth/`, `atlas.h5`, `overview.svg` and `index.html`.
///
/// # Errors
/// [`AtlasError`] if the folder cannot be written or a step fails.
pub fn demo(folder: &Path, params: &DemoParams, progress: &dyn Progress) -> Result<DemoAnswers> {
    for folder in [folder.to_owned(), folder.join("raw"), folder.join("truth")] {
        std::fs::create_dir_all(&folder)
            .map_err(|source| AtlasError::Write { path: folder.clone(), source })?;
    }
    let truths = make_specimens(folder, params, progress)?;
    let experiment = write_experiment(folder)?;
    let work = WorkFolder::open(&folder.join("atlas.work"))?;
    let atlas = build(&experiment, &work, progress)?;
    write(folder.join("atlas.h5"), &atlas)?;
    let scores = experiment
        .specimens
        .iter()
        .map(|specimen| score_of(&experiment, specimen, &work, folder))
        .collect::<Result<Vec<_>>>()?;
    let answers = answers(&atlas, &truths, &scores);
    show(folder, &experiment, &work, &atlas, &answers)?;
    Ok(answers)
}

/// What is known of one specimen.
struct Truth {
    cells: Vec<PhantomCell>,
    image_to_tissue: nalgebra::Matrix3<f64>,
}

fn make_specimens(
    folder: &Path,
    params: &DemoParams,
    progress: &dyn Progress,
) -> Result<BTreeMap<String, Truth>> {
    let optics = Optics::clean(VoxelSize::from_um(VOXEL_UM)?);
    let base = PhantomParams { optics, ..PhantomParams::default() };
    let mut truths = BTreeMap::new();
    progress.begin("phantoms", params.n_specimens);
    for index in 0..params.n_specimens {
        let seed = params.seed.wrapping_mul(1000).wrapping_add(index as u64);
        let id = format!("phantom{:02}", index + 1);
        progress.step(&id);
        let phantom = phantom::specimen(&base.varied(seed), seed)?;
        write_specimen(folder, &id, &phantom)?;
        let image_to_tissue = phantom.image_to_tissue.rotation();
        truths.insert(id, Truth { cells: phantom.cells, image_to_tissue });
        progress.advance();
    }
    progress.end(&format!("{} specimens with known answers", params.n_specimens));
    Ok(truths)
}

fn write_specimen(folder: &Path, id: &str, phantom: &Phantom) -> Result<()> {
    let channels = [
        ("membrane", (&phantom.membrane).into()),
        (PROTEIN, (&phantom.protein).into()),
        (CONTROL, (&phantom.control).into()),
    ];
    let voxel_size = phantom.membrane.voxel_size();
    write_ome_tiff(folder.join(format!("raw/{id}.ome.tif")), &channels, voxel_size)?;
    Ok(write_labels(truth_path(folder, id), &phantom.truth)?)
}

fn truth_path(folder: &Path, id: &str) -> PathBuf {
    folder.join(format!("truth/{id}.ome.tif"))
}

fn write_experiment(folder: &Path) -> Result<Experiment> {
    let path = folder.join("experiment.toml");
    let text = format!(
        "# A phantom experiment: {PROTEIN} follows shape and position by a known rule, {CONTROL} follows nothing.\n\
         [experiment]\n\
         name = \"Phantom primordia\"\n\
         reference = \"membrane\"\n\
         proteins = [\"{PROTEIN}\", \"{CONTROL}\"]\n\
         migration = \"+x\" # which way they were mounted; without it, the shapes of the cells decide\n\
         apical = \"+z\"\n\n\
         [[specimens]]\n\
         images = \"raw/*.ome.tif\"\n"
    );
    std::fs::write(&path, text)
        .map_err(|source| AtlasError::Write { path: path.clone(), source })?;
    Ok(Experiment::read(&path)?)
}

fn score_of(
    experiment: &Experiment,
    specimen: &Specimen,
    work: &WorkFolder,
    folder: &Path,
) -> Result<Scores> {
    let labels = labels_of(experiment, specimen, work)?;
    let path = truth_path(folder, &specimen.id);
    let truth = ImageFile::open(&path)?.read_labels()?;
    score(&labels, &truth).map_err(|source| AtlasError::Segment { path, source })
}

fn answers(atlas: &Atlas, truths: &BTreeMap<String, Truth>, scores: &[Scores]) -> DemoAnswers {
    let n_found: usize = scores.iter().map(|score| score.n_cells).sum();
    let iou: f64 = scores.iter().map(|s| s.mean_matched_iou * s.n_cells as f64).sum();
    let protein = comparison(atlas, PROTEIN);
    DemoAnswers {
        n_true_cells: scores.iter().map(|score| score.n_true).sum(),
        n_found_cells: n_found,
        least_f1_iou_50: scores.iter().map(|score| score.f1_iou_50).fold(1.0, f64::min),
        mean_iou: iou / n_found as f64,
        protein_r2: protein.as_ref().and_then(Comparison::r2).unwrap_or(f64::NAN),
        best_reachable_r2: phantom::best_r2(truths.values().flat_map(|truth| &truth.cells)),
        control_r2: comparison(atlas, CONTROL).and_then(|c| c.r2()).unwrap_or(f64::NAN),
        worst_angle_deg: worst_angle_deg(atlas, truths),
        interval_coverage: protein.as_ref().and_then(Comparison::coverage).unwrap_or(f64::NAN),
    }
}

/// Measured and predicted amounts of a protein.
fn comparison<'a>(atlas: &'a Atlas, name: &'a str) -> Option<Comparison<'a>> {
    let protein = atlas.protein(name)?;
    Some(Comparison::of(protein, amount_column(atlas), name))
}

fn amount_column(atlas: &Atlas) -> usize {
    let names = atlas.protein(PROTEIN).map(|protein| protein.feature_names.as_slice());
    names.and_then(|names| names.iter().position(|name| name == AMOUNT)).unwrap_or(0)
}

/// Over specimens and axes, the largest angle between the true axis and the one found.
fn worst_angle_deg(atlas: &Atlas, truths: &BTreeMap<String, Truth>) -> f64 {
    let mut worst: f64 = 0.0;
    for specimen in &atlas.specimens {
        let (Some(found), Some(truth)) = (specimen.image_to_tissue, truths.get(&specimen.id))
        else {
            continue;
        };
        for axis in 0..3 {
            let found = found.fixed_view::<1, 3>(axis, 0).into_owned();
            let cosine = found.dot(&truth.image_to_tissue.row(axis).into_owned());
            worst = worst.max(cosine.clamp(-1.0, 1.0).acos().to_degrees());
        }
    }
    worst
}

/// Draws the overview and the page.
fn show(
    folder: &Path,
    experiment: &Experiment,
    work: &WorkFolder,
    atlas: &Atlas,
    answers: &DemoAnswers,
) -> Result<()> {
    let Some(specimen) = experiment.specimens.first() else { return Ok(()) };
    let labels = labels_of(experiment, specimen, work)?;
    let image = ImageFile::open(&specimen.image)?;
    let (membrane, protein) = (image.read_volume_f32(0)?, image.read_volume_f32(1)?);
    let z = fullest_plane(&labels);
    let [_, dy, dx] = labels.volume().voxel_size().um();
    let figure = overview(&Overview {
        title: "Phantom primordia: from membranes to a map of actin",
        subtitle: None,
        plane: Plane {
            membrane: membrane.voxels().index_axis(Axis(0), z),
            labels: labels.volume().voxels().index_axis(Axis(0), z),
            protein: protein.voxels().index_axis(Axis(0), z),
            pixel_um: [dy, dx],
        },
        atlas,
        protein: PROTEIN,
        control: CONTROL,
        feature: amount_column(atlas),
        specimen: None,
    });
    write_text(&folder.join("overview.svg"), &figure)?;
    write_text(&folder.join("index.html"), &demo_page(atlas, answers, &figure))
}

/// The plane with most voxels of cells.
fn fullest_plane(labels: &Labels) -> usize {
    let planes = labels.volume().voxels().axis_iter(Axis(0));
    let n_labelled = planes.map(|plane| plane.iter().filter(|label| **label > 0).count());
    n_labelled.enumerate().max_by_key(|(_, n)| *n).map_or(0, |(z, _)| z)
}

fn demo_page(atlas: &Atlas, answers: &DemoAnswers, figure: &str) -> String {
    let rows = answers.rows();
    let shown: Vec<Answer> = rows
        .iter()
        .map(|row| Answer {
            question: row.question,
            truth: &row.truth,
            found: &row.found,
            good: row.good,
        })
        .collect();
    page(&Page {
        title: "Primordia demo",
        summary: "Phantom embryos with known answers went through the whole pipeline. How close did it come?",
        answers: &shown,
        figure_svg: figure,
        caption: "A section through the first specimen, its cells, and the protein; the protein measured and \
                  predicted on the atlas; predictions for embryos that the model never saw.",
        atlas,
        atlas_file: "atlas.h5",
        commands: &[
            Command {
                command: "primordia query atlas.h5 \"SELECT * FROM scores\"",
                meaning: "how well each protein is predicted, beside baselines",
            },
            Command {
                command: "primordia export atlas.h5 -o tables",
                meaning: "every table as CSV",
            },
            Command {
                command: "primordia init FOLDER",
                meaning: "an experiment file for your own images",
            },
        ],
    })
}

fn write_text(path: &Path, text: &str) -> Result<()> {
    std::fs::write(path, text).map_err(|source| AtlasError::Write { path: path.to_owned(), source })
}

/// One answer beside the truth.
struct Row {
    question: &'static str,
    truth: String,
    found: String,
    good: bool,
}

impl DemoAnswers {
    fn rows(&self) -> Vec<Row> {
        let share = self.protein_r2 / self.best_reachable_r2;
        vec![
            Row {
                question: "cells",
                truth: format!("{}", self.n_true_cells),
                found: format!(
                    "{} (F1 at IoU 0.5 at least {:.3}, mean IoU {:.2})",
                    self.n_found_cells, self.least_f1_iou_50, self.mean_iou
                ),
                good: self.least_f1_iou_50 >= 1.0,
            },
            Row {
                question: "R² of actin, which follows shape",
                truth: format!("{:.3} at best", self.best_reachable_r2),
                found: format!("{:.3}, {:.0} % of the best", self.protein_r2, 100.0 * share),
                good: share >= 0.9,
            },
            Row {
                question: "R² of control, which follows nothing",
                truth: "0".to_owned(),
                found: format!("{:.3}", self.control_r2),
                good: self.control_r2.abs() <= 0.05,
            },
            Row {
                question: "share of actin within the 90 % intervals",
                truth: "0.90".to_owned(),
                found: format!("{:.2}", self.interval_coverage),
                good: (self.interval_coverage - 0.9).abs() <= 0.05,
            },
            Row {
                question: "tissue axes off by at most",
                truth: "0°".to_owned(),
                found: format!("{:.1}°", self.worst_angle_deg),
                good: self.worst_angle_deg <= 15.0,
            },
        ]
    }

    /// The answers beside the truth, to be read.
    pub fn report(&self) -> String {
        let mut text = String::new();
        for row in self.rows() {
            let mark = if row.good { "ok" } else { "OFF" };
            let _ =
                writeln!(text, "{mark:>3}  {:42} {:>12}  {}", row.question, row.truth, row.found);
        }
        text
    }
}
