"""Asks a server about image files: KServe, or TF Serving's REST and gRPC."""

import base64
import json
import urllib.error
import urllib.request
from collections.abc import Sequence
from http.client import HTTPException
from typing import Any
from urllib.parse import quote
from urllib.parse import urlsplit

import numpy as np

from keras_sa.serving.tf_serving import predict_request
from keras_sa.utils.extras import require_extra

TIMEOUT = 30.0


class ServerError(RuntimeError):
    """A server that could not be reached, or that refused the request."""


def predict_rest(
    files: Sequence[bytes],
    name: str,
    url: str = "http://127.0.0.1:8501",
    timeout: float = TIMEOUT,
) -> list[dict[str, Any]]:
    """Classifies image files with the v1 REST protocol.

    Args:
        files: The image files' bytes.
        name: The model's name.
        url: The server, without a path.
        timeout: In seconds.

    Returns:
        For each file `probabilities`, `classes`, `scores`, `labels` and `valid`.

    Raises:
        ServerError: If there is no answer, or another one than predictions.
        ValueError: If the address is not an http address.
    """
    if urlsplit(url).scheme not in ("http", "https"):
        raise ValueError(f"`url` must begin with http. Received: url={url!r}")
    instances = [{"b64": base64.b64encode(file).decode("ascii")} for file in files]
    request = urllib.request.Request(
        f"{url.rstrip('/')}/v1/models/{quote(name, safe='')}:predict",
        data=json.dumps({"instances": instances}).encode("ascii"),
        headers={"Content-Type": "application/json"},
    )
    try:
        with urllib.request.urlopen(request, timeout=timeout) as response:
            return json.load(response)["predictions"]
    except urllib.error.HTTPError as error:
        reason = error.read(2000).decode("utf-8", "replace")
        raise ServerError(f"The server answers {error.code}: {reason}") from error
    except (OSError, HTTPException, ValueError, KeyError) as error:
        raise ServerError(f"No predictions from {url}: {error}") from error


def predict_grpc(
    files: Sequence[bytes],
    name: str,
    address: str = "127.0.0.1:8500",
    timeout: float = TIMEOUT,
) -> list[dict[str, Any]]:
    """Classifies image files with TF Serving's gRPC protocol.

    Args:
        files: The image files' bytes.
        name: The model's name.
        address: Host and port.
        timeout: In seconds.

    Returns:
        As `predict_rest`.

    Raises:
        ImportError: If `tensorflow-serving-api` is not installed.
        ServerError: If the call fails; the message has gRPC's status.
    """
    import tensorflow as tf

    grpc = require_extra("grpc", "serving")
    service = require_extra(
        "tensorflow_serving.apis.prediction_service_pb2_grpc", "serving"
    )
    with grpc.insecure_channel(address) as channel:
        stub = service.PredictionServiceStub(channel)
        try:
            response = stub.Predict(predict_request(list(files), name), timeout=timeout)
        except grpc.RpcError as error:
            raise ServerError(
                f"The server answers {error.code().name}: {error.details()}"
            ) from error
    outputs = {key: tf.make_ndarray(value) for key, value in response.outputs.items()}
    return as_predictions(outputs)


def as_predictions(outputs: dict) -> list[dict[str, Any]]:
    """The outputs of a signature, one dictionary for each image."""
    columns = {}
    for key, values in outputs.items():
        values = np.asarray(values)
        if values.dtype == object:
            texts = [text.decode("utf-8") for text in values.ravel()]
            values = np.array(texts, object).reshape(values.shape)
        columns[key] = values.tolist()
    rows = zip(*columns.values(), strict=True)
    return [dict(zip(columns, row, strict=True)) for row in rows]
