"""Show models side by side: a contact sheet for papers, and a page to explore."""
