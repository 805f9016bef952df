"""The function that trains each network. All of them resume from what their folder holds."""

from tinyface.files import make_folder
from tinyface.training import LAST

from ..commands import anet
from ..commands.attributes import train_attributes
from ..commands.folders import STAGES
from ..commands.joint import train_joint
from ..commands.segmentation import train_segmentation
from ..commands.sspl import pretrain_sspl
from ..data.layouts import open_dataset
from ..models.attribute_networks import ATTRIBUTE_NETWORKS
from ..predict import SEGMENTATION_FILE
from . import sspl


def train_segmentation_net(job, step, log):
    """The segmentation network, or Table 4's segmentation network without attributes."""
    given = job.given("segmentation", step.seed, job.seg_data)
    folder = make_folder(job.out / step.folder)
    train_segmentation(given, folder, resume=(folder / LAST).exists(), log=log)


def train_attribute_net(job, step, log):
    """An attribute network, beside the others of its seed."""
    given = job.given("attributes", step.seed, step.data)
    folder = (job.out / step.folder).parent
    make_folder(folder)
    train_attributes(
        [step.mode], given, job.segmentation_file, folder, begun(folder), log, evaluate_at_end=False
    )


def fine_tune(job, step, log):
    """An attribute network for balanced accuracy, from the one of its seed that is trained already."""
    given = job.given("balanced", step.seed, step.data)
    folder = (job.out / step.folder).parent
    make_folder(folder)
    train_attributes(
        [step.mode],
        given,
        None,
        folder,
        begun(folder),
        log,
        evaluate_at_end=False,
        balanced=True,
        start_from=folder.parent,
    )


def train_joint_net(job, step, log):
    """Table 4's segmentation network with attributes: it shares its encoder with the basic attribute network."""
    given = {**job.given("joint", step.seed, job.seg_data), "attr_data": job.data}
    folder = make_folder(job.out / step.folder)
    train_joint(given, None, folder, (folder / LAST).exists(), log)


def pretrain(job, step, log):
    """SSPL's first stage, with the segmentation network of the attribute networks."""
    given = job.given("sspl", step.seed, step.data)
    folder = make_folder(job.out / step.folder)
    pretrain_sspl(given, job.segmentation_file, folder, (folder / LAST).exists(), log)


def train_with_few(job, step, log):
    """An attribute network from a share of the labels, from what `pretrain` made or from random weights."""
    given = {**job.given("attributes", step.seed, step.data), **dict(step.given)}
    if "val_every" not in job.options and sspl.chooses_step(job, step.data):
        del given["val_every"]
    weights = job.out / sspl.PRETRAINED if given["init"] == "sspl" else None
    folder = (job.out / step.folder).parent
    make_folder(folder)
    train_attributes(
        [step.mode],
        given,
        job.segmentation_file,
        folder,
        begun(folder),
        log,
        evaluate_at_end=False,
        sspl_weights=weights,
    )


def train_anet(job, step, log):
    """ANet and its SVMs on aligned faces, pre-trained on identities where the data have some."""
    longest = max(job.given(kind, step.seed, step.data)["val_every"] for kind in ("identities", "faces"))
    given = {**job.given("faces", step.seed, step.data), "val_every": job.options.get("val_every", longest)}
    identities = open_dataset(step.data, "train", "attributes").identities is not None
    folder = make_folder(job.out / step.folder)
    resume = any((folder / stage).exists() for stage in STAGES["anet"])
    anet.train_anet(given, None, identities, True, folder, resume, log)


def begun(folder):
    """Whether a folder holds a run of attribute networks, of whichever mode."""
    return any((folder / name).exists() for name in (SEGMENTATION_FILE, *ATTRIBUTE_NETWORKS))
