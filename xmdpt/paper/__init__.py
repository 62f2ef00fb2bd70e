"""The paper's own numbers, and its tables and figures made anew."""
