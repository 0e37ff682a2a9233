"""The comparison of attention modules, as a user runs it."""

from command_line import run

from keras_sa.training.resuming.lock import only_training


def test_two_comparisons_in_one_directory_are_refused(tmp_path):
    options = ("--arm", "none", "--blocks", "1", "--width", 16, "--image-size", 8)
    with only_training(tmp_path):
        result = run("compare", "digits", "--directory", tmp_path, *options, code=1)
    assert "Another process is training in" in result.output
    assert not (tmp_path / "runs.csv").exists()
