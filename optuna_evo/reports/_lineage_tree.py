"""The lineages of a study as a tree for the terminal: parents, and below them their children."""

from typing import Any

from rich.text import Text
from rich.tree import Tree

from optuna_evo.names import printable
from optuna_evo.reports._lineage import LineageNode
from optuna_evo.reports._lineage import Lineages


__all__ = ["lineage_tree"]

# Samplers perturb most hyperparameters in every segment. Smaller relative changes than this would
# fill each line and hide the few that matter.
_MIN_CHANGE = 0.05


def lineage_tree(lineages: Lineages, *, show_all: bool = False) -> Tree:
    """Draw the tree from parents to children.

    The winner's lineage is the trunk: its segments stand below each other, each with the branches
    that went off from it. After the first segment, only hyperparameters that changed by more than
    5 % since the parent are printed.

    Args:
        lineages: What to draw.
        show_all: Whether branches, and lineages that share nothing with the winner's, are drawn
            whole. Otherwise a branch is one line with the number of its descendants.
    """
    winner = lineages.winning[-1].number
    tree = Tree(Text.assemble((printable(lineages.name), "bold"), f": lineage of trial {winner}"))
    for node in lineages.winning:
        _add_branches(lineages, tree.add(_text(lineages, node)), node.number, show_all)
    if show_all:
        known = {None, *lineages.nodes}
        # children of a trial that failed or was pruned have a parent, but no node to stand below
        orphans = {node.parent for node in lineages.nodes.values()} - known
        for parent in (None, *sorted(filter(None, orphans))):
            _add_branches(lineages, tree, parent, show_all)
    return tree


def _add_branches(lineages: Lineages, tree: Tree, parent: int | None, show_all: bool) -> None:
    stack = [(tree, parent)]
    while stack:  # not recursive: a lineage may be longer than Python's stack
        branch, number = stack.pop()
        for child in lineages.children(number):
            if not child.is_winning:
                added = branch.add(_text(lineages, child))
                if show_all:
                    stack.append((added, child.number))


def _text(lineages: Lineages, node: LineageNode) -> Text:
    member = "" if node.member is None else f" (member {node.member})"
    value = "diverged" if node.diverged else f"{node.value:.4f}"
    head = f"trial {node.number}{member}, step {node.last_step}: {value}"
    if not node.is_winning:
        n = node.n_descendants
        descendants = f", {n} descendant{'s' * (n > 1)}" if n else ""
        return Text(f"{head}{descendants}", style="dim")
    parent = lineages.nodes.get(node.parent) if node.parent is not None else None
    return Text.assemble((head, "bold"), f"  {printable(_params(node, parent))}")


def _params(node: LineageNode, parent: LineageNode | None) -> str:
    before = parent.params if parent is not None else {}
    return ", ".join(
        f"{name} {value:.3g}" if isinstance(value, float) else f"{name} {value}"
        for name, value in node.params.items()
        if _has_changed(before.get(name), value)
    )


def _has_changed(old: Any, new: Any) -> bool:
    if isinstance(old, float) and isinstance(new, float):
        return abs(new - old) > _MIN_CHANGE * abs(old)
    return bool(old != new)
