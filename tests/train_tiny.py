"""A tiny random Qwen2, a word tokenizer and a toy task, for the tests of training and scoring."""

from __future__ import annotations

import gc

import torch
from peft import LoraConfig, get_peft_model
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast, Qwen2Config, Qwen2ForCausalLM

from medmoe_lite.tasks import Example
from medmoe_lite.train import seeded

SPECIAL = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
WORDS = [f"w{i}" for i in range(60)]
# Trainer collects garbage at each start; what the imports made is none, and counting it is slow.
gc.freeze()
TARGETS = ["q_proj", "v_proj", "up_proj", "down_proj"]


def tiny_tokenizer(words: list[str] = WORDS) -> PreTrainedTokenizerFast:
    pieces = [*SPECIAL, "[UNK]", "user", "assistant", *words]
    core = Tokenizer(models.WordLevel({p: i for i, p in enumerate(pieces)}, unk_token="[UNK]"))
    core.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    return PreTrainedTokenizerFast(
        tokenizer_object=core,
        pad_token=SPECIAL[0],
        eos_token=SPECIAL[2],
        additional_special_tokens=SPECIAL,
    )


def tiny_model(seed: int = 0, **sizes: int) -> Qwen2ForCausalLM:
    given = {
        "vocab_size": 128,
        "hidden_size": 64,
        "intermediate_size": 192,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 4,
        "max_position_embeddings": 512,
        **sizes,
    }
    with seeded(seed, "base"):
        config = Qwen2Config(**given, tie_word_embeddings=True, initializer_range=0.3)
        return Qwen2ForCausalLM(config).eval()


def with_lora(model: Qwen2ForCausalLM, seed: int = 0, dropout: float = 0.0, r: int = 4):
    with seeded(seed, "init"):
        config = LoraConfig(
            r=r, lora_dropout=dropout, target_modules=TARGETS, task_type="CAUSAL_LM"
        )
        return get_peft_model(model, config)


def pairs(n: int = 12, shift: int = 1, length: int = 2) -> list[Example]:
    """Questions of different length, whose answers are the next words."""
    return [
        Example(
            "copy",
            " ".join(WORDS[(i + k) % 60] for k in range(1 + i % 4)),
            " ".join(WORDS[(i + shift + k) % 60] for k in range(1 + i % length)),
        )
        for i in range(n)
    ]


def state(model) -> dict[str, torch.Tensor]:
    return {name: p.detach().clone() for name, p in model.named_parameters()}
