"""The report's plots, as SVG text that can stand inside an HTML page."""

from __future__ import annotations

import io
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

INK, MUTED, GRID = "#1f2933", "#7b8794", "#e4e7eb"
ACCENT = "#0b6e99"
# Okabe and Ito's palette, distinguishable with colour-vision deficiency; grey is "all other genres".
PALETTE = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9")
OTHER = "#c5ccd3"


def learning_curve(epochs: Sequence[float], test: float, name: str) -> str:
    """Train metric after each epoch, with the test value as a line across."""
    figure, axes = _axes(6.4, 3.2)
    axes.plot(range(1, len(epochs) + 1), epochs, color=ACCENT, linewidth=2)
    axes.axhline(test, color=PALETTE[1], linewidth=1.5, linestyle=(0, (4, 3)))
    axes.text(len(epochs), epochs[-1], f"train {epochs[-1]:.3f} ", ha="right", va="bottom", color=ACCENT)
    axes.text(len(epochs), test, f"test {test:.3f} ", ha="right", va="bottom", color=PALETTE[1])
    axes.margins(y=0.12)
    axes.set_xlabel("epoch")
    axes.set_ylabel(name)
    return _svg(figure)


def decision_curve(curve: Mapping[str, Sequence[float]], threshold: float) -> str:
    """Accuracy, precision and recall of every cut of the scores, and the one that was chosen."""
    figure, axes = _axes(6.4, 3.2)
    for name, colour in zip(("accuracy", "precision", "recall"), (ACCENT, *PALETTE[1:3]), strict=True):
        axes.plot(curve["threshold"], curve[name], color=colour, linewidth=2, label=name)
    axes.axvline(threshold, color=MUTED, linewidth=1.2, linestyle=(0, (4, 3)))
    axes.text(threshold, 0.02, f" {threshold:.3f}", color=INK, fontsize=9)
    axes.set_ylim(0, 1)
    axes.set_xlabel("scores from here up mean yes")
    axes.legend(frameon=False, fontsize=8, loc="upper left", bbox_to_anchor=(1, 1), labelcolor=INK)
    return _svg(figure)


def item_map(
    vectors: NDArray[np.float32], genres: Sequence[Sequence[str]], ratings: NDArray[np.int64]
) -> str:
    """Items on the two directions in which their vectors vary most, coloured by their commonest genre.

    Parameters
    ----------
    vectors : (items, k) array
        Item vectors, without the linear weight.
    genres : one list of genres for each item
    ratings : (items,) array
        How often each item was rated; sets the dot's size.
    """
    centred = vectors - vectors.mean(axis=0)
    _, _, axes_of_variation = np.linalg.svd(centred, full_matrices=False)
    positions = centred @ axes_of_variation[:2].T
    # Nearly half of the films are dramas: as a colour of its own it would hide the others.
    common = Counter(genre for names in genres for genre in names if genre != "Drama")
    shown = [genre for genre, _ in common.most_common(len(PALETTE))]
    kind = np.array([next((genre for genre in names if genre in shown), "") for names in genres])
    sizes = 3 + 45 * ratings / max(int(ratings.max()), 1)
    figure, axes = _axes(6.4, 5.2)
    for genre, colour in [("", OTHER), *zip(shown, PALETTE, strict=False)]:
        chosen = kind == genre
        axes.scatter(
            *positions[chosen].T,
            s=sizes[chosen],
            color=colour,
            label=genre or "other",
            alpha=0.75,
            linewidths=0,
        )
    axes.set_xlabel("first principal direction")
    axes.set_ylabel("second principal direction")
    axes.legend(frameon=False, fontsize=8, loc="upper left", bbox_to_anchor=(1, 1), labelcolor=INK)
    return _svg(figure)


def bars(values: Mapping[str, float], highlight: str, name: str) -> str:
    """Horizontal bars, largest first, one of them highlighted."""
    ordered = sorted(values.items(), key=lambda pair: pair[1])
    figure, axes = _axes(6.4, 0.5 + 0.36 * len(ordered))
    places = axes.barh(
        [label for label, _ in ordered],
        [value for _, value in ordered],
        color=[ACCENT if label == highlight else OTHER for label, _ in ordered],
    )
    axes.bar_label(places, fmt="%.3f", padding=4, color=INK, fontsize=9)
    axes.set_xlabel(name)
    axes.grid(visible=False)
    axes.margins(x=0.12)
    return _svg(figure)


def _axes(width: float, height: float) -> tuple[Any, Any]:
    figure = Figure(figsize=(width, height))
    axes = figure.add_subplot()
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color(MUTED)
    axes.tick_params(colors=MUTED, labelcolor=INK, labelsize=9)
    axes.grid(color=GRID, linewidth=0.8)
    axes.set_axisbelow(True)
    axes.xaxis.label.set_color(MUTED)
    axes.yaxis.label.set_color(MUTED)
    return figure, axes


def _svg(figure: Any) -> str:
    text = io.StringIO()
    with mpl.rc_context({"svg.hashsalt": "fmrec", "svg.fonttype": "none", "font.family": "sans-serif"}):
        figure.savefig(text, format="svg", bbox_inches="tight", metadata={"Date": None})
    svg = text.getvalue()
    return svg[svg.index("<svg") :]
