"""The same training step in PyTorch, for `time_steps.py` to compare with.

ResNet, a head of two layers, NT-Xent and SGD with momentum, on views that are given:
channels last, bfloat16 and torch.compile, which is PyTorch's fastest. Needs torch.
"""

import time

import torch
from torch import nn
from torch.nn import functional

# Name -> (blocks of each group, whether they are bottlenecks, large stem).
NETWORKS = {
    "resnet18_32px": ((2, 2, 2, 2), False, False),
    "resnet50_224px": ((3, 4, 6, 3), True, True),
}


def convolution(channels, features, size, stride=1):
    """Return a convolution with batch norm."""
    return nn.Sequential(
        nn.Conv2d(channels, features, size, stride, size // 2, bias=False),
        nn.BatchNorm2d(features),
    )


class Block(nn.Module):
    """A residual block of two 3 x 3 convolutions, or a bottleneck."""

    def __init__(self, channels, width, stride, is_bottleneck):
        super().__init__()
        features = 4 * width if is_bottleneck else width
        if is_bottleneck:
            parts = [
                convolution(channels, width, 1),
                nn.ReLU(),
                convolution(width, width, 3, stride),
                nn.ReLU(),
                convolution(width, features, 1),
            ]
        else:
            parts = [
                convolution(channels, width, 3, stride),
                nn.ReLU(),
                convolution(width, width, 3),
            ]
        self.parts = nn.Sequential(*parts)
        self.shortcut = nn.Identity()
        if stride > 1 or channels != features:
            self.shortcut = convolution(channels, features, 1, stride)

    def forward(self, x):
        return functional.relu(self.parts(x) + self.shortcut(x))


def network(name):
    """Return encoder and head as one module."""
    numbers, is_bottleneck, has_large_stem = NETWORKS[name]
    layers = [convolution(3, 64, 7 if has_large_stem else 3, 1 + has_large_stem)]
    layers.append(nn.ReLU())
    if has_large_stem:
        layers.append(nn.MaxPool2d(3, 2, 1))
    channels = 64
    for group, number in enumerate(numbers):
        width = 64 * 2**group
        for place in range(number):
            stride = 2 if group and not place else 1
            layers.append(Block(channels, width, stride, is_bottleneck))
            channels = 4 * width if is_bottleneck else width
    layers += [nn.AdaptiveAvgPool2d(1), nn.Flatten()]
    layers += [nn.Linear(channels, channels, bias=False), nn.BatchNorm1d(channels)]
    layers += [nn.ReLU(), nn.Linear(channels, 128, bias=False), nn.BatchNorm1d(128)]
    return nn.Sequential(*layers)


def make(name, batch_size, size):
    """Return a function that trains a step and returns its seconds."""
    device = "cuda" if torch.cuda.is_available() else "cpu"
    torch.manual_seed(0)
    model = network(name).to(device, memory_format=torch.channels_last).train()
    compiled = torch.compile(model)
    optimizer = torch.optim.SGD(model.parameters(), 0.01, momentum=0.9)
    views = torch.rand(2 * batch_size, 3, size, size, device=device)
    views = views.contiguous(memory_format=torch.channels_last)
    rows = torch.arange(batch_size, device=device)
    other = torch.cat([rows + batch_size, rows])
    own = torch.eye(2 * batch_size, dtype=torch.bool, device=device)

    def step():
        optimizer.zero_grad(set_to_none=True)
        with torch.autocast(device, dtype=torch.bfloat16):
            projections = compiled(views)
        z = functional.normalize(projections.float(), dim=1)
        logits = (z @ z.T / 0.1).masked_fill(own, -1e9)
        functional.cross_entropy(logits, other).backward()
        optimizer.step()

    def timed():
        synchronize = torch.cuda.synchronize if device == "cuda" else lambda: None
        synchronize()
        began = time.perf_counter()
        step()
        synchronize()
        return time.perf_counter() - began

    for _ in range(3):  # Compiling.
        timed()
    return timed
