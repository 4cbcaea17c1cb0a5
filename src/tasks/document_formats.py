"""One file as text with what is told about it: Markdown, HTML and PDF."""

from __future__ import annotations

import logging
import struct
import warnings
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from ..errors import StorageError, TaskError
from .faults import Faults
from .front_matter import front_matter, plain_metadata
from .headings import LONGEST_TITLE, first_title
from .task import PAGE_BREAK, PAGES, Metadata

_DROPPED = (
    "title, script, style, template, noscript, svg, iframe, nav, footer, button, .headerlink, "
    "[hidden], [role=navigation], [aria-hidden=true]"
)
"""Of an HTML page: what is not its text."""
_TOLD = ("author", "description", "keywords", "date")
"""Of an HTML page's <meta>: what is kept."""


@dataclass(frozen=True)
class Content:
    """What was read of a file; the title is "" where it names none."""

    text: str
    title: str = ""
    metadata: Metadata = field(default_factory=dict)


def read_markdown(path: Path, text: str, faults: Faults) -> Content:
    """A Markdown page; its front matter is metadata, and ``title`` in it goes before a heading."""
    metadata, left, body = front_matter(text)
    note_left_out(path, left, faults)
    title = metadata.pop("title", "")
    return Content(body.strip(), str(title) or first_title(body), metadata)


def read_html(path: Path, faults: Faults) -> Content:
    """An HTML page as Markdown, headings, lists, tables and code kept; links lose their targets,
    pictures are told by their ``alt``. Of a page with one ``<main>`` only that is read.

    Raises `TaskError` where it is not in the encoding it declares (UTF-8 if it declares none).
    """
    from bs4 import BeautifulSoup, Tag, XMLParsedAsHTMLWarning
    from markdownify import MarkdownConverter

    source = _decoded(path)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", XMLParsedAsHTMLWarning)
        page = BeautifulSoup(source, "html.parser")
    title = " ".join(page.title.get_text().split())[:LONGEST_TITLE] if page.title else ""
    told = [
        (name, str(tag.get("content") or ""))
        for tag in page.find_all("meta")
        if (name := str(tag.get("name") or "").lower()) in _TOLD
    ]
    metadata, left = plain_metadata(told)
    note_left_out(path, left, faults)
    mains = page.select("main, [role=main]")
    body: Tag = mains[0] if len(mains) == 1 else page.body or page
    for tag in body.select(_DROPPED):
        tag.decompose()
    for picture in body.find_all("img"):
        picture.replace_with(str(picture.get("alt") or ""))
    converter = MarkdownConverter(
        heading_style="ATX", strip=["a"], escape_underscores=False, escape_asterisks=False
    )
    try:
        text = str(converter.convert_soup(body))
    except RecursionError as error:
        raise TaskError(f"{path}: nested too deeply to be read") from error
    return Content(text.strip(), first_title(text) or title, metadata)


def read_pdf(path: Path, faults: Faults) -> Content:
    """The text of a PDF, its pages parted by form feeds and counted in the metadata.

    Raises `TaskError` where it is broken, locked by a password, or holds no text, as scans do.
    """
    import pypdf
    from pypdf.errors import PyPdfError

    with _quiet("pypdf"):
        try:
            reader = pypdf.PdfReader(path)
            if reader.is_encrypted and not reader.decrypt(""):
                raise TaskError(f"{path}: locked by a password; save it without one")
            pages = [_clean(page.extract_text()) for page in reader.pages]
            told = reader.metadata
            pairs = [("author", told.author), ("title", told.title)] if told else []
        # What pypdf lets through where the file's objects are not what they should be.
        except (
            PyPdfError, ValueError, LookupError, TypeError, AttributeError, ArithmeticError,
            RecursionError, NotImplementedError, AssertionError, zlib.error, struct.error,
        ) as error:  # fmt: skip
            reason = " ".join(str(error).split())[:200] or type(error).__name__
            raise TaskError(f"{path}: cannot be read as PDF ({reason})") from error
    empty = [number for number, page in enumerate(pages, start=1) if not page]
    if len(empty) == len(pages):
        raise TaskError(
            f"{path}: no text on its {len(pages)} page(s), so it is a scan or a drawing; put the "
            "text there by a program for OCR, or take the file out"
        )
    if empty:
        faults.note(
            f"{path}: {len(empty)} of its {len(pages)} pages hold no text, the first being page "
            f"{empty[0]}."
        )
    metadata, _ = plain_metadata(pairs)
    return Content(PAGE_BREAK.join(pages), metadata={**metadata, PAGES: len(pages)})


def note_left_out(where: Path | str, names: list[str], faults: Faults) -> None:
    """Tell which metadata could not be kept."""
    if names:
        faults.note(
            f"{where}: left out of the metadata: {', '.join(names[:5])}"
            f"{', ...' if len(names) > 5 else ''}; it takes text of at most 1,000 characters, "
            "numbers, true or false, and lists of them."
        )


def _clean(page: str) -> str:
    """A page's text without form feeds and without halves of characters, which no file takes."""
    whole = page.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return whole.replace(PAGE_BREAK, "\n").strip()


def _decoded(path: Path) -> str:
    from bs4.dammit import EncodingDetector

    content = path.read_bytes()
    declared = EncodingDetector.find_declared_encoding(content, is_html=True)
    encoding = "utf-8-sig" if content.startswith(b"\xef\xbb\xbf") or not declared else declared
    try:
        return content.decode(encoding)
    except LookupError as error:
        raise TaskError(f'{path}: an unknown encoding "{encoding}"; save it as UTF-8') from error
    except UnicodeDecodeError as error:
        name = encoding.removesuffix("-sig").upper()
        raise StorageError(
            f"{path}: not {name} text (byte {error.start}); save the file as UTF-8"
        ) from error
    except UnicodeError as error:  # of the codec itself, as of "undefined"
        raise TaskError(
            f'{path}: the encoding "{encoding}" reads nothing; save it as UTF-8'
        ) from error


@contextmanager
def _quiet(name: str) -> Iterator[None]:
    """A library's remarks on a file are not for the person who runs this."""
    logger = logging.getLogger(name)
    before = logger.level
    logger.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        logger.setLevel(before)
