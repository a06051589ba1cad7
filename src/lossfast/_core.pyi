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
        unchecked: int,
        scale: float,
        value: NDArray[Any] | None,
        grad: NDArray[Any] | None,
        want_sum: bool,
        nthreads: int,
    ) -> float | None: ...

@disjoint_base
class Pointwise:
    def __call__(self, *args: Any, **kwargs: Any) -> Any: ...
    def grad(self, *args: Any, **kwargs: Any) -> Any: ...
    def hess(self, *args: Any, **kwargs: Any) -> Any: ...
    def value_and_grad(self, *args: Any, **kwargs: Any) -> Any: ...
    def grad_and_hess(self, *args: Any, **kwargs: Any) -> Any: ...
    def value_grad_hess(self, *args: Any, **kwargs: Any) -> Any: ...
    def _set_fast(self, kernel: Kernel, single: tuple[float, ...], double_: tuple[float, ...]) -> None: ...

def weight_sum(weight: NDArray[Any], nthreads: int) -> float: ...
def pointwise_names() -> list[str]: ...
def rowwise_names() -> list[str]: ...
def region_names() -> list[str]: ...
def vecmath(name: str, x: NDArray[Any]) -> NDArray[Any]: ...
def isa() -> str: ...
def set_isa(name: str) -> bool: ...
def set_num_threads(n: int) -> None: ...
def get_num_threads() -> int: ...
