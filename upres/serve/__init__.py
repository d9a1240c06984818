"""The HTTP server: jobs in a queue, work in child processes, a page, and doors for existing clients."""
