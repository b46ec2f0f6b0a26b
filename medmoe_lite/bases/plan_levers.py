"""What makes a run smaller, and by how much.

    lever                result                        price
    chunked loss         the same up to rounding       none to speak of
    checkpointing        the same                      a third more time
    smaller batch        the same: parts accumulate    more, smaller steps of the device
    four bits            a rounded base                a little time
    shorter length       long examples are cut         what they said at the end
    lower rank, fewer experts, sparse path             a smaller adapter; time on a GPU

A lever's gain is the difference of two plans, so gains of several levers need not add up.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

from .plan_recipe import STAGE, known
from .plan_training import Plan, plan_training

if TYPE_CHECKING:
    from ..train.recipe import Recipe

LEAST = 1e6  # bytes: a smaller gain is no lever
KEEPS = ("chunked loss", "checkpointing", "smaller batch", "four bits")  # tried to make it fit


@dataclass(frozen=True)
class Lever:
    """One change: name, what to type, and what it does to the plan's arguments.

    `gain` is in bytes, in the stage that decides.
    """

    name: str
    flag: str
    changes: dict[str, Any] = field(default_factory=dict)
    adapter: dict[str, Any] = field(default_factory=dict)
    gain: float = 0.0


@dataclass(frozen=True)
class Question:
    """Everything a plan was made from, so that it can be asked again with a change."""

    config: Any
    recipe: Recipe
    base: str
    gpu_bytes: float | None
    column: str
    changes: dict[str, Any]
    adapter: dict[str, Any] = field(default_factory=dict)

    def plan(self, *levers: Lever) -> Plan:
        """The plan, with levers pulled."""
        changes, adapter = dict(self.changes), dict(self.adapter)
        for lever in levers:
            changes.update(lever.changes)
            adapter.update(lever.adapter)
        return plan_training(
            self.config, self.recipe, self.base, self.gpu_bytes,
            column=self.column, adapter_changes=adapter, **changes,
        )  # fmt: skip


def levers(question: Question) -> list[Lever]:
    """Every lever that helps, with its gain, the largest first."""
    now = question.plan()
    found = []
    for lever in possible(question, now):
        gain = now.total - question.plan(lever).total
        if gain >= LEAST:
            found.append(Lever(**{**vars(lever), "gain": gain}))
    return sorted(found, key=lambda lever: -lever.gain)


def possible(question: Question, now: Plan) -> Iterator[Lever]:
    """Levers that are not pulled yet."""
    s = now.largest.setting
    if s.chunked_loss is False:
        yield Lever("chunked loss", "--chunked-loss", {"chunked_loss": True})
    if not s.checkpointing:
        yield Lever("checkpointing", "--checkpointing", {"checkpointing": True})
    if s.batch > 1:
        parts = parts_for(question, now.largest.stage, s.batch // 2)
        changes = {"batch": None, "accumulation": parts}
        yield Lever("smaller batch", f"--accumulation {parts}", changes)
    if not s.four_bit:
        yield Lever("four bits", "--four-bit", {"four_bit": True})
    if s.length > 256:
        yield Lever("shorter length", f"--max-length {s.length // 2}", {"length": s.length // 2})
    config = question.recipe.config(question.column, layers=question.config.num_hidden_layers)
    if config.r > 1:
        half = {"r": config.r // 2, "lora_alpha": config.lora_alpha / 2}
        yield Lever("lower rank", f"--set r={config.r // 2}", adapter=half)
    if isinstance(config.num_experts, int) and config.num_experts > 2:
        fewer = max(config.num_experts // 2, config.top_k or 1)
        yield Lever("fewer experts", f"--set num_experts={fewer}", adapter={"num_experts": fewer})
    if config.has_routed and config.top_k and config.path != "sparse":
        yield Lever("sparse path", "--set path=sparse", adapter={"path": "sparse"})


def parts_for(question: Question, stage: str, batch: int) -> int:
    """Parts of a step that leave at most so many examples to each."""
    otherwise = STAGE["batch_size"]
    step = known(question.recipe, f"stages.{stage}.batch_size", question.column, otherwise)
    return int(-(-step // batch))


def way_to_fit(question: Question) -> tuple[list[Lever], Plan]:
    """Levers that leave the result as it is, one after the other, until the plan fits.

    Returns:
        The levers, and the plan with them; it may still not fit.
    """
    pulled: list[Lever] = []
    plan = question.plan()
    for name in KEEPS:
        while not plan.fits:
            now = Question(**{**vars(question), "changes": question.changes | _merged(pulled)})
            lever = next((one for one in possible(now, plan) if one.name == name), None)
            if lever is None:
                break
            pulled = [one for one in pulled if one.name != name] + [lever]
            plan = question.plan(*pulled)
    return pulled, plan


def eight_bit_states(plan: Plan) -> float:
    """Bytes that moments in 8 bits would save; the trainer keeps them in full width."""
    width = plan.largest.setting.adapter_width
    return plan.parts.get("optimiser", 0.0) * (1 - 1 / width)


def as_json(lever: Lever) -> dict[str, Any]:
    """A lever as plain values.

    >>> as_json(Lever("four bits", "--four-bit", gain=2.5e9))["gain"]
    2500000000.0
    """
    return asdict(lever)


def _merged(pulled: list[Lever]) -> dict[str, Any]:
    return {key: value for lever in pulled for key, value in lever.changes.items()}
