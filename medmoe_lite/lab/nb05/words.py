"""Sentences of notebook 05 that are made from the recorded ladder when the notebook runs."""

from collections.abc import Mapping, Sequence
from typing import Any

from medmoe_lite.lab import ladder

Arm = tuple[str, str]  # claim, arm
MEASURES = ("medical", "general")
SAID = {"merged.medical": "medical after the merge", "logit_error": "error of the logits"}

# One budget, spent in different ways: name on the picture -> where the ladder has it.
PLANE: dict[str, Arm] = {
    "8 experts of rank 4, k = 2": ("preservation", "experts, k = 2"),
    "no replay": ("preservation", "no replay"),
    "general and medical groups": ("preservation", "replay and groups"),
    "2 open general experts": ("preservation", "replay and open experts"),
    "one LoRA, rank 36": ("preservation", "replay, one LoRA"),
    "more in deep layers": ("depth", "more in deep layers"),
    "more in first layers": ("depth", "more in first layers"),
    "ranks 1 to 10": ("rankwise", "ranks 1 to 10"),
    "25 of rank one": ("rank_one", "rank-one experts"),
    "FFN and attention": ("where", "FFN and attention"),
    "one gate a sentence": ("soft_merge", "by sentence"),
}


def seeds_of(*claim_ids: str) -> str:
    """How many seeds stand behind some claims, in words.

    >>> seeds_of().startswith("no")
    True
    """
    counts = {len(ladder.claim(name)["seeds"]) for name in claim_ids} or {0}
    most = max(counts)
    return f"{most} seed{'s' if most > 1 else ''}" if most else "no seed"


def span(effect: Mapping[str, Any]) -> str:
    """Mean and interval of an effect, as far as they are known.

    >>> span({"mean": 0.05, "low": -0.01, "high": 0.11})
    '+0.050 (95 % interval -0.010 to +0.110)'
    >>> span({"mean": 0.05, "low": None, "high": None})
    '+0.050 (one seed, no interval)'
    """
    if effect["mean"] is None:
        return "not measured"
    if effect["low"] is None:
        return f"{effect['mean']:+.3f} (one seed, no interval)"
    return f"{effect['mean']:+.3f} (95 % interval {effect['low']:+.3f} to {effect['high']:+.3f})"


def side(effect: Mapping[str, Any]) -> str:
    """What may be said of an effect's direction.

    >>> side({"mean": 0.05, "low": -0.01, "high": 0.11})
    'no difference can be seen'
    """
    if effect["low"] is None:
        return "one seed decides nothing"
    if effect["low"] > 0:
        return "more"
    if effect["high"] < 0:
        return "less"
    wide = "wide" in effect.get("note", "")
    return "these seeds cannot tell" if wide else "no difference can be seen"


def difference(effect: Mapping[str, Any]) -> str:
    """Which numbers were subtracted.

    >>> difference({"measure": "medical", "ours": "a", "other": "b", "other_measure": None})
    'medical, a minus b'
    """
    ours, other = effect["ours"], effect["other"]
    measure = SAID.get(effect["measure"], effect["measure"])
    if effect["other_measure"] and ours == other:
        return f"{ours}, {measure} minus {effect['other_measure']}"
    return f"{measure}, {ours} minus {other}"


def effects(*claim_ids: str) -> None:
    """Print every effect of some claims: which numbers, mean difference, interval, what it says."""
    for claim_id in claim_ids:
        found = ladder.claim(claim_id)
        print(f"{found['title']} ({seeds_of(claim_id)})")
        for effect in found["effects"]:
            print(f"   {difference(effect)}\n      {span(effect)}: {side(effect)}")


def depth_answer() -> str:
    """Prediction A from the recorded runs: both effects of the claim, with their intervals."""
    found = ladder.claim("depth")["effects"]
    parts = [f"{difference(e)}: {span(e)}, {side(e)}" for e in found]
    return "; ".join(parts)


def points(arms: Mapping[str, Arm] = PLANE) -> dict[str, tuple[list[float], list[float]]]:
    """Medical score and general ability of each arm, one number a seed."""
    return {
        name: (ladder.numbers(*arm, "medical"), ladder.numbers(*arm, "general"))
        for name, arm in arms.items()
    }


def mean(values: Sequence[float]) -> float:
    """The mean of a list."""
    return sum(values) / len(values)


def families() -> list[str]:
    """The general families that the ladder scores, in its order."""
    found = ladder.claim("preservation")["arms"]["experts, k = 2"]["numbers"]
    return [name.removeprefix("general.") for name in found if name.startswith("general.")]


def lost(arms: Sequence[str]) -> list[list[float]]:
    """Score of each general family minus the base's, mean over seeds: (families, arms).

    Args:
        arms: of the claim "preservation".
    """
    base = {
        name: mean(ladder.numbers("forgetting", "after stage 1", f"before.general.{name}"))
        for name in families()
    }
    return [
        [mean(ladder.numbers("preservation", arm, f"general.{name}")) - base[name] for arm in arms]
        for name in families()
    ]


def parameters(claim_id: str) -> None:
    """Print how many numbers learn in each arm of a claim, and its medical and general scores."""
    for arm in ladder.claim(claim_id)["arms"]:
        count = ladder.numbers(claim_id, arm, "parameters")[0]
        scores = [mean(ladder.numbers(claim_id, arm, m)) for m in ("medical", "general")]
        print(f"{arm:28}{count:10,} numbers   medical {scores[0]:.3f}   general {scores[1]:.3f}")


def depth() -> tuple[dict[str, list[int]], dict[str, dict[str, list[float]]]]:
    """The plans of the claim "depth", and their scores: measure -> {arm: (seeds,)}."""
    arms = list(ladder.claim("depth")["arms"])
    deep = ladder.numbers("depth", arms[1], "plan")[0]
    even = [sum(deep) // len(deep)] * len(deep)
    plans = {arms[0]: even} | {arm: ladder.numbers("depth", arm, "plan")[0] for arm in arms[1:]}
    scores = {m: {arm: ladder.numbers("depth", arm, m) for arm in arms} for m in MEASURES}
    return plans, scores


def ranks() -> tuple[dict[str, int], dict[str, dict[str, list[float]]]]:
    """Numbers that learn in each arm of the claim "rank", and their scores as in `depth`."""
    arms = list(ladder.claim("rank")["arms"])
    sizes = {arm: ladder.numbers("rank", arm, "parameters")[0] for arm in arms}
    return sizes, {m: {arm: ladder.numbers("rank", arm, m) for arm in arms} for m in MEASURES}


def merge_errors() -> dict[str, dict[str, list[float]]]:
    """Errors of the recorded soft merges: gate -> {what: (seeds,)}."""
    kinds = {"updates": "update_error", "logits": "logit_error"}
    return {
        arm: {name: ladder.numbers("soft_merge", arm, key) for name, key in kinds.items()}
        for arm in ("by token", "by sentence", "by sentence, averaged factors")
    }


def base_general() -> float:
    """General ability of the base before any training."""
    return mean(ladder.numbers("forgetting", "after stage 1", "before.general"))
