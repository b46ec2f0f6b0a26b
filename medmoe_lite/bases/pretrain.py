"""Pre-training of the nano base: associative recall until solved, all families, the weak ones.

Two choices make a model of a million parameters match by content (which of two entities, which
row of a table) and not by habit: a tied embedding drawn at standard deviation 0.5, so that the
identity of a token survives the residual stream, and a warm-up on pure recall. A run depends on
its seed and on `nano.yaml` alone; it is counted in steps, and a stopped one goes on where its
last checkpoint stands.
"""

from __future__ import annotations

import json
import math
import os
import time
from pathlib import Path
from typing import Any

import torch
import yaml
from safetensors.torch import load_file, save_file

from .corpus import Batch, Corpus
from .vocab import build_tokenizer

CONFIG = Path(__file__).with_name("nano.yaml")


def read_config(path: Path = CONFIG) -> dict[str, Any]:
    """The settings of `nano.yaml`."""
    return yaml.safe_load(path.read_text(encoding="utf-8"))


def new_model(config: dict[str, Any], vocab_size: int, tokenizer: Any, seed: int) -> Any:
    """A Qwen2ForCausalLM with fresh weights: large embedding, small residual outputs."""
    from transformers import Qwen2Config, Qwen2ForCausalLM

    sizes = dict(config["model"])
    std = sizes.pop("embedding_std")
    torch.manual_seed(seed)
    model = Qwen2ForCausalLM(
        Qwen2Config(
            vocab_size=vocab_size, tie_word_embeddings=True, use_cache=True,
            pad_token_id=tokenizer.pad_token_id, bos_token_id=None,
            eos_token_id=tokenizer.eos_token_id, attention_dropout=0.0, **sizes,
        )
    )  # fmt: skip
    residual = 1 / math.sqrt(2 * sizes["num_hidden_layers"])
    for name, weight in model.named_parameters():
        if weight.dim() == 2:
            scale = residual if name.endswith(("o_proj.weight", "down_proj.weight")) else 1.0
            torch.nn.init.normal_(weight, std=0.8 * scale / math.sqrt(weight.shape[1]))
    torch.nn.init.normal_(model.model.embed_tokens.weight, std=std)
    return model


def answer_loss(model: Any, batch: Batch) -> tuple[torch.Tensor, torch.Tensor]:
    """Weighted cross-entropy and accuracy on the answer tokens; logits only where they count."""
    states = model.model(
        input_ids=batch.input_ids, position_ids=batch.positions,
        attention_mask=batch.mask, use_cache=False,
    ).last_hidden_state[:, :-1]  # fmt: skip
    labels, weights = batch.labels[:, 1:], batch.weights[:, 1:]
    counted = labels >= 0
    logits = model.lm_head(states[counted])
    losses = torch.nn.functional.cross_entropy(logits, labels[counted], reduction="none")
    loss = (losses * weights[counted]).sum() / weights[counted].sum()
    return loss, (logits.argmax(-1) == labels[counted]).float().mean()


def make_optimizer(model: Any, settings: dict[str, Any]) -> torch.optim.Optimizer:
    """AdamW; weight decay on matrices only."""
    matrices = [p for p in model.parameters() if p.dim() == 2]
    others = [p for p in model.parameters() if p.dim() != 2]
    groups = [
        {"params": matrices, "weight_decay": settings["weight_decay"]},
        {"params": others, "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(groups, lr=0.0, betas=tuple(settings["betas"]))


class Run:
    """A pre-training run in a folder: its state, and one step after another."""

    def __init__(self, out: Path, seed: int, config: dict[str, Any]) -> None:
        self.out, self.seed, self.config = out, seed, config
        self.tokenizer = build_tokenizer()
        self.corpus = Corpus(config, self.tokenizer, seed)
        self.model = new_model(config, len(self.tokenizer), self.tokenizer, seed)
        self.optimizer = make_optimizer(self.model, config["optimizer"])
        self.state: dict[str, Any] = {
            "seed": seed, "phase": "recall", "step": 0, "recall_steps": 0, "tokens": 0,
            "seconds": 0.0, "recent": [], "config": config, "log": [],
        }  # fmt: skip
        out.mkdir(parents=True, exist_ok=True)
        if (out / "state.json").exists():
            self._load()

    def rate(self) -> float:
        """Learning rate of the present step."""
        step, phase = self.state["step"], self.config[self.state["phase"]]
        rate = phase["lr"] * min(1.0, (step + 1) / self.config["optimizer"]["warmup"])
        if self.state["phase"] != "recall":
            start = phase["decay_from"] * phase["steps"]
            rate *= min(1.0, (phase["steps"] - step) / (phase["steps"] - start))
        return rate

    def step(self) -> tuple[float, float]:
        """One optimiser step; returns loss and accuracy on the answer tokens."""
        state = self.state
        started = time.perf_counter()
        batch = self.corpus.step(state["step"], state["phase"])
        for group in self.optimizer.param_groups:
            group["lr"] = self.rate()
        self.model.train()
        loss, accuracy = answer_loss(self.model, batch)
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), self.config["optimizer"]["clip"])
        self.optimizer.step()
        state["step"] += 1
        state["tokens"] += int(batch.mask.diagonal(dim1=2, dim2=3).sum())
        state["seconds"] += time.perf_counter() - started
        if state["phase"] == "recall":
            state["recent"] = [*state["recent"][-19:], float(accuracy)]
            self._end_recall()
        elif state["phase"] == "main" and state["step"] >= self.config["main"]["steps"]:
            state.update(phase="polish", main_steps=state["step"], step=0)
        return float(loss.detach()), float(accuracy)

    def _end_recall(self) -> None:
        state, settings = self.state, self.config["recall"]
        solved = len(state["recent"]) == 20 and sum(state["recent"]) / 20 >= settings["until"]
        if solved:
            state.update(phase="main", recall_steps=state["step"], step=0)
            self.optimizer = make_optimizer(self.model, self.config["optimizer"])
        elif state["step"] >= settings["max_steps"]:
            raise RuntimeError(
                f"recall stands at {sum(state['recent']) / 20:.2f} after {state['step']} steps, "
                f"below {settings['until']}. Without it the main phase stays at chance on "
                "everything that needs matching: try another seed or a larger embedding_std."
            )

    @property
    def done(self) -> bool:
        """Are all steps made?"""
        polish = self.config["polish"]["steps"]
        return self.state["phase"] == "polish" and self.state["step"] >= polish

    def save(self) -> None:
        """Write a checkpoint; the small state file, written last, makes it valid."""
        tensors = {f"model.{k}": v.clone() for k, v in self.model.state_dict().items()}
        tensors.pop("model.lm_head.weight", None)  # tied to the embedding
        for index, values in self.optimizer.state_dict()["state"].items():
            tensors.update({f"optimizer.{index}.{k}": v.clone() for k, v in values.items()})
        name = f"checkpoint-{self.state['phase']}-{self.state['step']}.safetensors"
        _replace(self.out / name, lambda path: save_file(tensors, path))
        text = json.dumps({**self.state, "file": name})
        _replace(self.out / "state.json", lambda path: path.write_text(text, encoding="utf-8"))
        for old in self.out.glob("checkpoint-*.safetensors"):
            if old.name != name:
                old.unlink()

    def _load(self) -> None:
        saved = json.loads((self.out / "state.json").read_text(encoding="utf-8"))
        if saved["config"] != self.config or saved["seed"] != self.seed:
            raise ValueError(
                f"{self.out} holds a run with other settings (seed {saved['seed']}). "
                "Give another --out, or remove that folder to start anew."
            )
        tensors = load_file(self.out / saved.pop("file"))
        weights = {k[6:]: v for k, v in tensors.items() if k.startswith("model.")}
        self.model.load_state_dict(weights, strict=False)
        packed = self.optimizer.state_dict()
        for key, value in tensors.items():
            if key.startswith("optimizer."):
                _, index, name = key.split(".", 2)
                packed["state"].setdefault(int(index), {})[name] = value
        self.optimizer.load_state_dict(packed)
        self.state = saved


def _replace(path: Path, write: Any) -> None:
    part = path.with_name(path.name + ".part")
    write(part)
    os.replace(part, path)


def pretrain(out: Path, seed: int = 0, config: dict[str, Any] | None = None) -> Run:
    """Pre-train a nano base, or go on with a stopped run.

    Args:
        out: folder of the run; progress goes to `log.jsonl`.
        seed: initial weights and corpus.
        config: settings, by default those of `nano.yaml`.

    Returns:
        The finished run.
    """
    run = Run(Path(out), seed, config or read_config())
    while not run.done:
        loss, accuracy = run.step()
        state = run.state
        if state["step"] % 50 == 0 or run.done:
            line = {k: state[k] for k in ("phase", "step", "tokens")}
            line.update(loss=round(loss, 4), accuracy=round(accuracy, 4))
            line["seconds"] = round(state["seconds"], 1)
            with (run.out / "log.jsonl").open("a", encoding="utf-8") as file:
                file.write(json.dumps(line) + "\n")
            print(json.dumps(line), flush=True)
        if state["step"] % 200 == 0 or run.done:
            run.save()
    return run
