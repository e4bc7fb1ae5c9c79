"""Model cards: context, escaping, number formats, front matter, the Jinja environment."""
