"""`keras-sa`, as the shell runs it."""

from typer.testing import CliRunner

from keras_sa.scripts.main import app


def run(*arguments, code: int = 0):
    """Runs a command that must end with this exit code.

    Args:
        *arguments: Of `keras-sa`; they are made strings.
        code: 0, 1 after an error that the command tells of, 2 after a usage that is
            wrong by itself.
    """
    result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    if not isinstance(result.exception, SystemExit | None):
        raise result.exception
    assert result.exit_code == code, result.output[-2000:]
    return result
