"""Relative errors of the Triton kernels, y and the three gradients, against the paper's sum in float64.

As a program, with TRITON_INTERPRET=1 in its environment: on the CPU, in Triton's interpreter, a JSON list a shape.
"""

import json
import sys

import torch
from reference import relative_error

from lambdalab import kernels
from lambdalab.contraction import crop, lambda_first
from lambdalab.cuts import KERNEL


def errors(shape: list[int], device: str = "cpu", dtype: torch.dtype = torch.float16) -> list[float]:
    """Errors at (b, H, W, h, k, u, v, scope), with inputs that the dtype holds exactly."""
    b, height, width, h, k, u, v, scope = shape
    generator = torch.Generator().manual_seed(0)
    sizes = (b, height, width, h, k), (b, height, width, u, v), (k, u, scope, scope), (b, height, width, h, v)
    queries, values, embedding, grad = (torch.randn(*size, generator=generator).to(dtype) for size in sizes)
    embedding = crop(embedding, (height, width))
    exact = [each.double().requires_grad_() for each in (queries, values, embedding)]
    y = lambda_first(*exact)
    wanted = [y, *torch.autograd.grad(y, exact, grad.double())]
    inputs = [each.to(device) for each in (queries, values, embedding)]
    found = [kernels.position_term(*inputs, KERNEL)]
    found += kernels.position_term_gradients(grad.to(device), *inputs, KERNEL)
    return [relative_error(ours.double().cpu(), theirs) for ours, theirs in zip(found, wanted, strict=True)]


if __name__ == "__main__":
    for shape in json.loads(sys.argv[1]):
        print(json.dumps(errors(shape)))
