"""The API reference: a page a room, written by Sphinx from the docstrings of its public names.

    medmoe_lite.__all__              api/medmoe_lite.rst     what a program imports
    medmoe_lite.ROOM.__all__         api/ROOM.rst            and below it the room's files,
                                                             each in its own first sentence

Rooms without a list of names show those that their files define for others (`MORE`).
"""

import ast
from collections.abc import Iterable
from importlib import import_module
from pathlib import Path

from medmoe_lite.course.site.stage import Stage

ROOMS = ("method", "bases", "tasks", "train", "measure", "reproduce", "lab", "course")
MORE = {
    "method": ("drop", "export", "merge", "fold", "attention", "inspect"),
    "bases": ("plan_training",),
    "reproduce": ("claim", "verdict"),
    "lab": ("checks", "widgets"),
    "course": ("source", "build"),
}
ALSO = {  # what public functions return or take, defined deeper in the room
    "medmoe_lite": ("gates.Routing",),
    "method": ("factors.Factors", "one_pass.RoutingState", "one_pass.Stashed"),
    "bases": ("plan_parts.Setting", "plan_parts.Update", "plan_recipe.Work"),
    "tasks": ("steps.Steps",),
    "train": ("recipe_file.Value", "strict.Reader"),
    "measure": ("routing_log.RoutingLog", "stats.Spread", "forgetting.Change"),
}
GROUPS = {
    "Base models": ("load_base",),
    "The PEFT method": ("MoLoraConfig", "expert_weights", "record_routing", "routed_closed"),
    "The three nouns": ("Layout", "Expert", "LowRank", "TokenGate", "SequenceGate", "TaskGate",
                        "ThresholdGate", "Context", "route", "routing_context",
                        "needs_prompt_mask", "needs_task_ids"),
    "What is added to the loss": ("orthogonal_penalty", "orthogonal_term", "balance_loss",
                                  "router_z_loss", "preservation_loss"),
    "Projection": ("input_directions", "project_rows", "adapter_directions"),
    "Experts by depth": ("depth_plan", "same_budget"),
    "Dropping, merging, export": ("drop_noise", "to_lora", "soft_merge", "merge_into_base",
                                  "merge_attention"),
    "Labels": ("with_eci", "load_eci", "without_eci"),
    "Recipes": ("Recipe",),
}  # fmt: skip


def public_here(module_name: str) -> list[str]:
    """Public classes and functions that a module itself defines, in their order."""
    module = import_module(module_name)
    tree = ast.parse(Path(str(module.__file__)).read_text(encoding="utf-8"))
    kinds = (ast.FunctionDef, ast.ClassDef)
    return [n.name for n in tree.body if isinstance(n, kinds) and not n.name.startswith("_")]


def first_line(path: Path) -> str:
    """The first sentence of a file's docstring; nothing is imported.

    >>> first_line(Path(__file__)).split(":")[0]
    'The API reference'
    """
    text = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or ""
    paragraph = " ".join(text.split("\n\n")[0].split())
    return paragraph.replace("*", r"\*").replace("|", r"\|")


def heading(text: str, mark: str = "-") -> str:
    """A heading in reStructuredText."""
    return f"{text}\n{mark * len(text)}\n"


def entry(module: str, name: str) -> str:
    """The directive for one public name; what is no class or function is left out."""
    thing = getattr(import_module(module), name)
    if isinstance(thing, type):
        return f".. autoclass:: {module}.{name}\n   :members:\n"
    return f".. autofunction:: {module}.{name}\n" if callable(thing) else ""


def api_pages(stage: Stage, rooms: Iterable[str] = ROOMS) -> None:
    """Write the reference, `api/index.rst` first."""
    import medmoe_lite

    package = Path(medmoe_lite.__file__).parent
    grouped = {name for names in GROUPS.values() for name in names}
    left = [n for n in medmoe_lite.__all__ if n not in grouped and not n.startswith("_")]
    lines = [
        heading("medmoe_lite", "="),
        "What a program imports: ``from medmoe_lite import load_base, MoLoraConfig``.\n",
    ]
    for group, names in {**GROUPS, "More": left}.items():
        if names:
            lines += [heading(group), *(entry("medmoe_lite", name) for name in names)]
    lines += also("medmoe_lite", "medmoe_lite")
    stage.write("api/medmoe_lite.rst", "\n".join(lines))
    seen = {id(getattr(medmoe_lite, name)) for name in medmoe_lite.__all__}
    rooms = list(rooms)
    for room in rooms:
        stage.write(f"api/{room}.rst", room_page(package, room, seen))
    index = [
        heading("API reference", "="),
        "From the docstrings. Shapes, units, errors and an example that is run as a test stand "
        "with each name.\n",
        ".. list-table::\n   :header-rows: 1\n\n   * - where\n     - what",
        "   * - :doc:`medmoe_lite <medmoe_lite>`\n     - what a program imports",
    ]
    for room in rooms:
        words = first_line(package / room / "__init__.py")
        index.append(f"   * - :doc:`medmoe_lite.{room} <{room}>`\n     - {words}")
    index += [
        "",
        ".. toctree::\n   :hidden:\n",
        *(f"   {name}" for name in ["medmoe_lite", *rooms]),
    ]
    index += ["", heading("Files at the top"), file_table(package), ""]
    stage.write("api/index.rst", "\n".join(index))


def room_page(package: Path, room: str, seen: set[int]) -> str:
    """One room: its text, its public names, its files."""
    module = f"medmoe_lite.{room}"
    lines = [heading(module, "="), f".. automodule:: {module}\n"]
    lines += _entries(module, list(getattr(import_module(module), "__all__", [])), seen)
    for name in MORE.get(room, ()):
        inner = f"{module}.{name}"
        found = _entries(inner, public_here(inner), seen)
        if found:
            lines += [heading(inner), f".. automodule:: {inner}\n", *found]
    lines += also(room, module)
    lines += [heading("Files"), file_table(package / room)]
    return "\n".join(lines)


def also(room: str, module: str) -> list[str]:
    """Classes that public functions return or take, under a heading of their own."""
    names = [f"{module}.{name}".rpartition(".") for name in ALSO.get(room, ())]
    made = [entry(inner, name) for inner, _, name in names]
    return [heading("What they return and take"), *made] if made else []


def _entries(module: str, names: list[str], seen: set[int]) -> list[str]:
    """Directives of names that have no place yet; notes them as seen."""
    made = []
    for name in names:
        thing = getattr(import_module(module), name)
        if id(thing) not in seen:
            seen.add(id(thing))
            made.append(entry(module, name))
    return [one for one in made if one]


def file_table(folder: Path) -> str:
    """Each file of a folder, in its own first sentence."""
    rows = [".. list-table::\n   :header-rows: 1\n   :widths: 25 75\n\n   * - file\n     - what"]
    for path in sorted(folder.glob("*.py")):
        if not path.name.startswith("_"):
            rows.append(f"   * - ``{path.name}``\n     - {first_line(path)}")
    return "\n".join(rows) + "\n"
