"""Chat forms: the real Qwen tokenizer under its three templates, and templates of other families.

The real files are found by MEDMOE_REALDATA; the test is skipped where it is unset.
"""

import json
import os
from pathlib import Path

import pytest
from train_tiny import tiny_tokenizer

from medmoe_lite.tasks import Example, encode, encode_answer, encode_prompt
from medmoe_lite.tasks.chat import CHAT_TEMPLATE, around_answer, prompt_text, stop_ids

ASK = Example("facts", "Is 100 mg of 阿司匹林 safe?\n\nAnswer  briefly.", "Yes,  with food.")
SYSTEM = {
    "qwen1.5": "You are a helpful assistant",
    "qwen2": "You are a helpful assistant.",
    "qwen2.5": "You are Qwen, created by Alibaba Cloud. You are a helpful assistant.",
}
END, PAD = 151_645, 151_643
# The forms of other families, as their tokenizers carry them.
OTHERS = {
    "llama2": "{% for m in messages %}{% if m['role'] == 'user' %}{{ bos_token + '[INST] ' + "
    "m['content'] + ' [/INST]' }}{% else %}{{ ' ' + m['content'] + ' ' + eos_token }}{% endif %}"
    "{% endfor %}",
    "llama3": "{% for m in messages %}{% set text = '<|start|>' + m['role'] + '<|end_header|>\n\n' "
    "+ m['content'] | trim + '<|eot|>' %}{% if loop.first %}{{ bos_token }}{% endif %}{{ text }}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|start|>assistant<|end_header|>\n\n' }}"
    "{% endif %}",
    "phi3": "{% for m in messages %}{{ '<|' + m['role'] + '|>\n' + m['content'] + '<|end|>\n' }}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|assistant|>\n' }}{% else %}{{ eos_token }}"
    "{% endif %}",
    "qwen3": "{% for m in messages %}{{ '<|im_start|>' + m['role'] + '\n' }}{% if m['role'] == "
    "'assistant' %}{{ '<think>\n\n</think>\n\n' }}{% endif %}{{ m['content'] + '<|im_end|>\n' }}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% if "
    "enable_thinking is defined and enable_thinking is false %}{{ '<think>\n\n</think>\n\n' }}"
    "{% endif %}{% endif %}",
    "open": "{% for m in messages %}{{ m['role'] + ': ' + m['content'] + '\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ 'assistant: ' }}{% endif %}",
}
STOPS = {
    "llama2": "</s>",
    "llama3": "<|eot|>",
    "phi3": "<|end|>",
    "qwen3": "<|im_end|>",
    "open": "</s>",
}
SPECIAL = [
    "<s>",
    "</s>",
    "<|start|>",
    "<|end_header|>",
    "<|eot|>",
    "<|user|>",
    "<|assistant|>",
    "<|end|>",
]


@pytest.fixture(scope="module")
def qwen():
    """The real tokenizer; skipped by name and with the reason where it is not given."""
    folder = Path(os.environ.get("MEDMOE_REALDATA", "")) / "qwen"
    if not os.environ.get("MEDMOE_REALDATA") or not folder.is_dir():
        pytest.skip("MEDMOE_REALDATA is unset: no real Qwen tokenizer here")
    from transformers import AutoTokenizer

    place = folder / "Qwen1.5-1.8B-Chat"
    tokenizer = AutoTokenizer.from_pretrained(place, local_files_only=True)
    tokenizer.folder, tokenizer.templates = place, {"qwen1.5": tokenizer.chat_template}
    for name in ("qwen2", "qwen2.5"):
        file = folder / "templates" / f"{name}_tokenizer_config.json"
        tokenizer.templates[name] = json.loads(file.read_text(encoding="utf-8"))["chat_template"]
    return tokenizer


@pytest.fixture(params=SYSTEM)
def real(request, qwen):
    qwen.chat_template = qwen.templates[request.param]
    qwen.version = request.param
    return qwen


def test_the_stop_token_is_trained_and_the_padding_never(real):
    item = encode(ASK, real)
    trained = [label for label in item["labels"] if label != -100]
    assert trained[-1] == real.eos_token_id == END
    assert real.pad_token_id == PAD
    assert PAD not in trained
    assert real.decode(trained) == f"{ASK.answer}<|im_end|>"
    assert trained.count(END) == 1
    assert item["prompt_mask"] == [int(label == -100) for label in item["labels"]]


def test_prompts_agree_with_the_template_token_by_token(real):
    turn = [{"role": "user", "content": ASK.prompt}]
    expected = real.apply_chat_template(turn, add_generation_prompt=True)["input_ids"]
    assert encode_prompt(ASK, real) == expected
    assert encode(ASK, real)["input_ids"][: len(expected)] == expected
    text = real.decode(expected)
    assert text.startswith(
        f"<|im_start|>system\n{SYSTEM[real.version]}<|im_end|>\n<|im_start|>user"
    )


def test_the_whole_turn_is_that_of_the_template_where_it_closes_it(real):
    turns = [{"role": "user", "content": ASK.prompt}, {"role": "assistant", "content": ASK.answer}]
    whole = real.apply_chat_template(turns)["input_ids"]
    found = encode(ASK, real)["input_ids"]
    if real.version == "qwen1.5":  # the fault that this is about: the last turn stays open
        assert whole[-1] != END
        assert found == [*whole, END]
    else:
        assert found == whole[:-1]
        assert real.decode(whole[-1:]) == "\n"


def test_what_was_said_before_is_in_the_prompt(real):
    before = [
        {"role": "system", "content": "You are a careful pharmacist."},
        {"role": "user", "content": "Hello"},
        {"role": "assistant", "content": "Hello!"},
    ]
    example = Example("talk", ASK.prompt, ASK.answer, meta={"history": before})
    turns = [*before, {"role": "user", "content": ASK.prompt}]
    expected = real.apply_chat_template(turns, add_generation_prompt=True)["input_ids"]
    item = encode(example, real)
    assert item["input_ids"][: len(expected)] == expected
    assert SYSTEM[real.version] not in real.decode(item["input_ids"])
    assert sum(label == END for label in item["labels"]) == 1  # the answers before are no answers


def test_generation_stops_at_either_token_and_documents_end(real):
    assert stop_ids(real) == [PAD, END]
    assert encode(Example("doc", "Aspirin is", "a drug.", "plain"), real)["labels"][-1] == PAD


def test_the_real_vocabulary_is_read_as_it_is(qwen):
    """Known ids, among them words whose merge begins with '#': no such line is a comment."""
    ids = lambda text: qwen.encode(text, add_special_tokens=False)  # noqa: E731
    assert len(qwen) == 151_646
    assert ids("阿司匹林100mg") == [99727, 64643, 101573, 99463, 16, 15, 15, 12311]
    assert ids("<|im_start|>user\nhi<|im_end|>\n") == [151644, 872, 198, 6023, END, 198]
    lines = (qwen.folder / "merges.txt").read_text(encoding="utf-8").splitlines()
    hashes = [line for line in lines if line.startswith("#")]
    assert len(hashes) == 96
    known = json.loads((qwen.folder / "vocab.json").read_text(encoding="utf-8"))
    state = json.loads(qwen.backend_tokenizer.to_str())["model"]
    assert len(state["merges"]) == len(lines) == 151_387
    assert set(map(tuple, state["merges"])) >= {tuple(line.split(" ")) for line in hashes}
    for text in ("##", "####", "#include", "#define"):
        assert ids(text) == [known[text]]


@pytest.fixture(params=OTHERS)
def other(request):
    """A word tokenizer with the template of another family."""
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    chatml = ["<|im_start|>", "<|im_end|>"] if request.param == "qwen3" else []
    special = [*SPECIAL, *chatml]
    words = [*special, "[UNK]", "[INST]", "[/INST]", "user", "assistant", "user:", "assistant:",
             "<think>", "</think>", "is", "it", "safe", "yes", "no"]  # fmt: skip
    core = Tokenizer(models.WordLevel({w: i for i, w in enumerate(words)}, unk_token="[UNK]"))
    core.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=core, bos_token="<s>", eos_token="</s>", unk_token="[UNK]",
        additional_special_tokens=special, chat_template=OTHERS[request.param],
    )  # fmt: skip
    tokenizer.family = request.param
    return tokenizer


def test_other_families_get_their_own_form(other):
    example = Example("facts", "is it safe", "yes")
    item = encode(example, other)
    turns = [{"role": "user", "content": "is it safe"}, {"role": "assistant", "content": "yes"}]
    whole = other.apply_chat_template(turns)["input_ids"]
    stop = other.convert_tokens_to_ids(STOPS[other.family])
    trained = [label for label in item["labels"] if label != -100]
    assert trained == [other.convert_tokens_to_ids("yes"), stop]
    closed = item["input_ids"][:-1] if other.family == "open" else item["input_ids"]
    assert closed == whole[: len(closed)]
    asked = other.apply_chat_template(turns[:1], add_generation_prompt=True, enable_thinking=False)
    assert encode_prompt(example, other) == asked["input_ids"]
    assert stop in stop_ids(other)
    assert around_answer(other).stop == STOPS[other.family]
    assert encode_answer(example, other, "no")[-1] == stop


def test_a_mark_in_front_of_every_text_is_not_doubled():
    """Tokenizers like that of Llama begin each text with '▁': the answer is cut off the whole."""
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    words = ["<s>", "</s>", "[UNK]", "▁[INST]", "▁[/INST]", "▁safe", "▁yes", "▁"]
    core = Tokenizer(models.WordLevel({w: i for i, w in enumerate(words)}, unk_token="[UNK]"))
    core.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="always")
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=core, bos_token="<s>", eos_token="</s>", chat_template=OTHERS["llama2"]
    )
    tokens = tokenizer.convert_ids_to_tokens(
        encode(Example("", "safe", "yes"), tokenizer)["input_ids"]
    )
    assert tokens.count("▁yes") == 1
    assert tokens[-1] == "</s>"
    assert "[UNK]" not in tokens[-3:]


def test_a_template_that_refuses_says_why(other):
    other.chat_template = "{{ raise_exception('Only user and assistant roles are supported!') }}"
    with pytest.raises(ValueError, match="refuses the turns user: Only user.*no system turn"):
        encode(Example("facts", "is it safe", "yes"), other)


def test_without_a_template():
    tokenizer = tiny_tokenizer()  # knows the tokens of ChatML
    example = Example("facts", "w1", "w2")
    assert prompt_text(example, tokenizer) == prompt_text(example)
    assert around_answer(tokenizer) == ("", "", "<|im_end|>")
    tokenizer.chat_template = CHAT_TEMPLATE
    assert encode(example, tokenizer) == encode(example, tiny_tokenizer())
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    words = {w: i for i, w in enumerate(["</s>", "[UNK]", "User:", "Assistant:", "w1", "w2"])}
    core = Tokenizer(models.WordLevel(words, unk_token="[UNK]"))
    core.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    bare = PreTrainedTokenizerFast(tokenizer_object=core, unk_token="[UNK]")
    with pytest.raises(ValueError, match="no token that ends an answer"):
        encode(example, bare)
    bare = PreTrainedTokenizerFast(tokenizer_object=core, unk_token="[UNK]", eos_token="</s>")
    assert encode(example, bare)["input_ids"] == [2, 4, 3, 5, 0]
