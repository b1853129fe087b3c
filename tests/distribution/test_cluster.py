"""TF_CONFIG read strictly, and the wait for workers that may never come."""

import json
import socket
import threading
import time

import pytest
import tensorflow as tf

from simclr_tf.distribution import lost_peers, make_strategy, named_lost_peers
from simclr_tf.distribution.cluster import Cluster, Worker, read_tf_config
from simclr_tf.errors import ClusterError, LostPeerError


def config(workers=("a:1", "b:2"), index=0, job="worker", **more):
    return json.dumps(
        {
            "cluster": {"worker": list(workers)},
            "task": {"type": job, "index": index},
            **more,
        }
    )


def free_addresses(number):
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(number)]
    addresses = [f"127.0.0.1:{s.getsockname()[1]}" for s in sockets]
    for s in sockets:
        s.close()
    return addresses


def cluster(addresses, index):
    return read_tf_config(config(addresses, index))


def test_the_chief_comes_before_the_workers():
    text = json.dumps(
        {
            "cluster": {"worker": ["b:1", "c:1"], "chief": ["a:1"]},
            "task": {"type": "worker", "index": 1},
        }
    )
    found = read_tf_config(text)
    assert [str(w) for w in found.workers] == [
        "chief 0 (a:1)",
        "worker 0 (b:1)",
        "worker 1 (c:1)",
    ]
    assert found.index == 2 and found.own.address == "c:1"


def test_an_ipv6_address_is_taken_apart():
    assert Worker("worker", 0, "[::1]:5000").endpoint == ("::1", 5000)


@pytest.mark.parametrize(
    "text, words",
    [
        (None, "needs the environment variable TF_CONFIG"),
        ("", "needs the environment variable TF_CONFIG"),
        ("{", "not JSON"),
        ("[]", "`cluster` and `task`"),
        ('{"cluster": {"worker": ["a:1"]}}', "`cluster` and `task`"),
        (config(index=2), "index 2"),
        (config(index=-1), "index -1"),
        (config(index="0"), "index '0'"),
        (config(index=True), "index True"),
        (config(job="chief"), "type 'chief'"),
        (config(workers=["a"]), "'a' is not HOST:PORT"),
        (config(workers=["a:x"]), "'a:x' is not HOST:PORT"),
        (config(workers=["a:70000"]), "'a:70000' is not HOST:PORT"),
        (config(workers=[5]), "5 is not HOST:PORT"),
        (config(workers=["a:1", "a:1"]), "a:1 is listed twice"),
        ('{"cluster": {"worker": "a:1"}, "task": {}}', "must be a list"),
        ('{"cluster": {"ps": ["a:1"]}, "task": {}}', "not ps"),
        ('{"cluster": {}, "task": {}}', "not none"),
        (config(job="ps"), "This process is ps 0 of the cluster"),
        (config(job="evaluator"), "leave parameter servers and evaluators out"),
        (
            '{"cluster": {"chief": ["a:1", "b:1"]}, "task": {"type": "chief"}}',
            "only one chief",
        ),
        (
            '{"sparseCluster": {"worker": {"0": "a:1"}}, "task": {"type": "worker"}}',
            "enableDynamicWorker",
        ),
        (config(index=7, job_spec="x" * 10_000), "..."),
    ],
)
def test_a_tf_config_that_describes_no_cluster_is_refused(text, words):
    with pytest.raises(ClusterError) as error:
        read_tf_config(text)
    message = str(error.value)
    assert words in message and "\n" not in message and len(message) < 1000


def test_a_master_is_the_chief_and_an_evaluator_takes_no_part():
    text = json.dumps(
        {
            "cluster": {"worker": ["b:1"], "master": ["a:1"], "evaluator": ["e:1"]},
            "task": {"type": "master", "index": 0},
            "environment": "cloud",
        }
    )
    found = read_tf_config(text)
    assert found.jobs == {"chief": ["a:1"], "worker": ["b:1"]}
    assert str(found.own) == "chief 0 (a:1)" and list(found.jobs) == ["chief", "worker"]


def test_workers_wait_until_all_have_come():
    addresses, done, all_done = free_addresses(3), [], threading.Event()

    def come(index):
        own = cluster(addresses, index)
        own.wait_for_peers(30)
        done.append(index)
        with socket.create_server(own.own.endpoint):  # TensorFlow's server follows.
            all_done.wait(30)

    threads = [threading.Thread(target=come, args=(index,)) for index in range(3)]
    for thread in threads[:2]:
        thread.start()
    time.sleep(0.5)
    assert done == []  # Two of three are not enough.
    threads[2].start()
    deadline = time.monotonic() + 30
    while len(done) < 3 and time.monotonic() < deadline:
        time.sleep(0.05)
    all_done.set()
    for thread in threads:
        thread.join()
    assert sorted(done) == [0, 1, 2]


def test_who_never_comes_is_named_after_the_timeout():
    addresses = [*free_addresses(2), "no-such-host.invalid:5000"]
    with pytest.raises(ClusterError) as error:
        cluster(addresses, 0).wait_for_peers(0.5)
    message = str(error.value)
    assert "\n" not in message and "0.5 s" in message
    assert f"worker 1 ({addresses[1]})" in message
    assert "worker 2 (no-such-host.invalid:5000): its host name" in message


def test_a_port_in_use_is_named():
    with socket.create_server(("127.0.0.1", 0)) as other:
        address = f"127.0.0.1:{other.getsockname()[1]}"
        with pytest.raises(ClusterError, match=f"{address}.* is in use"):
            cluster([address, "b:2"], 0).wait_for_peers(0.5)


def test_the_port_is_free_again_after_the_wait():
    (address,) = free_addresses(1)
    Cluster((Worker("worker", 0, address),), 0).wait_for_peers(1)
    port = int(address.rpartition(":")[2])
    socket.create_server(("127.0.0.1", port)).close()


ABORTED = (
    "Collective ops is aborted by: Error reported from /job:worker/task:1: The "
    "following tasks are unhealthy (stopped sending heartbeats):\n"
    "/job:worker/replica:0/task:1\nThe tasks have crashed."
)
LATE = "Collective has timed out during execution."


def raised_by(monkeypatch, peers, error):
    """The message that `error` becomes on worker 0 of three."""
    monkeypatch.setattr(lost_peers, "cluster_of", lambda strategy: peers)
    with (
        pytest.raises(LostPeerError) as lost,
        named_lost_peers(None, lambda: "Start again."),
    ):
        raise error
    assert "\n" not in str(lost.value) and str(lost.value).endswith("Start again.")
    return str(lost.value)


def test_a_lost_worker_is_named(monkeypatch):
    with socket.create_server(("127.0.0.1", 0)) as alive:
        here, gone, gone_too = free_addresses(3)
        answering = f"127.0.0.1:{alive.getsockname()[1]}"
        error = tf.errors.UnavailableError(None, None, ABORTED)
        # Of two that do not answer, the one that TensorFlow blames; the other may
        # have stopped because of it.
        message = raised_by(monkeypatch, cluster([here, gone, gone_too], 0), error)
        assert message.startswith(f"worker 1 ({gone}) stopped answering")
        assert gone_too not in message
        # A hung process still has its port: TensorFlow's word counts.
        message = raised_by(monkeypatch, cluster([here, answering, gone], 0), error)
        assert gone in message
        message = raised_by(monkeypatch, cluster([here, answering], 0), error)
        assert message.startswith(f"worker 1 ({answering}) stopped answering")
        # Nobody is blamed, nobody is gone.
        late = tf.errors.DeadlineExceededError(None, None, LATE)
        message = raised_by(monkeypatch, cluster([here, answering], 0), late)
        assert answering in message and "--collective_timeout_seconds" in message


def test_other_errors_stay_what_they_are(monkeypatch):
    with (
        pytest.raises(tf.errors.UnavailableError),
        named_lost_peers(make_strategy("one_device"), str),
    ):
        raise tf.errors.UnavailableError(None, None, ABORTED)
    monkeypatch.setattr(
        lost_peers, "cluster_of", lambda strategy: cluster(["a:1", "b:2"], 0)
    )
    with pytest.raises(tf.errors.InternalError), named_lost_peers(None, str):
        raise tf.errors.InternalError(None, None, "A bug of a kernel.")
