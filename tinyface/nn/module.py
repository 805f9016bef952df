"""Module: a tree of layers. It finds its parameters and buffers by the attributes they were assigned to."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, ParamSpec, Protocol, TypeVar

import numpy as np
from numpy.typing import DTypeLike

from .. import backend
from ..core import Parameter, Tensor

Self = TypeVar("Self", bound="Module")
Inputs = ParamSpec("Inputs")
Output = TypeVar("Output", covariant=True)


class Forward(Protocol[Inputs, Output]):
    """For type checkers: calling a module takes and gives what its `forward` does."""

    def forward(self, *args: Inputs.args, **kwargs: Inputs.kwargs) -> Output: ...


class Module:
    """Base of all layers and networks: assign parameters, buffers and modules as attributes, define `forward`.

    Everything is found in the order of definition, and named by its path ("conv11.norm.gamma").
    """

    training = True
    stays_home = True  # worker processes get arrays, never modules

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        raise NotImplementedError

    def __call__(self: Forward[Inputs, Output], *args: Inputs.args, **kwargs: Inputs.kwargs) -> Output:
        return self.forward(*args, **kwargs)

    # An attribute is a parameter, a buffer (a bare array), a module, or a list of modules or of such lists.

    def _children(self):
        return _modules_among(vars(self).items())

    def named_modules(self, prefix: str = "", memo: set[int] | None = None) -> Iterator[tuple[str, Module]]:
        """(path, module) of this module and all below it, parents first; a shared one once, where it comes first.

        memo: ids of the modules that were named already.
        """
        memo = set() if memo is None else memo
        if id(self) in memo:
            return
        memo.add(id(self))
        yield prefix, self
        for name, child in self._children():
            yield from child.named_modules(f"{prefix}.{name}" if prefix else name, memo)

    def _named(self, belongs):
        memo = set()
        for path, module in self.named_modules():
            for name, value in vars(module).items():
                if belongs(value) and id(value) not in memo:
                    memo.add(id(value))
                    yield (f"{path}.{name}" if path else name), value

    def named_parameters(self) -> Iterator[tuple[str, Parameter]]:
        """(path, Parameter) in order of definition; one that modules share once, where it comes first."""
        return self._named(lambda value: isinstance(value, Parameter))

    def parameters(self) -> list[Parameter]:
        """The parameters in order of definition."""
        return [parameter for _, parameter in self.named_parameters()]

    def named_buffers(self) -> Iterator[tuple[str, np.ndarray]]:
        """(path, array): state that is saved but not trained, such as running statistics."""
        return self._named(_is_buffer)

    def buffers(self) -> list[np.ndarray]:
        """The buffers in order of definition."""
        return [buffer for _, buffer in self.named_buffers()]

    def state_dict(self) -> dict[str, np.ndarray]:
        """{path: NumPy array} of all parameters, then all buffers. Copies: later training doesn't change them."""
        arrays = {name: parameter.data for name, parameter in self.named_parameters()}
        arrays.update(self.named_buffers())
        return {name: np.array(backend.to_device(array, "cpu")) for name, array in arrays.items()}

    def load_state_dict(self, state: Mapping[str, np.ndarray]) -> None:
        """Take over the values of a `state_dict` of the same network, in place and in this network's types.

        Raises KeyError or ValueError, naming the entry, before anything is changed.
        """
        own = {name: parameter.data for name, parameter in self.named_parameters()}
        own.update(self.named_buffers())
        missing, extra = [n for n in own if n not in state], [n for n in state if n not in own]
        if missing or extra:
            raise KeyError(
                f"state of another network: missing {missing[:3] or 'nothing'}, unexpected {extra[:3] or 'nothing'}"
            )
        for name, array in own.items():
            if array.shape != state[name].shape:
                raise ValueError(
                    f"state of another network: {name} has shape {state[name].shape}, expected {array.shape}"
                )
        for name, array in own.items():
            array[...] = backend.to_device(np.asarray(state[name], array.dtype), backend.device_of(array))

    def train(self: Self, mode: bool = True) -> Self:
        """Training behaviour (batch statistics, dropout) for this module and all below; returns self."""
        for _, module in self.named_modules():
            module.training = mode
        return self

    def eval(self: Self) -> Self:
        """Evaluation behaviour: running statistics, no dropout."""
        return self.train(False)

    @property
    def device(self) -> str:
        """ "cpu" or "cuda", by where the first parameter is; "cpu" where there is none."""
        return next((backend.device_of(p.data) for p in self.parameters()), "cpu")

    def zero_grad(self) -> None:
        """Forget all gradients."""
        for parameter in self.parameters():
            parameter.grad = None

    def to(self: Self, target: str | DTypeLike) -> Self:
        """Move all parameters and buffers to "cpu" or "cuda", or change their type (np.float64 …); returns self."""
        if isinstance(target, str):

            def change(array):
                moved = backend.to_device(array, target)
                if target == "cpu" and array.ndim == 4 and moved is not array:
                    moved = backend.as_oihw(backend.as_hwio(moved))  # as the CPU wants kernels
                return moved

        else:

            def change(array):
                return array.astype(target, copy=False)

        for _, module in self.named_modules():
            for name, value in vars(module).items():
                if isinstance(value, Parameter):
                    value.data = change(value.data)
                    value.grad = None if value.grad is None else change(value.grad)
                elif _is_buffer(value):
                    setattr(module, name, change(value))
        return self


def _modules_among(named):
    for name, value in named:
        if isinstance(value, Module):
            yield name, value
        elif isinstance(value, list | tuple):
            yield from _modules_among((f"{name}.{index}", item) for index, item in enumerate(value))


def _is_buffer(value):
    return hasattr(value, "dtype") and not isinstance(value, Tensor | np.generic)


class Sequential(Module):
    """Modules applied one after the other."""

    def __init__(self, *layers: Module) -> None:
        self.layers = list(layers)

    def forward(self, x: Tensor) -> Tensor:
        for layer in self.layers:
            x = layer(x)
        return x
