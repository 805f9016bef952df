"""Pictures, and the numbers behind the paper's figures.

visualize.py     overlays, sheets, attribute cards, curves
drawing.py       what all pictures are drawn with
charts.py        curves of several runs, bars of tables
figures.py       the paper's Figures 3 to 5
activations.py   how localized activations are; localization.py: whether SSP's weights are where an attribute is
sspl.py          turned tiles; wild.py: windows around faces
"""
