"""Random archives with known pixels: each is drawn from one number, and states beforehand what must be read of it.

`worlds` names what there is and `drawing` draws it, `truth` says what every pixel is, `files` writes it down, `harms`
does to it what happens to archives, and `check` compares what a run has left. Nothing in here uses the pipeline's own
lattices or ownership.
"""
