"""The configuration of a base by its name, without a weight and without a network.

"nano"              the shipped model
a folder            its config.json
"owner/model"       its config.json in the hub's cache on this machine; for Qwen1.5-1.8B-Chat
                    the true sizes stand in plan.py and are always there
"""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from .plan import QWEN_1_8B
from .source import resolve

BUILT_IN = {"Qwen/Qwen1.5-1.8B-Chat": QWEN_1_8B}
# Blocks of seven linear layers under the names that the plan counts.
KINDS = ("qwen2", "qwen3", "llama", "mistral")
NEEDED = ("hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads",
          "vocab_size")  # fmt: skip


def read_config(name: str) -> tuple[Any, str]:
    """Sizes of a base, and where they were read.

    Args:
        name: "nano", a folder, or a hub name, with a branch, tag or commit as "owner/model@COMMIT".

    Returns:
        An object with the configuration's fields, and a few words for the table.

    Raises:
        FileNotFoundError: the folder, or its config.json, or the hub's copy is not there.
        ValueError: a damaged file, or a kind of model that the plan cannot count.

    >>> config, where = read_config("Qwen/Qwen1.5-1.8B-Chat")
    >>> config.hidden_size
    2048
    """
    source = resolve(name)
    if source.kind != "hub":
        file = Path(source.place) / "config.json"
        if not file.is_file():
            raise FileNotFoundError(f"{file} is missing: a base's folder holds its config.json.")
        return parsed(file), str(file)
    cached = in_cache(source.place, source.revision or "main")
    if cached is not None:
        return parsed(cached), "the hub's cache"
    if source.place in BUILT_IN:
        return BUILT_IN[source.place], "what the kit knows"
    raise FileNotFoundError(
        f"the configuration of {name} is not on this machine. Type "
        f"`hf download {source.place} config.json`, or give a folder with its config.json, or one "
        f"of {', '.join(BUILT_IN)}."
    )


def in_cache(name: str, revision: str = "main") -> Path | None:
    """A hub model's config.json in the local cache, or None."""
    from huggingface_hub import try_to_load_from_cache

    found = try_to_load_from_cache(name, "config.json", revision=revision)
    return Path(found) if isinstance(found, str) else None


def parsed(file: Path) -> Any:
    """A config.json as an object; what families leave out is filled as transformers does.

    Raises:
        ValueError: no JSON, a size is missing, or another kind of model.
    """
    try:
        given = json.loads(file.read_text(encoding="utf-8"))
        given = given.get("text_config") or given
    except (ValueError, AttributeError) as error:
        raise ValueError(f"{file} is no configuration ({error}): copy it again.") from error
    kind = given.get("model_type")
    if kind not in KINDS:
        raise ValueError(
            f"{file} is of kind {kind!r}, whose blocks the plan cannot count; it knows "
            f"{', '.join(KINDS)}. Train with a small batch and watch the memory."
        )
    missing = [name for name in NEEDED if not isinstance(given.get(name), int)]
    if missing:
        raise ValueError(f"{file} has no {', '.join(missing)}: copy it again.")
    usual = {
        "num_key_value_heads": given["num_attention_heads"],
        "tie_word_embeddings": False,
    }
    return SimpleNamespace(**{**usual, **given})


def width_of(config: Any) -> int:
    """Bytes a number in which a model was saved: 4 for float32, else 2.

    >>> width_of(SimpleNamespace(torch_dtype="float32")), width_of(QWEN_1_8B)
    (4, 2)
    """
    named = getattr(config, "dtype", None) or getattr(config, "torch_dtype", None)
    return 4 if str(named).removeprefix("torch.") == "float32" else 2
