import base64
import io
import re
from html.parser import HTMLParser

import pytest
from PIL import Image

from tinyface.reproduce import claims as claims_of
from tinyface.reproduce import page, tables
from tinyface.reproduce.statistics import Summary


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


def check_self_contained(text):
    """Nothing is loaded from anywhere, and every picture is whole. Returns the pictures."""
    found = []
    for tag, attributes in read(text):
        assert tag not in ("script", "link", "iframe", "object", "embed", "base"), tag
        assert not any(name.startswith("on") for name in attributes)
        source = attributes.get("src")
        if source is not None:
            kind, _, content = source.partition(",")
            assert kind == "data:image/png;base64"
            picture = Image.open(io.BytesIO(base64.b64decode(content, validate=True)))
            picture.load()
            assert picture.size == (int(attributes["width"]), int(attributes["height"]))
            assert attributes["alt"]
            found.append(picture)
        assert "srcset" not in attributes
        assert tag == "a" or not attributes.get("href")
    assert not re.search(r"url\(|@import", text)
    return found


@pytest.fixture
def text():
    table = tables.Table(
        "table2",
        "Table <2>",
        ("network", "error", "error, paper"),
        [["a & b", Summary(8.333, 0.05, 3), 9.1]],
        ("Note.",),
    )
    claims = claims_of.claims({}, [], [])
    picture = ("Figure", 'A "caption"', Image.new("RGB", (30, 20), "red"))
    return page.render("Title", ["How & why."], [table], claims, [picture])


def test_the_page_needs_nothing_else(text):
    [picture] = check_self_contained(text)
    assert picture.getpixel((5, 5)) == (255, 0, 0)


def test_what_is_written_is_escaped(text):
    assert "Table &lt;2&gt;" in text and "a &amp; b" in text and "How &amp; why." in text
    assert "8.33 ± 0.05" in text and '<td class="paper">9.10</td>' in text and "A &quot;caption&quot;" in text


def test_it_is_made_for_phones_and_dark_screens(text):
    metas = [attributes for tag, attributes in read(text) if tag == "meta"]
    assert {"name": "viewport", "content": "width=device-width, initial-scale=1"} in metas
    assert "prefers-color-scheme: dark" in text and "overflow-x: auto" in text


def test_every_claim_is_there_with_its_verdict(text):
    assert text.count('<span class="verdict open">not measured</span>') == 5


def test_a_page_without_claims_has_no_heading_for_them():
    assert "claims" not in page.render("Title", [], [], [], []).split("</style>")[1]
