"""`lasar-kit`, and `python -m lasar_kit`: the command line as a process of its own."""

from __future__ import annotations

import gc

AT_FIRST = 100_000
"""Objects before the first collection of garbage: more than a spec takes to check, less than torch."""


def _collect_later() -> None:
    """Let the garbage collector begin late, and go on as usual from then.

    Modules and models of options are made by the ten thousand at the start, and stay.
    """
    usual = gc.get_threshold()

    def begun(*_: object) -> None:
        gc.set_threshold(*usual)
        gc.callbacks.remove(begun)

    gc.callbacks.append(begun)
    gc.set_threshold(AT_FIRST, *usual[1:])


def main() -> None:
    """Run a command and exit, as `lasar_kit.cli.main.main` does."""
    _collect_later()
    from lasar_kit.cli.main import main as run

    run()


if __name__ == "__main__":
    main()
