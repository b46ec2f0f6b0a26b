"""transformers' Trainer with a MoLoRA adapter: checkpoints, resuming, checkpointing."""

import pytest
import torch
from layer_tiny import IDS, tiny, trainable
from transformers import Trainer, TrainingArguments

ROWS = [{"input_ids": row, "labels": row} for row in IDS.repeat(8, 1)]


def trainer(model, folder, steps, **arguments):
    return Trainer(
        model=model,
        args=TrainingArguments(
            output_dir=str(folder),
            max_steps=steps,
            per_device_train_batch_size=4,
            learning_rate=1e-2,
            save_steps=3,
            logging_steps=1,
            report_to=[],
            use_cpu=True,
            disable_tqdm=True,
            seed=1,
            **arguments,
        ),
        train_dataset=ROWS,
    )


@pytest.fixture(scope="module")
def straight(tmp_path_factory):
    folder = tmp_path_factory.mktemp("straight")
    model = tiny(shared_experts=1, lora_dropout=0.1)
    run = trainer(model, folder, 6, lr_scheduler_type="constant")
    run.train()
    return model, run, folder


def test_it_learns(straight):
    losses = [row["loss"] for row in straight[1].state.log_history if "loss" in row]
    assert losses[-1] < 0.8 * losses[0]


def test_checkpoints_hold_the_adapter_only(straight):
    folder = straight[2] / "checkpoint-3"
    weights = {file.name for file in folder.iterdir() if file.suffix in (".safetensors", ".bin")}
    assert weights <= {"adapter_model.safetensors", "training_args.bin"}
    assert "adapter_model.safetensors" in weights
    assert (folder / "adapter_config.json").is_file()


def test_a_resumed_run_ends_where_the_straight_one_does(straight, tmp_path):
    """Same numbers, dropout included, from step 3 on."""
    model, _, folder = straight
    resumed = tiny(seed=5, shared_experts=1, lora_dropout=0.1)  # other weights: all is loaded
    run = trainer(resumed, tmp_path, 6, lr_scheduler_type="constant")
    run.train(resume_from_checkpoint=str(folder / "checkpoint-3"))
    other = trainable(resumed)
    assert trainable(model)
    for name, expected in trainable(model).items():
        assert torch.equal(other[name], expected), name


@pytest.mark.filterwarnings("ignore:.*gradient_checkpointing.*:FutureWarning")
def test_gradient_checkpointing_in_the_trainer(straight, tmp_path):
    model = tiny(shared_experts=1, lora_dropout=0.1)
    run = trainer(
        model,
        tmp_path,
        6,
        lr_scheduler_type="constant",
        gradient_checkpointing=True,
        save_strategy="no",
    )
    run.train()
    for name, expected in trainable(straight[0]).items():
        torch.testing.assert_close(trainable(model)[name], expected, rtol=1e-3, atol=1e-4, msg=name)
