"""A built-in component with one line wrong: what it was, what it became, and the law that catches it."""

from __future__ import annotations

import importlib.util
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from lasar_kit.catalogue import Catalogue
from lasar_kit.testing.contract import Subject
from lasar_kit.testing.options import configured


@dataclass(frozen=True)
class WrongLine:
    """A component `use` of a kind with options, whose class stands in a module, and the change.

    `heir` is the component's class where the module holds what it inherits.
    """

    name: str
    kind: str
    use: str
    built: str
    right: str
    wrong: str
    law: str
    options: dict[str, Any] = field(default_factory=dict)
    heir: str = ""

    def subject(self, folder: Path) -> Subject:
        """The wrong component; the changed module is written to a folder."""
        module, _, name = self.built.partition(":")
        found = importlib.util.find_spec(module)
        assert found is not None
        assert found.origin is not None
        source = Path(found.origin).read_text()
        assert source.count(self.right) == 1, (
            f"{module} holds {self.right!r} {source.count(self.right)} times"
        )
        path = folder / f"wrong_{self.name}.py"
        path.write_text(source.replace(self.right, self.wrong))
        spec = importlib.util.spec_from_file_location(f"{module.rpartition('.')[0]}.{path.stem}", path)
        assert spec is not None
        assert spec.loader is not None
        changed = sys.modules[spec.name] = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(changed)
        catalogue = Catalogue.discover()
        config = configured(self.kind, {"use": self.use, **self.options}, catalogue)
        make = getattr(changed, name)
        if self.heir:
            own = getattr(importlib.import_module(self.heir.partition(":")[0]), self.heir.partition(":")[2])
            given = {key: value for key, value in vars(make).items() if not key.startswith("__")}
            make = type(
                own.__name__, (own,), {**given, **{key: vars(own)[key] for key in given if key in vars(own)}}
            )
        return Subject(self.kind, self.name, lambda env: make(config, env), config, {"catalogue": catalogue})
