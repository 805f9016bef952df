"""LNet and ANet in use: faces anywhere in a photo, and their attributes (Liu et al., ICCV 2015).

windows.py       the window of a response map that a face fills
localize.py      where a face is, from LNet's response maps
interweave.py    ANet's features of overlapping patches at once
predictor.py     LNet, ANet and support vector machines, together
predict.py       what they found, as text, JSON and picture
"""
