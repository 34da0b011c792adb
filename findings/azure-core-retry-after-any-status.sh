#!/usr/bin/env bash
# azure-ai-vision-imageanalysis 1.0.0 with azure-core 1.41.0: a 403 with Retry-After is asked again.
#
# "retry_on_status_codes: A list of HTTP status codes to retry on. Default is [408, 429, 500, 502,
# 503, 504]", says RetryPolicy's documentation
# https://learn.microsoft.com/python/api/azure-core/azure.core.pipeline.policies.retrypolicy
# Expected: a 403, the status of an account whose calls are used up, is raised at once. Actual: if
# it has a Retry-After, the client sleeps for as long as that says, without a bound (neither
# retry_backoff_max nor its time-outs shorten it), and asks again, three times by default. A quota
# that says when it begins anew, as RFC 9110 10.2.3 allows for any status, holds the caller's
# thread until then: for hours, or days.
#
# Needs Python 3.9 or newer, and its index of packages. Exits with 0 while that is so, and with 1
# once it is not. FINDINGS_PYTHON names another Python than python3.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
"${FINDINGS_PYTHON:-python3}" -m venv "$folder/env"
"$folder/env/bin/pip" install --quiet azure-ai-vision-imageanalysis==1.0.0 azure-core==1.41.0
cat > "$folder/ask.py" <<'EOF'
import json
import sys
import time
from http.server import BaseHTTPRequestHandler, HTTPServer
from importlib.metadata import version
from threading import Thread

from azure.ai.vision.imageanalysis import ImageAnalysisClient
from azure.ai.vision.imageanalysis.models import VisualFeatures
from azure.core.credentials import AzureKeyCredential
from azure.core.exceptions import HttpResponseError

RETRY_AFTER_S = 2
BODY = json.dumps({"error": {"code": "403", "message": "Out of call volume quota."}}).encode()
counts = {"with": 0, "without": 0}
state = {"header": True}


class Server(BaseHTTPRequestHandler):
    """Refuses every request, with or without a Retry-After, and counts them."""

    def do_POST(self):
        self.rfile.read(int(self.headers["Content-Length"]))
        counts["with" if state["header"] else "without"] += 1
        self.send_response(403)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(BODY)))
        if state["header"]:
            self.send_header("Retry-After", str(RETRY_AFTER_S))
        self.end_headers()
        self.wfile.write(BODY)

    def log_message(self, *_):
        """Nothing."""


def ask(client):
    """The seconds until the client raises."""
    began = time.monotonic()
    try:
        client.analyze(b"any bytes", [VisualFeatures.OBJECTS])
    except HttpResponseError as error:
        assert error.status_code == 403
    return time.monotonic() - began


server = HTTPServer(("127.0.0.1", 0), Server)
Thread(target=server.serve_forever, daemon=True).start()
with ImageAnalysisClient(
    f"http://127.0.0.1:{server.server_port}", AzureKeyCredential("key"), retry_backoff_max=1
) as client:
    seconds = ask(client)
    state["header"] = False
    plain_s = ask(client)
server.shutdown()
print(f"403 without Retry-After: {counts['without']} request in {plain_s:.1f} s")
print(f"403 with Retry-After: {RETRY_AFTER_S}: {counts['with']} requests in {seconds:.1f} s")
print(f"azure-core {version('azure-core')}; expected: 1 request each; seen: {counts}")
is_so = counts["with"] > 1 and counts["without"] == 1 and seconds > RETRY_AFTER_S
sys.exit(0 if is_so else 1)
EOF
"$folder/env/bin/python" "$folder/ask.py"
