"""The mark scheme for what is answered in words: `marks.yaml`, one entry a question.

Checks grade code. What the papers ask in words (`check`), leave open (`open`) or propose (`next`)
is treated in a cell of a notebook, and a person gives the marks. The scheme says for which
thoughts. A test asks that every such question of `course/items.py` has one.
"""

from pathlib import Path
from typing import NamedTuple

from medmoe_lite.course.items import ITEMS

FILE = Path(__file__).with_name("marks.yaml")
KINDS = ("check", "open", "next")


class Scheme(NamedTuple):
    """Marks of one question: what is asked, one thought a mark, the usual weak answer."""

    item: str
    ask: str
    earns: tuple[str, ...]
    weak: str


def is_open(item: str) -> bool:
    """Whether an item of the papers is answered in words.

    >>> is_open("MING.open-1"), is_open("MING.fail-2"), is_open("MedMoELoRA.soft-merge")
    (True, False, True)
    """
    paper, _, name = item.partition(".")
    return paper == "MedMoELoRA" or name.split("-")[0] in KINDS


def open_items() -> list[str]:
    """All items that need a mark scheme, in the order of `ITEMS`."""
    return [item for item in ITEMS if is_open(item)]


def schemes(text: str | None = None) -> dict[str, Scheme]:
    """Item -> its scheme, from `marks.yaml` or from a text of the same form.

    Raises:
        ValueError: an entry that is no item, or lacks what it needs; the message names it.

    >>> schemes()["MedCare.check-2"].earns[1]
    'Memory pays for all, work a token only for the open ones.'
    """
    import yaml

    found = yaml.safe_load(FILE.read_text(encoding="utf-8") if text is None else text)
    made = {}
    for item, entry in found.items():
        if item not in ITEMS or set(entry) != {"ask", "earns", "weak"} or len(entry["earns"]) < 2:
            raise ValueError(
                f"{FILE.name}: {item} must be an item of course/items.py with `ask`, `weak` and "
                f"at least two lines in `earns`; it has {', '.join(sorted(entry))}."
            )
        earns = tuple(str(line) for line in entry["earns"])
        made[item] = Scheme(item, str(entry["ask"]), earns, str(entry["weak"]))
    return made
