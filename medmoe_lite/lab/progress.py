"""What a learner has predicted, answered and passed, kept in one small file.

The file is `progress.json` in the kit's own folder (`medmoe_lite.paths.home_dir`). It is written
whole or not at all; a damaged file counts as empty.
"""

import json
import os
from pathlib import Path
from typing import Any

from medmoe_lite.paths import home_dir


def path() -> Path:
    """Where the progress file is."""
    return home_dir() / "progress.json"


def read(section: str) -> dict[str, Any]:
    """One section of the file, `{}` where there is none."""
    try:
        found = json.loads(path().read_text(encoding="utf-8")).get(section, {})
    except (OSError, ValueError, AttributeError):
        return {}
    return found if isinstance(found, dict) else {}


def write(section: str, key: str, value: Any) -> None:
    """Set one value. A folder that cannot be written to is no reason to stop a notebook."""
    try:
        whole = json.loads(path().read_text(encoding="utf-8"))
    except (OSError, ValueError):
        whole = {}
    if not isinstance(whole, dict):
        whole = {}
    whole[section] = {**read(section), key: value}
    try:
        path().parent.mkdir(parents=True, exist_ok=True)
        temporary = path().with_suffix(".tmp")
        temporary.write_text(json.dumps(whole, indent=1, sort_keys=True), encoding="utf-8")
        os.replace(temporary, path())
    except OSError:
        pass
