"""NumPy's BLAS as it comes: to be imported before NumPy, which reads the environment only then."""

import os

for name in ("OPENBLAS_CORETYPE", "OPENBLAS_L2_SIZE"):  # together: a core type alone may choose a slow kernel
    os.environ.pop(name, None)
