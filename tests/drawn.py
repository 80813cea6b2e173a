"""What every figure must keep to, for tests."""

from itertools import combinations

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.text import Text

from analysis.studies.figures import style


def check_texts(figure: Figure, name: str) -> None:
    """Every text lies within the figure, and none on another."""
    canvas = FigureCanvasAgg(figure)
    with style.style():
        canvas.draw()
    renderer = canvas.get_renderer()
    hidden = beyond(figure)
    texts = [text for text in figure.findobj(Text) if text.get_visible() and text.get_text().strip()]
    boxes = {text: text.get_window_extent(renderer) for text in texts if text not in hidden}
    assert len(boxes) > 10
    for text, box in boxes.items():
        inside = box.x0 > -1 and box.y0 > -1 and box.x1 < figure.bbox.x1 + 1 and box.y1 < figure.bbox.y1 + 1
        assert inside, f"{name}: {text.get_text()!r} is cut"
    for (a, first), (b, second) in combinations(boxes.items(), 2):
        overlap = min(first.x1, second.x1) - max(first.x0, second.x0) > 1
        overlap &= min(first.y1, second.y1) - max(first.y0, second.y0) > 1
        assert not overlap, f"{name}: {a.get_text()!r} lies on {b.get_text()!r}"


def beyond(figure: Figure) -> set[Text]:
    """Tick labels outside their axis: they are made, but not drawn."""
    axes = [axis for panel in figure.axes for axis in (panel.xaxis, panel.yaxis)]
    bounds = [(axis, *sorted(axis.get_view_interval())) for axis in axes]
    return {t.label1 for axis, low, high in bounds for t in axis.get_major_ticks() if not low <= t.get_loc() <= high}
