"""A paper as one YAML file: adapters, stages, data, losses, and where every value comes from.

    r: {paper: 16, nano: 4, source: "MING, sft_molora_r16a32.sh", reason: "hidden size 128"}

Each value has two columns: what the paper used, and what is used on the embedded model. `source`
says where the paper's value stands, `reason` why the other differs. `nano` may be left out where
it is the same. `paper: unknown` is a value that was not published: it is never made up, and has
to be given by whoever trains at that scale.

    Recipe.read("medcare").config(base="nano")     MoLoraConfig of the first stage's adapter
    Recipe.read("medcare").stages(base="nano")     [Stage, Stage]

The keys of adapters, stages and head are the fields of `MoLoraConfig`, `Stage` and `with_eci`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, is_dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from yaml import Node

from ..depth import depth_plan
from .hints import advice
from .recipe_fields import config_fields, head_fields, stage_fields
from .recipe_file import COLUMNS, UNKNOWN, Value, column_of, find, names, names_in, read_file
from .stage import Stage
from .strict import Reader, RecipeError

if TYPE_CHECKING:
    from ..method import MoLoraConfig


@dataclass(frozen=True)
class Recipe:
    """A recipe that has been read and checked; make one with `Recipe.read`.

    Attributes:
        name: of the file.
        title: what it is, in a few words.
        cite: the paper.
        values: key, such as "adapters.default.r", -> `Value`.

    >>> recipe = Recipe.read("ming_moe")
    >>> recipe.values["adapters.default.num_experts"].paper
    8
    >>> recipe.config("nano").top_k, recipe.stages("nano")[0].name
    (2, 'multitask')
    """

    name: str
    title: str
    cite: str
    values: Mapping[str, Value]
    reader: Reader = field(repr=False, compare=False)
    nodes: Mapping[str, Node] = field(repr=False, compare=False)

    @classmethod
    def read(cls, path_or_name: Path | str) -> Recipe:
        """Read a recipe: a shipped one by name, or a file of your own.

        Raises:
            RecipeError: a wrong key, type or value, with file, line and the nearest right one.
            FileNotFoundError: no such recipe.
        """
        path = find(path_or_name)
        reader = Reader(path)
        title, cite, values, nodes = read_file(reader)
        recipe = cls(path.stem, title, cite, values, reader, nodes)
        for base in COLUMNS:
            recipe._try(base)
        return recipe

    def sources(self) -> list[Value]:
        """Every value with its two columns, source and reason, in the order of the file."""
        return list(self.values.values())

    def adapters(self) -> list[str]:
        """Names of the adapters, the first stage's first."""
        return self._names("adapters")

    def config(
        self,
        base: str = "nano",
        adapter: str = "default",
        layers: int | None = None,
        **changes: Any,
    ) -> MoLoraConfig:
        """The configuration of an adapter.

        Args:
            base: "nano" or "paper": which column.
            adapter: which of `adapters()`.
            layers: of the model, where a depth plan has to know; by default those of the base.
            changes: fields of `MoLoraConfig` to set otherwise, or that the paper leaves unknown.

        Raises:
            ValueError: an unknown base, adapter or field, or a value that the paper leaves
                unknown and that `changes` does not give.
        """
        from ..method import MoLoraConfig

        if adapter not in self.adapters():
            known = self.adapters()
            raise ValueError(f"{self.name} has no adapter {adapter!r}. {advice(adapter, known)}")
        section = f"adapters.{adapter}"
        given = self._column(section, base, changes, config_fields())
        plan = given.get("num_experts")
        if is_dataclass(plan) and not isinstance(plan, type):
            layers = layers or self.base(base).get("layers")
            if layers is None:
                raise ValueError(f"{self.name} does not know the layers of its base: give layers=")
            wanted = {"layers": layers, **asdict(plan)}
            given["num_experts"] = self._build(section, base, depth_plan, wanted, changes)
        return self._build(section, base, MoLoraConfig, given, changes)

    def stages(self, base: str = "nano", **changes: Any) -> list[Stage]:
        """The stages in order; `changes` are fields of `Stage`, set in each of them.

        Raises:
            ValueError: as `config` does.
        """
        return [self._stage(name, base, changes) for name in self._names("stages")]

    def _stage(self, name: str, base: str, changes: Mapping[str, Any]) -> Stage:
        known = {key: hint for key, hint in stage_fields().items() if key != "before"}
        given = {"name": name, **self._column(f"stages.{name}", base, changes, known)}
        given.pop("before", None)
        return self._build(f"stages.{name}", base, Stage, given, changes)

    def before(self, stage: str, base: str = "nano") -> list[str]:
        """What is done to the model before a stage, such as "drop_noise"."""
        value = self.values.get(f"stages.{stage}.before")
        return [] if value is None else list(getattr(value, column_of(base)))

    def base(self, base: str = "nano") -> dict[str, Any]:
        """Name, layers and four_bit of the base model, as far as they are known."""
        found = self._values("bases", base)
        return {key: value for key, value in found.items() if value != UNKNOWN}

    def head(self, base: str = "nano", **changes: Any) -> dict[str, Any] | None:
        """Arguments for `with_eci(model, ...)`; None where the recipe has no head."""
        if "head" not in self.nodes:
            return None
        return self._column("head", base, changes, head_fields())

    def data(self, base: str = "nano") -> dict[str, Any]:
        """Source name -> what it is made of: family -> number of items; the paper's in words."""
        return self._values("data", base)

    def _names(self, section: str) -> list[str]:
        return names_in(section, self.nodes)

    def _values(self, section: str, base: str) -> dict[str, Any]:
        """Last word of the key -> value of a column, unknown ones included."""
        column, start = column_of(base), f"{section}."
        return {
            key.removeprefix(start): getattr(value, column)
            for key, value in self.values.items()
            if key.startswith(start)
        }

    def _column(
        self, section: str, base: str, changes: Mapping[str, Any], known: Mapping[str, Any]
    ) -> dict[str, Any]:
        """One column of a section with changes; refuses what is still unknown."""
        for key in changes:
            if key not in known:
                raise ValueError(f"{section} has no {key!r}. {advice(key, known)}")
        found = {**self._values(section, base), **changes}
        missing = [key for key, value in found.items() if value == UNKNOWN]
        if missing:
            call = ", ".join(f"{key}=..." for key in missing)
            raise ValueError(
                f"{self.name}: {section} leaves {', '.join(missing)} unknown in this column, "
                f"because nothing is published about it. Give your own: {call}"
            )
        return found

    def _build(
        self, section: str, base: str, make: Any, given: dict[str, Any], changes: Mapping[str, Any]
    ) -> Any:
        """Call a constructor; its complaint gets the line of the value that it speaks of."""
        try:
            return make(**given)
        except (ValueError, TypeError) as error:
            if changes:  # the file alone was tried when it was read: the changes are to blame
                raise
            start, end = f"{section}.", f"@{column_of(base)}"
            own = {
                key.removeprefix(start).removesuffix(end): node
                for key, node in self.nodes.items()
                if key.startswith(start) and key.endswith(end)
            }
            self.reader.blame(own, self.nodes[section], error)

    def _try(self, base: str) -> None:
        """Build everything of a column that has no unknown value, so that it cannot fail later."""
        unknown = {key.rpartition(".")[0] for key, v in self.values.items()
                   if getattr(v, base) == UNKNOWN}  # fmt: skip
        for adapter in self.adapters():
            if f"adapters.{adapter}" not in unknown:
                self.config(base, adapter, self.base(base).get("layers", 12))
        for stage in self._names("stages"):
            if f"stages.{stage}" not in unknown:
                self._stage(stage, base, {})


__all__ = ["Recipe", "RecipeError", "Value", "names"]
