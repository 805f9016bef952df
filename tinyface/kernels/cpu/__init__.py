"""NumPy in blocks that stay in a core's cache, on all threads. Importing this imports, and so registers, every file."""

import importlib
import pkgutil

for module in pkgutil.iter_modules(__path__):
    importlib.import_module(f"{__name__}.{module.name}")
