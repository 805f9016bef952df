"""What else there is to know about the engine's speed: one function for each option of cpu.py.

Each yields a dictionary per line of its table, in milliseconds, images per second, or as its keys say.
"""

import hashlib
import tempfile
import threading
import time
from pathlib import Path

import op_profile
from op_cases import op_cases
from pairs import FORMATS, NETWORKS, QUICK_SCALES, SCALES, Data, Ours, build, check_same
from peak_memory import step_memory
from stopwatch import alternate, fastest, nothing, reach, use_threads

from tinyface import backend
from tinyface.faces.data.layouts import open_dataset
from tinyface.faces.data.loader import GIB, TrainLoader
from tinyface.faces.data.toyfaces import draw_dataset

SCALING_BATCHES = 4, 8, 16, 32
AREA_BATCH = 8
BITS_THREADS = 1, 2, 3
BITS_STEPS = 5


def scales(given):
    return QUICK_SCALES if given.quick else SCALES


def times(sides, given):
    """The sides timed against each other for every number of threads."""
    result = []
    for threads in given.threads:
        use_threads(threads)
        seconds = alternate(sides, given.rounds)
        ours = min(seconds["ours"])
        memory_format, theirs = fastest({name: seconds[name] for name in FORMATS})
        result.append(
            {
                "threads": threads,
                "ours": 1000 * ours,
                "torch": 1000 * theirs,
                "format": memory_format,
                "ratio": ours / theirs,
                "rounds": {name: [1000 * s for s in rounds] for name, rounds in seconds.items()},
            }
        )
    return result


def time_network(name, given):
    """A training step or an inference of one network: kind/scale/network."""
    kind, scale, network = name.split("/")
    scale = scales(given)[scale]
    sides = build(kind, network, scale.width, scale.size, scale.batch(network))
    losses = check_same(name, kind, sides)
    timed = times({side: (nothing, getattr(it, kind)) for side, it in sides.items()}, given)
    row = {"name": name, "width": scale.width, "size": scale.size, "batch": scale.batch(network)}
    yield {**row, "losses": losses, "times": timed}


def time_op(name, given):
    """All passes of one operation: ops/…"""
    case = op_cases(scales(given)["paper"])[name.removeprefix("ops/")]()
    for which in case.passes:
        timed = times(case.sides(which), given)
        yield {"name": name, "what": case.what, "pass": which, "times": timed}


def scaling(name, given):
    """Training time per image as the batch grows, and as the image does: scaling/network."""
    network, scale = name.split("/")[1], scales(given)["small"]
    batches = [b // 2 for b in SCALING_BATCHES[:2]] if given.quick else SCALING_BATCHES
    double = tuple(2 * length for length in scale.size)
    points = [(batch, scale.size, 1) for batch in batches]
    points += [(AREA_BATCH, scale.size, 1), (AREA_BATCH, double, 4)]
    for index, (batch, size, area) in enumerate(points):
        sides = build("train", network, scale.width, size, batch)
        timed = times({side: (nothing, it.train) for side, it in sides.items()}, given)
        for row in timed:
            del row["rounds"]
            row["ours"], row["torch"] = row["ours"] / batch, row["torch"] / batch
        by = "batch" if index < len(batches) else "area"
        yield {"name": name, "by": by, "batch": batch, "size": size, "area": area, "times": timed}


def bits(name, given):
    """Whether weights and statistics after some steps depend on the number of threads: bits/network."""
    network, scale = name.split("/")[1], scales(given)["small"]
    hashes = {}
    for threads in BITS_THREADS:
        backend.set_threads(threads)
        backend.start_workers(wait=True)
        ours = Ours(network, scale.width, Data(scale.batch(network), scale.size))
        ours.prepare("train")
        for _ in range(BITS_STEPS):
            ours.train()
        digest = hashlib.sha256()
        for array in ours.network.state_dict().values():
            digest.update(array.tobytes())
        hashes[str(threads)] = digest.hexdigest()
    yield {"name": name, "steps": BITS_STEPS, "hashes": hashes, "same": len(set(hashes.values())) == 1}


def memory(name, given):
    """Peak memory of a training step, each side in a process of its own: memory/scale/network."""
    case, threads = name.replace("memory", "train", 1), max(given.threads)
    peaks = {side: step_memory(case, side, threads, given.quick) for side in ("ours", *FORMATS)}
    memory_format = min(FORMATS, key=peaks.get)
    row = {"name": name, "threads": threads, "ours": peaks["ours"], "torch": peaks[memory_format]}
    yield {**row, "format": memory_format, "ratio": peaks["ours"] / max(peaks[memory_format], 1)}


def loader(name, given):
    """How fast batches are made and how fast the small networks eat them: loader/attributes, loader/labels."""
    targets, scale = name.split("/")[1], scales(given)["small"]
    eaters = ("segmentation",) if targets == "labels" else NETWORKS[:3]
    batches = 2 if given.quick else 8
    batch = scale.batch(eaters[0])
    with tempfile.TemporaryDirectory() as folder:
        faces = Path(folder) / "faces"
        draw_dataset(faces, train=batches * batch, val=0, test=0)
        dataset = open_dataset(faces, "train", targets)
        rates = {
            cache: _loader_rate(dataset, targets, batch, scale.size, limit, batches, given.rounds)
            for cache, limit in (("off", 0), ("on", GIB))
        }
        eaten = [row for network in eaters for row in _eaten(network, scale, given, dataset, targets)]
    yield {"name": name, "size": scale.size, "batch": batch, "made": rates, "eaten": eaten}


def _loader_rate(dataset, targets, batch, size, cache_bytes, batches, rounds):
    """Images per second of one worker. With ahead=0 it begins a batch only when asked: none is ready before."""
    with TrainLoader(dataset, targets, batch, size, seed=0, ahead=0, cache_bytes=cache_bytes) as images:

        def epoch(_):
            for _ in range(batches):
                next(images)

        return batches * batch / min(alternate({"loader": (nothing, epoch)}, rounds)["loader"])


def _eaten(network, scale, given, dataset, targets):
    """Images per second that training takes away, alone; and what one worker makes, decoding, while it trains."""
    batch = scale.batch(network)
    ours = Ours(network, scale.width, Data(batch, scale.size))
    for threads in given.threads:
        use_threads(threads)
        best = min(alternate({"ours": (nothing, ours.train)}, given.rounds)["ours"])
        with TrainLoader(dataset, targets, batch, scale.size, seed=0, ahead=1, cache_bytes=0) as images:
            steps = 2 if given.quick else 8
            made, seconds = _beside(images, ours, steps)
        yield {
            "network": network,
            "threads": threads,
            "images_per_second": batch / best,
            "beside": steps * batch / seconds,
            "made_beside": made * batch / seconds,
        }


def _beside(images, ours, steps):
    """(batches, seconds): how many batches somebody could take from the loader while so many steps ran."""
    done, made = threading.Event(), 0

    def take():
        nonlocal made
        while not done.is_set():
            next(images)
            made += 1

    taker = threading.Thread(target=take)
    taker.start()
    begin = time.perf_counter()
    for _ in range(steps):
        ours.train()
    seconds = time.perf_counter() - begin
    finished = made
    done.set()
    taker.join()
    return finished, seconds


def profile(name, given):
    """Time per operation of kind/scale/network, beside what products and copies reach on this machine."""
    kind, scale, network = name.split("/")
    scale = scales(given)[scale]
    ours = Ours(network, scale.width, Data(scale.batch(network), scale.size))
    ours.prepare(kind)
    size = 256 if given.quick else 2048
    for threads in given.threads:
        gflops, gbytes = reach(threads, size)
        use_threads(threads)
        total, spent = op_profile.profile_step(ours, kind, given.rounds)
        rows = [
            {"op": op, "pass": which, "calls": s.calls, "ms": 1000 * s.seconds, "share": s.seconds / total}
            | _rates(s)
            for (op, which), s in sorted(spent.items(), key=lambda item: -item[1].seconds)
        ]
        yield {
            "name": name,
            "batch": scale.batch(network),
            "threads": threads,
            "ms": 1000 * total,
            "reach_size": size,
            "gflops_reach": gflops,
            "gbytes_reach": gbytes,
            "rows": rows,
        }


def _rates(spent):
    """GFLOP/s of what is made of products, GB/s of the rest."""
    if not spent.seconds:
        return {}
    if spent.flops:
        return {"gflops": spent.flops / spent.seconds / 1e9}
    return {"gbytes": spent.nbytes / spent.seconds / 1e9} if spent.nbytes else {}
