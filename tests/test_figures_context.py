"""The figures of notebook 01: the numbers in them are those of the data, not only something drawn."""

import pytest
import torch
from matplotlib import pyplot

from lambdalab.figures import plot_growth, plot_listening, plot_shape, plot_two_orders, write_bytes
from lambdalab.formulas import Shape, count_attention, count_lambda, count_lambda_convolution

SHAPE = Shape(n=64, m=64, k=16, v=8, h=4, b=32)


@pytest.fixture(autouse=True)
def close_figures():
    yield
    pyplot.close("all")


def written(matrix: torch.Tensor) -> list[str]:
    return [f"{number:g}" for number in matrix.flatten().tolist()]


def test_both_orders_are_written_with_all_their_numbers():
    queries = torch.tensor([[1.0, 2], [3, -4], [5, 6]])
    keys, values = torch.tensor([[7.0, 8], [9, 10]]), torch.tensor([[11.0], [12]])
    axes = plot_two_orders(queries, keys, values)
    texts = [text.get_text() for text in axes.texts]
    assert "a map: n×m = 3×2" in texts and "λ: k×v = 2×1" in texts
    numbers = [text for text in texts if text.lstrip("-").isdigit()]
    y = written(queries @ keys.T @ values)
    above = [*written(queries), *written(keys.T), *written(queries @ keys.T), *written(values), *y]
    below = [*written(keys.T), *written(values), *written(keys.T @ values), *written(queries), *y]
    assert numbers == above + below


def test_the_query_is_marked_and_the_weights_are_laid_out_row_by_row():
    attention, implied = torch.arange(12.0) / 66, torch.arange(12.0) - 6
    axes = plot_listening(torch.zeros(1, 3, 4, dtype=torch.uint8), 7, attention, implied).get_figure().axes
    for ax, weights in ((axes[1], attention), (axes[2], implied)):
        assert ax.images[0].get_array().tolist() == weights.reshape(3, 4).tolist()
        assert {(line.get_xdata()[0], line.get_ydata()[0]) for line in ax.lines} == {(3, 1)}
    assert axes[2].images[0].get_clim() == (-6, 6)


def test_growth_draws_the_formulas():
    figure = plot_growth(SHAPE, 7, [4, 8, 16]).get_figure()
    stored, work = figure.axes[:2]
    at = {side: Shape(**vars(SHAPE) | {"n": side**2, "m": side**2}) for side in (4, 8, 16)}
    for ax, of in ((stored, lambda count: count.bytes), (work, lambda count: count.multiply_adds)):
        lines = {line.get_label(): list(line.get_ydata()) for line in ax.lines}
        assert lines["attention"] == [of(count_attention(shape)) for shape in at.values()]
        assert lines["lambda, global"] == [of(count_lambda(shape)) for shape in at.values()]
        windows = [Shape(**vars(shape) | {"m": 49}) for shape in at.values()]
        assert lines["lambda convolution, scope 7"] == [of(count_lambda_convolution(shape)) for shape in windows]
        assert ax.get_xscale() == ax.get_yscale() == "log"


def test_bars_are_as_long_as_the_counts():
    stored, work = plot_shape(SHAPE).get_figure().axes
    counts = count_attention(SHAPE), count_lambda(SHAPE)
    assert [bar.get_width() for bar in stored.patches] == [count.bytes for count in counts]
    assert [bar.get_width() for bar in work.patches] == [count.multiply_adds for count in counts]
    assert [text.get_text() for text in stored.texts] == [write_bytes(count.bytes) for count in counts]
    # 32·4·64·64·24 = 12,582,912 and 32·64·64·128 + 32·64·128 + 32·4·64·128 = 18,087,936
    assert [text.get_text() for text in work.texts] == ["1.3·10⁷", "1.8·10⁷"]


@pytest.mark.parametrize(
    "amount, text", [(4, "4 B"), (1023, "1023 B"), (1536, "1.5 KiB"), (2**30, "1 GiB"), (3 * 2**40, "3 TiB")]
)
def test_memory_is_written_with_a_unit(amount, text):
    assert write_bytes(amount) == text
