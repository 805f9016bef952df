"""The Markdown report of cpu.py, made of nothing but its JSON."""

KINDS = {"train": "Training step", "infer": "Inference"}
UNKNOWN = "–"


def markdown(result):
    """The report of what cpu.py measured, a section for each part that is there."""
    parts = [_head(result)]
    sections = result["sections"]
    for section, write in SECTIONS.items():
        if sections.get(section):
            parts.append(write(sections[section]))
    return "\n\n".join(parts) + "\n"


def _head(result):
    lines = ["# tinyface beside PyTorch, on a CPU", "", "```sh", result["command"], "```", ""]
    if result["quick"]:
        lines += [
            "**Made with --quick: tiny networks, to see that everything runs. The times mean nothing.**",
            "",
        ]
    lines += table(["", ""], [[what, value] for what, value in result["machine"].items()])
    lines += [
        "",
        f"Times are milliseconds, each the minimum of {result['rounds']} round{'s' * (result['rounds'] > 1)}. "
        "Both sides take turns in one process with the same number of threads, on the same batch with the same "
        "weights, and were checked to compute the same.",
        "",
        "Ratio = tinyface / PyTorch: below 1, tinyface is faster. PyTorch runs eagerly and in both of its memory "
        "formats; the better one counts, (cl) where that is channels_last. The process keeps freed memory, as "
        "tinyface asks the allocator to, which speeds up PyTorch too.",
    ]
    cores = result["machine"]["cores that may be used"]
    if max(result["threads"]) > cores:
        lines += ["", f"**Only {cores} of the cores could be used: more threads than that gain nothing.**"]
    return "\n".join(lines)


def _networks(rows):
    parts = []
    for kind, title in KINDS.items():
        chosen = [row for row in rows if row["name"].startswith(f"{kind}/")]
        if not chosen:
            continue
        text = (
            "Forward, loss, backward, AdaGrad with weight decay." if kind == "train" else "Evaluation mode."
        )
        text += " SSP and SSG are given random maps: the parser's time is not in here."
        head = ["network", "width", "images", "batch"]
        body = [
            [row["name"].split("/", 1)[1], row["width"], _size(row["size"]), row["batch"]] for row in chosen
        ]
        parts += [f"## {title}", text, _timed(head, body, chosen)]
    return "\n\n".join(parts)


def _ops(rows):
    text = (
        "At paper size, through `tinyface.ops` on tensors, feature maps in the layout that the engine's own ops "
        "return. Forward records, as in training. Masks are given no gradient, as the parser is frozen."
    )
    body = [[row["name"].removeprefix("ops/"), row["pass"], row["what"]] for row in rows]
    return f"## Operations\n\n{text}\n\n{_timed(['operation', 'pass', 'size'], body, rows)}"


def _timed(head, body, rows):
    """A table with both sides' times, the ratio for each number of threads, and the speed-ups."""
    threads = [time["threads"] for time in rows[0]["times"]]
    for count in threads:
        head = [*head, f"tinyface, {_threads(count)}", "PyTorch", "ratio"]
    if len(threads) > 1:
        head = [*head, f"speed-up {threads[-1]} : {threads[0]}, tinyface", "PyTorch"]
    lines = []
    for cells, row in zip(body, rows, strict=True):
        for time in row["times"]:
            cells = [*cells, ms(time["ours"]), _theirs(time, ms), f"{time['ratio']:.2f}"]
        if len(threads) > 1:
            first, last = row["times"][0], row["times"][-1]
            cells += [f"{first[side] / last[side]:.2f}" for side in ("ours", "torch")]
        lines.append(cells)
    return "\n".join(table(head, lines))


def _theirs(entry, write):
    return write(entry["torch"]) + " (cl)" * (entry["format"] == "channels_last")


def _scaling(rows):
    parts = [
        "## Scaling",
        "A training step of the small networks: time per image, beside that of the first line of its kind. By "
        "batch, 1 is perfect and less is better; by area, the growth is per pixel, so again 1 is perfect.",
    ]
    head = ["network", "batch", "images", "threads", "tinyface, ms per image", "growth", "PyTorch", "growth"]
    lines, first = [], {}
    for row in rows:
        for time in row["times"]:
            base = first.setdefault((row["name"], row["by"], time["threads"]), time)
            cells = [row["name"].split("/")[1], row["batch"], _size(row["size"]), time["threads"]]
            for side in ("ours", "torch"):
                cells += [ms(time[side]), f"{time[side] / base[side] / row['area']:.2f}"]
            lines.append(cells)
    return "\n\n".join([*parts, "\n".join(table(head, lines))])


def _bits(rows):
    lines = [
        [row["name"].split("/")[1], *(digest[:16] for digest in row["hashes"].values()), _yes(row["same"])]
        for row in rows
    ]
    head = ["network", *(_threads(int(count)) for count in rows[0]["hashes"]), "the same"]
    text = (
        f"SHA-256 of weights and running statistics after {rows[0]['steps']} training steps, the beginning."
    )
    return f"## Bits\n\n{text}\n\n" + "\n".join(table(head, lines))


def _memory(rows):
    text = (
        "Peak of resident memory in three training steps, less what was resident when network and batch were "
        f"built; each in a process of its own, {_threads(rows[0]['threads'])}."
    )
    lines = [
        [row["name"].removeprefix("memory/"), _mib(row["ours"]), _theirs(row, _mib), f"{row['ratio']:.2f}"]
        for row in rows
    ]
    return f"## Memory\n\n{text}\n\n" + "\n".join(
        table(["network", "tinyface, MiB", "PyTorch", "ratio"], lines)
    )


def _loader(rows):
    made = table(
        ["batches of", "images", "decoded, images/s", "from the cache"],
        [
            [
                row["name"].split("/")[1],
                _size(row["size"]),
                *(f"{rate:,.0f}" for rate in row["made"].values()),
            ]
            for row in rows
        ],
    )
    eaten = table(
        ["network, small", "threads", "takes, images/s", "beside the loader", "the loader makes meanwhile"],
        [
            [
                line["network"],
                line["threads"],
                *(f"{line[rate]:,.0f}" for rate in ("images_per_second", "beside", "made_beside")),
            ]
            for row in rows
            for line in row["eaten"]
        ],
    )
    text = "One worker of `TrainLoader` on toy faces of 218×178, nothing else running."
    also = "What training takes away, without the parser, alone and while one worker decodes without a pause:"
    return "\n\n".join(["## Loader", text, "\n".join(made), also, "\n".join(eaten)])


def _profile(rows):
    return "\n\n".join(_one_profile(row) for row in rows)


def _one_profile(profile):
    size, gflops, gbytes = (profile[key] for key in ("reach_size", "gflops_reach", "gbytes_reach"))
    text = (
        f"{ms(profile['ms'])} ms. With the same threads this machine reaches {gflops:.0f} GFLOP/s in products of "
        f"{size}×{size} matrices and {gbytes:.1f} GB/s in copies. GB/s counts each input and each output once. "
        "The rest is the engine's: sums of gradients, memory given back, the walk through the graph."
    )
    lines = []
    for row in profile["rows"]:
        cells = [row["op"], row["pass"], row["calls"], ms(row["ms"]), f"{100 * row['share']:.1f} %"]
        for unit in ("gflops", "gbytes"):
            if unit in row:
                cells += [f"{row[unit]:.1f}", f"{100 * row[unit] / profile[f'{unit}_reach']:.0f} %"]
            else:
                cells += [UNKNOWN, UNKNOWN]
        lines.append(cells)
    head = ["operation", "pass", "calls", "ms", "share", "GFLOP/s", "of reach", "GB/s", "of reach"]
    title = f"## Profile of {profile['name']}, batch {profile['batch']}, {_threads(profile['threads'])}"
    return "\n\n".join([title, text, "\n".join(table(head, lines))])


SECTIONS = {
    "networks": _networks,
    "ops": _ops,
    "scaling": _scaling,
    "bits": _bits,
    "memory": _memory,
    "loader": _loader,
    "profile": _profile,
}


# ---------------------------------------------------------------- cells


def table(head, rows):
    """Lines of a Markdown table; columns of numbers are set to the right."""
    numbers = [bool(rows) and all(_is_number(row[i]) for row in rows) for i in range(len(head))]
    lines = [head, ["---:" if right else "---" for right in numbers], *rows]
    return ["| " + " | ".join(map(str, line)) + " |" for line in lines]


def _is_number(cell):
    return not isinstance(cell, str) or cell[:1].isdigit() or cell == UNKNOWN


def ms(value):
    """Milliseconds with about three digits."""
    return f"{value:,.0f}" if value >= 100 else f"{value:.1f}" if value >= 10 else f"{value:.3g}"


def _mib(nbytes):
    return f"{nbytes / 2**20:,.0f}"


def _size(size):
    return f"{size[0]}×{size[1]}"


def _threads(count):
    return f"{count} thread{'s' * (count > 1)}"


def _yes(value):
    return "yes" if value else "**no**"
