"""The command line. Nothing here imports torch before a command needs it."""

from __future__ import annotations

import io
import json
import os
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn, cast

import typer

from lasar_kit.errors import UserError

if TYPE_CHECKING:
    from lasar_kit.catalogue import Catalogue
    from lasar_kit.spec import LoadedSpec

INTERRUPTED = 130

# By version Typer uses the installed click or a copy of its own; what it exports has the right base in both.
UsageError = cast(type[Exception], typer.BadParameter.__base__)

_options: dict[str, Any] = {"add_completion": False, "pretty_exceptions_enable": False}
app = typer.Typer(help="Latent-reasoning generative recommenders: run, check and list.", **_options)
plugins = typer.Typer(help="What components there are, and their options.", **_options)
app.add_typer(plugins, name="plugins")

Spec = Annotated[Path, typer.Argument(metavar="SPEC", help="A run in YAML.")]
Set = Annotated[list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Change one value of it.")]
Plugin = Annotated[
    list[Path] | None, typer.Option("--plugin", metavar="PATH", help="Folder of a plugin: its registry.toml.")
]


@app.command()
def run(
    context: typer.Context,
    spec: Spec,
    set_: Set = None,
    output: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Folder of the run; runs/NAME when absent.")
    ] = None,
    plugin: Plugin = None,
    no_cache: Annotated[bool, typer.Option("--no-cache", help="Compute every stage anew.")] = False,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on from the last checkpoint of a stage that was cut off.")
    ] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be done.")] = False,
    processes: Annotated[int, typer.Option(min=1, help="Processes of this machine to run on.")] = 1,
    deterministic: Annotated[
        bool, typer.Option("--deterministic", help="Refuse operations that do not repeat bit by bit.")
    ] = False,
) -> None:
    """Run a spec, reusing the stages that are done."""
    from lasar_kit.engine import launch, stopping

    if resume and no_cache:
        raise UserError("--resume: goes on with what --no-cache would throw away; give one of them")
    with launch.joined(), stopping.heeded():
        from lasar_kit.spec import missing_files

        catalogue = _catalogue(plugin)
        catalogue.load_hooks()
        _warn(catalogue)
        loaded = _load(spec, set_, catalogue)
        if processes > 1 and not dry_run and not launch.inside():
            raise typer.Exit(launch.launch(processes, context.obj))
        _caution(loaded)
        folder = output or Path("runs") / loaded.spec.name
        if missing := missing_files(loaded):
            raise UserError(*missing)
        from lasar_kit.engine import runner
        from lasar_kit.engine.output import check_output

        if os.environ.get("RANK", "0") == "0":
            check_output(folder)
        if dry_run:
            runner.dry_run(loaded, catalogue, folder, not no_cache)
            return
        if deterministic:
            launch.make_deterministic()
        runner.run_spec(loaded, catalogue, folder, not no_cache, resume)


@app.command()
def check(spec: Spec, set_: Set = None, plugin: Plugin = None) -> None:
    """Check a spec without running it, and show which stage reads from which."""
    from lasar_kit.spec import missing_files

    catalogue = _catalogue(plugin)
    _warn(catalogue)
    loaded = _load(spec, set_, catalogue)
    _caution(loaded)
    for line in missing_files(loaded):  # which may be there where it is run
        print(f"warning: {line}", file=sys.stderr)
    print(f"{spec}: ok")
    for stage in loaded.plan:
        reads = ", ".join(f"{artifact} of {source}" for artifact, source in stage.inputs.items())
        print(f"  {stage.name} ({stage.config.use}): reads {reads or 'nothing'}")


@app.command()
def schema(plugin: Plugin = None) -> None:
    """Print the JSON Schema of a spec, for editors."""
    from lasar_kit.spec.schema import json_schema

    catalogue = _catalogue(plugin)
    found, problems = json_schema(catalogue)
    _warn(catalogue)
    for line in problems:
        print(f"left out: {line}", file=sys.stderr)
    print(json.dumps(found, indent=2))


@app.command()
def recommend(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="Folder of a run.")],
    history: Annotated[str, typer.Option(metavar="ID,ID,…", help="Raw item ids, oldest first.")],
    k: Annotated[int, typer.Option("-k", min=1, help="How many items.")] = 10,
    plugin: Plugin = None,
) -> None:
    """Recommend the next items after a history, with the model of a run."""
    ids = [item.strip() for item in history.split(",")]
    if not all(ids):
        raise UserError(f"--history: must be item ids with commas between them (got {history!r})")
    catalogue = _catalogue(plugin)
    from lasar_kit.engine.recommend import recommend as show

    show(run, ids, k, catalogue)


@app.command()
def report(run: Annotated[Path, typer.Argument(metavar="RUN", help="Folder of a run.")]) -> None:
    """Print the table that a run ended with."""
    from lasar_kit.engine.report_table import report as show

    show(run)


@app.command()
def compare(
    runs: Annotated[list[Path], typer.Argument(metavar="RUN…", help="Folders of runs.")],
    stage: Annotated[
        str | None, typer.Option(metavar="NAME", help="Evaluate stage; the last when absent.")
    ] = None,
) -> None:
    """Compare runs, or the models of one run, user by user: metrics, changes against the first, p-values."""
    from lasar_kit.engine.compare import compare as show

    show(runs, stage)


@plugins.command("list")
def plugins_list(
    kind: Annotated[str | None, typer.Argument(metavar="KIND", help="Only this kind.")] = None,
    plugin: Plugin = None,
    as_json: Annotated[bool, typer.Option("--json", help="As a JSON list.")] = False,
) -> None:
    """List components by kind."""
    from lasar_kit import listing

    catalogue = _catalogue(plugin)
    _warn(catalogue)
    print(listing.as_json(catalogue, kind) if as_json else listing.as_text(catalogue, kind))


@plugins.command("show")
def plugins_show(
    kind: Annotated[str, typer.Argument(metavar="KIND")],
    name: Annotated[str, typer.Argument(metavar="NAME")],
    plugin: Plugin = None,
) -> None:
    """Show a component: where it comes from, its options, and an example."""
    from lasar_kit import listing

    print(listing.describe(_catalogue(plugin), kind, name))


@plugins.command("check")
def plugins_check(
    kind: Annotated[str, typer.Argument(metavar="KIND")],
    name: Annotated[str, typer.Argument(metavar="NAME")],
    plugin: Plugin = None,
    set_: Annotated[
        list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Set one of its options.")
    ] = None,
) -> None:
    """Hold a component against the laws of its kind; exit 1 if it breaks one."""
    from lasar_kit.spec.load import set_options
    from lasar_kit.testing import check_component

    options = set_options(set_ or ())
    with tempfile.TemporaryDirectory() as folder:
        os.environ.setdefault("HYPOTHESIS_STORAGE_DIRECTORY", folder)  # else it leaves one in the cwd
        results = check_component(kind, name, options, _catalogue(plugin))
    from lasar_kit.testing.table import as_text

    print(as_text(f"{kind} {name}", results))
    if not all(result.ok for result in results):
        raise typer.Exit(1)


@plugins.command("new")
def plugins_new(
    kind: Annotated[str, typer.Argument(metavar="KIND")],
    name: Annotated[str, typer.Argument(metavar="NAME", help="Of the component and of its package.")],
    output: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Folder to write; NAME with hyphens when absent.")
    ] = None,
) -> None:
    """Write a package around a new component: options, an implementation that works, a contract test."""
    from lasar_kit.scaffold import write_package

    folder = output or Path(name.replace("_", "-"))
    for path in write_package(kind, name, folder):
        print(path)
    print(f"next: python -m pip install -e '{folder}[test]' && python -m pytest {folder}")


def _catalogue(plugin: list[Path] | None) -> Catalogue:
    from lasar_kit.catalogue import Catalogue

    return Catalogue.discover(plugin or ())


def _load(spec: Path, overrides: list[str] | None, catalogue: Catalogue) -> LoadedSpec:
    from lasar_kit.spec import load_spec

    return load_spec(spec, overrides or (), catalogue)


def _warn(catalogue: Catalogue) -> None:
    """Tell what of a plugin cannot be used, by one process; other plugins are no worse for it."""
    if os.environ.get("RANK", "0") != "0":
        return
    for origin, lines in catalogue.problems.items():
        for line in lines:
            print(f"plugin {origin}: {line}", file=sys.stderr)


def _caution(loaded: LoadedSpec) -> None:
    """Tell what in a spec is hardly meant, once for all processes of a run."""
    from lasar_kit.spec import cautions

    if os.environ.get("RANK", "0") == "0":
        for line in cautions(loaded):
            print(f"warning: {line}", file=sys.stderr)


def _print_anything() -> None:
    """Write what the terminal's encoding, or any, cannot hold as escapes."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def _fail(lines: tuple[str, ...], code: int) -> NoReturn:
    for line in lines:
        print(line, file=sys.stderr)
    raise SystemExit(code)


def main(arguments: list[str] | None = None) -> NoReturn:
    """Run a command and exit: 0 when done, 2 for a user's mistake (one line each), 130 for Ctrl-C, 75 where
    SIGTERM ended a run."""
    from lasar_kit.engine.stopping import Stopped

    command = typer.main.get_command(app)
    _print_anything()
    try:
        given = sys.argv[1:] if arguments is None else arguments
        code = command.main(arguments, prog_name="lasar-kit", standalone_mode=False, obj=given)
        sys.stdout.flush()
    except UserError as error:
        _fail(error.lines, 2)
    except Stopped as error:
        _fail(error.args, error.code)
    except UsageError as error:
        text = " ".join(error.format_message().split())  # type: ignore[attr-defined]
        _fail((f"lasar-kit: {text.rstrip('.')}; see --help",), 2)
    except (KeyboardInterrupt, typer.Abort):
        code = INTERRUPTED
    except BrokenPipeError:
        # The reader is gone (`| head`): what is left to flush at exit goes nowhere.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise SystemExit(0) from None
    if code == INTERRUPTED:  # which some versions of Typer return for Ctrl-C themselves
        _fail(("interrupted",), INTERRUPTED)
    raise SystemExit(code if isinstance(code, int) else 0)
