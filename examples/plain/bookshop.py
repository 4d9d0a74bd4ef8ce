"""Books, their authors and what is in stock: SQLAlchemy alone, no web framework."""

from sqlalchemy import Column, ForeignKey, Integer, String
from sqlalchemy.orm import relationship, scoped_session, sessionmaker

try:
    from sqlalchemy.orm import declarative_base
except ImportError:  # SQLAlchemy 1.3
    from sqlalchemy.ext.declarative import declarative_base

Base = declarative_base()
Session = scoped_session(sessionmaker())


class Author(Base):
    __tablename__ = "author"

    id = Column(Integer, primary_key=True)
    name = Column(String(80), nullable=False, unique=True)
    books = relationship("Book", back_populates="author")


class Book(Base):
    __tablename__ = "book"

    id = Column(Integer, primary_key=True)
    title = Column(String(200), nullable=False)
    stock = Column(Integer, nullable=False, default=0)
    author_id = Column(Integer, ForeignKey("author.id"), nullable=False)
    author = relationship("Author", back_populates="books")


def deliver(title, author_name, copies):
    """Put copies of a book into stock and commit; the author and the book are made when new."""
    book = Session.query(Book).filter_by(title=title).first()
    if book is None:
        book = Book(title=title, author=author_of(author_name), stock=0)
        Session.add(book)
    book.stock += copies
    Session.commit()
    return book


def author_of(name):
    return Session.query(Author).filter_by(name=name).first() or Author(name=name)
