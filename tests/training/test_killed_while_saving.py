"""SIGKILL at any moment of saving loses nothing that was complete."""

import json
import pathlib

from simclr_tf.training.checkpoints import CheckpointStore
from tests import fresh_process

SCRIPT = pathlib.Path(__file__).with_name("saving_until_killed.py")
KILLS = 50


def test_fifty_kills_while_saving_lose_no_complete_checkpoint(tmp_path):
    done = fresh_process.run([SCRIPT, tmp_path / "c", KILLS], timeout=1800)
    reports = [json.loads(line) for line in done.stdout.splitlines()]
    assert len(reports) == KILLS, done.stderr
    # Each child could read the newest checkpoint, and found that step's values there.
    assert all(report["killed"] and report["ready"] for report in reports), reports
    assert all(report["found"] >= report["complete"] for report in reports), reports
    assert "damaged" not in done.stderr
    # The kills did hit: many left a half-written checkpoint behind.
    assert sum(report["interrupted"] for report in reports) >= KILLS // 5, reports
    assert CheckpointStore(tmp_path / "c").latest().step > KILLS // 2
