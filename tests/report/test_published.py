"""The file of published figures is what tables of it hold."""

import tomllib

from lasar_kit.core.metrics import PROTOCOLS
from lasar_kit.report.published import FILE, published
from lasar_kit.report.table import SHOWN


def test_every_number_has_a_source_and_a_protocol() -> None:
    for data in tomllib.loads(FILE.read_text(encoding="utf-8"))["data"]:
        for figure in data["figures"]:
            assert figure["source"]
            assert figure["lists"] in (*PROTOCOLS, "untold")
            assert figure.keys() - {"model", "size", "source", "lists"} <= set(SHOWN)
            metrics = [figure.get(name) for name in SHOWN if name in figure]
            assert metrics
            assert all(0 < value < 0.2 for value in metrics)
            for kind in ("hr", "ndcg"):  # what is found among ten is found among twenty
                rising = [figure[f"{kind}@{k}"] for k in (5, 10, 20) if f"{kind}@{k}" in figure]
                assert rising == sorted(rising)


def test_a_data_set_is_known_by_its_size_and_protocols_stand_apart() -> None:
    grids = published(22363, 12101)
    assert len(grids) == 3
    first = {row.cells[0]: row.cells for row in grids[2].rows}
    assert "is not told" in grids[2].title
    names = [column.name for column in grids[2].columns]
    assert first["LASAR"][names.index("NDCG@10")] == 0.0303
    assert published(22363, 12100) == []
