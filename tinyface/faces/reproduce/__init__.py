"""The tables and figures of Kalayeh et al. 2017 from one command: train, measure, compare, show.

job.py         what is asked for: data, preset, seeds, where everything goes
plan.py        which networks that takes, in which folders, and which of them are finished
training.py    by which function each of them is trained
measure.py     what a finished network is worth, kept in measures.json
localized.py   whether SSP's weights are where an attribute is, on toy faces
paper.py       the rows of the tables, with the paper's own numbers
statistics.py  mean and deviation over seeds; whether a difference is more than that
tables.py      the tables as text, Markdown, CSV
sspl.py        the table of few labels, with and without pre-training (Shu et al. 2021)
systems.py     the three papers' systems, and what they cost
claims.py      what the paper claims, and whether it came out here
pictures.py    the tables as pictures; Figures 3, 4 and 5
page.py        report.html
run.py         all of it in order
"""

from .job import Job
from .run import reproduce

__all__ = ["Job", "reproduce"]
