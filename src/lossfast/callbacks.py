"""What happens while an estimator is fitted: stopping early, smaller steps, files of the best model, progress.

A callback is an object of a class derived from `Callback`, with the methods and arguments that Keras's callbacks have;
estimators take a list of them as `callbacks`.  `self.model` is the running fit: `model.estimator`, `model.epochs`,
`model.steps`, `model.learning_rate` (can be set) and `model.stop_training` (set it to True to end after the epoch).
"""

from __future__ import annotations

import csv
import math
import os
import sys
import time
from pathlib import Path
from typing import IO, Any

import numpy as np

from lossfast._errors import did_you_mean

Logs = dict[str, float]

__all__ = ["CSVLogger", "Callback", "EarlyStopping", "ModelCheckpoint", "Progress", "ReduceLROnPlateau"]


class Callback:
    """Does nothing: override what is needed.

    Examples
    --------
    >>> import lossfast as lf
    >>> class Stop(lf.callbacks.Callback):
    ...     def on_epoch_end(self, epoch, logs=None):
    ...         self.model.stop_training = logs["loss"] < 0.1
    """

    model: Any = None

    def set_model(self, model: Any) -> None:
        """Called with the running fit before it begins, and with None after it has ended."""
        self.model = model

    def on_train_begin(self, logs: Logs | None = None) -> None:
        """Called once."""

    def on_epoch_begin(self, epoch: int, logs: Logs | None = None) -> None:
        """Called with the number of the epoch, from 0."""

    def on_steps_end(self, step: int, logs: Logs | None = None) -> None:
        """Called now and then within an epoch, with the number of its batches that are done."""

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        """Called with what the history records of the epoch."""

    def on_train_end(self, logs: Logs | None = None) -> None:
        """Called once, also when the fit is interrupted."""

    def __repr__(self) -> str:
        given = ((k, v) for k, v in vars(self).items() if not k.startswith("_") and k != "model")
        return f"{type(self).__name__}({', '.join(f'{k}={v!r}' for k, v in given)})"


def _is_better_when_large(monitor: str) -> bool:
    """Losses are to be small, scores of scikit-learn (also those it calls neg_...) large."""
    from lossfast import catalogue

    name = monitor.removeprefix("val_")
    return name not in ("loss", "objective", "lr") and catalogue._plain(name) not in catalogue.INDEX


class _Monitor(Callback):
    """Follows one number of the logs."""

    def __init__(self, monitor: str, mode: str, min_delta: float) -> None:
        if mode not in ("auto", "min", "max"):
            raise ValueError(f"mode is {mode!r}, expected 'auto', 'min' or 'max'")
        if not min_delta >= 0:
            raise ValueError(f"min_delta is {min_delta!r}, expected at least 0")
        self.monitor, self.mode, self.min_delta = monitor, mode, min_delta

    def on_train_begin(self, logs: Logs | None = None) -> None:
        """Forgets the fit before."""
        large = self.mode == "max" or (self.mode == "auto" and _is_better_when_large(self.monitor))
        self._sign = -1.0 if large else 1.0
        self._best = math.inf

    def value(self, logs: Logs | None) -> float:
        """What is monitored."""
        logs = logs or {}
        if self.monitor not in logs:
            hint = "; validation needs early_stopping or validation_data" if self.monitor.startswith("val_") else ""
            known = ", ".join(map(repr, logs))
            hint = hint or did_you_mean(self.monitor, logs)
            raise ValueError(f"monitor is {self.monitor!r}, expected one of {known}{hint}")
        return logs[self.monitor]

    def improves(self, value: float) -> bool:
        """Whether it is better than the best so far, by more than min_delta; then it becomes that."""
        if self._sign * value < self._best - self.min_delta:
            self._best = self._sign * value
            return True
        return False


class EarlyStopping(_Monitor):
    """Ends the fit when what is monitored has not improved for some epochs.

    Parameters
    ----------
    monitor : str, default "val_loss"
        A key of the history.
    min_delta : float, default 0.0
        What an improvement has to exceed.
    patience : int, default 5
        Epochs without improvement after which the fit ends.
    mode : {"auto", "min", "max"}
        Whether small or large is good; "auto" knows that losses are to be small and scores large.
    restore_best_weights : bool, default True
        Whether the coefficients of the best epoch are put back at the end.
    """

    _kept: Any = None

    def __init__(
        self,
        monitor: str = "val_loss",
        min_delta: float = 0.0,
        patience: int = 5,
        mode: str = "auto",
        restore_best_weights: bool = True,
    ) -> None:
        super().__init__(monitor, mode, min_delta)
        self.patience, self.restore_best_weights = patience, restore_best_weights

    def on_train_begin(self, logs: Logs | None = None) -> None:
        """Forgets the fit before."""
        super().on_train_begin(logs)
        self._waited, self._kept = 0, None

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        """Waits, or keeps the coefficients."""
        if self.improves(self.value(logs)):
            self._waited = 0
            self.model.best_epoch = epoch
            if self.restore_best_weights:
                self._kept = self.model.weights()
            return
        self._waited += 1
        if self._waited >= self.patience:
            self.model.stop_training = True

    def on_train_end(self, logs: Logs | None = None) -> None:
        """Puts the best coefficients back."""
        if self._kept is not None:
            self.model.set_weights(self._kept)
        self._kept = None


class ReduceLROnPlateau(_Monitor):
    """Multiplies the learning rate by a factor when what is monitored has not improved for some epochs.

    Parameters
    ----------
    monitor : str, default "val_loss"
        A key of the history.
    factor : float, default 0.1
        By what the learning rate is multiplied, in (0, 1); it also scales what a schedule says.
    patience : int, default 10
        Epochs without improvement before that.
    min_delta : float, default 1e-4
        What an improvement has to exceed.
    cooldown : int, default 0
        Epochs after a reduction in which nothing is counted.
    min_lr : float, default 0.0
        The learning rate is not made smaller than this.
    mode : {"auto", "min", "max"}
        As for `EarlyStopping`.
    """

    def __init__(
        self,
        monitor: str = "val_loss",
        factor: float = 0.1,
        patience: int = 10,
        min_delta: float = 1e-4,
        cooldown: int = 0,
        min_lr: float = 0.0,
        mode: str = "auto",
    ) -> None:
        super().__init__(monitor, mode, min_delta)
        if not 0 < factor < 1:
            raise ValueError(f"factor is {factor!r}, expected a number between 0 and 1")
        self.factor, self.patience, self.cooldown, self.min_lr = factor, patience, cooldown, min_lr

    def on_train_begin(self, logs: Logs | None = None) -> None:
        """Forgets the fit before."""
        super().on_train_begin(logs)
        self._waited = self._cooling = 0

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        """Waits, or makes the steps smaller."""
        better = self.improves(self.value(logs))
        if self._cooling:
            self._cooling -= 1
            self._waited = 0
        elif better:
            self._waited = 0
        else:
            self._waited += 1
            if self._waited >= self.patience and self.model.learning_rate > self.min_lr:
                self.model.learning_rate = max(self.model.learning_rate * self.factor, self.min_lr)
                self._cooling, self._waited = self.cooldown, 0


class ModelCheckpoint(_Monitor):
    """Saves the estimator after an epoch, as `estimator.save` does: a file is replaced as a whole or not at all.

    Parameters
    ----------
    filepath : str or path
        May have fields: ``"model-{epoch:02d}-{val_loss:.3f}.npz"``; epochs count from 1 there, as in Keras.
    monitor : str, default "val_loss"
        A key of the history, for `save_best_only`.
    save_best_only : bool, default False
        Whether only an epoch that is the best so far is saved.
    mode : {"auto", "min", "max"}
        As for `EarlyStopping`.
    """

    def __init__(
        self,
        filepath: str | os.PathLike[str],
        monitor: str = "val_loss",
        save_best_only: bool = False,
        mode: str = "auto",
    ) -> None:
        super().__init__(monitor, mode, 0.0)
        self.filepath, self.save_best_only = filepath, save_best_only

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        """Saves."""
        if not self.save_best_only or self.improves(self.value(logs)):
            self.model.estimator.save(os.fspath(self.filepath).format(epoch=epoch + 1, **(logs or {})))


class CSVLogger(Callback):
    """Writes a line with the numbers of each epoch.

    Parameters
    ----------
    filename : str or path
        The file; it is flushed after each line.
    separator : str, default ","
        Between the numbers.
    append : bool, default False
        Whether the lines of this fit follow what the file has.
    """

    def __init__(self, filename: str | os.PathLike[str], separator: str = ",", append: bool = False) -> None:
        self.filename, self.separator, self.append = filename, separator, append
        self._file: IO[str] | None = None

    def on_train_begin(self, logs: Logs | None = None) -> None:
        """Opens the file."""
        path = Path(self.filename)
        self._headed = self.append and path.exists() and path.stat().st_size > 0
        self._file = path.open("a" if self.append else "w", newline="", encoding="utf-8")

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        """Writes a line, and before the first one the names."""
        assert self._file is not None
        logs = logs or {}
        writer = csv.writer(self._file, delimiter=self.separator)
        if not self._headed:
            writer.writerow(["epoch", *logs])
            self._headed = True
        writer.writerow([epoch, *map(float, logs.values())])
        self._file.flush()

    def on_train_end(self, logs: Logs | None = None) -> None:
        """Closes the file."""
        if self._file is not None:
            self._file.close()
        self._file = None


class Progress(Callback):
    """What Keras's users see: the epoch, how far it is, and its numbers.

    On a terminal, where rich is installed, the bar moves; elsewhere the lines of an epoch are written at its end.

    Parameters
    ----------
    verbose : int, default 1
        1: a bar for each epoch; 2: one line for each epoch; 0: nothing.
    file : file object, optional
        Where to write; None: standard output.
    """

    WIDTH = 20

    def __init__(self, verbose: int = 1, file: IO[str] | None = None) -> None:
        self.verbose, self.file = verbose, file
        self._bar: Any = None

    def on_epoch_begin(self, epoch: int, logs: Logs | None = None) -> None:
        """Starts the clock, and the bar."""
        self._start = time.perf_counter()
        file = self.file or sys.stdout
        if self.verbose == 1:
            print(f"Epoch {epoch + 1}/{self.model.epochs}", file=file, flush=True)
            if file.isatty():
                self._bar = _rich_bar(file, self.model.steps, self.WIDTH)

    def on_steps_end(self, step: int, logs: Logs | None = None) -> None:
        """Moves the bar."""
        if self._bar is not None:
            self._bar.update(self._bar.task_ids[0], completed=step, text=_numbers(logs))

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        """Writes the numbers."""
        seconds, steps = time.perf_counter() - self._start, self.model.steps
        file = self.file or sys.stdout
        pace = f"{seconds:.0f}s {_pace(seconds / max(1, steps))}/step"
        if self.verbose == 2:
            print(f"Epoch {epoch + 1}/{self.model.epochs} - {pace} - {_numbers(logs)}", file=file, flush=True)
        elif self._bar is not None:
            self._bar.update(self._bar.task_ids[0], completed=steps, text=f"{pace} - {_numbers(logs)}")
            self._close()
        elif self.verbose == 1:
            print(f"{steps}/{steps} {'━' * self.WIDTH} {pace} - {_numbers(logs)}", file=file, flush=True)

    def on_train_end(self, logs: Logs | None = None) -> None:
        """Leaves the terminal in order."""
        self._close()

    def _close(self) -> None:
        if self._bar is not None:
            self._bar.stop()
        self._bar = None


def _rich_bar(file: IO[str], steps: int, width: int) -> Any:
    """A bar that is on display, or None without rich."""
    try:
        from rich.console import Console
        from rich.progress import BarColumn, TextColumn
        from rich.progress import Progress as Bar
    except ImportError:
        return None
    columns = [TextColumn("{task.completed:.0f}/{task.total:.0f}"), BarColumn(width), TextColumn("{task.fields[text]}")]
    bar = Bar(*columns, console=Console(file=file))
    bar.add_task("", total=steps, text="")
    bar.start()
    return bar


def _numbers(logs: Logs | None) -> str:
    def shown(x: float) -> str:
        return f"{x:.4f}" if x == 0 or 1e-3 <= abs(x) < 1e5 else f"{x:.4e}"

    return " - ".join(f"{k}: {shown(float(v))}" for k, v in (logs or {}).items() if k != "objective")


def _pace(seconds: float) -> str:
    for unit, size in (("s", 1.0), ("ms", 1e-3)):
        if seconds >= size:
            return f"{seconds / size:.0f}{unit}"
    return f"{np.ceil(seconds * 1e6):.0f}us"
