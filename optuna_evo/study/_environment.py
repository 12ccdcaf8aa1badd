"""What results depend on besides the spec: threads, torch, device, precision."""

from typing import Any

from optuna_evo.attributes import ENVIRONMENT
from optuna_evo.objectives import kind_of
from optuna_evo.study._stored import StoredStudy


__all__ = ["note_environment"]


def note_environment(stored: StoredStudy, *, device: str = "auto") -> str | None:
    """Write on a study what it runs with now.

    Args:
        stored: The study.
        device: As in `run_study`.

    Returns:
        What differs from the first run of the study, in one line for the user; None if nothing
        does, or it was said before.
    """
    if not hasattr(kind_of(stored.spec), "trains_segments"):
        return None  # no network is trained by us
    known = list(ENVIRONMENT.read(stored.study.user_attrs, []))
    now = _environment(stored, device)
    if now in known:
        return None
    stored.study.set_user_attr(ENVIRONMENT.key, [*known, now])
    if not known:
        return None
    first = known[0]
    changes = [f"{k} {first.get(k)}, now {now[k]}" for k in now if first.get(k) != now[k]]
    return (
        f"This study began with {'; '.join(changes)}: results may differ in their last digits, "
        "and searches go other ways from there."
    )


def _environment(stored: StoredStudy, device: str) -> dict[str, Any]:
    import torch

    from optuna_evo.objectives import build_tasks
    from optuna_evo.objectives import pick_device
    from optuna_evo.trainers import pick_precision

    place = torch.device(pick_device(device))
    asked = stored.spec.trainer.precision
    precisions = {asked}
    if asked == "auto":
        precisions = {pick_precision(asked, task, place) for task in build_tasks(stored.spec)}
    is_gpu = place.type == "cuda"
    name = (
        torch.cuda.get_device_name(place) if is_gpu else torch.cpu.get_capabilities()["cpu_name"]
    )
    return {
        "threads": torch.get_num_threads(),
        "torch": str(torch.__version__),
        "device": f"{place.type} ({name})",
        "precision": " and ".join(sorted(precisions)),
    }
