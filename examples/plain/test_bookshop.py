from bookshop import Author, Base, Book, Session, deliver
from dbtestcase import DatabaseTestCase, temporary_postgresql


class DeliveryTest(DatabaseTestCase):
    engine = temporary_postgresql(database="bookshop_test")
    metadata = Base.metadata
    session = Session

    def load_data(self):
        Session.add(Author(name="Le Guin"))

    def test_a_new_book_of_a_known_author(self):
        with self.assertRowCountChanges({Book: +1, Author: 0}):
            deliver("The Dispossessed", "Le Guin", copies=3)

    def test_a_second_delivery_adds_to_the_stock(self):
        deliver("The Dispossessed", "Le Guin", copies=3)
        book = deliver("The Dispossessed", "Le Guin", copies=2)

        self.assertPersistent(book)
        self.assertRowCount(Book, 1)
        self.assertRowExists(Book, title="The Dispossessed", stock=5)

    def test_a_new_author(self):
        deliver("Kindred", "Butler", copies=1)

        self.assertRowCount(Author, 2)
