"""What the compiler makes of the CUDA kernels: registers, shared memory and spills, for several GPUs.

    python benchmarks/gpu_kernels.py                       all kernels of tinyface
    python benchmarks/gpu_kernels.py --write docs/gpu.md   put the tables between the page's markers

Needs CuPy and NVRTC, but no GPU. A file's leading comment says how it is compiled, a line for each variant:

    // nvrtc: -Dreal=float
    // nvrtc: -arch>=80

Where the emulator gpu_on_cpu runs this program, a second table says what each operation launches and how many bytes
its threads load and store, beside the least that would do.
"""

import argparse
import contextlib
import re
import sys
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))  # a checkout measures itself
from bench_report import table

from tinyface import Tensor, backend, no_grad, ops, optim
from tinyface.errors import TinyfaceError
from tinyface.faces.models.encoder import ConvBlock
from tinyface.files import atomic_write
from tinyface.nn.module import Parameter

try:
    import gpu_on_cpu
except ImportError:  # the ordinary case
    gpu_on_cpu = None

PACKAGE = Path(__file__).resolve().parent.parent / "tinyface"
ARCHITECTURES = 70, 80, 90
BEGIN, END = "<!-- kernels -->", "<!-- /kernels -->"


def main():
    parser = argparse.ArgumentParser(
        prog="gpu_kernels.py", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("files", nargs="*", type=Path, help=".cu files (default: all of tinyface)")
    parser.add_argument("--write", type=Path, metavar="PATH", help=f"replace what {BEGIN} and {END} enclose")
    given = parser.parse_args()
    try:
        text = kernel_table(given.files or sorted(PACKAGE.rglob("*.cu")))
        if gpu_on_cpu and not given.files:
            text += "\n\n" + traffic_table()
        if given.write:
            write(given.write, text)
        else:
            print(text)
    except TinyfaceError as error:
        sys.exit(f"gpu_kernels.py: {error}")


def write(path, text):
    """Put the text between the markers of a page. Raises TinyfaceError where it has none."""
    try:
        page = path.read_text(encoding="utf-8")
    except OSError as error:
        raise TinyfaceError(f"{path}: cannot be read ({error.strerror})") from None
    before, begin, rest = page.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not (begin and end):
        raise TinyfaceError(f"{path}: has no {BEGIN} … {END}")
    atomic_write(path, f"{before}{BEGIN}\n{text}\n{END}{after}")


# ---------------------------------------------------------------- compiling


def kernel_table(files):
    """Markdown: a line for each kernel of each file. Raises TinyfaceError where one doesn't compile."""
    lines = []
    for file in files:
        found = {}  # kernel → type → architecture → what ptxas says
        for options, capable in variants(file.read_text(encoding="utf-8")):
            real = next((o.removeprefix("-Dreal=") for o in options if o.startswith("-Dreal=")), "float")
            for architecture in filter(capable, ARCHITECTURES):
                for kernel, sizes in compile_for(file, architecture, options).items():
                    found.setdefault(kernel, {}).setdefault(real, {})[architecture] = sizes
        for kernel in sorted(found):
            types = found[kernel]
            registers = [_each(types.get(real, {}), "registers") for real in ("float", "double")]
            sizes = [size for by_architecture in types.values() for size in by_architecture.values()]
            shared = [
                max(size["shared"] for size in types[real].values()) for real in sorted(types, reverse=True)
            ]
            shared = " / ".join(map(str, dict.fromkeys(shared)))  # float / double where they differ
            lines.append([file.stem, f"`{kernel}`", *registers, shared, max(s["spills"] for s in sizes)])
    names = " / ".join(f"sm_{architecture}" for architecture in ARCHITECTURES)
    head = ["file", "kernel", f"registers, float, {names}", "double", "shared, bytes", "spills, bytes"]
    return "\n".join(table(head, lines))


def _each(by_architecture, what):
    """ "32 / 40 / 40", "–" where a kernel is not for that GPU."""
    if not by_architecture:
        return "–"
    return " / ".join(str(by_architecture.get(a, {}).get(what, "–")) for a in ARCHITECTURES)


def variants(source):
    """[(compiler's options, function of an architecture)] of the `// nvrtc:` lines of a file."""
    comment = re.match(r"(?://[^\n]*\n|\s*\n)*", source)[0]
    found = []
    for line in re.findall(r"^//\s*nvrtc:(.*)$", comment, re.MULTILINE) or [""]:
        least = re.search(r"-arch>=(\d+)", line)
        options = [word for word in line.split() if not word.startswith("-arch")]
        found.append((options, lambda a, least=int(least[1]) if least else 0: a >= least))
    return found


def compile_for(file, architecture, options):
    """{kernel: {"registers", "shared", "spills"}} by ptxas; nothing where this NVRTC doesn't know the GPU."""
    try:
        from cupy_backends.cuda.libs import nvrtc
    except ImportError:
        raise TinyfaceError(
            "CuPy is not installed; install it with pip install '.[gpu]', which needs no GPU"
        ) from None
    if architecture not in nvrtc.getSupportedArchs():
        return {}
    options = (f"-arch=sm_{architecture}", "--std=c++17", "--ptxas-options=-v", f"-I{file.parent}", *options)
    program = nvrtc.createProgram(file.read_text(encoding="utf-8"), file.name, [], [])
    try:
        nvrtc.compileProgram(program, options)
        return by_kernel(nvrtc.getProgramLog(program))
    except nvrtc.NVRTCError:
        raise TinyfaceError(
            f"{file.name} does not compile:\n{nvrtc.getProgramLog(program).strip()}"
        ) from None
    finally:
        nvrtc.destroyProgram(program)


def by_kernel(log):
    """What `ptxas -v` says of each kernel."""
    numbers = {"registers": r"(\d+) registers", "shared": r"(\d+) bytes smem", "spills": r"(\d+) bytes spill"}
    found = {}
    for part in re.split(r"Compiling entry function '", log)[1:]:
        name, _, rest = part.partition("'")
        found[name] = {what: sum(map(int, re.findall(form, rest))) for what, form in numbers.items()}
    return found


# ---------------------------------------------------------------- bytes moved, only under the emulator


N, C, H, W, REGIONS = 4, 16, 55, 45, 7
MAPS, LABELS = (N, C, H, W), 40


def random(*shape):
    """float32 on the GPU."""
    return backend.to_device(np.random.default_rng(0).standard_normal(shape, np.float32), "cuda")


def positive(*shape):
    """The same, in (0, 1), as masks are."""
    return backend.to_device(np.random.default_rng(0).random(shape, np.float32), "cuda")


def ones(count):
    return backend.to_device(np.ones(count, np.float32), "cuda")


def calls():
    """{name: (function of tensors, inputs, how many of these get a gradient, what backward needs again)}.

    Needed again: indices of inputs; or a number of bytes, where one for each number is enough.
    """
    statistics = ones(C) - 1, ones(C)
    labels = backend.to_device(
        np.random.default_rng(0).integers(0, REGIONS, (N, H, W)).astype(np.uint8), "cuda"
    )
    answers = positive(N, LABELS).round()
    per_channel = [ones(C), random(C), random(C)]
    return {
        "conv2d 3×3": (
            lambda x, w: ops.conv2d(x, w, padding=1),
            [random(*MAPS), random(C, C, 3, 3)],
            2,
            (0, 1),
        ),
        "conv2d 1×1": (ops.conv2d, [random(*MAPS), random(C, C, 1, 1), random(C)], 3, (0, 1)),
        "conv_transpose2d 3×3": (
            lambda x, w: ops.conv_transpose2d(x, w, padding=1),
            [random(*MAPS), random(C, C, 3, 3)],
            2,
            (0, 1),
        ),
        "batch_norm": (
            lambda *a: ops.batch_norm(*a, *statistics, True),
            [random(*MAPS), *per_channel[:2]],
            3,
            (0,),
        ),
        "batch_norm_prelu": (
            lambda *a: ops.batch_norm_prelu(*a, *statistics, True),
            [random(*MAPS), *per_channel],
            4,
            (0, 1, 2, 3),
        ),
        "prelu": (ops.prelu, [random(*MAPS), random(C)], 2, (0, 1)),
        "relu": (ops.relu, [random(*MAPS)], 1, N * C * H * W),
        "dropout": (lambda x: ops.dropout(x, 0.5), [random(*MAPS)], 1, N * C * H * W),
        "max_pool2d": (lambda x: ops.max_pool2d(x, 2, ceil_mode=True), [random(*MAPS)], 1, N * C * 28 * 23),
        "avg_pool2d": (lambda x: ops.avg_pool2d(x, 2, ceil_mode=True), [random(*MAPS)], 1, ()),
        "global_avg_pool2d": (ops.global_avg_pool2d, [random(*MAPS)], 1, ()),
        "spatial_pyramid_pool": (lambda x: ops.spatial_pyramid_pool(x, (1, 2, 4)), [random(*MAPS)], 1, (0,)),
        "upsample_nearest": (lambda x: ops.upsample_nearest(x, (2 * H - 1, 2 * W)), [random(*MAPS)], 1, ()),
        "softmax": (lambda x: ops.softmax(x, axis=1), [random(N, REGIONS, H, W)], 1, (0,)),
        "region_gate": (ops.region_gate, [random(*MAPS), positive(N, REGIONS, H, W)], 1, (1,)),
        "region_pool": (ops.region_pool, [random(*MAPS), positive(N, REGIONS, H, W)], 1, (1,)),
        "linear": (ops.linear, [random(32, 256), random(LABELS, 256), random(LABELS)], 3, (0, 1)),
        "softmax_cross_entropy": (
            lambda x: ops.softmax_cross_entropy(x, labels),
            [random(N, REGIONS, H, W)],
            1,
            (0,),
        ),
        "sigmoid_cross_entropy": (
            lambda x: ops.sigmoid_cross_entropy(x, answers),
            [random(N, LABELS)],
            1,
            (0,),
        ),
    }


def traffic_table():
    """Markdown: launches and bytes of each operation. What has no kernel is left out."""
    lines = []
    for name, (function, inputs, gradients, again) in calls().items():
        with contextlib.suppress(TinyfaceError):
            lines += counted(name, function, inputs, gradients, again)
    with contextlib.suppress(TinyfaceError):
        lines += blocks()
    with contextlib.suppress(TinyfaceError):
        backend.set_tf32(True)
        lines += counted("conv2d 3×3, TF32", *calls()["conv2d 3×3"])
        lines += blocks(", TF32")
    backend.set_tf32(False)
    lines += optimizer_step()
    head = ["operation", "pass", "launches", "loaded, kB", "stored", "by cuBLAS", "least possible", "times"]
    text = (
        f"Maps are {N}×{C}×{H}×{W}, float32. Loaded and stored is what the threads ask for, before any cache; cuBLAS "
        "reads and writes each operand once. Least possible: each array that the formula needs once, each result once. "
        "Copies from the host are not in it."
    )
    return text + "\n\n" + "\n".join(table(head, lines))


def counted(name, function, inputs, gradients, again):
    """A line for each direction."""

    def new():
        if isinstance(function, ConvBlock):
            function.zero_grad()  # or else gradients are added up
        return [Tensor(array, requires_grad=i < gradients) for i, array in enumerate(inputs)]

    y = function(*new())  # compiles
    g = random(*y.shape)
    y.backward(g)
    tensors = new()
    y, forward = count(lambda: function(*tensors))
    _, backward = count(lambda: y.backward(g))
    saved = again if isinstance(again, int) else sum(inputs[i].nbytes for i in again)
    least = sum(a.nbytes for a in inputs) + y.data.nbytes
    least_back = y.data.nbytes + saved + sum(a.nbytes for a in inputs[:gradients])
    return [_line(name, "forward", forward, least), _line("", "backward", backward, least_back)]


def blocks(which=""):
    """A convolution with its batch normalisation and PReLU, as the networks have it; parameters are few kB."""
    block = ConvBlock(C, C).to("cuda")
    x = Tensor(random(*MAPS), requires_grad=True)
    lines = counted(f"conv-BN-PReLU block{which}", block, [x.data], 1, (0,))
    block.eval()
    with no_grad():
        block(x)
        y, evaluated = count(lambda: block(x))
    return [*lines, _line("", "evaluation", evaluated, x.data.nbytes + y.data.nbytes)]


def optimizer_step():
    """AdaGrad on some hundred thousand parameters: reads w, g and s, writes w and s."""
    parameters = [
        Parameter(random(*shape)) for shape in ((64, 64, 3, 3), (64,), (128, 64, 3, 3), (128,), (40, 256))
    ]
    for parameter in parameters:
        parameter.grad = random(*parameter.shape)
    optimizer = optim.AdaGrad(parameters, 0.01, 0.0005)
    optimizer.step()
    _, found = count(optimizer.step)
    return [_line("AdaGrad, 5 parameters", "step", found, 5 * sum(p.data.nbytes for p in parameters))]


def count(function):
    """(what it returns, the emulator's report of it)"""
    gpu_on_cpu.reset()
    result = function()
    backend.cupy().cuda.Device().synchronize()
    return result, gpu_on_cpu.report()


def _line(name, which, found, least):
    kernels, libraries, totals = (found[part] for part in ("kernels", "libraries", "totals"))
    loaded = sum(kernel["global_loaded"] for kernel in kernels.values()) + totals["d2d_bytes"]
    stored = (
        sum(kernel["global_stored"] for kernel in kernels.values())
        + totals["d2d_bytes"]
        + totals["memset_bytes"]
    )
    by_library = sum(library["bytes"] for library in libraries.values())
    launches = (
        sum(kernel["launches"] for kernel in kernels.values()) + totals["d2d_copies"] + totals["memsets"]
    )
    launches += sum(library["calls"] for library in libraries.values())
    sizes = [f"{nbytes / 1000:,.0f}" for nbytes in (loaded, stored, by_library, least)]
    return [name, which, launches, *sizes, f"{(loaded + stored + by_library) / least:.2f}"]


if __name__ == "__main__":
    main()
