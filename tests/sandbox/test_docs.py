"""docs/sandbox.md tells everything that there is, and its examples run."""

import asyncio
import inspect
import json
import os
import re
import shutil
import textwrap
from pathlib import Path

import pytest

from paycollect.sandbox import Sandbox
from paycollect.sandbox.faults import FAULTS
from paycollect.sandbox.http.control import ACTIONS

TEXT = (Path(__file__).parents[2] / "docs" / "sandbox.md").read_text()
SHELL = "\n".join(re.findall(r"```sh\n(.*?)```", TEXT, re.DOTALL)).replace("\\\n", "")
CURL = [line for line in SHELL.splitlines() if line.startswith("curl ")]
EXAMPLES = re.findall(r"```python\n(.*?)```", TEXT, re.DOTALL)


@pytest.mark.parametrize("option", inspect.signature(Sandbox).parameters)
def test_every_option_is_told(option: str) -> None:
    """With its default, in the table of options."""
    assert f"`{option}`" in TEXT


@pytest.mark.parametrize("fault", FAULTS)
def test_every_fault_is_told(fault: str) -> None:
    """As it is called."""
    assert f"`{fault}(" in TEXT


@pytest.mark.parametrize("path", ACTIONS)
def test_every_route_is_told(path: str) -> None:
    """With the placeholders that people read."""
    plain = path.replace("{collectionId}", "{id}").replace(":[0-9]{1,9}", "").split("{action}")[0]
    assert f"POST /_sandbox{plain}" in TEXT


@pytest.mark.skipif(shutil.which("curl") is None, reason="needs curl")
@pytest.mark.parametrize("line", CURL)
async def test_every_curl_line_works(line: str, sandbox: Sandbox) -> None:
    """As printed, but for the port."""
    command = line.replace("localhost:8900", sandbox.url.partition("//")[2])
    process = await asyncio.create_subprocess_shell(
        f"{command} --fail --silent --show-error",
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    answer, complaint = await process.communicate()
    assert (process.returncode, complaint) == (0, b"")
    assert json.loads(answer)


@pytest.mark.parametrize(("program", "language"), [("node", "js"), ("php", "php")])
async def test_the_scripts_of_other_languages_run(
    program: str, language: str, sandbox: Sandbox, tmp_path: Path
) -> None:
    """As they stand there, with what the console says under "Connect"."""
    if shutil.which(program) is None:
        pytest.skip(f"needs {program}")
    (source,) = re.findall(rf"```{language}\n(.*?)```", TEXT, re.DOTALL)
    script = tmp_path / f"script.{'mjs' if language == 'js' else language}"
    script.write_text(source)
    process = await asyncio.create_subprocess_exec(
        program,
        script,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env=os.environ
        | {
            "PAYCOLLECT_BASE_URL": sandbox.base_url,
            "PAYCOLLECT_APP_ID": sandbox.app_id,
            "PAYCOLLECT_SECRET_KEY": sandbox.secret_key,
        },
    )
    answer, complaint = await process.communicate()
    assert (process.returncode, complaint) == (0, b"")
    assert answer == b"COMPLETED 25\n"


def test_the_example_without_a_loop_runs() -> None:
    """As it stands there."""
    (example,) = (text for text in EXAMPLES if text.startswith("with "))
    exec(example, {"Sandbox": Sandbox})  # our own document


@pytest.mark.parametrize("example", [text for text in EXAMPLES if "from paycollect" in text])
async def test_the_examples_run(example: str, sandbox: Sandbox) -> None:
    """As they stand there."""
    space: dict[str, object] = {"sandbox": sandbox}
    source = f"async def example(sandbox):\n{textwrap.indent(example, '    ')}"
    exec(source, space)  # our own document
    await space["example"](sandbox)  # type: ignore[operator]  # it was defined just now
