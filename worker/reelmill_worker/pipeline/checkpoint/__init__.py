"""A model's files: layout, manifest, safetensors, what their tensors must be.

Imports no other folder of the pipeline.
"""
