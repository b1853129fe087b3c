"""The package of this checkout, for `python tools/VERB.py`.

Python looks for modules beside the script first, so a script finds this one. It puts
the package of its checkout in its own place, whatever is installed, here and in the
processes that the script starts.
"""

import importlib
import os
import pathlib
import sys

_HERE = pathlib.Path(__file__).resolve().parent
_CHECKOUT = _HERE.parent

if __name__ == "simclr_tf":
    # These files are `simclr_tf.tools`, and no modules of their own.
    sys.path[:] = [
        path for path in sys.path if pathlib.Path(path or ".").resolve() != _HERE
    ]
    del sys.modules[__name__]
    if (_CHECKOUT / "simclr_tf" / "__init__.py").is_file():
        sys.path.insert(0, str(_CHECKOUT))
        others = filter(None, [os.environ.get("PYTHONPATH")])
        os.environ["PYTHONPATH"] = os.pathsep.join([str(_CHECKOUT), *others])
        # As setup.py maps it: simclr_tf.tools is the folder tools/.
        importlib.import_module("simclr_tf").__path__.append(str(_CHECKOUT))
    else:
        importlib.import_module("simclr_tf")
