"""The commands that train one system: train-seg, train-attr, train-joint, pretrain-sspl, train-lnet, train-anet."""

import click

from .. import choices
from .base import TRAINING, command, option
from .shared_options import (
    BACKBONE,
    DATA,
    FILE,
    FOLDER,
    FRACTION,
    NETWORKS,
    RUN,
    from_preset,
    seg_weights,
    training_options,
)


@command("train-seg", TRAINING)
@training_options(segmentation="")
def train_seg(out, resume, **given):
    """Train the segmentation network, which segments a face into 7 regions.

    The regions are background, hair, face skin, eyes, eyebrows, mouth and nose. Without --data it is trained
    on toy faces. Ctrl-C saves first; --resume continues to bit-identical results.

    \b
      python cli.py train-seg
      python cli.py train-seg --data helen --preset paper --out runs/helen
      python cli.py train-seg --out runs/helen --resume
    """
    from ..commands import segmentation

    segmentation.train_segmentation(given, out, resume, click.echo)


POOLS = ("avg", "spp")  # the modes of --pool, which see no regions
FLAGS = [mode for mode in choices.MODES if mode not in POOLS]  # the modes with an option of their own


def mode_flag(name, mode=None):
    """An option that asks for the network of one mode, by default that of the same name."""
    mode = mode or name.strip("-")
    return option(name, mode, is_flag=True, section=NETWORKS, help=f"{choices.MODES[mode]}.")


@command("train-attr", TRAINING)
@mode_flag("--ssp")
@mode_flag("--ssg")
@option(
    "--pool",
    type=click.Choice(POOLS),
    multiple=True,
    section=NETWORKS,
    help=f"A network without regions. {'; '.join(f'{mode}: {choices.MODES[mode]}' for mode in POOLS)}.  "
    "[default: avg, if no other network is named]",
)
@mode_flag("--naive")
@mode_flag("--bbox")
@mode_flag("--concat")
@mode_flag("--joint-ssp-ssg", "joint")
@option(
    "--region-pooling",
    type=click.Choice(choices.REGION_POOLINGS),
    section=NETWORKS,
    help="What --ssp, --bbox, --concat and --joint-ssp-ssg take of the activations under a region's mask.  "
    f"[default: {choices.REGION_POOLINGS[0]}]",
)
@seg_weights
@option(
    "--backbone",
    type=BACKBONE,
    help="resnet18: ResNet-18 in place of the networks above; it uses no regions.  [default: encoder]",
    section=NETWORKS,
)
@option(
    "--init",
    type=click.Choice(choices.INITS),
    section=NETWORKS,
    help="Initial weights of the first eight layers: random, as in the paper; parser: those of the segmentation "
    "network, which learns faster; sspl: those of pretrain-sspl, which needs the fewest labels.  "
    f"{from_preset({'attributes': ''}, 'init')}",
)
@option(
    "--sspl-weights",
    **FILE,
    section=NETWORKS,
    help="The initial weights for --init sspl, made by pretrain-sspl.  [default: the last one in runs/ that fits]",
)
@option(
    "--labels",
    type=FRACTION,
    metavar="FRACTION",
    section=DATA,
    help="Train on this fraction of the training faces only, at even distances: 0.01 for 1 %. Steps, batch size and "
    "learning rate are scaled so that there are 100 epochs at most.  [default: 1]",
)
@option(
    "--balanced",
    is_flag=True,
    section=NETWORKS,
    help="Fine-tune trained networks for balanced accuracy: a positive has weight (1-p)/p, with p the attribute's "
    "frequency. Preset, data and segmentation network are those they were trained with.",
)
@option(
    "--from",
    "start_from",
    **FOLDER,
    section=NETWORKS,
    help="The run of train-attr that --balanced fine-tunes.  [default: the last one in runs/ with these networks]",
)
@training_options(attributes="", balanced=" with --balanced")
def train_attr(
    pool,
    seg_weights,
    backbone,
    sspl_weights,
    balanced,
    start_from,
    out,
    resume,
    **given,
):
    """Train networks that predict the 40 attributes of CelebA.

    With --ssp and --ssg both networks are trained one after the other, and each is evaluated, as is the average
    of the two; so are others, each by itself. With none it is the basic network, which uses no regions. Without
    --data they are trained on toy faces. Ctrl-C saves first; --resume continues to bit-identical results, and can
    add networks to a run.

    \b
      python cli.py train-attr --ssp --ssg
      python cli.py train-attr --pool avg --pool spp --naive --bbox
      python cli.py train-attr --ssp --data celeba --preset paper --seg-weights runs/helen/best.h5
      python cli.py train-attr --ssp --ssg --balanced --from runs/attr-small --out runs/attr-balanced
      python cli.py train-attr --ssp --init sspl --labels 0.01
    """
    from ..commands import attributes

    modes = list(dict.fromkeys(pool)) + [mode for mode in FLAGS if given.pop(mode)]
    if backbone == choices.RESNET:
        if modes:
            raise click.UsageError("--backbone resnet18: is a network of its own; leave --ssp, --pool, … out")
        if given["init"] == "parser":
            raise click.UsageError(
                "--init parser: no segmentation network has a ResNet-18; choose random or sspl"
            )
        modes = [backbone]
    if seg_weights and not {*modes} - {*POOLS, choices.RESNET} and given["init"] != "parser":
        raise click.UsageError(
            "--seg-weights: the networks asked for use no regions; add --ssp, --ssg, … or --init parser"
        )
    if start_from and not balanced:
        raise click.UsageError("--from: names the networks to fine-tune; add --balanced")
    if sspl_weights and given["init"] != "sspl":
        raise click.UsageError("--sspl-weights: names the initial weights of --init sspl; add that")
    if given["region_pooling"] and not set(modes) & {"ssp", "bbox", "concat", "joint"} and not resume:
        raise click.UsageError(
            "--region-pooling: no network asked for pools by regions; add --ssp, --bbox, …"
        )
    for name, value in (
        ("--region-pooling", given["region_pooling"]),
        ("--seg-weights", seg_weights),
        ("--init", given["init"]),
        ("--labels", given["labels"]),
    ):
        if balanced and value:
            raise click.UsageError(
                f"{name}: --balanced fine-tunes trained networks with their segmentation network; leave it out"
            )
    attributes.train_attributes(
        modes,
        given,
        seg_weights,
        out,
        resume,
        click.echo,
        balanced=balanced,
        start_from=start_from,
        sspl_weights=sspl_weights,
    )


@command("train-joint", TRAINING)
@option(
    "--attr-data",
    **FOLDER,
    section=DATA,
    help="A data set with attributes, where --data has only label maps.  [default: as --data]",
)
@option(
    "--compare",
    **FILE,
    section=RUN,
    help="A segmentation network of train-seg, or its run, to compare its IoU with the joint one's.",
)
@training_options(joint="")
def train_joint(compare, out, resume, **given):
    """Train a segmentation network and an attribute network that share their first eight layers.

    It is the paper's reverse problem: whether attributes help segmentation (section 4.4, Table 4). Each step takes a
    batch of faces with label maps and one of faces with attributes, and adds the losses; --batch-size is the size
    of each. Without --data it is trained on toy faces. Ctrl-C saves first; --resume continues to bit-identical results.

    \b
      python cli.py train-joint --compare runs/seg-small
      python cli.py train-joint --data helen --attr-data celeba --preset paper --out runs/joint
    """

    from ..commands import joint

    joint.train_joint(given, compare, out, resume, click.echo)


@command("pretrain-sspl", TRAINING)
@option(
    "--backbone",
    type=BACKBONE,
    section=NETWORKS,
    help="What to pre-train: encoder, the first eight layers of all networks of train-attr, or resnet18.  "
    "[default: encoder]",
)
@seg_weights
@training_options(sspl="")
def pretrain_sspl(seg_weights, out, resume, **given):
    """Pre-train a network on faces without labels (SSPL), so that few labels are needed.

    It is the first stage of Shu et al. 2021. One tile of each face is turned; the network predicts which and how far,
    which regions each tile has, and the region of each pixel; the targets are predictions of a trained segmentation
    network. Attributes and label maps of --data are not used. Without it the faces are toy faces. Then, with labels
    for one face in a hundred:

    \b
      python cli.py train-seg
      python cli.py pretrain-sspl
      python cli.py train-attr --ssp --init sspl --labels 0.01
    """

    from ..commands import sspl

    sspl.pretrain_sspl(given, seg_weights, out, resume, click.echo)


@command("train-lnet", TRAINING)
@option(
    "--backgrounds",
    **FOLDER,
    section=DATA,
    help="Photos without a face: images, or folders train, val and test of them.  [default: backgrounds/ in --data or "
    "beside it]",
)
@training_options(lnet="")
def train_lnet(backgrounds, out, resume, **given):
    """Train LNet_o and LNet_s, which find faces in photos, from the photos' tags alone.

    It is the first half of Liu et al. 2015. LNet_o takes the whole photo and finds head and shoulders, LNet_s takes
    these and finds the face. No box is used in training; where --data has some, they serve evaluation. Without
    --data the networks are trained on toy photos. --steps and the like hold for each of the two.

    \b
      python cli.py train-lnet
      python cli.py train-lnet --data celeba --backgrounds streets --preset paper --out runs/lnet
    """

    from ..commands import lnet

    lnet.train_lnet(given, backgrounds, out, resume, click.echo)


@command("train-anet", TRAINING)
@option(
    "--lnet",
    **FOLDER,
    section=NETWORKS,
    help="The run of train-lnet that finds the faces.  [default: the last one in runs/ for such faces]",
)
@option(
    "--no-identities",
    is_flag=True,
    section=NETWORKS,
    help="Train on the attributes from the start, without pre-training on identities.",
)
@option(
    "--aligned",
    is_flag=True,
    section=DATA,
    help="The photos are faces, cut out and aligned, as CelebA's img_align_celeba: none needs to be found.",
)
@training_options(identities=" on identities", faces=" on attributes")
def train_anet(lnet, no_identities, aligned, out, resume, **given):
    """Train ANet, which predicts attributes of the faces LNet finds, and a linear SVM per attribute.

    It is the second half of Liu et al. 2015. ANet is trained on identities first, then on attributes; the SVMs
    on its features. Photos are those of train-lnet, and need identities unless --no-identities is given. --steps and
    the like hold for each of the two trainings.

    \b
      python cli.py train-anet
      python cli.py train-anet --lnet runs/lnet --data celeba --preset paper --out runs/anet
      python cli.py train-anet --aligned --data celeba
    """

    from ..commands import anet

    anet.train_anet(given, lnet, not no_identities, aligned, out, resume, click.echo)
