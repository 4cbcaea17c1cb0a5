"""Each metric beside its reference implementation, on hundreds of generated texts."""

from __future__ import annotations

import itertools
import math
import random
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pytest

from wattune.measure.quality import Item, Tools, chrf, rate, rouge_l, total
from wattune.measure.quality.labels import OTHER, labels_of

LINE = (
    "The harbour master keeps the gate at 08:00 a.m. boat's 3,5 (1999) Zürich naïve café ΑΘΗΝΑ"
    " 東京 です don't — … ?! + pilot pilots ferry-boat ½ №7 I I do not know"
)
WORDS = LINE.split()


def text(generator: random.Random, most: int = 9) -> str:
    """Up to `most` words, punctuation and scripts mixed; sometimes nothing or only marks."""
    odd = generator.random()
    if odd < 0.06:
        return generator.choice(["", " ", "?!", "...", "+ -", "—"])
    words = generator.choices(WORDS, k=generator.randint(1, most))
    return generator.choice([" ", " ", " ", "\n", ", "]).join(words)


def cases(count: int, seed: int = 0) -> Iterator[tuple[str, list[str]]]:
    """(answer, accepted answers), every third answer being near an accepted one."""
    generator = random.Random(seed)
    for number in range(count):
        golds = [text(generator) for _ in range(generator.randint(1, 3))]
        said = text(generator)
        if number % 3 == 0:
            words = generator.choice(golds).split()
            said = " ".join(word for word in words if generator.random() < 0.8)
        yield said, golds


def item(number: int, said: str, golds: Sequence[str], **more: Any) -> Item:
    """A question with its answer."""
    return Item(id=str(number), question="?", text=said, answers=tuple(golds), **more)


def test_rouge_l_is_that_of_rouge_score() -> None:
    from rouge_score.rouge_scorer import RougeScorer  # type: ignore[import-untyped]

    scorer = RougeScorer(["rougeL"], use_stemmer=False)
    compared = above = 0
    for said, golds in cases(600):
        expected = scorer.score_multi(golds, said)["rougeL"].fmeasure
        found = rouge_l(said, golds)
        if not any(c.isascii() and c.isalnum() for gold in golds for c in gold.lower()):
            assert found is None
            assert expected == 0
            continue
        assert found == pytest.approx(expected, abs=1e-12)
        compared += 1
        above += expected > 0
    assert compared > 500
    assert above > 200


def plain_chrf(said: str, gold: str) -> float:
    """chrF as its paper has it, over the orders that both texts have n-grams of."""
    one, other = "".join(said.split()), "".join(gold.split())
    precisions, recalls = [], []
    for n in range(1, 7):
        grams = [Counter(t[i : i + n] for i in range(len(t) - n + 1)) for t in (one, other)]
        sizes = [sum(counts.values()) for counts in grams]
        if all(sizes):
            common = sum((grams[0] & grams[1]).values())
            precisions.append(common / sizes[0])
            recalls.append(common / sizes[1])
    if not any(precisions):
        return 0.0
    precision, recall = np.mean(precisions), np.mean(recalls)
    return float(5 * precision * recall / (4 * precision + recall))


def test_chrf_is_that_of_sacrebleu_and_of_its_paper() -> None:
    import sacrebleu

    above = 0
    for said, golds in cases(400):
        found = chrf(said, golds)
        assert found == pytest.approx(sacrebleu.sentence_chrf(said, golds).score / 100)
        # sacrebleu keeps the first of equally good references, so the best one decides.
        assert found == pytest.approx(max(plain_chrf(said, gold) for gold in golds), abs=1e-9)
        above += found > 0
    assert above > 200
    assert chrf("the gate", ["the gate"]) == 1.0


def letters(texts: Sequence[str]) -> np.ndarray:
    """Texts as counts of what their characters hash to, not of length 1."""
    vectors = np.zeros((len(texts), 16), dtype=np.float32)
    for row, one in enumerate(texts):
        for character in one:
            vectors[row, ord(character) % 16] += 1 if ord(character) % 3 else -1
    return vectors


def test_semantic_is_the_cosine_of_sentence_transformers() -> None:
    from sentence_transformers.util import cos_sim

    items = [item(n, said, golds) for n, (said, golds) in enumerate(cases(300))]
    values = rate(items, ["semantic"], Tools(embed=letters))["semantic"]
    negative = 0
    for one, value in zip(items, values, strict=True):
        if not one.text.strip():
            assert value == 0.0
            continue
        expected = float(cos_sim(letters([one.text]), letters(one.answers)).max())
        assert value == pytest.approx(expected, abs=1e-6)
        negative += expected < 0
    assert 0 < negative < 100


def labelled(seed: int, count: int) -> list[Item]:
    """Answers to questions whose right answer is one of five labels, one of them an article."""
    generator = random.Random(seed)
    labels = ["Billing", "Berth request", "A", "loss & damage", "+"]
    made = []
    for number in range(count):
        right = generator.choices(labels, weights=[8, 4, 2, 1, 1])[0]
        said = right if generator.random() < 0.6 else generator.choice([*labels, "", "none", "the"])
        said = generator.choice([said, said.upper(), f"{said}."])
        made.append(item(number, said, [right, f"{right} desk"]))
    return made


def test_accuracy_and_macro_f1_are_those_of_scikit_learn() -> None:
    from sklearn.metrics import accuracy_score, f1_score  # type: ignore[import-untyped]

    for seed in range(200):
        items = labelled(seed, 5 + seed % 40)
        pairs = labels_of(items)
        right, said = [pair[0] for pair in pairs], [pair[1] for pair in pairs]
        rated = rate(items, ["accuracy", "macro_f1"], Tools())
        accuracy = total("accuracy", items, rated["accuracy"])
        macro = total("macro_f1", items, rated["macro_f1"])
        assert accuracy is not None
        assert macro is not None
        assert accuracy.value == pytest.approx(accuracy_score(right, said))
        expected = f1_score(
            right, said, labels=sorted(set(right)), average="macro", zero_division=0
        )
        assert macro.value == pytest.approx(expected)
        assert macro.n == accuracy.n == len(items)
        assert macro.low <= macro.value + 0.15
        assert 0 <= macro.low <= macro.high <= 1


def test_the_interval_of_macro_f1_is_a_bootstrap_over_questions() -> None:
    from sklearn.metrics import f1_score

    items = labelled(3, 120)
    values = rate(items, ["macro_f1"], Tools())["macro_f1"]
    macro = total("macro_f1", items, values)
    assert macro is not None
    pairs = np.array(labels_of(items))
    assert OTHER in pairs[:, 1]
    generator = np.random.default_rng(1)
    means = []
    for _ in range(300):
        drawn = pairs[generator.integers(len(pairs), size=len(pairs))]
        means.append(
            f1_score(
                drawn[:, 0], drawn[:, 1], labels=np.unique(drawn[:, 0]), average="macro",
                zero_division=0,
            )
        )  # fmt: skip
    # The ends of 300 draws scatter by about a tenth of the interval's width.
    low, high = np.quantile(means, [0.025, 0.975])
    assert macro.low == pytest.approx(low, abs=0.03)
    assert macro.high == pytest.approx(high, abs=0.03)


def test_recall_mrr_and_ndcg_are_those_of_a_plain_reading() -> None:
    generator = random.Random(0)
    documents = [f"folder/page {n} é" for n in range(12)]
    items = [
        item(
            n, "x", ["x"],
            evidence=tuple(generator.sample(documents, generator.randint(0, 4))),
            passages=tuple(generator.choices(documents, k=generator.randint(0, 9))),
        )
        for n in range(300)
    ]  # fmt: skip
    compared = repeated = 0
    for k in (1, 3, 9):
        rated = rate(items, [f"recall@{k}", f"mrr@{k}", f"ndcg@{k}"], Tools())
        for at, one in enumerate(items):
            found = tuple(rated[f"{name}@{k}"][at] for name in ("recall", "mrr", "ndcg"))
            if not one.evidence:
                assert found == (None, None, None)
                continue
            ranking: list[str] = []
            for document in one.passages:
                if document not in ranking:
                    ranking.append(document)
            hits = [rank for rank, name in enumerate(ranking[:k], 1) if name in one.evidence]
            ideal = sum(1 / math.log2(n + 2) for n in range(min(k, len(one.evidence))))
            gain = sum(1 / math.log2(rank + 1) for rank in hits)
            recall, first = len(hits) / len(one.evidence), 1 / hits[0] if hits else 0.0
            assert found == pytest.approx((recall, first, gain / ideal))
            compared += 1
            repeated += len(ranking) < len(one.passages)
    assert compared > 600
    assert repeated > 200


def squad_f1(one: str, other: str) -> float:
    """The F1 of SQuAD 2.0's evaluation, two empty texts being equal."""
    drop = set("!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~")
    plain = ["".join(c for c in t.lower() if c not in drop).split() for t in (one, other)]
    said, again = ([word for word in words if word not in ("a", "an", "the")] for words in plain)
    if not said or not again:
        return float(said == again)
    common = sum((Counter(said) & Counter(again)).values())
    return 2 * common / (len(said) + len(again))


def test_agreement_is_the_mean_over_pairs() -> None:
    generator = random.Random(0)
    words = ["harbour", "Master", "keeps", "gate.", "at", "the gate's"]
    items, expected = [], {}
    for group in range(250):
        size = generator.randint(1, 4)
        said = [" ".join(generator.choices(words, k=3)) for _ in range(size)]
        said[0] = generator.choice([said[0], ""])
        pairs = [squad_f1(one, other) for one, other in itertools.combinations(said, 2)]
        expected[f"g{group}"] = sum(pairs) / len(pairs) if pairs else None
        items += [item(group * 10 + n, one, ["x"], group=f"g{group}") for n, one in enumerate(said)]
    generator.shuffle(items)
    values = rate(items, [], Tools())["agreement"]
    found: dict[str | None, float | None] = {}
    for one, value in zip(items, values, strict=True):
        if one.group in found:
            assert value is None
        else:
            found[one.group] = value
    assert {g: v for g, v in found.items() if v is not None} == pytest.approx(
        {g: v for g, v in expected.items() if v is not None}
    )
    score = total("agreement", items, values)
    assert score is not None
    assert score.n == sum(value is not None for value in expected.values()) > 150
