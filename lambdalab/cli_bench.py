"""`lambdalab bench`: lambdalab's layers and networks against others, in time and memory."""

import click

from lambdalab.bench.console import COMMON, FILE, PRODUCTS, numbers, options, print_tables, save, with_bar


@click.group("bench")
def bench_command() -> None:
    """Measure lambdalab's layers and networks against others.

    Times are taken in rounds, every side in turn, so that a busy machine meets all alike; a ratio is the median of the
    rounds' ratios, with its quartiles. Close other programs all the same.

    \b
    lambdalab bench layer --shapes 8x8                    six shapes, half a minute
    lambdalab bench layer --csv layer.csv --figure layer.png
    lambdalab bench model --depths 18 --sizes 32
    lambdalab bench scaling --memory-limit 2000
    lambdalab bench training --networks laptop
    LAMBDALAB_COMPILED=1 lambdalab bench layer            with the kernel in C++, which is compiled once
    """


@bench_command.command("layer", short_help="a layer against its peers, shape by shape")
@click.option(
    "--against", metavar="PEERS", help="original, lambda-networks, timm, with commas  [all that are installed]"
)
@click.option("--shapes", metavar="FILTER", help="parts of shapes' names, or a whole name  [all]")
@click.option("--contraction", default="auto", show_default=True, help="the order in which our layer sums")
@click.option(
    "--repeats", default=15, show_default=True, type=click.IntRange(1), help="rounds a shape and pass, at most"
)
@click.option(
    "--seconds",
    default=10.0,
    show_default=True,
    type=click.FloatRange(0),
    help="for a shape; two rounds are counted in any case",
)
@options([*PRODUCTS, *COMMON])
def layer_command(against, shapes, csv_file, figure, **settings) -> None:
    """One layer, shape by shape: forward alone, and forward with backward.

    A shape's name says it all: b32-c64-32x32-u4-r23 are 32 pictures of 64 channels and 32×32 pixels, u = 4, scope 23;
    k = 16 and h = 4. A filter takes some of its parts with hyphens between them, alternatives with commas.

    \b
    lambdalab bench layer --shapes 32x32-u4,global --against timm
    lambdalab bench layer --shapes b8-c96-20x30-u2-r15-k8-h3 --memory

    timm's layer has no intra-depth u: where u > 1 it runs at u = 1, marked with a star, and its means are given with
    and without these shapes.
    """
    from lambdalab.bench.layer import LayerBench
    from lambdalab.bench.report import layer_summary, layer_tables
    from lambdalab.bench.shapes import choose
    from lambdalab.bench.sides import check_peers
    from lambdalab.train_state import find_device

    find_device(settings["device"])
    chosen = choose(shapes)
    bench = LayerBench(tuple(check_peers(against)), **settings)
    rows = with_bar(len(chosen), lambda progress: bench.rows(chosen, progress))
    print_tables(layer_tables(rows), layer_summary(rows))
    save(rows, csv_file, figure, "plot_peers")


@bench_command.command("model", short_help="a training step of whole networks")
@click.option("--depths", default="18,50", show_default=True, metavar="LIST", help="of the networks")
@click.option(
    "--sizes", default="32,224", show_default=True, metavar="LIST", help="of the pictures; up to 64 with CIFAR's stem"
)
@click.option("--batch", type=click.IntRange(2), help="pictures a step  [32 small ones, 4 large ones]")
@click.option("--repeats", default=5, show_default=True, type=click.IntRange(1), help="rounds, at most")
@click.option(
    "--seconds",
    default=30.0,
    show_default=True,
    type=click.FloatRange(0),
    help="for a depth and size; two rounds are counted in any case",
)
@options([*PRODUCTS, *COMMON])
def model_command(depths, sizes, batch, csv_file, figure, **settings) -> None:
    """A training step of a LambdaResNet, of the same with the original's layers, and of the ResNet of equal depth.

    \b
    lambdalab bench model --depths 18 --sizes 32 --batch 128
    lambdalab bench model --depths 50 --sizes 224 --batch 8 --memory
    """
    from lambdalab.bench.model import ModelBench, cases
    from lambdalab.bench.report import model_table
    from lambdalab.train_state import find_device

    find_device(settings["device"])
    chosen = cases(numbers(depths), numbers(sizes), batch)
    rows = with_bar(len(chosen), lambda progress: ModelBench(**settings).rows(chosen, progress))
    print_tables([model_table(rows)], [])
    save(rows, csv_file, figure, "plot_networks")


@bench_command.command("scaling", short_help="time and memory as the picture grows")
@click.option("--sizes", default="16,24,32,48,64,96,128", show_default=True, metavar="LIST", help="of the pictures")
@click.option("--batch", default=4, show_default=True, type=click.IntRange(1), help="pictures a step")
@click.option("--dim", default=64, show_default=True, type=click.IntRange(4), help="channels")
@click.option(
    "--memory-limit",
    "limit_mb",
    default=4000.0,
    show_default=True,
    type=click.FloatRange(1),
    help="MB; what would need more is not run",
)
@click.option("--repeats", default=5, show_default=True, type=click.IntRange(1), help="rounds, at most")
@click.option(
    "--seconds",
    default=40.0,
    show_default=True,
    type=click.FloatRange(0),
    help="for local scopes, and again for the global context",
)
@options(COMMON)
def scaling_command(sizes, csv_file, figure, **settings) -> None:
    """How time and memory grow with the picture, up to the limit of memory that you set.

    Local scopes 7 and 23 grow with the pixels, the global context with pairs of pixels, like self-attention, which is
    measured beside it. The exponent of time is the slope on logarithmic scales.
    """
    from lambdalab.bench.report import scaling_summary, scaling_table
    from lambdalab.bench.scaling import ScalingBench
    from lambdalab.train_state import find_device

    find_device(settings["device"])
    bench = ScalingBench(**settings)
    sides = numbers(sizes)
    rows = with_bar(None, lambda progress: bench.rows(sides, progress))
    print_tables([scaling_table(rows)], scaling_summary(rows, bench.limit_mb))
    save(rows, csv_file, figure, "plot_scaling")


@bench_command.command("training", short_help="the whole loop against the original's way of training")
@click.option("--networks", metavar="LIST", help="laptop, readme, with commas  [both]")
@click.option("--batch", type=click.IntRange(2), help="pictures a step  [laptop 128, readme 32]")
@click.option("--steps", type=click.IntRange(1), help="in a round  [laptop 8, readme 2]")
@click.option("--workers", default=0, show_default=True, type=click.IntRange(0), help="of the original's DataLoader")
@click.option("--repeats", default=5, show_default=True, type=click.IntRange(1), help="rounds, at most")
@click.option(
    "--seconds",
    default=120.0,
    show_default=True,
    type=click.FloatRange(0),
    help="for a network; two rounds are counted in any case",
)
@options([PRODUCTS[2], *COMMON[:2]])
def training_command(networks, batch, steps, csv_file, **settings) -> None:
    """Training as `lambdalab train` does it, against the original's way, on the same random pictures.

    Ours: pictures on the device, augmented as whole batches, channels-last, the planner's order of sums, bfloat16 on a
    GPU. The original's way: the same network with its layer, float32, and torchvision's transforms picture by picture
    in a DataLoader. Networks: the laptop queue's on 16², and the README's LambdaResNet18 (16, 4, 4, 7) on 32².

    \b
    lambdalab bench training --networks laptop --memory
    lambdalab bench training --device cuda --batch 128 --steps 50 --workers 4 --memory
    """
    from lambdalab.bench.report import training_table
    from lambdalab.bench.training import TrainingBench, choose_cases
    from lambdalab.train_state import find_device

    find_device(settings["device"])
    chosen = choose_cases(networks, batch, steps)
    rows = with_bar(len(chosen), lambda progress: TrainingBench(**settings).rows(chosen, progress))
    print_tables([training_table(rows)], [])
    save(rows, csv_file)


@bench_command.command("planner", short_help="is the planner's choice the quickest order?")
@click.option("--shapes", "count", default=40, show_default=True, type=click.IntRange(1), help="how many, at random")
@click.option("--seed", default=0, show_default=True, help="which")
@click.option("--repeats", default=7, show_default=True, type=click.IntRange(1), help="rounds, at most")
@click.option(
    "--seconds",
    default=2.0,
    show_default=True,
    type=click.FloatRange(0),
    help="for a shape; two rounds are counted in any case",
)
@click.option("--fit", type=FILE, help="write prices fitted to this machine, for LAMBDALAB_PRICES to name")
@options(COMMON[:2])
def planner_command(count, seed, csv_file, fit, **settings) -> None:
    """The position term of random shapes in every order: not square, odd channels, other k, h, u and scopes.

    The planner chooses by counting, never by timing, so here it is put to the test: was its order the quickest? Its
    prices for a unit of work come with lambdalab, from other machines than yours; --fit finds those of this one.

    \b
    lambdalab bench planner --shapes 60
    lambdalab bench planner --shapes 200 --seed 1 --fit prices.json
    LAMBDALAB_PRICES=prices.json lambdalab bench planner --shapes 60
    """
    from lambdalab.bench.planner import PlannerBench, random_shapes
    from lambdalab.bench.report import planner_summary, planner_table
    from lambdalab.train_state import find_device

    find_device(settings["device"])
    if fit is not None and csv_file is not None:
        raise click.UsageError("--fit writes prices and --csv how right they are; ask for one at a time")
    shapes = random_shapes(count, seed, settings["device"])
    if fit is not None:
        from lambdalab.bench.pricing import fit_prices, time_work, write_prices

        fitted = fit_prices(with_bar(count, lambda progress: time_work(shapes, PlannerBench(**settings), progress)))
        write_prices(fit, fitted, settings["device"])
        click.echo(f"{fitted.timings} timings, predicted to within {fitted.error:.0%} as a rule; written to {fit}")
        return
    rows = with_bar(count, lambda progress: PlannerBench(**settings).rows(shapes, progress))
    print_tables([planner_table(rows)], planner_summary(rows))
    save(rows, csv_file)
