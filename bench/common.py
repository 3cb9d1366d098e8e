# SPDX-License-Identifier: Apache-2.0
"""What the benchmarks of the server share: the model, the request, starting and stopping servers."""
import contextlib
import http.client
import json
import os
import pathlib
import signal
import socket
import subprocess
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent
FOLDER = ROOT / "build/bench"
MODEL = FOLDER / "bench500.json"
BODY = FOLDER / "request.json"
BINARY = ROOT / "build/release/mainstay"


def make_model():
    """500 full trees of depth 6 on 30 features, and one request; made once."""
    if MODEL.exists() and BODY.exists():
        return
    import numpy
    import xgboost
    from sklearn.datasets import load_breast_cancer
    FOLDER.mkdir(parents=True, exist_ok=True)
    features, labels = load_breast_cancer(return_X_y=True)
    random = numpy.random.default_rng(0)
    noise = [random.normal(0, 0.5, features.shape) * features.std(0) for _ in range(20)]
    flipped = [numpy.where(random.random(len(labels)) < 0.2, 1 - labels, labels) for _ in range(20)]
    data = xgboost.DMatrix(numpy.vstack([features + n for n in noise]), numpy.concatenate(flipped))
    booster = xgboost.train({"max_depth": 6, "objective": "binary:logistic", "eta": 0.05}, data, 500)
    booster.save_model(MODEL)
    BODY.write_text(json.dumps({"model": "bench500", "features": [features[0].tolist()]}), encoding="utf-8")


def expected_prediction():
    """XGBoost's own answer to the request, as float32."""
    import numpy
    import xgboost
    booster = xgboost.Booster(model_file=str(MODEL))
    booster.set_param({"nthread": 1})
    rows = numpy.array(json.loads(BODY.read_text(encoding="utf-8"))["features"])
    return numpy.float32(booster.predict(xgboost.DMatrix(rows))[0])


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def post(port, body):
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    try:
        connection.request("POST", "/api/v1/predict", body, {"Content-Type": "application/json"})
        answer = connection.getresponse()
        return answer.status, answer.read()
    finally:
        connection.close()


def wait_for_answer(process, port, body, seconds=60):
    """Polls until the server predicts; gives the body of its answer."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if process.poll() is not None:
            raise RuntimeError(f"{process.args[0]} ended with status {process.returncode}")
        with contextlib.suppress(OSError, http.client.HTTPException):
            status, answer = post(port, body)
            if status == 200:
                return answer
        time.sleep(0.001)
    raise RuntimeError(f"{process.args[0]} did not answer within {seconds} s")


@contextlib.contextmanager
def running(command, **options):
    process = subprocess.Popen([str(part) for part in command], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, **options)
    try:
        yield process
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def mainstay(port, *more):
    return [BINARY, "run", "--port", port, "--threads", 1, "--auth=off", "--data-dir", FOLDER / "data", *more]


def fastapi(port):
    return ["/usr/bin/python3", "-m", "uvicorn", "--app-dir", ROOT / "bench/serve", "--host", "127.0.0.1", "--port", port,
            "--no-access-log", "--log-level", "error", "fastapi_peer:app"]


def environment():
    return {**os.environ, "BENCH_MODEL": str(MODEL), "OMP_NUM_THREADS": "1"}


def machine():
    model = next((line.split(":", 1)[1].strip() for line in open("/proc/cpuinfo", encoding="utf-8") if line.startswith("model name")), "?")
    load = os.getloadavg()[0]
    return f"{model}, {os.cpu_count()} cores, load {load:.1f}" + (" (BUSY: figures are not to be trusted)" if load > 0.7 else "")
