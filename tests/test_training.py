import io
import json
import math
import os
import re
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from types import SimpleNamespace

import h5py
import numpy as np
import pytest

from tinyface import Tensor, backend, checkpoint, nn, ops, optim, training
from tinyface.errors import TinyfaceError
from tinyface.faces import tasks
from tinyface.faces.commands.attributes import train_attributes
from tinyface.faces.commands.folders import REPORT
from tinyface.faces.commands.segmentation import train_segmentation
from tinyface.faces.data.toyfaces import draw_dataset
from tinyface.faces.models import SegmentationNet
from tinyface.faces.predict import SEGMENTATION_FILE
from tinyface.faces.presets import PRESETS

ROOT = Path(__file__).resolve().parents[1]
STEPS = 8
OPTIONS = {
    "preset": "tiny", "steps": STEPS, "batch_size": 2, "log_every": 1, "val_every": 4, "save_every": 3, "seed": 5,
}  # fmt: skip


@pytest.fixture(scope="module")
def faces(tmp_path_factory):
    path = tmp_path_factory.mktemp("data") / "faces"
    draw_dataset(path, train=7, val=3, test=0, seed=1)
    return str(path)


@pytest.fixture(scope="module")
def finished(faces, tmp_path_factory):
    """The folder of a run of train-seg that nothing interrupted."""
    return train_seg(faces, tmp_path_factory.mktemp("runs") / "finished")


@pytest.fixture(scope="module")
def segmentation_file(tmp_path_factory):
    path = tmp_path_factory.mktemp("parser") / "parser.h5"
    backend.seed(0)
    preset = PRESETS["tiny"]
    checkpoint.save(path, checkpoint.Checkpoint(SegmentationNet(preset.width, preset.size)))
    return path


def train_seg(faces, folder, resume=False, **changes):
    return train_segmentation({**OPTIONS, "data": faces, **changes}, folder, resume, lambda line: None)


def contents(path):
    """All that a checkpoint holds but the options it was made with: arrays as bytes, the rest as text."""
    found = {}

    def visit(name, item):
        if hasattr(item, "dtype"):
            found[name] = item.dtype.str, item.shape, np.asarray(item[()]).tobytes()

    with h5py.File(path, "r") as file:
        file.visititems(visit)
        found["network"], found["config"] = file.attrs["network"], file.attrs["config"]
        notes = json.loads(file.attrs["notes"])
        found["notes"] = {name: value for name, value in notes.items() if name != "options"}
        if "training" in file:
            state = json.loads(file["training"].attrs["state"])
            found["state"] = {name: value for name, value in state.items() if name != "options"}
    return found


def assert_same_run(folder, finished):
    for name in (training.LAST, training.BEST):
        got, expected = contents(folder / name), contents(finished / name)
        assert got.keys() == expected.keys()
        assert [key for key in got if got[key] != expected[key]] == [], name
    got, expected = (without_clock(training.read_log(f / training.LOG)) for f in (folder, finished))
    assert got == expected
    reports = [json.loads((f / REPORT).read_text()) for f in (folder, finished)]
    assert reports[0] == reports[1]


def without_clock(records):
    return [{name: value for name, value in r.items() if name != "images_per_second"} for r in records]


class Stop(Exception):
    """Ends a run in the middle, as a kill would: nothing is saved on the way out."""


def stop_in(monkeypatch, where, step):
    """Let the next run end at `step`, `where`: while it is computed, or between validation and saving."""
    if where == "step":
        loss = tasks.SegmentationTask.loss

        def stopping(self, batch):
            if batch.step == step:
                raise Stop
            return loss(self, batch)

        monkeypatch.setattr(tasks.SegmentationTask, "loss", stopping)
    elif where == "before saving":
        on_step = training.Saver.on_step

        def stopping(self, trainer, loss):
            if trainer.step == step:
                raise Stop
            on_step(self, trainer, loss)

        monkeypatch.setattr(training.Saver, "on_step", stopping)
    else:

        def stopping(*args):
            raise Stop

        monkeypatch.setattr("tinyface.faces.commands.segmentation.draw_curve", stopping)


# ---------------------------------------------------------------- resuming


@pytest.mark.parametrize(
    "where, step, save_every",
    [
        ("step", 0, 3),
        ("step", 3, 3),
        ("step", 5, 3),
        ("step", 7, 1),
        ("before saving", 4, 3),  # validated, the best saved, and then back to step 3
        ("before saving", 4, 4),
        ("before saving", 8, 4),
        ("pictures", 8, 3),
    ],
)
def test_a_resumed_run_ends_in_the_same_bits(faces, finished, tmp_path, where, step, save_every):
    folder = tmp_path / "run"
    with pytest.MonkeyPatch.context() as patch, pytest.raises(Stop):
        stop_in(patch, where, step)
        train_seg(faces, folder, save_every=save_every)
    train_seg(faces, folder, resume=True, save_every=save_every)
    assert_same_run(folder, finished)


def test_a_run_resumed_many_times_ends_in_the_same_bits(faces, finished, tmp_path):
    folder = tmp_path / "run"
    for step in (2, 4, 4, 7):
        with pytest.MonkeyPatch.context() as patch, pytest.raises(Stop):
            stop_in(patch, "step", step)
            train_seg(faces, folder, resume=folder.exists(), save_every=2)
    train_seg(faces, folder, resume=True)
    assert_same_run(folder, finished)
    train_seg(faces, folder, resume=True)  # nothing is left to do
    assert_same_run(folder, finished)


@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
def test_resuming_with_other_optimizers(faces, tmp_path, optimizer):
    options = {"optimizer": optimizer, "lr": 0.001, "steps": 4}
    expected = train_seg(faces, tmp_path / "whole", **options)
    with pytest.MonkeyPatch.context() as patch, pytest.raises(Stop):
        stop_in(patch, "step", 3)
        train_seg(faces, tmp_path / "run", save_every=2, **options)
    train_seg(faces, tmp_path / "run", resume=True, **options)
    assert_same_run(tmp_path / "run", expected)


def test_without_a_validation_split_the_best_is_the_last(faces, tmp_path):
    unvalidated = tmp_path / "faces"
    draw_dataset(unvalidated, train=4, val=0, test=0)
    folder = train_seg(str(unvalidated), tmp_path / "whole", steps=3)
    best, last = contents(folder / training.BEST), contents(folder / training.LAST)
    assert best["notes"]["step"] == 3
    assert [name for name, value in best.items() if name != "notes" and last[name] != value] == []
    with pytest.MonkeyPatch.context() as patch, pytest.raises(Stop):
        patch.setattr(training.KeepLast, "on_end", lambda self, trainer: (_ for _ in ()).throw(Stop))
        train_seg(str(unvalidated), tmp_path / "run", steps=3)
    train_seg(str(unvalidated), tmp_path / "run", resume=True, steps=3)
    assert contents(tmp_path / "run" / training.BEST) == best


@pytest.mark.parametrize("workers, count", [(0, 1), (3, 2), (2, 3)])
def test_workers_and_threads_do_not_change_the_bits(faces, finished, tmp_path, threads, workers, count):
    threads(count)
    assert_same_run(train_seg(faces, tmp_path / "run", workers=workers), finished)


def test_another_seed_changes_the_bits(faces, finished, tmp_path):
    folder = train_seg(faces, tmp_path / "run", seed=6)
    got, expected = contents(folder / training.LAST), contents(finished / training.LAST)
    assert all(got[name] != expected[name] for name in got if name.endswith("conv.weight"))


# ---------------------------------------------------------------- the loop


class ToyTask:
    """A linear map, its loss the mean of its outputs times the batch's number; poison: {step: loss}."""

    def __init__(self, poison=()):
        backend.seed(0)
        self.network, self.poison = nn.Linear(3, 2), dict(poison)
        self.network.config = {}

    def loss(self, batch):
        y = ops.mean(self.network(Tensor(np.full((1, 3), batch + 1, np.float32))))
        return y * np.float32(self.poison.get(batch, 1))


def toy_trainer(steps, callbacks=(), schedule=lambda step: 1.0, log_every=1, **options):
    task = ToyTask(**options)
    optimizer = optim.SGD(task.network.parameters(), lr=0.5)
    return training.Trainer(task, optimizer, schedule, iter(range(100)), steps, log_every, callbacks)


class Recorder:
    def __init__(self, name, events):
        self.name, self.events = name, events

    def on_start(self, trainer):
        self.events.append((self.name, "start", trainer.step))

    def on_step(self, trainer, loss):
        self.events.append((self.name, trainer.step, loss))

    def on_end(self, trainer):
        self.events.append((self.name, "end", trainer.step))


def test_callbacks_come_in_order_with_the_loss_of_each_step():
    events = []
    silent = object()
    trainer = toy_trainer(2, [Recorder("a", events), silent, Recorder("b", events)])
    trainer.run()
    losses = [event[2] for event in events if event[0] == "a"][1:3]
    assert all(isinstance(loss, float) for loss in losses) and losses[0] != losses[1]
    assert [event[:2] for event in events] == [
        ("a", "start"), ("b", "start"), ("a", 1), ("b", 1), ("a", 2), ("b", 2), ("a", "end"), ("b", "end"),
    ]  # fmt: skip


@pytest.mark.parametrize("steps, log_every, expected", [(5, 2, [2, 4, 5]), (3, 10, [3])])
def test_a_gpu_reads_the_loss_where_it_is_logged(monkeypatch, steps, log_every, expected):
    events = []
    trainer = toy_trainer(steps, [Recorder("a", events)], log_every=log_every)
    monkeypatch.setattr(type(trainer.task.network), "device", "cuda")
    trainer.run()
    assert [step for _, step, loss in events[1:-1] if loss is not None] == expected


def test_the_schedule_sets_the_rate_of_every_step():
    factors, rates = [0.5, 1.0, 0.25], []

    class Rates:
        def on_step(self, trainer, loss):
            rates.append(trainer.optimizer.lr)

    trainer = toy_trainer(3, [Rates()], schedule=factors.__getitem__)
    before = trainer.task.network.bias.data.copy()
    trainer.run()
    assert rates == [0.25, 0.5, 0.125]
    # The bias' gradient is 1/2 in every step, if the one of the step before was forgotten.
    np.testing.assert_allclose(
        before - trainer.task.network.bias.data, np.full(2, 0.5 * sum(rates)), rtol=1e-6
    )


def test_the_log_holds_each_step_with_its_rate_and_each_validation(finished):
    records = training.read_log(finished / training.LOG)
    steps = [record for record in records if "loss" in record]
    options = checkpoint.load(finished / training.LAST).training["options"]
    schedule = optim.schedule(options["schedule"], STEPS, options["warmup"])
    assert options["schedule"] == "cosine"
    assert [r["step"] for r in steps] == list(range(1, STEPS + 1))
    assert [r["lr"] for r in steps] == [options["lr"] * schedule(step) for step in range(STEPS)]
    assert all(r.keys() == {"step", "loss", "lr", "images_per_second"} for r in steps)
    assert steps[-1]["loss"] < steps[0]["loss"]
    validations = [record for record in records if "validation" in record]
    assert [r["step"] for r in validations] == [4, 8]
    assert all(r["validation"].keys() == {"mean_iou", "pixel_accuracy"} for r in validations)


def test_the_best_network_is_the_one_with_the_best_measure(finished):
    validations = [r for r in training.read_log(finished / training.LOG) if "validation" in r]
    best = max(validations, key=lambda r: r["validation"]["mean_iou"])
    notes = checkpoint.load(finished / training.BEST).notes
    assert (notes["step"], notes["validation"]) == (best["step"], best["validation"])
    assert checkpoint.load(finished / training.LAST).training["best"] == best["validation"]["mean_iou"]
    assert json.loads((finished / REPORT).read_text())["mean_iou"] == best["validation"]["mean_iou"]


@pytest.mark.parametrize("larger", [True, False])
def test_validation_keeps_the_best_only(tmp_path, larger):
    values = iter([0.5, 0.7, 0.7, 0.3, 0.6])
    seen = []

    class Listener:
        def on_validation(self, trainer, measures):
            seen.append((trainer.step, measures["value"]))

    validation = training.Validation(lambda: next(values), 2, tmp_path, {"data": "toy"})
    trainer = toy_trainer(9, [validation, Listener()])
    trainer.task.measure, trainer.task.larger_is_better = "value", larger
    trainer.task.summarise = lambda result: {"value": result}
    kept = []
    trainer.callbacks.append(Keeper(tmp_path / training.BEST, kept))
    trainer.run()
    assert seen == [(2, 0.5), (4, 0.7), (6, 0.7), (8, 0.3), (9, 0.6)]  # every 2 and at the end
    assert kept == ([2, 4] if larger else [2, 8])
    assert trainer.best == (0.7 if larger else 0.3)


@pytest.mark.parametrize("larger", [True, False])
def test_any_measure_is_better_than_one_that_is_undefined(tmp_path, larger):
    values = iter([math.nan, math.nan, 0.5, math.nan])
    trainer = toy_trainer(4, [training.Validation(lambda: next(values), 1, tmp_path, {})])
    trainer.task.measure, trainer.task.larger_is_better = "value", larger
    trainer.task.summarise = lambda result: {"value": result}
    kept = []
    trainer.callbacks.append(Keeper(tmp_path / training.BEST, kept))
    trainer.run()
    assert trainer.best == 0.5 and kept == [1, 3]


class Keeper:
    """Notes the steps at which a file changed. (The toy network is none that a checkpoint could bring back.)"""

    def __init__(self, path, kept):
        self.path, self.kept, self.before = path, kept, None

    def on_step(self, trainer, loss):
        now = self.path.stat().st_mtime_ns if self.path.exists() else None
        if now != self.before:
            self.kept.append(trainer.step)
        self.before = now


def test_logging_every_few_steps_and_at_the_end(faces, tmp_path):
    folder = train_seg(faces, tmp_path / "run", log_every=3, steps=7)
    assert [r["step"] for r in training.read_log(folder / training.LOG) if "loss" in r] == [3, 6, 7]


def test_after_resuming_the_log_has_every_step_once(faces, finished, tmp_path):
    folder = tmp_path / "run"
    with pytest.MonkeyPatch.context() as patch, pytest.raises(Stop):
        stop_in(patch, "step", 5)
        train_seg(faces, folder)
    assert checkpoint.load(folder / training.LAST).training["step"] == 3  # so the log is ahead
    with open(folder / training.LOG, "a") as file:
        file.write('{"step": 6, "lo')
    assert [r["step"] for r in training.read_log(folder / training.LOG)] == [1, 2, 3, 4, 4, 5]
    train_seg(faces, folder, resume=True)
    assert_same_run(folder, finished)
    lines = (folder / training.LOG).read_text().splitlines()
    assert [json.loads(line)["step"] for line in lines] == [1, 2, 3, 4, 4, 5, 6, 7, 8, 8]


def test_a_log_left_from_a_kill_before_the_first_checkpoint_is_begun_anew(faces, finished, tmp_path):
    folder = tmp_path / "run"
    folder.mkdir()
    (folder / training.LOG).write_text('{"step": 1, "loss": 99.0}\n')
    train_seg(faces, folder, resume=True)
    assert_same_run(folder, finished)


def test_drafts_of_killed_writes_are_removed(faces, finished, tmp_path):
    folder = tmp_path / "run"
    folder.mkdir()
    (folder / ".last.h5.123.tmp").write_bytes(b"half")
    train_seg(faces, folder, resume=True)
    assert {path.name for path in folder.iterdir()} == {path.name for path in finished.iterdir()}
    assert not [path for path in folder.iterdir() if path.name.startswith(".")]


def test_a_log_that_cannot_be_written_is_named(tmp_path):
    log = training.JsonLog(tmp_path, 1)
    trainer = toy_trainer(2, [log])
    log.on_start(trainer)
    log.path = tmp_path  # a folder
    log.clock = 0.0, 0
    trainer.step = 1
    with pytest.raises(TinyfaceError, match=f"^{tmp_path}: cannot be written"):
        log.on_step(trainer, 1.0)


# ---------------------------------------------------------------- numbers that are no longer finite


def poison(monkeypatch, step, what, value):
    """At `step` the loss, or a weight behind the forward pass, becomes `value`."""
    loss = tasks.SegmentationTask.loss

    def poisoned(self, batch):
        result = loss(self, batch)
        if batch.step == step - 1 and what == "weight":
            self.network.parameters()[-1].data[0] = value
        return result * np.float32(value) if batch.step == step - 1 and what == "loss" else result

    monkeypatch.setattr(tasks.SegmentationTask, "loss", poisoned)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_a_loss_that_is_not_finite_stops_the_run(faces, finished, tmp_path, value):
    folder = tmp_path / "run"
    expected = (
        f"the loss became {value} at step 6; the last good checkpoint is {folder / training.LAST} (step 3); "
        "try a smaller --lr than 0.02"
    )
    for resume in (False, True):
        with pytest.MonkeyPatch.context() as patch, pytest.raises(TinyfaceError) as caught:
            poison(patch, 6, "loss", value)
            train_seg(faces, folder, resume)
        assert str(caught.value) == expected
        assert checkpoint.load(folder / training.LAST).training["step"] == 3
    train_seg(faces, folder, resume=True)
    assert_same_run(folder, finished)


def test_a_loss_that_is_not_finite_before_anything_was_saved():
    with pytest.raises(
        TinyfaceError, match=r"the loss became nan at step 2; no checkpoint had been saved yet; try"
    ):
        toy_trainer(3, poison={1: np.nan}).run()


@pytest.mark.parametrize("noticed", ["saving", "validation"])
def test_a_weight_that_is_not_finite_is_not_saved_over_a_good_checkpoint(faces, finished, tmp_path, noticed):
    folder = tmp_path / "run"
    every = (
        {"save_every": 5, "val_every": 100} if noticed == "saving" else {"save_every": 100, "val_every": 5}
    )
    with pytest.MonkeyPatch.context() as patch, pytest.raises(TinyfaceError) as caught:
        poison(patch, 5, "weight", np.nan)
        train_seg(faces, folder, **every)
    assert str(caught.value) == (
        f"a weight became NaN or infinite by step 5; the last good checkpoint is {folder / training.LAST} (step 0); "
        "try a smaller --lr than 0.02"
    )
    assert not (folder / training.BEST).exists()
    assert checkpoint.load(folder / training.LAST).training["step"] == 0
    train_seg(faces, folder, resume=True, save_every=3, val_every=4)
    assert_same_run(folder, finished)


def test_an_attribute_network_whose_outputs_overflow_stops_at_the_validation(faces, tmp_path, monkeypatch):
    loss = tasks.AttributeTask.loss

    def overflowing(self, batch):
        result = loss(self, batch)
        if batch.step == 1:
            self.network.head.linear.weight.data[...] = np.float32(3e38) * (-1) ** np.arange(64)
        return result

    monkeypatch.setattr(tasks.AttributeTask, "loss", overflowing)
    options = {**OPTIONS, "data": faces, "val_every": 2}
    with np.errstate(over="ignore", invalid="ignore"), pytest.raises(TinyfaceError) as caught:
        train_attributes(["avg"], options, None, tmp_path / "run", log=lambda line: None)
    assert str(caught.value).startswith(
        "an output became NaN or infinite by step 2; the last good checkpoint is"
    )


# ---------------------------------------------------------------- signals


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_lets_the_step_finish_and_saves(faces, finished, tmp_path, number):
    folder, before = tmp_path / "run", [signal.getsignal(n) for n in (signal.SIGINT, signal.SIGTERM)]
    loss = tasks.SegmentationTask.loss

    def interrupted(self, batch):
        if batch.step == 4:
            signal.raise_signal(number)
        return loss(self, batch)

    with pytest.MonkeyPatch.context() as patch, pytest.raises(training.Interrupted) as caught:
        patch.setattr(tasks.SegmentationTask, "loss", interrupted)
        train_seg(faces, folder)
    assert caught.value.signal == number
    assert str(caught.value) == (
        f"stopped by {signal.Signals(number).name} after step 5, saved in {folder / training.LAST}; "
        "resume with --resume"
    )
    assert [signal.getsignal(n) for n in (signal.SIGINT, signal.SIGTERM)] == before
    assert checkpoint.load(folder / training.LAST).training["step"] == 5
    train_seg(faces, folder, resume=True)
    assert_same_run(folder, finished)


SIGNALS = signal.SIGINT, signal.SIGTERM


@pytest.fixture
def handlers():
    """Handlers of our own, so that a signal that is handed on can be seen: the list of those that were."""
    seen, before = [], {number: signal.getsignal(number) for number in SIGNALS}

    def see(number, frame):
        seen.append(number)

    for number in SIGNALS:
        signal.signal(number, see)
    yield seen
    assert [signal.getsignal(number) for number in SIGNALS] == [see, see]  # put back, whatever happened
    for number, handler in before.items():
        signal.signal(number, handler)


def when_saved(monkeypatch, step, then):
    """Let `then()` happen right after last.h5 was saved at `step`, still within the saving."""
    save = training.Saver.save

    def saving(self, trainer):
        save(self, trainer)
        if trainer.step == step:
            then()

    monkeypatch.setattr(training.Saver, "save", saving)


@pytest.mark.parametrize("number", SIGNALS)
def test_a_signal_during_the_last_saving_is_not_lost(faces, finished, tmp_path, handlers, number):
    folder = tmp_path / "run"
    with pytest.MonkeyPatch.context() as patch, pytest.raises(training.Interrupted) as caught:
        when_saved(patch, STEPS, lambda: signal.raise_signal(number))
        train_seg(faces, folder)
    assert caught.value.signal == number
    assert str(caught.value) == (
        f"stopped by {signal.Signals(number).name} at the end of the training, saved in {folder / training.LAST}; "
        "resume with --resume"
    )
    train_seg(faces, folder, resume=True)
    assert_same_run(folder, finished)
    assert not handlers


def test_a_signal_during_the_first_saving_lets_one_step_finish(faces, finished, tmp_path, handlers):
    folder = tmp_path / "run"
    with (
        pytest.MonkeyPatch.context() as patch,
        pytest.raises(training.Interrupted, match="after step 1, saved"),
    ):
        when_saved(patch, 0, lambda: signal.raise_signal(signal.SIGTERM))
        train_seg(faces, folder)
    assert checkpoint.load(folder / training.LAST).training["step"] == 1


def test_a_signal_right_behind_the_look_for_one_waits_for_the_next_step(tmp_path, handlers):
    """Else the run would end with a step that was not saved."""

    class Never(int):
        def __rmod__(self, step):  # "is it time to save?"
            signal.raise_signal(signal.SIGINT)
            return 1

    saved = []
    saver = training.Saver(Never(100), tmp_path, {}, {})
    saver.save = lambda trainer: saved.append(trainer.step)
    with pytest.raises(training.Interrupted, match="stopped by SIGINT after step 2, saved in"), saver:
        toy_trainer(5, [saver]).run()
    assert saved == [2]


def test_a_signal_and_a_full_disk_are_both_told(faces, tmp_path, handlers):
    def full():
        raise TinyfaceError("last.h5: cannot be written (No space left on device)")

    loss = tasks.SegmentationTask.loss

    def interrupted(self, batch):
        if batch.step == 1:
            signal.raise_signal(signal.SIGTERM)
        return loss(self, batch)

    with pytest.MonkeyPatch.context() as patch, pytest.raises(training.Interrupted) as caught:
        patch.setattr(tasks.SegmentationTask, "loss", interrupted)
        when_saved(patch, 2, full)
        train_seg(faces, tmp_path / "run")
    assert str(caught.value) == (
        "stopped by SIGTERM and last.h5: cannot be written (No space left on device)"
    )
    assert caught.value.signal == signal.SIGTERM


@pytest.mark.parametrize(
    "error", [TinyfaceError("diverged"), ZeroDivisionError("a bug"), KeyboardInterrupt()]
)
def test_an_error_puts_the_handlers_back_and_is_passed_on(tmp_path, handlers, error):
    saver = training.Saver(1, tmp_path, {}, {})
    with pytest.raises(type(error)) as caught, saver:
        assert [signal.getsignal(number) for number in SIGNALS] == [saver._catch, saver._catch]
        raise error
    assert caught.value is error


def test_a_bug_is_not_hidden_by_a_signal(tmp_path, handlers):
    saver = training.Saver(1, tmp_path, {}, {})
    with pytest.raises(ZeroDivisionError), saver:
        signal.raise_signal(signal.SIGINT)
        raise ZeroDivisionError


@pytest.mark.parametrize("numbers", [SIGNALS, SIGNALS[::-1], SIGNALS[:1] * 2])
def test_a_second_signal_is_handed_on_at_once(tmp_path, handlers, numbers):
    """Here to a handler that returns; then the run ends after the step, as for the first."""
    saver = training.Saver(100, tmp_path, {}, {})
    saver.save = lambda trainer: None
    trainer = toy_trainer(5, [saver])
    loss = trainer.task.loss

    def twice(batch):
        for number in numbers:
            signal.raise_signal(number)
        assert handlers == [numbers[1]]
        return loss(batch)

    trainer.task.loss = twice
    with pytest.raises(training.Interrupted, match="after step 1"), saver:
        trainer.run()


def test_in_another_thread_signals_are_left_alone(tmp_path, handlers):
    errors = []

    def work():
        try:
            with training.Saver(1, tmp_path, {}, {}):
                pass
        except BaseException as error:
            errors.append(error)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert not errors


def start(command, faces, folder, *more, script=None, **changes):
    """A real run of cli.py, its standard error open for reading."""
    options = {**OPTIONS, "data": faces, "out": folder, **changes}
    typed = [text for name, value in options.items() for text in (f"--{name.replace('_', '-')}", str(value))]
    program = ["-c", script] if script else ["cli.py"]
    return subprocess.Popen(
        [sys.executable, *program, command, *typed, *more],
        cwd=ROOT,
        env={**os.environ, "TINYFACE_THREADS": "1"},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )


def wait_for(process, pattern):
    """Read its standard error up to the line with this pattern."""
    for line in process.stderr:
        if re.search(pattern, line):
            return
    raise AssertionError(f"ended with {process.wait()} before {pattern}")


@pytest.mark.parametrize("number, code", [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_real_process_ends_with_one_line_and_the_code_of_the_signal(faces, tmp_path, number, code):
    folder = tmp_path / "run"
    process = start("train-seg", faces, folder, steps=5000, val_every=5000, save_every=5000)
    wait_for(process, " 2/5000 ")
    process.send_signal(number)
    lines = [line for line in process.communicate(timeout=120)[1].splitlines() if "images/s" not in line]
    assert process.returncode == code
    step = checkpoint.load(folder / training.LAST).training["step"]
    assert 2 <= step < 5000
    name = signal.Signals(number).name
    assert lines == [
        f"stopped by {name} after step {step}, saved in {folder / training.LAST}; resume with --resume"
    ]


STUCK = """
import signal, sys, time, cli
from tinyface import tasks
signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background jobs begin with it ignored
loss = tasks.SegmentationTask.loss
def stuck(self, batch):
    if batch.step == 2:
        print("stuck", file=sys.stderr, flush=True)
        saver = signal.getsignal(signal.SIGINT).__self__
        while not saver.caught:
            time.sleep(0.05)
        print("caught", file=sys.stderr, flush=True)
        time.sleep(600)
    return loss(self, batch)
tasks.SegmentationTask.loss = stuck
cli.cli()
"""


@pytest.mark.parametrize("number, code", [(signal.SIGINT, 130), (signal.SIGTERM, -signal.SIGTERM)])
def test_asked_twice_it_goes_at_once(faces, tmp_path, number, code):
    process = start("train-seg", faces, tmp_path / "run", script=STUCK, save_every=1)
    wait_for(process, "stuck")
    process.send_signal(number)
    wait_for(process, "caught")
    assert process.poll() is None  # it means to finish the step
    process.send_signal(number)
    errors = process.communicate(timeout=120)[1]
    assert process.returncode == code
    assert "Traceback" not in errors
    assert checkpoint.load(tmp_path / "run" / training.LAST).training["step"] == 2


# ---------------------------------------------------------------- kills


@pytest.mark.slow
def test_twenty_kills_change_nothing(faces, tmp_path):
    """SIGKILL at moments spread over a run, each time resumed to the end: the bits are the uninterrupted run's."""
    options = {"steps": 16, "val_every": 5, "save_every": 3}
    process, begun = start("train-seg", faces, tmp_path / "whole", **options), time.monotonic()
    arrivals = [time.monotonic() - begun for _ in process.stderr]
    assert process.wait() == 0
    duration = time.monotonic() - begun

    # A moment is told by the last line before it and the time since then, at the pace the process has come so
    # far: the machine may be slower or faster than at the measurement.
    rng = np.random.default_rng(0)
    moments = [duration * (number + rng.random()) / 20 for number in range(20)]
    killed, unsaved = 0, 0
    for number, moment in enumerate(moments):
        folder = tmp_path / str(number)
        lines = sum(arrival < moment for arrival in arrivals)
        process, begun = start("train-seg", faces, folder, **options), time.monotonic()
        for _ in range(lines):
            process.stderr.readline()
        before = arrivals[lines - 1] if lines else 0
        pace = (time.monotonic() - begun) / before if lines else 1
        time.sleep((moment - before) * pace)
        process.kill()
        process.communicate()
        killed += process.returncode == -signal.SIGKILL
        unsaved += not (folder / training.LAST).exists()
        for path in folder.rglob("*.h5"):
            checkpoint.load(path)

        resume = ["--resume"] if folder.exists() else []  # without a folder there is nothing to go on with
        process = start("train-seg", faces, folder, *resume, **options)
        errors = process.communicate(timeout=300)[1]
        assert process.returncode == 0, errors
        assert_same_run(folder, tmp_path / "whole")
        assert {path.name for path in folder.iterdir()} == {
            path.name for path in (tmp_path / "whole").iterdir()
        }
    assert killed >= 10 and 0 < unsaved < killed  # most fell in time, some before the first checkpoint


@pytest.mark.slow
def test_two_networks_killed_while_the_second_trains(faces, segmentation_file, tmp_path):
    both = "--ssp", "--ssg", "--seg-weights", str(segmentation_file)
    whole, folder = tmp_path / "whole", tmp_path / "run"
    process = start("train-attr", faces, whole, *both)
    assert process.communicate(timeout=300)[1] and process.returncode == 0
    process = start("train-attr", faces, folder, *both)
    wait_for(process, f"^ssg .* 5/{STEPS} ")
    process.kill()
    process.communicate()
    assert checkpoint.load(folder / "ssg" / training.LAST).training["step"] < STEPS
    process = start("train-attr", faces, folder, *both, "--resume")
    process.communicate(timeout=300)
    assert process.returncode == 0
    assert_same_attribute_run(folder, whole)


def train_attr(faces, segmentation_file, folder, resume=False):
    options = {**OPTIONS, "data": faces, "steps": 4}
    return train_attributes(["ssp", "ssg"], options, segmentation_file, folder, resume, lambda line: None)


@pytest.fixture(scope="module")
def finished_pair(faces, segmentation_file, tmp_path_factory):
    """The folder of a run of train-attr --ssp --ssg that nothing interrupted."""
    return train_attr(faces, segmentation_file, tmp_path_factory.mktemp("runs") / "pair")


@pytest.mark.parametrize("network, step", [("ssp", 3), ("ssg", 0), ("ssg", 3)])
def test_two_networks_interrupted_and_resumed(
    faces, segmentation_file, finished_pair, tmp_path, network, step
):
    loss = tasks.AttributeTask.loss

    def stopping(self, batch):
        if self.network.mode == network and batch.step == step:
            raise Stop
        return loss(self, batch)

    with pytest.MonkeyPatch.context() as patch, pytest.raises(Stop):
        patch.setattr(tasks.AttributeTask, "loss", stopping)
        train_attr(faces, segmentation_file, tmp_path / "run")
    train_attr(faces, segmentation_file, tmp_path / "run", resume=True)
    assert_same_attribute_run(tmp_path / "run", finished_pair)


def assert_same_attribute_run(folder, whole):
    for mode in ("ssp", "ssg"):
        for name in (training.LAST, training.BEST):
            assert contents(folder / mode / name) == contents(whole / mode / name)
        got, expected = (without_clock(training.read_log(f / mode / training.LOG)) for f in (folder, whole))
        assert got == expected
    for name in (SEGMENTATION_FILE, REPORT):
        assert (folder / name).read_bytes() == (whole / name).read_bytes()


# ---------------------------------------------------------------- the progress line


class Terminal(io.StringIO):
    def isatty(self):
        return True


def drive(stream, steps=4, log_every=2, first=0):
    progress = training.Progress("run", 8, stream)
    trainer = toy_trainer(steps, log_every=log_every)
    trainer.step = first
    progress.on_start(trainer)
    for step in range(first, steps):
        trainer.step = step + 1
        progress.on_step(trainer, 2.0)
    progress.on_validation(trainer, {"mean_iou": 0.5, "error": 0.125})
    return stream.getvalue()


def test_progress_in_a_file_is_a_line_now_and_then():
    lines = drive(io.StringIO()).splitlines()
    assert len(lines) == 3
    assert re.fullmatch(r"run  \[#{12}\.{12}\] 2/4  loss 2\.0000  \d+ images/s  0:00 left", lines[0])
    assert re.fullmatch(r"run  \[#{24}\] 4/4  loss 2\.0000  \d+ images/s  0:00 left", lines[1])
    assert lines[2] == "run  step 4, validation: mean iou 50.00 %  error 12.50 %"


def test_progress_on_a_terminal_moves_on_one_line():
    text = drive(Terminal())
    assert text.startswith("\rrun  [")
    assert text.count("\n") == 2  # at the end of training, and behind the validation


def test_progress_of_a_resumed_run_counts_its_own_steps_only():
    assert " 4/4 " in drive(io.StringIO(), first=3)


@pytest.mark.parametrize("seconds, text", [(0, "0:00"), (59.6, "1:00"), (61, "1:01"), (3661, "1:01:01")])
def test_time_left(seconds, text):
    assert training._clock(seconds) == text


class Unwilling(io.StringIO):
    """A stream that stops taking anything, as a closed pipe or a full disk does."""

    def write(self, text):
        raise BrokenPipeError(32, "Broken pipe")


@pytest.mark.parametrize("stream", [None, Unwilling()])
def test_progress_that_nobody_hears_stops_nothing(monkeypatch, stream):
    monkeypatch.setattr(sys, "stderr", stream)
    progress = training.Progress("seg", 4)
    trainer = SimpleNamespace(step=0, steps=2, log_every=1)
    progress.on_start(trainer)
    for trainer.step in (1, 2):
        progress.on_step(trainer, 0.5)
        progress.on_validation(trainer, {"error": 0.25})


@pytest.mark.parametrize("tail", [b"\xff\xfe\n", b"5\n", b'{"loss": 1}\n', b'{"step": 2, "lo'])
def test_a_log_counts_up_to_what_is_no_record(tmp_path, tail):
    (tmp_path / "log.jsonl").write_bytes(b'{"step": 1, "loss": 0.5}\n' + tail + b'{"step": 3}\n')
    assert training.read_log(tmp_path / "log.jsonl") == [{"step": 1, "loss": 0.5}]
