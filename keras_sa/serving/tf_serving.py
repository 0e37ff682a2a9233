"""What TF Serving wants beside a SavedModel: warm-up requests and configurations."""

import json
import re
from pathlib import Path
from urllib.parse import quote

from keras_sa.utils.extras import require_extra
from keras_sa.utils.files import replacing

SIGNATURE = "predict_bytes"
WARMUP_BATCHES = (1, 8)

MODELS = """model_config_list {{
  config {{
    name: {text}
    base_path: "/models/{slug}"
    model_platform: "tensorflow"
  }}
}}
"""
BATCHING = """max_batch_size {{ value: 32 }}
batch_timeout_micros {{ value: 2000 }}
max_enqueued_batches {{ value: 100 }}
num_batch_threads {{ value: 2 }}
allowed_batch_sizes: [1, 2, 4, 8, 16, 32]
"""
MONITORING = """prometheus_config {{
  enable: true,
  path: "/monitoring/prometheus/metrics"
}}
"""
COMPOSE = """# For the real server. Never run: there was no Docker where it was written.
services:
  "{slug}":
    image: tensorflow/serving:2.19.1
    read_only: true
    tmpfs: [/tmp]
    ports:
      - "127.0.0.1:8500:8500"
      - "127.0.0.1:8501:8501"
    volumes:
      - type: bind
        source: .
        target: /models/{slug}
        read_only: true
    command:
      - --model_config_file=/models/{slug}/models.config
      - --enable_batching=true
      - --batching_parameters_file=/models/{slug}/batching.config
      - --monitoring_config_file=/models/{slug}/monitoring.config
    healthcheck:
      # The image has no curl: bash asks whether the model is there.
      test:
        - CMD
        - bash
        - -c
        - >-
          exec 3<>/dev/tcp/127.0.0.1/8501 &&
          printf 'GET /v1/models/{path} HTTP/1.0\\r\\n\\r\\n' >&3 &&
          grep -q AVAILABLE <&3
      interval: 10s
      timeout: 5s
      retries: 12
"""
FILES = {
    "models.config": MODELS,
    "batching.config": BATCHING,
    "monitoring.config": MONITORING,
    "docker-compose.yml": COMPOSE,
}


def write_server_files(directory: str | Path, force: bool = False) -> list[Path]:
    """Writes the configuration of a TF Serving container beside the versions.

    Args:
        directory: The model's directory; its name becomes the model's name.
        force: Whether to replace existing files, which somebody may have changed.
            Otherwise they are kept.

    Returns:
        The paths of `models.config`, `batching.config`, `monitoring.config` and
        `docker-compose.yml`.
    """
    directory = Path(directory).resolve()
    directory.mkdir(parents=True, exist_ok=True)
    paths = []
    for file, template in FILES.items():
        paths.append(directory / file)
        if force or not paths[-1].exists():
            text = template.format(**_names(directory.name))
            paths[-1].write_text(text, encoding="utf-8")
    return paths


def _names(name):
    """A model's name as a string of a configuration, in paths and in addresses."""
    return {
        "text": json.dumps(name, ensure_ascii=False),
        # What is allowed for a service of Docker.
        "slug": re.sub(r"[^A-Za-z0-9_.-]+", "-", name),
        # In a text that `printf` reads.
        "path": quote(name, safe="").replace("%", "%%"),
    }


def predict_request(files: list[bytes], name: str, signature: str = SIGNATURE):
    """A `PredictRequest` for image files.

    Raises:
        ImportError: If `tensorflow-serving-api` is not installed.
    """
    import tensorflow as tf

    protos = require_extra("tensorflow_serving.apis.predict_pb2", "serving")
    request = protos.PredictRequest()
    request.model_spec.name = name
    request.model_spec.signature_name = signature
    tensor = tf.make_tensor_proto(files, dtype=tf.string, shape=[len(files)])
    request.inputs["image_bytes"].CopyFrom(tensor)
    return request


def write_warmup(version: str | Path, name: str | None = None) -> Path:
    """Adds the requests that TF Serving runs before it answers anybody.

    A server that watches the directory may load a version before they are there:
    better let `export` do it with `warmup=True`.

    Args:
        version: The path of a version that `export` wrote.
        name: The model's name. Defaults to that of the directory above.

    Returns:
        The path of `assets.extra/tf_serving_warmup_requests`.

    Raises:
        ImportError: If `tensorflow-serving-api` is not installed.
    """
    import tensorflow as tf

    logs = require_extra("tensorflow_serving.apis.prediction_log_pb2", "serving")
    version = Path(version).resolve()
    name = name or version.parent.name
    path = version / "assets.extra" / "tf_serving_warmup_requests"
    image = tf.io.encode_jpeg(tf.zeros((256, 256, 3), tf.uint8)).numpy()
    with replacing(path) as temporary, tf.io.TFRecordWriter(str(temporary)) as writer:
        for size in WARMUP_BATCHES:
            request = predict_request([image] * size, name)
            log = logs.PredictionLog(predict_log=logs.PredictLog(request=request))
            writer.write(log.SerializeToString())
    return path
