"""Written numbers: both conventions, money, percentages, and what is none."""

import math

import pytest

from optuna_evo.estimators._numbers import read_numbers


@pytest.mark.parametrize(
    ("texts", "values"),
    [
        (["1,234.50", "999.00", "12"], [1234.5, 999, 12]),
        (["1,234,567", "89"], [1234567, 89]),
        (["1.234,50", "999,00", "12"], [1234.5, 999, 12]),
        (["1.234", "0,5"], [1234, 0.5]),
        (["1 234,5", "3,25"], [1234.5, 3.25]),
        (["1\u202f234,5", "2\u00a0000"], [1234.5, 2000]),
        (["1'234.5", "2\u2019000"], [1234.5, 2000]),
        (["1,23,456.0", "5"], [123456, 5]),
        (["$1,200", "$950.5", "7"], [1200, 950.5, 7]),
        (["-$5", "$-6", "($7)"], [-5, -6, -7]),
        (["1.200,00 €", "€ 3", "4 EUR"], [1200, 3, 4]),
        (["US$ 1,200", "$ 3"], [1200, 3]),
        (["1200 CHF", "3.5 CHF"], [1200, 3.5]),
        (["12%", "3.5 %", "-1%"], [12, 3.5, -1]),
        (["(3)", "\u22124", "+5"], [-3, -4, 5]),
        (["1,5e3", "2"], [1500, 2]),
        (["1.5E-3", ".5", "5."], [0.0015, 0.5, 5]),
    ],
)
def test_numbers_are_read_as_people_write_them(texts: list[str], values: list[float]) -> None:
    assert read_numbers(texts).values.tolist() == pytest.approx(values)


def test_what_can_be_read_both_ways_is_read_as_the_rest_of_the_file() -> None:
    texts = ["1,234", "12,345"]
    assert read_numbers(texts).values.tolist() == [1234, 12345]
    assert read_numbers(texts, decimal_comma=True).values.tolist() == [1.234, 12.345]
    assert read_numbers(["1.234", "12"], decimal_comma=True).values.tolist() == [1234, 12]
    assert read_numbers(["1.234", "2.5"], decimal_comma=True).values.tolist() == [1.234, 2.5]
    assert read_numbers(texts, decimal_comma=True).example == "1,234"


@pytest.mark.parametrize(
    "text",
    ["", ".", "-", "abc", "A12", "12 kg", "1.2.3", "2020-01-31", "12:30", "1,2,3", "--5", "5 6"]
    + ["$5€", "(5", "1e", "01 234", "[1, 2]"],
)
def test_other_texts_are_no_numbers(text: str) -> None:
    assert math.isnan(read_numbers([text]).values[0])


@pytest.mark.parametrize("texts", [["12%", "3", "4"], ["€5", "€6", "$7"]])
def test_numbers_of_different_units_are_not_taken_together(texts: list[str]) -> None:
    assert sum(math.isnan(value) for value in read_numbers(texts).values) == 1
