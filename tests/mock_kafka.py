"""librdkafka's mock of a Kafka cluster in a process of its own: `with MockKafka() as kafka: kafka.servers`.

The cluster has no Python interface, so its C functions are called. `down` and `up` close and open the broker.
"""

from __future__ import annotations

import ctypes
import subprocess
import sys
from pathlib import Path
from typing import Self

import confluent_kafka

ROOT = Path(__file__).parents[1]


class MockKafka:
    """A running mock cluster with one broker."""

    def __enter__(self) -> Self:
        command = [sys.executable, "-m", "tests.mock_kafka"]
        self.process = subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.servers = self.process.stdout.readline().strip()
        return self

    def __exit__(self, *error: object) -> None:
        self.process.stdin.close()
        self.process.wait(10)

    def tell(self, *words: object) -> None:
        """Ask the cluster for something: `down`, `up`, `topic NAME PARTITIONS`, `refuse NUMBER TIMES` (error codes)."""
        self.process.stdin.write(" ".join(map(str, words)) + "\n")
        self.process.stdin.flush()
        answer = self.process.stdout.readline().strip()
        if answer != "0":
            raise RuntimeError(f"{words}: the mock answers {answer!r}")


PRODUCE = 0  # number of the request in Kafka's protocol
BROKER = 1


def serve() -> None:
    """Run a cluster until the input ends; one answer a line of input, 0 for what worked."""
    library = ctypes.CDLL(str(_library()))
    for name in ("rd_kafka_new", "rd_kafka_conf_new", "rd_kafka_mock_cluster_new"):
        getattr(library, name).restype = ctypes.c_void_p
    library.rd_kafka_mock_cluster_bootstraps.restype = ctypes.c_char_p
    client = ctypes.c_void_p(library.rd_kafka_new(0, ctypes.c_void_p(library.rd_kafka_conf_new()), None, 0))
    cluster = ctypes.c_void_p(library.rd_kafka_mock_cluster_new(client, 1))
    print(library.rd_kafka_mock_cluster_bootstraps(cluster).decode(), flush=True)
    for line in sys.stdin:
        match line.split():
            case ["down"]:
                answer = library.rd_kafka_mock_broker_set_down(cluster, BROKER)
            case ["up"]:
                answer = library.rd_kafka_mock_broker_set_up(cluster, BROKER)
            case ["topic", name, partitions]:
                answer = library.rd_kafka_mock_topic_create(cluster, name.encode(), int(partitions), 1)
            case ["refuse", code, times]:
                codes = (ctypes.c_int * int(times))(*[int(code)] * int(times))
                library.rd_kafka_mock_push_request_errors_array(
                    cluster, ctypes.c_int16(PRODUCE), ctypes.c_size_t(int(times)), codes
                )
                answer = 0
            case other:
                answer = f"unknown: {other}"
        print(answer, flush=True)
    library.rd_kafka_mock_cluster_destroy(cluster)


def _library() -> Path:
    """The shared library inside the wheel."""
    package = Path(confluent_kafka.__file__).parent
    found = sorted((package.parent / "confluent_kafka.libs").glob("librdkafka*")) + sorted(package.glob("*.dylib"))
    return found[0]


if __name__ == "__main__":
    serve()
