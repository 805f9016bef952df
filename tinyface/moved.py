"""Old names of modules: `tinyface.models` is `tinyface.faces.models`, and so on, for programs that import these.

Both names give the same module object, submodules included.
"""

import sys
from importlib import import_module
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec

# fmt: off
FACES = (
    "cli", "commands", "data", "metrics", "models", "pictures", "predict", "presets", "provenance", "reproduce",
    "tasks", "wild",
)
# fmt: on
NEW_NAMES = {
    "gpu_probe": "runtime.gpu_probe",
    "train": "training",
    "workers": "runtime.workers",
    "visualize": "faces.pictures.visualize",
    **{name: f"faces.{name}" for name in FACES},
}


def names_of(module, *names):
    """A `__getattr__` for the module that has `names` of `module` as well."""

    def __getattr__(name):
        if name in names:
            return getattr(import_module(module), name)
        raise AttributeError(f"no attribute {name!r}; these are in {module}: {', '.join(names)}")

    return __getattr__


class Finder(MetaPathFinder, Loader):
    """Finds modules by their old names; nothing is imported before somebody asks for it."""

    def find_spec(self, fullname, path=None, target=None):
        package, _, name = fullname.partition(".")
        old, dot, rest = name.partition(".")
        if package != __package__ or old not in NEW_NAMES:
            return None
        return ModuleSpec(fullname, self, loader_state=f"{package}.{NEW_NAMES[old]}{dot}{rest}")

    def create_module(self, spec):
        new_name, spec.loader_state = spec.loader_state, None
        try:
            module = import_module(new_name)
        except ModuleNotFoundError as error:
            if error.name == new_name:  # a submodule that there is not
                raise ModuleNotFoundError(f"No module named {spec.name!r}", name=spec.name) from None
            raise
        spec.loader_state = module.__spec__
        return module

    def exec_module(self, module):
        module.__spec__ = module.__spec__.loader_state  # the import system has set that of the old name


def install():
    """Before the finder of files, which would read the file of a submodule a second time."""
    sys.meta_path.insert(0, Finder())
