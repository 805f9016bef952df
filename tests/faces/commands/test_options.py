import math

import pytest
from command_runs import refused

from tinyface.faces.commands.options import CHANGEABLE_ON_RESUME, FIXED_ON_RESUME, Options
from tinyface.faces.models import SegmentationNet
from tinyface.faces.presets import PRESETS


def resolve(kind="segmentation", saved=None, **given):
    return Options.resolve(kind, given, saved)


@pytest.mark.parametrize("name", PRESETS)
@pytest.mark.parametrize("kind", ["segmentation", "attributes", "balanced", "joint"])
def test_what_is_not_given_comes_from_the_preset(name, kind):
    preset = PRESETS[name]
    training = getattr(preset, kind)
    options = resolve(kind, preset=name, steps=None, lr=None)
    assert options.preset == name
    for field in (
        "steps", "batch_size", "lr", "weight_decay", "schedule", "warmup", "init", "val_every", "save_every"
    ):  # fmt: skip
        assert getattr(options, field) == getattr(training, field)
    assert (options.optimizer, options.seed, options.data, options.device) == ("adagrad", 0, None, "cpu")


def test_the_small_preset_is_the_default():
    assert resolve() == resolve(preset="small")


def test_the_two_kinds_have_their_own_defaults():
    assert (resolve(preset="paper").steps, resolve("attributes", preset="paper").steps) == (75_000, 40_000)


@pytest.mark.parametrize(
    "name, value",
    [("steps", 7), ("batch_size", 3), ("lr", 0.5), ("weight_decay", 0.0), ("schedule", "step"), ("warmup", 0),
     ("optimizer", "adam"), ("seed", 9), ("data", "here"), ("workers", 0), ("log_every", 2), ("val_every", 3),
     ("save_every", 4), ("init", "parser")],
)  # fmt: skip
def test_what_is_given_goes_over_the_preset(name, value):
    options, without = resolve(**{name: value}), resolve()
    assert getattr(options, name) == value != getattr(without, name)
    setattr(options, name, getattr(without, name))
    assert options == without


IMPOSSIBLE = [
    ("preset", "large"), ("steps", 0), ("batch_size", 1), ("batch_size", 0), ("warmup", -1), ("seed", -1),
    ("workers", -1), ("log_every", 0), ("val_every", 0), ("save_every", 0), ("lr", -1.0), ("lr", 0.0), ("lr", math.nan),
    ("lr", math.inf), ("weight_decay", -1.0), ("weight_decay", math.nan), ("optimizer", "lion"), ("schedule", "sine"),
    ("device", "tpu"), ("init", "luck"),
]  # fmt: skip


@pytest.mark.parametrize("name, value", IMPOSSIBLE)
def test_an_impossible_option_is_named(name, value):
    text = refused(resolve, **{name: value})
    assert text.startswith(f"--{name.replace('_', '-')}") and str(value) in text


@pytest.mark.parametrize(
    "name, value",
    [("preset", "paper"), ("steps", 9), ("batch_size", 9), ("lr", 9.0), ("weight_decay", 9.0), ("schedule", "step"),
     ("warmup", 9), ("optimizer", "adam"), ("seed", 9), ("init", "parser")],
)  # fmt: skip
def test_what_contradicts_the_run_to_be_resumed_is_named(name, value):
    saved = vars(resolve(preset="tiny"))
    text = refused(resolve, saved=saved, **{name: value})
    assert text.startswith(
        f"--{name.replace('_', '-')} {value}: the run to be resumed was started with {saved[name]};"
    )


def test_a_resumed_run_keeps_its_options_and_may_change_those_that_do_not_bind():
    saved = vars(resolve(preset="tiny", steps=5, lr=0.3, data="there"))
    assert vars(resolve(saved=saved)) == saved
    assert vars(resolve(saved=saved, preset="tiny", lr=0.3)) == saved
    free = {"data": "here", "workers": 0, "log_every": 2, "val_every": 3, "save_every": 4}
    assert vars(resolve(saved=saved, **free)) == {**saved, **free}
    assert set(FIXED_ON_RESUME) | set(CHANGEABLE_ON_RESUME) == set(saved)


def test_an_impossible_option_of_a_resumed_run_is_named():
    assert refused(resolve, saved=vars(resolve()), val_every=0).startswith("--val-every ")


def test_an_optimizer_with_these_options():
    network = SegmentationNet(1)
    optimizer = resolve(optimizer="sgd", lr=0.3, weight_decay=0.1).new_optimizer(network)
    assert type(optimizer).__name__ == "SGD" and (optimizer.lr, optimizer.weight_decay) == (0.3, 0.1)
    assert len(optimizer.parameters) == len(network.parameters())
