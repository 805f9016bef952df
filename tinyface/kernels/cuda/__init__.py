"""CUDA kernels (.cu) and what launches them. Importing this imports every file, which registers it; no CuPy yet."""

import importlib
import pkgutil

for module in pkgutil.iter_modules(__path__):
    importlib.import_module(f"{__name__}.{module.name}")
