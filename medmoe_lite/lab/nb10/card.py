"""Pre-registered cards: what will be compared, and how it will be judged, fixed before it runs.

    MEDMOE_HOME/cards/<id>.json     every registration of a card, in order, with its fingerprint

A file is written whole or not at all, and nothing is ever taken out of it: a card that is
registered again stands after the first one. A fingerprint in one's own folder shows accidents. It
proves something to others only when they have it too, before the experiment.
"""

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from medmoe_lite.lab.nb10.bench import DEFAULT, MEASURES, SETTINGS
from medmoe_lite.lab.nb10.rule import EXPECTED
from medmoe_lite.paths import home_dir
from medmoe_lite.train.files import read_json, write_json

FIELDS = ("id", "hypothesis", "arms", "measure", "expect", "margin", "seeds", "budget_seconds")
SECONDS_A_RUN, MOST_SECONDS = 4.0, 60.0
Fingerprint = Callable[[Mapping[str, Any]], str]


def mistake(card: Any) -> tuple[str, str] | None:
    """The first thing that is wrong with a card, as (short id, sentence); None: a good card."""
    if not isinstance(card, Mapping):
        return "form", f"a card is a dict; yours is {type(card).__name__}."
    if missing := [name for name in FIELDS if card.get(name) in (None, "", ..., {}, [])]:
        rule = {"margin", "expect"} & set(missing)
        text = f"the card lacks {', '.join(missing)}"
        if rule:
            return "no-rule", text + ": without it the verdict would be chosen after the result."
        return "incomplete", text + "."
    if not isinstance(card["hypothesis"], str) or len(card["hypothesis"].split()) < 5:
        return "no-hypothesis", "write the hypothesis as a sentence that could turn out false."
    return _arms(card) or _rule(card) or _seeds(card)


def _arms(card: Mapping[str, Any]) -> tuple[str, str] | None:
    arms = card["arms"]
    if not isinstance(arms, Mapping) or set(arms) != {"ours", "other"}:
        return "arms", 'give two arms: {"ours": {...}, "other": {...}}.'
    for name, arm in arms.items():
        if not isinstance(arm, Mapping):
            return "arms", f"arm {name!r} is a dict of settings, such as {DEFAULT}."
        for key, value in arm.items():
            if key not in SETTINGS or value not in SETTINGS[key]:
                told = "; ".join(f"{k}: {', '.join(map(str, v))}" for k, v in SETTINGS.items())
                return "arms", f"arm {name!r} sets {key} = {value!r}. There are {told}."
    ours, other = ({**DEFAULT, **arms[name]} for name in ("ours", "other"))
    apart = [key for key in SETTINGS if ours[key] != other[key]]
    if not apart:
        return "no-difference", "the two arms are the same: there is nothing to compare."
    if len(apart) > 1:
        text = f"the arms differ in {' and '.join(apart)}: an effect could come from either. "
        return "two-differences", text + "Change one thing."
    return None


def _rule(card: Mapping[str, Any]) -> tuple[str, str] | None:
    if card["measure"] == "seen":
        return "measured-on-training", "'seen' is the training items: learning by heart wins there."
    if card["measure"] not in MEASURES:
        return "measure", f"name one measure, not several: {' or '.join(MEASURES)}."
    if card["expect"] not in EXPECTED:
        return "no-rule", f"expect is one of {', '.join(EXPECTED)}."
    margin = card["margin"]
    if isinstance(margin, bool) or not isinstance(margin, int | float) or not 0 < margin < 1:
        return "no-rule", "the margin is a number between 0 and 1: the smallest gap that counts."
    return None


def _seeds(card: Mapping[str, Any]) -> tuple[str, str] | None:
    seeds = card["seeds"]
    if not isinstance(seeds, list | tuple) or not all(type(seed) is int for seed in seeds):
        return "seeds", "seeds is a list of whole numbers, such as [0, 1, 2]."
    if len(set(seeds)) < len(seeds):
        return "seeds-repeated", "a seed stands there twice: the same run twice is one run."
    if len(seeds) < 3:
        text = f"{len(seeds)} seed(s): the interval would be "
        return "too-few-seeds", text + "useless. Take three at least."
    cost, budget = 2 * len(seeds) * SECONDS_A_RUN, card["budget_seconds"]
    if isinstance(budget, bool) or not isinstance(budget, int | float):
        return "over-budget", f"the budget is a number of seconds, up to {MOST_SECONDS:g}."
    if cost > min(budget, MOST_SECONDS):
        text = f"{2 * len(seeds)} runs take about {cost:.0f} s; the budget is {budget:g} s"
        return "over-budget", f"{text}, and {MOST_SECONDS:g} s is the most here."
    return None


def path_of(card: Mapping[str, Any]) -> Path:
    """The file of a card."""
    name = "".join(c if c.isalnum() or c in "-_" else "_" for c in str(card["id"])) or "card"
    return home_dir() / "cards" / f"{name}.json"


def registrations(card: Mapping[str, Any]) -> list[dict[str, Any]]:
    """All registrations under a card's id, the first one first; a damaged file counts as none."""
    try:
        found = read_json(path_of(card))["registrations"]
    except (OSError, ValueError, KeyError, TypeError):
        return []
    return found if isinstance(found, list) else []


def changes(before: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """What differs between two cards, a sentence each.

    >>> changes({"margin": 0.1}, {"margin": 0.2})
    ['margin: 0.1 was registered, now it is 0.2']
    """
    names = dict.fromkeys([*before, *now])
    return [
        f"{name}: {before.get(name)!r} was registered, now it is {now.get(name)!r}"
        for name in names
        if before.get(name) != now.get(name)
    ]


def register(card: Mapping[str, Any], fingerprint: Fingerprint) -> None:
    """Write a card down with its fingerprint; a second one under the same id is put behind it."""
    old, mark = registrations(card), fingerprint(card)
    if not old or old[-1]["sha256"] != mark:
        now = datetime.now(UTC).isoformat(timespec="seconds")
        entry = {"sha256": mark, "time": now, "card": dict(card)}
        write_json(path_of(card), {"registrations": [*old, entry]})
    print(f"Registered: card {card['id']!r}, sha256 {mark[:16]}...")
    if old and old[-1]["sha256"] != mark:
        print(f"This is registration {len(old) + 1} under this id; the earlier ones stay on file:")
        print("\n".join(changes(old[-1]["card"], card)))


def audit(card: Mapping[str, Any], fingerprint: Fingerprint) -> list[str]:
    """What speaks against this card being the one that was registered; empty: it is."""
    found = registrations(card)
    if not found:
        return [f"no card {card['id']!r} is registered"]
    last = found[-1]
    if fingerprint(last["card"]) != last["sha256"]:
        return ["the file was edited: the card in it has another fingerprint than was registered"]
    return [] if fingerprint(card) == last["sha256"] else changes(last["card"], card)


def report(card: Mapping[str, Any], fingerprint: Fingerprint) -> None:
    """Print the audit."""
    found = audit(card, fingerprint)
    if found:
        print("Not the card that was registered:", *found, sep="\n   ")
    else:
        count = len(registrations(card))
        print(f"The registered card, unchanged. Registrations under this id: {count}.")
