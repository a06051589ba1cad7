"""An epoch of logistic regression on dense float32: lossfast beside torch, jax and scikit-learn.

python benchmarks/linear_models.py [--rows 1000000 --features 100 --repeats 5] [--quick] [--out benchmarks/README.md]

Every contender makes the same epoch of plain gradient descent, on all samples in their order, from coefficients of
zero; what it comes to (the accuracy on the samples) is printed beside its time.  torch: nn.Linear and SGD, a Python
loop over batches that are slices.  jax: a scan over the batches, compiled, on arrays of its own.  scikit-learn's
SGDClassifier makes a step for each sample, with the same constant rate.
"""

from __future__ import annotations

import argparse
import random
import time
from collections.abc import Callable
from typing import Any

import numpy as np
from measure import digits, factor, heading, publish, say, shown_time, table, use_processors

import lossfast as lf

RATE = 0.1
Epoch = Callable[[], tuple[np.ndarray, float]]  # coefficients and intercept after an epoch
PEERS = ("torch", "jax", "scikit-learn")


def ours(x: np.ndarray, y: np.ndarray, batch: int, threads: int, shuffle: bool = False) -> Epoch:
    """The estimator itself: with its checks of X and y, and the encoding of classes."""

    def epoch() -> tuple[np.ndarray, float]:
        est = lf.GDClassifier(
            learning_rate=RATE, epochs=1, batch_size=batch, shuffle=shuffle, n_threads=threads, random_state=0
        ).fit(x, y)
        return est.coef_[0], float(est.intercept_[0])

    return epoch


def ours_alone(x: np.ndarray, y: np.ndarray, batch: int, threads: int) -> Epoch:
    """The epoch alone, of data that are ready, as it is for peers."""
    from lossfast.linear._objective import for_classes
    from lossfast.linear._samples import Samples
    from lossfast.linear._training import Descent

    objective, rate = for_classes("binary_crossentropy", None, 2), [RATE]
    coef, intercept = np.zeros((1, x.shape[1]), np.float32), np.zeros(1, np.float32)
    samples = Samples(objective, x, y, None, coef, intercept, threads)
    descent = Descent(samples, None, False, 0.0, 0.0, True)

    def epoch() -> tuple[np.ndarray, float]:
        coef[...] = samples.base[...] = 0
        descent.run(None, 0, len(x), batch, lambda: rate)
        return coef[0], float(samples.base[0])

    return epoch


def of_torch(x: np.ndarray, y: np.ndarray, batch: int) -> Epoch:
    """nn.Linear, the loss from logits, SGD."""
    import torch

    torch.set_num_threads(2)
    data, target = torch.from_numpy(x), torch.from_numpy(y.astype(np.float32))[:, None]

    def epoch() -> tuple[np.ndarray, float]:
        layer = torch.nn.Linear(x.shape[1], 1)
        torch.nn.init.zeros_(layer.weight)
        torch.nn.init.zeros_(layer.bias)
        optimizer = torch.optim.SGD(layer.parameters(), lr=RATE)
        for first in range(0, len(x), batch):
            optimizer.zero_grad()
            logits = layer(data[first : first + batch])
            torch.nn.functional.binary_cross_entropy_with_logits(logits, target[first : first + batch]).backward()
            optimizer.step()
        return layer.weight.detach().numpy()[0], float(layer.bias.detach())

    return epoch


def of_jax(x: np.ndarray, y: np.ndarray, batch: int) -> Epoch:
    """A scan over whole batches; samples that are left over are dropped."""
    import jax
    import jax.numpy as jnp

    whole = len(x) // batch * batch
    data = jnp.asarray(x[:whole].reshape(-1, batch, x.shape[1]))
    target = jnp.asarray(y[:whole].astype(np.float32).reshape(-1, batch))

    def loss(w: Any, xs: Any, ys: Any) -> Any:
        z = xs @ w[0] + w[1]
        return jnp.mean(jnp.logaddexp(0.0, z) - ys * z)

    def step(w: Any, part: Any) -> Any:
        g = jax.grad(loss)(w, *part)
        return (w[0] - RATE * g[0], w[1] - RATE * g[1]), None

    run = jax.jit(lambda w, data, target: jax.lax.scan(step, w, (data, target))[0])

    def epoch() -> tuple[np.ndarray, float]:
        w, b = run((jnp.zeros(x.shape[1]), jnp.float32(0)), data, target)
        return np.asarray(w), float(b)

    return epoch


def of_sklearn(x: np.ndarray, y: np.ndarray) -> Epoch:
    """A step for each sample."""
    from sklearn.linear_model import SGDClassifier

    def epoch() -> tuple[np.ndarray, float]:
        est = SGDClassifier(
            loss="log_loss", penalty=None, learning_rate="constant", eta0=0.01, max_iter=1, tol=None, shuffle=False
        ).fit(x, y)
        return est.coef_[0], float(est.intercept_[0])

    return epoch


def main() -> None:
    """Interleaved repeats, the smallest time of each."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=10**6)
    parser.add_argument("--features", type=int, default=100)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--quick", action="store_true", help="few rows, only to see that it works")
    parser.add_argument("--out")
    args = parser.parse_args()
    if args.quick:
        args.rows, args.repeats = 20_000, 2
    use_processors(2)
    rng = np.random.default_rng(0)
    x = rng.standard_normal((args.rows, args.features), dtype=np.float32)
    y = (x @ rng.standard_normal(args.features, dtype=np.float32) + 2 * rng.standard_normal(args.rows) > 0).astype(int)

    rows, missing = [], set()
    for batch in (128, 1024):
        makers: dict[str, Callable[[], Epoch]] = {
            "lossfast": lambda b=batch: ours_alone(x, y, b, 2),
            "lossfast, 1 thread": lambda b=batch: ours_alone(x, y, b, 1),
            "lossfast fit()": lambda b=batch: ours(x, y, b, 2),
            "lossfast fit(), shuffled": lambda b=batch: ours(x, y, b, 2, True),
            "jax scan": lambda b=batch: of_jax(x, y, b),
            "torch nn.Linear + SGD": lambda b=batch: of_torch(x, y, b),
            "scikit-learn SGDClassifier": lambda: of_sklearn(x, y),
        }
        epochs: dict[str, Epoch] = {}
        results: dict[str, tuple[np.ndarray, float]] = {}
        times: dict[str, list[float]] = {}
        for name, make in makers.items():
            try:
                epochs[name] = make()
            except ImportError as error:
                missing.add(str(error.name))
                continue
            say(f"batch {batch}: {name} ...")
            results[name] = epochs[name]()  # compiles, and touches the data
        slow = {"torch nn.Linear + SGD", "scikit-learn SGDClassifier"}
        for turn in range(args.repeats):
            names = [name for name in epochs if turn < 2 or name not in slow]
            random.Random(turn).shuffle(names)
            for name in names:
                time.sleep(0.02)
                start = time.perf_counter()
                epochs[name]()
                times.setdefault(name, []).append(time.perf_counter() - start)
        best = {name: min(t) for name, t in times.items()}
        for name, seconds in best.items():
            w, b = results[name]
            accuracy = float(np.mean((x @ w + b > 0) == y))
            row = ["1" if name.startswith("scikit") else str(batch), name, shown_time(seconds)]
            rows.append([*row, digits(args.rows / seconds / 1e6), factor(seconds, best["lossfast"]), f"{accuracy:.5f}"])
    header = ["batch", "contender", "an epoch", "million samples/s", "lossfast is faster by", "accuracy"]
    text = table(header, rows, "rlrrrr")
    note = (
        f"{args.rows} x {args.features} float32, two threads, gradient descent with rate {RATE} (scikit-learn: 0.01)."
    )
    if missing:
        note += f"  Not installed: {', '.join(sorted(missing))}."
    publish(f"{heading(['lossfast', 'numpy', *PEERS])}\n\n{text}\n\n{note}", args.out, "linear_models")


if __name__ == "__main__":
    main()
