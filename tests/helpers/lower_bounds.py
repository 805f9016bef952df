"""Prints the lower bounds in the metadata of the installed project as constraints for pip: numpy==2.0, …"""

import re
from importlib.metadata import requires

for requirement in requires("tinyface-attributes"):
    name, bound = re.match(r"([\w-]+)[^>=]*[>=]=([\d.]+)", requirement).groups()
    print(f"{name}=={bound}")
