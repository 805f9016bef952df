"""What all commands are made of: the group, with its help in sections and its errors in one line; types of options."""

import contextlib
import errno
import sys
import warnings

import click

from tinyface import __version__, kernels


class Examples(click.Command):
    """A command whose examples, written for a checkout, begin with the name that it was called by."""

    def get_help(self, ctx):
        name = ctx.find_root().info_name
        program = f"python {name}" if name.endswith(".py") else name
        return super().get_help(ctx).replace("python cli.py", program)


class Commands(Examples, click.Group):
    """The group of all commands: lists them by section, and turns every expected error into one line.

    Exit codes: 1 a fault to fix, 2 a wrong option, 128 + signal where a signal ended a training.
    """

    def main(self, *args, **options):
        for stream in (sys.stdout, sys.stderr):
            if hasattr(stream, "reconfigure"):
                # Not every stream has all signs, and a file's name may be any bytes.
                stream.reconfigure(errors="backslashreplace")
        try:
            with warnings.catch_warnings():
                # NumPy's on overflow: training itself looks out for numbers that are not finite.
                warnings.simplefilter("ignore", RuntimeWarning)
                # Pillow's on files that it can read all the same.
                warnings.filterwarnings("ignore", module=r"PIL\.")
                code = super().main(*args, **{**options, "standalone_mode": False})
        except click.Abort:  # Ctrl-C
            code = 130
        except click.ClickException as error:
            code = print_error(usage_error_text(error), error.exit_code)
        except Exception as error:
            code = handle_error(error)
        sys.exit(code or 0)

    def list_commands(self, ctx):
        return list(self.commands)  # in the order in which they were added

    def format_commands(self, ctx, formatter):
        entries = ((c.section, (name, c.get_short_help_str(100))) for name, c in self.commands.items())
        write_sections(formatter, entries)


class Command(Examples):
    """A command that stands in a section, and whose options do. Each has --kernels."""

    def __init__(self, *args, section, **settings):
        self.section = section
        super().__init__(*args, **settings)
        sections = [getattr(parameter, "section", "Options") for parameter in self.params]
        self.params.append(
            Option(
                ["--kernels"],
                type=click.Choice(kernels.IMPLEMENTATIONS),
                default=kernels.IMPLEMENTATIONS[0],
                show_default=True,
                expose_value=False,
                callback=lambda context, option, value: kernels.set_implementation(value),
                section=RUN if RUN in sections else "Options",
                help="Run operations on their optimized kernels, or all on their references, which is slower.",
            )
        )

    def format_options(self, ctx, formatter):
        options = (p for p in self.get_params(ctx) if isinstance(p, click.Option))
        entries = ((getattr(o, "section", "Options"), o.get_help_record(ctx)) for o in options)
        write_sections(formatter, entries)


class Option(click.Option):
    """An option that stands in a section of the help."""

    def __init__(self, *args, section="Options", **settings):
        self.section = section
        super().__init__(*args, **settings)


def write_sections(formatter, entries):
    """A definition list for each section, from pairs (section, (term, definition))."""
    sections = {}
    for section, entry in entries:
        sections.setdefault(section, []).append(entry)
    for section, rows in sections.items():
        with formatter.section(section):
            formatter.write_dl(rows)


def usage_error_text(error):
    """A click error in one line that begins with the option or argument it is about."""
    parameter = getattr(error, "param", None)
    if parameter is None or isinstance(error, click.MissingParameter):
        return f"{error.format_message().rstrip('.')}; see --help"
    name = parameter.opts[0] if parameter.param_type_name == "option" else parameter.human_readable_name
    return f"{name}: {error.message}"


def handle_error(error):
    """Print an expected error; returns the exit code. A bug keeps its traceback."""
    from tinyface.errors import TinyfaceError
    from tinyface.training import Interrupted

    if isinstance(error, Interrupted):
        click.echo(error, err=True)
        return 128 + error.signal
    if isinstance(error, TinyfaceError):
        return print_error(error)
    if isinstance(error, OSError) and error.filename is not None:
        return print_error(f"{error.filename}: {error.strerror}")
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EFBIG, errno.EIO, errno.EDQUOT):
        return print_error(f"standard output: {error.strerror}; make room, or redirect it")
    if isinstance(error, MemoryError):
        return print_error("not enough memory; try a smaller --batch-size, --preset or number of faces")
    raise error


def print_error(text, code=1):
    """Print an error in one line, where there is somewhere to print it; returns the exit code."""
    with contextlib.suppress(OSError):
        click.echo(f"error: {' '.join(str(text).split())}", err=True)
    return code


RUN = "Run"  # a section of options
TRAINING, USING, DRAWING, INSPECTING = "Training", "Using trained networks", "Drawing data sets", "Inspecting"


def command(name, section):
    return click.command(name, cls=Command, section=section)


def option(*names, **settings):
    return click.option(*names, cls=Option, **settings)


CONTEXT = {"help_option_names": ["-h", "--help"], "max_content_width": 110}


@click.group(cls=Commands, invoke_without_command=True, context_settings=CONTEXT)
@click.version_option(__version__, prog_name="tinyface")
@click.pass_context
def cli(context):
    """Predict 40 facial attributes with the help of semantic segmentation, on a framework written by hand.

    Everything runs without a data set: the training commands draw toy faces to train on. In short:

    \b
      python cli.py train-seg                  train the segmentation network: 7 regions of a face
      python cli.py train-attr --ssp --ssg     train attribute networks that use the regions
      python cli.py predict photo.jpg          predict with the bundled weights
    """
    if context.invoked_subcommand is None:
        click.echo(context.get_help())
