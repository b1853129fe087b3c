"""HDF5 files at which libhdf5 never ends, or ends the process: one line, in time."""

import h5py
import pytest

from simclr_tf import load_encoder
from simclr_tf._keras import keras
from simclr_tf.errors import DataError
from simclr_tf.training import hdf5_trial


@pytest.fixture
def without_heap(tmp_path):
    """A Keras file in which 16 bytes are zeros: the first entry of its heap of texts.

    Found by a coverage-guided fuzzer.
    """
    images = keras.Input((None, None, 1))
    model = keras.Model(images, keras.layers.GlobalAveragePooling2D()(images))
    path = tmp_path / "encoder.h5"
    model.save(path)
    content = bytearray(path.read_bytes())
    first = content.index(b"GCOL") + 16
    content[first : first + 16] = bytes(16)
    path.write_bytes(content)
    return path


def test_file_that_is_read_for_ever_is_refused(without_heap, monkeypatch):
    monkeypatch.setattr(hdf5_trial, "SECONDS", 2)
    with pytest.raises(
        DataError, match="encoder.h5 is refused: its HDF5 part"
    ) as error:
        load_encoder(without_heap)
    assert "reading it takes more than 2 s" in str(error.value)


def test_file_that_ends_its_reader_is_refused(tmp_path, monkeypatch):
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file.attrs["a"] = "text"
    hdf5_trial.require_end(tmp_path / "a.h5")
    killed = tmp_path / "killed.py"
    killed.write_text("import os, signal; os.kill(os.getpid(), signal.SIGSEGV)")
    monkeypatch.setattr(hdf5_trial, "_READ_ALL", killed)
    with pytest.raises(DataError, match="ends the process with signal 11"):
        hdf5_trial.require_end(tmp_path / "a.h5")


def test_file_that_is_no_hdf5_is_left_to_its_reader(tmp_path):
    (tmp_path / "a.h5").write_text("text")
    hdf5_trial.require_end(tmp_path / "a.h5")


def test_module_in_the_current_folder_is_not_imported(tmp_path, monkeypatch):
    (tmp_path / "h5py.py").write_text("open('proof', 'w')")
    monkeypatch.chdir(tmp_path)
    hdf5_trial.require_end(tmp_path / "h5py.py")
    assert not (tmp_path / "proof").exists()
