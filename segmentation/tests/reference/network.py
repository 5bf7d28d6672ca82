"""Values of PyTorch for the operations of the network, kept in network.json.

    pip install torch==2.15.0 && python network.py

Images are written as [sample, z, channel, y, x], kernels as PyTorch has them.
"""

import json
from pathlib import Path

import torch
from torch.nn import functional as F

torch.manual_seed(7)
torch.set_default_dtype(torch.float64)


def flat(tensor, planes=True):
    if planes:
        tensor = tensor.permute(0, 2, 1, 3, 4)
    return [round(value, 7) for value in tensor.detach().reshape(-1).tolist()]


def rounded(*shape):
    """Random numbers that single precision and JSON hold alike."""
    return (torch.randn(*shape) * 64).round().div(64).requires_grad_()


def convolution(side):
    image, kernel, bias = rounded(2, 3, 3, 4, 5), rounded(4, 3, side, side, side), rounded(4)
    result = F.leaky_relu(F.conv3d(image, kernel, bias, padding=side // 2), 0.1)
    gradient = rounded(*result.shape)
    result.backward(gradient)
    return {
        "kernel_side": side,
        "image": flat(image),
        "kernel": flat(kernel, planes=False),
        "bias": bias.tolist(),
        "result": flat(result),
        "gradient": flat(gradient),
        "to_image": flat(image.grad),
        "to_kernel": flat(kernel.grad, planes=False),
        "to_bias": bias.grad.tolist(),
    }


def pooling(factors):
    image = rounded(2, 2, 3, 5, 4)
    result = F.max_pool3d(image, factors, ceil_mode=True)
    gradient = rounded(*result.shape)
    result.backward(gradient)
    return {
        "factors": factors,
        "image": flat(image),
        "result": flat(result),
        "gradient": flat(gradient),
        "to_image": flat(image.grad),
    }


def enlarging(factors):
    image = rounded(2, 2, 2, 3, 2)
    result = F.interpolate(image, scale_factor=factors, mode="nearest")
    gradient = rounded(*result.shape)
    result.backward(gradient)
    return {
        "factors": factors,
        "image": flat(image),
        "result": flat(result),
        "gradient": flat(gradient),
        "to_image": flat(image.grad),
    }


values = {
    "convolutions": [convolution(3), convolution(1)],
    "poolings": [pooling([2, 2, 2]), pooling([1, 2, 2])],
    "enlargings": [enlarging([2, 2, 2]), enlarging([1, 2, 2])],
}
path = Path(__file__).parent / "network.json"
path.write_text(json.dumps(values) + "\n")
