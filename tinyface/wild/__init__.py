"""LNet and ANet put to use: faces anywhere in a photo, and their attributes (Liu et al., ICCV 2015).

localize.py      where a face is, from LNet's response maps
interweave.py    ANet's features of overlapping patches at once
reader.py        LNet, ANet and support vector machines, together
predict.py       what they found, as text, JSON and picture
"""
