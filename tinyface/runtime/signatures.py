"""What a CUDA kernel is given, held against the parameters that its .cu file declares.

A kernel sees addresses only: float64 read as float32, or every number where every second was meant, is a wrong result
without a word. So each argument must be what `const real* x` or `int rows` says, before the kernel is launched:

    const real* x                  a C-contiguous CuPy array of that type on the current GPU
    real* dx /* or null */         or None, for a null pointer
    const void* labels             such an array of any type
    int rows                       a NumPy scalar of that type
    const Table table              a struct: a NumPy scalar of a structured type
"""

import re
from typing import NamedTuple

import numpy as np

FLOATS = {np.dtype(np.float32): "float", np.dtype(np.float64): "double"}  # what `real` may be
TYPES = {
    "bool": np.bool_,
    "unsigned char": np.uint8,
    "int": np.int32,
    "long long": np.int64,
    "float": np.float32,
    "double": np.float64,
}
NULL = np.uintp(0)  # CuPy 13 would make another address of None

_MACRO = re.compile(r"^#define (\w+)\((.*?)\)(.*)$", re.MULTILINE)
_KERNEL = re.compile(
    r'extern "C" __global__ void(?: __launch_bounds__\([^()]*\))?\s+(\w+)\((.*?)\)', re.DOTALL
)


class Parameter(NamedTuple):
    """type: of a number its NumPy class, of a pointer the dtype of what is there, None for any (void*)."""

    name: str
    pointer: bool
    nullable: bool
    type: type | np.dtype | None


def signatures(source, dtype):
    """{kernel: its parameters} of the text of a .cu file, where `real` is dtype."""
    source = re.sub(r"//.*", "", source).replace("\\\n", " ")
    return {
        name: [_parameter(text, dtype) for text in parameters.split(",")]
        for name, parameters in _KERNEL.findall(_expanded(source))
    }


def _expanded(source):
    """The source with its macros that define kernels carried out: a line `NAME(8, 1)` becomes the kernel."""
    for macro, names, body in _MACRO.findall(source):
        for values in re.findall(rf"^{macro}\((.*)\)$", source, re.MULTILINE):
            text = body
            for name, value in zip(names.split(","), values.split(","), strict=True):
                text = re.sub(rf"(##)?\b{name.strip()}\b(##)?", value.strip(), text)
            source += text
    return _MACRO.sub("", source)


def _parameter(text, dtype):
    words = re.sub(r"\bconst\b|\b__restrict__\b|/\*.*?\*/", " ", text)
    kind, star, name = re.fullmatch(r"\s*(\w[\w ]*?)\s*(\*?)\s*(\w+)\s*", words).groups()
    number = dtype.type if kind == "real" else TYPES.get(kind, np.void)
    if star:
        number = None if kind == "void" else np.dtype(number)
    return Parameter(name, bool(star), "/* or null */" in text, number)


class Module:
    """The kernels of a compiled file, by `get_function`."""

    def __init__(self, compiled, source, dtype, cupy):
        self.kernels = {
            name: Kernel(name, compiled.get_function(name), parameters, cupy)
            for name, parameters in signatures(source, dtype).items()
        }

    def get_function(self, name):
        return self.kernels[name]


class Kernel:
    """A kernel, called as CuPy's kernels are: kernel(grid, block, arguments). Nothing is launched for an empty grid.

    Raises TypeError for an argument of another type than the kernel's parameter, ValueError for an array that is not
    contiguous or is on another GPU than the current one.
    """

    def __init__(self, name, function, parameters, cupy):
        self.name, self.function, self.parameters = name, function, parameters
        self.array, self.current_gpu = cupy.ndarray, cupy.cuda.device.get_device_id

    def __call__(self, grid, block, arguments, shared_mem=0):
        arguments = self.checked(arguments)
        if all(grid):
            self.function(grid, block, arguments, shared_mem=shared_mem)

    def checked(self, arguments):
        """The arguments, with null pointers for None."""
        if len(arguments) != len(self.parameters):
            raise TypeError(f"{self.name}: takes {len(self.parameters)} arguments, got {len(arguments)}")
        gpu = self.current_gpu()
        for argument, (name, pointer, nullable, wanted) in zip(arguments, self.parameters, strict=True):
            if pointer:
                if argument is not None or not nullable:
                    check_array(self.name, name, argument, wanted, self.array, gpu)
            elif not isinstance(argument, wanted):
                raise TypeError(
                    f"{self.name}: {name} is a numpy.{wanted.__name__}, got {_described(argument)}"
                )
        return tuple([NULL if argument is None else argument for argument in arguments])


def check_array(kernel, name, array, dtype, kind, gpu):
    """Raises unless it is an array of that class and dtype (None for any), contiguous, and on that GPU."""
    if not isinstance(array, kind) or (dtype is not None and array.dtype != dtype):
        wanted = f"an array of {dtype or 'any type'} on a GPU"
        raise TypeError(f"{kernel}: {name} is {wanted}, got {_described(array)}")
    if not array.flags.c_contiguous:
        layout = f"shape {array.shape} with strides {array.strides}"
        raise ValueError(f"{kernel}: {name} must be C-contiguous, got {layout}")
    if array.data.device_id != gpu:
        raise ValueError(f"{kernel}: {name} is on GPU {array.data.device_id}, the kernel runs on GPU {gpu}")


def _described(argument):
    kind, dtype = type(argument), getattr(argument, "dtype", None)
    name = f"{kind.__module__}.{kind.__name__}".removeprefix("builtins.")
    return name if dtype is None else f"{name} of {dtype}"
