#!/usr/bin/env bash
# tritonclient 2.73.0, HTTP: infer() writes its own headers into the caller's headers.
#
# "headers: Optional dictionary specifying additional HTTP headers to include in the request", says
# https://github.com/triton-inference-server/client/blob/main/src/python/library/tritonclient/http/_client.py
# Expected: the dictionary is as the caller made it, and may serve the next call. Actual: it keeps
# Inference-Header-Content-Length of a binary input (and Content-Encoding and Accept-Encoding of the
# two compression arguments), so that the next call, with an input in JSON, sends the length of
# another request. By
# https://github.com/triton-inference-server/server/blob/main/docs/protocol/extension_binary_data.md
# that header "must be provided to give the length of the JSON object": the rest of the JSON would
# be read as tensors.
#
# Needs Python 3.10 or newer, and its index of packages. Exits with 0 while that is so, and with 1
# once it is not. FINDINGS_PYTHON names another Python than python3.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
"${FINDINGS_PYTHON:-python3}" -m venv "$folder/env"
"$folder/env/bin/pip" install --quiet 'tritonclient[http]==2.73.0'
cat > "$folder/ask.py" <<'EOF'
import json
import sys
from http.server import BaseHTTPRequestHandler, HTTPServer
from importlib.metadata import version
from threading import Thread

import numpy as np
from tritonclient.http import InferenceServerClient, InferInput, InferRequestedOutput

LENGTH = "Inference-Header-Content-Length"
ANSWER = {
    "model_name": "detector",
    "outputs": [{"name": "boxes", "datatype": "FP32", "shape": [0, 4], "data": []}],
}
requests = []


class Server(BaseHTTPRequestHandler):
    """Answers without boxes, and keeps the two lengths of each request."""

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        requests.append((self.headers[LENGTH], len(body)))
        answer = json.dumps(ANSWER).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, *_):
        """Nothing."""


def ask(client, headers, *, binary):
    """Asks for the boxes of a picture, with the tensors in binary or in JSON."""
    picture = np.zeros((1, 3, 4, 4), np.float32)
    tensor = InferInput("images", picture.shape, "FP32")
    tensor.set_data_from_numpy(picture, binary_data=binary)
    boxes = InferRequestedOutput("boxes", binary_data=binary)
    client.infer("detector", [tensor], outputs=[boxes], headers=headers)


server = HTTPServer(("127.0.0.1", 0), Server)
Thread(target=server.serve_forever, daemon=True).start()
headers = {"Authorization": "Bearer key"}
with InferenceServerClient(f"127.0.0.1:{server.server_port}") as client:
    ask(client, headers, binary=True)
    print(f"headers after a call in binary: {headers}")
    ask(client, headers, binary=False)
    ask(client, {"Authorization": "Bearer key"}, binary=False)
server.shutdown()
(length, _), (again, size), (fresh, _) = requests
print(f"{LENGTH} of the call in JSON, of {size} bytes: {again}; with headers of its own: {fresh}")
print(
    f"tritonclient {version('tritonclient')}; expected: the headers of the caller and None; "
    f"seen: {sorted(headers)} and {again}"
)
sys.exit(0 if fresh is None and LENGTH in headers and again == length else 1)
EOF
"$folder/env/bin/python" "$folder/ask.py"
