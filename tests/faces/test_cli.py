"""The command line: the way through from training to prediction, and one clear line for whatever goes wrong."""

import errno
import json
import os
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import h5py
import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image, ImageOps

import tinyface
from tinyface import checkpoint
from tinyface.backend import cupy
from tinyface.errors import TinyfaceError
from tinyface.faces import choices, cli
from tinyface.faces.commands.options import CHANGEABLE_ON_RESUME, FIXED_ON_RESUME, Options
from tinyface.faces.data.dataset import ATTRIBUTES, REGIONS
from tinyface.faces.data.layouts import LAYOUTS
from tinyface.faces.data.toyfaces import draw_dataset
from tinyface.faces.models.attributes import MODES
from tinyface.faces.reproduce.paper import ROWS
from tinyface.faces.summary import networks_of
from tinyface.gradcheck import EXAMPLES, GradcheckError
from tinyface.training import Interrupted

ROOT = Path(__file__).resolve().parents[2]

QUICK = ("--preset", "tiny", "--steps", "2", "--batch-size", "6", "--val-every", "2")


def run(*arguments):
    """The result of a command: exit_code, stdout, stderr. An exception that reaches the top fails the test."""
    result = CliRunner().invoke(cli.cli, [str(a) for a in arguments])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result


def fails(*arguments, naming, code=1):
    """Run a command that must fail with one line on stderr, which contains every text of `naming`; returns it."""
    result = run(*arguments)
    lines = [
        line for line in result.stderr.splitlines() if " images/s " not in line
    ]  # progress may come before
    assert result.exit_code == code, result.output
    assert len(lines) == 1 and lines[0].startswith("error: "), result.stderr
    for text in [naming] if isinstance(naming, str | Path) else naming:
        assert str(text) in lines[0], lines[0]
    assert "Traceback" not in result.output
    return lines[0]


@pytest.fixture(autouse=True)
def elsewhere(tmp_path, monkeypatch):
    """Every test in an empty folder, so that none meets the runs or the toy faces of another."""
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")


@pytest.fixture(scope="session")
def faces(tmp_path_factory):
    """A data set of 24 toy faces; not to be changed."""
    path = tmp_path_factory.mktemp("data") / "faces"
    draw_dataset(path, train=12, val=6, test=6, seed=1)
    return path


@pytest.fixture(scope="session")
def trained(faces, tmp_path_factory):
    """A folder with seg/ and attr/, runs of both training commands; not to be changed."""
    path = tmp_path_factory.mktemp("runs")
    result = run("train-seg", "--data", faces, *QUICK, "--out", path / "seg")
    assert result.exit_code == 0, result.output
    seg = path / "seg" / "best.h5"
    result = run(
        "train-attr", "--ssp", "--ssg", "--data", faces, *QUICK, "--seg-weights", seg, "--out", path / "attr"
    )
    assert result.exit_code == 0, result.output
    assert "ssp + ssg" in result.stdout and "error %" in result.stdout
    return path


@pytest.fixture
def my_faces(faces, tmp_path):
    """A copy of the data set to spoil."""
    return shutil.copytree(faces, tmp_path / "my faces")


@pytest.fixture
def my_run(trained, tmp_path):
    """A copy of the run of train-seg to spoil."""
    return shutil.copytree(trained / "seg", tmp_path / "my run")


@pytest.fixture
def photo(faces):
    return faces / "celeba/Img/img_align_celeba/000001.jpg"


def contents(folder):
    """{file: bytes} of all that lies below."""
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


# ---------------------------------------------------------------- the way through


def test_training_leaves_what_it_says(trained):
    for folder in (trained / "seg", trained / "attr/ssp", trained / "attr/ssg"):
        assert {"last.h5", "best.h5", "log.jsonl", "curve.png"} <= {path.name for path in folder.iterdir()}
    assert (trained / "seg/parsing.png").stat().st_size
    assert (trained / "attr/parser.h5").read_bytes() == (trained / "seg/best.h5").read_bytes()
    report = json.loads((trained / "attr/report.json").read_text())
    assert list(report["networks"]) == ["ssp", "ssg", "ssp + ssg"]


def test_train_attr_without_flags_trains_the_basic_network(faces):
    result = run("train-attr", "--data", faces, *QUICK, "--out", "basic")
    assert result.exit_code == 0, result.output
    assert checkpoint.load_network("basic/avg/best.h5").mode == "avg"
    assert "CelebA" in result.stdout and "12 train, 6 val, 6 test" in result.stdout
    result = run("predict", faces / "celeba/Img/img_align_celeba/000001.jpg", "--weights", "basic", "--all")
    assert result.exit_code == 0 and "regions" not in result.stdout and "Young" in result.stdout


@pytest.mark.parametrize(
    "flags, modes",
    [
        ([], []),
        (["--ssg", "--ssp"], ["ssp", "ssg"]),
        (["--pool", "avg"], ["avg"]),
        (["--pool", "spp", "--pool", "avg", "--ssp"], ["spp", "avg", "ssp"]),
        (["--naive", "--bbox", "--concat", "--joint-ssp-ssg"], ["naive", "bbox", "concat", "joint"]),
    ],
)
def test_each_flag_of_train_attr_is_a_network(monkeypatch, flags, modes):
    asked = []
    monkeypatch.setattr(
        "tinyface.faces.commands.attributes.train_attributes",
        lambda modes, *rest, **more: asked.append(modes),
    )
    assert run("train-attr", *flags).exit_code == 0
    assert asked == [modes]


@pytest.mark.slow
def test_regions_may_be_summed(trained, faces):
    common = "train-attr", "--data", faces, *QUICK, "--out", "sums"
    fails(*common, "--region-pooling", "sum", naming="--region-pooling: no network asked for", code=2)
    result = run(*common, "--ssp", "--seg-weights", trained / "seg", "--region-pooling", "sum")
    assert result.exit_code == 0, result.output
    assert checkpoint.load_network(Path("sums/ssp/best.h5")).config["region_pooling"] == "sum"
    fails(*common, "--ssp", "--resume", "--region-pooling", "mean", naming="--region-pooling mean: the run")


@pytest.mark.slow
def test_baselines_from_training_to_prediction(trained, faces, photo):
    seg = "--seg-weights", trained / "seg"
    common = "--data", faces, *QUICK, "--out", "all"
    result = run("train-attr", "--pool", "spp", "--bbox", *common, *seg)
    assert result.exit_code == 0, result.output
    result = run("train-attr", "--naive", "--concat", "--joint-ssp-ssg", *common, "--resume")
    assert result.exit_code == 0, result.output
    modes = ["spp", "naive", "bbox", "concat", "joint"]
    assert list(json.loads(Path("all/report.json").read_text())["networks"]) == modes
    result = run("evaluate", "all", "--data", faces, "--split", "val", "--json")
    assert result.exit_code == 0 and list(json.loads(result.stdout)["measures"]) == modes
    for mode in modes:
        result = run("predict", photo, "--weights", f"all/{mode}", "--json")
        assert result.exit_code == 0, result.output
        assert len(json.loads(result.stdout)[0]["attributes"]) == 40
    assert run("summary", "all").stdout.count("attribute network") == 5
    fails("train-attr", "--pool", "spp", *seg, naming="--seg-weights", code=2)
    fails("train-attr", "--out", "all", "--resume", naming=["all", "spp and naive and bbox", "--resume"])


def test_train_attr_takes_the_segmentation_net_trained_last_and_says_so(faces, trained):
    shutil.copytree(trained / "seg", "runs/seg-tiny")
    result = run("train-attr", "--ssg", "--data", faces, *QUICK)
    assert result.exit_code == 0, result.output
    assert f"{Path('runs/seg-tiny/best.h5')}, the last one trained" in result.stdout
    assert Path("runs/attr-tiny/ssg/best.h5").is_file()


def test_evaluate_segmentation_net(trained, faces):
    result = run("evaluate", trained / "seg/best.h5", "--data", faces)
    assert result.exit_code == 0, result.output
    assert "split test: 6 faces" in result.stdout
    assert all(region in result.stdout for region in REGIONS) and "IoU" in result.stdout
    assert "split val" in run("evaluate", trained / "seg", "--data", faces, "--split", "val").stdout


def test_evaluate_attribute_networks_as_json(trained, faces):
    result = run("evaluate", trained / "attr", "--data", faces, "--json")
    assert result.exit_code == 0, result.output
    measures = json.loads(result.stdout)["measures"]
    assert list(measures) == ["ssp", "ssg", "ssp + ssg"]
    assert list(measures["ssp"]["per_attribute"]["error"]) == list(ATTRIBUTES)
    one = run("evaluate", trained / "attr/ssp/best.h5", "--data", faces, "--json", "--batch-size", 4)
    assert json.loads(one.stdout)["measures"]["ssp"]["error"] == measures["ssp"]["error"]


def test_predict_prints_and_draws(trained, photo, tmp_path):
    Image.open(photo).resize((301, 77)).save("wide.png")
    result = run("predict", photo, "wide.png", "--weights", trained / "attr", "--out", "pictures", "--all")
    assert result.exit_code == 0, result.output
    assert str(photo) in result.stdout and "Wearing Lipstick" in result.stdout and "regions:" in result.stdout
    names = {path.name for path in Path("pictures").iterdir()}
    assert names == {
        f"{stem}_{kind}.png" for stem in ("000001", "wide") for kind in ("parsing", "attributes")
    }
    assert Image.open("pictures/wide_parsing.png").size == (301, 77)


LINE = "trained on drawn faces only; results on photos of real people mean little"


def test_results_say_once_what_the_networks_were_trained_on(trained, faces, photo):
    """The bundled networks do too."""
    for more in ((), ("--weights", trained / "attr")):
        text = run("predict", photo, photo.with_name("000002.jpg"), *more).stdout
        assert text.startswith(f"networks: {LINE}\n\n{photo}\n") and text.count("trained on") == 1
    records = json.loads(run("predict", photo, photo.with_name("000002.jpg"), "--json").stdout)
    assert [record["networks"] for record in records] == [LINE, LINE]
    assert run("evaluate", trained / "attr", "--data", faces).stdout.count(f"networks: {LINE}\n") == 1


def test_predict_fifty_photos_and_a_folder_with_names_that_collide(trained, photo):
    Path("photos").mkdir()
    for number in range(48):
        shutil.copy(photo, f"photos/{number}.jpg")
    Image.open(photo).save("photos/0.png")
    shutil.copy(photo, "47.jpg")
    result = run("predict", "photos", "47.jpg", "--weights", trained / "attr", "--json", "--out", "out")
    assert result.exit_code == 0, result.output
    records = json.loads(result.stdout)
    assert len(records) == 50 and len(list(Path("out").iterdir())) == 100
    named = {record["image"]: Path(record["pictures"]["parsing"]).name for record in records}
    assert named[str(Path("photos/0.jpg"))] == "0_parsing.png"
    assert named[str(Path("photos/0.png"))] == "0-2_parsing.png"
    assert named["47.jpg"] == "47-2_parsing.png"
    of_jpegs = [record["attributes"] for record in records if record["image"].endswith(".jpg")]
    assert all(attributes == of_jpegs[0] for attributes in of_jpegs)


def test_predict_a_folder_without_images(trained):
    Path("photos").mkdir()
    fails("predict", "photos", "--weights", trained / "attr", naming=["photos", "no images"])


def test_a_photo_that_pillow_warns_about_is_read_quietly(trained, photo):
    """In a process of its own, since pytest takes warnings away."""
    content = photo.read_bytes()
    broken = b"Exif\0\0MM\0*\0\0\0\x08\xff\xff" + bytes(12)
    Path("odd.jpg").write_bytes(
        content[:2] + b"\xff\xe1" + (2 + len(broken)).to_bytes(2, "big") + broken + content[2:]
    )
    with pytest.warns(UserWarning, match="EXIF"):
        ImageOps.exif_transpose(Image.open("odd.jpg"))
    done = process("predict", "odd.jpg", "--weights", trained / "attr", stdout=subprocess.PIPE)
    assert done.returncode == 0 and done.stderr == ""


def test_predict_as_json(trained, photo):
    paths = trained / "attr/ssp/best.h5", trained / "seg/best.h5"
    result = run("predict", photo, "--json", "--weights", paths[0], "--weights", paths[1])
    [record] = json.loads(result.stdout)
    assert record["image"] == str(photo) and list(record["attributes"]) == list(ATTRIBUTES)
    assert all(Path(picture).is_file() for picture in record["pictures"].values())


def test_draw_faces():
    result = run("draw-faces", "--out", "new/toys", "--train", 3, "--val", 2, "--test", 0, "--seed", 4)
    assert result.exit_code == 0, result.output
    assert len(list(Path("new/toys/celeba/Img/img_align_celeba").iterdir())) == 5
    assert "3 faces to train on, 2 to validate" in result.stdout
    fails("draw-faces", "--out", "new/toys", "--train", 3, naming="new/toys")


@pytest.mark.slow
def test_draw_faces_in_the_wild():
    result = run("draw-faces", "--wild", "--train", 3, "--val", 2, "--test", 0, "--per-person", 2)
    assert result.exit_code == 0 and "toywild: 3 photos to train on" in result.output
    assert len(list(Path("toywild/celeba/Img/img_celeba").iterdir())) == 5
    assert len(list(Path("toywild/backgrounds/train").iterdir())) == 3
    fails("draw-faces", "--wild", "--train", 3, naming="toywild")
    fails("draw-faces", "--per-person", 2, naming=["--per-person", "--wild"], code=2)
    fails("draw-faces", "--wild", "--sheet", "x.png", naming=["--sheet", "--wild"], code=2)


def test_faces_in_the_wild_from_photos_to_attributes():
    run("draw-faces", "--wild", "--train", 6, "--val", 4, "--test", 2)
    short = ("--preset", "tiny", "--steps", 2, "--batch-size", 4)
    assert "false alarms" in run("train-lnet", *short).output
    result = run("train-anet", *short)
    assert (
        "faces as found by runs/lnet-tiny" in result.output and "predict --system lnet-anet" in result.output
    )
    photo = "toywild/celeba/Img/img_celeba/000012.jpg"
    result = run("predict", photo, "--system", "lnet-anet", "--json", "--several")
    [record] = json.loads(result.stdout)
    assert record["image"] == photo and Path(record["pictures"]["faces"]).exists()
    assert all(len(face["attributes"]) == 40 for face in record["faces"])
    assert record["networks"] == LINE
    text = run("predict", photo, "--system", "lnet-anet").output
    assert photo in text and text.startswith(f"networks: {Path('runs/anet-tiny')}, {LINE}\n")
    result = run("evaluate", "runs/anet-tiny", "--data", "toywild", "--json")
    assert set(json.loads(result.stdout)["measures"]) == {"localization", "lnet-anet"}
    fails("predict", photo, "--several", naming=["--several", "lnet-anet"], code=2)
    fails("predict", photo, "--system", "lnet-anet", "--weights", "runs/lnet-tiny", naming="svm.h5")
    fails("evaluate", "runs/lnet-tiny", "runs/anet-tiny", naming="WEIGHTS", code=2)
    fails("predict", photo, "--weights", "runs/lnet-tiny/lnet_o/best.h5", naming="lnet-anet")
    fails("train-anet", *short, "--lnet", "nowhere", "--out", "other", naming="nowhere")


def test_draw_faces_sheet():
    assert run("draw-faces", "--sheet", "sheet.png", "--overlay").exit_code == 0
    assert Image.open("sheet.png").width > 1000


def test_summary_of_a_preset_and_of_a_file(trained):
    result = run("summary", "--preset", "tiny")
    assert result.exit_code == 0 and result.stdout.count("total") == len(list(networks_of("tiny")))
    result = run("summary", trained / "attr/ssg/best.h5")
    assert "SSG attribute network" in result.stdout and "RegionGate" in result.stdout


def test_gradcheck_of_all_ops_and_of_one():
    result = run("gradcheck")
    assert result.exit_code == 0 and result.stdout.count("ok, ") == len(EXAMPLES)
    assert run("gradcheck", "prelu").stdout.split() == ["prelu", "ok,", "93", "elements"]
    fails("gradcheck", "nosuch", naming=["nosuch", "conv2d"], code=2)


def test_gradcheck_of_a_wrong_gradient(monkeypatch):
    def wrong(name, device):
        raise GradcheckError(f"{name}: gradient of input 0 at (1, 2) is 3, differences say 4")

    monkeypatch.setattr("tinyface.gradcheck.check_example", wrong)
    result = run("gradcheck", "relu")
    assert result.exit_code == 1 and "relu: gradient of input 0 at (1, 2) is 3" in result.stdout


# ---------------------------------------------------------------- help


def test_help_lists_all_commands_in_sections():
    text = run("--help").stdout
    places = [
        text.rindex(name)
        for name in ("Training:", "train-seg  ", "Using", "predict  ", "Inspecting", "gradcheck  ")
    ]
    assert places == sorted(places)
    assert run().stdout == text
    for command in cli.cli.commands:
        assert "Usage:" in run(command, "-h").stdout


@pytest.mark.parametrize(
    "name, program",
    [("cli.py", "python cli.py"), ("tinyface", "tinyface"), ("python -m tinyface", "python -m tinyface")],
)
def test_examples_begin_with_the_name_of_the_program(name, program):
    for command in ("--help", "predict", "train-seg"):
        text = CliRunner().invoke(cli.cli, [command, "-h"], prog_name=name).stdout
        examples = [line for line in text.splitlines() if re.match(rf" +{program} (predict|train)", line)]
        assert f"Usage: {name}" in text and len(examples) == 3, text
        assert program == "python cli.py" or "cli.py" not in text


def test_the_choices_are_those_of_the_code():
    assert [layout.name for layout in LAYOUTS] == list(choices.DATASETS)
    assert {mode for modes in choices.ROWS.values() for mode in modes} == {*choices.MODES} == {*MODES}
    assert [row.key for row in ROWS] == list(choices.ROWS)


def test_every_option_that_decides_a_run_can_be_given():
    of_some = {  # all others are options of all four
        "init": ["train-attr"],
        "attr_data": ["train-joint"],
        "labels": ["train-attr"],
        "backbone": ["train-attr", "pretrain-sspl"],
        "region_pooling": ["train-attr"],
    }
    for command in ("train-seg", "train-attr", "train-joint", "pretrain-sspl"):
        names = {parameter.name for parameter in cli.cli.commands[command].params}
        for name in FIXED_ON_RESUME + CHANGEABLE_ON_RESUME:
            assert (name in names) == (command in of_some.get(name, [command])), (command, name)


@pytest.mark.parametrize(
    ("command", "kinds"),
    [
        ("train-seg", ["segmentation"]),
        ("train-attr", ["attributes", "balanced"]),
        ("train-joint", ["joint"]),
        ("pretrain-sspl", ["sspl"]),
        ("train-lnet", ["lnet"]),
        ("train-anet", ["identities", "faces"]),
    ],
)
def test_the_help_tells_the_defaults_of_the_small_preset(command, kinds):
    """Those that a training would take."""
    helps = {parameter.name: parameter.help for parameter in cli.cli.commands[command].params}
    options = [Options.resolve(kind, {}) for kind in kinds]
    for name in (
        "steps",
        "batch_size",
        "lr",
        "weight_decay",
        "schedule",
        "warmup",
        "val_every",
        "save_every",
    ):
        values = dict.fromkeys(str(getattr(each, name)) for each in options)
        note = helps[name].split("[default: the preset's, for small ")[1]
        assert re.sub(r" (with|on) [\w-]+", "", note) == ", ".join(values) + "]", name
    for name in ("optimizer", "preset", "seed", "workers", "device", "log_every"):
        assert f"[default: {getattr(options[0], name)}]" in helps[name]


def test_help_loads_nothing_heavy():
    """So that it answers at once: what commands need is imported by them."""
    code = "import sys, cli; print(*{'h5py', 'PIL', 'threadpoolctl', 'tinyface.faces.models'} & set(sys.modules))"
    loaded = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, check=True, capture_output=True, text=True
    )
    assert loaded.stdout.strip() == ""


# ---------------------------------------------------------------- wrong options


@pytest.mark.parametrize("command", ["train-seg", "train-attr"])
@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("--lr", "-1"),
        ("--lr", "0"),
        ("--lr", "nan"),
        ("--lr", "inf"),
        ("--lr", "fast"),
        ("--batch-size", "0"),
        ("--batch-size", "1"),
        ("--batch-size", "2.5"),
        ("--steps", "0"),
        ("--weight-decay", "-0.1"),
        ("--warmup", "-1"),
        ("--workers", "-1"),
        ("--seed", "-1"),
        ("--log-every", "0"),
        ("--val-every", "0"),
        ("--save-every", "0"),
        ("--device", "tpu"),
        ("--preset", "huge"),
        ("--schedule", "up"),
        ("--optimizer", "magic"),
    ],
)
def test_impossible_value(command, option, value):
    assert fails(command, option, value, naming=value, code=2).startswith(f"error: {option}: ")
    assert not any(Path().iterdir())


def test_other_slips():
    fails("train-sge", naming="train-sge", code=2)
    fails("train-seg", "--learning-rate", "1", naming="--learning-rate", code=2)
    fails("train-seg", "--lr", naming="--lr", code=2)
    fails("predict", naming="IMAGE", code=2)
    fails("evaluate", naming="WEIGHTS", code=2)
    fails("train-attr", "--seg-weights", "x.h5", naming="--seg-weights", code=2)
    fails("draw-faces", "--train", 0, "--val", 0, "--test", 0, naming="--train", code=2)


@pytest.mark.parametrize("option", ["--data", "--out", "--seg-weights"])
def test_a_path_that_is_empty(option):
    fails("train-attr", "--ssp", option, "", naming=[option, "is empty"], code=2)
    assert not any(Path().iterdir())
    fails("predict", "", naming="is empty", code=2)


def test_slips_lead_to_the_help():
    assert fails("train-sge", naming="train-sge", code=2).endswith("; see --help")
    assert fails("evaluate", naming="WEIGHTS", code=2).endswith("; see --help")


def test_overlay_without_a_sheet():
    fails("draw-faces", "--overlay", "--train", 1, naming=["--overlay", "--sheet"], code=2)
    assert not any(Path().iterdir())


def test_device_cuda_without_a_gpu(faces):
    try:
        cupy()
    except TinyfaceError:
        fails(
            "train-seg", "--device", "cuda", "--data", faces, "--out", "out", naming=["--device cuda", "cpu"]
        )
        assert not Path("out").exists()
    else:
        pytest.skip("there is a GPU")


# ---------------------------------------------------------------- wrong data


def train_seg(data, *more):
    return "train-seg", "--data", data, *QUICK, "--out", "out", *more


def train_attr(data, *more):
    return "train-attr", "--data", data, *QUICK, "--out", "out", *more


def test_missing_data_folder():
    fails(*train_seg("nowhere"), naming="nowhere")
    assert not Path("out").exists()


def test_empty_data_folder():
    Path("empty").mkdir()
    fails(*train_attr("empty"), naming=["empty", "is empty"])


def test_unrecognised_layout(photo):
    Path("photos").mkdir()
    shutil.copy(photo, "photos")
    fails(*train_seg("photos"), naming=["photos", "no data set recognised", "CelebA", "Helen"])


def test_data_without_what_is_needed(faces):
    fails(*train_attr(faces / "helen"), naming=["helen", "attributes"])
    fails(*train_seg(faces / "celeba"), naming=["celeba", "label maps"])


@pytest.mark.parametrize("length", [0, 700])
def test_truncated_and_empty_image_of_a_data_set(my_faces, length):
    for folder, train in (("celeba/Img/img_align_celeba", train_attr), ("helen/images", train_seg)):
        image = my_faces / folder / "000005.jpg"
        image.write_bytes(image.read_bytes()[:length])
        fails(*train(my_faces, "--batch-size", 12, "--out", folder), naming=image)


def test_label_map_of_another_size(my_faces):
    label = my_faces / "helen/labels/000003/000003_lbl00.png"
    Image.new("L", (100, 90)).save(label)
    fails(*train_seg(my_faces, "--batch-size", 12), naming=[label, "100x90", "178x218"])


def test_attribute_file_with_39_columns(my_faces):
    file = my_faces / "celeba/Anno/list_attr_celeba.txt"
    lines = file.read_text().splitlines()
    lines[6] = lines[6].rsplit(maxsplit=1)[0]
    file.write_text("\n".join(lines))
    fails(*train_attr(my_faces), naming=[file, "line 7", "39"])


def test_attribute_name_with_no_image(my_faces):
    (my_faces / "celeba/Img/img_align_celeba/000009.jpg").unlink()
    fails(*train_attr(my_faces), naming=["list_attr_celeba.txt", "000009.jpg"])


def test_split_that_is_not_there(trained, tmp_path):
    draw_dataset(tmp_path / "train only", train=2, val=0, test=0)
    fails("evaluate", trained / "seg", "--data", tmp_path / "train only", "--split", "test", naming="test")
    fails("evaluate", trained / "seg", "--data", tmp_path / "train only", naming="split")


def test_joint_training_without_labels_or_attributes(faces, trained):
    joint = ("train-joint", *QUICK, "--out", "out")
    fails(*joint, "--data", faces / "celeba", naming=[faces / "celeba", "label maps"])
    fails(*joint, "--data", faces / "helen", naming=[faces / "helen", "attributes", "--attr-data"])
    fails(*joint, "--data", faces, "--attr-data", "nowhere", naming="nowhere")
    fails(
        *joint,
        "--data",
        faces,
        "--compare",
        trained / "attr/ssp",
        naming=["AttributeNet", "segmentation network"],
    )
    assert not Path("out").exists()


def test_fine_tuning_needs_a_trained_run(faces, trained):
    fails("train-attr", "--from", trained / "attr", naming=["--from", "--balanced"], code=2)
    balanced = ("train-attr", "--balanced", "--out", "out")
    fails(*balanced, "--seg-weights", trained / "seg", naming="--seg-weights", code=2)
    fails(*balanced, "--init", "parser", naming="--init", code=2)
    fails(*balanced, "--ssp", naming=["--from", "train one first"])
    fails(*balanced, "--from", trained / "attr", naming=["--from", "avg"])
    fails(*balanced, "--from", trained / "seg", naming=["--from", trained / "seg"])
    fails(*balanced, "--ssp", "--from", trained / "attr", "--preset", "small", naming="--preset small")
    assert not Path("out").exists()


def test_few_labels_and_pretrained_networks(faces, trained):
    """From pre-training to networks that begin with it; slips beside it."""
    quick = (*QUICK, "--data", faces)
    segmentation_net = next(trained.rglob("parser.h5"))
    assert run("pretrain-sspl", *quick, "--seg-weights", segmentation_net, "--out", "pre").exit_code == 0
    measured = run("evaluate", "pre", "--data", faces)
    assert measured.exit_code == 0 and "angle accuracy" in measured.stdout
    fails("evaluate", "pre", "pre", naming="measured by itself", code=2)
    learned = run(
        "train-attr", *quick, "--init", "sspl", "--sspl-weights", "pre", "--labels", 0.5, "--out", "few"
    )
    assert learned.exit_code == 0 and " training faces" in learned.stdout
    for share in (0, 1.5, "nan", -1):
        fails("train-attr", "--labels", share, naming="--labels", code=2)
    fails("train-attr", *quick, "--labels", 0.001, naming="--labels 0.001: is less than one of")
    fails("train-attr", "--sspl-weights", "pre", naming=["--sspl-weights", "--init sspl"], code=2)
    fails("train-attr", "--backbone", "resnet18", "--ssp", naming=["--backbone resnet18", "--ssp"], code=2)
    fails("train-attr", "--backbone", "resnet18", "--init", "parser", naming="--init parser", code=2)
    fails("train-attr", "--balanced", "--labels", 0.5, naming=["--labels", "--balanced"], code=2)
    fails("predict", next(faces.rglob("*.jpg")), "--weights", "pre", naming="holds a pre-trained network")


def test_one_bad_photo_among_several(trained, photo):
    data = photo.read_bytes()
    Path("cut.jpg").write_bytes(data[: len(data) // 2])
    Path("empty.jpg").touch()
    result = run(
        "predict", "cut.jpg", photo, "empty.jpg", "missing.jpg", "--weights", trained / "attr", "--json"
    )
    assert result.exit_code == 1
    for line, name in zip(result.stderr.splitlines(), ("cut.jpg", "empty.jpg", "missing.jpg"), strict=True):
        assert line.startswith("error: ") and name in line
    assert [record["image"] for record in json.loads(result.stdout)] == [str(photo)]


# ---------------------------------------------------------------- wrong weights


def poison(path):
    """Make one weight of a checkpoint NaN."""
    with h5py.File(path, "r+") as file:
        file["network/encoder.conv21.conv.weight"][0, 0, 0, 0] = np.nan


def spoiled(path, how):
    """Write something to `path` that is no checkpoint."""
    if how == "truncated":
        path.write_bytes(path.read_bytes()[:3000])
    elif how == "empty":
        path.write_bytes(b"")
    elif how == "text":
        path.write_text("no HDF5")
    elif how == "other HDF5":
        with h5py.File(path, "w") as file:
            file["images"] = np.zeros(3)
    elif how == "NaN":
        poison(path)
    else:
        path.unlink()
    return path


@pytest.mark.parametrize("how", ["truncated", "empty", "text", "other HDF5", "NaN", "missing"])
def test_bad_checkpoint(my_run, faces, photo, how):
    bad = spoiled(my_run / "best.h5", how)
    fails("predict", photo, "--weights", bad, naming=bad)
    fails("evaluate", bad, "--data", faces, naming=bad)
    fails("summary", bad, naming=bad)
    fails(*train_attr(faces, "--ssp", "--seg-weights", bad), naming=bad)
    assert not Path("out").exists()


@pytest.mark.parametrize("how", ["truncated", "empty", "text", "other HDF5", "NaN"])
def test_resume_from_a_bad_checkpoint(my_run, faces, how):
    bad = spoiled(my_run / "last.h5", how)
    before = contents(my_run)
    fails("train-seg", "--data", faces, "--out", my_run, "--resume", naming=bad)
    assert contents(my_run) == before


def test_resume_from_a_file_that_training_cannot_go_on_from(my_run, faces):
    shutil.copy(my_run / "best.h5", my_run / "last.h5")
    fails("train-seg", "--data", faces, "--out", my_run, "--resume", naming=my_run / "last.h5")


def test_resume_where_nothing_is():
    fails("train-seg", "--resume", naming="--resume")
    fails("train-seg", "--resume", "--out", "nowhere", naming=["--resume", "nowhere"])


def test_a_folder_that_holds_no_run_or_another_kind_of_run(trained, faces, tmp_path):
    mine = shutil.copytree(trained, tmp_path / "mine")
    before = contents(mine)
    seg, attr = ("train-seg", "--data", faces, *QUICK), ("train-attr", "--ssp", "--data", faces, *QUICK)
    for more in ((), ("--resume",)):
        fails(*seg, "--out", mine / "attr", *more, naming=[mine / "attr", "train-attr"])
        fails(*attr, "--out", mine / "seg", *more, naming=[mine / "seg", "train-seg"])
    assert contents(mine) == before
    for command in (seg, attr):
        fails(*command, "--out", faces, "--resume", naming=["--resume", faces])
    assert {path.name for path in faces.iterdir()} == {"celeba", "helen"}


def test_the_folder_of_a_run_stands_for_its_segmentation_net(trained, faces):
    result = run(
        "train-attr", "--ssp", "--data", faces, *QUICK, "--seg-weights", trained / "seg", "--out", "out"
    )
    assert result.exit_code == 0, result.output
    assert Path("out/parser.h5").read_bytes() == (trained / "seg/best.h5").read_bytes()
    again = "train-attr", "--ssp", "--out", "out", "--resume", "--seg-weights"
    assert run(*again, trained / "attr").exit_code == 0
    fails(*again, "nowhere.h5", naming=["--seg-weights nowhere.h5", "another segmentation network"])
    result = run("evaluate", "out/ssp", "--data", faces, "--seg-weights", trained / "attr")
    assert result.exit_code == 0, result.output
    fails("evaluate", "out/ssp", "--data", faces, "--seg-weights", faces, naming=[faces, "is a folder"])


def test_summary_of_a_run(trained):
    result = run("summary", trained / "attr")
    assert result.exit_code == 0 and result.stdout.count("total") == 3
    fails("summary", "nowhere", naming="nowhere")


def test_attribute_network_as_segmentation_net(trained, faces, photo):
    ssp, ssg = trained / "attr/ssp/best.h5", trained / "attr/ssg/best.h5"
    fails(*train_attr(faces, "--ssp", "--seg-weights", ssp), naming=[ssp, "segmentation network"])
    fails("evaluate", ssg, "--data", faces, "--seg-weights", ssp, naming=[ssp, "segmentation network"])
    shutil.copy(ssp, "alone.h5")
    fails("predict", photo, "--weights", "alone.h5", naming="segmentation network")


def test_resume_of_another_network(trained, faces, tmp_path):
    mine = shutil.copytree(trained / "attr", tmp_path / "mine")
    shutil.copy(mine / "ssp/last.h5", mine / "ssg/last.h5")
    before = contents(mine)
    fails("train-seg", "--data", faces, "--out", mine / "ssp", "--resume", naming=mine / "ssp/last.h5")
    both = "train-attr", "--ssp", "--ssg", "--data", faces, "--out", mine
    fails(*both, "--resume", naming=mine / "ssg/last.h5")
    assert contents(mine) == before


def test_resume_with_another_preset(my_run, faces):
    before = contents(my_run)
    resume = "train-seg", "--data", faces, "--out", my_run, "--resume"
    fails(*resume, "--preset", "small", naming=["--preset small", "tiny"])
    fails(*resume, "--lr", "0.5", naming="--lr 0.5")
    assert contents(my_run) == before


def test_no_weights_yet(photo, monkeypatch):
    monkeypatch.setattr("tinyface.faces.predict.DEFAULT_WEIGHTS", Path("weights"))
    fails("predict", photo, naming=["weights", "train"])


# ---------------------------------------------------------------- no place to write


@pytest.mark.parametrize("place", ["file", "file/below", "/proc/below"])
def test_output_folder_that_cannot_be_written(place, faces, trained, photo):
    """A file stands where the folder should be, or the system refuses; permissions would not stop root."""
    Path("file").write_text("mine")
    fails("train-seg", "--data", faces, *QUICK, "--out", place, naming=["--out", place])
    fails("train-attr", "--data", faces, *QUICK, "--out", place, naming=["--out", place])
    fails("predict", photo, "--weights", trained / "attr", "--out", place, naming=["--out", place])
    fails("draw-faces", "--train", 1, "--out", f"{place}/toys", naming=["--out", place])
    assert Path("file").read_text() == "mine"


def test_full_disk_leaves_the_earlier_checkpoint(faces, monkeypatch):
    last, earlier = Path("out/last.h5"), []
    fsync = os.fsync

    def full(descriptor):
        if last.exists() and list(last.parent.glob(".last.h5.*.tmp")):  # any but the first
            earlier.append(last.read_bytes())
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        fsync(descriptor)

    with monkeypatch.context() as patch:
        patch.setattr("os.fsync", full)
        fails(*train_seg(faces, "--save-every", "1"), naming=[last, "No space left on device"])
    assert last.read_bytes() == earlier[0]
    assert not [path for path in Path("out").iterdir() if path.name.endswith(".tmp")]
    result = run("train-seg", "--out", "out", "--resume")
    assert result.exit_code == 0, result.output
    assert checkpoint.load(last).training["step"] == 2


def test_a_run_is_not_started_over(my_run, trained, faces):
    before = contents(my_run)
    fails("train-seg", "--data", faces, *QUICK, "--out", my_run, naming=[my_run, "--resume"])
    assert contents(my_run) == before
    before = contents(trained / "attr")
    fails("train-attr", "--ssg", "--data", faces, *QUICK, "--out", trained / "attr", naming="--resume")
    assert contents(trained / "attr") == before


# ---------------------------------------------------------------- a training that ends early


@pytest.mark.filterwarnings("error::RuntimeWarning")  # NumPy's, which would be further lines on stderr
def test_loss_that_is_no_number(faces):
    line = fails(*train_seg(faces, "--lr", "1e30", "--steps", "9", "--save-every", "1"), naming="--lr")
    assert "at step " in line or "by step " in line
    last = checkpoint.load("out/last.h5")  # finite, else it would not load
    assert f"{Path('out/last.h5')} (step {last.training['step']})" in line


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_interrupted_training_says_how_to_go_on(monkeypatch, number):
    def interrupted(*args):
        raise Interrupted("stopped after step 7, saved in x; resume with --resume", number)

    monkeypatch.setattr("tinyface.faces.commands.segmentation.train_segmentation", interrupted)
    result = run("train-seg")
    assert result.exit_code == 128 + number
    assert result.stderr == "stopped after step 7, saved in x; resume with --resume\n"


def test_ctrl_c_elsewhere_is_quiet(monkeypatch):
    def interrupted(*args):
        raise KeyboardInterrupt

    monkeypatch.setattr("tinyface.faces.commands.evaluate.evaluate", interrupted)
    result = run("evaluate", "x.h5")
    assert result.exit_code == 130 and not result.output.strip()


def test_a_bug_keeps_its_traceback(monkeypatch):
    def bug(*args):
        raise ZeroDivisionError("a bug")

    monkeypatch.setattr("tinyface.faces.commands.evaluate.evaluate", bug)
    with pytest.raises(ZeroDivisionError):
        run("evaluate", "x.h5")


# ---------------------------------------------------------------- in a process of its own


def process(*arguments, **options):
    command = [sys.executable, str(ROOT / "cli.py"), *map(str, arguments)]
    return subprocess.run(command, text=True, stderr=subprocess.PIPE, **options)


def test_exit_code_and_line_of_the_real_command():
    done = process("evaluate", "nowhere.h5", stdout=subprocess.PIPE)
    assert done.returncode == 1 and not done.stdout
    assert done.stderr.count("\n") == 1 and done.stderr.startswith("error: nowhere.h5: ")


@pytest.mark.parametrize("program", [[str(ROOT / "cli.py")], ["-m", "tinyface"]])
def test_version(program):
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, *program, "--version"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    assert done.stdout == f"tinyface, version {tinyface.__version__}\n"


def test_a_predictor_that_has_seen_enough():
    reader, writer = os.pipe()
    os.close(reader)
    try:
        done = process("summary", "--preset", "tiny", stdout=writer)
    finally:
        os.close(writer)
    assert done.returncode == 1 and done.stderr == ""


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
@pytest.mark.parametrize("command", [("summary", "--preset", "tiny"), ("train-seg", "--help")])
def test_a_full_standard_output_is_one_line(command):
    with open("/dev/full", "w") as full:
        done = process(*command, stdout=full)
    assert done.returncode == 1 and done.stderr.startswith("error: standard output: No space left on device;")
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize("wild", [[], ["--wild"]])
def test_photos_that_are_cut_short_are_no_data_set(wild):
    resource = pytest.importorskip("resource")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1024, before[1]))
    try:
        fails(
            "draw-faces", "--train", "2", "--val", "1", "--test", "1", "--out", "cut", *wild, naming="cut: "
        )
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert not Path("cut").exists()


def test_more_faces_than_there_are_names_for():
    fails(
        "draw-faces", "--train", "1000000000000", naming="--train: 1000000000000 is not in the range", code=2
    )


@pytest.mark.slow
def test_a_segmentation_net_that_nobody_asks_is_refused(trained, faces):
    fails(
        "evaluate",
        trained / "seg",
        "--data",
        faces,
        "--seg-weights",
        "nowhere",
        naming="--seg-weights: none of",
    )


@pytest.mark.slow
def test_what_was_read_is_told_though_a_picture_cannot_be_written(trained, photo):
    long = Path("x" * 244 + ".jpg")  # a name may have 255 letters, its pictures' have more
    shutil.copy(photo, long)
    shutil.copy(photo, "short.jpg")
    result = run("predict", long, "short.jpg", "--weights", trained / "attr", "--json")
    assert result.exit_code == 1 and "cannot be written" in result.stderr
    assert [len(record["pictures"]) for record in json.loads(result.stdout)] == [0, 2]


@pytest.mark.slow
def test_a_checkpoint_of_another_version_is_told_apart(trained, faces, tmp_path):
    for spoil in (
        lambda training: training["options"].update(bogus=1),
        lambda training: training["options"].update(steps="many"),
        lambda training: training.pop("options"),
    ):
        folder = shutil.copytree(trained / "seg", tmp_path / "run", dirs_exist_ok=True)
        state = checkpoint.load(trained / "seg/last.h5")
        spoil(state.training)
        checkpoint.save(folder / "last.h5", state)
        fails("train-seg", "--resume", "--out", folder, naming="last.h5: was saved by another version")


def test_a_resumed_run_with_nothing_saved_says_so(faces):
    Path("empty").mkdir()
    result = run("train-seg", "--resume", "--out", "empty", "--data", faces, *QUICK)
    assert result.exit_code == 0 and "empty: nothing was saved there yet" in result.stdout


def test_reproduce_keeps_out_of_other_runs(faces):
    Path("other").mkdir()
    Path("other/last.h5").touch()
    arguments = "--preset", "tiny", "--data", faces, "--table", "2", "--out", "other"
    fails("reproduce", *arguments, naming="--out other: holds a run of train-seg")
