"""Opens an atlas as a Python user does, with h5py and with anndata, and has anndata write it again.

    python open_atlas.py ATLAS REWRITTEN

Warnings are errors. Prints one JSON object of what it saw.
Run with anndata 0.12.19, h5py 3.16.0, numpy 2.4.6, pandas 2.3.3.
"""

import json
import sys
import warnings

import anndata
import h5py
import numpy as np
import pandas as pd
from scipy.sparse import issparse


def read_every_dataset(path):
    """How many datasets there are; h5py alone reads each."""
    sizes = {}
    with h5py.File(path, "r") as file:
        def visit(name, item):
            if isinstance(item, h5py.Dataset):
                value = item[()]
                sizes[name] = np.size(value)
                if item.dtype.kind == "O":
                    item.asstr()[()]
        file.visititems(visit)
    return len(sizes)


def look(atlas):
    """What scanpy and its like touch."""
    primordia = atlas.uns["primordia"]
    cells = atlas.n_obs
    assert atlas.X.shape == (cells, atlas.n_vars) and atlas.X.dtype == np.float32
    assert atlas.to_df().shape == atlas.X.shape
    assert atlas.obs_names.is_unique and atlas.var_names.is_unique
    assert isinstance(atlas.obs["specimen"].dtype, pd.CategoricalDtype)
    assert atlas.obsm["spatial"].shape == (cells, 3) and np.isfinite(atlas.obsm["spatial"]).all()
    assert np.isfinite(atlas.obsm["shape"]).all()
    contacts = atlas.obsp["contact_area_um2"]
    assert issparse(contacts) and contacts.shape == (cells, cells)
    assert abs(contacts - contacts.T).sum() == 0
    for specimen, forth, back in zip(primordia["specimens"].index, primordia["image_to_tissue"], primordia["tissue_to_image"]):
        np.testing.assert_allclose(forth @ back, np.eye(4), atol=1e-9)
        own = (atlas.obs["specimen"] == specimen).to_numpy()
        image = np.c_[atlas.obsm["image_um"][own], np.ones(own.sum())]
        np.testing.assert_allclose((image @ forth.T)[:, :3], atlas.obsm["spatial"][own], atol=1e-3)
    proteins = list(primordia["protein_names"])
    for protein in proteins:
        features = len(primordia["protein_features"][protein])
        for part in ["measured", "predicted", "lower", "upper"]:
            assert atlas.obsm[f"protein_{protein}_{part}"].shape == (cells, features), (protein, part)
        assert np.isfinite(atlas.obsm[f"protein_{protein}_predicted"]).all(), protein
    assert set(primordia["scores"]["protein"]) == set(proteins)
    biggest = atlas[atlas.obs_names[np.argsort(atlas.obs_vector("volume_um3"))[-2:]]]
    assert biggest.shape == (2, atlas.n_vars)
    return {
        "cells": cells,
        "features": list(atlas.var_names),
        "cells_of": {name: int(n) for name, n in atlas.obs["specimen"].value_counts().items()},
        "proteins": proteins,
        "format": str(primordia["format"]),
        "name": str(primordia["name"]),
        "voxel_um": primordia["specimens"][["voxel_z_um", "voxel_y_um", "voxel_x_um"]].to_numpy().tolist(),
    }


def main(path, rewritten):
    warnings.simplefilter("error")
    seen = {"datasets": read_every_dataset(path)}
    atlas = anndata.read_h5ad(path)
    seen |= look(atlas)
    atlas.obs["cluster"] = pd.Categorical(["even" if row % 2 == 0 else "odd" for row in range(atlas.n_obs)])
    atlas.obsm["X_umap"] = np.zeros((atlas.n_obs, 2))
    atlas.write_h5ad(rewritten)
    again = look(anndata.read_h5ad(rewritten))
    assert {key: seen[key] for key in again} == again
    print(json.dumps(seen))


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(0 if len(sys.argv) == 1 else __doc__)  # `make reference` runs all scripts: here is nothing to make
    main(*sys.argv[1:])
