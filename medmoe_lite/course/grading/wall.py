"""The wall around student code: what it cannot see, reach, fill or outlive.

    outside      unshare --net --mount --pid --ipc ...      a process without a network
    inside       a root made of what Python and the kit need, read-only; nothing else is there
    each answer  its own /tmp (tmpfs), process tree, limits and, for root, its own user number

Linux only, by util-linux' `unshare` and a few system calls; it works for root and for ordinary
users where the kernel lets them make user namespaces. `docs/grading.md` says what it is and is not.
"""

import ctypes
import os
import resource
import shutil
import site
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from medmoe_lite.paths import PACKAGE

NEW_MOUNTS, NEW_IPC, NEW_PIDS = 0x20000, 0x08000000, 0x20000000
READ_ONLY, NO_SUID, NO_DEV, REMOUNT, BIND, RECURSIVE, PRIVATE = 1, 2, 4, 32, 4096, 16384, 1 << 18
FLAGS = {"ro": 1, "nosuid": 2, "nodev": 4, "noexec": 8, "noatime": 1024, "relatime": 1 << 21}
PARENT_DIES, NO_NEW_PRIVILEGES, DROP_BOUND, SECURE_BITS = 1, 38, 24, 28
FIRST_USER = 64001  # of the numbers that answers run under; one for each stage at work
STAGE_HOME = "/stage"  # where official cells write; answers can only read it
KEPT = "/kept"  # where what lies below /tmp is seen a second time
DEVICES = ("null", "zero", "full", "random", "urandom")
SYSTEM = ("/bin", "/sbin", "/lib", "/lib64", "/usr", "/opt/conda", "/etc/ld.so.cache",
          "/etc/localtime", "/etc/fonts", "/etc/alternatives")  # fmt: skip


class Limits(NamedTuple):
    """What one answer may use."""

    seconds: int = 20  # of the processor
    wall_seconds: int = 60  # of the clock
    megabytes: int = 2048  # more than the stage has, over all of its processes
    disk_megabytes: int = 64
    processes: int = 24  # threads included


class Wall(NamedTuple):
    """Which wall stands: `kind` is "root", "user" (namespaces) or "limits" (none but limits)."""

    kind: str
    why: str = ""

    @property
    def stands(self) -> bool:
        """True where answers are separated from files, network and each other."""
        return self.kind != "limits"

    def prefix(self) -> list[str]:
        """What to put before a command."""
        if not self.stands:
            return []
        user = ["--user", "--map-root-user"] if self.kind == "user" else []
        spaces = ["--net", "--mount", "--pid", "--ipc", "--uts", "--fork", "--kill-child"]
        return ["unshare", *user, *spaces]


def find_wall() -> Wall:
    """The best wall this machine allows, and where there is none, why."""
    if not sys.platform.startswith("linux"):
        return Wall("limits", f"{sys.platform} has no namespaces")
    if shutil.which("unshare") is None:
        return Wall("limits", "there is no `unshare`; install util-linux")
    said = ""
    for kind in ("root", "user") if os.geteuid() == 0 else ("user",):
        wall = Wall(kind)
        raise_it = "wall.raise_root([], []); print('stands')"
        test = f"from medmoe_lite.course.grading import wall; {raise_it}"
        done = subprocess.run(
            [*wall.prefix(), sys.executable, "-c", test], capture_output=True, text=True, timeout=60
        )
        if done.stdout.strip() == "stands":
            return wall
        said = (done.stderr.strip().splitlines() or ["no message"])[-1][:200]
    return Wall("limits", f"this system refuses namespaces ({said})")


def environment(home: str) -> dict[str, str]:
    """All that stage and answers see of the environment."""
    path = os.pathsep.join([str(Path(sys.executable).parent), "/usr/local/bin", "/usr/bin", "/bin"])
    ours = {
        "PATH": path, "HOME": home, "USER": "student", "LOGNAME": "student", "LANG": "C.UTF-8",
        "MEDMOE_HOME": f"{home}/medmoe", "MEDMOE_FAST": "1", "MPLCONFIGDIR": f"{home}/matplotlib",
        "HF_HOME": f"{home}/hf", "HF_HUB_OFFLINE": "1", "MPLBACKEND": "Agg",
        "OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1",
        "PYTHONPATH": str(PACKAGE.parent), "PYTHONSAFEPATH": "1", "PYTHONHASHSEED": "0",
        "PYTHONDONTWRITEBYTECODE": "1", "CUDA_VISIBLE_DEVICES": "",
    }  # fmt: skip
    return ours


def needed() -> list[str]:
    """Paths that Python and the kit need."""
    kit = [PACKAGE, PACKAGE.parent / "data"]
    python = [sys.prefix, sys.base_prefix, sys.exec_prefix, *site.getsitepackages()]
    found = [*SYSTEM, *python, *(str(path) for path in kit)]
    kept: list[str] = []
    for path in sorted({p for p in found if os.path.lexists(p) and p != "/"}, key=len):
        if not any(path.startswith(f"{other}/") for other in kept):
            kept.append(path)
    return kept


def _below_tmp() -> list[str]:
    """Paths that a fresh /tmp would hide: an environment or a clone that somebody keeps there."""
    return [path for path in needed() if path.startswith("/tmp/")]


_libc: ctypes.CDLL | None = None


def _call(name: str, *arguments: object) -> None:
    """A function of the C library; OSError where it fails."""
    global _libc
    _libc = _libc or ctypes.CDLL(None, use_errno=True)
    if getattr(_libc, name)(*arguments) != 0:
        code = ctypes.get_errno()
        raise OSError(code, f"{name}: {os.strerror(code)}")


def mount(source: str, target: str, kind: str, flags: int, data: str = "") -> None:
    """mount(2)"""
    words = [text.encode() for text in (source, target, kind)]
    _call("mount", *words, ctypes.c_ulong(flags), data.encode() or None)


def new_spaces(flags: int) -> None:
    """unshare(2)"""
    _call("unshare", ctypes.c_int(flags))


def die_with_parent() -> None:
    """The kernel kills this process when the one that started it ends."""
    if sys.platform.startswith("linux"):
        _call("prctl", PARENT_DIES, 9, 0, 0, 0)


def raise_root(keep: Iterable[str], hide: Iterable[str]) -> None:
    """Make a new root of `needed()` and `keep`, read-only, without `hide`; move into it.

    To be called inside `Wall.prefix()`. Afterwards no path leads to any other file of the machine.
    """
    mount("none", "/", "none", RECURSIVE | PRIVATE)
    outer = "/sys"  # a folder that is always there and that nobody inside needs
    mount("tmpfs", outer, "tmpfs", NO_SUID | NO_DEV, "size=16m,mode=755")
    box = f"{outer}/box"
    os.umask(0o022)
    os.mkdir(box)
    for path in [*needed(), *keep]:
        _bind(path, box + path)
    for path in _below_tmp():
        _bind(path, f"{box}{KEPT}{path}")
    for name in DEVICES:
        _bind(f"/dev/{name}", f"{box}/dev/{name}")
    os.makedirs(f"{box}/etc", exist_ok=True)
    _write(f"{box}/etc/passwd", "root:x:0:0::/tmp:/bin/sh\nstudent:x:64001:64001::/tmp:/bin/sh\n")
    _write(f"{box}/etc/hosts", "127.0.0.1 localhost\n")
    _only_read(box)
    for path in hide:
        if os.path.isdir(box + path):
            mount("tmpfs", box + path, "tmpfs", READ_ONLY | NO_SUID | NO_DEV, "size=4k")
    for name, size in (("/tmp", "256m"), (STAGE_HOME, "512m"), ("/proc", "")):
        os.makedirs(box + name, exist_ok=True)
        if size:
            mode = "1777" if name == "/tmp" else "755"
            mount("tmpfs", box + name, "tmpfs", NO_SUID | NO_DEV, f"size={size},mode={mode}")
    for path in _below_tmp():
        _bind(f"{box}{KEPT}{path}", box + path)  # read-only, as what it shows again
    _proc(f"{box}/proc")
    os.chdir(outer)
    _call("pivot_root", b".", b".")  # the old root lies under the new one for a moment
    _call("umount2", b".", 2)
    mount("none", "/", "none", REMOUNT | BIND | READ_ONLY | NO_SUID | NO_DEV)
    os.chroot("/box")  # a process in a chroot cannot make user namespaces of its own
    os.chdir("/tmp")


def _write(path: str, text: str) -> None:
    Path(path).write_text(text, encoding="utf-8")


def _bind(source: str, target: str) -> None:
    if os.path.islink(source):  # /bin -> usr/bin
        if not os.path.lexists(target):
            os.makedirs(os.path.dirname(target), exist_ok=True)
            os.symlink(os.readlink(source), target)
        return
    if os.path.isdir(source):
        os.makedirs(target, exist_ok=True)
    elif os.path.exists(source):
        os.makedirs(os.path.dirname(target), exist_ok=True)
        _write(target, "")
    else:
        return
    mount(source, target, "none", BIND | RECURSIVE)


def _only_read(below: str) -> None:
    """Every mount below a path becomes read-only; devices can still be written to."""
    with open("/proc/self/mountinfo", encoding="utf-8") as table:
        rows = [line.split() for line in table]
    for row in rows:
        point = row[4].encode().decode("unicode_escape")
        if point.startswith(f"{below}/"):
            flags = sum(FLAGS.get(word, 0) for word in set(row[5].split(",")))
            mount("none", point, "none", flags | REMOUNT | BIND | READ_ONLY | NO_SUID)


def _proc(target: str) -> None:
    """This process tree's own /proc; an empty one where the kernel does not allow that."""
    try:
        mount("proc", target, "proc", NO_SUID | NO_DEV | 8)
    except OSError:
        mount("tmpfs", target, "tmpfs", READ_ONLY | NO_SUID | NO_DEV, "size=4k")


def fresh_scratch(limits: Limits) -> None:
    """For one answer: an empty /tmp, a /proc of its own, the stage's home read-only."""
    size = f"size={limits.disk_megabytes}m,nr_inodes=2000,mode=1777"
    again = _below_tmp()
    mount("tmpfs", "/tmp", "tmpfs", NO_SUID | NO_DEV, size)
    for path in again:
        _bind(KEPT + path, path)
    _proc("/proc")
    mount("none", STAGE_HOME, "none", REMOUNT | BIND | READ_ONLY | NO_SUID | NO_DEV)


def set_limits(limits: Limits, pages: int) -> None:
    """Limits of this process; `pages` is the address space it has already."""
    room = pages * resource.getpagesize() + limits.megabytes * 2**20
    for what, soft, hard in (
        (resource.RLIMIT_CORE, 0, 0),
        (resource.RLIMIT_CPU, limits.seconds, limits.seconds + 1),
        (resource.RLIMIT_AS, room, room),
        (resource.RLIMIT_FSIZE, limits.disk_megabytes * 2**20, limits.disk_megabytes * 2**20),
        (resource.RLIMIT_NOFILE, 128, 128),
        (resource.RLIMIT_NPROC, limits.processes, limits.processes),
    ):
        try:
            resource.setrlimit(what, (soft, hard))
        except (ValueError, OSError):  # macOS knows some of them and does not set them
            continue


def drop(wall: Wall, user: int) -> None:
    """Give every right away for good: as root a number that owns nothing, else all capabilities."""
    if not sys.platform.startswith("linux"):
        return
    if os.geteuid() == 0 and wall.kind != "user":
        os.setgroups([])
        os.setresgid(user, user, user)
        os.setresuid(user, user, user)
    elif wall.kind == "user":
        for capability in range(64):
            try:
                _call("prctl", DROP_BOUND, capability, 0, 0, 0)
            except OSError:  # past the last one that this kernel has
                break
        header = (ctypes.c_uint32 * 2)(0x20080522, 0)
        _call("capset", header, (ctypes.c_uint32 * 6)())
    _call("prctl", NO_NEW_PRIVILEGES, 1, 0, 0, 0)
