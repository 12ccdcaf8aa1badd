"""Reports about studies: computed first, then drawn.

The values of each subject are computed in one place (`_comparison`, `_lineage`, `_sources`,
`_summary`, `_tuning`) and drawn in the terminal, as Markdown, or as figures.
"""

from optuna_evo.reports._comparison import compare
from optuna_evo.reports._comparison import Comparison
from optuna_evo.reports._comparison import Contender
from optuna_evo.reports._comparison import Course
from optuna_evo.reports._comparison import course_of
from optuna_evo.reports._comparison_figure import draw_comparison
from optuna_evo.reports._comparison_tables import comparison_markdown
from optuna_evo.reports._comparison_tables import comparison_table
from optuna_evo.reports._controller_figures import analyse_trace
from optuna_evo.reports._controller_figures import analysis_line
from optuna_evo.reports._controller_figures import controller_figure
from optuna_evo.reports._controller_figures import draw_controller
from optuna_evo.reports._cost import Cost
from optuna_evo.reports._cost import cost_of
from optuna_evo.reports._grid import Grid
from optuna_evo.reports._grid import grids_of
from optuna_evo.reports._grid import markdown_grid
from optuna_evo.reports._importance import importance_of
from optuna_evo.reports._judge_figure import draw_judgement
from optuna_evo.reports._judgement import judgement_view
from optuna_evo.reports._kinship import children_of
from optuna_evo.reports._lineage import LineageNode
from optuna_evo.reports._lineage import Lineages
from optuna_evo.reports._lineage import summarise_lineages
from optuna_evo.reports._lineage_figures import lineage_figure
from optuna_evo.reports._lineage_figures import schedule_figure
from optuna_evo.reports._lineage_tree import lineage_tree
from optuna_evo.reports._markdown import fenced
from optuna_evo.reports._markdown import in_markdown
from optuna_evo.reports._meta_progress import MetaProgress
from optuna_evo.reports._note import study_note
from optuna_evo.reports._page_figures import best_figure
from optuna_evo.reports._page_figures import population_figure
from optuna_evo.reports._page_figures import tasks_figure
from optuna_evo.reports._page_figures import usage_figure
from optuna_evo.reports._progress import ComparisonProgress
from optuna_evo.reports._progress import JudgeProgress
from optuna_evo.reports._progress import SearchProgress
from optuna_evo.reports._report_files import write_report
from optuna_evo.reports._simplified import simplified_table
from optuna_evo.reports._sources import Proposals
from optuna_evo.reports._sources import SourceRow
from optuna_evo.reports._sources import sources_panel
from optuna_evo.reports._sources import SourcesSummary
from optuna_evo.reports._sources import summarise_sources
from optuna_evo.reports._study_report import compute_report
from optuna_evo.reports._study_report import Repeat
from optuna_evo.reports._study_report import StudyReport
from optuna_evo.reports._summary import best_trials
from optuna_evo.reports._summary import Generation
from optuna_evo.reports._summary import generation_of
from optuna_evo.reports._summary import StudySummary
from optuna_evo.reports._summary import summarise
from optuna_evo.reports._terminal import judge_table
from optuna_evo.reports._terminal import study_panel
from optuna_evo.reports._terminal import study_table
from optuna_evo.reports._trial_curves import curves_csv
from optuna_evo.reports._trial_curves import curves_of
from optuna_evo.reports._trial_curves import curves_picture
from optuna_evo.reports._trial_curves import has_curves
from optuna_evo.reports._trial_curves import TrialCurves
from optuna_evo.reports._trial_note import trial_note
from optuna_evo.reports._trial_note import TrialPlace
from optuna_evo.reports._tuning import tuning_course
from optuna_evo.reports._tuning import TuningCourse
from optuna_evo.reports._tuning_figures import draw_tuning_course
from optuna_evo.reports._usage import Usage
from optuna_evo.reports._usage import usage_of


__all__ = [
    "TrialPlace",
    "trial_note",
    "TrialCurves",
    "has_curves",
    "curves_picture",
    "curves_of",
    "curves_csv",
    "write_report",
    "StudyReport",
    "Repeat",
    "compute_report",
    "Usage",
    "usage_of",
    "importance_of",
    "usage_figure",
    "tasks_figure",
    "population_figure",
    "best_figure",
    "markdown_grid",
    "Grid",
    "grids_of",
    "fenced",
    "in_markdown",
    "children_of",
    "Cost",
    "cost_of",
    "analyse_trace",
    "analysis_line",
    "best_trials",
    "compare",
    "Comparison",
    "comparison_markdown",
    "comparison_table",
    "ComparisonProgress",
    "Contender",
    "Course",
    "controller_figure",
    "course_of",
    "draw_comparison",
    "draw_controller",
    "draw_judgement",
    "draw_tuning_course",
    "Generation",
    "generation_of",
    "judge_table",
    "judgement_view",
    "JudgeProgress",
    "lineage_figure",
    "lineage_tree",
    "LineageNode",
    "Lineages",
    "MetaProgress",
    "Proposals",
    "schedule_figure",
    "SearchProgress",
    "simplified_table",
    "SourceRow",
    "sources_panel",
    "SourcesSummary",
    "study_note",
    "study_panel",
    "study_table",
    "StudySummary",
    "summarise",
    "summarise_lineages",
    "summarise_sources",
    "tuning_course",
    "TuningCourse",
]
