"""The token that texts begin with."""

from types import SimpleNamespace

import pytest

from lasar_kit.core.chains import start_token
from lasar_kit.errors import UserError


@pytest.mark.parametrize(("bos", "eos", "found"), [(0, 2, 0), (1, None, 1), (None, 0, 0)])
def test_bos_or_lacking_one_eos(bos: int | None, eos: int | None, found: int) -> None:
    assert start_token(SimpleNamespace(bos_token_id=bos, eos_token_id=eos), "prompt x") == found


def test_a_tokenizer_without_both_is_told() -> None:
    with pytest.raises(UserError, match="prompt x begins with a start token, and the tokenizer has neither"):
        start_token(SimpleNamespace(bos_token_id=None, eos_token_id=None), "prompt x")
