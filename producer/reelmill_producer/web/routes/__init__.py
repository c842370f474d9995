"""The routes of the API, a module per resource. They import what the console is made of, and the SDK."""
