"""Readers of published benchmarks: a file of the authors -> `Example`s of the kit.

    from medmoe_lite.tasks.readers import read, stream

    read("pubmedqa", "ori_pqal.json", split="train")    a list, the first bad row is an error
    stream("mmlu", "test/", subjects="medical")         good and bad rows as they come

Each module registers its readers when it is imported: `READERS` knows them all by name.
"""

from . import (
    cblue,
    cmb,
    cmexam,
    commonsense,
    conversation,
    gsm8k,
    kit,
    medmcqa,
    medqa,
    medquad,
    mirage,
    mmedbench,
    mmlu,
    ner,
    promptcblue,
    pubmedqa,
)  # fmt: skip
from .base import READERS, BadRow, DataError, Reader, Record, Row, find, read, register, stream
from .leaks import overlap, repeated

__all__ = [
    "READERS", "BadRow", "DataError", "Reader", "Record", "Row", "cblue", "cmb", "cmexam",
    "commonsense", "conversation", "find", "gsm8k", "kit", "medmcqa", "medqa", "medquad", "mirage",
    "mmedbench", "mmlu", "ner", "overlap", "promptcblue", "pubmedqa", "read", "register",
    "repeated", "stream",
]  # fmt: skip
