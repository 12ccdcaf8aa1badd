"""A report in a file: one HTML page, or Markdown with pictures beside it."""

from pathlib import Path

from optuna_evo.files import write_text
from optuna_evo.reports._report_html import report_html
from optuna_evo.reports._report_markdown import pictures_of
from optuna_evo.reports._report_markdown import report_markdown
from optuna_evo.reports._report_sections import sections_of
from optuna_evo.reports._study_report import StudyReport


__all__ = ["write_report"]


def write_report(report: StudyReport, path: Path) -> list[Path]:
    """Write a report and return the files, the report itself first.

    Args:
        report: What to write.
        path: A file that ends in .html, which then holds all; or .md, whose pictures are called
            STEM_NAME.png and lie beside it.

    Raises:
        ValueError: If the file ends otherwise.
        OSError: If a file cannot be written; a file that was there is as it was.
    """
    sections = sections_of(report)
    name = report.summary.name
    if path.suffix == ".html":
        write_text(path, report_html(name, sections))
        return [path]
    if path.suffix != ".md":
        raise ValueError(f"A report is called .html or .md, got {path}.")
    pictures = []
    for picture in pictures_of(sections):
        file = path.with_name(f"{path.stem}_{picture.name}.png")
        picture.draw(file)
        pictures.append(file)
    write_text(path, report_markdown(name, sections, path.stem))
    return [path, *pictures]
