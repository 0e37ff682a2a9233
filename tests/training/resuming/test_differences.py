"""In what two trainings differ."""

from keras_sa.training.resuming.differences import differences


def test_every_value_that_is_not_the_same_is_told():
    before = {"seed": 0, "recipe": {"l2": 0.1, "crop": [1, 2], "same": 3}, "gone": "x"}
    now = {"seed": 1, "recipe": {"l2": 0.1, "crop": [1, 3], "same": 3}, "new": True}
    assert differences(before, now) == [
        'gone was "x", now null',
        "new was null, now true",
        "recipe.crop was [1, 2], now [1, 3]",
        "seed was 0, now 1",
    ]


def test_what_is_nothing_may_be_missing():
    assert differences({"clipnorm": None}, {}) == []
    assert differences({}, {"clipnorm": None, "part": {}}) == []
