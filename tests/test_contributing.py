"""The example of a new attention layer in CONTRIBUTING.md works as it stands there."""

import re
from pathlib import Path

import contracts
import pytest
from tiny_networks import build_tiny

from keras_sa.layers import registry
from keras_sa.utils import count_flops

CONTRIBUTING = Path(__file__).resolve().parents[1] / "CONTRIBUTING.md"


@pytest.fixture
def example(monkeypatch):
    """What the example defines; its registration ends with the test."""
    monkeypatch.setattr(registry, "ATTENTIONS", dict(registry.ATTENTIONS))
    (code,) = re.findall(r"```python\n(.+?)```", CONTRIBUTING.read_text(), re.S)
    names = {}
    exec(compile(code, str(CONTRIBUTING), "exec"), names)
    return names


def test_the_example_is_an_attention_layer_like_the_others(example):
    contracts.check_attention_layer(example["SimAM"], 16)
    model = build_tiny("simam")
    layers = [x for x in model.layers if isinstance(x, example["SimAM"])]
    assert len(layers) == 2
    assert count_flops(model) > count_flops(build_tiny(None))
    with pytest.raises(ValueError, match="'simam' is taken"):
        registry.register_attention("simam", example["SimAM"])
