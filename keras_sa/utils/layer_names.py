"""The names of a ResNet's layers, as `keras.applications` gives them.

`conv1_...` are the stem's layers, `conv{level}_block{block}_{part}` those of a block,
`conv{level}_attention` is an attention behind a whole stage and `predictions` the last
layer. A level is that of a feature pyramid: the first stage's is 2. Saved files depend
on these names.
"""

import re
from dataclasses import dataclass

STEM = "conv1"
HEAD = "predictions"
FIRST_LEVEL = 2
# Parts of a block: its convolutions, of the shortcut and in their order, each with a
# `_conv` and a `_bn`; and what follows on them.
SHORTCUT, REDUCE, SPATIAL, EXPAND = "0", "1", "2", "3"
ATTENTION, ADD, OUTPUT = "attention", "add", "out"
_NAME = re.compile(r"conv(\d+)(?:_block(\d+))?_(.+)")


@dataclass(frozen=True)
class Place:
    """A block, or the end of a whole stage.

    Args:
        level: The stage's level in a feature pyramid, from 2.
        block: The block's number in its stage, from 1; `None` for the stage.
    """

    level: int
    block: int | None = None

    def __str__(self):
        stage = f"conv{self.level}"
        return stage if self.block is None else f"{stage}_block{self.block}"

    def layer(self, part: str) -> str:
        """The name of the layer that is this part, such as `"attention"`."""
        return f"{self}_{part}"


def parse(name: str) -> tuple[Place, str] | None:
    """The place and the part of a layer, or `None` if its name is of another kind."""
    match = _NAME.fullmatch(name)
    if match is None or int(match[1]) < FIRST_LEVEL:
        return None
    return Place(int(match[1]), int(match[2]) if match[2] else None), match[3]


def level_of_output(name: str) -> int | None:
    """The level of which a layer has maps that may leave the stage.

    Those of its last such layer do: a block's output, or the attention behind all
    blocks.
    """
    place, part = parse(name) or (None, None)
    if place is None or part != (ATTENTION if place.block is None else OUTPUT):
        return None
    return place.level
