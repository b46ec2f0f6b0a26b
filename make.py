"""Set up, start and test the kit with nothing but Python: the one place both doors lead to.

`make lab` calls `python3 make.py lab`; where there is no make (Windows), type
`python -m make lab` in the top folder. This file uses the standard library only and also runs
under an old Python, so that it can say which newer one is needed.

The set-up is done once: its last act writes a stamp into `.venv`, so an interrupted one is
repeated. It is also repeated when a requirement in `pyproject.toml` or `constraints-cpu.txt` has
changed, and when the clone has been moved.
"""

import argparse
import hashlib
import json
import os
import shutil
import subprocess
import sys
import threading
import time
import urllib.request

ROOT = os.path.dirname(os.path.abspath(__file__))
VENV = os.path.join(ROOT, ".venv")
STAMP = os.path.join(VENV, "medmoe-setup.json")
CONSTRAINTS = os.path.join(ROOT, "constraints-cpu.txt")
CPU_INDEX = "https://download.pytorch.org/whl/cpu"
OLDEST = (3, 11)
DISK_GB = 3.0
WINDOWS = os.name == "nt"
PYTHON = os.path.join(VENV, "Scripts" if WINDOWS else "bin", "python" + (".exe" if WINDOWS else ""))


def stop(message):
    """End with a message that says what to type next."""
    print(f"\n{message}", file=sys.stderr)
    raise SystemExit(1)


def answer(command):
    """First line a command prints, or an empty string where it does not run."""
    try:
        done = subprocess.run(
            command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, timeout=60, check=True
        )
    except (OSError, subprocess.SubprocessError):
        return ""
    return done.stdout.decode(errors="replace").strip().split("\n")[0]


def find_python():
    """A Python that is new enough, the one in use first."""
    candidates = [[sys.executable], ["python3"], ["python"]]
    candidates += [[f"python3.{minor}"] for minor in (13, 12, 11, 14)]
    candidates += [["py", f"-3.{minor}"] for minor in (13, 12, 11)] if WINDOWS else []
    question = f"import sys; print(sys.version_info >= {OLDEST!r} and sys.executable)"
    for command in candidates:
        found = answer([*command, "-c", question])
        if found not in ("", "False"):
            return found
    version = ".".join(map(str, sys.version_info[:2]))
    how = {
        "darwin": "`brew install python@3.12`, or the installer from https://www.python.org",
        "win32": "`winget install Python.Python.3.12`",
    }.get(sys.platform, "`sudo apt install python3.12 python3.12-venv` (or your system's own way)")
    stop(
        f"Python 3.11 or newer is needed; this is {version}, and no newer one was found.\n"
        f"Install one with {how}, then type the same command again.\n"
        "A Python in an unusual place is named with `make lab PYTHON=/path/to/python`."
    )


def has_nvidia():
    """Whether this machine has an NVIDIA card that its driver can see."""
    return answer(["nvidia-smi", "-L"]).startswith("GPU")


def reachable(url, seconds=3.0):
    """Whether a page answers in time; in a thread, because a name look-up knows no limit."""
    seen = []

    def look():
        try:
            urllib.request.urlopen(url, timeout=seconds).close()
            seen.append(True)
        except (OSError, ValueError):
            pass

    thread = threading.Thread(target=look, daemon=True)
    thread.start()
    thread.join(seconds)
    return bool(seen)


def pip_command(nvidia, extra="dev"):
    """The one pip command: with a card the CUDA build of torch, otherwise the CPU build."""
    command = [PYTHON, "-m", "pip", "install", "--disable-pip-version-check"]
    if not nvidia:
        command += ["--constraint", CONSTRAINTS]
        # Elsewhere than on Linux the package index itself has the CPU build.
        if sys.platform.startswith("linux"):
            if reachable(f"{CPU_INDEX}/torch/"):
                command += ["--extra-index-url", CPU_INDEX]
            else:
                print(f"  {CPU_INDEX} does not answer: going on with pip's own settings")
    return [*command, "--editable", f"{ROOT}[{extra}]"]


def need(extra, *modules):
    """Install an extra of the package, where one of its modules is not there."""
    question = f"import importlib.util as u; print(all(map(u.find_spec, {modules!r})))"
    if answer([PYTHON, "-c", question]) != "True":
        print(f"Installing the extra `{extra}`", flush=True)
        install(pip_command(has_nvidia(), extra))


def wanted(nvidia):
    """What the stamp must say: place, kind of machine, and a hash of the requirements."""
    digest = hashlib.sha256()
    for name in ("pyproject.toml", "constraints-cpu.txt"):
        with open(os.path.join(ROOT, name), "rb") as file:
            # Settings of the test and style tools stand last and change nothing installed.
            digest.update(file.read().split(b"[tool.pytest")[0])
    return {"root": ROOT, "build": "cuda" if nvidia else "cpu", "requires": digest.hexdigest()}


def read_stamp():
    """What the last complete set-up wrote, or an empty dict."""
    try:
        with open(STAMP, encoding="utf-8") as file:
            return json.load(file)
    except (OSError, ValueError):
        return {}


def install(command):
    """Run pip, show the large downloads, and the whole output where it fails."""
    lines = []
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, cwd=ROOT, bufsize=0
    )
    for raw in process.stdout:
        lines.append(raw.decode(errors="replace").rstrip())
        text = lines[-1].strip()
        if text.startswith("Downloading") and " MB)" in text:
            name, size = text.split()[1].split("-")[0], text.split("(")[-1].rstrip(")")
            print(f"  {name}, {size}", flush=True)
        elif text.startswith("Installing collected"):
            print("  Unpacking", flush=True)
    if process.wait() != 0:
        print("\n".join(lines[-40:]), file=sys.stderr)
        stop(
            "pip could not install the packages; its last lines are above. Most often the network\n"
            "was interrupted: type the same command again, it continues from pip's cache.\n"
            "Behind a proxy set HTTPS_PROXY first. On a Mac with an Intel processor there is no\n"
            "recent torch: use a Linux machine or container."
        )


def quiet_lab():
    """Switch off JupyterLab's question about news: the kit works without a network."""
    folder = os.path.join(VENV, "share", "jupyter", "lab", "settings")
    os.makedirs(folder, exist_ok=True)
    choice = {"fetchNews": "false", "checkForUpdates": False}
    with open(os.path.join(folder, "overrides.json"), "w", encoding="utf-8") as file:
        json.dump({"@jupyterlab/apputils-extension:notification": choice}, file, indent=1)


def setup(_args=()):
    """Create .venv and install everything, where that has not been done."""
    nvidia = has_nvidia()
    want, have = wanted(nvidia), read_stamp()
    if all(have.get(key) == value for key, value in want.items()) and answer([PYTHON, "-V"]):
        return 0
    start = time.monotonic()
    moved = have.get("root", ROOT) != ROOT
    fresh = not answer([PYTHON, "-c", "import pip; print(pip.__version__)"])
    free = shutil.disk_usage(ROOT).free / 1e9
    if fresh and free < DISK_GB:
        stop(f"The set-up needs {DISK_GB:.0f} GB and {free:.1f} GB are free here: make room first.")
    if fresh or moved:
        python = find_python()
        print(f"Creating .venv with {python}", flush=True)
        if subprocess.call([python, "-m", "venv", *(["--clear"] if moved else []), VENV]) != 0:
            version = answer([python, "-c", "import sys; print('%d.%d' % sys.version_info[:2])"])
            stop(
                f"{python} cannot create virtual environments.\n"
                f"On Debian and Ubuntu type `sudo apt install python{version}-venv`, then again."
            )
    print(f"Installing ({want['build'].upper()} build of torch): 2 to 4 minutes, about 2 GB")
    install(pip_command(nvidia))
    quiet_lab()
    want["seconds"] = round(time.monotonic() - start, 1)
    with open(STAMP + ".tmp", "w", encoding="utf-8") as file:
        json.dump(want, file, indent=1)
    os.replace(STAMP + ".tmp", STAMP)  # last: only a complete set-up has a stamp
    print(f"Set up in {want['seconds']:.0f} s", flush=True)
    return 0


def call(*command):
    """Run a module of the environment in the top folder; its exit code."""
    return subprocess.call([PYTHON, "-m", *command], cwd=ROOT)


def lab(args):
    """Set up, check the machine, open JupyterLab on the first notebook."""
    setup()
    if call("medmoe_lite.cli", "doctor") != 0:
        stop("The machine is not ready: see the lines without OK above for what to type.")
    return call("medmoe_lite.cli", "lab", *args)


def lint(_args=()):
    """Style, format, types and spelling; every one runs, the worst result counts."""
    setup()
    print("ruff check, ruff format, mypy, codespell", flush=True)
    words = ["notebooks/source", "medmoe_lite", "tests", "docs", "data", "hub"]
    words += ["site/index.md", "site/project", "site/conf.py"]
    words += [name for name in os.listdir(ROOT) if name.endswith((".md", ".yml"))]
    checks = [("ruff", "check", "."), ("ruff", "format", "--check", "--quiet", "."), ("mypy",)]
    checks.append(("codespell_lib", *words))
    return max(call(*check) for check in checks)


def test(args):
    """Set up where that is missing, then lint, types and all tests."""
    failed = lint()
    if failed:
        print("\nSTYLE OR TYPES FAILED (above); the tests run all the same\n", flush=True)
    for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
        os.environ.setdefault(name, "1")  # one thread a test process, or they fight for cores
    jobs = os.environ.get("MEDMOE_TEST_JOBS", str(max(2, min(4, os.cpu_count() or 2))))
    return call("pytest", "-q", "-n", jobs, "--dist", "loadfile", *args) or failed


def notebooks(args):
    """Build the learner notebooks and execute the solutions."""
    setup()
    return call("medmoe_lite.course.build", *args)


def budgets(args):
    """Measure time and memory of every notebook and print what exceeds its budget."""
    setup()
    return call("medmoe_lite.course.budgets", *args)


def site(args):
    """Build the course as HTML in site/_build; with --check look at it in a browser, with axe."""
    setup()
    need("site", "myst_nb", "pydata_sphinx_theme", "sphinx_copybutton", "latex2mathml")
    return call("medmoe_lite.course.site.command", *args)


def newest(args):
    """Test against the newest packages, in an environment of its own; --all, --torch torch==X."""
    setup()
    return call("medmoe_lite.course.matrix", "newest", *args)


def oldest(args):
    """Test against the oldest packages that pyproject.toml allows; the same options."""
    setup()
    return call("medmoe_lite.course.matrix", "oldest", *args)


def clean(args):
    """Remove caches and builds; with --venv the environment too."""
    names = ["build", "dist", "site/_build", ".pytest_cache", ".mypy_cache", ".ruff_cache"]
    venvs = [".venv", ".venv-newest", ".venv-oldest"]
    for name in names + (venvs if "--venv" in args else []):
        shutil.rmtree(os.path.join(ROOT, name), ignore_errors=True)
    for folder, inside, _ in os.walk(ROOT):
        inside[:] = [name for name in inside if name not in (".git", *venvs)]
        if os.path.basename(folder) in ("__pycache__", ".ipynb_checkpoints"):
            shutil.rmtree(folder, ignore_errors=True)
            inside[:] = []
    return 0


CHOICE = (
    setup, lab, test, lint, notebooks, budgets,
    site, newest, oldest, clean,
)  # fmt: skip
TARGETS = {f.__name__: f for f in CHOICE}


def main():
    """Run one target; what follows its name goes to the program behind it."""
    parser = argparse.ArgumentParser(
        prog="python -m make",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog="\n".join(f"  {name:10} {f.__doc__}" for name, f in TARGETS.items()),
    )
    parser.add_argument("target", choices=TARGETS, metavar="target")
    parser.add_argument("args", nargs=argparse.REMAINDER, help="options of the program behind it")
    chosen = parser.parse_args()
    try:
        return TARGETS[chosen.target](chosen.args)
    except KeyboardInterrupt:
        return 130


if __name__ == "__main__":
    raise SystemExit(main())
