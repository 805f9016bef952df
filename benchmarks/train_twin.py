"""Train a PyTorch twin on the same batches from the same first weights as a tinyface run, and compare the two.

    python benchmarks/train_twin.py RUN_FOLDER --data PATH [--threads 2] [--out twin.json] [--average-with other.npy]

RUN_FOLDER is what train-seg made, or a network's folder (avg, ssp, …) inside what train-attr made. All
options come from its last.h5. Prints the measures of both on the validation split.
"""

import argparse
import json
import time
from pathlib import Path

import numpy as np
import torch
from torch_networks import TorchAttributeNet, TorchSegmentationNet, copy_weights, segmentation_loss

from tinyface import backend, checkpoint, optim, training
from tinyface.faces import models, tasks
from tinyface.faces.commands import finetune
from tinyface.faces.data.layouts import open_dataset
from tinyface.faces.data.loader import TrainLoader, batches_in_order
from tinyface.faces.metrics import ConfusionMatrix, attribute_metrics
from tinyface.faces.models.attributes import HEADS_NEEDED
from tinyface.faces.predict import SEGMENTATION_FILE


def main():
    arguments = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    arguments.add_argument("run", type=Path)
    arguments.add_argument("--data", required=True)
    arguments.add_argument("--threads", type=int, default=2)
    arguments.add_argument(
        "--out", type=Path, help="the measures as JSON; probabilities go beside them as .npy"
    )
    arguments.add_argument(
        "--average-with", type=Path, metavar="TWIN.npy", help="also measure the average with another twin"
    )
    given = arguments.parse_args()
    torch.set_num_threads(given.threads)

    saved = checkpoint.load(given.run / training.LAST)
    options, config = saved.training["options"], saved.network.config
    if isinstance(saved.network, models.JointNet) or (given.run / finetune.START).exists():
        raise SystemExit("only runs of train-seg and of train-attr without --balanced have a twin")
    backend.seed(options["seed"])
    network = type(saved.network)(**config)  # the same seed, so the same first weights as the run's
    if isinstance(network, models.SegmentationNet):
        twin, segmentation_net, need = TorchSegmentationNet(config["width"]), None, "labels"
    else:
        twin, need = TorchAttributeNet(config["width"], config["mode"]), "attributes"
        segmentation_net = None
        if HEADS_NEEDED[config["mode"]]:
            frozen = checkpoint.load_network(given.run.parent / SEGMENTATION_FILE)
            segmentation_net = TorchSegmentationNet(frozen.config["width"]).eval()
            copy_weights(segmentation_net, frozen)
    copy_weights(twin, network)
    if options["optimizer"] != "adagrad" or config.get("mode") == "bbox":
        raise SystemExit("only runs with AdaGrad, of networks other than bbox, have a twin")
    optimizer = torch.optim.Adagrad(twin.parameters(), lr=options["lr"], weight_decay=options["weight_decay"])
    schedule = optim.schedule(options["schedule"], options["steps"], options["warmup"])

    def heads_of(images):
        if segmentation_net is None:
            return None
        with torch.no_grad():
            return segmentation_net(images, heads=HEADS_NEEDED[config["mode"]])

    def loss_of(batch):
        images = torch.from_numpy(batch.images).contiguous(memory_format=torch.channels_last)
        targets = torch.from_numpy(batch.targets)
        if need == "labels":
            return segmentation_loss(twin(images), targets.long())
        return torch.nn.functional.binary_cross_entropy_with_logits(twin(images, heads_of(images)), targets)

    dataset, val = open_dataset(given.data, "train", need), open_dataset(given.data, "val", need)
    size = tuple(config["size"])
    started = time.perf_counter()
    with TrainLoader(dataset, need, options["batch_size"], size, options["seed"]) as loader:
        for step in range(options["steps"]):
            optimizer.param_groups[0]["lr"] = options["lr"] * schedule(step)
            loss = loss_of(next(loader))
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            if step % 50 == 0:
                print(
                    f"step {step}  loss {loss.item():.4f}  {time.perf_counter() - started:.0f} s", flush=True
                )
    seconds = time.perf_counter() - started

    twin.eval()
    confusion, probabilities, targets = ConfusionMatrix(models.segmentation.REGIONS), [], []
    with torch.no_grad():
        for batch in batches_in_order(val, need, 64, size):
            images = torch.from_numpy(batch.images)
            if need == "labels":
                confusion.update(twin(images)[-1].argmax(1).numpy(), batch.targets)
            else:
                probabilities.append(torch.sigmoid(twin(images, heads_of(images))).numpy())
                targets.append(batch.targets)
    if need == "labels":
        ours = tasks.SegmentationTask(saved.network)
        theirs = ours.summarise(confusion)
    else:
        frozen = checkpoint.load_network(given.run.parent / SEGMENTATION_FILE) if segmentation_net else None
        ours = tasks.AttributeTask(saved.network, frozen)
        probabilities, targets = np.concatenate(probabilities), np.concatenate(targets)
        theirs = ours.summarise(attribute_metrics(probabilities, targets))
        if given.out:
            np.save(given.out.with_suffix(".npy"), probabilities)
        if given.average_with:
            average = (probabilities + np.load(given.average_with)) / 2
            averaged = ours.summarise(attribute_metrics(average, targets))
    mine = ours.summarise(tasks.validation(ours, val, 64, size))
    result = {"run": str(given.run), "tinyface": mine, "twin": theirs, "twin_seconds": round(seconds)}
    if given.average_with:
        result["average_of_twins"] = averaged
    print(json.dumps(result, indent=1))
    if given.out:
        given.out.write_text(json.dumps(result, indent=1))


if __name__ == "__main__":
    main()
