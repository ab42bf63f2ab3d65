"""Django on SQLite and PostgreSQL."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from paycollect.cashier import DjangoStore
from tests.cashier.django.world import configured, empty_tables, migrate
from tests.cashier.postgres import find_server, fresh_schema


@pytest.fixture(scope="session")
def sqlite(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A file with all tables."""
    place = str(tmp_path_factory.mktemp("django") / "shop.db")
    with configured(place):
        migrate()
    return place


@pytest.fixture(scope="session")
def postgres() -> Iterator[str]:
    """A schema with all tables."""
    url = find_server()
    if isinstance(url, str):
        pytest.skip(url)
    with fresh_schema(url) as found:
        place = f"{found.url.render_as_string(hide_password=False)}?schema={found.schema}"
        with configured(place):
            migrate()
        yield place


@pytest.fixture(params=["sqlite", "postgres"])
def place(request: pytest.FixtureRequest) -> str:
    """Each database."""
    found: str = request.getfixturevalue(request.param)
    return found


@pytest.fixture
def django(place: str) -> Iterator[None]:
    """A configured Django, with empty tables."""
    with configured(place):
        empty_tables()
        yield


@pytest.fixture
def store(django: None) -> DjangoStore:
    """A store."""
    return DjangoStore()
