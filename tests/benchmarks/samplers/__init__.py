"""What one would search with instead: other libraries' samplers, each behind the same few calls."""
