"""The exercises' checks: right answers in any style pass, every known mistake is called by its name, nothing stored
passes, and nothing that a learner writes ends in a traceback."""

import importlib
import pkgutil

import numpy as np
import pytest
import torch
from right_answers import RIGHT, compared, layer, weighted
from torch import nn
from wrong_answers import WRONG

from lambdalab import exercises
from lambdalab.exercises import Feedback, check_content_lambda, check_hybrid, check_test, check_trained, draw_sheet
from lambdalab.exercises.judging import Task
from lambdalab.exercises.rescue import draw_network

ON_SHEETS = ("check_weights", "check_content", "check_position", "check_output")
CHECKS = [name for name in exercises.__all__ if name.startswith("check_")]
FUNCTIONS = [name for name in CHECKS if name not in ON_SHEETS and name not in ("check_hybrid", "check_trained")]


def check(name: str, *answer: object) -> Feedback:
    return getattr(exercises, name)(*answer)


def tasks() -> dict[str, Task]:
    """All tasks by their module and name in `lambdalab.exercises`."""
    modules = [
        importlib.import_module(f"lambdalab.exercises.{each.name}") for each in pkgutil.iter_modules(exercises.__path__)
    ]
    return {
        f"{module.__name__}.{name}": each
        for module in modules
        for name, each in vars(module).items()
        if isinstance(each, Task)
    }


@pytest.mark.parametrize("name, style", [(name, style) for name in RIGHT for style in RIGHT[name]])
def test_right_answers_in_any_style_pass(name, style):
    feedback = check(name, RIGHT[name][style])
    assert feedback and "✓ Right" in repr(feedback) and not feedback.hint, feedback


@pytest.mark.parametrize("name, mistake", [(name, mistake) for name in WRONG for mistake in WRONG[name]])
def test_every_mistake_is_called_by_its_name(name, mistake):
    for _ in range(1 if name == "check_rescue" else 3):  # whatever the fresh inputs are
        feedback = check(name, WRONG[name][mistake])
        assert not feedback and mistake in feedback.message, feedback
        assert feedback.hint and feedback.hint in repr(feedback)


def test_no_mistake_with_a_name_is_without_a_test():
    tried = [mistake for name in WRONG for mistake in WRONG[name]]
    by_functions = [task for task in tasks().values() if task.names]  # sheets have tests of their own
    named = [mistake.name for task in by_functions for mistake in task.mistakes]
    assert len(named) > 50
    assert [name for name in named if not any(each in name for each in tried)] == []


@pytest.mark.parametrize("name", sorted(set(FUNCTIONS) - {"check_rescue"}))  # which returns nothing
def test_an_answer_that_was_stored_fails(name):
    """What a right function gave once, given again and again: wrong on fresh inputs."""
    right = next(iter(RIGHT[name].values())) if name in RIGHT else compared
    kept = []

    def stored(*inputs):
        kept[:] = kept or [right(*inputs)]
        return kept[0]

    check(name, stored)
    assert not check(name, stored)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_an_unwritten_answer_is_answered_kindly(name):
    def unwritten(*inputs):
        raise NotImplementedError

    for answer in (None, ..., unwritten):
        feedback = check(name, answer)
        assert not feedback and "Not written yet" in feedback.message
    for name in ON_SHEETS:
        assert "Not written yet" in check(name, draw_sheet(1), ...).message
    assert "Not written yet" in check_hybrid(...).message and "Not written yet" in check_trained(None).message


def test_a_function_that_returns_nothing_is_not_written_yet():
    assert "Not written yet" in check_content_lambda(lambda keys, values: None).message


@pytest.mark.parametrize("name", FUNCTIONS)
@pytest.mark.parametrize("answer", [3, "text", [[1.0]], object()])
def test_what_is_no_function_is_refused_in_a_line(name, answer):
    feedback = check(name, answer)
    assert not feedback and "\n" not in feedback.message


def stops(*inputs):
    raise KeyError("a line\nof the learner's")


@pytest.mark.parametrize("name", FUNCTIONS)
def test_a_function_that_stops_is_told_with_its_line(name):
    feedback = check(name, stops)
    assert not feedback and "stops with KeyError" in feedback.message and "\n" not in feedback.message
    assert "raise KeyError" in feedback.example and feedback.hint


@pytest.mark.parametrize("made", [3, "text", {}, object(), torch.zeros(2), torch.zeros(2, 3, 4, 5), float("nan"), []])
def test_a_result_of_another_kind_is_refused_in_a_line(made):
    feedback = check_content_lambda(lambda keys, values: made)
    assert not feedback and "wanted" in feedback.message and "(b, k, v)" in feedback.message


@pytest.mark.parametrize("made", [3, 0.5, "text", {}, object(), torch.zeros(3), np.zeros(3), [1, 2], (1, 2), True])
@pytest.mark.parametrize("name", ["check_attention_macs", "check_places", "check_cheapest"])
def test_a_result_of_another_kind_than_a_number_or_a_text_is_refused_in_a_line(name, made):
    feedback = check(name, lambda *inputs: made)
    assert not feedback and "your function gives" in feedback.message and "\n" not in feedback.message


def test_a_small_difference_is_no_rounding():
    feedback = check_content_lambda(lambda keys, values: weighted(keys, values, 1) * (1 + 1e-3))
    assert "numbers differ" in feedback.message


def test_a_wrong_shape_is_said_as_such():
    feedback = check_content_lambda(lambda keys, values: weighted(keys, values, 1).unsqueeze(0))
    assert "the shape is (1, " in feedback.message and "(b, k, v) = (" in feedback.message


def test_what_has_no_name_is_shown_by_the_smallest_example():
    feedback = check_content_lambda(lambda keys, values: 2 * weighted(keys, values, 1))
    assert "numbers differ" in feedback.message
    assert feedback.example.splitlines()[0].startswith("One position")
    assert feedback.example.splitlines()[-2:] == ["wanted  [[[3.0]]]", "yours   [[[6.0]]]"]


def test_an_answer_right_for_large_inputs_alone_is_found_by_the_examples():
    feedback = check_content_lambda(lambda k, v: weighted(k, v, 1) if k.shape[1] > 1 else v[:, 0, :, None] * 0)
    assert not feedback and "but not for these" in feedback.message and "One position" in feedback.example


def test_infinite_numbers_are_said_as_such():
    feedback = check_content_lambda(lambda keys, values: weighted(keys, values, 1) / 0)
    assert "infinite" in feedback.message


def test_the_learners_inputs_may_be_changed_in_place():
    def greedy(keys, values):
        keys -= keys.amax(1, keepdim=True)
        return weighted(keys, values.mul_(1), 1)

    assert check_content_lambda(greedy)


def test_a_test_is_tried_on_the_other_way_round_as_well():
    def sees_the_published_only(given):
        keys, maps, table = torch.randn(1, 4, 2, 2), torch.randn(1, 6, 2, 2), torch.zeros(2, 2, 3, 3)
        return torch.allclose(given(keys, maps, table), layer(keys, maps, table), atol=1e-4)

    feedback = check_test(sees_the_published_only)
    assert not feedback and "the other way round" in feedback.message
    assert check_test(compared)


@pytest.mark.parametrize(
    "design, said",
    [
        ({"stages": "LLLL"}, "3 of 5 demands"),
        ({"stages": "CCCC", "scope": 7}, "2 of 5 demands"),
        ({"stages": "CLLL", "scope": 5}, "1 of 5 demands"),
        ({"stages": "CLLL", "scope": 8}, "scope must be odd"),
        ({"stage": "CLLL"}, "stage cannot be changed"),
        ({"stages": "CLLL", "scope": 7, "width": 8}, "width cannot be changed"),
        ({"stages": "CLLX"}, "no such network"),
        ({"stages": 3}, "of another kind"),
        ({"scope": 7.0}, "of another kind"),
        ("CLLL", "a dictionary is wanted"),
    ],
)
def test_a_design_is_told_what_it_misses(design, said):
    feedback = check_hybrid(design)
    assert not feedback and said in feedback.message and feedback.hint, feedback


@pytest.mark.parametrize(
    "design", [{"stages": "CLLL", "scope": 7}, {"stages": "CCLL", "scope": 7, "dim_k": 8, "heads": 8}]
)
def test_there_is_more_than_one_good_design(design):
    assert check_hybrid(design)


def test_a_trained_run_is_judged_by_its_accuracy():
    class Run:
        def __init__(self, accuracy):
            self.summary = {"test_top1": accuracy}

    assert check_trained(Run(0.9))
    assert "about chance" in check_trained(Run(0.1)).message
    assert "far from what it can do" in check_trained(Run(0.5)).message
    assert "a finished run is wanted" in check_trained(3).message


def test_the_network_of_exercise_07_is_the_published_one_made_narrow():
    network, healthy = draw_network(3), draw_network(3, zero_gamma=True)
    assert sum(len(stage) for stage in network.stages) == 16 and network.config.block == "original"
    assert all(
        torch.equal(one, other) for one, other in zip(network.parameters(), draw_network(3).parameters(), strict=True)
    )
    zero = [norm for norm in healthy.modules() if isinstance(norm, nn.BatchNorm2d) and not norm.weight.any()]
    assert len(zero) == 16


def test_feedback_is_shown_with_words_and_not_by_colour_alone():
    right, wrong = Feedback(True, "Right."), Feedback(False, "Not <yet>", "a < b", "think", "think more")
    assert "✓" in right._repr_html_() and "○" in wrong._repr_html_()
    html = wrong._repr_html_()
    assert "Not &lt;yet&gt;" in html and "a &lt; b" in html
    assert html.count("<details>") == 2 and html.index("think") < html.index("think more")
    assert repr(wrong).splitlines() == [
        "○ Not <yet>",
        "    a < b",
        "  Hint: think",
        "  Still stuck? Write .more behind the check for a second hint.",
    ]


def test_each_hint_tells_more_than_the_one_before():
    for name, task in tasks().items():
        for mistake in task.mistakes:
            assert mistake.hint and mistake.hint != (mistake.more or task.hint), (name, mistake.name)
