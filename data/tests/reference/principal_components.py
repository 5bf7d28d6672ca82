"""Explained variance of standardised principal components; the values are in data/src/principal_components.rs."""
import numpy as np, sklearn
from sklearn.decomposition import PCA
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

rows = np.array([[1, 2, .5], [2, 1.5, -1], [3.5, 4, 2], [-1, 0, 1], [.5, 3, -2], [4, 2.5, 3]])
print("scikit-learn", sklearn.__version__, "numpy", np.__version__)
pipeline = make_pipeline(StandardScaler(), PCA()).fit(rows)
print(np.round(pipeline[-1].explained_variance_ratio_, 9))
print(np.round(pipeline[-1].components_, 9))
