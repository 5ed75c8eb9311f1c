"""The front door: what importing costs, what is public, what the command line answers."""

import re
import subprocess
import sys

import pytest
from public import SPACES, public

import g287stats as g
from g287stats.cli import main


def test_import_loads_no_heavy_library():
    # timing is measured in benchmarks/; here only that nothing heavy is imported before it is used
    code = (
        "import sys, g287stats; print([m for m in ('matplotlib','statsmodels','scipy','pandas') if m in sys.modules])"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "[]"


def test_every_public_name_resolves_and_has_a_docstring():
    for name, value in public().items():
        assert value.__doc__, name
        assert not isinstance(value, type(sys)), f"{name} is a module, not the public function"


def test_the_door_is_a_table_of_contents():
    """About seventy names, each in the text that ``help(g)`` shows first, and nothing else in it."""
    top = [n for n in g.__all__ if n not in (*SPACES, "__version__")]
    assert 60 <= len(top) <= 80
    lines = [line for line in g.__doc__.splitlines() if line.startswith("    ") and not line.startswith("    g.")]
    assert sorted(re.findall(r"\w+", " ".join(lines))) == sorted(top)
    assert all(f"g.{space} " in g.__doc__ for space in SPACES)
    assert set(dir(g)) == set(g.__all__)


def test_unknown_attribute_is_an_attribute_error():
    with pytest.raises(AttributeError, match=r"no attribute 'att_tg'; did you mean g\.att_gt"):
        g.att_tg  # noqa: B018


def test_command_line_without_command_prints_help(capsys):
    assert main([]) == 2
    assert "replicate" in capsys.readouterr().out


def test_errors_reach_the_user_as_one_message_and_status_1(capsys):
    assert main(["replicate", "--only", "no-such-thing"]) == 1
    assert "neither an analysis" in capsys.readouterr().err


def test_findings_and_cite_print(capsys):
    assert main(["findings", "--statement", "ii"]) == 0
    assert "111 %" in capsys.readouterr().out
    assert main(["cite"]) == 0
    assert "(Version 2026.1) [Data set]" in capsys.readouterr().out


def test_arguments_of_test_go_to_pytest_and_others_are_refused(monkeypatch, capsys):
    seen = []
    monkeypatch.setattr(pytest, "main", lambda arguments: seen.extend(arguments) or 0)
    assert main(["test", "-m", "slow", "-n", "2"]) == 0
    assert seen[-4:] == ["-m", "slow", "-n", "2"]
    with pytest.raises(SystemExit):
        main(["cite", "--nonsense"])
    assert "unrecognized arguments: --nonsense" in capsys.readouterr().err
