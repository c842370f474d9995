"""GPUs that need not be here, for `doctor --gpu`."""

from __future__ import annotations

GPUS: dict[str, tuple[tuple[int, int], float]] = {
    **{
        f"RTX {name}": ((8, 6), float(memory))
        for name, memory in {
            "3050": 8,
            "3060": 12,
            "3060 Ti": 8,
            "3070": 8,
            "3070 Ti": 8,
            "3080": 10,
            "3080 Ti": 12,
            "3090": 24,
            "3090 Ti": 24,
            "A2000": 12,
            "A4000": 16,
            "A4500": 20,
            "A5000": 24,
            "A5500": 24,
            "A6000": 48,
        }.items()
    },
    **{
        name: ((8, 6), float(memory))
        for name, memory in {"A2": 16, "A10": 24, "A10G": 24, "A16": 16, "A40": 48}.items()
    },
    "A30": ((8, 0), 24),
    "A100": ((8, 0), 80),
    "A100 40GB": ((8, 0), 40),
    "A800": ((8, 0), 80),
    **{
        f"RTX {name}": ((8, 9), float(memory))
        for name, memory in {
            "4060": 8,
            "4060 Ti": 16,
            "4070": 12,
            "4070 SUPER": 12,
            "4070 Ti": 12,
            "4070 Ti SUPER": 16,
            "4080": 16,
            "4080 SUPER": 16,
            "4090": 24,
            "4090 D": 24,
            "2000 Ada": 16,
            "4000 Ada": 20,
            "4500 Ada": 24,
            "5000 Ada": 32,
            "6000 Ada": 48,
        }.items()
    },
    **{
        name: ((8, 9), float(memory)) for name, memory in {"L2": 24, "L4": 24, "L20": 48, "L40": 48, "L40S": 48}.items()
    },
    "GH200": ((9, 0), 96),
    **{
        f"RTX {name}": ((12, 0), float(memory))
        for name, memory in {
            "5050": 8,
            "5060": 8,
            "5060 Ti": 16,
            "5070": 12,
            "5070 Ti": 16,
            "5080": 16,
            "5090": 32,
            "PRO 6000": 96,
        }.items()
    },
    **{
        f"RTX {name} Laptop": (capability, float(memory))
        for name, capability, memory in (
            ("3060", (8, 6), 6),
            ("3070", (8, 6), 8),
            ("3080", (8, 6), 16),
            ("3080 Ti", (8, 6), 16),
            ("4060", (8, 9), 8),
            ("4070", (8, 9), 8),
            ("4080", (8, 9), 12),
            ("4090", (8, 9), 16),
            ("5080", (12, 0), 16),
            ("5090", (12, 0), 24),
        )
    },
    "H100": ((9, 0), 80),
    "H200": ((9, 0), 141),
    "GB10": ((12, 1), 128),
    "B200": ((10, 0), 180),
    "T4": ((7, 5), 16),
}
"""Capability and memory of cards that people ask about. Source: NVIDIA's CUDA GPU list and data sheets."""
