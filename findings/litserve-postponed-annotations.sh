#!/usr/bin/env bash
# LitServe 0.2.19: an API in a module with "from __future__ import annotations" answers no request.
#
# decode_request says in its type hint what a request is: a picture (litserve.schema.image) or
# FastAPI's Request. https://lightning.ai/docs/litserve/features/request-response-format: "LitServe
# uses Python type hints and Pydantic to validate and format data". Expected: 200, as from the same
# module without that line. Actual: 422 "Field required" in the query for the picture, and 500 for
# the Request, which is put on the queue to the worker whole: litserve/server.py takes the hint from
# inspect.signature, where it is a string, and looks its name up in its own module.
#
# Needs Python 3.10 or newer, and its index of packages. Exits with 0 while that is so, and with 1
# once it is not. FINDINGS_PYTHON names another Python than python3.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
"${FINDINGS_PYTHON:-python3}" -m venv "$folder/env"
"$folder/env/bin/pip" install --quiet litserve==0.2.19 pillow httpx
cat > "$folder/plain.py" <<'EOF'
import base64
import io

from fastapi import Request
from litserve import LitAPI
from litserve.schema.image import ImageInput
from PIL import Image


class Size(LitAPI):
    """The width and height of a picture."""

    def setup(self, device):
        """Nothing to load."""

    def predict(self, picture):
        return picture.size

    def encode_response(self, size):
        return {"size": size}


class SizeOfImage(Size):
    def decode_request(self, request: ImageInput):
        return request.get_image()


class SizeOfRequest(Size):
    def decode_request(self, request: Request):
        return Image.open(io.BytesIO(base64.b64decode(request["image_data"])))
EOF
{ echo "from __future__ import annotations"; cat "$folder/plain.py"; } > "$folder/postponed.py"
cat > "$folder/serve.py" <<'EOF'
import sys

import plain
import postponed
from litserve import LitServer

if __name__ == "__main__":
    apis = [
        getattr(module, name)(api_path=f"/{module.__name__}/{name}")
        for module in (plain, postponed)
        for name in ("SizeOfImage", "SizeOfRequest")
    ]
    server = LitServer(apis, accelerator="cpu")
    server.run(host="127.0.0.1", port=int(sys.argv[1]), generate_client_file=False)
EOF
cat > "$folder/ask.py" <<'EOF'
import base64
import io
import os
import signal
import subprocess
import sys
import time
from importlib.metadata import version
from pathlib import Path

import httpx
from PIL import Image

port, folder = 18120, Path(__file__).parent
url = f"http://127.0.0.1:{port}"
png = io.BytesIO()
Image.new("RGB", (4, 3)).save(png, "PNG")
picture = {"image_data": base64.b64encode(png.getvalue()).decode()}
with (folder / "log").open("w") as log:
    server = subprocess.Popen(
        [sys.executable, folder / "serve.py", str(port)],
        stdout=log,
        stderr=log,
        start_new_session=True,
    )
    try:
        deadline = time.monotonic() + 120
        while time.monotonic() < deadline:
            try:
                if httpx.get(f"{url}/health").status_code == 200:
                    break
            except httpx.TransportError:
                pass
            time.sleep(0.5)
        statuses = {}
        for path in (
            "plain/SizeOfImage",
            "plain/SizeOfRequest",
            "postponed/SizeOfImage",
            "postponed/SizeOfRequest",
        ):
            response = httpx.post(f"{url}/{path}", json=picture, timeout=30)
            statuses[path] = response.status_code
            print(f"{path}; status: {response.status_code} {response.text}")
    finally:
        os.killpg(server.pid, signal.SIGKILL)
        server.wait(60)
print(f"litserve {version('litserve')}; expected: 200 four times; seen: {statuses}")
sys.exit(0 if list(statuses.values()) == [200, 200, 422, 500] else 1)
EOF
"$folder/env/bin/python" "$folder/ask.py"
