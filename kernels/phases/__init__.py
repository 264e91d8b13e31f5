"""The detector ``phases``: baseline, stages of works, settled ground, by joint likelihood."""
