"""What goes wrong while a model is loaded, said in one sentence with what to type next."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from .source import remedy

# On some CPUs bitsandbytes warns at import that a package is missing which would fetch
# programs from the hub. The kit does without it, and so should the learner's first cell.
logging.getLogger("bitsandbytes.backends.cpu.ops").setLevel(logging.ERROR)


@contextmanager
def quiet() -> Iterator[None]:
    """No progress bar for a file of some megabytes."""
    from transformers.utils import logging as hf_logging

    bar = hf_logging.is_progress_bar_enabled()
    hf_logging.disable_progress_bar()
    try:
        yield
    finally:
        if bar:
            hf_logging.enable_progress_bar()


@contextmanager
def told_plainly(kind: str, place: str) -> Iterator[None]:
    """Turn the libraries' errors into one sentence with the likely cause and what to type."""
    from safetensors import SafetensorError

    try:
        yield
    except SafetensorError as error:
        raise ValueError(
            f"the weights in {place} cannot be read ({error}): the file is cut short or damaged. "
            f"{remedy(Path(place), kind)}"
        ) from error
    except (OSError, ValueError) as error:
        first = str(error).strip().split("\n")[0]
        if kind != "hub":
            raise ValueError(
                f"{place} is no model that the kit can read ({first}). It needs config.json of a "
                f"known model type, a tokenizer and model.safetensors. {remedy(Path(place), kind)}"
            ) from error
        raise ConnectionError(
            f"{place} could not be loaded: {first} {hub_advice(error, place)}"
        ) from error


def hub_advice(error: BaseException, place: str = "owner/model") -> str:
    """What a failed hub name most likely means, from the chain of errors."""
    from huggingface_hub import constants

    chain: list[BaseException] = [error]
    while (cause := chain[-1].__cause__ or chain[-1].__context__) and cause not in chain:
        chain.append(cause)
    names = {type(link).__name__ for link in chain}
    if "GatedRepoError" in names:
        return "Accept its licence on huggingface.co, then type `hf auth login`."
    if {"RepositoryNotFoundError", "RevisionNotFoundError"} & names:
        return "The hub has no such model or revision: check the spelling."
    if "safetensors" in str(error) and "connect" not in str(error).lower():
        return "The kit reads safetensors only: choose a revision that has them."
    if constants.is_offline_mode():
        return (
            f"HF_HUB_OFFLINE is set, and the hub's cache ({constants.HF_HUB_CACHE}) has no whole "
            f"copy. With a network type `HF_HUB_OFFLINE=0 hf download {place}` once; or load a "
            "folder on this machine."
        )
    return (
        "Most likely there is no network. On a connected machine type "
        f"`hf download {place} --local-dir FOLDER`, copy FOLDER here and load_base(FOLDER); "
        'load_base("nano") always works offline.'
    )
