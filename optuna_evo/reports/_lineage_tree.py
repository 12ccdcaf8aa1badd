"""The family tree of the best model, for the terminal."""

from typing import Any

from rich.tree import Tree

from optuna_evo.reports._lineage import Birth
from optuna_evo.reports._lineage import Family


__all__ = ["lineage_tree"]

_SAID = 0.05


def lineage_tree(family: Family, *, everybody: bool = False) -> Tree:
    """Draw who begat whom.

    The winner's line is the trunk: its segments stand below each other, each with the branches
    that went off from it. After the first, only hyperparameters that changed by more than 5 %
    since the parent are said.

    Args:
        family: The family.
        everybody: Whether branches, and the lines that never met the winner's, are drawn whole;
            else only how many descendants they had.
    """
    tree = Tree(f"[bold]{family.name}[/bold]: the line of trial {family.line[-1].number}")
    for birth in family.line:
        node = tree.add(_text(family, birth))
        _add_branches(family, node, birth.number, everybody)
    if everybody:
        known = {None, *family.births}
        orphans = {birth.parent for birth in family.births.values()} - known
        for parent in (None, *sorted(filter(None, orphans))):
            _add_branches(family, tree, parent, everybody)
    return tree


def _add_branches(family: Family, tree: Tree, parent: int | None, everybody: bool) -> None:
    stack = [(tree, parent)]
    while stack:  # a line may be longer than Python's stack
        node, number = stack.pop()
        for child in family.children(number):
            if not child.on_line:
                branch = node.add(_text(family, child))
                if everybody:
                    stack.append((branch, child.number))


def _text(family: Family, birth: Birth) -> str:
    member = "" if birth.member is None else f" (member {birth.member})"
    value = "diverged" if birth.diverged else f"{birth.value:.4f}"
    head = f"trial {birth.number}{member}, step {birth.last_step}: {value}"
    if not birth.on_line:
        heirs = f", {birth.n_descendants} descendants" if birth.n_descendants else ""
        return f"[dim]{head}{heirs}[/dim]"
    parent = family.births.get(birth.parent) if birth.parent is not None else None
    return f"[bold]{head}[/bold]  {_params(birth, parent)}"


def _params(birth: Birth, parent: Birth | None) -> str:
    before = parent.params if parent is not None else {}
    return ", ".join(
        f"{name} {value:.3g}" if isinstance(value, float) else f"{name} {value}"
        for name, value in birth.params.items()
        if _has_changed(before.get(name), value)
    )


def _has_changed(old: Any, new: Any) -> bool:
    if isinstance(old, float) and isinstance(new, float):
        return abs(new - old) > _SAID * abs(old)
    return bool(old != new)
