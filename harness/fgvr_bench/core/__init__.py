"""The harness itself: plugins, files, options, runs, leaderboards. Knows no model and no dataset by name."""
