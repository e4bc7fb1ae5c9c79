"""What a sweep found, for a reader: Markdown, HTML and plots, pure functions of a SweepReport."""
