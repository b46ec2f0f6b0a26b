"""The command `medmoe`. Every import of weight happens inside a command, so help is instant."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import Annotated

import typer

from . import __version__
from .paths import PACKAGE

app = typer.Typer(
    name="medmoe",
    help="Mixtures of LoRA experts for medical language models, built by hand.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
data_app = typer.Typer(help="The facts that all tasks are made from.", no_args_is_help=True)
app.add_typer(data_app, name="data")

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
def bench(context: typer.Context) -> None:
    """Measure the layer's speed against frozen, LoRA and loops (`--quick`, `--only`, `--out`)."""
    from .measure.bench import main as run

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


@data_app.command()
def check(
    folder: Annotated[
        str, typer.Argument(help="Your own facts; the shipped ones by default.")
    ] = "",
) -> None:
    """Find duplicates, gaps and contradictions in the facts, with file and line."""
    from .tasks.validate import main as validate

    raise typer.Exit(validate([folder] if folder else None))


def main() -> None:
    """Entry point of the command `medmoe`."""
    app()


if __name__ == "__main__":
    main()
