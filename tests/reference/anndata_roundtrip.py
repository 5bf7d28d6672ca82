"""Opens an atlas with h5py and anndata, checks what FORMAT.md promises to them, and has anndata write it again.

    python anndata_roundtrip.py ATLAS REWRITTEN [SUBSET]

ATLAS is the example atlas. REWRITTEN and SUBSET (its first two cells) are written by anndata. Prints the versions.
Run with anndata 0.12.19, h5py 3.16.0, numpy 2.4.6, pandas 2.3.3.
"""

import sys
import warnings
from importlib.metadata import version

import anndata
import h5py
import numpy as np
import pandas as pd


def read_everything(path):
    """Every dataset of the file, with h5py alone."""
    values = {}
    with h5py.File(path, "r") as file:
        def visit(name, item):
            assert item.attrs.get("encoding-type") or name.startswith("obsp/contact_area_um2/"), name
            if isinstance(item, h5py.Dataset):
                values[name] = item[()]
        file.visititems(visit)
        assert file.attrs["encoding-type"] == "anndata"
    return values


def check_example(atlas):
    """The example atlas as its source says it is."""
    assert atlas.shape == (5, 2)
    assert atlas.X.dtype == np.float32
    assert list(atlas.var_names) == ["volume_um3", "sphericity"]
    assert atlas.obs_names[4] == "2902E38204/4000000000"
    assert isinstance(atlas.obs["specimen"].dtype, pd.CategoricalDtype)
    assert list(atlas.obs["specimen"]) == ["056F63395C"] * 3 + ["2902E38204"] * 2
    assert list(atlas.obs["label"]) == ["1", "2", "7", "1", "4000000000"]
    assert list(atlas.obs["archetype"].isna()) == [False, True, False, False, False]
    assert atlas.obs["archetype"].iloc[4] == "between, µ"
    np.testing.assert_array_equal(atlas.obs["count_pea3"], [12, np.nan, 0, 140, 3])
    assert atlas.obs["touches_border"].dtype == bool
    assert list(atlas.obs["touches_border"]) == [False, False, True, False, True]
    assert atlas.obsm["spatial"].shape == (5, 3) and atlas.obsm["spatial"].dtype == np.float32
    np.testing.assert_array_equal(atlas.obsm["spatial"][1], [-8.5, 1.25, 0.5])
    assert atlas.obsm["shape"].shape == (5, 2) and atlas.obsm["shape_cell"].shape == (5, 1)
    for part in ["measured", "predicted", "lower", "upper"]:
        assert atlas.obsm[f"protein_actin_{part}"].shape == (5, 2)
    assert np.isnan(atlas.obsm["protein_actin_measured"][3:]).all()
    contacts = atlas.obsp["contact_area_um2"].toarray()
    np.testing.assert_array_equal(contacts, contacts.T)
    assert contacts[0, 1] == 12.5 and np.count_nonzero(contacts) == 6
    primordia = atlas.uns["primordia"]
    assert primordia["format"] == "primordia-atlas" and primordia["format_version"] == 1
    assert primordia["provenance"]["seed"] == 2**64 - 1
    specimens = primordia["specimens"]
    assert list(specimens.index) == ["056F63395C", "2902E38204"]
    assert specimens.loc["056F63395C", "voxel_z_um"] == 0.225
    product = primordia["image_to_tissue"][0] @ primordia["tissue_to_image"][0]
    np.testing.assert_allclose(product, np.eye(4), atol=1e-12)
    assert list(primordia["scores"]["model"]) == ["shape", "mean"]
    assert list(primordia["protein_features"]["actin"]) == ["mean_intensity", "PC 1"]
    assert primordia["arrays"]["models"]["actin"]["alpha"] == 10.0
    assert primordia["arrays"]["density"]["actin"].shape == (2, 3, 4)


def main(path, rewritten, subset=None):
    assert len(read_everything(path)) > 60
    warnings.simplefilter("error")
    atlas = anndata.read_h5ad(path)
    check_example(atlas)
    atlas.obs["cluster"] = pd.Categorical(["a", "b", "a", None, "b"])
    atlas.obs["n_neighbours"] = np.array([1, 2, 3, 4, 5], dtype=np.int64)
    atlas.obsm["X_umap"] = np.zeros((5, 2))
    atlas.write_h5ad(rewritten, compression="gzip")
    check_example(anndata.read_h5ad(rewritten))
    if subset:
        atlas[:2].copy().write_h5ad(subset)
    versions = [f"{name} {version(name)}" for name in ("anndata", "h5py", "numpy", "pandas")]
    print("read and rewritten with", ", ".join(versions))


if __name__ == "__main__":
    main(*sys.argv[1:])
