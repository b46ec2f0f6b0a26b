"""What was loaded, written down: a run card without it could not be repeated.

A hub name means another model tomorrow, the commit that it stood for does not. It is read off the
files that were loaded, not off a table: `load_base("owner/model@COMMIT")` loads the same again.
"""

from __future__ import annotations

import re
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

ATTRIBUTE = "base_record"


@dataclass(frozen=True)
class BaseRecord:
    """A base as `load_base` made it.

    Attributes:
        name: what was typed.
        kind: "nano", "folder" or "hub".
        commit: of the hub's repository that the files came from; None for folders.
        model_type: of the configuration, such as "qwen2".
        four_bit: whether the linear layers are packed.
        dtype: of the other weights and of the computation, such as "bfloat16".
        attention: the implementation, such as "sdpa".
        checkpointing: whether layers run again in the backward pass.

    >>> BaseRecord("me/base", "hub", "4bf2", "qwen2", True, "bfloat16", "sdpa", False).again
    'me/base@4bf2'
    """

    name: str
    kind: str
    commit: str | None
    model_type: str
    four_bit: bool
    dtype: str
    attention: str
    checkpointing: bool

    @property
    def again(self) -> str:
        """What to type to load the same files again."""
        return f"{self.name.partition('@')[0]}@{self.commit}" if self.commit else self.name

    def to_dict(self) -> dict[str, Any]:
        """All fields as plain JSON values."""
        return asdict(self)


def commit_of(place: str, revision: str | None = None) -> str | None:
    """The commit that a hub name stands for in the cache, once its config.json was fetched.

    >>> commit_of("owner/never-fetched") is None
    True
    """
    from huggingface_hub import try_to_load_from_cache

    found = try_to_load_from_cache(place, "config.json", revision=revision)
    name = Path(found).parent.name if isinstance(found, str) else ""
    return name if re.fullmatch("[0-9a-f]{40}", name) else None


def record_of(model: Any) -> BaseRecord | None:
    """What a model was loaded from, seen through PEFT; None where `load_base` did not load it.

    >>> record_of(object()) is None
    True
    """
    base = model.get_base_model() if hasattr(model, "get_base_model") else model
    return getattr(base, ATTRIBUTE, None)
