"""FastAPI routers: parse, call one service, render. Errors are problem+json."""
