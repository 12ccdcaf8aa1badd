"""How fast trainings go: stacked against one after another, and against the notebook's loop.

    python -m tests.benchmarks.trainer [--part population|segments|loop] [--device cuda]

All parts time alternating stretches and show medians: the first and the last of warm steps, the
second of whole generations of population-based training, from checkpoints to checkpoints. "auto"
is the kind of cohort that `trainers.start` picks. The loop is the reference notebook's
(arXiv:2512.11853) written plainly: a torch DataLoader with torchvision transforms image by image,
the update in Python tensor by tensor, the loss read by `.item()` each step.
"""

from collections.abc import Callable
from collections.abc import Iterator
from collections.abc import Sequence
from dataclasses import replace
import io
import itertools
from pathlib import Path
import statistics
import time

import click
import torch
from torch import nn
from torch import Tensor

from optuna_evo import Genome
from optuna_evo import tasks
from optuna_evo import trainers
from optuna_evo import TrainingConfig
from optuna_evo.config import SegmentConfig
from optuna_evo.tasks import Task
from optuna_evo.trainers import Checkpoint
from optuna_evo.trainers._plan import choose
from optuna_evo.trainers._plan import plans
from optuna_evo.trainers._population import PopulationCohort
from optuna_evo.trainers._sequential import SequentialCohort
from optuna_evo.trainers._setting import Setting


GENOME = Genome(
    terms=[("ADAM_TERM", 1.0), ("SIGN_GRAD", 0.1), ("GRAD", 0.05), ("NESTEROV", 0.05)], lr=3e-4
)
PIXELS = {
    "fashion_mnist": ((0.2860,), (0.3530,)),
    "cifar10": ((0.4914, 0.4822, 0.4465), (0.2470, 0.2435, 0.2616)),
}
ALONE = 2  # members that stand for all when they are trained one after another
MANY_STEPS = 100_000
PARTS = ("population", "segments", "loop")


@click.command()
@click.option(
    "--part", type=click.Choice(["population", "segments", "loop"]), default="population"
)
@click.option("--device", default="cpu", show_default=True)
@click.option("--task", "names", multiple=True, help="Tasks; default: those of the part.")
@click.option("--members", multiple=True, type=int, default=(8, 48), show_default=True)
@click.option("--width", type=int, help="Members of a stack at most; default: what fits.")
@click.option("--rounds", default=3, show_default=True, help="Timed stretches of each.")
@click.option("--seconds", default=1.0, show_default=True, help="Length of a stretch.")
@click.option("--workers", default=0, show_default=True, help="Processes of the plain loader.")
@click.option("--steps", default=100, show_default=True, help="Steps of a segment.")
@click.option("--data-dir", type=click.Path(path_type=Path))
def main(
    part: str,
    device: str,
    names: tuple[str, ...],
    members: tuple[int, ...],
    width: int | None,
    rounds: int,
    seconds: float,
    workers: int,
    steps: int,
    data_dir: Path | None,
) -> None:
    """Print one table."""
    torch.manual_seed(0)
    print(f"device {device}, {torch.get_num_threads()} threads, torch {torch.__version__}\n")
    if part == "loop":
        compare_loops(
            names or ("fashion_mnist", "cifar10"), device, rounds, seconds, workers, data_dir
        )
    elif part == "segments":
        names = names or ("digits", "two_moons")
        compare_segments(names, members, device, rounds, steps, data_dir)
    else:
        names = names or ("digits", "mnist", "cifar10")
        compare_trainers(names, members, device, rounds, seconds, width, data_dir)


def compare_trainers(
    names: Sequence[str],
    sizes: Sequence[int],
    device: str,
    rounds: int,
    seconds: float,
    width: int | None,
    data_dir: Path | None,
) -> None:
    print("| task | members | trainer | ms per step of a member | times sequential | auto |")
    print("|---|---|---|---|---|---|")
    for name in names:
        for size in sizes:
            setting = setting_of(tasks.get(name), device, data_dir)
            configs = [
                TrainingConfig(genome=replace(GENOME, lr=3e-4 * 1.02**i)) for i in range(size)
            ]
            runs: dict[str, tuple[Callable[[int], None], int]] = {}
            runs["sequential"] = (SequentialCohort(configs[:ALONE], setting).train, ALONE)
            for plan in plans(configs, setting):
                stack = configs[: min(plan.width, width or size)]
                run = PopulationCohort(stack, setting, plan.make_forward)
                runs[f"{plan.name}, stacks of {len(stack)}"] = (run.train, len(stack))
            times = medians({key: run for key, (run, _) in runs.items()}, rounds, seconds)
            chosen = choose(configs, setting, "auto")
            auto = f"{chosen.name}, stacks of {chosen.width}" if chosen else "sequential"
            one = times["sequential"] / ALONE
            for key, (_, n) in runs.items():
                mine = times[key] / n
                mark = "chosen" if auto.split(",")[0] == key.split(",")[0] else ""
                cells = (name, size, key, f"{1e3 * mine:.2f}", f"{one / mine:.2f}", mark)
                print("| " + " | ".join(map(str, cells)) + " |", flush=True)


def compare_segments(
    names: Sequence[str],
    sizes: Sequence[int],
    device: str,
    rounds: int,
    steps: int,
    data_dir: Path | None,
) -> None:
    print("| task | members | segment | member steps/s, one by one | as a stack | ratio | auto |")
    print("|---|---|---|---|---|---|---|")
    for name, size in itertools.product(names, sizes):
        origins: dict[str, list[Checkpoint] | None] = {}
        times: dict[str, list[float]] = {"sequential": [], "population": [], "auto": []}
        for _ in range(rounds + 1):  # the first warms up
            for kind, seconds in times.items():
                start = time.perf_counter()
                origins[kind] = generation(
                    tasks.get(name), size, kind, device, steps, data_dir, origins.get(kind)
                )
                wait()
                seconds.append(time.perf_counter() - start)
        rates = {
            kind: size * steps / statistics.median(seconds[1:]) for kind, seconds in times.items()
        }
        ratios = [rates[kind] / rates["sequential"] for kind in ("population", "auto")]
        print(
            f"| {name} | {size} | {steps} steps | {rates['sequential']:.0f} | "
            f"{rates['population']:.0f} | {ratios[0]:.2f} | {ratios[1]:.2f} |",
            flush=True,
        )


def generation(
    task: Task,
    size: int,
    kind: str,
    device: str,
    steps: int,
    data_dir: Path | None,
    origins: list[Checkpoint] | None,
) -> list[Checkpoint]:
    """Train one generation of segments, measure it, and return its checkpoints from files."""
    genome = replace(GENOME, use_warmup=True)
    configs = [
        SegmentConfig(genome=replace(genome, lr=3e-4 * 1.02**i), clip_norm=1.0)
        for i in range(size)
    ]
    cohort = trainers.start(
        configs,
        task,
        seed=0,
        total_steps=steps,
        device=device,
        data_dir=data_dir,
        trainer=kind,
        origins=origins,
        segment=True,
    )
    cohort.train(steps)
    cohort.evaluate()
    found = []
    for checkpoint in cohort.checkpoints():
        file = io.BytesIO()
        trainers.write_checkpoint(checkpoint, file)
        file.seek(0)
        found.append(trainers.read_checkpoint(file))
    return found


def compare_loops(
    names: Sequence[str],
    device: str,
    rounds: int,
    seconds: float,
    workers: int,
    data_dir: Path | None,
) -> None:
    print(f"| task | loop ({workers} loader processes), steps/s | ours, steps/s | ratio |")
    print("|---|---|---|---|")
    for name in names:
        task = tasks.get(name)
        run = trainers.start(
            [TrainingConfig(genome=GENOME)],
            task,
            seed=0,
            total_steps=MANY_STEPS,
            device=device,
            data_dir=data_dir,
        )
        plain = plain_loop(task, device, workers, data_dir)
        runs: dict[str, Callable[[int], None]] = {
            "plain": lambda n, plain=plain: advance(plain, n),  # type: ignore[misc]
            "ours": run.train,
        }
        times = medians(runs, rounds, seconds)
        ratio = times["plain"] / times["ours"]
        print(
            f"| {name} | {1 / times['plain']:.1f} | {1 / times['ours']:.1f} | {ratio:.2f} |",
            flush=True,
        )


def setting_of(task: Task, device: str, data_dir: Path | None) -> Setting:
    return Setting.of(
        task,
        seed=0,
        total_steps=MANY_STEPS,
        device=torch.device(device),
        precision="auto",
        data_dir=data_dir,
        loss_window=50,
    )


def medians(
    runs: dict[str, Callable[[int], None]], rounds: int, seconds: float
) -> dict[str, float]:
    """Return the median seconds per step of each, timed in turns after two warm steps."""
    stretch = {}
    for key, run in runs.items():
        run(1)
        stretch[key] = max(1, int(seconds / timed(run, 1)))
    times: dict[str, list[float]] = {key: [] for key in runs}
    for _ in range(rounds):
        for key, run in runs.items():
            times[key].append(timed(run, stretch[key]))
    return {key: statistics.median(values) for key, values in times.items()}


def timed(run: Callable[[int], None], n_steps: int) -> float:
    """Return the seconds per step."""
    wait()
    start = time.perf_counter()
    run(n_steps)
    wait()
    return (time.perf_counter() - start) / n_steps


def wait() -> None:
    if torch.cuda.is_available():
        torch.cuda.synchronize()


def advance(loop: Iterator[float], n_steps: int) -> None:
    for _ in range(n_steps):
        next(loop)


def plain_loop(task: Task, device: str, workers: int, data_dir: Path | None) -> Iterator[float]:
    """Yield the loss of each step of the notebook's loop."""
    from torch.utils.data import DataLoader

    model = as_published(task.build_model()).to(device)
    data = Images(task, data_dir)
    loader = DataLoader(data, batch_size=task.batch_size, shuffle=True, num_workers=workers)
    state: list[dict[str, Tensor]] = [
        {"m": torch.zeros_like(p), "v": torch.zeros_like(p)} for p in model.parameters()
    ]
    step = 0
    while True:
        for images, labels in loader:
            images, labels = images.to(device), labels.to(device)
            model.zero_grad()
            loss = nn.functional.cross_entropy(model(images), labels)
            loss.backward()
            update(list(model.parameters()), state, step)
            step += 1
            yield loss.item()


def as_published(model: nn.Module) -> nn.Module:
    """Return the model with ReLU before pooling, as the notebook has it; ours has it after."""
    layers = list(model.children())
    for i, (first, second) in enumerate(itertools.pairwise(layers)):
        if isinstance(first, nn.MaxPool2d) and isinstance(second, nn.ReLU):
            layers[i : i + 2] = [second, first]
    return nn.Sequential(*layers)


@torch.no_grad()
def update(params: list[nn.Parameter], state: list[dict[str, Tensor]], step: int) -> None:
    """Update tensor by tensor, term by term, as the notebook does."""
    g_ = GENOME
    for p, s in zip(params, state, strict=True):
        assert p.grad is not None
        g = p.grad
        s["m"] = g_.beta1 * s["m"] + (1 - g_.beta1) * g
        s["v"] = g_.beta2 * s["v"] + (1 - g_.beta2) * g * g
        m = s["m"] / (1 - g_.beta1 ** (step + 1))
        v = s["v"] / (1 - g_.beta2 ** (step + 1))
        total = torch.zeros_like(p)
        for kind, alpha in g_.terms:
            match kind.name:
                case "GRAD":
                    total = total + alpha * g
                case "ADAM_TERM":
                    total = total + alpha * m / (torch.sqrt(v) + g_.eps)
                case "SIGN_GRAD":
                    total = total + alpha * torch.sign(g)
                case "NESTEROV":
                    total = total + alpha * (m + 0.9 * (g - m))
        p.data = p.data - g_.lr * total


class Images(torch.utils.data.Dataset[tuple[Tensor, int]]):
    """The task's training images as torchvision's data sets hold them: bytes, then PIL."""

    def __init__(self, task: Task, data_dir: Path | None) -> None:
        from torchvision import transforms

        train = task.load(data_dir).train
        mean, deviation = PIXELS[task.name]
        shape = (1, -1, 1, 1)
        pixels = train.inputs * torch.tensor(deviation).view(shape) + torch.tensor(mean).view(
            shape
        )
        self.bytes = (pixels * 255).round().to(torch.uint8).permute(0, 2, 3, 1).squeeze(-1).numpy()
        self.labels = train.targets.tolist()
        augment = [transforms.RandomCrop(32, padding=4), transforms.RandomHorizontalFlip()]
        self.transform = transforms.Compose(
            [
                *(augment if task.augment is not None else []),
                transforms.ToTensor(),
                transforms.Normalize(mean, deviation),
            ]
        )

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        from PIL import Image

        return self.transform(Image.fromarray(self.bytes[index])), self.labels[index]


if __name__ == "__main__":
    main()
