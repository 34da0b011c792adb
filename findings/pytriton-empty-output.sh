#!/usr/bin/env bash
# nvidia-pytriton 0.7.0: an output without rows is answered with 500.
#
# A detector with its own non-maximum suppression gives an output of shape (1, 0, 6) for a picture
# that shows nothing. Expected: 200 and a tensor of that shape, as Triton itself gives with the same
# model on its Python backend. Actual: 500, "TypeError: memoryview: cannot cast view with zeros in
# shape or strides", from pytriton/proxy/data.py. A row more is answered with 200.
#
# Needs Python 3.9 to 3.13 on x86-64 Linux with glibc, and its index of packages. Exits with 0 while
# that is so, and with 1 once it is not. FINDINGS_PYTHON names another Python than python3.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
"${FINDINGS_PYTHON:-python3}" -m venv "$folder/env"
"$folder/env/bin/pip" install --quiet nvidia-pytriton==0.7.0 numpy httpx
cat > "$folder/serve.py" <<'EOF'
import sys
import numpy as np
from pytriton.model_config import ModelConfig, Tensor
from pytriton.triton import Triton, TritonConfig


def rows(requests):
    """As many rows of six numbers as the input says."""
    return [{"rows": np.zeros((1, int(each["count"][0]), 6), np.float32)} for each in requests]


port = int(sys.argv[1])
config = TritonConfig(http_port=port, grpc_port=port + 1, metrics_port=port + 2)
with Triton(config=config) as triton:
    triton.bind(
        model_name="detector",
        infer_func=rows,
        inputs=[Tensor(name="count", dtype=np.int64, shape=(1,))],
        outputs=[Tensor(name="rows", dtype=np.float32, shape=(1, -1, 6))],
        config=ModelConfig(batching=False),
    )
    triton.serve()
EOF
cat > "$folder/ask.py" <<'EOF'
import subprocess
import sys
import time
from importlib.metadata import version
from pathlib import Path

import httpx

port, folder = 18110, Path(__file__).parent
url = f"http://127.0.0.1:{port}/v2/models/detector"
with (folder / "log").open("w") as log:
    server = subprocess.Popen(
        [sys.executable, folder / "serve.py", str(port)], stdout=log, stderr=log
    )
    try:
        deadline = time.monotonic() + 120
        while time.monotonic() < deadline:
            try:
                if httpx.get(f"{url}/ready").status_code == 200:
                    break
            except httpx.TransportError:
                pass
            time.sleep(0.5)
        statuses = {}
        for count in (1, 0):
            tensor = {"name": "count", "datatype": "INT64", "shape": [1], "data": [count]}
            response = httpx.post(f"{url}/infer", json={"inputs": [tensor]}, timeout=30)
            statuses[count] = response.status_code
            reason = next((x for x in response.text.split("\\n") if "TypeError" in x), "")
            print(f"rows: {count}; status: {response.status_code} {reason}")
    finally:
        server.terminate()
        server.wait(60)
print(f"nvidia-pytriton {version('nvidia-pytriton')}; expected: 200 and 200; seen: {statuses}")
sys.exit(0 if statuses == {1: 200, 0: 500} else 1)
EOF
"$folder/env/bin/python" "$folder/ask.py"
