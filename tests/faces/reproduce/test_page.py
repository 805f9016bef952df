import pytest
from PIL import Image

from tinyface.faces.reproduce import claims as claims_of
from tinyface.faces.reproduce import page, tables
from tinyface.faces.reproduce.statistics import Summary


@pytest.fixture
def text():
    table = tables.Table(
        "table2",
        "Table <2>",
        ("network", "error", "error, paper"),
        [["a & b", Summary(8.333, 0.05, 3), 9.1]],
        ("Note.",),
    )
    claims = claims_of.claims({}, {}, [], [])
    picture = ("Figure", 'A "caption"', Image.new("RGB", (30, 20), "red"))
    return page.render("Title", ["How & why."], [table], claims, [picture])


def test_the_page_needs_nothing_else(text, check_self_contained):
    [picture] = check_self_contained(text)
    assert picture.getpixel((5, 5)) == (255, 0, 0)


def test_what_is_written_is_escaped(text):
    assert "Table &lt;2&gt;" in text and "a &amp; b" in text and "How &amp; why." in text
    assert "8.33 ± 0.05" in text and '<td class="paper">9.10</td>' in text and "A &quot;caption&quot;" in text


def test_it_is_made_for_phones_and_dark_screens(text, read_html):
    metas = [attributes for tag, attributes in read_html(text) if tag == "meta"]
    assert {"name": "viewport", "content": "width=device-width, initial-scale=1"} in metas
    assert "prefers-color-scheme: dark" in text and "overflow-x: auto" in text


def test_every_claim_is_there_with_its_verdict(text):
    assert text.count('<span class="verdict open">not measured</span>') == 5


def test_a_page_without_claims_has_no_heading_for_them():
    assert "claims" not in page.render("Title", [], [], [], []).split("</style>")[1]
