"""The networks that a study compares, by name."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from dataclasses import field
from types import MappingProxyType
from typing import Any

from keras_sa.layers import attention_names
from keras_sa.study.ablations import ABLATED
from keras_sa.study.ablations import AblatedShuffleAttention

NONE = "none"
GROUPED = ("sa", "sge", ABLATED)
GROUPS = re.compile(r"sa_groups_(\d+)")


@dataclass(frozen=True)
class Arm:
    """One of the networks that are compared.

    Args:
        attention: For `AttentionResNet`, `None` for none.
        options: Of the attention.
    """

    attention: str | None
    options: Mapping[str, Any] = field(default_factory=lambda: MappingProxyType({}))


# What a study compares unless told otherwise.
MODULES: dict[str, Arm] = {
    NONE: Arm(None),
    "se": Arm("se"),
    "bam": Arm("bam"),
    "cbam": Arm("cbam"),
    "sge": Arm("sge"),
    "eca": Arm("eca"),
    "sa": Arm("sa"),
    "sa_no_shuffle": Arm("sa", {"shuffle": False}),
}
# Shuffle attention with a part left out or another number of groups.
ABLATIONS: dict[str, Arm] = {
    NONE: MODULES[NONE],
    "sa": MODULES["sa"],
    "sa_no_shuffle": MODULES["sa_no_shuffle"],
    **{
        f"sa_no_{part}": Arm(ABLATED, {"without": part})
        for part in AblatedShuffleAttention.PARTS
    },
    **{f"sa_groups_{n}": Arm("sa", {"groups": n}) for n in (1, 2, 4, 8, 16, 32)},
}


def get_arm(name: str, groups: int) -> Arm:
    """The network of this name.

    Args:
        name: Of `MODULES` or `ABLATIONS`, `"sa_groups_N"`, or any registered
            attention.
        groups: For the modules that have groups, unless the arm says otherwise.

    Raises:
        ValueError: If there is none; the message lists the known names.
    """
    known = {**{name: Arm(name) for name in attention_names()}, **MODULES, **ABLATIONS}
    match = GROUPS.fullmatch(name)
    if match:
        arm = Arm("sa", {"groups": int(match[1])})
    elif name in known:
        arm = known[name]
    else:
        raise ValueError(
            f"An arm must be one of {list(known)} or sa_groups_N. Received: {name!r}"
        )
    if arm.attention in GROUPED:
        return Arm(arm.attention, {"groups": groups, **arm.options})
    return arm
