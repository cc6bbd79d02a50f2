"""The command line. A command is imported when it is asked for, and torch where it needs it."""

from __future__ import annotations

import importlib
import io
import json
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn, cast

import typer
from typer.core import TyperGroup

from lasar_kit import __version__
from lasar_kit.cli.plugins import OPTIONS, Plugin, discovered, warn
from lasar_kit.errors import UserError

if TYPE_CHECKING:
    from lasar_kit.catalogue import Catalogue
    from lasar_kit.spec import LoadedSpec

INTERRUPTED = 130

# By version Typer uses the installed click or a copy of its own; what it exports has the right base in both.
UsageError = cast(type[typer.BadParameter], typer.BadParameter.__base__)

MODULES = {
    "run": "main",
    "check": "main",
    "report": "results",
    "compare": "results",
    "study": "suites",
    "suite": "suites",
    "recommend": "recommending",
    "explain": "results",
    "serve": "serving",
    "export": "exporting",
    "data": "data",
    "items": "items",
    "plugins": "plugins",
    "presets": "presets",
    "schema": "main",
}
"""The module of `lasar_kit.cli` that each command stands in under its name, in the order of `--help`."""


class Commands(Mapping[str, Any]):
    """The commands by name, each imported and made when it is asked for."""

    def __iter__(self) -> Iterator[str]:
        return iter(MODULES)

    def __len__(self) -> int:
        return len(MODULES)

    def __getitem__(self, name: str) -> Any:
        member = getattr(importlib.import_module(f"lasar_kit.cli.{MODULES[name]}"), name)
        if not isinstance(member, typer.Typer):
            member, function = typer.Typer(**OPTIONS), member
            member.command()(function)
        command = typer.main.get_command(member)
        command.name = name
        _take_no_value(command)
        return command


def _take_no_value(command: Any) -> None:
    """Show flags without a value in `--help`, where newer versions of Typer print one."""
    usual = command.get_params

    def of_flags_none(context: Any) -> Any:
        options = usual(context)  # with `--help`
        for option in options:
            if getattr(option, "is_flag", False):
                option.metavar = ""
        return options

    command.get_params = of_flags_none
    inner = getattr(command, "commands", {})
    for one in inner.values() if isinstance(inner, dict) else ():  # not those that are made when asked for
        _take_no_value(one)


class Group(TyperGroup):
    """The group of all commands."""

    def __init__(self, **attributes: Any) -> None:
        super().__init__(**{**attributes, "commands": Commands()})


app = typer.Typer(help="Latent-reasoning generative recommenders: run, check and list.", cls=Group, **OPTIONS)


def _version(asked: bool) -> None:
    if asked:
        print(f"lasar-kit {__version__}")
        raise typer.Exit


@app.callback()
def _options_of_all(
    version: Annotated[
        bool, typer.Option("--version", is_eager=True, callback=_version, help="Print the version.")
    ] = False,
) -> None: ...


Spec = Annotated[Path, typer.Argument(metavar="SPEC", help="A run in YAML, or preset:NAME.")]
Set = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="Change one value of it; any number of times."),
]
NoCache = Annotated[bool, typer.Option("--no-cache", help="Begin every stage anew.")]
Resume = Annotated[
    bool, typer.Option("--resume", help="Go on as always, but begin no run that is not there yet.")
]


def run(
    context: typer.Context,
    spec: Spec,
    set_: Set = None,
    output: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Folder of the run; runs/NAME when absent.")
    ] = None,
    plugin: Plugin = None,
    no_cache: NoCache = False,
    resume: Resume = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be done.")] = False,
    processes: Annotated[int, typer.Option(min=1, help="Processes of this machine to run on.")] = 1,
    deterministic: Annotated[
        bool, typer.Option("--deterministic", help="Refuse operations that do not repeat bit by bit.")
    ] = False,
) -> None:
    """Run a spec: what is done is reused, what was cut off goes on."""
    from lasar_kit.process import signals
    from lasar_kit.run import launch

    if resume and no_cache:
        raise UserError("--resume: goes on with what --no-cache would throw away; give one of them")
    with launch.joined(), signals.heeded():
        catalogue = discovered(plugin)
        catalogue.load_hooks()
        warn(catalogue)
        loaded = _load(spec, set_, catalogue)
        if processes > 1 and not dry_run and not launch.inside():
            raise typer.Exit(launch.launch(processes, context.obj))
        folder = _folder_of_run(loaded, output, resume, set_ or ())
        from lasar_kit.run import runner

        if dry_run:
            from lasar_kit.run.dry_run import dry_run as show

            show(loaded, catalogue, folder, not no_cache)
            return
        if deterministic:
            launch.make_deterministic()
        runner.run_spec(loaded, catalogue, folder, not no_cache)


def check(spec: Spec, set_: Set = None, plugin: Plugin = None) -> None:
    """Check a spec without running it, and show which stage reads from which."""
    from lasar_kit.spec import missing_files

    catalogue = discovered(plugin)
    warn(catalogue)
    loaded = _load(spec, set_, catalogue)
    _caution(loaded)
    for line in missing_files(loaded):  # which may be there where it is run
        print(f"warning: {line}", file=sys.stderr)
    print(f"{spec}: ok")
    for stage in loaded.plan:
        reads = ", ".join(f"{artifact} of {source}" for artifact, source in stage.inputs.items())
        print(f"  {stage.name} ({stage.config.use}): reads {reads or 'nothing'}")


def schema(plugin: Plugin = None) -> None:
    """Print the JSON Schema of a spec, for editors."""
    from lasar_kit.spec.schema import json_schema

    catalogue = discovered(plugin)
    printed, problems = json_schema(catalogue)
    warn(catalogue)
    for line in problems:
        print(f"left out: {line}", file=sys.stderr)
    print(json.dumps(printed, indent=2))


def _load(spec: Path, overrides: list[str] | None, catalogue: Catalogue) -> LoadedSpec:
    from lasar_kit.spec import load_spec

    return load_spec(spec, overrides or (), catalogue)


def _caution(loaded: LoadedSpec) -> None:
    """Tell what in a spec is hardly meant, once for all processes of a run."""
    from lasar_kit.spec import cautions

    if os.environ.get("RANK", "0") == "0":
        for line in cautions(loaded):
            print(f"warning: {line}", file=sys.stderr)


def _folder_of_run(loaded: LoadedSpec, output: Path | None, resume: bool, overrides: Sequence[str]) -> Path:
    """Where a run is to write; `UserError` for what keeps it from beginning there."""
    from lasar_kit.spec import missing_files
    from lasar_kit.store.run_folder import check_output, check_settings

    _caution(loaded)
    if missing := missing_files(loaded):
        raise UserError(*missing)
    folder = output or Path("runs") / loaded.spec.name
    if os.environ.get("RANK", "0") == "0":
        check_output(folder, resume)
        if output is None:
            check_settings(folder, loaded, overrides)
    return folder


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
    from lasar_kit.process.signals import Stopped

    command = typer.main.get_command(app)
    _take_no_value(command)
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
        text = " ".join(error.format_message().split())
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
