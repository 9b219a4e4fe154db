"""The document of the API, made from the routes and what each says of itself."""
