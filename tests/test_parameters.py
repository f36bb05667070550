"""Parameters of notebooks: what a cell declares, and text turned into exactly the declared type."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lambdalab.errors import UserError
from lambdalab.parameters import Parameter, as_text, declared

SCALARS = {
    "int": st.integers(),
    "float": st.floats(allow_nan=False, allow_infinity=False),
    "bool": st.booleans(),
    "str": st.text(),
}
VALUES = SCALARS | {f"list[{name}]": st.lists(values) for name, values in SCALARS.items()}
TYPED = st.sampled_from(sorted(VALUES)).flatmap(lambda name: st.tuples(st.just(name), VALUES[name]))


@given(TYPED)
def test_every_value_of_a_type_survives_its_text(typed):
    kind, value = typed
    back = Parameter("p", kind, None).value(as_text(value))
    assert back == value
    assert type(back) is type(value)
    assert Parameter("p", kind, None).value(value) == value
    assert not isinstance(value, list) or [type(item) for item in back] == [type(item) for item in value]


@given(TYPED)
def test_none_and_every_value_but_the_word_none_survive_in_an_optional_type(typed):
    kind, value = typed
    parameter = Parameter("p", f"{kind} | None", None)
    assert parameter.value(as_text(None)) is None
    assert parameter.value(None) is None
    if not (isinstance(value, str) and value.lower() == "none"):
        assert parameter.value(as_text(value)) == value


@given(
    st.lists(st.integers() | st.booleans() | st.floats() | st.text(), min_size=1),
    st.sampled_from(sorted(VALUES)),
)
def test_no_value_of_another_type_passes(items, kind):
    fits = {"int": int, "float": float, "bool": bool, "str": str}
    for given_value in (items, items[0]):
        if isinstance(given_value, str):  # text is read, which other tests look at
            continue
        try:
            value = Parameter("p", kind, None).value(given_value)
        except UserError:
            continue
        expected = fits[kind.removeprefix("list[").removesuffix("]")]
        assert isinstance(value, list) == kind.startswith("list[")
        assert all(type(item) is expected for item in (value if isinstance(value, list) else [value]))
        assert value == given_value


@pytest.mark.parametrize(
    ("kind", "text", "value"),
    [
        ("bool", "YES", True),
        ("bool", "0", False),
        ("float", "3", 3.0),
        ("float", "1e-3", 0.001),
        ("int", "-7", -7),
        ("list[int]", "1, 2,3", [1, 2, 3]),
        ("list[str]", "a,b c", ["a", "b c"]),
        ("list[bool]", "true,no", [True, False]),
        ("list[float]", "[1, 2.5]", [1.0, 2.5]),
        ("list[int]", "", []),
        ("int | None", "None", None),
        ("str", "none", "none"),
    ],
)
def test_text_as_people_write_it(kind, text, value):
    found = Parameter("p", kind, None).value(text)
    assert found == value
    assert type(found) is type(value)


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        *[("int", text) for text in ("3.5", "", "three", "1_000", " 3", "true", "none", "9" * 5000)],
        *[("float", text) for text in ("nan", "inf", "1e999", "1_0", "0,1", "", "none")],
        *[("bool", text) for text in ("maybe", "2", "", "on")],
        *[("list[int]", text) for text in ("1,,2", "1,2.5", "[1, true]", "[1", "[[1]]", "[" * 100_000)],
        ("list[bool]", "[1]"),
        ("list[str]", "[1]"),
        ("int | None", "nothing"),
    ],
)
def test_text_that_is_not_of_the_type_is_refused_in_one_line(kind, text):
    with pytest.raises(UserError) as caught:
        Parameter("p", kind, None).value(text)
    message = str(caught.value)
    assert "\n" not in message and len(message) < 200
    assert "'p'" in message and kind in message and repr(text)[:20] in message


def test_a_declaration_says_name_type_default_and_help():
    found = declared(
        '"""Change these."""\n'
        "import math\n"
        "epochs: int = 2  # passes; epochs = 0 only evaluates\n"
        'name = "a # b"  # what it is called\n'
        "rate: float = 1\n"
        "limit: int | None = None\n"
        "sizes = [\n    1,\n    2,  # inner\n]  # of the maps\n",
        "nb",
    )
    assert list(found.values()) == [
        Parameter("epochs", "int", 2, "passes; epochs = 0 only evaluates"),
        Parameter("name", "str", "a # b", "what it is called"),
        Parameter("rate", "float", 1.0, ""),
        Parameter("limit", "int | None", None, ""),
        Parameter("sizes", "list[int]", [1, 2], "of the maps"),
    ]
    assert type(found["rate"].default) is float


@pytest.mark.parametrize(
    "source",
    [
        "x = f()",
        "x: int = 'a'",
        "x: dict = {}",
        "x = None",
        "x = []",
        "x = [1, 'a']",
        "x: int = None",
        "%matplotlib",
        "x =",
    ],
)
def test_a_declaration_that_cannot_be_checked_is_refused(source):
    with pytest.raises(UserError) as caught:
        declared(source, "nb")
    assert "\n" not in str(caught.value)
