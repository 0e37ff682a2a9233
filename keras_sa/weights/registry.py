"""The published weights that the networks can start from.

Every address, hash, accuracy and licence is what its source says in public:
torchvision's `models/resnet.py` and timm's `models/resnet.py` and
`results/results-imagenet.csv`. PyTorch's file names carry the first eight digits of
the file's SHA-256.
"""

from dataclasses import dataclass
from typing import Literal
from typing import TypeGuard

TORCHVISION = "https://download.pytorch.org/models"
TIMM_RELEASE = (
    "https://github.com/rwightman/pytorch-image-models/releases/download/"
    "v0.1-rsb-weights"
)
HUGGING_FACE = "https://huggingface.co"

# torchvision adds that pre-trained models may have terms of the data set they were
# trained on, and timm says the same of ImageNet.
BSD = "BSD-3-Clause (torchvision's)"
APACHE = "Apache-2.0 (timm's)"
UNKNOWN = "none stated; must not be passed on"


@dataclass(frozen=True)
class Preprocessing:
    """How images were prepared for the reported accuracy.

    Args:
        resize: Length of the short side.
        interpolation: Of the resizing.
        crop: Height and width of the centre crop.
        mean: Mean of the red, green and blue channel of images in 0..1.
        std: Their standard deviation.
    """

    resize: int = 256
    interpolation: Literal["bilinear", "bicubic"] = "bilinear"
    crop: int = 224
    mean: tuple[float, float, float] = (0.485, 0.456, 0.406)
    std: tuple[float, float, float] = (0.229, 0.224, 0.225)


@dataclass(frozen=True)
class Weights:
    """Published weights.

    Args:
        depth: Of the network, 50, 101 or 152.
        kind: `"sa"` or `"resnet"`, a plain ResNet for a warm start.
        file: Its name in the cache.
        url: Where it can be downloaded, or `None`.
        sha256: The file's SHA-256 or the beginning of it, or `None` for a file that
            the user installs.
        top1: Accuracy on ImageNet's validation images in percent.
        top5: The same for the five most probable classes, or `None`.
        reported_by: Whose the accuracies are.
        license: What the source says.
        preprocessing: How the images were prepared.
    """

    depth: int
    kind: Literal["sa", "resnet"]
    file: str
    url: str | None
    sha256: str | None
    top1: float
    top5: float | None
    reported_by: str
    license: str
    preprocessing: Preprocessing = Preprocessing()


def _torchvision(depth, prefix, top1, top5, resize):
    file = f"resnet{depth}-{prefix}.pth"
    return Weights(
        depth,
        "resnet",
        file,
        f"{TORCHVISION}/{file}",
        prefix,
        top1,
        top5,
        "torchvision",
        BSD,
        Preprocessing(resize=resize),
    )


def _timm_release(depth, recipe, prefix, top1, top5):
    file = f"resnet{depth}_{recipe}-{prefix}.pth"
    return Weights(
        depth,
        "resnet",
        file,
        f"{TIMM_RELEASE}/{file}",
        prefix,
        top1,
        top5,
        "timm",
        APACHE,
        Preprocessing(resize=235, interpolation="bicubic"),
    )


def _timm_hub(name, sha256, top1, top5, license, preprocessing):
    return Weights(
        50,
        "resnet",
        f"{name}.safetensors",
        f"{HUGGING_FACE}/timm/{name}/resolve/main/model.safetensors",
        sha256,
        top1,
        top5,
        "timm",
        license,
        preprocessing,
    )


def _authors(depth, top1, top5):
    return Weights(
        depth,
        "sa",
        f"sa_resnet{depth}.npz",
        None,
        None,
        top1,
        top5,
        "authors",
        UNKNOWN,
    )


WEIGHTS: dict[str, Weights] = {
    "torchvision_resnet50_v1": _torchvision(50, "0676ba61", 76.130, 92.862, 256),
    "torchvision_resnet50_v2": _torchvision(50, "11ad3fa6", 80.858, 95.434, 232),
    "torchvision_resnet101_v1": _torchvision(101, "63fe2227", 77.374, 93.546, 256),
    "torchvision_resnet101_v2": _torchvision(101, "cd907fc2", 81.886, 95.780, 232),
    "torchvision_resnet152_v1": _torchvision(152, "394f9c45", 78.312, 94.046, 256),
    "torchvision_resnet152_v2": _torchvision(152, "f82ba261", 82.284, 96.002, 232),
    "timm_resnet50_tv": _timm_hub(
        "resnet50.tv_in1k",
        "5d061a3c593d795bfe682d9b152bafbcf550579873492def3515b46db1189888",
        76.156,
        92.866,
        BSD,
        Preprocessing(),
    ),
    "timm_resnet50_a1": _timm_hub(
        "resnet50.a1_in1k",
        "773525d5821de224f8f30c33377b7a795d7863e08522698200d3217d3f2a41bb",
        80.382,
        94.598,
        APACHE,
        Preprocessing(resize=235, interpolation="bicubic"),
    ),
    "timm_resnet101_a1h": _timm_release(101, "a1h", "36d3f2aa", 81.950, 95.760),
    "timm_resnet152_a1h": _timm_release(152, "a1h", "dc400468", 82.818, 96.124),
    "sa_resnet50": _authors(50, 77.882, 93.892),
    "sa_resnet101": _authors(101, 78.95, None),
}
# The best of a kind for each depth.
ALIASES: dict[str, dict[int, str]] = {
    "imagenet": {
        50: "torchvision_resnet50_v2",
        101: "timm_resnet101_a1h",
        152: "timm_resnet152_a1h",
    },
    "sa_imagenet": {50: "sa_resnet50", 101: "sa_resnet101"},
}


def is_weight_name(weights: object) -> TypeGuard[str]:
    """Whether `weights` names published weights, so that it is not a path."""
    return isinstance(weights, str) and (weights in WEIGHTS or weights in ALIASES)


def weight_names(depth: int) -> list[str]:
    """What `weights=` takes for a network of this depth, besides a path."""
    aliases = [alias for alias, names in ALIASES.items() if depth in names]
    return aliases + [name for name, entry in WEIGHTS.items() if entry.depth == depth]


def find_weights(name: str, depth: int) -> Weights:
    """The entry of a name or alias for a network of this depth.

    Raises:
        ValueError: If there is none.
    """
    entry = WEIGHTS.get(ALIASES.get(name, {}).get(depth, name))
    if entry is None or entry.depth != depth:
        raise ValueError(
            f"There are no weights {name!r} for a ResNet of depth {depth}. There are "
            f"{weight_names(depth)}; None is a random start, and the path of a file "
            "is possible."
        )
    return entry
