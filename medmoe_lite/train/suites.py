"""Which task the gates are told while a suite is scored.

A task gate has one row of weights for each source of the mix, so it must know which source a
question belongs to. A suite says so by its name: "facts" and "facts/unseen" belong to "facts".
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING, Any

from .adapters import is_peft
from .stage import Stage

if TYPE_CHECKING:
    from ..tasks import Example


def suites_by_task(
    model: Any, stage: Stage, suites: Mapping[str, Sequence[Example]]
) -> dict[int | None, dict[str, Sequence[Example]]]:
    """Suites by the task that a task gate must be told; all under None where no gate asks.

    A suite belongs to the source of the mix whose name it has, or begins with.

    Raises:
        ValueError: a gate asks for the task, and a suite has the name of none.
    """
    if not asks_for_tasks(model):
        return {None: dict(suites)}
    found: dict[int | None, dict[str, Sequence[Example]]] = {}
    sources = list(stage.mix)
    for name, examples in suites.items():
        fits = [source for source in sources if name.startswith(source)]
        if not fits:
            raise ValueError(
                f"the gate needs the task of suite {name!r}, which is no source of the mix: give "
                f"the suite a name that begins with one of {sources}"
            )
        found.setdefault(sources.index(max(fits, key=len)), {})[name] = examples
    return found


def asks_for_tasks(model: Any) -> bool:
    """Whether an open adapter has a task gate."""
    if not is_peft(model):
        return False
    from ..method.state import needs_task_ids

    return needs_task_ids(model)


def routing_of(model: Any, task: int | None) -> AbstractContextManager[None]:
    """Tell the gates the task, where there is one to tell."""
    if task is None:
        return nullcontext()
    from ..method.state import routing_context

    return routing_context(model, task_ids=task)
