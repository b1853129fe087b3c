"""The command-line tools; installed as `simclr_tf.tools`."""
