import base64
import io
import re
import shutil
from html.parser import HTMLParser

import h5py
import numpy as np
import pytest
from PIL import Image

from tinyface.faces.data.dataset import ATTRIBUTES
from tinyface.faces.data.toyfaces import draw_dataset
from tinyface.faces.reproduce import Job

QUICK = {"steps": 3, "batch_size": 4, "save_every": 1, "workers": 0}


@pytest.fixture(scope="session")
def faces(tmp_path_factory):
    """A few toy faces, of which some are for testing; not to be changed."""
    path = tmp_path_factory.mktemp("data") / "faces"
    draw_dataset(path, train=12, val=4, test=6, seed=1)
    return path


@pytest.fixture(scope="session")
def lfwa(faces, tmp_path_factory):
    """The same faces as MATLAB files like LFWA's: 8 to train on, 5 to test on, none to validate."""
    root, photos = tmp_path_factory.mktemp("lfwa"), sorted((faces / "celeba").rglob("*.jpg"))[:13]
    labels = np.random.default_rng(0).integers(0, 2, (len(photos), len(ATTRIBUTES)))
    with h5py.File(root / "lfw_att_40.mat", "w") as file:
        names = [f"Ann\\{photo.name}" for photo in photos]
        for name, texts in (("AttrName", ATTRIBUTES), ("name", names)):
            cells = file.create_dataset(name, (1, len(texts)), dtype=h5py.ref_dtype)
            for k, text in enumerate(texts):
                letters = np.array([[ord(c)] for c in text], np.uint16)
                cells[0, k] = file.create_dataset(f"#refs#/{name}{k}", data=letters).ref
        file["label"] = labels.T.astype(float)
    with h5py.File(root / "indices_train_test.mat", "w") as file:
        file["indices_img_train"] = np.arange(1.0, 9.0)[None]
        file["indices_img_test"] = np.arange(9.0, 14.0)[None]
    (root / "lfw/Ann").mkdir(parents=True)
    for photo in photos:
        shutil.copy(photo, root / "lfw/Ann")
    return root


@pytest.fixture
def make_job(faces, tmp_path):
    """make_job(out="out", seeds=1, …): a Job of a few steps on the toy faces."""

    def make(out="out", preset="tiny", data=faces, options=(), **settings):
        return Job(tmp_path / out, preset, data and str(data), options={**QUICK, **dict(options)}, **settings)

    return make


@pytest.fixture
def silent():
    return lambda line="", **rest: None


class Reader(HTMLParser):
    """Tags and their attributes; the tags that are still open."""

    EMPTY = {"meta", "img", "br"}

    def __init__(self):
        super().__init__()
        self.tags, self.open = [], []

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag not in self.EMPTY:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag, f"</{tag}> closes something else"


def read(text):
    reader = Reader()
    reader.feed(text)
    assert not reader.open
    return reader.tags


def whole_page(text):
    """Nothing is loaded from anywhere, and every picture is whole. Returns the pictures."""
    found = []
    for tag, attributes in read(text):
        assert tag not in ("script", "link", "iframe", "object", "embed", "base"), tag
        assert not any(name.startswith("on") for name in attributes)
        source = attributes.get("src")
        if source is not None:
            kind, _, content = source.partition(",")
            assert kind == "data:image/png;base64"
            content = base64.b64decode(content, validate=True)
            assert content.endswith(b"IEND\xaeB`\x82")  # Pillow would not miss the end
            picture = Image.open(io.BytesIO(content))
            picture.load()
            assert picture.size == (int(attributes["width"]), int(attributes["height"]))
            assert attributes["alt"]
            found.append(picture)
        assert "srcset" not in attributes
        assert tag == "a" or not attributes.get("href")
    assert not re.search(r"url\(|@import", text)
    return found


@pytest.fixture
def read_html():
    """read_html(text): [(tag, {attribute: value})], once every tag is closed."""
    return read


@pytest.fixture
def check_self_contained():
    """check_self_contained(text): as `whole_page`."""
    return whole_page
