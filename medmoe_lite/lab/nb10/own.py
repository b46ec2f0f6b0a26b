"""The learner's own claim through the machinery of the ladder: same rule, same row, same figure.

    card -> Claim, Effect -> runs (arm -> seed -> numbers) -> decide -> a row as in ladder.json

Runs are kept in MEDMOE_HOME, one file a card: what was interrupted goes on where it stopped.
"""

from collections.abc import Mapping
from functools import partial
from typing import Any

from medmoe_lite.lab.fast import rehearsing
from medmoe_lite.lab.nb10 import bench
from medmoe_lite.lab.nb10.card import Fingerprint, audit
from medmoe_lite.lab.show import about
from medmoe_lite.paths import home_dir
from medmoe_lite.reproduce.claim import Claim, Effect, Plot, Work
from medmoe_lite.reproduce.summary import summarize
from medmoe_lite.train.files import read_json, write_json

Runs = dict[str, dict[int, dict[str, Any]]]  # arm -> seed -> numbers
PAPER = "your own"


def names(card: Mapping[str, Any]) -> dict[str, str]:
    """ours, other -> what the arm is called: the setting in which the two differ.

    >>> names({"arms": {"ours": {"rank": 2}, "other": {"rank": 8}}})
    {'ours': 'rank 2', 'other': 'rank 8'}
    """
    arms = {name: {**bench.DEFAULT, **arm} for name, arm in card["arms"].items()}
    key = next(k for k in bench.SETTINGS if arms["ours"][k] != arms["other"][k])
    if key == "rank":
        return {name: f"rank {arm[key]}" for name, arm in arms.items()}
    words = {"others": "other"}
    return {name: f"{words.get(arm[key], arm[key])} {key}" for name, arm in arms.items()}


def claim_of(card: Mapping[str, Any]) -> Claim:
    """A card as a claim of the ladder."""
    said = names(card)
    arms = {
        said[name]: Work(
            f"{card['id']}_{name}", partial(bench.run, card["arms"][name]), seconds=4
        )
        for name in ("ours", "other")
    }  # fmt: skip
    effect = Effect(
        bench.MEASURES[card["measure"]], card["measure"], said["ours"], said["other"],
        card["expect"], card["margin"],
    )  # fmt: skip
    return Claim(
        id=str(card["id"]),
        title=str(card["hypothesis"]),
        paper=PAPER,
        item="your own claim",
        hypothesis=str(card["hypothesis"]),
        equal=f"Steps ({bench.STEPS}), batch ({bench.BATCH}), learning rate, test items of a seed.",
        arms=arms,
        effects=(effect,),
        plot=Plot(("new", "near", "seen"), label="share of right answers"),
        published="none: nobody has published this claim",
        source="your card",
        limit="one base of a million numbers, invented wording, teaching data",
    )


def run_all(card: Mapping[str, Any], fingerprint: Fingerprint) -> Runs:
    """Run every arm with every seed of a registered card; what is done is not repeated.

    Raises:
        ValueError: the card is not the registered one; the message says what differs.
    """
    if found := audit(card, fingerprint):
        raise ValueError(f"This is not the registered card: {'; '.join(found)}.")
    mark = fingerprint(card)[:16] + ("-rehearsal" if rehearsing() else "")
    path, claim = home_dir() / "cards" / "runs" / f"{mark}.json", claim_of(card)
    try:
        done = read_json(path)
    except (OSError, ValueError):
        done = {}
    keys = [f"{arm}/{seed}" for seed in card["seeds"] for arm in claim.arms]
    print(
        f"{sum(key not in done for key in keys)} of {len(keys)} runs to do, a line each", flush=True
    )
    for seed in card["seeds"]:
        for arm, work in claim.arms.items():
            key = f"{arm}/{seed}"
            if key not in done:
                done[key] = work.run(seed)
                write_json(path, done)
            print(f"seed {seed}, {arm:20}{card['measure']} {about(done[key][card['measure']], 2)}",
                  flush=True)  # fmt: skip
    return {arm: {seed: done[f"{arm}/{seed}"] for seed in card["seeds"]} for arm in claim.arms}


def columns(card: Mapping[str, Any], runs: Runs, measure: str = "") -> dict[str, list[float]]:
    """arm -> one number a seed, ours first."""
    measure = measure or card["measure"]
    return {arm: [rows[s][measure] for s in card["seeds"]] for arm, rows in runs.items()}


def row_of(card: Mapping[str, Any], runs: Runs) -> dict[str, Any]:
    """The claim as it stands in a ladder's file."""
    claim = claim_of(card)
    plain = {
        arm: {seed: {k: v for k, v in found.items() if k in ("new", "near", "seen")}
              for seed, found in rows.items()}
        for arm, rows in runs.items()
    }  # fmt: skip
    whole = summarize(
        [claim], {claim.id: plain}, base="nano", size="live", seeds=card["seeds"], costs={},
        failures={}, stamp={},
    )  # fmt: skip
    return whole["claims"][claim.id]
