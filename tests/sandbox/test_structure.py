"""The rooms of the sandbox: imports look only down, those for type checkers included."""

import grimp
import pytest

ROOM = "paycollect.sandbox"
LEVELS = (
    ("sandbox",),
    ("http",),
    ("faults", "request_log"),
    ("provider",),
    ("options",),
    ("clock",),
    ("wakeup", "thread"),
)
LEVEL = {room: level for level, rooms in enumerate(LEVELS) for room in rooms}


@pytest.fixture(scope="module")
def graph() -> grimp.ImportGraph:
    """All imports between the modules of the package."""
    return grimp.build_graph("paycollect", cache_dir=None, exclude_type_checking_imports=False)


def _modules(graph: grimp.ImportGraph) -> list[str]:
    return sorted(module for module in graph.modules if module.startswith(f"{ROOM}."))


def _room(module: str) -> str:
    return module.removeprefix(f"{ROOM}.").partition(".")[0]


def test_every_room_has_its_level(graph: grimp.ImportGraph) -> None:
    """A new one must be put somewhere."""
    assert {_room(module) for module in _modules(graph)} == set(LEVEL)


def test_imports_look_only_down(graph: grimp.ImportGraph) -> None:
    """Rooms of one level do not know each other."""
    upward = [
        f"{module} imports {other}"
        for module in _modules(graph)
        for other in graph.find_modules_directly_imported_by(module)
        if other.startswith(f"{ROOM}.")
        and _room(other) != _room(module)
        and LEVEL[_room(other)] <= LEVEL[_room(module)]
    ]
    assert upward == []


def test_there_is_no_circle(graph: grimp.ImportGraph) -> None:
    """Also not within a room."""
    circles = [
        module
        for module in _modules(graph)
        for other in graph.find_modules_directly_imported_by(module)
        if other.startswith(f"{ROOM}.") and graph.chain_exists(importer=other, imported=module)
    ]
    assert circles == []


def test_the_provider_is_pure(graph: grimp.ImportGraph) -> None:
    """It can be used without HTTP, without a loop and at any time."""
    external = grimp.build_graph("paycollect", include_external_packages=True, cache_dir=None)
    impure = {"aiohttp", "asyncio", "socket", "os", "time", "threading"}
    for module in external.modules:
        if module.startswith(f"{ROOM}.provider"):
            assert not impure & external.find_modules_directly_imported_by(module)
