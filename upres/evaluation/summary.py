"""The table of a report: a row for each model and set, with means, intervals and costs, in several formats."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Callable
from dataclasses import dataclass

from upres.errors import UsageError, nearest
from upres.evaluation.report import Report
from upres.evaluation.scores import DECIMALS, best_of
from upres.evaluation.statistics import bootstrap_interval
from upres.evaluation.tables import Evaluation, protocol_lines
from upres.system.text import aligned


@dataclass(frozen=True, slots=True)
class Cell:
    """A figure with its 95 % interval, or a text. best: It is the best of its set."""

    text: str
    low: str = ""
    high: str = ""
    best: bool = False

    @property
    def plain(self) -> str:
        """ "28.42 [27.90, 28.95]"."""
        return f"{self.text} [{self.low}, {self.high}]" if self.low else self.text


@dataclass(frozen=True, slots=True)
class Table:
    """Rows under heads; the first two columns, set and model, are texts. notes: The protocol and what else is said."""

    heads: list[str]
    rows: list[list[Cell]]
    notes: list[str]


def summary(report: Report) -> Table:
    """Means with 95 % bootstrap intervals, time and memory per megapixel of results, parameters and multiply-adds."""
    columns = _columns(report)
    costs = any(one.costs for one in report.sets.values())
    heads = ["set", "model", *columns.values()]
    heads += ["s/MP", "MB/MP", "parameters", "GMAC/MP"] if costs else []
    rows: list[list[Cell]] = []
    for name, evaluation in report.sets.items():
        means = evaluation.means()
        for model in evaluation.scores:
            row = [Cell(name), Cell(model)]
            for column in columns:
                mean = getattr(means[model], column)
                known = [value for one in means.values() if (value := getattr(one, column)) is not None]
                best = mean is not None and len(known) > 1 and mean == best_of(column, known)
                row.append(_figure(mean, evaluation.values(model, column), column, best))
            rows.append(row + (_costs(report, evaluation, model) if costs else []))
    return Table(heads, rows, _notes(report))


def differences(report: Report, against: str) -> Table:
    """Each model less `against`, paired by picture: mean differences with 95 % bootstrap intervals.

    Raises `UsageError` for a name that no row has.
    """
    if against not in report.models:
        raise UsageError(
            f"`against` must be one of {', '.join(report.models)}, got {against!r}{nearest(against, report.models)}"
        )
    columns = _columns(report)
    rows: list[list[Cell]] = []
    for name, evaluation in report.sets.items():
        for model in evaluation.scores:
            if model == against or against not in evaluation.scores:
                continue
            row = [Cell(name), Cell(model)]
            for column in columns:
                apart = evaluation.differences(model, against, column)
                mean = sum(apart) / len(apart) if apart else None
                row.append(_figure(mean, apart, column, best=False, sign="+"))
            rows.append(row)
    heads = ["set", "model", *columns.values()]
    return Table(heads, rows, [f"differences from {against}, paired by picture, with 95 % bootstrap intervals"])


def _columns(report: Report) -> dict[str, str]:
    """Heads by field, of all sets. One protocol has one head for a field; several scales name the first."""
    heads: dict[str, str] = {}
    for evaluation in report.sets.values():
        for column, head in evaluation.columns.items():
            heads.setdefault(column, head)
    return {column: heads[column] for column in DECIMALS if column in heads}


def _figure(mean: float | None, values: list[float], column: str, best: bool, sign: str = "") -> Cell:
    if mean is None:
        return Cell("-")
    places = DECIMALS[column]
    interval = bootstrap_interval(values)
    low, high = ("", "") if interval is None else (f"{value:{sign}.{places}f}" for value in interval)
    return Cell(f"{mean:{sign}.{places}f}", low, high, best)


def _costs(report: Report, evaluation: Evaluation, model: str) -> list[Cell]:
    cost, facts = evaluation.costs.get(model), report.facts.get(model)
    seconds = None if cost is None else cost.seconds_per_megapixel
    memory = None if cost is None else cost.bytes_per_megapixel
    return [
        Cell("-" if seconds is None else f"{seconds:.2f}"),
        Cell("-" if memory is None else f"{memory / 1e6:.0f}"),
        Cell("-" if facts is None else f"{facts.parameters:,}"),
        Cell("-" if facts is None else f"{facts.macs_per_pixel / 1e3:.1f}"),
    ]


def _notes(report: Report) -> list[str]:
    notes: list[str] = []
    for name, evaluation in report.sets.items():
        lines = protocol_lines(evaluation.protocol, len(evaluation.files))
        notes += [f"{name}: {lines[0]}", *(line for line in lines[1:] if line not in notes)]
    notes.append(f"means, with 95 % bootstrap intervals over pictures in brackets; upres {report.version}")
    if any(one.costs for one in report.sets.values()):
        notes.append("MP: megapixels of the result; MB/MP: largest growth of the process in one picture of any set")
    return notes


# Formats.


def as_text(table: Table) -> str:
    """Columns of text, for a terminal. The name of a set stands in its first row."""
    rows = [table.heads]
    for index, row in enumerate(table.rows):
        again = index > 0 and table.rows[index - 1][0].text == row[0].text
        rows.append(["" if again else row[0].text, *(one.plain for one in row[1:])])
    return "\n".join([*table.notes, "", *aligned(rows, right=range(2, len(rows[0])))])


def as_markdown(table: Table) -> str:
    """A table of GitHub's Markdown, the best of each set bold."""

    def escape(text: str) -> str:
        return (
            text.replace("\\", "\\\\").replace("|", "\\|").replace("<", "&lt;").replace("*", "\\*").replace("_", "\\_")
        )

    lines = [f"| {' | '.join(map(escape, table.heads))} |"]
    lines.append("|---|---|" + "---:|" * (len(table.heads) - 2))
    for row in table.rows:
        texts = [escape(one.plain) for one in row]
        texts = [f"**{text}**" if one.best else text for one, text in zip(row, texts, strict=True)]
        lines.append(f"| {' | '.join(texts)} |")
    return "\n".join([*lines, "", *(f"*{escape(note)}*  " for note in table.notes)])


_LATEX = {
    "\\": r"\textbackslash{}", "&": r"\&", "%": r"\%", "$": r"\$", "#": r"\#", "_": r"\_", "{": r"\{", "}": r"\}",
    "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "<": r"\textless{}", ">": r"\textgreater{}",
}  # fmt: skip


def as_latex(table: Table) -> str:
    """A table with the rules of booktabs, the best of each set bold and the protocol as its caption."""

    def escape(text: str) -> str:
        return "".join(_LATEX.get(letter, letter) for letter in text)

    lines = [r"\begin{table}", r"\centering", r"\begin{tabular}{ll" + "r" * (len(table.heads) - 2) + "}", r"\toprule"]
    lines.append(" & ".join(map(escape, table.heads)) + r" \\")
    before = None
    for row in table.rows:
        if row[0].text != before:
            lines.append(r"\midrule")
        texts: list[str] = []
        for one in row:
            text = escape(one.text)
            text = rf"\textbf{{{text}}}" if one.best else text
            texts.append(text + (rf" {{\scriptsize [{escape(one.low)}, {escape(one.high)}]}}" if one.low else ""))
        lines.append(" & ".join(["" if row[0].text == before else texts[0], *texts[1:]]) + r" \\")
        before = row[0].text
    caption = escape(". ".join(table.notes))
    return "\n".join([*lines, r"\bottomrule", r"\end{tabular}", rf"\caption{{{caption}.}}", r"\end{table}"])


def as_csv(table: Table) -> str:
    """Comma-separated values (RFC 4180): bounds in columns of their own, the protocol in the last."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    bounded = [any(row[i].low for row in table.rows) for i in range(len(table.heads))]
    heads: list[str] = []
    for head, has in zip(table.heads, bounded, strict=True):
        heads += [head, f"{head} low", f"{head} high"] if has else [head]
    writer.writerow([*heads, "protocol"])
    for row in table.rows:
        values: list[str] = [row[0].text, row[1].text]
        for one, has in zip(row[2:], bounded[2:], strict=True):
            text = "" if one.text == "-" else re.sub(r"(?<=\d),(?=\d{3})", "", one.text)
            values += [text, one.low, one.high] if has else [text]
        writer.writerow([*values, "; ".join(table.notes)])
    return out.getvalue().rstrip("\n")


FORMATS: dict[str, Callable[[Table], str]] = {
    "text": as_text,
    "markdown": as_markdown,
    "latex": as_latex,
    "csv": as_csv,
}
