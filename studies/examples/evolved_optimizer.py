"""A genome, as `optuna_evo study export` prints it, as the optimizer of a plain training loop."""

import json

from sklearn.datasets import load_digits
import torch
from torch import nn

from optuna_evo import EvolvedOptimizer
from optuna_evo import Genome


# the rule of studies/digits_optimizer.toml: optuna_evo study export digits_optimizer
EXPORTED = """{
  "terms": [["GRAD", 2.473], ["MOMENTUM", 1.805], ["ADAM_TERM", 4.11]],
  "lr": 0.008898, "beta1": 0.3935, "beta2": 0.6007, "eps": 6.6e-08, "weight_decay": 6.54e-06,
  "use_cosine_decay": true, "horizon": 100
}"""
STEPS = 200

torch.manual_seed(0)
pixels, labels = load_digits(return_X_y=True)
inputs, targets = torch.from_numpy(pixels).float() / 16, torch.from_numpy(labels).long()
train, test = slice(0, 1400), slice(1400, None)
model = nn.Sequential(nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 10))

genome = Genome.from_dict(json.loads(EXPORTED))
print(genome.equation())
# the cosine ends with this training, not after the 100 steps that the rule was evolved for
optimizer = EvolvedOptimizer(model.parameters(), genome, total_steps=STEPS)
for step in range(1, STEPS + 1):
    rows = torch.randint(0, 1400, (64,))
    loss = nn.functional.cross_entropy(model(inputs[train][rows]), targets[train][rows])
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    if step % 50 == 0:
        print(f"step {step}: loss {loss.item():.3f}")

with torch.no_grad():
    hits = model(inputs[test]).argmax(dim=1) == targets[test]
print(f"test accuracy {100 * hits.float().mean().item():.1f} %")
