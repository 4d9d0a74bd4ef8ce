"""An application with an engine of its own on the database of its tests, and with children."""

import os
import subprocess
import sys
import unittest

import sqlalchemy as sa

from dbtestcase import DatabaseTestCase

metadata = sa.MetaData()
entry = sa.Table(
    "entry",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("who", sa.String(100)),
)
application = sa.create_engine(os.environ["SHOP_URL"])

CHILD = """
import os, sys
url = os.environ["SHOP_URL"]
cursor = __import__(sys.argv[1]).connect("postgresql" + url[url.index("://"):]).cursor()
cursor.execute("SELECT count(*) FROM entry")
print(cursor.fetchone()[0])
"""


def register(who):
    with application.begin() as connection:
        connection.execute(entry.insert().values(who=who))


class Entries(DatabaseTestCase):
    engine = os.environ["SHOP_URL"]
    metadata = metadata

    def registers(self):
        register(self.id())
        self.assertRowCount(entry, 1)
        counted = subprocess.check_output([sys.executable, "-c", CHILD, application.driver])
        self.assertEqual(counted.strip(), b"1")


class FirstTest(Entries):
    pass


class SecondTest(Entries):
    pass


for _case in (FirstTest, SecondTest):
    for _number in range(2):
        setattr(_case, "test_%d" % _number, lambda self: self.registers())
del _case

if __name__ == "__main__":
    unittest.main()
