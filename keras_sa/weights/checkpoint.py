"""Loading a weight file into a model, all of it or nothing."""

from dataclasses import dataclass
from pathlib import Path

import keras

from keras_sa.utils import layer_names
from keras_sa.weights.keras_files import keras_variables
from keras_sa.weights.mapping import PublishedWeight
from keras_sa.weights.mapping import published_arrays
from keras_sa.weights.mapping import published_weights
from keras_sa.weights.warm_start import attention_layers
from keras_sa.weights.warm_start import warm_start_weights
from keras_sa.weights.weight_files import open_checkpoint

# The classifier head in published and in Keras' files.
HEAD = ("fc.", f"{layer_names.HEAD}/")
SHOWN = 8
# Options of shuffle attention that change what the stored numbers mean.
SAME_OPTIONS = ("groups", "shuffle", "pre_shuffled", "epsilon")


@dataclass(frozen=True)
class LoadReport:
    """What went where.

    Args:
        path: The file.
        key: Which of the file's dictionaries was taken, if it has any.
        warm_start: Whether the file is a plain ResNet's and the model's attention
            was set to begin as the identity.
        loaded: The names in the file whose values are in the model now.
        unused: The names in the file that the model has no place for.
        missing: The names of the model's weights that the file has no value for.
        unfit: The names whose values do not fit, and why.
        skipped: The names of the classifier head that were left alone as asked.
    """

    path: Path
    key: str | None
    warm_start: bool
    loaded: tuple[str, ...]
    unused: tuple[str, ...]
    missing: tuple[str, ...]
    unfit: dict[str, str]
    skipped: tuple[str, ...]

    @property
    def complete(self) -> bool:
        """Whether nothing is left over on either side, except what was skipped."""
        return not (self.unused or self.missing or self.unfit)

    def __str__(self):
        return "\n".join(
            [
                f"{self.path}: {len(self.loaded)} weights loaded"
                + (f" from {self.key!r}" if self.key else "")
                + (", a warm start from a plain ResNet" if self.warm_start else ""),
                *self.leftovers(),
            ]
        )

    def leftovers(self) -> list[str]:
        """A sentence for every kind of what is left over."""
        unfit = [f"{name} {why}" for name, why in self.unfit.items()]
        return [
            f"{len(names)} {title}: {'; '.join(names[:SHOWN])}"
            + (f" and {len(names) - SHOWN} more" if len(names) > SHOWN else "")
            for title, names in (
                ("in the file and not used", self.unused),
                ("in the model and not set", self.missing),
                ("not fitting", unfit),
                ("left alone as asked", self.skipped),
            )
            if names
        ]


def load_checkpoint(
    model: keras.Model,
    path: str | Path,
    strict: bool = True,
    *,
    skip_head: bool = False,
    key: str | None = None,
) -> LoadReport:
    """Loads the weights of a file into a model.

    PyTorch's names and axes are translated (SA-Net's, torchvision's and timm's
    ResNet "v1.5"). A plain ResNet's file given to a network with attention is a
    warm start: the network becomes the same function as that ResNet.

    Everything is read and checked before the first weight is set; after an error
    the model is as it was. Nothing in a file is run.

    Args:
        model: A network of `AttentionResNet`; for Keras' own formats any model.
        path: A `.pth`, `.pt`, `.pth.tar`, `.safetensors`, `.weights.h5`, `.keras` or
            `.npz` file.
        strict: Whether it is an error if anything in the file is not used, or any
            weight of the model is not set. If not, what fits is loaded.
        skip_head: Whether to leave the classifier head (`predictions`) alone, such
            as for another number of classes.
        key: Which of the dictionaries in a PyTorch file to take, such as
            `"model_ema"`. Defaults to the first that is there of `state_dict`,
            `model`, `model_ema` and `state_dict_ema`.

    Returns:
        A `LoadReport`.

    Raises:
        FileNotFoundError: If there is no such file.
        ImportError: If the format needs a package that is not installed.
        ValueError: If the file can't be read or, with `strict`, does not fit the
            model exactly.

    Example:

    >>> model = SAResNet50(weights=None)
    >>> report = load_checkpoint(model, "sa_resnet50.pth.tar")
    >>> report.complete
    True
    """
    with open_checkpoint(path, key) as checkpoint:
        arrays = checkpoint.arrays
        warm_start, targets, initial = _targets(model, checkpoint)
        if warm_start and checkpoint.layout == "keras":
            arrays = published_arrays(arrays)
        skipped = [name for name in arrays if skip_head and name.startswith(HEAD)]
        values, unfit = {}, {}
        for name in arrays.keys() & targets.keys() - set(skipped):
            try:
                values[name] = _value(arrays[name], targets[name])
            except ValueError as error:
                unfit[name] = str(error)
    head = {id(v) for v in _head_variables(model)} if skip_head else set()
    given = {id(targets[name].variable) for name in [*values, *unfit]}
    given |= {id(variable) for variable, _ in initial} | head
    report = LoadReport(
        path=checkpoint.path,
        key=checkpoint.key,
        warm_start=warm_start,
        loaded=tuple(name for name in arrays if name in values),
        unused=tuple(n for n in arrays if n not in targets and n not in skipped),
        missing=tuple(v.path for v in model.weights if id(v) not in given),
        unfit=unfit,
        skipped=tuple(skipped),
    )
    if strict and not report.complete:
        raise ValueError(_refusal(model, report))
    for variable, value in initial:
        variable.assign(value)
    for name, value in values.items():
        targets[name].variable.assign(value)
    return report


def _targets(model, checkpoint):
    """Where the values go, by the names in the file."""
    attentions = attention_layers(model)
    marks = [f"{layer.name}/" for layer in attentions]
    if checkpoint.layout == "published":
        marks = [".sa."]
    if attentions and not any(m in name for name in checkpoint.arrays for m in marks):
        return True, *warm_start_weights(model)
    if checkpoint.layout == "published":
        return False, published_weights(model), []
    _check_same_attention(attentions, checkpoint)
    variables = keras_variables(model, list(checkpoint.arrays))
    targets = {
        name: PublishedWeight(variable, None, tuple(variable.shape), None)
        for name, variable in variables.items()
    }
    return False, targets, []


def _check_same_attention(attentions, checkpoint):
    """The order of the channels shows in no shape, only in the configuration."""
    for layer in attentions:
        saved = checkpoint.layers.get(layer.name, {}).get("config", {})
        own = layer.get_config()
        other = {
            option: (saved[option], own[option])
            for option in SAME_OPTIONS
            if option in saved and option in own and saved[option] != own[option]
        }
        if other:
            raise ValueError(
                f"The attention layer {layer.name!r} in {str(checkpoint.path)!r} has "
                "other options than the model's. Received: (file, model) = "
                f"{other}"
            )


def _value(stored, target):
    if stored.shape != target.shape:
        raise ValueError(f"has the shape {stored.shape}, not {target.shape}")
    dtype = target.variable.dtype
    if "float" in dtype and dtype != "float64":
        # Shorter types are left to the assignment; NumPy does not have them all.
        dtype = "float32"
    return target.to_keras(stored.read(dtype))


def _head_variables(model):
    head = next(
        (layer for layer in model.layers if layer.name == layer_names.HEAD), None
    )
    return [] if head is None else head.weights


def _refusal(model, report):
    advice = ""
    if any(name.startswith(HEAD) for name in (*report.unused, *report.unfit)):
        advice = " `skip_head=True` leaves the classifier head alone."
    return "\n".join(
        [
            f"The weight file {str(report.path)!r} does not fit the model "
            f"{model.name!r}, which is unchanged.",
            *report.leftovers(),
            f"`strict=False` loads what fits.{advice}",
        ]
    )
