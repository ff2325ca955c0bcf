"""A container program in a few lines, whose misbehaviour is ordered by hyperparameters or environment.

Run as ``python fake_algorithm.py train|serve --root DIR [--host H --port P]``.
"""

import argparse
import json
import os
import pathlib
import signal
import subprocess
import sys
import time


def train(root: pathlib.Path) -> int:
    orders = json.loads((root / "input/config/hyperparameters.json").read_text())
    print("Docker entrypoint called with argument(s): train", flush=True)
    files = sorted(path for path in (root / "input/data").rglob("*") if path.is_file())
    seen = {str(path.relative_to(root / "input/data")): path.read_text() for path in files}
    channels = json.loads((root / "input/config/inputdataconfig.json").read_text())
    environment = {key: value for key, value in os.environ.items() if key.startswith(("AWS_", "TRAINING_"))}
    document = {"hyperparameters": orders, "files": seen, "channels": channels, "environment": environment}
    (root / "model" / "model_algo-1").write_text(json.dumps(document))
    if "descendant" in orders:
        subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
    if "allocate_mib" in orders:
        ballast = bytearray(int(orders["allocate_mib"]) << 20)
        ballast[::4096] = b"x" * len(ballast[::4096])
    print("[11/21/2026 10:00:00 INFO 1] #quality_metric: host=algo-1, epoch=0, batch=0 train rmse <loss>=3.5")
    print(
        "[11/21/2026 10:00:00 INFO 1] #quality_metric: host=algo-1, epoch=0, train rmse <loss>=2.5",
        flush=True,
    )
    time.sleep(float(orders.get("sleep", 0)))
    if "signal" in orders:
        os.kill(os.getpid(), int(orders["signal"]))
    if "failure" in orders:
        (root / "output/failure").write_text(orders["failure"])
    print("[11/21/2026 10:00:00 INFO 1] #quality_metric: host=algo-1, train rmse <loss>=1.5")
    loss = orders.get("loss", "0.25")
    print(f"[11/21/2026 10:00:00 INFO 1] #quality_metric: host=algo-1, test rmse <loss>={loss}")
    print("[11/21/2026 10:00:00 INFO 1] #quality_metric: host=algo-1, test binary_f_1.000 <score>=0.75")
    print(
        "[11/21/2026 10:00:00 INFO 1] #throughput_metric: host=algo-1, train throughput=99.5 records/second"
    )
    return int(orders.get("exit", 0))


def serve(root: pathlib.Path, host: str, port: int) -> None:
    # As much to import as all else here, and most of these programs only train.
    from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            if self.path == "/execution-parameters":
                self.answer(
                    200,
                    json.dumps(
                        {"MaxConcurrentTransforms": 1, "MaxPayloadInMB": 1, "BatchStrategy": "MULTI_RECORD"}
                    ).encode(),
                )
            elif "UNHEALTHY" in os.environ:
                self.answer(503, b"")
            else:
                self.answer(200, b"")

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            if b"die" in body:
                os.kill(os.getpid(), signal.SIGKILL)
            if b"bad" in body:
                self.answer(400, b"unable to evaluate payload provided")
            elif b"broken" in body:
                self.answer(500, b"worker died")
            elif self.headers.get("Accept") == "application/jsonlines":
                lines = body.splitlines()
                self.answer(
                    200, b"".join(json.dumps({"score": len(line)}).encode() + b"\n" for line in lines)
                )
            else:
                document = {
                    "bytes": len(body),
                    "model": (root / "model/model_algo-1").read_text(),
                    "accept": self.headers.get("Accept"),
                    "content_type": self.headers.get("Content-Type"),
                    "attributes": self.headers.get("X-Amzn-SageMaker-Custom-Attributes"),
                    "batch": os.environ.get("SAGEMAKER_BATCH"),
                }
                self.answer(200, json.dumps(document).encode())

        def answer(self, status: int, body: bytes) -> None:
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *arguments: object) -> None:
            print(*arguments, flush=True)

    ThreadingHTTPServer((host, port), Handler).serve_forever()


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("command")
    parser.add_argument("--root", type=pathlib.Path)
    parser.add_argument("--host")
    parser.add_argument("--port", type=int)
    options = parser.parse_args()
    if options.command == "train":
        sys.exit(train(options.root))
    if "CRASH" in os.environ:
        sys.exit(1)
    serve(options.root, options.host, options.port)
