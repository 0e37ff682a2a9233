"""Arguments that several attention layers have in common."""

# As in the networks around them.
BATCH_NORM = {"momentum": 0.9, "epsilon": 1e-5}


def check_positive_integer(name: str, value: int, odd: bool = False) -> None:
    """Checks that an argument is an integer of at least 1.

    Args:
        name: Name of the argument, for the message.
        value: What was received.
        odd: Whether it must be odd too.

    Raises:
        ValueError: If it is not.
    """
    is_integer = isinstance(value, int) and not isinstance(value, bool)
    if not is_integer or value < 1 or (odd and value % 2 == 0):
        raise ValueError(
            f"`{name}` must be an {'odd ' if odd else ''}integer of at least 1. "
            f"Received: {name}={value!r}"
        )


def hidden_units(channels: int, ratio: int) -> int:
    """Units of a gate's hidden layer: `channels // ratio`, at least 1."""
    return max(channels // ratio, 1)
