"""Prints the lower bounds in the metadata of the installed project as constraints for pip: numpy==1.26, …"""

from importlib.metadata import requires

for requirement in requires("tinyface-attributes"):
    print(requirement.partition(";")[0].replace(">=", "=="))
