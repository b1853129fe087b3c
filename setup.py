"""Packaging of simclr-tf: every dependency with its reason and tested range.

The folder `tools/` is installed as `simclr_tf.tools`, so that `simclr-tf VERB` and
`python tools/VERB.py` are the same code. What was exported with --publish into
`exported_models/` is installed inside the package, where `simclr_tf.zoo()` finds it.
"""

import json
import pathlib
import re

from setuptools import find_packages, setup

HERE = pathlib.Path(__file__).parent

VERSION = re.search(
    r'__version__ = "(.+)"', (HERE / "simclr_tf" / "__init__.py").read_text()
).group(1)


def published():
    """Folders of the exports that ship: what else lies there is the user's own."""
    for path in sorted((HERE / "exported_models").glob("*/config.json")):
        try:
            record = json.loads(path.read_text(encoding="utf-8"))
        except ValueError:  # Not one of ours.
            continue
        if isinstance(record, dict) and record.get("published") is True:
            yield path.parent.name


INSTALL = [
    # The framework; the tested range is 2.15.1 to 2.21.
    "tensorflow>=2.15.1,<2.22",
    # The Keras 2 API: multi-worker strategies and fused batch norm. Its releases
    # move in lock-step with TensorFlow's.
    "tf-keras>=2.15,<2.22",
    # tf.summary needs it, and TensorFlow 2.21 no longer brings it along.
    "tensorboard>=2.15,<2.22",
    # tfds:NAME data sets, with their checksums and split strings.
    "tensorflow-datasets>=4.9.6,<4.10",
    # etils, which tfds uses to prepare data sets, imports it without saying so.
    "importlib_resources>=5",
    # Flags and logging of the tools.
    "absl-py>=2.0,<3",
    # Decodes what TensorFlow does not, or not as it is seen: WebP, TIFF, GIF, AVIF.
    # 10.1 was the first to tell which images are transparent.
    "Pillow>=10.1,<14",
    # Arrays on the host: the order of the examples, labels, kNN.
    "numpy>=1.26,<3",
    # L-BFGS of the logistic regression probe.
    "scipy>=1.11,<2",
    # One BLAS thread for the probes' small products: two of them spin.
    "threadpoolctl>=3.1,<4",
    # Free memory and disk, before --data.cache fills them.
    "psutil>=5.9.5,<8",
    # The progress bar.
    "tqdm>=4.64,<5",
    # Tables of results in Markdown, on the screen and in files.
    "tabulate>=0.9,<0.11",
]

PLOTS = [
    # View pairs and nearest neighbours as PNG.
    "matplotlib>=3.8,<4",
]

REPORT = [
    *PLOTS,
    # The page of `simclr-tf report`: escapes every name and number that it shows.
    "Jinja2>=3.1,<4",
    # t-SNE of the features.
    "scikit-learn>=1.3,<2",
]

HUB = [
    # hub.load and hub.KerasLayer; 0.16.1 still imports pkg_resources, which
    # setuptools 82 dropped.
    "tensorflow-hub>=0.16.1,<0.17",
    "setuptools<82",
]

ADDONS = [
    # The second lane: Lookahead, SWA and MovingAverage. The last release of Addons
    # cannot be imported on TensorFlow 2.16 or later, nor installed on Python 3.12.
    'tensorflow==2.15.1; python_version < "3.12"',
    'tensorflow-addons==0.23.0; python_version < "3.12"',
    # tfds asks for the newest, which needs a protobuf that TensorFlow < 2.20 refuses.
    'tensorflow-metadata==1.17.3; python_version < "3.12"',
    # TensorFlow 2.15 needs NumPy 1.26, which pyarrow 26 refuses.
    'pyarrow<26; python_version < "3.12"',
    # There is no such version: pip's message about it says what to do.
    'tensorflow-addons==0.23.0+needs.python.3.10.or.3.11; python_version >= "3.12"',
]

HEIC = [
    # The photographs of iPhones.
    "pillow-heif>=1,<2",
]

PARQUET = [
    # Features as columns: `simclr-tf embed --output=FILE.parquet`. 16 was the first for
    # NumPy 2.
    "pyarrow>=16,<27",
]

WANDB = [
    # --track=wandb: tried with 0.31, offline.
    "wandb>=0.31,<0.32",
]

MLFLOW = [
    # --track=mlflow: the client without a server and without pandas. Tried with 3.17,
    # with a store in files.
    "mlflow-skinny>=3.17,<4",
]

SAFETENSORS = [
    # Encoders as numbers by name: the format for strangers' weights.
    "safetensors>=0.5,<0.9",
]

TORCH = [
    # Reads .pth files in convert_checkpoint; tried with 2.14. Before 2.6 such a file
    # could run code.
    "torch>=2.6,<3",
]

LITERT = [
    # Runs LiteRT files without TensorFlow: the check of --formats=litert.
    "ai-edge-litert>=2.0.2,<3",
]

ONNX = [
    # The converter; its last release works with TensorFlow 2.15 to 2.21, untended.
    "tf2onnx>=1.17,<1.18",
    # Beside TensorFlow 2.15 pip takes 1.18, as later ones need a newer protobuf; 1.19.0
    # says it does not, and then cannot be imported.
    "onnx>=1.16,!=1.19.0,<1.24",
    # Runs ONNX files: the check of --formats=onnx.
    "onnxruntime>=1.20,<2",
]

DOCS = [
    # The site of `make docs`. Sphinx has several releases a year, reads docstrings,
    # and with -W takes a broken link for an error; MkDocs had no release after 2024.
    "sphinx>=8.1,<9.1",
    # Markdown for Sphinx: the pages stay readable on GitHub. 5 needs Python 3.11.
    "myst-parser>=4,<6",
    # The theme: phone and screen, light and dark.
    "furo>=2024.8.6,<2026",
]

TEST = [
    "pytest>=8,<10",
    # The suite on both cores.
    "pytest-xdist>=3.5,<4",
    # The probes are held against its solvers.
    "scikit-learn>=1.3,<2",
    # A strict reader of the pages that reports write.
    "html5lib>=1.1,<2",
    # Is the notebook one?
    "nbformat>=5.9,<6",
    "ruff>=0.6,<1",
    # Checks the annotations of the public names. It is one wheel from the package index
    # (pyright fetches Node.js when it first runs) and takes TensorFlow as untyped, so
    # that a check takes seconds.
    "mypy>=1.18,<3",
    # Tests build a wheel without fetching anything.
    "setuptools>=68,<82",
    "wheel>=0.42,<1",
]

setup(
    name="simclr-tf",
    version=VERSION,
    description="SimCLR for TensorFlow 2 and Keras, with SavedModel export",
    long_description=(HERE / "README.md").read_text(encoding="utf-8"),
    long_description_content_type="text/markdown",
    license="Apache-2.0",
    author="The simclr_tf authors",
    python_requires=">=3.10,<3.14",
    packages=[
        *find_packages(include=["simclr_tf", "simclr_tf.*"]),
        "simclr_tf.tools",
        "simclr_tf.exported_models",
    ],
    package_dir={
        "simclr_tf.tools": "tools",
        "simclr_tf.exported_models": "exported_models",
    },
    package_data={
        # Type checkers read the annotations of the package.
        "simclr_tf": ["py.typed"],
        "simclr_tf.benchmarks": ["programs/*.py"],
        "simclr_tf.data": ["embedded/*"],
        "simclr_tf.export": ["programs/*.py"],
        "simclr_tf.report": ["templates/*"],
        "simclr_tf.training": ["programs/*.py"],
        "simclr_tf.exported_models": [
            "README.md",
            *(f"{name}/**" for name in published()),
        ],
    },
    install_requires=INSTALL,
    extras_require={
        "plots": PLOTS,
        "report": REPORT,
        "hub": HUB,
        "addons": ADDONS,
        "heic": HEIC,
        "parquet": PARQUET,
        "wandb": WANDB,
        "mlflow": MLFLOW,
        "safetensors": SAFETENSORS,
        "torch": TORCH,
        "litert": LITERT,
        "onnx": ONNX,
        "docs": DOCS,
        "test": [*TEST, *REPORT, *HUB, *PARQUET, *SAFETENSORS, *LITERT, *ONNX],
    },
    entry_points={
        "console_scripts": ["simclr-tf = simclr_tf.tools.command_line:main"],
    },
)
