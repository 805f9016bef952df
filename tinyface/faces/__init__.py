"""Networks that predict 40 facial attributes, built on the framework: data, networks, training, command line.

data/ models/ tasks/ metrics.py   face data sets; networks; what a training minimises; what is measured
presets.py choices.py             sizes and trainings; the names that options take
provenance.py                     what networks were trained on
predict.py wild/                  attributes of portraits, and of faces anywhere in a photo
pictures/ summary.py              overlays, cards, charts; tables of layers
commands/ reproduce/ cli/         what the commands do; the papers' tables; the command line
"""
