"""How much memory a training step takes, measured in a process of its own.

The peak of resident memory during three steps (the optimizer's state is made in the first), less what was
resident when network, batch and optimizer were built. As a program, it prints these bytes for one side.
"""

import json
import subprocess
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))  # a checkout measures itself
from pairs import QUICK_SCALES, SCALES, Data, Ours, Theirs
from stopwatch import use_threads

from tinyface import backend
from tinyface.errors import TinyfaceError

STEPS = 3
STATUS = Path("/proc/self/status")


def step_memory(name, side, threads, quick):
    """Bytes of one side ("ours", "contiguous", "channels_last"), measured in a new process.

    Raises TinyfaceError where the system doesn't tell, or the process fails.
    """
    if not STATUS.exists():
        raise TinyfaceError(f"--memory: reads {STATUS}, which only Linux has")
    order = {"name": name, "side": side, "threads": threads, "quick": quick}
    done = subprocess.run([sys.executable, __file__, json.dumps(order)], capture_output=True, text=True)
    if done.returncode:
        last = (done.stderr.strip().splitlines() or [f"exit code {done.returncode}"])[-1]
        raise TinyfaceError(f"--memory: {name} {side}: the process failed: {last}")
    return int(done.stdout)


def measure(name, side, threads, quick):
    """The same in this process, which should have done nothing before."""
    _, scale, network = name.split("/")
    scale = (QUICK_SCALES if quick else SCALES)[scale]
    use_threads(threads)
    data = Data(scale.batch(network), scale.size)
    if side == "ours":
        stepper = Ours(network, scale.width, data)
    else:
        stepper = Theirs(network, scale.width, data, side)
    stepper.prepare("train")
    forget_peak()
    before, all_before = resident("VmRSS"), backend.memory_in_use()
    for _ in range(STEPS):
        stepper.train()
    # Worker processes have memory of their own, and nothing of ours goes back to the system.
    return max(resident("VmHWM") - before, backend.memory_in_use() - all_before)


def resident(field):
    """VmRSS, what is resident now, or VmHWM, its peak, in bytes.

    Not getrusage: there a process inherits the peak of the one that started it.
    """
    lines = STATUS.read_text(encoding="ascii", errors="replace").splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(f"{field}:"))


def forget_peak():
    """Let VmHWM begin anew, so that a peak while importing doesn't count."""
    Path("/proc/self/clear_refs").write_text("5", encoding="ascii")


if __name__ == "__main__":
    print(measure(**json.loads(sys.argv[1])))
