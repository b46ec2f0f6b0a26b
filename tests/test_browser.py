"""A real browser on a real JupyterLab: open a notebook, run it, move a control, see the picture.

Skipped only where Chromium or Playwright is missing; `.ci/run` installs both.
"""

import json
import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.request

import pytest

from medmoe_lite.course import build

playwright = pytest.importorskip("playwright.sync_api", reason="Playwright is not installed")
CHROMIUM = next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), ""
)
pytestmark = pytest.mark.skipif(not CHROMIUM, reason="Chromium is not installed")

ARGUMENTS = [
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
]  # fmt: skip
MINUTE = 60_000  # milliseconds
TOKEN = "test-only"


@pytest.fixture
def lab(tmp_path):
    """JupyterLab on a copy of the learner notebooks; yields its address."""
    notebooks = tmp_path / "notebooks"
    notebooks.mkdir()
    for path in build.notebooks_dir().glob("*.ipynb"):
        shutil.copy(path, notebooks)
    settings = tmp_path / "settings"
    quiet = settings / "@jupyterlab" / "apputils-extension" / "notification.jupyterlab-settings"
    quiet.parent.mkdir(parents=True)
    quiet.write_text(json.dumps({"fetchNews": "false", "checkForUpdates": False}))
    whole = settings / "@jupyterlab" / "notebook-extension" / "tracker.jupyterlab-settings"
    whole.parent.mkdir(parents=True)
    whole.write_text(json.dumps({"windowingMode": "none"}))  # draw every cell, seen or not
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    environment = os.environ | {
        "JUPYTERLAB_SETTINGS_DIR": str(settings),
        "MEDMOE_HOME": str(tmp_path / "home"),
        "OMP_NUM_THREADS": "1",
    }
    for name in ("JUPYTER_CONFIG_DIR", "JUPYTERLAB_WORKSPACES_DIR", "JUPYTER_RUNTIME_DIR"):
        environment[name] = str(tmp_path / name.lower())
    command = [
        sys.executable, "-m", "jupyterlab", "--no-browser", "--ip=127.0.0.1", f"--port={port}",
        f"--IdentityProvider.token={TOKEN}", "--allow-root", "--ServerApp.port_retries=0",
        f"--ServerApp.root_dir={notebooks}",
    ]  # fmt: skip
    log = (tmp_path / "lab.log").open("w")
    server = subprocess.Popen(command, env=environment, stdout=log, stderr=log)
    address = f"http://127.0.0.1:{port}"
    try:
        wait_until_up(address, server, tmp_path / "lab.log")
        yield address
    finally:
        server.terminate()
        server.wait(timeout=30)
        log.close()


def wait_until_up(address, server, log):
    """Ask for the status until the server answers."""
    end = time.monotonic() + 60
    while time.monotonic() < end and server.poll() is None:
        try:
            with urllib.request.urlopen(f"{address}/api/status?token={TOKEN}", timeout=5):
                return
        except OSError:
            time.sleep(0.2)
    pytest.fail(f"JupyterLab did not start:\n{log.read_text()[-2000:]}")


@pytest.fixture
def page(lab):
    """A page of the size of a tall window, with the errors that it meets."""
    with playwright.sync_playwright() as player:
        browser = player.chromium.launch(executable_path=CHROMIUM, headless=True, args=ARGUMENTS)
        page = browser.new_page(viewport={"width": 1200, "height": 1400})
        page.problems = []
        page.on("pageerror", lambda error: page.problems.append(str(error)))
        page.lab = lab
        yield page
        browser.close()


def open_and_run(page, notebook):
    """Open a notebook and start to run all of its cells."""
    page.goto(f"{page.lab}/lab/tree/{notebook}?token={TOKEN}&reset", timeout=MINUTE)
    page.wait_for_selector(".jp-NotebookPanel .jp-Cell", timeout=MINUTE)
    idle = ".jp-Notebook-ExecutionIndicator[data-status='idle']"
    page.wait_for_selector(idle, timeout=MINUTE)
    page.click(".jp-NotebookPanel .jp-Cell")
    page.click(".lm-MenuBar-itemLabel:text-is('Run')")
    page.click(".lm-Menu-item[data-command='runmenu:run-all']")


NOTEBOOK = "03_router_and_experts.ipynb"


@pytest.mark.skipif(
    not (build.notebooks_dir() / NOTEBOOK).exists(), reason=f"{NOTEBOOK} is not built"
)
def test_a_control_changes_the_picture(page):
    open_and_run(page, NOTEBOOK)
    picture = ".jupyter-widgets img[src^='data:image/png']"
    page.wait_for_selector(picture, state="attached", timeout=5 * MINUTE)
    image = page.locator(picture).first
    image.scroll_into_view_if_needed()
    before, words = image.get_attribute("src"), image.get_attribute("alt")
    assert words
    control = page.locator(".jupyter-widgets.widget-dropdown select").first
    control.focus()  # by keyboard alone, to the other end of the list
    first = control.evaluate("select => select.selectedIndex === 0")
    page.keyboard.press("End" if first else "Home")
    page.wait_for_function(
        "([selector, old]) => document.querySelector(selector)?.src !== old",
        arg=[picture, before],
        timeout=MINUTE,
    )
    assert page.locator(picture).first.get_attribute("alt")
    assert page.problems == []
