"""`python -m simclr_tf VERB ...` is `simclr-tf VERB ...`."""

import sys

from simclr_tf.tools.command_line import main

if __name__ == "__main__":
    sys.exit(main())
