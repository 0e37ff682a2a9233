"""Servers and clients: KServe over REST, TF Serving's protocol over gRPC."""

import base64
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from concurrent import futures
from http.server import BaseHTTPRequestHandler
from http.server import HTTPServer
from pathlib import Path
from urllib.parse import unquote

import numpy as np
import pytest
import tensorflow as tf
from command_line import run
from needed import needed
from serving_samples import image_file
from serving_samples import photo

from keras_sa.serving import client
from keras_sa.serving import write_server_files
from keras_sa.serving import write_warmup
from keras_sa.serving.local_server import BadRequestError
from keras_sa.serving.local_server import SavedModelPredictor
from keras_sa.serving.local_server import image_files
from keras_sa.serving.local_server import latest_version

ROOT = Path(__file__).parents[2]


def expected_probabilities(signatures, files):
    result = signatures["predict_bytes"](image_bytes=tf.constant(files))
    return result["probabilities"].numpy()


def test_the_highest_version_is_served(tmp_path):
    with pytest.raises(FileNotFoundError, match="No version"):
        latest_version(tmp_path)
    for version in ("2", "10", "notes"):
        (tmp_path / version).mkdir()
        (tmp_path / version / "saved_model.pb").touch()
    assert latest_version(tmp_path).name == "10"


def test_the_client_takes_more_images_than_a_server_at_once(tmp_path, monkeypatch):
    counts = []

    def predict(files, name, url):
        counts.append(len(files))
        return [{"labels": ["rose"], "scores": [1.0], "valid": True} for _ in files]

    monkeypatch.setattr(client, "predict_rest", predict)
    image = tmp_path / "rose.png"
    image.write_bytes(image_file(photo()))
    result = run("client", *[image] * 70, "--name", "flowers")
    assert result.output.splitlines() == [f"{image}: rose 1.000"] * 70
    assert sum(counts) == 70 and max(counts) <= 32


def test_a_port_that_is_taken_is_told_in_a_line(exported):
    needed("kserve")
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        result = run("serve", exported.parent, "--port", port, code=1)
    assert result.stderr.splitlines()[-1].startswith(
        f"Error: Can't listen on `port` {port}"
    )
    run("serve", exported.parent, "--port", 70000, code=2)


def test_both_forms_of_an_instance_are_read():
    text = base64.b64encode(b"abc").decode()
    body = {"instances": [{"b64": text}, {"image_bytes": {"b64": text}}]}
    assert image_files(body) == [b"abc", b"abc"]


@pytest.mark.parametrize(
    "body",
    [
        None,
        [],
        {},
        {"instances": "abc"},
        {"instances": [None]},
        {"instances": [{"b64": 3}]},
        {"instances": [{"b64": "*"}]},
        {"instances": [{"image_bytes": "abc"}]},
        {"instances": [{"b64": ""}] * 65},
    ],
    ids=str,
)
def test_other_requests_are_refused(body):
    with pytest.raises(BadRequestError):
        image_files(body)


def test_clients_say_what_is_wrong():
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    with pytest.raises(client.ServerError, match="No predictions"):
        client.predict_rest([b""], "flowers", f"http://127.0.0.1:{port}", timeout=2)
    with pytest.raises(ValueError, match="Received"):
        client.predict_rest([b""], "flowers", "file:///etc/passwd")
    for name, url in [("flowers", "http://127.0.0.1:port"), ("my flowers", "http://a")]:
        with pytest.raises(client.ServerError, match="No predictions"):
            client.predict_rest([b""], name, url)


@pytest.fixture
def kserve(exported):
    needed("kserve")
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    command = [sys.executable, str(ROOT / "scripts" / "serve.py")]
    arguments = [str(exported.parent), f"--port={port}", "--name=flowers"]
    process = subprocess.Popen(
        command + arguments,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        env={**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"},
    )
    url = f"http://127.0.0.1:{port}"
    try:
        deadline = time.monotonic() + 90
        while True:
            try:
                urllib.request.urlopen(f"{url}/v1/models/flowers", timeout=2).close()
                break
            except OSError:
                if process.poll() is not None or time.monotonic() > deadline:
                    process.kill()
                    pytest.fail(process.stderr.read().decode()[-2000:])
                time.sleep(0.5)
        yield url, port, process
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        process.stderr.close()


@pytest.mark.slow
def test_kserve_answers_the_v1_protocol(kserve, signatures, tmp_path):
    url, port, process = kserve
    files = [image_file(photo(seed=n), "JPEG") for n in range(2)]
    predictions = client.predict_rest([*files, b"no image"], "flowers", url)
    assert [p["valid"] for p in predictions] == [True, True, False]
    np.testing.assert_allclose(
        [p["probabilities"] for p in predictions[:2]],
        expected_probabilities(signatures, files),
        atol=1e-5,
    )
    assert predictions[0]["labels"][0].startswith("class ")
    with pytest.raises(client.ServerError, match="404"):
        client.predict_rest(files, "trees", url)
    body = json.dumps({"instances": [{"b64": "*"}]}).encode()
    with pytest.raises(urllib.error.HTTPError) as error:
        urllib.request.urlopen(f"{url}/v1/models/flowers:predict", body, timeout=20)
    assert error.value.code == 400
    error.value.close()
    assert _listening_addresses(process.pid, port) == {"127.0.0.1"}

    (tmp_path / "photo.jpg").write_bytes(files[0])
    if shutil.which("curl"):
        answer = json.loads(run_curl_of_the_guide(tmp_path, port))
        assert answer["predictions"][0] == predictions[0]
    command = [sys.executable, str(ROOT / "scripts" / "client.py")]
    arguments = [str(tmp_path / "photo.jpg"), "--name=flowers", f"--url={url}"]
    result = subprocess.run(
        command + arguments, capture_output=True, text=True, check=True
    )
    assert predictions[0]["labels"][0] in result.stdout


def run_curl_of_the_guide(folder, port):
    """Runs the guide's request with curl, on `photo.jpg`."""
    guide = (ROOT / "docs" / "guides" / "serving.md").read_text(encoding="utf-8")
    example = guide[guide.index("printf ") :].split("```")[0]
    for name, here in (("models/photos", "models/flowers"), ("8501", str(port))):
        assert name in example
        example = example.replace(name, here)
    result = subprocess.run(
        ["bash", "-c", example],
        cwd=folder,
        capture_output=True,
        text=True,
        check=True,
    )
    return result.stdout


def _listening_addresses(pid, port):
    psutil = needed("psutil")
    return {
        connection.laddr.ip
        for connection in psutil.net_connections("inet")
        if (connection.pid, connection.status) == (pid, "LISTEN")
        and connection.laddr.port == port
    }


@pytest.fixture
def grpc_server(signatures):
    """TF Serving's service around the SavedModel, with its real protos."""
    grpc = needed("grpc")
    needed("tensorflow_serving")
    from tensorflow_serving.apis import predict_pb2
    from tensorflow_serving.apis import prediction_service_pb2_grpc as service

    class Service(service.PredictionServiceServicer):
        def Predict(self, request, context):
            if request.model_spec.name != "flowers":
                context.abort(grpc.StatusCode.NOT_FOUND, "Servable not found")
            inputs = {k: tf.make_ndarray(v) for k, v in request.inputs.items()}
            signature = signatures[request.model_spec.signature_name]
            outputs = signature(**{k: tf.constant(v) for k, v in inputs.items()})
            response = predict_pb2.PredictResponse()
            for name, value in outputs.items():
                response.outputs[name].CopyFrom(tf.make_tensor_proto(value.numpy()))
            return response

    server = grpc.server(futures.ThreadPoolExecutor(2))
    service.add_PredictionServiceServicer_to_server(Service(), server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    yield f"127.0.0.1:{port}"
    server.stop(None).wait()


def test_grpc_with_the_real_protos(grpc_server, signatures):
    files = [image_file(photo(seed=n)) for n in range(2)]
    predictions = client.predict_grpc([*files, b""], "flowers", grpc_server)
    assert [p["valid"] for p in predictions] == [True, True, False]
    np.testing.assert_allclose(
        [p["probabilities"] for p in predictions[:2]],
        expected_probabilities(signatures, files),
        atol=1e-5,
    )
    assert predictions[0]["labels"][0].startswith("class ")
    with pytest.raises(client.ServerError, match="NOT_FOUND: Servable not found"):
        client.predict_grpc(files, "trees", grpc_server)


def test_warmup_requests_can_be_read_back(exported, signatures):
    needed("tensorflow_serving")
    from tensorflow_serving.apis import prediction_log_pb2

    path = write_warmup(exported)
    assert path.relative_to(exported) == Path("assets.extra/tf_serving_warmup_requests")
    sizes = []
    for record in tf.data.TFRecordDataset(str(path)):
        log = prediction_log_pb2.PredictionLog.FromString(record.numpy())
        request = log.predict_log.request
        assert request.model_spec.name == exported.parent.name
        files = tf.constant(tf.make_ndarray(request.inputs["image_bytes"]))
        result = signatures[request.model_spec.signature_name](image_bytes=files)
        assert result["valid"].numpy().all()
        sizes.append(len(files))
    assert sizes == [1, 8]


def test_server_files_name_the_model(tmp_path):
    paths = write_server_files(tmp_path / "flowers")
    assert {path.name for path in paths} == {
        "models.config",
        "batching.config",
        "monitoring.config",
        "docker-compose.yml",
    }
    for path in paths:
        text = path.read_text()
        assert text.count("{") == text.count("}")
        assert "flowers" in text or path.name in (
            "batching.config",
            "monitoring.config",
        )


@pytest.mark.parametrize("name", ["my model", "été & co", 'quoted "a"', "50%"])
def test_server_files_of_any_name(tmp_path, name):
    yaml = needed("yaml")
    write_server_files(tmp_path / name)
    text = (tmp_path / name / "docker-compose.yml").read_text(encoding="utf-8")
    ((service, settings),) = yaml.safe_load(text)["services"].items()
    assert re.fullmatch("[A-Za-z0-9_.-]+", service)
    (volume,) = settings["volumes"]
    for option in settings["command"][:1] + settings["command"][2:]:
        assert option.split("=")[1].startswith(volume["target"] + "/")
    models = (tmp_path / name / "models.config").read_text(encoding="utf-8")
    assert f'base_path: "{volume["target"]}"' in models
    (written,) = re.findall("[^_]name: (.*)", models)
    assert json.loads(written) == name
    command = settings["healthcheck"]["test"][-1]
    (asked,) = re.findall("GET /v1/models/([^ ]*) HTTP", command)
    assert unquote(asked.replace("%%", "%")) == name


def test_the_client_asks_for_a_model_of_any_name():
    asked = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            asked.append(self.path)
            self.send_response(200)
            self.end_headers()
            self.wfile.write(b'{"predictions": [{"valid": true}]}')

        def log_message(self, *arguments):
            pass

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.handle_request)
        thread.start()
        url = f"http://127.0.0.1:{server.server_port}"
        answer = client.predict_rest([b"image"], "my model/ü?", url)
        thread.join()
    assert answer == [{"valid": True}]
    assert asked == ["/v1/models/my%20model%2F%C3%BC%3F:predict"]


def test_an_address_that_is_not_asked_is_refused(tmp_path):
    addresses = ("--grpc", "127.0.0.1:9", "--url", "http://127.0.0.1:9")
    result = run("client", tmp_path, "--name", "a", *addresses, code=1)
    assert "Error: --url would do nothing here" in result.output


def test_nothing_is_printed_of_what_a_detector_filled_up(tmp_path, monkeypatch):
    rows = [
        {"labels": ["cat", ""], "scores": [0.9, 0.0], "valid": True},
        {"labels": ["", ""], "scores": [0.0, 0.0], "valid": True},
    ]
    monkeypatch.setattr(client, "predict_rest", lambda files, name, url: rows)
    files = [tmp_path / name for name in ("a.png", "b.png")]
    for file in files:
        file.touch()
    lines = run("client", *files, "--name", "a").output.splitlines()
    assert lines == [f"{files[0]}: cat 0.900", f"{files[1]}: nothing found"]


def test_the_signature_that_is_asked_for_answers(exported, signatures):
    predictor = SavedModelPredictor(exported.parent)
    file = image_file(photo())
    body = {"instances": [{"b64": base64.b64encode(file).decode()}]}
    (features,) = predictor({**body, "signature_name": "features"})["predictions"]
    expected = signatures["features"](image_bytes=tf.constant([file]))["features"]
    np.testing.assert_allclose(features["features"], expected[0], atol=1e-5)
    (default,) = predictor(body)["predictions"]
    assert "probabilities" in default and "features" not in default
    for name in ("predict_images", "nonsense", 3, ["features"]):
        with pytest.raises(BadRequestError, match="one of.*'features'.*Received"):
            predictor({**body, "signature_name": name})


def test_changed_server_files_are_kept(tmp_path):
    batching = tmp_path / "batching.config"
    batching.write_text("max_batch_size { value: 4 }")
    assert batching in write_server_files(tmp_path)
    assert batching.read_text() == "max_batch_size { value: 4 }"
    assert (tmp_path / "models.config").is_file()
    write_server_files(tmp_path, force=True)
    assert "32" in batching.read_text()


def test_the_container_gets_its_settings_read_only(tmp_path):
    yaml = needed("yaml")
    folder = tmp_path / "flowers"
    write_server_files(folder)
    text = (folder / "docker-compose.yml").read_text()
    assert text.startswith("# For the real server. Never run")
    (service,) = yaml.safe_load(text)["services"].values()
    assert service["read_only"] is True
    (volume,) = service["volumes"]
    assert volume["read_only"] is True
    # Every file of the command line is one that was written into the mounted folder.
    mentioned = [word.split("=")[1] for word in service["command"] if "/" in word]
    assert len(mentioned) == 3
    for path in mentioned:
        assert path.startswith(volume["target"] + "/")
        assert (folder / path.removeprefix(volume["target"] + "/")).is_file()
    # Nobody else can reach the ports.
    assert all(port.startswith("127.0.0.1:") for port in service["ports"])


def test_the_health_check_asks_whether_the_model_is_there(tmp_path):
    yaml = needed("yaml")
    bash = shutil.which("bash")
    if bash is None:
        pytest.skip("needs bash")
    write_server_files(tmp_path / "flowers")
    text = (tmp_path / "flowers" / "docker-compose.yml").read_text()
    (service,) = yaml.safe_load(text)["services"].values()
    kind, shell, *arguments = service["healthcheck"]["test"]
    assert (kind, shell) == ("CMD", "bash")

    def answer(state):
        """The exit code of the check against a server that gives this answer."""
        with socket.create_server(("127.0.0.1", 0)) as listener:

            def serve():
                connection, _ = listener.accept()
                with connection, connection.makefile("rb") as request:
                    # One write of bash is one line, whatever a packet holds.
                    asked.append(request.readline() + request.readline())
                    connection.sendall(b"HTTP/1.0 200 OK\r\n\r\n" + state)

            thread = threading.Thread(target=serve)
            thread.start()
            port = listener.getsockname()[1]
            command = [part.replace("8501", str(port)) for part in arguments]
            code = subprocess.run([bash, *command], timeout=20).returncode
            thread.join()
            return code

    asked = []
    assert answer(b'{"state": "AVAILABLE"}') == 0
    assert answer(b'{"state": "LOADING"}') != 0
    assert asked[0] == b"GET /v1/models/flowers HTTP/1.0\r\n\r\n"


def tf_serving_messages():
    """TF Serving's protos for two of its files, which its Python package lacks.

    The fields with their numbers, as in `session_bundle_config.proto` and
    `monitoring_config.proto`.
    """
    from google.protobuf import descriptor_pb2
    from google.protobuf import descriptor_pool
    from google.protobuf import message_factory
    from google.protobuf import wrappers_pb2  # noqa: F401

    pool = descriptor_pool.Default()
    file = descriptor_pb2.FileDescriptorProto(
        name="tests/tf_serving_settings.proto",
        package="tests",
        syntax="proto3",
        dependency=["google/protobuf/wrappers.proto"],
    )
    types = descriptor_pb2.FieldDescriptorProto
    integer = ".google.protobuf.Int64Value"
    messages = {
        "BatchingParameters": [
            ("max_batch_size", 1, integer),
            ("batch_timeout_micros", 2, integer),
            ("max_enqueued_batches", 3, integer),
            ("num_batch_threads", 4, integer),
            ("thread_pool_name", 5, ".google.protobuf.StringValue"),
            ("allowed_batch_sizes", 6, types.TYPE_INT64),
            ("pad_variable_length_inputs", 7, types.TYPE_BOOL),
        ],
        "PrometheusConfig": [
            ("enable", 1, types.TYPE_BOOL),
            ("path", 2, types.TYPE_STRING),
        ],
        "MonitoringConfig": [("prometheus_config", 1, ".tests.PrometheusConfig")],
    }
    for name, fields in messages.items():
        message = file.message_type.add(name=name)
        for field, number, kind in fields:
            repeated = field == "allowed_batch_sizes"
            message.field.add(
                name=field,
                number=number,
                label=types.LABEL_REPEATED if repeated else types.LABEL_OPTIONAL,
                type=types.TYPE_MESSAGE if isinstance(kind, str) else kind,
                type_name=kind if isinstance(kind, str) else None,
            )
    pool.AddSerializedFile(file.SerializeToString())
    return [
        message_factory.GetMessageClass(pool.FindMessageTypeByName(f"tests.{name}"))
        for name in ("BatchingParameters", "MonitoringConfig")
    ]


def test_batching_and_monitoring_are_tf_servings_own_formats(tmp_path):
    text_format = pytest.importorskip("google.protobuf.text_format")
    write_server_files(tmp_path)
    batching, monitoring = (
        text_format.Parse((tmp_path / f"{name}.config").read_text(), message())
        for name, message in zip(
            ("batching", "monitoring"), tf_serving_messages(), strict=True
        )
    )
    # TF Serving refuses to start otherwise.
    sizes = list(batching.allowed_batch_sizes)
    assert sizes == sorted(set(sizes))
    assert sizes[-1] == batching.max_batch_size.value
    assert batching.num_batch_threads.value >= 1
    assert monitoring.prometheus_config.enable
    assert monitoring.prometheus_config.path.startswith("/")


def test_model_config_is_tf_servings_own_format(tmp_path):
    needed("tensorflow_serving")
    from google.protobuf import text_format
    from tensorflow_serving.config import model_server_config_pb2

    config = write_server_files(tmp_path / "flowers")[0].read_text()
    message = text_format.Parse(config, model_server_config_pb2.ModelServerConfig())
    assert message.model_config_list.config[0].base_path == "/models/flowers"
