"""What the commands of cli.py do, and what they share.

segmentation.py  train-seg
attributes.py    train-attr; finetune.py: --balanced, few_labels.py: --labels
joint.py         train-joint
sspl.py          pretrain-sspl
lnet.py, anet.py train-lnet and train-anet; photos.py and stages.py: what both need
evaluate.py      evaluate, and the tables at the end of a training
predict.py       predict

options.py       the options of a training, resolved
sources.py       the data to learn from; trained.py: networks of earlier runs
feeds.py         batches, and faces to validate on
fit.py           the training of one network in one folder
folders.py       where a run goes, and what is in its folder
pictures.py      the pictures that a training leaves
"""
