"""hubkit in continuous integration: what a repository's workflows call, and what writes them."""
