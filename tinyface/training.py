"""One training loop for every task, and the callbacks that log, validate and save beside it.

A run is a folder: last.h5 to resume from, best.h5 to use, log.jsonl with a line per logged step. Whatever ends
the process, the folder holds a checkpoint from which `--resume` continues to the same bits: the order of the
images is a function of seed and step, everything else that moves is in the checkpoint.
"""

import json
import math
import signal
import sys
import time
from pathlib import Path

from . import backend, checkpoint
from .errors import NotFiniteError, TinyfaceError
from .files import atomic_write, remove_drafts

LAST, BEST, LOG = "last.h5", "best.h5", "log.jsonl"


class Interrupted(Exception):
    """Ctrl-C or SIGTERM, after the step under way was finished and saved. `signal` is its number."""

    def __init__(self, message, signal_number):
        super().__init__(message)
        self.signal = signal_number


class Trainer:
    """The state of a run, and the loop.

    task: has `network`, `loss(batch)`. loader: iterator of batches from `step` on. schedule: step → factor on lr.
    callbacks: objects with any of on_start(trainer), on_step(trainer, loss), on_end(trainer), called in order.
        `loss` is None on steps where it was not read back.
    """

    def __init__(self, task, optimizer, schedule, loader, steps, log_every, callbacks=()):
        self.task, self.optimizer, self.schedule, self.loader = task, optimizer, schedule, loader
        self.steps, self.log_every, self.callbacks = steps, log_every, list(callbacks)
        self.base_lr = optimizer.lr
        self.step = 0  # steps done
        self.best = None  # best validation measure so far
        self.last_saved = None  # (path, step)

    def run(self):
        """Train until `steps` are done. Raises TinyfaceError where the loss is not a finite number."""
        network = self.task.network
        self._call("on_start")
        while self.step < self.steps:
            network.train()
            batch = next(self.loader)
            self.optimizer.lr = self.base_lr * self.schedule(self.step)
            network.zero_grad()
            loss = self.task.loss(batch)
            # Reading a number back makes a GPU wait, so there it is done only now and then, and at the end.
            done = self.step + 1
            read = network.device == "cpu" or done % self.log_every == 0 or done == self.steps
            value = float(loss.item()) if read else None
            if value is not None and not math.isfinite(value):
                raise self.diverged(f"the loss became {value} at step {done}")
            loss.backward()
            del loss
            self.optimizer.step()
            self.step += 1
            self._call("on_step", value)
        self._call("on_end")

    def save(self, path, **content):
        """Save the network as a checkpoint with this content. Raises TinyfaceError where a weight is NaN."""
        try:
            checkpoint.save(path, checkpoint.Checkpoint(self.task.network, **content))
        except NotFiniteError:
            raise self.diverged(f"a weight became NaN or infinite by step {self.step}") from None

    def diverged(self, what):
        """The error for numbers that are no longer finite: says what happened, what is safe, what to do."""
        if self.last_saved:
            safe = f"the last good checkpoint is {self.last_saved[0]} (step {self.last_saved[1]})"
        else:
            safe = "no checkpoint had been saved yet"
        return TinyfaceError(f"{what}; {safe}; try a smaller --lr than {self.base_lr:g}")

    def _call(self, event, *args):
        for callback in self.callbacks:
            method = getattr(callback, event, None)
            if method:
                method(self, *args)


class Validation:
    """Measures the network on the validation split every `every` steps and at the end; keeps the best as best.h5."""

    def __init__(self, evaluate, every, folder, notes):
        self.evaluate, self.every, self.folder, self.notes = evaluate, every, Path(folder), notes

    def on_step(self, trainer, loss):
        if trainer.step % self.every and trainer.step != trainer.steps:
            return
        task = trainer.task
        try:
            result = self.evaluate()
        except NotFiniteError:
            raise trainer.diverged(f"an output became NaN or infinite by step {trainer.step}") from None
        measures = task.summarise(result)
        value = measures[task.measure]
        best, larger = trainer.best, task.larger_is_better
        # Any number is better than a measure that is undefined: a comparison with NaN would be false for ever.
        first = best is None or (math.isnan(best) and not math.isnan(value))
        if first or (value > best if larger else value < best):
            trainer.best = value
            notes = {**self.notes, "step": trainer.step, "validation": measures}
            trainer.save(self.folder / BEST, notes=notes)
        for callback in trainer.callbacks:
            if hasattr(callback, "on_validation"):
                callback.on_validation(trainer, measures)


class KeepLast:
    """Stands in for Validation where there is no validation split: the best network is the last."""

    def __init__(self, folder, notes):
        self.folder, self.notes = Path(folder), notes

    def on_end(self, trainer):
        trainer.save(self.folder / BEST, notes={**self.notes, "step": trainer.step})


class Saver:
    """Saves last.h5 every `every` steps, at the end, and when Ctrl-C or SIGTERM ends the run.

    Inside `with saver:` a first signal waits for the end of the step and raises Interrupted; a second one goes
    to whoever had it before, at once. Whatever ends the block puts the handlers back, and no signal is lost.
    """

    def __init__(self, every, folder, options, notes):
        self.every, self.path, self.options, self.notes = every, Path(folder) / LAST, options, notes
        self.caught = None  # the number of the first signal
        self.before = {}  # signal → handler to be put back

    def __enter__(self):
        self.caught = None
        # All noted first: _catch may be called, and put them back, as soon as one of them is ours.
        self.before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
        try:
            for number in self.before:
                signal.signal(number, self._catch)
        except ValueError:  # only the main thread may; elsewhere nobody sends us signals
            self.before = {}
        return self

    def __exit__(self, kind, error, traceback):
        self._put_back()
        # A signal after the last look at it, or one whose checkpoint could not be saved. A bug goes first.
        if self.caught and error is None:
            raise self._interrupted(f"at the end of the training, saved in {self.path}; resume with --resume")
        if self.caught and isinstance(error, TinyfaceError):
            raise self._interrupted(f"and {error}") from error

    def _catch(self, number, frame):
        if self.caught:  # asked twice: go at once
            self._put_back()
            signal.raise_signal(number)
        self.caught = number

    def _put_back(self):
        for number, handler in self.before.items():
            signal.signal(number, handler)
        self.before = {}

    def _interrupted(self, how):
        return Interrupted(f"stopped by {signal.Signals(self.caught).name} {how}", self.caught)

    def on_start(self, trainer):
        remove_drafts(self.path.parent)

    def on_step(self, trainer, loss):
        # Looked at once: a signal from here on must find this step or the next one saved.
        caught = self.caught
        if caught or trainer.step % self.every == 0 or trainer.step == trainer.steps:
            self.save(trainer)
        if caught:
            raise self._interrupted(f"after step {trainer.step}, saved in {self.path}; resume with --resume")

    def save(self, trainer):
        state = {
            "step": trainer.step,
            "best": trainer.best,
            "options": self.options,
            "random": backend.get_random_state(),
        }
        trainer.save(self.path, notes=self.notes, training=state, optimizer=trainer.optimizer.state_dict())
        trainer.last_saved = self.path, trainer.step


class JsonLog:
    """log.jsonl: {"step", "loss", "lr", "images_per_second"} every few steps, {"step", "validation"} at validations."""

    def __init__(self, folder, batch_size):
        self.path, self.batch_size = Path(folder) / LOG, batch_size
        self.clock = None

    def on_start(self, trainer):
        # After a kill the log may be ahead of the checkpoint, or end in half a line.
        kept = [record for record in read_log(self.path) if record["step"] <= trainer.step]
        atomic_write(self.path, "".join(json.dumps(record) + "\n" for record in kept))
        self.clock = time.perf_counter(), trainer.step

    def on_step(self, trainer, loss):
        if loss is None or (trainer.step % trainer.log_every and trainer.step != trainer.steps):
            return
        now, (then, step) = time.perf_counter(), self.clock
        rate = (trainer.step - step) * self.batch_size / (now - then)
        self.clock = now, trainer.step
        self._append(
            {
                "step": trainer.step,
                "loss": loss,
                "lr": trainer.optimizer.lr,
                "images_per_second": round(rate, 2),
            }
        )

    def on_validation(self, trainer, measures):
        self._append({"step": trainer.step, "validation": measures})
        self.clock = time.perf_counter(), trainer.step

    def _append(self, record):
        try:
            with open(self.path, "a", encoding="utf-8") as file:
                file.write(json.dumps(record) + "\n")
        except OSError as error:
            raise TinyfaceError(
                f"{self.path}: cannot be written ({error.strerror}); make room, or choose another place"
            ) from None


def read_log(path):
    """The records of a log.jsonl up to the first line that is none, such as half a line, as a kill leaves it."""
    if not Path(path).exists():
        return []
    records = []
    for line in Path(path).read_bytes().splitlines():
        try:
            record = json.loads(line)
        except ValueError:  # no JSON, or no UTF-8
            break
        if not isinstance(record, dict) or not isinstance(record.get("step"), int):
            break
        records.append(record)
    return records


class Progress:
    """A line that moves on a terminal, a line now and then elsewhere: step, loss, images/s, time left.

    Where nobody listens (no stderr, a closed pipe, a full disk) it falls silent: training goes on.
    """

    def __init__(self, label, batch_size, stream=None):
        self.label, self.batch_size, self.stream = label, batch_size, stream or sys.stderr
        self.terminal = self.stream is not None and self.stream.isatty()
        self.loss = None

    def on_start(self, trainer):
        self.first, self.started, self.drawn = trainer.step, time.perf_counter(), 0.0

    def on_step(self, trainer, loss):
        if loss is not None:  # a running mean over about twenty steps is easier to follow
            self.loss = loss if self.loss is None else 0.95 * self.loss + 0.05 * loss
        now = time.perf_counter()
        done = trainer.step == trainer.steps
        if not done and (now - self.drawn < 0.2 if self.terminal else trainer.step % trainer.log_every):
            return
        self.drawn = now
        per_step = (now - self.started) / (trainer.step - self.first)
        filled = 24 * trainer.step // trainer.steps
        loss_text = "" if self.loss is None else f"loss {self.loss:.4f}  "
        line = (
            f"{self.label}  [{'#' * filled}{'.' * (24 - filled)}] {trainer.step}/{trainer.steps}  {loss_text}"
            f"{self.batch_size / per_step:.0f} images/s  {_clock((trainer.steps - trainer.step) * per_step)} left"
        )
        self._print(f"\r{line}\x1b[K" if self.terminal else line, "\n" if done or not self.terminal else "")

    def on_validation(self, trainer, measures):
        start = "\r\x1b[K" if self.terminal else ""
        text = "  ".join(f"{name.replace('_', ' ')} {100 * value:.2f} %" for name, value in measures.items())
        self._print(f"{start}{self.label}  step {trainer.step}, validation: {text}")

    def _print(self, text, end="\n"):
        if self.stream is not None:
            try:
                print(text, end=end, file=self.stream, flush=True)
            except (OSError, ValueError):  # ValueError: the stream is closed
                self.stream = None


def _clock(seconds):
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{seconds:02}" if hours else f"{minutes}:{seconds:02}"
