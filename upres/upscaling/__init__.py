"""A picture in, a larger picture out: plan, tiles, checks, the exact size asked for."""
