"""One student's answer: run the cell, judge what it defines, say so in one line of JSON.

    line 1   {"scan": [...]}                     written before any of the student's code runs
    line 2   {"visible": ..., "hidden": ...}     written by the process in which that code ran

Everything here happens in a process that ends afterwards. `define` is also how the stage takes the
definitions of an official cell without computing anything.
"""

import ast
import builtins
import json
import linecache
import os
import random
import symtable
from types import CodeType
from typing import TYPE_CHECKING, Any

from medmoe_lite.course.grading.scan import scan

if TYPE_CHECKING:
    from medmoe_lite.course.grading.stage import Stage

TEXT = 1500  # characters of a verdict
UNREADABLE = (SyntaxError, ValueError, MemoryError, RecursionError, OverflowError)
BUILTINS = frozenset(dir(builtins)) | {"__name__", "__file__"}


def without_magics(text: str) -> str:
    """Blank out IPython's own lines (`%timeit`, `!ls`) where the cell is not Python as it stands.

    >>> without_magics("%timeit 1\\nx = 1")
    'pass\\nx = 1'
    """
    try:
        ast.parse(text)
        return text
    except UNREADABLE:
        lines = text.split("\n")
        return "\n".join(
            line[: len(line) - len(line.lstrip())] + "pass"
            if line.lstrip().startswith(("%", "!", "?"))
            else line
            for line in lines
        )


def free_names(text: str) -> set[str]:
    """Names that a piece of code takes from outside of itself.

    >>> sorted(free_names("def f(x):\\n    return torch.relu(x) * scale"))
    ['scale', 'torch']
    """
    top = symtable.symtable(text, "cell", "exec")
    own = {s.get_name() for s in top.get_symbols() if s.is_assigned() or s.is_imported()}
    own |= {s.get_name() for s in top.get_symbols() if s.is_namespace()}
    found = {s.get_name() for s in top.get_symbols() if s.is_referenced()}
    below = list(top.get_children())
    while below:
        table = below.pop()
        found |= {s.get_name() for s in table.get_symbols() if s.is_referenced() and s.is_global()}
        below += table.get_children()
    return found - own - BUILTINS


def targets(node: ast.stmt) -> set[str]:
    """Names that a statement at the top of a cell binds."""
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        return {node.name}
    if isinstance(node, ast.Import | ast.ImportFrom):
        return {(alias.asname or alias.name).split(".")[0] for alias in node.names}
    return {
        n.id for n in ast.walk(node) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store)
    }


def _light(node: ast.stmt) -> bool:
    """A definition, an import, or an assignment that calls nothing."""
    if isinstance(node, ast.FunctionDef | ast.ClassDef | ast.Import | ast.ImportFrom):
        return True
    plain = isinstance(node, ast.Assign | ast.AnnAssign)
    return plain and not any(isinstance(n, ast.Call | ast.Await) for n in ast.walk(node))


def _uses(node: ast.stmt) -> bool:
    """`x = use("3.1", x)`: the solution's x is there already, and stays."""
    value = getattr(node, "value", None)
    return isinstance(value, ast.Call) and getattr(value.func, "id", "") == "use"


def define(
    text: str, cell: str, names: dict, heavy: dict[str, str], calls: dict[str, list[str]]
) -> None:
    """Run the definitions of an official cell.

    Args:
        names: the name space.
        heavy: gets the names that this cell computes, and which were therefore left out.
        calls: gets, for each function, the names it needs when it runs.
    """
    for node in ast.parse(text).body:
        bound, done = targets(node), False
        if _light(node):
            code = compile(ast.Module([node], []), f"<official {cell}>", "exec")
            try:
                exec(code, names)  # the kit's own text
                done = True
            except Exception:  # it needs something that was left out
                done = False
        if _uses(node):
            continue
        for name in bound:
            heavy.pop(name, None) if done else heavy.__setitem__(name, cell)
            if done and isinstance(node, ast.FunctionDef | ast.ClassDef):
                calls[name] = sorted(free_names(ast.unparse(node)))


def heavy_needs(text: str, heavy: dict[str, str], calls: dict[str, list[str]]) -> list[str]:
    """Names of the official cells that this answer uses and that were not computed yet."""
    seen: set[str] = set()
    ask = list(free_names(text))
    while ask:
        name = ask.pop()
        if name not in seen:
            seen.add(name)
            ask += calls.get(name, [])
    return sorted(seen & set(heavy))


def helpers(text: str, others: list[str], names: dict) -> list[ast.stmt]:
    """Statements of the student's own further cells that define what the answer misses."""
    chosen: list[tuple[int, ast.stmt]] = []
    nodes = []
    for other in others:
        try:
            nodes += ast.parse(without_magics(other)).body
        except UNREADABLE:
            continue
    missing = free_names(text) - set(names)
    for at in range(len(nodes) - 1, -1, -1):
        if found := targets(nodes[at]) & missing:
            chosen.append((at, nodes[at]))
            missing -= found
            missing |= free_names(ast.unparse(nodes[at])) - set(names)
    return [node for _, node in sorted(chosen, key=lambda pair: pair[0])]


def _code(text: str, key: str) -> CodeType:
    """Compiled, with its lines kept for messages that quote them."""
    name = f"<answer {key}>"
    linecache.cache[name] = (len(text), None, text.splitlines(keepends=True), name)
    return compile(text, name, "exec")


def run(frame: dict[str, Any], stage: "Stage", out: int) -> None:
    """Judge the answer in `frame` and write two lines to the file `out`."""
    text = without_magics(frame["text"])
    try:
        found, names = scan(text), stage.names
        wanted = heavy_needs(text, stage.heavy, stage.calls)
        more = helpers(text, frame["others"], names | stage.heavy)
        code = _code(text, frame["key"])
    except UNREADABLE as error:
        where = f" (line {error.lineno})" if isinstance(error, SyntaxError) else ""
        said = _verdict("error", f"the cell is no Python: {error}{where}", "syntax")
        _say(out, {"scan": []}, {"visible": said})
        return
    if wanted:
        _say(out, {"scan": found}, {"needs": wanted})
        return
    _say(out, {"scan": found})
    _say(out, _judged(frame, code, more, names))


def _judged(frame: dict[str, Any], code: CodeType, more: list[ast.stmt], names: dict) -> dict:
    """Run and judge. From here on this process is the student's."""
    import numpy
    import torch

    from medmoe_lite.course.grading import hidden
    from medmoe_lite.lab import checks

    judge, key = checks.judge, frame["key"]
    if frame["student_seed"] is not None:
        os.environ["MEDMOE_STUDENT"] = str(frame["student_seed"])
    shift = hidden.good_shift(key, frame["hidden_seed"])
    random.seed(0)
    numpy.random.seed(0)
    torch.manual_seed(0)
    for name in frame["names"]:
        names.pop(name, None)
    try:
        for node in more:
            exec(compile(ast.Module([node], []), "<helper>", "exec"), names)
        exec(code, names)
    except MemoryError:
        return {"visible": _verdict("error", _ROOM, "memory")}
    except BaseException as error:
        return {"visible": _stopped(error)}
    missing = [name for name in frame["names"] if name not in names]
    if missing:
        text = f"the cell does not define {', '.join(missing)}; keep the name that was given."
        return {"visible": _verdict("error", text, "no-name")}
    answer = [names[name] for name in frame["names"]]
    try:
        verdict = judge(key, *answer)
        said = {"visible": _verdict(verdict.kind, verdict.text, verdict.mistake)}
        if verdict.kind == "right":
            again = hidden.check(key, answer, frame["hidden_seed"], shift)
            said["hidden"] = _verdict(again.kind, again.text, again.mistake)
        return said
    except BaseException as error:  # SystemExit and others that `judge` lets through
        return {"visible": _stopped(error)}


_ROOM = "your code asked for more memory than an answer may use."


def _stopped(error: BaseException) -> dict[str, str]:
    text = f"your code stopped: {type(error).__name__}: {str(error)[:400]}"
    return _verdict("error", text, "stopped")


def _verdict(kind: str, text: str, mistake: str = "") -> dict[str, str]:
    full = ("not enough memory", "can't allocate memory", "MemoryError", "Cannot allocate memory")
    if kind == "error" and any(words in text for words in full):
        mistake = "memory"
    if kind == "error" and ("No space left" in text or "File too large" in text):
        mistake = "disk"
    return {"verdict": kind, "text": str(text)[:TEXT], "mistake": str(mistake)[:80]}


def _say(out: int, *messages: dict[str, Any]) -> None:
    for message in messages:
        data = json.dumps(message).encode() + b"\n"
        while data:
            data = data[os.write(out, data) :]
