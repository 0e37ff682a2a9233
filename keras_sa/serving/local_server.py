"""An exported model behind TF Serving's REST protocol, without Docker."""

import base64
import binascii
import socket
from pathlib import Path
from typing import Any

from keras_sa.serving.client import as_predictions
from keras_sa.serving.tf_serving import SIGNATURE
from keras_sa.utils.extras import require_extra

MAX_BATCH = 64


class BadRequestError(ValueError):
    """A request that the client has to change."""


def latest_version(directory: str | Path) -> Path:
    """The highest version of a model's directory, as TF Serving chooses it.

    Raises:
        FileNotFoundError: If there is none.
    """
    directory = Path(directory)
    versions = [
        p for p in directory.glob("*/saved_model.pb") if p.parent.name.isdigit()
    ]
    if not versions:
        raise FileNotFoundError(
            f"No version of a model, such as {directory}/1/saved_model.pb."
        )
    return max(versions, key=lambda path: int(path.parent.name)).parent


def image_files(body) -> list[bytes]:
    """The image files of a v1 request.

    Args:
        body: `{"instances": [{"b64": ...}, ...]}`; an instance may also be
            `{"image_bytes": {"b64": ...}}`. TF Serving takes both.

    Raises:
        BadRequestError: If the request is anything else, or of more than
            `MAX_BATCH` images.
    """
    instances = body.get("instances") if isinstance(body, dict) else None
    if not isinstance(instances, list):
        raise BadRequestError('The request must be {"instances": [...]}.')
    if len(instances) > MAX_BATCH:
        raise BadRequestError(f"At most {MAX_BATCH} images are taken at once.")
    files = []
    for index, instance in enumerate(instances):
        if isinstance(instance, dict) and set(instance) == {"image_bytes"}:
            instance = instance["image_bytes"]
        text = instance.get("b64") if isinstance(instance, dict) else None
        if not isinstance(text, str):
            raise BadRequestError(f'The instance {index} must be {{"b64": "..."}}.')
        try:
            files.append(base64.b64decode(text, validate=True))
        except (binascii.Error, ValueError) as error:
            raise BadRequestError(f"The instance {index} is not base64.") from error
    return files


class SavedModelPredictor:
    """Answers v1 requests with an exported version.

    Args:
        directory: A model's directory. Its highest version is loaded.
    """

    def __init__(self, directory: str | Path):
        import tensorflow as tf

        self.version = latest_version(directory)
        self._model = tf.saved_model.load(str(self.version))

    def __call__(self, body) -> dict:
        import tensorflow as tf

        files = tf.constant(image_files(body), tf.string)
        outputs = self._signature(body)(image_bytes=files)
        return {"predictions": as_predictions(outputs)}

    def _signature(self, body):
        name = body.get("signature_name") or SIGNATURE
        known = {
            signature: function
            for signature, function in self._model.signatures.items()
            if set(function.structured_input_signature[1]) == {"image_bytes"}
        }
        if not isinstance(name, str) or name not in known:
            raise BadRequestError(
                f"`signature_name` must be one of {sorted(known)}. Received: {name!r}"
            )
        return known[name]


def serve(directory: str | Path, port: int = 8501, name: str | None = None) -> None:
    """Serves a model with KServe on 127.0.0.1 until it is interrupted.

    Args:
        directory: A model's directory, with one or more versions.
        port: Of the REST protocol.
        name: The model's name in addresses. Defaults to the directory's.

    Raises:
        ImportError: If KServe is not installed.
        FileNotFoundError: If there is no version.
        OSError: If the port is taken.
    """
    kserve = require_extra("kserve", "serve")
    errors = require_extra("kserve.errors", "serve")
    rest = require_extra("kserve.protocol.rest.server", "serve")
    predictor = SavedModelPredictor(directory)

    model_class: Any = kserve.Model

    class Classifier(model_class):
        def load(self):
            self.ready = True
            return self.ready

        def predict(self, payload, headers=None, response_headers=None):
            try:
                return predictor(payload)
            except BadRequestError as error:
                raise errors.InvalidInput(str(error)) from error

    model = Classifier(name or Path(directory).resolve().name)
    model.load()
    server = kserve.ModelServer(http_port=port, workers=1, enable_grpc=False)
    server.register_model(model)
    rest_server = rest.RESTServer(
        "kserve.model_server:app",
        server.dataplane,
        server.model_repository_extension,
        http_port=port,
    )
    with _listener(port) as listener:
        rest_server.run(sockets=[listener])


def _listener(port):
    # By itself KServe listens on all addresses and has no option for that.
    try:
        return socket.create_server(("127.0.0.1", port))
    except OSError as error:
        raise OSError(
            f"Can't listen on `port` {port} of 127.0.0.1: choose another one. "
            f"Received: {error}"
        ) from error
