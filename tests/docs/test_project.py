"""What stands in several of the project's files is the same in all of them."""

from __future__ import annotations

import re
import subprocess
import tomllib
from pathlib import Path
from typing import Final

import pytest

from tests.docs.pages import DOCS, ROOT

yaml = pytest.importorskip("yaml", reason="the extra `docs` brings it")

PROJECT: Final = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
FORMS: Final = [
    ROOT / ".pre-commit-config.yaml",
    *(ROOT / ".github").rglob("*.yml"),
]


def test_the_versions_of_python_agree() -> None:
    """Those that are promised are those that are tested."""
    promised = re.findall(r"Python :: (3\.\d+)", "\n".join(PROJECT["classifiers"]))
    workflow = yaml.safe_load((ROOT / ".github/workflows/check.yml").read_text("utf-8"))
    assert workflow["jobs"]["tests"]["strategy"]["matrix"]["python"] == promised
    assert PROJECT["requires-python"] == f">={promised[0]}"
    assert f"| Python | {promised[0]} to {promised[-1]};" in (DOCS / "support.md").read_text()


@pytest.mark.parametrize("path", FORMS, ids=lambda path: path.name)
def test_forms_can_be_read(path: Path) -> None:
    """As YAML that says something."""
    assert yaml.safe_load(path.read_text("utf-8"))


def test_the_hooks_run_what_is_there() -> None:
    """Each is a program that `make check` sets up, and a part of it."""
    config = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text("utf-8"))
    makefile = (ROOT / "Makefile").read_text("utf-8")
    for hook in config["repos"][0]["hooks"]:
        program = hook["entry"].split()[0].removeprefix(".venv/bin/")
        assert f"$(BIN)/{program}" in makefile


def test_the_script_of_the_checks_can_be_read() -> None:
    """By bash; it runs only when a change is judged."""
    subprocess.run(["bash", "-n", ROOT / ".ci" / "run"], check=True)


def test_every_target_of_make_is_explained() -> None:
    """In the head of the Makefile, which `make` prints."""
    makefile = (ROOT / "Makefile").read_text("utf-8")
    (phony,) = re.findall(r"^\.PHONY: (.*)$", makefile, re.MULTILINE)
    explained = set(re.findall(r"^# make (\w+) ", makefile, re.MULTILINE))
    assert explained == set(phony.split()) - {"help", "format", "clean"}


def test_nobody_is_told_to_install_a_name_that_is_not_published() -> None:
    """Threat: somebody else takes the name, and our readers install what is not ours."""
    told = [
        f"{path.relative_to(ROOT)}: {words}"
        for path in (*ROOT.glob("*.md"), *DOCS.rglob("*.md"), *(ROOT / "paycollect").rglob("*.py"))
        for words in re.findall(r"pip install[^\n]*\bpaycollect\b(?!/)", path.read_text("utf-8"))
    ]
    assert told == []
