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
from optuna_evo.reports._judge_figure import draw_judgement
from optuna_evo.reports._lineage import LineageNode
from optuna_evo.reports._lineage import Lineages
from optuna_evo.reports._lineage import summarise_lineages
from optuna_evo.reports._lineage_figures import lineage_figure
from optuna_evo.reports._lineage_figures import LineagePages
from optuna_evo.reports._lineage_figures import schedule_figure
from optuna_evo.reports._lineage_figures import show_lineages
from optuna_evo.reports._lineage_tree import lineage_tree
from optuna_evo.reports._meta_progress import MetaProgress
from optuna_evo.reports._note import study_note
from optuna_evo.reports._progress import ComparisonProgress
from optuna_evo.reports._progress import SearchProgress
from optuna_evo.reports._simplified import simplified_table
from optuna_evo.reports._sources import Proposals
from optuna_evo.reports._sources import SourceRow
from optuna_evo.reports._sources import sources_panel
from optuna_evo.reports._sources import SourcesSummary
from optuna_evo.reports._sources import summarise_sources
from optuna_evo.reports._summary import best_trials
from optuna_evo.reports._summary import Generation
from optuna_evo.reports._summary import generation_of
from optuna_evo.reports._summary import StudySummary
from optuna_evo.reports._summary import summarise
from optuna_evo.reports._terminal import judge_table
from optuna_evo.reports._terminal import study_panel
from optuna_evo.reports._terminal import study_table
from optuna_evo.reports._tuning import tuning_course
from optuna_evo.reports._tuning import TuningCourse
from optuna_evo.reports._tuning_figures import draw_tuning_course
from optuna_evo.reports._tuning_figures import tuning_figure


__all__ = [
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
    "lineage_figure",
    "lineage_tree",
    "LineageNode",
    "LineagePages",
    "Lineages",
    "MetaProgress",
    "Proposals",
    "schedule_figure",
    "SearchProgress",
    "show_lineages",
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
    "tuning_figure",
    "TuningCourse",
]
