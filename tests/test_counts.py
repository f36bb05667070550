"""Parameters of the networks, to the integer: the paper's tables recounted, and the original's."""

import pytest
import torch

from lambdalab.models import count_parameters, create_model


def count(name: str, **options) -> int:
    with torch.device("meta"):  # shapes without numbers: nothing is drawn
        return count_parameters(create_model(name, **options))


PAPER = {"CCCC": 25_557_032, "LCCC": 25_490_744, "LLCC": 24_992_888, "LLLC": 21_727_448}
PAPER |= {"LLLL": 14_995_592, "CLLL": 15_061_880, "CCLL": 15_559_736, "CCCL": 18_825_176}


@pytest.mark.parametrize("stages", PAPER)
def test_hybrids_of_the_paper_have_the_recounted_parameters(stages):
    assert count("lambda_resnet50", stages=stages) == PAPER[stages]


@pytest.mark.parametrize("part", ["content", "position"])
def test_one_lambda_alone_rounds_to_the_papers_count(part):
    assert round(count("lambda_resnet50", **{part: False}) / 1e6, 1) == 14.9


@pytest.mark.parametrize(
    ("depth", "stages", "se_ratio", "expected"),
    [
        (152, "LLLL", None, 32_805_768 + 544),
        (152, "CLLL", None, 32_805_768 + 544 + 66_288),
        (152, "CCLL", None, 32_805_768 + 544 + 66_288 + 995_712),
        (152, "CCLL", 4, 35_021_272),
        (200, "LLLL", None, 35_294_856 + 1_056),
        (200, "CLLL", None, 35_294_856 + 1_056 + 66_288),
        (200, "CCLL", None, 35_294_856 + 1_056 + 66_288 + 2_987_136),
        (200, "CCLL", 4, 41_609_688),
    ],
)
def test_what_makes_35_and_42_million(depth, stages, se_ratio, expected):
    assert count(f"lambda_resnet{depth}", stages=stages, se_ratio=se_ratio) == expected


@pytest.mark.parametrize(
    ("dim_k", "heads", "dim_u", "expected"),
    [
        (8, 2, 1, 15_031_464),
        (8, 16, 1, 14_907_816),
        (2, 4, 1, 14_613_000),
        (4, 4, 1, 14_668_008),
        (8, 4, 1, 14_778_024),
        (16, 4, 1, 14_998_056),
        (32, 4, 1, 15_438_120),
        (2, 8, 1, 14_486_280),
        (4, 8, 1, 14_571_752),
        (8, 8, 1, 14_742_696),
        (16, 8, 1, 15_084_584),
        (32, 8, 1, 15_768_360),
        (8, 8, 4, 15_263_016),
        (8, 8, 8, 16_038_696),
        (16, 4, 4, 16_038_696),
    ],
)
def test_the_originals_ablation_table(dim_k, heads, dim_u, expected):
    scope = 23 if dim_u == 1 else 7
    options = {"dim_k": dim_k, "heads": heads, "dim_u": dim_u, "scope": scope}
    assert count("lambda_resnet50_original", **options) == expected


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("resnet50_original", 25_560_872),
        ("lambda_resnet50_original", 14_998_056),
        ("lambda_resnet101_original", 24_736_472),
        ("lambda_resnet152_original", 32_805_768),
        ("lambda_resnet200_original", 35_294_856),
        ("lambda_resnet270_original", 48_077_832),
        ("lambda_resnet350_original", 60_050_920),
        ("lambda_resnet420_original", 69_888_184),
    ],
)
def test_the_originals_models(name, expected):
    assert count(name) == expected


def test_a_wider_scope_than_the_originals_for_u_4():
    assert round(count("lambda_resnet50_original", dim_k=8, heads=8, dim_u=4, scope=23) / 1e6, 2) == 15.51


@pytest.mark.parametrize(
    ("name", "options", "imagenet_stem", "cifar_stem"),
    [
        ("resnet18_original", {}, 13_970_506, 13_962_826),
        ("lambda_resnet18_original", {"dim_u": 4, "scope": 7}, 8_672_842, 8_665_162),
        ("lambda_resnet18_original", {"dim_u": 4, "scope": 5}, 8_660_554, 8_652_874),
        ("lambda_resnet18_original", {"dim_u": 1, "scope": 23}, 8_100_298, 8_092_618),
        ("resnet50_original", {}, 23_532_362, 23_524_682),
        ("lambda_resnet50_original", {"dim_u": 4, "scope": 7}, 14_010_186, 14_002_506),
        ("lambda_resnet50_original", {"dim_u": 1, "scope": 23}, 12_969_546, 12_961_866),
    ],
)
def test_the_cifar10_table(name, options, imagenet_stem, cifar_stem):
    assert count(name, num_classes=10, **options) == imagenet_stem
    assert count(name, num_classes=10, stem="cifar", **options) == cifar_stem


@pytest.mark.parametrize(("name", "expected"), [("resnet18", 11_173_962), ("resnet50", 23_520_842)])
def test_pytorch_cifars_networks(name, expected):
    assert count(name, num_classes=10, stem="cifar") == expected
