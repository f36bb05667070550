"""Exercise 07: rescue the run that stays at chance: γ = 1 in the last batch norm of every block.

The network is the community code's LambdaResNet50, narrow enough for a laptop: all of its 16 blocks, an eighth of its
width, digits for pictures. Its gradient at step 0 is as hopeless as the large one's.
"""

from collections.abc import Callable, Iterable

import torch
from torch import nn

from lambdalab.exercises.feedback import Feedback, not_written
from lambdalab.exercises.fresh import Fresh
from lambdalab.exercises.judging import called, no_function
from lambdalab.gradients import gradient_norm
from lambdalab.models import ResNet, create_model

CALM = 100.0  # gradient norms: about 4 where γ = 0, more than 1,000 where γ = 1
RESCUED, CHANCE = 0.6, 0.25  # test accuracies after two epochs: 90 % and 3 to 15 % were measured


def draw_network(seed: int, zero_gamma: bool = False) -> ResNet:
    """Return the network that does not learn, with fresh weights; with ``zero_gamma`` the one that does."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        small = {"width": 8, "channels": 1, "num_classes": 10, "stem": "cifar", "scope": 7}
        return create_model("lambda_resnet50_original", **small, zero_gamma=zero_gamma)


def check_last_norms(answer: object) -> Feedback:
    """Check a function of a network that returns a list of its blocks' last batch norms."""
    if (refused := no_function(answer)) is not None:
        return refused
    network = draw_network(Fresh().whole(0, 10**6))
    made = called(answer, (network,))
    if isinstance(made, Feedback):
        return made
    hint = "network.stages has stages, a stage has blocks, and block.residual is a sequence."
    more = "[block.residual[-1] for stage in network.stages for block in stage]: 16 of them."
    made = list(made) if isinstance(made, Iterable) else [made]
    if not all(isinstance(each, nn.BatchNorm2d) for each in made):
        return Feedback(False, "Not yet: a list of batch norms is wanted, and of nothing else.", hint=hint, more=more)
    found, wanted = set(map(id, made)), set(map(id, last_norms(network)))
    if found == wanted:
        return Feedback(True, f"Right. {len(wanted)} blocks, and in each the norm that ends the residual.")
    for name, norms in _other_norms(network).items():
        if found == set(map(id, norms)):
            return Feedback(False, f"Not yet. These are {name}.", hint=hint, more=more)
    message = f"Not yet: {len(found & wanted)} of {len(wanted)} are among yours, and {len(found - wanted)} others."
    return Feedback(False, message, hint=hint, more=more)


def check_rescue(answer: object) -> Feedback:
    """Check a function that changes a network drawn with γ = 1, in place, so that it can learn."""
    if (refused := no_function(answer)) is not None:
        return refused
    fresh = Fresh()
    network, images = draw_network(fresh.whole(0, 10**6)), fresh.numbers(16, 1, 8, 8).float()
    labels = torch.arange(16) % 10
    before = {name: weight.detach().clone() for name, weight in network.named_parameters()}
    made = called(lambda: [answer(network)], ())  # it works in place: what it returns does not matter
    if isinstance(made, Feedback):
        return made
    after = dict(network.named_parameters())
    changed = [name for name in after if name not in before or not torch.equal(after[name], before[name])]
    return _judge_rescue(network, changed, lambda: gradient_norm(network, images, labels) < CALM)


def check_trained(run: object) -> Feedback:
    """Check the run of a rescued network: its accuracy on the test digits."""
    if run is None or run is ...:
        return not_written()
    accuracy = getattr(run, "summary", {}).get("test_top1")
    if accuracy is None:
        return Feedback(False, "Not yet: a finished run is wanted, what fit(…) returns.", hint="run = fit(network, …)")
    if accuracy > RESCUED:
        return Feedback(True, "Right. The same network, the same recipe, other numbers in 16 batch norms: it learns.")
    near = "about chance" if accuracy < CHANCE else "better than chance, and far from what it can do"
    hint = "Draw the network, rescue it, and only then train it."
    return Feedback(False, f"Not yet: {accuracy:.0%} of the test digits are right, {near}.", hint=hint)


def last_norms(network: ResNet) -> list[nn.BatchNorm2d]:
    """Return the last batch norm of every block, whose γ the paper sets to 0."""
    return [block.residual[-1] for stage in network.stages for block in stage]


def _other_norms(network: ResNet) -> dict[str, list[nn.BatchNorm2d]]:
    """What somebody might take for the last norms, by name."""
    blocks = [block for stage in network.stages for block in stage]
    shortcuts = [each for block in blocks for each in block.shortcut.modules() if isinstance(each, nn.BatchNorm2d)]
    return {
        "all batch norms of the network": [each for each in network.modules() if isinstance(each, nn.BatchNorm2d)],
        "the last norms of each stage's first block alone": [stage[0].residual[-1] for stage in network.stages],
        "the last norms of each stage's last block alone": [stage[-1].residual[-1] for stage in network.stages],
        "the norms in the middle, behind the lambda layers": [block.residual[-4] for block in blocks],
        "the shortcuts' norms": shortcuts,
        "the right ones, and the shortcuts' norms with them": last_norms(network) + shortcuts,
    }


def _judge_rescue(network: ResNet, changed: list[str], calm: Callable[[], bool]) -> Feedback:
    """Judge a changed network by what was changed and whether its gradient is calm."""
    hint = "Measure before and after: gradient_norm(network, x, labels), as in section 6 of notebook 07."
    more = "Only γ of the last norms: nn.init.zeros_(norm.weight) for each norm of step 1."
    if not changed:
        message = "Not yet: nothing in the network has changed. Change its weights in place."
        return Feedback(False, message, hint="A new tensor under an old name is not the network's.", more=more)
    silent = [norm for norm in last_norms(network) if not norm.weight.any()]
    others = [norm for norm in network.modules() if isinstance(norm, nn.BatchNorm2d) and not norm.weight.any()]
    if len(others) > len(silent):
        message = "Not yet: γ = 0 in other norms as well. What they multiply is gone, and comes back by no shortcut."
        return Feedback(False, message, hint="Which norms have a way around them?", more=more)
    if calm():
        return Feedback(True, "Right. The gradient's norm has come down from thousands to a few.")
    if silent:
        message = f"Not yet: γ = 0 in {len(silent)} of {len(last_norms(network))} blocks; the others still square."
        return Feedback(False, message, hint="Every block takes part in the chain.", more=more)
    if all("embedding" in name for name in changed):
        message = (
            "Not yet: these are the embeddings. A suspect, but an innocent one: the gradient is as long as before."
        )
        return Feedback(False, message, hint=hint, more=more)
    return Feedback(False, "Not yet: the gradient is as hopeless as before.", hint=hint, more=more)
