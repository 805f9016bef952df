"""The engine's public functions and methods say what types they take and give; tests/install.sh has mypy use them."""

import inspect
from typing import get_type_hints

import pytest

from tinyface import Tensor, core, gradcheck, ops, optim
from tinyface.nn import init, layers, module

MODULES = core, gradcheck, optim, init, layers, module


def defined_in(owner, module):
    """(name, function) of the public ones that a module or class defines, properties and __init__, __call__ too."""
    for name, value in vars(owner).items():
        value = value.fget if isinstance(value, property) else inspect.unwrap(value)
        public = not name.startswith("_") or name in ("__init__", "__call__")
        if public and getattr(value, "__module__", None) == module.__name__:
            if inspect.isfunction(value):
                yield f"{owner.__name__}.{name}", value
            elif inspect.isclass(value):
                yield from defined_in(value, module)


FUNCTIONS = {
    **{name: function for module in MODULES for name, function in defined_in(module, module)},
    **{f"tinyface.ops.{name}": getattr(ops, name) for name in ops.__all__},
}


def test_the_functions_are_found():
    assert {"Tensor.backward", "Tensor.shape", "tinyface.core.no_grad", "Conv2d.__init__"} <= set(FUNCTIONS)
    assert len(FUNCTIONS) > 100


@pytest.mark.parametrize("name", FUNCTIONS)
def test_every_parameter_and_the_result_have_a_type(name):
    function = FUNCTIONS[name]
    wanted = {*inspect.signature(function).parameters, "return"} - {"self"}
    assert wanted <= set(get_type_hints(function))


def test_what_operations_add_to_tensors_is_declared():
    added = {
        name
        for name, value in vars(Tensor).items()
        if getattr(value, "__module__", "").startswith(ops.__name__)
    }
    declared = inspect.getsource(Tensor).partition("if TYPE_CHECKING:")[2]
    assert {"__add__", "__getitem__", "sum"} <= added
    assert not [name for name in added if f"def {name}(self" not in declared]
