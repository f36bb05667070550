"""The paper's and the original README's parameter tables, every row recounted and judged.

A recount is an integer, had twice: by building the network on the meta device and by closed form (``cost``).
``verdicts`` says what the verdicts mean.
"""

import csv
from dataclasses import dataclass

import torch

from lambdalab.cost import model_cost
from lambdalab.errors import UserError, did_you_mean
from lambdalab.models import ModelConfig, ResNet, count_parameters, model_config
from lambdalab.published import reference_dir
from lambdalab.verdicts import GFLOPS, Verdict, judge, rounded, satisfiable

README_SCOPE = {1: 23, 4: 7, 8: 7}  # by u; the README does not say so, but only these give its counts


@dataclass(frozen=True)
class Row:
    """A row of a table: what the paper and the README print for a network, each judged by its own network's recount."""

    label: str
    paper: Verdict | None
    readme: Verdict | None


def recount(config: ModelConfig) -> int:
    """Return a network's number of parameters, counted on the meta device and by closed form.

    Raises:
        RuntimeError: if the two disagree, which would be a defect of ``cost``.
    """
    with torch.device("meta"):
        built = count_parameters(ResNet(config))
    closed = model_cost(config, 224).parameters
    if built != closed:
        raise RuntimeError(f"{config.name}: built {built}, closed form {closed}")
    return built


def parameter_rows() -> list[Row]:
    """The README's first table: LambdaResNet 50, 152 and 200 (1000 classes, 7×7 stem)."""
    rows = []
    for line in _read("readme_parameters"):
        shape = {name: int(line[name]) for name in ("dim_k", "heads", "dim_u", "scope")}
        original = recount(model_config(f"lambda_resnet{line['depth']}_original", **shape))
        plain = recount(model_config(f"lambda_resnet{line['depth']}", **shape))
        hybrid = recount(model_config(f"lambda_resnet{line['depth']}", stages="CCLL", se_ratio=4, **shape))
        others = {"stages CCLL with squeeze-excitation 4 in the convolutional ones": hybrid}
        label = f"LambdaResNet{line['depth']}, k={line['dim_k']}, h={line['heads']}, u={line['dim_u']}"
        rows.append(Row(label, judge(line["paper_m"], plain, others), judge(line["readme_m"], original)))
    return rows


def ablation_rows() -> list[Row]:
    """The README's second table: ResNet-50, and LambdaResNet50 over k, h and u."""
    baseline, *lines = _read("ablation")
    names = {f"(k, h, u) = ({line['dim_k']}, {line['heads']}, {line['dim_u']})": line for line in lines}
    originals = {name: recount(_ablated("lambda_resnet50_original", line)) for name, line in names.items()}
    conv = recount(model_config("resnet50")), recount(model_config("resnet50_original"))
    rows = [Row("ResNet-50", judge(baseline["paper_m"], conv[0]), judge(baseline["readme_m"], conv[1]))]
    contradictions = ablation_contradictions()
    for name, line in names.items():
        others = {other: count for other, count in originals.items() if other != name}
        impossible = contradictions.get((int(line["dim_k"]), int(line["heads"])), "")
        paper = judge(line["paper_m"], recount(_ablated("lambda_resnet50", line)), impossible=impossible)
        rows.append(Row(name, paper, judge(line["readme_m"], originals[name], others)))
    return rows


def hybrid_rows() -> list[Row]:
    """The paper's table of hybrids: which stages of ResNet-50 have lambda layers."""
    return [
        Row(
            line["stages"],
            judge(
                line["parameters_m"],
                recount(model_config("lambda_resnet50", stages=line["stages"])),
                impossible=hybrid_contradiction() if line["stages"] == "CCLL" else "",
            ),
            None,
        )
        for line in _read("paper_hybrids")
    ]


def efficiency_rows() -> list[Row]:
    """The paper's table of content against position: LambdaResNet50's FLOPs at 224², two for each multiply-add."""
    rows = []
    for line in _read("paper_content_position"):
        parts = {name: line[name] == "true" for name in ("content", "position")}
        flops = 2 * model_cost(model_config("lambda_resnet50", **parts), 224, count="paper").macs
        holds = line["gflops"] == rounded(flops, line["gflops"], unit=GFLOPS)
        label = " and ".join(name for name, there in parts.items() if there)
        rows.append(Row(label, Verdict(line["gflops"], flops, "holds" if holds else "differs", unit=GFLOPS), None))
    return rows


def cifar10_rows() -> list[Row]:
    """The README's accuracy table on CIFAR-10: its column of parameters (10 classes, 7×7 stem)."""
    rows = []
    for line in _read("readme_cifar10"):
        shape = {name: int(line[name]) for name in ("dim_k", "heads", "dim_u", "scope") if line[name]}
        count = recount(model_config(line["model"], num_classes=10, **shape))
        others = {}
        if shape:
            usual = {"dim_k": 16, "heads": 4, "dim_u": 1, "scope": 23}
            others = {"u=1, scope 23": recount(model_config(line["model"], num_classes=10, **usual))}
        verdict = judge(line["readme_m"], count, others)
        if line["model"] == "resnet18_original":
            basic = recount(model_config("resnet18", num_classes=10, stem="cifar"))
            reason = f"the count is the bottleneck network's, but 93.02 % is of pytorch-cifar's ResNet-18, {basic:,}"
            verdict = Verdict(verdict.printed, count, "another model", reason)
        letters = {"dim_k": "k", "heads": "h", "dim_u": "u", "scope": "m"}
        label = line["model"] + "".join(f", {letters[name]}={value}" for name, value in shape.items())
        rows.append(Row(label, None, verdict))
    return rows


TABLES = {
    "parameters": parameter_rows,
    "ablation": ablation_rows,
    "hybrids": hybrid_rows,
    "efficiency": efficiency_rows,
    "cifar10": cifar10_rows,
}


def make_table(name: str):
    """Return a table as a pandas table: a row each, with what is printed, the recount, the difference and the verdict.

    Raises:
        UserError: if there is no table of this name.
    """
    import pandas

    if name not in TABLES:
        raise UserError(f"unknown table '{name}'{did_you_mean(name, list(TABLES))} (there are {', '.join(TABLES)})")
    records = []
    for row in TABLES[name]():
        record = {"row": row.label}
        for source, verdict in (("paper", row.paper), ("README", row.readme)):
            if verdict is not None:
                unit = verdict.unit[0]
                record |= {
                    f"{source} [{unit}]": verdict.printed,
                    f"recount for the {source}": f"{verdict.recount:,}",
                    f"{source} − recount [{unit}]": f"{verdict.difference:+.2f}",
                    f"{source}: verdict": verdict.verdict + (f" ({verdict.reason})" if verdict.reason else ""),
                }
        records.append(record)
    return pandas.DataFrame(records)


def family_steps(depth: int) -> list[tuple[str, int]]:
    """Return the steps from the original's LambdaResNet to the paper's printed count, as (what changes, new recount).

    No text of the paper says that its 152 and 200 are made so: it is the simplest configuration that gives both counts.

    Args:
        depth: 152 or 200, or any depth that has an ``_original``.
    """
    name = f"lambda_resnet{depth}"
    return [
        ("the original", recount(model_config(f"{name}_original"))),
        ("batch norm on values instead of keys, shortcuts without biases", recount(model_config(name))),
        ("stage 1 convolves (CLLL)", recount(model_config(name, stages="CLLL"))),
        ("stage 2 convolves (CCLL)", recount(model_config(name, stages="CCLL"))),
        ("squeeze-excitation, ratio 4, where it convolves", recount(model_config(name, stages="CCLL", se_ratio=4))),
    ]


def ablation_contradictions() -> dict[tuple[int, int], str]:
    """Return, by (k, h), why the paper's printed count there cannot hold, if the table contradicts itself.

    Whatever the details of the network, at u = 1 its count is a + s·k for a fixed h (projections and embeddings are
    k wide) and a + b·h + c/h for a fixed k (queries are h·k wide, values d/h). A printed number stands for an interval
    of ±0.05; a linear program decides whether any a, s or a, b, c meets all intervals of a column of the table.
    That proves the column wrong; which of its rows are, the recount says, which meets the others.
    """
    printed = {
        (int(line["dim_k"]), int(line["heads"])): float(line["paper_m"])
        for line in _read("ablation")[1:]
        if line["dim_u"] == "1"
    }
    by_k = {k: value for (k, h), value in printed.items() if h == 8}
    by_h = {h: value for (k, h), value in printed.items() if k == 8}
    found = {}
    if not satisfiable([([1, k], value) for k, value in by_k.items()]):
        reason = f"its column contradicts itself: at h = 8 the count is affine in k, but no line meets {_listed(by_k)}"
        found |= {(2, 8): reason, (4, 8): reason}
    if not satisfiable([([1, h, 1 / h], value) for h, value in by_h.items()]):
        reason = f"its column contradicts itself: at k = 8 the count is a + b·h + c/h, which meets no {_listed(by_h)}"
        found |= {(8, 2): reason, (8, 16): reason}
    return found


def hybrid_contradiction() -> str:
    """Return why the paper's CCLL cannot hold: stages add up, so CCLL = LLLL + CCCC − LLCC; empty if it could."""
    printed = {line["stages"]: float(line["parameters_m"]) for line in _read("paper_hybrids")}
    least = (printed["LLLL"] - 0.05) + (printed["CCCC"] - 0.05) - (printed["LLCC"] + 0.05)
    if least < printed["CCLL"] + 0.05 - 1e-9:
        return ""
    return f"counts add up over stages: CCLL = LLLL + CCCC − LLCC > {least:.2f}, by the paper's own rows"


def _listed(column: dict[int, float]) -> str:
    return ", ".join(str(column[index]) for index in sorted(column))


def _ablated(model: str, line: dict[str, str]) -> ModelConfig:
    k, h, u = (int(line[name]) for name in ("dim_k", "heads", "dim_u"))
    return model_config(model, dim_k=k, heads=h, dim_u=u, scope=README_SCOPE[u])


def _read(name: str) -> list[dict[str, str]]:
    """A published table with its numbers as text, since a printed number's digits matter."""
    with open(reference_dir() / f"{name}.csv", encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))
