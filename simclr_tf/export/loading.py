"""The section of the card that shows how to load each format."""

import functools
import math

from simclr_tf.config.image_size import as_size
from simclr_tf.export.reusable import BYTES_SIGNATURE


def loading_lines(
    formats,
    *,
    image_shape,
    image_size_pixels,
    side_multiple,
    has_layers,
    features,
    signatures,
    saved_model,
):
    """Return Markdown: one block of Python for each way to load an export.

    Args:
      formats: names of the formats that were exported.
      image_shape: (height, width, channels), None being free.
      image_size_pixels: int or (height, width), of the images of the training; None if
        not known.
      side_multiple: int, pixels: free sides must be multiples of it.
      has_layers: bool, whether the files describe the layers of the network.
      features: int, F.
      signatures: names of the SavedModel's signatures.
      saved_model: str, its path beside the card.

    Returns:
      list of str, lines.
    """
    *sides, channels = image_shape
    some = image_size_pixels or side_multiple * math.ceil(32 / side_multiple)
    sides = [side or usual for side, usual in zip(sides, as_size(some), strict=True)]
    shape = [1, *sides, channels]
    images = f"images = np.zeros({shape}, np.float32)  # your images, in [0, 1]"
    result = f"# {shape_text((1, features))}"
    lines = ["## Loading", "", "In this folder:", ""]
    if "saved_model" in formats:
        lines += _saved_model(saved_model, images, result)
        lines += _hub(saved_model, image_shape)
        if BYTES_SIGNATURE in signatures:
            lines += _from_bytes(saved_model)
    if {"saved_model", "safetensors"} & set(formats):
        lines += _with_this_package(images, result, has_layers)
    for name, block in (
        ("keras3", _keras3),
        ("litert", functools.partial(_litert, None in image_shape)),
        ("safetensors", _safetensors),
        ("onnx", _onnx),
    ):
        if name in formats:
            lines += block(images, result)
    if "saved_model" in formats:
        lines += [
            "A SavedModel is a program: load it only if you trust where it comes "
            "from. safetensors holds numbers and nothing else.",
            "",
        ]
    return lines


def shape_text(shape, names="NHW"):
    """Format a shape as `[N, H, W, 3]`: free sizes by their letters.

    Example:
      >>> shape_text((None, None, 5))
      '[N, H, 5]'
    """
    parts = [
        names[axis] if size is None and axis < len(names) else str(size)
        for axis, size in enumerate(shape)
    ]
    return f"[{', '.join(parts)}]"


def _block(text, *code):
    """Write a block of code, with an empty line after its imports."""
    imports = [line for line in code if line.startswith(("import ", "from "))]
    rest = code[len(imports) :]
    return [text, "", "```python", *imports, "", *rest, "```", ""]


def _saved_model(saved_model, images, result):
    return [
        *_block(
            "With nothing but TensorFlow:",
            "import numpy as np",
            "import tensorflow as tf",
            f'encoder = tf.saved_model.load("{saved_model}")',
            images,
            f"features = encoder(images)  {result}",
        ),
        "To fine-tune it, call `encoder(images, training=True)` under a gradient tape "
        "and update `encoder.trainable_variables`; batch norm then uses and updates "
        "batch statistics.",
        "",
    ]


def _hub(saved_model, image_shape):
    return _block(
        "As a layer of a Keras 2 model, trained by `fit` "
        "(`pip install tensorflow-hub`):",
        "import tensorflow_hub as hub",
        "from tensorflow_hub.keras_layer import keras  # the Keras 2 API",
        f'encoder = hub.KerasLayer("{saved_model}", trainable=True)',
        f"images = keras.Input({tuple(image_shape)})",
        "model = keras.Model(images, keras.layers.Dense(10)(encoder(images)))",
    )


def _from_bytes(saved_model):
    return [
        *_block(
            "From encoded images, as TF Serving calls it (in its JSON: "
            '`{"signature_name": "' + BYTES_SIGNATURE + '", "inputs": {"image_bytes": '
            '[{"b64": "..."}]}}`):',
            "import tensorflow as tf",
            f'encoder = tf.saved_model.load("{saved_model}")',
            f'function = encoder.signatures["{BYTES_SIGNATURE}"]',
            "files = tf.io.encode_png(tf.zeros([1, 40, 50, 3], tf.uint8))  # yours",
            'features = function(image_bytes=files)["default"]',
        )
    ]


def _with_this_package(images, result, has_layers):
    endpoints = " with named endpoints (`simclr_tf.models.with_endpoints`)"
    return _block(
        f"As a trainable Keras 2 model{endpoints if has_layers else ''}:",
        "import numpy as np",
        "import simclr_tf",
        'encoder = simclr_tf.load_encoder(".")',
        images,
        f"features = encoder(images)  {result}",
    )


def _keras3(images, result):
    return _block(
        "With Keras 3, trainable:",
        "import keras",
        "import numpy as np",
        'encoder = keras.saving.load_model("encoder.keras", safe_mode=True)',
        images,
        f"features = encoder(images)  {result}",
    )


def _litert(is_free, images, result):
    free = "; sizes are free, and the first call with a size plans it"
    return _block(
        f"With LiteRT (`pip install ai-edge-litert`){free if is_free else ''}:",
        "import numpy as np",
        "from ai_edge_litert.interpreter import Interpreter",
        'encoder = Interpreter("encoder.tflite").get_signature_runner()',
        images,
        f'features = encoder(images=images)["default"]  {result}',
    )


def _safetensors(images, result):
    del images, result
    return _block(
        "The weights alone, by the names of the layers; config.json describes the "
        "network:",
        "from safetensors.numpy import load_file",
        'weights = load_file("weights.safetensors")',
    )


def _onnx(images, result):
    return _block(
        "With onnxruntime:",
        "import numpy as np",
        "import onnxruntime",
        'encoder = onnxruntime.InferenceSession("encoder.onnx")',
        images,
        f'features = encoder.run(["default"], {{"images": images}})[0]  {result}',
    )
