"""These tests need TensorFlow Addons: they are collected on its lane only."""

from simclr_tf import _keras

collect_ignore_glob = [] if _keras.ADDONS_LANE else ["test_*.py"]
