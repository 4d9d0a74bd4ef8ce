"""Django's two test classes, on models of the same shape."""

from __future__ import annotations

import sys
from typing import Any, List

# Django takes psycopg 3 where it is installed; everything here is measured on psycopg2.
sys.modules["psycopg"] = None  # type: ignore[assignment]

import django  # noqa: E402
from django.conf import settings  # noqa: E402
from django.db import connection, models, transaction  # noqa: E402
from django.test import TestCase, TransactionTestCase  # noqa: E402
from sqlalchemy.engine import make_url  # noqa: E402

from . import shape  # noqa: E402


def configure(url: Any) -> None:
    """Have Django use this database, and nothing but the models below."""
    url = make_url(url)
    default = {
        "ENGINE": "django.db.backends.postgresql",
        "NAME": url.database,
        "USER": url.username,
        "HOST": url.query.get("host") or url.host,
        "PORT": str(url.port),
    }
    settings.configure(DATABASES={"default": default}, INSTALLED_APPS=["benchmarks"])
    django.setup()


def declare(number: int) -> Any:
    """Return a model of the shape of a table."""

    class Meta:
        app_label = "benchmarks"
        db_table = shape.table_name(number)

    parent = "Item%d" % shape.parent_of(number) if number else "self"
    attributes = {
        "__module__": __name__,
        "Meta": Meta,
        "id": models.AutoField(primary_key=True),
        "parent": models.ForeignKey(parent, models.CASCADE, null=True, related_name="+"),
        "name": models.CharField(max_length=100, db_index=True),
        "quantity": models.IntegerField(),
        "note": models.TextField(null=True),
    }
    return type("Item%d" % number, (models.Model,), attributes)


class Measured:
    """What both have in common: the body of recipes.py, through Django's connection."""

    written = 0

    @classmethod
    def prepare(cls, url: Any, tables: int) -> None:
        configure(url)
        created = [declare(number) for number in range(tables)]
        with connection.schema_editor() as editor:
            for model in created:
                editor.create_model(model)

    def measured(self) -> None:
        with connection.cursor() as cursor:
            if self.written:
                with transaction.atomic():
                    self.write(cursor)
            else:
                cursor.execute("SELECT count(*) FROM %s" % shape.table_name(0))
                self.assertEqual(cursor.fetchone()[0], 0)  # type: ignore[attr-defined]

    def write(self, cursor: Any) -> None:
        ids: List[int] = []
        for number in range(self.written):
            parent = ids[shape.parent_of(number)] if ids else None
            cursor.execute(
                "INSERT INTO %s (parent_id, name, quantity) VALUES (%%s, %%s, %%s) RETURNING id"
                % shape.table_name(number),
                (parent, "row of %d" % number, number),
            )
            ids.append(cursor.fetchone()[0])


class Rollback(Measured, TestCase):
    """A transaction around each test."""


class Flush(Measured, TransactionTestCase):
    """Tables are truncated after each test."""
