from .temporary import serve, stop_servers, temporary_postgresql

__all__ = ["serve", "stop_servers", "temporary_postgresql"]
