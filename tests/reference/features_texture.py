"""Texture of one plane by scikit-image: what `features/src/texture.rs` compares with.

usage: python tests/reference/features_texture.py
writes tests/reference/features_texture.csv: features of the sum of the matrices of the four directions in a plane,
counted both ways. The first line names the versions that made it.
"""
from pathlib import Path

import numpy as np
import skimage
from skimage.feature import graycomatrix, graycoprops

LEVELS = 16
y, x = np.mgrid[:23, :37]
plane = ((x * x + 3 * y + x * y // 4) % LEVELS).astype(np.uint8)

angles = [0, np.pi / 4, np.pi / 2, 3 * np.pi / 4]
pairs = graycomatrix(plane, [1], angles, levels=LEVELS, symmetric=True)
pairs = pairs.sum(axis=3, keepdims=True).astype(float)
with open(Path(__file__).parent / "features_texture.csv", "w") as out:
    print(f"# scikit-image {skimage.__version__}, numpy {np.__version__}", file=out)
    print("feature,value", file=out)
    for name in ["contrast", "dissimilarity", "homogeneity", "energy", "entropy", "correlation"]:
        print(f"{name},{graycoprops(pairs, name)[0, 0]:.15g}", file=out)
