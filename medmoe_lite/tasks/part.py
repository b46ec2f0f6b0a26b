"""What has come of a download so far, kept beside the cache until it is whole."""

from __future__ import annotations

import json
from hashlib import sha256
from pathlib import Path


class Part:
    """What has come of a file so far, and which version of it that is."""

    def __init__(self, folder: Path, url: str):
        stem = sha256(url.encode()).hexdigest()[:16]
        self.path = folder / f"{stem}.part"
        self.lock = folder / f"{stem}.lock"
        self._about = folder / f"{stem}.json"

    @property
    def size(self) -> int:
        return self.path.stat().st_size if self.path.exists() else 0

    @property
    def tag(self) -> str | None:
        """The server's strong name of the version that was begun."""
        try:
            tag = json.loads(self._about.read_text(encoding="utf-8"))["tag"]
        except (OSError, ValueError, KeyError, TypeError):
            return None
        return tag if isinstance(tag, str) else None

    def begin(self, tag: str | None) -> None:
        self.clear()
        self._about.write_text(json.dumps({"tag": tag}), encoding="utf-8")

    def clear(self) -> None:
        self.path.unlink(missing_ok=True)
        self._about.unlink(missing_ok=True)
