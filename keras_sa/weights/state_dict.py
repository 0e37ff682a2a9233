"""Finding a network's weights in what PyTorch trainers store."""

import warnings
from collections.abc import Mapping

FIRST_BLOCK = "layer1.0.conv1.weight"
STATE_DICT_KEYS = ("state_dict", "model", "model_ema", "state_dict_ema")
# Counters that are no weights: of batch norms, of averaged models.
COUNTERS = ("num_batches_tracked", "n_averaged")


def find_state_dict(content: object, key: str | None = None) -> tuple[str | None, dict]:
    """The dictionary of weights in a stored object.

    Args:
        content: A dictionary of weights, or one that holds such dictionaries, as
            trainers store them together with the epoch and the optimizer.
        key: Which one to take. By default the first that is there of `state_dict`,
            `model`, `model_ema` and `state_dict_ema`.

    Returns:
        The key (`None` for a bare dictionary of weights) and the dictionary.

    Raises:
        ValueError: If there is none.
    """
    if not isinstance(content, Mapping):
        raise ValueError(f"it holds a {type(content).__name__}, not a dictionary")
    inner = [k for k, value in content.items() if isinstance(value, Mapping)]
    if key is not None:
        if key not in inner:
            raise ValueError(f"it has no dictionary {key!r}, only {inner}")
        return key, dict(content[key])
    found = [k for k in STATE_DICT_KEYS if k in inner]
    key = found[0] if found else None
    if len(found) > 1:
        warnings.warn(
            f"The weight file holds several networks, {found}: {key!r} is taken. "
            f"`key={found[1]!r}` (`--key {found[1]}`) takes another one.",
            stacklevel=2,
        )
    return key, dict(content if key is None else content[key])


def strip_names(names: list[str]) -> dict[str, str]:
    """The names without their common prefix, such as `module.`, and the counters.

    Args:
        names: Names of a state dictionary.

    Returns:
        A dictionary from the plain name to the name.

    Raises:
        ValueError: If there are several networks with different prefixes.
    """
    prefixes = [n.removesuffix(FIRST_BLOCK) for n in names if n.endswith(FIRST_BLOCK)]
    if len(prefixes) > 1:
        raise ValueError(f"it holds several networks, with the prefixes {prefixes}")
    prefix = prefixes[0] if prefixes else ""
    return {
        name.removeprefix(prefix): name
        for name in names
        if name.rpartition(".")[2] not in COUNTERS
    }
