"""The packages of the distribution; all else about it stands in pyproject.toml."""

from setuptools import find_packages, setup

setup(
    packages=[*find_packages(include=["tinyface*"]), "tinyface.weights"],
    package_dir={"tinyface.weights": "weights"},
)
