"""The surfaces: one package for each way in. None of them imports another."""
