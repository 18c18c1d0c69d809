"""Tables as Markdown and as HTML."""

from __future__ import annotations

import html
from collections.abc import Sequence

from .tables import THEIRS, ScoreTable
from .web import template

NOT_THEIRS = (
    "This is an open bench after sections 4 and 5 of the paper DreamActor-M2 (arXiv 2601.21716). "
    "It is not ByteDance's, whose cases, prompts and raters were not released."
)


def markdown(title: str, tables: Sequence[ScoreTable]) -> str:
    """A document of all tables."""
    parts = [f"# {title}", NOT_THEIRS, THEIRS]
    for table in tables:
        parts += [f"## {table.title}", "\n".join(table_lines(table)), *table.notes]
    return "\n\n".join(parts) + "\n"


def table_lines(table: ScoreTable) -> list[str]:
    """A table in Markdown, for a terminal too."""
    lines = [_markdown_row(table.head), "|" + " --- |" * len(table.head)]
    return lines + [_markdown_row(row) for row in table.rows]


def tables_page(title: str, tables: Sequence[ScoreTable]) -> str:
    """The same as a page of its own."""
    body = f"<h1>{html.escape(title)}</h1>\n<p>{html.escape(NOT_THEIRS)}</p>\n{tables_html(tables)}"
    return template("tables.html", title=html.escape(title), body=body)


def tables_html(tables: Sequence[ScoreTable]) -> str:
    """The tables alone, for a page around them."""
    return "\n".join([f"<p>{html.escape(THEIRS)}</p>", *(_section(table) for table in tables)])


def _section(table: ScoreTable) -> str:
    """What is the paper's is marked in every cell, so that a page can set it apart."""
    theirs = ["(paper" in title for title in table.head]
    cells = [_html_row("th", table.head, theirs)]
    cells += [_html_row("td", row, theirs) for row in table.rows]
    notes = "".join(f"<p>{html.escape(note)}</p>" for note in table.notes)
    rows = "".join(cells)
    scrolled = f'<div class="scroll" tabindex="0"><table>{rows}</table></div>'
    scrolled = "".join(_bar(*bar) for bar in table.bars) + scrolled
    return f"<section><h2>{html.escape(table.title)}</h2>{scrolled}{notes}</section>"


def _bar(what: str, good: float, same: float, bad: float) -> str:
    """As in Figure 5; the numbers stand in the table below."""
    parts = zip(("good", "same", "bad"), (good, same, bad), strict=True)
    cells = "".join(
        f'<span class="{name}" style="flex-grow:{share:.4f}" title="{name} {share:.2f}">'
        f"{share:.2f}</span>"
        for name, share in parts
        if share
    )
    label = html.escape(what)
    return f'<p class="label">{label}</p><div class="gsb" aria-hidden="true">{cells}</div>'


def _html_row(tag: str, row: Sequence[str], theirs: Sequence[bool]) -> str:
    marks = [' class="paper"' if paper else "" for paper in theirs]
    cells = (
        f"<{tag}{mark}>{html.escape(cell)}</{tag}>" for cell, mark in zip(row, marks, strict=True)
    )
    return f"<tr>{''.join(cells)}</tr>"


def _markdown_row(row: Sequence[str]) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |"
