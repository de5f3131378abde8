"""From drawings to files and to inlined SVG: byte-for-byte the same for the same run."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

import matplotlib
from matplotlib.figure import Figure

from roamrl.platform.report.figures.style import RC

PNG_DPI = 200


@dataclass(frozen=True)
class Picture:
    """A figure ready for the page.

    Attributes:
        name: File name without ending.
        title: What it shows.
        svg: The `<svg>` element, whose ids no other picture of the page has.
    """

    name: str
    title: str
    svg: str


def render(name: str, title: str, draw: Callable[[], Figure], folder: Path) -> Picture:
    """Draw a figure, write ``<name>.svg`` and ``<name>.png`` into a folder, and return it for the page."""
    written = BytesIO()
    with matplotlib.rc_context({**RC, "svg.hashsalt": name}):
        figure = draw()
        _lay_out(figure)
        figure.savefig(written, format="svg", metadata={"Date": None, "Title": title})
        figure.savefig(folder / f"{name}.png", format="png", dpi=PNG_DPI, metadata={"Title": title})
    svg = written.getvalue().decode("utf-8")
    (folder / f"{name}.svg").write_text(svg, encoding="utf-8")
    return Picture(name, title, inline(svg, name, title))


def _lay_out(figure: Figure) -> None:
    """Find the layout once for all files: while a figure has a layout engine, each file is drawn twice."""
    engine = figure.get_layout_engine()
    if engine is not None:
        engine.execute(figure)
        figure.set_layout_engine(None)


def inline(svg: str, name: str, title: str) -> str:
    """Return the `<svg>` element alone, with ids of its own, a role and a label, scaling with the page."""
    element = svg[svg.index("<svg") :]
    element = re.sub(r"<metadata>.*?</metadata>", "", element, flags=re.DOTALL)
    element = re.sub(r'\bid="([^"]+)"', rf'id="{name}-\1"', element)
    element = re.sub(r'(xlink:href="#)([^"]+)"', rf'\g<1>{name}-\2"', element)
    element = re.sub(r"url\(#([^)]+)\)", rf"url(#{name}-\1)", element)
    element = re.sub(r'(<svg\b[^>]*?) width="[^"]+"', r"\1", element, count=1)
    element = re.sub(r'(<svg\b[^>]*?) height="[^"]+"', r"\1", element, count=1)
    return element.replace("<svg", f'<svg role="img" aria-label="{_escaped(title)}"', 1)


def _escaped(text: str) -> str:
    return text.replace("&", "&amp;").replace('"', "&quot;").replace("<", "&lt;")
