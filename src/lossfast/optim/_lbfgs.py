"""L-BFGS, which SciPy has: a configuration that `lossfast.minimize` hands over."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from lossfast._arrays import Array
from lossfast._declarations import Param, nonnegative


class LBFGS:
    """L-BFGS by ``scipy.optimize.minimize(method="L-BFGS-B")``: for `lossfast.minimize`, in double precision.

    It looks for the length of each step itself, so that it needs whole functions and no learning rate.

    Parameters
    ----------
    history_size : int, default 10
        How many of the last steps its approximation of the Hessian is made of.
    ftol : float, default 2.220446049250313e-09
        It stops when a step improves the value by less than this part of it.
    gtol : float, default 1e-05
        It stops when no element of the gradient is larger.
    max_line_search : int, default 20
        Evaluations for the length of one step, at most.

    References
    ----------
    R. H. Byrd, P. Lu, J. Nocedal, C. Zhu, SIAM J. Sci. Comput. 16 (1995) 1190-1208, doi:10.1137/0916069.

    Examples
    --------
    >>> import lossfast as lf
    >>> lf.optim.get("L-BFGS", history_size=5)
    LBFGS(history_size=5)
    """

    _PARAMS = {  # noqa: RUF012
        "history_size": Param(10, "", kind=int),
        "ftol": nonnegative(2.220446049250313e-09, ""),
        "gtol": nonnegative(1e-5, ""),
        "max_line_search": Param(20, "", kind=int),
    }

    def __init__(
        self,
        *,
        history_size: int = 10,
        ftol: float = 2.220446049250313e-09,
        gtol: float = 1e-5,
        max_line_search: int = 20,
    ) -> None:
        self.history_size, self.ftol, self.gtol, self.max_line_search = history_size, ftol, gtol, max_line_search
        self.set_params()

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """The parameters, as scikit-learn's estimators return theirs."""
        return {name: getattr(self, name) for name in self._PARAMS}

    def set_params(self, **params: Any) -> LBFGS:
        """Change parameters; nothing changes if one of them is not allowed."""
        for name in params:
            if name not in self._PARAMS:
                raise ValueError(f"LBFGS has no parameter {name!r}: {', '.join(self._PARAMS)}")
        new = {k: self._PARAMS[k].checked(k, v) for k, v in {**self.get_params(), **params}.items()}
        for name in ("history_size", "max_line_search"):
            if new[name] < 1:
                raise ValueError(f"{name} is {new[name]}, expected at least 1")
        self.__dict__.update(new)
        return self

    def bind(self, params: Any) -> LBFGS:
        """Not possible: it has no single steps."""
        raise TypeError("L-BFGS is for lossfast.minimize alone: it has no steps by given gradients")

    def __repr__(self) -> str:
        shown = [f"{k}={v!r}" for k, v in self.get_params().items() if v != self._PARAMS[k].default]
        return f"LBFGS({', '.join(shown)})"

    def _run(
        self,
        evaluate: Callable[[Array], tuple[float, Array]],
        x0: Array,
        steps: int,
        each: Callable[[Array, float], None],
        tolerances: dict[str, float],
    ) -> tuple[Array, int, bool, str]:
        """(x, steps, whether it converged, SciPy's words); `each` sees where every step ends."""
        try:
            from scipy.optimize import minimize
        except ImportError as error:
            raise ImportError("optimizer 'lbfgs' needs SciPy: pip install scipy") from error

        def callback(intermediate_result: Any) -> None:
            each(intermediate_result.x, float(intermediate_result.fun))

        options = {
            "maxiter": steps,
            "maxfun": 1 << 30,
            "maxcor": self.history_size,
            "maxls": self.max_line_search,
            "ftol": tolerances.get("ftol") or self.ftol,
            "gtol": tolerances.get("gtol") or self.gtol,
        }
        found = minimize(evaluate, x0, jac=True, method="L-BFGS-B", callback=callback, options=options)
        return found.x, int(found.nit), bool(found.success), str(found.message)
