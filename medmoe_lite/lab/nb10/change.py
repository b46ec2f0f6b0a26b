"""Facts that change: an update is taught, then three questions are asked about what happened.

Six conditions get another code, as when a register appears in a new edition. Asked afterwards, in
wordings that were not taught:

    updated      the new value of what was changed
    stale        the old value of what was changed; should go to zero
    neighbours   the other facts of the same conditions; should stay
    far          facts of conditions that the update does not mention; should stay
"""

import random
from typing import Any

from medmoe_lite.lab.fast import steps
from medmoe_lite.lab.nb10.bench import BATCH, fit, known, marks, student
from medmoe_lite.lab.teach import lessons
from medmoe_lite.tasks import Example
from medmoe_lite.tasks.wordings import fact_example

CHANGED, FAR, REPLAYED, STEPS, RANK = 6, 14, 20, 14, 8
TAUGHT, ASKED = (1, 2), (0, 4)  # one question and one document that were not taught
ARMS = ("the update alone", "with replay")
ASPECTS = ("updated", "stale", "neighbours", "far")
SHOULD = {"updated": "rise", "stale": "fall", "neighbours": "stay", "far": "stay"}


def _asked(name: str, column: str, value: str, wordings: tuple[int, ...]) -> list[Example]:
    return [fact_example("change", "conditions", column, name, value, w) for w in wordings]


def world(seed: int = 0) -> dict[str, list[Example]]:
    """Everything that is taught and asked: taught, replay, and the four aspects."""
    rng, rows = random.Random(f"change/{seed}"), known()
    names = rng.sample(sorted(rows), CHANGED + FAR + REPLAYED)
    changed, far, replayed = names[:CHANGED], names[CHANGED:-REPLAYED], names[-REPLAYED:]
    codes = sorted({row["code"] for row in rows.values()})
    made: dict[str, list[Example]] = {name: [] for name in ("taught", "replay", *ASPECTS)}
    for name in changed:
        old = rows[name]["code"]
        new = rng.choice([value for value in codes if value != old])
        made["taught"] += _asked(name, "code", new, TAUGHT)
        made["updated"] += _asked(name, "code", new, ASKED)
        made["stale"] += _asked(name, "code", old, ASKED)
        for column in ("symptom", "specialty", "treatment"):
            made["neighbours"] += _asked(name, column, rows[name][column], ASKED)
    for name in replayed:
        for column, value in rows[name].items():
            made["replay"] += _asked(name, column, value, TAUGHT)
    for name in far:
        for column in ("symptom", "code"):
            made["far"] += _asked(name, column, rows[name][column], ASKED)
    return made


def aspects(model: Any, tokenizer: Any, made: dict[str, list[Example]]) -> dict[str, float]:
    """Share of right answers by aspect."""
    found = {}
    for name in ASPECTS:
        right = marks(model, tokenizer, made[name])
        found[name] = sum(right) / len(right)
    return found


def update(arm: str, seed: int = 0) -> dict[str, float]:
    """Teach the update in a copy of the base; a third of each batch is replay where asked for."""
    made = world(seed)
    model, tokenizer = student(RANK, seed)
    replay = made["replay"] if arm == "with replay" else ()
    fit(model, lessons(tokenizer, made["taught"], steps(STEPS), BATCH, replay, seed))
    return aspects(model, tokenizer, made)


def before(seed: int = 0) -> dict[str, float]:
    """The same questions to the base."""
    model, tokenizer = student(RANK, seed)
    return aspects(model.eval(), tokenizer, world(seed))
