"""Rows of a benchmark, dictionaries with the same keys: as CSV and back, and chosen by value."""

import csv
from pathlib import Path

from lambdalab.files import atomic_write

Row = dict[str, str | int | float | None]


def write_rows(path: Path, rows: list[Row]) -> None:
    """Write rows as CSV, numbers with six digits; ``None`` is an empty cell."""
    with atomic_write(path) as temporary, temporary.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows({key: f"{x:.6g}" if isinstance(x, float) else x for key, x in row.items()} for row in rows)


def read_rows(path: Path) -> list[Row]:
    """Read what ``write_rows`` wrote: numbers as numbers, empty cells as ``None``."""
    with path.open(encoding="utf-8", newline="") as file:
        return [{key: _value(text) for key, text in row.items()} for row in csv.DictReader(file)]


def _value(text: str) -> str | int | float | None:
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text or None


def select(rows: list[Row], **wanted) -> list[Row]:
    """Return the rows that have all these values."""
    return [row for row in rows if all(row[key] == value for key, value in wanted.items())]


def distinct(rows: list[Row], key: str) -> list:
    """Return the values of a key, each once, in order."""
    return list(dict.fromkeys(row[key] for row in rows))
