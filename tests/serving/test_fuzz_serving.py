"""Hostile files change nothing for anybody else."""

import pytest
import tensorflow as tf
from needed import needed

from keras_sa.scripts.checks.fuzz_serving import attack


@pytest.fixture(autouse=True)
def pillow():
    needed("PIL")


def test_hostile_payloads_do_no_harm(signatures):
    result = attack(signatures["predict_bytes"], 300, seed=1)
    assert result["payloads"] == 300
    assert result["difference"] <= 1e-6
    assert 0 < result["still_images"] < 150


@pytest.mark.parametrize("harm", ["neighbours", "valid"])
def test_harm_would_be_noticed(signatures, harm):
    def predict(image_bytes):
        answer = dict(signatures["predict_bytes"](image_bytes=image_bytes))
        if harm == "neighbours" and len(image_bytes) > 1:
            answer["probabilities"] += 1e-3
        if harm == "valid":
            answer["valid"] = tf.ones_like(answer["valid"])
        return answer

    with pytest.raises(RuntimeError, match="good image changed|without a decoder|zero"):
        attack(predict, 200)
