"""Beyond the paper: on toy faces, whose attributes have known places, does SSP's heaviest region match them?"""

from pathlib import Path

from tinyface import checkpoint
from tinyface.training import BEST

from .. import tasks
from ..commands.feeds import VALIDATION_BATCH
from ..commands.sources import evaluation_split
from ..data.layouts import choose_layout, open_dataset
from ..data.loader import batches_in_order
from ..data.toyfaces import are_toyfaces
from ..pictures.localization import gather_weights, localization_share
from ..predict import load_segmentation_net
from .job import described_split
from .measure import identify
from .statistics import summarise
from .tables import Table, show

MODE = "ssp"


def localization_table(job, store, log):
    """The Table of attributes, their true regions and SSP's heaviest ones, a column for each seed that is trained.

    None where the faces are not toy faces: the true places are unknown on others.
    """
    if not are_toyfaces(choose_layout(job.data, "attributes").root):
        return None
    files = [job.out / f"seed-{seed}" / MODE / BEST for seed in range(job.seeds)]
    found = [measure(job, store, file, log) for file in files if file.exists()]
    rows = [
        [
            name,
            ", ".join(true),
            *(one["heaviest"][name] or "–" for one in found),
            str(agreeing(name, true, found)),
        ]
        for name, true in found[0]["true"].items()
    ]
    share = summarise(100 * one["share"] for one in found)
    heads = [f"seed {seed}" for seed, file in enumerate(files) if file.exists()]
    rows.append(["share that is right, %", "", *(f"{100 * one['share']:.1f}" for one in found), show(share)])
    chance, constant, region = (found[0][key] for key in ("chance", "constant", "constant_region"))
    return Table(
        "places",
        "Where SSP looks on toy faces: the heaviest region of each attribute that has a place (beyond the paper)",
        ("attribute", "true region", *heads, "right"),
        rows,
        (
            f"Mean weight over the faces that have the attribute, of {described_split(job.data, 'attributes')}.",
            f"Right by chance: {100 * chance:.1f} %; with always {region} the heaviest: {100 * constant:.1f} %.",
        ),
    )


def agreeing(name, true, found):
    """In how many of the seeds the heaviest region is a true one."""
    return sum(one["heaviest"][name] in true for one in found)


def measure(job, store, file: Path, log):
    """What `localization_share` finds for one network, as plain values, kept in measures.json."""
    name = f"{file.parent.relative_to(job.out)}, localization"
    identity = identify([file, job.segmentation_file], job.data, "attributes")
    measures = store.get(name, identity)
    if measures is None:
        log(f"measuring {name}")
        task = tasks.AttributeTask(
            checkpoint.load_network(file).to(job.device),
            load_segmentation_net(job.segmentation_file, job.device),
        )
        dataset = open_dataset(job.data, evaluation_split(job.data, "attributes"), "attributes")
        weights = gather_weights(
            task, batches_in_order(dataset, "attributes", VALIDATION_BATCH, job.network.size)
        )
        found = localization_share(*weights)
        measures = {
            "share": found.share,
            "chance": found.chance,
            "constant": found.constant,
            "constant_region": found.constant_region,
            "true": {row.attribute: list(row.true) for row in found.rows},
            "heaviest": {row.attribute: row.heaviest for row in found.rows},
        }
        store.add({name: (identity, measures)})
    return measures
