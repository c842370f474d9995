"""The modules of the network and the plan by which a GPU runs them. Imports checkpoint and kernels."""
