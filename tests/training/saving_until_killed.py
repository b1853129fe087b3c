"""A process that does nothing but save is killed again and again; for the test beside.

Usage: python saving_until_killed.py FOLDER KILLS. Every child is a copy of this process
from before TensorFlow has started a thread; it reads the newest checkpoint and saves
one after the other from there. Prints one JSON object a kill.
"""

import json
import os
import pathlib
import random
import signal
import sys
import time

import tensorflow as tf

from simclr_tf.training.checkpoints import CheckpointStore


def save_for_ever(store, reports):
    """Child: restore, then save; every complete step is written to a pipe."""
    model = tf.train.Checkpoint(values=tf.Variable(tf.zeros([20_000], tf.int32)))
    latest = store.latest()
    step = 0
    if latest is not None:
        latest.restore(model=model)
        step = latest.step
        if not (model.values.numpy() == step).all():
            os._exit(3)  # Another step's values under this step's name.
    os.write(reports, b"ready\n")
    while True:
        step += 1
        model.values.assign(tf.fill([20_000], step))
        store.save(step, model=model)
        os.write(reports, b"%d\n" % step)


def life(store, moment=0.0, saves=0):
    """Start a child; kill it after a number of saves and `moment` seconds."""
    from_child, to_parent = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            save_for_ever(store, to_parent)
        finally:
            os._exit(4)
    os.close(to_parent)
    with os.fdopen(from_child, "rb") as reports:
        first = reports.readline()
        began = time.perf_counter()
        lines = [reports.readline() for _ in range(saves)]
        seconds = time.perf_counter() - began
        time.sleep(moment)
        os.kill(child, signal.SIGKILL)
        words = b"".join([*lines, reports.read()]).split()
    _, status = os.waitpid(child, 0)
    complete = [int(word) for word in words if word.isdigit()]
    return {
        "killed": os.WIFSIGNALED(status),
        "ready": first == b"ready\n",
        "complete": complete[-1] if complete else 0,
        "seconds": seconds,
    }


def main(folder, kills):
    store = CheckpointStore(folder, keep=2)
    dice = random.Random(0)
    calm = life(store, saves=5)
    before, one_save = calm["complete"], calm["seconds"] / 5
    for kill in range(kills):
        report = life(store, dice.uniform(0.0, 2 * one_save), saves=kill % 2)
        latest = store.latest()
        report["complete"] = before = max(before, report["complete"])
        report["found"] = 0 if latest is None else latest.step
        report["interrupted"] = any(folder.glob(".step-*"))
        print(json.dumps(report), flush=True)


if __name__ == "__main__":
    main(pathlib.Path(sys.argv[1]), int(sys.argv[2]))
