"""Builds the wheel with the course inside: what `lambdalab init` hands out, copied from its only place.

All else about the package is in pyproject.toml, and what the sdist has besides in MANIFEST.in.
"""

import shutil
from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py

COURSE = (
    "configs/*.yaml",
    "data/README.md",
    "data/benchmarks/*.csv",
    "data/reference/*.*",
    "data/results/*/[!.]*",
    "docs/course.md",
    "docs/faq.md",
    "docs/glossary.md",
    "docs/teaching/[0-9]*.md",
    "notebooks/*.ipynb",
    "notebooks/exercises/*.ipynb",
    "notebooks/exercises/solutions/*.ipynb",
)


class BuildWithCourse(build_py):
    """Adds the course to lambdalab/_course; an editable install has it in the checkout."""

    def run(self) -> None:
        super().run()
        if self.editable_mode:
            return
        course = Path(self.build_lib, "lambdalab", "_course")
        shutil.rmtree(course, ignore_errors=True)  # of an earlier build
        for file in sorted(file for pattern in COURSE for file in Path().glob(pattern)):
            self.mkpath(str(course / file.parent))
            self.copy_file(str(file), str(course / file))


setup(cmdclass={"build_py": BuildWithCourse})
