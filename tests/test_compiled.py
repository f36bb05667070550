"""The compiled kernel against the paper's equations in float64, where the planner takes it, and doing without."""

import os
import shutil
import stat
import warnings

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from reference import picture, randomise, relative_error
from test_contraction import check, tensors

from lambdalab import choices, compiled
from lambdalab.choices import NAMES, alternatives, choose
from lambdalab.contraction import map_first
from lambdalab.cuts import KERNEL
from lambdalab.errors import UserError
from lambdalab.layers import LambdaLayer
from lambdalab.planner import plan
from lambdalab.work import LANES, Shape, count_kernel

LAYER = Shape(32, 32, 32, 16, 16, 4, 1, (23, 23))


def shapes(least: int, side: int):
    """Shapes with depths and sides of at least so much."""
    return st.fixed_dictionaries(
        {
            "batch": st.integers(1, 3),
            "size": st.tuples(st.integers(side, 9), st.integers(side, 24)),
            "heads": st.integers(1, 6),
            "dim_k": st.integers(least, 20),
            "dim_u": st.integers(1, 5),
            "dim_v": st.integers(least, 70),
            "scope": st.sampled_from([3, 5, 23] if side > 1 else [1, 3, 5, 23]),
            "seed": st.integers(0, 99),
        }
    )


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A cache in which the kernel is compiled once for all tests."""
    if not any(map(shutil.which, ("c++", "g++", "clang++"))):
        pytest.skip("there is no C++ compiler")
    return tmp_path_factory.mktemp("cache")


@pytest.fixture
def forget():
    """Have what is remembered of compilers and choices belong to one test."""

    def clear():
        for remembered in (compiled.runs, compiled.library, choices.alternatives):
            remembered.cache_clear()

    clear()
    yield
    clear()


@pytest.fixture
def kernel(folder, forget, monkeypatch):
    monkeypatch.setenv(compiled.VARIABLE, "1")
    monkeypatch.setattr(compiled, "cache_dir", lambda: folder)


@pytest.fixture
def compiler(tmp_path, forget, monkeypatch):
    """Return a function that makes a shell's lines the compiler."""

    def make(lines):
        program = tmp_path / "compiler"
        program.write_text(f"#!/bin/sh\n{lines}\n", encoding="utf-8")
        program.chmod(program.stat().st_mode | stat.S_IXUSR)
        monkeypatch.setenv("CXX", str(program))

    monkeypatch.setenv(compiled.VARIABLE, "1")
    monkeypatch.setattr(compiled, "cache_dir", lambda: tmp_path / "cache")
    return make


def by_kernel(*inputs):
    return map_first(*inputs, KERNEL)


class TestSums:
    @pytest.fixture(autouse=True)
    def threads(self, kernel):
        before = torch.get_num_threads()
        yield
        torch.set_num_threads(before)

    # In float32 all results have many numbers: a single one may be a long sum that comes out near zero.
    @pytest.mark.parametrize(
        ("dtype", "tolerance", "shapes"),
        [(torch.float64, 1e-10, shapes(1, 1)), (torch.float32, 1e-5, shapes(8, 3))],
        ids=["float64", "float32"],
    )
    def test_equal_the_equations(self, dtype, tolerance, shapes):
        @given(shape=shapes, threads=st.integers(1, 4))
        def equal(shape, threads):
            torch.set_num_threads(threads)
            check(by_kernel, tensors(**shape, dtype=dtype), tolerance)

        equal()

    def test_do_not_depend_on_how_tensors_lie_in_memory(self):
        shape = {"batch": 2, "size": (5, 6), "heads": 4, "dim_k": 16, "dim_u": 2, "dim_v": 16, "scope": 5, "seed": 0}
        inputs = tensors(**shape, dtype=torch.float64)
        lying = [each.detach().transpose(0, 1).contiguous().transpose(0, 1).requires_grad_() for each in inputs]
        assert not any(each.is_contiguous() for each in lying)
        for ours, theirs in zip(gradients(lying), gradients(inputs), strict=True):
            assert torch.equal(ours, theirs)

    def test_of_no_pictures_are_none(self):
        shape = {"batch": 1, "size": (3, 4), "heads": 2, "dim_k": 2, "dim_u": 1, "dim_v": 2, "scope": 3, "seed": 0}
        queries, values, embedding = tensors(**shape, dtype=torch.float32)
        y = by_kernel(queries[:0], values[:0], embedding)
        assert y.shape == (0, 3, 4, 2, 2) and not torch.autograd.grad(y.sum(), embedding)[0].any()

    def test_have_a_second_derivative(self):
        shape = {"batch": 1, "size": (3, 4), "heads": 2, "dim_k": 2, "dim_u": 1, "dim_v": 2, "scope": 3, "seed": 0}
        assert torch.autograd.gradgradcheck(by_kernel, tensors(**shape, dtype=torch.float64))


def gradients(inputs):
    """Of a sum, which sends back a gradient that is one number seen everywhere."""
    y = by_kernel(*inputs)
    return [y, *torch.autograd.grad(y.sum(), inputs)]


class TestPlan:
    def test_a_layer_takes_the_kernel(self, kernel):
        choice = choose(LAYER)
        assert choice.name == "kernel" and choice.order == "banded" and choice.tiling == KERNEL
        layer = LambdaLayer(64, scope=23)
        assert "→ kernel" in str(layer.plan((32, 32))) and "none: one kernel" in str(layer.plan((32, 32)))

    def test_tiles_stay_to_be_compared_with(self, kernel):
        assert sorted(way.name for way in alternatives(LAYER)) == sorted(NAMES)

    @pytest.mark.parametrize(("seconds", "taken"), [(1.09, True), (1.11, False)])
    def test_it_is_taken_where_it_is_nearly_the_best(self, kernel, monkeypatch, seconds, taken):
        monkeypatch.setattr(choices, "price", lambda work, device: seconds if "compiled" in work else 1.0)
        found = plan(LAYER)
        assert (found.choice.name == "kernel") == taken
        assert ("to within 10 %, with less memory" in found.reason) == taken

    def test_the_same_layer_in_another_order_agrees(self, kernel):
        layer = randomise(LambdaLayer(32, dim_k=8, dim_u=2, scope=5).double(), seed=0)
        other = LambdaLayer(32, dim_k=8, dim_u=2, scope=5, contraction="convolve").double()
        other.load_state_dict(layer.state_dict())
        x = picture(2, 32, 9, 8)
        assert choose(Shape(2, 9, 8, 8, 8, 4, 2, (5, 5), dtype=torch.float64)).tiling == KERNEL
        assert relative_error(layer(x), other(x)) <= 1e-10

    def test_torch_compile_keeps_it(self, kernel, monkeypatch):
        layer, x = randomise(LambdaLayer(16, dim_k=8, scope=5).train(), seed=0), picture(2, 16, 6, 5).float()
        expected = torch.autograd.grad(layer(x).square().sum(), list(layer.parameters()))
        called, gradients = [], compiled.position_term_gradients
        monkeypatch.setattr(compiled, "position_term_gradients", lambda *args: (called.append(1), gradients(*args))[1])
        torch.compiler.reset()
        y = torch.compile(layer, backend="aot_eager", fullgraph=True)(x)
        for ours, theirs in zip(torch.autograd.grad(y.square().sum(), list(layer.parameters())), expected, strict=True):
            assert relative_error(ours, theirs) <= 1e-4
        assert called

    @pytest.mark.parametrize("change", [{"dtype": torch.bfloat16}, {"dtype": torch.float16}, {"device": "cuda"}])
    def test_other_numbers_and_devices_do_without(self, kernel, change):
        assert all(way.tiling != KERNEL for way in alternatives(LAYER._replace(**{"window": (63, 63)} | change)))

    def test_nobody_gets_it_unasked(self, forget, monkeypatch):
        monkeypatch.delenv(compiled.VARIABLE, raising=False)
        monkeypatch.setattr(compiled, "library", lambda dtype: pytest.fail("compiled unasked"))
        assert all(way.tiling != KERNEL for way in alternatives(LAYER))

    def test_a_wrong_wish_is_refused(self, forget, monkeypatch):
        monkeypatch.setenv(compiled.VARIABLE, "yes")
        with pytest.raises(UserError, match="LAMBDALAB_COMPILED must be 1, for the compiled kernel, or 0; got 'yes'"):
            alternatives(LAYER)

    @given(size=st.tuples(st.integers(1, 12), st.integers(1, 40)), reach=st.integers(0, 11), u=st.integers(1, 4))
    def test_work_is_counted_as_the_loops_go(self, size, reach, u):
        window = tuple(min(2 * reach + 1, 2 * side - 1) for side in size)
        shape = Shape(3, *size, 12, 20, 4, u, window, training=False)
        rows = entries = vectors = 0
        for y in range(size[0]):
            for _ in range(max(0, y - window[0] // 2), min(size[0], y + window[0] // 2 + 1)):
                for x in range(size[1]):
                    seen = u * len(range(max(0, x - window[1] // 2), min(size[1], x + window[1] // 2 + 1)))
                    rows, entries, vectors = rows + 1, entries + seen, vectors - -seen // LANES
        work, memory = count_kernel(shape)
        assert memory == 0 and work["rows of pixels"] == 3 * rows
        assert work["q·E in vectors"] == 3 * 4 * vectors * LANES * 16 and work["a·V in vectors"] == 3 * 4 * entries * 24


class TestCompiler:
    def test_compiles_once_and_says_so(self, folder, tmp_path, compiler, capsys):
        compiler(f'echo once >> {tmp_path / "times"}\nexec c++ "$@"')
        for _ in range(2):
            compiled.library.cache_clear()
            assert compiled.library(torch.float32).lanes() in (2, 4, 8)
        assert (tmp_path / "times").read_text(encoding="utf-8") == "once\n"
        assert capsys.readouterr().err.count("compiling the lambda layer's kernel") == 1

    def test_none_is_told_once_and_done_without(self, forget, tmp_path, monkeypatch):
        monkeypatch.setenv(compiled.VARIABLE, "1")
        monkeypatch.setenv("PATH", str(tmp_path))
        monkeypatch.delenv("CXX", raising=False)
        with pytest.warns(UserWarning, match="do without their compiled kernel, which is slower: no C.. compiler"):
            assert all(way.tiling != KERNEL for way in alternatives(LAYER))
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            alternatives(LAYER._replace(batch=1))

    @pytest.mark.parametrize(
        ("lines", "reason"),
        [
            ("echo 'unknown option' >&2; echo more >&2; exit 1", r"does not compile compiled\.cpp: unknown option$"),
            ("exit 1", "no reason was given"),
            ('shift 8; echo no library > "$1"', "cannot be had"),
        ],
    )
    def test_a_broken_one_is_told_in_a_line(self, compiler, tmp_path, lines, reason):
        compiler(lines)
        with pytest.raises(compiled.CannotCompile, match=reason) as error:
            compiled.library(torch.float32)
        assert "\n" not in str(error.value)
        assert not os.listdir(tmp_path / "cache" / "compiled")  # nothing that would be taken for a kernel next time

    def test_one_that_is_not_there_is_told_in_a_line(self, compiler, monkeypatch):
        monkeypatch.setenv("CXX", "no-such-compiler")
        with pytest.raises(compiled.CannotCompile, match="no-such-compiler"):
            compiled.library(torch.float32)
