"""Where there is no GPU, Triton's interpreter runs the kernels; see `kernels/`."""

from __future__ import annotations

import os

import torch

if not torch.cuda.is_available():
    os.environ.setdefault("TRITON_INTERPRET", "1")  # read when a kernel is defined, so before any of them is imported
