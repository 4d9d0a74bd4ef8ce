from .database import DIALECT

__all__ = ["DIALECT"]
