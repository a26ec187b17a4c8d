"""Benchmark a training step of the captioner: tokens per second of several variants, in one run, in turns.

    python research/benchmarks/caption_step.py pairs --geomclip release/geomclip-mini --decoder DECODER \
        --output research/results/performance/caption_step.json

`before` computes the logits of all positions, on batches in random order, with the decoder's frozen weights in float32,
and casts the inputs of every LoRA layer to float32. The other variants each change one thing more. Tokens are those of
captions and prompts, without padding.
"""

import argparse
import json
import statistics
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import torch
import yaml
from machine import describe_machine
from peft.tuners.tuners_utils import BaseTunerLayer
from torch import Tensor
from torch.nn.functional import cross_entropy

from geomclip_tools.configurations import find_configuration
from geomclip_tools.training.tasks.caption import Captioning, CaptionSettings
from geomclip_tools.training.trainer import Collator, build_loader, group_parameters, read_rows

ROWS = 400
CHANGES = (
    "logits of captions",
    "like lengths together",
    "frozen weights in bfloat16",
    "inputs of LoRA not cast",
    "compiled layers",
)
VARIANTS = ("before", *CHANGES)  # each has the changes up to its own


class Variant:
    """A captioner with its batches and its optimizer."""

    def __init__(self, name: str, args: argparse.Namespace, folder: Path):
        done = CHANGES[: VARIANTS.index(name)]
        self.all_logits = "logits of captions" not in done
        config = yaml.safe_load(find_configuration("train/caption_neighbours").read_text())
        given = {"model": args.geomclip, "decoder": args.decoder, "dataset": args.dataset, "output_dir": str(folder)}
        given |= {"dataset_config": args.dataset_config, "num_neighbours": args.num_neighbours}
        given |= {"train_rows": ROWS, "validation_split": "none"}
        given |= {} if "frozen weights in bfloat16" in done else {"decoder_dtype": "float32"}
        given |= {"torch_compile": "compiled layers" in done}
        self.settings = CaptionSettings(**config | given)
        torch.manual_seed(0)
        task = Captioning(self.settings)
        self.model, processor = task.build()
        rows, sizes, _ = read_rows(task, processor)
        task.prepare(self.model, rows)
        if "like lengths together" not in done:
            task.measure_lengths = lambda rows: None
        if "inputs of LoRA not cast" not in done:
            for module in self.model.modules():
                if isinstance(module, BaseTunerLayer):
                    module.cast_input_dtype_enabled = True
        self.batches = self.repeat(build_loader(task, rows, sizes, Collator(task, processor)))
        self.optimizer = torch.optim.AdamW(group_parameters(self.model.train(), task), fused=True)
        self.rates = []

    @staticmethod
    def repeat(loader: torch.utils.data.DataLoader) -> Iterator[dict[str, Tensor]]:
        while True:
            yield from loader

    def step(self) -> float:
        """Train on one batch and return the tokens per second."""
        batch = next(self.batches)
        start = time.perf_counter()
        with torch.autocast("cpu", torch.bfloat16, enabled=self.settings.mixed_precision == "bf16"):
            loss = self.compute_loss(batch)
        loss.backward()
        torch.nn.utils.clip_grad_norm_([p for p in self.model.parameters() if p.requires_grad], 1.0)
        self.optimizer.step()
        self.optimizer.zero_grad()
        return int(batch["attention_mask"].sum()) / (time.perf_counter() - start)

    def compute_loss(self, batch: dict[str, Tensor]) -> Tensor:
        if not self.all_logits:
            return self.model(**batch).loss
        geometry = (batch["atom_ids"], batch["positions"], batch["atom_mask"])
        texts = (batch["input_ids"], batch["attention_mask"], batch["labels"])
        embeds, mask, labels = self.model.prepend_geometry(*geometry, *texts)
        logits = self.model.decoder(inputs_embeds=embeds, attention_mask=mask, use_cache=False).logits
        return cross_entropy(logits[:, :-1].float().flatten(0, 1), labels[:, 1:].flatten())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("dataset", help="folder or Hub id of pairs")
    parser.add_argument("--dataset_config", default="captioning")
    parser.add_argument("--geomclip", required=True, help="folder or Hub id")
    parser.add_argument("--decoder", default="HuggingFaceTB/SmolLM2-135M-Instruct", help="folder, Hub id or GGUF file")
    parser.add_argument("--num_neighbours", type=int, default=2)
    parser.add_argument("--variants", nargs="+", default=VARIANTS, choices=VARIANTS)
    parser.add_argument("--steps", type=int, default=6, help="timed steps of each variant")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--output", type=Path, help="results file to write (JSON)")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    with tempfile.TemporaryDirectory() as folder:
        variants = {name: Variant(name, args, Path(folder) / str(place)) for place, name in enumerate(args.variants)}
        for variant in variants.values():
            for _ in range(2):
                variant.step()  # warm-up; the second one meets another shape
        for _ in range(args.steps):
            for name, variant in variants.items():
                variant.rates.append(variant.step())
                print(f"{name}: {variant.rates[-1]:.0f} tokens/s", flush=True)
    rates = {name: statistics.median(variant.rates) for name, variant in variants.items()}
    first = next(iter(rates.values()))
    lines = ["| variant | tokens/s | ratio |", "| --- | --- | --- |"]
    lines += [f"| {name} | {rate:.0f} | {rate / first:.2f} |" for name, rate in rates.items()]
    print("\n".join(lines))
    if args.output:
        results = {"machine": describe_machine(), "threads": args.threads, "num_neighbours": args.num_neighbours}
        results |= {"tokens_per_second": rates, "all": {name: variant.rates for name, variant in variants.items()}}
        args.output.parent.mkdir(parents=True, exist_ok=True)
        args.output.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
