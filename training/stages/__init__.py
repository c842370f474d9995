"""The stages of training, each a function with a time limit: autoencoder, teacher, student. They import the rest."""
