"""The tables as they were first, in the words of `paycollect.cashier.schema` at that time.

Django's own operations would give the columns no defaults, which rows of another release need.
There is no way back: the orders are the proof against an order id that comes back.
"""

from __future__ import annotations

from typing import Any

from django.db import migrations, models

from paycollect.cashier.django.models import InstantField


def _text(**options: Any) -> Any:
    return models.TextField(editable=False, **options)


def _number() -> Any:
    return models.BigIntegerField(editable=False)


def _instant(**options: Any) -> Any:
    return InstantField(editable=False, **options)


_STATEMENTS = [
    """CREATE TABLE IF NOT EXISTS paycollect_order (
  order_id TEXT NOT NULL DEFAULT '' PRIMARY KEY,
  state TEXT NOT NULL DEFAULT '',
  amount TEXT NOT NULL DEFAULT '',
  currency TEXT NOT NULL DEFAULT '',
  nonce TEXT NOT NULL DEFAULT '',
  request TEXT NOT NULL DEFAULT '',
  collection_id TEXT,
  checkout TEXT NOT NULL DEFAULT '',
  created_at BIGINT NOT NULL DEFAULT 0,
  first_sent_at BIGINT,
  last_sent_at BIGINT,
  opened_at BIGINT,
  ends_at BIGINT,
  paid_at BIGINT,
  fulfilled_at BIGINT,
  closed_at BIGINT,
  closed_why TEXT NOT NULL DEFAULT '',
  gave_up_at BIGINT,
  due_at BIGINT,
  lease TEXT,
  lease_until BIGINT,
  checks BIGINT NOT NULL DEFAULT 0,
  deliveries BIGINT NOT NULL DEFAULT 0,
  asked_at BIGINT,
  seen TEXT NOT NULL DEFAULT '',
  same BIGINT NOT NULL DEFAULT 0,
  record TEXT NOT NULL DEFAULT '',
  found_by TEXT NOT NULL DEFAULT '',
  refund TEXT NOT NULL DEFAULT '',
  after_at BIGINT,
  after_tries BIGINT NOT NULL DEFAULT 0,
  held_reason TEXT NOT NULL DEFAULT '',
  held_at BIGINT,
  hold_id TEXT NOT NULL DEFAULT '',
  alarm_at BIGINT,
  alarm_tries BIGINT NOT NULL DEFAULT 0,
  judged TEXT NOT NULL DEFAULT '',
  attributed TEXT NOT NULL DEFAULT '',
  cursor BIGINT NOT NULL DEFAULT 0,
  missing_at BIGINT,
  last_error TEXT NOT NULL DEFAULT ''
)""",
    (
        "CREATE INDEX IF NOT EXISTS paycollect_order_due ON paycollect_order"
        " (due_at) WHERE due_at IS NOT NULL"
    ),
    (
        "CREATE INDEX IF NOT EXISTS paycollect_order_after ON paycollect_order"
        " (after_at) WHERE after_at IS NOT NULL"
    ),
    (
        "CREATE INDEX IF NOT EXISTS paycollect_order_alarm ON paycollect_order"
        " (alarm_at) WHERE alarm_at IS NOT NULL"
    ),
    (
        "CREATE INDEX IF NOT EXISTS paycollect_order_held ON paycollect_order"
        " (held_at) WHERE held_at IS NOT NULL"
    ),
    (
        "CREATE INDEX IF NOT EXISTS paycollect_order_open ON paycollect_order"
        " (opened_at) WHERE state = 'open'"
    ),
    (
        "CREATE INDEX IF NOT EXISTS paycollect_order_collection ON paycollect_order"
        " (collection_id) WHERE collection_id IS NOT NULL"
    ),
    """CREATE TABLE IF NOT EXISTS paycollect_inbox (
  id TEXT NOT NULL DEFAULT '' PRIMARY KEY,
  received_at BIGINT NOT NULL DEFAULT 0,
  order_id TEXT,
  collection_id TEXT,
  event TEXT NOT NULL DEFAULT '',
  status TEXT NOT NULL DEFAULT '',
  occurred_at BIGINT,
  due_at BIGINT,
  tries BIGINT NOT NULL DEFAULT 0,
  handled_at BIGINT,
  outcome TEXT NOT NULL DEFAULT '',
  body TEXT NOT NULL DEFAULT ''
)""",
    (
        "CREATE INDEX IF NOT EXISTS paycollect_inbox_due ON paycollect_inbox"
        " (due_at) WHERE due_at IS NOT NULL"
    ),
    (
        "CREATE INDEX IF NOT EXISTS paycollect_inbox_due_order ON paycollect_inbox"
        " (order_id) WHERE due_at IS NOT NULL"
    ),
    (
        "CREATE INDEX IF NOT EXISTS paycollect_inbox_due_collection ON paycollect_inbox"
        " (collection_id) WHERE due_at IS NOT NULL"
    ),
    (
        "CREATE INDEX IF NOT EXISTS paycollect_inbox_order ON paycollect_inbox"
        " (order_id) WHERE order_id IS NOT NULL"
    ),
    (
        "CREATE INDEX IF NOT EXISTS paycollect_inbox_handled ON paycollect_inbox"
        " (handled_at) WHERE handled_at IS NOT NULL"
    ),
    """CREATE TABLE IF NOT EXISTS paycollect_stray (
  id TEXT NOT NULL DEFAULT '' PRIMARY KEY,
  order_id TEXT,
  collection_id TEXT,
  record TEXT NOT NULL DEFAULT '',
  reason TEXT NOT NULL DEFAULT '',
  hold_id TEXT NOT NULL DEFAULT '',
  held_at BIGINT,
  alarm_at BIGINT,
  alarm_tries BIGINT NOT NULL DEFAULT 0,
  note TEXT NOT NULL DEFAULT ''
)""",
    (
        "CREATE INDEX IF NOT EXISTS paycollect_stray_alarm ON paycollect_stray"
        " (alarm_at) WHERE alarm_at IS NOT NULL"
    ),
    (
        "CREATE INDEX IF NOT EXISTS paycollect_stray_held ON paycollect_stray"
        " (held_at) WHERE held_at IS NOT NULL"
    ),
    """CREATE TABLE IF NOT EXISTS paycollect_timeline (
  id TEXT NOT NULL DEFAULT '' PRIMARY KEY,
  order_id TEXT NOT NULL DEFAULT '',
  at BIGINT NOT NULL DEFAULT 0,
  what TEXT NOT NULL DEFAULT '',
  detail TEXT NOT NULL DEFAULT '',
  done_by TEXT NOT NULL DEFAULT ''
)""",
    "CREATE INDEX IF NOT EXISTS paycollect_timeline_order ON paycollect_timeline (order_id)",
    "CREATE INDEX IF NOT EXISTS paycollect_timeline_at ON paycollect_timeline (at)",
    """CREATE TABLE IF NOT EXISTS paycollect_setting (
  name TEXT NOT NULL DEFAULT '' PRIMARY KEY,
  value TEXT NOT NULL DEFAULT '',
  at BIGINT NOT NULL DEFAULT 0
)""",
    """CREATE TABLE IF NOT EXISTS paycollect_schema (
  id TEXT NOT NULL DEFAULT '' PRIMARY KEY,
  version BIGINT NOT NULL DEFAULT 0,
  min_compatible BIGINT NOT NULL DEFAULT 0
)""",
]


class Migration(migrations.Migration):
    """Make the tables, and tell Django of them."""

    initial = True
    dependencies = ()
    operations = (
        migrations.RunSQL(_STATEMENTS),
        migrations.CreateModel(
            name="Order",
            fields=[
                ("order_id", _text(primary_key=True, serialize=False)),
                ("state", _text()),
                ("amount", _text()),
                ("currency", _text()),
                ("nonce", _text()),
                ("request", _text()),
                ("collection_id", _text(null=True)),
                ("checkout", _text()),
                ("created_at", _instant()),
                ("first_sent_at", _instant(null=True)),
                ("last_sent_at", _instant(null=True)),
                ("opened_at", _instant(null=True)),
                ("ends_at", _instant(null=True)),
                ("paid_at", _instant(null=True)),
                ("fulfilled_at", _instant(null=True)),
                ("closed_at", _instant(null=True)),
                ("closed_why", _text()),
                ("gave_up_at", _instant(null=True)),
                ("due_at", _instant(null=True)),
                ("lease", _text(null=True)),
                ("lease_until", _instant(null=True)),
                ("checks", _number()),
                ("deliveries", _number()),
                ("asked_at", _instant(null=True)),
                ("seen", _text()),
                ("same", _number()),
                ("record", _text()),
                ("found_by", _text()),
                ("refund", _text()),
                ("after_at", _instant(null=True)),
                ("after_tries", _number()),
                ("held_reason", _text()),
                ("held_at", _instant(null=True)),
                ("hold_id", _text()),
                ("alarm_at", _instant(null=True)),
                ("alarm_tries", _number()),
                ("judged", _text()),
                ("attributed", _text()),
                ("cursor", _number()),
                ("missing_at", _instant(null=True)),
                ("last_error", _text()),
            ],
            options={
                "managed": False,
                "db_table": "paycollect_order",
                "permissions": (("decide_order", "Can replay, release and dismiss orders"),),
            },
        ),
        migrations.CreateModel(
            name="Webhook",
            fields=[
                ("id", _text(primary_key=True, serialize=False)),
                ("received_at", _instant()),
                ("order_id", _text(null=True)),
                ("collection_id", _text(null=True)),
                ("event", _text()),
                ("status", _text()),
                ("occurred_at", _instant(null=True)),
                ("due_at", _instant(null=True)),
                ("tries", _number()),
                ("handled_at", _instant(null=True)),
                ("outcome", _text()),
                ("body", _text()),
            ],
            options={
                "managed": False,
                "db_table": "paycollect_inbox",
            },
        ),
        migrations.CreateModel(
            name="Stray",
            fields=[
                ("id", _text(primary_key=True, serialize=False)),
                ("order_id", _text(null=True)),
                ("collection_id", _text(null=True)),
                ("record", _text()),
                ("reason", _text()),
                ("hold_id", _text()),
                ("held_at", _instant(null=True)),
                ("alarm_at", _instant(null=True)),
                ("alarm_tries", _number()),
                ("note", _text()),
            ],
            options={
                "managed": False,
                "db_table": "paycollect_stray",
                "verbose_name": "payment without an order",
                "verbose_name_plural": "payments without an order",
            },
        ),
        migrations.CreateModel(
            name="TimelineEntry",
            fields=[
                ("id", _text(primary_key=True, serialize=False)),
                ("order_id", _text()),
                ("at", _instant()),
                ("what", _text()),
                ("detail", _text()),
                ("done_by", _text()),
            ],
            options={
                "managed": False,
                "db_table": "paycollect_timeline",
                "verbose_name_plural": "timeline",
            },
        ),
    )
