"""The commands that inspect networks and gradients: summary, gradcheck."""

import click

from ..presets import DEFAULT
from .base import INSPECTING, command, option
from .shared_options import PATH, PRESET, device


@command("summary", INSPECTING)
@click.argument("weights", nargs=-1, type=PATH)
@option("--preset", type=PRESET, default=DEFAULT, show_default=True, help="Size of the networks.")
def summary(weights, preset):
    """List the layers of the networks: output sizes, parameters, multiply-adds.

    Of all networks at the size of a preset, or of those in WEIGHTS: checkpoints or folders of runs. Sizes and
    multiply-adds are for one image, channels x height x width. With --preset paper the segmentation network
    is the paper's Table 1.
    """
    from tinyface.summary import format_summary, summarise

    from ..summary import load_networks, networks_of

    networks = load_networks(weights) if weights else networks_of(preset)
    for number, (title, network) in enumerate(networks):
        click.echo("\n" * (number > 0) + format_summary(title, summarise(network)))


@command("gradcheck", INSPECTING)
@click.argument("op", required=False)
@device
def gradcheck(op, device):
    """Compare the gradients of every operation, or of OP, with finite differences.

    Each is checked in float64 on a small, awkward input: odd sizes, ties, kinks. The exit code is 1 if a
    gradient is wrong.
    """
    from tinyface import backend
    from tinyface.gradcheck import EXAMPLES, GradcheckError, check_example

    backend.check_device(device)
    if op is not None and op not in EXAMPLES:
        raise click.UsageError(f"OP: {op} is no operation; choose one of {', '.join(EXAMPLES)}")
    code = 0
    for name in [op] if op else EXAMPLES:
        try:
            click.echo(f"{name:<24}ok, {check_example(name, device=device)} elements")
        except GradcheckError as error:
            click.echo(f"{name:<24}WRONG, {error}")
            code = 1
    return code
