"""The source archive: nothing missing, nothing too much, and pip installs it offline."""

import os
import subprocess
import sys
import sysconfig
import tarfile
import venv
from pathlib import Path

import pytest

from medmoe_lite import __version__


@pytest.fixture(scope="module")
def archive(root, tmp_path_factory):
    """The sdist, built from the checkout."""
    folder = tmp_path_factory.mktemp("sdist")
    code = f"import hatchling.build as b; print(b.build_sdist({str(folder)!r}))"
    done = subprocess.run([sys.executable, "-c", code], cwd=root, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return folder / done.stdout.split()[-1]


def test_what_a_reader_of_the_archive_needs(root, archive):
    with tarfile.open(archive) as file:
        names = {name.partition("/")[2] for name in file.getnames()}
    needed = (
        "pyproject.toml README.md LICENSE LICENSE-CONTENT CHANGELOG.md Makefile make.py".split()
    )
    needed += ["data/nano/model.safetensors", "notebooks/00_start_here.ipynb", "docs/upgrade.md"]
    needed += [p.relative_to(root).as_posix() for p in root.glob("tests/test_*.py")]
    assert [name for name in needed if name not in names] == []
    bad = (".venv", ".plan/", ".git/", "__pycache__", ".ipynb_checkpoints", "runs/")
    assert [name for name in names if any(part in name for part in bad)] == []
    assert archive.stat().st_size < 40e6


def test_pip_installs_the_archive(archive, tmp_path):
    """In a fresh environment that borrows the libraries installed here, hatchling among them."""
    venv.create(tmp_path / "env", with_pip=False, symlinks=os.name != "nt")
    scripts = tmp_path / "env" / ("Scripts" if os.name == "nt" else "bin")
    python = scripts / ("python.exe" if os.name == "nt" else "python")
    ask = "import sysconfig; print(sysconfig.get_path('purelib'))"
    own = subprocess.run([str(python), "-c", ask], check=True, capture_output=True, text=True)
    places = {sysconfig.get_path("purelib"), sysconfig.get_path("platlib")}
    (Path(own.stdout.strip()) / "borrowed.pth").write_text("\n".join(sorted(places)) + "\n")
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--python", str(python)]
    pip += ["install", "--no-deps", "--no-index", "--no-build-isolation", "--no-compile"]
    pip += ["--force-reinstall", "--ignore-installed", str(archive)]
    done = subprocess.run(pip, capture_output=True, text=True, cwd=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    environment = {k: v for k, v in os.environ.items() if k not in ("PYTHONPATH", "PYTHONHOME")}
    code = (
        "import medmoe_lite as m; from medmoe_lite.paths import data_dir\n"
        "print(m.__file__, m.__version__, (data_dir() / 'nano/model.safetensors').is_file())"
    )
    told = subprocess.run([str(python), "-c", code], cwd=tmp_path, env=environment,
                          capture_output=True, text=True)  # fmt: skip
    assert told.returncode == 0, told.stderr
    place, version, data = told.stdout.split()
    assert tmp_path in Path(place).parents
    assert (version, data) == (__version__, "True")
