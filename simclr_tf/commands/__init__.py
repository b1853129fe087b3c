"""The use cases: open data, load encoders, measure or train, and write results.

Each verb of the tool has one file of its name here; open `evaluate.py` first. Pages,
tables and figures are drawn by `simclr_tf.report` from what this room hands in.
"""
