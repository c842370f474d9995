"""The recipe of the tiny model: its world, its training by quantization-aware distillation, its figures.

It imports torch, diffusers, transformers and reelmill_common. Nothing of the product imports it.
"""
