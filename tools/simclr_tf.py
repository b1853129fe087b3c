"""The package of this checkout, for `python tools/VERB.py`.

Python looks for modules beside the script first, so a script in tools/ imports this
module as `simclr_tf`. The module replaces itself by the package of its checkout, in
this process and in those that the script starts, even if another version is installed.
"""

import importlib
import os
import pathlib
import sys

_HERE = pathlib.Path(__file__).resolve().parent
_CHECKOUT = _HERE.parent

if __name__ == "simclr_tf":
    # The files in tools/ are modules of `simclr_tf.tools`, not top-level modules.
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
