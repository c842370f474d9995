"""Several farms behind one submit. Imports the client."""
