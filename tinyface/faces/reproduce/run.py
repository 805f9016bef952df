"""Train what is missing, measure what is new, print and write everything."""

from tinyface.errors import TinyfaceError
from tinyface.files import atomic_write, make_folder, remove_drafts
from tinyface.training import BEST, Interrupted

from .. import provenance
from ..commands.folders import check_folder
from ..data.layouts import describe, open_dataset
from ..pictures.drawing import save_png
from . import claims as claims_of
from . import page, pictures, sspl, systems, tables
from .job import described_split
from .localized import localization_table
from .measure import Measures, always_the_majority, measure_attribute_nets, measure_segmentation_net
from .paper import LFWA_ROWS, ROWS
from .plan import ALONE, BALANCED, JOINT, choose_rows, finished, plan

REPORT = "report.html"
NEEDS_LFWA = "--table 3: needs LFWA; give its folder by --lfwa"


def reproduce(job, wanted_tables, wanted_figures, only=(), log=print):
    """Make the tables and figures that are wanted, in job.out. Returns the Tables and the Claims.

    wanted_tables: of "2", "3", "4", "sspl", "systems"; wanted_figures: of "3", "4", "5"; only: keys of rows.
    Raises TinyfaceError before any training where data, options or the folder don't allow it; Interrupted
    where a signal ended a training, after it was saved.
    """
    if not wanted_tables and not wanted_figures:
        raise TinyfaceError("reproduce: nothing asked for; give --table or --figure")
    rows = choose_rows(only)
    check_folder("reproduce", job.out, resume=False)
    only_lfwa = set(wanted_tables) == {"3"} and not wanted_figures
    if only_lfwa and not (job.lfwa or job.data):
        raise TinyfaceError(NEEDS_LFWA)
    needs_segmentation_net = not job.seg_weights and (wanted_tables or wanted_figures)
    make_folder(job.out)
    remove_drafts(job.out)
    job.find_data(needs_segmentation_net or "4" in wanted_tables, log)
    if only_lfwa and not job.lfwa:
        raise TinyfaceError(NEEDS_LFWA)
    job.remember_data()
    train_all(job, plan(job, wanted_tables, wanted_figures, rows), log)

    made, claims = measure_all(job, wanted_tables, rows, log)
    if "4" in wanted_figures and (places := localization_table(job, Measures(job.out, log), log)):
        made.append(places)
    drawn = draw_all(job, wanted_figures, made, log)
    write(job, made, claims, drawn)
    for table in made:
        log(f"\n{tables.to_text(table)}")
    if claims:
        log(f"\n{claims_of.to_text(claims)}")
    log(f"\nnetworks: {trained_on(job)}")
    log(f"{job.out / REPORT}: all of it on one page; beside it each table as .csv, .md and .png")
    return made, claims


def write(job, made, claims, drawn):
    """The tables as CSV, Markdown and PNG, the claims as Markdown, the figures as PNG, and the page."""
    for table in made:
        atomic_write(job.out / f"{table.name}.csv", tables.to_csv(table))
        atomic_write(job.out / f"{table.name}.md", tables.to_markdown(table))
        save_png(pictures.draw_table(table), job.out / f"{table.name}.png")
    if claims:
        atomic_write(job.out / "claims.md", claims_of.to_markdown(claims))
    for name, (_, _, image) in drawn.items():
        save_png(image, job.out / f"{name}.png")
    title = "Improving Facial Attribute Prediction using Semantic Segmentation: reproduced"
    atomic_write(job.out / REPORT, page.render(title, how(job), made, claims, drawn.values()))


def train_all(job, steps, log):
    """Train the steps that are not finished, logging which."""
    missing = [step for step in steps if not finished(job, step)]
    if len(missing) < len(steps):
        log(f"{len(steps) - len(missing)} of {len(steps)} networks are trained already")
    for number, step in enumerate(missing, 1):
        log(f"[{number}/{len(missing)}] {step.folder}")
        try:
            step.train(job, step, log=lambda line: None)
        except Interrupted as stop:
            saved = str(stop).removesuffix("; resume with --resume")
            raise Interrupted(f"{saved}; the same command resumes", stop.signal) from None


def measure_all(job, wanted, rows, log):
    """The Tables that are wanted, and the Claims where a table was made that they rest on."""
    store, made = Measures(job.out, log), []
    attribute_nets, tuned, alone, joint = {}, {}, [], []
    if "2" in wanted:
        attribute_nets = measure_seeds(job, store, "seed-{}", rows, job.data, log)
        to_tune = [row for row in rows if row.fine_tuned]
        tuned = measure_seeds(job, store, f"seed-{{}}/{BALANCED}", to_tune, job.data, log)
        made.append(table2(job, rows, attribute_nets, tuned))
    if "3" in wanted:
        made.append(table3(job, store, [row for row in LFWA_ROWS if row in rows], log))
    if "4" in wanted:
        alone, joint = (
            [measure_segmentation_net(job, store, f"seed-{seed}/{name}", log) for seed in range(job.seeds)]
            for name in (ALONE, JOINT)
        )
        made.append(table4(job, alone, joint))
    if "sspl" in wanted:
        made.append(table_of_few_labels(job, store, sspl.compared(rows), log))
    if "systems" in wanted:
        made.append(table_of_systems(job, store, log))
    return made, claims_of.claims(attribute_nets, tuned, alone, joint) if {"2", "4"} & set(wanted) else []


def measure_seeds(job, store, folder, rows, data, log):
    """{modes: [measures of each seed]} of the networks of these rows. folder: below --out, {} for the seed."""
    if not rows:
        return {}
    modes = list(dict.fromkeys(mode for row in rows for mode in row.modes))
    averages = [row.modes for row in rows if len(row.modes) > 1]
    found = {}
    for seed in range(job.seeds):
        measures = measure_attribute_nets(job, store, folder.format(seed), modes, averages, data, log)
        for key, values in measures.items():
            found.setdefault(key, []).append(values)
    return found


def table2(job, rows, attribute_nets, tuned):
    notes = (
        f"Evaluated on {described_split(job.data, 'attributes')}; {spread(job)}",
        f"Always the majority of the training split: error {100 * always_the_majority(job.data):.2f} %.",
        "The paper's numbers are those of CelebA's pre-cropped images, its second column.",
    )
    title = "Table 2: attributes, in %"
    return tables.attribute_table(
        "table2",
        title,
        rows,
        attribute_nets,
        tuned,
        lambda row: (row.error, row.precision, row.balanced),
        notes,
    )


def table3(job, store, rows, log):
    if not job.lfwa:
        notes = ("Not measured: LFWA is needed; give its folder by --lfwa.",)
        attribute_nets = {}
    else:
        attribute_nets = measure_seeds(job, store, "lfwa/seed-{}", rows, job.lfwa, log)
        notes = (f"Evaluated on {described_split(job.lfwa, 'attributes')}; {spread(job)}",)
    notes += ("Of the paper's Table 3 only these two errors are known.",)
    return tables.attribute_table(
        "table3", "Table 3: attributes on LFWA, in %", rows, attribute_nets, {},
        lambda row: (row.lfwa_error, None, None), notes,
    )  # fmt: skip


def table4(job, alone, joint):
    notes = (
        f"Evaluated on {described_split(job.seg_data, 'labels')}; {spread(job)}",
        "The paper's numbers are those of Helen.",
    )
    return tables.parsing_table(alone, joint, notes)


def table_of_few_labels(job, store, rows, log):
    counts = sspl.usable(open_dataset(job.data, "train", "attributes"))
    measured = {
        (share, init): measure_seeds(job, store, sspl.folder_of(share, init, "{}"), rows, job.data, log)
        for share in counts
        for init in sspl.INITS
    }
    notes = (f"Evaluated on {described_split(job.data, 'attributes')}; {spread(job)}",)
    return sspl.table(job, rows, counts, measured, notes)


def table_of_systems(job, store, log):
    three = [row for row in ROWS if row.key in ("basic", "ssp+ssg")]
    ours = measure_seeds(job, store, "seed-{}", three, job.data, log)
    basic = [row for row in three if row.key == "basic"]
    learned = measure_seeds(job, store, sspl.folder_of(1.0, "sspl", "{}"), basic, job.data, log)
    measured = {
        "basic": ours[("avg",)],
        "ssp+ssg": ours[("ssp", "ssg")],
        "sspl": learned[("avg",)],
        "anet": [
            systems.anet_measures(job.out / f"seed-{seed}" / systems.FOLDER) for seed in range(job.seeds)
        ],
    }
    notes = (f"Evaluated on {described_split(job.data, 'attributes')}; {spread(job)}",)
    return systems.table(job, measured, notes)


def draw_all(job, wanted_figures, made, log):
    """{file name: (heading, caption, image)}: the figures that are wanted, and charts of Table 2."""
    drawn = {}
    if any(table.name == "table2" for table in made):
        drawn |= pictures.charts(job, next(table for table in made if table.name == "table2"))
    for number in wanted_figures:
        log(f"drawing Figure {number}")
        drawn |= pictures.FIGURES[number](job)
    return drawn


def spread(job):
    """What ± stands for."""
    if job.seeds == 1:
        return "one seed, so no deviation."
    return f"mean ± standard deviation over {job.seeds} seeds."


def trained_on(job):
    """What all networks in the job's folder, and its segmentation network, were trained on."""
    files = [job.segmentation_file, *sorted(job.out.rglob(BEST))]
    return provenance.line(file for file in files if file.is_file())


def how(job):
    """Sentences on how the numbers were made."""
    steps = job.options.get("steps")
    length = f"{steps:,} steps for each network" if steps else "the preset's steps"
    h, w = job.network.size
    return [
        f"Networks of the preset {job.preset}: {job.network.width} channels at the first level, images of {h}×{w}; "
        f"{length}; {job.seeds} {'seed' if job.seeds == 1 else 'seeds'}. Data: {job.data}, "
        f"{describe(job.data, 'attributes')}.",
        f"Networks: {trained_on(job)}.",
        "The paper trains networks of 64 channels on images of 218×178 of CelebA. Where data or size differ, compare "
        "the order of the rows, not the numbers.",
    ]
