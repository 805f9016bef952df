"""The command line: each command reads its options, calls one function of tinyface.faces and prints.

base.py            the group of all commands: help in sections, errors in one line
shared_options.py  types of options, and the options that several commands have
training.py reproduce.py using.py inspecting.py   the commands

Modules that load much are imported inside the commands, so that --help answers at once.
"""

from .base import CONTEXT, cli
from .inspecting import gradcheck, summary
from .reproduce import reproduce
from .training import pretrain_sspl, train_anet, train_attr, train_joint, train_lnet, train_seg
from .using import draw_faces, evaluate, predict

__all__ = ["CONTEXT", "cli"]

TRAINING = train_seg, train_attr, train_joint, pretrain_sspl, train_lnet, train_anet, reproduce
for command in (*TRAINING, evaluate, predict, draw_faces, summary, gradcheck):  # in the order of --help
    cli.add_command(command)
