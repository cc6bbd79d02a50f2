"""Which modules a module runs: what it imports, and what these import, read from the sources alone."""

from __future__ import annotations

import ast
import hashlib
import warnings
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import NamedTuple


class Import(NamedTuple):
    """`from {"." * level}{module} import {name}`; `import {module}` where there is no name."""

    level: int
    module: str
    name: str | None


@dataclass(frozen=True)
class Source:
    """One file: the digest of what it does, and all that it imports, inside functions as well.

    `binds` are the names that an import brings to its top level, `defines` those of its functions there. A
    file that `only_names` has nothing but such: to import it does nothing.
    """

    digest: str
    imports: tuple[Import, ...] = ()
    binds: Mapping[str, Import] = field(default_factory=dict)
    defines: frozenset[str] = frozenset()
    only_names: bool = False


class _Bare(ast.NodeTransformer):
    """Strikes what does nothing when it runs: docstrings, and what type checkers alone see."""

    def __init__(self, docstrings: bool) -> None:
        self.docstrings = docstrings

    def visit_Expr(self, node: ast.Expr) -> ast.AST | None:
        strike = isinstance(node.value, ast.Constant) and not self.docstrings
        return None if strike else self.generic_visit(node)

    def visit_If(self, node: ast.If) -> ast.AST | list[ast.stmt]:
        self.generic_visit(node)
        name = node.test.attr if isinstance(node.test, ast.Attribute) else getattr(node.test, "id", None)
        return node.orelse if name == "TYPE_CHECKING" else node


@cache
def read(content: bytes) -> Source:
    """Parse a file, once a process; comments count for nothing, nor do docstrings that it does not read.

    One that is no Python counts by its bytes.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of escapes and the like, told when the file is run
            parsed = ast.parse(content)
        tree = _Bare(docstrings=b"__doc__" in content or b"getdoc" in content).visit(parsed)
    except (SyntaxError, ValueError, RecursionError):
        return Source(hashlib.sha256(content).hexdigest())
    binds = {name: found for node in tree.body for name, found in _imported(node)}
    return Source(
        digest=hashlib.sha256(ast.dump(tree).encode("utf-8", "surrogatepass")).hexdigest(),
        imports=tuple(found for node in ast.walk(tree) for _, found in _imported(node)),
        binds=binds,
        defines=frozenset(node.name for node in tree.body if isinstance(node, ast.FunctionDef)),
        only_names="*" not in binds and all(_only_names(node) for node in tree.body),
    )


def _imported(node: ast.AST) -> Iterator[tuple[str, Import]]:
    """The names that an import statement binds, each with where it comes from."""
    if isinstance(node, ast.Import):
        for alias in node.names:
            yield alias.asname or alias.name.partition(".")[0], Import(0, alias.name, None)
    elif isinstance(node, ast.ImportFrom):
        for alias in node.names:
            yield alias.asname or alias.name, Import(node.level, node.module or "", alias.name)


def _only_names(node: ast.stmt) -> bool:
    """Whether a statement only brings or defines a name, `__all__` and the like among them."""
    if isinstance(node, ast.Assign):
        return all(isinstance(target, ast.Name) and target.id.startswith("__") for target in node.targets)
    if isinstance(node, ast.FunctionDef):
        return not node.decorator_list
    return isinstance(node, ast.Import | ast.ImportFrom)


class Sources:
    """The modules of some top-level packages, by name and folder; each file is read once."""

    def __init__(self, packages: Mapping[str, Path]) -> None:
        self._packages = dict(packages)
        self._found: dict[str, tuple[Source, bool] | None] = {}

    def __contains__(self, module: str) -> bool:
        return self._file(module) is not None

    def closure(self, modules: Iterable[str]) -> dict[str, str]:
        """The modules that these run, themselves among them, each with the digest of its source.

        A package above one of them counts where its `__init__` does more than name things.
        """
        digests: dict[str, str] = {}
        waiting = list(modules)
        while waiting:
            module = waiting.pop()
            file = self._file(module)
            if file is None or module in digests:
                continue
            digests[module] = file[0].digest
            waiting += self.imported(file[0], module)
            waiting += [above for above in _above(module) if self._does_more(above)]
        return dict(sorted(digests.items()))

    def imported(self, source: Source, module: str = "") -> list[str]:
        """The modules that a file takes names from, of any package; `module` is its own name."""
        return [self._module_of(self._absolute(one, module)) for one in source.imports]

    def _file(self, module: str) -> tuple[Source, bool] | None:
        """A module's source, and whether it is a package; None where there is none."""
        if module not in self._found:
            top, *rest = module.split(".")
            files: list[Path] = []
            if top in self._packages:
                place = self._packages[top].joinpath(*rest)
                files = [place / "__init__.py", *([place.with_name(f"{place.name}.py")] if rest else ())]
            there = next((file for file in files if file.is_file()), None)
            self._found[module] = (read(there.read_bytes()), there.name == "__init__.py") if there else None
        return self._found[module]

    def _does_more(self, package: str) -> bool:
        file = self._file(package)
        return file is not None and not file[0].only_names

    def _absolute(self, one: Import, module: str) -> Import:
        """An import as the module that holds it means it."""
        if not one.level:
            return one
        file = self._file(module)
        parts = module.split(".")
        base = parts[: len(parts) - one.level + (file is not None and file[1])]
        return Import(0, ".".join([*base, one.module] if one.module else base), one.name)

    def _module_of(self, one: Import, passed: tuple[Import, ...] = ()) -> str:
        """The module that holds what is imported; a name that a package only passes on is not its own."""
        file, name = self._file(one.module), one.name
        if name is None or file is None or not file[1]:
            return one.module
        source, inner = file[0], f"{one.module}.{name}"
        if source.only_names and name in source.binds and one not in passed:
            return self._module_of(self._absolute(source.binds[name], one.module), (*passed, one))
        return inner if name not in source.defines and inner in self else one.module


def _above(module: str) -> Iterator[str]:
    while "." in module:
        module = module.rpartition(".")[0]
        yield module
