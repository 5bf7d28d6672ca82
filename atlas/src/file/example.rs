//! A tiny atlas, written out by hand.

use std::collections::BTreeMap;

use nalgebra::Matrix4;
use ndarray::{Array1, ArrayD, array};
use primordia_data::CellId;

use super::contacts::Contacts;
use super::model::{
    Atlas, Column, Decision, FeatureMatrix, FittedSpace, Protein, Provenance, Score, ShapeBlock,
    Specimen,
};

impl Atlas {
    /// Five cells of two specimens, with a little of everything that an atlas can hold: for tests
    /// and for a first look at the file.
    ///
    /// ```
    /// let atlas = primordia::Atlas::example();
    /// assert!(atlas.check().is_ok());
    /// assert_eq!(atlas.n_cells(), 5);
    /// ```
    pub fn example() -> Self {
        let cells = vec![
            CellId::new("056F63395C", "1"),
            CellId::new("056F63395C", "2"),
            CellId::new("056F63395C", "7"),
            CellId::new("2902E38204", "1"), // not infinity
            CellId::new("2902E38204", "4000000000"),
        ];
        let spatial_um = array![
            [0.0, 0.0, 0.0],
            [-8.5, 1.25, 0.5],
            [-20.0, -3.0, 2.0],
            [-1.0, 0.5, 0.25],
            [-40.0, 4.0, f32::NAN]
        ];
        Self {
            image_um: Some(&spatial_um + 30.0),
            features: FeatureMatrix {
                names: vec!["volume_um3".into(), "sphericity".into()],
                values: array![
                    [310.5, 0.75],
                    [287.25, 0.5],
                    [f32::NAN, f32::NAN],
                    [401.0, 0.875],
                    [350.0, 0.625]
                ],
            },
            columns: columns(),
            shape: vec![tissue_shape(), ready_made_shape()],
            proteins: vec![actin(), nls()],
            contacts: Some(Contacts::from_pairs(5, [(0, 1, 12.5), (1, 2, 3.25), (3, 4, 7.0)])),
            specimens: specimens(),
            scores: scores(),
            arrays: arrays(),
            texts: BTreeMap::from([(
                "models/actin/inputs".to_owned(),
                vec!["shape_1".to_owned(), "shape_2".to_owned()],
            )]),
            provenance: provenance(),
            ..Self::new("pLLP, 32\u{2013}36 hpf", cells, spatial_um)
        }
    }
}

fn columns() -> Vec<Column> {
    let archetype = [Some("leader"), None, Some("outer"), Some("leader"), Some("between, \u{b5}")];
    vec![
        Column::text("archetype", archetype.map(|name| name.map(str::to_owned)).to_vec()),
        Column::number("count_pea3", vec![12.0, f64::NAN, 0.0, 140.0, 3.0]),
        Column::flag("touches_border", vec![false, false, true, false, true]),
    ]
}

fn tissue_shape() -> ShapeBlock {
    ShapeBlock {
        name: "tissue".into(),
        scores: array![[1.5, -0.25], [-0.5, 0.75], [f32::NAN, f32::NAN], [0.25, 0.5], [-1.0, 0.0]],
        space: Some(FittedSpace {
            input_names: ["distance_1", "distance_2", "distance_3"].map(str::to_owned).to_vec(),
            mean: array![4.0, 5.0, 6.0],
            scale: array![1.0, 0.5, 2.0],
            components: array![[1.0, 0.0, 0.0], [0.0, 0.6, 0.8]],
            explained_variance_ratio: array![0.625, 0.25],
        }),
    }
}

fn ready_made_shape() -> ShapeBlock {
    let scores = array![[0.5], [1.5], [2.5], [3.5], [4.5]];
    ShapeBlock { name: "cell".into(), scores, space: None }
}

fn actin() -> Protein {
    let nan = f32::NAN;
    let names = ["mean_intensity", "PC 1"].map(str::to_owned).to_vec();
    let measured = array![[0.5, 1.0], [0.75, -1.0], [0.25, 0.0], [nan, nan], [nan, nan]];
    let predicted = array![[0.5, 0.9], [0.625, -0.8], [nan, nan], [0.375, 0.25], [0.5, 0.0]];
    Protein {
        lower: &predicted - 0.25,
        upper: &predicted + 0.5,
        predicted,
        ..Protein::measured("actin", names, measured)
    }
}

fn nls() -> Protein {
    let measured = array![[1.0], [f32::NAN], [f32::NAN], [2.0], [3.0]];
    Protein::measured("NLS-tdTomato", vec!["mean_intensity".into()], measured)
}

fn specimens() -> Vec<Specimen> {
    let quarter_turn = Matrix4::new(
        0.0, -1.0, 0.0, 5.0, //
        1.0, 0.0, 0.0, -3.5, //
        0.0, 0.0, 1.0, 0.125, //
        0.0, 0.0, 0.0, 1.0,
    );
    let imaged = Specimen {
        id: "056F63395C".into(),
        source: "raw/056F63395C.ome.tif".into(),
        input_hash: "5f1d".into(),
        n_cells: 3,
        voxel_size_um: Some([0.225, 0.099, 0.099]),
        image_to_tissue: Some(quarter_turn),
        residual_um: Some(1.75),
        direction: Some(Decision { text: "tail is at low x".into(), confidence: 0.875 }),
        apical: Some(Decision { text: "apical is at high z".into(), confidence: 0.5 }),
        attributes: BTreeMap::from([("condition".to_owned(), "live".to_owned())]),
    };
    let from_table = Specimen {
        id: "2902E38204".into(),
        source: "table".into(),
        input_hash: "a07c".into(),
        n_cells: 2,
        ..Specimen::default()
    };
    vec![imaged, from_table]
}

fn scores() -> Vec<Score> {
    let shape = Score {
        protein: "actin".into(),
        target: "tissue".into(),
        model: "shape".into(),
        r2_mean: 0.5,
        r2_sd: 0.0625,
        folds: 5,
        n_cells: 3,
        n_specimens: 1,
        best_reachable_r2: Some(0.75),
    };
    let mean =
        Score { model: "mean".into(), r2_mean: -0.01, best_reachable_r2: None, ..shape.clone() };
    vec![shape, mean]
}

fn arrays() -> BTreeMap<String, ArrayD<f64>> {
    BTreeMap::from([
        ("models/actin/coefficients".to_owned(), array![[0.5, -0.25], [1.0, 2.0]].into_dyn()),
        ("models/actin/intercept".to_owned(), array![0.125, f64::NAN].into_dyn()),
        ("models/actin/alpha".to_owned(), ndarray::arr0(10.0).into_dyn()),
        ("centres/tissue".to_owned(), Array1::<f64>::zeros(0).into_dyn()),
        ("density/actin".to_owned(), ArrayD::from_elem(vec![2, 3, 4], 1.5)),
    ])
}

fn provenance() -> Provenance {
    Provenance {
        primordia_version: env!("CARGO_PKG_VERSION").into(),
        experiment: "[experiment]\nname = \"pLLP\"\n".into(),
        parameters_json: r#"{"landmarks":2000,"seed":42}"#.into(),
        command: "primordia build experiment.toml atlas.h5".into(),
        seed: u64::MAX,
        input_hashes: BTreeMap::from([("raw/056F63395C.ome.tif".to_owned(), "5f1d".to_owned())]),
    }
}
