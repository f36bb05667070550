"""What a run says of where it was trained: versions, processor, the commit of the code in memory."""

import json
import subprocess
from pathlib import Path

import torch

from lambdalab import environment

ROOT = Path(__file__).resolve().parent.parent


def test_environment_says_what_it_ran_on():
    text = json.dumps(environment.environment())
    assert torch.__version__ in text and str(ROOT) not in text
    assert json.loads(text)["processor"] == environment.processor() != ""


def test_commit_is_the_checkouts_and_a_wheels_is_unknown(monkeypatch):
    git = ["git", "-C", ROOT, "rev-parse", "--short=12", "HEAD"]
    here = subprocess.run(git, capture_output=True, text=True)
    if here.returncode == 0:
        assert environment.environment()["commit"].removesuffix("-dirty") == here.stdout.strip()
    monkeypatch.setattr(environment, "checkout", lambda: None)
    assert environment.environment()["commit"] is None


def test_commit_is_that_of_the_code_in_memory(tmp_path, monkeypatch):
    git = ["git", "-C", tmp_path, "-c", "user.name=n", "-c", "user.email=e"]
    commit = [*git, "commit", "--quiet", "--allow-empty", "--message=m"]
    subprocess.run([*git, "init", "--quiet"], check=True)
    subprocess.run(commit, check=True)
    monkeypatch.setattr(environment, "checkout", lambda: tmp_path)
    first = environment.environment()["commit"]
    subprocess.run([*commit, "--amend", "--message=another"], check=True)
    assert first and environment.environment()["commit"] == first
