from collections.abc import Sequence
from typing import Any

from numpy.typing import NDArray
from typing_extensions import disjoint_base

@disjoint_base
class Kernel:
    name: str
    nparam: int
    def __new__(cls, name: str) -> Kernel: ...
    def domains(self, single: bool) -> tuple[tuple[float, float, bool], ...]: ...
    def run(
        self,
        single: bool,
        target: NDArray[Any],
        pred: NDArray[Any],
        weight: NDArray[Any] | None,
        stream: NDArray[Any] | None,
        params: tuple[float, ...],
        scale: float,
        value: NDArray[Any] | None,
        grad: NDArray[Any] | None,
        hess: NDArray[Any] | None,
        want_sum: bool,
        row_sums: NDArray[Any] | None,
        row: int,
        check_domain: bool,
        nthreads: int,
    ) -> float | None: ...
    def moments(
        self,
        single: bool,
        target: NDArray[Any],
        pred: NDArray[Any],
        weight: NDArray[Any] | None,
        stream: NDArray[Any] | None,
        params: tuple[float, ...],
        check_domain: bool,
        nthreads: int,
    ) -> tuple[int, int, int, int, int, int, int, int, float, float]: ...

@disjoint_base
class RowKernel:
    name: str
    nparam: int
    def __new__(cls, name: str) -> RowKernel: ...
    def check(
        self,
        single: bool,
        labels: bool,
        target: NDArray[Any],
        pred: NDArray[Any],
        weight: NDArray[Any] | None,
        class_weight: NDArray[Any] | None,
        temperature: NDArray[Any] | None,
        ignore: int | None,
        nthreads: int,
    ) -> tuple[int, float]: ...
    def run(
        self,
        single: bool,
        labels: bool,
        target: NDArray[Any],
        pred: NDArray[Any],
        weight: NDArray[Any] | None,
        class_weight: NDArray[Any] | None,
        temperature: NDArray[Any] | None,
        params: tuple[float, ...],
        ignore: int | None,
        label_smoothing: float,
        z_loss: float,
        scale: float,
        value: NDArray[Any] | None,
        grad: NDArray[Any] | None,
        hess: NDArray[Any] | None,
        want_sum: bool,
        nthreads: int,
    ) -> float | None: ...
    def moments(
        self,
        single: bool,
        labels: bool,
        target: NDArray[Any],
        pred: NDArray[Any],
        weight: NDArray[Any] | None,
        class_weight: NDArray[Any] | None,
        temperature: NDArray[Any] | None,
        params: tuple[float, ...],
        ignore: int | None,
        label_smoothing: float,
        z_loss: float,
        nthreads: int,
    ) -> tuple[int, int, int, int, int, int, int, int, float, float]: ...

@disjoint_base
class RegionKernel:
    name: str
    nparam: int
    def __new__(cls, name: str) -> RegionKernel: ...
    def check(
        self,
        single: bool,
        labels: bool,
        target: NDArray[Any],
        pred: NDArray[Any],
        activation: int,
        squared: bool,
        ignore: int | None,
        unchecked: int,
        nthreads: int,
    ) -> NDArray[Any]: ...
    def run(
        self,
        single: bool,
        labels: bool,
        target: NDArray[Any],
        pred: NDArray[Any],
        activation: int,
        squared: bool,
        ignore: int | None,
        together: bool,
        share: NDArray[Any] | None,
        weight: NDArray[Any] | None,
        empty: float,
        params: tuple[float, ...],
        pixel: int,
        gamma: float,
        alpha: float,
        class_weight: NDArray[Any] | None,
        pixel_weight: NDArray[Any] | None,
        unchecked: int,
        scale: float,
        value: NDArray[Any] | None,
        pixel_value: NDArray[Any] | None,
        grad: NDArray[Any] | None,
        want_sum: bool,
        nthreads: int,
    ) -> float | None: ...

@disjoint_base
class BoxKernel:
    name: str
    def __new__(cls, name: str) -> BoxKernel: ...
    def run(
        self,
        single: bool,
        target: Sequence[NDArray[Any]],
        pred: Sequence[NDArray[Any]],
        format: int,
        weight: NDArray[Any] | None,
        eps: float,
        check_boxes: bool,
        scale: float,
        value: NDArray[Any] | None,
        grad: Sequence[NDArray[Any]] | None,
        want_sum: bool,
        nthreads: int,
    ) -> float | None: ...
    def pairwise(
        self,
        single: bool,
        boxes1: Sequence[NDArray[Any]],
        boxes2: Sequence[NDArray[Any]],
        format: int,
        eps: float,
        out: NDArray[Any],
        nthreads: int,
    ) -> None: ...

@disjoint_base
class Pointwise:
    def __call__(self, *args: Any, **kwargs: Any) -> Any: ...
    def grad(self, *args: Any, **kwargs: Any) -> Any: ...
    def hess(self, *args: Any, **kwargs: Any) -> Any: ...
    def value_and_grad(self, *args: Any, **kwargs: Any) -> Any: ...
    def grad_and_hess(self, *args: Any, **kwargs: Any) -> Any: ...
    def value_grad_hess(self, *args: Any, **kwargs: Any) -> Any: ...
    def _set_fast(self, kernel: Kernel, single: tuple[float, ...], double_: tuple[float, ...]) -> None: ...

def ctc_greedy(
    single: bool,
    logits: NDArray[Any],
    logit_lengths: NDArray[Any] | None,
    blank: int,
    log_probabilities: bool,
    labels: NDArray[Any],
    lengths: NDArray[Any],
    log_probability: NDArray[Any],
    nthreads: int,
) -> None: ...
def ctc_beam(
    single: bool,
    logits: NDArray[Any],
    logit_lengths: NDArray[Any] | None,
    blank: int,
    log_probabilities: bool,
    beam_width: int,
    top: int,
    class_threshold: float,
    labels: NDArray[Any],
    lengths: NDArray[Any],
    log_probability: NDArray[Any],
    nthreads: int,
) -> None: ...
def ctc_align(
    single: bool,
    labels: NDArray[Any],
    label_starts: NDArray[Any],
    label_lengths: NDArray[Any],
    logits: NDArray[Any],
    logit_lengths: NDArray[Any] | None,
    blank: int,
    log_probabilities: bool,
    path: NDArray[Any],
    position: NDArray[Any],
    frame_score: NDArray[Any],
    start: NDArray[Any],
    end: NDArray[Any],
    score: NDArray[Any],
    log_probability: NDArray[Any],
    nthreads: int,
) -> None: ...
def edit_distance(
    references: NDArray[Any],
    reference_starts: NDArray[Any],
    hypotheses: NDArray[Any],
    hypothesis_starts: NDArray[Any],
    distance: NDArray[Any],
    counts: NDArray[Any] | None,
    nthreads: int,
) -> None: ...
def confusion(
    target: NDArray[Any],
    pred: NDArray[Any],
    classes: int,
    ignore: int | None,
    counts: NDArray[Any],
    nthreads: int,
) -> None: ...
def weight_sum(weight: NDArray[Any], nthreads: int) -> float: ...
def pointwise_names() -> list[str]: ...
def rowwise_names() -> list[str]: ...
def region_names() -> list[str]: ...
def box_names() -> list[str]: ...
def nms(
    single: bool,
    boxes: Sequence[NDArray[Any]],
    format: int,
    starts: NDArray[Any],
    threshold: float,
    most: int,
    keep: NDArray[Any],
    nthreads: int,
) -> None: ...
def vecmath(name: str, x: NDArray[Any]) -> NDArray[Any]: ...
def isa() -> str: ...
def set_isa(name: str) -> bool: ...
def set_num_threads(n: int) -> None: ...
def get_num_threads() -> int: ...
def ctc(
    single: bool,
    logits: NDArray[Any],
    labels: NDArray[Any],
    label_lengths: NDArray[Any] | None,
    logit_lengths: NDArray[Any] | None,
    blank: int,
    log_probabilities: bool,
    scale: NDArray[Any] | None,
    value: NDArray[Any] | None,
    grad: NDArray[Any] | None,
    posteriors: NDArray[Any] | None,
    nthreads: int,
) -> None: ...
def embedding(
    name: str,
    single: bool,
    operands: tuple[NDArray[Any], ...],
    alike: NDArray[Any] | None,
    weight: NDArray[Any] | None,
    distance: str,
    p: float,
    eps: float,
    params: tuple[float, ...],
    scale: float,
    value: NDArray[Any] | None,
    grads: tuple[NDArray[Any] | None, ...],
    want_sum: bool,
    nthreads: int,
) -> float | None: ...
def plain_gradients(
    weights: list[NDArray[Any]], grads: list[Any], lows: NDArray[Any], highs: NDArray[Any]
) -> bool: ...
def optimizer_step(
    name: str,
    single: bool,
    weights: list[NDArray[Any]],
    grads: list[NDArray[Any]],
    states: list[NDArray[Any]],
    params: tuple[float, ...],
    scale: float,
    clip: float,
    decay: float,
    keep: float,
    nthreads: int,
) -> None: ...
def gradient_norm(single: bool, grads: list[NDArray[Any]], nthreads: int) -> float: ...
def first_nonfinite(single: bool, grads: list[NDArray[Any]], nthreads: int) -> tuple[int, int] | None: ...
def step_names() -> dict[str, tuple[int, int]]: ...
def linear_steps(
    kernel: Kernel,
    x: NDArray[Any],
    target: NDArray[Any],
    weight: NDArray[Any] | None,
    center: NDArray[Any] | None,
    order: NDArray[Any] | None,
    params: tuple[float, ...],
    coef: NDArray[Any],
    intercept: NDArray[Any],
    fixed_intercept: bool,
    batch: int,
    rates: NDArray[Any],
    l1: float,
    l2: float,
    nthreads: int,
) -> tuple[float, int]: ...
def linear_gradient(
    kernel: Kernel,
    x: NDArray[Any],
    target: NDArray[Any],
    weight: NDArray[Any] | None,
    center: NDArray[Any] | None,
    order: NDArray[Any] | None,
    params: tuple[float, ...],
    coef: NDArray[Any],
    intercept: NDArray[Any],
    by_coef: NDArray[Any],
    by_intercept: NDArray[Any],
    nthreads: int,
) -> float: ...
def pairwise_logistic(
    starts: NDArray[Any],
    label: NDArray[Any],
    score: NDArray[Any],
    value: NDArray[Any] | None,
    grad: NDArray[Any] | None,
    hess: NDArray[Any] | None,
    nthreads: int,
) -> None: ...
