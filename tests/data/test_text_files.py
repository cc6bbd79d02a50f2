"""Reading lines and JSON: every kind of broken file is one clear line."""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lasar_kit.core.sources.items import ItemText, item_table, names, plain, price
from lasar_kit.core.sources.text_files import lines, only_file, read_json, require_file
from lasar_kit.errors import UserError


def message(path: Path) -> str:
    with pytest.raises(UserError) as caught:
        list(lines(path))
    assert len(caught.value.lines) == 1
    return caught.value.lines[0]


@pytest.mark.parametrize("name", ["plain.txt", "packed.txt.gz", "packed.txt"])
def test_gzip_is_told_by_its_content(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    content = "\ufeffeins\nzwölf\n\nlast".encode()
    path.write_bytes(gzip.compress(content) if name.startswith("packed") else content)
    assert list(lines(path)) == [(1, "eins\n"), (2, "zwölf\n"), (3, "\n"), (4, "last")]


def test_cut_gzip_names_the_first_line_that_is_lost(tmp_path: Path) -> None:
    path = tmp_path / "cut.gz"
    # incompressible lines, so that the cut falls far from both ends
    whole = b"".join(b"%064x\n" % (7**90 * n**40 % 2**256) for n in range(1, 3000))
    packed = gzip.compress(whole)
    path.write_bytes(packed[: len(packed) // 2])
    read = []
    with pytest.raises(UserError, match="cut short or damaged") as caught:
        read.extend(number for number, _ in lines(path))
    read = []
    try:
        for number, _ in lines(path):
            read.append(number)
    except UserError:
        pass
    assert 1 < read[-1] < 3000
    assert caught.value.lines[0].startswith(f"{path}:{read[-1] + 1}: ")


def test_damaged_gzip(tmp_path: Path) -> None:
    path = tmp_path / "bad.gz"
    packed = bytearray(gzip.compress(b"one line\n" * 50))
    packed[-6] ^= 0xFF  # of the checksum
    path.write_bytes(bytes(packed))
    assert "cut short or damaged" in message(path)


def test_not_utf8_names_line_and_byte(tmp_path: Path) -> None:
    path = tmp_path / "latin.txt"
    path.write_bytes(b"fine\ncaf\xe9\n")
    assert message(path) == f"{path}:2: is not UTF-8 text (byte 4 of the line is 0xe9)"


def test_the_byte_that_is_not_utf8_counts_behind_a_byte_order_mark(tmp_path: Path) -> None:
    path = tmp_path / "latin.txt"
    path.write_bytes(b"\xef\xbb\xbfcaf\xe9\n")
    assert message(path) == f"{path}:1: is not UTF-8 text (byte 4 of the line is 0xe9)"


def test_empty_missing_and_folder(tmp_path: Path) -> None:
    (tmp_path / "empty").write_bytes(b"")
    (tmp_path / "empty.gz").write_bytes(gzip.compress(b""))
    assert message(tmp_path / "empty") == f"{tmp_path}/empty: is empty"
    assert message(tmp_path / "empty.gz") == f"{tmp_path}/empty.gz: is empty"
    assert message(tmp_path / "empti") == f"{tmp_path}/empti: no such file; did you mean 'empty'?"
    assert message(tmp_path) == f"{tmp_path}: is a folder, expected a file"
    assert message(tmp_path / "zzzz") == f"{tmp_path}/zzzz: no such file"
    assert f"nor the folder {tmp_path}/no" in message(tmp_path / "no" / "file")
    assert message(tmp_path / ("x" * 300)).endswith("cannot be read (File name too long)")


def test_a_file_that_may_not_be_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "secret"
    path.touch()

    def refuse(*args: object) -> None:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(Path, "open", refuse)
    assert message(path) == f"{path}: cannot be read (Permission denied)"


def test_only_file(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"holds no \*.inter"):
        only_file(tmp_path, "*.inter")
    (tmp_path / "b.inter").touch()
    assert only_file(tmp_path, "*.inter") == tmp_path / "b.inter"
    (tmp_path / "a.inter").touch()
    with pytest.raises(UserError, match=r"expected one \*.inter, found 2: a.inter, b.inter"):
        only_file(tmp_path, "*.inter")
    with pytest.raises(UserError, match="no such folder"):
        only_file(tmp_path / "none", "*.inter")
    assert require_file(tmp_path / "a.inter") == tmp_path / "a.inter"


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ('{"a": 1,\n "b": [1, 2', ":2: is not JSON: Expecting ',' delimiter at column 12"),
        ('{"a": 1, "a": 2}', ": the key 'a' stands twice in one object"),
        ('{"a": {"b": 1, "c": 2, "b": 3}}', ": the key 'b' stands twice in one object"),
        ("[" * 100_000, "cannot be read as JSON"),
        ("1" * 5000, "cannot be read as JSON"),
    ],
)
def test_bad_json(tmp_path: Path, content: str, expected: str) -> None:
    path = tmp_path / "bad.json"
    path.write_text(content)
    with pytest.raises(UserError) as caught:
        read_json(path)
    assert expected in caught.value.lines[0]
    assert caught.value.lines[0].startswith(str(path))


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        ("$12.99", "12.99"), (12.99, "12.99"), (5, "5"), ("$1,250.00", "1250.00"), ("$7.95 - $12.50", "7.95"),
        ("from 14.99", "14.99"), (None, ""), ("None", ""), ("—", ""), ("", ""), ("12.99 euro", ""),
        (".a-box-inner{color:red}", ""), (float("nan"), ""),
        ("19,99", "19.99"), ("19,99 €", "19.99"), ("€7,5", "7.5"), ("1.299,00", "1299.00"), ("1,299", "1299"),
        ("1,2999", ""), ("1,299,50", ""), ("1.2.3", ""), ("7,95 - 12,50", "7.95"), ("12,34,567", ""),
    ],
)  # fmt: skip
def test_price(raw: object, expected: str) -> None:
    assert price(raw) == expected


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        ([["Beauty", "Nails"], ["Beauty", "Hair"]], "Beauty, Nails, Hair"),
        (["Tools &amp; Home", "", None, "Locks"], "Tools & Home, Locks"),
        ("Beauty", "Beauty"), (None, ""), ([], ""),
    ],
)  # fmt: skip
def test_names(raw: object, expected: str) -> None:
    assert names(raw) == expected


def test_plain() -> None:
    assert plain("by\n\n   Foo &amp; <b>Bar</b>") == "by Foo & Bar"
    assert plain("size <3 inches, 4 > 2") == "size <3 inches, 4 > 2"
    assert plain(["one", None, "two"]) == "one two"


@given(st.text())
def test_plain_is_settled_white_space(text: str) -> None:
    found = plain(text)
    assert found == " ".join(found.split())


def test_item_table_fills_absent_text_and_mends_surrogates() -> None:
    table = item_table(["b", "a"], {"a": ItemText(title="x\ud800", price="1")})
    assert table.rows() == [("b", "", "", "", "", "", ""), ("a", "x?", "", "", "", "1", "")]
    assert table.columns == ["id", "title", "brand", "categories", "description", "price", "features"]
