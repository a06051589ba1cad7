"""Writes digits.parquet: what a model says of images of handwritten digits that it never saw.

A logistic regression on half of scikit-learn's copy of the Optical Recognition of Handwritten Digits data (E. Alpaydin,
C. Kaynak, 1998, doi:10.24432/C50P49; CC BY 4.0), applied to the other half: its probabilities as ten columns, and its
logits as one column of lists.
"""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

X, y = load_digits(return_X_y=True)
train, test = train_test_split(np.arange(len(y)), test_size=0.5, stratify=y, random_state=0)
model = make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000)).fit(X[train], y[train])
logits = model.decision_function(X[test]).astype(np.float32)
p = model.predict_proba(X[test]).astype(np.float32)

columns = {"id": test.astype(np.int16), "label": y[test].astype(np.uint8)}
columns |= {f"p_{k}": p[:, k] for k in range(10)}
columns["logits"] = pa.FixedSizeListArray.from_arrays(pa.array(logits.ravel()), 10)
pq.write_table(pa.table(columns), Path(__file__).with_name("digits.parquet"), compression="zstd")
