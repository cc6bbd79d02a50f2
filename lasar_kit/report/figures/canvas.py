"""A figure: how it looks, and what it is saved as. Readable in grey: no two lines differ by colour alone."""

from __future__ import annotations

import io
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lasar_kit.errors import UserError
from lasar_kit.report.formats import as_csv
from lasar_kit.report.grid import Grid

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

INKS = ("#111111", "#0b5394", "#b45f06", "#38761d", "#741b47", "#666666", "#999999")
DASHES = ("-", "--", "-.", ":", (0, (5, 1, 1, 1, 1, 1)), (0, (7, 2)), (0, (1, 3)))
MARKERS = ("o", "s", "^", "D", "v", "P", "X")
HATCHES = ("", "///", "...", "xxx", "\\\\\\", "+++", "ooo")

_STYLE: dict[str, Any] = {
    "font.family": ["DejaVu Sans"],
    "font.size": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.color": "#dddddd",
    "grid.linewidth": 0.6,
    "axes.axisbelow": True,
    "axes.titlesize": 10,
    "axes.titlelocation": "left",
    "legend.frameon": False,
    "legend.fontsize": 8,
    "lines.linewidth": 1.4,
    "lines.markersize": 4.5,
    "hatch.linewidth": 0.5,
    "figure.constrained_layout.use": True,
    "text.parse_math": False,  # a label may hold a dollar
    "svg.hashsalt": "lasar-kit",  # else ids are drawn, and no two files alike
    "svg.fonttype": "none",
    "pdf.fonttype": 42,
}


@dataclass(frozen=True)
class Drawn:
    """A figure under the name of its files; `caption` says what it shows, `data` holds its numbers."""

    name: str
    caption: str
    figure: Figure
    data: Grid

    def save(self, folder: Path, png: bool = False) -> str:
        """Write SVG, PDF and CSV, and a PNG where it is wanted, by its name and the same each time; the SVG,
        whose letters are text."""
        file = io.StringIO()
        with style():
            self.figure.savefig(file, format="svg", metadata={"Date": None})
            self.figure.set_layout_engine("none")  # it is laid out by now
            if png:
                self.figure.savefig(folder / f"{self.name}.png", dpi=200, metadata={"Software": None})
            self.figure.savefig(folder / f"{self.name}.pdf", metadata={"CreationDate": None})
        (folder / f"{self.name}.svg").write_text(file.getvalue(), encoding="utf-8")
        (folder / f"{self.name}.csv").write_text(as_csv([self.data]), encoding="utf-8")
        return file.getvalue()


def require() -> None:
    """`UserError` where matplotlib is not installed."""
    if find_spec("matplotlib") is None:
        raise UserError("figures need the package matplotlib; try: pip install 'lasar-kit[figures]'")


@contextmanager
def style() -> Iterator[None]:
    """Within it, figures look as those of a report do."""
    import matplotlib

    look: Any = _STYLE
    with matplotlib.rc_context(look), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph .* missing")  # a label may be in any script
        yield


@contextmanager
def canvas(width: float = 4.2, height: float = 2.7) -> Iterator[tuple[Figure, Axes]]:
    """A figure of one plot, in inches, to be drawn on in the style of a report."""
    with style():
        from matplotlib.figure import Figure

        figure = Figure(figsize=(width, height))
        yield figure, figure.subplots()


def named(label: str) -> str:
    """A label as a legend takes it, which leaves out those that begin with a low line."""
    return f" {label}" if label.startswith("_") else label


def ink(place: int) -> dict[str, Any]:
    """Colour, dash and marker of the line at a place, together one's own for seven lines."""
    return {
        "color": INKS[place % len(INKS)],
        "linestyle": DASHES[place % len(DASHES)],
        "marker": MARKERS[place % len(MARKERS)],
    }


def fill(place: int) -> dict[str, Any]:
    """Grey and hatch of the bars at a place."""
    greys = ("#555555", "#d9d9d9", "#a6a6a6", "#f2f2f2", "#7f7f7f", "#c4c4c4", "#e6e6e6")
    return {
        "facecolor": greys[place % len(greys)],
        "edgecolor": "#111111",
        "linewidth": 0.7,
        "hatch": HATCHES[place % len(HATCHES)],
    }


def legend(axes: Axes, columns: int = 2) -> None:
    """Names of the lines above the plot, where they hide nothing; none where there is one line alone."""
    handles, labels = axes.get_legend_handles_labels()
    if len(labels) > 1:
        axes.figure.legend(handles, labels, loc="outside upper left", ncols=columns)
