"""The published architecture in PyTorch, step by step as the paper draws it."""

from collections.abc import Callable

import numpy as np

EPSILON = 1e-5
STATISTICS = ("running_mean", "running_var", "weight", "bias")


def torch_reference(state: dict[str, np.ndarray], groups: int = 64) -> Callable:
    """A ResNet with bottlenecks, with or without shuffle attention.

    Written from the paper, for comparison: the groups become part of the batch, each
    is cut in two branches, the branches are normalised, gated, put together and
    shuffled.

    Args:
        state: Weights by their published names, see
            `keras_sa.weights.weight_export.published_state`.
        groups: Of the attention.

    Returns:
        A function of normalised images, a float32 array `(batch, height, width, 3)`,
        that gives the logits as an array.
    """
    from keras_sa.utils.extras import require_extra

    torch = require_extra("torch", "torch")
    functional = torch.nn.functional
    weights = {
        name: torch.from_numpy(np.array(array, "float32", order="C"))
        for name, array in state.items()
    }

    def convolution(x, name, stride=1):
        kernel = weights[f"{name}.weight"]
        return functional.conv2d(x, kernel, None, stride, kernel.shape[-1] // 2)

    def batch_norm(x, name):
        statistics = (weights[f"{name}.{key}"] for key in STATISTICS)
        return functional.batch_norm(x, *statistics, eps=EPSILON)

    def attention(x, name):
        def weight(key):
            return weights[f"{name}.{key}"].reshape(1, -1, 1, 1)

        count, channels, height, width = x.shape
        x = x.reshape(count * groups, channels // groups, height, width)
        first, second = x.chunk(2, 1)
        mean = first.mean((2, 3), keepdim=True)
        first = first * torch.sigmoid(weight("cweight") * mean + weight("cbias"))
        scale, shift = weights[f"{name}.gn.weight"], weights[f"{name}.gn.bias"]
        normalised = functional.group_norm(
            second, second.shape[1], scale, shift, EPSILON
        )
        gate = torch.sigmoid(weight("sweight") * normalised + weight("sbias"))
        x = torch.cat([first, second * gate], 1)
        x = x.reshape(count, 2, channels // 2, height, width).transpose(1, 2)
        return x.reshape(count, channels, height, width)

    def bottleneck(x, name, stride):
        y = torch.relu(batch_norm(convolution(x, f"{name}.conv1"), f"{name}.bn1"))
        y = convolution(y, f"{name}.conv2", stride)
        y = torch.relu(batch_norm(y, f"{name}.bn2"))
        y = batch_norm(convolution(y, f"{name}.conv3"), f"{name}.bn3")
        if f"{name}.sa.cweight" in weights:
            y = attention(y, f"{name}.sa")
        if f"{name}.downsample.0.weight" in weights:
            x = convolution(x, f"{name}.downsample.0", stride)
            x = batch_norm(x, f"{name}.downsample.1")
        return torch.relu(x + y)

    def run(images):
        x = torch.from_numpy(images).permute(0, 3, 1, 2).contiguous()
        x = torch.relu(batch_norm(convolution(x, "conv1", 2), "bn1"))
        x = functional.max_pool2d(x, 3, 2, 1)
        for stage in range(1, 5):
            block = 0
            while f"layer{stage}.{block}.conv1.weight" in weights:
                stride = 2 if stage > 1 and block == 0 else 1
                x = bottleneck(x, f"layer{stage}.{block}", stride)
                block += 1
        x = functional.linear(x.mean((2, 3)), weights["fc.weight"], weights["fc.bias"])
        return x.numpy()

    def without_gradients(images):
        with torch.inference_mode():
            return run(images)

    return without_gradients
