"""Pictures, with matplotlib: of losses, of training, of the way down and of masks.

>>> import lossfast as lf
>>> axes = lf.plot.loss("huber", delta=2.0)  # doctest: +SKIP

Each function draws into the axes that it is given, or into a new figure of pyplot, and returns the axes; none changes
a setting of matplotlib.  It comes with ``pip install "lossfast[plot]"``.
"""

from lossfast.plot._history import history
from lossfast.plot._losses import gallery, loss
from lossfast.plot._masks import segmentation
from lossfast.plot._path import path

__all__ = ["gallery", "history", "loss", "path", "segmentation"]
