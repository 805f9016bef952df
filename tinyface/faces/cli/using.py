"""The commands that use trained networks, evaluate and predict, and draw-faces."""

import sys
from pathlib import Path

import click

from ..choices import LNET_ANET, PARSING, SPLITS, SYSTEMS
from .base import DRAWING, USING, command, option, print_error
from .shared_options import FACE_COUNT, FILE, FOLDER, NUMBER, NUMBER_OR_NONE, PATH, device


@command("evaluate", USING)
@click.argument("weights", nargs=-1, required=True, type=PATH)
@option("--data", **FOLDER, help="The data set.  [default: toyfaces/]")
@option(
    "--split",
    type=click.Choice(SPLITS),
    help="Which of its faces.  [default: test, or val where there is no test]",
)
@option(
    "--seg-weights",
    **FILE,
    help="The segmentation network for networks with regions.  [default: the one they were trained with, else as "
    "in train-attr]",
)
@option("--batch-size", **NUMBER, default=64, show_default=True, help="Images at a time.")
@option("--json", "as_json", is_flag=True, help="Print JSON.")
@device
def evaluate(weights, data, split, seg_weights, batch_size, as_json, device):
    """Measure networks on faces of a data set.

    WEIGHTS are checkpoints or folders of runs: of the segmentation network (IoU and F1 of each region), or of
    attribute networks (error, average precision, balanced accuracy of each attribute), and of SSP and SSG
    also the average of their predictions. Of runs of train-lnet and train-anet it reports how many faces are found,
    of pretrain-sspl the measures of the tasks without labels.

    \b
      python cli.py evaluate runs/seg-small
      python cli.py evaluate runs/attr-small/ssp/best.h5 runs/attr-small/ssg/best.h5 --data celeba
    """
    from ..commands import anet, evaluate, sspl

    wild, pretrained = ([path for path in weights if kind.is_run(path)] for kind in (anet, sspl))
    if (wild or pretrained) and len(weights) > 1:
        raise click.UsageError(
            "WEIGHTS: a run of train-lnet, train-anet or pretrain-sspl is measured by itself; name only it"
        )
    if wild and seg_weights:
        raise click.UsageError(
            "--seg-weights: a run of train-lnet or train-anet uses no regions; leave it out"
        )
    if wild:
        anet.evaluate(wild[0], data, split, as_json, device, click.echo)
        return
    if pretrained:
        sspl.evaluate(pretrained[0], data, split, seg_weights, batch_size, as_json, device, click.echo)
        return
    evaluate.evaluate(list(weights), data, split, seg_weights, batch_size, as_json, device, click.echo)


@command("predict", USING)
@click.argument("images", metavar="IMAGE...", nargs=-1, required=True, type=PATH)
@option(
    "--weights",
    "paths",
    type=PATH,
    metavar="PATH",
    multiple=True,
    help="A folder of networks, such as a run of train-attr, or a checkpoint; may come several times. "
    "Several attribute networks are averaged.  [default: the networks in weights/]",
)
@option(
    "--out",
    **FOLDER,
    default="predictions",
    help="For the pictures.  [default: predictions/]",
)
@option("--json", "as_json", is_flag=True, help="Print JSON.")
@option("--all", "everything", is_flag=True, help="Print all 40 attributes, not only those of 50 % and more.")
@device
@option(
    "--system",
    type=click.Choice(SYSTEMS),
    default=PARSING,
    show_default=True,
    help="parsing: faces that fill the photo, by their regions. lnet-anet: faces anywhere in it, by a run of "
    "train-anet, the last one in runs/ unless --weights names one.",
)
@option(
    "--several", is_flag=True, help="With lnet-anet: all faces of a photo, not only the most certain one."
)
def predict(images, paths, out, as_json, everything, device, system, several):
    """Predict the attributes and regions of the faces in photos.

    Photos may have any size; the face should fill most of it, as in CelebA. For each, the attributes are
    printed and two pictures written: NAME_parsing.png has the regions laid over the photo,
    NAME_attributes.png is a card with the results. A folder stands for the images in it.

    \b
      python cli.py predict photo.jpg
      python cli.py predict photos/ --weights runs/attr-small
      python cli.py predict *.jpg --json --out faces > faces.json
    """
    from ..commands import predict

    if several and system != LNET_ANET:
        raise click.UsageError("--several: only --system lnet-anet looks for faces; add it")
    if system == LNET_ANET and len(paths) > 1:
        raise click.UsageError("--weights: lnet-anet is one run of train-anet; name only one")
    succeeded = predict.predict(
        images, paths, out, system, several, everything, as_json, device, click.echo, print_error
    )
    return 0 if succeeded else 1


@command("draw-faces", DRAWING)
@option("--out", **FOLDER, help="A new folder.  [default: toyfaces/]")
@option("--train", **FACE_COUNT, default=2000, show_default=True, help="Faces to train on.")
@option("--val", **FACE_COUNT, default=300, show_default=True, help="Faces to validate on.")
@option("--test", **FACE_COUNT, default=300, show_default=True, help="Faces to test on.")
@option("--seed", **NUMBER_OR_NONE, default=0, help="Other faces for another seed.  [default: 0]")
@option("--sheet", type=PATH, metavar="FILE.png", help="Only draw one picture of the first 40 faces.")
@option("--overlay", is_flag=True, help="Tint the regions in the picture of --sheet.")
@option(
    "--wild",
    is_flag=True,
    help="Photos in the wild for LNet and ANet: faces at any place and scale on clutter, several of each person; as "
    "many without a face.  [default of --out: toywild/]",
)
@option("--per-person", **NUMBER, help="With --wild: photos of one person.  [default: 5]")
def draw_faces(out, train, val, test, seed, sheet, overlay, wild, per_person):
    """Draw toy faces: portraits with their regions, 40 attributes and landmarks.

    They are written twice over, in the layouts of CelebA (attributes) and of Helen (regions), so that the
    training commands read them like real data sets. With --wild they lie as CelebA's original images do, with
    identities and boxes, and photos without a face beside them.

    \b
      python cli.py draw-faces --out toyfaces --train 5000
      python cli.py draw-faces --wild --per-person 10
      python cli.py draw-faces --sheet faces.png --overlay
    """
    from tinyface import files

    from ..data import toyfaces

    if per_person is not None and not wild:
        raise click.UsageError("--per-person: portraits have no identities; add --wild")
    if sheet and wild:
        raise click.UsageError("--sheet: shows portraits; leave out --wild")
    if overlay and not sheet:
        raise click.UsageError("--overlay: tints the picture of --sheet; add --sheet FILE.png")
    if sheet:
        from numpy.random import SeedSequence, default_rng

        from ..pictures.visualize import save_png

        faces = [toyfaces.draw_face(default_rng(SeedSequence([seed, k]))) for k in range(40)]
        save_png(toyfaces.contact_sheet(faces, overlay=overlay), sheet)
        click.echo(f"{sheet}: {len(faces)} faces")
        return
    if not train + val + test:
        raise click.UsageError("--train, --val, --test: all are 0, so there is nothing to draw")
    out = out or ("toywild" if wild else "toyfaces")
    files.make_folder(Path(out).absolute().parent)

    def report(done, total):
        if sys.stderr and sys.stderr.isatty():
            click.echo(f"\rdrawing faces {done}/{total}", nl=done == total, err=True)

    if wild:
        from ..data import toywild

        toywild.draw_dataset(out, train, val, test, seed, per_person or 5, report)
        click.echo(
            f"{out}: {train} photos to train on, {val} to validate, {test} to test, as celeba/, and as many without "
            "a face in backgrounds/"
        )
        return
    toyfaces.draw_dataset(out, train, val, test, seed, report=report)
    click.echo(
        f"{out}: {train} faces to train on, {val} to validate, {test} to test, as celeba/ and as helen/"
    )
