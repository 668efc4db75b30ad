"""Summit's API and its tokens."""
