"""A claim: what a paper says, the arms that test it, and the rule that decides, fixed beforehand.

    Claim ── arms ────────> Work         one training or measurement; equal work is done once
          ├─ effects ─────> Effect       ours - other, one measure, a direction, a margin
          └─ conditions ──> Condition    what must hold for the comparison to say anything

Arms of different claims may share a `Work`: it is run once a seed and its numbers are filed
under each of them. A work may use others, such as the adapter of a first stage.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

EXPECTED = ("more", "less", "same", "no less")


@dataclass(frozen=True)
class Work:
    """One piece of work of one seed.

    Args:
        name: unique; the name of its files.
        run: gets the workshop of a seed and returns plain numbers and lists of numbers.
        uses: works that must be done before, because `run` reads what they left.
        seconds: rough cost on one thread, for the estimate before anything was measured.
        version: raise it when `run` changes, so that older results are not taken for new.
    """

    name: str
    run: Callable[[Any], dict[str, Any]] = field(compare=False)
    uses: tuple[Work, ...] = ()
    seconds: float = 30.0
    version: int = 1

    def everything(self) -> list[Work]:
        """This work and all that it stands on, what comes first in front."""
        found = [work for used in self.uses for work in used.everything()]
        return list(dict.fromkeys([*found, self]))


class Effect(NamedTuple):
    """ours - other, paired by seed.

    Attributes:
        says: the effect in words, "replay keeps general ability".
        measure: name of the number.
        ours, other: arms; `other` may be a number that no seed changes.
        expect: "more" or "less" (than other), "same", or "no less" (not worse by the margin).
        margin: the smallest difference that counts.
        other_measure: where the other arm's number has another name.
        primary: whether the verdict rests on it; the rest is shown beside.
        correlation: the number is a correlation, held against a number: its interval is Fisher's.
    """

    says: str
    measure: str
    ours: str
    other: str | float
    expect: str = "more"
    margin: float = 0.05
    other_measure: str | None = None
    primary: bool = True
    correlation: bool = False


class Condition(NamedTuple):
    """Without it the comparison says nothing: the mean over seeds must lie within the bounds."""

    arm: str
    measure: str
    at_least: float = float("-inf")
    at_most: float = float("inf")
    why: str = ""


class Plot(NamedTuple):
    """How a claim is drawn: points of `measures` by arm, or curves of `curve` over `steps`."""

    measures: tuple[str, ...] = ()
    curve: str = ""
    steps: str = "steps"
    label: str = "exact match"


@dataclass(frozen=True)
class Claim:
    """One statement of a paper and the experiment on it.

    Args:
        id: short name for the command line and for folders.
        title: a question in a few words.
        paper: "MING-MOE", "MedCare", "Med-MoE-LoRA" or "LlamaCare".
        item: which of the paper's own experiments, questions or failure signatures it is.
        hypothesis: what we should see if the paper is right, one sentence.
        equal: what is held equal between the arms, and what is not.
        published: the paper's own number or figure, or that there is none.
        source: where that stands.
        effects, conditions: see there.
        needs: "module:name" of what must be importable.
        quick: part of `--quick`; `quick_arms` limits its arms there (empty: all).
        limit: what this scale can never show about the claim.

    Raises:
        ValueError: an effect or condition names an arm that is not there, or no known direction.
    """

    id: str
    title: str
    paper: str
    item: str
    hypothesis: str
    equal: str
    arms: Mapping[str, Work]
    effects: tuple[Effect, ...]
    plot: Plot
    published: str = "no number found"
    source: str = ""
    conditions: tuple[Condition, ...] = ()
    needs: tuple[str, ...] = ()
    quick: bool = False
    quick_arms: tuple[str, ...] = ()
    limit: str = ""

    def __post_init__(self) -> None:
        named = [e.ours for e in self.effects] + [c.arm for c in self.conditions]
        named += [e.other for e in self.effects if isinstance(e.other, str)]
        if unknown := sorted(set(named) - set(self.arms)):
            raise ValueError(f"claim {self.id!r} speaks of arms {unknown}; it has {[*self.arms]}.")
        for effect in self.effects:
            if effect.expect not in EXPECTED:
                raise ValueError(f"claim {self.id!r}: expect={effect.expect!r}; use {EXPECTED}.")

    def chosen_arms(self, quick: bool = False) -> dict[str, Work]:
        """The arms that are run."""
        wanted = self.quick_arms if quick and self.quick_arms else tuple(self.arms)
        return {name: self.arms[name] for name in wanted}

    def chosen_effects(self, quick: bool = False) -> list[Effect]:
        """The effects whose two arms are run."""
        arms = self.chosen_arms(quick)
        return [
            e for e in self.effects if e.ours in arms and (e.other in arms or _is_number(e.other))
        ]

    def unavailable(self) -> str:
        """Why the claim cannot be run here, or an empty text.

        >>> from medmoe_lite.reproduce.ladder import CLAIMS
        >>> CLAIMS["forgetting"].unavailable()
        ''
        """
        for need in self.needs:
            module, _, name = need.partition(":")
            try:
                found: Any = importlib.import_module(module)
                for part in filter(None, name.split(".")):
                    found = getattr(found, part)
            except (ImportError, AttributeError) as error:
                return f"{need} cannot be imported ({error})"
        return ""


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float)


def by_id(claims: Iterable[Claim]) -> dict[str, Claim]:
    """Claims by their id.

    Raises:
        ValueError: an id, or the name of a work, stands for two different things.
    """
    found: dict[str, Claim] = {}
    works: dict[str, Work] = {}
    for claim in claims:
        if claim.id in found:
            raise ValueError(f"two claims are named {claim.id!r}: rename one.")
        found[claim.id] = claim
        for arm in claim.arms.values():
            for work in arm.everything():
                if works.setdefault(work.name, work) is not work:
                    raise ValueError(f"two works are named {work.name!r}: rename one.")
    return found


def choose(claims: Mapping[str, Claim], wanted: Iterable[str], quick: bool) -> list[Claim]:
    """The claims to run: those named, or all (with `quick` those that are part of it).

    Raises:
        ValueError: an unknown id; the nearest ones are named.
    """
    names = list(dict.fromkeys(wanted))
    if not names:
        return [claim for claim in claims.values() if claim.quick or not quick]
    for name in names:
        if name not in claims:
            from difflib import get_close_matches

            near = get_close_matches(name, claims, n=3) or list(claims)
            raise ValueError(
                f"there is no claim {name!r}. Did you mean {', '.join(near)}? "
                "Type medmoe reproduce --list."
            )
    return [claims[name] for name in names]


def works_of(claims: Iterable[Claim], quick: bool = False) -> list[Work]:
    """All work that claims need, without repetition, what others stand on first."""
    arms = [work for claim in claims for work in claim.chosen_arms(quick).values()]
    return list(dict.fromkeys(step for work in arms for step in work.everything()))
