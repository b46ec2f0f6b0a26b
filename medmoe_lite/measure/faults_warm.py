"""Imported by the process that children of `faults_child` are forked from: it loads everything."""

import gc
import os

os.environ.setdefault("MEDMOE_PROGRESS", "0")

import torch

import medmoe_lite.method.model  # noqa: F401 - what a child would import by itself

from .faults_child import base, data

torch.set_num_threads(1)
base()
data()
gc.collect()
gc.freeze()  # children share what is here; collecting it at each start is slow
