"""The tests of the application; ``WebappTestCase`` is all that they need to know of a database."""

from dbtestcase import DatabaseTestCase


class WebappTestCase(DatabaseTestCase):
    app = "webapp:app"
    config = "webapp.config.Testing"
