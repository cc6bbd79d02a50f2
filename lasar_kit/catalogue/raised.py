"""Which plugin's component an exception came out of."""

from __future__ import annotations

import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from lasar_kit.catalogue.importer import label
from lasar_kit.catalogue.registry import Entry
from lasar_kit.errors import UserError

if TYPE_CHECKING:
    from lasar_kit.catalogue import Catalogue


@contextmanager
def plugins_told(catalogue: Catalogue) -> Iterator[None]:
    """Add to an exception that is no `UserError` a line on the plugin's component that it came out of."""
    try:
        yield
    except UserError:
        raise
    except Exception as error:
        if entry := _innermost(error, catalogue):
            where = f" --plugin {entry.origin}" if Path(entry.origin).exists() else ""
            command = f"lasar-kit plugins check {entry.kind} {entry.name}{where}"
            error.add_note(
                f"raised in {label(entry)}; '{command}' holds it to its contract, and may name the mistake"
            )
        raise


def _innermost(error: BaseException, catalogue: Catalogue) -> Entry | None:
    """The component in whose module the innermost frame of a plugin stands."""
    own = {
        entry.build.partition(":")[0]: entry
        for entry in catalogue.entries()
        if not catalogue.digests.is_kit(entry.build)
    }
    modules = [frame.f_globals.get("__name__", "") for frame, _ in traceback.walk_tb(error.__traceback__)]
    return next((own[name] for name in reversed(modules) if name in own), None)
