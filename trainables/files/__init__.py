"""Files wherever they lie: folders, URIs, digests, atomic writes. Imports `errors`, `redact` and pyarrow alone."""
