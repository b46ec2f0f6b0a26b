"""One line that moves and then lies still.

In a notebook the line is one display that is updated in place; its last frame equals its first,
so a notebook that is run again has the same output and strict comparison of outputs holds. In a
terminal the line is rewritten on standard error and wiped at the end. Anywhere else, and with
MEDMOE_PROGRESS=0, nothing is shown. No time is ever printed.
"""

from __future__ import annotations

import html
import os
import sys
import time
from types import TracebackType
from typing import Any

WIDTH = 30


class Progress:
    """Progress of one stage.

    >>> with Progress("facts", 100) as progress:
    ...     progress.update(50, "loss 0.31")
    """

    def __init__(self, label: str, total: int, every: float = 0.15) -> None:
        self.label, self.total, self.every = label, total, every
        self._last = 0.0
        self._display: Any = None
        self._kind = _where()

    def __enter__(self) -> Progress:
        if self._kind == "notebook":
            from IPython.display import display

            self._display = display(self._still(), raw=True, display_id=True)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._display is not None:
            self._display.update(self._still(), raw=True)
        elif self._kind == "terminal":
            sys.stderr.write("\r\x1b[K")
            sys.stderr.flush()

    def update(self, step: int, note: str = "") -> None:
        """Show `step` of `total`; calls that come too fast are left out."""
        if self._kind == "off":
            return
        now = time.monotonic()
        if now - self._last < self.every:
            return
        self._last = now
        done = int(WIDTH * min(1.0, step / max(1, self.total)))
        if self._kind == "terminal":
            bar = "#" * done + "." * (WIDTH - done)
            sys.stderr.write(f"\r\x1b[K{self.label} [{bar}] {step}/{self.total} {note}")
            sys.stderr.flush()
        elif self._display is not None:
            text = f"{self.label}: step {step} of {self.total} {note}"
            bar = f'<progress value="{step}" max="{self.total}" style="width:20em"></progress>'
            frame = f"{bar} <span>{html.escape(text)}</span>"
            self._display.update({"text/plain": text, "text/html": frame}, raw=True)

    def _still(self) -> dict[str, str]:
        text = f"{self.label}: {self.total} steps"
        return {"text/plain": text, "text/html": f"<span>{html.escape(text)}</span>"}


def _where() -> str:
    """Where this process can show a moving line: "notebook", "terminal" or "off"."""
    if os.environ.get("MEDMOE_PROGRESS", "1") == "0" or os.environ.get("RANK", "0") != "0":
        return "off"  # of several processes, only the first one speaks
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython is not None else None
    if shell is not None and hasattr(shell, "kernel"):
        return "notebook"
    return "terminal" if sys.stderr.isatty() else "off"
