"""Make the notebooks: `python -m medmoe_lite.course.build [names] [--check] [--no-execute]`.

    notebooks/source/NN_name.py          edited by hand
        |-- executed -->  notebooks/solutions/NN_name.ipynb    outputs kept, counts 1..n
        `-- stubs    -->  notebooks/NN_name.ipynb              what learners open

Both notebooks are written in one normal form (nbformat 4.5, human cell ids, sorted keys, no
volatile metadata), so that a difference between two builds is a real difference. Live widgets
are stored as their static picture. `--check` executes nothing and says what is out of step.
"""

import argparse
import os
import sys
import tempfile
from collections.abc import Iterable
from pathlib import Path

from medmoe_lite.course.source import Cell, learner_text, parse, solution_text

WIDGET = "application/vnd.jupyter.widget-view+json"
PNG_LIMIT, NOTEBOOK_LIMIT = 100_000, 1_000_000  # bytes
KEEP = "keep-output"  # cells with this tag show their output in the learner notebook too
SETUP_ID = "setup"
FIRST_CELL = """\
# Run this cell first. It is the same in every notebook.
try:
    from medmoe_lite.lab import begin, check, hint, plots, predict, quiz, reveal, show, use
except ModuleNotFoundError as missing:
    message = "Install once, in the folder of the repository:  pip install -e '.[lab]'"
    raise SystemExit(f"{missing}. {message}") from None
begin(seed=0)"""
KERNEL = {
    "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
    "language_info": {"name": "python"},
}


def notebooks_dir() -> Path:
    """The `notebooks` folder of the checkout this package is imported from."""
    return Path(__file__).resolve().parents[2] / "notebooks"


def sources(names: Iterable[str] = (), root: Path | None = None) -> list[Path]:
    """Source files, all of them or those whose name begins with one of `names`."""
    wanted = tuple(names) or ("",)
    root = root or notebooks_dir()
    found = [p for p in sorted((root / "source").glob("[0-9]*.py")) if p.stem.startswith(wanted)]
    if not found:
        raise SystemExit(f"No source in {root / 'source'} begins with {' or '.join(wanted)!r}.")
    return found


def cells_of(source: Path) -> list[Cell]:
    """The cells of a source, with the common first cell put after the title."""
    cells = parse(source.read_text(encoding="utf-8"), source.name)
    return [*cells[:1], Cell("code", SETUP_ID, FIRST_CELL), *cells[1:]]


def notebook(cells: list[Cell], learner: bool):
    """A notebook without outputs: the learner's form, or the one with solutions."""
    from nbformat import v4

    made = v4.new_notebook(metadata=dict(KERNEL))
    for cell in cells:
        text, metadata = cell.text, {}
        tags = list(cell.tags) + (["exercise"] if cell.is_exercise else [])
        if tags:
            metadata["tags"] = sorted(tags)
        if cell.kind == "code":
            text = learner_text(text) if learner else solution_text(text)
        new = v4.new_markdown_cell if cell.kind == "markdown" else v4.new_code_cell
        made.cells.append(new(text, id=cell.id, metadata=metadata))
    return made


def execute(made, folder: Path, timeout: int = 600):
    """Run all cells in a fresh kernel with one thread and an empty run folder."""
    from nbclient import NotebookClient

    with tempfile.TemporaryDirectory() as home:
        environment = os.environ | {"OMP_NUM_THREADS": "1", "MEDMOE_HOME": home}
        environment |= {"HF_HUB_OFFLINE": "1", "PYTHONHASHSEED": "0"}
        client = NotebookClient(made, timeout=timeout, kernel_name="python3")
        client.resources = {"metadata": {"path": str(folder)}}
        client.execute(env=environment)
    return made


def normalise(made):
    """Take out what changes from run to run; widgets leave their static picture.

    Raises:
        SystemExit: an output printed on stderr, or a picture over the limit.
    """
    made.metadata = dict(KERNEL)
    count = 0
    for cell in made.cells:
        cell.metadata.pop("execution", None)
        if cell.cell_type != "code":
            continue
        count += 1
        cell.execution_count = count
        cell.outputs = _merged(cell.outputs)
        for output in cell.outputs:
            if output.get("name") == "stderr":
                raise SystemExit(f"cell {cell.id!r} prints on stderr:\n{output.text[:500]}")
            if "execution_count" in output:
                output["execution_count"] = count
            data = output.get("data", {})
            data.pop(WIDGET, None)
            if len(data.get("image/png", "")) * 3 // 4 > PNG_LIMIT:
                raise SystemExit(f"cell {cell.id!r}: picture over {PNG_LIMIT:,} bytes; lower dpi.")
    return made


def _merged(outputs: list) -> list:
    """Join neighbouring stream outputs, which a busy kernel splits at random."""
    kept: list = []
    for output in outputs:
        last = kept[-1] if kept else {}
        if output.output_type == "stream" and output.name == last.get("name"):
            last["text"] += output.text
            continue
        kept.append(output)
    return kept


def learner_notebook(cells: list[Cell], solved):
    """The learner's notebook; outputs only where the cell carries the tag `keep-output`."""
    made = notebook(cells, learner=True)
    outputs = {c.id: c for c in solved.cells if c.cell_type == "code"}
    for cell in made.cells:
        if KEEP in cell.metadata.get("tags", ()):
            cell.outputs = outputs[cell.id].outputs
            cell.execution_count = outputs[cell.id].execution_count  # nbval wants both or none
    return made


def dump(made) -> str:
    """The one written form of a notebook.

    Raises:
        SystemExit: the notebook is over the limit of size.
    """
    import nbformat

    made.nbformat, made.nbformat_minor = 4, 5
    text = nbformat.writes(made, version=4) + "\n"
    if len(text.encode()) > NOTEBOOK_LIMIT:
        raise SystemExit(
            f"The notebook has {len(text.encode()):,} bytes; fewer or smaller pictures."
        )
    return text


def build(source: Path, run: bool = True) -> None:
    """Write both notebooks of one source; without `run`, keep the outputs that are there."""
    import nbformat

    root, cells = source.parents[1], cells_of(source)
    solved_path = root / "solutions" / f"{source.stem}.ipynb"
    solved = notebook(cells, learner=False)
    if run:
        (root / "solutions").mkdir(exist_ok=True)
        solved = normalise(execute(solved, root / "solutions"))
    else:
        old = {c.id: c for c in nbformat.read(solved_path, as_version=4).cells}
        for cell in solved.cells:
            if cell.cell_type == "code" and cell.id in old:
                cell.outputs = old[cell.id].outputs
        solved = normalise(solved)
    _write(solved_path, dump(solved))
    learner = learner_notebook(cells, nbformat.read(solved_path, as_version=4))
    _write(root / f"{source.stem}.ipynb", dump(learner))


def problems(source: Path) -> list[str]:
    """What is out of step between a source and its two notebooks; executes nothing."""
    import nbformat

    root, cells = source.parents[1], cells_of(source)
    solved_path, learner_path = (
        root / "solutions" / f"{source.stem}.ipynb",
        root / f"{source.stem}.ipynb",
    )
    cure = f"Run: python -m medmoe_lite.course.build {source.stem}"
    if not (solved_path.exists() and learner_path.exists()):
        return [f"{source.stem}: a notebook is missing. {cure}"]
    found = []
    solved = nbformat.read(solved_path, as_version=4)
    wanted = notebook(cells, learner=False)
    if [cell.id for cell in wanted.cells] != [cell.id for cell in solved.cells]:
        return [f"{source.stem}: the solution has other cells than the source. {cure}"]
    for want, have in zip(wanted.cells, solved.cells, strict=False):
        if (want.id, want.source, want.metadata) != (have.id, have.source, have.metadata):
            found.append(f"{source.stem}: solution cell {have.id!r} is out of step. {cure}")
    counts = [c.execution_count for c in solved.cells if c.cell_type == "code"]
    if counts != list(range(1, len(counts) + 1)):
        found.append(f"{source.stem}: execution counts are not 1..{len(counts)}. {cure}")
    if learner_path.read_text(encoding="utf-8") != dump(learner_notebook(cells, solved)):
        found.append(f"{source.stem}: the learner notebook is out of step. {cure}")
    return found


def _write(path: Path, text: str) -> None:
    """Write whole or not at all."""
    temporary = path.with_suffix(".tmp")
    temporary.write_text(text, encoding="utf-8")
    os.replace(temporary, path)


def main(arguments: list[str] | None = None) -> int:
    """Command line; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m medmoe_lite.course.build", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("names", nargs="*", help="notebooks, such as 01 (default: all)")
    parser.add_argument("--check", action="store_true", help="only say what is out of step")
    parser.add_argument("--no-execute", action="store_true", help="keep the stored outputs")
    options = parser.parse_args(arguments)
    found: list[str] = []
    for source in sources(options.names):
        if options.check:
            found += problems(source)
        else:
            build(source, run=not options.no_execute)
            print(f"built {source.stem}", flush=True)
    print("\n".join(found), end="\n" if found else "")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
