"""Documents of every kind: their text, titles and metadata, and what is told of the rest."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from wattune.errors import TaskError
from wattune.tasks.documents import note_empty, read_documents
from wattune.tasks.faults import Faults
from wattune.tasks.folder import load_folder
from wattune.tasks.front_matter import front_matter, plain_metadata
from wattune.tasks.load import load_task
from wattune.tasks.task import Document


def read(folder: Path) -> tuple[dict[str, Document], tuple[str, ...]]:
    faults = Faults()
    documents = read_documents(folder, faults)
    faults.check()
    return {one.id: one for one in documents}, faults.notes


def fault(folder: Path) -> str:
    faults = Faults()
    read_documents(folder, faults)
    with pytest.raises(TaskError) as caught:
        faults.check()
    return str(caught.value)


def pdf(*pages: str) -> bytes:
    """A PDF of one line a page, written by hand; a page of "" holds no text, as in a scan."""
    kids = " ".join(f"{4 + 2 * n} 0 R" for n in range(len(pages)))
    objects = [
        "<</Type/Catalog/Pages 2 0 R>>",
        f"<</Type/Pages/Kids[{kids}]/Count {len(pages)}>>",
        "<</Type/Font/Subtype/Type1/BaseFont/Helvetica>>",
    ]
    for n, text in enumerate(pages):
        shown = f"BT /F1 12 Tf 72 720 Td ({text}) Tj ET" if text else ""
        objects += [
            f"<</Type/Page/Parent 2 0 R/MediaBox[0 0 612 792]/Contents {5 + 2 * n} 0 R"
            "/Resources<</Font<</F1 3 0 R>>>>>>",
            f"<</Length {len(shown)}>>stream\n{shown}\nendstream",
        ]
    body, places = b"%PDF-1.4\n", []
    for number, content in enumerate(objects, start=1):
        places.append(len(body))
        body += f"{number} 0 obj{content}endobj\n".encode()
    table = "".join(f"{place:010} 00000 n \n" for place in places)
    end = f"xref\n0 {len(objects) + 1}\n0000000000 65535 f \n{table}"
    end += f"trailer<</Root 1 0 R/Size {len(objects) + 1}>>\nstartxref\n{len(body)}\n%%EOF"
    return body + end.encode()


HTML = """<!DOCTYPE html><html><head><title>Docks | Site</title><style>b {}</style>
<meta name="author" content="Ada Lund"></head><body><nav>Home</nav><main><h1>Docks</h1>
<h2>Dry dock<a class="headerlink" href="#d">¶</a></h2><p>Opens at <b>six</b> on
<a href="/days">work_days</a>.</p><script>steal()</script>
<ul><li>ropes</li></ul><table><tr><th>a</th></tr><tr><td>1</td></tr></table></main>
<footer>Imprint</footer></body></html>"""


def test_html_becomes_markdown_without_what_is_not_its_text(tmp_path: Path) -> None:
    (tmp_path / "docks.html").write_text(HTML)
    page = read(tmp_path)[0]["docks"]
    assert (page.title, page.metadata) == ("Docks", {"author": "Ada Lund"})
    assert page.text.startswith("# Docks\n\n## Dry dock\n\nOpens at **six** on\nwork_days.")
    assert "* ropes" in page.text
    assert "| a |" in page.text
    assert not any(word in page.text for word in ("Home", "steal", "Imprint", "¶", "b {}"))


def test_html_is_read_in_the_encoding_it_declares(tmp_path: Path) -> None:
    (tmp_path / "old.htm").write_bytes(
        '<meta charset="iso-8859-1"><title>Café</title><p>Crêpes'.encode("latin-1")
    )
    (tmp_path / "bom.html").write_bytes(b"\xef\xbb\xbf<p>caf\xc3\xa9</p>")
    pages, _ = read(tmp_path)
    assert (pages["old"].title, pages["old"].text) == ("Café", "Crêpes")
    assert pages["bom"].text == "café"
    (tmp_path / "old.htm").write_bytes(b"<p>caf\xe9")
    assert "old.htm: not UTF-8 text (byte 6)" in fault(tmp_path)
    (tmp_path / "old.htm").write_text("<div>" * 5000 + "deep")
    assert "old.htm: nested too deeply" in fault(tmp_path)


def test_pdf_pages_are_parted_and_counted(tmp_path: Path) -> None:
    (tmp_path / "ship-papers.pdf").write_bytes(pdf("", "The mast", "The keel"))
    pages, notes = read(tmp_path)
    paper = pages["ship-papers"]
    assert (paper.title, paper.text) == ("Ship papers", "\fThe mast\fThe keel")
    assert paper.metadata == {"pages": 3}
    assert notes == (
        f"{tmp_path / 'ship-papers.pdf'}: 1 of its 3 pages hold no text, the first being page 1.",
    )


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (pdf("", ""), r"scan.pdf: no text on its 2 page(s), so it is a scan"),
        (b"", "scan.pdf: cannot be read as PDF"),
        (b"%PDF-1.4\nbroken", "scan.pdf: cannot be read as PDF"),
    ],
)
def test_a_pdf_without_text_is_told_by_name(tmp_path: Path, content: bytes, message: str) -> None:
    (tmp_path / "scan.pdf").write_bytes(content)
    assert message in fault(tmp_path)


def test_json_lines_in_our_keys_and_in_langchains(tmp_path: Path) -> None:
    rows: list[dict[str, Any]] = [
        {"id": "a", "text": "# Alpha\n\nOne.", "metadata": {"year": 2024, "draft": False}},
        {"id": None, "page_content": "Two.", "metadata": {"box": {"x": 1}}, "type": "Document"},
        {"id": 7, "text": "", "title": "Seven"},
    ]
    (tmp_path / "dump.jsonl").write_text("\n".join(map(json.dumps, rows)))
    pages, notes = read(tmp_path)
    assert pages["a"].title == "Alpha"
    assert pages["a"].metadata == {"year": 2024, "draft": False}
    assert (pages["dump/2"].text, pages["dump/2"].metadata) == ("Two.", {})
    assert pages["7"].title == "Seven"
    assert "dump.jsonl: left out of the metadata: box; it takes text" in notes[0]


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ('{"text": 5}', ":1: text must be text, not the number 5"),
        ('{"id": "x"}', ":1: text is missing"),
        ('{"text": "x", "autor": "y"}', 'unknown key "autor" of a document'),
        ('{"text": "\\ud800"}', ":1: text holds half of a character"),
        ('{"text": "x", "metadata": [1]}', ":1: metadata must be an object, not a list"),
        ('{"id": "x", "text": "1"}\n{"id": "x", "text": "2"}', ':2: the same document id "x" as'),
        ("[1]", ":1: an object with text is expected, not a list"),
    ],
)
def test_faulty_rows(tmp_path: Path, row: str, message: str) -> None:
    (tmp_path / "d.jsonl").write_text(row)
    assert message in fault(tmp_path)


def test_front_matter_is_metadata(tmp_path: Path) -> None:
    (tmp_path / "p.md").write_bytes(
        b"\xef\xbb\xbf---\ntitle: Docks\ndate: 2024-02-03\ntags: [a, 2]\nweight: 1.5\n"
        b"draft: true\nempty:\nnested: {a: 1}\n---\n\n# Other\n\nText.\n"
    )
    pages, notes = read(tmp_path)
    assert pages["p"].title == "Docks"
    assert pages["p"].text == "# Other\n\nText."
    assert pages["p"].metadata == {
        "date": "2024-02-03",
        "tags": "a, 2",
        "weight": 1.5,
        "draft": True,
    }
    assert "p.md: left out of the metadata: nested" in notes[0]


@pytest.mark.parametrize(
    "text",
    [
        "---\njust prose\n---\nmore",
        "---\n[broken\n---\n",
        "---\nkey: value\nnever closed",
        "---\n" + "[" * 40_000 + "\n---\n",
        "text\n---\nkey: value\n---\n",
        "---\n" + "key: value\n" * 6000 + "---\n",
    ],
)
def test_what_is_no_front_matter_stays_text(text: str) -> None:
    assert front_matter(text) == ({}, [], text)


def test_front_matter_constructs_nothing_and_unfolds_no_alias() -> None:
    text = "---\na: &a [x, x]\nb: &b [*a, *a]\nc: !!python/object/apply:os.getcwd []\nd: !!bool x\n"
    metadata, left, _ = front_matter(text + "<<: *a\n---\n")
    assert metadata == {"a": "x, x", "d": "x", "<<": "x, x"}
    assert left == ["b"]


def test_metadata_that_cannot_be() -> None:
    told = [("nan", float("nan")), ("long", "x" * 1001), ("half", "\ud800"), ("ok", "a\n b")]
    assert plain_metadata(told) == ({"ok": "a b"}, ["nan", "long", "half"])


def test_what_is_not_read_and_what_is_empty_is_told_once(tmp_path: Path) -> None:
    for name in ("a.docx", "b.docx", "c.png", "d"):
        (tmp_path / name).write_text("x")
    (tmp_path / "void.txt").write_text(" \n")
    faults = Faults()
    found = read_documents(tmp_path, faults)
    note_empty(found, faults)
    assert faults.notes == (
        f"{tmp_path}: 4 file(s) of other kinds are not read: .docx (2), .png (1), without ending "
        "(1).",
        "1 of the documents hold no text and are left out, the first being void.",
    )


def test_a_task_of_empty_documents_is_refused(tmp_path: Path) -> None:
    (tmp_path / "task.yaml").write_text("name: x\ntest: t.jsonl\ndocuments: d.jsonl\n")
    (tmp_path / "t.jsonl").write_text('{"question": "Who?", "answers": "Ada"}')
    (tmp_path / "d.jsonl").write_text('{"text": ""}\n' * 1200)
    with pytest.raises(TaskError, match=r"d\.jsonl: no document with text among 1,200"):
        load_folder(tmp_path)
    (tmp_path / "d.jsonl").write_text('{"text": ""}\n{"text": "Ada leads."}\n')
    task = load_folder(tmp_path)
    assert [one.id for one in task.documents] == ["d/2"]
    assert task.notes == ("1 of the documents hold no text and are left out, the first being d/1.",)


def test_questions_at_the_top_are_no_documents(tmp_path: Path) -> None:
    (tmp_path / "task.yaml").write_text("name: x\ntest: t.jsonl\ndocuments: .\n")
    (tmp_path / "t.jsonl").write_text(
        '{"question": "Who?", "answers": "Ada", "evidence": "page.html"}'
    )
    (tmp_path / "page.html").write_text("<h1>Quay</h1><p>Ada.</p>")
    task = load_folder(tmp_path)
    assert [one.id for one in task.documents] == ["page"]
    assert task.test[0].evidence == ("page",)


def test_documents_without_metadata_keep_their_digests() -> None:
    """The value of harbour before documents had metadata."""
    assert load_task("harbour").part_digest("documents") == "6b9feeec8ecf1455"
    assert load_task("harbour").fingerprint == "828efade6392c953"


def test_a_title_of_megabytes_ends_in_time(tmp_path: Path) -> None:
    (tmp_path / "a.md").write_text("# " + " " * 2_000_000 + "x\n\n# Title " + "#" * 500)
    assert read(tmp_path)[0]["a"].title == "Title"


def test_a_deleted_document_that_is_still_evidence_is_named_with_its_line(tmp_path: Path) -> None:
    (tmp_path / "task.yaml").write_text("name: x\ntest: t.jsonl\ndocuments: pages\n")
    (tmp_path / "t.jsonl").write_text(
        '{"question": "Who?", "answers": "Ada", "evidence": "crew.md"}\n'
        '{"question": "Where?", "answers": "Quay", "evidence": ["quay.md", "crew"]}\n'
    )
    (tmp_path / "pages").mkdir()
    for name in ("crew", "quay"):
        (tmp_path / "pages" / f"{name}.md").write_text(f"# {name}\n")
    assert load_folder(tmp_path).test[1].evidence == ("quay", "crew")
    (tmp_path / "pages" / "quay.md").unlink()
    with pytest.raises(TaskError, match=r't\.jsonl:2: evidence "quay" is no document of the task'):
        load_folder(tmp_path)
    (tmp_path / "pages" / "crew.md").unlink()
    with pytest.raises(TaskError, match=r"pages: no document with text among 0; put .* files the"):
        load_folder(tmp_path)


@pytest.mark.parametrize("name", ["page.md", "page.html", "rows.jsonl"])
def test_a_line_of_megabytes_is_read(tmp_path: Path, name: str) -> None:
    line = "word and more " * 200_000
    text = json.dumps({"id": "rows", "text": line}) if name == "rows.jsonl" else line
    (tmp_path / name).write_text(text)
    found, _ = read(tmp_path)
    (document,) = found.values()
    assert document.text == line.strip()
