from typing import Any

from lossfast._loss import Loss as Loss
from lossfast.accumulator import Accumulator as Accumulator
from lossfast.catalogue import get as get
from lossfast.catalogue import info as info
from lossfast.catalogue import names as names
from lossfast.catalogue import recommend as recommend
from lossfast.catalogue import value_and_grad as value_and_grad
from lossfast.embedding import get_include as get_include
from lossfast.embedding import get_library as get_library
from lossfast.runtime import backend as backend
from lossfast.runtime import get_num_threads as get_num_threads
from lossfast.runtime import isa as isa
from lossfast.runtime import set_isa as set_isa
from lossfast.runtime import set_num_threads as set_num_threads
from lossfast.runtime import threads as threads

__version__: str

class BinaryCrossentropy(Loss):
    def __init__(self, *, from_logits: bool = ..., label_smoothing: float = ..., pos_weight: float | Any = ..., eps: float | None = ...) -> None: ...

class BinaryFocalCrossentropy(Loss):
    def __init__(self, *, gamma: float = ..., alpha: float | Any | None = ..., from_logits: bool = ..., label_smoothing: float = ..., eps: float | None = ...) -> None: ...

class Brier(Loss):
    def __init__(self) -> None: ...

class Exponential(Loss):
    def __init__(self) -> None: ...

class Gamma(Loss):
    def __init__(self) -> None: ...

class GaussianNLL(Loss):
    def __init__(self, *, var: float | Any = ..., eps: float = ..., full: bool = ..., wrt: str = ...) -> None: ...

class Hinge(Loss):
    def __init__(self) -> None: ...

class Huber(Loss):
    def __init__(self, *, delta: float = ...) -> None: ...

class LogCosh(Loss):
    def __init__(self) -> None: ...

class MeanAbsoluteError(Loss):
    def __init__(self) -> None: ...

class MeanAbsolutePercentageError(Loss):
    def __init__(self, *, eps: float = ...) -> None: ...

class ModifiedHuber(Loss):
    def __init__(self) -> None: ...

class MeanSquaredError(Loss):
    def __init__(self) -> None: ...

class MeanSquaredLogarithmicError(Loss):
    def __init__(self) -> None: ...

class Poisson(Loss):
    def __init__(self, *, log_input: bool = ..., eps: float | None = ...) -> None: ...

class PseudoHuber(Loss):
    def __init__(self, *, delta: float = ...) -> None: ...

class Quantile(Loss):
    def __init__(self, *, quantile: float = ...) -> None: ...

class SmoothL1(Loss):
    def __init__(self, *, beta: float = ...) -> None: ...

class SquaredHinge(Loss):
    def __init__(self) -> None: ...

class Tweedie(Loss):
    def __init__(self, *, power: float = ...) -> None: ...

binary_crossentropy: BinaryCrossentropy
bce: BinaryCrossentropy
binary_focal_crossentropy: BinaryFocalCrossentropy
focal: BinaryFocalCrossentropy
brier: Brier
exponential: Exponential
gamma: Gamma
gaussian_nll: GaussianNLL
hinge: Hinge
huber: Huber
log_cosh: LogCosh
logcosh: LogCosh
mae: MeanAbsoluteError
mean_absolute_error: MeanAbsoluteError
mape: MeanAbsolutePercentageError
mean_absolute_percentage_error: MeanAbsolutePercentageError
modified_huber: ModifiedHuber
mse: MeanSquaredError
mean_squared_error: MeanSquaredError
msle: MeanSquaredLogarithmicError
mean_squared_logarithmic_error: MeanSquaredLogarithmicError
poisson: Poisson
pseudo_huber: PseudoHuber
quantile: Quantile
pinball: Quantile
smooth_l1: SmoothL1
squared_hinge: SquaredHinge
tweedie: Tweedie
