"""The HTTP API: typed requests and answers, routes, problem documents, and its OpenAPI document."""
