"""Options of plugins that cannot be used are told in a line, with their place."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.cli.conftest import CONFIG

Call = Callable[..., Any]

UNFIT = "class Other: ...\n" + CONFIG.replace("levels: int =", "levels: Other =")


def test_options_of_no_type_that_can_be_checked(call: Call, write_plugin: Callable[..., Path]) -> None:
    """One line, wherever the class is; its models are made late."""
    folder = write_plugin("unfit", config=UNFIT)
    result = call("plugins", "show", "quantizer", "mine", "--plugin", folder)
    assert (result.code, result.out, len(result.err)) == (2, "", 1)
    start = (
        f"quantizer 'mine' of {folder}: cannot import unfit.config:Config: PydanticSchemaGenerationError: "
    )
    assert result.err[0].startswith(start)
    file = folder / "in_one_file.py"
    file.write_text(
        f"{UNFIT}\nfrom lasar_kit.spec import declare\n\n"
        "@declare('quantizer', 'mine', Config)\nclass Mine: ...\n"
    )
    result = call("plugins", "list", "--plugin", file)
    assert (result.code, result.out, len(result.err)) == (2, "", 1)
    assert result.err[0].startswith(
        f"--plugin {file}:10: cannot be imported: PydanticSchemaGenerationError: "
    )


RAISING = (
    CONFIG
    + """
    def model_post_init(self, context: object) -> None:
        raise KeyError("levels")
"""
)
UNTYPED = CONFIG + "    size = Field(3)\n"


def test_options_whose_validation_raises(
    call: Call, write_plugin: Callable[..., Path], tmp_path: Path
) -> None:
    """One line with the place in the plugin, by a spec as by a component alone."""
    folder = write_plugin("raising", config=RAISING)
    spec = tmp_path / "raising.yaml"
    spec.write_text("stages:\n  tokenize:\n    use: tokenize\n    quantizer: mine\n")
    said = f"checking the options of mine raised KeyError: 'levels' (at {folder}/raising/config.py:8); "
    for command, place in (
        (("check", spec), f"{spec}:4: stages.tokenize.quantizer: {said}"),
        (("plugins", "check", "quantizer", "mine"), f"quantizer mine: {said}"),
    ):
        result = call(*command, "--plugin", folder)
        assert (result.code, result.out, len(result.err)) == (2, "", 1)
        assert result.err[0].startswith(place)


def test_why_an_option_is_none_ends_without_an_address(call: Call, write_plugin: Callable[..., Path]) -> None:
    result = call("plugins", "show", "quantizer", "mine", "--plugin", write_plugin("untyped", config=UNTYPED))
    assert (result.code, len(result.err)) == (2, 1)
    assert result.err[0].endswith("PydanticUserError: Field 'size' requires a type annotation")
