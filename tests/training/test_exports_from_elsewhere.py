"""What a stranger can hand us as an encoder: refused in one line, or only data."""

import io
import json
import shutil
import sys
import tarfile

import numpy as np
import pytest
import tensorflow as tf

from simclr_tf import load_encoder
from simclr_tf._keras import keras
from simclr_tf.errors import ConfigError, DataError, SimCLRError, WorkdirError
from simclr_tf.export import ReusableModule, export_saved_model, saved_model
from simclr_tf.models import describe_network
from simclr_tf.training.exports import ExportedEncoder


def network(filters=4):
    images = keras.Input((None, None, 3), name="images")
    x = keras.layers.Conv2D(filters, 3, name="initial_conv")(images)
    x = keras.layers.BatchNormalization(name="bn")(x)
    x = keras.layers.GlobalAveragePooling2D(name="final_avg_pool")(x)
    return keras.Model(images, x, name="tiny")


@pytest.fixture(scope="module")
def original(tmp_path_factory):
    """An export with both forms; its fresh process has its own tests."""
    folder = tmp_path_factory.mktemp("exports") / "tiny"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(saved_model, "check_in_fresh_process", lambda *args: 0.0)
        export_saved_model(
            network(), folder, formats=("saved_model", "safetensors"), archive=True
        )
    return folder


@pytest.fixture
def export(original, tmp_path):
    """A copy of the export that a test may damage."""
    return shutil.copytree(original, tmp_path / "export")


@pytest.fixture
def images():
    return np.random.default_rng(0).uniform(size=(4, 9, 8, 3)).astype(np.float32)


def change_record(folder, change):
    record = json.loads((folder / "config.json").read_text())
    change(record)
    (folder / "config.json").write_text(json.dumps(record))


def refused(path):
    """The one line that `load_encoder` answers with."""
    with pytest.raises(SimCLRError) as caught:
        load_encoder(path)
    assert "\n" not in str(caught.value) and str(path) in str(caught.value)
    return str(caught.value)


def add_link(archive, name, target, kind):
    member = tarfile.TarInfo(name)
    member.type, member.linkname = kind, target
    archive.addfile(member)


def add_file(archive, name):
    member = tarfile.TarInfo(name)
    member.size = 4
    archive.addfile(member, io.BytesIO(b"evil"))


ATTACKS = {
    "parent": lambda archive: add_file(archive, "../evil"),
    "inner parent": lambda archive: add_file(archive, "a/../../evil"),
    "absolute": lambda archive: add_file(archive, "/tmp/evil-of-simclr-test"),
    "symbolic link": lambda archive: add_link(archive, "a", "..", tarfile.SYMTYPE),
    "hard link": lambda archive: add_link(archive, "a", "/etc/passwd", tarfile.LNKTYPE),
    "device": lambda archive: add_link(archive, "a", "", tarfile.FIFOTYPE),
}


@pytest.mark.parametrize("attack", ATTACKS.values(), ids=ATTACKS)
def test_archive_that_leads_outside_is_refused_before_anything_is_written(
    original, tmp_path, attack, monkeypatch
):
    inside = tmp_path / "temporary"
    inside.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(inside))
    path = tmp_path / "evil.tar.gz"
    with tarfile.open(path, "w:gz") as archive:
        archive.add(original / "saved_model", ".")  # All else is in order.
        attack(archive)
    assert "is refused and nothing was unpacked" in refused(path)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["evil.tar.gz", "temporary"]
    assert list(inside.iterdir()) == []


def test_archive_with_a_nul_in_a_name_gets_one_line(tmp_path):
    """Found by a coverage-guided fuzzer: only a pax header can hold such a name."""
    path = tmp_path / "evil.tar"
    with tarfile.open(path, "w", format=tarfile.PAX_FORMAT) as archive:
        member = tarfile.TarInfo("saved_model/x")
        member.pax_headers = {"path": "saved_model/\0x"}
        archive.addfile(member)
    assert "is refused and nothing was unpacked" in refused(path)


@pytest.mark.parametrize("keep", [0, 5, 200, -300])
def test_truncated_archive_gets_one_line(export, keep):
    path = export / "saved_model.tar.gz"
    path.write_bytes(path.read_bytes()[:keep])
    assert "damaged, or not a tar archive" in refused(path)


def test_archive_of_something_else_gets_one_line(tmp_path):
    path = tmp_path / "photos.tar"
    with tarfile.open(path, "w") as archive:
        add_file(archive, "photos/1.jpg")
    assert "not an export: no saved_model.pb" in refused(path)


def test_the_same_export_gives_the_same_archive(original, tmp_path):
    from simclr_tf.export.publication import write_archive

    write_archive(original / "saved_model", tmp_path / "again.tar.gz")
    assert (tmp_path / "again.tar.gz").read_bytes() == (
        original / "saved_model.tar.gz"
    ).read_bytes()


@pytest.mark.parametrize("keep", [0, 4, 100, -8])
def test_truncated_weights_get_one_line(export, keep):
    path = export / "weights.safetensors"
    path.write_bytes(path.read_bytes()[:keep])
    assert "damaged or not safetensors" in refused(path)


def test_changed_weights_are_noticed(export):
    path = export / "weights.safetensors"
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(bytes(data))
    assert "differs from its checksum" in refused(path)


def test_weights_of_another_network_are_refused(export):
    def widen(record):
        record["network"] = describe_network(network(filters=5))

    change_record(export, widen)
    message = refused(export / "weights.safetensors")
    assert "do not belong to this network" in message
    assert "another shape: initial_conv/kernel and 5 more" in message


def make_lambda(record):
    layer = record["network"]["config"]["layers"][1]
    layer["class_name"] = "Lambda"


def call_the_system(record):
    layer = record["network"]["config"]["layers"][1]["config"]
    layer["kernel_initializer"] = {
        "module": "os",
        "class_name": "system",
        "config": {},
        "registered_name": None,
    }


def use_a_registered_class(record):
    record["network"]["config"]["layers"][1]["registered_name"] = "package>Layer"


def other_kind(record):
    record["network"]["kind"] = "pickle/1"


def no_layers(record):
    del record["network"]["config"]["layers"]


@pytest.mark.parametrize(
    "change, words",
    [
        (make_lambda, "keras.layers.Lambda, which is not on the list"),
        (call_the_system, "os.system, which is not on the list"),
        (use_a_registered_class, "not on the list"),
        (other_kind, "not of the kind"),
        (no_layers, "cannot be rebuilt"),
    ],
)
def test_description_that_is_more_than_data_is_refused(export, change, words):
    change_record(export, change)
    with pytest.raises(DataError, match="config.json cannot be rebuilt") as caught:
        load_encoder(export)
    assert words in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.parametrize("content", [b"", b"[]", b"{", b"\xff\xfe", b"{}"])
def test_weights_without_their_record_get_one_line(export, content):
    (export / "config.json").write_bytes(content)
    with pytest.raises(DataError, match="config.json") as caught:
        load_encoder(export / "weights.safetensors")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("keep", [0, 50, 450])
def test_truncated_variables_of_a_saved_model_get_one_line(export, keep):
    (path,) = (export / "saved_model" / "variables").glob("*.data-*")
    path.write_bytes(path.read_bytes()[:keep])
    assert "Cannot read the checkpoint" in refused(export / "saved_model")


@pytest.mark.parametrize("keep", [0, 1, 1000])
def test_truncated_description_of_a_saved_model_gets_one_line(export, keep):
    path = export / "saved_model" / "assets.extra" / "simclr_tf.json"
    path.write_bytes(path.read_bytes()[:keep])
    assert "Cannot read" in refused(export / "saved_model")


def test_truncated_program_of_a_foreign_saved_model_gets_one_line(export):
    shutil.rmtree(export / "saved_model" / "assets.extra")
    path = export / "saved_model" / "saved_model.pb"
    path.write_bytes(path.read_bytes()[:1000])
    assert "Cannot load the SavedModel" in refused(export / "saved_model")


def test_foreign_saved_model_is_wrapped_if_it_is_an_encoder(export, tmp_path):
    shutil.rmtree(export / "saved_model" / "assets.extra")
    loaded = load_encoder(export / "saved_model")
    assert loaded(np.zeros([2, 9, 8, 3], np.float32)).shape == (2, 4)
    assert loaded.num_channels == 3
    other = tf.train.Checkpoint()
    tf.saved_model.save(other, str(tmp_path / "other"))
    assert "is no encoder" in refused(tmp_path / "other")


def test_newest_of_numbered_versions_counts(export):
    for version in ("2", "10"):
        shutil.copytree(export / "saved_model", export / "served" / version)
    shutil.rmtree(export / "served" / "2" / "variables")
    assert load_encoder(export / "served").output_shape == (None, 4)


def test_foreign_folder_gets_one_line(tmp_path):
    (tmp_path / "thesis.tex").write_text("precious")
    with pytest.raises(WorkdirError, match="neither a workdir .* nor an export"):
        load_encoder(tmp_path)


def test_export_for_other_programs_alone_says_so(export):
    shutil.rmtree(export / "saved_model")
    (export / "weights.safetensors").unlink()
    assert "an export in formats for other programs" in refused(export)


def test_foreign_saved_model_is_fine_tuned_by_fit_unless_it_is_frozen(original, images):
    def fit(trainable):
        loaded = ExportedEncoder(original / "saved_model")
        loaded.trainable = trainable
        inputs = keras.Input((None, None, 3))
        model = keras.Model(inputs, keras.layers.Dense(2)(loaded(inputs)))
        model.compile(keras.optimizers.SGD(0.1), "mse")
        before = [v.numpy() for v in loaded.variables]
        assert len(before) == 6 and len(loaded.trainable_variables) == 4 * trainable
        model.fit(images, np.ones([len(images), 2]), batch_size=2, verbose=0)
        return [
            np.abs(old - new.numpy()).max()
            for old, new in zip(before, loaded.variables, strict=True)
        ]

    kernel, _, *batch_norm = fit(True)  # A bias before batch norm has no gradient.
    assert min(kernel, *batch_norm) > 1e-5
    assert max(fit(False)) == 0


def test_penalties_of_a_foreign_saved_model_are_the_models(tmp_path):
    inputs = keras.Input((None, None, 3))
    maps = keras.layers.Conv2D(2, 1, kernel_regularizer="l2", name="conv")(inputs)
    encoder = keras.Model(inputs, keras.layers.GlobalAveragePooling2D()(maps))
    module = ReusableModule(encoder)
    tf.saved_model.save(module.root, str(tmp_path), signatures=module.signatures)
    (penalty,) = load_encoder(tmp_path).losses
    kernel = encoder.get_layer("conv").kernel
    np.testing.assert_allclose(penalty, 0.01 * np.sum(kernel.numpy() ** 2), rtol=1e-5)


def test_foreign_saved_model_has_no_endpoints_and_is_not_exported_again(
    export, tmp_path
):
    shutil.rmtree(export / "saved_model" / "assets.extra")
    with pytest.raises(ConfigError, match="no description of.*loaded.signatures"):
        load_encoder(export / "saved_model", endpoints=True)
    with pytest.raises(ConfigError, match="copy that folder"):
        export_saved_model(load_encoder(export / "saved_model"), tmp_path / "again")


def test_weights_are_read_without_the_package_safetensors(export, monkeypatch):
    monkeypatch.setitem(sys.modules, "safetensors", None)
    monkeypatch.setitem(sys.modules, "safetensors.numpy", None)
    load_encoder(export / "weights.safetensors")
