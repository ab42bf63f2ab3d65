"""What `make dist` has built holds what users need, and nothing that is ours alone.

Not collected by `make test`: it needs the files in dist/.
"""

from __future__ import annotations

import re
import tarfile
import zipfile
from email.message import Message
from email.parser import Parser
from typing import Final

import pytest

from tests.docs.pages import ROOT

DIST: Final = ROOT / "dist"


@pytest.fixture(scope="module")
def wheel() -> dict[str, bytes]:
    """The files of the wheel."""
    (path,) = DIST.glob("*.whl")
    with zipfile.ZipFile(path) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


@pytest.fixture(scope="module")
def source() -> dict[str, bytes]:
    """The files of the source archive, without the folder that they all stand in."""
    (path,) = DIST.glob("*.tar.gz")
    with tarfile.open(path) as archive:
        files = [member for member in archive.getmembers() if member.isfile()]
        return {
            member.name.partition("/")[2]: reader.read()
            for member in files
            if (reader := archive.extractfile(member)) is not None
        }


@pytest.fixture(scope="module")
def metadata(wheel: dict[str, bytes]) -> Message:
    """What an index shows of the package."""
    (text,) = (data for name, data in wheel.items() if name.endswith(".dist-info/METADATA"))
    return Parser().parsestr(text.decode())


def test_the_wheel_is_the_package(wheel: dict[str, bytes]) -> None:
    """Every file of the package, and none from beside it."""
    package = {
        str(path.relative_to(ROOT))
        for path in (ROOT / "paycollect").rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    assert {name for name in wheel if ".dist-info/" not in name} == package


def test_the_source_archive_can_be_tested(source: dict[str, bytes]) -> None:
    """The tests and the pages that they read are in it."""
    assert {"README.md", "docs/webhooks.md", "tests/conftest.py", "Makefile"} <= source.keys()


@pytest.mark.parametrize("kind", ["wheel", "source"])
def test_nothing_private_is_published(kind: str, request: pytest.FixtureRequest) -> None:
    """No key, no environment, no cache, no built site."""
    files: dict[str, bytes] = request.getfixturevalue(kind)
    key = re.compile(rb"-----BEGIN [A-Z ]*PRIVATE KEY-----\n")
    assert [name for name, data in files.items() if key.search(data)] == []
    unwanted = re.compile(
        r"(^|/)(\.venv|\.env|_build|__pycache__|\.[a-z]+_cache|\.hypothesis)(/|$)"
    )
    assert [name for name in files if unwanted.search(name)] == []


def test_the_description_has_no_dead_link(metadata: Message) -> None:
    """A relative link leads nowhere from a package's page; the words of it stay."""
    text = str(metadata.get_payload()) or metadata["Description"]
    assert re.findall(r"\]\((?!https?://|#)[^)]*\)", text) == []
    assert "architecture, contributing" in text


def test_the_provider_can_be_searched_for(metadata: Message) -> None:
    """In the summary and in the keywords."""
    assert "FYATU" in metadata["Summary"]
    assert "fyatu" in metadata["Keywords"].split(",")


def test_the_extra_for_docs_is_not_needed_to_run(metadata: Message) -> None:
    """Three packages are all that the library needs."""
    needed = [text for text in metadata.get_all("Requires-Dist", []) if "extra ==" not in text]
    assert {re.split(r"[^a-z]", text)[0] for text in needed} == {"aiohttp", "attrs", "cattrs"}
