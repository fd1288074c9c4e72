"""The command line as a whole: commands and options by name, exit statuses, what is logged, what a closed pipe does."""

import errno
import logging
import os
import subprocess
import sys
from importlib.metadata import version

import pytest

from scdpo.cli.completion import commands_of, options_of, script
from scdpo.cli.logs import file_log, terminal_log
from scdpo.cli.main import COMMANDS, main, parser, refuse_unknown, take_overrides, user_message
from scdpo.errors import FileError, UsageError, users_file

SCDPO = [sys.executable, "-m", "scdpo"]
ANSWER = '{"gold": "1", "prediction": "1"}\n'


def test_words_of_the_command_line():
    words = ["run", "--a.b", "1", "--out", "x", "--c.d=x y", "mine.toml"]
    assert take_overrides(words) == ({"a.b": "1", "c.d": "x y"}, ["run", "--out", "x", "mine.toml"])
    with pytest.raises(UsageError, match=r'do not know "--wrokers"; did you mean "--workers"\?'):
        refuse_unknown(["--wrokers", "2"], ("workers", "out"), alone=False)
    with pytest.raises(UsageError, match=r"--a\.b has no value"):
        take_overrides(["--a.b"])


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["grdae", "x"], 'no command "grdae"; did you mean "grade"?'),
        (["show", "prmpt"], 'no command "show prmpt"; did you mean "prompt"?'),
        (["xyz"], 'no command "xyz"; there are: run, sft'),
        (["plan", "quickstart", "--mfu", "2"], "--mfu: input should be less than 1, but it is 2.0"),
        (["grade", "x", "--workers", "0"], "--workers: input should be greater than or equal to 1"),
        (["fields", "bteas"], 'no field has "bteas" in its name; the sections are: run, problems'),
        (["show", "recipe", "quikstart"], 'did you mean "quickstart"?'),
    ],
)
def test_misspelt_commands_and_values_are_one_line(words, message, capsys):
    assert main(words) == 2
    error = capsys.readouterr().err
    assert message in error and error.startswith("scdpo: ") and error.count("\n") == 1


def test_help_loads_nothing_heavy():
    """`scdpo --help` loads no command, and the help of a command neither torch nor transformers."""
    names = [command.name.split() for command in COMMANDS]
    code = (
        "import sys\nfrom scdpo.cli.main import main\n"
        "def shown(words):\n    try: main([*words, '--help'])\n    except SystemExit as end: assert end.code == 0, words\n"
        "shown([])\nassert 'scdpo.cli.options' not in sys.modules, 'a command was loaded'\n"
        f"for words in {names!r}:\n    shown(words)\n    assert not {{'torch', 'transformers'}} & set(sys.modules), words\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_every_option_says_what_it_is():
    """In every command; and no class's field is left without a text."""
    for name, command in commands_of(parser((), everything=True)):
        assert command.description, name
        for option, action in options_of(command).items():
            assert action.help, f"{name} {option}"


@pytest.mark.parametrize("words", [["fields"], ["show", "recipe", "quickstart"], ["--help"], ["doctor"]])
def test_a_closed_pipe_says_nothing(words):
    """`scdpo fields | head`: no traceback, and the status that the shell gives to one that a closed pipe ends (argparse passes
    over it by itself)."""
    read, write = os.pipe()
    os.close(read)
    done = subprocess.run([*SCDPO, *words], stdout=write, stderr=subprocess.PIPE, text=True)
    os.close(write)
    assert (done.returncode, done.stderr) == (0 if words == ["--help"] else 141, "")


def test_whose_fault_an_error_is(tmp_path, monkeypatch, capsys):
    """A file that is not there is the user's where the user named it, else a defect of ours: status 1 and a traceback."""
    gone = tmp_path / "gone" / "x.json"
    with pytest.raises(FileError, match=r"gone/x.json: no such file or directory; check the path"), users_file():
        gone.open()
    assert user_message(FileNotFoundError(errno.ENOENT, "No such file or directory", str(gone))) is None
    for number in (errno.EACCES, errno.EROFS):
        assert "check the path and its permissions" in user_message(OSError(number, os.strerror(number), str(gone)))
    full = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(gone))
    assert "no room left" in user_message(full)
    with pytest.raises(OSError, match="No space left"), users_file():
        raise full
    monkeypatch.setattr("scdpo.cli.recipes.packaged_recipes", lambda: [open(gone)])  # noqa: PTH123, SIM115
    assert main(["recipes"]) == 1
    assert "FileNotFoundError" in capsys.readouterr().err


@pytest.mark.parametrize(
    "words",
    [
        ["grade", "{answers}", "--out", "{gone}/out.jsonl"],
        ["steps", "{gone}"],
        ["steps", "{here}"],
        ["execute", "{gone}"],
        ["init", "--model", "m", "--problems", "{answers}", "--out", "{gone}/r.toml"],
        ["run", "quickstart", "--out", "{answers}/run"],
    ],
)
def test_places_of_the_users_that_are_not_there(words, tmp_path, capsys):
    answers = tmp_path / "answers.jsonl"
    answers.write_text('{"question": "a", "answer": 1}\n{"question": "b", "answer": 1}\n' if "init" in words else ANSWER)
    places = {"answers": answers, "gone": tmp_path / "gone", "here": tmp_path}
    assert main([word.format(**places) for word in words]) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1 and error.startswith("scdpo: ")


def test_quiet_prints_errors_alone(tmp_path, capsys):
    file, out = tmp_path / "a.jsonl", tmp_path / "b.jsonl"
    file.write_text(ANSWER)
    assert main(["grade", str(file), "--quiet", "--out", str(out)]) == 0
    assert capsys.readouterr() == ("", "") and out.exists()
    assert main(["--quiet", "grade", str(tmp_path / "gone")]) == 2
    assert "no such file" in capsys.readouterr().err


def test_version(capsys):
    with pytest.raises(SystemExit):
        main(["--version"])
    assert capsys.readouterr().out == f"scdpo {version('scdpo')}\n"


def test_logs(tmp_path, capsys):
    """The terminal shows warnings, or all with --verbose; the file has all of it with the time, and what ended the command."""
    log, file = logging.getLogger("scdpo.run"), tmp_path / "logs" / "scdpo.log"
    for verbose, shown in ((False, "scdpo: beware\n"), (True, "scdpo: small\nscdpo: beware\n")):
        with pytest.raises(ValueError, match="broken"), terminal_log(verbose), file_log(file, "scdpo run"):
            log.debug("small")
            log.warning("beware")
            logging.getLogger("another").info("of no interest")
            raise ValueError("broken")
        assert capsys.readouterr().err == shown
    text = file.read_text()
    assert [text.count(part) for part in ("small", "beware", "scdpo run\n", "no interest")] == [2, 2, 2, 0]
    assert text.count("Traceback") == 2 and "ValueError: broken" in text
    assert all(line[:4].isdigit() for line in text.splitlines() if " scdpo" in line and "File" not in line)
    assert not logging.getLogger("scdpo").handlers and file.name not in str(logging.getLogger().handlers)


@pytest.mark.parametrize(
    ("typed", "completed"),
    [
        (["scdpo", "tr"], "train"),
        (["scdpo", "show", ""], "recipe prompt"),
        (["scdpo", "run", "quickstart-"], "quickstart-code"),
        (["scdpo", "show", "prompt", "internlm"], "internlm2-20b"),
        (["scdpo", "sft", "runs/x", "--recipe", "intern"], "internlm2-20b"),
        (["scdpo", "plan", "quickstart", "--training.lora.r"], "--training.lora.rank"),
        (["scdpo", "grade", "x", "--training.lora.r"], ""),
        (["scdpo", "grade", "x", "--ke"], "--keep-going"),
        (["scdpo", "grade", ""], ""),
        (["scdpo", "steps", "x", "--format", "li"], "lines"),
        (["scdpo", "fields", "tr"], "training"),
        (["scdpo", "completion", ""], "bash zsh"),
    ],
)
def test_the_tab_key(typed, completed, completions):
    """What bash completes with the script; an empty answer leaves it to bash's own completion of files."""
    words = " ".join(f'"{word}"' for word in typed)
    code = f'COMP_WORDS=({words}); COMP_CWORD={len(typed) - 1}; _scdpo; echo "${{COMPREPLY[*]}}"'
    done = subprocess.run(["bash", "-c", f"source {completions}; {code}"], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == completed and not done.stderr


@pytest.fixture(scope="module")
def completions(tmp_path_factory):
    file = tmp_path_factory.mktemp("completion") / "scdpo.bash"
    file.write_text(script())
    return file
