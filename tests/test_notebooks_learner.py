"""What learners open runs to its end unsolved, with training cut short (`MEDMOE_FAST`).

A file of its own, so that two processes can share the notebooks between them.
"""

import pytest

from medmoe_lite.course import budgets, build


@pytest.mark.parametrize("source", build.sources(), ids=lambda source: source.stem)
def test_the_unsolved_notebook_runs_to_the_end_within_memory(source, tmp_path, monkeypatch):
    monkeypatch.setenv("MEDMOE_FAST", "1")
    notebook = build.notebooks_dir() / f"{source.stem}.ipynb"
    run = budgets.run_measured(budgets.nbval_command(notebook, strict=False), str(tmp_path))
    assert run.code == 0, run.output[-4000:]
    assert run.gigabytes <= budgets.MEMORY_GB
