"""The nano tokenizer: whole words, a few word pieces, Qwen's special tokens.

A model of one million parameters cannot afford 151,936 tokens. Its vocabulary holds the words
that the corpus uses, numbers up to 150, the syllables of invented names (`zol` + `##tin`), and
single characters for everything else. `decode` puts spaces back by rule, so that
`decode(encode(text)) == text` for every text that the kit writes, JSON included.
"""

from __future__ import annotations

import string
from typing import TYPE_CHECKING

from ..tasks import families
from ..tasks.chat import CHAT_TEMPLATE, END_OF_TEXT, END_OF_TURN, prompt_text
from ..tasks.facts import COLUMNS, rows
from ..tasks.general import TAGS
from ..tasks.names import HEADS, TAILS
from ..tasks.record import generator

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

SPECIAL = (END_OF_TEXT, "<|im_start|>", END_OF_TURN, "<|unk|>")
JSON_MARKS = ('{"', '": "', '", "', '"}')
SPLIT = r'\{"|": "|", "|"\}|<<|>>|\n|\w+|[^\w\s]'
LARGEST_NUMBER = 150
COMMON = """
a about after all also an and any are as ask at be because been before both but by can case child
clinic could daily day days did do doctor does drink each first for from gave get give given go
had has have he help her here his history home hospital how i if in into is it last later left
less like long many may me medicine month more most much must my need never new next night no not
now nurse of on one only or other our out over pain patient people please right said same say see
severe she should show sick so some take takes taking tell than that the their them then there
these they this three time to today too treat treated treatment two under until up use very was
we week weeks well were what when where which while who why will with without would year years
you young your
""".split()


def corpus_words(per_family: int = 1500) -> set[str]:
    """Every word that the task families can say (sampled, and all cells of all tables)."""
    import re

    texts = []
    for family in families().values():
        rng = generator("words of the corpus", family.name)
        items = [family.draw(rng) for _ in range(per_family)]
        texts += [f"{prompt_text(item)} {item.answer}" for item in items]
    for table in (*COLUMNS, "words"):
        texts += [" ".join(row.values()) for row in rows(table)]
    names = {head + tail for head in HEADS for tail in TAILS}
    found = {word for text in texts for word in re.findall(SPLIT, text)}
    return {word for word in found if word not in names and not word.isdigit()}


def build_tokenizer() -> PreTrainedTokenizerFast:
    """Build the tokenizer from the tables and the families; the same on every machine."""
    from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    characters = string.ascii_letters + string.digits
    words = corpus_words() | set(COMMON) | set(TAGS) | set(string.punctuation) | {"\n"}
    words |= {word.capitalize() for word in COMMON} | set(characters) | set(HEADS)
    words |= {str(number) for number in range(LARGEST_NUMBER + 1)}
    words -= {"im_start", "im_end"}
    pieces = {f"##{piece}" for piece in (*characters, *TAILS)}
    order = [*SPECIAL, *JSON_MARKS, *sorted(words - set(JSON_MARKS)), *sorted(pieces)]
    vocabulary = {token: number for number, token in enumerate(order)}

    tokenizer = Tokenizer(
        models.WordPiece(vocabulary, unk_token="<|unk|>", max_input_chars_per_word=64)
    )
    tokenizer.pre_tokenizer = pre_tokenizers.Split(Regex(SPLIT), "removed", invert=True)

    def remove_space(pattern: str) -> decoders.Decoder:
        return decoders.Replace(Regex(pattern), "")

    tokenizer.decoder = decoders.Sequence(
        [
            decoders.WordPiece(prefix="##", cleanup=False),
            decoders.Fuse(),
            remove_space(r' (?=[.,?;:!)\n])| (?="\})| (?=": ")| (?=", ")'),
            remove_space(r'(?<=[(\n]) |(?<=\{") |(?<=": ") |(?<=", ") '),
        ]
    )
    tokenizer.add_special_tokens([AddedToken(token, special=True) for token in SPECIAL])
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token=END_OF_TEXT,
        eos_token=END_OF_TURN,
        unk_token="<|unk|>",
        chat_template=CHAT_TEMPLATE,
        model_max_length=512,
        clean_up_tokenization_spaces=False,
    )
