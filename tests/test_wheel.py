"""The built wheel carries the data: it loads nano from another folder, in a fresh environment."""

import json
import os
import subprocess
import sys
import sysconfig
import venv
import zipfile
from pathlib import Path

import pytest

PROGRAM = """
import json, os, sys
import torch
import medmoe_lite
from medmoe_lite import load_base
from medmoe_lite.paths import data_dir
model, tokenizer = load_base("nano")
ids = torch.tensor([tokenizer("a word").input_ids])
print(json.dumps({
    "package": medmoe_lite.__file__,
    "data": str(data_dir()),
    "finite": bool(torch.isfinite(model(ids).logits).all()),
}))
"""


@pytest.fixture(scope="module")
def wheel(root, tmp_path_factory):
    """The wheel, built from the checkout without a network."""
    folder = tmp_path_factory.mktemp("dist")
    command = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", folder, root]
    done = subprocess.run([str(word) for word in command], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    (path,) = folder.glob("*.whl")
    return path


@pytest.fixture(scope="module")
def elsewhere(wheel, tmp_path_factory):
    """A fresh environment with the wheel, which borrows the libraries installed here."""
    folder = tmp_path_factory.mktemp("elsewhere")
    venv.create(folder / "env", with_pip=False, symlinks=os.name != "nt")
    scripts = folder / "env" / ("Scripts" if os.name == "nt" else "bin")
    python = scripts / Path(sys.executable).name
    if not python.exists():
        python = scripts / ("python.exe" if os.name == "nt" else "python")
    ask = "import sysconfig; print(sysconfig.get_path('purelib'))"
    own = subprocess.run([str(python), "-c", ask], check=True, capture_output=True, text=True)
    target = Path(own.stdout.strip())
    install = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--python", str(python)]
    install += ["install", "--no-deps", "--no-index", str(wheel)]
    subprocess.run(install, check=True, capture_output=True, text=True, cwd=folder)
    # Appended as plain folders: .pth files in them, such as the checkout's own, stay unread.
    places = {sysconfig.get_path("purelib"), sysconfig.get_path("platlib")}
    (target / "borrowed.pth").write_text("\n".join(sorted(places)) + "\n", encoding="utf-8")
    return python, folder


def test_wheel_contains_data_and_licences(root, wheel):
    names = set(zipfile.ZipFile(wheel).namelist())
    tracked = subprocess.run(["git", "ls-files", "data"], cwd=root, capture_output=True, text=True)
    shipped = tracked.stdout.split()
    if tracked.returncode:  # an unpacked source archive has no git
        files = (p for p in (root / "data").rglob("*") if p.is_file())
        shipped = [p.relative_to(root).as_posix() for p in files]
    assert shipped
    assert [n for n in shipped if f"medmoe_lite/_data/{n.removeprefix('data/')}" not in names] == []
    for name in ("LICENSE", "LICENSE-CONTENT"):
        assert any(n.endswith(f"dist-info/licenses/{name}") for n in names)
    assert not any(name.startswith(("tests/", "notebooks/", "data/")) for name in names)


def test_wheel_stays_small(wheel):
    assert wheel.stat().st_size < 30e6


def test_nano_loads_from_the_wheel_in_another_folder(root, elsewhere):
    python, folder = elsewhere
    environment = {k: v for k, v in os.environ.items() if k not in ("PYTHONPATH", "PYTHONHOME")}
    done = subprocess.run(
        [str(python), "-c", PROGRAM], cwd=folder, env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    answer = json.loads(done.stdout.splitlines()[-1])
    for place in (answer["package"], answer["data"]):
        assert folder in Path(place).parents
        assert root not in Path(place).parents
    assert answer["finite"]
    command = [str(python.parent / "medmoe"), "--version"]
    shown = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)
    assert shown.stdout.startswith("medmoe-lite "), shown.stderr
