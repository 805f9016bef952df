"""report.html: tables, claims and pictures in one file that needs nothing else, neither network nor script."""

import base64
import html
import io

from .claims import describe
from .statistics import NO, YES
from .tables import show

WIDE = 640  # pixels

STYLE = """
:root { color-scheme: light dark; --paper: #fff; --ink: #20242c; --soft: #667; --line: #e2e5ea; --mark: #0072b2;
  --shade: #f6f7f9; --yes: #00795a; --no: #b3470f; }
@media (prefers-color-scheme: dark) {
  :root { --paper: #14171c; --ink: #e4e7ec; --soft: #9aa2b1; --line: #2c323c; --mark: #6fb7e8; --shade: #1b1f26;
    --yes: #4cc7a0; --no: #f09a63; } }
* { box-sizing: border-box; }
body { margin: 0 auto; max-width: 62rem; padding: 2rem 1.2rem 4rem; background: var(--paper); color: var(--ink);
  font: 1rem/1.55 system-ui, -apple-system, "Segoe UI", Roboto, sans-serif; overflow-wrap: break-word; }
h1 { font-size: 1.7rem; line-height: 1.2; margin: 0 0 .4rem; }
h2 { font-size: 1.2rem; line-height: 1.3; margin: 2.6rem 0 .7rem; }
p { max-width: 44rem; margin: .5rem 0; }
.soft, figcaption, .notes { color: var(--soft); font-size: .9rem; }
.wide { overflow-x: auto; margin: .6rem 0; }
table { border-collapse: collapse; font-size: .92rem; font-variant-numeric: tabular-nums; min-width: 100%; }
th, td { padding: .45rem .7rem; text-align: right; border-bottom: 1px solid var(--line); white-space: nowrap; }
th:first-child, td:first-child { text-align: left; padding-left: 0; position: sticky; left: 0;
  background: var(--paper); }
td:first-child { white-space: normal; min-width: 6rem; }
thead th { color: var(--soft); font-weight: 600; vertical-align: bottom; white-space: normal; }
td.paper { color: var(--soft); }
tr:last-child td { border-bottom: 0; }
ol.claims { padding-left: 1.3rem; max-width: 48rem; }
ol.claims li { margin: .8rem 0; }
.verdict { font-weight: 650; white-space: nowrap; }
.yes { color: var(--yes); } .no { color: var(--no); }
figure { margin: 1rem 0; }
figure div { overflow-x: auto; }
img { display: block; max-width: 100%; height: auto; background: #fff; border: 1px solid var(--line);
  border-radius: 6px; }
@media (prefers-color-scheme: dark) { img { filter: brightness(.9); } }
a { color: var(--mark); }
@media (max-width: 40rem) { img.wide { max-width: none; width: 44rem; } }
@media print { body { max-width: none; } figure, table { break-inside: avoid; } }
"""


def render(title, summary, tables, claims, pictures):
    """The page as text.

    summary: sentences on how it was made. tables: Tables. claims: Claims, or none. pictures: list of
    (heading, caption, PIL image).
    """
    parts = [f"<h1>{escape(title)}</h1>", *(f'<p class="soft">{escape(line)}</p>' for line in summary)]
    if claims:
        parts.append(f"<h2>The paper’s claims</h2>\n{claim_list(claims)}")
    parts += [table_block(table) for table in tables]
    parts += [picture_block(*picture) for picture in pictures]
    body = "\n".join(parts)
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{escape(title)}</title>\n<style>{STYLE}</style>\n</head>\n<body>\n<main>\n{body}\n</main>\n"
        "</body>\n</html>\n"
    )


def table_block(table):
    """A heading, the table, which scrolls sideways on a narrow screen, and its notes."""
    heads = "".join(f'<th scope="col">{escape(name)}</th>' for name in table.columns)
    rows = "\n".join(f"<tr>{row_cells(row, table.columns)}</tr>" for row in table.rows)
    notes = "".join(f'<p class="notes">{escape(note)}</p>' for note in table.notes)
    return (
        f'<h2 id="{table.name}">{escape(table.title)}</h2>\n<div class="wide" tabindex="0"><table>\n'
        f"<thead><tr>{heads}</tr></thead>\n<tbody>\n{rows}\n</tbody></table></div>\n{notes}"
    )


def row_cells(row, columns):
    """The cells of a line; the paper's own numbers stand back."""
    marks = [' class="paper"' if "paper" in column else "" for column in columns]
    return "".join(f"<td{mark}>{escape(show(cell))}</td>" for mark, cell in zip(marks, row, strict=True))


def claim_list(claims):
    """A numbered list: the claim, the verdict, the numbers behind it."""
    items = []
    for claim in claims:
        kind = {YES: "yes", NO: "no"}.get(claim.verdict, "open")
        numbers = "; ".join(describe(part) for part in claim.parts)
        items.append(
            f'<li>{escape(claim.text)} <span class="verdict {kind}">{escape(claim.verdict)}</span><br>'
            f'<span class="soft">{escape(numbers)} (section {escape(claim.source)})</span></li>'
        )
    return '<ol class="claims">\n' + "\n".join(items) + "\n</ol>"


def picture_block(heading, caption, image):
    """A picture inside the page itself. On a phone a wide one scrolls sideways, else it could not be read."""
    wide = ' class="wide"' if image.width > WIDE else ""
    return (
        f"<h2>{escape(heading)}</h2>\n<figure><div>"
        f'<img{wide} src="{data_uri(image)}" width="{image.width}" height="{image.height}" alt="{escape(heading)}">'
        f"</div><figcaption>{escape(caption)}</figcaption></figure>"
    )


def data_uri(image):
    """A PIL image as PNG in a data: address."""
    content = io.BytesIO()
    image.save(content, "PNG", optimize=True)
    return f"data:image/png;base64,{base64.b64encode(content.getvalue()).decode()}"


def escape(text):
    return html.escape(str(text), quote=True)
