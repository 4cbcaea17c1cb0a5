"""Records as MLflow's runs: the mapping on a client that keeps what it is told, and, where mlflow
is installed, its own client against a server of the few addresses that are asked."""

from __future__ import annotations

import dataclasses
import json
import math
import os
import re
import threading
from collections import namedtuple
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from wattune.audit.mlflow_runs import (
    KEY,
    SILENT,
    Tracking,
    metrics_of,
    params_of,
    send,
    tags_of,
    tracking,
)
from wattune.errors import InputError
from wattune.measure.record import Record
from wattune.measure.store import record_files

Metric = namedtuple("Metric", "key value timestamp step")
Param = namedtuple("Param", "key value")
Tag = namedtuple("Tag", "key value")
Make = Callable[..., Any]
NAMES = re.compile(r"[/\w.\- ]+")


class Client:
    """What of mlflow.tracking.MlflowClient is used; refuses what a server would refuse."""

    def __init__(self) -> None:
        self.experiments: dict[str, Any] = {}
        self.runs: dict[str, Any] = {}
        self.breaks_at = ""

    def get_experiment_by_name(self, name: str) -> Any:
        return self.experiments.get(name)

    def create_experiment(self, name: str) -> str:
        number = str(len(self.experiments) + 1)
        known = SimpleNamespace(experiment_id=number, lifecycle_stage="active")
        self.experiments[name] = known
        return number

    def search_runs(self, experiments: list[str], filter_string: str = "") -> list[Any]:
        match = re.fullmatch(r"tags\.`([\w.]+)` = '(\w+)'", filter_string)
        assert match
        return [
            run
            for run in self.runs.values()
            if run.experiment in experiments and run.tags.get(match[1]) == match[2]
        ]

    def create_run(
        self, experiment: str, start_time: int | None, tags: dict[str, str], run_name: str
    ) -> Any:
        number = f"r{len(self.runs)}-{os.urandom(2).hex()}"
        info = SimpleNamespace(run_id=number, status="RUNNING")
        self.runs[number] = SimpleNamespace(
            info=info, experiment=experiment, name=run_name, tags=dict(tags), start=start_time,
            metrics={}, params={}, files=[], end=None,
        )  # fmt: skip
        return self.runs[number]

    def log_batch(self, number: str, metrics: Any = (), params: Any = (), tags: Any = ()) -> None:
        assert len(metrics) <= 1000
        assert len(params) <= 100
        assert len(tags) <= 100
        run = self.runs[number]
        for one in metrics:
            assert isinstance(one.value, float)
            assert math.isfinite(one.value)
            assert one.timestamp >= 0
        for one in (*metrics, *params, *tags):
            assert NAMES.fullmatch(one.key)
            assert len(one.key) <= 250
        for kept, given in ((run.metrics, metrics), (run.params, params), (run.tags, tags)):
            kept.update({one.key: one.value for one in given})

    def log_artifact(self, number: str, path: str) -> None:
        if self.breaks_at and path.endswith(self.breaks_at):
            raise ConnectionError("the cable")
        self.runs[number].files.append(path)

    def delete_run(self, number: str) -> None:
        del self.runs[number]

    def set_terminated(self, number: str, status: str, end_time: int | None) -> None:
        self.runs[number].info.status, self.runs[number].end = status, end_time


@pytest.fixture
def client() -> Client:
    return Client()


@pytest.fixture
def to(client: Client) -> Tracking:
    return Tracking(client, Metric, Param, Tag)


@pytest.fixture
def found(put: Make, entry: Make, record: Make) -> list[tuple[Path, Record]]:
    put(entry(1), record(entry(1)))
    return record_files(put(entry(2), record(entry(2), {"boundary": "owned"})))


def test_a_record_is_a_run(client: Client, to: Tracking, found: list[tuple[Path, Record]]) -> None:
    assert dataclasses.astuple(send(found, to, "ferries")) == (2, 0)
    one, two = client.runs.values()
    assert (one.name, one.info.status) == ("run-1", "FINISHED")
    assert one.start == 1793491260000  # 2026-11-01T00:01:00Z
    assert one.end - one.start == 60_000
    assert one.metrics["token_f1"] == 0.5
    assert (one.metrics["token_f1_low"], one.metrics["token_f1_high"]) == (0.4, 0.6)
    assert one.metrics["answer_energy_j"] == 360
    assert one.metrics["spent_energy_j"] == pytest.approx(6480)
    assert one.metrics["operational_g"] == pytest.approx(0.09)
    assert "embodied_g" not in one.metrics  # not known, and not 0
    assert two.metrics["scope2_location_g"] == pytest.approx(0.09)
    assert two.params["accounting.boundary"] == "owned"
    assert one.tags[KEY] == found[0][1].key
    assert one.tags["wattune.place"] == "FRA"
    assert one.tags["wattune.energy_known_by"] == "cpu modelled_load"
    assert one.tags["wattune.fingerprint.task"] == "t1"
    assert [Path(file).name for file in one.files] == [
        found[0][0].name, found[0][0].name.replace(".json", ".answers.jsonl"),
    ]  # fmt: skip


def test_sending_again_sends_what_is_missing(
    client: Client, to: Tracking, found: list[tuple[Path, Record]]
) -> None:
    assert send(found[:1], to).written == 1
    assert dataclasses.astuple(send(found, to)) == (1, 1)
    assert dataclasses.astuple(send(found, to)) == (0, 2)
    assert len(client.runs) == 2
    assert send(found, to, "another").written == 2


def test_a_run_that_was_cut_off_is_made_anew(
    client: Client, to: Tracking, found: list[tuple[Path, Record]]
) -> None:
    client.breaks_at = ".answers.jsonl"
    with pytest.raises(ConnectionError):
        send(found, to)
    client.breaks_at = ""
    assert send(found, to).written == 2
    assert [run.info.status for run in client.runs.values()] == ["FINISHED", "FINISHED"]
    assert all(len(run.files) == 2 for run in client.runs.values())


def test_runs_that_were_not_done_say_so_once(
    client: Client, to: Tracking, found: list[tuple[Path, Record]]
) -> None:
    path, record = found[0]
    failed = [(path, record.model_copy(update={"status": "failed", "reason": "no memory"}))]
    assert send(failed, to).written == 1
    assert send(failed, to).written == 0
    (run,) = client.runs.values()
    assert (run.info.status, run.tags["wattune.reason"]) == ("FAILED", "no memory")


def test_a_deleted_experiment_is_a_sentence(
    client: Client, to: Tracking, found: list[tuple[Path, Record]]
) -> None:
    send(found, to)
    client.experiments["wattune"].lifecycle_stage = "deleted"
    with pytest.raises(InputError, match="was deleted in MLflow"):
        send(found, to)
    with pytest.raises(InputError, match="no records"):
        send([], to)


def test_names_and_lengths_are_what_mlflow_takes(record: Make, entry: Make) -> None:
    steps = [{"prompt": {"question": "x" * 9000, "empty": None, "choices": ["a"]}}, {"rag": {}}]
    made = record(entry(1), recipe={"runs": {"it": steps}, "task": "ferry", "a:b@c/d": 1})
    params = params_of(made)
    assert params["task"] == "ferry"
    assert len(params["step_1.prompt.question"]) == 6000
    assert params["step_1.prompt.choices"] == "['a']"
    assert "step_1.prompt.empty" not in params
    assert params["a_b_at_c_d"] == "1"
    made = made.model_copy(update={"quality": {"recall@3": made.quality["token_f1"]}})
    assert metrics_of(made)["recall_at_3"] == 0.5
    assert all(tags_of(made).values())


def test_without_mlflow_it_is_said_how_to_have_it(
    wattune: Any, put: Make, entry: Make, record: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(__import__("sys").modules, "mlflow.entities", None)
    folder = put(entry(1), record(entry(1)))
    ran = wattune("export", folder, "--mlflow", "http://localhost:1")
    assert ran.code == 2
    assert "wattune[mlflow]" in ran.err
    assert not set(SILENT) & set(os.environ)


class Server(BaseHTTPRequestHandler):
    """The addresses of MLflow's REST interface that its client asks for us, on a `Client`."""

    kept: Client
    folder: Path

    def log_message(self, *args: Any) -> None:
        """Say nothing."""

    def _answer(self, content: Any, status: int = 200) -> None:
        body = json.dumps(content).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_GET(self) -> None:
        from urllib.parse import parse_qs, urlparse

        address = urlparse(self.path)
        asked = {name: values[0] for name, values in parse_qs(address.query).items()}
        if address.path.endswith("/experiments/get-by-name"):
            known = self.kept.experiments.get(asked["experiment_name"])
            if known is not None:
                self._answer({"experiment": self._experiment(asked["experiment_name"], known)})
                return
        if address.path.endswith("/experiments/get"):
            for name, known in self.kept.experiments.items():
                if known.experiment_id == asked["experiment_id"]:
                    self._answer({"experiment": self._experiment(name, known)})
                    return
        if address.path.endswith("/runs/get") and asked["run_id"] in self.kept.runs:
            self._answer({"run": self._run(self.kept.runs[asked["run_id"]])})
            return
        self._answer({"error_code": "RESOURCE_DOES_NOT_EXIST", "message": "there is none"}, 404)

    def do_POST(self) -> None:
        size = int(self.headers.get("Content-Length", 0))
        asked = json.loads(self.rfile.read(size) or b"{}")
        _, _, verb = self.path.rpartition("/mlflow/")
        kept = self.kept
        if verb == "experiments/create":
            self._answer({"experiment_id": kept.create_experiment(asked["name"])})
        elif verb == "runs/search":
            runs = kept.search_runs(asked["experiment_ids"], asked["filter"])
            self._answer({"runs": [self._run(run) for run in runs]})
        elif verb == "runs/create":
            tags = {tag["key"]: tag["value"] for tag in asked.get("tags", [])}
            began = int(asked.get("start_time", 0))
            run = kept.create_run(asked["experiment_id"], began, tags, asked.get("run_name", ""))
            self._answer({"run": self._run(run)})
        elif verb == "runs/log-batch":
            kept.log_batch(
                asked["run_id"],
                [
                    Metric(m["key"], float(m["value"]), int(m["timestamp"]), 0)
                    for m in asked.get("metrics", [])
                ],
                [Param(p["key"], p["value"]) for p in asked.get("params", [])],
                [Tag(t["key"], t["value"]) for t in asked.get("tags", [])],
            )
            self._answer({})
        elif verb == "runs/update":
            run = kept.runs[asked["run_id"]]
            run.info.status = asked.get("status", run.info.status)
            run.end = int(asked.get("end_time", 0))
            self._answer({"run_info": self._run(run)["info"]})
        elif verb == "runs/delete":
            kept.delete_run(asked["run_id"])
            self._answer({})
        else:
            self._answer({"error_code": "ENDPOINT_NOT_FOUND", "message": verb}, 404)

    def _experiment(self, name: str, known: Any) -> dict[str, Any]:
        return {
            "experiment_id": known.experiment_id,
            "name": name,
            "lifecycle_stage": known.lifecycle_stage,
            "artifact_location": self.folder.as_uri(),
        }

    def _run(self, run: Any) -> dict[str, Any]:
        info = {
            "run_id": run.info.run_id,
            "run_uuid": run.info.run_id,
            "run_name": run.name,
            "experiment_id": run.experiment,
            "status": run.info.status,
            "start_time": run.start or 0,
            "artifact_uri": (self.folder / run.info.run_id).as_uri(),
            "lifecycle_stage": "active",
        }
        tags = [{"key": key, "value": value} for key, value in run.tags.items()]
        return {"info": info, "data": {"tags": tags}}


@pytest.fixture
def served(tmp_path: Path, client: Client) -> Iterator[str]:
    handler = type("Handler", (Server,), {"kept": client, "folder": tmp_path / "artefacts"})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.mark.filterwarnings("default")
def test_mlflows_own_client_writes_and_finds_them(
    tmp_path: Path, client: Client, served: str, found: list[tuple[Path, Record]]
) -> None:
    pytest.importorskip("mlflow")
    with tracking(served) as to:
        assert dataclasses.astuple(send(found, to)) == (2, 0)
        assert dataclasses.astuple(send(found, to)) == (0, 2)
    one = next(iter(client.runs.values()))
    assert one.metrics == pytest.approx(metrics_of(found[0][1]))
    assert one.params == params_of(found[0][1])
    assert one.tags.items() >= tags_of(found[0][1]).items()
    (sent,) = (tmp_path / "artefacts" / one.info.run_id).rglob(found[0][0].name)
    assert sent.read_bytes() == found[0][0].read_bytes()
    with pytest.raises(InputError, match="MLflow at"), tracking("nothing://there") as to:
        send(found, to)
