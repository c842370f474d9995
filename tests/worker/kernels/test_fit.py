"""Kernels are compiled for cards that are not here: what does not fit into a card's shared memory shows without it."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

SHARED = {80: 163 * 1024, 86: 99 * 1024, 89: 99 * 1024, 90: 227 * 1024}
"""Bytes that a block may have. Source: CUDA C++ Programming Guide, technical specifications by compute capability."""

SCRIPT = """
import json, sys
import triton
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource
from reelmill_worker.kernels import operands

def shared(kernel, types, warps, **constants):
    names = kernel.arg_names
    signature = {name: types.get(name, "*fp32" if name.endswith("_ptr") else "i32") for name in names}
    signature |= {name: "constexpr" for name in constants}
    source = ASTSource(kernel, signature, {(names.index(name),): value for name, value in constants.items()})
    made = triton.compile(source, target=GPUTarget("cuda", int(sys.argv[1]), 32), options={"num_warps": warps})
    return made.metadata.shared

floats = {"x_ptr": "*bf16", "eps": "fp32", "code_peak": "fp32", "least": "fp32"}
found = {
    "survey": shared(operands._survey_kernel, floats, 4, BLOCK=operands.BLOCK, ROWS=operands.AT_ONCE, HALF=64,
        HEAD=1024, TAIL=512, STAGES=operands.STAGES),
    "codes": shared(operands._codes_kernel, floats | {"query_ptr": "*i8", "key_ptr": "*i8"}, 8, HEADS=12, HALF=64,
        BLOCK=operands.BLOCK, WARP=32, KEYS=64),
}
if int(sys.argv[1]) >= 89:
    found["values"] = shared(operands._values_kernel, floats | {"y_ptr": "*fp8e4nv"}, 8, CHANNELS=128,
        BLOCK=operands.BLOCK)
print(json.dumps(found))
"""


@pytest.mark.parametrize("capability", SHARED)
def test_the_attention_operands_fit_every_card_that_they_are_for(triton: None, capability: int) -> None:
    # A process of its own: in this one the interpreter stands for the compiler.
    env = {name: value for name, value in os.environ.items() if name != "TRITON_INTERPRET"}
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, str(capability)], env=env, capture_output=True, text=True, check=False
    )

    assert done.returncode == 0, done.stderr[-2000:]
    found = json.loads(done.stdout.splitlines()[-1])
    assert found
    assert max(found.values()) <= SHARED[capability], found
