"""PyTorch where it is installed, for comparisons with what it reads and writes."""

import pytest

try:
    import torch
except ImportError:
    torch = None

needs_torch = pytest.mark.skipif(
    torch is None,
    reason="needs PyTorch: pip install 'keras-sa[torch]'",
)
