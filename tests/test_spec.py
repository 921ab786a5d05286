"""Specs: literals only, and errors that say where."""

import pytest

from kerastricks.errors import SpecError
from kerastricks.spec import Spec, parse, parse_sequence

pytestmark = pytest.mark.tensorflow_only


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("flip", Spec("flip")),
        ("flip()", Spec("flip")),
        ("pad_crop(4)", Spec("pad_crop", (4,))),
        ("  pad_crop( 4 )  ", Spec("pad_crop", (4,))),
        ("f(-0.5, 'x', None, True)", Spec("f", (-0.5, "x", None, True))),
        ("f([1, 2], (3, 4), {'a': 1})", Spec("f", ([1, 2], (3, 4), {"a": 1}))),
        ("f(1, k='v')", Spec("f", (1,), {"k": "v"})),
        ("f(k='a | b')", Spec("f", (), {"k": "a | b"})),
        ("group/f", Spec("group/f")),
        ("group/f(1, k=2)", Spec("group/f", (1,), {"k": 2})),
    ],
)
def test_one_spec_is_parsed(text, expected):
    assert parse(text) == expected


@pytest.mark.parametrize("text", ["", "   ", "\n"])
def test_nothing_is_the_empty_sequence(text):
    assert parse_sequence(text) == []


def test_a_sequence_keeps_its_order():
    assert parse_sequence("flip | pad_crop(4) | fancy_pca(0.1, scale='stddev') | flip(0.2)") == [
        Spec("flip"),
        Spec("pad_crop", (4,)),
        Spec("fancy_pca", (0.1,), {"scale": "stddev"}),
        Spec("flip", (0.2,)),
    ]


@pytest.mark.parametrize("text", ["flip", "pad_crop(4)", "f(1, 'x', k=0.5, m=None)", "f([1, (2, 3)])", "group/f(1)"])
def test_a_spec_written_out_parses_to_itself(text):
    assert str(parse(text)) == text
    assert parse(str(parse(text))) == parse(text)


@pytest.mark.parametrize(
    "text",
    [
        "f(1 + 2)",
        "f(x + 1)",
        "f(-x)",
        "f(x.y)",
        "f(x.y())",
        "f(x[0])",
        "f(x if y else z)",
        "f(x for x in y)",
        "f(x := 1)",
        "f(__import__('os').system('true'))",
        "f(lambda: 1)",
        "f(b'x')",
        "f(1j)",
        "f(...)",
        "f({1, 2})",
        "f({{}})",
        "f(*[1])",
        "f(**{'a': 1})",
        "f({**x})",
        "f(f'{1}')",
        "f({[]: 1})",
    ],
)
def test_arguments_that_are_no_literals_are_refused(text):
    with pytest.raises(SpecError, match=r"arguments of f must be literals") as error:
        parse_sequence(f"flip | {text}")
    assert repr(f"flip | {text}") in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("plain_cnn(activation=rrelu)", Spec("plain_cnn", (), {"activation": "rrelu"})),
        ("f(x, y)", Spec("f", ("x", "y"))),
        ("f(k=[x, (y, 1)], d={a: b})", Spec("f", (), {"k": ["x", ("y", 1)], "d": {"a": "b"}})),
        ("f(k=leaky_relu(0.2))", Spec("f", (), {"k": "leaky_relu(0.2)"})),
        ("f(k=g(h(1), mode='x'))", Spec("f", (), {"k": "g(h(1), mode='x')"})),
        ("f(k=applications/ResNet50)", Spec("f", (), {"k": "applications/ResNet50"})),
        ("f(flip | pad_crop(4), 2)", Spec("f", ("flip | pad_crop(4)", 2))),
        ("f(é=ü)", Spec("f", (), {"é": "ü"})),
        ("f(k=true, m=False, n=none, o=null)", Spec("f", (), {"k": True, "m": False, "n": None, "o": None})),
    ],
)
def test_bare_words_and_specs_inside_are_text(text, expected):
    assert parse(text) == expected
    assert parse(str(parse(text))) == expected


def test_specs_in_specs_do_not_grow_where_they_are_written_out():
    text = "f(" * 90 + "x" + ")" * 90
    assert parse(text).args == (text[2:-1],)
    assert len(str(parse(text))) < 2 * len(text)


def test_nothing_is_evaluated(tmp_path):
    target = tmp_path / "made"
    assert parse(f"f(open({str(target)!r}, 'w'))").args == (f"open({str(target)!r}, 'w')",)
    with pytest.raises(SpecError):
        parse(f"f(open({str(target)!r}, 'w').close())")
    assert not target.exists()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("f(" * 5000 + ")" * 5000, "at most 10,000 characters"),
        ("f(" * 3000 + ")" * 3000, "does not parse at column"),
        ("-" * 9000 + "1", "nested too deeply"),
        ("a | " * 2400 + "a", "nested too deeply"),
        ("a." * 4000 + "a", "nested too deeply"),
        ("f(" + "9" * 9000 + ")", "does not parse"),
        ("f(0x" + "f" * 9000 + ")", r"below 2\^63"),
        ("f(9223372036854775808)", r"below 2\^63"),
        ("f(1e999)", "finite"),
        ("f(-1e999)", "finite"),
        ("f(nan)", "finite"),
        ("f(k=-inf)", "arguments of f must be literals"),
        ("f('\udcff')", "not valid UTF-8"),
        ("\udcff", "not valid UTF-8"),
    ],
)
def test_hostile_texts_are_one_short_line(text, message):
    with pytest.raises(SpecError, match=message) as error:
        parse_sequence(text)
    assert "\n" not in str(error.value)
    assert len(str(error.value)) < 400


@pytest.mark.parametrize("text", ["flip |", "| flip", "flip pad_crop", "f(", "f(1))", "a b\nc", "f\0"])
def test_what_does_not_parse_names_the_text(text):
    with pytest.raises(SpecError, match="does not parse at column") as error:
        parse_sequence(text)
    assert repr(text) in str(error.value)
    assert "\n" not in str(error.value)


def test_an_argument_given_twice_is_refused():
    with pytest.raises(SpecError, match=r"\bk\b") as error:
        parse("f(k=1, k=2)")
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("text", "column"),
    [
        ("flip | 4", 8),
        ("a.b(1)", 1),
        ("flip + f", 1),
        ("'x'", 1),
        ("a | [b]", 5),
        ("a/b/c", 1),
        ("a()/b", 1),
        ("a/4", 3),
    ],
)
def test_what_is_no_call_names_its_column(text, column):
    with pytest.raises(SpecError, match=rf"expected name or name\(\.\.\.\) at column {column}$"):
        parse_sequence(text)


@pytest.mark.parametrize(("text", "count"), [("a | b", 2), ("", 0)])
def test_parse_wants_exactly_one(text, count):
    with pytest.raises(SpecError, match=rf"expected one name\(\.\.\.\), received {count}"):
        parse(text)


def target(a, b=2, *, c=3):
    return a, b, c


@pytest.mark.parametrize(("text", "result"), [("f(1)", (1, 2, 3)), ("f(1, 5)", (1, 5, 3)), ("f(a=1, c=7)", (1, 2, 7))])
def test_call_passes_the_arguments(text, result):
    assert parse(text).call(target) == result


def test_the_spec_may_not_set_what_the_caller_sets():
    assert parse("f(1)").call(target, b=8, c=9) == (1, 8, 9)
    with pytest.raises(SpecError, match=r"b cannot be set here \(arguments of f: a\)"):
        parse("f(1, b=5)").call(target, b=8, c=9)


@pytest.mark.parametrize("text", ["f()", "f(1, 2, 3)", "f(1, d=4)", "f(1, a=1)"])
def test_wrong_arguments_name_the_call_and_those_there_are(text):
    with pytest.raises(SpecError, match=r"arguments of f: a, b, c") as error:
        parse(text).call(target)
    assert str(parse(text)) in str(error.value)
    assert "\n" not in str(error.value)


def test_a_value_that_the_function_refuses_names_the_spec():
    def broken(a):
        return a + "x"

    with pytest.raises(SpecError, match=r"^f\(1\): unsupported operand"):
        parse("f(1)").call(broken)


@pytest.mark.parametrize("kind", [KeyError, IndexError, ZeroDivisionError, AssertionError, RuntimeError])
def test_whatever_a_value_is_refused_with_names_the_spec(kind):
    def broken(a):
        raise kind

    with pytest.raises(SpecError, match=rf"^f\(1\): {kind.__name__}$"):
        parse("f(1)").call(broken)


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (
            RuntimeError("{{function_node __wrapped__Fill_device_/job:x}} OOM when allocating tensor"),
            "more memory than",
        ),
        (MemoryError("Unable to allocate 8 EiB"), "more memory than there is: take smaller numbers"),
        (ValueError("{{function_node __wrapped__Fill}} Shape [3, 9] is\nwrong"), "mlp(9): Shape [3, 9] is wrong"),
        (ValueError(), "mlp(9): ValueError"),
    ],
)
def test_what_a_function_refuses_is_in_plain_words(error, said):
    def function(width):
        raise error

    with pytest.raises(SpecError) as caught:
        parse("mlp(9)").call(function)
    assert said in str(caught.value)
    assert "function_node" not in str(caught.value)
