"""LNet and ANet put to use: faces anywhere in a photo, and their attributes (Liu et al., ICCV 2015)."""
