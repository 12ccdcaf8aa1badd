"""Texts from elsewhere in figures of matplotlib, which reads "$" as the begin of a formula."""

from optuna_evo.names import printable


__all__ = ["in_figure"]

_MOST_CHARACTERS = 100  # in a title; a longer one leaves no room for the axes


def in_figure(text: str) -> str:
    r"""Return a text that matplotlib draws as it is, cut if it is very long.

    Example:
        >>> in_figure("a $ and \x1b") == r"a \$ and \x1b"
        True
    """
    shown = printable(text)
    if len(shown) > _MOST_CHARACTERS:
        shown = shown[: _MOST_CHARACTERS - 1] + "…"
    return shown.replace("$", r"\$")
