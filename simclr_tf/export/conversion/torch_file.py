"""The tensors of a PyTorch file by name: safetensors, or `.pth` through PyTorch.

A `.pth` file is a pickle, which is a program. PyTorch reads it with `weights_only`:
tensors, numbers, texts and containers of them; everything else is refused. Releases
before 2.6 could be made to run code all the same (CVE-2025-32434), and are refused.
"""

import collections
import dataclasses
import pathlib
import pickle
import re
import warnings
import zipfile

import tensorflow as tf

from simclr_tf.errors import ConfigError, DataError
from simclr_tf.extras import import_extra
from simclr_tf.files import plain_reason
from simclr_tf.limits import LONGEST_TEXT, unpacked_limit
from simclr_tf.training.safetensors_file import SafetensorsFile

_SAFE_SINCE = (2, 6)
_MOST_ENTRIES = 1_000_000
_CONVERTED = (tf.float32, tf.float16, tf.bfloat16)
_ERRORS = (
    *(OSError, ValueError, RuntimeError, LookupError, AttributeError, TypeError),
    *(EOFError, MemoryError, OverflowError, AssertionError, ImportError),
    zipfile.BadZipFile,
)


class StateDict:
    """The tensors of a file, as `source_model` reads the variables of a source.

    Kernels of convolutions are given as [height, width, in, out], PyTorch has them as
    [out, in, height, width].

    Args:
      path: path of a `.safetensors` file, or of one that `torch.save` wrote. Tensors
        inside dicts and lists are named by the way to them, `state_dict.conv1.weight`.

    Attributes:
      prefix: str, the path.
      torch_shapes: dict of name to tuple, as in the file.
      shapes: dict of name to tuple, in our layouts.
      dtypes: dict of name to tf.DType; float32 for types that are read as float32.

    Raises:
      ConfigError: a `.pth` file, and PyTorch is missing or too old.
      DataError: the file cannot be read, or holds more than tensors.
    """

    def __init__(self, path):
        path = pathlib.Path(path).expanduser()
        self.prefix = str(path)
        if path.suffix == ".safetensors":
            file = SafetensorsFile(path)
            self.torch_shapes, dtypes = file.shapes, file.dtypes
            self._read = file.read
        else:
            tensors = _tensors_of_pth(path)
            self.torch_shapes = {name: t.shape for name, t in tensors.items()}
            dtypes = {name: t.dtype for name, t in tensors.items()}
            self._read = lambda name: tensors[name].read()
        self.shapes = {name: _ours(shape) for name, shape in self.torch_shapes.items()}
        self.dtypes = {name: _dtype_read(dtype) for name, dtype in dtypes.items()}

    def read(self, name):
        """Read a tensor as a float32 array, a kernel in our layout.

        Args:
          name: str, one of `shapes` whose dtype is float32.

        Returns:
          float32 array.

        Raises:
          DataError: the file cannot be read.
        """
        try:
            value = self._read(name).astype("float32")
        except _ERRORS as error:
            raise _unreadable(self.prefix, error) from error
        return value.transpose(2, 3, 1, 0) if value.ndim == 4 else value


@dataclasses.dataclass(frozen=True)
class _Tensor:
    """A tensor of PyTorch.

    Attributes:
      value: torch.Tensor.
    """

    value: object

    @property
    def shape(self):
        return tuple(int(side) for side in self.value.shape)

    @property
    def dtype(self):
        return str(self.value.dtype).removeprefix("torch.")

    def read(self):
        return self.value.detach().float().numpy()


def _ours(shape):
    """Return the shape of a kernel in our layout, and other shapes as they are."""
    if len(shape) != 4:
        return shape
    out, inputs, height, width = shape
    return (height, width, inputs, out)


def _dtype_read(dtype):
    try:
        dtype = tf.dtypes.as_dtype(dtype)
    except TypeError:
        return tf.variant  # A type that TensorFlow does not know.
    return tf.float32 if dtype in _CONVERTED else dtype


def _tensors_of_pth(path):
    """Load a file of `torch.save` without running code; map names to tensors."""
    if not path.is_file():
        raise DataError(
            f"{path} is not a file. --checkpoint is a .safetensors or .pth file here."
        )
    torch = import_extra("torch", extra="torch", wanted=f"Reading {path}")
    release = tuple(int(part) for part in re.findall(r"\d+", torch.__version__)[:2])
    if release < _SAFE_SINCE:
        raise ConfigError(
            f"Reading {path} needs PyTorch 2.6 or later: files from elsewhere can run "
            'code in earlier ones. `pip install "simclr-tf[torch]"`. '
            f"Received: torch {torch.__version__}."
        )
    try:
        _check_unpacked_size(path)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # About old pickles, which are published.
            content = torch.load(path, map_location="cpu", weights_only=True)
        return _named_tensors(content, torch.Tensor)
    except pickle.UnpicklingError as error:
        raise DataError(
            f"{path} is refused: it is damaged, or holds Python objects beside its "
            "tensors, which could run code. If you trust its origin, save its state "
            "dict alone, with safetensors.torch.save_file."
        ) from error
    except _ERRORS as error:
        raise _unreadable(path, error) from error


def _check_unpacked_size(path):
    if not zipfile.is_zipfile(path):
        return
    with zipfile.ZipFile(path) as archive:
        unpacked = sum(member.file_size for member in archive.infolist())
    packed = path.stat().st_size
    if unpacked > unpacked_limit(packed):
        raise ValueError(f"its {packed} bytes unpack to {unpacked}")


def _named_tensors(content, kind):
    """Return the tensors in dicts and lists, named by the way to them."""
    found, entries = {}, 0
    waiting = collections.deque([("", content)])
    while waiting:
        name, value = waiting.popleft()
        entries += 1
        if entries > _MOST_ENTRIES or len(name) > LONGEST_TEXT:
            raise ValueError("it has too many entries, or too long names")
        if isinstance(value, kind):
            if name in found:
                raise ValueError(f"two tensors are named {name}")
            found[name] = _Tensor(value)
        elif isinstance(value, (dict, list, tuple)):
            items = value.items() if isinstance(value, dict) else enumerate(value)
            start = f"{name}." if name else ""
            waiting.extend((f"{start}{key}", inner) for key, inner in items)
    return found


def _unreadable(path, error):
    return DataError(
        f"Cannot read {path}: {plain_reason(error)}. The file is damaged or not "
        "PyTorch's."
    )
