"""Drafting: a model writes questions about documents, a hierarchy gives its own, a person reviews.

documents ─▶ passages, a few of each ─▶ model ─▶ question and answer ─▶ checks ─┐
hierarchy ─▶ templates ─────────────────────────────────────────────▶ checks ─┴▶ draft.csv
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import yaml
from filelock import FileLock, Timeout

from .answering.pool import Pool
from .answering.session import Session
from .builder import bill_of, now
from .effort import Effort
from .endpoint_ref import EndpointRef
from .errors import CannotRun, InputError, RecipeError, TaskError
from .files import storage, write_json
from .loading import load_system
from .measure.carbon import emissions_g
from .measure.ledger import Ledger
from .measure.meter import Meter
from .measure.record import Bill
from .models.catalogue import PACKAGED_MODEL
from .models.generation import PromptTooLong, Reply
from .prompt import Message
from .rag.chunking import Chunk
from .rag.passage_questions import WORKED, chat_for, passages_of
from .rag.tree_questions import tree_drafts
from .stages import StageStore
from .strategies import Progress
from .strategies.base import no_progress
from .system import ClassicalSystem, Decoding, System
from .tasks.contents import Contents, read_contents
from .tasks.documents import KINDS, RESULTS_FOLDER
from .tasks.draft_journal import Journal
from .tasks.draft_review import DRAFT_FILE, DRAFT_REPORT, DraftReport, write_drafts
from .tasks.drafts import TREE_KIND, Draft, Kept, fault_of, pair_in, reasons
from .tasks.faults import Faults
from .values import digest
from .yaml_lines import LineFaults

_ONCE = Decoding(max_tokens=80, stop=("\n<passage",))
ROUNDS = (_ONCE, _ONCE.model_copy(update={"temperature": 0.7, "top_p": 0.95}))
"""How each passage is asked for its first and its second question."""
BATCH = 16
"""Passages asked at once; what a kill can lose."""
ASKED_AT_MOST = 10
"""Passages asked for each question that is wanted: a model that does so badly is the wrong one."""
FOLDER = "draft"
TOO_LONG = "too_long"


def draft_questions(
    folder: Path,
    count: int,
    *,
    model: str | EndpointRef = PACKAGED_MODEL,
    seed: int = 0,
    place: str | None = None,
    progress: Progress = no_progress,
) -> DraftReport:
    """Draft `count` questions about the documents in `folder`, and write draft.csv and draft.json.

    Half of them follow from its hierarchy.yaml, where there is one with so many; the others are
    asked of `model`, a few passages of each document, then again at a temperature. It goes on
    until so many are of use, all passages were asked twice, or `ASKED_AT_MOST` a question. What
    the model replied is kept in ``runs/draft``, so a run that was stopped goes on.

    Raises `InputError` where the folder is a task already, holds a draft.csv, or another process
    drafts there, and `CannotRun` where nothing of use was written.
    """
    if count < 1:
        raise InputError(f"{count} questions cannot be drafted; ask for 1 or more")
    for name in (DRAFT_FILE, DRAFT_REPORT):
        if (folder / name).exists():
            raise TaskError(
                f"{folder / name} is already there and is not overwritten; review it and run "
                f"`wattune init {folder}`, or move it away"
            )
    faults = Faults()
    contents = read_contents(folder, faults)
    faults.check()
    passages = passages_of(contents.documents, seed)
    if not passages and contents.hierarchy is None:
        raise TaskError(
            f"{folder}: nothing to ask about; put {KINDS} files of some length there, or a "
            "hierarchy.yaml"
        )
    with _alone(folder), Meter(place=place) as meter:
        return _Drafting(folder, contents, passages, count, model, seed, meter, progress).run()


@dataclass
class _Drafting:
    """One call of `draft_questions`."""

    folder: Path
    contents: Contents
    passages: list[Chunk]
    count: int
    model: str | EndpointRef
    seed: int
    meter: Meter
    progress: Progress
    asked: int = 0
    stopped_by: str = "the hierarchy gives no more"

    def __post_init__(self) -> None:
        self.results = self.folder / RESULTS_FOLDER / FOLDER
        self.kept = Kept(question for _, question, _ in WORKED)
        self.first: dict[str, str] = {}  # the question that was kept of a passage, by its id

    def run(self) -> DraftReport:
        """Draft, write and report; see `draft_questions`."""
        tree = self.contents.hierarchy
        from_tree = tree_drafts(tree, self.seed) if tree is not None else iter(())
        self._take(from_tree, self.count // 2 if self.passages else self.count)
        system: System | None = None
        if self.passages and len(self.kept.drafts) < self.count:
            system = load_system(self.model, decoding=ROUNDS[0])
            if isinstance(system, ClassicalSystem):
                raise CannotRun(f"{self.model} is a classifier and writes no questions")
        key = self._key(system)
        with Ledger(self.results, self.meter).entry("drafting", self.folder.name, key) as entry:
            pool = Pool(StageStore(), self.meter, seed=self.seed)
            mark = pool.mark()

            def so_far() -> Bill:
                return bill_of([pool.with_endpoints(entry.phase.so_far(), mark)])

            journal = Journal(self.results / key / "replies.jsonl")
            effort = Effort(self.results / key, so_far)
            if journal.spent is not None:
                effort.carry(journal.spent)
            try:
                if system is not None:
                    self._ask(system, pool, journal, effort)
            finally:
                pool.close()
            self._take(from_tree, self.count)
            self.progress("drafting", self.count, self.count)
            report = self._report(system, effort)
            if not report.kept:
                raise CannotRun(self._nothing(report))  # which the ledger keeps as the reason
        write_drafts(self.folder / DRAFT_FILE, self.kept.drafts)
        write_json(self.folder / DRAFT_REPORT, report.plain())
        return report

    def _take(self, drafts: Iterator[Draft], until: int) -> None:
        """Keep of the drafts what is of use, until there are so many."""
        while len(self.kept.drafts) < until and (draft := next(drafts, None)) is not None:
            self.kept.add(draft)

    def _ask(self, system: System, pool: Pool, journal: Journal, effort: Effort) -> None:
        """Ask the model about one batch of passages after the other."""
        most = ASKED_AT_MOST * (self.count - len(self.kept.drafts))
        self.stopped_by = "every passage was asked for two questions"
        for number, decoding in enumerate(ROUNDS):
            session = Session(system.model_copy(update={"decoding": decoding}), pool)
            waiting = iter(self.passages)
            while (lacking := self.count - len(self.kept.drafts)) > 0:
                if self.asked >= most:
                    self.stopped_by = (
                        f"{most} replies gave too few; a larger model writes better questions"
                    )
                    return
                batch = list(islice(waiting, min(BATCH, 2 * lacking, most - self.asked)))
                if not batch:
                    break
                self.progress("drafting", len(self.kept.drafts), self.count)
                chats = [chat_for(passage.text, self.first.get(passage.id)) for passage in batch]
                keys = [digest([number, chat]) for chat in chats]
                unknown = [n for n, key in enumerate(keys) if key not in journal.replies]
                replies = dict(
                    zip(
                        unknown, _replies(session, [chats[n] for n in unknown], effort), strict=True
                    )
                )
                new = {keys[n]: reply.text for n, reply in replies.items() if not reply.failed}
                if new:
                    journal.keep(new, effort.spent())
                effort.note()
                self.asked += len(batch)
                for at, passage in enumerate(batch):
                    failed = replies[at].failed if at in replies else ""
                    self._judge(passage, failed, journal.replies.get(keys[at], ""))

    def _judge(self, passage: Chunk, failed: str, reply: str) -> None:
        """Keep what is of use in a reply, or count why not."""
        if len(self.kept.drafts) >= self.count:
            return
        pair = pair_in(reply)
        if failed:
            self.kept.drop(TOO_LONG if failed == TOO_LONG else "failed")
        elif pair is None:
            self.kept.drop("unreadable")
        elif fault := fault_of(*pair, passage.text):
            self.kept.drop(fault)
        else:
            asked, answer = pair
            of = passage.document
            if self.kept.add(
                Draft(question=asked, answers=(answer,), evidence=of, passage=passage.text)
            ):
                self.first.setdefault(passage.id, asked)

    def _key(self, system: System | None) -> str:
        """What determines the replies: another model, seed or text begins anew."""
        documents = [document.plain() for document in self.contents.documents]
        return digest([documents, system.identity() if system else None, self.seed])

    def _report(self, system: System | None, effort: Effort) -> DraftReport:
        bill = effort.spent()
        drafts = self.kept.drafts
        name = self.model if isinstance(self.model, str) else self.model.name
        return DraftReport(
            folder=str(self.folder),
            wanted=self.count,
            kept=len(drafts),
            from_hierarchy=sum(draft.kind == TREE_KIND for draft in drafts),
            documents=len(self.contents.documents),
            passages=len(self.passages),
            asked=self.asked,
            dropped=dict(self.kept.dropped),
            stopped_by="" if len(drafts) == self.count else self.stopped_by,
            model=name if system else None,
            revision=system.revision if system else None,
            seed=self.seed,
            attempts=effort.attempts,
            bill=bill,
            lost=effort.lost(),
            emissions_g=emissions_g(bill.energy_j, self.meter.carbon),
            created_at=now(),
        )

    def _nothing(self, report: DraftReport) -> str:
        why = f": {reasons(report.dropped)}" if report.dropped else ""
        return (
            f"{self.folder}: of {report.asked} replies of {report.model} none could be kept{why}; "
            "take a larger model (--model), or write the questions yourself"
        )


def _replies(session: Session, chats: list[list[Message]], effort: Effort) -> list[Reply]:
    """A reply to each chat; one that the model's window does not hold has failed."""
    too_long: set[int] = set()
    while True:
        asked = [n for n in range(len(chats)) if n not in too_long]
        try:
            told = [chats[n] for n in asked]
            made = iter(session.generate(told, lambda *_: effort.note()) if told else ())
        except PromptTooLong as error:
            too_long.add(next(n for n in asked if chats[n] == list(error.chat)))
            continue
        return [
            Reply(text="", failed=TOO_LONG) if n in too_long else next(made)
            for n in range(len(chats))
        ]


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Let one process draft in a folder; the system frees it of one that dies."""
    path = folder / RESULTS_FOLDER / FOLDER / ".lock"
    with storage(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        lock = FileLock(path)
        try:
            lock.acquire(timeout=0)
        except Timeout:
            raise InputError(
                f"{folder}: another process is drafting there; wait until it is done"
            ) from None
    try:
        yield
    finally:
        lock.release()


def model_source(text: str) -> str | EndpointRef:
    """A model as the command line names it: a name, a folder, a hub id, or an endpoint as a recipe
    writes it (``{endpoint: http://127.0.0.1:8000/v1, model: m}``). Raises `RecipeError`."""
    if not text.lstrip().startswith("{"):
        return text
    try:
        content = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise RecipeError(f"--model: broken YAML in {text}") from error
    faults = LineFaults("--model", {})
    found = faults.validate(EndpointRef, content)
    faults.raise_any(RecipeError)
    assert found is not None
    return found
