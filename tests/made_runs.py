"""Finished runs that nobody trained: the folders of a queue's row, with results as a test wants them."""

import json
from dataclasses import asdict
from pathlib import Path

import pandas

from lambdalab.models import model_config
from lambdalab.queue import PlannedRun, Row, Source

LABEL = "pictures made up"


def make_row(name: str, model: str = "resnet11_tiny", **changes) -> Row:
    """Return a row of a queue, with ``options`` of its model, ``settings`` of its recipe, its ``source``."""
    shape = {
        "answers": "?",
        "machine": "laptop",
        "recipe": "made",
        "seeds": (0, 1, 2),
        "source": Source("folder", LABEL),
    }
    return Row(**{"name": name, "model": model, "settings": {"epochs": 2}, **shape, **changes})


def make_run(
    folder: Path, row: Row, seed: int, top1: float, epochs: dict | None = None, machine: str = "a laptop", **summary
) -> Path:
    """Write the folder of a finished run of a row, and return it.

    Args:
        folder: of all runs.
        row: what was trained.
        seed: with which seed.
        top1: on the test part.
        epochs: columns of metrics.csv; by default two epochs of ten CPU-seconds.
        machine: the processor.
        summary: what else summary.json has.
    """
    planned = PlannedRun(row, seed)
    run = folder / planned.name
    run.mkdir(parents=True)
    data = {"name": row.source.label, "size": row.source.size, "split_seed": 0}
    config = {
        "model": asdict(model_config(row.model, **row.options)),
        "data": data,
        "train": asdict(planned.config("cpu")),
        "replay": {"row": row.name},
    }
    result = {"parameters": 100, "macs": 2_000_000, "test_top1": top1, "seconds": 25.0, "cpu_seconds": 20.0}
    epochs = epochs or {"epoch": [1, 2], "val_top1": [top1 / 2, top1], "seconds": [12, 13], "cpu_seconds": [10, 10]}
    (run / "environment.json").write_text(json.dumps({"processor": machine}), encoding="utf-8")
    (run / "config.json").write_text(json.dumps(config), encoding="utf-8")
    pandas.DataFrame(epochs).to_csv(run / "metrics.csv", index=False)
    (run / "summary.json").write_text(json.dumps({**result, "device": "cpu", **summary}), encoding="utf-8")
    return run


def make_runs(folder: Path, results: list[tuple[Row, list[float]]], **summary) -> Path:
    """Write a run for each accuracy of each (row, accuracies by seed), and return the folder."""
    for row, accuracies in results:
        for seed, top1 in enumerate(accuracies):
            make_run(folder, row, seed, top1, **summary)
    return folder
