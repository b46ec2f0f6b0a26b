"""What a learner has predicted, answered and passed, kept in one small file.

The file is `progress.json` in the kit's own folder (`medmoe_lite.paths.home_dir`). It is written
whole or not at all; a damaged file counts as empty.

    {"format": 1, "exercises": {"3.1": "solved"}, "predictions": {...}, "quiz": {...}}

`format` is the form of the file. One without it was written before the number existed: it has the
same form and gets the number with the next entry. One with a higher number was written by a later
version: it is neither read nor changed, and a sentence says so.
"""

import json
import os
import warnings
from pathlib import Path
from typing import Any

from medmoe_lite.paths import home_dir

FORMAT = 1


class NewerProgress(UserWarning):
    """The progress file is of a later version of the kit."""


def path() -> Path:
    """Where the progress file is."""
    return home_dir() / "progress.json"


def _whole() -> dict[str, Any] | None:
    """The file's content, `{}` where there is none, None where a later version wrote it."""
    try:
        found = json.loads(path().read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    if not isinstance(found, dict):
        return {}
    form = found.get("format", FORMAT)
    if isinstance(form, int) and form <= FORMAT:
        return found
    warnings.warn(
        f"{path()} was written by a newer version of the kit (format {form}; this one reads up to "
        f"{FORMAT}), so it is left as it is, and nothing new is kept in it. Type pip install "
        "--upgrade medmoe-lite (git pull in a clone), or give the file another name to begin anew.",
        NewerProgress,
        stacklevel=3,
    )
    return None


def read(section: str) -> dict[str, Any]:
    """One section of the file, `{}` where there is none."""
    found = (_whole() or {}).get(section, {})
    return found if isinstance(found, dict) else {}


def write(section: str, key: str, value: Any) -> None:
    """Set one value. A folder that cannot be written to is no reason to stop a notebook."""
    whole = _whole()
    if whole is None:
        return
    had = whole.get(section)
    whole[section] = {**(had if isinstance(had, dict) else {}), key: value}
    whole["format"] = FORMAT
    try:
        path().parent.mkdir(parents=True, exist_ok=True)
        temporary = path().with_suffix(".tmp")
        temporary.write_text(json.dumps(whole, indent=1, sort_keys=True), encoding="utf-8")
        os.replace(temporary, path())
    except OSError:
        pass
