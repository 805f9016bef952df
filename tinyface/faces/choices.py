"""The names that options take, each list once, with what the help says of each. Light, since `--help` imports it.

Beside them: presets.py and tinyface.optim.SCHEDULES.
"""

from functools import partial

from tinyface import optim

DEVICES = ("cpu", "cuda")
OPTIMIZERS = {"adagrad": optim.AdaGrad, "sgd": partial(optim.SGD, momentum=0.9), "adam": optim.Adam}

# Data sets by name; how each is recognised stands in its module in data/.
DATASETS = CELEBA, CELEBAMASK_HQ, HELEN, HELEN_STAR, LAPA, LFWA = (
    "CelebA", "CelebAMask-HQ", "Helen", "HELEN*", "LaPa", "LFWA"
)  # fmt: skip
SPLITS = ("train", "val", "test")

# The modes of AttributeNet.
MODES = {
    "avg": "the basic network, which pools over the whole map",
    "ssp": "SSP, which pools the activations region by region",
    "ssg": "SSG, which gates the activations by the regions",
    "spp": "pools over a pyramid of 1x1 and 2x2 cells",
    "naive": "The basic network, with the regions as 7 more input channels",
    "bbox": "SSP on boxes around eyes, nose and mouth corners: the data set's landmarks, else those derived from the "
    "predicted regions",
    "concat": "SSP's features of all regions into one linear layer",
    "joint": "SSP and SSG in one network",
}
REGION_POOLINGS = ("mean", "sum")
RESNET = "resnet18"
BACKBONES = ("encoder", RESNET)
INITS = ("random", "parser", "sspl")
SYSTEMS = PARSING, LNET_ANET = ("parsing", "lnet-anet")

# What `reproduce` makes: tables and figures of Kalayeh et al. 2017, and tables with the other papers' systems.
TABLES = {"2": "attributes", "3": "attributes on LFWA", "4": "parsing with attributes"}
MORE_TABLES = {
    "sspl": "error against the fraction of labelled faces, with and without pre-training",
    "systems": "the three papers' systems, and what they cost",
}
FIGURES = {"3": "parsed faces", "4": "SSP's weights of the regions", "5": "activations"}
ROWS = {  # of Tables 2 and 3, by what --only calls them → the networks whose predictions are averaged
    "basic": ("avg",),
    "ssg": ("ssg",),
    "ssp": ("ssp",),
    "ssp+ssg": ("ssp", "ssg"),
    "naive": ("naive",),
    "spp": ("spp",),
    "bbox": ("bbox",),
    "concat": ("concat",),
    "joint": ("joint",),
}
