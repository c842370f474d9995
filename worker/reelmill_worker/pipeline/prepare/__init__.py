"""What is done once with a model: download, quantize, merge LoRA, make the tiny one.

Imports network and checkpoint.
"""
