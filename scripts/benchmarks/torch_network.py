"""A ResNet in PyTorch that trains, with or without the published attention.

Written from the papers, as PyTorch users write such networks: what a GPU is compared
with.
"""

from typing import Any

import torch
from torch import nn

BLOCKS = {50: (3, 4, 6, 3), 101: (3, 4, 23, 3), 152: (3, 8, 36, 3)}


class ShuffleAttention(nn.Module):
    """Groups in the batch, two branches split and joined, a shuffle of the halves."""

    def __init__(self, channels: int, groups: int = 64):
        super().__init__()
        self.groups = groups
        half = channels // (2 * groups)
        self.channel_weight, self.spatial_weight = (
            nn.Parameter(torch.zeros(1, half, 1, 1)) for _ in range(2)
        )
        self.channel_bias, self.spatial_bias = (
            nn.Parameter(torch.ones(1, half, 1, 1)) for _ in range(2)
        )
        self.norm = nn.GroupNorm(half, half)

    def forward(self, maps):
        count, channels, height, width = maps.shape
        x = maps.reshape(count * self.groups, -1, height, width)
        first, second = x.chunk(2, dim=1)
        mean = first.mean((2, 3), keepdim=True)
        first = first * torch.sigmoid(self.channel_weight * mean + self.channel_bias)
        gate = self.spatial_weight * self.norm(second) + self.spatial_bias
        x = torch.cat([first, second * torch.sigmoid(gate)], dim=1)
        x = x.reshape(count, 2, channels // 2, height, width).transpose(1, 2)
        return x.reshape(count, channels, height, width)


class Bottleneck(nn.Module):
    """1x1, 3x3 and 1x1 convolutions around a shortcut."""

    def __init__(self, inputs: int, width: int, stride: int, attention: bool):
        super().__init__()
        outputs = 4 * width
        self.residual = nn.Sequential(
            *_convolution(inputs, width, 1),
            nn.ReLU(inplace=True),
            *_convolution(width, width, 3, stride),
            nn.ReLU(inplace=True),
            *_convolution(width, outputs, 1),
            ShuffleAttention(outputs) if attention else nn.Identity(),
        )
        self.shortcut: nn.Module = nn.Identity()
        if stride > 1 or inputs != outputs:
            self.shortcut = nn.Sequential(*_convolution(inputs, outputs, 1, stride))

    def forward(self, x):
        return torch.relu(self.residual(x) + self.shortcut(x))


def resnet(blocks: tuple[int, ...], attention: bool, classes: int = 1000) -> nn.Module:
    """A ResNet of bottlenecks for images of ImageNet's kind, in training mode.

    Args:
        blocks: How many each stage has: (3, 4, 6, 3) is ResNet-50.
        attention: Whether every block has shuffle attention.
        classes: Number of outputs.
    """
    layers = [*_convolution(3, 64, 7, 2), nn.ReLU(True), nn.MaxPool2d(3, 2, 1)]
    inputs = 64
    for stage, count in enumerate(blocks):
        width = 64 * 2**stage
        for block in range(count):
            stride = 2 if stage and not block else 1
            layers.append(Bottleneck(inputs, width, stride, attention))
            inputs = 4 * width
    head = nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(inputs, classes)
    return nn.Sequential(*layers, *head)


def resnet_on_device(depth: int, attention: bool) -> tuple[nn.Module, str]:
    """A published network on the GPU, if there is one, with maps in channels_last.

    Returns:
        The network and the device.
    """
    torch.backends.cudnn.benchmark = True
    device = "cuda" if torch.cuda.is_available() else "cpu"
    model: Any = resnet(BLOCKS[depth], attention)
    return model.to(device, memory_format=torch.channels_last), device


def _convolution(inputs, outputs, size, stride=1):
    convolution = nn.Conv2d(inputs, outputs, size, stride, size // 2, bias=False)
    return convolution, nn.BatchNorm2d(outputs)
