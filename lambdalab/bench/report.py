"""What a benchmark found, as tables of text and as sentences."""

from typing import NamedTuple

from lambdalab.bench.planner import regrets
from lambdalab.bench.records import Row, distinct, select
from lambdalab.bench.rounds import geometric_mean
from lambdalab.bench.scaling import memory_ends, time_exponents
from lambdalab.bench.sides import OURS
from lambdalab.choices import NAMES

TITLES = {"forward": "forward alone", "training": "forward and backward"}


class Table(NamedTuple):
    """A title, the columns' names, and cells of text, row by row; the last rows may be means of the others."""

    title: str
    columns: list[str]
    lines: list[list[str]]
    means: tuple[list[str], ...] = ()


def layer_tables(rows: list[Row]) -> list[Table]:
    """A table of each pass: our time, our share of the machine's limit, and how many times longer each peer takes.

    Where peak memory was measured there is a third: ours, and how many times more each peer needs. A star marks a peer
    that did less work.
    """
    tables = []
    for kind, title in TITLES.items():
        chosen = select(rows, **{"pass": kind})
        tables.append(
            _ratios(f"{title}: their time over ours (median ± half the interquartile range)", chosen, "ratio")
        )
    peaks = [row for row in rows if row["peak_ratio"]]
    if peaks:
        tables.append(_ratios("peak memory of forward and backward: theirs over ours", peaks, "peak_ratio"))
    return tables


def _ratios(title: str, rows: list[Row], column: str) -> Table:
    peers = [side for side in distinct(rows, "side") if side != OURS]
    own = ["ours [ms]", "of limit"] if column == "ratio" else ["ours [MB]"]
    lines = []
    for mine in select(rows, side=OURS):
        theirs = {row["side"]: row for row in select(rows, shape=mine["shape"])}
        cells = [_ratio_text(theirs[peer], column) if peer in theirs else "–" for peer in peers]
        time = [f"{mine['seconds'] * 1e3:.3g}", f"{mine['limit_share']:.0%}"]
        lines.append([mine["shape"], *(time if column == "ratio" else [f"{mine['peak_mb']:.0f}"]), *cells])
    bottom = []
    for (context, work), found in means(rows, column).items():
        cells = [f"{found[peer]:.2f}" if peer in found else "–" for peer in peers]
        bottom.append([f"{context}, {work} work", *[""] * len(own), *cells])
    return Table(title, ["shape", *own, *peers], lines, tuple(bottom))


def _ratio_text(row: Row, column: str) -> str:
    star = "" if row["work"] == "equal" else "*"
    return f"{_ratio_and_spread(row) if column == 'ratio' else format(row[column], '.2f')}{star}"


def _ratio_and_spread(row: Row) -> str:
    return f"{row['ratio']:.2f}±{(row['ratio_high'] - row['ratio_low']) / 2:.2f}"


def means(rows: list[Row], column: str = "ratio") -> dict[tuple[str, str], dict[str, float]]:
    """Geometric means over the shapes of each peer's ratios to ours: {(context, work): {peer: mean}}.

    Context is "local" or "global". Work is "equal", over the shapes where a peer does the same as ours, or "any", which
    includes those where it does less; "any" is there only if it says something else.
    """
    found = {}
    for context in distinct(rows, "context"):
        chosen = [row for row in select(rows, context=context) if row["side"] != OURS and row[column]]
        for work, part in (("equal", select(chosen, work="equal")), ("any", chosen)):
            if work == "equal" or len(part) > len(select(chosen, work="equal")):
                by_peer = {peer: select(part, side=peer) for peer in distinct(part, "side")}
                found[context, work] = {
                    peer: geometric_mean([row[column] for row in each]) for peer, each in by_peer.items()
                }
    return found


def faster_peers(rows: list[Row], kind: str) -> list[Row]:
    """The fastest peer that does equal work, at each shape where it is faster than we are."""
    found = {}
    for row in select(rows, work="equal", **{"pass": kind}):
        if row["side"] != OURS and row["ratio"] < found.get(row["shape"], {"ratio": 1})["ratio"]:
            found[row["shape"]] = row
    return list(found.values())


def layer_summary(rows: list[Row]) -> list[str]:
    """What stands below the tables: the machine's limits, where a peer was faster, and what the star means."""
    first = rows[0]
    lines = [
        "last lines of a table: geometric means over the shapes",
        "of limit: the time that the fewest FLOPs would take in a large product of matrices, over the time taken",
        f"this machine: {first['limit_gflops']:.0f} GFLOP/s in such a product, {first['copy_gbs']:.0f} GB/s in a copy",
    ]
    for kind, title in TITLES.items():
        faster = faster_peers(rows, kind)
        where = ", ".join(f"{row['shape']} {row['side']} {_ratio_and_spread(row)}" for row in faster)
        count = f"a peer is faster at {len(faster)} of {len(distinct(rows, 'shape'))} shapes"
        lines.append(f"{title}: {count}" + f": {where}" * bool(where))
    if any(row["work"] != "equal" for row in rows):
        lines.append("* less work: timm has no intra-depth u and runs at u = 1")
    return lines


def model_table(rows: list[Row]) -> Table:
    """Seconds and peak memory of a training step by network, and how many times the lambda network's they are."""
    lines = []
    for row in rows:
        peak = ["–", "–"] if row["peak_mb"] is None else [f"{row['peak_mb']:.0f}", f"{row['peak_ratio']:.2f}"]
        time = [f"{row['seconds']:.3g}", _ratio_and_spread(row)]
        lines.append([f"{row['depth']}", f"{row['size']}²", str(row["batch"]), row["side"], *time, *peak])
    columns = ["depth", "picture", "batch", "network", "step [s]", "× lambda", "peak [MB]", "× lambda"]
    return Table("a training step (median ± half the interquartile range)", columns, lines)


def training_table(rows: list[Row]) -> Table:
    """Seconds for a thousand pictures, pictures a second and a step's peak memory by side, as multiples of ours."""
    lines = []
    for row in rows:
        peak = ["–", "–"] if row["peak_mb"] is None else [f"{row['peak_mb']:.0f}", f"{row['peak_ratio']:.2f}"]
        time = [f"{row['seconds_per_1000']:.3g}", f"{row['images_per_second']:.0f}", _ratio_and_spread(row)]
        lines.append([row["model"], f"{row['size']}²", str(row["batch"]), row["side"], *time, *peak])
    columns = ["network", "picture", "batch", "side", "s / 1000", "pictures / s", "× ours", "peak [MB]", "× ours"]
    return Table("training on random pictures (median ± half the interquartile range)", columns, lines)


def training_markdown(rows: list[Row]) -> str:
    """The training benchmark in Markdown: a line a network and device, the original's way against ours."""
    columns = "network | pictures, batch | device | ours [s / 1,000 pictures] | the original's way | time | peak memory"
    lines = [f"| {columns} |", "|---|---|---|--:|--:|--:|--:|"]
    for ours, theirs in zip(rows[::2], rows[1::2], strict=True):
        seconds = [f"{row['seconds_per_1000']:.3g}" for row in (ours, theirs)]
        time = f"{theirs['ratio']:.1f} ({theirs['ratio_low']:.1f} to {theirs['ratio_high']:.1f}) ×"
        memory = f"{theirs['peak_ratio']:.1f} ×" if theirs["peak_ratio"] else "–"
        what = [ours["model"], f"{ours['size']}×{ours['size']}, {ours['batch']}", ours["device"]]
        lines.append("| " + " | ".join([*what, *seconds, time, memory]) + " |")
    return "\n".join(lines)


def gpu_markdown(rows: list[Row]) -> str:
    """A step of training on a GPU in Markdown: a line for each order of the sums, started by Python or recorded."""
    lines = ["| network | order of the position term | recorded | step [ms] | pictures / s | peak [MB] |"]
    lines.append("|---|---|---|--:|--:|--:|")
    for row in rows:
        rate, peak = f"{row['images_per_second']:,.0f}", f"{row['peak_mb']:,.0f}"
        what = [row["network"], row["order"] or "–", row["recorded"], f"{row['milliseconds']:.1f}", rate, peak]
        lines.append("| " + " | ".join(what) + " |")
    return "\n".join(lines)


def scaling_table(rows: list[Row]) -> Table:
    """Time and peak memory by picture, with what was not run."""
    lines = []
    for row in rows:
        time = "not run" if row["seconds"] is None else f"{row['seconds'] * 1e3:.3g}"
        about = "" if row["run"] else "about "
        lines.append([row["series"], f"{row['side']}²", time, f"{about}{row['peak_mb']:.0f}"])
    return Table("forward and backward of a layer", ["layer", "picture", "time [ms]", "peak [MB]"], lines)


def scaling_summary(rows: list[Row], limit_mb: float) -> list[str]:
    """The exponents of time, and the picture at which memory ends."""
    lines = [f"{series}: time ∝ pixels^{p:.2f}" for series, p in time_exponents(rows).items()]
    ends = memory_ends(rows, limit_mb)
    return lines + [f"{series}: {limit_mb:.0f} MB end at about {side:.0f}²" for series, side in ends.items()]


def planner_table(rows: list[Row]) -> Table:
    """Each shape's orders in milliseconds, the choice marked, and what the choice costs against the best."""
    orders = sorted(distinct(rows, "order"), key=NAMES.index)
    lines = []
    for shape, regret in regrets(rows).items():
        found = select(rows, shape=shape)
        by_order = {row["order"]: f"{row['seconds'] * 1e3:.3g}{'*' if row is found[0] else ''}" for row in found}
        lines.append([shape, *(by_order.get(order, "–") for order in orders), f"{regret:.2f}"])
    return Table("milliseconds of each order; *: chosen; –: predicted far slower", ["shape", *orders, "regret"], lines)


def planner_summary(rows: list[Row]) -> list[str]:
    """Say how often the planner was right, and how wrong it was at worst."""
    found = list(regrets(rows).values())
    near = sum(regret <= 1.1 for regret in found)
    return [
        f"The choice was within 10 % of the best order on {near} of {len(found)} shapes ({near / len(found):.0%}); "
        f"at worst it took {max(found):.2f} times as long, in the geometric mean {geometric_mean(found):.3f} times."
    ]


def speed_markdown(rows: list[Row]) -> str:
    """The layer benchmark in five lines of Markdown: geometric means of theirs over ours, and the least of each."""
    lines = ["| how many times as long, or as much | original | lambda-networks | timm |", "|---|--:|--:|--:|"]
    peers = ("original", "lambda-networks", "timm")
    for context, shapes in (("local", "shapes of local scope"), ("global", "of global context")):
        chosen = [row for row in select(rows, context=context, work="equal") if row["side"] in peers]
        count = len(distinct(chosen, "shape"))
        for title, column, kind in (
            ("forward alone", "ratio", "forward"),
            ("forward and backward", "ratio", "training"),
            ("peak memory of both", "peak_ratio", "training"),
        ):
            cells = []
            for peer in peers:
                found = [row[column] for row in select(chosen, side=peer, **{"pass": kind})]
                cells.append(f"{geometric_mean(found):.1f} (≥ {min(found):.2f})" if found else "–")
            lines.append(f"| {title}, {count} {shapes} | {' | '.join(cells)} |")
    return "\n".join(lines)


def model_markdown(rows: list[Row]) -> str:
    """The model benchmark in Markdown: a training step, the others' time and peak memory over the lambda network's."""
    lines = [
        "| network | pictures, batch | step [s] | peak [MB] | original's order: time, memory | ResNet: time, memory |",
        "|---|---|--:|--:|--:|--:|",
    ]
    for ours in select(rows, side="lambda"):
        network = {name: ours[name] for name in ("depth", "size", "batch")}
        others = [select(rows, **network, side=side)[0] for side in ("original's order", "resnet")]
        cells = [f"{row['ratio']:.2f} ×, {row['peak_ratio']:.2f} ×" for row in others]
        size = "{depth} | {size}×{size}, {batch}".format(**network)
        lines.append(f"| LambdaResNet{size} | {ours['seconds']:.3g} | {ours['peak_mb']:,.0f} | {' | '.join(cells)} |")
    return "\n".join(lines)
