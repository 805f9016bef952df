"""What is drawn beside the pictures of visualize.py, and the numbers that the paper's figures are judged by.

drawing.py       what all pictures are drawn with
charts.py        curves of several runs, bars of tables
figures.py       the paper's Figures 3 to 5
activations.py   how localized activations are; localization.py: whether SSP looks where an attribute is
sspl.py          turned tiles; wild.py: windows around faces
"""
