"""Tables of the user's own in the forms people have them, read as one. Imports `errors`, `files`, numpy and pyarrow."""
