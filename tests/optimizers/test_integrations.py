"""EvolvedOptimizer in other people's loops: schedulers, GradScaler, Hugging Face, DDP."""

import copy
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn
from torch import Tensor

from optuna_evo import catalog
from optuna_evo import EvolvedOptimizer
from optuna_evo import Genome


GENOME = Genome(
    terms=[("ADAM_TERM", 1.0), ("SIGN_GRAD", 0.1)],
    lr=1e-2,
    weight_decay=1e-2,
    use_warmup=True,
    warmup_steps=4,
    use_cosine_decay=True,
    horizon=20,
)


def linear() -> nn.Linear:
    torch.manual_seed(0)
    return nn.Linear(4, 2)


def batch(n: int = 16) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(1)
    inputs = torch.randn(n, 4, generator=generator)
    return inputs, (inputs[:, 0] > 0).long()


def loss_of(model: nn.Module) -> Tensor:
    inputs, labels = batch()
    return nn.functional.cross_entropy(model(inputs), labels)


@pytest.mark.parametrize(
    ("scheduler", "factors"),
    [
        (lambda o: torch.optim.lr_scheduler.StepLR(o, 2, gamma=0.1), [1, 1, 0.1, 0.1, 0.01]),
        (
            lambda o: torch.optim.lr_scheduler.LambdaLR(o, lambda t: 1 / (1 + t)),
            [1, 1 / 2, 1 / 3, 1 / 4, 1 / 5],
        ),
    ],
)
def test_a_scheduler_multiplies_the_schedule_of_the_genome(
    scheduler: Any, factors: list[float]
) -> None:
    p = nn.Parameter(torch.zeros((), dtype=torch.float64))
    terms = [("SIGN_GRAD", 1.0)]
    genome = Genome(terms=terms, lr=1.0, use_warmup=True, warmup_steps=4)
    optimizer = EvolvedOptimizer([p], genome)
    schedule, taken = scheduler(optimizer), []
    for _ in factors:
        before, p.grad = p.item(), torch.ones_like(p)
        optimizer.step()
        schedule.step()
        taken.append(before - p.item())
    warmup = [0.25, 0.5, 0.75, 1.0, 1.0]
    assert taken == pytest.approx([w * f for w, f in zip(warmup, factors, strict=True)])


def test_a_grad_scaler_skips_the_step_of_an_infinite_gradient() -> None:
    model = linear()
    optimizer, scaler = EvolvedOptimizer(model.parameters(), GENOME), torch.amp.GradScaler("cpu")
    for step in range(3):
        optimizer.zero_grad()
        scaler.scale(loss_of(model)).backward()
        if step == 1:
            assert model.weight.grad is not None
            model.weight.grad[0, 0] = torch.inf
        before = copy.deepcopy((model.state_dict(), optimizer.state_dict()["state"]))
        scaler.step(optimizer)
        scaler.update()
        moved = not torch.equal(before[0]["weight"], model.weight)
        assert moved == (step != 1)
        counted = optimizer.state[model.weight]["step"] - before[1].get(0, {"step": 0})["step"]
        assert counted == moved


def test_a_scaled_run_is_the_plain_run() -> None:
    plain, scaled = linear(), linear()
    scaler = torch.amp.GradScaler("cpu")
    optimizers = [EvolvedOptimizer(m.parameters(), GENOME) for m in (plain, scaled)]
    for _ in range(5):
        plain.zero_grad()
        scaled.zero_grad()
        loss_of(plain).backward()
        optimizers[0].step()
        scaler.scale(loss_of(scaled)).backward()
        scaler.step(optimizers[1])
        scaler.update()
    torch.testing.assert_close(scaled.weight, plain.weight)


class Classifier(nn.Module):
    """The smallest model that a Hugging Face Trainer takes: it returns its loss."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = linear()

    def forward(self, inputs: Tensor, labels: Tensor) -> dict[str, Tensor]:
        logits = self.linear(inputs)
        return {"loss": nn.functional.cross_entropy(logits, labels), "logits": logits}


@pytest.mark.slow
def test_hugging_face_trainer_trains_and_resumes(tmp_path: Path) -> None:
    from transformers import Trainer
    from transformers import TrainingArguments

    inputs, labels = batch(64)
    rows = [{"inputs": x, "labels": y} for x, y in zip(inputs, labels, strict=True)]

    def train(resume: str | None, folder: str) -> tuple[nn.Module, Any]:
        model = Classifier()
        args = TrainingArguments(
            output_dir=str(tmp_path / folder),
            max_steps=20,
            save_steps=10,
            per_device_train_batch_size=16,
            use_cpu=True,
            report_to="none",
            disable_tqdm=True,
            dataloader_pin_memory=False,
        )
        optimizer = EvolvedOptimizer(model.parameters(), GENOME, total_steps=20)
        trainer = Trainer(model, args, train_dataset=rows, optimizers=(optimizer, None))
        return model, trainer.train(resume_from_checkpoint=resume)

    model, result = train(None, "whole")
    assert result.global_step == 20
    before, after = (m(inputs, labels)["loss"] for m in (Classifier(), model))
    assert after < 0.9 * before
    resumed, _ = train(str(tmp_path / "whole" / "checkpoint-10"), "resumed")
    assert torch.equal(resumed.linear.weight, model.linear.weight)


def _train_half(rank: int, folder: str) -> None:
    torch.distributed.init_process_group(
        "gloo", init_method=f"file://{folder}/rendezvous", rank=rank, world_size=2
    )
    model = nn.parallel.DistributedDataParallel(linear())
    optimizer = EvolvedOptimizer(model.parameters(), GENOME)
    inputs, labels = batch()
    for _ in range(10):
        optimizer.zero_grad()
        half = slice(8 * rank, 8 * rank + 8)
        nn.functional.cross_entropy(model(inputs[half]), labels[half]).backward()
        optimizer.step()
    torch.save(model.module.state_dict(), f"{folder}/weights{rank}.pt")
    torch.distributed.destroy_process_group()


@pytest.mark.slow
def test_two_ddp_processes_train_as_one_on_the_whole_batch(tmp_path: Path) -> None:
    torch.multiprocessing.spawn(_train_half, args=(str(tmp_path),), nprocs=2)
    model = linear()
    optimizer = EvolvedOptimizer(model.parameters(), GENOME)
    for _ in range(10):
        optimizer.zero_grad()
        loss_of(model).backward()
        optimizer.step()
    ranks = [torch.load(tmp_path / f"weights{rank}.pt") for rank in range(2)]
    assert torch.equal(ranks[0]["weight"], ranks[1]["weight"])
    torch.testing.assert_close(ranks[0]["weight"], model.weight.detach())


@pytest.mark.gpu
@pytest.mark.parametrize("name", sorted(catalog))
def test_a_gpu_trains_as_the_cpu_does(name: str) -> None:
    trained = []
    for device in ("cpu", "cuda"):
        model = linear().double().to(device)
        optimizer = EvolvedOptimizer(model.parameters(), catalog[name], total_steps=10)
        inputs, labels = batch()
        for _ in range(10):
            optimizer.zero_grad()
            outputs = model(inputs.double().to(device))
            nn.functional.cross_entropy(outputs, labels.to(device)).backward()
            optimizer.step()
        trained.append(model.weight.detach().cpu())
    torch.testing.assert_close(trained[1], trained[0], rtol=1e-9, atol=1e-9)
