"""`medmoe doctor`: is this machine ready, and if not, what to type.

Each requirement is one small function that returns a `Check`. "ok" needs nothing, "look" works
but could be better, "fail" stops a part of the kit; only "fail" makes the exit code 1.
"""

from __future__ import annotations

import json
import os
import platform
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from importlib import metadata
from pathlib import Path

from .setup_advice import DISTRIBUTION, install

MEMORY_GB = 1.5  # what a notebook may use
DISK_GB = 1.0
MARKS = {"ok": "OK  ", "look": "LOOK", "fail": "FAIL"}


@dataclass(frozen=True)
class Check:
    """One requirement: its name, "ok" | "look" | "fail", what was found, what to type."""

    name: str
    state: str
    found: str
    advice: str = ""

    def line(self) -> str:
        """The check as one line of text, with a second line where there is advice.

        >>> Check("disk", "ok", "20 GB free").line()
        'OK    disk        20 GB free'
        """
        advice = f"\n      {'':11} -> {self.advice}" if self.advice else ""
        return f"{MARKS[self.state]}  {self.name:11} {self.found}{advice}"


def python() -> Check:
    """Python 3.11 or newer."""
    # An older one cannot even read this package: make.py is what tells its owner.
    return Check("Python", "ok", f"{platform.python_version()} at {sys.executable}")


def packages() -> Check:
    """Every package that the installed distribution requires, in a version that it accepts."""
    try:
        from packaging.requirements import Requirement
    except ImportError:
        return Check("packages", "fail", "needed: packaging", f"type {install(['packaging'])}")
    try:
        lines = metadata.requires(DISTRIBUTION) or []
    except metadata.PackageNotFoundError:
        advice = "type `make setup`, or `pip install -e .` in the checkout"
        return Check("packages", "fail", f"{DISTRIBUTION} is not installed", advice)
    wanted = [
        r for r in map(Requirement, lines) if not r.marker or r.marker.evaluate({"extra": ""})
    ]
    wrong, versions = [], {}
    for requirement in wanted:
        try:
            versions[requirement.name] = metadata.version(requirement.name)
        except metadata.PackageNotFoundError:
            wrong.append(str(requirement))
            continue
        if not requirement.specifier.contains(versions[requirement.name], prereleases=True):
            wrong.append(f"{requirement} (here {versions[requirement.name]})")
    if wrong:
        advice = f"type `make setup`, or {install([text.split(' (')[0] for text in wrong])}"
        return Check("packages", "fail", f"needed: {'; '.join(wrong)}", advice)
    shown = ("torch", "transformers", "peft", "bitsandbytes")
    return Check(
        "packages",
        "ok",
        ", ".join(f"{name} {versions[name]}" for name in shown if name in versions)
        + f", and {len(wanted) - len(shown)} more",
    )


def driver_sees_gpu() -> bool:
    """Whether `nvidia-smi` lists a card, whatever torch thinks."""
    try:
        done = subprocess.run(["nvidia-smi", "-L"], capture_output=True, timeout=30, check=True)
    except (OSError, subprocess.SubprocessError):
        return False
    return done.stdout.startswith(b"GPU")


def device() -> Check:
    """The device that training would use, and whether torch's build fits the machine."""
    import torch

    from .bases.precision import computes_bfloat16

    if torch.cuda.is_available():
        card = torch.cuda.get_device_properties(0)
        numbers = "bfloat16" if computes_bfloat16("cuda") else "float16"
        found = f"{card.name}, {card.total_memory / 1e9:.0f} GB, {numbers}"
        return Check("device", "ok", found)
    if torch.version.cuda is None and driver_sees_gpu():
        advice = "type `pip install --force-reinstall torch` for the CUDA build"
        if os.name == "nt":
            advice += " with the --index-url that https://pytorch.org/get-started shows"
        return Check("device", "look", "there is an NVIDIA card, but torch is a CPU build", advice)
    if torch.version.cuda is not None:
        found = f"CPU; torch is the build for CUDA {torch.version.cuda}, and no card can be used"
        advice = (
            "with a card: look at `nvidia-smi`; without one: `make clean ARGS=--venv`, `make setup`"
        )
        return Check("device", "look", found, advice)
    if torch.backends.mps.is_available():
        return Check("device", "ok", "CPU and Apple GPU (mps)")
    return Check("device", "ok", "CPU: right for nano; the real 1.8B model wants a GPU")


def four_bit() -> Check:
    """bitsandbytes really packs a matrix into nf4 and multiplies with it."""
    try:
        import torch

        from .bases.load import keep_unpacked  # before bitsandbytes: it silences an import

        on = "cuda" if torch.cuda.is_available() else "cpu"
        with torch.no_grad():
            from bitsandbytes.nn import Linear4bit

            dense = torch.nn.Linear(64, 64, bias=False)
            inputs = torch.randn(8, 64, generator=torch.Generator().manual_seed(0))
            expected = dense(inputs)
            small = Linear4bit(64, 64, bias=False, quant_type="nf4", compute_dtype=torch.float32)
            small.load_state_dict(dense.state_dict())
            got = keep_unpacked(small).to(on)(inputs.to(on)).cpu()
        error = float((got - expected).norm() / expected.norm())
    except Exception as problem:
        advice = "type `pip install --force-reinstall bitsandbytes`; everything else works without"
        return Check("4 bits", "fail", f"nf4 does not work: {problem}", advice)
    state = "ok" if error < 0.2 else "fail"
    return Check("4 bits", state, f"nf4 on {on}, relative error {error:.3f} (expected near 0.09)")


def threads() -> Check:
    """Threads that torch uses, beside the processors there are."""
    import torch

    used, there = torch.get_num_threads(), len(_processors())
    found = f"torch uses {used} of {there} processors"
    if used > there:
        return Check("threads", "look", found, f"type `export OMP_NUM_THREADS={there}`")
    return Check("threads", "ok", found)


def _processors() -> list[int]:
    """Processors that this process may use (a container may forbid some)."""
    if hasattr(os, "sched_getaffinity"):
        return sorted(os.sched_getaffinity(0))
    return list(range(os.cpu_count() or 1))


def memory() -> Check:
    """Free main memory for a notebook."""
    import psutil

    memory = psutil.virtual_memory()
    free = memory.available / 1e9
    found = f"{free:.1f} of {memory.total / 1e9:.1f} GB free"
    if free < MEMORY_GB:
        return Check("memory", "look", found, f"a notebook may need {MEMORY_GB} GB: close programs")
    return Check("memory", "ok", found)


def disk() -> Check:
    """Free disk space where results are written."""
    from .paths import home_dir

    folder = home_dir()
    while not folder.exists():
        folder = folder.parent
    free = shutil.disk_usage(folder).free / 1e9
    found = f"{free:.1f} GB free in {folder}"
    if free < DISK_GB:
        advice = "make room, or set MEDMOE_HOME to a folder on a larger disk"
        return Check("disk", "look", found, advice)
    return Check("disk", "ok", found)


def network() -> Check:
    """Whether the hub may be asked at all; the kit itself needs no network."""
    offline = any(
        os.environ.get(name, "").upper() in {"1", "ON", "YES", "TRUE"}
        for name in ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE")
    )
    mode = "offline by HF_HUB_OFFLINE" if offline else "the hub is asked only when you name a model"
    return Check("network", "ok", f"none needed; {mode}")


def data() -> Check:
    """Shipped files against their checksums; a nano that was changed is no nano any more."""
    from .bases.checksums import SUMS, damaged, listed
    from .paths import data_dir

    advice = "type `git checkout -- data`, or `pip install --force-reinstall --no-deps medmoe-lite`"
    try:
        root = data_dir()
        found = {folder: damaged(folder) for folder in listed()}
        problems = [f"{folder.name}/{text}" for folder in found for text in found[folder]]
        broken = [
            folder
            for folder in found
            if found[folder] and root / "nano" in (folder, *folder.parents)
        ]
        if not (root / "nano" / SUMS).is_file():
            problems, broken = [*problems, "nano is missing"], [root / "nano"]
    except (OSError, ValueError) as problem:
        return Check("data", "fail", str(problem), advice)
    if broken:
        return Check("data", "fail", "; ".join(problems), advice)
    if problems:
        advice = f"if it was not you: {advice}; if it was: `python -m medmoe_lite.bases.checksums`"
        return Check("data", "look", "; ".join(problems), advice.replace("-- data", "."))
    files = sum(len((f / SUMS).read_text(encoding="utf-8").splitlines()) for f in found)
    return Check("data", "ok", f"{files} files as shipped, in {root}")


def method() -> Check:
    """peft knows the mixture of LoRA experts."""
    try:
        from peft.mapping import PEFT_TYPE_TO_CONFIG_MAPPING

        from .method import MoLoraConfig
    except Exception as problem:
        return Check("PEFT", "fail", f"MOLORA is not registered: {problem}", "type `make setup`")
    if MoLoraConfig not in PEFT_TYPE_TO_CONFIG_MAPPING.values():
        return Check("PEFT", "fail", "MOLORA is not registered", "type `make setup`")
    return Check("PEFT", "ok", "the method MOLORA is registered")


def kernel() -> Check:
    """A Jupyter kernel that runs this very Python."""
    advice = "type `make setup`, or `pip install jupyterlab ipykernel`"
    try:
        from jupyter_client.kernelspec import KernelSpecManager

        metadata.version("jupyterlab")
        # Without the native one, which is made up on the fly and says nothing.
        spec = KernelSpecManager().get_kernel_spec("python3")
    except Exception as problem:
        return Check("notebooks", "look", f"no Jupyter kernel: {problem}", advice)
    program = Path(spec.argv[0])
    if program.is_absolute() and program.parent != Path(sys.executable).parent:
        found = f"the kernel python3 runs {program}, not this Python"
        return Check(
            "notebooks", "look", found, f"type `{sys.executable} -m ipykernel install --user`"
        )
    return Check("notebooks", "ok", f"JupyterLab {metadata.version('jupyterlab')}, kernel python3")


CHECKS: tuple[Callable[[], Check], ...] = (
    python,
    packages,
    device,
    four_bit,
    method,
    threads,
    memory,
    disk,
    network,
    data,
    kernel,
)

LOADING = (device, four_bit, method, threads)  # a wrong package may end the process there


def examine() -> Iterator[Check]:
    """Run every check, one after the other; a check that breaks counts as failed.

    >>> next(examine()).name
    'Python'
    """
    broken = False
    for check in CHECKS:
        if broken and check in LOADING:
            name = check.__name__.replace("four_bit", "4 bits")
            yield Check(name, "look", "not examined: the packages come first", "see packages")
            continue
        try:
            found = check()
        except Exception as problem:
            found = Check(check.__name__, "fail", f"{problem!r}", "type `make setup`")
        broken = broken or (found.name == "packages" and found.state == "fail")
        yield found


def main(as_json: bool = False) -> int:
    """Print all checks; the exit code is 1 where one of them failed."""
    results = []
    for check in examine():
        results.append(check)
        if not as_json:
            print(check.line(), flush=True)
    failed = sum(check.state == "fail" for check in results)
    if as_json:
        print(json.dumps({"ready": not failed, "checks": [asdict(c) for c in results]}, indent=1))
    else:
        print(f"\n{failed} of {len(results)} failed" if failed else "\nReady.")
    return int(failed > 0)
