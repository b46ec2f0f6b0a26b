"""A JupyterLab server as one student of a hub has it, to read its memory."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
import urllib.request
from contextlib import ExitStack
from pathlib import Path

from medmoe_lite.course.build import notebooks_dir

SECONDS = 180


def start_server(stack: ExitStack, home: str) -> int:
    """Start a server, wait until its page answers, return its process id.

    It listens on this machine alone, on a free port, and ends with `stack`.

    Raises:
        RuntimeError: it ended, or did not answer in time; the message has its last lines.
    """
    folder = Path(home)
    folder.mkdir(parents=True)
    places = {name: str(folder / name) for name in ("JUPYTER_RUNTIME_DIR", "JUPYTER_CONFIG_DIR")}
    command = [sys.executable, "-m", "jupyterlab", "--no-browser", "--ServerApp.ip=127.0.0.1"]
    command += ["--ServerApp.port=0", f"--ServerApp.root_dir={notebooks_dir()}"]
    if hasattr(os, "geteuid") and os.geteuid() == 0:
        command.append("--allow-root")
    log = stack.enter_context((folder / "log.txt").open("w+", encoding="utf-8"))
    process = subprocess.Popen(command, stdout=log, stderr=log, env=os.environ | places)
    stack.callback(_end, process)
    end = time.monotonic() + SECONDS
    while time.monotonic() < end and process.poll() is None:
        for file in (folder / "JUPYTER_RUNTIME_DIR").glob("jpserver-*.json"):
            try:
                said = json.loads(file.read_text(encoding="utf-8"))
                address = f"{said['url']}lab?token={said['token']}"
                urllib.request.urlopen(address, timeout=30).read()
                return process.pid
            except (OSError, ValueError):
                continue
        time.sleep(0.3)
    log.seek(0)
    raise RuntimeError(f"the server did not answer:\n{log.read()[-1000:]}")


def _end(process: subprocess.Popen) -> None:
    process.terminate()
    try:
        process.wait(timeout=20)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
