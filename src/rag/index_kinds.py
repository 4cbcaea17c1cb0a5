"""Which FAISS index for how many chunks, and with which settings; the rules and their sources.

Each kind's settings are written where they are set. FAISS's own guidelines are those of its wiki,
"Guidelines to choose an index".
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Literal

from ..errors import InputError
from ..values import Value

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

EXACT_MOST = 100_000
"""Chunks up to which each question is compared with every one. Time is linear in them: a tenth of
the 306 ms that a million of 384 dimensions took on two cores."""
SEED = 0
LINKS = 32
"""Of a node of the graph (M). FAISS's guidelines: 4 to 64, more being better and larger."""
EF_CONSTRUCTION = 80
EF_SEARCH = 256
"""Candidates of the walk. Of a million windows of real text (256 dimensions, one core) recall@10
was .88 with 64, .93 with 128 and .97 with 256, in 0.2, 0.4 and 0.8 ms."""
TRAINED_ON = 64
"""Rows a list that k-means looks at; FAISS warns below 39 and takes no more than 256."""
FEWEST_A_LIST = 39


class IndexPlan(Value):
    """An index to be made: its kind, FAISS's name for it, and why it is this one."""

    kind: Literal["flat", "hnsw", "ivf", "factory"]
    factory: str
    why: str


def library() -> Any:
    """FAISS, without its type hints: they lack much of what its wrapper makes."""
    import faiss

    return faiss


def plan(asked: str, rows: int, dimension: int) -> IndexPlan:
    """What `asked` (auto, flat, hnsw, ivf or a FAISS factory string) means for `rows` vectors.

    `auto` is exact up to `EXACT_MOST` and a graph beyond: of the same windows of text it found more
    in less time than inverted lists, which take a quarter of the memory.
    """
    kind, because = asked, "as was asked for"
    if asked == "auto" and rows <= EXACT_MOST:
        kind, because = "flat", f"{rows:,} chunks are at most {EXACT_MOST:,}"
    elif asked == "auto":
        kind, because = "hnsw", f"{rows:,} chunks are more than {EXACT_MOST:,}"
    if kind in ("flat", "IDMap2,Flat", "IDMap,Flat", "Flat"):
        size = _size(rows * dimension * 4)
        what = f"every chunk is compared with the question, in {size}"
        return IndexPlan(kind="flat", factory="IDMap2,Flat", why=f"{because}: {what}")
    if kind == "hnsw":
        size = _size(rows * (dimension * 4 + LINKS * 2 * 4))
        what = f"a graph of neighbours (HNSW) is walked, in {size}"
        return IndexPlan(kind="hnsw", factory=f"HNSW{LINKS}", why=f"{because}: {what}")
    if kind == "ivf":
        size = _size(rows * (dimension + 8))
        what = f"the nearest of {lists(rows):,} lists of chunks (IVF) are read, in {size}"
        factory = f"IVF{lists(rows)},SQ8"
        return IndexPlan(kind="ivf", factory=factory, why=f"{because}: {what}")
    return IndexPlan(kind="factory", factory=asked, why=because)


def lists(rows: int) -> int:
    """How many lists for so many rows: 4 times the root, as a power of two (FAISS's guidelines: 4
    to 16 times), as long as each can be trained on `FEWEST_A_LIST`."""
    wanted = 2 ** round(math.log2(4 * math.sqrt(rows)))
    return int(max(1, min(wanted, rows // FEWEST_A_LIST)))


def outgrown(index: Any, rows: int) -> bool:
    """Whether `rows` are more than 4 times those that the lists of `index` are many enough for."""
    count = int(inverted_lists(index).nlist)
    return rows > 4 * max((count / 4) ** 2, FEWEST_A_LIST * count)


def filled(asked: str, vectors: NDArray[np.float32]) -> tuple[Any, IndexPlan]:
    """An index of `vectors` (n, d) of length 1, whose ids are 0 to n - 1, and its plan; `asked` as
    for `plan`. Raises `InputError` as `make` does."""
    import numpy as np

    rows, dimension = vectors.shape
    planned = plan(asked, rows, dimension)
    index = make(planned.factory, vectors)
    add(index, vectors, np.arange(rows, dtype=np.int64))
    return index, planned


def add(index: Any, vectors: NDArray[np.float32], ids: NDArray[np.int64]) -> None:
    """Add vectors (n, d) as `ids` (n,); where FAISS gives ids itself, they must be the next."""
    if native(index):
        index.add_with_ids(vectors, ids)
    else:
        index.add(vectors)


def make(factory: str, vectors: NDArray[np.float32]) -> Any:
    """An empty FAISS index, trained on a sample of `vectors` (n, d) of length 1 where it needs to
    be; the same for the same vectors.

    Raises `InputError` for a factory string that is none, or that makes an index which cannot be
    trained on so few, searched within a selection, or asked for its vectors.
    """
    faiss = library()
    import numpy as np

    dimension = int(vectors.shape[1])
    try:
        index = faiss.index_factory(dimension, factory, faiss.METRIC_INNER_PRODUCT)
        inner = inverted_lists(index)
        if not index.is_trained:
            most = max(2**16, TRAINED_ON * inner.nlist if inner is not None else 0)
            sample = vectors
            if len(vectors) > most:
                chosen = np.random.default_rng(SEED).permutation(len(vectors))[:most]
                sample = vectors[np.sort(chosen)]
            if inner is not None:
                inner.cp.max_points_per_centroid = TRAINED_ON
            index.train(sample)
        if isinstance(index, faiss.IndexHNSW):
            index.hnsw.efConstruction = EF_CONSTRUCTION
        _try(factory, dimension, vectors[:1], index)
    except (RuntimeError, TypeError) as error:  # what FAISS raises for every fault
        lines = str(error).strip().splitlines() or [type(error).__name__]
        raise InputError(
            f'"{factory}" does not make an index of {len(vectors):,} vectors of {dimension} '
            f"dimensions that can be searched and changed (FAISS: {lines[-1].split(': ')[-1]}); "
            "auto, flat, hnsw, ivf or another factory string is needed"
        ) from error
    return index


def _try(factory: str, dimension: int, vector: NDArray[np.float32], index: Any) -> None:
    """Add a row, select it, read it back and empty the index: FAISS says what a kind cannot."""
    faiss = library()
    import numpy as np

    one = np.zeros(1, dtype=np.int64)
    add(index, vector, one)
    selector = faiss.IDSelectorBitmap(np.array([1], dtype=np.uint8))
    index.search(vector, 1, params=parameters(index, selector))
    reconstructed(index, one)
    forget_places(index)
    if native(index):
        index.remove_ids(faiss.IDSelectorBatch(one))
    index.reset()


def native(index: Any) -> bool:
    """Whether rows can be taken out and get ids of our own; elsewhere they are passed over."""
    faiss = library()

    return isinstance(index, faiss.IndexIDMap2 | faiss.IndexIVF)


def is_exact(index: Any) -> bool:
    """Whether every vector is compared as it was given."""
    faiss = library()

    return isinstance(index, faiss.IndexIDMap2) and isinstance(
        faiss.downcast_index(index.index), faiss.IndexFlat
    )


def inverted_lists(index: Any) -> Any:
    """The IVF layer of an index, or None."""
    faiss = library()

    return faiss.try_extract_index_ivf(index)


def selector(ids: NDArray[np.int64], size: int) -> Any:
    """FAISS's selector of some of the ids below `size`."""
    import numpy as np

    mask = np.zeros(size, dtype=bool)
    mask[ids] = True
    return library().IDSelectorBitmap(np.packbits(mask, bitorder="little"))


def parameters(index: Any, selector: Any, effort: float = 1.0) -> Any:
    """How to search `index` within what `selector` lets pass (None: all), with `effort` times the
    usual number of lists or candidates. Each kind has a class of its own in FAISS."""
    faiss = library()

    index = faiss.downcast_index(index)
    given = {} if selector is None else {"sel": selector}
    if isinstance(index, faiss.IndexIDMap):
        return parameters(index.index, selector, effort)
    if isinstance(index, faiss.IndexPreTransform):
        return faiss.SearchParametersPreTransform(
            index_params=parameters(index.index, selector, effort)
        )
    if isinstance(index, faiss.IndexRefine):
        return faiss.IndexRefineSearchParameters(
            k_factor=4.0, base_index_params=parameters(index.base_index, selector, effort), **given
        )
    if isinstance(index, faiss.IndexIVF):
        probes = min(index.nlist, math.ceil(effort * probed(index.nlist)))
        return faiss.SearchParametersIVF(nprobe=probes, **given)
    if isinstance(index, faiss.IndexHNSW):
        return faiss.SearchParametersHNSW(efSearch=math.ceil(effort * EF_SEARCH), **given)
    return faiss.SearchParameters(**given)


def probed(nlist: int) -> int:
    """How many of the lists are read for a question: a sixteenth, 8 at least. Of a million windows
    of real text recall@10 was .86 with 32 of 4,096 lists and .93 with 128."""
    return max(8, nlist // 16)


def reconstructed(index: Any, ids: NDArray[np.int64]) -> NDArray[np.float32]:
    """The vectors (n, d) of some ids, as the index keeps them."""
    faiss = library()
    import numpy as np

    inner = inverted_lists(index)
    if inner is not None and inner.direct_map.type == faiss.DirectMap.NoMap:
        inner.set_direct_map_type(faiss.DirectMap.Hashtable)  # where each id lies, kept from now on
    return np.asarray(index.reconstruct_batch(ids), dtype=np.float32)


def forget_places(index: Any) -> None:
    """Drop what `reconstructed` keeps: FAISS removes no rows beside it, and would save it."""
    faiss = library()

    inner = inverted_lists(index)
    if inner is not None:
        inner.set_direct_map_type(faiss.DirectMap.NoMap)


def _size(of_bytes: int) -> str:
    return f"about {of_bytes / 1e9:.1f} GB" if of_bytes > 1e8 else f"about {of_bytes / 1e6:.1f} MB"
