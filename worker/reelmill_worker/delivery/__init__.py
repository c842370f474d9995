"""From frames to a published clip, on threads beside the next render."""
