"""Writes the values that the tests of `segmentation` compare with: scores.json, filters.json and tissue.json beside this script.

usage: segmentation.py FOLDER_OF_score_labels.py_AND_scipy_segment.py
Made with numpy 2.4.6, scipy 1.17.1, scikit-image 0.26.0, Python 3.11.
"""
import json
import pathlib
import sys

import numpy as np
from scipy import ndimage as ndi
from skimage.segmentation import watershed

sys.path.insert(0, sys.argv[1])
from score_labels import score  # noqa: E402
from scipy_segment import segment  # noqa: E402

here = pathlib.Path(__file__).parent
rng = np.random.default_rng(20)


def noisy_labels(truth, shift, share, offset):
    """The truth, moved and with a share of its voxels given to others; labels above 2 raised by `offset`."""
    labels = np.roll(truth, shift, axis=2)
    wrong = rng.random(truth.shape) < share
    labels = np.where(wrong, rng.integers(0, truth.max() + 1, truth.shape), labels)
    return np.where(labels > 2, labels + offset, labels)


cases = []
for n_cells, shift, share, offset in [(4, 0, 0.1, 0), (7, 1, 0.3, 2), (9, 2, 0.05, 5)]:
    points = rng.random((n_cells + 1, 3)) * [4, 9, 12]
    grid = np.stack(np.indices((4, 9, 12)), -1)[..., None, :]
    truth = ((grid - points) ** 2).sum(-1).argmin(-1)
    labels = noisy_labels(truth, shift, share, offset)
    cases.append(dict(shape=truth.shape, labels=labels.ravel().tolist(), truth=truth.ravel().tolist(),
                      scores=score(labels, truth)))
(here / "scores.json").write_text(json.dumps(cases) + "\n")

shape = (7, 9, 11)
image = rng.integers(0, 256, shape, dtype=np.uint8)
image[2:5, 3:6] = 77
median = ndi.median_filter(image, 3)
smooth = ndi.gaussian_filter(image, 3)
mask = rng.random(shape) < 0.35
voxel_size = (0.5, 0.2, 0.25)
# Single-voxel seeds at distinct values leave no tie to the heap, so the flood is defined.
levels = ndi.gaussian_filter(rng.random(shape), 1.2)
levels = ((levels - levels.min()) / np.ptp(levels) * 250).astype(np.uint8)
seeds = np.zeros(shape, np.int32)
for number, value in enumerate([20, 60, 90, 120, 180], 1):
    where = np.argwhere(levels == value)
    seeds[tuple(where[len(where) // 2] if len(where) else np.argwhere(levels == value + 1)[0])] = number
filters = dict(
    shape=shape,
    image=image, median=median, gaussian_3=smooth,
    mask=mask.astype(int), components=ndi.label(mask)[0],
    voxel_size_um=voxel_size, distance_um=ndi.distance_transform_edt(mask, sampling=voxel_size),
    levels=levels, seeds=seeds, watershed=watershed(levels, seeds),
)
for key, value in filters.items():
    if isinstance(value, np.ndarray):
        value = np.round(value, 9) if value.dtype.kind == "f" else value
        filters[key] = value.ravel().tolist()
(here / "filters.json").write_text(json.dumps(filters) + "\n")

# A small tissue of cells with bright borders in an empty surrounding, through the whole recipe.
shape = (24, 40, 44)
lattice = np.stack(np.meshgrid([5, 17], [8, 20, 32], [9, 22, 35], indexing="ij"), -1).reshape(-1, 3)
points = lattice + rng.uniform(-1.5, 1.5, lattice.shape)
grid = np.stack(np.indices(shape), -1).reshape(-1, 3)
distances = np.sort(np.linalg.norm(grid[:, None] - points, axis=2), axis=1)
outside = (np.abs(grid - np.array(shape) / 2) - np.array(shape) * 0.36).max(1)
between = np.where(outside > 0, 9, distances[:, 1] - distances[:, 0])
border = np.exp(-np.minimum((between / 1.6) ** 2, (outside / 1.2) ** 2))
tissue = rng.poisson(4 + 150 * ndi.gaussian_filter(border.reshape(shape), 0.7)).clip(0, 255).astype(np.uint8)
settings = dict(max_offset=10, sigma_voxels=1.0, min_voxels=20, max_voxels=5_000)
labels = segment(tissue, 10, gauss=1, small=20, big=5_000, expand=1)
print(labels.max(), "cells in tissue.json")
(here / "tissue.json").write_text(json.dumps(dict(
    shape=shape, **settings, image=tissue.tobytes().hex(), labels=labels.astype(np.uint8).tobytes().hex())) + "\n")
