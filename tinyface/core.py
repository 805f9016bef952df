"""The engine: tensors that remember how they were made, and the backward pass that turns this into gradients.

A `Function` computes arrays from arrays (`forward`) and gradients from gradients (`backward`). Calling one on
tensors records it; the records form a graph from the result back to the leaves. `Tensor.backward` walks the
graph in reverse order of computation and applies the chain rule at each function:

    grad of input = function.backward(grad of output),   summed where a tensor was used more than once.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from types import EllipsisType
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
from numpy.typing import ArrayLike

from .runtime import devices, dispatch, memory, threads

FLOATS = np.dtype(np.float32), np.dtype(np.float64)
_state = threading.local()


def is_grad_enabled() -> bool:
    """Whether functions are being recorded in this thread."""
    return getattr(_state, "grad_enabled", True)


@contextlib.contextmanager
def no_grad() -> Iterator[None]:
    """Compute without recording, so without gradients: `with no_grad(): ...` or `@no_grad()`."""
    before = is_grad_enabled()
    _state.grad_enabled = False
    try:
        yield
    finally:
        _state.grad_enabled = before


class Tensor:
    """An array with a gradient.

    data: array (NumPy or CuPy), or anything NumPy makes one of; Python floats become float32.
    requires_grad: whether `backward` should reach this tensor.

    `.data` and `.grad` are plain arrays; `.grad` is None until a backward pass arrives, then adds up over
    passes. Only leaves, the tensors that no function made, get one: their own, to be changed in place at will.
    """

    stays_home = True  # worker processes get arrays, never the graph
    __array_priority__ = 100  # so that numpy_array * tensor is ours, not an object array

    data: np.ndarray
    grad: np.ndarray | None
    requires_grad: bool

    def __init__(self, data: ArrayLike, requires_grad: bool = False) -> None:
        if isinstance(data, Tensor):
            raise TypeError("Tensor: data is a Tensor already; use .detach() for one without history")
        if not hasattr(data, "dtype"):
            data = np.asarray(data)
            if data.dtype == np.float64:
                data = data.astype(np.float32)
        elif isinstance(data, np.generic):
            data = np.asarray(data)
        if requires_grad and data.dtype.kind != "f":
            raise TypeError(f"Tensor: only floating-point data can have a gradient, got {data.dtype}")
        self.data = data
        self.grad = None
        self.requires_grad = requires_grad
        self.creator: Function | None = None  # the Function that made this tensor; None for a leaf
        self.output_index = 0  # which of the creator's outputs this is

    @property
    def shape(self) -> tuple[int, ...]:
        return self.data.shape

    @property
    def ndim(self) -> int:
        return self.data.ndim

    @property
    def size(self) -> int:
        return self.data.size

    @property
    def dtype(self) -> np.dtype:
        return self.data.dtype

    @property
    def device(self) -> str:
        """ "cpu" or "cuda"."""
        return devices.device_of(self.data)

    def __len__(self) -> int:
        return len(self.data)

    def __repr__(self) -> str:
        made = (
            f", made by {self.creator.name}" if self.creator else ", requires_grad=True" * self.requires_grad
        )
        return f"Tensor({self.data!r}{made})"

    def item(self) -> float:
        """The single element as a Python number. On a GPU this waits for the device."""
        return self.data.item()

    def numpy(self) -> np.ndarray:
        """The data as a NumPy array; copied if it is on a GPU."""
        return devices.to_device(self.data, "cpu")

    def detach(self) -> Tensor:
        """The same data without history."""
        return Tensor(self.data)

    def to(self, device: str) -> Tensor:
        """A leaf with the data on "cpu" or "cuda"; this very tensor if it is there already."""
        if device == self.device:
            return self
        return Tensor(devices.to_device(self.data, device), self.requires_grad)

    def backward(self, grad: np.ndarray | None = None) -> None:
        """Gradients of this tensor for every leaf that it was computed from, added to their `.grad`.

        grad: array of this tensor's shape, the gradient of some final scalar with respect to this tensor;
            may be left out where this tensor is itself a scalar.
        The graph is freed on the way: a second backward through it raises RuntimeError.
        """
        xp = devices.get_array_module(self.data)
        if not self.requires_grad:
            raise RuntimeError("backward: this tensor has no history and requires no gradient")
        if grad is None:
            if self.size != 1:
                raise RuntimeError(
                    f"backward: needs a gradient of shape {self.shape}, for only a scalar can go without one"
                )
            grad = xp.ones_like(self.data)
        grad = xp.asarray(grad, dtype=self.dtype)
        if grad.shape != self.shape:
            raise ValueError(f"backward: gradient of shape {grad.shape} for a tensor of shape {self.shape}")
        if self.creator is None:
            self.grad = _accumulate(self.grad, grad)
            _unalias_gradients([self], grad)
            return

        leaves = {}  # in the order in which they were reached
        pending = {self.creator: {self.output_index: grad}}  # function → gradients of its outputs so far
        try:
            for function in reversed(_topological_order(self.creator)):
                if function not in pending:  # behind a tensor whose requires_grad was switched off
                    continue
                inputs, input_grads = function._run_backward(pending.pop(function))
                for tensor, tensor_grad in zip(inputs, input_grads, strict=True):
                    if tensor_grad is None:
                        continue
                    if tensor.creator is None:
                        tensor.grad = _accumulate(tensor.grad, tensor_grad)
                        leaves[tensor] = None
                    else:
                        of_creator = pending.setdefault(tensor.creator, {})
                        index = tensor.output_index
                        of_creator[index] = _accumulate(of_creator.get(index), tensor_grad)
        finally:
            _unalias_gradients(leaves, grad)

    if TYPE_CHECKING:  # `tinyface.ops` gives tensors these, as it is above this module

        def __add__(self, other: Operand) -> Tensor: ...
        def __radd__(self, other: Operand) -> Tensor: ...
        def __sub__(self, other: Operand) -> Tensor: ...
        def __rsub__(self, other: Operand) -> Tensor: ...
        def __mul__(self, other: Operand) -> Tensor: ...
        def __rmul__(self, other: Operand) -> Tensor: ...
        def __neg__(self) -> Tensor: ...
        def __getitem__(self, index: Index) -> Tensor: ...
        def sum(self, axis: int | tuple[int, ...] | None = None, keepdims: bool = False) -> Tensor: ...
        def mean(self, axis: int | tuple[int, ...] | None = None, keepdims: bool = False) -> Tensor: ...
        def reshape(self, shape: tuple[int, ...]) -> Tensor: ...


Operand: TypeAlias = Tensor | np.ndarray | float  # operations turn arrays and numbers into tensors
Index: TypeAlias = int | slice | EllipsisType | tuple[int | slice | EllipsisType, ...]


class Parameter(Tensor):
    """A tensor that training changes: a leaf with a gradient, found by `nn.Module.parameters`."""

    def __init__(self, data: ArrayLike) -> None:
        super().__init__(data, requires_grad=True)

    def __repr__(self) -> str:
        return f"Parameter(shape={self.shape}, dtype={self.dtype})"


class Function:
    """One differentiable operation. Options go to the constructor, arrays through the call.

    check(*arrays): raises ValueError or TypeError where shapes or types don't fit; runs before forward.
    forward(*arrays) → array or tuple of arrays; may keep on `self` what backward will need, and look at
        `self.needs_grad`, one bool per input, to compute no more than that.
    backward(*grads) → one gradient per input (None where there is none), of that input's shape and type: new
        arrays, or those handed in, or views of either. Gradients handed in may be shared: never change them
        in place.
    supports(*arrays): of a kernel, whether it can compute these (non-empty) arrays; if not, the reference does.
    computes_in_float: whether the first input must be float32 or float64, and everything is computed in its type.

    A subclass registered as a kernel takes over forward and backward on its device (runtime/dispatch.py).
    """

    inputs: tuple[Tensor, ...] | None = None
    computes_in_float = False
    device: str | None = None  # of a kernel, where it runs
    reference: type | None = None  # of a kernel, what it implements
    stays_home = True

    @property
    def name(self) -> str:
        """What error messages call this op: the class name in the spelling of `tinyface.ops`."""
        return getattr(self, "op", type(self).__name__.lower())

    def __call__(self, *inputs: Operand) -> Any:
        inputs = _as_tensors(inputs)
        record = is_grad_enabled() and any(x.requires_grad for x in inputs)
        self.needs_grad = tuple(record and x.requires_grad for x in inputs)
        threads.init_once()
        outputs = self._run_forward([x.data for x in inputs])
        results = tuple(Tensor(y, record) for y in (outputs if isinstance(outputs, tuple) else (outputs,)))
        if record:
            self.inputs = inputs
            self.output_like = tuple((y.shape, y.dtype) for y in results)
            for index, result in enumerate(results):
                result.creator, result.output_index = self, index
        return results if isinstance(outputs, tuple) else results[0]

    def check(self, *arrays: Any) -> None:
        pass

    def supports(self, *arrays: Any) -> bool:
        return True

    def forward(self, *arrays: Any) -> Any:
        raise NotImplementedError

    def backward(self, *grads: Any) -> Any:
        raise NotImplementedError

    def _run_forward(self, arrays):
        """Check the arrays, choose the implementation, which this function becomes, and run it."""
        if self.computes_in_float and arrays[0].dtype not in FLOATS:
            raise TypeError(f"{self.name}: x is {arrays[0].dtype}; make it float32 or float64")
        self.check(*arrays)
        if not self.computes_in_float:
            return self._dispatch(arrays)
        dtype = arrays[0].dtype
        y = self._dispatch([a if a.dtype == dtype else a.astype(dtype) for a in arrays])
        return y if y.dtype == dtype else y.astype(dtype)  # float64 may have taken part

    def _dispatch(self, arrays):
        self.__class__ = dispatch.choose(self, arrays)
        return self.forward(*dispatch.to_layout(self, arrays))

    def _run_backward(self, grads):
        """Run backward once, check what it returns, and let go of everything kept for it.

        → the inputs, and for each its gradient in its own type, None where it has none or needs none.
        """
        if self.inputs is None:
            raise RuntimeError(
                f"backward: the graph behind {self.name} was freed by an earlier backward; run forward again"
            )
        inputs = self.inputs
        xp = devices.get_array_module(*(x.data for x in inputs))
        complete = [
            grads[i] if i in grads else xp.zeros(shape, dtype)
            for i, (shape, dtype) in enumerate(self.output_like)
        ]
        input_grads = self.backward(*dispatch.to_layout(self, complete, maps=range(len(complete))))
        input_grads = input_grads if isinstance(input_grads, tuple) else (input_grads,)
        if len(input_grads) != len(inputs):
            raise RuntimeError(
                f"{self.name}: backward gave {len(input_grads)} gradients for {len(inputs)} inputs"
            )
        wanted = [None] * len(inputs)
        for index, (tensor, grad) in enumerate(zip(inputs, input_grads, strict=True)):
            if grad is None or not tensor.requires_grad:
                continue
            wanted[index] = xp.asarray(grad, dtype=tensor.dtype)
            if wanted[index].shape != tensor.shape:
                raise RuntimeError(
                    f"{self.name}: backward gave a gradient of shape {wanted[index].shape} "
                    f"for input {index} of shape {tensor.shape}"
                )
        name = self.name
        self.__dict__.clear()
        self.op = name
        return inputs, wanted


def _as_tensors(inputs):
    """Plain arrays become tensors; plain numbers too, of the type and device that the tensors beside them have."""
    like = next((x.data for x in inputs if isinstance(x, Tensor)), np.empty(0, np.float32))
    xp = devices.get_array_module(like)
    dtype = like.dtype if like.dtype.kind == "f" else None  # beside integers 0.5 must not become 0

    def as_tensor(x):
        if isinstance(x, int | float):
            return Tensor(xp.asarray(x, dtype))
        return x if isinstance(x, Tensor) else Tensor(xp.asarray(x) if isinstance(x, np.generic) else x)

    return tuple(map(as_tensor, inputs))


def _accumulate(so_far, grad):
    if so_far is None:
        return grad
    if isinstance(grad, np.ndarray):
        return np.add(so_far, grad, out=memory.empty_in_order_of(so_far))
    return so_far + grad


def _unalias_gradients(leaves, seed):
    """Give each leaf a gradient in memory of its own. seed: the caller's array, which began the pass.

    Functions hand on what they were given, or views of it: `add` to both inputs the same array, `sum` one element
    repeated without a copy. Within the pass that is right and cheap. After it the gradients belong to the user,
    who may clip them in place. So here, once all are there, and only where there is need, they are copied.
    """
    taken = {id(_memory(seed))}
    for leaf in leaves:
        memory = id(_memory(leaf.grad))
        repeated = any(stride == 0 for stride in leaf.grad.strides)
        read_only = not getattr(leaf.grad.flags, "writeable", True)  # CuPy has no such flag
        if memory in taken or repeated or read_only:
            leaf.grad = leaf.grad.copy()
        taken.add(memory)


def _memory(array):
    """The array that was first given the memory which this one may be only a view of."""
    while isinstance(getattr(array, "base", None), type(array)):
        array = array.base
    return array


def _topological_order(last):
    """All functions behind `last`, each after the ones it depends on. A stack, not recursion: depth is unlimited."""
    order, seen, stack = [], {last}, [(last, iter(last.inputs or ()))]
    while stack:
        function, rest = stack[-1]
        for tensor in rest:
            creator = tensor.creator
            if creator is not None and creator not in seen:
                seen.add(creator)
                stack.append((creator, iter(creator.inputs or ())))
                break
        else:
            order.append(function)
            stack.pop()
    return order
