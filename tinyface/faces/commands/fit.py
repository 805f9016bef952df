"""The training of one network in one folder, which all training commands share."""

import dataclasses

from tinyface import backend, optim, training
from tinyface.errors import TinyfaceError

from .. import provenance


def fit(task, options, folder, feed, notes, saved, log):
    """Train a task's network in a folder on the batches of a Feed, or resume from `saved`."""
    start_workers(options.device)
    network = task.network.to(options.device)
    notes = {**notes, "data": feed.name, "options": dataclasses.asdict(options)}
    if saved:
        notes = provenance.resumed(saved.notes, notes)
    optimizer = options.new_optimizer(network)
    schedule = optim.schedule(options.schedule, options.steps, options.warmup)
    start = 0
    if saved:
        if type(saved.network) is not type(network) or saved.network.config != network.config:
            raise TinyfaceError(
                f"{folder / training.LAST}: holds another network than the one to be trained; check --out"
            )
        network.load_state_dict(saved.network.state_dict())
        optimizer.load_state_dict(saved.optimizer)
        backend.set_random_state(saved.training["random"])
        start = saved.training["step"]
        log(f"{folder}: resuming after step {start} of {options.steps}")
    if start == options.steps and (folder / training.BEST).exists():
        return
    evaluate = feed.evaluator()
    if evaluate:
        validation = training.Validation(evaluate, options.val_every, folder, notes)
    else:
        if task.measure:  # else the task has no validation
            log(f"{feed.name}: no validation split, so the best network is the last one")
        validation = training.KeepLast(folder, notes)
    saver = training.Saver(options.save_every, folder, dataclasses.asdict(options), notes)
    images = options.batch_size * feed.per_step
    with feed.batches(start) as batches:
        trainer = training.Trainer(task, optimizer, schedule, batches, options.steps, options.log_every)
        trainer.step = start
        if saved:
            trainer.best, trainer.last_saved = saved.training["best"], (saver.path, start)
        trainer.callbacks = [
            training.Progress(folder.name, images),
            training.JsonLog(folder, images),
            validation,
            saver,
        ]
        with saver:
            if not saved:
                saver.save(trainer)
            trainer.run()


def start_workers(device):
    """Worker processes where the CPU computes; a GPU needs none."""
    if device == "cpu":
        backend.start_workers()
