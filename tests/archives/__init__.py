"""Random archives with known pixels: each is drawn from one number, and states beforehand what must be read of it.

`worlds` draws what there is, `truth` says what every pixel is, `files` writes it down, `harms` does to it what happens
to archives, and `check` compares what a run has left. Nothing in here uses the pipeline's own lattices or ownership.
"""
