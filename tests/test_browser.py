"""A real browser on a real JupyterLab: open a notebook, run it, move every control, see pictures.

Training is cut to a few steps (`MEDMOE_FAST`): what counts here is that the page works.

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


@pytest.fixture(scope="module")
def lab(tmp_path_factory):
    """JupyterLab on a copy of the learner notebooks; yields its address."""
    tmp_path = tmp_path_factory.mktemp("lab")
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
        "MEDMOE_FAST": "1",
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
        page.on(
            "console",
            lambda said: page.problems.append(said.text) if said.type == "error" else None,
        )
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


# One by default, every notebook with controls with MEDMOE_SLOW=1: half a minute each.
SLOW = os.environ.get("MEDMOE_SLOW", "0") not in ("", "0")
SOURCES = [s for s in build.sources() if SLOW or s.stem[:2] == "03"]
WITHOUT_CONTROLS = {"00"}  # its map of the course has buttons, but no picture of controls
WITH_CONTROLS = [s for s in SOURCES if s.stem[:2] not in WITHOUT_CONTROLS]
PICTURE = ".jupyter-widgets img[src^='data:image/png']"
CONTROLS = (
    ".jupyter-widgets.widget-dropdown select",
    ".jupyter-widgets.widget-slider [role='slider'], .jupyter-widgets .noUi-handle",
    ".jupyter-widgets.widget-text input",
    ".jupyter-widgets.widget-toggle-buttons button",
    ".jupyter-widgets.widget-checkbox input",
)


def wait_until_done(page):
    """Wait until every code cell has run, and return what went wrong in the notebook."""
    page.wait_for_function(
        """() => {
            const cells = [...document.querySelectorAll('.jp-NotebookPanel .jp-CodeCell')];
            const marks = cells.map(c => c.querySelector('.jp-InputPrompt')?.textContent || '');
            return cells.length > 5 && marks.every(m => /\\[\\d+\\]/.test(m));
        }""",
        timeout=8 * MINUTE,
    )
    return page.locator("[data-mime-type='application/vnd.jupyter.error']").all_inner_texts()


def move(page, control):
    """Change a control by keyboard alone, whatever its kind."""
    control.scroll_into_view_if_needed()
    control.focus()
    kind = control.evaluate("e => e.tagName === 'SELECT' ? 'select' : e.type || e.role || 'slider'")
    if kind == "select":
        first = control.evaluate("select => select.selectedIndex === 0")
        page.keyboard.press("End" if first else "Home")
    elif kind == "text":
        page.keyboard.type(" fever")
        page.keyboard.press("Enter")
    elif kind in ("button", "checkbox", "submit"):
        page.keyboard.press("Space")
    else:
        last = control.evaluate("e => e.getAttribute('aria-valuenow') === e.ariaValueMax")
        page.keyboard.press("ArrowLeft" if last else "ArrowRight")


def explorers(page):
    """Every box that holds a picture and at least one control: (box, its controls)."""
    boxes = page.locator(".jp-OutputArea-output .widget-vbox").filter(has=page.locator(PICTURE))
    found = []
    for box in boxes.all():
        controls = [c for selector in CONTROLS for c in box.locator(selector).all()]
        if controls:
            found.append((box, controls))
    return found


@pytest.mark.parametrize("source", WITH_CONTROLS, ids=lambda source: source.stem)
def test_every_control_redraws_its_picture(page, source, monkeypatch):
    open_and_run(page, f"{source.stem}.ipynb")
    assert wait_until_done(page) == []
    found = explorers(page)
    assert found
    for box, controls in found:
        image, moved = box.locator("img").first, 0
        for control in controls:
            before, words = image.get_attribute("src"), image.get_attribute("alt")
            assert words
            move(page, control)
            moved += changed(page, image, before)
        assert moved, f"no control of {source.stem} changes its picture"
        assert len(image.screenshot()) > 5_000
    assert page.problems == []


def changed(page, image, before):
    """Whether the picture becomes another one within some seconds."""
    for _ in range(40):
        if image.get_attribute("src") != before:
            return True
        page.wait_for_timeout(100)
    return False
