"""Find code in an answer that an exercise does not need: it is reported, never punished by itself.

An answer runs in the process that checks it, so who is determined can forge a verdict. What that
takes stands in the source, and most of it is found here by reading, without running anything.
A name put together at run time (`getattr(x, "a" + "b")`) is found as `getattr` alone.
"""

import ast

MODULES = {
    "os": "files and processes", "sys": "the interpreter", "shutil": "files",
    "pathlib": "files", "subprocess": "processes", "multiprocessing": "processes",
    "threading": "processes", "signal": "processes", "socket": "network", "urllib": "network",
    "requests": "network", "http": "network", "ctypes": "the interpreter",
    "gc": "the interpreter", "inspect": "the interpreter", "importlib": "the interpreter",
    "builtins": "the interpreter", "pickle": "the interpreter", "resource": "limits",
    "tempfile": "files", "glob": "files", "io": "files", "atexit": "the interpreter",
}  # fmt: skip
CALLS = {
    "open": "files", "exec": "code from text", "eval": "code from text",
    "compile": "code from text", "__import__": "the interpreter", "globals": "the interpreter",
    "vars": "the interpreter", "breakpoint": "the interpreter", "input": "asks for input",
}  # fmt: skip
FRAMES = {"_getframe", "settrace", "setprofile", "f_globals", "f_locals", "f_back", "tb_frame"}
KNOWN = {"torch", "math", "F", "nn"}
MOST = 12


def scan(text: str) -> list[str]:
    """Sentences on what an answer uses besides Python and torch, in the order of its lines.

    >>> scan("import os\\nos.remove('x')")
    ['line 1: imports os (files and processes)']
    >>> scan("import torch\\ntorch.allclose = lambda *a: True")
    ['line 2: replaces torch.allclose']
    >>> scan("def f(x):\\n    return x.relu()")
    []
    """
    found: dict[tuple[int, str], None] = {}
    modules: set[str] = set()
    nodes = sorted(ast.walk(ast.parse(text)), key=lambda node: getattr(node, "lineno", 0))
    for node in nodes:
        line = getattr(node, "lineno", 0)
        for words in _of(node, modules):
            found[line, words] = None
    return [f"line {line}: {words}"[:200] for line, words in found][:MOST]


def _of(node: ast.AST, modules: set[str]) -> list[str]:
    if isinstance(node, ast.Import):
        modules |= {(alias.asname or alias.name).split(".")[0] for alias in node.names}
        return [words for alias in node.names if (words := _imports(alias.name))]
    if isinstance(node, ast.ImportFrom):
        whole = node.module or ""
        modules |= {alias.asname or alias.name for alias in node.names if whole.count(".") < 3}
        each = [f"{whole}.{alias.name}" for alias in node.names]
        return [words for name in each if (words := _imports(name))][:1]
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in CALLS:
        return [f"calls {node.func.id} ({CALLS[node.func.id]})"]
    if isinstance(node, ast.Call) and ast.unparse(node.func) in ("setattr", "delattr"):
        aim = ast.unparse(node.args[0]) if node.args else ""
        return [f"replaces a part of {aim}"] if aim.split(".")[0] in modules | KNOWN else []
    if isinstance(node, ast.Attribute) and _hidden(node.attr):
        return [f"reaches for {node.attr} (the interpreter)"]
    if isinstance(node, ast.Name) and node.id in ("__builtins__", "__loader__", "__spec__"):
        return [f"reaches for {node.id} (the interpreter)"]
    if isinstance(node, ast.Assign | ast.AugAssign):
        aims = node.targets if isinstance(node, ast.Assign) else [node.target]
        return [words for aim in aims if (words := _replaces(aim, modules))]
    return []


def _imports(name: str) -> str:
    top = name.split(".")[0]
    if top in MODULES:
        return f"imports {top} ({MODULES[top]})"
    if name.startswith(("medmoe_lite.lab", "medmoe_lite.course")):
        return f"imports {name} (where the kit keeps checks and answers)"
    return ""


def _hidden(name: str) -> bool:
    usual = name in ("__init__", "__name__", "__class__", "__len__", "__call__", "__getitem__",
                     "__enter__", "__exit__", "__float__", "__int__", "__doc__")  # fmt: skip
    dunder = name.startswith("__") and name.endswith("__")
    return (dunder and not usual) or name in FRAMES


def _replaces(aim: ast.expr, modules: set[str]) -> str:
    at: ast.expr = aim
    while isinstance(at, ast.Attribute | ast.Subscript):
        at = at.value
    if at is not aim and isinstance(at, ast.Name) and at.id in modules | KNOWN:
        return f"replaces {ast.unparse(aim)}"
    return ""
