"""Answers that attack the grader, and what each must get: nothing, and for that exercise alone.

They are text, put into cells of a rehearsed submission; nothing here runs outside the wall. The
last one succeeds: it shows what the wall does not do, and that such an answer is reported.
"""

LONG, STOPPED = ("too-long",), ("stopped",)
FORGED = (
    'import os\nos.write(3, b\'{"visible":{"verdict":"right","text":"x","mistake":""},\''
    ' + b\'"hidden":{"verdict":"right","text":"x","mistake":""}}\' + b"\\n")\nos._exit(0)'
)
# kind -> (the cell, mistakes that may be named)
HOSTILE: dict[str, tuple[str, tuple[str, ...]]] = {
    "crash": ("import ctypes\nctypes.string_at(0)", ("crash",)),
    "endless loop": ("while True:\n    pass", LONG),
    "fork bomb": (
        "import os\nwhile True:\n    try:\n        os.fork()\n    except OSError:\n        pass",
        ("processes", "memory", "too-long"),
    ),
    "10 GB of bytes": ("x = bytearray(10**10)", ("memory",)),
    "10 GB tensor": ("import torch\nx = torch.ones(10**10 // 4)", ("memory",)),
    "deletes the kit": (
        "import shutil, medmoe_lite\nshutil.rmtree(medmoe_lite.__path__[0])", STOPPED
    ),
    "reads another's submission": ("text = open('{other}').read()", STOPPED),
    "ends the process": ("import os\nos._exit(0)", ("crash",)),
    "SystemExit": ("raise SystemExit(0)", STOPPED),
    "network": (
        "import socket\nsocket.create_connection(('192.0.2.1', 80), timeout=5)", STOPPED
    ),
    "fills the disk": (
        "for i in range(99):\n    open(f'/tmp/{i}', 'wb').write(b'0' * 30_000_000)",
        ("disk",),
    ),
    "sleeps for ever": ("import time\ntime.sleep(10**6)", LONG),
    "ignores its signals": (
        "import signal\nfor s in range(1, 32):\n    try:\n"
        "        signal.signal(s, signal.SIG_IGN)\n    except OSError:\n        pass\n"
        "while True:\n    pass",
        LONG,
    ),
    "kills everything": (
        "import os, signal\nfor pid in (os.getppid(), 1, -1):\n    try:\n"
        "        os.kill(pid, signal.SIGKILL)\n    except OSError:\n        pass\nraise ValueError",
        ("stopped", "crash"),
    ),
    "prints without end": (
        "import os\nfor i in range(400):\n    os.write(3, b'x' * 65536)\nraise ValueError",
        ("stopped", "crash"),
    ),
    "leaves a daemon": (
        "import os, time\nif os.fork() == 0:\n    os.setsid()\n    if os.fork() == 0:\n"
        "        while True:\n            time.sleep(1)\n    os._exit(0)\nraise ValueError",
        STOPPED,
    ),
    "threads without end": (
        "import threading, time\nwhile True:\n"
        "    threading.Thread(target=time.sleep, args=(1000,)).start()",
        ("stopped", "memory", "crash", "too-long"),
    ),
    "recursion": ("def f(x):\n    return f(x)\nf(1)", ("stopped", "crash")),
    "writes into the kit": (
        "import medmoe_lite\nopen(medmoe_lite.__file__, 'a').write('#')", STOPPED
    ),
    "looks for the grader": (
        "import os\nfor pid in os.listdir('/proc'):\n    if pid.isdigit() and int(pid) > 9:\n"
        "        raise LookupError(pid)\nopen('/proc/1/mem', 'rb')",
        STOPPED,
    ),
    "script in a message": (
        "raise ValueError('</p><script>alert(1)</script>\\x1b[2J' + 'x' * 10**6)", STOPPED
    ),
    "mounts": (
        "import ctypes, os\nlibc = ctypes.CDLL(None, use_errno=True)\n"
        "for flags in (0x10000000, 0x20000, 0x10020000):\n"
        "    if libc.unshare(flags) == 0:\n        os._exit(0)\nraise PermissionError",
        STOPPED,
    ),
}  # fmt: skip
