"""The family tree of the best model, for the terminal."""

from rich.tree import Tree

from optuna_evo.reports._lineage import Birth
from optuna_evo.reports._lineage import Family


__all__ = ["lineage_tree"]


def lineage_tree(family: Family, *, everybody: bool = False) -> Tree:
    """Draw who begat whom.

    Args:
        family: The family.
        everybody: Whether lines that died out are drawn whole, and those that never met the
            winner's too; else only how many descendants they had.
    """
    tree = Tree(f"[bold]{family.name}[/bold]: the line of trial {family.line[-1].number}")
    roots = [birth for birth in family.children(None) if everybody or birth.on_line]
    if everybody:
        roots += [b for b in family.births.values() if _is_orphan(family, b)]
    stack = [(tree, root) for root in reversed(roots)]
    while stack:  # a line may be longer than Python's stack
        branch, birth = stack.pop()
        node = branch.add(_text(birth))
        if everybody or birth.on_line:
            stack += [(node, child) for child in reversed(family.children(birth.number))]
    return tree


def _is_orphan(family: Family, birth: Birth) -> bool:
    return birth.parent is not None and birth.parent not in family.births


def _text(birth: Birth) -> str:
    member = "" if birth.member is None else f" (member {birth.member})"
    value = "diverged" if birth.diverged else f"{birth.value:.4f}"
    head = f"trial {birth.number}{member}, step {birth.last_step}: {value}"
    if not birth.on_line:
        heirs = f", {birth.n_descendants} descendants" if birth.n_descendants else ""
        return f"[dim]{head}{heirs}[/dim]"
    return f"[bold]{head}[/bold]  {_params(birth)}"


def _params(birth: Birth) -> str:
    return ", ".join(
        f"{name} {value:.3g}" if isinstance(value, float) else f"{name} {value}"
        for name, value in birth.params.items()
    )
