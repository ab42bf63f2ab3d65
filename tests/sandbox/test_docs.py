"""docs/sandbox.md tells everything that there is, and its examples run."""

import inspect
import re
import textwrap
from pathlib import Path

import pytest

from paycollect.sandbox import Sandbox
from paycollect.sandbox.control import ACTIONS
from paycollect.sandbox.faults import FAULTS

TEXT = (Path(__file__).parents[2] / "docs" / "sandbox.md").read_text()
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


@pytest.mark.parametrize("example", EXAMPLES[:2])
async def test_the_examples_run(example: str, sandbox: Sandbox) -> None:
    """As they stand there."""
    space: dict[str, object] = {"sandbox": sandbox}
    source = f"async def example(sandbox):\n{textwrap.indent(example, '    ')}"
    exec(source, space)  # our own document
    await space["example"](sandbox)  # type: ignore[operator]  # it was defined just now
