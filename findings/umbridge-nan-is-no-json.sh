#!/bin/sh
# UM-Bridge 1.2.10: a model that returns NaN, or raises, makes its client raise JSONDecodeError.
#
# The server writes NaN as `nan` into its answer, which is no JSON, with status 200; an exception in the model becomes a 500
# whose body is no JSON either. The client parses both as JSON: what the model said is lost, and a caller that wants to
# survive a point outside of the model's domain cannot tell one from the other.
#
# Seen with Python 3.11.7:
#   at 4.0: [[2.0]]
#   at -4.0 (NaN): JSONDecodeError; the answer is 200 {"output": [[nan]]}
#   where the model raises: JSONDecodeError; the answer is 500 "500 Internal Server Error\n\nServer got itself in trouble"
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
"${PYTHON:-python3}" -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check umbridge==1.2.10
cat > "$folder/server.py" <<'END'
import sys

import umbridge


class Half(umbridge.Model):
    def __init__(self):
        super().__init__("half")

    def get_input_sizes(self, config):
        return [1]

    def get_output_sizes(self, config):
        return [1]

    def supports_evaluate(self):
        return True

    def __call__(self, parameters, config):
        x = parameters[0][0]
        if x < -10:
            raise ValueError("the mesh is tangled")
        return [[float("nan") if x < 0 else x / 2]]


umbridge.serve_models([Half()], int(sys.argv[1]))
END
cat > "$folder/client.py" <<'END'
import json
import socket
import subprocess
import sys
import time

import requests
import umbridge

with socket.socket() as free:
    free.bind(("localhost", 0))
    port = free.getsockname()[1]
server = subprocess.Popen([sys.executable, sys.argv[1], str(port)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
try:
    url = f"http://localhost:{port}"
    for _ in range(100):
        try:
            requests.get(f"{url}/Info", timeout=5)
            break
        except requests.ConnectionError:
            time.sleep(0.2)
    model = umbridge.HTTPModel(url, "half")
    print("at 4.0:", model([[4.0]]))
    seen = {}
    for x in (-4.0, -40.0):
        try:
            model([[x]])
        except Exception as error:
            kind = {base.__name__ for base in type(error).__mro__}
        raw = requests.post(f"{url}/Evaluate", json={"name": "half", "input": [[x]], "config": {}}, timeout=5)
        print(f"at {x}:", "JSONDecodeError" if "JSONDecodeError" in kind else kind, raw.status_code, raw.text[:60].encode())
        seen[x] = "JSONDecodeError" in kind, raw.status_code, raw.text
    assert model([[4.0]]) == [[2.0]]
    assert seen[-4.0][:2] == (True, 200), "NaN is answered otherwise"
    assert "nan" in seen[-4.0][2].lower()
    assert seen[-40.0][:2] == (True, 500), "an exception is answered otherwise"
    assert "tangled" not in seen[-40.0][2]
finally:
    server.kill()
END
"$folder/venv/bin/python" -W ignore "$folder/client.py" "$folder/server.py"
