"""Writes breast_cancer.parquet: probabilities that a tumour is benign, of models that never saw its row.

Ten-fold cross-validation of a logistic regression on scikit-learn's copy of the Breast Cancer Wisconsin
(Diagnostic) data (W. N. Street, W. H. Wolberg, O. L. Mangasarian, 1993, doi:10.1117/12.148698; CC BY 4.0).
"""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from sklearn.datasets import load_breast_cancer
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedKFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

X, y = load_breast_cancer(return_X_y=True)
logit = np.empty(len(y))
fold = np.empty(len(y), np.int8)
for k, (train, test) in enumerate(StratifiedKFold(10, shuffle=True, random_state=0).split(X, y)):
    model = make_pipeline(StandardScaler(), LogisticRegression()).fit(X[train], y[train])
    logit[test] = model.decision_function(X[test])
    fold[test] = k

table = pa.table(
    {
        "id": np.arange(len(y), dtype=np.int32),
        "fold": fold,
        "y_true": y.astype(np.uint8),
        "y_pred": 1 / (1 + np.exp(-logit)),
        "logit": logit,
    }
)
pq.write_table(table, Path(__file__).with_name("breast_cancer.parquet"), compression="zstd")
