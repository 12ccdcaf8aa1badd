"""A Hugging Face Trainer with an evolved rule, on a tiny GPT-2 with random weights: no download.

The text is a cycle of 16 tokens, so a model that has learned anything predicts the next token.
"""

import torch
from transformers import GPT2Config
from transformers import GPT2LMHeadModel
from transformers import PrinterCallback
from transformers import Trainer
from transformers import TrainingArguments

from optuna_evo import EvolvedOptimizer
from optuna_evo import Genome


STEPS = 60
genome = Genome(  # what `optuna_evo study export NAME` prints goes through Genome.from_dict
    terms=[("ADAM_TERM", 1.0), ("SIGN_GRAD", 0.2)],
    lr=5e-3,
    weight_decay=0.01,
    use_warmup=True,
    warmup_steps=5,
    use_cosine_decay=True,
)

torch.manual_seed(0)
config = GPT2Config(
    vocab_size=16, n_positions=32, n_embd=32, n_layer=1, n_head=2, bos_token_id=0, eos_token_id=0
)
model = GPT2LMHeadModel(config)
texts = [(torch.arange(32) + start) % 16 for start in range(16)]
rows = [{"input_ids": text, "labels": text} for text in texts]
arguments = TrainingArguments(
    output_dir="hugging_face_trainer",
    max_steps=STEPS,
    per_device_train_batch_size=8,
    save_strategy="no",
    report_to="none",
    disable_tqdm=True,
    logging_strategy="no",
    use_cpu=True,
    dataloader_pin_memory=False,
)
optimizer = EvolvedOptimizer(model.parameters(), genome, total_steps=STEPS)
# no scheduler of the Trainer's: warm-up and cosine belong to the genome
constant = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: 1.0)
trainer = Trainer(model, arguments, train_dataset=rows, optimizers=(optimizer, constant))
trainer.remove_callback(PrinterCallback)  # it would print every result

before = trainer.evaluate(rows)["eval_loss"]
trainer.train()
after = trainer.evaluate(rows)["eval_loss"]
print(genome.equation())
print(f"loss {before:.2f} before, {after:.3f} after {STEPS} steps")
