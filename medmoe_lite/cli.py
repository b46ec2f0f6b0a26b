"""The command `medmoe`. Every import of weight happens inside a command, so help is instant."""

from __future__ import annotations

import os
import subprocess
import sys
import warnings
from typing import Annotated

from . import __version__
from .paths import PACKAGE
from .setup_advice import explain, unmet

try:
    import typer
    from typer import Typer
except ImportError as missing:
    sys.exit(explain(missing))

app = Typer(
    name="medmoe",
    help="Mixtures of LoRA experts for medical language models, built by hand.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
course_app = Typer(help="Hand the course out, grade it, teach it.", no_args_is_help=True)
app.add_typer(course_app, name="course")
# Everything after the command's name, --help included, belongs to the program behind it.
PASS_ON = {"allow_extra_args": True, "ignore_unknown_options": True, "help_option_names": []}


def show_version(wanted: bool) -> None:
    """Print the version and end."""
    if wanted:
        print(f"medmoe-lite {__version__}")
        raise typer.Exit()


@app.callback()
def top(
    version: Annotated[
        bool, typer.Option("--version", callback=show_version, is_eager=True, help="Show it.")
    ] = False,
) -> None:
    """Mixtures of LoRA experts for medical language models, built by hand."""


@app.command()
def doctor(
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Check this machine; say what to type where something is missing."""
    from .doctor import main as examine

    raise typer.Exit(examine(as_json))


@app.command(context_settings=PASS_ON)
def lab(context: typer.Context) -> None:
    """Open JupyterLab on the first notebook; options go to JupyterLab (--no-browser, --port)."""
    notebooks = PACKAGE.parent / "notebooks"
    start = "00_start_here.ipynb"
    if not (notebooks / start).is_file():
        sys.exit(
            f"there is no {notebooks / start}: the notebooks come with the repository, not with "
            "the installed package. Type `git clone` and then `make lab`; in a clone without it, "
            "type `make notebooks`."
        )
    command = [sys.executable, "-m", "jupyterlab", f"--ServerApp.root_dir={notebooks}"]
    command += [f"--LabApp.default_url=/lab/tree/{start}"]
    if hasattr(os, "geteuid") and os.geteuid() == 0:
        command.append("--allow-root")  # containers and class servers run as root
    if os.environ.get("MEDMOE_NO_BROWSER"):
        command.append("--no-browser")
    try:
        raise typer.Exit(subprocess.call([*command, *context.args]))
    except KeyboardInterrupt:
        raise typer.Exit(0) from None


@app.command(context_settings=PASS_ON)
def nano(context: typer.Context) -> None:
    """Pre-train, score and verify the embedded model (see `medmoe nano --help`)."""
    from .bases.nano_cli import main as run

    raise typer.Exit(run(context.args))


@app.command(context_settings=PASS_ON)
def reproduce(context: typer.Context) -> None:
    """Run the papers' experiments over seeds and report what holds (`--list`, `--quick`)."""
    from .reproduce.command import main as run

    raise typer.Exit(run(context.args))


@app.command(context_settings=PASS_ON)
def faults(context: typer.Context) -> None:
    """Break things on purpose and see what happens (`--list`, `--only`, `--markdown`)."""
    from .measure.faults import main as run

    raise typer.Exit(run(context.args))


@app.command(context_settings=PASS_ON)
def plan(context: typer.Context) -> None:
    """Memory of a training run by part, before anything is loaded; what would save how much."""
    from .measure.plan_command import main as run

    raise typer.Exit(run(context.args))


@app.command(context_settings=PASS_ON)
def bench(context: typer.Context) -> None:
    """Measure the layer's speed against frozen, LoRA and loops (`--quick`, `--only`, `--out`)."""
    from .measure.bench import main as run

    raise typer.Exit(run(context.args))


@app.command(context_settings=PASS_ON)
def train(context: typer.Context) -> None:
    """Train a recipe on a base and data; the same command goes on after any stop."""
    from .train.command import main as run

    raise typer.Exit(run(context.args))


@app.command("eval", context_settings=PASS_ON)
def evaluate(context: typer.Context) -> None:
    """Score a run, an adapter or a base: strict, as the papers do, and as published."""
    from .measure.eval_command import main as run

    raise typer.Exit(run(context.args))


@app.command(context_settings=PASS_ON)
def export(context: typer.Context) -> None:
    """Write a run as a stock PEFT adapter or a merged 16-bit model (`--to`, `--out`)."""
    from .method.export_command import main as run

    raise typer.Exit(run(context.args))


@app.command(context_settings=PASS_ON)
def report(context: typer.Context) -> None:
    """Show a run as one page: forgetting, routers, scores beside the papers' numbers."""
    from .measure.report_command import main as run

    raise typer.Exit(run(context.args))


@app.command("lm-tasks", context_settings=PASS_ON)
def lm_tasks(context: typer.Context) -> None:
    """Write the kit's tasks as files for lm-eval, an independent scorer."""
    from .measure.lm_eval.render import main as run

    raise typer.Exit(run(context.args))


@app.command()
def recipe(
    name: Annotated[str, typer.Argument(help="lora, medcare, ... or your own YAML file.")] = "",
) -> None:
    """Show a paper's recipe: its values, those of nano, and where each comes from."""
    from .train.recipe import Recipe, RecipeError, names
    from .train.recipe_table import table

    if not name:
        print("\n".join(names()))
        return
    try:
        print(table(Recipe.read(name)))
    except (RecipeError, FileNotFoundError) as error:
        sys.exit(str(error))


@app.command(context_settings=PASS_ON)
def data(context: typer.Context) -> None:
    """List, fetch, check and preview data (see `medmoe data --help`)."""
    from .tasks.data_command import main as run

    raise typer.Exit(run(context.args))


@course_app.command("release", context_settings=PASS_ON)
def course_release(context: typer.Context) -> None:
    """Write the course as students get it, plain and for nbgrader (`--out`, `--students`)."""
    from .course.handout.release import main as run

    raise typer.Exit(run(context.args))


@course_app.command("grade", context_settings=PASS_ON)
def course_grade(context: typer.Context) -> None:
    """Grade submissions inside a wall: CSV, feedback pages, class overview (`--out`)."""
    from .course.grading.grade import main as run

    raise typer.Exit(run(context.args))


@course_app.command("rehearse", context_settings=PASS_ON)
def course_rehearse(context: typer.Context) -> None:
    """Grade a made-up class of 20 with known grades, hostile ones among them (`--out`)."""
    from .course.grading.rehearse import main as run

    raise typer.Exit(run(context.args))


@course_app.command("instructor", context_settings=PASS_ON)
def course_instructor(context: typer.Context) -> None:
    """Write what a teacher needs: answer key, mark scheme, session plans, mistakes, figures."""
    from .course.teach.instructor import main as run

    raise typer.Exit(run(context.args))


def main() -> None:
    """Entry point of the command `medmoe`; a package that is missing or wrong is a sentence."""
    # peft asks transformers for a property whose name has changed; nothing for a user to do
    warnings.filterwarnings("ignore", ".*is_gradient_checkpointing.*", FutureWarning)
    try:
        app()
    except ImportError as error:
        sys.exit(explain(error))
    except AttributeError as error:  # another package found something else than it knows
        if not unmet():
            raise
        sys.exit(explain(error))


if __name__ == "__main__":
    main()
