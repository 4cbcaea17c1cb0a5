"""Whether what was retrieved holds the evidence: recall, MRR and nDCG at a cut-off, by
ir-measures."""

from __future__ import annotations

import re
from collections.abc import Sequence

from .metric import Item, Metric, Tools, Values

NAMED = re.compile(r"(recall|mrr|ndcg)@([1-9]\d{0,3})")


def retrieval_metric(name: str) -> Metric | None:
    """The metric ``recall@k``, ``mrr@k`` or ``ndcg@k``, None for another name.

    Recall is the share of a question's evidence among the first k documents. MRR is 1 over the
    rank of the first of it, 0 where it is not among them (Voorhees, "The TREC-8 Question Answering
    Track Report", 1999). nDCG is the discounted cumulative gain (1 / log2(rank + 1) for each
    document of the evidence) over the best possible one: Järvelin and Kekäläinen, "Cumulated
    Gain-Based Evaluation of IR Techniques", 2002. All as trec_eval computes them. Several passages
    of one document rank once, where the first of them stands. Applies to questions with evidence,
    if the system retrieves at all.
    """
    match = NAMED.fullmatch(name)
    if match is None:
        return None

    def rate(items: Sequence[Item], tools: Tools) -> dict[str, Values]:
        return {name: _rate(items, match[1], int(match[2]), tools.retrieves)}

    return Metric(rate)


def _rate(items: Sequence[Item], measure: str, k: int, retrieves: int) -> Values:
    if not retrieves and not any(item.passages for item in items):
        return [None] * len(items)
    import ir_measures

    evidence: dict[str, dict[str, int]] = {}
    ranked: dict[str, dict[str, float]] = {}
    for at, item in enumerate(items):
        if item.evidence:
            documents = list(dict.fromkeys(item.passages))
            evidence[str(at)] = dict.fromkeys(item.evidence, 1)
            ranked[str(at)] = {name: -float(rank) for rank, name in enumerate(documents)}
    values: Values = [None] * len(items)
    if evidence:
        measures = {"recall": ir_measures.R, "mrr": ir_measures.RR, "ndcg": ir_measures.nDCG}
        cut = measures[measure] @ k
        for found in ir_measures.iter_calc([cut], evidence, ranked):
            values[int(found.query_id)] = float(found.value)
    return values
