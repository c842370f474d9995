"""The console: an HTTP API, pages and MCP over the SDK. It may import all of the producer but the command line."""
