"""The model as pure functions over a resident: text, noise, transformer, decoder. Knows no farm."""
