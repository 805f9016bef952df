"""python -m tinyface COMMAND"""

from .faces.cli import cli

if __name__ == "__main__":
    cli(prog_name="python -m tinyface")
