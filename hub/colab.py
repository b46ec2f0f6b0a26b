"""Install the kit where torch and numpy are already there, and leave those as they are.

    python medmoe-lite/hub/colab.py            what the first cell on Colab runs
    python medmoe-lite/hub/colab.py --dry-run  only print what would be typed

Colab's torch fits its driver, and half of its other packages are built against its numpy. A plain
`pip install medmoe-lite` may replace either. So here the kit comes without its dependencies, then
only what is missing or too old, under a constraints file that holds the versions already there.
Uses the standard library and `packaging` alone.
"""

import argparse
import subprocess
import sys
import tempfile
import tomllib
from importlib import metadata
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parents[1]
# Never changed, whatever asks for it: names, and beginnings of names.
KEEP = ("torch", "torchvision", "torchaudio", "numpy", "scipy", "pandas", "jax", "jaxlib", "triton")
KEEP_ALSO = ("nvidia-", "cupy", "tensorflow")
NOT_FROM_HERE = ("torch", "numpy")


def wanted(root: Path = ROOT) -> list[Requirement]:
    """What the package needs, from its pyproject.toml."""
    with open(root / "pyproject.toml", "rb") as file:
        return [Requirement(line) for line in tomllib.load(file)["project"]["dependencies"]]


def installed() -> dict[str, str]:
    """Name -> version of everything that is there."""
    found = {}
    for one in metadata.distributions():
        if one.metadata["Name"]:
            found.setdefault(canonicalize_name(one.metadata["Name"]), one.version)
    return found


def missing(needs: list[Requirement], have: dict[str, str]) -> list[Requirement]:
    """What is not there, or in a version that does not do."""
    return [
        one
        for one in needs
        if (version := have.get(canonicalize_name(one.name))) is None
        or not one.specifier.contains(version, prereleases=True)
    ]


def kept(have: dict[str, str]) -> list[str]:
    """Lines of a constraints file: what must stay at its version."""
    names = [name for name in have if name in KEEP or name.startswith(KEEP_ALSO)]
    return [f"{name}=={have[name]}" for name in sorted(names)]


def plan(needs: list[Requirement], have: dict[str, str], constraints: str) -> list[list[str]]:
    """The pip commands, in order.

    Raises:
        SystemExit: torch or numpy is too old or not there; the message says what to do.
    """
    todo = missing(needs, have)
    for one in todo:
        if one.name in NOT_FROM_HERE:
            there = have.get(one.name, "not there")
            raise SystemExit(
                f"{one.name} is {there}, the kit needs {one}. It is not replaced here, as other "
                "packages of this place depend on it: choose a newer runtime (on Colab: Runtime, "
                "Change runtime type), or set up an environment of your own with `make setup`."
            )
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    commands = [[*pip, "--constraint", constraints, *map(str, todo)]] if todo else []
    return [*commands, [*pip, "--no-deps", str(ROOT)]]


def main() -> int:
    """Install; the exit code of pip."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("--dry-run", action="store_true", help="only print what would be typed")
    dry = parser.parse_args().dry_run
    have = installed()
    with tempfile.TemporaryDirectory() as folder:
        constraints = Path(folder) / "keep.txt"
        constraints.write_text("\n".join(kept(have)) + "\n", encoding="utf-8")
        for command in plan(wanted(), have, str(constraints)):
            print(" ".join(command[1:]), flush=True)
            if not dry and (code := subprocess.call(command)):
                print(
                    "pip could not do it without changing what is there; its lines above say why."
                )
                return code
    changed = [n for n in NOT_FROM_HERE if not dry and installed().get(n) != have.get(n)]
    print(f"CHANGED: {', '.join(changed)}" if changed else "torch and numpy are as they were.")
    return 1 if changed else 0


if __name__ == "__main__":
    sys.exit(main())
