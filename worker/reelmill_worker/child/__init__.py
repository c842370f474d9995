"""The process that holds the model: passes the gate, claims, renders, and reports."""
