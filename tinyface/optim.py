"""Optimizers (AdaGrad, SGD, Adam) and learning-rate schedules.

An optimizer changes each parameter's `.data` in place from its `.grad`; a parameter without a gradient is
left alone. The arithmetic is PyTorch's: weight decay is added to the gradient, g ← g + λw, before the rule. Kernels
apply the rule to slices that fit into the cache, or have a rule of their own on a GPU (kernels/*/optim.py).
"""

import math
from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeAlias

import numpy as np

from .core import Tensor
from .errors import TinyfaceError
from .runtime import dispatch
from .runtime.devices import device_of, get_array_module, to_device
from .runtime.memory import zeros_in_order_of


class Optimizer:
    """Base of all optimizers: walks the parameters and keeps their state; a subclass gives the rule.

    parameters: objects with `.data` (array) and `.grad` (array of the same shape, or None).
    lr: learning rate > 0; a schedule may set the attribute `lr` before every step.
    weight_decay: λ >= 0, the L2 penalty's factor.
    Raises TinyfaceError, naming the option, for values out of range.
    """

    slots: tuple[str, ...] = ()  # names of the arrays kept per parameter, of its shape, zero at the start
    kernel: str | None = (
        None  # the CUDA kernel of the same rule; None: on a GPU too it is `rule` that does it
    )

    def __init__(self, parameters: Iterable[Tensor], lr: float, weight_decay: float = 0.0) -> None:
        self.parameters = list({id(p): p for p in parameters}.values())  # named twice, updated once
        self.lr = _checked("--lr", lr, lr > 0, "greater than 0")
        self.weight_decay = _checked("--weight-decay", weight_decay, weight_decay >= 0, "0 or more")
        self.state: dict[int, dict[str, Any]] = {}  # parameter index -> {"step": updates so far, slot: array}

    def zero_grad(self) -> None:
        """Forget all gradients; None rather than zeros, so that unused parameters are skipped."""
        for parameter in self.parameters:
            parameter.grad = None

    def step(self) -> None:
        """Update every parameter that has a gradient."""
        updates = {}  # device -> of each parameter the count of its updates, and its arrays
        for index, parameter in enumerate(self.parameters):
            if parameter.grad is not None:
                updates.setdefault(device_of(parameter.data), []).append(self._flat_arrays(index, parameter))
        for device, parameters in updates.items():
            kernel = dispatch.find("optimizer", device)
            if kernel is not None:
                kernel(self, parameters)
                continue
            for count, arrays in parameters:
                self.apply(count, *arrays)

    def apply(self, step: int, w: np.ndarray, g: np.ndarray, *slots: np.ndarray) -> None:
        """Weight decay and the rule, for flat arrays or slices of them."""
        self.rule(step, w, g + self.weight_decay * w, *slots)

    def rule(self, step: int, w: np.ndarray, g: np.ndarray, *slots: np.ndarray) -> None:
        """The rule, element by element: change `w` and the `slots` in place.

        g: the gradient with weight decay added. step: this parameter's count of updates, 1 at the first.
        """
        self.update(step, w, g, get_array_module(g).empty_like(g), *slots)

    def update(
        self, step: int, w: np.ndarray, g: np.ndarray, scratch: np.ndarray, *slots: np.ndarray
    ) -> None:
        """An older form of `rule`, still called where a subclass has it: `scratch` is free memory of g's size."""
        raise NotImplementedError

    def constants(self, step: int) -> tuple[Any, ...]:
        """The numbers that the kernel takes behind the table, for this parameter's `step`-th update."""
        raise NotImplementedError

    def _flat_arrays(self, index, parameter):
        """Count the update. → the count, and data, gradient and slots as flat arrays in the same order."""
        data = parameter.data
        grad = parameter.grad.astype(data.dtype, copy=False)
        order = sorted(range(data.ndim), key=lambda axis: -data.strides[axis])  # in memory
        if not data.transpose(order).flags.c_contiguous:  # or flattening would copy, and the update be lost
            raise ValueError(f"parameter {index} is not contiguous, so it cannot be updated in place")
        if grad.shape != data.shape:
            raise ValueError(f"parameter {index} has shape {data.shape}, its gradient {grad.shape}")
        if index not in self.state:
            self.state[index] = {"step": 0} | {name: zeros_in_order_of(data) for name in self.slots}
        state = self.state[index]
        state["step"] += 1
        for name in self.slots:
            slot = state[name]
            if slot.dtype != data.dtype or not slot.transpose(order).flags.c_contiguous:  # as data was, once
                state[name] = zeros_in_order_of(data)
                state[name][...] = slot

        arrays = [data, grad, *(state[name] for name in self.slots)]
        if not all(a.flags.c_contiguous for a in arrays):
            arrays = [a.transpose(order) for a in arrays]
        return state["step"], [a.reshape(-1) for a in arrays]

    def state_dict(self) -> dict[str, dict[str, Any]]:
        """The accumulated state as {"<parameter index>": {"step": int, slot: NumPy array}}; copies.

        Hyperparameters are not in it: they are options of the run.
        """
        return {
            str(index): {
                name: value if name == "step" else np.array(to_device(value, "cpu"))
                for name, value in state.items()
            }
            for index, state in self.state.items()
        }

    def load_state_dict(self, state_dict: Mapping[str, Mapping[str, Any]]) -> None:
        """Take over what `state_dict` gave, so that training goes on bit by bit as if never interrupted.

        Raises TinyfaceError if the state belongs to another kind of optimizer or to another network.
        """
        state = {}
        for key, entry in state_dict.items():
            index = int(key)
            if index >= len(self.parameters):
                raise TinyfaceError(
                    f"the optimizer state has a parameter {index}, the network only {len(self.parameters)}: "
                    "resume with the options the checkpoint was made with"
                )
            if set(entry) != {"step", *self.slots}:
                raise TinyfaceError(
                    f"the optimizer state holds {', '.join(sorted(entry))}, not what {type(self).__name__} "
                    "keeps: resume with the --optimizer the checkpoint was made with"
                )
            data = self.parameters[index].data
            xp = get_array_module(data)
            state[index] = {"step": int(entry["step"])}
            for name in self.slots:
                if entry[name].shape != data.shape:
                    raise TinyfaceError(
                        f"the optimizer state of parameter {index} has shape {entry[name].shape}, the "
                        f"parameter {data.shape}: resume with the options the checkpoint was made with"
                    )
                state[index][name] = zeros_in_order_of(data)
                state[index][name][...] = xp.asarray(entry[name], dtype=data.dtype)
        self.state = state


class AdaGrad(Optimizer):
    """s ← s + g², w ← w − lr · g / (√s + ε)   (Duchi, Hazan, Singer 2011; the optimizer of Kalayeh et al.)"""

    slots = ("sum",)
    kernel = "adagrad"

    def __init__(
        self, parameters: Iterable[Tensor], lr: float = 1e-3, weight_decay: float = 0.0, eps: float = 1e-10
    ) -> None:
        super().__init__(parameters, lr, weight_decay)
        self.eps = float(eps)

    def constants(self, step: int) -> tuple[Any, ...]:
        return self.lr, self.weight_decay, self.eps

    def rule(self, step: int, w: np.ndarray, g: np.ndarray, sum: np.ndarray) -> None:
        sum += g * g
        w -= self.lr * (g / (sum**0.5 + self.eps))


class SGD(Optimizer):
    """v ← μv + g, w ← w − lr · v; with `nesterov`, w ← w − lr · (g + μv). Momentum μ in [0, 1)."""

    kernel = "sgd"

    def __init__(
        self,
        parameters: Iterable[Tensor],
        lr: float = 1e-2,
        weight_decay: float = 0.0,
        momentum: float = 0.0,
        nesterov: bool = False,
    ) -> None:
        super().__init__(parameters, lr, weight_decay)
        self.momentum = _checked("--momentum", momentum, 0 <= momentum < 1, "in [0, 1)")
        if nesterov and not momentum:
            raise TinyfaceError("--nesterov needs a --momentum greater than 0")
        self.nesterov = nesterov
        self.slots = ("momentum",) if momentum else ()

    def constants(self, step: int) -> tuple[Any, ...]:
        return self.lr, self.weight_decay, self.momentum, np.bool_(self.nesterov)

    def rule(self, step: int, w: np.ndarray, g: np.ndarray, velocity: np.ndarray | None = None) -> None:
        if velocity is not None:
            velocity *= self.momentum
            velocity += g
            g = g + self.momentum * velocity if self.nesterov else velocity
        w -= self.lr * g


class Adam(Optimizer):
    """m ← β₁m + (1−β₁)g, v ← β₂v + (1−β₂)g², w ← w − lr · m̂ / (√v̂ + ε)   (Kingma & Ba 2015)

    m̂ = m / (1 − β₁ᵗ) and v̂ = v / (1 − β₂ᵗ) undo the pull towards the zeros they started from.
    """

    slots = ("mean", "square")
    kernel = "adam"

    def __init__(
        self,
        parameters: Iterable[Tensor],
        lr: float = 1e-3,
        weight_decay: float = 0.0,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
    ) -> None:
        super().__init__(parameters, lr, weight_decay)
        self.betas = tuple(_checked("--betas", beta, 0 <= beta < 1, "in [0, 1)") for beta in betas)
        self.eps = float(eps)

    def constants(self, step: int) -> tuple[Any, ...]:
        beta1, beta2 = self.betas
        rate, root = self.lr / (1 - beta1**step), math.sqrt(1 - beta2**step)
        return rate, self.weight_decay, beta1, 1 - beta1, beta2, 1 - beta2, root, self.eps

    def rule(self, step: int, w: np.ndarray, g: np.ndarray, mean: np.ndarray, square: np.ndarray) -> None:
        beta1, beta2 = self.betas
        mean *= beta1
        mean += (1 - beta1) * g
        square *= beta2
        square += (1 - beta2) * (g * g)
        rate, root = self.lr / (1 - beta1**step), math.sqrt(1 - beta2**step)
        w -= rate * (mean / (square**0.5 / root + self.eps))


# Schedules: functions from the step (0 at the first) to a factor on the base learning rate. They have no
# state, so a resumed run needs nothing but its step.

Schedule: TypeAlias = Callable[[int], float]


def constant() -> Schedule:
    """Factor 1 for ever."""
    return lambda step: 1.0


def step_decay(every: int, factor: float = 0.1) -> Schedule:
    """Multiply by `factor` after every `every` steps."""
    every = _checked("--lr-every", every, every >= 1, "at least 1")
    return lambda step: factor ** (step // every)


def cosine(total_steps: int, final: float = 0.0) -> Schedule:
    """Half a cosine from 1 at step 0 to `final` at `total_steps`, then `final` (Loshchilov & Hutter 2017)."""
    total_steps = _checked("--steps", total_steps, total_steps >= 1, "at least 1")
    return lambda step: final + (1 - final) * (1 + math.cos(math.pi * min(step / total_steps, 1))) / 2


def with_warmup(schedule: Schedule, warmup_steps: int) -> Schedule:
    """`schedule`, its first `warmup_steps` steps scaled by 1/n, 2/n, … 1."""
    warmup_steps = _checked("--warmup", warmup_steps, warmup_steps >= 0, "0 or more")
    return lambda step: schedule(step) * min(1.0, (step + 1) / max(warmup_steps, 1))


SCHEDULES = {
    "constant": lambda total_steps: constant(),
    "step": lambda total_steps: step_decay(max(1, math.ceil(total_steps / 3))),  # two drops to a tenth
    "cosine": cosine,
}


def schedule(name: str, total_steps: int, warmup: int = 0) -> Schedule:
    """The schedule of a name in SCHEDULES for a run of `total_steps` steps, the first `warmup` rising."""
    if name not in SCHEDULES:
        raise TinyfaceError(f"--schedule must be one of {', '.join(SCHEDULES)}, got {name}")
    return with_warmup(SCHEDULES[name](total_steps), warmup)


def _checked(option, value, valid, wanted):
    """`value`, or a TinyfaceError that names the option. NaN fails every comparison, so it is caught too."""
    if not valid or not math.isfinite(value):
        raise TinyfaceError(f"{option} must be {wanted}, got {value:g}")
    return value
