"""What a kept reply first cost goes into attributed figures exactly, and into no other."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from wattune.answering.pool import Pool
from wattune.answering.recall import recall
from wattune.answering.responses import ResponseCache
from wattune.endpoint_ref import EndpointRef
from wattune.measure.meter import Meter
from wattune.measure.phases import add_phases, scaled
from wattune.measure.record import Energy, Phase, Utilisation
from wattune.measure.work import Tally
from wattune.models.generation import Reply, Told
from wattune.models.served import Served
from wattune.stages import StageStore
from wattune.system import EndpointSystem, LocalSystem, ModelRef

LOCAL = LocalSystem(model=ModelRef(name="m", revision="r"), refusal="no")


class Clockwork:
    """A model whose every reply takes a second at 20 W; `dies_at` a question, `empty` to one."""

    def __init__(self, world: Any, account: Any) -> None:
        self.world, self.account = world, account
        self.asked: list[str] = []
        self.dies_at = self.empty = self.fails = ""

    def generate(
        self, messages: Sequence[Any], decoding: Any, *, seed: int = 0, told: Told | None = None
    ) -> list[Reply]:
        made = []
        for number, chat in enumerate(messages):
            text = chat[-1]["content"]
            self.asked.append(text)
            if text == self.dies_at:
                raise ConnectionError("killed")
            self.world.go(1.0)
            written = "" if text in (self.empty, self.fails) else text.upper()
            failed = "no answer" if text == self.fails else ""
            reply = Reply(text=written, tokens_in=8, tokens_out=2, failed=failed)
            if isinstance(self.account, Served):
                self.account.read(8, 2)
            made.append(reply)
            assert told is not None
            told(number, reply)
        return made


class Bench:
    """A pool with a meter of the test's own making, a model as above, and a cache."""

    def __init__(self, world: Any, folder: Path, system: Any = LOCAL) -> None:
        self.world, self.system = world, system
        self.meter: Meter = world.meter()
        world.power_w.update(cpu=17.0, ram=3.0)
        self.responses = ResponseCache(folder / "responses.sqlite")
        self.pool = Pool(StageStore(folder), self.meter, responses=self.responses)
        remote = isinstance(system, EndpointSystem)
        account: Any = Served(system.endpoint) if remote else SimpleNamespace(tally=Tally())
        self.model = Clockwork(world, account)
        if remote:
            self.pool.accounts.append(account)
        self.pool._model = ("/".join(system.weights_key()), self.model)  # type: ignore[assignment]

    def ask(self, *texts: str) -> list[str]:
        chats: list[Any] = [[{"role": "user", "content": text}] for text in texts]
        return [one.text for one in recall(self.system, self.pool, self.responses, chats)]

    def stretch(self, *texts: str, before_s: float = 0.0) -> tuple[Phase, Phase]:
        """An outer phase in which these are asked: as measured, and as attributed."""
        mark = self.pool.mark()
        with self.meter.phase("answer") as phase:
            self.world.go(before_s)
            self.ask(*texts)
        measured = self.pool.with_endpoints(phase.result, mark)
        return measured, self.pool.recalled_since(mark).added_to(measured)


@pytest.fixture
def bench(world: Any, tmp_path: Path) -> Iterator[Bench]:
    made = Bench(world, tmp_path)
    yield made
    made.responses.close()
    made.meter.close()


def test_a_hit_adds_its_first_joules_to_what_is_attributed_and_nothing_to_what_is_spent(
    bench: Bench,
) -> None:
    # Two seconds of something else, then four replies of 20 J each.
    measured, attributed = bench.stretch("a", "b", "c", "d", before_s=2.0)
    assert measured.energy_j == pytest.approx(120.0)
    assert attributed == measured
    bench.meter.baseline = None
    measured, attributed = bench.stretch("c", "e", "c", before_s=1.0)
    assert bench.model.asked == ["a", "b", "c", "d", "e"]
    assert (measured.duration_s, measured.energy_j) == pytest.approx((2.0, 40.0))
    # A quarter of the four seconds of generating, not of the two before it; once for both "c".
    assert (attributed.duration_s, attributed.energy_j) == pytest.approx((3.0, 60.0))
    assert attributed.components["cpu"].energy_j == pytest.approx(51.0)
    assert attributed.components["cpu"].provenance == measured.components["cpu"].provenance
    assert attributed.repeats == measured.repeats == 1
    measured, attributed = bench.stretch("a", "b", "c", "d", "e")
    assert (measured.duration_s, measured.energy_j) == pytest.approx((0.0, 0.0))
    assert (attributed.duration_s, attributed.energy_j) == pytest.approx((5.0, 100.0))
    assert bench.meter.phases["generate"].energy_j == pytest.approx(100.0)


def test_the_outer_phase_stays_inclusive(bench: Bench) -> None:
    measured, _ = bench.stretch("a", before_s=2.0)
    assert (measured.energy_j, measured.exclusive_energy_j) == pytest.approx((60.0, 40.0))
    whole = bench.meter.phases
    assert whole["generate"].parent == "answer"
    both = sum(phase.exclusive_energy_j or 0.0 for phase in whole.values())
    assert both == pytest.approx(bench.meter.total().energy_j)


def test_failed_replies_are_not_kept_and_what_they_cost_is_the_others(bench: Bench) -> None:
    bench.model.fails = "b"
    bench.stretch("a", "b")
    bench.model.fails = ""
    measured, attributed = bench.stretch("a", "b")
    assert bench.model.asked == ["a", "b", "b"]
    assert (measured.energy_j, attributed.energy_j) == pytest.approx((20.0, 60.0))
    bench.model.fails = "z"
    bench.ask("z")
    assert bench.responses.count() == 2


def test_what_was_made_before_a_stop_carries_its_joules(bench: Bench) -> None:
    bench.model.dies_at = "c"
    with pytest.raises(ConnectionError):
        bench.stretch("a", "b", "c")
    bench.model.dies_at = ""
    measured, attributed = bench.stretch("a", "b", "c")
    assert bench.model.asked == ["a", "b", "c", "c"]
    assert (measured.energy_j, attributed.energy_j) == pytest.approx((20.0, 60.0))
    assert attributed.error is None


def test_replies_of_a_managed_endpoint_carry_what_was_modelled(world: Any, tmp_path: Path) -> None:
    ref = EndpointRef(endpoint="https://x/v1", model="m", energy="gpt-4o")
    bench = Bench(world, tmp_path, EndpointSystem(endpoint=ref, refusal="no"))
    modelled = (8 * 0.18 + 2 * 0.50) * 3.6  # a reply's tokens by the shipped row, in joules
    bench.model.empty = "c"
    bench.stretch("a", "b", "c")
    assert bench.responses.count() == 2  # an empty one may be another's next time
    measured, attributed = bench.stretch("a")
    assert "endpoint" not in measured.components
    assert measured.energy_j == pytest.approx(0.0)
    assert attributed.components["endpoint"].energy_j == pytest.approx(1.5 * modelled)
    assert attributed.energy_j == pytest.approx(1.5 * (20.0 + modelled))
    # A process that was killed had this one, and charged nobody.
    bench.responses.keep(_key(bench, "k"), Reply(text="K", tokens_in=8, tokens_out=2), "gone")
    measured, attributed = bench.stretch("k")
    assert bench.model.asked == ["a", "b", "c"]
    assert measured.components["endpoint"].energy_j == pytest.approx(modelled)
    assert attributed == measured
    measured, attributed = bench.stretch("k")
    assert (measured.energy_j, attributed.energy_j) == pytest.approx((0.0, modelled))
    bench.responses.close()
    bench.meter.close()


def _key(bench: Bench, text: str) -> str:
    from wattune.answering.recall import reply_keys

    return reply_keys(bench.system, [[{"role": "user", "content": text}]], 0)[0]


def test_shares_of_a_phase_add_up_to_it() -> None:
    whole = Phase(
        duration_s=10.0,
        energy_j=50.0,
        exclusive_duration_s=8.0,
        exclusive_energy_j=40.0,
        net_energy_j=None,
        components={
            "cpu": Energy(energy_j=50.0, provenance="counter"),
            "gpu": Energy(energy_j=None, provenance="failed", coverage=0.0),
        },
        utilisation=Utilisation(cpu_percent=50.0, cpu_s=6.0, disk_read_bytes=100),
        peak_memory_bytes=7,
    )
    both = add_phases([scaled(whole, 0.25), scaled(whole, 0.75)])
    assert both == whole.model_copy(update={"repeats": 2})
    quarter = scaled(whole, 0.25)
    assert (quarter.duration_s, quarter.energy_j, quarter.peak_memory_bytes) == (2.5, 12.5, 7)
    assert quarter.utilisation.cpu_percent == 50.0
    assert quarter.components["gpu"].energy_j is None
