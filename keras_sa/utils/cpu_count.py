"""How many processors this process may use."""

import os


def cpu_count() -> int:
    """The processors that this process may run on; all where that can't be asked.

    Linux alone knows it: a container or a batch system often lends some of them.
    """
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
