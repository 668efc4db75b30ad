"""Facts of the API, and pulls made of them."""
