"""The command line from a checkout, without installing it: python cli.py COMMAND."""

from tinyface.faces.cli import cli

if __name__ == "__main__":
    cli()
